"""The disk of the server: what is free, what takes it, and what can be made again."""

from __future__ import annotations

import shutil

import streamlit as st

from pages.components.amounts import file_size
from pages.components.cache_words import CACHE_NAMES
from pages.components.state import Visit
from pages.components.teacher.people import everybody
from pages.components.teacher.question import ask, draw_question
from pages.components.teacher.room import room_watch
from pages.components.text import label, plain
from pages.server.teacher import check_teacher
from tlcore.home import DataRoot
from tlcore.storage.pieces import REMADE, give_up_all
from tlcore.storage.usage import CacheKind, caches_of

MEASURED_SECONDS = 60.0
MOST_PEOPLE = 10
_EMPTY = "empty"


def draw_disk(visit: Visit) -> None:
    """Draw what is free, what caches and people take, and a way to make room."""
    disk = shutil.disk_usage(visit.home.path)
    with st.container(horizontal=True):
        st.metric("Free", file_size(disk.free), width="content")
        st.metric("Of", file_size(disk.total), width="content")
    st.subheader("What all projects share", anchor=False)
    caches = _caches(visit.home)
    st.table(
        {"What": [CACHE_NAMES[kind] for kind in caches], "Size": [file_size(size) for size in caches.values()]},
        hide_index=True,
        border="horizontal",
    )
    remade = sum(caches[kind] for kind in REMADE)
    st.button(
        f"Empty what is made again ({file_size(remade)})",
        key="empty-caches",
        icon=":material/cleaning_services:",
        disabled=not remade,
        on_click=ask,
        args=(_EMPTY,),
    )
    _ask_to_empty(visit, remade)
    _draw_largest(visit)


def _draw_largest(visit: Visit) -> None:
    room = room_watch(visit).known()
    largest = sorted(everybody(visit), key=lambda person: -room.get(person.owner, (0, 0))[1])[:MOST_PEOPLE]
    shown = [person for person in largest if room.get(person.owner, (0, 0))[1]]
    if not shown:
        return
    st.subheader("Who takes most", anchor=False)
    st.table(
        {
            "Person": [label(plain(person.called, 40)) for person in shown],
            "On the disk": [file_size(room[person.owner][1]) for person in shown],
        },
        hide_index=True,
        border="horizontal",
    )
    st.caption("To make room, delete projects of a person on People. Each person frees room on the page Storage too.")


@st.cache_data(ttl=MEASURED_SECONDS, max_entries=4, show_spinner=False)
def _caches(home: DataRoot) -> dict[CacheKind, int]:
    return caches_of(home)


def _ask_to_empty(visit: Visit, num_bytes: int) -> None:
    def empty() -> None:
        check_teacher(visit.owner)
        _caches.clear()
        give_up_all(visit.engine, (), REMADE, visit.home)

    names = "\n".join(f"- {CACHE_NAMES[kind]}" for kind in REMADE)
    draw_question(
        _EMPTY,
        f"{file_size(num_bytes)} become free. Nobody loses anything; the next runs begin more slowly:\n\n{names}",
        keep="Keep",
        go_on="Empty",
        icon=":material/cleaning_services:",
        act=empty,
    )
