"""Files of a model made by a job: how it ends, what it replaces, what goes with a project, and what a backup leaves."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress
from tests.finished_runs import Finished, make_finished
from tests.ready_heads import make_project_with_heads
from tlcore.backup import restore_backup, save_backup
from tlcore.errors import RunError
from tlcore.export.formats import FORMATS
from tlcore.home import DataRoot
from tlcore.jobs.export_task import make_files, remove_replaced
from tlcore.jobs.specs import JOBS
from tlcore.jobs.worker import WorkerContext, work
from tlcore.progress import StopRequested
from tlcore.storage.database import open_database
from tlcore.storage.deletion import delete_project
from tlcore.storage.exports import export_dir, has_files, read_exports, replaced_by
from tlcore.storage.jobs import claim_job, create_job, end_job, get_job
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportRequest, FormatReport

LITERT = FormatReport("litert", 1000, 40, 36, 40, 0.0004, 6.1)
ONNX = FormatReport("onnx", 1000, 40, 36, 40, 0.0004, 5.1)


@pytest.fixture
def finished(home: DataRoot) -> Finished:
    return make_finished(home)


def begin(engine: sa.Engine, home: DataRoot, project_id: str, request: ExportRequest) -> WorkerContext:
    """Claim a job of this request as its worker would."""
    job_id = create_job(engine, "export", project_id, request, key=request.key)
    job = claim_job(engine, "export")
    assert job is not None
    return WorkerContext(engine, home, job_id, job.attempt, RecordingProgress())  # type: ignore[arg-type]


def test_every_format_has_its_own_file() -> None:
    assert len({spec.file for spec in FORMATS.values()}) == len(FORMATS)


def test_a_worker_begins_again_where_one_was_killed_and_its_files_replace_earlier_ones(ready_home: DataRoot) -> None:
    engine = open_database(ready_home)
    project_id, head = make_project_with_heads(engine, ready_home, "ann")
    first = begin(engine, ready_home, project_id, ExportRequest(head, ("litert",)))
    left = export_dir(first.job_id, ready_home) / "half.tflite"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"what a killed worker was writing")
    make_files(first)
    end_job(engine, first.job_id, first.attempt, "finished")
    [export] = read_exports(engine, project_id)[0]
    [report] = export.result.reports
    assert (report.format, report.problem, report.agreed) == ("litert", "", report.total)
    assert report.total > 0
    assert report.size == (left.parent / "model.tflite").stat().st_size
    assert not left.exists()
    make_files(first)  # it was killed before it could say that it had ended
    assert read_exports(engine, project_id)[0] == [export]
    second = begin(engine, ready_home, project_id, ExportRequest(head, ("litert",), ModelSettings(1.5)))
    assert second.job_id != first.job_id
    make_files(second)
    remove_replaced(second)
    assert read_exports(engine, project_id)[0] == [export]  # it goes when the other one is finished, not before
    assert work(second.job_id, second.attempt) == 0
    [export] = read_exports(engine, project_id)[0]
    assert (export.job_id, export.result.settings) == (second.job_id, ModelSettings(1.5))
    assert [path.name for path in ready_home.exports_dir.iterdir()] == [second.job_id]


def kept_after(finished: Finished, run_id: str, *reports: FormatReport) -> tuple[str, list[str]]:
    """Let a job end with these reports; return its id and what the project keeps then, oldest first."""
    job_id = finished.add_export(run_id, *reports)
    attempt = get_job(finished.engine, job_id).attempt
    remove_replaced(WorkerContext(finished.engine, finished.home, job_id, attempt, RecordingProgress()))  # type: ignore[arg-type]
    kept = [export.job_id for export in reversed(read_exports(finished.engine, finished.project_id)[0])]
    assert {path.name for path in finished.home.exports_dir.iterdir()} <= set(kept)
    return job_id, kept


def test_earlier_files_stay_until_every_one_of_them_is_made_anew(finished: Finished) -> None:
    run_id = finished.add_run()
    others = finished.add_export(finished.add_run(), LITERT)
    first, _ = kept_after(finished, run_id, LITERT, ONNX)
    failed, kept = kept_after(finished, run_id, replace(LITERT, problem="It took too long to answer."))
    assert kept == [others, first, failed]
    second, kept = kept_after(finished, run_id, LITERT)
    assert kept == [others, first, second]  # ONNX is in the first one alone
    third, kept = kept_after(finished, run_id, ONNX)
    assert kept == [others, second, third]


def test_files_that_were_asked_for_later_stay(finished: Finished) -> None:
    run_id = finished.add_run()
    first, later = finished.add_export(run_id, LITERT, ONNX), finished.add_export(run_id, LITERT)
    exports, _ = read_exports(finished.engine, finished.project_id)
    assert replaced_by(first, exports, finished.home) == []
    assert replaced_by("nothing", exports, finished.home) == []
    shutil.rmtree(export_dir(later, finished.home))
    assert replaced_by(later, exports, finished.home) == []  # its own files are not there


def test_files_are_finished_even_when_earlier_ones_cannot_be_removed(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = begin(finished.engine, finished.home, finished.project_id, ExportRequest("any", ("keras",)))

    def fail(context: WorkerContext) -> None:
        assert get_job(context.engine, context.job_id).state == "finished"
        raise OSError("in use")

    monkeypatch.setattr("tlcore.jobs.export_task.remove_replaced", fail)
    assert work(context.job_id, context.attempt, lambda _: None) == 0
    assert get_job(finished.engine, context.job_id).state == "finished"


def test_the_same_files_are_made_once_at_a_time(finished: Finished) -> None:
    run_id = finished.add_run()
    engine, project_id = finished.engine, finished.project_id
    asked = [ExportRequest(run_id, ("keras", "litert")), ExportRequest(run_id, ("litert", "keras"))]
    same = {create_job(engine, "export", project_id, request, key=request.key) for request in asked}
    other = ExportRequest(run_id, ("keras", "litert"), ModelSettings(1.5))
    assert len(same) == 1
    assert create_job(engine, "export", project_id, other, key=other.key) not in same


def test_a_model_that_is_gone_ends_in_words(finished: Finished) -> None:
    context = begin(finished.engine, finished.home, finished.project_id, ExportRequest("nothing", ("keras",)))
    with pytest.raises(RunError, match="not here any more"):
        make_files(context)


@pytest.mark.parametrize("error", [StopRequested(), RunError("The disk is full."), ValueError("?")])
def test_what_comes_to_nothing_leaves_nothing(finished: Finished, error: Exception) -> None:
    run_id = finished.add_run()
    context = begin(finished.engine, finished.home, finished.project_id, ExportRequest(run_id, ("keras",)))

    def task(context: WorkerContext) -> None:
        folder = export_dir(context.job_id, context.home)
        folder.mkdir(parents=True)
        (folder / "model.keras").write_bytes(b"half")
        raise error

    assert work(context.job_id, context.attempt, task) == 0
    assert get_job(finished.engine, context.job_id).state in ("stopped", "failed")
    assert not export_dir(context.job_id, finished.home).exists()
    assert read_exports(finished.engine, finished.project_id) == ([], [])


def test_a_worker_that_dies_is_followed_by_another(finished: Finished) -> None:
    assert JOBS["export"].resumes
    assert JOBS["export"].keeps_files


def test_they_go_with_their_project(finished: Finished) -> None:
    job_id = finished.add_export(finished.add_run(), LITERT)
    assert export_dir(job_id, finished.home).is_dir()
    delete_project(finished.engine, finished.project_id, finished.home)
    assert list(finished.home.exports_dir.iterdir()) == []


def test_a_backup_is_without_them_and_says_what_there_was(finished: Finished, tmp_path: Path) -> None:
    finished.add_export(finished.add_run(), LITERT)
    save_backup(tmp_path / "backup.zip", finished.home, RecordingProgress())
    other = DataRoot(tmp_path / "other")
    restore_backup(tmp_path / "backup.zip", other, RecordingProgress())
    [export] = read_exports(open_database(other), finished.project_id)[0]
    assert export.result.reports == (LITERT,)
    assert not has_files(export, other)
    assert has_files(export, finished.home)
