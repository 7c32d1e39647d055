"""Faults planted in a data set of photographs, to see how many of them are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
from skimage import data

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
"""What the limits of the check were chosen with: frames of 6 to 12 hundredths of the side."""
GROUNDS: tuple[Ground, ...] = get_args(Ground)
OtherGround = Literal["brick photo", "gravel photo", "gradient", "dark stripes", "violet", "thin white", "wide sepia"]
"""What they were not chosen with: photographed surfaces, other colours, other widths."""
OTHER_GROUNDS: tuple[OtherGround, ...] = get_args(OtherGround)
_USUAL_WIDTHS = (0.06, 0.12)
_WIDTHS: dict[str, tuple[float, float]] = {"thin white": (0.03, 0.05), "wide sepia": (0.13, 0.2)}


def on_ground(dataset: Dataset, home: DataRoot, seed: int, class_id: str, ground: Ground | OtherGround) -> Dataset:
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


def _framed(pixels: np.ndarray, ground: Ground | OtherGround, rng: np.random.Generator) -> np.ndarray:
    """Return the middle square of a picture with a frame around it."""
    framed = resize_image(pixels, min(pixels.shape[:2]), "crop").copy()
    side = len(framed)
    grain = rng.normal(0, 1, (side, side)).astype(np.float32)
    looks: dict[Ground | OtherGround, Callable[[], np.ndarray]] = {
        "colour": lambda: np.array([40, 90, 200]) + rng.normal(0, 15, 3) + 5 * grain[..., None],
        "snow": lambda: np.array([225, 228, 232]) + 15 * grain[..., None],
        "grass": lambda: np.array([70, 130, 50]) + np.array([12, 30, 9]) * _blurred(grain)[..., None],
        "brick photo": lambda: _surface("brick", side, rng),
        "gravel photo": lambda: _surface("gravel", side, rng),
        "gradient": lambda: np.linspace([250, 180, 90], [60, 60, 140], side)[:, None] + 6 * grain[..., None],
        "dark stripes": lambda: (
            35 + 25 * np.sin(np.arange(side) / side * rng.uniform(60, 90))[None, :, None] + 0 * framed
        ),
        "violet": lambda: np.array([120, 60, 130]) + rng.normal(0, 25, 3) + 10 * grain[..., None],
        "thin white": lambda: np.full((side, side, 3), 250) + 2 * grain[..., None],
        "wide sepia": lambda: np.array([150, 115, 80]) + rng.normal(0, 12, 3) + 12 * _blurred(grain)[..., None],
    }
    width = max(1, round(side * rng.uniform(*_WIDTHS.get(ground, _USUAL_WIDTHS))))
    around = np.clip(looks[ground](), 0, 255).astype(np.uint8)
    around[width:-width, width:-width] = framed[width:-width, width:-width]
    return around


def _surface(name: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """Return another part of a photographed surface each time, a little lighter or darker."""
    photo = np.repeat(getattr(data, name)()[..., None], 3, axis=2)  # these two are grey
    size = int(rng.integers(128, 257))
    top, left = rng.integers(0, np.array(photo.shape[:2]) - size + 1)
    part = cv2.resize(photo[top : top + size, left : left + size], (side, side), interpolation=cv2.INTER_AREA)
    return part * rng.uniform(0.85, 1.15)


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


def _stored(picture: bytes, store: ImageStore) -> str:
    clean = read_image(picture)
    return store.add(clean.data, clean.thumbnail)
