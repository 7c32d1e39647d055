"""Guessing of codes and passwords, slowed without keeping anybody out because of somebody else.

Each browser waits longer after each wrong guess of its own. A new browser costs nothing, so what new ones have guessed
counts together for each network address as well, and everything together. Above these limits nothing is refused, but
guesses are looked at one after the other, slowly, in a line in which addresses take turns, and browsers of an address.
Whoever is known here, even where a proxy gives all the same address, takes turns as an address of their own.
"""

from __future__ import annotations

import ipaddress
import math
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import sqlalchemy as sa
import streamlit as st

from tlcore.errors import StorageError, TransferLabError
from tlcore.settings.words import count
from tlcore.storage.people import count_projects, read_person

T = TypeVar("T")

FORGET_SECONDS = 900.0
"""After so long a browser's own wrong guess is forgotten."""

WINDOW_SECONDS = 3600.0
"""In which the wrong guesses of an address, and of all, are counted."""

LONGEST_WAIT = 60.0
TURN_SECONDS = 3.0
"""Above a limit, one guess in so long: 1,200 an hour, whatever comes."""

LONGEST_TURN = 30.0
"""A page does not wait for its turn for longer."""

LOOKING = "One moment: where many guess just now, this takes its turn."
"""What a page says meanwhile."""

MOST_WAITING = 60
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Guesser:
    """Who guesses.

    Attributes:
        browser: Its identity.
        address: The network address from which it comes, `None` on the computer of the server.
        is_known: Whether it has come in before, or has projects: it is not one of many that a script makes.
    """

    browser: str
    address: str | None = None
    is_known: bool = False

    @property
    def group(self) -> str:
        """With whom it takes turns: alone where it is known, else with all at its address."""
        return f"browser {self.browser}" if self.is_known else f"network {network_of(self.address)}"


def guesser_of_page(engine: sa.Engine, owner: str) -> Guesser:
    """Return who guesses on a page.

    Args:
        engine: The database.
        owner: The identity of the browser.
    """
    is_known = False
    with suppress(StorageError):
        is_known = read_person(engine, owner).admitted or count_projects(engine, owner) > 0
    return Guesser(owner, st.context.ip_address, is_known)


def network_of(address: str | None) -> str:
    """Return what counts as one address: with IPv6 a home or a school has 2^64 of them, which begin alike."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or "this computer"
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False).network_address
    return str(parsed)


@dataclass(frozen=True, slots=True, eq=False)
class _Guess:
    """One that was wrong, or is not known to be right yet."""

    browser: str
    group: str
    at: float
    lot: int = field(default_factory=lambda: secrets.randbits(64))


class Guesses:
    """Counts what was wrong, and lets guesses in.

    Args:
        what: What is guessed, in the plural.
        free: So many wrong ones of a browser cost no waiting, as anybody mistypes.
        of_address: So many of an hour from one address are looked at at once, of browsers that are not known.
        of_all: So many from all together.
        clock: Seconds that only grow.
        pause: Waits for some seconds.
    """

    def __init__(
        self,
        what: str = "codes",
        *,
        free: int = 5,
        of_address: int = 60,
        of_all: int = 300,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._what, self._free, self._of_address, self._of_all = what, free, of_address, of_all
        self._clock, self._pause = clock, pause
        self._wrong: list[_Guess] = []
        self._line: list[_Guess] = []
        self._next = float("-inf")
        self._served: dict[str, float] = {}
        self._lock = threading.Lock()

    def guess(self, who: Guesser, look: Callable[[], T | None]) -> T | None:
        """Look whether a guess is right, perhaps after some seconds.

        Args:
            who: Who guesses.
            look: Returns what the guess leads to, `None` or `False` if it is wrong.

        Raises:
            TransferLabError: If it is too early after wrong ones of this browser, or its turn does not come soon.
        """
        with self._lock:
            now = self._clock()
            self._wrong = [one for one in self._wrong if now - one.at < WINDOW_SECONDS]
            wait = self._wait_of(who.browser, now)
            if wait > 0:
                raise TransferLabError(
                    f"Too many wrong {self._what} were tried here. Wait {count(math.ceil(wait), 'second')}, "
                    "then try again. So nobody can guess."
                )
            guess = _Guess(who.browser, who.group, now)
            is_slow = self._is_over(who)
            if is_slow:
                self._stand_in_line(guess)
            self._wrong.append(guess)  # until it is known to be right, so that many at the same time count too
        is_wrong = False
        try:
            if is_slow:
                self._take_turn(guess)
            found = look()
            is_wrong = not found
        finally:
            with self._lock:
                if guess in self._line:  # nobody may wait behind one that has gone
                    self._line.remove(guess)
                if not is_wrong and guess in self._wrong:
                    self._wrong.remove(guess)
        return found

    def _wait_of(self, browser: str, now: float) -> float:
        own = [one.at for one in self._wrong if one.browser == browser and now - one.at < FORGET_SECONDS]
        if len(own) < self._free:
            return 0.0
        return float(min(LONGEST_WAIT, 2.0 ** (len(own) - self._free)) - (now - max(own)))

    def _is_over(self, who: Guesser) -> bool:
        """Whether this guess has to stand in line: too many of its address, or of all, were wrong."""
        if len(self._wrong) >= self._of_all:
            return True
        return not who.is_known and sum(one.group == who.group for one in self._wrong) >= self._of_address

    def _stand_in_line(self, guess: _Guess) -> None:
        """Join; where the line is full, somebody of the group that fills it goes."""
        if len(self._line) >= MOST_WAITING:
            groups = Counter(one.group for one in (*self._line, guess))
            most = max(groups.values())
            out = secrets.choice([one for one in (*self._line, guess) if groups[one.group] == most])
            if out is guess:
                raise self._too_many()
            self._line.remove(out)
        self._line.append(guess)

    def _take_turn(self, guess: _Guess) -> None:
        until = self._clock() + LONGEST_TURN
        while True:
            with self._lock:
                now = self._clock()
                if guess not in self._line:
                    raise self._too_many()
                if now >= self._next and min(self._line, key=self._order) is guess:
                    self._line.remove(guess)
                    self._next = now + TURN_SECONDS
                    self._served = {one: at for one, at in self._served.items() if now - at < WINDOW_SECONDS}
                    self._served[guess.group] = self._served[guess.browser] = now
                    return
                if now >= until:
                    raise self._too_many()
                rest = self._next - now
            self._pause(max(rest, POLL_SECONDS))

    def _order(self, guess: _Guess) -> tuple[float, float, int]:
        """Whose turn was longest ago: of the addresses, then of the browsers there, then by lot."""
        never = float("-inf")
        return self._served.get(guess.group, never), self._served.get(guess.browser, never), guess.lot

    def _too_many(self) -> TransferLabError:
        return TransferLabError(
            f"Many {self._what} are tried on this server just now, so they are looked at in turn, and yours did not "
            f"come up within {LONGEST_TURN:.0f} seconds. It was not looked at: try again."
        )


CODE_GUESSES = Guesses()
"""Of codes that lead to people."""

CLASS_CODE_GUESSES = Guesses()
