"""A remark on the curves of a run: what is seen, with its numbers, and one next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tlcore.config import RunConfig

RemarkKind = Literal[
    "rate_too_high",
    "rate_too_low",
    "nothing_learned",
    "frozen_too_little",
    "overfitting",
    "frozen_too_much",
    "class_never_predicted",
    "too_little_data",
    "still_improving",
    "validation_above",
    "no_difference",
]
"""What a remark is about; the most useful ones to know stand first."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to try next.

    Attributes:
        text: On the button that takes the step.
        config: The settings of the run with one thing changed; `None` when the step is to bring other pictures.
    """

    text: str
    config: RunConfig | None = None


@dataclass(frozen=True, slots=True)
class Remark:
    """What a curve says.

    Attributes:
        kind: What it is about.
        lead: The same in a few words.
        sentences: What is seen, with its numbers, what it means, and why the step helps; names in it are as typed.
        step: What to try next.
    """

    kind: RemarkKind
    lead: str
    sentences: str
    step: NextStep
