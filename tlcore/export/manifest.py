"""`model.json` of a bundle: what a program must know of the model besides its file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tlcore.config import ResizeMode
from tlcore.export.certificates import shows_accuracy
from tlcore.export.source import ExportSource
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
        shows_accuracy: Whether `correct` in the certificates says something; otherwise it is 0 everywhere, as the exam
            was not opened when the bundle was made.
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
    shows_accuracy: bool = True


def manifest_of(source: ExportSource, result: ExportResult, *, exam_opened: bool) -> Manifest:
    """Return what a bundle says of a model.

    Args:
        source: The model.
        result: Its certificates.
        exam_opened: Whether its test result may be shown.
    """
    with_accuracy = shows_accuracy(result, exam_opened=exam_opened)
    # A threshold lies beside the files and may have been changed since they were made: that of now holds everywhere.
    result = replace(result, settings=source.settings)
    if not with_accuracy:
        reports = tuple(replace(report, correct=0) for report in result.reports)
        result = replace(result, correct=0, reports=reports)
    first = source.parts[0].spec
    return Manifest(
        title=source.title,
        class_names=source.class_names,
        class_colors=first.class_colors,
        threshold=source.settings.threshold,
        image_size=max(part.spec.prefix.image_size for part in source.parts),
        resize_mode=first.resize_mode,
        grey_range=first.grey_range,
        result=result,
        one_square=source.square is not None,
        shows_accuracy=with_accuracy,
    )
