"""The page You and the door of a class as a person meets them, and how a browser becomes somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit.testing.v1 import AppTest

from pages.components import class_code
from pages.server import identity, tickets
from pages.server.asgi import middleware
from pages.server.guesses import Guesses
from pages.server.identity import Change, left_since, owner_of, take_address, take_route
from pages.server.private_streamlit import USER_COOKIE
from pages.server.teacher import TEACHER_COOKIE, TEACHERS
from tests.asgi_request import request
from tests.page_tests import OWNER, check, open_app, texts
from tests.signing import cookie_of, signed
from tlcore.errors import QuotaError
from tlcore.home import DataRoot
from tlcore.storage import database
from tlcore.storage.admission import is_admitted
from tlcore.storage.class_settings import ClassSettings, change_class_settings
from tlcore.storage.database import class_settings, open_database, writing
from tlcore.storage.people import (
    bring_along,
    count_projects,
    has_code,
    new_code,
    note_visit,
    owner_by_code,
    read_person,
    remove_from_class,
    rename_person,
)
from tlcore.storage.projects import create_project, get_project, read_projects
from tlcore.storage.quotas import PERSON_PROJECTS
from tlcore.storage.room import beyond_together

MIA, BEN = "m" * 24, "b" * 24


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody has guessed or left yet."""
    monkeypatch.setattr("pages.server.guesses.CODE_GUESSES", Guesses(free=2))
    monkeypatch.setattr(class_code, "CLASS_CODE_GUESSES", Guesses(free=2))
    identity._left.clear()
    identity.TICKETS.clear()
    yield
    identity._left.clear()


def lock_code(engine: sa.Engine, code: str | None) -> None:
    change_class_settings(engine, lambda _before: ClassSettings(code=code))


def shown_code(app: AppTest) -> str:
    return str(app.code[0].value)


def use(app: AppTest, code: str) -> AppTest:
    app.text_input(key="you-typed").set_value(code)
    return check(next(one for one in app.button if one.label == "Use this code").click().run())


def press(app: AppTest, text: str) -> AppTest:
    return check(next(one for one in app.button if one.label == text).click().run())


def test_a_person_chooses_a_name_and_sees_it_as_typed(engine: sa.Engine) -> None:
    app = open_app("you")
    assert "Without a name you are Person 1" in texts(app)
    check(app.text_input(key="you-name").set_value("![x](http://evil.example)").run())
    assert read_person(engine, OWNER).called == "![x](http://evil.example)"
    assert "Without a name" not in texts(app)


def test_home_leads_to_it() -> None:
    assert "You" in [link.label for link in open_app().get("page_link")]


def test_a_code_is_made_and_shown_once(engine: sa.Engine) -> None:
    app = press(open_app("you"), "Make a code")
    code = shown_code(app)
    assert owner_by_code(engine, code) == OWNER
    assert "Write it down" in texts(app)
    again = open_app("you")
    assert not again.code
    newer = shown_code(press(again, "Make a new code"))
    assert owner_by_code(engine, code) is None
    assert owner_by_code(engine, newer) == OWNER


def test_a_wrong_code_leads_nowhere_and_is_slowed(engine: sa.Engine) -> None:
    app = open_app("you")
    for _ in range(2):
        assert "There is no such code" in use(app, "AAAAA-AAAAA").error[0].value
    assert "Too many wrong codes were tried here" in use(app, "AAAAA-AAAAA").error[0].value
    assert not identity.TICKETS.waiting()


def test_the_own_code_changes_nothing(engine: sa.Engine) -> None:
    app = open_app("you")
    assert "your own code" in use(app, new_code(engine, OWNER)).info[0].value
    assert "Type the code" in use(app, " ").info[0].value
    assert not identity.TICKETS.waiting()


def test_a_browser_without_projects_becomes_the_other_at_once(engine: sa.Engine) -> None:
    create_project(engine, MIA, "Mia's")
    use(open_app("you"), new_code(engine, MIA))
    assert identity.TICKETS.waiting() == [(OWNER, Change(MIA, brings=False))]


def test_a_browser_with_projects_is_asked_whose_they_are(engine: sa.Engine) -> None:
    rename_person(engine, MIA, "*Mia*")
    create_project(engine, OWNER, "Pets_1")
    app = use(open_app("you"), new_code(engine, MIA))
    assert r"**\*Mia\***" in texts(app)
    assert r"Pets\_1" in texts(app)
    assert next(one for one in app.button if one.label == "Go on").disabled
    check(app.radio(key="you-whose").set_value("They are mine: bring them along").run())
    press(app, "Go on")
    assert [change.brings for _, change in identity.TICKETS.waiting()] == [True]


def test_more_than_one_person_can_have_comes_along_with_a_word_of_what_that_means(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PERSON_PROJECTS.setting, "3")
    code = new_code(engine, MIA)
    for owner in (OWNER, MIA):
        for _ in range(2):
            create_project(engine, owner, "Mine")
    app = use(open_app("you"), code)
    check(app.radio(key="you-whose").set_value("They are mine: bring them along").run())
    assert "4 projects, and one person can have 3. All come along, but nothing new" in texts(app)
    bring_along(engine, OWNER, MIA)
    assert count_projects(engine, MIA) == 4
    with pytest.raises(QuotaError):
        create_project(engine, MIA, "Fifth")
    monkeypatch.setenv(PERSON_PROJECTS.setting, "4")
    assert beyond_together(engine, (OWNER, MIA), home) == ""


def test_projects_of_somebody_else_stay_and_their_code_is_offered_first(engine: sa.Engine) -> None:
    create_project(engine, OWNER, "Pets")
    app = use(open_app("you"), new_code(engine, MIA))
    check(app.radio(key="you-whose").set_value("They belong to somebody else on this computer").run())
    assert "needs the code to them" in app.info[0].value
    assert not has_code(engine, OWNER)
    press(app, "Make the code to them")
    assert owner_by_code(engine, shown_code(app)) == OWNER
    press(app, "Go on")
    assert [change.brings for _, change in identity.TICKETS.waiting()] == [False]


def test_a_code_that_was_replaced_meanwhile_is_asked_for_again(engine: sa.Engine) -> None:
    create_project(engine, OWNER, "Pets")
    app = use(open_app("you"), new_code(engine, MIA))
    check(app.radio(key="you-whose").set_value("They are mine: bring them along").run())
    newer = new_code(engine, MIA)
    assert "replaced by a newer one" in press(app, "Go on").error[0].value
    assert not identity.TICKETS.waiting()
    check(use(app, newer).radio(key="you-whose").set_value("They are mine: bring them along").run())
    press(app, "Go on")
    assert [change.to for _, change in identity.TICKETS.waiting()] == [MIA]


def test_one_can_stay_who_one_is(engine: sa.Engine) -> None:
    create_project(engine, OWNER, "Pets")
    app = press(use(open_app("you"), new_code(engine, MIA)), "Stay who I am")
    assert app.text_input(key="you-name")
    assert not identity.TICKETS.waiting()


def take(address: str, owner: str, *, teacher: str = "", **headers: str) -> tuple[int, Headers, str]:
    """Follow an address as a browser that is somebody; names of headers have `_` for `-`.

    Args:
        address: Where it goes.
        owner: Who it is.
        teacher: The token of a teacher's login that it keeps.
        **headers: Others that it sends.
    """
    server = Starlette(routes=[take_route()], middleware=list(middleware()))
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    parts = urlsplit(address)
    cookie = (b"cookie", f"{cookie_of(owner)}; {TEACHER_COOKIE}={teacher}".encode())
    status, answered, body = request(server, parts.path, [cookie, *sent], query=parts.query.encode())
    return status, answered, body.decode()


def test_the_way_to_another_identity_works_once_and_for_this_browser_alone(engine: sa.Engine) -> None:
    address = take_address(MIA, BEN, brings=False)
    assert take(address, "e" * 24)[0] == 403  # a foreign page that makes somebody else follow it
    for site in ("cross-site", "same-site", "none"):
        assert take(address, MIA, sec_fetch_site=site)[0] == 403
    status, headers, _ = take(address, MIA, sec_fetch_site="same-origin")
    assert (status, headers["location"], headers["cache-control"]) == (303, "../", "no-store")
    cookie = SimpleCookie(headers["set-cookie"])[USER_COOKIE]
    assert cookie.value == signed(BEN)
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    status, headers, words = take(address, MIA)
    assert status == 403
    assert "set-cookie" not in headers
    assert "nothing was changed" in words


def test_the_way_is_open_for_a_minute(monkeypatch: pytest.MonkeyPatch, engine: sa.Engine) -> None:
    now = [100.0]
    monkeypatch.setattr(tickets.time, "monotonic", lambda: now[0])
    first, second = (take_address(MIA, BEN, brings=False) for _ in range(2))
    now[0] += 60
    assert take(first, MIA)[0] == 303
    now[0] += 0.1
    assert take(second, MIA)[0] == 403
    assert not left_since(BEN, 0.0)
    assert left_since(MIA, 150.0)
    assert not left_since(MIA, 161.0)


def test_a_teachers_login_does_not_go_along(engine: sa.Engine) -> None:
    here, there = TEACHERS.let_in(MIA), TEACHERS.let_in(BEN)
    take(take_address(MIA, BEN, brings=False), MIA, teacher=here)
    assert not TEACHERS.knows(here)  # that of the browser that became somebody else
    assert TEACHERS.is_in(BEN, there)  # that of the other browser goes on, there alone
    assert not TEACHERS.is_in(BEN, here)
    assert not TEACHERS.is_in(BEN, "")


def test_projects_come_along_only_when_asked_for(engine: sa.Engine) -> None:
    project = create_project(engine, MIA, "Pets")
    take(take_address(MIA, BEN, brings=False), MIA)
    assert get_project(engine, project.id, MIA)
    take(take_address(MIA, BEN, brings=True), MIA)
    assert get_project(engine, project.id, BEN)


def test_where_nothing_can_be_written_the_browser_stays_who_it_is(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create_project(engine, MIA, "Pets")
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    address = take_address(MIA, BEN, brings=True)
    take(address, BEN)  # opens the database, and is refused
    with writing(engine):
        status, headers, words = take(address, MIA)
    assert status == 507
    assert "set-cookie" not in headers
    assert "Nothing was saved" in words
    assert get_project(engine, project.id, MIA)


def test_an_open_tab_of_the_one_who_left_is_loaded_anew_before_it_shows_anything(engine: sa.Engine) -> None:
    app = open_app()
    assert app.title[0].value == "Transfer Lab"
    take(take_address(OWNER, BEN, brings=False), OWNER)
    identity._left[OWNER] = float("inf")  # `OWNER` is no identity with which a browser can ask
    check(app.run())
    assert not app.title
    assert "the page comes anew" in texts(app)
    identity._left.clear()
    assert open_app().title[0].value == "Transfer Lab"


def test_a_session_that_comes_back_as_another_person_shows_nothing_of_before(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app("you")
    app.text_input(key="you-typed").set_value("secret")
    monkeypatch.setattr("pages.components.state.LOCAL_OWNER", BEN)
    check(app.run())
    assert not app.text_input
    assert "the page comes anew" in texts(app)


def test_a_class_code_is_asked_for_at_every_address(engine: sa.Engine) -> None:
    other = create_project(engine, MIA, "Mia's")
    lock_code(engine, "Room 7b")
    for page, query in ((None, {}), ("you", {}), ("data", {"project": other.id}), ("predict", {"project": "none"})):
        app = open_app(page, **query)
        assert app.title[0].value == "What is the class code?", page
        assert len(app.text_input) == len(app.button) == 1
    note_visit(engine, MIA)
    assert read_person(engine, OWNER).number == 0  # whoever stands at the door is nobody yet


def say(app: AppTest, code: str) -> AppTest:
    app.text_input(key="class-code-typed").set_value(code)
    return press(app, "Come in")


def test_the_right_class_code_opens_the_page_that_was_asked_for(engine: sa.Engine) -> None:
    lock_code(engine, "Room 7b")
    app = open_app("you")
    assert "not the class code" in say(app, "Room 8").error[0].value
    assert "Type the code" in say(app, "").info[0].value
    assert say(app, "room7B").title[0].value == "You"
    assert is_admitted(engine, OWNER)
    lock_code(engine, "another")
    assert open_app("you").title[0].value == "You"


def test_who_was_removed_is_told_so_and_asked_nothing(engine: sa.Engine) -> None:
    remove_from_class(engine, OWNER)
    app = open_app()
    assert app.title[0].value == "You are not in this class any more"
    assert not app.text_input


def test_guesses_of_the_class_code_are_slowed(engine: sa.Engine) -> None:
    lock_code(engine, "Room 7b")
    app = open_app()
    say(say(app, "1"), "2")
    assert "Too many wrong codes" in say(app, "Room 7b").error[0].value
    assert not is_admitted(engine, OWNER)


def test_damaged_settings_of_the_class_are_said_at_the_door_and_close_no_page_inside(engine: sa.Engine) -> None:
    lock_code(engine, "Room 7b")
    with writing(engine) as connection:
        connection.execute(sa.update(class_settings).values(document="garbage"))
    app = open_app()
    assert app.title[0].value == "Nobody new can come in just now"
    assert not app.text_input
    create_project(engine, OWNER, "Here before")
    assert open_app().title[0].value == "Transfer Lab"
    assert len(read_projects(engine, OWNER)[0]) == 1


def test_without_a_page_nobody_gets_anything_before_the_class_code(engine: sa.Engine) -> None:
    def who(asked: object) -> PlainTextResponse:
        return PlainTextResponse(str(owner_of(asked.headers)))  # type: ignore[attr-defined]

    server = Starlette(routes=[Route("/{path:path}", who)], middleware=list(middleware()))

    def seen(owner: str) -> str:
        return request(server, "/download/run/model.keras", [(b"cookie", cookie_of(owner).encode())])[2].decode()

    create_project(engine, MIA, "Before")
    assert seen(BEN) == BEN
    lock_code(engine, "Room 7b")
    assert [seen(MIA), seen(BEN)] == [MIA, "None"]
