"""The map of the pictures on Understand, as a person meets it, and the route of its thumbnails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.datastructures import Headers
from streamlit.testing.v1 import AppTest

from pages.components.figures.picture_map import SHAPED_POINTS, MapPoint, map_figure, map_words
from pages.server.identity import owner_of
from pages.server.thumbnails import thumbnail_address, thumbnail_route
from tests.asgi_request import request
from tests.coloured_pictures import RecordingProgress
from tests.finished_runs import Finished
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import check, modules_after, open_app, texts
from tests.signing import cookie_of
from tlcore.config import ModelConfig
from tlcore.dataset import ClassLabel, Dataset
from tlcore.features.store import FeatureStore, record_key
from tlcore.home import DataRoot
from tlcore.jobs import control
from tlcore.mapping import sample
from tlcore.mapping.maps import backbone_of_map, make_map, map_key, map_sample, read_map
from tlcore.model.cut import plan_model
from tlcore.storage.database import open_database, projects
from tlcore.storage.datasets import commit_version, content_path, current_dataset, get_version
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble, list_ensembles
from tlcore.storage.exams import open_exam
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job, last_job, read_request
from tlcore.storage.model_settings import change_model_settings
from tlcore.storage.projects import create_project
from tlcore.storage.requests import MapRequest
from tlcore.storage.runs import list_runs
from tlcore.storage.simple_heads import list_simple_heads

Make = Callable[..., Finished]
BACKBONE = backbone_of_map(ModelConfig())
OTHERS = {"red": "green", "green": "red"}


@pytest.fixture(autouse=True)
def queued_jobs_stay_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ensure_runner", lambda home: None)


def cache_features(home: DataRoot, dataset: Dataset) -> None:
    """Put features into the cache by which the classes lie apart, as a run would."""
    prefix, random = plan_model(BACKBONE).prefix, np.random.default_rng(0)
    index = dataset.class_index()
    rows = [random.normal(3 * index[item.class_id], 1, prefix.shape).astype(np.float16) for item in dataset.items]
    store = FeatureStore(home).open(prefix, prefix.features_key(BACKBONE.resize_mode))
    store.write([record_key(item.image) for item in dataset.items], rows)


def open_map(finished: Finished, run_id: str, *, chosen: frozenset[int] = frozenset()) -> AppTest:
    """Open Understand with the map open, and points drawn around."""
    app = open_app("understand", project=finished.project_id, run=run_id)
    app.session_state["map"] = True  # as after a click on it
    app.session_state[f"map-selected-{run_id}"] = (0, finished.version, chosen)
    return check(app.run())


def plot(app: AppTest) -> dict[str, Any]:
    """Return what the map's drawing was given."""
    for component in app.get("bidi_component"):
        data = json.loads(component.proto.json)
        if data.get("pictures"):
            return data
    raise AssertionError("no map")


def tap(app: AppTest, name: str) -> AppTest:
    return check(next(button for button in app.button if button.label == name).click().run())


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def current(finished: Finished) -> Dataset:
    return current_dataset(finished.engine, finished.project_id, finished.home)[1]


def test_nothing_is_loaded_for_the_map_before_somebody_opens_it(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0,))
    cache_features(finished.home, finished.dataset)
    loaded = modules_after("understand", finished.home, finished.project_id, run_id)
    assert not {"sklearn", "ai_edge_litert", "tensorflow", "keras"} & loaded


def test_the_map_is_there_at_once_with_a_ring_around_each_mistake(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0, 3), wrong_in_exam=(1,))
    cache_features(finished.home, finished.dataset)
    app = open_map(finished, run_id)
    data = plot(app)
    traces = data["figure"]["data"]
    assert [trace["name"] for trace in traces] == ["red", "green"]
    assert sorted(number for trace in traces for number in trace["customdata"]) == list(range(80))
    said = {number: text for trace in traces for number, text in zip(trace["customdata"], trace["text"], strict=True)}
    validation = [number for number, item in enumerate(finished.dataset.items) if item.split == "validation"]
    wrong = {validation[0], validation[3]}
    assert {number for number, text in said.items() if text} == wrong
    assert said[validation[0]] == "model said green 60 %"
    # The classes lie apart across.
    red, green = (np.array(trace["x"]) for trace in traces)
    assert red.max() < green.min() or green.max() < red.min()
    assert data["pictures"] == thumbnail_address(finished.project_id, finished.version)
    assert "80 pictures as points" in data["description"]
    assert "2 with a ring" in data["description"]
    assert "It was asked about 40 of 80" in texts(app)
    # Mistakes in the exam are ringed once it is open, and not before.
    open_exam(finished.engine, finished.project_id, run_id, finished.version)
    assert "3 with a ring" in plot(open_map(finished, run_id))["description"]


def test_calibrated_probabilities_stand_at_the_mistakes_of_every_part(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0,), wrong_in_exam=(0,))  # each said with 60 %
    cache_features(finished.home, finished.dataset)
    open_exam(finished.engine, finished.project_id, run_id, finished.version)
    change_model_settings(finished.engine, finished.project_id, run_id, lambda now: replace(now, temperature=3.0))
    traces = plot(open_map(finished, run_id))["figure"]["data"]
    said = [text for trace in traces for text in trace["text"] if text]
    # The roots of 60 and 40 are to each other as 53 to 47.
    assert [text.split()[-2:] for text in said] == [["53", "%"]] * 2


def test_what_was_drawn_around_is_moved_and_removed_and_brought_back(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0,))
    cache_features(finished.home, finished.dataset)
    red = [number for number, item in enumerate(finished.dataset.items) if item.class_id == "class0"]
    app = open_map(finished, run_id, chosen=frozenset(red[:3]))
    assert "**3 pictures**: red 3" in texts(app)
    assert [len(trace["selectedpoints"]) for trace in plot(app)["figure"]["data"]] == [3, 0]
    assert app.button(key="map-move").disabled
    check(app.selectbox(key="map-to").set_value("class1").run())
    tap(app, "Move them")
    moved = {item.image: item.class_id for item in current(finished).items}
    assert [moved[finished.dataset.items[number].image] for number in red[:4]] == ["class1"] * 3 + ["class0"]
    # The map stays where it was: moved points have another colour, and nothing is drawn around any more.
    assert [len(trace["x"]) for trace in plot(app)["figure"]["data"]] == [37, 43]
    assert not any("selectedpoints" in trace for trace in plot(app)["figure"]["data"])
    assert "Move them" not in labels(app)
    check(app.button(key=next(b.key for b in app.button if str(b.key).startswith("map-undo"))).click().run())
    assert current(finished) == finished.dataset
    app = open_map(finished, run_id, chosen=frozenset(red[:2]))
    box = next(box for box in app.checkbox if str(box.key).startswith("map-pictures"))
    check(box.check().run())
    assert "these buttons work on the 1 picture ticked" in texts(app)
    tap(app, "Remove them")
    assert len(current(finished).items) == 79
    assert sum(len(trace["x"]) for trace in plot(app)["figure"]["data"]) == 79


def test_without_a_pointer_pictures_are_chosen_by_class_and_by_mistake(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0, 1, 2))
    cache_features(finished.home, finished.dataset)
    app = open_map(finished, run_id)
    assert "Remove them" not in labels(app)
    check(app.toggle(key=f"map-wrong-{run_id}").set_value(True).run())
    assert "**3 pictures**" in texts(app)
    check(app.selectbox(key=f"map-class-{run_id}").set_value("class1").run())
    wrong = [item for item in finished.dataset.subset("validation")[:3] if item.class_id == "class1"]
    assert f"**{len(wrong)} picture" in texts(app)
    assert "Remove them" in labels(app)


def test_a_picture_that_got_the_class_which_the_model_said_has_no_ring(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0,))
    cache_features(finished.home, finished.dataset)
    item = finished.dataset.subset("validation")[0]
    other = "class1" if item.class_id == "class0" else "class0"
    items = tuple(replace(one, class_id=other) if one == item else one for one in finished.dataset.items)
    parent = {"parent": finished.version, "home": finished.home}
    edited = replace(finished.dataset, items=items)
    commit_version(finished.engine, finished.project_id, edited, "moved", **parent)
    assert "0 with a ring" in plot(open_map(finished, run_id))["description"]


def test_many_pictures_are_sampled_with_a_word(make_finished: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    cache_features(finished.home, finished.dataset)
    monkeypatch.setattr(sample.map_sample, "__defaults__", (20, 0))
    app = open_map(finished, run_id)
    assert "A sample of 20 of 80 pictures, in which every class has its share." in texts(app)
    assert [len(trace["x"]) for trace in plot(app)["figure"]["data"]] == [10, 10]


def test_missing_features_are_computed_by_a_job_at_a_tap(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    app = open_map(finished, run_id)
    assert "For some of these pictures they were not computed yet" in texts(app)
    tap(app, "Compute them and draw the map")
    key = f"{finished.project_id} {map_key(map_sample(finished.dataset), BACKBONE)}"
    job = last_job(finished.engine, finished.project_id, "map", key)
    assert job is not None
    assert read_request(finished.engine, job.id, MapRequest) == MapRequest(finished.version, BACKBONE)
    assert "Stop" in labels(app)
    claimed = claim_job(finished.engine, "map")
    assert claimed is not None
    end_job(finished.engine, job.id, claimed.attempt, "failed", "The disk is full.")
    app = open_map(finished, run_id)
    assert "The disk is full." in [error.value.replace("\\", "") for error in app.error]
    assert "Compute them and draw the map" in labels(app)


def test_t_sne_is_made_on_request_and_shown_from_then_on(make_finished: Make) -> None:
    finished = make_finished(each=4)
    run_id = finished.add_run()
    cache_features(finished.home, finished.dataset)
    app = open_map(finished, run_id)
    at_once = plot(app)["figure"]["data"][0]["x"]
    arranged = next(group for group in app.button_group if str(group.key).startswith("map-arranged"))
    check(arranged.set_value("tsne").run())
    assert plot(app)["figure"]["data"][0]["x"] == at_once
    tap(app, "Arrange by t-SNE")
    assert "Stop" in labels(app)
    job = claim_job(finished.engine, "map")
    assert job is not None
    make_map(finished.dataset, BACKBONE, RecordingProgress(), finished.home)
    end_job(finished.engine, job.id, job.attempt, "finished")
    app = open_map(finished, run_id)
    made = read_map(map_sample(finished.dataset), BACKBONE, finished.home)
    assert made is not None
    places = dict(enumerate(made.tsne))
    trace = plot(app)["figure"]["data"][0]
    assert trace["x"] == [places[number][0] for number in trace["customdata"]]
    assert "t-SNE keeps neighbours together" in texts(app)
    assert "Arrange by t-SNE" not in labels(app)


def test_simple_heads_and_models_without_answers_have_a_map_too(make_finished: Make) -> None:
    finished = make_finished()
    run_id, head_id = finished.add_run(), finished.add_head()
    cache_features(finished.home, finished.dataset)
    assert "1 with a ring" in plot(open_map(finished, head_id))["description"]
    for path in finished.home.run_dir(run_id).glob("*.npz"):
        path.unlink()
    assert "0 with a ring" in plot(open_map(finished, run_id))["description"]


def test_a_group_has_a_map_by_the_backbone_of_its_runs(make_finished: Make) -> None:
    finished = make_finished()
    runs = (finished.add_run(wrong=(0,)), finished.add_run(wrong=(0,)))
    cache_features(finished.home, finished.dataset)
    group = create_ensemble(
        finished.engine,
        finished.project_id,
        "Both",
        finished.version,
        EnsembleConfig(runs, (0.5, 0.5)),
        test_correct=40,
        test_total=40,
    )
    assert "1 with a ring" in plot(open_map(finished, group))["description"]


def test_models_of_an_earlier_version_say_what_their_map_needs(home: DataRoot) -> None:
    engine = open_database(unpack_old_data_root(home))
    with engine.begin() as connection:
        project_ids = connection.execute(sa.select(projects.c.id)).scalars().all()
    project_id = next(one for one in project_ids if list_ensembles(engine, one))
    runs = [run for run in list_runs(engine, project_id) if run.has_model]
    models = (runs[0], list_ensembles(engine, project_id)[0], list_simple_heads(engine, project_id)[0])
    for model in models:
        app = open_app("understand", project=project_id, run=model.id)
        app.session_state["map"] = True
        assert "For some of these pictures they were not computed yet" in texts(check(app.run()))


def test_a_list_of_pictures_that_is_damaged_is_said(make_finished: Make) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    edited = replace(finished.dataset, items=finished.dataset.items[:-1])
    parent = {"parent": finished.version, "home": finished.home}
    commit_version(finished.engine, finished.project_id, edited, "fewer", **parent)
    content = get_version(finished.engine, finished.project_id, finished.version).content
    content_path(content, finished.home).write_text("{}")
    app = open_map(finished, run_id)
    assert any("missing or damaged" in error.value for error in app.error)


def test_classes_differ_in_shape_where_their_colours_are_the_same() -> None:
    classes = tuple(ClassLabel(str(n), f"<b>{n}</b>", n) for n in range(60))
    figure = map_figure([MapPoint(0, "x", "0", (0, 0))], classes, zoom="a", selection="b")
    looks = {(trace["marker"]["color"], trace["marker"]["symbol"]) for trace in figure["data"]}
    assert len(looks) == 60
    many = [MapPoint(number, "x", "0", (0, 0)) for number in range(SHAPED_POINTS + 1)]
    for few in (classes[:13], classes[:12]):  # the thirteenth has the colour of the first
        shapes = {trace["marker"]["symbol"] for trace in map_figure(many, few, zoom="a", selection="b")["data"]}
        assert (len(shapes) > 1) == (len(few) == 13)
    assert figure["data"][0]["name"] == "&lt;b&gt;0&lt;/b&gt;"
    assert "<b>0</b> 1" in map_words([MapPoint(0, "x", "0", (0, 0))], classes)


def test_a_thumbnail_goes_to_the_browser_that_owns_the_project(make_finished: Make) -> None:
    owner, other = "o" * 24, "p" * 24
    finished = make_finished(owner)
    create_project(finished.engine, other, "Another")
    app = Starlette(routes=[thumbnail_route(owner_of)])

    def ask(number: int, who: str = owner, version: int = finished.version) -> tuple[int, Headers, bytes]:
        path = thumbnail_address(finished.project_id, version, number)
        return request(app, path, [(b"cookie", cookie_of(who).encode())])

    status, headers, picture = ask(7)
    item = finished.dataset.items[7]
    assert (status, picture) == (200, ImageStore(finished.home).thumbnail(item.image))
    assert headers["content-type"] == "image/jpeg"
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    assert [ask(7, "")[0], ask(7, other)[0], ask(80)[0], ask(7, version=9)[0]] == [404] * 4
    assert request(app, thumbnail_address("x", 1, 0))[0] == 404
    (finished.home.thumbnails_dir / item.image[:2] / item.image).unlink()
    assert ask(7)[0] == 200  # it is made again
    for folder in (finished.home.thumbnails_dir, finished.home.images_dir):
        (folder / item.image[:2] / item.image).unlink()
    assert ask(7)[0] == 404
