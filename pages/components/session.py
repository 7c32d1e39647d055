"""A session of a page: for one person from its beginning to its end, and only for those who may come in."""

from __future__ import annotations

from pages.components.leaving.component import load_anew
from pages.components.state import Visit, read_visit, session_person
from pages.server.identity import left_since
from tlcore.errors import TransferLabError
from tlcore.storage.admission import is_admitted


def visitor_at_the_door() -> Visit | None:
    """Return who must say the class code first; `None` for all others.

    A page of whom the browser is no longer is loaded anew before anything of it is drawn: the connection of an open
    tab keeps the identity of the moment at which it was made, and a tab that connects again would show what was
    typed and chosen under another one.
    """
    try:
        visit = read_visit()
        is_new = not is_admitted(visit.engine, visit.owner)
    except TransferLabError:  # every page says it itself
        return None
    person, began = session_person(visit.owner)
    if person != visit.owner or left_since(person, began):
        load_anew()
    return visit if is_new else None
