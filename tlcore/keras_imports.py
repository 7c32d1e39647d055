"""Keras starts faster without the packages that it could work with but need not."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

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
