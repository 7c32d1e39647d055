"""The ways to the file of a project: who may take it, who may open one, and what is said of a file that is none."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Callable

import pytest
import sqlalchemy as sa
import streamlit as st
from starlette.applications import Starlette

from pages.server.identity import owner_of
from pages.server.project_files import file_name, project_file_route, project_file_url
from pages.server.uploads import KEY_HEADER, NEW_PROJECT, upload_address, upload_key, upload_routes
from tests.asgi_request import request
from tests.finished_runs import Finished
from tests.page_tests import OWNER, open_app, texts
from tests.signing import cookie_of
from tests.test_travel import EARLIER
from tests.test_uploads import piece_of
from tlcore.home import DataRoot
from tlcore.settings.locks import LOCKED
from tlcore.storage.class_settings import change_class_settings
from tlcore.storage.database import open_database
from tlcore.storage.datasets import content_path, get_version
from tlcore.storage.jobs import JobState, claim_job, create_job, end_job, list_jobs, read_request
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.requests import ImportRequest
from tlcore.storage.sharing import create_share, open_share
from tlcore.storage.unopened import take_unopened

ANN, BEN, CEM = "a" * 24, "b" * 24, "c" * 24


@pytest.fixture
def finished(make_finished: Callable[..., Finished]) -> Finished:
    made: Finished = make_finished(owner=ANN, each=6)
    made.add_run(wrong=[1])
    return made


def lock(engine: sa.Engine, *names: str) -> None:
    """Lock some kinds of work, also for pages that have just looked."""
    st.cache_data.clear()
    change_class_settings(engine, lambda settings: type(settings)(locked=names))


def test_a_project_leaves_with_its_owner_alone(finished: Finished, home: DataRoot) -> None:
    app = Starlette(routes=[project_file_route(owner_of)])

    def take(person: str) -> tuple[int, bytes]:
        answer = request(app, project_file_url(finished.project_id), [(b"cookie", cookie_of(person, home).encode())])
        return answer[0], answer[2]

    status, data = take(ANN)
    assert status == 200
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("project.json"))["name"] == "Colours"
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "project").code, BEN)
    assert take(BEN)[0] == 404  # who may look, and even make a copy here, does not carry all of it away
    assert b"not here" in take(BEN)[1]
    lock(finished.engine, "download")
    status, words = take(ANN)
    assert (status, b"locked" in words, b"not here" in words) == (403, True, False)
    assert take(BEN)[0] == 404  # who is no owner hears nothing of locks


def test_what_cannot_leave_says_why(finished: Finished, home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Starlette(routes=[project_file_route(owner_of)])
    monkeypatch.setenv("TRANSFER_LAB_MAX_FILES", "3")
    address, cookie = project_file_url(finished.project_id), [(b"cookie", cookie_of(ANN, home).encode())]
    status, _, answer = request(app, address, cookie)
    assert status == 507
    assert b"too large for one file" in answer
    content = get_version(finished.engine, finished.project_id, finished.version).content
    content_path(content, home).unlink()
    status, _, answer = request(app, address, cookie)
    assert (status, b"missing or damaged" in answer) == (507, True)


@pytest.mark.parametrize(
    ("name", "file"), [("Pets 2", "Pets 2"), ("../a\\b:c", ".._a_b_c".replace(".", "_")), ("???", "___"), ("犬", "犬")]
)
def test_the_name_of_a_file_is_one_that_every_system_takes(name: str, file: str) -> None:
    assert file_name(name) == f"{file}.transferlab.zip"


def send(home: DataRoot, data: bytes, name: str = "one.transferlab.zip") -> tuple[int, dict[str, str]]:
    """Send a file to where projects are opened, as a browser does, and return what the server says in the end."""
    app = Starlette(routes=list(upload_routes(owner_of)))
    cookie = (b"cookie", cookie_of(CEM, home).encode())

    def ask(method: str, folder: str, key: str, body: bytes) -> tuple[int, bytes]:
        headers = [cookie, (KEY_HEADER.lower().encode(), key.encode())]
        answer = request(app, upload_address(NEW_PROJECT, folder), headers, method=method, body=body)
        return answer[0], answer[2]

    listing = json.dumps([[name, len(data), b64encode(data[:512]).decode()]]).encode()
    status, answer = ask("POST", "", upload_key(CEM, NEW_PROJECT), listing)
    begun = json.loads(answer)
    if status != 200 or begun["refused"]:
        return status, begun
    assert ask("PUT", begun["folder"], begun["key"], piece_of([(0, 0, data)]))[0] == 204
    status, answer = ask("POST", begun["folder"], begun["key"], b"")
    if status == 200:  # whoever did not get the answer asks again
        assert ask("POST", begun["folder"], begun["key"], b"") == (200, answer)
    return status, json.loads(answer)


def test_a_file_that_came_begins_a_project(home: DataRoot, no_runner: None) -> None:
    status, answer = send(home, EARLIER.read_bytes())
    assert status == 200
    engine = open_database(home)
    [project] = read_projects(engine, CEM)[0]
    [job] = list_jobs(engine, states=("queued",), project_id=project.id)
    assert (job.id, job.kind, project.name) == (answer["job"], "import", "one")
    assert read_request(engine, job.id, ImportRequest).is_project


def test_a_server_reads_nothing_of_a_file_of_a_project(
    home: DataRoot, no_runner: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the web process unpacks what anybody has sent")

    monkeypatch.setattr("tlcore.travel.arriving.arrival", read)
    monkeypatch.setattr("tlcore.intake.archives.members.Member.chunks", read)
    monkeypatch.setattr("zipfile.ZipFile.__init__", read)
    assert send(home, EARLIER.read_bytes(), "My pets.transferlab.zip")[0] == 200
    assert [project.name for project in read_projects(open_database(home), CEM)[0]] == ["My pets"]


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_file_that_was_refused_leaves_no_project_and_home_says_why(
    home: DataRoot, no_runner: None, state: JobState
) -> None:
    engine = open_database(home)
    empty, mine = (create_project(engine, OWNER, name).id for name in ("Pets *2*", "Mine"))
    other = create_project(engine, BEN, "Of somebody else").id
    for project_id in (empty, other):
        create_job(engine, "import", project_id, ImportRequest("import-x", is_project=True))
    create_job(engine, "import", mine, ImportRequest("import-y"))
    assert take_unopened(engine, OWNER, home) == ()  # they wait
    for _ in range(3):
        job = claim_job(engine, "import")
        assert job is not None
        end_job(engine, job.id, job.attempt, state, "A model does not fit.")
    page = open_app("home")
    assert not page.exception
    assert [one.value for one in page.warning] == [
        "**Pets \\*2\\*** was not opened, and nothing of it is here. A model does not fit\\."
    ]
    assert [project.id for project in read_projects(engine, OWNER)[0]] == [mine]
    assert [project.id for project in read_projects(engine, BEN)[0]] == [other]
    page.button(key="unopened-read").click().run()
    assert not page.warning


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (EARLIER.read_bytes()[:-9], "one.zip", "incomplete"),
        (b"PK\x05\x06" + bytes(18), "one.zip", "no project file of Transfer Lab"),
        (b"\x89PNG\r\n\x1a\n", "one.png", "no project file of Transfer Lab"),
    ],
)
def test_a_file_that_is_none_makes_no_project(
    home: DataRoot, no_runner: None, data: bytes, name: str, says: str
) -> None:
    status, answer = send(home, data, name)
    assert 400 <= status < 500
    assert says in answer["message"]
    assert read_projects(open_database(home), CEM)[0] == []
    assert list(home.imports_dir.iterdir()) == []


def test_bringing_pictures_locked_is_opening_locked(home: DataRoot, no_runner: None) -> None:
    lock(open_database(home), "pictures")
    status, answer = send(home, EARLIER.read_bytes())
    assert status == 404
    assert "locked" in answer["message"]
    assert read_projects(open_database(home), CEM)[0] == []
    button = open_app("home").button(key="open-project")
    assert (button.disabled, button.help) == (True, LOCKED)


def test_the_panel_says_what_leaves(make_finished: Callable[..., Finished]) -> None:
    made: Finished = make_finished(owner=OWNER, each=6)
    page = open_app("data", project=made.project_id)
    page.button(key="take-project").click().run()
    assert not page.exception
    assert "Pictures that you have deleted stay here" in texts(page)
    assert "These stay here too" not in texts(page)
    folder = made.home.run_dir(made.add_run())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(b"garbage")
    page = open_app("data", project=made.project_id)
    page.button(key="take-project").click().run()
    assert "These stay here too: 1 model whose weights cannot be read" in texts(page)
    lock(made.engine, "download")
    button = open_app("data", project=made.project_id).button(key="take-project")
    assert (button.disabled, button.help) == (True, LOCKED)
