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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.config import ResizeMode
from tlcore.documents import read_document, write_document
from tlcore.errors import FullDiskError, ImageError, RunError
from tlcore.export.formats import FORMATS
from tlcore.export.readers import open_format
from tlcore.home import DISK_IS_FULL, ENVIRONMENT_VARIABLE, DataRoot, is_for_want_of_room
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
MOST_TIMED = 100
"""The time is taken of so many pictures: the median of more is the same."""
NO_ROOM = 28
"""With this code a process ends that finds the disk full: the file that it was to ask may be a good one."""

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Asking:
    """What to ask a file.

    Attributes:
        folder: Where it lies.
        name: Which format it is.
        images: Keys of the pictures in the data root.
        examples: Keys of those that leave with it, which it is asked about as well.
        image_size: Side of the square for a format that takes only that, and for taking the time, in pixels.
        resize_mode: How a picture becomes that square.
        threads: How many threads one answer may use.
    """

    folder: str
    name: FormatName
    images: tuple[str, ...]
    examples: tuple[str, ...]
    image_size: int
    resize_mode: ResizeMode
    threads: int


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model answered.

    Attributes:
        probabilities: float32 of shape `(pictures, classes)`.
        milliseconds: For one square picture of the size that the model sees, the median, without reading it.
        of_examples: float32 of shape `(examples, classes)`.
    """

    probabilities: NDArray[np.float32]
    milliseconds: float
    of_examples: NDArray[np.float32]


def ask_afresh(asking: Asking, check: Callable[[], None], home: DataRoot) -> Answers:
    """Ask a file in a process of its own.

    Args:
        asking: What to ask.
        check: Called while it works; what it raises ends that process.
        home: The data root.

    Raises:
        RunError: If the file cannot be loaded, or its process died or took too long.
        FullDiskError: If the disk is full, which says nothing of the file.
    """
    try:
        return _ask_afresh(asking, check, home)
    except OSError as error:
        if is_for_want_of_room(error):
            raise FullDiskError(DISK_IS_FULL) from error
        raise


def _ask_afresh(asking: Asking, check: Callable[[], None], home: DataRoot) -> Answers:
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
                _wait(process, START_SECONDS + PICTURE_SECONDS * (len(asking.images) + len(asking.examples)), check)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            log.seek(0)
            said = log.read().decode(errors="replace")
        if process.returncode == NO_ROOM:
            raise FullDiskError(DISK_IS_FULL)
        if process.returncode != 0:
            print(said, file=sys.stderr)
            raise RunError("What the converter wrote cannot be loaded or asked. Use another format.")
        with np.load(place / ANSWERS_FILE, allow_pickle=False) as file:
            return Answers(file["probabilities"], float(file["milliseconds"]), file["of_examples"])


def _wait(process: subprocess.Popen[bytes], seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while process.poll() is None:
        check()
        if time.monotonic() > until:
            raise RunError("What the converter wrote took too long to answer. Use another format.")
        time.sleep(LOOK_SECONDS)


def ask(
    answer: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    pictures: Sequence[NDArray[np.uint8]],
    squares: Sequence[NDArray[np.uint8]] | None = None,
    examples: Sequence[NDArray[np.uint8]] = (),
) -> Answers:
    """Ask about one picture after the other, and take the time.

    Args:
        answer: Takes one picture, uint8 of shape `(height, width, 3)`; returns float32 of shape `(classes,)`.
        pictures: What its answers are compared about.
        squares: What the time is taken of, at least one: squares of the size that the model sees, so that formats which
            make the square themselves do no more work than the others. `None`: the pictures.
        examples: More pictures to answer.
    """
    timed = (pictures if squares is None else squares)[:MOST_TIMED]
    for square in timed[:WARM_UP]:
        answer(square)
    seconds = []
    for square in timed:
        started = time.perf_counter()
        last = answer(square)
        seconds.append(time.perf_counter() - started)
    said, of_examples = (
        np.stack([answer(one) for one in some]) if some else np.zeros((0, len(last)), np.float32)
        for some in (pictures, examples)
    )
    return Answers(said, 1000 * statistics.median(seconds), of_examples)


def squares_of(
    pictures: Sequence[NDArray[np.uint8]], size: int, mode: ResizeMode, most: int = MOST_TIMED
) -> list[NDArray[np.uint8]]:
    """Return pictures as the model sees them, at most so many; a grey one where there are none."""
    return [resize_image(one, size, mode) for one in pictures[:most]] or [np.full((size, size, 3), 128, np.uint8)]


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file; of a folder over the names and the contents of its files, in the order of names."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for name in sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()):
        whole.update(f"{name}\0{hash_of(path / name)}\n".encode())
    return whole.hexdigest()


def read_pictures(images: Sequence[str], home: DataRoot) -> dict[str, NDArray[np.uint8]]:
    """Return pictures of the data root as they are stored, by key; those that cannot be read are left out."""
    store = ImageStore(home)
    found = {}
    for key in images:
        with suppress(ImageError):
            found[key] = decode_image(store.read(key))
    return found


def main(place: Path) -> None:
    """Do what the task in a folder asks for, and leave the answers there."""
    asking = read_document((place / TASK_FILE).read_bytes(), Asking)
    home = DataRoot.configured()
    found = read_pictures((*asking.images, *asking.examples), home)
    pictures, examples = ([found[key] for key in keys] for keys in (asking.images, asking.examples))
    squares = squares_of(pictures, asking.image_size, asking.resize_mode)
    if not FORMATS[asking.name].takes_any_size:
        pictures, examples = (
            [resize_image(one, asking.image_size, asking.resize_mode) for one in some] for some in (pictures, examples)
        )
    answers = ask(open_format(Path(asking.folder), asking.name, asking.threads), pictures, squares, examples)
    np.savez(
        place / ANSWERS_FILE,
        probabilities=answers.probabilities,
        milliseconds=np.array(answers.milliseconds),
        of_examples=answers.of_examples,
    )


if __name__ == "__main__":
    silence_tensorflow()
    try:
        main(Path(sys.argv[1]))
    except Exception as error:
        if is_for_want_of_room(error):
            sys.exit(NO_ROOM)
        raise
