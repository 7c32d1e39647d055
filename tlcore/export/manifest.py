"""`model.json` of a bundle: what a program must know of the model besides its file."""

from __future__ import annotations

from dataclasses import dataclass

from tlcore.config import ResizeMode
from tlcore.storage.requests import ExportResult

MANIFEST_FILE = "model.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of its model.

    Attributes:
        title: What people call the model.
        class_names: In the order of the probabilities.
        class_colors: Colour numbers of the classes, in the same order.
        threshold: Least probability of an answer, in `[0, 1]`; below it the model does not know. 0: always answers.
        image_size: Side of the square picture that the model sees, in pixels; the largest one of a group.
        resize_mode: How a picture becomes square; of a group whose members differ, that of the first.
        grey_range: How pictures of more than 8 bits become 8 bits; see `pixels.py`.
        result: The formats with their certificates.
        one_square: Whether all parts of the model see that same square, so that it can be made before the model.
    """

    title: str
    class_names: tuple[str, ...]
    class_colors: tuple[int, ...]
    threshold: float
    image_size: int
    resize_mode: ResizeMode
    grey_range: tuple[float, float] | None
    result: ExportResult
    one_square: bool = True
