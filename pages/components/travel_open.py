"""Opening the file of a project that comes from another computer."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_shown
from pages.components.frame import go_to
from pages.components.state import Visit
from pages.components.text import label
from pages.components.upload.file_drop import file_drop
from pages.server.project_files import ENDING
from pages.server.uploads import NEW_PROJECT, OPENS
from tlcore.settings.locks import LOCKED
from tlcore.storage.jobs import get_job
from tlcore.storage.unopened import take_unopened

_STARTED = "opened-project-job"
_IS_SHOWN = "open-project-shown"
_UNOPENED = "unopened-projects"


def draw_open_project(visit: Visit) -> None:
    """Draw the way to open the file of a project; go to a project that is being opened."""
    begun = st.session_state.pop(_STARTED, None)
    if begun is not None:
        with errors_shown():
            go_to("data", project=get_job(visit.engine, begun).project_id)
    _tell_unopened(visit)
    is_locked = "pictures" in visit.locked
    if st.button(
        "Open a project file",
        key="open-project",
        type="tertiary",
        icon=":material/drive_folder_upload:",
        disabled=is_locked,
        help=LOCKED if is_locked else "A project that was taken along from another computer.",
    ):
        st.session_state[_IS_SHOWN] = not st.session_state.get(_IS_SHOWN, False)
    if st.session_state.get(_IS_SHOWN, False) and not is_locked:
        # On the page itself: a dialog would be gone when the page is drawn anew while a large file comes.
        with st.container(border=True):
            st.markdown(
                "It becomes a project of yours, with everything that is in it. One of the same name stays as it is."
            )
            file_drop(
                visit,
                NEW_PROJECT,
                key="open-project",
                title="Drop the file of a project here",
                hint=f"Its name ends with {ENDING}.",
                on_begun=_note_begun,
                class_name="",
                asked=OPENS,
                then="The project is opened.",
            )


def _tell_unopened(visit: Visit) -> None:
    """Say of which files nothing came, and why; the empty projects that they left go."""
    with errors_shown():
        if unopened := take_unopened(visit.engine, visit.owner, visit.home):
            st.session_state[_UNOPENED] = unopened
            st.rerun()  # the list of projects was read before
    for one in st.session_state.get(_UNOPENED, ()):
        st.warning(f"**{label(one.name)}** was not opened, and nothing of it is here. {label(one.reason)}")
    if st.session_state.get(_UNOPENED) and st.button("I have read it", key="unopened-read", type="tertiary"):
        del st.session_state[_UNOPENED]
        st.rerun()


def _note_begun(job_id: str) -> None:
    from pages.components.data.bring import STARTED_IMPORT  # with all ways to bring pictures

    st.session_state[_IS_SHOWN] = False
    st.session_state[_STARTED] = st.session_state[STARTED_IMPORT] = job_id
