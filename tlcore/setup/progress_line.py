"""One moving line of progress on a terminal, plain lines everywhere else."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO


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


def duration(seconds: float) -> str:
    """Write a length of time as people say it, such as `1 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
