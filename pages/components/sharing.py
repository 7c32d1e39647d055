"""Sharing: the links of a project, what somebody who has one can do, and the words for guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.project_words import data_summary, result_summary
from pages.components.state import Context, Visit
from pages.components.text import label
from pages.components.travel_take import draw_take_project
from pages.server.door import said_addresses
from pages.server.private_streamlit import end_sessions
from pages.server.teacher import is_teacher
from tlcore.network import host_of, is_loopback
from tlcore.settings.locks import LOCKED, check_lock
from tlcore.storage.copies import copy_project
from tlcore.storage.projects import get_project
from tlcore.storage.sharing import (
    Share,
    ShareKind,
    create_share,
    damaged_shares,
    end_share,
    find_share,
    open_share,
    shares_for_all,
    shares_of,
    shares_opened,
)

SHARED_PAGE = "shared"
CODE = "code"
"""Names a link in an address."""

KIND_WORDS: Mapping[ShareKind, tuple[str, str]] = {
    "look": ("To look at", "Others see all of it and can try the models, but change nothing."),
    "pictures": ("A copy of the pictures", "Others get a project of their own with your pictures and settings."),
    "project": (
        "A copy of everything",
        "Others can look, and get a project of their own with your pictures, settings, models and results.",
    ),
}
ONLY_HERE = (
    "The app is open to this computer alone, so nobody else can open this link yet. For a class, start the app with "
    "--https; then take the link from here again."
)


def share_address(code: str, called: str | None) -> str:
    """Return the address of a link by which other computers can call it, where there is one.

    Args:
        code: The code of the link.
        called: The address by which this browser has called the page, `None` when nobody knows.
    """
    parts = urlsplit(called or "")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}" if parts.netloc else ""
    if not base or is_local(base):
        said = said_addresses()
        for_others = [one for one in said if not is_local(one)]
        base = next(iter(for_others), base or said[0])
    return f"{base}/{SHARED_PAGE}?{CODE}={code}"


def is_local(address: str) -> bool:
    """Whether an address leads to the very computer on which somebody types it."""
    host = host_of(urlsplit(address).netloc)
    return host is None or is_loopback(host)


def draw_share(context: Context) -> None:
    """Draw the button below which the links of a project are made, copied and ended."""
    with st.popover("Share", type="tertiary", icon=":material/share:", key="frame-share"):
        shares = shares_of(context.engine, context.project.id)
        there = {share.kind: share for share in shares if not share.for_all}
        st.markdown(
            "Whoever gets a link of yours can open it, until you end it. Pictures that you have deleted, or only asked "
            "a model about, are not given. Ask before you share photos of people."
        )
        for kind, (title, sentence) in KIND_WORDS.items():
            share = there.get(kind)
            st.markdown(f"**{title}**  \n{sentence}")
            if share is not None:
                _draw_link(context, share)
                continue
            st.button(
                "Make a link",
                key=f"share-{kind}",
                icon=":material/add_link:",
                help=f"{title}: {sentence}",
                on_click=_make,
                args=(context, kind),
            )
        for share in shares:
            if share.for_all:
                st.markdown(f"**On everybody's Home**  \n{KIND_WORDS[share.kind][1]}")
                _draw_end(context, share.code)
        for damaged in damaged_shares(context.engine, context.project.id):
            st.markdown("**A damaged link**  \nNobody can open it. End it, then make another one.")
            st.caption(label(damaged.reason))
            _draw_end(context, damaged.code)
        draw_take_project(context, context.project)


def _draw_link(context: Context, share: Share) -> None:
    address = share_address(share.code, st.context.url)
    st.code(address, language=None, wrap_lines=True)
    if is_local(address):
        st.caption(ONLY_HERE)
    _draw_end(context, share.code)


def _draw_end(context: Context, code: str) -> None:
    st.button(
        "End it",
        key=f"share-end-{code}",
        icon=":material/link_off:",
        help="From then on nobody sees anything of this project by it. Copies that others have made stay theirs.",
        on_click=_end,
        args=(context, code),
    )


def _make(context: Context, kind: ShareKind) -> None:
    with errors_kept():
        create_share(context.engine, context.project.id, kind)


def _end(context: Context, code: str) -> None:
    with errors_kept():
        end_link(context, code)


def end_link(visit: Visit, code: str) -> None:
    """End a link, and what those have on their screens who may look at the project no more.

    Raises:
        TransferLabError: If the link could not be ended.
    """
    end_share(visit.engine, code)

    def looks_no_more(owner: str, project: str | None) -> bool:
        return project is not None and not is_teacher(owner) and not shares_opened(visit.engine, project, owner)

    end_sessions(looks_no_more)


def giver_words(giver: str) -> str:
    """Say whose project it is, in Markdown; of somebody else where nobody knows what the owner is called."""
    return f"a project of **{label(giver)}**" if giver else "a project of somebody else"


def whose_words(share: Share) -> str:
    """Say in a sentence whose project a link gives, in Markdown; of what the teacher hands out, that it is the teacher.

    Anybody may call themselves Teacher, but only the teacher puts something on everybody's Home.
    """
    if share.for_all:
        return f":material/school: Handed out by your teacher. It is {giver_words(share.giver)}."
    return f"This is {giver_words(share.giver)}."


def shares_for(visit: Visit) -> list[Share]:
    """Return what was handed out to everybody, without what is this person's own."""
    return [share for share in shares_for_all(visit.engine) if share.owner != visit.owner]


def contents_words(visit: Visit, share: Share) -> str:
    """Say in a few words what a link gives, in Markdown of one or two lines.

    Raises:
        TransferLabError: If the project is gone or this version cannot read it.
    """
    project = get_project(visit.engine, share.project_id, share.owner)
    if share.kind == "pictures":
        return data_summary(visit, project)
    return f"{data_summary(visit, project)}  \n{result_summary(visit, project)}"


def is_copy_locked(visit: Visit, share: Share) -> bool:
    """Whether a copy would bring pictures while the teacher lets nobody; what was handed out to all may be taken."""
    return "pictures" in visit.locked and not share.for_all


def copy_state(visit: Visit, share: Share) -> dict[str, Any]:
    """Return the keyword arguments that say whether a button that makes a copy can be pressed, and why not."""
    return {"disabled": True, "help": LOCKED} if is_copy_locked(visit, share) else {}


def take(visit: Visit, share: Share) -> str:
    """Make the copy that a link allows, and return the id of the new project.

    Raises:
        TransferLabError: If the link was ended meanwhile, there is no room for the copy, the project is gone, or the
            teacher lets nobody bring pictures.
    """
    if not share.for_all:
        check_lock(visit.engine, "pictures")  # asks anew; pages remember what is locked for a second
    find_share(visit.engine, share.code)  # raises when the page that offers it is older than the end of the link
    with st.spinner("Making your copy"):
        with_runs = share.kind == "project"
        return copy_project(visit.engine, share.project_id, visit.owner, visit.home, with_runs=with_runs).id


def look(visit: Visit, share: Share) -> str:
    """Let this person look at the project of a link, and return its id.

    Raises:
        TransferLabError: If the link was ended meanwhile.
    """
    return open_share(visit.engine, share.code, visit.owner).project_id


def share_of_guest(context: Context) -> Share | None:
    """Return by which link this person looks at a project: one that allows a copy, if any does."""
    there = shares_opened(context.engine, context.project.id, context.owner)
    return next((share for share in there if share.lets_copy), there[0] if there else None)
