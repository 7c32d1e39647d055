"""Ways to bring pictures: ready sets, folders and ZIP files, single pictures, the camera."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages.components.camera.recorder import draw_recorder
from pages.components.data.ready_set_cards import sample_cards
from pages.components.errors import errors_shown
from pages.components.state import Context
from pages.components.text import plain
from pages.components.upload.file_drop import file_drop
from tlcore.dataset import clean_class_name
from tlcore.jobs.control import start_job
from tlcore.settings.locks import LOCKED

ONE_CLASS_WAYS = ("files", "webcam")
STARTED_IMPORT = "started-import"


SETS_LOCK, PICTURES_LOCK = "ready_sets", "pictures"


def bring_pictures(context: Context) -> None:
    """Draw the choice of ways, and the chosen one; Home may have chosen it."""
    if st.session_state.get("way") not in WAYS:
        st.session_state["way"] = "samples"
    way: str | None = st.segmented_control(
        "Where are your pictures?",
        list(WAYS),
        format_func=lambda name: WAYS[name][0],
        required=True,
        key="way",
    )
    if (SETS_LOCK if way in (None, "samples") else PICTURES_LOCK) in context.locked:
        st.info(LOCKED, icon=":material/lock:")
        return
    WAYS[way or "samples"][1](context)


def _bring_sample(context: Context) -> None:
    request = sample_cards(context.home)
    if request is not None:
        with errors_shown():
            _note_started(start_job(context.engine, context.home, "import", context.project.id, request))
            st.rerun()


def _bring_folder(context: Context) -> None:
    _structure_help()
    file_drop(
        context,
        context.project.id,
        key="folder",
        title="Drop a folder or ZIP files here",
        hint="A folder for each class; thousands of pictures are fine.",
        on_begun=_note_started,
        folders=True,
    )


def _bring_files(context: Context) -> None:
    name = _class_choice(context)
    file_drop(
        context,
        context.project.id,
        key="files",
        title="Drop pictures here",
        hint="Choose the class first." if name is None else f"All of them become {plain(name)}.",
        on_begun=_note_started,
        class_name=name,
    )


WAYS: dict[str, tuple[str, Callable[[Context], None]]] = {
    "samples": (":material/auto_awesome_mosaic: Ready set", _bring_sample),
    "folder": (":material/folder: Folder or ZIP", _bring_folder),
    "files": (":material/image: Single pictures", _bring_files),
    "webcam": (":material/photo_camera: Camera", draw_recorder),
}


def _class_choice(context: Context) -> str | None:
    """Ask for a class, there already or typed; return its clean name, `None` while there is none."""
    typed = st.selectbox(
        "What do these pictures show?",
        list(context.dataset.class_names),
        index=None,
        accept_new_options=True,
        placeholder="Choose a class, or type the name of a new one",
        key="bring-class",
        width=420,
    )
    if not typed:
        return None
    with errors_shown():
        return clean_class_name(typed)
    return None


def _structure_help() -> None:
    with st.popover("What must it look like?", type="tertiary", icon=":material/help:"):
        st.markdown("One folder for each class; the names of the files do not matter. A ZIP file is read the same way.")
        st.code("pets\n├─ cat\n│  ├─ 1.jpg\n│  └─ 2.jpg\n└─ dog\n   └─ 1.jpg", language=None)
        st.markdown(
            "A table beside the pictures (CSV, Excel, JSON) may say the classes instead. Folders called `train`, "
            "`validation` and `test` are kept as they are. Otherwise some pictures of each class are put aside for "
            "validation and testing. What is not clear you are asked."
        )


def _note_started(job_id: str) -> None:
    """Note an import that this tab has started; what it did is open at first."""
    st.session_state[STARTED_IMPORT] = job_id
