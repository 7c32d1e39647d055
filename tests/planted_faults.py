"""Faults planted in a data set of photographs, to see how many of them are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np

from tests.drawn_scenes import jpeg
from tlcore.dataset import Dataset, Item
from tlcore.doctor.findings import DoctorReport, FindingKind
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image, resize_image
from tlcore.intake.pictures.decoding import read_image
from tlcore.storage.images import ImageStore


@dataclass(frozen=True, slots=True)
class Planted:
    """A data set with faults, and where they are.

    Attributes:
        dataset: The data set.
        faults: Keys of the pictures by the kind of fault that should be reported.
    """

    dataset: Dataset
    faults: dict[FindingKind, set[str]]

    def found(self, report: DoctorReport, kind: FindingKind) -> float:
        """Return the share of the planted faults of a kind that were reported as that kind."""
        return len(reported(report, kind) & self.faults[kind]) / len(self.faults[kind])

    def false_alarms(self, report: DoctorReport, kind: FindingKind) -> float:
        """Return the share of what was reported as a kind of fault in which it was not planted."""
        found = reported(report, kind)
        return len(found - self.faults[kind]) / max(1, len(found))


def reported(report: DoctorReport, kind: FindingKind) -> set[str]:
    """Return the pictures that were reported with a kind of fault."""
    return {image for finding in report.findings if finding.kind == kind for image in finding.images}


def plant(dataset: Dataset, home: DataRoot, seed: int, *, swapped: float, copies: int, blank: int) -> Planted:
    """Swap labels, add altered copies of training pictures to the test pictures, and blank pictures.

    Args:
        dataset: Pictures of the data root.
        home: The data root.
        seed: Decides which.
        swapped: Share of the pictures that get another class.
        copies: Number of copies across the split.
        blank: Number of blank pictures.
    """
    rng, store = np.random.default_rng(seed), ImageStore(home)
    items = list(dataset.items)
    order = rng.permutation(len(items))
    wrong = order[: round(swapped * len(items))]
    others = [[label.id for label in dataset.classes if label.id != item.class_id] for item in items]
    for index in wrong:
        items[index] = replace(items[index], class_id=str(rng.choice(others[index])))
    copied = [index for index in order[len(wrong) :] if items[index].split == "train"][:copies]
    faults: dict[FindingKind, set[str]] = {"mislabelled": {items[index].image for index in wrong}}
    faults["leak"] = set()
    for index in copied:
        altered = _altered(decode_image(store.read(items[index].image)), rng)
        key = _stored(jpeg(altered, int(rng.integers(60, 90))), store)
        items.append(Item(key, items[index].class_id, "test", "copy.jpg", given=True))
        faults["leak"].add(key)
    faults["blank"] = set()
    for _ in range(blank):
        even = np.full((180, 240, 3), rng.integers(0, 256, 3), float) + rng.normal(0, 4, (180, 240, 3))
        key = _stored(jpeg(np.clip(even, 0, 255).astype(np.uint8)), store)
        items.append(Item(key, str(rng.choice([label.id for label in dataset.classes])), "train", "blank.jpg"))
        faults["blank"].add(key)
    return Planted(replace(dataset, items=tuple(replace(item, scene=None) for item in items)), faults)


def spoil(
    dataset: Dataset,
    home: DataRoot,
    seed: int,
    kind: FindingKind,
    share: float,
    change: Callable[[np.ndarray], np.ndarray],
) -> Planted:
    """Put changed pictures in the place of a share of those of a data set; arguments as of `plant`."""
    rng, store = np.random.default_rng(seed), ImageStore(home)
    items, spoilt = list(dataset.items), set()
    for index in rng.permutation(len(items))[: max(5, round(share * len(items)))]:
        key = _stored(jpeg(change(decode_image(store.read(items[index].image)))), store)
        items[index] = replace(items[index], image=key)
        spoilt.add(key)
    return Planted(replace(dataset, items=tuple(items)), {kind: spoilt})


Ground = Literal["colour", "snow", "grass"]
GROUNDS: tuple[Ground, ...] = get_args(Ground)


def on_ground(dataset: Dataset, home: DataRoot, seed: int, class_id: str, ground: Ground) -> Dataset:
    """Put the pictures of a class on a ground of one kind, each a little otherwise: a frame around the middle.

    Args:
        dataset: Pictures of the data root.
        home: The data root.
        seed: Decides how wide the frames are, and how they look.
        class_id: Whose pictures.
        ground: What the frame shows.
    """
    rng, store = np.random.default_rng(seed), ImageStore(home)
    items = list(dataset.items)
    for index, item in enumerate(items):
        if item.class_id == class_id:
            framed = _framed(decode_image(store.read(item.image)), ground, rng)
            items[index] = replace(item, image=_stored(jpeg(framed), store))
    return replace(dataset, items=tuple(items))


def _framed(pixels: np.ndarray, ground: Ground, rng: np.random.Generator) -> np.ndarray:
    """Return the middle square of a picture with a frame of 6 to 12 hundredths of its side."""
    framed = resize_image(pixels, min(pixels.shape[:2]), "crop").copy()
    side = len(framed)
    grain = rng.normal(0, 1, (side, side)).astype(np.float32)
    looks = {
        "colour": lambda: np.array([40, 90, 200]) + rng.normal(0, 15, 3) + 5 * grain[..., None],
        "snow": lambda: np.array([225, 228, 232]) + 15 * grain[..., None],
        "grass": lambda: np.array([70, 130, 50]) + np.array([12, 30, 9]) * _blurred(grain)[..., None],
    }
    width = round(side * rng.uniform(0.06, 0.12))
    around = np.clip(looks[ground](), 0, 255).astype(np.uint8)
    around[width:-width, width:-width] = framed[width:-width, width:-width]
    return around


def _blurred(grain: np.ndarray) -> np.ndarray:
    """Return noise in blades instead of grains, of deviation 1."""
    soft = cv2.GaussianBlur(grain, (0, 0), 1.2)
    return soft / soft.std()


def _altered(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture as people copy one: cut at the edges, of another size, a little lighter or darker."""
    height, width = pixels.shape[:2]
    top, left = int(rng.uniform(0, 0.04) * height), int(rng.uniform(0, 0.04) * width)
    cut = pixels[top : height - top, left : width - left]
    scale = rng.uniform(0.6, 1.0)
    resized = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.clip(resized * rng.uniform(0.85, 1.15), 0, 255).astype(np.uint8)


def _stored(data: bytes, store: ImageStore) -> str:
    clean = read_image(data)
    return store.add(clean.data, clean.thumbnail)
