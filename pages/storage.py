"""Storage page: what takes room on the disk, and what of it can go."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from pages.components.amounts import file_size
from pages.components.cache_words import CACHE_NAMES
from pages.components.colors import is_dark
from pages.components.errors import errors_shown, one_part, show_error
from pages.components.frame import HOME_PAGE, primary_action
from pages.components.gallery import page_of
from pages.components.shown_settings import leave_settings
from pages.components.state import Visit, read_visit
from pages.components.text import count, label, plain
from pages.server.shared import is_shared_server
from tlcore.errors import TransferLabError
from tlcore.storage.pieces import REMADE, Piece, PieceKind, give_up_all, pieces_of
from tlcore.storage.quotas import PERSON_GB, PERSON_PICTURES, PERSON_PROJECTS, UNLIMITED
from tlcore.storage.usage import CacheKind, ProjectUsage, Usage, caches_of, usage_of

PROJECTS_ON_PAGE = 8
ASKING = "asking-to-free"

HELP: dict[PieceKind, str] = {
    "history": "What you changed before can then not be undone any more. The pictures as they are now stay.",
    "model": "Its curves and its results stay, but it can answer no further picture and cannot be exported. "
    "A group that it belongs to cannot answer either.",
    "checkpoint": "The run ended without a model. Without this file a new one with the same settings begins anew.",
    "simple_heads": "They go with their results.",
    "prediction": "The list of answers goes. The model stays.",
    "export": "The files go; they can be made again.",
    "project": "It goes with its pictures, trained models and results.",
}


def piece_title(piece: Piece) -> str:
    """Return what a part of a project is called."""
    when = f" of {datetime.fromtimestamp(piece.created):%d %B, %H:%M}" if piece.created else ""
    names: dict[PieceKind, str] = {
        "history": f"What can be undone: {count(piece.number, 'earlier version')}",
        "model": f"Model of run {piece.number}",
        "checkpoint": f"Half-trained model of run {piece.number}, which ended early",
        "simple_heads": f"Simple heads{when}",
        "prediction": f"Answers to many pictures{when}",
        "export": f"Files of a model{when}",
        "project": "The whole project",
    }
    return names[piece.kind]


def draw_bar(there: float, limit: float, words: str) -> None:
    """Draw how much of a quota is used."""
    st.progress(min(1.0, there / limit), text=words)


def draw_quotas(usage: Usage, num_projects: int, visit: Visit) -> None:
    """Say how much there is of everything that has a limit, and how much is left."""
    if PERSON_GB.value == UNLIMITED:
        with st.container(horizontal=True):
            free = shutil.disk_usage(visit.home.path).free
            st.metric("Your projects take", file_size(usage.total), width="content")
            st.metric("Free on the disk", file_size(free), width="content")
    else:
        limit = PERSON_GB.value * 1e9
        draw_bar(usage.total, limit, f"{file_size(usage.total)} of {file_size(int(limit))}")
    if PERSON_PICTURES.value != UNLIMITED:
        words = f"{usage.pictures:,} of {PERSON_PICTURES} different pictures"
        draw_bar(usage.pictures, PERSON_PICTURES.value, words)
    if PERSON_PROJECTS.value != UNLIMITED:
        draw_bar(num_projects, PERSON_PROJECTS.value, f"{num_projects:,} of {PERSON_PROJECTS} projects")


def draw_table(usage: Usage) -> None:
    """Draw what each project takes, in numbers."""
    from pages.components.figures.storage import KIND_NAMES

    columns: dict[str, list[str]] = {"project": [label(plain(one.name, 40)) for one in usage.projects]}
    for kind, name in KIND_NAMES.items():
        sizes = [one.by_kind.get(kind, 0) for one in usage.projects]
        if any(sizes):
            columns[name] = [file_size(size) if size else "–" for size in sizes]
    columns["in all"] = [file_size(one.total) for one in usage.projects]
    st.table(columns, hide_index=True, border="horizontal")
    if sum(one.total for one in usage.projects) > usage.total:
        st.caption(f"Pictures that are in several projects lie on the disk once: {file_size(usage.total)} in all.")


def choose_pieces(visit: Visit, project: ProjectUsage) -> list[Piece]:
    """Draw the parts of a project with a box to tick for each, and return those that are ticked."""
    chosen = []
    title = f"{label(plain(project.name, 40))}: {file_size(project.total)}"
    with st.expander(title, key=f"project-{project.id}"):
        for piece in pieces_of(visit.engine, project, visit.home):
            text = f"{piece_title(piece)}: {file_size(piece.num_bytes)}"
            if st.checkbox(text, key=f"piece-{piece.key}", help=HELP[piece.kind]):
                chosen.append(piece)
    whole = [piece for piece in chosen if piece.kind == "project"]
    return whole or chosen


def stop_asking() -> None:
    """Close the question; nothing has gone."""
    st.session_state.pop(ASKING, None)


@st.dialog("Free this room?", on_dismiss=stop_asking)
def confirm(visit: Visit, chosen: Sequence[Piece], caches: Sequence[CacheKind], names: dict[str, str]) -> None:
    """Ask once more, then remove what was chosen."""
    for piece in chosen:
        st.markdown(f"**{label(names[piece.project_id])}**: {piece_title(piece)}. {HELP[piece.kind]}")
    for kind in caches:
        st.markdown(f"{CACHE_NAMES[kind]}. It is made again when needed.")
    if chosen:
        st.markdown("This cannot be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="free-no"):
            stop_asking()
            st.rerun()
        wants = st.button("Free it", key="free-yes", icon=":material/delete:")
    if wants:
        with errors_shown(), st.spinner("Freeing"):
            give_up_all(visit.engine, chosen, caches, visit.home)
            stop_asking()
            st.rerun()


def choose_caches(visit: Visit) -> list[CacheKind]:
    """Draw what all projects of this computer share, and return what shall go."""
    st.subheader("Shared by all projects", anchor=False)
    st.markdown("Kept so that the next time is quicker. What goes is made again when it is needed.")
    chosen: list[CacheKind] = []
    for kind, num_bytes in caches_of(visit.home).items():
        text = f"{CACHE_NAMES[kind]}: {file_size(num_bytes)}"
        if kind not in REMADE:
            st.caption(text)
        elif st.checkbox(text, key=f"cache-{kind}", disabled=not num_bytes):
            chosen.append(kind)
    return chosen


leave_settings()
st.page_link(HOME_PAGE, label="Home", icon=":material/home:")
st.title("Storage", anchor=False)
st.markdown("See what takes room on the computer that runs Transfer Lab, and free what you no longer need.")
try:
    visit = read_visit()
    usage = usage_of(visit.engine, visit.owner, visit.home)
except TransferLabError as error:
    show_error(error)
    st.stop()

with one_part():
    draw_quotas(usage, len(usage.projects), visit)
chosen: list[Piece] = []
caches: list[CacheKind] = []
if usage.projects:
    from pages.components.figures.storage import storage_figure, storage_words

    with one_part():
        figure = storage_figure(usage.projects, dark=is_dark())
        alt = storage_words(usage.projects)
        st.plotly_chart(figure, key="storage", config={"displayModeBar": False}, alt=alt)
    with one_part(), st.expander("In numbers", icon=":material/table:", key="numbers"):
        draw_table(usage)
    st.subheader("What can go", anchor=False)
    st.markdown("Open a project and tick what you no longer need. Nothing goes before you have been asked once more.")
    for project in page_of(usage.projects, PROJECTS_ON_PAGE, "storage-page"):
        with one_part():
            chosen += choose_pieces(visit, project)
else:
    st.info("You have no projects, so there is nothing that takes room.", icon=":material/lightbulb:")
# Where only this machine reaches the server, its caches are nobody else's.
is_alone = not is_shared_server()
if is_alone:
    with one_part():
        caches = choose_caches(visit)

missing = None if chosen or caches else "Tick what shall go first."
if usage.projects or is_alone:
    room = sum(piece.num_bytes for piece in chosen)
    room += sum(num_bytes for kind, num_bytes in caches_of(visit.home).items() if kind in caches) if caches else 0
    text = f"Free up to {file_size(room)}" if missing is None else "Free room"
    if primary_action(text, icon=":material/delete_sweep:", disabled=missing is not None, help=missing):
        st.session_state[ASKING] = True
    if missing is not None:
        stop_asking()
    elif ASKING in st.session_state:
        confirm(visit, chosen, caches, {project.id: project.name for project in usage.projects})
elif primary_action("Go to Home", icon=":material/home:"):
    st.switch_page(HOME_PAGE, query_params={})
