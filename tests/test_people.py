"""Who people are: names, numbers, codes that lead to them, and the class code that lets them in."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from tlcore.errors import RemovedError, UnreadableError
from tlcore.home import DataRoot
from tlcore.storage import people as storage
from tlcore.storage.admission import is_admitted, is_readable, note_admitted_visit, say_class_code
from tlcore.storage.class_settings import ClassSettings, change_class_settings, reset_class_settings
from tlcore.storage.database import (
    class_settings,
    guests,
    open_database,
    people,
    read_rows,
    server_days,
    shares,
    turns,
    writing,
)
from tlcore.storage.identities import EarlierOwners, Identities, read_identities
from tlcore.storage.jobs import claim_job, create_job, get_job
from tlcore.storage.people import (
    CODE_LENGTH,
    CODE_LETTERS,
    NOTE_SECONDS,
    admit,
    bring_along,
    count_people,
    delete_person,
    has_code,
    list_owners,
    list_people,
    new_code,
    note_visit,
    owner_by_code,
    people_page,
    read_person,
    remove_from_class,
    rename_person,
)
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.retention import DAY_SECONDS, remove_unseen_people
from tlcore.storage.sharing import create_share, open_share

MIA, BEN, EVE = "m" * 24, "b" * 24, "e" * 24


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, which only the test moves."""
    now = [1000.0]
    monkeypatch.setattr(storage.time, "monotonic", lambda: now[0])
    return now


def lock_code(engine: sa.Engine, code: str | None) -> None:
    change_class_settings(engine, lambda _before: ClassSettings(code=code))


def test_who_comes_gets_a_number_once_and_two_tabs_are_one_person(engine: sa.Engine, home: DataRoot) -> None:
    another = open_database(home)
    storage._noted.clear()
    barrier = threading.Barrier(4)

    def come(number: int) -> None:
        barrier.wait()
        # Another process has noted nothing yet, so it writes too.
        with writing((engine, another)[number % 2]) as connection:
            storage._change(connection, MIA, seen=5.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come, range(4)))
    note_visit(engine, BEN)
    assert [(one.owner, one.number, one.called) for one in list_people(engine)] == [
        (MIA, 1, "Person 1"),
        (BEN, 2, "Person 2"),
    ]


def test_a_visit_is_written_at_most_once_in_ten_minutes(
    engine: sa.Engine, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter((10.0, 20.0, 30.0))
    monkeypatch.setattr(storage, "now", lambda: next(times))
    note_visit(engine, MIA)
    first = read_person(engine, MIA).seen
    clock[0] += NOTE_SECONDS - 1
    note_visit(engine, MIA)
    assert read_person(engine, MIA).seen == first
    clock[0] += 1
    note_visit(engine, MIA)
    assert read_person(engine, MIA).seen > first


def test_a_visit_that_cannot_be_written_closes_no_page(engine: sa.Engine, home: DataRoot) -> None:
    with sqlite3.connect(home.database_path) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON people BEGIN SELECT RAISE(ABORT, 'full'); END")
    note_visit(engine, MIA)
    assert list_people(engine) == []


def test_names_are_one_printable_line_of_forty_characters(engine: sa.Engine) -> None:
    rename_person(engine, MIA, "  Mia\n\u202e the **first** " + "x" * 60)
    name = read_person(engine, MIA).called
    assert name.startswith("Mia the **first** xxx")
    assert len(name) == 40
    rename_person(engine, MIA, " ")
    assert read_person(engine, MIA).called == "Person 1"


def test_a_damaged_row_is_a_person_without_what_is_damaged(engine: sa.Engine, home: DataRoot) -> None:
    rename_person(engine, MIA, "Mia")
    rename_person(engine, BEN, "Ben")
    with sqlite3.connect(home.database_path) as connection:
        connection.execute(
            "UPDATE people SET name = x'ff00', number = 'garbage', seen = 'x', admitted = 'x' WHERE owner = ?", [MIA]
        )
    damaged, ben = list_people(engine)
    assert (damaged.called, damaged.seen, damaged.admitted) == ("A person without a name", 0.0, False)
    assert ben.called == "Ben"
    rename_person(engine, EVE, "")
    assert read_person(engine, EVE).number == 3


def test_a_code_leads_to_its_person_however_it_is_typed_until_there_is_a_new_one(engine: sa.Engine) -> None:
    assert not has_code(engine, MIA)
    code = new_code(engine, MIA)
    letters = code.replace("-", "")
    assert len(letters) == CODE_LENGTH
    assert set(letters) <= set(CODE_LETTERS)
    assert not set("01ILOU") & set(CODE_LETTERS)
    assert math.log2(len(CODE_LETTERS)) * CODE_LENGTH > 48
    for typed in (code, letters.lower(), f" {letters[:3]} {letters[3:]}- "):
        assert owner_by_code(engine, typed) == MIA
    wrong = letters[:-1] + next(one for one in CODE_LETTERS if one != letters[-1])
    assert [owner_by_code(engine, typed) for typed in (wrong, letters[:-1], letters + "A", "")] == [None] * 4
    newer = new_code(engine, MIA)
    assert has_code(engine, MIA)
    assert owner_by_code(engine, code) is None
    assert owner_by_code(engine, newer) == MIA


def test_the_database_alone_tells_no_code(engine: sa.Engine, home: DataRoot) -> None:
    code = new_code(engine, MIA).replace("-", "")
    stored = read_rows(engine, sa.select(people.c.code))[0].code
    assert code not in stored
    other = Identities(b"another secret", EarlierOwners("", ()), home)
    assert other.fingerprint("code", code) != stored
    assert read_identities(home).fingerprint("identity", code) != stored


def test_what_a_person_has_goes_over_to_the_other_identity(engine: sa.Engine) -> None:
    old, of_eve = create_project(engine, MIA, "Old"), create_project(engine, EVE, "Eve's")
    kept = create_project(engine, BEN, "Kept")
    job = create_job(engine, "run", old.id)
    claimed = claim_job(engine, "run")
    rename_person(engine, MIA, "Mia")
    code = new_code(engine, MIA)
    admit(engine, MIA)
    with writing(engine) as connection:
        for number, project in enumerate((old, kept, of_eve)):
            values = {"code": f"c{number}", "project_id": project.id, "kind": "look", "created": 1.0}
            connection.execute(sa.insert(shares).values(**values))
        for project, owner, link in ((of_eve, MIA, "c2"), (of_eve, BEN, "c2"), (old, BEN, "c0"), (kept, MIA, "c1")):
            connection.execute(sa.insert(guests).values(project_id=project.id, owner=owner, code=link))
        connection.execute(sa.delete(turns))
        for kind, owner, turn in (("run", MIA, 7), ("run", BEN, 3), ("map", MIA, 2), ("doctor", BEN, 4)):
            connection.execute(sa.insert(turns).values(kind=kind, owner=owner, turn=turn))
    bring_along(engine, MIA, BEN)
    assert {one.id for one in read_projects(engine, BEN)[0]} == {old.id, kept.id}
    assert read_projects(engine, MIA)[0] == []
    assert claimed is not None
    assert get_job(engine, job).state == "starting"
    assert [(row.project_id, row.owner) for row in read_rows(engine, sa.select(guests))] == [(of_eve.id, BEN)]
    assert {tuple(row) for row in read_rows(engine, sa.select(turns))} == {
        ("run", BEN, 7),
        ("map", BEN, 2),
        ("doctor", BEN, 4),
    }
    assert [(one.owner, one.called, one.admitted) for one in list_people(engine)] == [(BEN, "Mia", True)]
    assert owner_by_code(engine, code) is None


def test_a_name_that_is_there_is_kept(engine: sa.Engine) -> None:
    rename_person(engine, MIA, "Mia")
    rename_person(engine, BEN, "Ben")
    bring_along(engine, MIA, BEN)
    assert [one.called for one in list_people(engine)] == ["Ben"]


def test_the_class_code_lets_in_who_says_it_and_who_was_there_before(engine: sa.Engine) -> None:
    assert is_admitted(engine, BEN)
    create_project(engine, MIA, "Before")
    lock_code(engine, "Room 7b")
    assert [is_admitted(engine, one) for one in (MIA, BEN)] == [True, False]
    create_project(engine, EVE, "After")  # as by a page that was open meanwhile
    assert not is_admitted(engine, EVE)
    note_admitted_visit(engine, BEN)
    assert [one.owner for one in list_people(engine)] == [MIA]
    assert not say_class_code(engine, BEN, "Room 7c")
    assert say_class_code(engine, BEN, "room-7B ")
    lock_code(engine, "another")
    assert [is_admitted(engine, one) for one in (MIA, BEN, EVE)] == [True, True, False]
    remove_from_class(engine, MIA)
    assert not is_admitted(engine, MIA)
    lock_code(engine, None)
    assert is_admitted(engine, EVE)


def test_who_was_removed_stays_so_until_the_teacher_lets_them_in_again(engine: sa.Engine) -> None:
    create_project(engine, MIA, "Before")
    lock_code(engine, "Room 7b")
    remove_from_class(engine, MIA)
    with pytest.raises(RemovedError, match="let you in again"):
        say_class_code(engine, MIA, "Room 7b")
    for code in (None, "another", None, "Room 7b"):
        lock_code(engine, code)
        assert not is_admitted(engine, MIA), code
    with writing(engine) as connection:
        connection.execute(sa.update(class_settings).values(document="garbage"))
    assert not is_admitted(engine, MIA)
    reset_class_settings(engine)
    assert not is_admitted(engine, MIA)
    assert (read_person(engine, MIA).removed, is_admitted(engine, BEN)) == (True, True)
    admit(engine, MIA)
    lock_code(engine, "one more")
    assert is_admitted(engine, MIA)


def test_who_was_removed_does_not_come_back_as_another_identity(engine: sa.Engine) -> None:
    admit(engine, BEN)
    remove_from_class(engine, MIA)
    bring_along(engine, MIA, BEN)
    assert (is_admitted(engine, BEN), read_person(engine, BEN).removed) == (False, True)


def test_a_page_of_people_is_read_alone_in_the_order_in_which_they_came(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        rows = [
            {"owner": f"p{number:023}", "name": "", "number": 20_000 - number, "seen": 1.0} for number in range(20_000)
        ]
        connection.execute(sa.insert(people), rows)
    create_project(engine, BEN, "From before")
    assert count_people(engine) == 20_001
    assert [one.number for one in people_page(engine, 40, 3)] == [41, 42, 43]
    last = people_page(engine, 20_000, 40)
    assert [(one.owner, one.number, one.admitted) for one in last] == [(BEN, 0, True)]
    assert list_owners(engine) == []
    note_visit(engine, BEN)
    assert [one.owner for one in list_owners(engine)] == [BEN]
    began = time.perf_counter()
    people_page(engine, 10_000, 40)
    assert time.perf_counter() - began < 0.5


def test_a_person_who_is_deleted_leaves_nothing(engine: sa.Engine, home: DataRoot) -> None:
    project, other = create_project(engine, MIA, "Mia's"), create_project(engine, BEN, "Ben's")
    rename_person(engine, MIA, "Mia")
    code = new_code(engine, MIA)
    open_share(engine, create_share(engine, other.id, "look").code, MIA)
    open_share(engine, create_share(engine, project.id, "look").code, BEN)
    with writing(engine) as connection:
        connection.execute(sa.insert(turns).values(kind="run", owner=MIA, turn=7))
    note_visit(engine, BEN)
    delete_person(engine, MIA, home)
    for table in (people, guests, turns):
        assert MIA not in {row.owner for row in read_rows(engine, sa.select(table))}, table.name
    assert read_rows(engine, sa.select(guests)) == []
    assert read_projects(engine, MIA) == ([], [])
    assert owner_by_code(engine, code) is None
    assert [one.owner for one in list_people(engine)] == [BEN]
    assert len(read_projects(engine, BEN)[0]) == 1
    note_visit(engine, MIA)  # the same browser, at once
    assert read_person(engine, MIA).called != "Mia"


@pytest.mark.parametrize(("days", "kept"), [("0", 300), ("30", 20)])
def test_who_has_no_projects_and_comes_no_more_is_forgotten(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch, days: str, kept: int
) -> None:
    if days != "0":
        monkeypatch.setenv("TRANSFER_LAB_RETENTION_DAYS", days)
    today = int(time.time() // DAY_SECONDS)
    with writing(engine) as connection:
        connection.execute(sa.insert(server_days), [{"number": today - number} for number in range(500)])
        values = {"gone": 400, "kept": kept, "owner": 400, "removed": 400, "unknown": 0}
        for number, (owner, ago) in enumerate(values.items(), start=1):
            seen = 0.0 if owner == "unknown" else time.time() - ago * DAY_SECONDS
            row = {"owner": owner, "number": number, "seen": seen, "removed": owner == "removed"}
            connection.execute(sa.insert(people).values(**row))
    create_project(engine, "owner", "Still here")
    assert remove_unseen_people(engine, home) == 1
    assert [one.owner for one in list_people(engine)] == ["kept", "owner", "removed", "unknown"]


def test_a_clock_that_ran_ahead_makes_nobody_go(engine: sa.Engine, home: DataRoot) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(people).values(owner="old", number=1, seen=time.time() - 400 * DAY_SECONDS))
        connection.execute(sa.insert(server_days).values(number=int(time.time() // DAY_SECONDS)))
    assert remove_unseen_people(engine, home) == 0


def test_damaged_settings_of_the_class_let_nobody_new_in_and_close_nothing(engine: sa.Engine) -> None:
    create_project(engine, MIA, "Before")
    lock_code(engine, "Room 7b")
    admit(engine, BEN)
    with writing(engine) as connection:
        connection.execute(sa.update(class_settings).values(document="garbage"))
    assert not is_readable(engine)
    assert [is_admitted(engine, one) for one in (MIA, BEN, EVE)] == [True, True, False]
    with pytest.raises(UnreadableError):
        say_class_code(engine, EVE, "Room 7b")
