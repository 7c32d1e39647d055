"""What a teacher locks stays as it is: on the pages, where settings are stored, and where work is started."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.page_tests import PAGES_DIR
from tlcore.backbones.registry import get_backbone
from tlcore.config import AugmentationConfig, FineTuningConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.errors import LockedError
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job, start_runs
from tlcore.jobs.weights_tasks import _begin_with
from tlcore.model.architecture import without_contradictions
from tlcore.settings.locks import (
    LOCKS,
    LockSpec,
    change_config,
    check_change,
    check_lock,
    lock_of,
    read_locks,
    touched_locks,
    unlocked,
)
from tlcore.storage.class_settings import ClassSettings, change_class_settings
from tlcore.storage.database import class_settings, open_database, writing
from tlcore.storage.jobs import ACTIVE_STATES, list_jobs
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.requests import ImportRequest, WeightsCheckRequest
from tlcore.storage.runs import RunPlan

OTHER = RunConfig(
    AugmentationConfig(rotation_range=10, horizontal_flip=True),
    ModelConfig(
        backbone="mobilenet_v2",
        image_size=128,
        resize_mode="pad",
        pixel_scaling="divide_255",
        weights="random",
        first_trainable="block_1",
        also_frozen=("block_2",),
        head=HeadConfig("flatten", (64,), 0.5),
    ),
    TrainingConfig(
        epochs=3,
        batch_size=8,
        optimizer="sgd",
        learning_rate=0.01,
        patience=None,
        views=2,
        new_views_every_epoch=True,
        seed=7,
        schedule="cosine",
        warmup_epochs=1,
        label_smoothing=0.1,
        balance="weights",
        fine_tuning=FineTuningConfig("block_3"),
    ),
)
"""Differs from the defaults in every part."""


@pytest.fixture
def engine(home: DataRoot, no_runner: None) -> sa.Engine:
    return open_database(home)


def lock(engine: sa.Engine, *names: str) -> None:
    change_class_settings(engine, lambda stored: replace(stored, locked=names))


def paths(config: Any, prefix: str = "") -> Iterator[str]:
    for row in fields(config):
        value, path = getattr(config, row.name), f"{prefix}{row.name}"
        if is_dataclass(value):
            yield from paths(value, f"{path}.")
        else:
            yield path


def test_every_setting_can_be_locked_once() -> None:
    for path in paths(RunConfig()):
        assert sum(lock_of(path, {spec.name}) is not None for spec in LOCKS) == 1, path
    assert len({spec.name for spec in LOCKS}) == len(LOCKS)


@pytest.mark.parametrize("spec", [spec for spec in LOCKS if spec.fields], ids=lambda spec: spec.name)
def test_a_lock_holds_its_settings_and_no_others(spec: LockSpec) -> None:
    others = {one.name for one in LOCKS} - {spec.name}
    assert [one.name for one in touched_locks(RunConfig(), OTHER, {spec.name})] == [spec.name]
    with pytest.raises(LockedError, match=spec.title):
        check_change(RunConfig(), OTHER, {spec.name})
    check_change(RunConfig(), RunConfig(), others)


def test_a_change_of_what_is_locked_is_not_stored(engine: sa.Engine) -> None:
    project = create_project(engine, "a" * 24, "p")

    def longer(config: RunConfig) -> RunConfig:
        return replace(config, training=replace(config.training, epochs=99))

    lock(engine, "epochs")
    with pytest.raises(LockedError, match="“Epochs”"):
        change_config(engine, project.id, longer)
    assert get_project(engine, project.id, "a" * 24).config == RunConfig()
    change_config(engine, project.id, lambda config: replace(config, augmentation=OTHER.augmentation))
    assert change_config(unlocked(engine), project.id, longer).training.epochs == 99  # the teacher
    lock(engine)
    assert change_config(engine, project.id, lambda _: RunConfig()) == RunConfig()


BLOCKS = get_backbone("efficientnet_lite0").block_names


@pytest.mark.parametrize(
    ("name", "before", "change", "chosen"),
    [
        (
            "freeze_line",
            RunConfig(model=ModelConfig(first_trainable=BLOCKS[-1])),
            lambda config: replace(config, model=replace(config.model, backbone="mobilenet_v2")),
            "Backbone",
        ),
        (
            "picture",
            RunConfig(model=ModelConfig(image_size=32)),
            lambda config: replace(config, model=replace(config.model, backbone="inception_v3")),
            "Backbone",
        ),
        (
            "second_phase",
            RunConfig(training=TrainingConfig(fine_tuning=FineTuningConfig(BLOCKS[-1]))),
            lambda config: replace(config, model=replace(config.model, first_trainable=BLOCKS[-1])),
            "Freeze line",
        ),
    ],
    ids=["freeze_line", "picture", "second_phase"],
)
def test_a_choice_that_would_force_what_is_locked_is_refused(
    engine: sa.Engine, name: str, before: RunConfig, change: Callable[[RunConfig], RunConfig], chosen: str
) -> None:
    project = create_project(engine, "a" * 24, "p")
    change_config(engine, project.id, lambda _: before)
    lock(engine, name)
    title = next(spec.title for spec in LOCKS if spec.name == name)
    with pytest.raises(LockedError, match=f"“{title}”.*“{chosen}”"):
        change_config(engine, project.id, lambda config: without_contradictions(change(config)))
    assert get_project(engine, project.id, "a" * 24).config == before
    lock(engine)
    assert change_config(engine, project.id, lambda config: without_contradictions(change(config))) != before


def test_another_backbone_is_free_where_nothing_that_is_locked_changes() -> None:
    before = RunConfig(model=ModelConfig(first_trainable=BLOCKS[-1]))
    after = without_contradictions(replace(before, model=replace(before.model, backbone="mobilenet_v2")))
    assert after.model.first_trainable is None
    check_change(RunConfig(), replace(after, model=replace(after.model, first_trainable=None)), {"freeze_line"})
    moved = replace(after, model=replace(after.model, first_trainable=get_backbone("mobilenet_v2").block_names[0]))
    with pytest.raises(LockedError, match="Freeze line"):
        check_change(before, moved, {"freeze_line"})


def test_a_run_with_other_settings_than_the_locked_ones_does_not_start(engine: sa.Engine, home: DataRoot) -> None:
    project = create_project(engine, "a" * 24, "p")
    longer = RunConfig(training=TrainingConfig(epochs=99))
    lock(engine, "epochs")
    with pytest.raises(LockedError, match="Epochs"):
        start_runs(engine, project.id, [RunPlan(1, RunConfig()), RunPlan(1, longer)], home)
    assert not list_jobs(engine, states=ACTIVE_STATES)
    start_runs(engine, project.id, [RunPlan(1, RunConfig())], home)
    start_runs(unlocked(engine), project.id, [RunPlan(1, longer)], home)
    assert len(list_jobs(engine, states=ACTIVE_STATES)) == 2
    lock(engine, "training")
    with pytest.raises(LockedError, match="Training"):
        start_runs(engine, project.id, [RunPlan(1, RunConfig(training=TrainingConfig(epochs=5)))], home)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [(spec, kind) for spec in LOCKS for kind in spec.jobs if kind != "run"],
    ids=lambda one: getattr(one, "name", one),
)
def test_a_locked_kind_of_work_does_not_start(engine: sa.Engine, home: DataRoot, spec: LockSpec, kind: Any) -> None:
    project = create_project(engine, "a" * 24, "p")
    lock(engine, spec.name)
    with pytest.raises(LockedError, match=spec.title):
        start_job(engine, home, kind, project.id)
    assert not list_jobs(engine, states=ACTIVE_STATES)
    start_job(unlocked(engine), home, kind, project.id)
    assert len(list_jobs(engine, states=ACTIVE_STATES)) == 1


def test_weights_whose_check_ends_after_the_lock_are_not_taken(engine: sa.Engine) -> None:
    project = create_project(engine, "a" * 24, "p")
    request = WeightsCheckRequest(RunConfig().model.backbone, "x", "x.h5")
    lock(engine, "weights")
    with pytest.raises(LockedError, match="First weights"):
        _begin_with(engine, project.id, request, "random")
    assert get_project(engine, project.id, "a" * 24).config == RunConfig()
    _begin_with(engine, project.id, replace(request, is_unlocked=True), "random")  # a teacher's
    assert get_project(engine, project.id, "a" * 24).config.model.weights == "random"


def test_own_pictures_and_ready_sets_are_locked_apart(engine: sa.Engine, home: DataRoot) -> None:
    project = create_project(engine, "a" * 24, "p")
    ready, own = ImportRequest(sample="surfaces"), ImportRequest(staging="x")
    lock(engine, "pictures")
    start_job(engine, home, "import", project.id, ready)
    with pytest.raises(LockedError, match="Bringing pictures"):
        start_job(engine, home, "import", project.id, own)
    lock(engine, "ready_sets")
    start_job(engine, home, "import", project.id, own)
    with pytest.raises(LockedError, match="Ready sets"):
        start_job(engine, home, "import", project.id, ready)


def test_what_is_damaged_or_unknown_locks_nothing(engine: sa.Engine) -> None:
    lock(engine, "exam", "of a newer version")
    assert read_locks(engine) == {"exam"}
    with pytest.raises(LockedError, match="The exam"):
        check_lock(engine, "exam")
    check_lock(unlocked(engine), "exam")
    with writing(engine) as connection:
        connection.execute(sa.update(class_settings).values(document="garbage"))
    assert read_locks(engine) == frozenset()
    assert ClassSettings().locked == ()


def test_no_page_stores_settings_or_puts_work_in_line_past_the_locks() -> None:
    around = {"update_config", "create_job", "create_runs", "insert_job"}
    for file in PAGES_DIR.rglob("*.py"):
        imported = _imported(file)
        assert not imported & around, file
        if file.name != "exam.py":
            continue
        assert "check_lock" in imported


def _imported(file: Path) -> set[str]:
    found = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {alias.name for node in found if isinstance(node, ast.ImportFrom) for alias in node.names}
