"""What everybody takes on the disk: looked up beside the pages, as thousands of folders take seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import sqlalchemy as sa
import streamlit as st

from pages.components.state import Visit
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.storage.overview import count_projects_by_person
from tlcore.storage.usage import usage_of

AGAIN_SECONDS = 120.0
"""How old what is known may be while somebody looks."""

Room = tuple[int, int]
"""How many different pictures somebody has, and what all of it takes in bytes."""


class RoomWatch:
    """Knows what people take as of a while ago, and looks again in a thread of its own when somebody asks.

    Args:
        engine: The database.
        home: The data root.
    """

    def __init__(self, engine: sa.Engine, home: DataRoot) -> None:
        self._engine = engine
        self._home = home
        self._known: dict[str, Room] = {}
        self._looked = float("-inf")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def known(self) -> dict[str, Room]:
        """Return what is known by identity; who is missing has nothing, or was not looked up yet."""
        with self._lock:
            is_looking = self._thread is not None and self._thread.is_alive()
            if not is_looking and time.monotonic() - self._looked > AGAIN_SECONDS:
                self._thread = threading.Thread(target=self._look, name="room-watch", daemon=True)
                self._thread.start()
            return dict(self._known)

    def wait(self) -> None:
        """Wait until the look that goes on has ended."""
        if self._thread is not None:
            self._thread.join()

    def forget(self) -> None:
        """Look again when somebody asks next: something was deleted."""
        self._looked = float("-inf")

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            owners = count_projects_by_person(self._engine)
            self._keep(owners)
            for owner in owners:
                usage = usage_of(self._engine, owner, self._home)
                with self._lock:
                    self._known[owner] = (usage.pictures, usage.total)
        except TransferLabError:  # the page itself says what is wrong with the disk or the database
            self.forget()

    def _keep(self, owners: Iterable[str]) -> None:
        with self._lock:
            self._known = {owner: self._known[owner] for owner in owners if owner in self._known}


@st.cache_resource(max_entries=4, show_spinner=False)
def _watch(_engine: sa.Engine, home: DataRoot) -> RoomWatch:
    return RoomWatch(_engine, home)


def room_watch(visit: Visit) -> RoomWatch:
    """Return the one watch of a data root."""
    return _watch(visit.engine, visit.home)
