"""Five pictures that lie in a bundle with the answers of the original, for its self test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Item, Split
from tlcore.documents import read_document, to_json, write_document
from tlcore.errors import ImageError, UnreadableError
from tlcore.export.entries import Entry
from tlcore.export.formats import FORMATS, Runtime
from tlcore.export.parity import ROUNDED
from tlcore.export.source import ExportSource
from tlcore.home import DataRoot, write_atomically
from tlcore.results.prediction import Predictor
from tlcore.storage.images import ImageStore
from tlcore.storage.requests import ExportResult, FormatName

EXAMPLES_DIR = "examples"
EXPECTED_FILE = f"{EXAMPLES_DIR}/expected.json"
KEPT_FILE = "examples.json"
"""Beside the files of an export; in its bundle is `EXPECTED_FILE` instead, which names no keys."""
NUM_EXAMPLES = 5
MOST_ASKED = 4
"""Among so many pictures of a class is the one of which the model is least sure."""
OTHER_PROCESSORS, OTHER_ROUNDING = 0.01, 0.05
"""So far a file may be from its own answers on another processor; 8-bit numbers are rounded otherwise there."""


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture that leaves with an export.

    Attributes:
        image: Its key; whether it may still leave is seen by it.
        file: Its name in `EXAMPLES_DIR`.
        class_name: What it shows; empty where that is a secret.
        probabilities: The original's answer, in the order of `labels.txt`.
    """

    image: str
    file: str
    class_name: str
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """What a file answered about the pictures when it was certified.

    Attributes:
        name: Its format.
        probabilities: For each picture in the order of `labels.txt`.
    """

    name: FormatName
    probabilities: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class KeptExamples:
    """The pictures of an export and all answers about them.

    Attributes:
        pictures: The pictures.
        answers: Of each file that was asked.
    """

    pictures: tuple[KeptPicture, ...]
    answers: tuple[KeptAnswers, ...]


@dataclass(frozen=True, slots=True)
class ExpectedPicture:
    """A picture of a bundle.

    Attributes:
        file: Its name beside `expected.json`.
        class_name: What it shows; empty where that is a secret.
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
        tolerance: How far a probability may be from the file's own of its certificate, in `[0, 1]`.
        answers: The file's own answers about the pictures, when it was certified.
        sha256: Of the file that was certified; empty where it was not kept.
        agreed: Pictures of the certificate that it answers as the original does.
        total: Pictures of the certificate.
        warning: What its answers are not good enough for, in words; empty when the certificate holds.
    """

    name: FormatName
    file: str
    runtime: Runtime
    takes_any_size: bool
    tolerance: float
    answers: tuple[tuple[float, ...], ...]
    sha256: str = ""
    agreed: int = 0
    total: int = 0
    warning: str = ""


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
        image: Its key.
        pixels: uint8 RGB of shape `(height, width, 3)`, as stored.
        class_name: What it shows; empty where that is a secret.
        probabilities: float32 of shape `(classes,)`.
    """

    image: str
    pixels: NDArray[np.uint8]
    class_name: str
    probabilities: NDArray[np.float32]


def choose_examples(source: ExportSource, predictor: Predictor, home: DataRoot) -> tuple[Example, ...]:
    """Return five pictures with their answers, of different classes as far as it goes; the same ones every time.

    Of each class it takes the picture of which the model is least sure among some: answers that hang in the balance
    show soonest that a file answers otherwise. They are validation pictures: those for testing are the exam. Without
    any, test pictures are taken that do not say what they show; at last training pictures.

    Args:
        source: The model.
        predictor: It, ready to answer.
        home: The data root.

    Returns:
        Fewer where there are fewer pictures that can be read.
    """
    names = {label.id: label.name for label in source.dataset.classes}
    by_class, are_secret = _by_class(source)
    found: list[Example] = []
    # Classes take turns, so that with two classes the five are shared out among both.
    for turn in range(NUM_EXAMPLES):
        for items in by_class.values():
            asked = [
                Example(item.image, pixels, "" if are_secret else names[item.class_id], predictor.predict([pixels])[0])
                for item in items[turn::NUM_EXAMPLES][:MOST_ASKED]
                if (pixels := _pixels(item, home)) is not None
            ]
            if asked:
                found.append(min(asked, key=lambda example: float(example.probabilities.max())))
            if len(found) == NUM_EXAMPLES:
                return tuple(found)
    return tuple(found)


def _by_class(source: ExportSource) -> tuple[dict[str, list[Item]], bool]:
    """Return the pictures to choose from by class, in the order of hashes, and whether what they show is secret."""
    dataset = source.dataset
    order: tuple[Split, ...] = ("validation", "test", "train")
    split: Split = next((one for one in order if dataset.subset(one)), "train")
    found: dict[str, list[Item]] = {}
    for item in sorted(dataset.subset(split), key=lambda one: one.image):
        found.setdefault(item.class_id, []).append(item)
    return {label.id: found[label.id] for label in dataset.classes if label.id in found}, split == "test"


def _pixels(item: Item, home: DataRoot) -> NDArray[np.uint8] | None:
    from tlcore.images.resizing import decode_image  # OpenCV, which the page that offers a bundle does without

    try:
        return decode_image(ImageStore(home).read(item.image))
    except ImageError:
        return None


def write_examples(
    examples: Sequence[Example], answers: Mapping[FormatName, NDArray[np.float32]], folder: Path
) -> None:
    """Keep pictures beside the files of an export, with what the original and each file answered.

    Args:
        examples: The pictures.
        answers: By format, float32 of shape `(examples, classes)`.
        folder: Of the export.

    Raises:
        StorageError: If the disk is full.
    """
    if not examples:
        return
    place = folder / EXAMPLES_DIR
    place.mkdir(exist_ok=True)
    pictures = []
    for number, one in enumerate(examples, start=1):
        name = f"{number}.png"
        write_atomically(place / name, partial(_write_bytes, content=_as_png(one.pixels)))
        pictures.append(KeptPicture(one.image, name, one.class_name, _rounded(one.probabilities)))
    kept = KeptExamples(
        tuple(pictures), tuple(KeptAnswers(name, tuple(map(_rounded, some))) for name, some in answers.items())
    )
    # Last: what it names is there.
    write_atomically(folder / KEPT_FILE, lambda temporary: temporary.write_text(write_document(kept), "utf-8"))


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _as_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return pixels as a PNG file, which every program reads back to the same values, as it does not a JPEG file."""
    import cv2

    _, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return bytes(data.tobytes())


def _rounded(probabilities: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(value), 7) for value in probabilities)


def read_examples(folder: Path) -> KeptExamples | None:
    """Return the pictures that leave with an export; `None` where it has none or they are damaged.

    Args:
        folder: Of the export; each picture lies in its `EXAMPLES_DIR`.
    """
    try:
        kept = read_document((folder / KEPT_FILE).read_bytes(), KeptExamples)
    except (OSError, UnreadableError):
        return None
    return kept if all((folder / EXAMPLES_DIR / one.file).is_file() for one in kept.pictures) else None


def example_entries(folder: Path, result: ExportResult, present: Collection[str] | None = None) -> tuple[Entry, ...]:
    """Return the pictures of a bundle and what its self test compares; nothing where no picture or no file is left.

    Args:
        folder: Of the export.
        result: Its certificates.
        present: Keys of the pictures that may leave: what was deleted since may not. `None`: all.
    """
    kept = read_examples(folder)
    if kept is None:
        return ()
    expected, chosen = expected_of(kept, result, present)
    if not expected.pictures or not expected.formats:
        return ()
    return (
        *(Entry(f"{EXAMPLES_DIR}/{one.file}", folder / EXAMPLES_DIR / one.file) for one in chosen),
        Entry(EXPECTED_FILE, to_json(expected).encode()),
    )


def expected_of(
    kept: KeptExamples, result: ExportResult, present: Collection[str] | None = None
) -> tuple[Expected, tuple[KeptPicture, ...]]:
    """Return what the self test of a bundle compares, and the pictures of it; arguments as of `example_entries`."""
    places = [place for place, one in enumerate(kept.pictures) if present is None or one.image in present]
    chosen = tuple(kept.pictures[place] for place in places)
    answers = {one.name: one.probabilities for one in kept.answers}
    formats = tuple(
        ExpectedFormat(
            name=spec.name,
            file=spec.file,
            runtime=spec.runtime,
            takes_any_size=spec.takes_any_size,
            tolerance=OTHER_ROUNDING if spec.name in ROUNDED else OTHER_PROCESSORS,
            answers=tuple(answers[spec.name][place] for place in places),
            sha256=report.sha256,
            agreed=report.agreed,
            total=report.total,
            warning=report.warning,
        )
        for report in result.reports
        if report.is_made and (spec := FORMATS[report.format]).name in answers
    )
    pictures = tuple(ExpectedPicture(one.file, one.class_name, one.probabilities) for one in chosen)
    return Expected(pictures, formats), chosen
