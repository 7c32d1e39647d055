"""Pictures of a page stay on the server for a while after the page has let go of them."""

from __future__ import annotations

import threading
import time

from streamlit.runtime import memory_media_file_storage
from streamlit.runtime.memory_media_file_storage import MediaFileKind, MemoryMediaFileStorage

LINGER_SECONDS = 60
"""How long a browser may take to ask for a picture; a page that is drawn again and again needs it no longer."""


class LingeringMediaStorage(MemoryMediaFileStorage):
    """Streamlit's store of pictures, which deletes a picture a while after it is told to.

    Streamlit lets go of all pictures that an interrupted run of a page has not drawn yet, though the next run draws
    the same ones a moment later. A browser that asks in between would show a broken picture from then on, since the
    address stays the same (Streamlit issue 1294).
    """

    def __init__(self, media_endpoint: str) -> None:
        super().__init__(media_endpoint)
        self._unused_since: dict[str, float] = {}
        self._lock = threading.Lock()

    def load_and_get_id(
        self, path_or_data: str | bytes, mimetype: str, kind: MediaFileKind, filename: str | None = None
    ) -> str:
        """Store a picture, or keep one that was to be deleted, and return its id."""
        with self._lock:
            file_id = super().load_and_get_id(path_or_data, mimetype, kind, filename)
            self._unused_since.pop(file_id, None)
        return file_id

    def delete_file(self, file_id: str) -> None:
        """Note that a picture is unused, and delete those that have been so for `LINGER_SECONDS`."""
        with self._lock:
            now = time.monotonic()
            self._unused_since.setdefault(file_id, now)
            for old in [x for x, since in self._unused_since.items() if now - since >= LINGER_SECONDS]:
                del self._unused_since[old]
                super().delete_file(old)


def keep_pictures_a_while() -> None:
    """Make Streamlit use `LingeringMediaStorage` for the server that it makes next; it has no setting for this."""
    memory_media_file_storage.MemoryMediaFileStorage = LingeringMediaStorage  # type: ignore[misc]
