"""How long work says where it is, and learns that it shall stop; the same for a worker and for a terminal."""

from __future__ import annotations

import contextlib
import math
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Literal, Protocol, TextIO, TypeVar

REDRAW_SECONDS = 0.1
WAIT_SECONDS = 0.2

T = TypeVar("T")

Phase = Literal[
    "preparing",
    "compiling",
    "loading",
    "features",
    "view_features",
    "validation_features",
    "few_features",
    "waiting_for_features",
    "training",
    "fine_tuning",
    "training_head",
    "testing",
    "saving",
    "trying_rates",
    "measuring",
    "reading",
    "looking",
    "downloading",
    "checking_files",
    "checking_weights",
    "opening",
    "backing_up",
    "restoring",
]
"""What long work may be doing."""

PHASE_WORDS: dict[Phase, str] = {
    "preparing": "Preparing",
    "compiling": "Preparing the backbone, once on this computer",
    "loading": "Loading TensorFlow",
    "features": "Computing features",
    "view_features": "Computing features of augmented views",
    "validation_features": "Computing features of the validation pictures",
    "few_features": "Computing features of a few pictures",
    "waiting_for_features": "Waiting for another run that computes the same features",
    "training": "Training",
    "fine_tuning": "Fine-tuning",
    "training_head": "Training: {subject}",
    "testing": "Testing",
    "saving": "Saving",
    "trying_rates": "Trying learning rates",
    "measuring": "Measuring {subject}",
    "reading": "Reading {subject}",
    "looking": "Looking at the pictures",
    "downloading": "Downloading {subject} (MB)",
    "checking_files": "Checking the files of {subject}",
    "checking_weights": "Checking {subject}",
    "opening": "Opening {subject}",
    "backing_up": "Saving",
    "restoring": "Restoring",
}
"""The same for people."""

TRAINING_PHASES: tuple[Phase, ...] = ("training", "fine_tuning")
"""The epochs of a run: those of its first phase, and those of the second."""

CLOSING_PHASES: tuple[Phase, ...] = ("testing", "saving")
"""What a run still does after training. A wish to stop is fulfilled by then, and what was learned must be kept."""


def phase_words(phase: Phase, subject: str = "") -> str:
    """Return what is being done, in words."""
    return PHASE_WORDS[phase].format(subject=subject)


class StopRequested(Exception):  # noqa: N818 - not an error: a wish of the person
    """Raised inside long work when the person asked to stop it."""


class Progress(Protocol):
    """What long work calls often; implementations decide how often to act on it."""

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        """Say what is being done and how far it is.

        Args:
            name: What is being done.
            done: Steps that are done.
            total: All steps; 0 when not known.
            subject: With what, such as the name of a backbone.

        Raises:
            StopRequested: If the person asked to stop.
        """

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Add a point to the curves; `epoch` is whole at the end of an epoch."""

    def check(self) -> None:
        """Raise `StopRequested` if the person asked to stop."""


@contextlib.contextmanager
def background() -> Iterator[ThreadPoolExecutor]:
    """Open one thread for slow calls into a library; an error or a wish to stop does not wait for them."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="background")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False)


def wait_for(future: Future[T], progress: Progress, phase: Phase) -> T:
    """Return what a background call returns, and notice a wish to stop meanwhile."""
    while not future.done():
        progress.phase(phase)
        wait([future], timeout=WAIT_SECONDS)
    return future.result()


class ProgressLine:
    """Show what is going on in one line that moves.

    A terminal gets the line redrawn in place. A file or a pipe gets a line now and then, so that
    a log stays short.

    Args:
        stream: Where to write; standard output when left out.
        every_seconds: Least time between two lines on something that is no terminal.
    """

    def __init__(self, stream: TextIO | None = None, every_seconds: float = 10.0) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._moves = self._stream.isatty()
        self._every_seconds = every_seconds
        self._last_time = float("-inf")
        self._last_length = 0

    def show(self, text: str) -> None:
        """Replace the line by `text`."""
        if self._moves:
            self._redraw(text[: max(20, shutil.get_terminal_size().columns - 1)])
        elif time.monotonic() - self._last_time >= self._every_seconds:
            self._last_time = time.monotonic()
            print(text, file=self._stream, flush=True)

    def finish(self, text: str = "") -> None:
        """Clear the moving line and leave `text`, if any, for good."""
        if self._moves:
            self._redraw("")
        self._last_time = float("-inf")
        if text:
            print(text, file=self._stream, flush=True)

    def _redraw(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._last_length) + ("" if text else "\r"))
        self._stream.flush()
        self._last_length = len(text)


class TerminalProgress:
    """Progress on a terminal: a moving line for the phase, a line for each epoch. A file or pipe gets no moving line.

    Args:
        stream: Where to write; standard error when left out.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._moves = self._stream.isatty()
        self._line = ProgressLine(self._stream)
        self._phase = ""
        self._text = ""
        self._last = -math.inf

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        """Show a new phase at once, and how far it is at most ten times a second."""
        words = phase_words(name, subject)
        if words != self._phase:
            self.close()
            self._phase, self._last = words, -math.inf
            if not self._moves:
                self.line(words)
        self._text = f"{words} {done}/{total}" if total else words
        if self._moves and time.monotonic() - self._last >= REDRAW_SECONDS:
            self._last = time.monotonic()
            self._line.show(self._text)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Print the values at the end of an epoch."""
        if epoch == int(epoch):
            numbers = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            self.line(f"epoch {int(epoch):3d}  {numbers}")

    def check(self) -> None:
        """A terminal stops with Ctrl-C."""

    def line(self, text: str) -> None:
        """Print a line of its own."""
        self._line.finish(text)

    def close(self) -> None:
        """End the phase; its last state stays on the terminal."""
        if self._moves and self._phase:
            self._line.finish(self._text)
        self._phase = ""
