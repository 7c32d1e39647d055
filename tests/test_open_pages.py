"""Pages that are open while a right ends, asked by a program that does not follow what the page says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import sqlalchemy as sa
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pages.server.private_streamlit import COMES_AGAIN
from tests.coloured_pictures import coloured_dataset
from tests.server import AppServer
from tests.signing import COOKIE, signed
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project
from tlcore.storage.sharing import create_share, open_share, shares_of

MIA, GUEST, OTHER = "m" * 24, "g" * 24, "o" * 24
WAIT = 60.0


class OpenPage:
    """A connection to the app like that of a browser, which asks for what it likes."""

    def __init__(self, server: AppServer, owner: str, until: ExitStack) -> None:
        connection = connect(
            f"{server.address.replace('http', 'ws')}/_stcore/stream",
            additional_headers={"Cookie": f"{COOKIE}={signed(owner, server.home)}"},
            origin=server.address,  # type: ignore[arg-type]
            subprotocols=["streamlit"],  # type: ignore[list-item]
            max_size=None,
        )
        self._socket = until.enter_context(connection)
        self._page = ""
        self.buttons: dict[str, str] = {}
        self.fragments: set[str] = set()

    def run(self, page: str, query: str = "", *, fragment: str = "", press: str = "") -> int:
        """Ask for a page or one fragment of it, pressing a button; return how many elements came."""
        message = BackMsg()
        asked = message.rerun_script
        asked.page_name, asked.query_string, asked.fragment_id = page, query, fragment
        if fragment:
            asked.page_script_hash = self._page
        if press:
            pressed = asked.widget_states.widgets.add()
            pressed.id, pressed.trigger_value = self.buttons[press], True
        self._socket.send(message.SerializeToString())
        elements = 0
        while True:
            answer = ForwardMsg.FromString(self._socket.recv(timeout=WAIT))  # type: ignore[arg-type]
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                self._page = answer.new_session.page_script_hash
            elif kind == "delta" and answer.delta.WhichOneof("type") == "new_element":
                elements += 1
                if answer.delta.fragment_id:
                    self.fragments.add(answer.delta.fragment_id)
                if answer.delta.new_element.WhichOneof("type") == "button":
                    button = answer.delta.new_element.button
                    self.buttons[button.label] = button.id
            elif kind == "script_finished":
                return elements


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def server(home: DataRoot) -> Iterator[AppServer]:
    server = AppServer(home)
    server.start()
    yield server
    server.clean_up()


@pytest.mark.slow
def test_a_guest_gets_no_part_of_an_open_page_after_the_link_was_ended(
    engine: sa.Engine, home: DataRoot, server: AppServer
) -> None:
    project = create_project(engine, MIA, "Pets")
    commit_version(engine, project.id, coloured_dataset(home, 6), "made", parent=None, home=home)
    open_share(engine, create_share(engine, project.id, "look").code, GUEST)
    query = f"project={project.id}"
    with ExitStack() as until:
        guest, owner, other = (OpenPage(server, one, until) for one in (GUEST, MIA, OTHER))
        guest.run("data", query)
        fragment = sorted(guest.fragments)[0]
        guest.run("data", query, fragment=fragment)
        other.run("")
        owner.run("data", query)
        owner.run("data", query, press="End it")
        assert shares_of(engine, project.id) == []
        with pytest.raises(ConnectionClosed) as closed:
            guest.run("data", query, fragment=fragment)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == COMES_AGAIN
        assert other.run("") > 0
        assert owner.run("data", query) > 0
