"""Running compiled models with LiteRT, without TensorFlow."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tlcore.errors import RunError
from tlcore.quiet import without_notes

DIGEST_BYTES = 32


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
        try:
            content = _unseal(path.read_bytes())
            if content is None:
                raise ValueError("`path` must be a whole file")
            with without_notes():
                self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
                self._interpreter.allocate_tensors()
        except (OSError, ValueError, RuntimeError) as error:
            raise RunError("A compiled model file is missing or damaged. Train again to make a new one.") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

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
