"""Weights that a person brings: checked in a process of its own, kept by their content; loads no TensorFlow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tlcore.backbones.spec import BackboneSpec
from tlcore.config import from_json
from tlcore.downloading import size_of
from tlcore.errors import StorageError, WeightsError
from tlcore.home import DataRoot

ROOT_DIR = Path(__file__).resolve().parents[3]
CHECK_SECONDS = 300

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BroughtWeights:
    """A file of weights that was accepted.

    Attributes:
        key: SHA-256 of the kept file; `ModelConfig.weights` names it by this.
        backbone: Name of the backbone that it belongs to.
        filename: Name of the file that the person brought. A person wrote it: show it as plain text.
    """

    key: str
    backbone: str
    filename: str


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """What the checking process says: the key, or why the file was refused."""

    key: str = ""
    refusal: str = ""
    storage_problem: str = ""


def brought_path(key: str, home: DataRoot) -> Path:
    """Return where a brought file of weights is kept.

    Raises:
        ValueError: If `key` is not the key of a brought file, so that no name can lead elsewhere.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"`weights` must be 'imagenet', 'random' or the key of a brought file. Received: weights={key!r}"
        )
    return home.brought_weights_dir / f"{key}.weights.h5"


def description_path(key: str, home: DataRoot) -> Path:
    """Return where it is written down what a brought file is.

    Raises:
        ValueError: If `key` is not the key of a brought file.
    """
    path = brought_path(key, home)
    return path.with_name(f"{key}.json")


def find_brought(key: str, home: DataRoot) -> BroughtWeights | None:
    """Return what is known about a brought file, `None` when it is not on this computer.

    Raises:
        ValueError: If `key` is not the key of a brought file.
    """
    if not size_of(brought_path(key, home)):
        return None
    try:
        return from_json(description_path(key, home).read_bytes(), BroughtWeights)
    except (OSError, ValueError):
        # Half of a pair is as good as none: the person brings the file again.
        return None


def bring_weights(spec: BackboneSpec, file: Path, filename: str, home: DataRoot) -> str:
    """Check a person's file of weights against a backbone, layer by layer, and keep a clean copy.

    The file is opened in a process of its own, which takes some seconds: nothing in it is executed, and should
    it break the reader, only that process ends.

    Args:
        spec: The backbone that the weights are for.
        file: The file, as `model.save_weights` writes it without a classifier: `.weights.h5`, or `.h5` of
            earlier versions.
        filename: Its name on the person's computer.
        home: The data root.

    Returns:
        The key for `ModelConfig.weights`.

    Raises:
        ValueError: If the backbone always starts with random weights.
        WeightsError: If the file is refused; the text says what differs.
        StorageError: If the copy cannot be written.
    """
    if spec.weights is None:
        raise ValueError(f"`spec` must be a backbone that takes weights. Received: {spec.name}")
    command = [
        sys.executable,
        "-m",
        "tlcore.backbones.weights.brought_check",
        spec.name,
        str(file.absolute()),
        filename,
    ]
    path = os.pathsep.join([str(ROOT_DIR), *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        finished = subprocess.run(
            [*command, str(home.path)],
            cwd=ROOT_DIR,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(_unreadable(filename)) from error
    try:
        answer = from_json(finished.stdout.strip().rpartition(b"\n")[2], CheckAnswer)
    except ValueError as error:
        raise WeightsError(_unreadable(filename)) from error
    if answer.storage_problem:
        raise StorageError(answer.storage_problem)
    if not answer.key:
        raise WeightsError(answer.refusal)
    return answer.key


def _unreadable(filename: str) -> str:
    return (
        f"{filename} could not be read: the program that checks it gave up. Save the weights again with "
        "`model.save_weights` and bring that file."
    )
