"""Remarks on curves on Train and on Understand; runs are played by the storage functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components.state import NEXT_RUN
from pages.components.train import coach_view
from tests.coloured_pictures import png
from tests.lab import Lab
from tests.page_tests import check, texts
from tests.queued_run import create_run, leave_model
from tlcore.config import HeadConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.home import DataRoot
from tlcore.results.curves.coach import remarks
from tlcore.results.curves.history import RunFacts
from tlcore.results.curves.remark import Remark
from tlcore.results.evaluation import FILE_NAME, VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.database import writing
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job
from tlcore.storage.runs import RunSummary, write_metrics, write_summary

PARTS: tuple[Split, ...] = ("train", "train", "validation", "validation")
PER_CLASS = 64
OVERFITTED = [(0.6, 0.66), (0.4, 0.5), (0.2, 0.45), (0.1, 0.6), (0.05, 0.7), (0.02, 0.8)]
GOOD = [(0.6, 0.6), (0.3, 0.4), (0.2, 0.3), (0.15, 0.25), (0.12, 0.24), (0.1, 0.24)]
"""Losses of training and validation at the end of each epoch."""

LEAD = "Overfitting from epoch 4 on"
BUTTON = "coach-1-overfitting"


class CoachLab(Lab):
    """A project with pictures of two classes."""

    def begin(self, curve: Sequence[tuple[float, float]], config: RunConfig | None = None) -> tuple[str, int]:
        """Start a run that has these losses so far."""
        run_id = create_run(self.engine, self.project_id, self.version, config or self.config)
        job = claim_job(self.engine, "run")
        assert job is not None
        with writing(self.engine) as connection:
            for epoch, (loss, val_loss) in enumerate(curve, start=1):
                values = {"loss": loss, "accuracy": 0.9, "val_loss": val_loss, "val_accuracy": 0.85}
                write_metrics(connection, run_id, job.attempt, epoch, values)
        return run_id, job.attempt

    def run(self, curve: Sequence[tuple[float, float]], *, y_pred: Sequence[int] | None = None) -> str:
        """Make a run that has ended; its answers to the validation pictures are right unless others are given."""
        run_id, attempt = self.begin(curve)
        self.finish(run_id, attempt, len(curve), y_pred)
        return run_id

    def finish(self, run_id: str, attempt: int, epochs: int, y_pred: Sequence[int] | None = None) -> None:
        """End a run that works, with a model."""
        folder = self.home.run_dir(run_id)
        y_true = np.array([0, 1] * (PER_CLASS // 2), np.int64)
        answers = y_true if y_pred is None else np.array(y_pred)
        images = tuple(f"{number:064d}" for number in range(len(y_true)))
        found = Evaluation(("cat", "*dog*"), images, y_true, np.eye(2, dtype=np.float32)[answers])
        save_evaluation(found, folder, VALIDATION_FILE_NAME)
        save_evaluation(found, folder, FILE_NAME)
        leave_model(self.home, run_id)
        summary = RunSummary(3, epochs, 0.9, 60, 64, 2562, 3_370_000, 12.0, found.correct, found.total)
        with writing(self.engine) as connection:
            write_summary(connection, run_id, attempt, summary)
        end_job(self.engine, run_id, attempt, "finished")


@pytest.fixture
def lab(home: DataRoot, no_runner: None) -> CoachLab:
    images, random = ImageStore(home), np.random.default_rng(0)
    classes = (ClassLabel("a", "cat", 0), ClassLabel("b", "*dog*", 1))
    items = []
    for number in range(2 * PER_CLASS):
        data = png(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        items.append(Item(images.add(data, data), classes[number % 2].id, PARTS[number // 2 % 4], f"{number}.png"))
    made = CoachLab.make(home, Dataset(classes, tuple(items)))
    made.change(lambda config: replace(config, model=replace(config.model, head=HeadConfig(dropout=0.0))))
    return made


def press(page: AppTest, key: str) -> AppTest:
    return check(page.button(key=key).click().run())


def test_a_run_at_work_gets_its_remark_below_the_curves(lab: CoachLab) -> None:
    run_id, _ = lab.begin(OVERFITTED)
    page = lab.open("train", run=run_id)
    assert LEAD in texts(page)
    assert page.button(key=BUTTON).label == "Try light augmentation"


def test_nothing_is_said_before_the_third_epoch(lab: CoachLab) -> None:
    run_id, _ = lab.begin(OVERFITTED[:2])
    assert "What the curves say" not in texts(lab.open("train", run=run_id))


@pytest.mark.parametrize("step", ["train", "understand"])
def test_the_button_opens_train_with_the_settings_of_the_run_and_one_change(lab: CoachLab, step: str) -> None:
    run_id = lab.run(OVERFITTED)
    settings = lab.config
    lab.change(lambda _: RunConfig())
    page = lab.open(step, run=run_id)
    assert LEAD in texts(page)
    page = press(page, BUTTON)
    assert page.title[0].value == "Train"
    assert page.query_params["run"] in (NEXT_RUN, [NEXT_RUN])
    assert lab.config == replace(settings, augmentation=PRESETS["light"])


def test_the_button_of_a_run_at_work_prepares_the_next_one(lab: CoachLab) -> None:
    run_id, _ = lab.begin(OVERFITTED)
    page = press(lab.open("train", run=run_id), BUTTON)
    assert page.query_params["run"] in (NEXT_RUN, [NEXT_RUN])
    assert lab.config.augmentation == PRESETS["light"]
    assert page.button(key="start")


def test_a_step_that_no_setting_takes_leads_to_data(lab: CoachLab) -> None:
    run_id = lab.run(GOOD, y_pred=[0] * PER_CLASS)
    page = lab.open("understand", run=run_id)
    # The name of the class is shown as it was typed, not as Markdown.
    assert "it called none \u201c\\*dog\\*\u201d\\, though 32 of them are" in texts(page)
    page = press(page, "coach-1-class_never_predicted")
    assert page.title[0].value == "Data"


@pytest.mark.parametrize("step", ["train", "understand"])
def test_a_run_that_went_well_is_told_so(lab: CoachLab, step: str) -> None:
    run_id = lab.run(GOOD)
    assert "It went well\\: the validation loss fell from 0\\.60 to 0\\.24 in epoch 5" in texts(
        lab.open(step, run=run_id)
    )


def test_a_run_that_is_no_better_than_the_one_before_is_told_so(lab: CoachLab) -> None:
    right = [0, 1] * (PER_CLASS // 2)
    lab.run(GOOD)
    lab.change(lambda config: replace(config, augmentation=PRESETS["light"]))
    second = lab.run(GOOD, y_pred=[1, 0, *right[2:]])
    assert "No sure difference to Run 1" in texts(lab.open("understand", run=second))


def test_a_run_is_compared_as_soon_as_the_one_before_has_its_model(lab: CoachLab) -> None:
    slow, attempt = lab.begin(GOOD)
    lab.change(lambda config: replace(config, augmentation=PRESETS["light"]))
    second = lab.run(GOOD, y_pred=[1, 0, *[0, 1] * (PER_CLASS // 2 - 1)])
    assert "It went well" in texts(lab.open("understand", run=second))
    lab.finish(slow, attempt, len(GOOD))
    assert "No sure difference to Run 1" in texts(lab.open("understand", run=second))


def test_an_infinite_loss_before_the_first_epoch_gets_a_smaller_rate(lab: CoachLab) -> None:
    run_id, attempt = lab.begin([])
    end_job(lab.engine, run_id, attempt, "failed", "The loss became infinite before the first epoch ended, so ...")
    page = lab.open("train", run=run_id)
    assert "Learning rate too high" in texts(page)
    press(page, "coach-1-rate_too_high")
    assert lab.config.training.learning_rate == 0.0003


def test_a_run_of_which_nothing_is_kept_but_its_model_gets_no_remark(lab: CoachLab) -> None:
    run_id = lab.run([])
    (lab.home.run_dir(run_id) / VALIDATION_FILE_NAME).unlink()
    for step in ("train", "understand"):
        assert "What the curves say" not in texts(lab.open(step, run=run_id))


def test_damaged_answers_leave_the_remarks_on_the_curves(lab: CoachLab) -> None:
    run_id = lab.run(OVERFITTED)
    (lab.home.run_dir(run_id) / VALIDATION_FILE_NAME).write_bytes(b"damaged")
    assert LEAD in texts(lab.open("train", run=run_id))


def test_the_rules_run_once_for_each_new_point(lab: CoachLab, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RunFacts] = []

    def counted(facts: RunFacts) -> tuple[Remark, ...]:
        asked.append(facts)
        return remarks(facts)

    monkeypatch.setattr(coach_view, "remarks", counted)
    run_id, attempt = lab.begin(OVERFITTED)
    page = lab.open("train", run=run_id)
    check(page.run())
    assert len(asked) == 1
    with writing(lab.engine) as connection:
        write_metrics(
            connection, run_id, attempt, 7, {"loss": 0.01, "accuracy": 1, "val_loss": 0.9, "val_accuracy": 0.8}
        )
    check(page.run())
    assert len(asked) == 2
