"""How long work says where it is, and learns that it shall stop; the same for a worker and for a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Literal, Protocol, TextIO, TypeVar

from tqdm import tqdm

STARTED = "{desc}, {elapsed}"
COUNTED = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed}, {remaining} left"
"""How tqdm draws a phase whose length is not known, and one whose length is."""

WAIT_SECONDS = 0.2

T = TypeVar("T")
R = TypeVar("R")

Phase = Literal[
    "preparing",
    "compiling",
    "loading",
    "features",
    "view_features",
    "validation_features",
    "few_features",
    "waiting_for_features",
    "waiting_for_room",
    "training",
    "fine_tuning",
    "training_head",
    "cross_validating",
    "testing",
    "saving",
    "trying_rates",
    "measuring",
    "reading",
    "looking",
    "comparing",
    "judging",
    "arranging",
    "covering",
    "judging_edges",
    "answering",
    "downloading",
    "checking_files",
    "checking_weights",
    "opening",
    "backing_up",
    "restoring",
    "exporting",
    "certifying",
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
    "waiting_for_room": "The disk is full: waiting for room",
    "training": "Training",
    "fine_tuning": "Fine-tuning",
    "training_head": "Training: {subject}",
    "cross_validating": "Split {subject}: training",
    "testing": "Testing",
    "saving": "Saving",
    "trying_rates": "Trying learning rates",
    "measuring": "Measuring {subject}",
    "reading": "Reading {subject}",
    "looking": "Looking at the pictures",
    "comparing": "Looking for near-copies",
    "judging": "Asking a classifier about pictures that it has not learned from",
    "arranging": "Arranging the map: pictures that are alike become neighbours",
    "covering": "Looking at the edges and the middles of some pictures by themselves",
    "judging_edges": "Asking a classifier that sees only edges, and one that sees only middles",
    "answering": "Asking the model",
    "downloading": "Downloading {subject} (MB)",
    "checking_files": "Checking the files of {subject}",
    "checking_weights": "Checking {subject}",
    "opening": "Opening {subject}",
    "backing_up": "Saving",
    "restoring": "Restoring",
    "exporting": "Writing the model: {subject}",
    "certifying": "Asking test pictures of {subject}",
}
"""The same for people."""

TRAINING_PHASES: tuple[Phase, ...] = ("training", "fine_tuning")
"""The epochs of a run: those of its first phase, and those of the second."""

CLOSING_PHASES: tuple[Phase, ...] = ("testing", "saving", "waiting_for_room")
"""What a run still does after training. A wish to stop is fulfilled by then, and what was learned must be kept; on a
full disk it waits to be."""


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


def in_order(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Generator[R, None, None]:
    """Yield what a function returns for each item, in order; close it when the rest is not wanted.

    At most `ahead` calls are under way or wait to be yielded, so that memory stays flat.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def wait_for(future: Future[T], progress: Progress, phase: Phase) -> T:
    """Return what a background call returns, and notice a wish to stop meanwhile."""
    while not future.done():
        progress.phase(phase)
        wait([future], timeout=WAIT_SECONDS)
    return future.result()


class TerminalProgress:
    """Progress on a terminal: a moving bar for the phase, a line for each epoch. A file or pipe gets no moving bar.

    Args:
        stream: Where to write; standard error when left out.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._phase = ""
        self._bar: tqdm | None = None

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        """Show a new phase at once, and how far it is at most ten times a second."""
        words = phase_words(name, subject)
        if words != self._phase:
            self.close()
            self._phase = words
            if self._stream.isatty():
                # It moves with time, not with a guessed number of steps: these may be of very different lengths.
                self._bar = tqdm(desc=words, file=self._stream, bar_format=STARTED, miniters=0, dynamic_ncols=True)
            else:
                self.line(words)
        if self._bar is not None:
            if total:
                self._bar.total, self._bar.bar_format = total, COUNTED
            self._bar.update(done - self._bar.n)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Print the values at the end of an epoch."""
        if epoch == int(epoch):
            numbers = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            self.line(f"epoch {int(epoch):3d}  {numbers}")

    def check(self) -> None:
        """A terminal stops with Ctrl-C."""

    def line(self, text: str) -> None:
        """Print a line of its own, above the bar."""
        tqdm.write(text, file=self._stream)

    def close(self) -> None:
        """End the phase; its last state stays on the terminal."""
        if self._bar is not None:
            self._bar.close()
        self._phase, self._bar = "", None
