"""A page that is older than the end of a right changes nothing any more, whatever it still shows."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from pages.server import identity
from tests.page_tests import OWNER, open_app, texts
from tlcore.errors import GuestError, ShutOutError
from tlcore.home import DataRoot
from tlcore.jobs.control import stop_job
from tlcore.settings.locks import unlocked
from tlcore.storage.admission import is_admitted, say_class_code
from tlcore.storage.class_settings import change_class_settings
from tlcore.storage.database import guarded, open_database, projects, writing
from tlcore.storage.jobs import JobStatus, create_job, get_job
from tlcore.storage.people import admit, bring_along, remove_from_class
from tlcore.storage.projects import create_project
from tlcore.storage.requests import WeightsDownloadRequest

OTHER = "o" * 24


@pytest.fixture
def engine(home: DataRoot, no_runner: None) -> sa.Engine:
    return open_database(home)


def rename(app: AppTest, name: str) -> AppTest:
    """Type another name of the project into a page that is open; its callback comes before the page."""
    return app.text_input(key="project-name").set_value(name).run()


def name_of(engine: sa.Engine, project_id: str) -> object:
    with engine.connect() as connection:
        return connection.execute(sa.select(projects.c.name).where(projects.c.id == project_id)).scalar()


def test_whoever_is_removed_from_the_class_changes_nothing_by_an_open_page(engine: sa.Engine) -> None:
    project = create_project(engine, OWNER, "Pets")
    change_class_settings(engine, lambda stored: replace(stored, code="ABCD"))
    app = open_app("data", project=project.id)
    rename(app, "Cats")
    assert name_of(engine, project.id) == "Cats"
    remove_from_class(engine, OWNER)
    rename(app, "Dogs")
    assert name_of(engine, project.id) == "Cats"
    assert "You were removed from this class" in texts(app)
    admit(engine, OWNER)
    assert name_of(engine, project.id) == "Cats"
    app = open_app("data", project=project.id)
    rename(app, "Birds")
    assert name_of(engine, project.id) == "Birds"


def test_who_is_new_says_the_class_code_though_the_page_may_not_write_before(engine: sa.Engine) -> None:
    change_class_settings(engine, lambda stored: replace(stored, code="blue 42"))
    app = open_app()
    assert not is_admitted(engine, OWNER)
    app.text_input(key="class-code-typed").set_value("BLUE42")
    app.button[0].click().run()
    assert is_admitted(engine, OWNER)


def test_a_project_that_was_taken_along_is_not_changed_by_an_old_page(engine: sa.Engine) -> None:
    project = create_project(engine, OWNER, "Pets")
    app = open_app("data", project=project.id)
    bring_along(engine, OWNER, OTHER)
    rename(app, "Dogs")
    assert name_of(engine, project.id) == "Pets"


def test_a_page_of_whom_the_browser_was_changes_nothing(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    project = create_project(engine, OWNER, "Pets")
    app = open_app("data", project=project.id)
    monkeypatch.setitem(identity._left, OWNER, time.monotonic())
    rename(app, "Dogs")
    assert name_of(engine, project.id) == "Pets"
    rename(open_app("data", project=project.id), "Cats")  # a page that began later
    assert name_of(engine, project.id) == "Cats"


def test_the_guard_sees_what_is_stored_and_nothing_is_written_without_it(engine: sa.Engine) -> None:
    project = create_project(engine, OWNER, "Pets")

    def guard(connection: sa.Connection) -> None:
        if connection.execute(sa.select(projects.c.name)).scalar() == "Pets":
            raise ShutOutError("No more.")

    with pytest.raises(ShutOutError), writing(guarded(engine, guard, OWNER)) as connection:
        connection.execute(sa.update(projects).values(name="Dogs"))
    assert name_of(engine, project.id) == "Pets"


def test_the_class_code_is_said_through_the_guard(engine: sa.Engine) -> None:
    def guard(_connection: sa.Connection) -> None:
        raise ShutOutError("No more.")

    change_class_settings(engine, lambda stored: replace(stored, code="ABCD"))
    assert say_class_code(guarded(engine, guard, OWNER), OWNER, "ABCD")
    assert is_admitted(engine, OWNER)


def waiting_download(engine: sa.Engine) -> JobStatus:
    """Put a download in line that somebody else wants."""
    theirs = create_project(engine, OTHER, "Theirs")
    return get_job(engine, create_job(engine, "weights_download", theirs.id, WeightsDownloadRequest(("mobilenet_v2",))))


def test_work_of_others_is_stopped_by_them_and_by_a_teacher_alone(engine: sa.Engine, home: DataRoot) -> None:
    def let(_connection: sa.Connection) -> None:
        pass

    job = waiting_download(engine)
    with pytest.raises(GuestError, match="somebody else"):
        stop_job(guarded(engine, let, OWNER), job, home)
    assert get_job(engine, job.id).state == "queued"
    stop_job(guarded(engine, let, OTHER), job, home)
    assert get_job(engine, job.id).state == "stopped"
    job = waiting_download(engine)
    stop_job(guarded(unlocked(engine), let, OWNER), job, home)  # a teacher
    assert get_job(engine, job.id).state == "stopped"


def test_work_of_others_is_seen_without_a_button_that_stops_it(engine: sa.Engine) -> None:
    own = create_project(engine, OWNER, "Pets")
    second = create_project(engine, OWNER, "Toys")

    def draw(project_id: str, job_id: str) -> None:
        from pages.components.job_view import draw_job
        from pages.components.state import read_context
        from tlcore.storage.jobs import get_job

        context = read_context(project_id)
        draw_job(context, get_job(context.engine, job_id))

    theirs = AppTest.from_function(draw, args=(own.id, waiting_download(engine).id)).run()
    assert not theirs.exception
    assert not theirs.button
    mine = create_job(engine, "weights_download", second.id, WeightsDownloadRequest(("vgg16",)))
    assert AppTest.from_function(draw, args=(own.id, mine)).run().button
