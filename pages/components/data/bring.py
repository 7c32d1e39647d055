"""Ways to bring pictures: ready sets, ZIP files, a folder, single pictures, the webcam."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import streamlit as st
from streamlit.typing import UploadedFile

from pages.components.data.edits import save_edit
from pages.components.data.ready_set_cards import sample_cards
from pages.components.errors import errors_shown, show_error
from pages.components.staging import staging_dir
from pages.components.state import Context
from pages.components.text import count, label
from pages.server.private_streamlit import remove_uploaded
from tlcore.dataset import clean_class_name
from tlcore.intake.collection import collect
from tlcore.intake.sources import FileSource
from tlcore.jobs.control import start_job
from tlcore.storage.requests import ImportRequest, StagedFile

ONE_CLASS_WAYS = ("files", "webcam")
STARTED_IMPORT = "started-import"
_GENERATION = "bring-generation"


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
    WAYS[way or "samples"][1](context)


def _bring_sample(context: Context) -> None:
    request = sample_cards(context.home)
    if request is not None:
        with errors_shown():
            _start(context, request)


def _bring_zip(context: Context) -> None:
    st.markdown("Put the pictures of each class into a folder with the name of the class, and make a ZIP of them all.")
    _structure_help("pets.zip")
    files = st.file_uploader(
        "ZIP files", type=["zip"], accept_multiple_files=True, key=_upload_key("zip"), label_visibility="collapsed"
    )
    if files:
        _stage(context, files, as_archives=True)


def _bring_folder(context: Context) -> None:
    st.markdown(
        "Drop a folder that holds one folder for each class. For more than a few hundred pictures a ZIP is faster."
    )
    _structure_help("pets")
    files = st.file_uploader(
        "A folder", accept_multiple_files="directory", key=_upload_key("folder"), label_visibility="collapsed"
    )
    if files:
        _stage(context, files)


def _bring_files(context: Context) -> None:
    name = _class_choice(context, "What do these pictures show?")
    files = st.file_uploader(
        "Pictures",
        accept_multiple_files=True,
        key=_upload_key("files"),
        disabled=name is None,
        label_visibility="collapsed",
    )
    if files and name is not None:
        _stage(context, files, class_name=name)


def _bring_photo(context: Context) -> None:
    name = _class_choice(context, "What does the camera see?")
    photo = st.camera_input(
        "Photo",
        key=_upload_key("photo"),
        disabled=name is None,
        resolution="480p",
        label_visibility="collapsed",
        width=480,
    )
    st.caption("Each photo goes into the class at once. The camera needs this page on this computer, or over https.")
    if photo is None or name is None:
        return
    data = photo.getvalue()
    remove_uploaded([photo])
    _renew_widgets()
    source = FileSource(files=((f"webcam {datetime.now():%Y-%m-%d %H-%M-%S}.jpg", data),), class_name=name)
    with errors_shown():
        report = collect([source], context.dataset, context.images)
        if report.refused:
            show_error(report.refused[0].reason)
            return
        label_of_class = report.dataset.class_named(name)
        total = len(report.dataset.of_class(label_of_class.id)) if label_of_class else 0
        st.toast(f"{label(name)}: {count(total, 'picture')}", icon=":material/photo_camera:")
        save_edit(context, report.dataset, f"photo into {name}")


WAYS: dict[str, tuple[str, Callable[[Context], None]]] = {
    "samples": (":material/auto_awesome_mosaic: Ready set", _bring_sample),
    "zip": (":material/folder_zip: ZIP file", _bring_zip),
    "folder": (":material/folder: Folder", _bring_folder),
    "files": (":material/image: Single pictures", _bring_files),
    "webcam": (":material/photo_camera: Webcam", _bring_photo),
}


def _class_choice(context: Context, question: str) -> str | None:
    """Ask for a class, there already or typed; return its clean name, `None` while there is none."""
    typed = st.selectbox(
        question,
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


def _structure_help(root: str) -> None:
    with st.popover("What must it look like?", type="tertiary", icon=":material/help:"):
        st.markdown("One folder for each class; the names of the files do not matter.")
        st.code(f"{root}\n├─ cat\n│  ├─ 1.jpg\n│  └─ 2.jpg\n└─ dog\n   └─ 1.jpg", language=None)
        st.markdown(
            "Folders called `train`, `validation` and `test` around the classes are kept as they are. "
            "Otherwise some pictures of each class are put aside for validation and testing."
        )


def _upload_key(way: str) -> str:
    return f"upload-{way}-{st.session_state.get(_GENERATION, 0)}"


def _renew_widgets() -> None:
    # Only a widget with a new key forgets files that are no longer in the server's memory.
    st.session_state[_GENERATION] = st.session_state.get(_GENERATION, 0) + 1


def _stage(
    context: Context, files: Sequence[UploadedFile], *, as_archives: bool = False, class_name: str | None = None
) -> None:
    """Move uploaded files from memory to disk and put their import in line."""
    try:
        with errors_shown(), staging_dir(context.home) as folder:
            staged = []
            for index, file in enumerate(files):
                path = folder / f"{index:06d}"
                path.write_bytes(file.getbuffer())
                staged.append(StagedFile(path=path.name, name=file.name))
            request = ImportRequest(
                staging=folder.name,
                archives=tuple(staged) if as_archives else (),
                files=() if as_archives else tuple(staged),
                class_name=class_name,
            )
            _start(context, request)
    finally:
        remove_uploaded(files)
        _renew_widgets()


def _start(context: Context, request: ImportRequest) -> None:
    """Put an import in line and draw the page anew."""
    job_id = start_job(context.engine, context.home, "import", context.project.id, request)
    st.session_state[STARTED_IMPORT] = job_id
    st.rerun()
