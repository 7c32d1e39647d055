"""What changed between two runs, and whether one model is better than another, in a sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

from tlcore.config import AugmentationConfig, ModelConfig, RunConfig
from tlcore.dataset import Split
from tlcore.model.cut import plan_model
from tlcore.results.evaluation import Evaluation
from tlcore.settings.words import augmentation_words, block_words, count, field_name, field_value
from tlcore.storage.runs import Run

FREEZING = ("model.first_trainable", "model.also_frozen")
NOTHING_CHANGED = "nothing: the same settings on the same pictures"
UNLIKELY = 0.05
"""A difference that chance alone makes less often than this is taken for real, as everywhere in the field."""
HARDLY_CHANCE = "hardly chance"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs between two configurations.

    Attributes:
        path: Where it stands, with dots, such as `training.learning_rate`.
        before: Its value in the first one.
        after: Its value in the second one.
    """

    path: str
    before: object
    after: object


def differences(before: object, after: object, path: str = "") -> Iterator[Difference]:
    """Yield every field that differs, in the order of the configuration, nested ones by their path."""
    if is_dataclass(before) and type(before) is type(after):
        for row in fields(before):
            inner = f"{path}.{row.name}".lstrip(".")
            yield from differences(getattr(before, row.name), getattr(after, row.name), inner)
    elif before != after:
        yield Difference(path, before, after)


def changes_between(before: Run, after: Run) -> str:
    """Say in one line what a second run did otherwise: settings, freeze line, data set version."""
    parts = config_changes(before.config, after.config)
    if before.version != after.version:
        parts.append(f"data set version {before.version} to {after.version}")
    return ", ".join(parts) or NOTHING_CHANGED


def config_changes(before: RunConfig, after: RunConfig) -> list[str]:
    """Return what differs between two configurations, one phrase each, such as `learning rate 0.003 to 0.0003`."""
    as_a_whole = _augmentation_change(before.augmentation, after.augmentation)
    found = list(differences(before, after))
    return [
        *(as_a_whole or [_words(one) for one in found if one.path.startswith("augmentation.")]),
        *(_words(one) for one in found if not one.path.startswith(("augmentation.", *FREEZING))),
        *_freezing_change(before.model, after.model),
    ]


def difference_name(difference: Difference) -> str:
    """Return how the field of a difference is called, with the phase to which it belongs."""
    name = field_name(difference.path.rpartition(".")[2])
    return f"second phase: {name}" if difference.path.startswith("training.fine_tuning.") else name


def _words(difference: Difference) -> str:
    field, name = difference.path.rpartition(".")[2], difference_name(difference)
    if isinstance(difference.after, bool):
        return f"{name} {field_value(field, difference.after)}"
    return f"{name} {field_value(field, difference.before)} to {field_value(field, difference.after)}"


def _augmentation_change(before: AugmentationConfig, after: AugmentationConfig) -> list[str]:
    """Name random changes as a whole where one of the two runs has none."""
    if before.is_identity == after.is_identity:
        return []
    return ["augmentation left out"] if after.is_identity else [f"augmentation added ({augmentation_words(after)})"]


def _freezing_change(before: ModelConfig, after: ModelConfig) -> list[str]:
    """Name the blocks that thawed or froze; those of another backbone cannot be compared one by one."""
    learned, learn = plan_model(before).trainable_blocks, plan_model(after).trainable_blocks
    if before.backbone != after.backbone:
        if not learn:
            return ["now only the head learns"] if learned else []
        return [f"now {block_words(learn)} {'learns' if len(learn) == 1 else 'learn'} too"]
    thawed = [name for name in learn if name not in learned]
    frozen = [name for name in learned if name not in learn]
    return [f"{block_words(names)} {word}" for names, word in ((thawed, "thawed"), (frozen, "frozen")) if names]


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two models' answers to the same pictures.

    Attributes:
        total: Pictures that both answered.
        only_first: Those that the first answered right and the second did not.
        only_second: The other way round.
        p_value: How probable a difference at least this large would be if both were equally good, in `[0, 1]`;
            a small one speaks for a real difference.
    """

    total: int
    only_first: int
    only_second: int
    p_value: float


def compare_answers(first: Evaluation, second: Evaluation) -> PairedComparison:
    """Compare two models picture by picture, which tells more than their intervals do.

    Answers to different pictures, as of runs on two versions of a data set, are compared where both answered the same
    picture of the same class.

    Source:
        The exact form of McNemar's test: McNemar 1947, "Note on the sampling error of the difference between
        correlated proportions or percentages", https://doi.org/10.1007/BF02295996.
    """
    if first.images == second.images and np.array_equal(first.y_true, second.y_true):  # whatever the classes are called
        first_right, second_right = first.y_pred == first.y_true, second.y_pred == second.y_true
    else:
        right, other_right = _right_by_picture(first), _right_by_picture(second)
        common = [picture for picture in right if picture in other_right]
        first_right = np.array([right[picture] for picture in common], bool)
        second_right = np.array([other_right[picture] for picture in common], bool)
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    differing = only_first + only_second
    # Python's integers have no limit, so no tail is too small for this division.
    tail = sum(math.comb(differing, wins) for wins in range(min(only_first, only_second) + 1))
    return PairedComparison(len(first_right), only_first, only_second, min(1.0, 2 * tail / 2**differing))


def _right_by_picture(evaluation: Evaluation) -> dict[tuple[str, str], bool]:
    names = (evaluation.class_names[index] for index in evaluation.y_true)
    return dict(zip(zip(evaluation.images, names, strict=True), evaluation.y_pred == evaluation.y_true, strict=True))


def verdict(first: Evaluation, second: Evaluation, names: tuple[str, str], split: Split) -> str:
    """Say which of two models is better, and how often chance alone makes such a difference.

    Args:
        first: Answers of the one.
        second: Answers of the other.
        names: What they are called inside of a sentence.
        split: Which pictures they answered.
    """
    compared = compare_answers(first, second)
    if not compared.total:
        return f"They answered different {split} pictures, so they cannot be compared."
    pictures = count(compared.total, f"{split} picture")
    if compared.total < max(first.total, second.total):
        pictures = f"the {pictures} that both answered"
    better, worse = names
    more, fewer = compared.only_first, compared.only_second
    if more == fewer == 0:
        return f"Of {pictures} {better} and {worse} got the very same right."
    if more == fewer:
        return (
            f"Of {pictures} {better} and {worse} got the same number right: {more:,} only {better}, {fewer:,} only "
            f"{worse}."
        )
    if more < fewer:
        better, worse, more, fewer = worse, better, fewer, more
    conclusion = HARDLY_CHANCE if compared.p_value < UNLIKELY else "it may well be chance. More pictures would tell"
    return (
        f"Of {pictures} {better} got {more - fewer:,} more right than {worse}: {more:,} only {better}, {fewer:,} only "
        f"{worse}. By chance alone such a difference comes in {cases(compared.p_value)} cases (exact McNemar test, "
        f"p = {compared.p_value:.2g}): {conclusion}."
    )


def many_comparisons(verdicts: Sequence[str]) -> str:
    """Say what several verdicts at once are worth; nothing when there is one, or when all leave it to chance."""
    number = len(verdicts)
    if number < 2 or not any(HARDLY_CHANCE in one for one in verdicts):
        return ""
    luck = min(100, round(100 * UNLIKELY * number))
    return (
        f"These are {number} comparisons, so chance had {number} chances: even among equally good models, one of them "
        f"ends in \u201c{HARDLY_CHANCE}\u201d in up to {luck} of 100 cases."
    )


def cases(p_value: float) -> str:
    """Return a probability as a number of cases, such as `2 of 100`."""
    if p_value >= 0.01:
        return f"{round(100 * p_value)} of 100"
    return f"{round(1000 * p_value)} of 1,000" if p_value >= 0.001 else "fewer than 1 of 1,000"
