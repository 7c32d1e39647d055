"""Pictures that come with pinned dependencies, for the ready data sets that need no network."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tlcore.dataset import Split
from tlcore.errors import DatasetError
from tlcore.intake.sources import ReadyPicture
from tlcore.ready_sets.pictures import picture_of

DIGIT_SIDE = 64
_GAP = 8
# Left, top, right, bottom in pixels; right and bottom lie outside.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph of scikit-image that gives the windows of one class.

    Attributes:
        class_name: What it shows.
        file: Its file in `skimage/data`.
        window: Side of a window in pixels.
        step: Pixels from one window to the next inside a region; smaller than `window`, they overlap.
        regions: One area per split, as left, top, right, bottom in pixels. At least `_GAP` pixels lie between
            two areas, so no window shares a pixel, or a neighbour, with a window of another split.
    """

    class_name: str
    file: str
    window: int
    step: int
    regions: tuple[tuple[Split, Box], ...]


def _bands(width: int, train_bottom: int, validation_bottom: int, test_bottom: int) -> tuple[tuple[Split, Box], ...]:
    """Cut a photograph into three bands, from the top: train, validation, test."""
    return (
        ("train", (0, 0, width, train_bottom)),
        ("validation", (0, train_bottom + _GAP, width, validation_bottom)),
        ("test", (0, validation_bottom + _GAP, width, test_bottom)),
    )


PHOTOS = (
    Photo("brick", "brick.png", 96, 46, _bands(512, 304, 408, 512)),
    Photo("grass", "grass.png", 96, 46, _bands(512, 304, 408, 512)),
    Photo("gravel", "gravel.png", 96, 46, _bands(512, 304, 408, 512)),
    Photo(
        "cat",
        "chelsea.png",
        64,
        22,
        (
            ("train", (40, 0, 216, 256)),
            ("validation", (224, 0, 356, 98)),
            ("test", (224, 106, 356, 214)),
        ),
    ),
    Photo("stars", "hubble_deep_field.jpg", 150, 88, _bands(1000, 552, 712, 872)),
    Photo("tissue", "ihc.png", 96, 46, _bands(512, 304, 408, 512)),
)


def windows(photo: Photo) -> Iterator[tuple[Split, Box]]:
    """Yield the windows of a photograph as split and left, top, right, bottom in pixels."""
    for split, (left, top, right, bottom) in photo.regions:
        for y in range(top, bottom - photo.window + 1, photo.step):
            for x in range(left, right - photo.window + 1, photo.step):
                yield split, (x, y, x + photo.window, y + photo.window)


def read_digits() -> Iterator[ReadyPicture]:
    """Yield scikit-learn's digits, enlarged smoothly so that a person recognises them.

    The file is read as it is: importing scikit-learn would take a second and a hundred megabytes.

    Raises:
        DatasetError: If the package that carries them is not installed as it should be.
    """
    with gzip.open(_package_file("sklearn", "datasets/data/digits.csv.gz"), "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
    images = np.round(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    labels = table[:, 64]
    for label in range(10):
        indices = np.flatnonzero(labels == label)
        order = sorted(indices, key=lambda index: hashlib.sha256(images[index].tobytes()).digest())
        num_held_back = round(len(order) * 0.15)
        for rank, index in enumerate(order):
            split: Split = "test" if rank < num_held_back else "validation" if rank < 2 * num_held_back else "train"
            large = Image.fromarray(images[index]).resize((DIGIT_SIDE, DIGIT_SIDE), Image.Resampling.BICUBIC)
            yield picture_of(str(label), split, f"digit-{index:04d}.png", np.asarray(large.convert("RGB")))


def read_surfaces() -> Iterator[ReadyPicture]:
    """Yield squares cut from photographs of scikit-image.

    Raises:
        DatasetError: If the package that carries them is not installed as it should be.
    """
    for photo in PHOTOS:
        with Image.open(_package_file("skimage", f"data/{photo.file}")) as image:
            pixels = np.asarray(image.convert("RGB"))
        stem = Path(photo.file).stem
        for split, (left, top, right, bottom) in windows(photo):
            window = np.ascontiguousarray(pixels[top:bottom, left:right])
            yield picture_of(photo.class_name, split, f"{stem}-{left}-{top}.png", window)


def _package_file(package: str, path: str) -> Path:
    """Return a data file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    file_path = Path(spec.origin).parent / path if spec is not None and spec.origin is not None else None
    if file_path is None or not file_path.is_file():
        raise DatasetError(f"The ready data set is missing from the package {package}. Install requirements.txt again.")
    return file_path
