"""What the pictures can say: too few of them, a class that is never named, easier ones for validation."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from tlcore.config import RunConfig
from tlcore.results.curves.fitting import FEW_TRAINING, with_head
from tlcore.results.curves.history import RunFacts, mean, percent
from tlcore.results.curves.remark import NextStep, Remark
from tlcore.results.evaluation import accuracy_interval
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.settings.words import count, field_value

FEW_VALIDATION = 30
"""Below this many pictures a single one moves the accuracy by more than three points."""
HARDLY_LEARNED = 0.9
"""At this part of the loss of guessing, or above, the kept epoch has learned too little to tell classes apart."""

ABOVE = 0.025
"""By so much more of the validation pictures are named right, in the mean of the last epochs."""
LEAST_EPOCHS = 4
MOSTLY = 0.75
MAX_NAMED = 3
UNEVEN = 2.0
"""The other classes have so many times the pictures."""


def too_little_data(facts: RunFacts) -> Remark | None:
    """Remark on so few pictures that curves and accuracies say little."""
    total, fewest = facts.validation_pictures, min(facts.train, default=0)
    if facts.history.epochs < 1 or (total >= FEW_VALIDATION and fewest >= FEW_TRAINING):
        return None
    if total >= FEW_VALIDATION and class_never_predicted(facts) is not None:  # which says the same of that class
        return None
    if not total:
        seen = "There are no validation pictures, so nobody sees whether what it learns holds for new ones."
    elif total < FEW_VALIDATION:
        seen = f"With only {count(total, 'validation picture')} one of them moves the accuracy by {percent(1 / total)}"
        if facts.history.val_accuracy:
            best = max(facts.history.val_accuracy)
            low, high = accuracy_interval(round(best * total), total)
            seen += (
                f": {percent(best)} right may stand for anything from {percent(low)} to {percent(high)} (95 % interval)"
            )
        seen += "."
    else:
        seen = f"One class has only {count(fewest, 'training picture')}, which are learned by heart at once."
    return Remark(
        "too_little_data",
        "Too little data to tell.",
        f"{seen} More pictures say more than any other setting.",
        NextStep("Bring more pictures"),
    )


def class_never_predicted(facts: RunFacts) -> Remark | None:
    """Remark on classes that have validation pictures and that the model named for none."""
    answers = facts.validation
    if answers is None or not answers.total or _kept_hardly_anything(facts):
        return None
    classes = len(answers.class_names)
    named = np.bincount(answers.y_pred, minlength=classes)
    support = np.bincount(answers.y_true, minlength=classes)
    missing = np.flatnonzero((named == 0) & (support > 0)).tolist()
    if not missing:
        return None
    names = [f"\u201c{answers.class_names[index]}\u201d" for index in missing[:MAX_NAMED]]
    more = f" and {count(len(missing) - MAX_NAMED, 'other class', 'other classes')}" if len(missing) > MAX_NAMED else ""
    which = ", ".join(names) + more
    are = int(support[missing].sum())
    seen = (
        f"Of {count(answers.total, 'validation picture')} it called none {which}, though {are:,} of them "
        f"{'is one' if are == 1 else 'are'}."
    )
    why, step = _for_rare_classes(facts, missing)
    lead = "A class is never predicted." if len(missing) == 1 else f"{len(missing)} classes are never predicted."
    return Remark("class_never_predicted", lead, f"{seen} {why}", step)


def _kept_hardly_anything(facts: RunFacts) -> bool:
    learned, judged = facts.history.loss, facts.history.judged
    return bool(learned) and learned[judged.index(min(judged))] > HARDLY_LEARNED * facts.guessing


def _for_rare_classes(facts: RunFacts, missing: list[int]) -> tuple[str, NextStep]:
    learned = [facts.train[index] for index in missing if index < len(facts.train)]
    others = [number for index, number in enumerate(facts.train) if index not in missing]
    least, training = min(learned, default=0), facts.config.training
    is_rare = bool(others) and mean(others) > UNEVEN * max(1, least)
    if is_rare and least >= FEW_TRAINING and training.balance == "none":
        changed = replace(facts.config, training=replace(training, balance="weights"))
        return (
            f"It learned from {count(least, 'picture')} of that kind, and from {mean(others):.0f} of each other class "
            "on average. Class weights make rare classes count more.",
            NextStep("Try class weights", changed),
        )
    if is_rare:
        why = (
            f"It learned from only {count(least, 'picture')} of that kind, and from {mean(others):.0f} of each other "
            "class on average. More pictures of it help most."
        )
    elif len(missing) == 1:
        why = "To the model it looks like another class. More pictures that show what is special about it help most."
    else:
        why = "To the model they look like other classes. More pictures that show what is special about them help most."
    return why, NextStep("Bring more pictures of it" if len(missing) == 1 else "Bring more pictures of them")


def validation_above(facts: RunFacts) -> Remark | None:
    """Remark on validation pictures that are named right more often than training pictures, where that is normal."""
    history, config = facts.history, facts.config
    learned, held = history.accuracy, history.val_accuracy
    reasons = _reasons(config)
    few = facts.validation_pictures < FEW_VALIDATION  # whose accuracy moves more than what is looked for
    if few or min(len(learned), len(held)) < LEAST_EPOCHS or not reasons:
        return None
    # The training accuracy is a mean over the epoch, so it is compared with what validation was before and after.
    gaps = [
        (before + after) / 2 - accuracy for (before, after), accuracy in zip(pairwise(held), learned[1:], strict=True)
    ]
    gaps = gaps[-max(3, len(gaps) // 3) :]
    if mean(gaps) < ABOVE or sum(gap > 0 for gap in gaps) < MOSTLY * len(gaps):
        return None
    number = len(gaps)
    return Remark(
        "validation_above",
        "Validation above training, and that is normal here.",
        f"In the last {count(number, 'epoch')} it named {percent(mean(held[-number:]))} of the validation pictures "
        f"right and {percent(mean(learned[-number:]))} of the training pictures. While it learns, {reasons}; "
        "validation pictures come without that. To see it, train once with less of it.",
        _less(config),
    )


def _reasons(config: RunConfig) -> str:
    found = []
    if config.model.head.dropout:
        found.append(f"dropout switches off {field_value('dropout', config.model.head.dropout)} of what the head sees")
    if not config.augmentation.is_identity:
        found.append("every picture is changed at random (augmentation)")
    return " and ".join(found)


def _less(config: RunConfig) -> NextStep:
    if config.model.head.dropout:
        less = round(config.model.head.dropout / 2, 2) if config.model.head.dropout > 0.25 else 0.0
        words = f"dropout {field_value('dropout', less)}" if less else "no dropout"
        return NextStep(f"Try {words}", with_head(config, dropout=less))

    if config.augmentation == PRESETS["light"]:
        return NextStep("Try no augmentation", replace(config, augmentation=PRESETS["none"]))
    return NextStep("Try light augmentation", replace(config, augmentation=PRESETS["light"]))
