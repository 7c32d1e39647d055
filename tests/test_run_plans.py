"""Runs in line one behind the other, and the note that a person writes before one begins."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.queued_run import create_run
from tlcore.config import RunConfig, TrainingConfig
from tlcore.home import DataRoot
from tlcore.storage.database import metadata, open_database, run_notes, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import claim_job, end_job, get_job, queue_position, request_stop
from tlcore.storage.projects import create_project
from tlcore.storage.runs import MAX_NOTE_LENGTH, RunPlan, create_runs, get_run, list_runs

PLANS = [RunPlan(1, RunConfig(training=TrainingConfig(seed=seed)), f"seed {seed}") for seed in (1, 2)]


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def project_id(engine: sa.Engine) -> str:
    return create_project(engine, "me", "Pets").id


def test_plans_become_runs_that_are_worked_on_in_their_order(engine: sa.Engine, project_id: str) -> None:
    ids = create_runs(engine, project_id, PLANS)
    runs = [get_run(engine, run_id) for run_id in ids]
    assert [run.number for run in runs] == [1, 2]
    assert [run.config.training.seed for run in runs] == [1, 2]
    assert {run.job.state for run in runs} == {"queued"}
    first = claim_job(engine, "run")
    assert first is not None
    assert first.id == ids[0]


def test_while_the_same_run_waits_or_works_no_second_one_is_made(engine: sa.Engine, project_id: str) -> None:
    ids = create_runs(engine, project_id, PLANS)
    claim_job(engine, "run")
    assert create_runs(engine, project_id, PLANS) == ids
    assert len(list_runs(engine, project_id)) == 2
    request_stop(engine, ids[0])  # which works and will end soon
    assert create_runs(engine, project_id, PLANS)[0] not in ids


def test_another_run_waits_in_line(engine: sa.Engine, project_id: str) -> None:
    ids = create_runs(engine, project_id, PLANS)
    other, newer = create_run(engine, project_id, 1, RunConfig()), create_run(engine, project_id, 2, RunConfig())
    assert len({*ids, other, newer}) == 4
    assert queue_position(engine, get_job(engine, newer)) == 3


def test_without_a_plan_nothing_is_made(engine: sa.Engine, project_id: str) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        create_runs(engine, project_id, [])


def test_a_note_is_kept_with_its_run(engine: sa.Engine, project_id: str) -> None:
    run_id = create_run(engine, project_id, 1, RunConfig(), "  I expect\n90 % ")
    assert get_run(engine, run_id).note == "I expect 90 %"
    job = claim_job(engine, "run")
    assert job is not None
    end_job(engine, run_id, job.attempt, "finished")
    other = create_run(engine, project_id, 1, RunConfig())
    assert [run.note for run in list_runs(engine, project_id)] == ["", "I expect 90 %"]
    assert get_run(engine, other).note == ""


def test_a_note_ends_after_some_lines(engine: sa.Engine, project_id: str) -> None:
    run_id = create_run(engine, project_id, 1, RunConfig(), "x" * 5000)
    assert len(get_run(engine, run_id).note) == MAX_NOTE_LENGTH


def test_a_note_goes_with_its_project(engine: sa.Engine, project_id: str) -> None:
    create_run(engine, project_id, 1, RunConfig(), "soon gone")
    delete_project(engine, project_id, DataRoot.configured())
    with engine.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(run_notes)).scalar() == 0


def test_runs_of_a_database_from_before_notes_are_read_without_one(home: DataRoot) -> None:
    engine = open_database(home)
    project_id = create_project(engine, "me", "Old").id
    run_id = create_run(engine, project_id, 1, RunConfig())
    with writing(engine) as connection:
        metadata.tables["run_notes"].drop(connection)
    engine.dispose()
    assert get_run(open_database(home), run_id).note == ""
