"""The same settings trained on several splits, so that every picture is asked about once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tlcore.config import RunConfig
from tlcore.dataset import Dataset, Item
from tlcore.errors import DatasetError
from tlcore.home import DataRoot
from tlcore.intake.splitting import assign_splits, units, without_split
from tlcore.progress import TRAINING_PHASES, Phase, Progress
from tlcore.results.cross_validation import CrossValidation, FoldResult
from tlcore.results.evaluation import Evaluation
from tlcore.training.run import train_and_test

# `assign_splits` wants at least a tenth for training.
MOST_FOR_VALIDATION = 0.9
# Seeds of a training are smaller than this.
SEEDS = 2**31


def cross_validate(
    dataset: Dataset,
    config: RunConfig,
    progress: Progress,
    home: DataRoot,
    *,
    splits: int = 5,
    with_test: bool = False,
) -> CrossValidation:
    """Train on several splits of a data set and ask each model about the pictures that it never saw.

    Features are computed once for all trainings and stay cached; nothing else is left behind. Arguments and errors as
    of `fold_evaluations`.
    """
    evaluations = fold_evaluations(dataset, config, progress, home, splits=splits, with_test=with_test)
    return CrossValidation(tuple(FoldResult(found.correct, found.total) for found in evaluations))


def fold_evaluations(
    dataset: Dataset,
    config: RunConfig,
    progress: Progress,
    home: DataRoot,
    *,
    splits: int = 5,
    with_test: bool = False,
) -> Iterator[Evaluation]:
    """Yield the answers of each training to the pictures of its fold.

    The pictures are dealt by the seed of the settings, so two settings with the same seed are asked about the same
    folds and can be compared picture by picture. Each training has a seed of its own besides: whoever trains again
    on another split gets other first weights too, and the spread is to hold both.

    Args:
        dataset: Pictures of the data root, with classes and splits.
        config: Everything that was chosen.
        progress: Told what happens; may ask to stop. It gets no curves.
        home: The data root.
        splits: Trainings, and folds that the pictures are dealt into; at least 2.
        with_test: Deal the test pictures too; otherwise they stay sealed.

    Raises:
        StopRequested: If the person asked to stop.
        DatasetError: If a class has fewer pictures than there are folds, or the data set allows no training.
        WeightsError: If the backbone's weights are not on this computer.
        RunError: If the phases contradict each other, or a loss became infinite before its first epoch ended.
        StorageError: If the disk is full.
    """
    seed = config.training.seed
    for number, fold in enumerate(fold_datasets(dataset, splits, seed, with_test=with_test)):
        training = replace(config.training, seed=(seed + number) % SEEDS)
        of_fold = _FoldProgress(progress, number + 1, splits)
        yield train_and_test(fold, replace(config, training=training), of_fold, home)


def fold_datasets(dataset: Dataset, splits: int, seed: int, *, with_test: bool = False) -> Iterator[Dataset]:
    """Yield the data set of each training: a fold to test it on, the others to train and validate it.

    Of the others that share is for validation which the data set keeps for it, none if it keeps none: the best epoch
    is chosen without the fold, or its accuracy would be flattered.

    Args:
        dataset: What is dealt: its pictures for training and validation.
        splits: Number of folds.
        seed: Another seed deals otherwise.
        with_test: Whether the test pictures are dealt too.

    Raises:
        ValueError: If there are fewer than two folds.
        DatasetError: If a class has fewer pictures than there are folds.
    """
    if splits < 2:
        raise ValueError(f"`splits` must be at least 2. Received: splits={splits}")
    pool = replace(dataset, items=tuple(item for item in dataset.items if with_test or item.split != "test"))
    unit_of = units(pool.items, scenes_together=pool.scenes_together)
    for label in pool.classes:
        images = {item.image for item in pool.of_class(label.id)}
        found = len({unit_of[image] for image in images})
        if found < splits:
            where = "different pictures" if with_test else "different pictures for training and validation"
            groups = f" in {found} groups that belong together" if found < len(images) else ""
            raise DatasetError(
                f"{splits} trainings on other splits need at least {splits} {where} of each class; {label.name} has "
                f"{len(images)}{groups}. Choose fewer trainings, or add pictures on the Data page."
            )
    kept, learned = len(dataset.subset("validation")), len(dataset.subset("train"))
    validation = min(kept / max(1, kept + learned), MOST_FOR_VALIDATION)
    empty = Dataset(pool.classes, scenes_together=pool.scenes_together)
    for fold in deal_folds(pool.items, splits, seed, scenes_together=pool.scenes_together):
        asked = set(fold)
        others = [without_split(item) for item in pool.items if item not in asked]
        dealt = assign_splits(others, empty, validation=validation, test=0.0, seed=seed)
        yield replace(empty, items=(*dealt, *(replace(item, split="test") for item in fold)))


def deal_folds(
    items: Sequence[Item], splits: int, seed: int, *, scenes_together: bool = True
) -> list[tuple[Item, ...]]:
    """Deal items into folds that have as many of each class as any other, as nearly as units allow.

    What is dealt is a unit as a whole (`tlcore.intake.splitting.units`): a copy of a picture that was learned, or
    another frame of its scene, would be an easy question.

    Args:
        items: In any order; the same ones are always dealt alike.
        splits: Number of folds; each class has at least that many units.
        seed: Another seed deals otherwise.
        scenes_together: Whether near-copies are one unit.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    unit_of = units(items, scenes_together=scenes_together)
    dealer = StratifiedGroupKFold(splits, shuffle=True, random_state=seed)
    folds = dealer.split(items, [item.class_id for item in items], [unit_of[item.image] for item in items])
    return [tuple(items[index] for index in fold) for _, fold in folds]


class _FoldProgress:
    """Passes the progress of one training on as that of one of several; its curves are nobody's."""

    def __init__(self, progress: Progress, number: int, splits: int) -> None:
        self._progress = progress
        self._is_first = number == 1
        self._subject = f"{number} of {splits}"

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        if name in TRAINING_PHASES or (name == "loading" and not self._is_first):
            self._progress.phase("cross_validating", done, total, self._subject)
        elif name == "testing":  # which is an end that a wish to stop waits for
            self._progress.phase("features", done, total)
        else:
            self._progress.phase(name, done, total, subject)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        return

    def check(self) -> None:
        self._progress.check()
