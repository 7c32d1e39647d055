"""One to three remarks on the curves of a run, the most useful first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tlcore.results.curves.evidence import HARDLY_LEARNED, class_never_predicted, too_little_data, validation_above
from tlcore.results.curves.fitting import frozen_too_little, frozen_too_much, overfitting
from tlcore.results.curves.going_on import epochs_alike, runs_alike, still_improving
from tlcore.results.curves.history import RunFacts, loss_words
from tlcore.results.curves.learning_rate import nothing_learned, rate_too_high, rate_too_low
from tlcore.results.curves.remark import Remark, RemarkKind

MOST = 3
EARLIEST = 3
"""Epochs before the first remark; only a loss that explodes is worth one at once."""

Rule = Callable[[RunFacts], Remark | None]

RULES: tuple[tuple[RemarkKind, Rule], ...] = (
    ("rate_too_high", rate_too_high),
    ("rate_too_low", rate_too_low),
    ("nothing_learned", nothing_learned),
    ("frozen_too_little", frozen_too_little),
    ("overfitting", overfitting),
    ("frozen_too_much", frozen_too_much),
    ("class_never_predicted", class_never_predicted),
    ("too_little_data", too_little_data),
    ("still_improving", still_improving),
    ("validation_above", validation_above),
    ("no_difference", runs_alike),
)
"""The most useful first."""

SAYS_IT_ALL: Mapping[RemarkKind, tuple[RemarkKind, ...]] = {
    "rate_too_high": ("nothing_learned", "frozen_too_much", "overfitting", "class_never_predicted", "still_improving"),
    "rate_too_low": (
        "nothing_learned",
        "frozen_too_much",
        "class_never_predicted",
        "still_improving",
        "validation_above",
    ),
    "nothing_learned": ("overfitting", "frozen_too_much", "class_never_predicted", "validation_above", "no_difference"),
    "frozen_too_little": ("overfitting", "frozen_too_much", "class_never_predicted"),
    "frozen_too_much": ("class_never_predicted",),
    "too_little_data": ("still_improving",),
}
"""Remarks that would only be about consequences of another one."""


def remarks(facts: RunFacts) -> tuple[Remark, ...]:
    """Return what is worth saying about a run, at most three remarks, the most useful first.

    A rule whose input is missing, as in runs of earlier versions, says nothing. While a run works, only what will most
    likely stand at its end is said, and nothing before the third epoch but that the loss explodes.

    Returns:
        No remark where there is nothing to change.
    """
    found: dict[RemarkKind, Remark] = {}
    early = facts.history.epochs < EARLIEST
    said: set[RemarkKind] = set()
    for kind, rule in RULES:
        if kind in said or (early and kind != "rate_too_high"):
            continue
        remark = rule(facts)
        if remark is not None:
            found[kind] = remark
            said.update(SAYS_IT_ALL.get(kind, ()))
    if not found and not early:
        alike = epochs_alike(facts)  # which only matters where nothing else does
        return () if alike is None else (alike,)
    return tuple(found.values())[:MOST]


def went_well(facts: RunFacts) -> str:
    """Say that there is nothing to change about a run without remarks that learned something.

    Returns:
        Nothing while it works, when it was short, and when its loss has hardly left that of guessing.
    """
    losses = facts.history.judged
    if facts.is_active or len(losses) < EARLIEST:
        return ""
    lowest = min(losses)
    if lowest > HARDLY_LEARNED * facts.guessing:
        return ""
    kind, epoch = "validation loss" if facts.history.val_loss else "loss", losses.index(lowest) + 1
    first, last = loss_words(losses[0]), loss_words(lowest)
    seen = f"was {last} in epoch {epoch}" if first == last else f"fell from {first} to {last} in epoch {epoch}"
    return (
        f"It went well: the {kind} {seen}, where mere guessing has {loss_words(facts.guessing)}, and nothing in the "
        "curves asks for another setting."
    )
