"""Who runs what right now, and the queue in the order in which turns come."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.components.errors import errors_kept, one_part
from pages.components.frame import JOB_NAMES, job_progress, job_steps, step_link
from pages.components.gallery import page_of
from pages.components.state import Visit
from pages.components.text import label
from pages.server.teacher import check_teacher, is_teacher
from tlcore.jobs.control import stop_job
from tlcore.storage.overview import Work, read_work

POLL_SECONDS = 3.0
WAITING_ON_A_PAGE = 20


@st.fragment(run_every=POLL_SECONDS)
def draw_work(visit: Visit, called: Callable[[str], str]) -> None:
    """Draw what works and what waits, with a way to stop each.

    Args:
        visit: The teacher's.
        called: Returns what the person of an identity is called, as typed.
    """
    if not is_teacher(visit.owner):  # the login has ended meanwhile
        st.rerun()
    work = read_work(visit.engine)
    working = [one for one in work if not one.place]
    waiting = [one for one in work if one.place]
    st.subheader(f"At work: {len(working):,}", anchor=False)
    if not working:
        st.markdown("Nothing works at the moment.")
    for one in working:
        with one_part():
            _draw_working(visit, one, called)
    st.subheader(f"In line: {len(waiting):,}", anchor=False)
    if waiting:
        st.caption("People take turns: the first of everybody, then the second of everybody, in each kind of work.")
        _draw_waiting(visit, waiting, called)
    else:
        st.markdown("Nobody waits.")


def _draw_working(visit: Visit, one: Work, called: Callable[[str], str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"work-{one.job.id}"):
        st.markdown(f"**{label(called(one.owner))}**  \n{label(one.project)}", width=220)
        text, fraction = job_progress(visit, one.job)
        st.progress(fraction, text=text, width=320)
        _draw_buttons(visit, one)


def _draw_waiting(visit: Visit, waiting: Sequence[Work], called: Callable[[str], str]) -> None:
    place = st.container()
    shown = page_of(waiting, WAITING_ON_A_PAGE, "teacher-waiting")
    for one in shown:
        words = f"**{one.place:,}** {JOB_NAMES[one.job.kind]}: {label(called(one.owner))}, {label(one.project)}"
        row = place.container(horizontal=True, vertical_alignment="center", key=f"work-{one.job.id}")
        with row, one_part():
            st.markdown(words, width=540)
            _draw_buttons(visit, one)


def _draw_buttons(visit: Visit, one: Work) -> None:
    whose = f"{label(one.project)}"
    step_link(job_steps(one.job)[0], "Look", ":material/visibility:", one.job.project_id, help=f"Open {whose}.")
    st.button(
        "Stop" if one.job.stop_requested is None else "Stopping",
        key=f"stop-{one.job.id}",
        type="tertiary",
        icon=":material/stop_circle:",
        disabled=one.job.stop_requested is not None,
        help=f"Stops this work of {whose}. A training keeps its best epoch so far.",
        on_click=_stop,
        args=(visit, one),
    )


def _stop(visit: Visit, one: Work) -> None:
    with errors_kept():
        check_teacher(visit.owner)
        stop_job(visit.engine, one.job, visit.home)
