"""One damaged row of a job closes that job alone: the runner works on the others."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tests.stepped_runner import running, step_until
from tlcore.errors import StorageError
from tlcore.home import DataRoot
from tlcore.jobs.runner import Runner
from tlcore.storage import jobs as stored_jobs
from tlcore.storage.database import jobs, open_database, read_rows, turns, writing
from tlcore.storage.jobs import UNREADABLE, claim_job, end_job, get_job, list_last_ended, write_job

pytestmark = pytest.mark.usefixtures("sleepers")

COLUMNS = [column.name for column in jobs.c if column.name not in ("id", "project_id")]
"""All but those by which it is another row."""

VALUES = ("of another version", b"\xff\x00", -(2**63), 2**63 - 1, -1e300)


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def damage(engine: sa.Engine, job_id: str, column: str, value: object) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql(f'UPDATE jobs SET "{column}" = ? WHERE id = ?', (value, job_id))


def values_of(engine: sa.Engine, job_id: str) -> dict[str, Any]:
    (row,) = read_rows(engine, sa.select(jobs).where(jobs.c.id == job_id))
    return dict(row._mapping)


def make_damaged(engine: sa.Engine, like: str) -> list[str]:
    """Put in copies of a job, each damaged in another way; return their ids."""
    values = values_of(engine, like)
    ids = []
    with writing(engine) as connection:
        for column in COLUMNS:
            for number, value in enumerate(VALUES):
                ids.append(f"{column}-{number}")
                connection.execute(sa.insert(jobs).values(**{**values, "id": ids[-1]}))
                connection.exec_driver_sql(f'UPDATE jobs SET "{column}" = ? WHERE id = ?', (value, ids[-1]))
    return ids


@pytest.mark.parametrize("state", ["queued", "working", "ended"])
def test_a_damaged_row_stops_no_other_job(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    started: list[str] = []
    monkeypatch.setattr(Runner, "_start", lambda _self, job: started.append(job.id))
    like = new_run()
    if state != "queued":
        assert claim_job(engine, "run") is not None
        with writing(engine) as connection:
            write_job(connection, like, 1, pid=4194304, process="another boot:1", state="running")
    if state == "ended":
        assert end_job(engine, like, 1, "finished")
    damaged = make_damaged(engine, like)
    other = new_run()
    working = Runner(engine, home)
    for _ in range(3 * len(damaged)):
        working.step()
        while started and started[-1] != other:
            job_id = started.pop()
            end_job(engine, job_id, values_of(engine, job_id)["attempt"], "finished")
        if started:
            break
    assert started == [other]


def test_a_job_that_cannot_be_read_is_ended_with_words_and_the_next_one_begins(
    engine: sa.Engine, home: DataRoot, new_run: Callable[[], str]
) -> None:
    first, second, third = new_run(), new_run(), new_run()
    damage(engine, first, "phase", "of another version")
    damage(engine, second, "created", "yesterday")
    claimed = claim_job(engine, "run")
    assert claimed is not None
    assert claimed.id == third
    assert claim_job(engine, "run") is None  # what has no time comes last
    for job_id in (first, second):
        job = get_job(engine, job_id)
        assert job.state == "failed"
        assert job.message == UNREADABLE
    assert end_job(engine, third, 1, "finished")
    damage(engine, first, "process", "a process")
    damage(engine, first, "kind", "of another version")
    Runner(engine, home)
    assert list_last_ended(engine, 9) == []


def test_a_damaged_turn_stops_nobody(engine: sa.Engine, new_run: Callable[[], str]) -> None:
    for _ in range(2):
        new_run()
        assert claim_job(engine, "run") is not None
        with writing(engine) as connection:
            connection.execute(sa.text("UPDATE turns SET turn = 'last'"))
    new_run()
    assert claim_job(engine, "run") is not None
    assert [row.turn for row in read_rows(engine, sa.select(turns.c.turn))] == [1]


def test_what_goes_wrong_with_one_job_keeps_no_other_one_waiting(
    engine: sa.Engine,
    home: DataRoot,
    new_run: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TRANSFER_LAB_SLOTS", "2")
    first = new_run()
    working = Runner(engine, home)
    running(working, engine, first)
    look_after = Runner._look_after

    def look_after_others(self: Runner, job: stored_jobs.JobStatus) -> bool:
        if job.id == first:
            raise StorageError("Its folder cannot be read.")
        return look_after(self, job)

    monkeypatch.setattr(Runner, "_look_after", look_after_others)
    second, third = new_run(), new_run()
    step_until(working, lambda: get_job(engine, second).state == "running")
    assert get_job(engine, third).state == "queued"  # the first one keeps its slot
    assert capfd.readouterr().err.count(f"{first}: Its folder cannot be read.") == 1
