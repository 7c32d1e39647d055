"""Five pictures that lie in a bundle with the answers of the original, for its self test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Item
from tlcore.errors import ImageError
from tlcore.export.formats import FORMATS, Runtime
from tlcore.export.source import ExportSource
from tlcore.home import DataRoot
from tlcore.results.calibration import calibrated
from tlcore.results.ensembles import ensemble_predictor
from tlcore.results.prediction import Predictor, load_predictor
from tlcore.storage.images import ImageStore
from tlcore.storage.requests import ExportResult, FormatName

EXAMPLES_DIR = "examples"
EXPECTED_FILE = f"{EXAMPLES_DIR}/expected.json"
NUM_EXAMPLES = 5
MOST_ASKED = 4
"""Among so many pictures of a class is the one of which the model is least sure."""
OTHER_PROCESSORS = 0.01
"""Processors round otherwise, so a file may differ by this much more than on the computer that has certified it."""


@dataclass(frozen=True, slots=True)
class ExpectedPicture:
    """A picture of a bundle.

    Attributes:
        file: Its name beside `expected.json`.
        class_name: What it shows.
        probabilities: The original's answer, in the order of `labels.txt`.
    """

    file: str
    class_name: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ExpectedFormat:
    """How a file of a bundle is asked, and how near it must come.

    Attributes:
        name: Which format.
        file: The file or the folder.
        runtime: What loads it.
        takes_any_size: Whether it takes the picture as it is; otherwise the square of `pixels.py`.
        tolerance: The largest difference that a probability may have from the original's, in `[0, 1]`.
    """

    name: FormatName
    file: str
    runtime: Runtime
    takes_any_size: bool
    tolerance: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What `self_test.py` reads.

    Attributes:
        pictures: The pictures, with what the original answers.
        formats: The files that were made.
    """

    pictures: tuple[ExpectedPicture, ...]
    formats: tuple[ExpectedFormat, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A picture with the answer of the original.

    Attributes:
        pixels: uint8 RGB of shape `(height, width, 3)`, as stored.
        class_name: What it shows.
        probabilities: float32 of shape `(classes,)`.
    """

    pixels: NDArray[np.uint8]
    class_name: str
    probabilities: NDArray[np.float32]


def load_original(source: ExportSource, home: DataRoot) -> Predictor:
    """Return the model as the app asks it, calibrated; nothing of TensorFlow is loaded.

    Raises:
        FrozenPartError: If a compiled frozen part is missing or damaged.
        RunError: If other files of it are.
    """
    from tlcore.simple_heads.prediction import load_simple_head_predictor

    members = [
        load_simple_head_predictor(part.folder, home)
        if part.kind == "simple_head"
        else load_predictor(part.folder, home)
        for part in source.parts
    ]
    whole = members[0] if len(members) == 1 else ensemble_predictor(members, [part.weight for part in source.parts])
    return calibrated(whole, source.settings.temperature)


def choose_examples(source: ExportSource, predictor: Predictor, home: DataRoot) -> tuple[Example, ...]:
    """Return five test pictures with their answers, of different classes as far as it goes; the same ones every time.

    Of each class it takes the picture of which the model is least sure among some: answers that hang in the balance
    show soonest that a file answers otherwise. Without test pictures validation pictures are taken, and at last
    training pictures.

    Args:
        source: The model.
        predictor: It, ready to answer.
        home: The data root.

    Returns:
        Fewer where there are fewer pictures that can be read.
    """
    names = {label.id: label.name for label in source.dataset.classes}
    by_class = _by_class(source)
    found: list[Example] = []
    # Classes take turns, so that with two classes the five are shared out among both.
    for turn in range(NUM_EXAMPLES):
        for items in by_class.values():
            asked = [
                Example(pixels, names[item.class_id], predictor.predict([pixels])[0])
                for item in items[turn::NUM_EXAMPLES][:MOST_ASKED]
                if (pixels := _pixels(item, home)) is not None
            ]
            if asked:
                found.append(min(asked, key=lambda example: float(example.probabilities.max())))
            if len(found) == NUM_EXAMPLES:
                return tuple(found)
    return tuple(found)


def _by_class(source: ExportSource) -> dict[str, list[Item]]:
    """Return the pictures to choose from by class, in the order of their hashes."""
    dataset = source.dataset
    items = dataset.subset("test") or dataset.subset("validation") or dataset.subset("train")
    found: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda one: one.image):
        found.setdefault(item.class_id, []).append(item)
    return {label.id: found[label.id] for label in dataset.classes if label.id in found}


def _pixels(item: Item, home: DataRoot) -> NDArray[np.uint8] | None:
    from tlcore.images.resizing import decode_image  # OpenCV, which the page that offers a bundle does without

    try:
        return decode_image(ImageStore(home).read(item.image))
    except ImageError:
        return None


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a PNG file, which every program reads back to the same values, as it does not a JPEG file."""
    import cv2

    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return bytes(data.tobytes())


def expected_of(examples: Sequence[Example], result: ExportResult) -> Expected:
    """Return what the self test of a bundle compares."""
    pictures = tuple(
        ExpectedPicture(f"{number}.png", one.class_name, tuple(round(float(value), 7) for value in one.probabilities))
        for number, one in enumerate(examples, start=1)
    )
    formats = []
    for report in result.reports:
        if report.is_made:
            spec = FORMATS[report.format]
            tolerance = round(min(1.0, report.largest_difference + OTHER_PROCESSORS), 7)
            formats.append(ExpectedFormat(spec.name, spec.file, spec.runtime, spec.takes_any_size, tolerance))
    return Expected(pictures, tuple(formats))
