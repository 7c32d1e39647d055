"""Projects that nobody opens go when that is wanted: not before, never by a clock alone, and Home says so in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pages.components.sharing import CODE
from pages.server.keeper import clean, keep
from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.page_tests import OWNER, ROOT_DIR, open_app, texts
from tests.queued_run import create_run
from tests.test_deletion import files_of
from tlcore.backup import restore_backup, save_backup
from tlcore.config import RunConfig
from tlcore.errors import DatasetError, StorageError
from tlcore.home import DataRoot
from tlcore.storage import retention
from tlcore.storage.copies import copy_project
from tlcore.storage.database import guests, leavings, open_database, projects, server_days, shares, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.projects import create_project, get_project, read_projects
from tlcore.storage.quotas import RETENTION_DAYS, quotas_for
from tlcore.storage.retention import leaving_soon, remove_untouched, touch_project
from tlcore.storage.server_days import DAY_SECONDS, days_so_far, note_day, today
from tlcore.storage.sharing import ShareKind, create_share, end_share, open_share

DAYS = 30


class Clock:
    """A clock that the test sets; it begins at noon of today."""

    def __init__(self) -> None:
        self.time = (time.time() // DAY_SECONDS + 0.5) * DAY_SECONDS

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("retention", "projects", "server_days"):
        monkeypatch.setattr(f"tlcore.storage.{module}.now", clock)
    monkeypatch.setenv(RETENTION_DAYS.setting, str(DAYS))
    return clock


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def run_days(engine: sa.Engine, home: DataRoot, clock: Clock) -> Callable[[int], None]:
    """What lets days pass on each of which the server runs and cleans."""

    def run_days(number: int) -> None:
        for _ in range(number):
            clock.time += DAY_SECONDS
            note_day(engine, home)
            clean(engine, home)

    return run_days


def ids(engine: sa.Engine, owner: str = OWNER) -> list[str]:
    return [project.id for project in read_projects(engine, owner)[0]]


def test_it_is_off_by_default_and_the_readme_says_so(engine: sa.Engine, home: DataRoot, clock: Clock) -> None:
    row = f"| `{RETENTION_DAYS.setting}` | {RETENTION_DAYS.sentence}: never by default |"
    assert row in (ROOT_DIR / "README.md").read_text("utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv(RETENTION_DAYS.setting)
        project = create_project(engine, OWNER, "P")
        for _ in range(2 * DAYS):
            clock.time += DAY_SECONDS
            note_day(engine, home)
        assert remove_untouched(engine, home) == []
        assert leaving_soon(engine, [project]) == {}
        patched.setenv(RETENTION_DAYS.setting, "a month")
        with pytest.raises(DatasetError, match="TRANSFER_LAB_RETENTION_DAYS must be a whole number from 7 on"):
            quotas_for(is_shared=False)
        clean(engine, home)
        assert ids(engine) == [project.id]


def test_what_nobody_opens_goes_with_its_files_and_what_somebody_opens_stays(
    engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None]
) -> None:
    left, opened = create_project(engine, OWNER, "Left").id, create_project(engine, OWNER, "Opened").id
    commit_version(engine, left, coloured_dataset(home, 1), "made", parent=None, home=home)
    run_days(DAYS - 10)
    touch_project(engine, get_project(engine, opened, OWNER))
    run_days(9)
    assert set(ids(engine)) == {left, opened}
    run_days(1)
    assert ids(engine) == [opened]
    assert files_of(home) <= {"reserve"}
    run_days(DAYS - 10)
    assert ids(engine) == []


def test_a_clock_that_is_set_forward_deletes_nothing(
    engine: sa.Engine, home: DataRoot, clock: Clock, run_days: Callable[[int], None]
) -> None:
    project = create_project(engine, OWNER, "P")
    run_days(3)
    clock.time += 366 * DAY_SECONDS
    note_day(engine, home)
    assert remove_untouched(engine, home) == []
    assert leaving_soon(engine, [project]) == {}
    # Nor does it when it is right again: the days that it has shown are not over yet.
    clock.time -= 366 * DAY_SECONDS
    run_days(DAYS - 4)
    assert ids(engine) == [project.id]
    run_days(1)
    assert ids(engine) == []


def long_left(engine: sa.Engine, clock: Clock, days: int) -> str:
    """Make a project that nobody has opened for some days, on each of which the server ran."""
    project_id = create_project(engine, OWNER, "P").id
    with writing(engine) as connection:
        connection.execute(sa.delete(server_days))
        connection.execute(sa.insert(server_days), [{"number": today() - ago} for ago in range(60)])
        then = clock.time - days * DAY_SECONDS
        connection.execute(sa.update(projects).where(projects.c.id == project_id).values(touched=then, created=then))
    return project_id


def test_a_setting_that_is_new_or_smaller_deletes_nothing_before_a_week_of_warning(
    engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = long_left(engine, clock, 50)
    monkeypatch.setenv(RETENTION_DAYS.setting, "40")
    clean(engine, home)
    assert leaving_soon(engine, [get_project(engine, project_id, OWNER)]) == {project_id: clock.time + 7 * DAY_SECONDS}
    run_days(6)
    assert ids(engine) == [project_id]
    monkeypatch.setenv(RETENTION_DAYS.setting, "30")
    run_days(1)
    assert ids(engine) == [project_id]
    run_days(6)
    assert ids(engine) == [project_id]
    # Off, and on again: that is said anew too.
    with monkeypatch.context() as patched:
        patched.delenv(RETENTION_DAYS.setting)
        clean(engine, home)
    run_days(7)
    assert ids(engine) == [project_id]
    run_days(1)
    assert ids(engine) == []


@pytest.mark.parametrize("days", ["3", "0.5", "7.5", "nan", "inf", "-7", "6"])
def test_a_mistyped_setting_is_refused(days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RETENTION_DAYS.setting, days)
    with pytest.raises(DatasetError, match="must be a whole number from 7 on"):
        quotas_for(is_shared=False)


def test_a_backup_that_is_brought_back_is_not_swept_again(
    engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None], clock: Clock, tmp_path: Path
) -> None:
    project_id = create_project(engine, OWNER, "P").id
    run_days(DAYS - 1)
    save_backup(tmp_path / "backup.zip", home, RecordingProgress())
    run_days(1)
    assert ids(engine) == []
    engine.dispose()
    restore_backup(tmp_path / "backup.zip", home, RecordingProgress())
    note_day(engine, home)
    clean(engine, home)
    run_days(6)
    assert ids(engine) == [project_id]
    run_days(1)
    assert ids(engine) == []


def test_a_damaged_announcement_deletes_nothing_before_a_week_of_warning(
    engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None], clock: Clock
) -> None:
    project_id = long_left(engine, clock, 50)
    clean(engine, home)
    for column, value in (("day", "'x'"), ("day", "-5"), ("day", "1e300"), ("setting", "'x'")):
        with writing(engine) as connection:
            connection.execute(sa.text(f"UPDATE leavings SET {column} = {value}"))
        run_days(6)
        assert ids(engine) == [project_id]
        with writing(engine) as connection:
            connection.execute(sa.delete(leavings))


@pytest.mark.parametrize("kind", ["pictures", "project"])
def test_what_a_class_copies_stays(
    kind: ShareKind, engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None]
) -> None:
    project_id, left = create_project(engine, OWNER, "P").id, create_project(engine, OWNER, "Left").id
    commit_version(engine, project_id, coloured_dataset(home, 1), "made", parent=None, home=home)
    for day in range(DAYS + 2):
        copy_project(engine, project_id, f"student {day}", home, with_runs=kind == "project")
        run_days(1)
    assert (project_id in ids(engine), left in ids(engine)) == (True, False)
    run_days(DAYS)
    assert ids(engine) == []


@pytest.mark.parametrize("kind", ["look", "pictures", "project"])
def test_whoever_opens_a_link_uses_the_project(
    kind: ShareKind, engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None]
) -> None:
    project_id = create_project(engine, OWNER, "P").id
    code = create_share(engine, project_id, kind).code
    run_days(DAYS - 1)
    assert leaving_soon(engine, [get_project(engine, project_id, OWNER)])
    open_share(engine, code, "student")
    assert not leaving_soon(engine, [get_project(engine, project_id, OWNER)])
    run_days(DAYS - 1)
    assert ids(engine) == [project_id]
    run_days(1)
    assert ids(engine) == []


def test_the_page_of_a_link_counts(engine: sa.Engine, clock: Clock) -> None:
    project_id = create_project(engine, "somebody", "P").id
    clock.time += 5 * DAY_SECONDS
    assert not open_app("shared", **{CODE: create_share(engine, project_id, "pictures").code}).exception
    assert get_project(engine, project_id, "somebody").touched == clock.time


def test_what_stands_on_the_home_of_all_stays_until_it_does_not(
    engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None]
) -> None:
    project_id = create_project(engine, OWNER, "P").id
    code = create_share(engine, project_id, "project", for_all=True).code
    run_days(2 * DAYS)
    assert ids(engine) == [project_id]
    assert not leaving_soon(engine, [get_project(engine, project_id, OWNER)])
    end_share(engine, code)
    run_days(7)
    assert ids(engine) == [project_id]
    run_days(1)
    assert ids(engine) == []


@pytest.mark.parametrize("happens", ["opened", "work", "shown no more", "handed out"])
def test_what_is_opened_or_works_while_the_sweep_deletes_stays(
    happens: str, engine: sa.Engine, home: DataRoot, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = long_left(engine, clock, 50)
    with writing(engine) as connection:
        values = {"project_id": project_id, "day": today() - 8, "setting": DAYS}
        connection.execute(sa.insert(leavings).values(**values))

    def meanwhile(*arguments: Any, **conditions: Any) -> bool:
        if happens == "opened":
            touch_project(engine, get_project(engine, project_id, OWNER))
        elif happens == "work":
            create_run(engine, project_id, 1, RunConfig())
        elif happens == "handed out":
            create_share(engine, project_id, "look", for_all=True)
        else:
            with writing(engine) as connection:
                connection.execute(sa.delete(leavings))
        return delete_project(*arguments, **conditions)

    monkeypatch.setattr(retention, "delete_project", meanwhile)
    assert remove_untouched(engine, home) == []
    assert ids(engine) == [project_id]
    monkeypatch.setattr(retention, "delete_project", delete_project)
    assert remove_untouched(engine, home) == []


def test_days_on_which_the_server_does_not_run_do_not_count(
    engine: sa.Engine, home: DataRoot, clock: Clock, run_days: Callable[[int], None]
) -> None:
    project = create_project(engine, OWNER, "P")
    run_days(10)
    clock.time += 60 * DAY_SECONDS  # holidays
    run_days(DAYS - 11)
    assert ids(engine) == [project.id]
    run_days(1)
    assert ids(engine) == []


def test_a_project_that_works_stays(engine: sa.Engine, run_days: Callable[[int], None]) -> None:
    busy, idle = create_project(engine, OWNER, "P").id, create_project(engine, OWNER, "P").id
    create_run(engine, busy, 1, RunConfig())
    run_days(DAYS + 1)
    assert idle not in ids(engine)
    assert ids(engine) == [busy]


def test_the_server_notes_its_days_and_cleans_by_itself(engine: sa.Engine, home: DataRoot, clock: Clock) -> None:
    stray = home.versions_dir / f"{'0' * 64}.json"
    stray.parent.mkdir()
    stray.write_text("{}")

    async def serve() -> None:
        keeper = asyncio.create_task(keep(home))
        async with asyncio.timeout(30):
            while stray.exists() or days_so_far(engine) != [today()]:
                await asyncio.sleep(0)
        keeper.cancel()

    asyncio.run(serve())


def test_a_damaged_row_stays(engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None]) -> None:
    project_id = create_project(engine, OWNER, "P").id
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE projects SET touched = 'x', created = 'y'"))
    run_days(DAYS + 1)
    with engine.begin() as connection:
        assert connection.execute(sa.select(projects.c.id)).scalars().all() == [project_id]


def test_a_project_that_this_version_cannot_read_stays(
    engine: sa.Engine, home: DataRoot, run_days: Callable[[int], None]
) -> None:
    create_project(engine, OWNER, "P")
    with writing(engine) as connection:
        connection.execute(sa.update(projects).values(config="of a newer version"))
    run_days(DAYS + 8)
    assert [one.title for one in read_projects(engine, OWNER)[1]] == ["P"]


def test_opening_a_page_counts_once_a_day_and_a_full_disk_closes_none(
    engine: sa.Engine, home: DataRoot, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_id = create_project(engine, OWNER, "P").id
    first = get_project(engine, project_id, OWNER).touched
    clock.time += DAY_SECONDS / 4
    open_app("data", project=project_id)
    assert get_project(engine, project_id, OWNER).touched == first
    clock.time += DAY_SECONDS / 2
    open_app("data", project=project_id)
    assert get_project(engine, project_id, OWNER).touched == clock.time

    def full(*_: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(retention, "write_few", full)
    clock.time += 2 * DAY_SECONDS
    assert not open_app("data", project=project_id).error


def test_the_visit_of_a_guest_counts(engine: sa.Engine, clock: Clock) -> None:
    project_id = create_project(engine, "somebody", "P").id
    with writing(engine) as connection:
        share = {"code": "c", "project_id": project_id, "kind": "look", "created": clock.time}
        connection.execute(sa.insert(shares).values(**share))
        connection.execute(sa.insert(guests).values(project_id=project_id, owner=OWNER, code="c"))
    clock.time += 5 * DAY_SECONDS
    open_app("data", project=project_id)
    assert get_project(engine, project_id, "somebody").touched == clock.time


def test_home_and_the_card_say_a_week_before_when_it_goes(
    engine: sa.Engine, home: DataRoot, clock: Clock, run_days: Callable[[int], None]
) -> None:
    project = create_project(engine, OWNER, "Leaves")
    run_days(DAYS - 8)
    assert "deleted" not in texts(open_app())
    run_days(1)
    words = texts(open_app())
    when = time.localtime(clock.time + 7 * DAY_SECONDS)
    day = f"{when.tm_mday} {time.strftime('%B', when)}"
    assert f"1 project that nobody has opened for long will be deleted, the first one on {day}" in words
    assert f"**deleted on {day}**. Open it, and it stays" in words
    open_app("data", project=project.id)
    assert "deleted" not in texts(open_app())
