"""Choosing a backbone: recommendations, accuracy against speed, and downloads before class."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.figures.backbones import BackboneFacts, hover_text, scatter_figure
from pages.components.model import backbone_overview, offline_panel
from pages.components.model.backbone_choice import SCRATCH_HEAD, SCRATCH_RATE, with_backbone
from pages.components.model.backbone_chooser import backbone_names, recommend
from pages.components.model.backbone_overview import OVERVIEW_KEY
from pages.components.text import label
from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.page_tests import check, texts
from tlcore.backbones.registry import BACKBONES, BackboneSpec, get_backbone
from tlcore.backbones.small_cnn import small_cnn_name
from tlcore.backbones.weights.status import published_weights, weights_status
from tlcore.config import ModelConfig, RunConfig
from tlcore.errors import WeightsError
from tlcore.features.engines import EngineSpeeds, this_machine, write_engine_speeds
from tlcore.home import DataRoot
from tlcore.jobs import control, weights_tasks, worker
from tlcore.model.cut import plan_model
from tlcore.storage.database import writing
from tlcore.storage.jobs import (
    ACTIVE_STATES,
    JobStatus,
    claim_job,
    create_job,
    end_job,
    get_job,
    list_jobs,
    request_stop,
    write_job,
)
from tlcore.storage.projects import update_config
from tlcore.storage.requests import WeightsDownloadRequest


class ChooserLab(Lab):
    """A project with pictures, on a computer without any downloaded weights."""

    def draw(self) -> AppTest:
        """Draw the three parts alone."""
        page = AppTest.from_function(chooser_page, default_timeout=30)
        page.query_params["project"] = self.project_id
        page.session_state[OVERVIEW_KEY] = True  # as after a click on it
        return check(page.run())

    def download(self) -> JobStatus:
        """Do what the worker would do with the download that waits, and return how it ended."""
        job = claim_job(self.engine, "weights_download")
        assert job is not None
        assert worker.work(job.id, job.attempt) == 0
        return get_job(self.engine, job.id)


def chooser_page() -> None:
    import streamlit as st

    from pages.components.model.backbone_chooser import draw_backbone_chooser
    from pages.components.model.backbone_overview import draw_backbone_overview
    from pages.components.model.offline_panel import draw_offline_panel
    from pages.components.state import read_context

    context = read_context(st.query_params["project"])
    draw_backbone_chooser(context)
    draw_backbone_overview(context)
    draw_offline_panel(context)


@pytest.fixture
def lab(home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChooserLab:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("lower_priority", "leave_out_of_keras", "silence_tensorflow"):  # the process is that of the tests
        monkeypatch.setattr(worker, name, lambda: None)
    return ChooserLab.make(home, coloured_dataset(home))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every download end at once with an empty file of the right size; return what was fetched."""
    fetched: list[str] = []

    def download(spec: BackboneSpec, *, progress: Callable[[int, int], object]) -> Path:
        path = published_weights(spec).path
        path.parent.mkdir(parents=True, exist_ok=True)
        progress(spec.download_bytes // 2, spec.download_bytes)
        with path.open("wb") as file:
            file.truncate(spec.download_bytes)
        fetched.append(spec.name)
        return path

    monkeypatch.setattr(weights_tasks, "is_reachable", lambda _url: True)
    monkeypatch.setattr(weights_tasks, "download_weights", download)
    monkeypatch.setattr(control, "ensure_runner", lambda _home: None)
    return fetched


def test_three_different_backbones_are_recommended_with_a_reason() -> None:
    fast, balanced, accurate = recommend(BACKBONES)
    assert [one.wish for one in (fast, balanced, accurate)] == ["Fast", "Balanced", "Accurate"]
    assert len({one.spec.name for one in (fast, balanced, accurate)}) == 3
    assert all(one.why for one in (fast, balanced, accurate))
    assert fast.spec.parameters < balanced.spec.parameters
    assert balanced.spec.name == ModelConfig().backbone
    assert accurate.spec.imagenet_top1 == max(spec.imagenet_top1 or 0 for spec in BACKBONES)


def test_a_row_from_elsewhere_can_be_recommended() -> None:
    best = replace(get_backbone("vgg16"), name="mine", imagenet_top1=0.99)
    assert recommend([*BACKBONES, best])[2].spec is best


def test_every_backbone_and_a_small_network_can_be_chosen() -> None:
    assert [get_backbone(name).name for name in backbone_names("vgg16")][:-1] == [spec.name for spec in BACKBONES]
    assert get_backbone(backbone_names("vgg16")[-1]).weights is None
    assert backbone_names("small_cnn-8-16")[-1] == "small_cnn-8-16"


def facts_of(*speeds: float | None) -> list[BackboneFacts]:
    return [
        BackboneFacts(spec, milliseconds, is_ready=number == 0)
        for number, (spec, milliseconds) in enumerate(zip(BACKBONES, speeds, strict=False))
    ]


def test_on_the_speed_axis_stand_only_measured_backbones() -> None:
    facts = facts_of(5.0, None, 50.0)
    by_speed = scatter_figure(facts, "speed", facts[2].spec.name, ())["data"]
    assert [name for trace in by_speed for name in trace["customdata"]] == [facts[0].spec.name, facts[2].spec.name]
    assert [x for trace in by_speed for x in trace["x"]] == [5.0, 50.0]
    by_size = scatter_figure(facts, "size", facts[2].spec.name, ())["data"]
    assert sum(len(trace["x"]) for trace in by_size) == 3


def test_ready_missing_and_chosen_differ_by_shape() -> None:
    facts = facts_of(5.0, 6.0, 7.0)
    traces = scatter_figure(facts, "speed", facts[2].spec.name, ())["data"]
    assert [trace["name"] for trace in traces] == ["ready", "needs a download", "chosen"]
    assert len({trace["marker"]["symbol"] for trace in traces}) == 3
    assert [name for trace in traces for name in trace["text"]] == [one.spec.title for one in facts]


def test_of_many_points_only_the_chosen_and_the_recommended_have_names() -> None:
    facts = facts_of(*range(1, 21))
    traces = scatter_figure(facts, "speed", facts[2].spec.name, {facts[9].spec.name})["data"]
    names = {name for trace in traces for name in trace["text"]}
    assert names == {"", facts[2].spec.title, facts[9].spec.title}


def test_a_backbone_without_a_published_accuracy_is_not_in_the_picture() -> None:
    unknown = BackboneFacts(replace(get_backbone("vgg16"), imagenet_top1=None), 5.0, is_ready=True)
    assert scatter_figure([unknown], "size", "other", ())["data"] == []


def test_the_pointer_says_when_nothing_was_measured() -> None:
    measured, unmeasured = facts_of(5.0, None)
    assert "5.0 ms per picture here" in hover_text(measured)
    assert "not measured here" in hover_text(unmeasured)


def test_a_recommendation_is_chosen_by_a_tap(lab: Lab) -> None:
    page = lab.draw()
    assert page.button(key="take-balanced").disabled
    assert "Ready, no network needed." in texts(page)
    assert re.search(r"Needs a download of \d+ MB", texts(page))
    check(page.button(key="take-accurate").click().run())
    accurate = recommend(BACKBONES)[2].spec
    assert (lab.config.model.backbone, lab.config.model.image_size) == (accurate.name, accurate.default_size)
    assert page.selectbox(key="backbone").value == accurate.name
    assert page.button(key="take-accurate").disabled
    assert "are not on this computer yet" in texts(page)


def test_a_backbone_is_chosen_by_name_and_starts_frozen(lab: Lab) -> None:
    update_config(
        lab.engine, lab.project_id, lambda run: replace(run, model=replace(run.model, first_trainable="block7a"))
    )
    check(lab.draw().selectbox(key="backbone").set_value("vgg16").run())
    assert (lab.config.model.backbone, lab.config.model.first_trainable) == ("vgg16", None)


def test_the_small_network_learns_from_scratch(lab: Lab) -> None:
    page = lab.draw()
    check(page.button(key="take-scratch").click().run())
    assert page.selectbox(key="backbone").value == backbone_names("vgg16")[-1]
    assert page.button(key="take-scratch").disabled
    model = lab.config.model
    assert model.first_trainable == get_backbone(model.backbone).block_names[0]
    assert (model.head, lab.config.training.learning_rate) == (SCRATCH_HEAD, SCRATCH_RATE)
    assert "from scratch" in texts(page)
    assert "are not on this computer yet" not in texts(page)


def test_a_head_for_learning_from_scratch_goes_with_the_small_network() -> None:
    small = with_backbone(RunConfig(), small_cnn_name((8, 16)))
    assert with_backbone(small, small_cnn_name((8, 32))).model.head == SCRATCH_HEAD
    assert with_backbone(small, ModelConfig().backbone) == RunConfig()


def test_all_backbones_stand_in_the_table_with_what_is_known(lab: Lab) -> None:
    spec = get_backbone("vgg16")
    config = ModelConfig(spec.name, spec.default_size)
    write_engine_speeds(plan_model(config).prefix, EngineSpeeds(this_machine(), litert=8.0, tensorflow=10.0), lab.home)
    page = lab.draw()
    rows = page.dataframe[0].value.set_index("Backbone")
    assert set(rows.index) == {one.title for one in BACKBONES}
    assert rows.loc["VGG16", "ms per picture"] == pytest.approx(100)
    assert rows["ms per picture"].notna().sum() == 1
    assert rows.loc["VGG16", "Weights"] == "needs a download of 59 MB"
    assert rows.loc["EfficientNet-Lite0", "Weights"] == "ready, no network needed"
    assert f"{len(BACKBONES) - 1} of {len(BACKBONES)} have not been measured" in texts(page)
    assert page.button(key="measure_backbones").label == f"Measure the other {len(BACKBONES) - 1}"


def test_all_backbones_are_measured_at_a_tap_and_the_page_watches(
    lab: ChooserLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ensure_runner", lambda _home: None)
    page = lab.draw()
    check(page.button(key="measure_backbones").click().run())
    (job,) = list_jobs(lab.engine, states=ACTIVE_STATES)
    assert (job.kind, job.project_id) == ("backbones", lab.project_id)
    assert page.session_state[backbone_overview.AXIS_KEY] == "speed"
    assert "measure_backbones" not in {button.key for button in page.button}
    assert claim_job(lab.engine, "backbones") is not None
    with writing(lab.engine) as connection:
        write_job(connection, job.id, 1, state="running", phase="measuring", subject="VGG16", done=3, total=25)
    assert page.run().get("progress")[0].proto.text == label("Measuring VGG16, 3 of 25")
    check(page.button(key=f"stop-{job.id}").click().run())
    assert get_job(lab.engine, job.id).stop_requested is not None
    end_job(lab.engine, job.id, 1, "failed", "The computer's memory is full.")
    assert "memory is full" in check(page.run()).error[0].value
    assert page.button(key="measure_backbones").label == "Measure all"


def test_ticked_backbones_are_fetched_for_a_lesson_without_internet(lab: ChooserLab, network: list[str]) -> None:
    page = lab.draw()
    (pills,) = [group for group in page.button_group if group.key == "offline"]
    assert page.button(key="download_ticked").disabled
    pills.set_value(["mobilenet_v2", "vgg16"]).run()
    button = page.button(key="download_ticked")
    assert button.label == "Download 2 backbones, 68 MB"
    check(button.click().run())
    assert network == []
    assert lab.draw().get("progress")
    assert lab.download().state == "finished"
    assert network == ["mobilenet_v2", "vgg16"]
    assert weights_status(get_backbone("vgg16"), lab.home).ready_offline
    page = lab.draw()
    assert not page.error
    (pills,) = [group for group in page.button_group if group.key == "offline"]
    assert list(pills.value or ()) == []
    assert page.button(key="download_ticked").disabled


def test_whoever_wants_the_same_file_waits_for_the_same_download(lab: ChooserLab, network: list[str]) -> None:
    check(lab.draw().selectbox(key="backbone").set_value("vgg16").run())
    check(lab.draw().button(key="download").click().run())
    page = lab.draw()
    assert not [button for button in page.button if button.key == "download"]
    (job,) = list_jobs(lab.engine, states=ACTIVE_STATES)
    assert (job.kind, job.state) == ("weights_download", "queued")


def test_without_internet_the_download_says_so(
    lab: ChooserLab, network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_tasks, "is_reachable", lambda _url: False)
    check(lab.draw().selectbox(key="backbone").set_value("vgg16").run())
    check(lab.draw().button(key="download").click().run())
    assert lab.download().state == "failed"
    assert "there is no way to the internet from this computer" in lab.draw().error[0].value
    assert network == []


def test_a_download_that_fails_is_explained_and_the_earlier_ones_stay(
    lab: ChooserLab, network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    works = weights_tasks.download_weights

    def breaks(spec: BackboneSpec, *, progress: Callable[[int, int], object]) -> Path:
        if spec.name == "vgg16":
            raise WeightsError("The download of VGG16 stopped after 3 MB of 59 MB. Check the network and try again.")
        return works(spec, progress=progress)

    monkeypatch.setattr(weights_tasks, "download_weights", breaks)
    page = lab.draw()
    (pills,) = [group for group in page.button_group if group.key == "offline"]
    pills.set_value(["mobilenet_v2", "vgg16"]).run()
    check(page.button(key="download_ticked").click().run())
    lab.download()
    assert "stopped after 3 MB" in lab.draw().error[0].value
    assert network == ["mobilenet_v2"]


def test_a_stopped_download_goes_on_from_its_part(
    lab: ChooserLab, network: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = get_backbone("vgg16")
    request = WeightsDownloadRequest((spec.name,))
    job_id = create_job(lab.engine, "weights_download", lab.project_id, request)

    def part(spec: BackboneSpec, *, progress: Callable[[int, int], object]) -> Path:
        request_stop(lab.engine, job_id)
        path = published_weights(spec).partial_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1_000_000))
        for done in range(1, 50):
            time.sleep(0.02)
            progress(done, spec.download_bytes)
        raise AssertionError("it was asked to stop")

    monkeypatch.setattr(weights_tasks, "download_weights", part)
    job = lab.download()
    assert (job.state, job.message) == ("stopped", "Stopped.")
    assert weights_status(spec, lab.home).download_bytes == spec.download_bytes - 1_000_000


def test_when_all_are_here_nothing_is_offered(lab: ChooserLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline_panel, "BACKBONES", (get_backbone(ModelConfig().backbone),))
    page = lab.draw()
    assert page.success[0].value == "All backbones are on this computer."
