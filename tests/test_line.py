"""The line of waiting jobs: people take turns, everybody knows their place, and about how long it takes."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa

from pages.components.line_words import place_words
from tlcore.home import DataRoot
from tlcore.jobs.line import Place, durations_of, place_in_line, waiting_seconds
from tlcore.jobs.slots import SLOTS_VARIABLE
from tlcore.storage import jobs as storage_jobs
from tlcore.storage.database import jobs, open_database, runs, turns, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import (
    Ahead,
    JobKind,
    JobStatus,
    claim_job,
    end_job,
    get_job,
    insert_job,
    jobs_ahead,
    list_jobs,
    queue_position,
    request_stop,
    requeue_job,
)
from tlcore.storage.projects import create_project

PEOPLE = ("ann", "ben", "cleo", "dan", "eve")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@dataclass
class SchoolClass:
    """People with a project each, who put jobs in line and have them taken out of it."""

    engine: sa.Engine
    projects: dict[str, str] = field(default_factory=dict)

    def put(self, owner: str, number: int = 1, kind: JobKind = "run") -> list[str]:
        """Put jobs of somebody in line."""
        if owner not in self.projects:
            self.projects[owner] = create_project(self.engine, owner, "Cats").id
        with writing(self.engine) as connection:
            return [insert_job(connection, kind, self.projects[owner]) for _ in range(number)]

    def take(self, kind: JobKind = "run") -> JobStatus:
        """Claim the job whose turn it is."""
        job = claim_job(self.engine, kind)
        assert job is not None
        return job

    def owner_of(self, job: JobStatus) -> str:
        """Return whose a job is."""
        return next(owner for owner, project_id in self.projects.items() if project_id == job.project_id)

    def serve(self, number: int, kind: JobKind = "run") -> str:
        """Let jobs work one after the other; return the first letters of whose they were."""
        owners = []
        for _ in range(number):
            job = self.take(kind)
            owners.append(self.owner_of(job))
            end_job(self.engine, job.id, job.attempt, "finished")
        return "".join(owner[0] for owner in owners)

    def line(self, kind: JobKind = "run") -> list[str]:
        """Return the ids of the waiting jobs by their place, which must be a different one for each."""
        waiting = [job for job in list_jobs(self.engine, states=("queued",)) if job.kind == kind]
        places = {queue_position(self.engine, job): job.id for job in waiting}
        working = sum(job.kind == kind for job in list_jobs(self.engine, states=("starting", "running")))
        assert sorted(places) == list(range(working, working + len(waiting)))
        return [places[place] for place in sorted(places)]


@pytest.fixture
def lab(engine: sa.Engine) -> SchoolClass:
    return SchoolClass(engine)


def test_five_people_with_twenty_runs_each_get_their_first_within_the_first_five(lab: SchoolClass) -> None:
    for owner in PEOPLE:
        lab.put(owner, 20)
    in_turn = lab.serve(100)
    assert in_turn == "abcde" * 20


def test_who_comes_late_waits_for_nobodys_second_run(lab: SchoolClass) -> None:
    lab.put("ann", 20)
    assert lab.serve(7) == "aaaaaaa"
    lab.put("ben", 3)
    assert lab.serve(5) == "babab"
    lab.put("cleo")
    assert lab.serve(4) == "caaa"


def test_who_had_a_turn_does_not_get_the_next_by_coming_back(lab: SchoolClass) -> None:
    lab.put("ann", 5)
    lab.put("ben")
    assert lab.serve(2) == "ab"
    lab.put("ben")
    assert lab.serve(3) == "aba"


def test_each_kind_has_a_line_of_its_own(lab: SchoolClass) -> None:
    lab.put("ann", 3)
    lab.put("ann", 2, "import")
    lab.put("ben", 2, "import")
    assert lab.serve(3) == "aaa"
    assert lab.serve(4, "import") == "abab"


def test_deleting_a_project_brings_no_turn_back(lab: SchoolClass) -> None:
    lab.put("ann", 4)
    lab.put("ben", 4)
    assert lab.serve(1) == "a"
    job = lab.take()
    assert lab.owner_of(job) == "ben"
    end_job(lab.engine, job.id, job.attempt, "finished")
    delete_project(lab.engine, lab.projects.pop("ben"), DataRoot.configured())
    lab.put("ben", 4)
    assert lab.serve(4) == "abab"


def test_a_job_that_goes_on_has_had_its_turn_already(lab: SchoolClass) -> None:
    first, _ = lab.put("ann", 2)
    lab.put("ben", 2)
    job = lab.take()
    assert job.id == first
    assert requeue_job(lab.engine, first, job.attempt)
    assert lab.line()[0] == first
    again = lab.take()
    assert (again.id, again.attempt) == (first, 2)
    end_job(lab.engine, first, 2, "finished")
    assert lab.serve(3) == "bab"


def test_a_clock_that_is_set_back_changes_nobodys_turn(lab: SchoolClass, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.put("ann", 6)
    lab.put("ben", 6)
    assert lab.serve(3) == "aba"
    monkeypatch.setattr(storage_jobs, "now", lambda: 1000.0)
    lab.put("ann", 3)
    assert lab.serve(6) == "bababa"


def test_a_database_from_before_turns_goes_on_with_the_oldest(lab: SchoolClass, home: DataRoot) -> None:
    lab.put("ann", 2)
    lab.put("ben", 2)
    with writing(lab.engine) as connection:
        turns.drop(connection)
    lab.engine.dispose()
    lab.engine = open_database(home)
    assert lab.serve(4) == "abab"


@pytest.mark.parametrize("seed", range(6))
def test_turns_are_fair_whatever_happens_and_places_are_kept(lab: SchoolClass, seed: int) -> None:
    chance = random.Random(seed)
    kinds: tuple[JobKind, ...] = ("run", "import")
    last_turn: dict[tuple[str, JobKind], int] = {}
    claims = 0
    for _ in range(60):
        kind = chance.choice(kinds)
        waiting = [job for job in list_jobs(lab.engine, states=("queued",)) if job.kind == kind]
        working = [job for job in list_jobs(lab.engine, states=("starting",)) if job.kind == kind]
        happening = chance.choice(("put", "put", "claim", "claim", "end", "stop", "requeue"))
        if happening == "put":
            lab.put(chance.choice(PEOPLE), chance.randint(1, 4), kind)
        elif happening == "claim" and waiting:
            line = lab.line(kind)
            job = lab.take(kind)
            claims += 1
            assert job.id == line[0]
            owner = lab.owner_of(job)
            if job.attempt == 1:
                # Nobody who waits has waited for longer since the last turn, and nothing waits that began already.
                assert not any(other.attempt for other in waiting)
                others = {lab.owner_of(other) for other in waiting}
                assert last_turn.get((owner, kind), 0) == min(last_turn.get((other, kind), 0) for other in others)
                last_turn[owner, kind] = claims
                # Their own jobs go in the order in which they came.
                assert job.created == min(other.created for other in waiting if lab.owner_of(other) == owner)
            else:
                assert job.id in {other.id for other in waiting if other.attempt}
        elif happening == "end" and working:
            end_job(lab.engine, (ends := chance.choice(working)).id, ends.attempt, "finished")
        elif happening == "stop" and waiting:
            request_stop(lab.engine, chance.choice(waiting).id)
        elif happening == "requeue" and working:
            requeue_job(lab.engine, (back := chance.choice(working)).id, back.attempt)
    assert claims
    # When nobody comes any more, jobs are taken in the very order that the places said, ends or no ends.
    for kind in kinds:
        line = lab.line(kind)
        taken: list[str] = []
        while (claimed := claim_job(lab.engine, kind)) is not None:
            taken.append(claimed.id)
            if chance.random() < 0.5:
                end_job(lab.engine, claimed.id, claimed.attempt, "finished")
        assert taken == line


@pytest.mark.parametrize("seed", range(3))
def test_nobody_gets_two_turns_while_another_waits_for_one(lab: SchoolClass, seed: int) -> None:
    chance = random.Random(seed)
    numbers = {owner: chance.randint(1, 20) for owner in PEOPLE}
    for owner in chance.sample(PEOPLE, len(PEOPLE)):
        lab.put(owner, numbers[owner])
    with writing(lab.engine) as connection:  # as by a clock that is too coarse to tell them apart
        connection.execute(sa.update(jobs).values(created=1.0))
    left, served, since = Counter(numbers), Counter[str](), defaultdict[str, int](int)
    for _ in range(sum(numbers.values())):
        owner = lab.owner_of(lab.take())
        left[owner] -= 1
        served[owner] += 1
        since[owner] = 0
        for other in PEOPLE:
            if left[other] and other != owner:
                since[other] += 1
                assert since[other] < len(PEOPLE)
    assert served == numbers


# Place and time


def place_of(engine: sa.Engine, job_id: str, owner: str) -> Place:
    """Return the place of a job as its page asks for it."""
    job = get_job(engine, job_id)
    return place_in_line(engine, job, owner, durations_of(engine, job.kind))


def test_an_hour_of_waiting_for_room_does_not_make_the_line_longer(lab: SchoolClass, engine: sa.Engine) -> None:
    for seconds, summary in ((3640.0, '{"seconds": 40.0}'), (100.0, '{"seconds": 95.0}'), (100.0, "garbage")):
        (run_id,) = lab.put("ann")
        lab.serve(1)
        values = {"number": 1, "version": 1, "config": "{}", "summary": summary}
        with writing(engine) as connection:
            connection.execute(sa.insert(runs).values(job_id=run_id, **values))
            connection.execute(sa.update(jobs).where(jobs.c.id == run_id).values(started=1.0, ended=1.0 + seconds))
    assert sorted(durations_of(engine, "run")) == [40.0, 100.0, 100.0]


def test_the_place_counts_those_of_others_too(lab: SchoolClass, engine: sa.Engine) -> None:
    lab.put("ann", 3)
    (theirs,) = lab.put("ben")
    assert place_of(engine, theirs, "ben") == Place(1, 1, None)
    lab.take()
    second = get_job(engine, lab.line()[1])
    assert lab.owner_of(second) == "ann"
    assert place_of(engine, second.id, "ann") == Place(2, 1, None)
    assert [(one.owner, one.works) for one in jobs_ahead(engine, second)] == [("ann", True), ("ben", False)]


def test_how_long_it_takes_follows_the_runs_that_finished_last(
    lab: SchoolClass, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.put("ann", 8)
    *_, last = lab.line()
    for seconds, state in ((60.0, "finished"), (90.0, "finished"), (9000.0, "finished"), (1.0, "stopped")):
        job = lab.take()
        end_job(engine, job.id, 1, state)  # type: ignore[arg-type]
        with writing(engine) as connection:
            ended = sa.update(jobs).where(jobs.c.id == job.id)
            connection.execute(ended.values(started=jobs.c.ended - seconds))
    place = place_of(engine, last, "ann")
    assert place.ahead == 3
    assert place.seconds == pytest.approx(3 * 90, abs=0.01)
    monkeypatch.setenv(SLOTS_VARIABLE, "3")
    place = place_of(engine, last, "ann")
    assert place.seconds == pytest.approx(90, abs=0.01)


WORKS, WAITS = Ahead("ann", True, 1000.0), Ahead("ben", False, None)


@pytest.mark.parametrize(
    ("ahead", "slots", "now", "seconds"),
    [
        ([WORKS], 1, 1000.0, 60.0),
        ([WORKS], 1, 1045.0, 15.0),
        ([WORKS], 1, 1061.0, None),  # it should have ended, so nobody knows
        ([WORKS], 1, 500.0, 60.0),  # a clock that was set back
        ([WORKS, WAITS, WAITS], 1, 1045.0, 135.0),
        ([WORKS, WAITS, WAITS], 1, 1061.0, 120.0),
        ([WORKS, WORKS, WAITS], 2, 1045.0, 15.0),
        ([WORKS, WORKS, WAITS, WAITS], 2, 1045.0, 75.0),
        ([WORKS, WAITS], 2, 1045.0, 15.0),  # the other slot is taken by the one that waits
        ([WORKS, WORKS], 1, 1045.0, 15.0),
    ],
)
def test_a_slot_is_free_when_those_ahead_have_ended(
    ahead: list[Ahead], slots: int, now: float, seconds: float | None
) -> None:
    assert waiting_seconds(ahead, [60.0, 50.0, 70.0], slots, now) == seconds


def test_without_a_finished_run_nobody_knows() -> None:
    assert waiting_seconds([WORKS, WAITS], [], 1, 1000.0) is None


def test_what_gives_way_promises_no_time(lab: SchoolClass, engine: sa.Engine) -> None:
    lab.put("ann", 3, "measure")
    lab.serve(1, "measure")
    assert place_of(engine, lab.line("measure")[1], "ann") == Place(1, 0, None)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(0, 0, None), ""),
        (Place(1, 0, None), "you are 2nd in line; 1 run of yours goes first"),
        (Place(2, 2, 200.0), "you are 3rd in line; 2 runs of others go first, about 4 min"),
        (Place(1, 1, 40.0), "you are 2nd in line; 1 run of others goes first, about 40 s"),
        (Place(12, 5, 600.0), "you are 13th in line; 12 runs, 5 of them of others, go first, about 10 min"),
    ],
)
def test_a_place_in_words(place: Place, words: str) -> None:
    assert place_words(place, "run") == words


def test_a_line_of_a_thousand_is_read_in_a_moment(lab: SchoolClass, engine: sa.Engine) -> None:
    for owner in PEOPLE:
        lab.put(owner, 200)
    (last,) = lab.put("ann")
    began = time.process_time()
    assert queue_position(engine, get_job(engine, last)) == 1000
    assert time.process_time() - began < 0.5  # thirty pages ask about once a second
