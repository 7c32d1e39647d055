"""Guests of a project: they see every page, nothing is written by them, and nothing is left when the link is ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.components.frame import STEPS
from tests.damaged_root import DamagedRoot
from tests.finished_runs import Finished, picture
from tests.page_tests import OWNER, check, open_app, texts
from tests.queued_run import create_run
from tlcore.config import RunConfig
from tlcore.home import DataRoot
from tlcore.storage.database import guests, metadata, projects, read_rows, writing
from tlcore.storage.jobs import create_job
from tlcore.storage.requests import ImportRequest
from tlcore.storage.sharing import create_share, open_share

ANN = "a" * 24
"""Whose project it is; the tests' pages are looked at by `OWNER`."""


@dataclass(frozen=True)
class Watched:
    """A project of Ann with something of everything, at which `OWNER` looks."""

    root: DamagedRoot
    code: str
    started: list[str]

    def stored(self) -> tuple[dict[str, list[tuple[object, ...]]], dict[str, bytes]]:
        """Everything in the database, and all files beside it."""
        tables = {name: [tuple(row) for row in read_rows(self.root.engine, sa.select(table))] for name, table in TABLES}
        paths = [path for path in self.root.home.path.rglob("*") if path.is_file() and "lab.sqlite" not in path.name]
        return tables, {str(path): path.read_bytes() for path in paths}


TABLES = [(name, table) for name, table in metadata.tables.items() if name not in ("people", "turns")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DamagedRoot, str]]:
    with pytest.MonkeyPatch.context() as patch:
        home = DataRoot(tmp_path_factory.mktemp("guests") / "home")
        patch.setenv("TRANSFER_LAB_HOME", str(home.path))
        root = DamagedRoot.make(home)
        with writing(root.engine) as connection:
            connection.execute(sa.update(projects).where(projects.c.id == root.project_id).values(owner=ANN))
        code = create_share(root.engine, root.project_id, "look").code
        open_share(root.engine, code, OWNER)
        st.cache_resource.clear()
        yield root, code
        root.shut_down()


@pytest.fixture
def watched(prepared: tuple[DamagedRoot, str], monkeypatch: pytest.MonkeyPatch) -> Watched:
    root, code = prepared
    started: list[str] = []
    monkeypatch.setenv("TRANSFER_LAB_HOME", str(root.home.path))
    monkeypatch.setattr("tlcore.jobs.control.start_module", lambda module, *_, **__: started.append(module))
    return Watched(root, code, started)


VISITS = [*((step.step, False) for step in STEPS), ("understand", True), ("train", True)]


@pytest.mark.parametrize(("step", "with_run"), VISITS)
def test_a_guest_sees_every_page_and_writes_nothing(watched: Watched, step: str, with_run: bool) -> None:
    before = watched.stored()
    query = {"project": watched.root.project_id, **({"run": watched.root.run_id} if with_run else {})}
    app = open_app(step, **query)
    app.run()  # as a page does that looks about by itself
    check(app)
    assert [error.value for error in app.error] == []
    assert "You look at a project of" in texts(app)
    assert watched.stored() == before
    assert watched.started == []
    assert offered(app) <= HARMLESS[step]


def test_a_guest_asks_a_model_about_a_picture_and_sees_why(watched: Watched) -> None:
    before = watched.stored()
    app = open_app("predict", project=watched.root.project_id, run=watched.root.run_id)
    app.file_uploader[0].upload("mine.png", picture((20, 120, 80)))
    check(app.run())
    why = next(one for one in app.toggle if str(one.key).startswith("why-"))
    check(why.set_value(True).run())
    assert [error.value for error in app.error] == []
    assert "How is this found?" in str([popover.proto.popover.label for popover in app.get("popover")])  # with the map
    assert watched.stored() == before


def test_a_guest_watches_work_and_stops_none(
    make_finished: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    finished: Finished = make_finished(owner=ANN, each=6)
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "look").code, OWNER)
    create_run(finished.engine, finished.project_id, finished.version, RunConfig())
    create_job(finished.engine, "import", finished.project_id, ImportRequest(sample="surfaces"))
    monkeypatch.setattr("tlcore.jobs.control.start_module", lambda module, *_, **__: started.append(module))
    for step, key in (("train", "stop"), ("data", "stop-")):
        app = open_app(step, project=finished.project_id)
        stops = [button for button in app.button if str(button.key).startswith(key)]
        assert stops, step
        assert all(button.disabled for button in stops)
        assert [error.value for error in app.error] == []
    assert started == []


def test_without_a_link_there_is_nothing(watched: Watched) -> None:
    with writing(watched.root.engine) as connection:
        kept = connection.execute(sa.select(guests)).all()
        connection.execute(sa.delete(guests))
    try:
        for spec in STEPS:
            app = open_app(spec.step, project=watched.root.project_id, run=watched.root.run_id)
            assert app.title[0].value == "Nothing here"
            assert len(app.button) == 1
    finally:
        with writing(watched.root.engine) as connection:
            connection.execute(sa.insert(guests), [dict(row._mapping) for row in kept])


HARMLESS: dict[str, set[str]] = {
    "data": {"shown-split", "shown-class"},
    "augment": {"another", "again"},
    "model": set(),
    "train": {"compare", "train_again"},
    "understand": {"mistake-why", "confusion-alike", "confusion-cell", "confusion-unit", "threshold", "answers"}
    | {"certainty-splits", "mistakes-pair"},
    "predict": {"another", "camera", "why", "rival", "ask-set", "many-chosen", "pictures"},
    "export": set(),
}
"""Keys, or how they begin, of what a guest can press and move besides the choice of the model and the way on."""


def offered(app: AppTest) -> set[str]:
    """What of a page a guest could press or move, by the beginning of the keys."""
    kinds = ("button", "button_group", "checkbox", "file_uploader", "multiselect", "number_input", "radio", "selectbox")
    kinds += ("select_slider", "slider", "text_input", "toggle")
    found = {str(one.key) for kind in kinds for one in app.get(kind) if one.key and not one.disabled} - {"primary"}
    known = sorted({key for keys in HARMLESS.values() for key in keys}, key=len, reverse=True)
    return {next((one for one in known if key.startswith(one)), key) for key in found}
