"""Running compiled models with LiteRT, without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from tlcore.errors import RunError


class CompiledModel:
    """A LiteRT model that takes one example at a time; not for several threads at once.

    Args:
        path: A file written by `tlcore.features_compile.compile_model`.
        num_threads: Threads that one call may use.

    Raises:
        RunError: If the file is missing or damaged.
    """

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        try:
            self._interpreter = Interpreter(model_content=path.read_bytes(), num_threads=num_threads)
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
