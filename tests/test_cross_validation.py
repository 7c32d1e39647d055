"""Several splits: how pictures are dealt to folds, what the trainings see, what they say together, and the job."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.page_tests import OWNER, ROOT_DIR
from tests.queued_run import create_run
from tlcore.config import AugmentationConfig, FineTuningConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.documents import read_document, write_document
from tlcore.errors import DatasetError
from tlcore.home import DataRoot
from tlcore.intake.splitting import resplit
from tlcore.library import cross_validate
from tlcore.progress import Phase, StopRequested
from tlcore.results.cross_validation import CrossValidation, FoldResult
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, create_job, last_job, read_result
from tlcore.storage.projects import create_project
from tlcore.storage.requests import CrossValidationRequest
from tlcore.training import cross_validation
from tlcore.training.cross_validation import deal_folds, fold_datasets, fold_evaluations

CONFIG = RunConfig(model=ModelConfig(image_size=64), training=TrainingConfig(epochs=4, learning_rate=0.01))
CLASSES = tuple(ClassLabel(name, name, index) for index, name in enumerate(("cat", "dog", "fox")))


def listed(counts: dict[str, dict[Split, int]]) -> Dataset:
    """Return a data set with so many pictures of each class and split, which nobody reads."""
    items = [
        Item(f"{name}-{split}-{number}", name, split, f"{number}.png")
        for name, splits in counts.items()
        for split, amount in splits.items()
        for number in range(amount)
    ]
    return Dataset(tuple(label for label in CLASSES if label.id in counts), tuple(items))


UNEVEN = listed(
    {
        "cat": {"train": 40, "validation": 10, "test": 20},
        "dog": {"train": 23, "validation": 6, "test": 7},
        "fox": {"train": 6, "validation": 1, "test": 2},
    }
)


def computed(progress: RecordingProgress) -> int:
    """Return how many features were computed."""
    return sum(name.endswith("features") and done > 0 for name, done, _ in progress.phases)


@pytest.mark.parametrize("splits", [2, 5, 7])
def test_folds_hold_every_picture_once_and_each_class_evenly(splits: int) -> None:
    folds = deal_folds(UNEVEN.items, splits, 0)
    assert sorted(item.image for fold in folds for item in fold) == sorted(item.image for item in UNEVEN.items)
    for label in UNEVEN.classes:
        shares = [sum(item.class_id == label.id for item in fold) for fold in folds]
        assert max(shares) - min(shares) <= 1


def test_the_same_pictures_are_dealt_alike_in_any_order_and_otherwise_by_another_seed() -> None:
    def sets(items: tuple[Item, ...], seed: int) -> list[set[str]]:
        return [{item.image for item in fold} for fold in deal_folds(items, 5, seed)]

    assert sets(UNEVEN.items, 3) == sets(UNEVEN.items[::-1], 3)
    assert sets(UNEVEN.items, 3) != sets(UNEVEN.items, 4)


def test_copies_of_a_picture_are_never_on_both_sides() -> None:
    twice = [replace(item, class_id="dog") for item in UNEVEN.items if item.class_id == "cat" and item.split != "test"]
    dataset = replace(UNEVEN, items=(*UNEVEN.items, *twice))
    for fold in fold_datasets(dataset, 5, 0):
        sides = [{item.image for item in fold.subset(split)} for split in ("train", "validation", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides))
        assert {item.class_id for item in fold.subset("test")} == {"cat", "dog", "fox"}


def test_groups_and_near_copies_are_never_on_both_sides() -> None:
    items = [
        Item(f"{name}{group}.{i}", name, "train" if group else "validation", "", False, f"{name}{group}")
        for name in ("cat", "dog")
        for group in range(12)
        for i in range(3)
    ]
    for scenes_together in (True, False):
        if not scenes_together:
            items = [replace(item, group=None, scene=item.group) for item in items]
        folds = list(fold_datasets(Dataset(CLASSES[:2], tuple(items), scenes_together=scenes_together), 4, 0))
        for fold in folds:
            parts = [{item.group or item.scene for item in fold.subset(split)} for split in ("train", "test")]
            assert parts[1]
            assert bool(parts[0] & parts[1]) != scenes_together
    with pytest.raises(DatasetError, match=r"cat has 36 in 12 groups that belong together\. Choose fewer"):
        list(fold_datasets(Dataset(CLASSES[:2], tuple(items)), 13, 0))


@pytest.mark.parametrize("with_test", [False, True])
def test_each_training_is_asked_about_a_fold_that_chose_nothing(with_test: bool) -> None:
    known = {item.image for item in UNEVEN.items if with_test or item.split != "test"}
    asked: Counter[str] = Counter()
    for fold in fold_datasets(UNEVEN, 5, 0, with_test=with_test):
        parts = {split: {item.image for item in fold.subset(split)} for split in ("train", "validation", "test")}
        assert set.union(*parts.values()) == known
        assert not parts["test"] & (parts["train"] | parts["validation"])
        others = len(parts["train"]) + len(parts["validation"])
        assert len(parts["validation"]) / others == pytest.approx(17 / 86, abs=0.03)
        asked.update(parts["test"])
    assert asked == dict.fromkeys(known, 1)


def test_a_data_set_without_validation_pictures_has_none_in_any_training() -> None:
    dataset = listed({"cat": {"train": 9, "test": 3}, "dog": {"train": 8}})
    folds = list(fold_datasets(dataset, 4, 0))
    assert len(folds) == 4
    assert all(not fold.subset("validation") for fold in folds)


def test_a_class_with_fewer_pictures_than_folds_is_named_with_what_helps() -> None:
    with pytest.raises(DatasetError, match=r"at least 10 different pictures .* fox has 7\. Choose fewer trainings"):
        list(fold_datasets(UNEVEN, 10, 0))
    with pytest.raises(DatasetError, match="different pictures of each class; fox has 9"):
        list(fold_datasets(UNEVEN, 10, 0, with_test=True))
    copies = listed({"cat": {"train": 9}, "dog": {"train": 1}})
    copies = replace(copies, items=(*copies.items, *4 * copies.of_class("dog")))
    with pytest.raises(DatasetError, match="dog has 1"):
        list(fold_datasets(copies, 2, 0))
    with pytest.raises(ValueError, match=r"`splits` must be at least 2\. Received: splits=1"):
        list(fold_datasets(UNEVEN, 1, 0))


def test_what_the_trainings_say_together() -> None:
    found = CrossValidation((FoldResult(9, 10), FoldResult(8, 10), FoldResult(10, 10), FoldResult(7, 8)))
    assert found.mean == pytest.approx(0.89375)
    assert found.deviation == pytest.approx(statistics.stdev([0.9, 0.8, 1.0, 0.875]))
    assert (found.correct, found.total) == (34, 38)
    assert str(found) == "89.4 % (80.0 to 100.0 % in 4 trainings)"
    assert read_document(write_document(found), CrossValidation) == found


def test_every_picture_is_asked_about_once_and_every_feature_computed_once(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home)
    progress = RecordingProgress()
    found = cross_validate(dataset, CONFIG, splits=3, progress=progress)
    assert found.total == sum(item.split != "test" for item in dataset.items)
    assert found.mean > 0.9
    assert computed(progress) == found.total
    trainings = [place for place, (name, _, _) in enumerate(progress.phases) if name == "cross_validating"]
    assert {name for name, _, _ in progress.phases[trainings[0] : trainings[-1]]} <= {"cross_validating", "features"}
    assert not progress.curve
    assert not ready_home.runs_dir.exists()
    assert not ready_home.models_dir.exists()
    again = RecordingProgress()
    assert cross_validate(dataset, CONFIG, splits=3, progress=again) == found
    assert computed(again) == 0


def test_the_trainings_use_every_setting_with_a_seed_of_their_own(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = TrainingConfig(seed=2**31 - 2, fine_tuning=FineTuningConfig("block7a"))
    config = RunConfig(AugmentationConfig(horizontal_flip=True), training=training)
    seen: list[RunConfig] = []

    def noted(dataset: Dataset, config: RunConfig, *_: object) -> None:
        seen.append(config)

    monkeypatch.setattr(cross_validation, "train_and_test", noted)
    list(fold_evaluations(UNEVEN, config, RecordingProgress(), home, splits=3))
    assert [one.training.seed for one in seen] == [2**31 - 2, 2**31 - 1, 0]
    assert all(replace(one, training=replace(one.training, seed=2**31 - 2)) == config for one in seen)


@pytest.mark.slow
def test_views_and_a_second_phase_are_trained_as_in_a_run(ready_home: DataRoot) -> None:
    training = TrainingConfig(epochs=3, learning_rate=0.01, views=2, fine_tuning=FineTuningConfig("block7a", epochs=1))
    config = replace(CONFIG, augmentation=AugmentationConfig(horizontal_flip=True), training=training)
    dataset = resplit(coloured_dataset(ready_home, per_class=6), validation=0.2, test=0.0)
    progress = RecordingProgress()
    found = cross_validate(dataset, config, splits=2, progress=progress)
    assert found.total == 18
    epochs = [(done, total) for name, done, total in progress.phases if name == "cross_validating" and total]
    assert max(total for _, total in epochs) == 4
    again = RecordingProgress()
    assert cross_validate(dataset, config, splits=2, progress=again).total == 18
    assert computed(again) == 0


class StopsAfterAnEpoch(RecordingProgress):
    """Asks to stop when the first epoch of a training has ended."""

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        super().phase(name, done, total, subject)
        if name == "cross_validating" and done:
            raise StopRequested


def test_a_wish_to_stop_ends_all_trainings(ready_home: DataRoot) -> None:
    progress = StopsAfterAnEpoch()
    with pytest.raises(StopRequested):
        cross_validate(coloured_dataset(ready_home), CONFIG, splits=2, progress=progress)
    assert progress.phases[-1] == ("cross_validating", 1, 4)


def test_the_job_trains_a_run_on_other_splits_and_stores_what_came_out(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home)
    engine = open_database(ready_home)
    project = create_project(engine, OWNER, "Colours")
    version = commit_version(engine, project.id, dataset, "brought", parent=None, home=ready_home)
    run_id = create_run(engine, project.id, version, CONFIG)
    job_id = create_job(engine, "cross_validation", project.id, CrossValidationRequest(run_id, 3))
    job = claim_job(engine, "cross_validation")
    assert job is not None
    command = [sys.executable, "-m", "tlcore.jobs.worker", job_id, str(job.attempt)]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ended = last_job(engine, project.id, "cross_validation")
    assert ended is not None
    assert (ended.state, ended.message) == ("finished", "")
    found = read_result(engine, job_id, CrossValidation)
    assert found is not None
    assert len(found.folds) == 3
    assert found.mean > 0.9
    engine.dispose()
