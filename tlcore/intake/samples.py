"""Ready data sets that come with pinned dependencies; nothing is downloaded."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tlcore.dataset import Split
from tlcore.errors import DatasetError

DIGIT_SIDE = 64
_GAP = 8
# Left, top, right, bottom in pixels; right and bottom lie outside.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class SamplePicture:
    """One picture of a ready data set.

    Attributes:
        class_name: The class that it belongs to.
        split: Fixed by the data set, so that nothing leaks from training into test.
        name: A file name that says where it is from.
        pixels: uint8 RGB of shape `(height, width, 3)`, `[0, 255]`.
    """

    class_name: str
    split: Split
    name: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """A ready data set.

    Attributes:
        name: What the program calls it.
        title: What a person reads.
        sentence: What is in it.
        teaches: What one can learn with it.
        licence: Under which it may be used.
        source: Where it is from.
        class_names: Its classes.
        num_images: Number of its pictures.
        build: Makes its pictures.
    """

    name: str
    title: str
    sentence: str
    teaches: str
    licence: str
    source: str
    class_names: tuple[str, ...]
    num_images: int
    build: Callable[[], Iterator[SamplePicture]]


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


def build_sample(name: str) -> Iterator[SamplePicture]:
    """Make the pictures of a ready data set.

    Args:
        name: A name of `SAMPLES`.

    Raises:
        ValueError: If there is no data set of that name.
        DatasetError: If the package that carries it is not installed as it should be.
    """
    return get_sample(name).build()


def get_sample(name: str) -> SampleSpec:
    """Return the row of a ready data set.

    Raises:
        ValueError: If there is no data set of that name.
    """
    for spec in SAMPLES:
        if spec.name == name:
            return spec
    raise ValueError(f"`name` must be one of {', '.join(s.name for s in SAMPLES)}. Received: name={name!r}")


def _digits() -> Iterator[SamplePicture]:
    """Yield scikit-learn's digits, enlarged smoothly so that a person recognises them.

    The file is read as it is: importing scikit-learn would take a second and a hundred megabytes.
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
            yield SamplePicture(str(label), split, f"digit-{index:04d}.png", np.asarray(large.convert("RGB")))


def _surfaces() -> Iterator[SamplePicture]:
    for photo in PHOTOS:
        with Image.open(_package_file("skimage", f"data/{photo.file}")) as image:
            pixels = np.asarray(image.convert("RGB"))
        stem = Path(photo.file).stem
        for split, (left, top, right, bottom) in windows(photo):
            window = np.ascontiguousarray(pixels[top:bottom, left:right])
            yield SamplePicture(photo.class_name, split, f"{stem}-{left}-{top}.png", window)


def _package_file(package: str, path: str) -> Path:
    """Return a data file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    file_path = Path(spec.origin).parent / path if spec is not None and spec.origin is not None else None
    if file_path is None or not file_path.is_file():
        raise DatasetError(f"The ready data set is missing from the package {package}. Install requirements.txt again.")
    return file_path


SAMPLES = (
    SampleSpec(
        name="surfaces",
        title="Surfaces",
        sentence="Small squares cut from six photographs: brick, grass, gravel, a cat, stars, stained tissue.",
        teaches=(
            "A network that never saw these surfaces tells them apart after seconds. Training, validation and test "
            "squares come from separate areas of each photograph."
        ),
        licence="Public domain: CC0 (brick, grass, gravel, cat), NASA (stars), no known restrictions (tissue)",
        source="Photographs in scikit-image, https://scikit-image.org/docs/stable/api/skimage.data.html",
        class_names=tuple(photo.class_name for photo in PHOTOS),
        num_images=424,
        build=_surfaces,
    ),
    SampleSpec(
        name="digits",
        title="Handwritten digits",
        sentence="1,797 handwritten digits of 13 people, 8 x 8 pixels each, shown enlarged.",
        teaches="Ten classes, small and grey, unlike the photographs that the network knows: does it still help?",
        licence="CC BY 4.0, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository",
        source="scikit-learn's load_digits, https://archive.ics.uci.edu/dataset/80",
        class_names=tuple(str(label) for label in range(10)),
        num_images=1797,
        build=_digits,
    ),
)
