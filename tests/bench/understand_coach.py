"""How often the remarks on curves are right: small models are trained into ten states, with seeds no rule has seen.

The rules and their limits were chosen on seeds 0 to 11; what counts here are others. A history is right when the remark
of its state is among the one to three that it gets. It has a false one when any of them is neither that nor one of
these, which say something true of how the state is made:

- still_improving: a rate that is too low. Its rate is good or somewhat small, and both say that it is not there yet.
- too_little_data: overfitting, as a handful of pictures is learned by heart at once; a class that is never predicted,
  as of two to five validation pictures all can be missed.
- validation_above: still improving. Strong dropout and random changes make learning slow, and it ends by its epochs.
- frozen_too_little: overfitting, which is what it leads to, and a rate that is too high: what the pre-trained blocks
  learn with is above the limit that Train itself warns of.
- class_never_predicted: too little data, as the class has one or two pictures, and still improving, as it ends by its
  epochs while that class's loss is high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from tests.bench.figures import Line, figure
from tests.trained_histories import STATES, State, TrainedHistory, train_histories
from tlcore.home import DataRoot
from tlcore.results.curves.coach import remarks
from tlcore.results.curves.history import History, RunFacts
from tlcore.results.curves.remark import RemarkKind
from tlcore.storage.runs import MetricPoint

SEEDS = range(12, 15)
LEAST_RIGHT = 0.9
MOST_FALSE = 0.099
"""Under 10 %: three false ones of thirty are too many."""

BESIDE: Mapping[State, Set[RemarkKind]] = {
    "still_improving": {"rate_too_low"},
    "too_little_data": {"overfitting", "class_never_predicted"},
    "validation_above": {"still_improving"},
    "frozen_too_little": {"overfitting", "rate_too_high"},
    "class_never_predicted": {"too_little_data", "still_improving"},
}
"""Remarks that are true of a state besides its own, as said above."""


def measure() -> Iterator[Line]:
    """Yield each figure."""
    yield from judged(list(train_histories(DataRoot.configured(), SEEDS)), f"seeds {SEEDS.start} to {SEEDS.stop - 1}")


def judged(histories: Sequence[TrainedHistory], how: str) -> Iterator[Line]:
    """Yield what the remarks on some histories are worth."""
    led = [history for history in histories if history.state != "well"]
    well = [history for history in histories if history.state == "well"]
    how = f"{len(led)} histories of {len(STATES) - 1} states, {how}"
    wrong = Counter(history.state for history in led if not is_right(history))
    yield figure(
        "coach: share of histories with the right remark",
        1 - wrong.total() / len(led),
        how,
        at_least=LEAST_RIGHT,
        more={"missed": dict(wrong)},
    )
    false = {f"{history.state} {history.seed}": sorted(false_kinds(history)) for history in led if false_kinds(history)}
    yield figure(
        "coach: share of histories with a false remark",
        len(false) / len(led),
        how,
        at_most=MOST_FALSE,
        more={"false": false},
    )
    remarked = sum(bool(kinds_of(history)) for history in well)
    yield figure("coach: trainings that went well with a remark", remarked, f"{len(well)} trainings")
    said = [(history, kind) for history in histories for kind in said_at_work(history)]
    stand = sum(kind in kinds_of(history) for history, kind in said)
    yield figure(
        "coach: share of the kinds of remarks made at work that stand at the end",
        stand / max(1, len(said)),
        f"{len(said)} of {len(histories)} histories, after every epoch",
    )


def facts_of(history: TrainedHistory, epochs: int | None = None) -> RunFacts:
    """Return what is known of a training at its end, or after some epochs while it works."""
    points = (MetricPoint(epoch, name, value) for epoch, values in history.curve for name, value in values.items())
    curves = History.of_points(points)
    if epochs is not None:
        return RunFacts(curves.until(epochs), history.config, history.counts, history.validation, is_active=True)
    return RunFacts(
        curves,
        history.config,
        history.counts,
        history.validation,
        diverged=history.diverged,
        validation=history.evaluation,
    )


def kinds_of(history: TrainedHistory, epochs: int | None = None) -> list[RemarkKind]:
    """Return what a training is told at its end, or after some epochs."""
    return [remark.kind for remark in remarks(facts_of(history, epochs))]


def said_at_work(history: TrainedHistory) -> set[RemarkKind]:
    """Return everything that a training is told after any of its epochs."""
    epochs = facts_of(history).history.epochs
    return {kind for epoch in range(1, epochs + 1) for kind in kinds_of(history, epoch)}


def is_right(history: TrainedHistory) -> bool:
    """Whether the remark of its state is made; none where it went well."""
    kinds = kinds_of(history)
    return history.state in kinds if history.state != "well" else not kinds


def false_kinds(history: TrainedHistory) -> set[RemarkKind]:
    """Return the remarks that are true neither of its state nor of how that is made."""
    return {kind for kind in kinds_of(history) if kind != history.state and kind not in BESIDE.get(history.state, ())}
