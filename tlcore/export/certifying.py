"""A fresh process that loads one exported file and asks it about pictures: `python -m tlcore.export.certifying TASK`.

It knows nothing of how the model was made: what it finds is what whoever takes the file away will find.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.config import ResizeMode
from tlcore.documents import read_document, write_document
from tlcore.errors import RunError
from tlcore.export.formats import FORMATS
from tlcore.export.readers import open_format
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.images.resizing import decode_image, resize_image
from tlcore.quiet import silence_tensorflow
from tlcore.storage.images import ImageStore
from tlcore.storage.requests import FormatName

TASK_FILE, ANSWERS_FILE = "task.json", "answers.npz"
START_SECONDS, PICTURE_SECONDS = 180.0, 2.0
"""So long a file may take to load, and to answer each picture, on a busy computer."""
LOOK_SECONDS = 0.1
WARM_UP = 3
"""So many pictures are asked about beforehand: the first answers prepare what the others use."""

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Asking:
    """What to ask a file.

    Attributes:
        folder: Where it lies.
        name: Which format it is.
        images: Keys of the pictures in the data root.
        image_size: Side of the square for a format that takes only that, in pixels.
        resize_mode: How a picture becomes that square.
        threads: How many threads one answer may use.
    """

    folder: str
    name: FormatName
    images: tuple[str, ...]
    image_size: int
    resize_mode: ResizeMode
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model answered.

    Attributes:
        probabilities: float32 of shape `(pictures, classes)`.
        milliseconds: For one picture, the median, without reading it.
    """

    probabilities: NDArray[np.float32]
    milliseconds: float


def ask_afresh(asking: Asking, check: Callable[[], None], home: DataRoot) -> Answers:
    """Ask a file in a process of its own.

    Args:
        asking: What to ask.
        check: Called while it works; what it raises ends that process.
        home: The data root.

    Raises:
        RunError: If the file cannot be loaded, or its process died or took too long.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / TASK_FILE).write_text(write_document(asking), "utf-8")
        log = (place / "log").open("wb+")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tlcore.export.certifying", name],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT), ENVIRONMENT_VARIABLE: str(home.path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                _wait(process, START_SECONDS + PICTURE_SECONDS * len(asking.images), check)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            log.seek(0)
            said = log.read().decode(errors="replace")
        if process.returncode != 0:
            print(said, file=sys.stderr)
            raise RunError("The file was made, but it cannot be loaded or asked. Use another format.")
        with np.load(place / ANSWERS_FILE, allow_pickle=False) as file:
            return Answers(file["probabilities"], float(file["milliseconds"]))


def _wait(process: subprocess.Popen[bytes], seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while process.poll() is None:
        check()
        if time.monotonic() > until:
            raise RunError("The file was made, but it took too long to answer. Use another format.")
        time.sleep(LOOK_SECONDS)


def ask(answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]], pictures: list[NDArray[np.uint8]]) -> Answers:
    """Ask about one picture after the other, and take the time.

    Args:
        answer: Takes one picture, uint8 of shape `(height, width, 3)`; returns float32 of shape `(classes,)`.
        pictures: At least one.
    """
    for picture in pictures[:WARM_UP]:
        answer(picture)
    answers, seconds = [], []
    for picture in pictures:
        started = time.perf_counter()
        answers.append(answer(picture))
        seconds.append(time.perf_counter() - started)
    return Answers(np.stack(answers), 1000 * statistics.median(seconds))


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder over the names and the contents of its files, in the order of names."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for name in sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()):
        whole.update(f"{name}\0{hash_of(path / name)}\n".encode())
    return whole.hexdigest()


def read_pictures(images: tuple[str, ...], home: DataRoot) -> list[NDArray[np.uint8]]:
    """Return pictures of the data root as they are stored.

    Raises:
        ImageError: If one of them is missing or damaged.
    """
    store = ImageStore(home)
    return [decode_image(store.read(key)) for key in images]


def main(place: Path) -> None:
    """Do what the task in a folder asks for, and leave the answers there."""
    asking = read_document((place / TASK_FILE).read_bytes(), Asking)
    pictures = read_pictures(asking.images, DataRoot.configured())
    if not FORMATS[asking.name].takes_any_size:
        pictures = [resize_image(one, asking.image_size, asking.resize_mode) for one in pictures]
    answers = ask(open_format(Path(asking.folder), asking.name, asking.threads), pictures)
    np.savez(place / ANSWERS_FILE, probabilities=answers.probabilities, milliseconds=np.array(answers.milliseconds))


if __name__ == "__main__":
    silence_tensorflow()
    main(Path(sys.argv[1]))
