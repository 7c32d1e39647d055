"""Comparing runs, notes, recipes and runs again on the Train page; runs are played by the storage functions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components.figures.curves import overlaid_figure
from pages.components.state import NEXT_RUN
from tests.coloured_pictures import COLOURS, coloured_dataset
from tests.lab import Lab
from tests.page_tests import OWNER, check, open_app, texts
from tests.queued_run import create_run, leave_model
from tlcore.config import RunConfig
from tlcore.dataset import ClassLabel, Dataset
from tlcore.home import DataRoot
from tlcore.ready_sets.registry import READY_SETS, get_ready_set
from tlcore.results.evaluation import FILE_NAME, VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.settings.recipes import OURS, RECIPES
from tlcore.storage.database import writing
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.exams import open_exam
from tlcore.storage.jobs import claim_job, end_job
from tlcore.storage.projects import read_projects
from tlcore.storage.runs import MetricPoint, Run, RunSummary, list_runs, write_metrics, write_summary


class ComparedLab(Lab):
    """A project with pictures whose runs nobody works on.

    They answer 100 pictures that are named by their number; `correct` of those for validation right, the first ones,
    and 20 fewer of those for the test.
    """

    first_picture = 0

    @property
    def runs(self) -> list[Run]:
        return list_runs(self.engine, self.project_id)

    @property
    def dataset(self) -> Dataset:
        return current_dataset(self.engine, self.project_id, self.home)[1]

    def train(self, correct: int = 90, note: str = "", version: int | None = None) -> str:
        """Play a run of the present settings to its end."""
        run_id = create_run(self.engine, self.project_id, version or self.version, self.config, note)
        self.finish(correct)
        return run_id

    def finish(self, correct: int) -> None:
        job = claim_job(self.engine, "run")
        assert job is not None
        with writing(self.engine) as connection:
            for epoch in (1, 2, 3):
                write_metrics(connection, job.id, job.attempt, epoch, {"val_loss": 1 / epoch, "val_accuracy": 0.5})
            summary = RunSummary(2, 3, correct / 100, correct - 20, 100, 2562, 3_370_000, 12.0, correct, 100)
            write_summary(connection, job.id, job.attempt, summary)
        for file_name, right in ((VALIDATION_FILE_NAME, correct), (FILE_NAME, correct - 20)):
            probabilities = np.eye(3, dtype=np.float32)[[0] * right + [1] * (100 - right)]
            images = tuple(f"{self.first_picture + number}" for number in range(100))
            evaluation = Evaluation(tuple(COLOURS), images, np.zeros(100, np.int64), probabilities)
            save_evaluation(evaluation, self.home.run_dir(job.id), file_name)
        leave_model(self.home, job.id)
        end_job(self.engine, job.id, job.attempt, "finished")

    def train_page(self, **query: str) -> AppTest:
        return self.open("train", **query)


@pytest.fixture
def lab(home: DataRoot, tmp_path: Path, no_runner: None, monkeypatch: pytest.MonkeyPatch) -> ComparedLab:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return ComparedLab.make(home, coloured_dataset(home))


def address(page: AppTest, name: str) -> str:
    """Return a part of the address; it is a list in the first run of a page and text after a change."""
    value = page.query_params[name]
    return value if isinstance(value, str) else value[0]


def table(page: AppTest) -> dict[str, list[str]]:
    (frame,) = page.dataframe
    return {name: list(frame.value[name]) for name in frame.value}


def tick(page: AppTest, run_id: str) -> AppTest:
    return check(page.checkbox(key=f"compare-{run_id}").set_value(True).run())


def test_two_ticked_runs_are_drawn_listed_and_told_apart(lab: Lab) -> None:
    first = lab.train(80)
    lab.change(lambda config: replace(config, training=replace(config.training, learning_rate=0.0003)))
    second = lab.train(82)
    page = lab.train_page()
    assert not page.get("bidi_component")
    assert "Tick two or more runs" in texts(page)
    page = tick(tick(page, first), second)
    assert address(page, "compare") == "1-2"
    assert len(page.get("bidi_component")) == 2
    rows = table(page)
    assert rows["Run"] == ["Run 1", "Run 2"]
    assert rows["Validation accuracy"] == ["80.0 %", "82.0 %"]
    assert "Exam" not in rows
    assert rows["Time"] == ["12 s", "12 s"]
    shown = texts(page).replace("\\", "")
    assert "**From run 1 to run 2:** learning rate 0.003 to 0.0003." in shown
    assert "Of 100 validation pictures Run 2 got 2 more right than Run 1: 2 only Run 2" in shown
    assert "it may well be chance" in shown
    page = check(page.checkbox(key=f"compare-{first}").set_value(False).run())
    assert address(page, "compare") == "2"
    assert not page.get("bidi_component")


def test_a_reload_compares_the_same_runs(lab: Lab) -> None:
    lab.train()
    lab.train()
    lab.train()
    page = lab.train_page(compare="1-3")
    assert table(page)["Run"] == ["Run 1", "Run 3"]
    assert [box.value for box in page.checkbox if str(box.key).startswith("compare-")] == [True, False, True]


@pytest.mark.parametrize("numbers", ["", "x", "-", "7-9", "1-1", "²", "1-99999999999999999999999"])
def test_an_address_that_names_no_two_runs_compares_nothing(lab: ComparedLab, numbers: str) -> None:
    lab.train()
    lab.train()
    assert not lab.train_page(compare=numbers).dataframe


def test_a_run_that_is_shown_needs_one_tick(lab: Lab) -> None:
    first, second = lab.train(50), lab.train(95)
    page = lab.train_page(run=second)
    assert "Tick a run to compare it with this one." in texts(page)
    page = tick(page, first)
    assert table(page)["Run"] == ["Run 1", "Run 2"]
    assert "hardly chance" in texts(page)


def test_several_runs_are_compared_with_a_word_about_chance(lab: Lab) -> None:
    for correct in (50, 60, 70):
        lab.train(correct)
    assert "These are 2 comparisons, so chance had 2 chances" in texts(lab.train_page(compare="1-2-3"))
    assert "These are" not in texts(lab.train_page(compare="1-2"))


def test_opened_exams_stand_in_the_table_and_two_of_them_decide(lab: Lab) -> None:
    first, second = lab.train(80), lab.train(90)
    open_exam(lab.engine, lab.project_id, first, lab.version)
    page = lab.train_page(compare="1-2")
    assert table(page)["Exam"] == ["60.0 %", "–"]
    assert "Of 100 validation pictures Run 2 got 10 more right" in texts(page)
    open_exam(lab.engine, lab.project_id, second, lab.version)
    page = lab.train_page(compare="1-2")
    assert table(page)["Exam"] == ["60.0 %", "70.0 %"]
    assert table(page)["Validation accuracy"] == ["80.0 %", "90.0 %"]
    assert "Of 100 test pictures Run 2 got 10 more right" in texts(page)


def test_runs_whose_answers_are_damaged_are_listed_without_a_verdict(lab: Lab) -> None:
    first, _ = lab.train(80), lab.train(90)
    (lab.home.run_dir(first) / VALIDATION_FILE_NAME).write_bytes(b"PK broken")
    page = lab.train_page(compare="1-2")
    assert table(page)["Validation accuracy"] == ["80.0 %", "90.0 %"]
    assert "damaged" in texts(page)


def test_runs_that_answered_other_pictures_are_not_ranked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.train(50)
    monkeypatch.setattr(ComparedLab, "first_picture", 100)
    dataset = coloured_dataset(lab.home)
    kept = [item for item in dataset.items if item.split == "test"][1:]
    fewer = Dataset(dataset.classes, tuple(item for item in dataset.items if item.split != "test" or item in kept))
    version = commit_version(lab.engine, lab.project_id, fewer, "fewer", parent=lab.version, home=lab.home)
    lab.train(95, version=version)
    shown = texts(lab.train_page(compare="1-2"))
    assert "data set version 1 to 2" in shown
    assert "answered different validation pictures" in shown


def test_curves_differ_by_more_than_colour_and_keep_their_looks() -> None:
    points = tuple(MetricPoint(float(e), name, 0.5) for e in (1, 2) for name in ("val_loss", "loss", "val_accuracy"))
    one, three = overlaid_figure({1: points, 3: points}, "loss")["data"]
    assert (one["name"], three["name"]) == ("Run 1", "Run 3")
    assert len(one["x"]) == 2
    assert one["line"]["color"] != three["line"]["color"]
    assert one["line"]["dash"] != three["line"]["dash"]
    assert one["marker"]["symbol"] != three["marker"]["symbol"]
    assert overlaid_figure({3: points}, "loss")["data"] == [three]
    looks = {
        (line["line"]["color"], line["line"]["dash"], line["marker"]["symbol"])
        for line in overlaid_figure(dict.fromkeys(range(1, 101), points), "accuracy")["data"]
    }
    assert len(looks) == 100


def test_runs_without_validation_pictures_are_said_to_have_no_curve(lab: Lab) -> None:
    for _ in range(2):
        create_run(lab.engine, lab.project_id, lab.version, lab.config)
        job = claim_job(lab.engine, "run")
        assert job is not None
        with writing(lab.engine) as connection:
            write_metrics(connection, job.id, job.attempt, 1, {"loss": 1.0, "accuracy": 0.5})
        end_job(lab.engine, job.id, job.attempt, "failed", "no")
    page = lab.train_page(compare="1-2")
    assert "no curve of run 1 and run 2" in texts(page)
    assert table(page)["Time"] == ["failed", "failed"]


def test_a_note_is_written_before_and_shown_beside_what_happened(lab: Lab) -> None:
    page = lab.train_page()
    page.text_input(key=f"note-{lab.project_id}").set_value("I expect <b>90 %</b>").run()
    page.button(key="start").click().run()
    check(page)
    (run,) = lab.runs
    assert run.note == "I expect <b>90 %</b>"
    assert "You expected" in texts(page)
    assert "What happened" not in texts(page)
    assert [field.key for field in page.text_input] == ["project-name"]
    lab.finish(93)
    check(page.run())
    shown = texts(page).replace("\\", "")
    assert "**You expected:** I expect <b>90 %</b>" in shown
    assert "<b>" not in texts(page)
    assert "**What happened:** validation accuracy: **93.0 %** (" in shown
    check(page.button(key="use_settings").click().run())
    assert "Expected: I expect" in texts(page)
    assert page.text_input(key=f"note-{lab.project_id}").value == ""


def test_a_run_without_a_note_shows_none(lab: Lab) -> None:
    assert "You expected" not in texts(lab.train_page(run=lab.train()))


def test_run_again_uses_the_same_pictures_and_settings(lab: Lab) -> None:
    run_id = lab.train()
    lab.change(lambda config: replace(config, training=replace(config.training, epochs=3)))
    newer = replace(coloured_dataset(lab.home), items=coloured_dataset(lab.home).items[1:])
    commit_version(lab.engine, lab.project_id, newer, "newer", parent=lab.version, home=lab.home)
    page = lab.train_page(run=run_id)
    check(page.button(key="run_again").click().run())
    again, first = lab.runs
    assert again.job.state == "queued"
    assert (again.config, again.version) == (first.config, first.version)
    assert address(page, "run") == again.id
    check(lab.train_page(run=run_id).button(key="run_again").click().run())
    assert len(lab.runs) == 2


def test_the_settings_of_a_run_fill_the_pages(lab: Lab) -> None:
    lab.change(lambda _: RECIPES[2].config)
    run_id = lab.train()
    lab.change(lambda _: RunConfig())
    page = lab.train_page(run=run_id)
    check(page.button(key="use_settings").click().run())
    assert lab.config == RECIPES[2].config
    assert page.query_params["run"] in (NEXT_RUN, [NEXT_RUN])
    assert page.button(key="start").label == "Start training"


def test_every_recipe_and_ours_beside_it_fill_the_project_with_one_tap(lab: ComparedLab) -> None:
    page = lab.train_page()
    for recipe in (*RECIPES[1:], OURS):
        for key, config in ((f"recipe-{recipe.name}", recipe.config), (f"improved-{recipe.name}", recipe.improved)):
            if config is None:
                continue
            assert not page.button(key=key).disabled
            check(page.button(key=key).click().run())
            assert lab.config == config
            assert page.button(key=key).disabled
        shown = texts(page).replace("\\", "")
        assert recipe.note in shown
        assert recipe.improvement in shown
    open_app("model", project=lab.project_id)


def test_a_recipe_says_its_download_and_cannot_be_compared_before(lab: Lab) -> None:
    page = lab.train_page()
    assert "VGG16 needs a download of 59 MB." in texts(page)
    assert page.button(key="fetch-vgg16_dense_256").label == "Download 59 MB"
    keys = [button.key for button in page.button if str(button.key).startswith("against-ours-")]
    assert keys == ["against-ours-small_cnn_mnist"]  # which needs none


def test_the_text_and_ours_run_one_after_the_other_and_are_compared(lab: ComparedLab, tmp_path: Path) -> None:
    pretend_download(tmp_path)
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == "mobilenet_v2_two_phases")
    page = lab.train_page()
    page.text_input(key=f"note-{lab.project_id}").set_value("I expect that ours is better").run()
    check(page.button(key="against-ours-mobilenet_v2_two_phases").click().run())
    ours, text = lab.runs
    assert (text.note, ours.note) == ("I expect that ours is better", "")
    assert (text.config, ours.config) == (recipe.config, recipe.improved)
    assert {run.job.state for run in lab.runs} == {"queued"}
    assert (address(page, "run"), address(page, "compare")) == (text.id, "1-2")
    assert address(lab.train_page(), "run") == text.id
    lab.finish(80)
    page = lab.train_page(run=text.id, compare="1-2")
    assert table(page)["What"] == [recipe.title, f"{recipe.title}, as we would do it"]
    assert table(page)["Expected"] == ["I expect that ours is better", ""]
    assert table(page)["Time"] == ["12 s", "waiting"]
    assert "pixel scaling divided by 255 (a common mistake) to as the backbone expects" in texts(page).replace("\\", "")
    page = lab.train_page()
    assert address(page, "run") == ours.id
    lab.finish(90)
    assert table(lab.train_page(compare="1-2"))["Validation accuracy"] == ["80.0 %", "90.0 %"]


def test_the_share_of_a_text_is_dealt_with_one_tap_and_can_be_undone(lab: ComparedLab) -> None:
    lab = ComparedLab.make(lab.home, coloured_dataset(lab.home, per_class=35))
    before = lab.dataset
    page = lab.train_page()
    assert "keeps 20 % of the training pictures for validation; here they are 17 %." in texts(page)
    page = check(page.button(key="share-mobilenet_v2_two_phases").click().run())
    assert "of the training pictures for validation; here" not in texts(page)
    assert lab.dataset.subset("test") == before.subset("test")
    assert (len(lab.dataset.subset("train")), len(lab.dataset.subset("validation"))) == (72, 18)
    page = lab.open("data")
    (undo,) = (button for button in page.button if button.label.startswith("Undo"))
    assert undo.label.replace("\\", "") == "Undo: validation pictures: 20 % of those not for testing"
    check(undo.click().run())
    assert lab.dataset == before


def test_the_pictures_of_a_text_are_chosen_in_a_new_project_with_its_settings(lab: ComparedLab) -> None:
    page = lab.train_page()
    assert "data-vgg16_dense_256" not in [button.key for button in page.button]
    page = check(page.button(key="data-mobilenet_v2_two_phases").click().run())
    projects, _ = read_projects(lab.engine, OWNER)
    (made,) = (project for project in projects if project.id != lab.project_id)
    (recipe,) = (recipe for recipe in RECIPES if recipe.name == "mobilenet_v2_two_phases")
    assert (made.name, made.config, made.version) == ("CIFAR-10", recipe.config, None)
    assert lab.config == RunConfig()
    assert [title.value for title in page.title] == ["Data"]
    assert address(page, "project") == made.id
    cards = [str(button.key) for button in page.button if str(button.key).startswith("sample-")]
    assert cards[0] == "sample-cifar10"
    assert len(cards) == len(READY_SETS)


def test_a_project_with_the_pictures_of_a_text_is_not_offered_them(lab: ComparedLab) -> None:
    named = replace(
        coloured_dataset(lab.home),
        classes=tuple(
            ClassLabel(name, name, number) for number, name in enumerate(get_ready_set("cifar10").class_names)
        ),
        items=(),
    )
    commit_version(lab.engine, lab.project_id, with_pictures(named, lab), "cifar", parent=lab.version, home=lab.home)
    keys = [button.key for button in lab.train_page().button]
    assert "data-mobilenet_v2_two_phases" not in keys
    assert "data-small_cnn_mnist" in keys


def with_pictures(dataset: Dataset, lab: ComparedLab) -> Dataset:
    """Give each class some pictures of the project."""
    pictures = lab.dataset.items
    items = [replace(item, class_id=label.id) for label in dataset.classes for item in pictures[:3]]
    return replace(dataset, items=tuple(items))


def pretend_download(tmp_path: Path) -> None:
    """Put a file of the right size where Keras keeps the weights of MobileNetV2; pages look at the size only."""
    from tlcore.backbones.registry import get_backbone
    from tlcore.backbones.weights.status import published_weights

    spec = get_backbone("mobilenet_v2")
    path = published_weights(spec).path
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(spec.download_bytes)
