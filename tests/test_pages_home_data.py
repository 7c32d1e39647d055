"""Home, the frame and the Data page, as a person meets them."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import date
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.testing.v1 import AppTest

from pages.components.colors import CLASS_COLORS, FROZEN_COLOR, TRAINABLE_COLOR, TRAINING_COLOR, VALIDATION_COLOR
from pages.components.data.advice import data_advice, is_ready
from pages.components.data.bring import STARTED_IMPORT
from pages.components.text import distinct, label, plot_label
from pages.components.upload import file_drop
from pages.server import private_streamlit
from tests.page_tests import OWNER, check, modules_after, open_app, texts
from tlcore.dataset import ClassLabel, Dataset, Import, Item
from tlcore.home import DataRoot
from tlcore.intake.archives.archive import Refusal
from tlcore.intake.pictures.decoding import clean_pixels
from tlcore.storage.database import jobs, open_database, writing
from tlcore.storage.datasets import commit_version, get_version, load_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import (
    ACTIVE_STATES,
    claim_job,
    create_job,
    end_job,
    list_jobs,
    note_silence,
    read_request,
    request_stop,
    requeue_job,
    write_job,
    write_result,
)
from tlcore.storage.projects import create_project, get_project, read_projects
from tlcore.storage.requests import ImportRequest, ImportSummary
from tlcore.storage.runs import list_runs

HOSTILE_NAMES = (
    "![t](http://evil.example/x.png)",
    "**bold** _it_ `code`",
    "<script>alert(1)</script>",
    ":red[red] :material/home:",
    "# heading",
    "http://evil.example",
    "$x^2$",
)

WAYS_IN = ["begin-webcam", "begin-folder", "begin-samples"]


@pytest.fixture
def engine(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    # Queued jobs stay queued: no runner process is started by these tests.
    monkeypatch.setattr("tlcore.jobs.control.ensure_runner", lambda home=None: None)
    return open_database(home)


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)


def make_dataset(home: DataRoot, names: tuple[str, ...], per_class: int = 20) -> Dataset:
    store = ImageStore(home)
    classes = tuple(ClassLabel(f"id{i}", name, i) for i, name in enumerate(names))
    splits = ("train", "train", "train", "validation", "test")
    items = []
    for i, one in enumerate(classes):
        for k in range(per_class):
            clean = clean_pixels(picture(1000 * i + k))
            items.append(Item(store.add(clean.data, clean.thumbnail), one.id, splits[k % 5], f"{k}.png"))
    return Dataset(classes, tuple(items))


def make_project(
    engine: sa.Engine, home: DataRoot, names: tuple[str, ...] = ("cat", "dog"), per_class: int = 20
) -> str:
    project = create_project(engine, OWNER, "Pets")
    dataset = make_dataset(home, names, per_class)
    commit_version(engine, project.id, dataset, f"added {len(dataset.items)} pictures", parent=None, home=home)
    return project.id


def current(engine: sa.Engine, project_id: str, home: DataRoot) -> Dataset:
    version = get_project(engine, project_id, OWNER).version
    return Dataset() if version is None else load_dataset(get_version(engine, project_id, version).content, home)


def test_home_leads_with_three_equal_ways_to_begin(engine: sa.Engine) -> None:
    app = open_app()
    assert app.title[0].value == "Transfer Lab"
    assert [b.key for b in app.button if b.proto.type == "primary"] == WAYS_IN
    assert app.button(key="try").label == "Try it now"


@pytest.mark.parametrize("key", WAYS_IN)
def test_one_tap_makes_a_project_and_opens_data_with_that_way(engine: sa.Engine, key: str) -> None:
    app = check(open_app().button(key=key).click().run())
    assert app.title[0].value == "Data"
    assert app.segmented_control(key="way").value == key.removeprefix("begin-")
    assert not app.warning  # Streamlit's about a default beside what Home chose
    [project] = read_projects(engine, OWNER)[0]
    today = date.today()
    assert project.name == f"Pictures of {today.day} {today:%B}"
    assert app.query_params["project"] == project.id


def test_projects_of_one_day_are_told_apart_and_an_empty_one_is_taken_again(engine: sa.Engine, home: DataRoot) -> None:
    for _ in range(2):
        check(open_app().button(key=WAYS_IN[0]).click().run())
    [first] = read_projects(engine, OWNER)[0]
    commit_version(engine, first.id, make_dataset(home, ("cat", "dog")), "added", parent=None, home=home)
    check(open_app().button(key=WAYS_IN[1]).click().run())
    second, _ = read_projects(engine, OWNER)[0]
    assert second.name == f"{first.name} (2)"


def test_a_project_gets_another_name_on_every_page(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = open_app("augment", project=project_id)
    app = check(app.text_input(key="project-name").set_value("  Leaves\tof 8b ").run())
    assert get_project(engine, project_id, OWNER).name == "Leaves of 8b"
    app = check(app.text_input(key="project-name").set_value(" ").run())
    assert app.text_input(key="project-name").value == "Leaves of 8b"


def test_try_it_now_makes_a_project_on_the_ready_set_and_goes_to_data(engine: sa.Engine) -> None:
    app = check(open_app().button(key="try").click().run())
    [project] = read_projects(engine, OWNER)[0]
    [job] = list_jobs(engine, states=ACTIVE_STATES, project_id=project.id)
    assert read_request(engine, job.id, ImportRequest).sample == "surfaces"
    assert app.title[0].value == "Data"
    assert app.query_params["project"] == project.id
    assert app.button(key="primary").disabled


def test_train_now_starts_a_run_with_the_settings_as_they_are(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = check(open_app("data", project=project_id).button(key="train-now").click().run())
    [run] = list_runs(engine, project_id)
    project = get_project(engine, project_id, OWNER)
    assert (run.version, run.config) == (project.version, project.config)
    assert app.title[0].value == "Train"
    assert app.query_params["run"] == run.id
    assert app.button(key="stop").label == "Stop and keep the best"


def test_train_now_says_what_is_missing(engine: sa.Engine, home: DataRoot) -> None:
    project = create_project(engine, OWNER, "Pets")
    empty = open_app("data", project=project.id).button(key="train-now")
    assert (empty.disabled, empty.help) == (True, "Bring pictures of at least two classes first.")
    dataset = dataclasses.replace(
        make_dataset(home, ("cat", "dog")), imports=(Import("import-1", "top", is_open=True),)
    )
    commit_version(engine, project.id, dataset, "added", parent=None, home=home)
    app = open_app("data", project=project.id)
    for key in ("train-now", "primary"):
        assert (app.button(key=key).disabled, app.button(key=key).help) == (True, "Answer the question above first.")
    items = tuple(dataclasses.replace(item, split="test") for item in dataset.items)
    unlearnable = dataclasses.replace(dataset, imports=(), items=items)
    commit_version(engine, project.id, unlearnable, "all for testing", parent=1, home=home)
    app = open_app("data", project=project.id)
    assert "no training pictures" in app.button(key="train-now").help
    assert not app.button(key="primary").disabled


def test_home_lists_only_the_projects_of_this_browser(engine: sa.Engine, home: DataRoot) -> None:
    make_project(engine, home)
    create_project(engine, "somebody else", "Secret")
    text = texts(open_app())
    assert "Pets" in text
    assert "40 pictures in 2 classes" in text
    assert "Not trained yet" in text
    assert "Secret" not in text


def test_delete_asks_first(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = check(open_app().button(key=f"delete-{project_id}").click().run())
    assert len(read_projects(engine, OWNER)[0]) == 1
    assert "This cannot be undone" in texts(app)


def test_hostile_names_are_shown_literally(engine: sa.Engine, home: DataRoot) -> None:
    dataset = make_dataset(home, HOSTILE_NAMES, 5)
    for name in HOSTILE_NAMES:
        project = create_project(engine, OWNER, name)
        commit_version(engine, project.id, dataset, f"renamed x to {name}", parent=None, home=home)
    for app in (open_app(), open_app("data", project=project.id)):
        shown = texts(app) + "\n".join(button.label for button in app.button)
        assert label(HOSTILE_NAMES[-1]) in shown
        for name in HOSTILE_NAMES:
            assert not re.search(r"(?<!\\)" + re.escape(name), shown)


def test_labels_keep_letters_and_show_hidden_characters() -> None:
    assert label("Größe 5 猫") == "Größe 5 猫"
    assert label("a\u202eb\u200bc") == "a\ufffdb\ufffdc"
    assert "\\!\\[" in label("![x](y)")
    assert plot_label("<a href='x'>b</a>", 12) == "&lt;a href='x'…"


@pytest.mark.parametrize("page", ["data", "augment", "model", "train", "understand", "predict", "export"])
def test_an_unknown_project_gets_a_sentence_and_a_way_home(engine: sa.Engine, page: str) -> None:
    app = open_app(page, project="not-a-project")
    assert "This project is not here" in texts(app)
    assert check(app.button(key="primary").click().run()).title[0].value == "Transfer Lab"


def test_the_project_of_another_browser_looks_like_one_that_does_not_exist(engine: sa.Engine) -> None:
    theirs = create_project(engine, "somebody else", "Secret")
    assert texts(open_app("data", project=theirs.id)) == texts(open_app("data", project="nothing"))


def test_the_frame_locks_steps_until_they_make_sense_and_keeps_the_project(engine: sa.Engine, home: DataRoot) -> None:
    def links(project_id: str) -> dict[str, tuple[bool, str]]:
        app = open_app("data", project=project_id)
        return {link.proto.label: (link.proto.disabled, link.proto.query_string) for link in app.get("page_link")}

    empty = create_project(engine, OWNER, "Empty").id
    full = make_project(engine, home)
    assert links(empty)["2 Augment"] == (True, f"project={empty}")
    assert links(full)["2 Augment"] == (False, f"project={full}")
    assert links(full)["6 Predict"][0]


def test_opening_a_step_is_remembered(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    open_app("data", project=project_id)
    assert get_project(engine, project_id, OWNER).visited == ("data",)


def test_next_goes_to_augment_with_the_project(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = check(open_app("data", project=project_id).button(key="primary").click().run())
    assert app.title[0].value == "Augment"
    assert app.query_params["project"] == project_id


def test_ticked_pictures_are_deleted_and_come_back_with_undo(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = open_app("data", project=project_id)
    boxes = [box for box in app.checkbox if (box.key or "").startswith("gallery-")]
    boxes[0].check()
    app = check(boxes[1].check().run())
    app = check(app.button(key="delete-pictures").click().run())
    assert len(current(engine, project_id, home).items) == 38
    version = get_project(engine, project_id, OWNER).version
    undo = app.button(key=f"undo-{version}")
    assert undo.label == "Undo: deleted 2 pictures from cat"
    check(undo.click().run())
    assert len(current(engine, project_id, home).items) == 40


def test_a_class_is_renamed_merged_and_deleted(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home, ("cat", "dog", "fish"))
    app = open_app("data", project=project_id)
    app.text_input(key="rename-name-1-id0").set_value("tiger")
    rename = next(b for b in app.button if b.label == "Rename")
    app = check(rename.click().run())
    assert current(engine, project_id, home).class_names == ("tiger", "dog", "fish")
    app = check(app.button(key="merge-yes-2-id0").click().run())
    assert current(engine, project_id, home).class_names == ("dog", "fish")
    check(app.button(key="delete-class-yes-3-id1").click().run())
    assert current(engine, project_id, home).class_names == ("fish",)


def test_renaming_to_a_name_that_exists_says_so(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = open_app("data", project=project_id)
    app.text_input(key="rename-name-1-id0").set_value("dog")
    app = check(next(b for b in app.button if b.label == "Rename").click().run())
    assert "already a class called dog" in texts(app).replace("\\", "")
    assert current(engine, project_id, home).class_names == ("cat", "dog")


def test_an_edit_from_an_old_page_is_refused_in_words(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = open_app("data", project=project_id)
    other_tab = make_dataset(home, ("cat", "dog", "bird"), 5)

    def other_tab_first(*args: object, **kwargs: object) -> int:
        monkeypatch.undo()
        commit_version(engine, project_id, other_tab, "elsewhere", parent=1, home=home)
        return commit_version(*args, **kwargs)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("pages.components.data.edits.commit_version", other_tab_first)
        app = check(app.button(key="delete-class-yes-1-id0").click().run())
    assert "changed in another tab" in texts(app)
    assert current(engine, project_id, home).class_names == ("cat", "dog", "bird")


def test_split_again_shares_out_by_the_chosen_parts(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = open_app("data", project=project_id)
    app.slider(key="split-validation").set_value(10)
    app.slider(key="split-test").set_value(30)
    check(next(b for b in app.button if b.label == "Split again").click().run())
    dataset = current(engine, project_id, home)
    assert [len(dataset.subset(split)) for split in ("train", "validation", "test")] == [24, 4, 12]


def with_test_folder(dataset: Dataset, given: bool | None = True) -> Dataset:
    """Return a data set whose test pictures came as such."""
    items = (dataclasses.replace(item, given=given if item.split == "test" else False) for item in dataset.items)
    return dataclasses.replace(dataset, items=tuple(items))


@pytest.mark.parametrize(
    ("given", "words"),
    [(True, "Came with the set, and kept: 8 test pictures."), (None, "Kept, to be safe: 8 test pictures.")],
)
def test_split_again_leaves_a_test_set_that_came_until_it_is_given_up(
    engine: sa.Engine, home: DataRoot, given: bool | None, words: str
) -> None:
    project_id = make_project(engine, home)
    dataset = with_test_folder(current(engine, project_id, home), given)
    commit_version(engine, project_id, dataset, "came", parent=1, home=home)
    app = open_app("data", project=project_id)
    assert words in texts(app)
    assert [slider.label for slider in app.slider] == ["Validation, % of the others"]
    app.slider(key="split-validation").set_value(25)
    app = check(next(b for b in app.button if b.label == "Split again").click().run())
    split = current(engine, project_id, home)
    assert [len(split.subset(part)) for part in ("train", "validation", "test")] == [24, 8, 8]
    assert split.subset("test") == dataset.subset("test")
    assert "Undo: split into 24 / 8 / 8 pictures, seed 0" in [b.label.replace("\\", "") for b in app.button]

    app = check(next(box for box in app.checkbox if box.label.startswith("Give them up")).check().run())
    assert [slider.label for slider in app.slider] == ["Validation, %", "Test, %"]
    app.slider(key="split-test").set_value(10)
    app = check(next(b for b in app.button if b.label == "Split again").click().run())
    assert len(current(engine, project_id, home).subset("test")) == 4
    assert not any("Give them up" in box.label for box in app.checkbox)


def test_parts_that_all_came_with_the_set_leave_nothing_to_split(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    dataset = current(engine, project_id, home)
    items = tuple(dataclasses.replace(item, given=item.split != "train") for item in dataset.items)
    commit_version(engine, project_id, dataclasses.replace(dataset, items=items), "came", parent=1, home=home)
    app = open_app("data", project=project_id)
    assert "Came with the set, and kept: 8 test pictures and 8 validation pictures." in texts(app)
    assert not app.slider
    assert not any(button.label == "Split again" for button in app.button)


@pytest.mark.parametrize("way", ["folder", "files"])
def test_the_import_of_what_was_sent_is_shown_as_this_tabs_own(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(file_drop, "_component", lambda **given: told.update(given))  # no test page can drop files
    project_id = create_project(engine, OWNER, "Pets").id
    app = open_app("data", project=project_id)
    app = check(app.segmented_control(key="way").set_value(way).run())
    job_id = create_job(engine, "import", project_id, ImportRequest())
    state = {told["key"]: SimpleNamespace(begun=job_id), f"{told['key']}-handled": 0}
    monkeypatch.setattr(st, "session_state", state)
    told["on_begun_change"]()
    assert state[STARTED_IMPORT] == job_id
    assert state[f"{told['key']}-handled"] == 1


def test_uploaded_bytes_leave_the_memory_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"session_id", "uploaded_file_mgr"} <= {field.name for field in dataclasses.fields(ScriptRunContext)}
    manager = MemoryUploadedFileManager("/upload")
    record = UploadedFileRec("file-1", "a.png", "image/png", b"x")
    manager.add_file("session-1", record)
    context = SimpleNamespace(session_id="session-1", uploaded_file_mgr=manager)
    monkeypatch.setattr(private_streamlit, "get_script_run_ctx", lambda: context)
    private_streamlit.remove_uploaded([SimpleNamespace(file_id="file-1")])
    assert manager.get_files("session-1", ["file-1"]) == []


def test_single_pictures_need_a_class_first_and_then_go_into_it(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    app = open_app("data", project=project_id)
    app = check(app.segmented_control(key="way").set_value("files").run())
    assert drop_data(app)["disabled"]
    app = check(app.selectbox(key="bring-class").set_value("dog").run())
    assert not drop_data(app)["disabled"]
    assert drop_data(app)["class_name"] == "dog"


def drop_data(app: AppTest) -> dict[str, object]:
    """Return what the place for files on the page knows."""
    [place] = app.get("bidi_component")
    return dict(json.loads(place.proto.json))


def test_an_import_that_works_shows_progress_and_can_be_stopped(engine: sa.Engine) -> None:
    app = check(open_app().button(key="try").click().run())
    [project] = read_projects(engine, OWNER)[0]
    [job] = list_jobs(engine, states=ACTIVE_STATES, project_id=project.id)
    assert "about to start" in app.get("progress")[0].proto.text
    check(app.button(key=f"stop-{job.id}").click().run())
    assert list_jobs(engine, states=ACTIVE_STATES, project_id=project.id) == []


def test_what_was_refused_is_listed_with_its_reason(engine: sa.Engine, home: DataRoot) -> None:
    app = check(open_app().button(key="try").click().run())
    [project] = read_projects(engine, OWNER)[0]
    job = claim_job(engine, "import")
    commit_version(engine, project.id, make_dataset(home, ("cat", "dog")), "added", parent=None, home=home)
    summary = ImportSummary(40, 3, (Refusal("cat/a.pdf", "This is a PDF."),), ("Classes look *alike*.",))
    with writing(engine) as connection:
        write_result(connection, job.id, job.attempt, summary)
    end_job(engine, job.id, job.attempt, "finished")
    app = check(app.run())
    assert app.expander[0].label == "Last import: 40 pictures added, 3 already there, 1 file not used"
    assert app.dataframe[0].value.to_dict("records") == [{"File": "cat/a.pdf", "Why": "This is a PDF."}]
    assert label("Classes look *alike*.") in texts(app)


def test_a_failed_import_says_why(engine: sa.Engine) -> None:
    app = check(open_app().button(key="try").click().run())
    job = claim_job(engine, "import")
    end_job(engine, job.id, job.attempt, "failed", "The ZIP is cut off. Download it again.")
    assert "The ZIP is cut off" in texts(check(app.run()))


def test_an_import_that_does_not_answer_or_was_killed_says_what_happens_next(engine: sa.Engine) -> None:
    app = check(open_app().button(key="try").click().run())
    job = claim_job(engine, "import")
    with writing(engine) as connection:
        write_job(connection, job.id, job.attempt, state="running", phase="looking", done=2, total=9)
    note_silence(engine, job.id, job.attempt, silent=True)
    app.run()
    assert "is not answering" in app.get("progress")[0].proto.text
    assert "The import program does not answer: it was paused" in texts(app)
    request_stop(engine, job.id)
    assert "it is ended by force" in texts(app.run())
    with writing(engine) as connection:
        connection.execute(sa.update(jobs).values(stop_requested=None))
    requeue_job(engine, job.id, job.attempt, "memory", "")
    words = "The computer's memory ran out, so the system ended the import program. It goes on by itself"
    assert words in texts(check(app.run()))


@pytest.mark.parametrize(
    ("names", "per_class", "expected"),
    [
        (("cat",), 20, "only one class"),
        (("cat", "dog"), 5, "Fewer than 10 training pictures in cat, dog"),
        (("cat", "dog"), 3, "The validation part is empty"),
    ],
)
def test_too_few_pictures_are_said_in_words(
    home: DataRoot, names: tuple[str, ...], per_class: int, expected: str
) -> None:
    assert any(expected in advice for advice in data_advice(make_dataset(home, names, per_class)))


@pytest.mark.parametrize(
    ("part", "kind", "way_on"),
    [
        ("train", "training", "Add some, or delete the class"),
        ("validation", "validation", "Split again, or add pictures"),
        ("test", "test", "Split again, or add pictures"),
    ],
)
def test_classes_that_lack_a_part_are_named_in_one_line(home: DataRoot, part: str, kind: str, way_on: str) -> None:
    dataset = make_dataset(home, tuple("abcdefgh"), 20)
    lacking = {f"id{i}" for i in range(1, 8)}
    items = tuple(item for item in dataset.items if item.split != part or item.class_id not in lacking)
    advice = data_advice(dataclasses.replace(dataset, items=items))
    assert [line for line in advice if line.startswith(f"No {kind} pictures in b, c, d, e, f and 2 more: ")] == advice
    assert way_on in advice[0]


def test_a_good_data_set_gets_no_advice(home: DataRoot) -> None:
    dataset = make_dataset(home, ("cat", "dog"))
    assert data_advice(dataset) == []
    assert is_ready(dataset)


def test_colours_stand_out_on_light_and_dark() -> None:
    def luminance(color: str) -> float:
        values = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for color in (*CLASS_COLORS, FROZEN_COLOR, TRAINABLE_COLOR, TRAINING_COLOR, VALIDATION_COLOR):
        assert contrast(color, "#FFFFFF") >= 3
        assert contrast(color, "#12151C") >= 3


def test_home_and_data_load_no_tensorflow_and_home_no_tables(engine: sa.Engine, home: DataRoot) -> None:
    project_id = make_project(engine, home)
    at_home = modules_after("home", home)
    at_data = modules_after("data", home, project_id)
    assert not {"tensorflow", "keras"} & (at_home | at_data)
    assert not {"pandas", "cv2"} & at_home


def test_no_two_texts_of_a_choice_are_alike() -> None:
    texts = {"a": "Anna", "b": "Anna", "c": "Anna (2)", "d": "Ben", "e": "Anna"}
    assert distinct(texts) == {"a": "Anna", "b": "Anna (2)", "c": "Anna (2) (2)", "d": "Ben", "e": "Anna (3)"}
