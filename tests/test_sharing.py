"""Links: what each kind gives, to whom, by which pages and routes, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa
import streamlit as st
from starlette.applications import Starlette
from starlette.datastructures import Headers
from streamlit import config
from streamlit.testing.v1 import AppTest

from pages.components import sharing as words
from pages.components.state import Context, Visit
from pages.server.downloads import answers_route, answers_url, download_route, download_url
from pages.server.identity import owner_of
from pages.server.thumbnails import thumbnail_address, thumbnail_route
from pages.server.uploads import KEY_HEADER, upload_address, upload_key, upload_routes
from tests.asgi_request import request
from tests.finished_runs import Finished
from tests.page_tests import OWNER, check, open_app, texts
from tests.signing import cookie_of
from tests.test_pages_predictions import add_answers
from tlcore.dataset import Item, delete_images
from tlcore.errors import GuestError, ImageError, LockedError, NotFoundError
from tlcore.home import DataRoot
from tlcore.storage.class_settings import change_class_settings
from tlcore.storage.database import people, read_only, shares, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import delete_ensemble
from tlcore.storage.jobs import create_job
from tlcore.storage.people import rename_person
from tlcore.storage.projects import create_project, get_project, read_projects, rename_project
from tlcore.storage.requests import ImportRequest
from tlcore.storage.runs import list_runs
from tlcore.storage.sharing import (
    create_share,
    damaged_shares,
    end_share,
    find_share,
    open_share,
    shares_for_all,
    shares_of,
    shares_opened,
)

ANN, BEN, CEM = "a" * 24, "b" * 24, "c" * 24
NAME = "**Pets** [x](http://a.example) <b>"


@pytest.fixture
def finished(make_finished: Callable[..., Finished]) -> Finished:
    """Ann's project with a trained run; pages are looked at by `OWNER`."""
    made: Finished = make_finished(owner=ANN, each=6)
    made.add_run(wrong=[1])
    rename_project(made.engine, made.project_id, NAME)
    return made


def sees(finished: Finished, person: str) -> bool:
    """Whether a person may see the project, as pages and routes ask."""
    try:
        return get_project(finished.engine, finished.project_id, person, as_guest=True).id == finished.project_id
    except NotFoundError:
        return False


def test_codes_cannot_be_guessed_and_a_double_click_makes_one(finished: Finished) -> None:
    made = [create_share(finished.engine, finished.project_id, kind) for kind in ("look", "pictures", "look")]
    assert made[0] == made[2]
    assert len({share.code for share in made}) == 2
    assert all(len(share.code) == 22 for share in made)  # 128 bits
    assert shares_of(finished.engine, finished.project_id) == made[:2]
    assert (made[0].name, made[0].owner, made[0].giver) == (NAME, ANN, "")


@pytest.mark.parametrize(("kind", "looks"), [("look", True), ("project", True), ("pictures", False)])
def test_only_who_opened_a_link_that_allows_it_sees_the_project(finished: Finished, kind: str, looks: bool) -> None:
    share = create_share(finished.engine, finished.project_id, kind)  # type: ignore[arg-type]
    assert not sees(finished, BEN)  # a link alone, which nobody has opened
    open_share(finished.engine, share.code, BEN)
    open_share(finished.engine, share.code, BEN)
    assert sees(finished, BEN) == looks
    assert not sees(finished, CEM)
    assert (finished.project_id in {one.id for one in read_projects(finished.engine, BEN)[0]}) is False
    end_share(finished.engine, share.code)
    assert not sees(finished, BEN)
    with pytest.raises(NotFoundError):
        open_share(finished.engine, share.code, BEN)


def test_a_guest_by_two_links_stays_until_both_are_ended(finished: Finished) -> None:
    made = [create_share(finished.engine, finished.project_id, kind) for kind in ("look", "project")]
    for share in made:
        open_share(finished.engine, share.code, BEN)
    assert shares_opened(finished.engine, finished.project_id, BEN) == made
    end_share(finished.engine, made[1].code)
    assert sees(finished, BEN)
    end_share(finished.engine, made[0].code)
    assert not sees(finished, BEN)


@pytest.mark.parametrize("code", ["", "%", "_" * 22, "' OR 1=1 --", "x" * 10_000])
def test_a_code_is_looked_up_as_it_is(finished: Finished, code: str) -> None:
    create_share(finished.engine, finished.project_id, "look")
    with pytest.raises(NotFoundError):
        find_share(finished.engine, code)


def test_links_go_with_their_project_and_damaged_ones_are_none(finished: Finished) -> None:
    kept = create_share(finished.engine, finished.project_id, "look", for_all=True)
    lost = create_share(finished.engine, finished.project_id, "pictures", for_all=True)
    with writing(finished.engine) as connection:
        connection.execute(sa.update(shares).where(shares.c.code == lost.code).values(kind="everything"))
    assert shares_for_all(finished.engine) == [kept]
    open_share(finished.engine, kept.code, BEN)
    delete_project(finished.engine, finished.project_id, finished.home)
    assert shares_for_all(finished.engine) == []
    assert not sees(finished, BEN)


@pytest.mark.parametrize("value", ["'garbage'", "x'ff00'", "-7"])
@pytest.mark.parametrize("column", ["kind", "created", "for_all"])
def test_a_damaged_link_opens_nothing_and_can_be_ended(
    make_finished: Callable[..., Finished], column: str, value: str
) -> None:
    own: Finished = make_finished(each=6)
    lost = create_share(own.engine, own.project_id, "look")
    kept = create_share(own.engine, own.project_id, "project")
    open_share(own.engine, lost.code, BEN)
    open_share(own.engine, kept.code, CEM)
    with writing(own.engine) as connection:
        connection.exec_driver_sql(f"UPDATE shares SET {column} = {value} WHERE code = '{lost.code}'")
    assert [sees(own, person) for person in (BEN, CEM)] == [False, True]
    assert shares_of(own.engine, own.project_id) == [kept]
    assert [one.code for one in damaged_shares(own.engine, own.project_id)] == [lost.code]
    another = create_share(own.engine, own.project_id, "look")
    assert another.code != lost.code
    app = open_app("data", project=own.project_id)
    assert "A damaged link" in texts(app)
    check(app.button(key=f"share-end-{lost.code}").click().run())
    assert damaged_shares(own.engine) == []
    assert [one.code for one in shares_of(own.engine, own.project_id)] == [kept.code, another.code]


def test_a_damaged_name_of_the_giver_is_no_name_and_hides_no_link(finished: Finished) -> None:
    rename_person(finished.engine, ANN, "Ann")
    share = create_share(finished.engine, finished.project_id, "look", for_all=True)
    for damage, said in (("name = x'ff00'", "Person 1"), ("number = 'x'", "")):
        with writing(finished.engine) as connection:
            connection.exec_driver_sql(f"UPDATE people SET {damage}")
        assert find_share(finished.engine, share.code).giver == said
        assert [one.giver for one in shares_for_all(finished.engine)] == [said]
        assert create_share(finished.engine, finished.project_id, "look", for_all=True).code == share.code
    assert damaged_shares(finished.engine) == []


def test_nothing_that_writes_works_for_a_guest(finished: Finished) -> None:
    guest = read_only(finished.engine)
    tries: list[Callable[[], object]] = [
        lambda: create_job(guest, "import", finished.project_id, ImportRequest(sample="surfaces")),
        lambda: rename_project(guest, finished.project_id, "Mine"),
        lambda: delete_project(guest, finished.project_id, finished.home),
        lambda: delete_ensemble(guest, "group.x"),
        lambda: create_share(guest, finished.project_id, "project"),
        lambda: end_share(guest, "x"),
        lambda: create_project(guest, BEN, "x"),
    ]
    for one in tries:
        with pytest.raises(GuestError, match="only look"):
            one()


@pytest.fixture
def ask(home: DataRoot) -> Callable[[str, str], int]:
    """What asks the routes of a project's files as some person, and returns the status."""
    routes = [download_route(owner_of), answers_route(owner_of), thumbnail_route(owner_of)]
    app = Starlette(routes=routes)
    return lambda address, person: request(app, address, [(b"cookie", cookie_of(person, home).encode())])[0]


def test_files_go_to_guests_and_to_no_stranger(finished: Finished, ask: Callable[[str, str], int]) -> None:
    [run] = list_runs(finished.engine, finished.project_id)
    addresses = [
        thumbnail_address(finished.project_id, finished.version, 0),
        download_url(run.id, "model.zip"),
        download_url(run.id, "labels.txt"),
    ]
    share = create_share(finished.engine, finished.project_id, "look")
    for address in addresses:
        assert [ask(address, person) for person in (ANN, BEN)] == [200, 404]
    open_share(finished.engine, share.code, BEN)
    assert [ask(address, BEN) for address in addresses] == [200, 200, 200]
    assert [ask(address, CEM) for address in addresses] == [404, 404, 404]
    assert ask(answers_url(run.id), BEN) == 404  # which are no answers
    end_share(finished.engine, share.code)
    assert [ask(address, BEN) for address in addresses] == [404, 404, 404]


@pytest.fixture
def deleted(finished: Finished) -> Item:
    """A validation picture that the run has answered wrong and that Ann deleted before there was a link."""
    item = finished.dataset.subset("validation")[1]
    fewer = delete_images(finished.dataset, item.class_id, [item.image])
    commit_version(finished.engine, finished.project_id, fewer, "deleted one", parent=1, home=finished.home)
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "look").code, BEN)
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "look").code, OWNER)
    return item


def test_no_route_gives_a_guest_what_was_deleted(finished: Finished, deleted: Item, home: DataRoot) -> None:
    app = Starlette(routes=[thumbnail_route(owner_of)])
    number = finished.dataset.items.index(deleted)

    def status(person: str, version: int, number: int) -> int:
        cookie = [(b"cookie", cookie_of(person, home).encode())]
        return request(app, thumbnail_address(finished.project_id, version, number), cookie)[0]

    assert [status(person, 1, number) for person in (ANN, BEN)] == [200, 404]
    assert [status(BEN, 1, other) for other in (number - 1, number + 1)] == [200, 200]
    assert [status(BEN, 2, other) for other in (number - 1, number, len(finished.dataset.items) - 1)] == [200, 200, 404]


def test_no_page_shows_a_guest_what_was_deleted(
    finished: Finished, deleted: Item, predictor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(finished.engine, finished.home, BEN, get_project(finished.engine, finished.project_id, ANN))
    for read in (context.images.read, context.images.thumbnail):
        with pytest.raises(ImageError, match="was deleted"):
            read(deleted.image)
        assert read(finished.dataset.items[0].image)
    [run] = list_runs(finished.engine, finished.project_id)
    app = open_app("understand", project=finished.project_id, run=run.id)
    assert "This picture was deleted." in texts(app)
    asked = []
    monkeypatch.setattr("pages.components.results.answers.sample_item", lambda learned, *_: asked.append(learned))
    open_app("predict", project=finished.project_id, run=run.id)
    [learned] = asked
    assert deleted not in learned.items
    assert len(learned.items) == len(finished.dataset.items) - 1
    own = Context(finished.engine, finished.home, ANN, context.project)
    assert own.images.thumbnail(deleted.image)


def test_a_browser_keeps_pictures_for_who_it_is_and_asks_anew_for_those_of_others(
    finished: Finished, home: DataRoot
) -> None:
    app = Starlette(routes=[thumbnail_route(owner_of)])
    address = thumbnail_address(finished.project_id, 1, 0)

    def get(person: str, tag: str = "") -> tuple[int, Headers, bytes]:
        headers = [(b"cookie", cookie_of(person, home).encode()), (b"if-none-match", tag.encode())]
        return request(app, address, headers)

    share = create_share(finished.engine, finished.project_id, "look")
    open_share(finished.engine, share.code, BEN)
    _, own, _ = get(ANN)
    assert ("immutable" in own["cache-control"], own["vary"]) == (True, "Cookie")
    status, given, picture = get(BEN)
    assert (status, given["cache-control"], given["vary"], bool(picture)) == (200, "private, no-cache", "Cookie", True)
    status, _, nothing = get(BEN, given["etag"])
    assert (status, nothing) == (304, b"")
    end_share(finished.engine, share.code)
    status, refused, _ = get(BEN, given["etag"])
    assert (status, refused["cache-control"]) == (404, "no-store")


def test_what_the_owner_asked_about_is_not_shared(
    finished: Finished, ask: Callable[[str, str], int], predictor: None
) -> None:
    job_id = add_answers(finished)
    for person in (BEN, OWNER):
        open_share(finished.engine, create_share(finished.engine, finished.project_id, "project").code, person)
    assert [ask(answers_url(job_id), person) for person in (ANN, BEN)] == [200, 404]
    app = open_app("predict", project=finished.project_id)
    assert "nobody else sees them" in texts(app)
    assert "many-chosen" not in {box.key for box in app.selectbox}


def test_no_guest_brings_anything(finished: Finished, home: DataRoot) -> None:
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "project").code, BEN)
    app = Starlette(routes=upload_routes(owner_of))
    cookie = (b"cookie", cookie_of(BEN, home).encode())
    assert request(app, upload_address(finished.project_id), [cookie], method="POST")[0] == 403  # no page gave a key
    place = upload_address(finished.project_id, "import-x")
    key = (KEY_HEADER.lower().encode(), upload_key(BEN, finished.project_id, "import-x").encode())
    status, _, said = request(app, place, [cookie, key], method="POST")
    assert status == 404
    assert b"not here" in said


def open_link(code: str) -> AppTest:
    return open_app("shared", code=code)


def buttons(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


def test_a_link_says_what_it_gives(finished: Finished) -> None:
    with writing(finished.engine) as connection:
        connection.execute(sa.insert(people).values(owner=ANN, name="*Ann*", number=1, seen=0.0))
    first = create_share(finished.engine, finished.project_id, "look")
    assert first.giver == "*Ann*"
    allowed = {"look": {"Look at it"}, "pictures": {"Make a copy"}, "project": {"Look at it", "Make a copy"}}
    for kind, expected in allowed.items():
        app = open_link(create_share(finished.engine, finished.project_id, kind).code)  # type: ignore[arg-type]
        assert buttons(app) == expected, kind
        assert "24 pictures in 2 classes" in texts(app)
        assert "a project of **\\*Ann\\***" in texts(app)
        assert app.title[0].value.startswith("\\*\\*Pets\\*\\* \\[x\\]")
        assert ("validation pictures right" in texts(app)) == (kind != "pictures")
    assert not sees(finished, OWNER)  # nobody becomes a guest by looking at a link


def test_looking_and_copying(finished: Finished) -> None:
    app = open_link(create_share(finished.engine, finished.project_id, "project").code)
    app.button(key="shared-look").click().run()
    check(app)
    assert sees(finished, OWNER)
    assert app.query_params["project"] == finished.project_id
    app = open_app("data", project=finished.project_id)
    assert "You look at a project of somebody else" in texts(app)
    app.button(key="guest-copy").click().run()
    check(app)
    [copy] = read_projects(finished.engine, OWNER)[0]
    assert app.query_params["project"] == copy.id
    assert [run.has_model for run in list_runs(finished.engine, copy.id)] == [True]
    assert "You look at" not in texts(open_app("data", project=copy.id))


@pytest.mark.parametrize(
    ("kind", "key"), [("pictures", "shared-copy"), ("look", "shared-look"), ("project", "shared-look")]
)
def test_a_page_that_is_older_than_the_end_of_its_link_gives_nothing(finished: Finished, kind: str, key: str) -> None:
    share = create_share(finished.engine, finished.project_id, kind)  # type: ignore[arg-type]
    app = open_link(share.code)
    end_share(finished.engine, share.code)
    app.button(key=key).click().run()
    assert "This link leads nowhere" in texts(check(app))
    assert read_projects(finished.engine, OWNER)[0] == []
    assert not sees(finished, OWNER)


def test_a_copy_is_not_taken_by_a_link_that_was_ended(finished: Finished, home: DataRoot) -> None:
    share = create_share(finished.engine, finished.project_id, "project")
    end_share(finished.engine, share.code)
    with pytest.raises(NotFoundError, match="leads nowhere"):
        words.take(Visit(finished.engine, home, OWNER), share)
    assert read_projects(finished.engine, OWNER)[0] == []


def test_no_copy_brings_pictures_while_they_are_locked(finished: Finished, home: DataRoot) -> None:
    share = create_share(finished.engine, finished.project_id, "project")
    older = open_link(share.code)
    change_class_settings(finished.engine, lambda stored: replace(stored, locked=("pictures",)))
    with pytest.raises(LockedError, match="Bringing pictures"):
        words.take(Visit(finished.engine, home, OWNER), share)
    older.button(key="shared-copy").click().run()
    assert read_projects(finished.engine, OWNER)[0] == []
    st.cache_data.clear()  # pages remember for a second what is locked
    assert open_link(share.code).button(key="shared-copy").disabled
    handed_out = create_share(finished.engine, finished.project_id, "pictures", for_all=True)
    assert not open_link(handed_out.code).button(key="shared-copy").disabled
    words.take(Visit(finished.engine, home, OWNER), handed_out)
    assert len(read_projects(finished.engine, OWNER)[0]) == 1


def test_a_copy_of_the_pictures_has_no_models(finished: Finished) -> None:
    app = open_link(create_share(finished.engine, finished.project_id, "pictures").code)
    app.button(key="shared-copy").click().run()
    check(app)
    [copy] = read_projects(finished.engine, OWNER)[0]
    assert app.query_params["project"] == copy.id
    assert list_runs(finished.engine, copy.id) == []


@pytest.mark.parametrize("code", ["", "gone"])
def test_a_link_that_is_none_says_so(finished: Finished, code: str) -> None:
    app = open_link(code)
    assert "This link leads nowhere" in texts(app)
    assert buttons(app) == {"Go to Home"}


def test_the_owner_makes_and_ends_links(make_finished: Callable[..., Finished]) -> None:
    own: Finished = make_finished(each=6)
    app = open_app("data", project=own.project_id)
    app.button(key="share-look").click().run()
    [share] = shares_of(own.engine, own.project_id)
    address = next(one.value for one in check(app).code if "shared" in one.value)
    assert address.endswith(f"/shared?code={share.code}")
    assert "This is your own project" in texts(open_link(share.code))
    app.button(key=f"share-end-{share.code}").click().run()
    check(app)
    assert shares_of(own.engine, own.project_id) == []


def test_what_is_handed_out_stands_on_everybodys_home_but_the_givers(
    finished: Finished, make_finished: Callable[..., Finished]
) -> None:
    taken = create_share(finished.engine, finished.project_id, "pictures", for_all=True)
    looked = create_share(finished.engine, finished.project_id, "look", for_all=True)
    own = create_project(finished.engine, OWNER, "Own")
    mine = create_share(finished.engine, own.id, "project", for_all=True)
    app = open_app()
    assert "From your teacher" in texts(app)
    keys = {button.key for button in app.button}
    assert {f"take-{taken.code}", f"look-{looked.code}"} <= keys
    assert not any(mine.code in str(key) for key in keys)
    app.button(key=f"take-{taken.code}").click().run()
    check(app)
    assert len(read_projects(finished.engine, OWNER)[0]) == 2
    end_share(finished.engine, taken.code)
    end_share(finished.engine, looked.code)
    assert "From your teacher" not in texts(open_app())


def test_who_calls_himself_teacher_is_not_taken_for_the_real_one(finished: Finished) -> None:
    rename_person(finished.engine, ANN, "Teacher")
    sent = create_share(finished.engine, finished.project_id, "look")
    real = create_share(finished.engine, finished.project_id, "look", for_all=True)
    assert "Handed out by your teacher" not in texts(open_link(sent.code))
    assert "Handed out by your teacher" in texts(open_link(real.code))
    assert "Handed out by your teacher" in texts(open_app())
    open_share(finished.engine, sent.code, OWNER)
    end_share(finished.engine, real.code)
    assert "a project of **Teacher**" in texts(open_app())
    assert "Handed out by your teacher" not in texts(open_app())


def test_home_leads_back_to_what_one_looks_at(finished: Finished) -> None:
    assert "Projects of others" not in texts(open_app())
    share = create_share(finished.engine, finished.project_id, "look")
    open_share(finished.engine, share.code, OWNER)
    open_share(finished.engine, create_share(finished.engine, finished.project_id, "project").code, OWNER)
    app = open_app()
    assert "Projects of others" in texts(app)
    app.button(key=f"put-away-{finished.project_id}").click().run()
    assert "Projects of others" not in texts(check(app))
    assert not sees(finished, OWNER)
    open_share(finished.engine, share.code, OWNER)
    end_share(finished.engine, share.code)
    assert "Projects of others" not in texts(open_app())


@pytest.mark.parametrize(
    ("called", "address", "base", "is_local"),
    [
        ("http://192.168.1.5:8501/data?project=x", "0.0.0.0", "http://192.168.1.5:8501", False),
        ("https://lab.school.lan/class/data", "0.0.0.0", "https://lab.school.lan/class", False),
        ("http://localhost:8501/data", "127.0.0.1", "http://localhost:8501", True),
        ("http://localhost:8501/data", "192.168.1.5", "http://192.168.1.5:8501", False),
        (None, "localhost", "http://localhost:8501", True),
    ],
)
def test_a_link_is_one_that_others_can_call(
    called: str | None, address: str, base: str, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"server.address": address, "server.port": 8501, "server.sslCertFile": None}
    monkeypatch.setattr(config, "get_option", lambda name: chosen[name])
    assert words.share_address("c0de", called) == f"{base}/shared?code=c0de"
    assert words.is_local(words.share_address("c0de", called)) == is_local
