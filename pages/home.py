"""Home: three ways to begin, one click to a ready example, and the projects of this browser."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import streamlit as st

from pages.components.errors import errors_shown, one_part, show_error
from pages.components.frame import OTHER_PAGES, PAGES_DIR, go_to, step_link
from pages.components.project_words import data_summary, result_summary
from pages.components.sharing import contents_words, look, shares_for, take, whose_words
from pages.components.shown_settings import leave_settings
from pages.components.state import Visit, read_visit
from pages.components.text import count, label
from pages.components.travel_open import draw_open_project
from pages.server.teacher import TEACHER_PAGE, has_login
from tlcore.errors import TransferLabError
from tlcore.jobs.control import start_job
from tlcore.settings.locks import check_lock
from tlcore.storage.configs import Unreadable
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import ACTIVE_STATES, list_jobs
from tlcore.storage.projects import Project, create_project, read_projects, reset_config
from tlcore.storage.requests import ImportRequest
from tlcore.storage.retention import leaving_soon
from tlcore.storage.sharing import Share, projects_seen, stop_looking

TRY_SAMPLE = "surfaces"
PICTURE_PATH = Path(__file__).resolve().parent / "components" / "welcome.png"


@dataclass(frozen=True, slots=True)
class Entry:
    """A way to begin: its card, and the way to bring pictures that Data opens with."""

    way: str
    title: str
    icon: str
    sentence: str
    action: str


ENTRIES = (
    Entry(
        "webcam",
        "Camera",
        ":material/photo_camera:",
        "Hold things in front of the camera of this device.",
        "Use the camera",
    ),
    Entry(
        "folder",
        "Your own pictures",
        ":material/add_photo_alternate:",
        "A folder, a ZIP or single photos, with a name for each kind.",
        "Bring pictures",
    ),
    Entry(
        "samples",
        "A ready set",
        ":material/auto_awesome_mosaic:",
        "No pictures at hand? Choose from some that are here already.",
        "Choose a set",
    ),
)


def begin_project(visit: Visit, projects: Collection[Project], working: Collection[str]) -> str:
    """Make a project that is named by itself, and return its id; one of today that is still empty is taken again."""
    today = date.today()
    name = f"Pictures of {today.day} {today:%B}"
    same = [project for project in projects if project.name.startswith(name)]
    empty = next((project for project in same if project.version is None and project.id not in working), None)
    if empty is not None:
        return empty.id
    taken = {project.name for project in same}
    numbered = (f"{name} ({number})" for number in range(2, len(same) + 2))
    free = name if name not in taken else next(other for other in numbered if other not in taken)
    return create_project(visit.engine, visit.owner, free).id


@st.dialog("Delete this project?")
def confirm_delete(visit: Visit, project_id: str, name: str) -> None:
    """Ask once more, then delete the project with all that belongs to it."""
    st.markdown(f"**{label(name)}** goes away with its pictures, trained models and results.")
    st.markdown("This cannot be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it", key="delete-no"):
            st.rerun()
        wants = st.button("Delete", key="delete-yes", icon=":material/delete:")
    if wants:
        with errors_shown(), st.spinner("Deleting"):
            delete_project(visit.engine, project_id, visit.home)
            st.rerun()


def leaving_words(when: float) -> str:
    """Say when a project goes that nobody has opened for long."""
    return f"Nobody has opened it for long, so it is **deleted on {day_words(when)}**. Open it, and it stays."


def day_words(when: float) -> str:
    """Return a day such as `3 December`."""
    day = datetime.fromtimestamp(when)
    return f"{day.day} {day:%B}"


def project_card(visit: Visit, project: Project, working: set[str], leaving: Mapping[str, float]) -> None:
    """Draw one project of the list; `leaving` says when those go that nobody has opened for long."""
    st.markdown(f"**{label(project.name)}**")
    st.markdown(f"{data_summary(visit, project)}  \n{result_summary(visit, project, working)}")
    st.caption(f"Made on {datetime.fromtimestamp(project.created):%d %B %Y}")
    if project.id in leaving:
        st.markdown(f":material/auto_delete: {leaving_words(leaving[project.id])}")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        step_link("data", "Open", ":material/folder_open:", project.id, help=f"Go to {label(project.name)}.")
        if st.button("Delete", key=f"delete-{project.id}", type="tertiary", icon=":material/delete:"):
            confirm_delete(visit, project.id, project.name)


def unreadable_card(visit: Visit, project: Unreadable) -> None:
    """Draw a project whose settings or row this version cannot read, with the ways on."""
    st.markdown(f"**{label(project.title)}**")
    st.warning(f"It cannot be opened. {label(project.reason)}", icon=":material/warning:")
    st.caption("Its pictures, runs and results are still here.")
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        if st.button("Begin with new settings", key=f"reset-{project.id}", icon=":material/restart_alt:"):
            reset_config(visit.engine, project.id)
            st.rerun()
        if st.button("Delete", key=f"delete-{project.id}", type="tertiary", icon=":material/delete:"):
            confirm_delete(visit, project.id, project.title)


def handed_out_card(visit: Visit, share: Share) -> None:
    """Draw what somebody has handed out to everybody, with what one may do with it."""
    st.markdown(f"**{label(share.name)}**")
    st.markdown(contents_words(visit, share))
    st.caption(whose_words(share))
    with st.container(horizontal=True):
        if share.lets_copy and st.button("Take it", key=f"take-{share.code}", icon=":material/content_copy:"):
            with errors_shown():
                go_to("data", project=take(visit, share))
        if share.lets_look and st.button("Look at it", key=f"look-{share.code}", icon=":material/visibility:"):
            with errors_shown():
                go_to("data", project=look(visit, share))


def seen_card(visit: Visit, share: Share) -> None:
    """Draw a project of somebody else at which this person looks."""
    st.markdown(f"**{label(share.name)}**")
    st.markdown(contents_words(visit, share))
    st.caption(whose_words(share))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        step_link("data", "Look at it", ":material/visibility:", share.project_id, help=f"Go to {label(share.name)}.")
        if st.button(
            "Put away",
            key=f"put-away-{share.project_id}",
            type="tertiary",
            icon=":material/visibility_off:",
            help="It goes from this list. The link leads there again.",
        ):
            with errors_shown():
                stop_looking(visit.engine, share.project_id, visit.owner)
                st.rerun()


leave_settings()
try:
    visit = read_visit()
    projects, unreadable = read_projects(visit.engine, visit.owner)
    working = {job.project_id for job in list_jobs(visit.engine, states=ACTIVE_STATES) if job.kind != "measure"}
    leaving = leaving_soon(visit.engine, projects)
except TransferLabError as error:
    show_error(error)
    st.stop()

st.title("Transfer Lab", anchor=False)
st.markdown(
    "Teach a computer to tell pictures apart. It has seen a million photos already; "
    "you show it a few more, of the things that matter to you."
)

with st.grid(3, min_column_width=260, border=True, key="ways") as ways:
    for entry in ENTRIES:
        with ways.cell():
            st.markdown(f"##### {entry.icon} {entry.title}")
            st.markdown(entry.sentence)
            if st.button(entry.action, key=f"begin-{entry.way}", type="primary", width="stretch"):
                with errors_shown():
                    st.session_state["way"] = entry.way
                    go_to("data", project=begin_project(visit, projects, working))
with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown("No time to choose? Six kinds of surfaces are a first try, down to the first answer.", width="content")
    if st.button("Try it now", key="try", icon=":material/play_arrow:"):
        with errors_shown():
            check_lock(visit.engine, "ready_sets")  # before there is a project
            project = create_project(visit.engine, visit.owner, "Surfaces")
            start_job(visit.engine, visit.home, "import", project.id, ImportRequest(sample=TRY_SAMPLE))
            go_to("data", project=project.id)
draw_open_project(visit)

handed_out = shares_for(visit)
if handed_out:
    st.subheader("From your teacher", anchor=False)
    given = st.grid(min_column_width=290, border=True, key="handed-out")
    for share in handed_out:
        with given.cell(), one_part():
            handed_out_card(visit, share)

if not projects and not unreadable:
    st.subheader("How it goes", anchor=False)
    show, learn, ask = st.columns(3, gap="medium")
    show.markdown("**1 Show**  \nBring pictures of two or more things: photos, a ZIP, or your camera.")
    learn.markdown("**2 Train**  \nWatch it learn, in a minute or two, on this computer.")
    ask.markdown("**3 Ask**  \nGive it a new picture and see how sure it is, and why.")
    st.image(
        str(PICTURE_PATH), width="stretch", alt="Pictures go through blue blocks and an orange one, and become bars."
    )
else:
    st.subheader("Your projects", anchor=False)
    if leaving:
        st.warning(
            f"{count(len(leaving), 'project')} that nobody has opened for long will be deleted, the first one on "
            f"{day_words(min(leaving.values()))}. What you open stays. To keep a model for good, take it with you on "
            "Export.",
            icon=":material/auto_delete:",
        )
    grid = st.grid(min_column_width=290, border=True, key="projects")
    for project in projects:
        with grid.cell(), one_part():
            project_card(visit, project, working, leaving)
    for one in unreadable:
        with grid.cell(), one_part():
            unreadable_card(visit, one)

seen = projects_seen(visit.engine, visit.owner)
if seen:
    st.subheader("Projects of others", anchor=False)
    given = st.grid(min_column_width=290, border=True, key="projects-of-others")
    for share in seen:
        with given.cell(), one_part():
            seen_card(visit, share)

with st.container(horizontal=True, horizontal_alignment="right", key="other-pages"):
    for name, title, icon in OTHER_PAGES:
        if icon and (name != TEACHER_PAGE or has_login()):
            st.page_link(PAGES_DIR / f"{name}.py", label=title, icon=icon)
