"""What a page has drawn reaches the browser, also where a part of the page is drawn again right after."""

from __future__ import annotations

from streamlit.runtime import app_session
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue


class CompleteMessages(ForwardMsgQueue):
    """Streamlit's queue of messages to a browser, which drops none because a fragment begins.

    A fragment that runs every second often begins right after a run of the whole page. If the page's messages still
    wait then, Streamlit drops those about the fragment, but keeps the one that the page is complete: the browser takes
    away the fragment's charts, which it holds for gone, and draws them anew a moment later, with all zoom lost.
    """

    def clear(self, retain_lifecycle_msgs: bool = False, fragment_ids_this_run: list[str] | None = None) -> None:
        """Drop the messages of the run before a new one begins, but for a run of fragments alone."""
        if fragment_ids_this_run is None:
            super().clear(retain_lifecycle_msgs)
        else:
            # From here on, a message follows an older one about the same place instead of replacing it: what comes
            # before the message that a run begins counts as drawn by the run before.
            self._delta_index_map = {}


def keep_messages_of_fragments() -> None:
    """Make Streamlit use `CompleteMessages` for all sessions that begin; it has no setting for this."""
    app_session.ForwardMsgQueue = CompleteMessages  # type: ignore[attr-defined, misc]
