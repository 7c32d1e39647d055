"""Whose turn it is to get a heat map of what the camera sees: one at a time, and never more than half of the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

LEAST_PAUSE_SECONDS = 1.0
"""From one heat map of a camera to its next."""

T = TypeVar("T")


class HeatTurns:
    """Lets one camera at a time compute a heat map, and rests as long as that took; who comes meanwhile goes without.

    A class of thirty with their cameras on one small computer still gets its answers: heat maps just come less often.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rests_until = 0.0

    def take(self, compute: Callable[[], T]) -> T | None:
        """Return what is computed; `None`, at once, while another map is being computed or it is time to rest."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            started = self._clock()
            if started < self._rests_until:
                return None
            try:
                return compute()
            finally:
                ended = self._clock()
                self._rests_until = ended + (ended - started)
        finally:
            self._lock.release()


@st.cache_resource(show_spinner=False)
def heat_turns() -> HeatTurns:
    """Return those of this server, for everybody's camera."""
    return HeatTurns()
