"""The cards of ready data sets on the Data page."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from pages.components.data.bring import STARTED_IMPORT
from pages.components.data.ready_set_cards import CAPS, DEFAULT_CAP, set_drawings
from tests.page_tests import OWNER, check, open_app, texts
from tests.test_ready_sets import made_up
from tlcore.home import DataRoot
from tlcore.ready_sets.previews import NUM_PICTURES, keep_previews
from tlcore.ready_sets.registry import READY_SETS, get_ready_set
from tlcore.storage.database import open_database
from tlcore.storage.jobs import ACTIVE_STATES, list_jobs, read_request
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest


@pytest.fixture
def engine(home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    # Queued jobs stay queued: no runner process is started by these tests.
    monkeypatch.setattr("tlcore.jobs.control.ensure_runner", lambda home=None: None)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return open_database(home)


@pytest.fixture
def project(engine: sa.Engine) -> str:
    return create_project(engine, OWNER, "Ready").id


def network(monkeypatch: pytest.MonkeyPatch, is_there: bool) -> list[str]:
    """Decide whether servers answer; return the addresses that pages ask."""
    asked: list[str] = []

    def answer(url: str, _timeout_seconds: float) -> bool:
        asked.append(url)
        return is_there

    monkeypatch.setattr("pages.components.data.ready_set_cards.is_reachable", answer)
    return asked


def button_of(app: AppTest, name: str):
    return app.button(key=f"sample-{name}")


def test_every_set_has_a_card_and_drawing_them_asks_no_server(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = network(monkeypatch, is_there=False)
    app = open_app("data", project=project)
    text = texts(app)
    for spec in READY_SETS:
        assert f"**{spec.title}**" in text
        for words in (spec.sentence, spec.teaches, spec.parts, spec.licence, spec.source):
            assert words in text
        assert button_of(app, spec.name).label.startswith("Download" if spec.files else "Use these")
    assert "Download 11.5 MB and use" in button_of(app, "mnist").label
    assert "1,000 of 70,000 pictures, 10 classes · needs a download once" in text
    assert "424 pictures, 6 classes · ready, no network needed" in text
    assert text.count("Nobody published a checksum") == 1
    assert asked == []


def test_without_a_network_the_page_says_so_at_once_and_offers_what_is_there(
    engine: sa.Engine, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = network(monkeypatch, is_there=False)
    app = check(button_of(open_app("data", project=project), "cifar10").click().run())
    [warning] = app.warning
    assert "CIFAR-10 cannot be downloaded now" in warning.value
    assert warning.value.endswith("Surfaces, Handwritten digits.")
    assert asked == [get_ready_set("cifar10").files[0].url]
    assert list_jobs(engine, states=ACTIVE_STATES, project_id=project) == []
    app = check(button_of(app, "digits").click().run())
    assert read_request(engine, app.session_state[STARTED_IMPORT], ImportRequest) == ImportRequest(
        sample="digits", per_class=DEFAULT_CAP
    )


def test_with_a_network_the_download_becomes_an_import(
    engine: sa.Engine, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network(monkeypatch, is_there=True)
    app = check(button_of(open_app("data", project=project), "mnist").click().run())
    request = read_request(engine, app.session_state[STARTED_IMPORT], ImportRequest)
    assert request == ImportRequest(sample="mnist", per_class=DEFAULT_CAP)
    assert not app.warning


@pytest.mark.parametrize(
    ("cap", "words"), list(zip(CAPS, ("500 of 3,670", "1,500 of 3,670", "3,670", "3,670"), strict=True))
)
def test_the_choice_of_pictures_per_class_is_shown_and_goes_into_the_import(
    engine: sa.Engine, project: str, monkeypatch: pytest.MonkeyPatch, cap: int | None, words: str
) -> None:
    network(monkeypatch, is_there=True)
    app = open_app("data", project=project)
    app = check(app.segmented_control(key="per_class").set_value(cap).run())
    assert f"\n{words} pictures, 5 classes" in texts(app)
    app = check(button_of(app, "flower_photos").click().run())
    assert read_request(engine, app.session_state[STARTED_IMPORT], ImportRequest).per_class == cap


def test_only_some_classes_of_a_set_can_be_taken(engine: sa.Engine, project: str) -> None:
    app = open_app("data", project=project)
    app = check(app.multiselect(key="classes-digits").select("3").select("7").run())
    assert "\n200 of 1,797 pictures, 2 classes · ready" in texts(app)
    app = check(button_of(app, "digits").click().run())
    request = read_request(engine, app.session_state[STARTED_IMPORT], ImportRequest)
    assert request == ImportRequest(sample="digits", per_class=DEFAULT_CAP, classes=("3", "7"))


def test_a_set_that_is_here_needs_no_network_and_shows_its_pictures(
    engine: sa.Engine, home: DataRoot, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = network(monkeypatch, is_there=False)
    spec = get_ready_set("mnist")
    before = open_app("data", project=project)
    [file] = spec.files
    file.path.parent.mkdir(parents=True)
    with file.path.open("wb") as copy:
        copy.truncate(file.size_bytes)
    keep_previews(spec, made_up({(name, "train"): 2 for name in spec.class_names}), home)
    app = open_app("data", project=project)
    # Its own pictures instead of drawn ones.
    assert len(app.get("image")) == len(before.get("image")) >= NUM_PICTURES * len(READY_SETS)
    assert (texts(before).count("Drawn;"), texts(app).count("Drawn;")) == (6, 5)
    assert "1,000 of 70,000 pictures, 10 classes · on this computer, no network needed" in texts(app)
    check(button_of(app, "mnist").click().run())
    assert len(list_jobs(engine, states=ACTIVE_STATES, project_id=project)) == 1
    assert asked == []


def test_every_set_that_must_be_downloaded_is_drawn_until_then() -> None:
    for spec in READY_SETS:
        drawings = [path.read_bytes() for path in set_drawings(spec.name)]
        assert len(drawings) == (NUM_PICTURES if spec.files else 0)
        assert len(set(drawings)) == len(drawings)
