"""The teacher's page in a browser: log in, see and stop work, lock a control, and leave; signing in with an account."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pages.server.teacher import TEACHER_COOKIE, TEACHERS_VARIABLE
from tests.browser import PageWatch, open_context, sign_in
from tests.full_class import fill
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, providing
from tests.server import AppServer, serving
from tests.test_accessibility import show_whole, violations_in_both_themes, wait_until_still
from tlcore.home import DataRoot
from tlcore.setup.passwords import TEACHER_VARIABLE, hash_password
from tlcore.storage.database import open_database
from tlcore.storage.projects import create_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PASSWORD = "horse battery staple"
TEACHER, STUDENT = "t" * 24, "s" * 24
SECTIONS = {
    "At work": "At work: 0",
    "People": "people",
    "Hand out": "On everybody's Home",
    "The class": "Locked controls",
    "The disk": "What all projects share",
}
SECRETS = """
[auth]
redirect_uri = "{app}/oauth2callback"
cookie_secret = "for a test, not for a school"
client_id = "{id}"
client_secret = "{secret}"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The app with a teacher's password, for a class of thirty."""
    home = DataRoot(tmp_path_factory.mktemp("teacher") / "home")
    fill(open_database(home), home, num_projects=60, num_jobs=0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(TEACHER_VARIABLE, str(hash_password(PASSWORD)))
        with serving(home) as server:
            yield server


def log_in(page: Page, app: AppServer) -> None:
    page.goto(f"{app.address}/teacher")
    field = page.get_by_label("Teacher's password")
    field.fill(PASSWORD)
    field.press("Enter")
    page.get_by_role("button", name="Leave").wait_for()


def test_a_teacher_locks_a_control_that_then_does_not_move_for_a_student(app: AppServer, browser: Browser) -> None:
    project = create_project(open_database(app.home), STUDENT, "Mine")
    teachers, students = open_context(browser), open_context(browser)
    sign_in(teachers, app.address, TEACHER)
    sign_in(students, app.address, STUDENT)
    watch = PageWatch(teachers, app.address)
    page = teachers.new_page()
    page.goto(app.address)
    page.get_by_role("link", name="For teachers").click()
    field = page.get_by_label("Teacher's password")
    field.fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("not the teacher's password").wait_for()
    field.fill(PASSWORD)
    field.press("Enter")
    page.get_by_role("button", name="Leave").wait_for()
    other = open_context(browser)
    sign_in(other, app.address, TEACHER)  # as with a code of the page You
    another = other.new_page()
    another.goto(f"{app.address}/teacher")
    another.get_by_label("Teacher's password").wait_for()
    assert another.get_by_role("button", name="Leave").count() == 0
    other.close()
    page.get_by_role("radio", name="People").click()
    page.get_by_role("cell", name="Chloé", exact=True).wait_for()
    page.get_by_role("radio", name="The class").click()
    page.get_by_text("Bringing pictures").click()
    page.get_by_text("1 lock on").wait_for()
    student = students.new_page()
    student.goto(f"{app.address}/data?project={project.id}&way=folder")
    student.get_by_text("Folder or ZIP").click()
    student.get_by_text("Your teacher has locked this.").wait_for()
    page.get_by_role("button", name="Unlock all").click()
    page.get_by_text("Nothing is locked").wait_for()
    student.reload()
    student.get_by_text("Folder or ZIP").click()
    student.get_by_text("Drop a folder or ZIP files here").wait_for()
    page.get_by_role("button", name="Leave").click()
    page.get_by_label("Teacher's password").wait_for()
    assert TEACHER_COOKIE not in {cookie["name"] for cookie in teachers.cookies()}
    watch.check()
    student.goto(f"{app.address}/teacher")
    student.get_by_label("Teacher's password").wait_for()
    assert student.get_by_role("button", name="Leave").count() == 0
    for context in (teachers, students):
        context.close()


def test_axe_finds_nothing_in_any_section(app: AppServer, browser: Browser) -> None:
    context = open_context(browser, color_scheme="light")
    sign_in(context, app.address, TEACHER)
    page = context.new_page()
    log_in(page, app)
    for section, heading in SECTIONS.items():
        page.get_by_role("radio", name=section).click()
        page.get_by_role("heading", name=heading).wait_for()
        if section == "People":
            page.get_by_role("combobox", name="A person").click()
            page.get_by_role("option", name="Chloé", exact=True).click()
            page.get_by_role("button", name="Delete all projects").click()
            page.get_by_role("button", name="Delete 2 projects").wait_for()
        wait_until_still(page)
        show_whole(page)
        assert violations_in_both_themes(page) == [], section
        page.emulate_media(color_scheme="light")
    page.get_by_role("button", name="Leave").click()
    page.get_by_label("Teacher's password").wait_for()
    context.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as one:
        yield one


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[AppServer]:
    """The app where teachers sign in with an account."""
    folder: Path = tmp_path_factory.mktemp("school")
    file = folder / "secrets.toml"
    server = AppServer(DataRoot(folder / "home"), options=("--secrets.files", str(file)))
    file.write_text(
        SECRETS.format(app=server.address, id=CLIENT_ID, secret=CLIENT_SECRET, provider=provider.address),
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(TEACHERS_VARIABLE, "ada@school.example")
        try:
            server.start()
            yield server
        finally:
            server.clean_up()


@pytest.mark.parametrize(
    ("claims", "is_teacher"),
    [
        ({"email": "Ada@school.example", "email_verified": True}, True),
        ({"email": "ada@school.example", "email_verified": False}, False),
    ],
)
def test_an_account_with_a_verified_mail_that_counts_opens_the_page(
    school: AppServer, provider: Provider, browser: Browser, claims: dict[str, object], is_teacher: bool
) -> None:
    provider.claims = claims
    checked = provider.checked
    context = open_context(browser)
    page = context.new_page()
    page.goto(f"{school.address}/teacher")
    page.get_by_role("button", name="Sign in with the school's account").click()
    page.wait_for_url(re.compile(re.escape(school.address) + "/$"))
    page.get_by_role("link", name="For teachers").click()
    assert provider.checked == checked + 1
    if is_teacher:
        page.get_by_role("button", name="Leave").click()
        page.wait_for_url(re.compile(re.escape(school.address) + "/$"))
        page.goto(f"{school.address}/teacher")
    else:
        page.get_by_text("the claim email_verified is not true").wait_for()
    page.get_by_role("button", name="Sign in with the school's account").wait_for()
    assert page.get_by_role("button", name="Leave").count() == 0
    context.close()


def test_only_the_server_calls_the_provider_and_nobody_else(school: AppServer) -> None:
    assert not school.outgoing
