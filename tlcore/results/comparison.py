"""What changed between two runs and what it did, in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass

from tlcore.config import AugmentationConfig, ModelConfig, RunConfig
from tlcore.model.cut import plan_model
from tlcore.results.evaluation import accuracy_interval
from tlcore.settings.words import augmentation_words, block_words, field_name, field_value
from tlcore.storage.runs import Run

FREEZING = ("model.first_trainable", "model.also_frozen")
NOTHING_CHANGED = "nothing: the same settings on the same pictures"


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


def _words(difference: Difference) -> str:
    field = difference.path.rpartition(".")[2]
    name = field_name(field)
    if difference.path.startswith("training.fine_tuning."):
        name = f"second phase: {name}"
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


def verdict(before: Run, after: Run, *, same_test: bool) -> str:
    """Say whether the second run is better than the first, and whether that may be chance.

    Args:
        before: The first run.
        after: The second run.
        same_test: Whether both were tested on the same pictures.

    Returns:
        A sentence; empty when one of them was not tested.
    """
    one, other = before.summary, after.summary
    if one is None or other is None or not one.test_total or not other.test_total:
        return ""
    if not same_test:
        return "They were tested on different pictures, so their accuracies cannot be compared."
    points = 100 * (other.test_correct / other.test_total - one.test_correct / one.test_total)
    if points == 0:
        return "Both named the same number of test pictures right."
    name = f"Run {after.number if points > 0 else before.number}"
    lead = f"{name} is {abs(points):.1f} points better"
    low, high = accuracy_interval(one.test_correct, one.test_total)
    other_low, other_high = accuracy_interval(other.test_correct, other.test_total)
    if max(low, other_low) <= min(high, other_high):
        return f"{lead}, but the intervals overlap: the difference may be chance. More test pictures could tell."
    return f"{lead}, and the intervals do not overlap: that is hardly chance."
