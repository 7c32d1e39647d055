"""Taking a whole project along, as one file."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import file_size
from pages.components.errors import errors_shown
from pages.components.state import Visit
from pages.server.project_files import ENDING, project_file_url
from tlcore.settings.locks import LOCKED
from tlcore.storage.projects import Project


def draw_take_project(visit: Visit, project: Project) -> None:
    """Draw the way to the file of a project, below the links to it."""
    st.markdown(
        "**The whole project as one file**  \nFor another computer, or to keep: pictures with their classes and "
        "splits, trainings with curves, notes and models, groups, simple heads and exams that were opened."
    )
    is_locked = "download" in visit.locked
    if st.button(
        "Take the whole project",
        key="take-project",
        icon=":material/luggage:",
        disabled=is_locked,
        help=LOCKED if is_locked else None,
    ):
        # Drawn where the button is: a dialog would lie behind the panel. To look how large it is takes a moment, so
        # that is done when somebody asks.
        _draw_link(visit, project)


def _draw_link(visit: Visit, project: Project) -> None:
    from tlcore.travel.leaving import departure  # with all that a project is made of

    with errors_shown():
        with st.spinner("Looking how large it is"):
            found = departure(visit.engine, project.id, visit.home, looks_at_pictures=False)
            found.check_opens()
        st.markdown(
            "Pictures that you have deleted stay here, as do pictures that you only asked a model about, and the links "
            "to this project. Whoever has the file has all that is in it: think of that where people can be seen."
        )
        if found.left_behind:
            st.markdown(f"These stay here too: {', '.join(found.left_behind)}.")
        st.link_button(
            f"Download ({file_size(found.num_bytes)})",
            project_file_url(project.id),
            type="primary",
            icon=":material/download:",
            width="stretch",
        )
        st.caption(f"On the other computer: Home, Open a project file. The file ends with {ENDING}.")
