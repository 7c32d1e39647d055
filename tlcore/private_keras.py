"""Every use of private parts of Keras, seen to work with Keras 3.15.

| what | why | how it is seen to work |
|---|---|---|
| pandas, scikit-learn left out of its imports | workers start 2 s sooner | `lost_effects` after each job |
| `random.seed` decides its initial weights | random weights are the same in every process | `fixed_draws`, each time |
| names of its layers set anew | the same network has the same names in every process | `block_output`, each time |
| `Model._run_through_graph` | statistics of random weights, settled layer by layer | `run_through`, each time |

Public ways were looked at: other seeds of initializers would draw other weights than those that stored runs were
trained on; `clear_session` would also forget the settings of a program that uses this library, such as its precision.
"""

from __future__ import annotations

import random
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

UNUSED_BY_US = frozenset({"pandas", "sklearn"})
"""What Keras imports wherever it is installed: for data frames as input, and to look like a scikit-learn model."""


def leave_out_of_keras() -> None:
    """Let Keras and TensorFlow believe that `UNUSED_BY_US` are not installed; everything else may import them.

    Only for processes of our own that import Keras next: it takes about 2 s less there, of 7. A program that uses
    this library may well give Keras a data frame.
    """
    if not any(isinstance(finder, _LeftOut) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeftOut())


class _LeftOut(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in UNUSED_BY_US and _importer().partition(".")[0] in ("keras", "tensorflow"):
            raise ModuleNotFoundError(f"{fullname} is left out to start faster", name=fullname)
        return None


def _importer() -> str:
    """Return the name of the module whose import statement is being carried out."""
    frame = sys._getframe(2)
    while frame.f_back and str(frame.f_globals.get("__name__")).partition(".")[0] == "importlib":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))


def lost_effects() -> list[str]:
    """Return what no longer takes effect in this process of ours, in words; empty when all does."""
    if "keras" in sys.modules and "pandas" in sys.modules:
        return ["Keras does without pandas (it takes another way than 3.15 to import it)"]
    return []


_DRAWING = threading.RLock()


@contextmanager
def fixed_draws(seed: int) -> Iterator[None]:
    """Let Keras draw the same first weights every time, and leave everybody else's draws alone.

    Keras asks Python's `random` for the seed of every initializer that was given none. That one is the whole
    process's, so threads take turns.

    Raises:
        RuntimeError: If it has not asked, so that its weights would be others in every process.
    """
    with _DRAWING:
        state = random.getstate()
        random.seed(seed)
        fixed = random.getstate()
        try:
            yield
            if random.getstate() == fixed:
                raise RuntimeError(
                    "This Keras draws its first weights otherwise than 3.15; see tlcore/private_keras.py."
                )
        finally:
            random.setstate(state)


def name_like_fresh_session(model: keras.Model) -> None:
    """Number the layers that Keras named itself from the start, whatever was built before in this process."""
    numbers: dict[str, list[tuple[int, keras.Operation]]] = {}
    for operation in model.operations:
        match = re.fullmatch(r"(.+?)(?:_(\d+))?", operation.name)
        if match and match[1].replace("_", "") == type(operation).__name__.lower():
            numbers.setdefault(match[1], []).append((int(match[2] or 0), operation))
    for kind, operations in numbers.items():
        for number, (_, operation) in enumerate(sorted(operations, key=lambda pair: pair[0])):
            operation.name = f"{kind}_{number}" if number else kind


def run_through(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> None:
    """Go through a network operation by operation, as `keras.models.clone_model` does, with real pictures.

    Args:
        model: A functional model of one input.
        inputs: What it gets.
        call: Gets each operation with its arguments, and returns what the operation gives.

    Raises:
        RuntimeError: If not every operation was called, so that some would not be settled.
    """
    called = []

    def note(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        called.append(operation)
        return call(operation, *args, **kwargs)

    model._run_through_graph([inputs], operation_fn=lambda operation: operation, call_fn=note)
    if len(called) < len(model.operations) - len(model.inputs):
        raise RuntimeError("This Keras goes through networks otherwise than 3.15; see tlcore/private_keras.py.")
