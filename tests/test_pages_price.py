"""The price tag on the Model and Train pages; measurements are played by the storage functions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.amounts import seconds_words
from pages.components.train import price
from pages.components.train.price import breakdown, price_sentence, total_words
from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.page_tests import check, open_app, texts
from tests.queued_run import create_run
from tests.test_full_disk import full
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.features.extractor import FeaturePass
from tlcore.home import DataRoot
from tlcore.pricing.price import PriceTag
from tlcore.pricing.speeds import learn_speeds
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.datasets import current_dataset
from tlcore.storage.jobs import ACTIVE_STATES, JobStatus, claim_job, end_job, get_job, list_jobs
from tlcore.storage.projects import create_project, update_config
from tlcore.training.stopwatch import RunTimings, TrainingPace

TAG = PriceTag(
    startup_seconds=5.0,
    new_pictures=140,
    features_seconds=14.0,
    epoch_seconds=0.4,
    counted_epochs=10,
    finish_seconds=2.0,
    total_seconds=25.0,
    at_most=False,
)
MEASURING = "Measuring on this computer…"


class PriceLab(Lab):
    """A project with pictures and no known speeds."""

    def measures(self) -> list[JobStatus]:
        jobs = list_jobs(self.engine, states=(*ACTIVE_STATES, "stopped", "failed", "finished"))
        return [job for job in jobs if job.kind == "measure"]

    def learn(self) -> None:
        """Remember speeds for the present settings, as a measurement does."""
        pace = TrainingPace(0.0, 0.4, 0.0, 1e9)
        passes = (FeaturePass(False, 102, 2, 10.0, 10.0, 110.0),)
        timings = RunTimings(0.0, passes, (0.0, 4.0), True, pace, 2.0)
        _, dataset = current_dataset(self.engine, self.project_id, self.home)
        learn_speeds(self.config, dataset, timings, 1.0, self.home)


@pytest.fixture
def lab(home: DataRoot, no_runner: None, monkeypatch: pytest.MonkeyPatch) -> PriceLab:
    monkeypatch.setattr(price, "REST_SECONDS", 0.0)
    return PriceLab.make(home, coloured_dataset(home))


def value_of(page: AppTest) -> str:
    """Return what the card says in large letters."""
    return str(next(metric.value for metric in page.metric if metric.label == "One run takes"))


@pytest.mark.parametrize("step", ["model", "train"])
def test_the_first_look_starts_one_measurement_and_says_so(lab: PriceLab, step: str) -> None:
    page = lab.open(step)
    assert MEASURING in texts(page)
    assert lab.measures() == []  # not yet: the person may still be choosing
    for _ in range(3):
        check(page.run())
    assert [job.state for job in lab.measures()] == ["queued"]
    assert MEASURING in texts(page)


@pytest.mark.parametrize("step", ["model", "train"])
def test_on_a_full_disk_the_page_opens_and_the_price_is_measured_when_there_is_room(
    lab: PriceLab, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = lab.open(step)
    with full(lab.home), monkeypatch.context() as patched:
        patched.setattr(price, "is_full", lambda _home: True)
        for _ in range(3):
            check(page.run())
        assert not [error.value for error in page.error]
        assert "The disk is full. The time is measured as soon as there is room." in texts(page)
    assert lab.measures() == []
    for _ in range(2):
        check(page.run())
    assert [job.state for job in lab.measures()] == ["queued"]


def test_a_choice_on_the_way_to_another_is_not_measured(lab: PriceLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price, "REST_SECONDS", 1000.0)
    page = lab.open("model")
    for block in ("block7a", "block6a"):
        page.select_slider(key="first_trainable").set_value(block).run()
    check(page.run())
    assert lab.measures() == []


def test_another_choice_takes_the_place_of_a_measurement_that_waits(lab: Lab) -> None:
    page = check(lab.open("model").run())
    page.select_slider(key="first_trainable").set_value("block7a").run()
    check(page.run())
    assert sorted(job.state for job in lab.measures()) == ["queued", "stopped"]


@pytest.mark.parametrize("step", ["model", "train"])
def test_a_known_price_is_shown_before_the_start(lab: PriceLab, step: str) -> None:
    lab.learn()
    page = lab.open(step)
    assert value_of(page).startswith("At most ")
    # 36 pictures, one per second.
    assert "36 s to look at the pictures once, then 0.4 s per epoch." in texts(page)
    assert lab.measures() == []


def test_the_page_says_what_the_measurement_does_and_when_it_failed(lab: Lab) -> None:
    page = check(lab.open("train").run())
    job = claim_job(lab.engine, "measure")
    assert job is not None
    end_job(lab.engine, job.id, job.attempt, "failed", "The disk is full.")
    check(page.run())
    assert "The time could not be measured. The disk is full" in texts(page)
    assert len(lab.measures()) == 1
    page.button(key="measure_again").click().run()
    assert [job.state for job in lab.measures()] == ["failed", "queued"]
    assert MEASURING in texts(page)


def test_a_measurement_that_found_nothing_is_not_repeated_for_ever(lab: Lab) -> None:
    page = check(lab.open("train").run())
    job = claim_job(lab.engine, "measure")
    assert job is not None
    end_job(lab.engine, job.id, job.attempt, "finished")
    for _ in range(2):
        check(page.run())
    assert len(lab.measures()) == 1
    assert "The time could not be measured." in texts(page)


def test_nothing_is_measured_while_a_training_works(lab: Lab) -> None:
    create_run(lab.engine, create_project(lab.engine, "bob", "Dogs").id, 1, RunConfig())
    page = check(lab.open("model").run())
    assert "will be measured when the training has ended" in texts(page)
    assert lab.measures() == []


def test_a_backbone_without_weights_is_not_measured(lab: PriceLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(lab.home.path / "no-weights"))
    update_config(lab.engine, lab.project_id, lambda config: replace(config, model=ModelConfig(backbone="vgg16")))
    page = check(lab.open("model").run())
    assert "Download the weights first" in texts(page)
    assert lab.measures() == []


def test_a_measurement_is_no_work_that_other_pages_announce(lab: Lab) -> None:
    check(lab.open("model").run())
    (job,) = lab.measures()
    assert get_job(lab.engine, job.id).is_active
    assert "Import" not in texts(lab.open("augment"))
    assert "Working right now" not in texts(open_app())


def settings(preset: str | None = None, **training: object) -> RunConfig:
    config = RunConfig(training=TrainingConfig(**training))
    return replace(config, augmentation=PRESETS[preset]) if preset else config


def test_the_price_is_said_in_a_sentence() -> None:
    assert total_words((TAG,)) == "About 25 s"
    assert total_words((replace(TAG, at_most=True),)) == "At most 25 s"
    assert price_sentence(TAG, settings()) == "14 s to look at the pictures once, then 0.4 s per epoch."
    assert price_sentence(TAG, settings("light")).startswith("14 s to look at the pictures and their views once")
    fresh = replace(TAG, epoch_seconds=8.0)
    assert price_sentence(fresh, settings("light", new_views_every_epoch=True)).startswith("8.0 s per epoch, because")
    cached = replace(TAG, new_pictures=0, features_seconds=0.0)
    assert price_sentence(cached, settings()).endswith("have seen all pictures already: 0.4 s per epoch.")
    all_trained = RunConfig(model=ModelConfig(first_trainable="stem"))
    assert price_sentence(TAG, all_trained) == "14 s to read the pictures, then 0.4 s per epoch."


def test_the_parts_of_the_price_are_one_tap_away() -> None:
    lines = breakdown(replace(TAG, at_most=True), settings())
    assert "5.0 s to start" in lines
    assert "14 s for the frozen blocks to look at 140 new pictures and views" in lines
    assert "10 epochs of 0.4 s" in lines
    assert "stop early" in lines


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.01, "less than 0.1 s"), (0.44, "0.4 s"), (9.96, "10 s"), (200.0, "4 min")]
)
def test_short_times_have_a_decimal(seconds: float, words: str) -> None:
    assert seconds_words(seconds) == words
