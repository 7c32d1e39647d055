"""Guessing of codes, slowed for everybody together: a new browser costs nothing, so a limit for each is not enough."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tlcore.errors import TransferLabError
from tlcore.settings.words import count

T = TypeVar("T")

WINDOW_SECONDS = 60.0


class Guesses:
    """Counts wrong codes of the last minute; by a clock that nobody sets.

    Args:
        of_one: So many wrong ones may come from one browser.
        of_all: So many may come from all together.
    """

    def __init__(self, of_one: int = 5, of_all: int = 60) -> None:
        self._of_one, self._of_all = of_one, of_all
        self._wrong: list[tuple[float, str]] = []
        self._lock = threading.Lock()

    def guess(self, browser: str, look: Callable[[], T | None]) -> T | None:
        """Look whether a code is right, unless too many were wrong.

        Args:
            browser: Who tries.
            look: Returns what the code leads to, `None` or `False` if it is wrong.

        Raises:
            TransferLabError: If it is too early for another one; it says how long to wait.
        """
        place = (time.monotonic(), browser)
        with self._lock:
            self._wrong = [one for one in self._wrong if place[0] - one[0] < WINDOW_SECONDS]
            own = [one for one in self._wrong if one[1] == browser]
            for wrong, most, whose in ((own, self._of_one, "here"), (self._wrong, self._of_all, "on this server")):
                if len(wrong) >= most:
                    seconds = math.ceil(WINDOW_SECONDS - (place[0] - wrong[-most][0]))
                    raise TransferLabError(
                        f"Too many wrong codes were tried {whose} in the last minute. Wait {count(seconds, 'second')}, "
                        "then try again."
                    )
            self._wrong.append(place)  # until it is known to be right, so that many at the same time count too
        is_wrong = False
        try:
            found = look()
            is_wrong = not found
        finally:
            if not is_wrong:
                with self._lock:
                    if place in self._wrong:
                        self._wrong.remove(place)
        return found


CODE_GUESSES = Guesses()
"""Of codes that lead to people."""

CLASS_CODE_GUESSES = Guesses()
