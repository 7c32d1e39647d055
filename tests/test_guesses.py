"""Guessing: whoever guesses waits, and nobody else is kept out by it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pages.server import guesses
from pages.server.guesses import LONGEST_TURN, MOST_WAITING, TURN_SECONDS, Guesser, Guesses, guesser_of_page, network_of
from tests.set_clock import Clock
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.people import admit, note_visit
from tlcore.storage.projects import create_project


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slowed(clock: Clock) -> Guesses:
    return Guesses(free=2, of_address=10, of_all=30, clock=clock, pause=clock.wait)


def is_looked_at(slowed: Guesses, who: Guesser) -> bool:
    """Guess wrong."""
    try:
        return slowed.guess(who, lambda: None) is None
    except TransferLabError:
        return False


def fresh(number: int, address: str = "10.0.0.9") -> Guesser:
    """A browser of a script that throws its cookie away after each guess."""
    return Guesser(f"cookie {number}", address)


def test_a_browser_waits_twice_as_long_after_each_wrong_guess(slowed: Guesses, clock: Clock) -> None:
    who, waits = Guesser("a"), []
    for _ in range(10):
        began = clock.now
        while not is_looked_at(slowed, who):
            clock.now += 1
        waits.append(clock.now - began)
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    with pytest.raises(TransferLabError, match=r"Wait 60 seconds"):
        slowed.guess(who, lambda: pytest.fail("looked all the same"))
    clock.now += 900
    assert slowed.guess(who, lambda: "found") == "found"


def test_what_is_right_or_fails_is_no_guess(slowed: Guesses) -> None:
    for _ in range(20):
        assert slowed.guess(Guesser("a"), lambda: "found") == "found"
        with pytest.raises(ZeroDivisionError):
            slowed.guess(Guesser("b"), lambda: 1 // 0)
    assert slowed._wrong == []


def test_one_script_with_new_cookies_keeps_nobody_out(slowed: Guesses, clock: Clock) -> None:
    """As fast as it can for half an hour; somebody at another address and a known one at the same try too."""
    began, looked, number = clock.now, 0, 0
    longest = {"elsewhere": 0.0, "known": 0.0}
    while clock.now - began < 1800:
        for _ in range(20):
            number += 1
            looked += is_looked_at(slowed, fresh(number))
        for one in (Guesser("elsewhere", "10.0.0.7"), Guesser("known", "10.0.0.9", is_known=True)):
            asked = clock.now
            assert slowed.guess(one, lambda: "found") == "found"
            longest[one.browser] = max(longest[one.browser], clock.now - asked)
    assert looked <= 30 + 1800 / TURN_SECONDS
    assert max(longest.values()) <= TURN_SECONDS


def test_behind_a_proxy_a_known_browser_does_not_wait_for_what_new_ones_guess(slowed: Guesses, clock: Clock) -> None:
    for number in range(15):
        assert is_looked_at(slowed, fresh(number, "10.0.0.1"))
    now = clock.now
    slowed.guess(Guesser("known", "10.0.0.1", is_known=True), lambda: "found")
    slowed.guess(Guesser("elsewhere", "10.0.0.2"), lambda: "found")
    assert clock.now == now
    slowed.guess(Guesser("new", "10.0.0.1"), lambda: "found")
    assert clock.now == now + TURN_SECONDS


def test_addresses_take_turns_and_then_browsers(slowed: Guesses, clock: Clock) -> None:
    line = [guesses._Guess(browser, group, 0.0) for browser, group in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "z"))]
    slowed._served = {"x": 5.0, "y": 3.0, "a": 5.0}
    ordered = [one.browser for one in sorted(line, key=slowed._order)]
    assert ordered == ["d", "c", "b", "a"]


def test_whoever_fills_the_line_makes_room_for_others(slowed: Guesses) -> None:
    for number in range(MOST_WAITING):
        slowed._line.append(guesses._Guess(f"cookie {number}", "network 10.0.0.9", 0.0))
    for number in range(30):
        slowed._wrong.append(guesses._Guess(f"cookie {number}", "network 10.0.0.9", slowed._clock()))
    slowed._served["network 10.0.0.9"] = slowed._clock()
    assert slowed.guess(Guesser("pupil", "10.0.0.7"), lambda: "found") == "found"
    assert len(slowed._line) == MOST_WAITING - 1


def test_a_turn_that_does_not_come_is_said_and_nothing_was_looked_at(slowed: Guesses, clock: Clock) -> None:
    first = guesses._Guess("first", "network 10.0.0.9", 0.0, lot=-1)
    slowed._line.append(first)  # and never goes
    for number in range(10):
        slowed._wrong.append(guesses._Guess(f"cookie {number}", "network 10.0.0.9", clock.now))
    with pytest.raises(TransferLabError, match=f"within {LONGEST_TURN:.0f} seconds. It was not looked at"):
        slowed.guess(fresh(99), lambda: pytest.fail("looked all the same"))
    assert slowed._line == [first]
    assert len(slowed._wrong) == 10


def test_many_at_the_same_time_count_each_and_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "TURN_SECONDS", 0.02)
    monkeypatch.setattr(guesses, "POLL_SECONDS", 0.002)
    slowed, barrier, looked = Guesses(free=3, of_address=4), threading.Barrier(8), []

    def one_browser(_number: int) -> bool:
        barrier.wait()
        return is_looked_at(slowed, Guesser("a", "10.0.0.1", is_known=True))

    def many_browsers(number: int) -> bool:
        barrier.wait()
        return slowed.guess(fresh(number), lambda: looked.append(slowed._clock())) is None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one_browser, range(8))) == 3
        assert all(pool.map(many_browsers, range(8)))
    assert sorted(looked)[7] - sorted(looked)[4] >= 3 * 0.02 - 0.01  # the last four by turns


def test_an_address_is_a_network_where_one_computer_has_many(home: DataRoot) -> None:
    assert network_of("2001:db8:1:2:aaaa::1") == network_of("2001:db8:1:2::7%eth0") == "2001:db8:1:2::"
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of(None) == "this computer"
    assert network_of("strange") == "strange"


def test_known_is_who_came_in_or_has_projects_and_not_who_only_looked(home: DataRoot) -> None:
    engine = open_database(home)
    looked, admitted, owns = "l" * 24, "a" * 24, "p" * 24
    note_visit(engine, looked)
    admit(engine, admitted)
    create_project(engine, owns, "Pets")
    assert [guesser_of_page(engine, one).is_known for one in (looked, admitted, owns)] == [False, True, True]
