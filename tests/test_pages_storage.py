"""The page Storage: it says what takes room, and what is ticked goes after one more question, and nothing else."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from streamlit import config
from streamlit.testing.v1 import AppTest

from tests.coloured_pictures import coloured_dataset
from tests.finished_runs import Finished, all_text, open_step
from tests.page_tests import OWNER, check, modules_after, open_app, texts
from tests.queued_run import create_run
from tests.test_deletion import files_of
from tests.test_full_disk import full
from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.errors import ConflictError, StorageError
from tlcore.home import DataRoot
from tlcore.network import HOSTS_VARIABLE
from tlcore.results.prediction import SUFFIX_FILE
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.storage.database import open_database, projects, writing
from tlcore.storage.datasets import can_undo, commit_version, current_dataset, get_version, take_instead, undo_version
from tlcore.storage.deletion import CHECKPOINT_FILES, MODEL_FILES, remove_run_files
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.jobs import claim_job, create_job, end_job
from tlcore.storage.pieces import give_up_all, pieces_of
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.quotas import PERSON_GB, PERSON_PICTURES
from tlcore.storage.reserve import keep_reserve
from tlcore.storage.runs import get_run
from tlcore.storage.simple_heads import list_simple_heads
from tlcore.storage.usage import usage_of
from tlcore.training.checkpoint import CHECKPOINT_FILE


def tick(app: AppTest, *keys: str) -> AppTest:
    """Tick boxes whose keys begin so, and confirm that what they stand for shall go."""
    for key in keys:
        next(box for box in app.checkbox if str(box.key).startswith(key)).check()
    check(app.run())
    check(app.button(key="primary").click().run())
    return check(app.button(key="free-yes").click().run())


def boxes(app: AppTest) -> list[str]:
    return [str(box.label) for box in app.checkbox]


def test_names_of_files_are_those_that_are_written() -> None:
    assert MODEL_FILES == (MODEL_FILE, SUFFIX_FILE, CHECKPOINT_FILE)
    assert CHECKPOINT_FILES == (CHECKPOINT_FILE,)


def test_somebody_without_projects_finds_the_way_home(home: DataRoot) -> None:
    app = open_app("storage")
    assert "nothing that takes room" in texts(app)
    assert "Storage" in [link.label for link in open_app().get("page_link")]


def test_what_takes_room_is_said_and_drawn(make_finished: Callable[..., Finished], home: DataRoot) -> None:
    finished = make_finished()
    finished.add_run()
    app = open_app("storage")
    assert "Colours" in app.get("plotly_chart")[0].proto.alt
    assert ", runs 3.0 MB" in app.get("plotly_chart")[0].proto.alt
    assert [metric.label for metric in app.metric] == ["Your projects take", "Free on the disk"]
    assert app.button(key="primary").disabled
    assert any("Model of run 1: 3.0 MB" in text for text in boxes(app))


def test_quotas_are_bars(make_finished: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch) -> None:
    make_finished()
    monkeypatch.setenv(PERSON_GB.setting, "5")
    monkeypatch.setenv(PERSON_PICTURES.setting, "50000")
    bars = [bar.proto.text for bar in open_app("storage").get("progress")]
    assert bars[0].endswith("kB of 5.0 GB")
    assert bars[1] == "80 of 50,000 different pictures"


def test_a_model_goes_and_its_results_stay(make_finished: Callable[..., Finished], predictor: None) -> None:
    finished = make_finished()
    gone, stays = finished.add_run([1]), finished.add_run([2])
    answers = {path.name for path in finished.home.run_dir(gone).glob("*.npz")}
    tick(open_app("storage"), f"piece-model-{finished.project_id}-{gone}")
    left = {path.name for path in finished.home.run_dir(gone).iterdir()}
    assert not left & set(MODEL_FILES)
    assert answers <= left
    assert (finished.home.run_dir(stays) / "model.keras").exists()
    assert get_run(finished.engine, gone).summary is not None
    for step in ("train", "understand", "predict", "export"):
        app = open_step(step, finished.project_id, gone)
        assert "You freed this model on Storage" in all_text(app)
        assert not app.error
    assert "97" in all_text(open_step("understand", finished.project_id, gone))
    assert not any(f"-{gone}" in str(box.key) for box in open_app("storage").checkbox)


def test_a_freed_model_is_offered_nowhere_and_the_others_are(
    make_finished: Callable[..., Finished], predictor: None
) -> None:
    finished = make_finished()
    project_id, (first, second, third) = finished.project_id, (finished.add_run([number]) for number in (1, 2, 3))
    config = EnsembleConfig((first, second), (0.5, 0.5), "equal")
    group = create_ensemble(
        finished.engine,
        project_id,
        "Both",
        1,
        config,
        test_correct=1,
        test_total=2,
        validation_correct=1,
        validation_total=2,
    )
    offered = {step: ["Run 3", "Run 2", "Run 1", "Group"] for step in ("predict", "export")}
    for step, models in offered.items():
        assert model_choice(step, project_id) == models
    free_model(finished, third)
    free_model(finished, second)
    # One is left, so nothing is to be chosen; a group without one of its models cannot answer either.
    for step in offered:
        app = open_step(step, project_id)
        assert not [box for box in app.selectbox if str(box.label).startswith("Which")]
        assert not app.error
        assert "You freed" not in all_text(app)
    assert model_choice("understand", project_id) == offered["predict"]
    assert "You freed a model of this group on Storage" in all_text(open_step("predict", project_id, group))
    assert not open_step("understand", project_id, first).multiselect  # no second run for a group
    free_model(finished, first)
    for step in offered:
        app = open_step(step, project_id)
        assert "You freed this model on Storage" in all_text(app)
        assert not app.error
        assert "Train again" in [button.label for button in app.button]


def free_model(finished: Finished, run_id: str) -> None:
    remove_run_files(finished.engine, finished.project_id, run_id, finished.home)


def model_choice(step: str, project_id: str) -> list[str]:
    """Return the models that a page offers, by the beginnings of their titles."""
    boxes = [box for box in open_step(step, project_id).selectbox if str(box.label).startswith("Which")]
    return [re.split(":| \u201c", title)[0] for box in boxes for title in box.options]


def test_simple_heads_answers_and_checkpoints_go(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    engine, home, project_id = finished.engine, finished.home, finished.project_id
    finished.add_head()
    failed = create_run(engine, project_id, 1, RunConfig())
    job = claim_job(engine, "run")
    assert job is not None
    prediction = create_job(engine, "prediction", project_id)
    answering = claim_job(engine, "prediction")
    assert answering is not None
    export = create_job(engine, "export", project_id)
    exporting = claim_job(engine, "export")
    assert exporting is not None
    for path in (
        home.run_dir(failed) / CHECKPOINT_FILE,
        home.predictions_dir / prediction / "answers.sqlite",
        home.exports_dir / export / "model.tflite",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
    # What works is not offered.
    assert [
        text for text in boxes(open_app("storage")) if "run 1" in text or "Answers" in text or "Files" in text
    ] == []
    end_job(engine, failed, job.attempt, "failed")
    end_job(engine, prediction, answering.attempt, "stopped")
    end_job(engine, export, exporting.attempt, "finished")
    tick(open_app("storage"), "piece-checkpoint", "piece-simple_heads", "piece-prediction", "piece-export")
    assert list_simple_heads(engine, project_id) == []
    assert {name.split("/")[0] for name in files_of(home)} == {"images", "thumbnails", "datasets"}
    assert get_run(engine, failed).job.state == "failed"


def test_history_goes_but_what_is_needed_stays(home: DataRoot, no_runner: None) -> None:
    engine = open_database(home)
    project_id = create_project(engine, OWNER, "Mine").id
    versions = [coloured_dataset(home, number) for number in (2, 5, 3, 4)]
    for number, dataset in enumerate(versions):
        commit_version(engine, project_id, dataset, f"edit {number}", parent=number or None, home=home)
    run_id = create_run(engine, project_id, 1, RunConfig())
    tick(open_app("storage"), "piece-history")
    assert current_dataset(engine, project_id, home) == (4, versions[3])
    assert get_version(engine, project_id, get_run(engine, run_id).version)
    keys = {item.image for dataset in (versions[0], versions[3]) for item in dataset.items}
    assert {path.split("/")[-1] for path in files_of(home) if path.startswith("images")} == keys
    # An undo into a version that is gone is not offered, and refused to a page from before.
    assert not can_undo(engine, project_id, 4)
    assert not [button for button in open_app("data", project=project_id).button if "Undo" in button.label]
    with pytest.raises(ConflictError, match="removed to make room"):
        undo_version(engine, project_id, current=4)
    assert commit_version(engine, project_id, Dataset(), "empty", parent=4, home=home) == 5


def test_a_project_whose_current_version_is_gone_goes_on_with_the_newest_one(home: DataRoot, no_runner: None) -> None:
    engine = open_database(home)
    project_id = create_project(engine, OWNER, "Mine").id
    versions = [coloured_dataset(home, number) for number in (2, 3)]
    for number, dataset in enumerate(versions):
        commit_version(engine, project_id, dataset, f"edit {number}", parent=number or None, home=home)
    with writing(engine) as connection:
        connection.execute(sa.update(projects).values(version=9))
    assert "Go to Data" in [button.label for button in open_app("train", project=project_id).button]
    page = open_app("data", project=project_id)
    assert not page.exception
    page.button(key="newest").click().run()
    assert not page.exception
    assert not page.error
    assert current_dataset(engine, project_id, home) == (2, versions[1])
    with pytest.raises(ConflictError, match="another tab"):
        take_instead(engine, project_id, 1, lost=9)


def test_a_whole_project_goes_on_a_full_disk(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    finished.add_run()
    keep_reserve(finished.home)
    with full(finished.home):
        tick(open_app("storage"), "piece-model", "piece-project")
    assert read_projects(finished.engine, OWNER)[0] == []
    assert {name for name in files_of(finished.home) if name != "reserve"} == set()


def test_what_cannot_be_removed_is_said_and_keeps_no_other_part_there(
    make_finished: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = make_finished()
    first, second = finished.add_run([1]), finished.add_run([2])
    home = finished.home
    (home.features_dir / "some").mkdir(parents=True)
    (home.maps_dir / "some").mkdir(parents=True)
    held = (home.run_dir(first) / MODEL_FILES[0], home.features_dir)
    for name in ("unlink", "rename"):
        monkeypatch.setattr(Path, name, refusing(held, getattr(Path, name)))
    pieces = [
        piece
        for project in usage_of(finished.engine, OWNER, home).projects
        for piece in pieces_of(finished.engine, project, home)
        if piece.kind == "model"
    ]
    with pytest.raises(StorageError, match=r"^2 of 4 could not be removed; the others are gone\. .*cannot be written"):
        give_up_all(finished.engine, pieces, ("features", "maps"), home)
    assert held[0].exists()
    assert held[1].exists()
    assert not home.maps_dir.exists()
    for run_id in (first, second):
        left = {path.name for path in home.run_dir(run_id).iterdir()}
        assert left & set(MODEL_FILES) == ({MODEL_FILES[0]} if run_id == first else set())
    app = tick(open_app("storage"), f"piece-model-{finished.project_id}-{first}")
    assert "cannot be written" in app.error[0].value
    assert not app.exception


def refusing(held: Collection[Path], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return what changes a file as Windows does: not one that another program has open."""

    def change(path: Path, *arguments: Any, **options: Any) -> Any:
        if path in held:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    return change


def test_projects_of_others_are_not_there(make_finished: Callable[..., Finished]) -> None:
    make_finished(owner="somebody else")
    assert "no projects" in texts(open_app("storage"))


def test_caches_go_only_where_nobody_else_is_and_nothing_works(
    make_finished: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = make_finished()
    path = finished.home.features_dir / "a" / "b.features"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(2_000_000))
    create_run(finished.engine, finished.project_id, 1, RunConfig())
    app = open_app("storage")
    assert "works or waits" in texts(tick(app, "cache-features"))
    assert path.exists()
    job = claim_job(finished.engine, "run")
    assert job is not None
    end_job(finished.engine, job.id, job.attempt, "failed")
    tick(open_app("storage"), "cache-features")
    assert not path.exists()
    with monkeypatch.context() as proxy:
        proxy.setenv(HOSTS_VARIABLE, "lab.school.example")
        assert not [box for box in open_app("storage").checkbox if str(box.key).startswith("cache")]
    was = config.get_option("server.address")
    config.set_option("server.address", "0.0.0.0")
    try:
        assert not [box for box in open_app("storage").checkbox if str(box.key).startswith("cache")]
    finally:
        config.set_option("server.address", was)


def test_its_first_paint_needs_nothing_heavy(home: DataRoot) -> None:
    heavy = {"tensorflow", "keras", "sklearn", "cv2", "ai_edge_litert"}
    assert not modules_after("storage", home) & heavy
