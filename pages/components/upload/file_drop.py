"""A place for folders and files of any number, which are sent in pieces while the page stays usable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from pages.components.state import Visit
from pages.components.styles import styles_of
from pages.server.uploads import KEY_HEADER, upload_address, upload_key
from tlcore.intake.names import PICTURE_SUFFIXES
from tlcore.storage.uploads import HEAD_BYTES

_HTML = """
<div class="zone" role="group">
  <div class="words"><strong class="title"></strong><span class="hint"></span></div>
  <div class="buttons">
    <button type="button" class="folder">Choose a folder</button>
    <button type="button" class="files">Choose files</button>
  </div>
  <input class="pick-folder" type="file" webkitdirectory multiple hidden aria-hidden="true" tabindex="-1">
  <input class="pick-files" type="file" multiple hidden aria-hidden="true" tabindex="-1">
</div>
<div class="sending" hidden>
  <div class="row"><span class="status"></span><button type="button" class="stop">Stop</button></div>
  <div class="bar" role="progressbar" aria-label="Files sent" aria-valuemin="0" aria-valuemax="100"><div></div></div>
</div>
<div class="message" role="alert" hidden></div>
<p class="live" role="status"></p>
"""

_component = st.components.v2.component(
    "transfer_lab_file_drop",
    html=_HTML,
    css=styles_of(Path(__file__).with_suffix(".css")),
    js=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
)


def file_drop(
    visit: Visit,
    project_id: str,
    *,
    key: str,
    title: str,
    hint: str,
    on_begun: Callable[[str], None],
    folders: bool = False,
    class_name: str | None = None,
    asked: Mapping[str, str] | None = None,
    then: str = "The import begins.",
) -> None:
    """Draw a place for files. When all of them are on the disk, their import begins, or what else is asked for.

    Sending goes on while the page is drawn anew or another page of this tab is open, and the job begins even then.

    Args:
        visit: Who brings the files, and to what data root.
        project_id: The project that they are for; `NEW_PROJECT` of the route where there is none yet.
        key: Tells this place from others of the project.
        title: What can be dropped.
        hint: What else to know, in a few words.
        on_begun: Called with the id of the job, before the page is drawn that shows it.
        folders: Whether whole folders can be chosen; otherwise a class is needed, and folders can be dropped anyway.
        class_name: The class of pictures that lie in no folder.
        asked: What is told to the upload route at the end: the `model` to ask; nothing for an import.
        then: What comes when all files are here.
    """
    handled, widget = f"drop-{key}-handled", f"drop-{key}"
    st.session_state.setdefault(handled, 0)

    def begun() -> None:
        st.session_state[handled] += 1  # the place is empty again
        on_begun(st.session_state[widget].begun)

    _component(
        key=widget,
        data={
            "id": f"{project_id} {key}",
            "handled": st.session_state[handled],
            "address": upload_address(project_id),
            "key_header": KEY_HEADER,
            "key": upload_key(visit.owner, project_id),
            "title": title,
            "hint": hint,
            "folders": folders,
            "class_name": class_name,
            "asked": urlencode({**({} if class_name is None else {"class_name": class_name}), **(asked or {})}),
            "then": then,
            "disabled": not folders and class_name is None,
            "picture_endings": sorted(PICTURE_SUFFIXES),
            "head_bytes": HEAD_BYTES,
        },
        on_begun_change=begun,
    )
