"""Who is there, what each has, and what a teacher does for one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import streamlit as st

from pages.components.amounts import file_size
from pages.components.errors import errors_kept
from pages.components.frame import step_link
from pages.components.gallery import page_of
from pages.components.state import Visit
from pages.components.teacher.question import ask, draw_question
from pages.components.teacher.room import Room, room_watch
from pages.components.text import count, distinct, label, plain
from pages.server.private_streamlit import end_sessions
from pages.server.teacher import check_teacher, is_teacher
from tlcore.storage.deletion import delete_project
from tlcore.storage.overview import ProjectRow, count_projects_by_person, list_all_projects
from tlcore.storage.people import (
    Person,
    admit,
    count_people,
    delete_person,
    list_owners,
    list_people,
    new_code,
    people_page,
    remove_from_class,
)

POLL_SECONDS = 10.0
JUST_NOW_SECONDS = 15 * 60.0
"""A visit is noted every ten minutes."""

PROJECTS_ON_A_PAGE = 8
PEOPLE_ON_A_PAGE = 40
NAME_LENGTH = 40
NAMED = 10
"""So many projects are named before they are deleted."""

_CODE = "teacher-new-code"


def everybody(visit: Visit) -> list[Person]:
    """Return all who have come, and those who have projects from before people were noted: what no page asks often."""
    known = list_people(visit.engine)
    noted = {person.owner for person in known}
    # Nobody asks for the class code again of those who were there before it.
    earlier = [
        Person(owner, "", 0, 0.0, True) for owner in count_projects_by_person(visit.engine) if owner not in noted
    ]
    return known + earlier


def names_of(visit: Visit) -> Callable[[str], str]:
    """Return what tells the name of a person, as it was typed, by the identity."""
    called = {person.owner: person.called for person in list_owners(visit.engine)}
    return lambda owner: called.get(owner, "A person without a name")


def draw_people(visit: Visit) -> None:
    """Draw what one can do for a person, and everybody."""
    people = {person.owner: person for person in everybody(visit)}
    owner = st.selectbox(
        "A person",
        list(people),
        format_func=distinct({one.owner: plain(one.called, NAME_LENGTH) for one in people.values()}).__getitem__,
        index=None,
        placeholder="Choose one to help, to look at projects or to delete",
        key="teacher-person",
        width=420,
    )
    if owner is not None:
        _draw_person(visit, people[owner])
    _draw_table(visit)


@st.fragment(run_every=POLL_SECONDS)
def _draw_table(visit: Visit) -> None:
    if not is_teacher(visit.owner):  # the login has ended meanwhile
        st.rerun()
    number, projects = count_people(visit.engine), count_projects_by_person(visit.engine)
    st.subheader(count(number, "person", "people"), anchor=False)
    if not number:
        st.markdown("Nobody has come yet.")
        return
    place = st.container()
    places = page_of(range(number), PEOPLE_ON_A_PAGE, "teacher-people")
    shown = people_page(visit.engine, places[0], len(places))
    room = room_watch(visit).known()
    with place:
        st.table(people_table(shown, projects, room, time.time()), hide_index=True, border="horizontal")


def people_table(
    people: Sequence[Person], projects: Mapping[str, int], room: Mapping[str, Room], now: float
) -> dict[str, list[str]]:
    """Return who is there and what each has, as columns.

    Args:
        people: Everybody on this page.
        projects: How many projects each has, by identity.
        room: What each takes on the disk, as far as it is known.
        now: The time, in seconds since 1970.
    """
    found = [room.get(person.owner) for person in people]
    return {
        "Person": [label(plain(person.called, NAME_LENGTH)) for person in people],
        "Last here": [seen_words(person.seen, now) for person in people],
        "Projects": [f"{projects.get(person.owner, 0):,}" for person in people],
        "Pictures": ["–" if one is None else f"{one[0]:,}" for one in found],
        "On the disk": ["–" if one is None else file_size(one[1]) for one in found],
    }


def seen_words(seen: float, now: float) -> str:
    """Say when somebody was there last; a clock that was set makes nobody come from the future."""
    if not seen:
        return "–"
    if now - seen < JUST_NOW_SECONDS:
        return "just now"
    then = datetime.fromtimestamp(seen)
    return f"{then:today, %H:%M}" if then.date() == datetime.fromtimestamp(now).date() else f"{then:%d %b %Y}"


def _draw_person(visit: Visit, person: Person) -> None:
    projects = list_all_projects(visit.engine, person.owner)
    st.subheader(label(plain(person.called, NAME_LENGTH)), anchor=False)
    place = st.container()
    for project in page_of(projects, PROJECTS_ON_A_PAGE, f"teacher-projects-{person.owner}"):
        with place.container(horizontal=True, vertical_alignment="center", key=f"project-{project.id}"):
            st.markdown(label(plain(project.name, NAME_LENGTH)), width=180)
            step_link(
                "data", "Look", ":material/visibility:", project.id, help="You can look at it and change nothing."
            )
            st.button(
                "Delete",
                key=f"delete-{project.id}",
                type="tertiary",
                icon=":material/delete:",
                on_click=ask,
                args=(f"delete {project.id}",),
            )
        with place:
            _ask_to_delete(visit, person, [project], f"delete {project.id}")
    if not projects:
        place.markdown("No projects.")
    _draw_code(visit, person)
    with st.container(horizontal=True):
        _draw_admission(visit, person)
        st.button(
            "Delete all projects",
            key="delete-all",
            icon=":material/delete_sweep:",
            disabled=not projects,
            on_click=ask,
            args=(f"delete all of {person.owner}",),
        )
        st.button(
            "Delete this person",
            key="delete-person",
            icon=":material/person_off:",
            on_click=ask,
            args=(f"delete {person.owner}",),
        )
    _ask_to_delete(visit, person, projects, f"delete all of {person.owner}")
    _ask_to_delete_person(visit, person, len(projects))


def _draw_code(visit: Visit, person: Person) -> None:
    def make() -> None:
        with errors_kept():
            check_teacher(visit.owner)
            st.session_state[_CODE] = (person.owner, new_code(visit.engine, person.owner))

    st.button(
        "Make a code for a lost cookie",
        key="person-code",
        icon=":material/key:",
        help="With it any browser becomes this person's, on the page You. A code from before leads nowhere then.",
        on_click=make,
    )
    of_owner, code = st.session_state.pop(_CODE, ("", ""))
    if of_owner == person.owner:
        st.markdown("Give this code to the person alone; it is shown only now. It is entered on the page You.")
        st.code(code, language=None)


def _draw_admission(visit: Visit, person: Person) -> None:
    def turn() -> None:
        with errors_kept():
            check_teacher(visit.owner)
            if person.removed:
                admit(visit.engine, person.owner)
            else:
                remove_from_class(visit.engine, person.owner)
                end_sessions(lambda owner, _project: owner == person.owner and not is_teacher(owner))

    st.button(
        "Let in again" if person.removed else "Remove from the class",
        key="person-admitted",
        icon=":material/person_add:" if person.removed else ":material/person_remove:",
        help="The class code is not asked for then."
        if person.removed
        else "This person sees nothing any more, whatever class code they say, until you let them in again; projects "
        "stay. Another browser is somebody new, who needs the class code: change it if the person knows it.",
        on_click=turn,
    )


def _ask_to_delete_person(visit: Visit, person: Person, projects: int) -> None:
    def delete() -> None:
        check_teacher(visit.owner)
        delete_person(visit.engine, person.owner, visit.home)
        st.session_state["teacher-person"] = None
        room_watch(visit).forget()

    draw_question(
        f"delete {person.owner}",
        f"**{label(plain(person.called, NAME_LENGTH))}** goes away for good: {count(projects, 'project')} with "
        "pictures, trained models and results, the name, the code to it, and whether this person was removed from the "
        "class. A browser of theirs that comes again is somebody new.",
        keep="Keep",
        go_on="Delete this person",
        icon=":material/person_off:",
        act=delete,
    )


def _ask_to_delete(visit: Visit, person: Person, projects: Sequence[ProjectRow], question: str) -> None:
    """Draw the question whether some projects of a person shall go, with their names."""
    names = "\n".join(f"- {label(plain(project.name, NAME_LENGTH))}" for project in projects[:NAMED])
    more = len(projects) - NAMED

    def delete() -> None:
        check_teacher(visit.owner)
        for project in projects:
            delete_project(visit.engine, project.id, visit.home)
        room_watch(visit).forget()

    draw_question(
        question,
        f"{'This goes' if len(projects) == 1 else 'These go'} away for good, of "
        f"**{label(plain(person.called, NAME_LENGTH))}**, with pictures, trained models and results:\n\n{names}"
        + (f"\n- and {more:,} more" if more > 0 else ""),
        keep="Keep",
        go_on=f"Delete {count(len(projects), 'project')}",
        icon=":material/delete:",
        act=delete,
    )
