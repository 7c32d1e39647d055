"""Remarks on histories of real trainings: stored ones of every state, and some that are trained here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.bench.understand_coach import BESIDE, false_kinds, is_right, judged, kinds_of, said_at_work
from tests.trained_histories import STATES, State, TrainedHistory, Trainer
from tlcore.home import DataRoot

STORED = Path(__file__).parent / "fixtures" / "histories.json"


def stored_histories() -> list[TrainedHistory]:
    return msgspec.json.decode(STORED.read_bytes(), type=list[TrainedHistory])


def test_every_state_is_there_three_times() -> None:
    assert [(one.state, one.seed) for one in stored_histories()] == [
        (state, seed) for state in STATES for seed in range(3)
    ]


@pytest.mark.parametrize("history", stored_histories(), ids=lambda one: f"{one.state}-{one.seed}")
def test_a_real_history_gets_the_remark_of_its_state_and_no_false_one(history: TrainedHistory) -> None:
    assert is_right(history), kinds_of(history)
    assert not false_kinds(history)


def test_what_is_said_while_a_run_works_mostly_stands_at_its_end() -> None:
    said = [(history, kind) for history in stored_histories() for kind in said_at_work(history)]
    gone = [(history.state, history.seed, kind) for history, kind in said if kind not in kinds_of(history)]
    # What is true of the state besides may give way to the remark of the state itself.
    assert len([one for one in gone if one[2] not in BESIDE.get(one[0], ())]) <= 2, gone


def test_the_benchmark_counts_what_is_right_and_what_is_false() -> None:
    lines = list(judged(stored_histories(), "stored"))
    assert [line["measured"] for line in lines[:3]] == [1, 0, 0]
    # An overfitted training that is said to have come from a rate that is too low is a miss, and a false remark.
    histories = [msgspec.structs.replace(one, state="rate_too_low") for one in stored_histories()[:3]]
    right, false, *_ = judged(histories, "mistaken")
    assert (right["measured"], right["reached"]) == (0, False)
    assert (false["measured"], false["reached"]) == (1, False)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Trains in one data root, so that pictures are brought once."""
    return Trainer(DataRoot(tmp_path_factory.mktemp("histories")))


@pytest.mark.slow
@pytest.mark.parametrize("state", ["overfitting", "rate_too_high", "rate_too_low"])
def test_a_network_that_is_trained_into_a_state_is_told_so(trainer: Trainer, state: State) -> None:
    history = trainer.train(state, seed=1)
    assert is_right(history), kinds_of(history)
    assert not false_kinds(history)
