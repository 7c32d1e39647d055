"""The process of a training run that notes when its first step was done, and stops there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace

from tlcore.jobs import tasks
from tlcore.jobs.worker import WorkerContext, work
from tlcore.progress import Phase, Progress, StopRequested
from tlcore.storage.jobs import JobState


class StepClock:
    """Passes progress on and notes the time of what leads to the first step.

    Attributes:
        began: When the work began.
        waited: When training was last seen waiting for something: TensorFlow's import and the model. What is
            measured from here on is up to a fifth of a second too long, never too short.
        called: When training was begun.
        stepped: When the first step was done.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.began = self.waited = time.monotonic()
        self.called: float | None = None
        self.stepped: float | None = None

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        """Note what the work waits for."""
        if self.called is None:
            if name == "training":
                self.called = time.monotonic()
            else:
                self.waited = time.monotonic()
        self._progress.phase(name, done, total, subject)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Pass a point of the curves on."""
        self._progress.metrics(epoch, values)

    def check(self) -> None:
        """Stop at the end of the first step, which is the first to ask."""
        self._progress.check()
        if self.called is not None:
            if self.stepped is None:
                self.stepped = time.monotonic()
            raise StopRequested


def train(context: WorkerContext) -> tuple[JobState, str]:
    """Begin the run and print the times as the last line."""
    clock = StepClock(context.progress)
    result = tasks.train(replace(context, progress=clock))  # type: ignore[arg-type]
    assert clock.called is not None
    assert clock.stepped is not None
    times = {
        "loading": clock.waited - clock.began,
        "to_call": clock.called - clock.waited,
        "to_step": clock.stepped - clock.waited,
    }
    print(json.dumps(times), flush=True)
    return result


if __name__ == "__main__":
    sys.exit(work(sys.argv[1], int(sys.argv[2]), train))
