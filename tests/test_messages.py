"""Messages to a browser: a fragment that begins must not swallow what the whole page has just drawn."""

from __future__ import annotations

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime import app_session

import app
from pages.server.messages import CompleteMessages

FRAGMENT = "curves"


def drawn(text: str, place: int, fragment: str = "") -> ForwardMsg:
    message = ForwardMsg()
    message.metadata.delta_path[:] = [0, place]
    message.delta.new_element.markdown.body = text
    message.delta.fragment_id = fragment
    return message


def finished() -> ForwardMsg:
    message = ForwardMsg()
    message.script_finished = ForwardMsg.FINISHED_SUCCESSFULLY
    return message


def told(queue: CompleteMessages) -> list[str]:
    """What the browser would get, in order."""
    return [
        message.delta.new_element.markdown.body if message.HasField("delta") else "finished"
        for message in queue.flush()
    ]


def a_page_with_a_fragment() -> CompleteMessages:
    queue = CompleteMessages()
    for message in (drawn("title", 0), drawn("chart", 1, FRAGMENT), finished()):
        queue.enqueue(message)
    return queue


def test_a_page_arrives_whole_before_its_fragment_runs_again() -> None:
    queue = a_page_with_a_fragment()
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=[FRAGMENT])
    queue.enqueue(drawn("newer chart", 1, FRAGMENT))
    assert told(queue) == ["title", "chart", "finished", "newer chart"]


def test_a_new_run_of_the_whole_page_replaces_what_still_waits() -> None:
    queue = a_page_with_a_fragment()
    queue.clear(retain_lifecycle_msgs=True)
    queue.enqueue(drawn("new title", 0))
    assert told(queue) == ["finished", "new title"]


def test_the_app_uses_it_for_every_session() -> None:
    assert app.app is not None
    assert app_session.ForwardMsgQueue is CompleteMessages
