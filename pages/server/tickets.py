"""Tickets: what lets one browser do one thing, once and soon, at an address of ours that answers without a page.

A page cannot give its browser a cookie; an answer can. So the page decides, and sends the browser there with a ticket.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import Request

from tlcore.errors import TransferLabError

TICKET_SECONDS = 60.0
MOST_TICKETS = 1000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ticket(Generic[T]):
    owner: str
    what: T
    until: float


class Tickets(Generic[T]):
    """Those of one kind that wait to be used."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Ticket[T]] = {}
        self._lock = threading.Lock()

    def give(self, owner: str, what: T) -> str:
        """Return a new ticket, good for `TICKET_SECONDS`.

        Args:
            owner: Whose browser may use it: a foreign page that knows a ticket does nothing with it.
            what: What it is for; that it may be done was decided before.

        Raises:
            TransferLabError: If too many wait.
        """
        name, now = secrets.token_urlsafe(24), time.monotonic()
        with self._lock:
            for old in [one for one, ticket in self._waiting.items() if ticket.until < now]:
                del self._waiting[old]
            if len(self._waiting) >= MOST_TICKETS:
                raise TransferLabError("Too many people do this just now. Wait a minute, then try again.")
            self._waiting[name] = _Ticket(owner, what, now + TICKET_SECONDS)
        return name

    def use(self, request: Request, owner: str | None) -> T | None:
        """Return what the ticket in an address is for, for the last time; `None` if it does not count.

        Args:
            request: Carries it as `ticket`. A page of another site is refused though it cannot know one; old browsers
                do not say who asks.
            owner: Who asks.
        """
        name = request.query_params.get("ticket", "")
        with self._lock:
            ticket = self._waiting.get(name)
            if ticket is None or ticket.owner != owner or ticket.until < time.monotonic():
                return None
            if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
                return None
            del self._waiting[name]
            return ticket.what

    def waiting(self) -> list[tuple[str, T]]:
        """Return whose tickets wait, and what for."""
        return [(ticket.owner, ticket.what) for ticket in self._waiting.values()]

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
