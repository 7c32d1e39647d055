"""Cookies as the server gives them out, for tests that are somebody."""

from __future__ import annotations

from tlcore.home import DataRoot
from tlcore.storage.identities import read_identities

COOKIE = "lab_user"


def signed(owner: str, home: DataRoot | None = None) -> str:
    """Return what the browser of an owner keeps, of the configured data root when none is given."""
    return read_identities(DataRoot.configured() if home is None else home).signed(owner)


def cookie_of(owner: str, home: DataRoot | None = None) -> str:
    """Return the header with that cookie."""
    return f"{COOKIE}={signed(owner, home)}"
