"""Notes of TensorFlow and LiteRT about the processor stay off the terminal; everything else gets there, if it can."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_NOTE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d\d:\d\d:|INFO: Created TensorFlow Lite"
)
"""How the notes begin that no setting switches off: they are written while the library is still being loaded."""

_NOTE_STARTS = (b"W", b"I", b"E")
_redirecting = threading.Lock()


def silence_tensorflow() -> None:
    """Keep the notes of TensorFlow off the terminal; call it before anything imports Keras or TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietFinder())


def allow_keeping_all() -> None:
    """Keep the warning of the memory that LiteRT takes to keep all that it computes off the terminal, from now on.

    Whoever asks for that knows it. This one filter stays, and is the same when it is set again:
    `warnings.catch_warnings` would change those of the whole process, under the hands of its other threads.
    """
    warnings.filterwarnings("ignore", ".*experimental_preserve_all_tensors", UserWarning)


def outlast_full_logs() -> None:
    """Leave unsaid, from now on, what a log on a full disk has no room for: the work is more important."""
    for name, handle in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is not None and not stream.isatty():
            setattr(sys, name, _Log(handle))


class _Log(io.TextIOBase):
    """Writes at once, and no error of it ends the program."""

    encoding = "utf-8"

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def fileno(self) -> int:
        return self._handle

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with suppress(OSError):
            _write(self._handle, text.encode("utf-8", "backslashreplace"))
        return len(text)


@contextmanager
def without_notes() -> Iterator[None]:
    """Hold back the lines of standard error that are notes; others pass at once, from every thread.

    The libraries write to the file descriptor itself, so that is where they must be caught. When another thread holds
    them back already, this one lets it.
    """
    if not _redirecting.acquire(blocking=False):
        yield
        return
    try:
        terminal = os.dup(2)
    except OSError:  # there is no standard error
        _redirecting.release()
        yield
        return
    reading, writing = os.pipe()
    filtering = threading.Thread(target=_pass_on, args=(reading, terminal), name="quiet", daemon=True)
    filtering.start()
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        os.dup2(terminal, 2)  # closes the last writing end, so that the thread ends
        filtering.join()
        os.close(terminal)
        _redirecting.release()


def _pass_on(reading: int, terminal: int) -> None:
    """Copy everything but notes until the other end is closed."""
    with open(reading, "rb", buffering=0) as source:
        held = b""
        while data := source.read(65536):
            *lines, held = (held + data).split(b"\n")
            _write(terminal, b"".join(line + b"\n" for line in lines if not _NOTE.match(line)))
            if held and not held.startswith(_NOTE_STARTS):  # a moving line has no end; it cannot wait for one
                _write(terminal, held)
                held = b""
        _write(terminal, b"" if _NOTE.match(held) else held)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class _QuietFinder(MetaPathFinder):
    """Finds TensorFlow as usual, and holds its notes back while it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with without_notes():
            self._loader.exec_module(module)
