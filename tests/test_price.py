"""The price tag: arithmetic with made-up speeds, what is cached costs nothing, what a run teaches, and a real run."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.ready_projects import start_run, wait_for_end
from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.features.compiled import ensure_compiled
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, view_of_epoch
from tlcore.jobs.control import start_job
from tlcore.model.cut import plan_model
from tlcore.pricing import price, speeds
from tlcore.pricing.measuring import measure
from tlcore.pricing.price import MissingRecords, PriceTag, count_missing, price_of, price_of_missing
from tlcore.pricing.speeds import (
    FeaturePass,
    PassSpeed,
    RunTimings,
    Speeds,
    TrainingPace,
    TrainingSpeed,
    learn_speeds,
    pass_speed,
    read_speeds,
)
from tlcore.progress import StopRequested
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, create_job, get_job, last_job, read_request
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SettingsRequest

PACE = TrainingPace(first_epoch_seconds=2.0, epoch_seconds=0.1, step_seconds=0.05, answers_per_second=100.0)
TRAINING = TrainingSpeed("here", launch_seconds=1.0, startup_seconds=4.0, pace=PACE, finish_seconds=3.0)
SPEEDS = Speeds(PassSpeed("here", 20.0, 0.0), PassSpeed("here", 10.0, 0.0), TRAINING)
NOTHING = MissingRecords((0,), 0, 0)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price, "num_compute_threads", lambda: 2)
    monkeypatch.setattr(speeds, "num_compute_threads", lambda: 2)


def pictures(train: int = 64, validation: int = 20, test: int = 10) -> Dataset:
    splits: tuple[tuple[Split, int], ...] = (("train", train), ("validation", validation), ("test", test))
    names: list[Split] = [split for split, number in splits for _ in range(number)]
    items = tuple(Item(f"{n:08x}" + 56 * "0", "ab"[n % 2], split, f"{n}.png") for n, split in enumerate(names))
    return Dataset((ClassLabel("a", "cat", 0), ClassLabel("b", "dog", 1)), items)


def settings(preset: str | None = None, **training: object) -> RunConfig:
    chosen = TrainingConfig(**{"epochs": 10, "patience": None, "batch_size": 32, **training})
    return replace(
        RunConfig(model=ModelConfig(image_size=32, first_trainable="stem"), training=chosen),
        **({"augmentation": PRESETS[preset]} if preset else {}),
    )


def tag_of(config: RunConfig, missing: MissingRecords, known: Speeds = SPEEDS) -> PriceTag:
    tag = price_of_missing(config, pictures(), known, missing)
    assert tag is not None
    return tag


def test_an_epoch_costs_its_steps_its_validation_pictures_and_a_little_more() -> None:
    tag = tag_of(settings(), NOTHING)
    assert tag.epoch_seconds == pytest.approx(0.1 + 2 * 0.05 + 20 / 100)
    assert tag.finish_seconds == pytest.approx(3.0 + (10 + 20 + 64) / 100)


def test_a_run_on_cached_features_is_start_epochs_and_finish() -> None:
    tag = tag_of(settings(), NOTHING)
    assert (tag.new_pictures, tag.features_seconds) == (0, 0.0)
    assert tag.total_seconds == pytest.approx(1 + 4 + 2 + 10 * 0.4 + 3.94)


def test_a_short_feature_pass_hides_behind_the_start_of_tensorflow() -> None:
    cached, short = tag_of(settings(), NOTHING), tag_of(settings(), MissingRecords((20,), 0, 0))
    assert short.features_seconds == pytest.approx(1.0)
    assert short.total_seconds == pytest.approx(cached.total_seconds)


def test_a_long_feature_pass_hides_the_start_of_tensorflow_but_for_the_core_that_it_takes() -> None:
    tag = tag_of(settings(), MissingRecords((800,), 200, 0))
    assert tag.features_seconds == pytest.approx(50.0)
    assert tag.total_seconds == pytest.approx(1 + (50 + 4 / 2) + 2 + 10 * 0.4 + 3.94)


def test_nothing_hides_what_comes_after_the_start() -> None:
    first, later = MissingRecords((800,), 0, 0), MissingRecords((800, 800, 800), 0, 60)
    config = settings("light", views=3)
    assert tag_of(config, later).total_seconds - tag_of(config, first).total_seconds == pytest.approx(160 + 3)


def test_validation_and_test_pictures_go_at_the_speed_of_plain_ones() -> None:
    assert tag_of(settings("light"), MissingRecords((100,), 20, 20)).features_seconds == pytest.approx(10 + 2)
    assert tag_of(settings(), MissingRecords((100,), 20, 20)).features_seconds == pytest.approx(5 + 2)


def test_the_parts_add_up_to_the_total() -> None:
    tag = tag_of(settings("light", views=3), MissingRecords((64, 64, 64), 20, 10))
    epochs = tag.counted_epochs * tag.epoch_seconds
    assert tag.total_seconds == pytest.approx(tag.startup_seconds + tag.features_seconds + epochs + tag.finish_seconds)


def test_new_views_every_epoch_are_a_part_of_the_epoch() -> None:
    missing = MissingRecords((64,) * 10, 0, 0)
    bank, fresh = (
        tag_of(settings("light", views=10), missing),
        tag_of(settings("light", new_views_every_epoch=True), missing),
    )
    assert fresh.epoch_seconds == pytest.approx(bank.epoch_seconds + 64 / 10)
    assert fresh.total_seconds == pytest.approx(bank.total_seconds)


@pytest.mark.parametrize(("patience", "at_most"), [(None, False), (3, True), (10, False)])
def test_only_early_stopping_makes_the_price_a_limit(patience: int | None, at_most: bool) -> None:
    assert tag_of(settings(patience=patience), NOTHING).at_most == at_most


def test_one_kind_of_pass_stands_in_for_the_other() -> None:
    only_plain = replace(SPEEDS, augmented=None)
    assert tag_of(settings("light"), MissingRecords((100,), 0, 0), only_plain).features_seconds == pytest.approx(5)


def test_without_any_speed_of_a_pass_that_is_needed_there_is_no_price() -> None:
    unknown = replace(SPEEDS, plain=None, augmented=None)
    assert price_of_missing(settings(), pictures(), unknown, MissingRecords((1,), 0, 0)) is None
    assert price_of_missing(settings(), pictures(), unknown, NOTHING) is not None


def test_every_picture_counts_before_the_first_run(home: DataRoot) -> None:
    assert count_missing(settings(), pictures(), home) == MissingRecords((64,), 20, 10)


def test_a_bank_of_views_is_filled_by_the_first_epochs_and_no_more_than_there_are(home: DataRoot) -> None:
    assert count_missing(settings("light", views=4), pictures(), home).training == (64,) * 4
    assert count_missing(settings("light", views=4, epochs=2), pictures(), home).training == (64,) * 2
    fresh = settings("light", views=4, new_views_every_epoch=True)
    assert count_missing(fresh, pictures(), home).training == (64,) * 10


def test_a_large_data_set_is_counted_from_a_part_of_it(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price, "MAX_LOOKED_UP", 10)
    assert count_missing(settings(), pictures(), home) == MissingRecords((64,), 20, 10)


def test_cached_features_cost_nothing(home: DataRoot) -> None:
    dataset, config = coloured_dataset(home), settings("light", views=2)
    extractor = FeatureExtractor(plan_model(config.model), config.augmentation, home)
    items = dataset.subset("train")
    views = [view_of_epoch(item.image, 0, config.augmentation, config.training) for item in items]
    extractor.table(views, RecordingProgress(), "features")
    extractor.table([ViewRequest(item.image) for item in dataset.subset("test")], RecordingProgress(), "features")
    missing = count_missing(config, dataset, home)
    assert missing == MissingRecords((0, len(items)), len(dataset.subset("validation")), 0)
    tag = price_of(config, dataset, SPEEDS, home)
    assert tag is not None
    assert tag.new_pictures == len(items) + len(dataset.subset("validation"))


def test_a_pass_is_as_fast_as_it_was_after_its_first_pictures() -> None:
    seen = pass_speed([FeaturePass(False, 102, 2, 10.0, 13.0, 18.0)], startup=None)
    assert seen.pictures_per_second == pytest.approx(20)
    assert seen.start_seconds == pytest.approx(3 - 2 / 20)


def test_a_pass_beside_tensorflows_import_had_one_core_less() -> None:
    seen = pass_speed([FeaturePass(False, 102, 2, 10.0, 10.0, 18.0)], startup=(8.0, 16.0))
    assert seen.pictures_per_second == pytest.approx(100 / (8 - 6 / 2))


def test_a_pass_of_a_few_pictures_still_has_a_speed() -> None:
    assert pass_speed([FeaturePass(True, 2, 2, 0.0, 1.0, 1.0)], startup=None).pictures_per_second == pytest.approx(2)


def timings(*passes: FeaturePass, startup: tuple[float, float] = (0.0, 4.0)) -> RunTimings:
    return RunTimings(0.5, passes, startup, True, PACE, 3.0)


def test_a_run_teaches_what_the_next_one_takes(home: DataRoot) -> None:
    dataset, config = pictures(), settings()
    assert read_speeds(config, dataset, home) is None
    learn_speeds(config, dataset, timings(FeaturePass(False, 102, 2, 5.0, 5.1, 15.1)), 1.0, home)
    known = read_speeds(config, dataset, home)
    assert known is not None
    assert known.plain is not None
    assert known.plain.pictures_per_second == pytest.approx(10)
    assert known.augmented is None
    assert known.training == replace(TRAINING, machine=known.training.machine, launch_seconds=1.5)


def test_other_settings_have_speeds_of_their_own(home: DataRoot) -> None:
    config = settings()
    learn_speeds(config, pictures(), timings(), 1.0, home)
    others = [
        settings(batch_size=8),
        settings(optimizer="sgd"),
        replace(config, model=replace(config.model, first_trainable=None)),
        replace(config, model=replace(config.model, head=HeadConfig(dense_units=(64,)))),
    ]
    assert all(read_speeds(other, pictures(), home) is None for other in others)
    same = [settings(learning_rate=0.1), settings(epochs=50), settings(seed=7), settings("light", views=9)]
    assert all(read_speeds(other, pictures(), home) is not None for other in same)


def test_another_machine_has_speeds_of_its_own(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    learn_speeds(settings(), pictures(), timings(), 1.0, home)
    monkeypatch.setattr(speeds, "this_machine", lambda: "there")
    assert read_speeds(settings(), pictures(), home) is None


def test_a_few_pictures_do_not_change_what_many_taught(home: DataRoot) -> None:
    dataset, config = pictures(), settings()
    learn_speeds(config, dataset, timings(FeaturePass(False, 102, 2, 5.0, 5.0, 15.0)), 1.0, home)
    learn_speeds(config, dataset, timings(FeaturePass(False, 3, 2, 5.0, 5.0, 15.0)), 1.0, home)
    known = read_speeds(config, dataset, home)
    assert known is not None
    assert known.plain is not None
    assert known.plain.pictures_per_second == pytest.approx(10)


def test_a_start_beside_a_feature_pass_is_never_taken_for_a_slower_one(home: DataRoot) -> None:
    dataset, config = pictures(), settings()
    learn_speeds(config, dataset, timings(), 1.0, home)
    beside = timings(FeaturePass(False, 102, 2, 0.0, 0.1, 30.0), startup=(0.0, 9.0))
    learn_speeds(config, dataset, beside, 1.0, home)
    known = read_speeds(config, dataset, home)
    assert known is not None
    assert known.training.startup_seconds == pytest.approx(4)


def test_a_run_that_was_stopped_early_changes_nothing_that_it_did_not_show(home: DataRoot) -> None:
    dataset, config = pictures(), settings()
    learn_speeds(config, dataset, timings(), 1.0, home)
    before = read_speeds(config, dataset, home)
    learn_speeds(config, dataset, replace(timings(), pace=None, finish_seconds=None), 1.0, home)
    learn_speeds(config, dataset, replace(timings(), imported=False), 9.0, home)
    assert read_speeds(config, dataset, home) == before
    learn_speeds(config, dataset, replace(timings(), finish_seconds=None), 1.0, home)
    assert read_speeds(config, dataset, home) == before


def test_a_damaged_file_of_speeds_is_measured_again(home: DataRoot) -> None:
    learn_speeds(settings(), pictures(), timings(), 1.0, home)
    for path in (home.path / "speeds").glob("*.json"):
        path.write_text('{"machine": 3')
    assert read_speeds(settings(), pictures(), home) is None


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def measure_job(engine: sa.Engine, project_id: str, key: str = "key", version: int = 1) -> str:
    request = SettingsRequest(version, settings())
    return create_job(engine, "measure", project_id, request, key=key, replaces_waiting=True)


def test_one_measurement_per_key_waits_or_works(engine: sa.Engine) -> None:
    project, other = create_project(engine, "ann", "Cats").id, create_project(engine, "bob", "Dogs").id
    first = measure_job(engine, project)
    assert measure_job(engine, other) == first
    assert read_request(engine, first, SettingsRequest) == SettingsRequest(1, settings())
    claimed = claim_job(engine, "measure")
    assert claimed is not None
    assert measure_job(engine, project) == claimed.id == first


def test_other_settings_replace_a_measurement_that_waits_and_not_one_that_works(engine: sa.Engine) -> None:
    project, other = create_project(engine, "ann", "Cats").id, create_project(engine, "bob", "Dogs").id
    ids = [measure_job(engine, other, "theirs"), measure_job(engine, project, "first")]
    ids += [measure_job(engine, project, "second")]
    assert [get_job(engine, job_id).state for job_id in ids] == ["queued", "stopped", "queued"]
    claim_job(engine, "measure")
    ids += [measure_job(engine, other, "fourth")]
    assert [get_job(engine, job_id).state for job_id in ids] == ["starting", "stopped", "queued", "queued"]


def test_a_measurement_is_found_by_its_key_while_it_works_and_by_its_project_later(engine: sa.Engine) -> None:
    project, other = create_project(engine, "ann", "Cats").id, create_project(engine, "bob", "Dogs").id
    job_id = measure_job(engine, project)
    assert last_job(engine, project, "measure", "other") is None
    found = last_job(engine, other, "measure", "key")
    assert found is not None
    assert found.id == job_id
    measure_job(engine, project, "other")  # stops the first
    assert last_job(engine, other, "measure", "key") is None
    found = last_job(engine, project, "measure", "key")
    assert found is not None
    assert found.state == "stopped"


def test_a_measurement_obeys_a_wish_to_stop(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home)
    config = replace(settings(), model=ModelConfig(image_size=64))
    with pytest.raises(StopRequested):
        measure(dataset, config, RecordingProgress(stop_after=10), 1.0, ready_home)
    assert read_speeds(config, dataset, ready_home) is None


@pytest.mark.slow
def test_the_price_is_what_then_happens(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TRANSFER_LAB_HOME", str(home.path))
    config = RunConfig(
        model=ModelConfig(image_size=96, first_trainable="block7a"),
        training=TrainingConfig(epochs=12, batch_size=16, patience=None, learning_rate=1e-4),
    )
    ensure_compiled(plan_model(config.model), RecordingProgress(), home)
    engine = open_database(home)
    project = create_project(engine, "ann", "Colours")
    dataset = coloured_dataset(home, per_class=60)
    version = commit_version(engine, project.id, dataset, "made", parent=None, home=home)

    asked = SettingsRequest(version, config)
    wait_for_end(engine, start_job(engine, home, "measure", project.id, asked))
    known = read_speeds(config, dataset, home)
    assert known is not None
    tag = price_of(config, dataset, known, home)
    assert tag is not None
    job = wait_for_end(engine, start_run(engine, project.id, version, config, home))
    assert job.started is not None
    assert job.ended is not None
    actual = job.ended - job.started
    with capsys.disabled():
        busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
        print(f"\npredicted {tag.total_seconds:.1f} s, took {actual:.1f} s, {busy}")
    # Beside other programs the same work takes longer or shorter from one minute to the next.
    assert 1 / 3 < tag.total_seconds / actual < 3
    after = read_speeds(config, dataset, home)
    assert after is not None
    assert after != known
