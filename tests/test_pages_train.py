"""Augment, Model and Train pages on a project with real pictures; runs are played by the storage functions."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from streamlit.testing.v1 import AppTest

from pages.components import job_words
from pages.components.amounts import amount, duration
from pages.components.figures.curves import curve_figure, thinned
from pages.components.figures.network import network_figure
from pages.components.pace import Pace, seconds_left
from pages.components.state import NEXT_RUN, Context
from pages.components.train.run_view import progress_of
from pages.server.asgi import middleware
from pages.server.plotly_script import PLOTLY_ADDRESS, plotly_route, versioned_address
from tests.asgi_request import request
from tests.lab import Lab
from tests.page_tests import OWNER, check, modules_after, texts
from tests.queued_run import create_run, leave_model
from tlcore.config import AugmentationConfig, ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.home import DataRoot
from tlcore.images import views
from tlcore.model.architecture import describe_model
from tlcore.settings.augmentation_controls import CONTROLS, PRESETS
from tlcore.storage.database import writing
from tlcore.storage.datasets import commit_version, current_dataset, get_version, load_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job, note_silence, request_stop, requeue_job, write_job
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.runs import MetricPoint, RunSummary, get_run, list_runs, write_metrics, write_summary

SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation", "test")


class TrainLab(Lab):
    """A project with pictures."""

    def begin_run(self) -> tuple[str, int]:
        """Put a run in line and claim it, as the runner does."""
        run_id = create_run(self.engine, self.project_id, self.version, self.config)
        job = claim_job(self.engine, "run")
        assert job is not None
        return run_id, job.attempt

    def work(self, run_id: str, attempt: int, **values: object) -> None:
        with writing(self.engine) as connection:
            write_job(connection, run_id, attempt, **values)

    def learn(self, run_id: str, attempt: int, epochs: int) -> None:
        with writing(self.engine) as connection:
            for epoch in range(1, epochs + 1):
                values = {"loss": 1 / epoch, "accuracy": 1 - 1 / (epoch + 1)}
                values |= {"val_loss": 1.1 / epoch, "val_accuracy": 0.5}
                write_metrics(connection, run_id, attempt, epoch, values)

    def finish(self, run_id: str, attempt: int, correct: int = 90, total: int = 100, message: str = "") -> None:
        with writing(self.engine) as connection:
            summary = RunSummary(4, 5, 0.9, 0, total, 2562, 3_370_000, 12.0, correct, total)
            write_summary(connection, run_id, attempt, summary)
        leave_model(self.home, run_id)
        end_job(self.engine, run_id, attempt, "finished", message)


@pytest.fixture
def lab(home: DataRoot, no_runner: None) -> TrainLab:
    images, random = ImageStore(home), np.random.default_rng(0)
    classes = (ClassLabel("a", "cat", 0), ClassLabel("b", "dog", 1))
    items = []
    for number in range(20):
        pixels = cv2.resize(random.integers(0, 256, (4, 5, 3), dtype=np.uint8), (200, 160))
        data = cv2.imencode(".png", pixels)[1].tobytes()
        split = SPLITS[number // 2 % len(SPLITS)]
        items.append(Item(images.add(data, data), classes[number % 2].id, split, f"{number}.png"))
    return TrainLab.make(home, Dataset(classes, tuple(items)))


def test_without_test_pictures_no_final_mark_is_promised(lab: Lab) -> None:
    assert "4 test pictures that it never sees give the final mark" in texts(lab.open("train"))
    version, dataset = current_dataset(lab.engine, lab.project_id, lab.home)
    others = replace(dataset, items=tuple(item for item in dataset.items if item.split != "test"))
    commit_version(lab.engine, lab.project_id, others, "fewer", parent=version, home=lab.home)
    page = lab.open("train")
    assert "0 test pictures" not in texts(page)
    assert "there are no test pictures to give a final mark" in texts(page)


def test_every_augmentation_control_has_a_widget_that_is_saved(lab: Lab) -> None:
    page = lab.open("augment")
    for row in CONTROLS:
        if row.field == "cval":
            continue
        if row.kind == "switch":
            page.toggle(key=row.field).set_value(True).run()
        elif row.kind == "choice":
            page.selectbox(key=row.field).set_value("constant").run()
        elif row.kind == "range":
            page.slider(key=row.field).set_value((0.5, 1.5)).run()
        else:
            page.slider(key=row.field).set_value(row.minimum + row.step).run()
    page.slider(key="cval").set_value(100.0).run()
    assert not page.exception
    saved, neutral = lab.config.augmentation, AugmentationConfig()
    assert all(getattr(saved, row.field) != getattr(neutral, row.field) for row in CONTROLS)
    assert saved.brightness_range == (0.5, 1.5)


def test_a_preset_sets_all_sliders_and_a_slider_ends_the_preset(lab: Lab) -> None:
    page = lab.open("augment")
    page.button_group(key="preset").set_value("tutorial").run()
    assert lab.config.augmentation == PRESETS["tutorial"]
    assert page.slider(key="rotation_range").value == 20
    page.slider(key="rotation_range").set_value(45.0).run()
    assert page.button_group(key="preset").value is None
    assert "Your own mix." in texts(page)


def test_the_page_shows_the_original_and_the_first_nine_views_that_training_gets(
    lab: TrainLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    real = views.view_pixels

    def spy(square: np.ndarray, request: views.ViewRequest, *choices: object) -> np.ndarray:
        pixels = real(square, request, *choices)
        drawn.append((pixels.shape, request.view, request.image))
        return pixels

    monkeypatch.setattr(views, "view_pixels", spy)
    lab.change(lambda config: replace(config, augmentation=PRESETS["strong"], model=ModelConfig(image_size=96)))
    page = lab.open("augment")
    assert [view for _, view, _ in drawn] == [None, *range(9)]
    assert {shape for shape, _, _ in drawn} == {(96, 96, 3)}
    assert len(page.image) == 1
    assert len(view_sources(page)) == len(set(view_sources(page))) == 9
    image = drawn.pop()[2]
    drawn.clear()
    page.button(key="again").click().run()
    assert [view for _, view, _ in drawn] == [None, *range(9, 18)]
    assert {shown for _, _, shown in drawn} == {image}
    drawn.clear()
    page.button(key="another").click().run()
    assert [view for _, view, _ in drawn] == [None, *range(9)]
    assert image not in {shown for _, _, shown in drawn}


def view_sources(page: AppTest) -> list[str]:
    return [
        source for html in page.get("html") for source in re.findall(r'src="(data:image/jpeg[^"]+)"', html.proto.body)
    ]


def test_the_cost_of_views_is_said_with_the_pictures_of_this_project(lab: Lab) -> None:
    lab.change(lambda config: replace(config, augmentation=PRESETS["light"]))
    page = lab.open("augment")
    assert "48 pictures instead of 12" in texts(page)
    page.select_slider(key="views").set_value(8).run()
    assert lab.config.training.views == 8
    assert "96 pictures instead of 12" in texts(page)
    page.toggle(key="new_views_every_epoch").set_value(True).run()
    assert "never sees the same view twice" in texts(page)


def test_moving_the_freeze_line_changes_the_parameters_at_once(lab: Lab) -> None:
    page = lab.open("model")
    before = {metric.label: metric.value for metric in page.metric}
    page.select_slider(key="first_trainable").set_value("block7a").run()
    after = {metric.label: metric.value for metric in page.metric}
    assert lab.config.model.first_trainable == "block7a"
    assert before != after
    summary = describe_model(lab.config.model, 2)
    assert amount(summary.trainable_parameters) in after.values()


def test_another_backbone_starts_frozen_at_its_own_size_and_says_its_download(lab: Lab) -> None:
    page = lab.open("model")
    page.select_slider(key="first_trainable").set_value("block7a").run()
    page.selectbox(key="backbone").set_value("inception_v3").run()
    assert not page.exception
    model = lab.config.model
    assert (model.backbone, model.first_trainable, model.image_size) == ("inception_v3", None, 299)


def test_missing_weights_are_said_with_their_size_and_stop_the_start(
    lab: TrainLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    page = lab.open("model")
    page.selectbox(key="backbone").set_value("vgg16").run()
    assert "59 MB" in texts(page)
    page = lab.open("train")
    assert page.button(key="start").disabled
    assert "Download them on Model" in texts(page)


def test_dense_layers_appear_with_their_units(lab: Lab) -> None:
    page = lab.open("model")
    page.button_group(key="dense_layers").set_value(2).run()
    assert lab.config.model.head.dense_units == (128, 64)
    page.select_slider(key="dense_units_1").set_value(256).run()
    assert lab.config.model.head.dense_units == (256, 64)
    page.button_group(key="dense_layers").set_value(1).run()
    assert lab.config.model.head.dense_units == (256,)


def test_every_training_setting_is_saved_and_comes_back_after_a_reload(lab: Lab) -> None:
    page = lab.open("train")
    page.number_input(key="epochs").set_value(7).run()
    page.select_slider(key="learning_rate").set_value(0.01).run()
    page.selectbox(key="optimizer").set_value("sgd").run()
    page.select_slider(key="batch_size").set_value(8).run()
    page.toggle(key="early_stopping").set_value(False).run()
    page.number_input(key="seed").set_value(3).run()
    training = lab.config.training
    assert (training.epochs, training.learning_rate, training.optimizer) == (7, 0.01, "sgd")
    assert (training.batch_size, training.patience, training.seed) == (8, None, 3)
    again = lab.open("train")
    assert again.number_input(key="epochs").value == 7
    assert again.toggle(key="early_stopping").value is False


def test_two_projects_in_one_browser_keep_their_own_settings(lab: Lab) -> None:
    other = create_project(lab.engine, OWNER, "Other")
    lab.change(lambda config: replace(config, augmentation=PRESETS["strong"]))
    page = lab.open("augment")
    page.query_params["project"] = other.id
    page.run()
    assert get_project(lab.engine, other.id, OWNER).config == RunConfig()
    assert lab.config.augmentation == PRESETS["strong"]


def test_start_puts_one_run_in_line_and_the_address_names_it(lab: Lab) -> None:
    page = lab.open("train")
    page.button(key="start").click().run()
    (run,) = list_runs(lab.engine, lab.project_id)
    assert run_in_address(page) == run.id
    assert "About to start" in progress_text(page)
    second_tab = lab.open("train")
    assert run_in_address(second_tab) == run.id
    assert len(list_runs(lab.engine, lab.project_id)) == 1


def run_in_address(page: AppTest) -> str:
    """Return the run; the address holds a list in the first run of a page and text after a change."""
    value = page.query_params["run"]
    return value if isinstance(value, str) else value[0]


def progress_text(page: AppTest) -> str:
    return " ".join(element.proto.text for element in page.get("progress"))


def test_a_waiting_run_says_its_place(lab: Lab) -> None:
    lab.begin_run()
    other = create_project(lab.engine, OWNER, "Second")
    dataset_version = commit_version(
        lab.engine, other.id, Dataset((ClassLabel("a", "x", 0),), ()), "empty", parent=None, home=lab.home
    )
    waiting = create_run(lab.engine, other.id, dataset_version, RunConfig())
    context = Context(lab.engine, lab.home, OWNER, None)
    words = "**Waiting**: you are 2nd in line; 1 run of yours goes first"
    assert progress_of(context, get_run(lab.engine, waiting), 0)[1] == words
    someone = create_project(lab.engine, "someone", "Third")
    theirs = create_run(lab.engine, someone.id, 1, RunConfig())  # their first goes before our second
    words = "**Waiting**: you are 3rd in line; 2 runs, 1 of them of others, go first"
    assert progress_of(context, get_run(lab.engine, waiting), 0)[1] == words
    words = "**Waiting**: you are 2nd in line; 1 run of others goes first"
    as_someone = Context(lab.engine, lab.home, "someone", someone)
    assert progress_of(as_someone, get_run(lab.engine, theirs), 0)[1] == words


def test_a_working_run_shows_phase_progress_curves_and_stop(lab: Lab) -> None:
    run_id, attempt = lab.begin_run()
    lab.work(run_id, attempt, state="running", phase="features", done=5, total=12)
    page = lab.open("train")
    assert "**Computing features**: 5 of 12" in progress_text(page)
    assert not page.get("bidi_component")
    lab.learn(run_id, attempt, 3)
    lab.work(run_id, attempt, phase="training", done=3, total=20)
    page.run()
    assert "epoch 4 of 20" in progress_text(page)
    assert len(page.get("bidi_component")) == 2
    page.button(key="stop").click().run()
    assert get_run(lab.engine, run_id).job.stop_requested is not None
    assert page.button(key="stop").disabled
    assert "Stopping" in progress_text(page)


def test_a_finished_run_leads_with_its_validation_accuracy_and_interval(lab: Lab) -> None:
    run_id, attempt = lab.begin_run()
    lab.learn(run_id, attempt, 5)
    lab.finish(run_id, attempt)
    page = lab.open("train", run=run_id)
    assert page.metric[0].value == "90.0 %"
    assert page.metric[0].label == "Validation accuracy"
    assert "90 of 100 validation pictures right" in texts(page)
    assert "Its exam of 100 test pictures is not opened yet" in texts(page)
    assert "between 83 and 94 %" in texts(page)
    assert page.button(key="primary").label == "Try it on a picture"
    assert not page.get("progress")


def test_a_run_with_two_underscores_in_its_id_shows_its_curves(lab: TrainLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.storage.jobs.secrets.token_urlsafe", lambda _bytes: "uhr__4bUmZ0-2Kxq")
    run_id, attempt = lab.begin_run()
    assert run_id == "uhr__4bUmZ0-2Kxq"
    lab.learn(run_id, attempt, 3)
    lab.finish(run_id, attempt)
    assert len(lab.open("train", run=run_id).get("bidi_component")) == 2


def test_a_killed_worker_is_explained_and_the_settings_are_one_press_away(lab: Lab) -> None:
    run_id, attempt = lab.begin_run()
    end_job(lab.engine, run_id, attempt, "failed", "The computer's memory ran out. Close other programs.")
    page = lab.open("train", run=run_id)
    assert "memory ran out" in page.error[0].value
    page.button(key="primary").click().run()
    assert page.button(key="start").label == "Start training"
    assert page.query_params["run"] in (NEXT_RUN, [NEXT_RUN])


def test_a_run_that_waits_for_room_on_the_disk_says_so(lab: TrainLab) -> None:
    run_id, attempt = lab.begin_run()
    lab.work(run_id, attempt, state="running", phase="waiting_for_room")
    page = lab.open("train")
    assert r"**The disk is full\: waiting for room**" in progress_text(page)
    assert "The training program goes on by itself as soon as there is room. Delete projects" in texts(page)
    assert "waiting for room" in " ".join(bar.proto.text for bar in lab.open("data").get("progress"))
    request_stop(lab.engine, run_id)
    page.run()
    assert "**Stopping**" in progress_text(page)
    assert "The training program keeps its best epoch by itself as soon as there is room." in texts(page)


def test_a_run_that_waits_in_line_says_what_keeps_it(lab: TrainLab, monkeypatch: pytest.MonkeyPatch) -> None:
    create_run(lab.engine, lab.project_id, lab.version, lab.config)
    monkeypatch.setattr(job_words, "is_full", lambda _home: True)
    assert "**Waiting**: the disk is full" in progress_text(lab.open("train"))
    assert "Training waits: the disk is full" in " ".join(bar.proto.text for bar in lab.open("data").get("progress"))
    monkeypatch.setattr(job_words, "is_full", lambda _home: False)
    monkeypatch.setattr(job_words, "silent_runner", lambda _home: 7)
    page = lab.open("train")
    assert "**Waiting**: the program that begins it does not answer" in progress_text(page)
    assert "Nothing new begins until it goes on." in texts(page)


def test_a_run_whose_worker_died_or_does_not_answer_says_so(lab: TrainLab) -> None:
    run_id, attempt = lab.begin_run()
    lab.work(run_id, attempt, state="running", phase="training", done=3, total=20)
    note_silence(lab.engine, run_id, attempt, silent=True)
    page = lab.open("train")
    assert "**Not answering**" in progress_text(page)
    assert "it was paused, or the computer is very busy" in texts(page)
    assert "Training is not answering" in " ".join(bar.proto.text for bar in lab.open("data").get("progress"))
    reason = "The computer was started anew while the training program worked."
    requeue_job(lab.engine, run_id, attempt, "restart", reason)
    page.run()
    assert f"{reason} It goes on by itself when its turn comes." in texts(page)
    assert "Not answering" not in progress_text(page)
    claim_job(lab.engine, "run")
    page.run()
    assert f"{reason} The work goes on: attempt 2 of 3." in texts(page)
    assert not page.button(key="stop").disabled


def test_earlier_runs_are_listed_newest_first_with_their_intervals(lab: Lab) -> None:
    for correct in (80, 95):
        run_id, attempt = lab.begin_run()
        lab.finish(run_id, attempt, correct)
    page = lab.open("train")
    rows = [element.value for element in page.markdown if " to " in element.value and "(" in element.value]
    assert rows == ["**95.0 %** (89 to 98 %)", "**80.0 %** (71 to 87 %)"]
    assert page.button(key="start").label == "Start training"


@pytest.mark.parametrize("run", ["no-such-run", "other"])
def test_a_run_that_is_not_of_this_project_is_refused_in_words(lab: TrainLab, run: str) -> None:
    if run == "other":
        other = create_project(lab.engine, "someone else", "Theirs")
        version = commit_version(lab.engine, other.id, Dataset(), "empty", parent=None, home=lab.home)
        run = create_run(lab.engine, other.id, version, RunConfig())
    page = lab.open("train", run=run)
    assert page.button(key="start").label == "Start training"
    assert "run" not in page.query_params


def test_a_class_without_training_pictures_stops_the_start_with_its_name(lab: Lab) -> None:
    project = get_project(lab.engine, lab.project_id, OWNER)
    dataset = load_dataset(get_version(lab.engine, project.id, lab.version).content, lab.home)
    empty = replace(dataset, classes=(*dataset.classes, ClassLabel("c", "![bird](x)", 2)))
    commit_version(lab.engine, project.id, empty, "a class", parent=lab.version, home=lab.home)
    page = lab.open("train")
    assert page.button(key="start").disabled
    assert "no training pictures" in page.warning[0].value
    assert "![bird](" not in page.warning[0].value


def test_the_next_run_is_prepared_while_one_works_and_waits_in_line(lab: TrainLab) -> None:
    run_id, _ = lab.begin_run()
    page = check(lab.open("train").button(key="next_run").click().run())
    assert "1 run of this project is at work or in line" in texts(page)
    page.number_input(key="seed").set_value(1).run()
    check(page.button(key="start").click().run())
    newer, older = list_runs(lab.engine, lab.project_id)
    assert (older.id, newer.config.training.seed, newer.job.state) == (run_id, 1, "queued")
    assert page.query_params["run"] in (newer.id, [newer.id])
    # Without a run in the address, the page shows the one that works.
    assert "Run 1" in texts(lab.open("train"))


def test_what_a_finished_run_has_to_say_is_shown(lab: TrainLab) -> None:
    run_id, attempt = lab.begin_run()
    lab.learn(run_id, attempt, 2)
    lab.finish(run_id, attempt, message="The loss became infinite, so training ended early.")
    assert "The loss became infinite" in lab.open("train", run=run_id).warning[0].value


def test_the_pages_load_neither_keras_nor_tensorflow(lab: Lab) -> None:
    for step in ("augment", "model", "train"):
        assert not {"keras", "tensorflow"} & modules_after(step, lab.home, lab.project_id)


def test_the_network_is_drawn_block_by_block_in_two_colours() -> None:
    config = ModelConfig(first_trainable="block7a")
    summary = describe_model(config, 3)
    figure = network_figure(summary, config.image_size)
    (bars,) = figure["data"]
    assert len(bars["x"]) == 1 + len(summary.blocks) + len(summary.head)
    frozen = sum(not block.trainable for block in summary.blocks)
    colors = bars["marker"]["color"]
    assert len(set(colors[1 : 1 + frozen])) == 1
    assert len(set(colors[1 + frozen : 1 + len(summary.blocks)])) == 1
    assert colors[1] != colors[-1]
    texts = {annotation["text"] for annotation in figure["layout"]["annotations"]}
    assert {"<b>▲ frozen</b>", "<b>▼ learns</b>"} <= texts


def test_training_and_validation_differ_by_more_than_colour() -> None:
    points = [MetricPoint(e, n, 0.5) for e in (1.0, 2.0, 3.0) for n in ("loss", "val_loss")]
    training, validation = curve_figure(points, "loss", epochs=10)["data"]
    assert training["line"]["color"] != validation["line"]["color"]
    assert training["line"]["dash"] != validation["line"]["dash"]
    assert training["mode"] != validation["mode"]


def test_a_long_curve_keeps_its_last_point() -> None:
    points = [MetricPoint(epoch / 10, "loss", 1.0) for epoch in range(2345)]
    kept = thinned(points, 500)
    assert len(kept) <= 501
    assert kept[-1] is points[-1]


def test_time_left_follows_the_pace_and_is_said_like_people_do() -> None:
    pace = Pace(since=100.0, done=2.0)
    assert seconds_left(pace, 2.0, 20, now=150.0) is None
    assert seconds_left(pace, 12.0, 20, now=120.0) == pytest.approx(16.0)
    assert [duration(seconds) for seconds in (0.2, 40, 95, 4800)] == ["1 s", "40 s", "2 min", "1 h 20 min"]


def test_amounts_keep_two_digits() -> None:
    numbers = (960, 2562, 17_400, 3_370_000, 138_000_000)
    assert [amount(number) for number in numbers] == ["960", "2.6 k", "17 k", "3.4 M", "138 M"]


def test_plotly_comes_from_this_server_compressed_and_is_kept_by_the_browser() -> None:
    server = Starlette(routes=[plotly_route()], middleware=list(middleware()))

    def answer(accepted: str) -> tuple[Headers, bytes]:
        return request(server, PLOTLY_ADDRESS, [(b"accept-encoding", accepted.encode())])[1:]

    (packed_headers, packed), (unpacked_headers, unpacked) = answer("br, gzip"), answer("identity")
    assert packed_headers["content-encoding"] == "gzip"
    assert packed_headers["vary"] == "Accept-Encoding"
    assert "immutable" in packed_headers["cache-control"]
    assert packed_headers["content-type"].startswith("text/javascript")
    assert "content-encoding" not in unpacked_headers
    assert gzip.decompress(packed) == unpacked
    assert b"Plotly" in unpacked
    assert len(packed) < len(unpacked) / 2
    assert versioned_address().startswith(f"{PLOTLY_ADDRESS}?v=")
