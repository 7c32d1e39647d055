"""The one place for Streamlit calls that are not public; each has a fallback and a test."""

from __future__ import annotations

from collections.abc import Iterable

from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.typing import UploadedFile


def remove_uploaded(files: Iterable[UploadedFile]) -> None:
    """Free the memory of uploaded files that are safe on disk; give their widget a new key afterwards.

    Streamlit keeps the bytes until the session ends, also when the widget is gone.
    """
    context = get_script_run_ctx()
    manager = getattr(context, "uploaded_file_mgr", None)
    if context is None or manager is None:
        return
    for file in files:
        manager.remove_file(context.session_id, file.file_id)
