"""Running compiled models with LiteRT, without TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tlcore.errors import RunError
from tlcore.quiet import allow_keeping_all, without_notes

DIGEST_BYTES = 32
NOTHING_AVERAGED = -1
LARGEST_TWICE_BYTES = 50_000_000
"""A compiled model up to this size may be in memory twice."""


def seal(content: bytes) -> bytes:
    """Return a compiled model with its checksum behind it; LiteRT itself would run a damaged file, or crash."""
    return content + hashlib.sha256(content).digest()


def is_whole(path: Path) -> bool:
    """Whether a compiled model is there and as it was written."""
    try:
        return _unseal(path.read_bytes()) is not None
    except OSError:
        return False


def _unseal(data: bytes) -> bytes | None:
    """Return the compiled model without its checksum, `None` when they do not fit."""
    content, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    return content if content and hashlib.sha256(content).digest() == digest else None


class CompiledModel:
    """A LiteRT model that takes one example at a time; not for several threads at once.

    Args:
        path: A file written by `tlcore.features.compiling.compile_model`.
        num_threads: Threads that one call may use.

    Raises:
        RunError: If the file is missing or damaged.
    """

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        self._path = path
        self._num_threads = num_threads
        self._interpreter = self._load()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._averaged: int | None = None

    def _load(self, *, keep_all: bool = False) -> Interpreter:
        try:
            content = _unseal(self._path.read_bytes())
            if content is None:
                raise ValueError("`path` must be a whole file")
            if keep_all:
                allow_keeping_all()
            with without_notes():
                interpreter = Interpreter(
                    model_content=content, num_threads=self._num_threads, experimental_preserve_all_tensors=keep_all
                )
                interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError("A compiled model file is missing or damaged. Train again to make a new one.") from error
        return interpreter

    def __call__(self, example: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run one example.

        Args:
            example: Of the model's input shape without the batch axis.

        Returns:
            float32 of the model's output shape without the batch axis.
        """
        self._interpreter.set_tensor(self._input, np.asarray(example, np.float32)[None])
        self._interpreter.invoke()
        output: NDArray[np.float32] = self._interpreter.get_tensor(self._output)[0]
        return output

    def before_average(self, example: NDArray[np.generic]) -> NDArray[np.float32] | None:
        """Return the features of each place, of whose average over all places a pooled output consists.

        Each call loads the model a second time, with all that it computes on the way kept, and forgets it: of a small
        backbone that takes a tenth of a second, and kept it would take 60 MB.

        Args:
            example: As of a call.

        Returns:
            float32 of shape `(rows, columns, channels)`; `None` when the output is no such average, the model is so
            large that a second one in memory would cost too much, or its file has gone since it was loaded.
        """
        if self._averaged == NOTHING_AVERAGED:
            return None
        try:
            if self._path.stat().st_size > LARGEST_TWICE_BYTES:
                return None
            interpreter = self._load(keep_all=True)
        except (OSError, RunError):
            return None
        if self._averaged is None:
            self._averaged = self._find_average(interpreter)
        if self._averaged == NOTHING_AVERAGED:
            return None
        interpreter.set_tensor(self._input, np.asarray(example, np.float32)[None])
        interpreter.invoke()
        features: NDArray[np.float32] = interpreter.get_tensor(self._averaged)[0]
        return features

    def _find_average(self, interpreter: Interpreter) -> int:
        """Return the number of what is averaged; it is found by its shape and by what its average is."""
        shape = interpreter.get_input_details()[0]["shape"]
        example = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        interpreter.set_tensor(self._input, example)
        interpreter.invoke()
        output = interpreter.get_tensor(self._output)[0]
        found = NOTHING_AVERAGED
        for detail in interpreter.get_tensor_details():
            tensor = detail["shape"]
            if output.ndim == 1 and len(tensor) == 4 and tensor[0] == 1 and tensor[3] == len(output) and tensor[1] > 1:
                features = interpreter.get_tensor(detail["index"])[0]
                if np.allclose(features.mean(axis=(0, 1)), output, rtol=1e-3, atol=1e-4):
                    found = int(detail["index"])
        return found


Loader: TypeAlias = Callable[[Path, int], CompiledModel]
"""Takes what `CompiledModel` takes."""


class _Remembering(CompiledModel):
    """A model that answers the same example at once when it is asked again; others may not change the answer."""

    _last: tuple[NDArray[np.generic], NDArray[np.float32]] | None = None

    def __call__(self, example: NDArray[np.generic]) -> NDArray[np.float32]:
        if self._last is None or not np.array_equal(self._last[0], example):
            self._last = example, super().__call__(example)
        return self._last[1]


def sharing_loader() -> Loader:
    """Return what loads each file once, for several who ask about the same picture one after the other.

    A picture then goes through a frozen part once, for however many members of a group, and for what tells strangers.
    All must ask in one thread.
    """
    loaded: dict[Path, CompiledModel] = {}

    def load(path: Path, num_threads: int = 1) -> CompiledModel:
        if path not in loaded:
            loaded[path] = _Remembering(path, num_threads)
        return loaded[path]

    return load
