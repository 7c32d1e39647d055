"""Copies of projects: whole, of their own, at no cost for pictures, and never half there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from pages.components.frame import STEPS
from tests.damaged_root import DamagedRoot
from tests.finished_runs import Finished
from tests.page_tests import OWNER, ROOT_DIR, check, open_app
from tests.test_leftovers import DAY_OLD, run_days
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import delete_images
from tlcore.doctor.findings import DoctorReport, Finding, Suspect
from tlcore.documents import read_document
from tlcore.errors import ConflictError, NotFoundError, QuotaError, UnreadableError
from tlcore.home import DataRoot
from tlcore.results.evaluation import FILE_NAME, VALIDATION_FILE_NAME, load_evaluation
from tlcore.storage import copies
from tlcore.storage.card_words import CardWords, change_card_words, read_card_words
from tlcore.storage.copies import copy_project
from tlcore.storage.database import jobs, metadata, metrics, projects, read_rows, read_value, run_notes, writing
from tlcore.storage.datasets import can_undo, commit_version, current_dataset, load_dataset, undo_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble, list_ensembles
from tlcore.storage.exams import list_exams, open_exam
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, create_job, end_job, last_job, write_result
from tlcore.storage.leftovers import remove_leftovers
from tlcore.storage.model_settings import ModelSettings, change_model_settings, read_model_settings
from tlcore.storage.predictions import read_predictions
from tlcore.storage.projects import create_project, get_project, read_projects, update_config
from tlcore.storage.requests import CrossValidationRequest, DoctorRequest
from tlcore.storage.runs import RunPlan, create_runs, list_runs, read_metrics
from tlcore.storage.simple_heads import list_simple_heads, simple_head_dir

ANN, BEN = "a" * 24, "b" * 24


def files_of(home: DataRoot) -> dict[str, int]:
    """All files of the data root but the database's own and the reserve, with their inodes."""
    found = {str(path.relative_to(home.path)): path.stat().st_ino for path in home.path.rglob("*") if path.is_file()}
    return {path: inode for path, inode in found.items() if not path.startswith(("lab.sqlite", "reserve"))}


def rows(engine: sa.Engine) -> dict[str, int]:
    """How many rows each table has."""
    return {name: len(read_rows(engine, sa.select(table))) for name, table in metadata.tables.items()}


@pytest.fixture
def whole(make_finished: Callable[..., Finished]) -> tuple[Finished, list[str], str, str]:
    """Ann's project: two runs, simple heads and a group, each with all that can be said of it, and one run in line."""
    finished: Finished = make_finished(owner=ANN, each=6)
    engine, project_id = finished.engine, finished.project_id
    runs = [finished.add_run(wrong=[1]), finished.add_run()]
    head = finished.add_head()
    group = create_ensemble(
        engine, project_id, "Both", 1, EnsembleConfig((runs[0], runs[1]), (0.5, 0.5)), test_correct=39, test_total=40
    )
    for model in (runs[0], head, group):
        open_exam(engine, project_id, model, 1)
        change_model_settings(engine, project_id, model, lambda _: ModelSettings(1.5, 0.2))
        change_card_words(engine, project_id, model, lambda _: CardWords("To sort colours", "", "Ann"))
    cross = CrossValidationRequest(runs[0], 5)
    job_id = create_job(engine, "cross_validation", project_id, cross, key=cross.key)
    job = claim_job(engine, "cross_validation")
    with writing(engine) as connection:
        write_result(connection, job_id, job.attempt, cross)
        connection.execute(sa.insert(run_notes).values(job_id=runs[0], note="I expect 90 %"))
        values = {"job_id": runs[0], "epoch": 1.0, "name": "loss", "value": 0.5}
        connection.execute(sa.insert(metrics).values(**values))
    end_job(engine, job_id, job.attempt, "finished")
    create_runs(engine, project_id, [RunPlan(1, RunConfig())])
    return finished, runs, head, group


def test_everything_that_ended_comes_along_under_new_ids(
    whole: tuple[Finished, list[str], str, str], home: DataRoot
) -> None:
    finished, run_ids, head, group = whole
    engine, source = finished.engine, finished.project_id
    copy = copy_project(engine, source, BEN, home, with_runs=True)
    assert (copy.owner, copy.name, copy.version) == (BEN, "Colours", 1)
    copied = list_runs(engine, copy.id)
    originals = {run.number: run for run in list_runs(engine, source) if not run.job.is_active}
    assert [run.number for run in copied] == [2, 1]
    assert all(run.summary == originals[run.number].summary for run in copied)
    first = copied[1]
    assert (first.note, [point.value for point in read_metrics(engine, first.id)]) == ("I expect 90 %", [0.5])
    [copied_group] = list_ensembles(engine, copy.id)
    assert copied_group.config == EnsembleConfig((copied[1].id, copied[0].id), (0.5, 0.5))
    [copied_head] = list_simple_heads(engine, copy.id)
    ids = {first.id, copied_head.id, copied_group.id}
    assert {exam.model_id for exam in list_exams(engine, copy.id)} == ids
    assert all(read_model_settings(engine, copy.id, model) == ModelSettings(1.5, 0.2) for model in ids)
    assert all(read_card_words(engine, copy.id, model) == CardWords("To sort colours", "", "Ann") for model in ids)
    request = CrossValidationRequest(first.id, 5)
    cross = last_job(engine, copy.id, "cross_validation", request.key)
    assert cross is not None
    stored = read_value(engine, sa.select(jobs.c.request).where(jobs.c.id == cross.id))
    assert read_document(stored, CrossValidationRequest) == request
    old = {*run_ids, head, head.partition(".")[0], group, source}
    for name, table in metadata.tables.items():
        if "project_id" in table.columns or name == "jobs":
            for row in read_rows(engine, sa.select(table).where(table.c.project_id == copy.id)):
                assert not any(one in str(value) for one in old for value in row), name
    assert load_evaluation(home.run_dir(first.id)).total == first.summary.test_total
    assert (simple_head_dir(copied_head.job_id, "linear_svm", home) / "evaluation.npz").is_file()


@pytest.mark.parametrize("with_runs", [True, False])
def test_an_undo_does_not_empty_a_copy(
    whole: tuple[Finished, list[str], str, str], home: DataRoot, with_runs: bool
) -> None:
    finished = whole[0]
    copy = copy_project(finished.engine, finished.project_id, BEN, home, with_runs=with_runs)
    assert copy.version is not None
    assert not can_undo(finished.engine, copy.id, copy.version)
    with pytest.raises(ConflictError, match="cannot be taken back"):
        undo_version(finished.engine, copy.id, current=copy.version)
    assert current_dataset(finished.engine, copy.id, home) == (copy.version, finished.dataset)


def test_a_copy_takes_no_room_for_pictures_or_models(
    whole: tuple[Finished, list[str], str, str], home: DataRoot
) -> None:
    finished = whole[0]
    before = set(files_of(home).values())
    copy_project(finished.engine, finished.project_id, BEN, home, with_runs=True)
    assert set(files_of(home).values()) == before


def test_a_copy_lives_on_without_its_source(whole: tuple[Finished, list[str], str, str], home: DataRoot) -> None:
    finished, _, _, _ = whole
    engine = finished.engine
    copy = copy_project(engine, finished.project_id, BEN, home, with_runs=True)
    delete_project(engine, finished.project_id, home)
    _, dataset = current_dataset(engine, copy.id, home)
    assert dataset == finished.dataset
    assert all(ImageStore(home).read(item.image) for item in dataset.items)
    assert all((home.run_dir(run.id) / "model.keras").is_file() for run in list_runs(engine, copy.id))
    delete_project(engine, copy.id, home)
    assert files_of(home) == {}


def test_only_pictures_of_the_present_data_set(whole: tuple[Finished, list[str], str, str], home: DataRoot) -> None:
    finished = whole[0]
    engine, source = finished.engine, finished.project_id
    fewer = sa.select(sa.func.count()).select_from(metadata.tables["dataset_versions"])
    items = finished.dataset.items[:10]
    commit_version(engine, source, type(finished.dataset)(finished.dataset.classes, items), "cut", parent=1, home=home)
    update_config(engine, source, lambda config: config)
    copy = copy_project(engine, source, BEN, home, with_runs=False)
    assert current_dataset(engine, copy.id, home)[1].items == items
    assert list_runs(engine, copy.id) == []
    assert copy.config == get_project(engine, source, ANN).config
    versions = metadata.tables["dataset_versions"]
    assert read_value(engine, fewer.where(versions.c.project_id == copy.id)) == 1
    again = copy_project(engine, source, BEN, home, with_runs=False)
    assert (copy.name, again.name) == ("Colours", "Colours (2)")


def test_where_files_have_one_name_they_are_copied(
    whole: tuple[Finished, list[str], str, str], home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    finished, run_ids, _, _ = whole
    copy = copy_project(finished.engine, finished.project_id, BEN, home, with_runs=True)
    first = list_runs(finished.engine, copy.id)[1]
    one, other = home.run_dir(run_ids[0]) / "model.keras", home.run_dir(first.id) / "model.keras"
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_ino != other.stat().st_ino


def test_a_source_that_is_deleted_meanwhile_leaves_nothing(
    whole: tuple[Finished, list[str], str, str], home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = whole[0]
    copy_files = copies._copy_files

    def delete_first(*args: object) -> None:
        copy_files(*args)  # type: ignore[arg-type]
        delete_project(finished.engine, finished.project_id, home)

    monkeypatch.setattr(copies, "_copy_files", delete_first)
    with pytest.raises(NotFoundError):
        copy_project(finished.engine, finished.project_id, BEN, home, with_runs=True)
    assert read_projects(finished.engine, BEN) == ([], [])
    assert files_of(home) == {}


KILLED = """
import os, sys
from tlcore.home import DataRoot
from tlcore.storage import copies
from tlcore.storage.database import open_database

home = DataRoot.configured()
def die(*args, **options):
    os.kill(os.getpid(), 9)
if sys.argv[2] == "before":
    copies._copy_rows = die
else:
    copies._copy_versions = die
copies.copy_project(open_database(home), sys.argv[1], "b" * 24, home, with_runs=True)
"""


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_copy_that_is_killed_is_not_there(
    whole: tuple[Finished, list[str], str, str], home: DataRoot, moment: str
) -> None:
    finished = whole[0]
    before, counted = files_of(home), rows(finished.engine)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, finished.project_id, moment],
        cwd=ROOT_DIR,
        env={**os.environ, "PYTHONPATH": str(ROOT_DIR)},
        check=False,
    )
    assert done.returncode == -9
    assert rows(finished.engine) == counted
    remove_leftovers(finished.engine, home)
    left = set(files_of(home)) - set(before)
    assert left  # too young to count as left behind
    run_days(finished.engine)
    long_ago = time.time() - DAY_OLD
    for path in left:
        folder: Path = (home.path / path).parent
        while folder.parent != home.path:
            os.utime(folder, (long_ago, long_ago))
            folder = folder.parent
    remove_leftovers(finished.engine, home)
    assert files_of(home) == before


@pytest.mark.parametrize(
    ("quota", "with_runs", "fits"),
    [
        ("PICTURES=23", False, False),
        ("PICTURES=24", False, True),
        ("GB=0.003", True, False),
        ("GB=0.003", False, True),
        ("PROJECTS=1", True, False),
    ],
)
def test_a_copy_counts_as_what_the_person_has(
    whole: tuple[Finished, list[str], str, str],
    home: DataRoot,
    monkeypatch: pytest.MonkeyPatch,
    quota: str,
    with_runs: bool,
    fits: bool,
) -> None:
    finished = whole[0]
    create_project(finished.engine, BEN, "Own")
    before = files_of(home)
    name, _, value = quota.partition("=")
    monkeypatch.setenv(f"TRANSFER_LAB_PERSON_{name}", value)
    if fits:
        copy_project(finished.engine, finished.project_id, BEN, home, with_runs=with_runs)
        return
    with pytest.raises(QuotaError):
        copy_project(finished.engine, finished.project_id, BEN, home, with_runs=with_runs)
    assert files_of(home) == before
    assert len(read_projects(finished.engine, BEN)[0]) == 1


@pytest.fixture
def old_root(home: DataRoot, no_runner: None) -> Iterator[DamagedRoot]:
    """A project of an earlier version with something of everything; Ann's."""
    root = DamagedRoot.make(home)
    with writing(root.engine) as connection:
        connection.execute(sa.update(projects).where(projects.c.id == root.project_id).values(owner=ANN))
    yield root
    root.shut_down()


def test_every_page_of_a_copy_opens_as_those_of_its_source(old_root: DamagedRoot, home: DataRoot) -> None:
    copy = copy_project(old_root.engine, old_root.project_id, OWNER, home, with_runs=True)
    run_ids = {run.number: run.id for run in list_runs(old_root.engine, copy.id) if run.has_model}
    source = {run.number: run.id for run in list_runs(old_root.engine, old_root.project_id) if run.has_model}
    assert list(run_ids) == list(source)
    for spec in STEPS:
        app = open_app(spec.step, project=copy.id, run=run_ids[max(run_ids)])
        assert [error.value for error in app.error] == []
        assert [warning.value for warning in app.warning if "cannot be" in warning.value] == []
    assert len(read_predictions(old_root.engine, old_root.project_id)[0]) == 1
    assert read_predictions(old_root.engine, copy.id) == ([], [])  # pictures of no data set concern nobody else


def test_pictures_that_were_deleted_are_in_no_part_of_a_copy(
    whole: tuple[Finished, list[str], str, str], home: DataRoot
) -> None:
    finished, run_ids, head, _ = whole
    engine, source = finished.engine, finished.project_id
    gone = [finished.dataset.subset("validation")[1], finished.dataset.subset("test")[0]]
    job_id = create_job(engine, "doctor", source, DoctorRequest(1, ModelConfig()))
    job = claim_job(engine, "doctor")
    with writing(engine) as connection:
        suspect = Suspect(gone[0].image, gone[0].class_id)
        report = DoctorReport((Finding("blank", (suspect,)),), 10, 10, 10, {gone[1].image: "scene"})
        write_result(connection, job_id, job.attempt, report)
    end_job(engine, job_id, job.attempt, "finished")
    fewer = finished.dataset
    for item in gone:
        fewer = delete_images(fewer, item.class_id, [item.image])
    commit_version(engine, source, fewer, "deleted two", parent=1, home=home)
    copy = copy_project(engine, source, OWNER, home, with_runs=True)
    versions = metadata.tables["dataset_versions"]
    contents = read_rows(
        engine, sa.select(versions.c.number, versions.c.content).where(versions.c.project_id == copy.id)
    )
    lists = {row.number: load_dataset(row.content, home) for row in contents}
    assert set(lists) == {1, 2}
    assert lists[1].items == lists[2].items == fewer.items
    copied = list_runs(engine, copy.id)
    [copied_head] = list_simple_heads(engine, copy.id)
    folders = {
        home.run_dir(run_ids[0]): home.run_dir(copied[1].id),
        simple_head_dir(head.partition(".")[0], "linear_svm", home): simple_head_dir(
            copied_head.job_id, "linear_svm", home
        ),
    }
    keys = {item.image for item in gone}
    for old, new in folders.items():
        for name in (FILE_NAME, VALIDATION_FILE_NAME):
            before, after = load_evaluation(old, name), load_evaluation(new, name)
            assert after.probabilities.tolist() == before.probabilities.tolist()
            assert [one if one not in keys else "" for one in before.images] == [
                one if one in before.images else "" for one in after.images
            ]
            assert not keys & set(after.images)
    for name, table in metadata.tables.items():
        if "project_id" in table.columns or name == "jobs":
            for row in read_rows(engine, sa.select(table).where(table.c.project_id == copy.id)):
                assert not any(key in str(value) for key in keys for value in row), name
    for step in ("data", "understand", "export"):
        app = check(open_app(step, project=copy.id, run=copied[1].id))
        assert [error.value for error in app.error] == []


def test_a_source_whose_pictures_change_meanwhile_is_not_copied(
    whole: tuple[Finished, list[str], str, str], home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = whole[0]
    before, copy_files = files_of(home), copies._copy_files

    def delete_first(*args: object) -> None:
        copy_files(*args)  # type: ignore[arg-type]
        item = finished.dataset.items[0]
        fewer = delete_images(finished.dataset, item.class_id, [item.image])
        if get_project(finished.engine, finished.project_id, ANN).version == 1:
            commit_version(finished.engine, finished.project_id, fewer, "deleted", parent=1, home=home)

    monkeypatch.setattr(copies, "_copy_files", delete_first)
    with pytest.raises(ConflictError, match="changed while"):
        copy_project(finished.engine, finished.project_id, BEN, home, with_runs=True)
    assert read_projects(finished.engine, BEN) == ([], [])
    assert len(set(files_of(home)) - set(before)) == 1  # the new list of pictures


def test_what_is_damaged_is_copied_as_it_is(old_root: DamagedRoot, home: DataRoot) -> None:
    kept = {"id", "job_id", "project_id", "kind", "state", "owner", "model_id"}
    with ExitStack() as damage:
        for table in ("runs", "jobs", "metrics", "ensembles", "exams", "model_settings", "card_words"):
            columns = [column.name for column in metadata.tables[table].columns if column.name not in kept]
            damage.enter_context(old_root.damaged_rows(table, columns, "garbage"))
        copy = copy_project(old_root.engine, old_root.project_id, OWNER, home, with_runs=True)
    assert current_dataset(old_root.engine, copy.id, home)[1].items
    check(open_app("understand", project=copy.id))


def test_a_project_that_cannot_be_read_is_not_copied(old_root: DamagedRoot, home: DataRoot) -> None:
    before, counted = files_of(home), rows(old_root.engine)
    with old_root.damaged_rows("projects", ["config"], "garbage"), pytest.raises(UnreadableError):
        copy_project(old_root.engine, old_root.project_id, OWNER, home, with_runs=True)
    assert (files_of(home), rows(old_root.engine)) == (before, counted)
