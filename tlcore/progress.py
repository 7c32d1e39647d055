"""How long work says where it is, and learns that it shall stop; the same for a worker and for a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Protocol, TextIO


class StopRequested(Exception):  # noqa: N818 - not an error: a wish of the person
    """Raised inside long work when the person asked to stop it."""


class Progress(Protocol):
    """What long work calls often; implementations decide how often to act on it."""

    def phase(self, name: str, done: int = 0, total: int = 0) -> None:
        """Say what is being done and how far it is.

        Raises:
            StopRequested: If the person asked to stop.
        """

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Add a point to the curves; `epoch` is whole at the end of an epoch."""

    def check(self) -> None:
        """Raise `StopRequested` if the person asked to stop."""


class TerminalProgress:
    """Progress as lines on a terminal: one moving line per phase, one line per epoch."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._phase = ""
        self._last = 0.0

    def phase(self, name: str, done: int = 0, total: int = 0) -> None:
        """Rewrite the current line at most ten times a second."""
        finished = total > 0 and done >= total
        if name == self._phase and not finished and time.monotonic() - self._last < 0.1:
            return
        lead = "\r" if name == self._phase else ("\n" if self._phase else "")
        count = f" {done}/{total}" if total else ""
        self._stream.write(f"{lead}{name}{count}")
        self._stream.flush()
        self._phase, self._last = name, time.monotonic()

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        """Print the values at the end of an epoch."""
        if epoch == int(epoch):
            numbers = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
            self._stream.write(f"\nepoch {int(epoch)}  {numbers}")
            self._stream.flush()

    def check(self) -> None:
        """A terminal stops with Ctrl-C."""

    def line(self, text: str) -> None:
        """Print a line of its own."""
        self._stream.write(f"{text}\n")

    def close(self) -> None:
        """End the moving line."""
        if self._phase:
            self._stream.write("\n")
        self._phase = ""
