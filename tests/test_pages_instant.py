"""Instant answers on the Data page: off at first, honest while few pictures are there, quick to answer."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from pages.components.data import instant_panel
from pages.components.data.instant_panel import quality_words
from tests.coloured_pictures import coloured_dataset, picture, png
from tests.page_tests import OWNER, check, modules_after, open_app, texts
from tlcore.config import ModelConfig
from tlcore.home import DataRoot
from tlcore.simple_heads.instant import InstantClassifier
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import create_project


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 64 pixels, for which the tests have the backbone ready."""
    monkeypatch.setattr(instant_panel, "ModelConfig", lambda: ModelConfig(image_size=64))


def open_project(home: DataRoot, **dataset: object) -> AppTest:
    engine: sa.Engine = open_database(home)
    project = create_project(engine, OWNER, "Colours")
    commit_version(engine, project.id, coloured_dataset(home, **dataset), "made", parent=None, home=home)
    return open_app("data", project=project.id)


def switch_on(page: AppTest) -> AppTest:
    return check(page.toggle(key="instant").set_value(True).run())


def test_the_switch_comes_with_the_second_class(home: DataRoot) -> None:
    assert not open_project(home, colours=("red",)).toggle
    page = open_project(home)
    assert not page.toggle(key="instant").value
    assert "right so far" not in texts(page)


def test_few_pictures_get_the_nearest_class_mean_and_an_answer_at_once(ready_home: DataRoot, small: None) -> None:
    page = switch_on(open_project(ready_home, per_class=4))
    assert "**9 of 9 pictures right so far**" in texts(page)
    assert "nearest class mean" in texts(page)
    uploader = next(one for one in page.file_uploader if one.key.startswith("pictures-"))
    uploader.upload("mine.png", png(picture("green", 77)))
    page = check(page.run())
    assert "green" in next(heading for heading in texts(page).splitlines() if heading.startswith("### "))
    assert len(page.get("plotly_chart")) == 2


def test_it_can_be_asked_by_the_camera(ready_home: DataRoot, small: None) -> None:
    page = switch_on(open_project(ready_home, per_class=6))
    assert not page.get("bidi_component")
    page = check(page.segmented_control(key="instant-way").set_value("camera").run())
    assert len(page.get("bidi_component")) == 1
    page = check(page.segmented_control(key="way").set_value("webcam").run())
    assert len(page.get("bidi_component")) == 1
    assert "The camera above answers already." in texts(page)


def test_work_is_done_in_small_parts_and_shown(
    ready_home: DataRoot, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instant_panel, "BUDGET_SECONDS", 0)
    page = switch_on(open_project(ready_home, per_class=4))
    assert page.get("progress")[0].proto.text == "Looking at your pictures, 1 of 9"
    assert "right so far" not in texts(page)
    monkeypatch.setattr(instant_panel, "BUDGET_SECONDS", 60)
    assert "**9 of 9 pictures right so far**" in texts(check(page.run()))


def test_a_class_with_one_picture_is_left_out_by_name(ready_home: DataRoot, small: None) -> None:
    engine = open_database(ready_home)
    project = create_project(engine, OWNER, "Colours")
    dataset = coloured_dataset(ready_home, per_class=6)
    red = dataset.class_named("red")
    kept = dataset.of_class(red.id)[:1]
    items = tuple(item for item in dataset.items if item.class_id != red.id or item in kept)
    commit_version(engine, project.id, type(dataset)(dataset.classes, items), "made", parent=None, home=ready_home)
    page = switch_on(open_app("data", project=project.id))
    assert "Not yet with red: too few pictures." in texts(page)


def test_without_the_backbone_the_page_says_how_to_get_it(home: DataRoot) -> None:
    page = switch_on(open_project(home))
    assert "not ready on this computer yet" in texts(page)


def test_quality_has_its_interval_and_says_how_it_was_found() -> None:
    words = quality_words(InstantClassifier(None, "logistic_regression", 45, 48, 200))  # type: ignore[arg-type]
    assert "**45 of 48 validation pictures right so far**, between 83 and 98 % (95 %)" in words
    assert "200 training pictures" in words
    assert "leave-one-out" in quality_words(InstantClassifier(None, "class_means", 3, 4, 4))  # type: ignore[arg-type]


def test_the_first_paint_of_data_loads_neither_network_nor_classifiers(home: DataRoot) -> None:
    engine = open_database(home)
    project = create_project(engine, OWNER, "Colours")
    commit_version(engine, project.id, coloured_dataset(home), "made", parent=None, home=home)
    assert not {"sklearn", "tensorflow", "keras", "ai_edge_litert"} & modules_after("data", home, project.id)
