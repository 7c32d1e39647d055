"""What stands on everybody's Home: a data set, or a whole project, handed out by the teacher."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.sharing import KIND_WORDS, end_link
from pages.components.state import Visit
from pages.components.text import distinct, label, plain
from pages.server.teacher import check_teacher
from tlcore.storage.overview import list_all_projects
from tlcore.storage.sharing import ShareKind, create_share, damaged_shares, shares_for_all

NAME_LENGTH = 40


def draw_hand_out(visit: Visit, called: Callable[[str], str]) -> None:
    """Draw what is handed out, with a way to take it back, and what can be.

    Args:
        visit: The teacher's.
        called: Returns what the person of an identity is called, as typed.
    """
    st.subheader("On everybody's Home", anchor=False)
    handed_out = shares_for_all(visit.engine)
    if not handed_out:
        st.markdown("Nothing is handed out.")
    for share in handed_out:
        with st.container(horizontal=True, vertical_alignment="center", key=f"share-{share.code}"):
            st.markdown(f"**{label(plain(share.name, NAME_LENGTH))}**  \n{KIND_WORDS[share.kind][0]}", width=360)
            st.button(
                "Take it back",
                key=f"take-back-{share.code}",
                icon=":material/undo:",
                help="It goes from everybody's Home. Copies that were taken stay.",
                on_click=_take_back,
                args=(visit, share.code),
            )
    for damaged in damaged_shares(visit.engine):
        with st.container(horizontal=True, vertical_alignment="center", key=f"share-{damaged.code}"):
            st.markdown(
                f"**A damaged link** to {label(plain(damaged.name, NAME_LENGTH))}: nobody can open it.", width=360
            )
            st.button(
                "End it",
                key=f"take-back-{damaged.code}",
                icon=":material/link_off:",
                on_click=_take_back,
                args=(visit, damaged.code),
            )
    _draw_choice(visit, called)


def _draw_choice(visit: Visit, called: Callable[[str], str]) -> None:
    st.subheader("Hand out", anchor=False)
    projects = {project.id: project for project in list_all_projects(visit.engine)}
    own_first = sorted(projects, key=lambda one: projects[one].owner != visit.owner)

    def title(project_id: str) -> str:
        project = projects[project_id]
        name = plain(project.name, NAME_LENGTH)
        whose = "" if project.owner == visit.owner else f", of {plain(called(project.owner), NAME_LENGTH)}"
        return f"{name}{whose}"

    chosen = st.selectbox(
        "Which project?",
        own_first,
        format_func=distinct({one: title(one) for one in own_first}).__getitem__,
        index=None,
        placeholder="One of yours, or of a student",
        key="hand-out-project",
    )
    kind: ShareKind = st.segmented_control(
        "What of it?",
        list(KIND_WORDS),
        format_func=lambda one: KIND_WORDS[one][0],
        required=True,
        default="pictures",
        key="hand-out-kind",
    )
    st.caption(KIND_WORDS[kind][1])
    st.button(
        "Hand it out to everyone",
        key="hand-out",
        icon=":material/share:",
        disabled=chosen is None,
        on_click=_hand_out,
        args=(visit, chosen, kind),
    )


def _hand_out(visit: Visit, project_id: str, kind: ShareKind) -> None:
    with errors_kept():
        check_teacher(visit.owner)
        create_share(visit.engine, project_id, kind, for_all=True)


def _take_back(visit: Visit, code: str) -> None:
    with errors_kept():
        check_teacher(visit.owner)
        end_link(visit, code)
