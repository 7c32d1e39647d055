"""The certificates of an export in words: one table for the card and the README of a bundle."""

from __future__ import annotations

from collections.abc import Mapping

from tlcore.dataset import Split
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.settings.words import count, file_size
from tlcore.storage.requests import ExportResult, FormatName, FormatReport

_PICTURES: Mapping[Split, str] = {
    "train": "training picture",
    "validation": "validation picture",
    "test": "test picture",
}
LEAST_FASTER = 1.1
"""Below so many times as fast nobody notices, and another measurement may say the opposite."""
WHOLE: tuple[FormatName, ...] = ("litert", "litert-float16")
"""What 8-bit integers are compared with: the same program, and numbers with a point."""


def shows_accuracy(result: ExportResult, *, exam_opened: bool) -> bool:
    """Whether right answers of the certificates may be shown: those to test pictures are the exam.

    Without test pictures others were asked, whose answers are no secret.
    """
    return exam_opened or result.split != "test"


def certificate_words(source: ExportSource, result: ExportResult, *, with_accuracy: bool) -> str:
    """Return how the certificates came about, and why accuracy is missing where it is."""
    if not result.total:
        return "There was no picture to ask about, so nothing is known of how the files answer."
    words = (
        f"Each file was loaded in a fresh process and asked about {count(result.total, _PICTURES[result.split])}; "
        "the original is the model as the app asks it. "
    )
    if result.unreadable:
        words += f"{count(result.unreadable, 'more picture')} could not be read. "
    if result.split == "train":
        words += (
            "There were no others. Whether the files answer as the original does can be said with them, and not how "
            f"good it is: it has seen them before, and answers {result.correct:,} of them right. "
        )
    elif with_accuracy:
        words += f"The original answers {result.correct:,} of these right. "
    else:
        words += (
            "How many of these it answers right is the exam, which was not opened yet; whether the files answer as the "
            "original does can be said without it. "
        )
    # All files get the same square, so that none of them has more to do than another.
    side = max(part.spec.prefix.image_size for part in source.parts)
    machine = f" ({result.processor})" if result.processor else ""
    return (
        f"{words}Milliseconds are for one picture of {side} × {side} pixels on the computer that made the "
        f"files{machine}; the original took {result.milliseconds:.1f}. {speed_words(result)}"
    ).rstrip()


def speed_words(result: ExportResult) -> str:
    """Return whether 8-bit integers are faster on the computer that was measured; empty where that is not known."""
    measured = {one.format: one.milliseconds for one in result.reports if one.is_made and one.milliseconds > 0}
    whole = next((name for name in WHOLE if name in measured), None)
    if whole is None or "litert-int8" not in measured:
        return ""
    title, other = FORMATS["litert-int8"].title, FORMATS[whole].title
    times = measured[whole] / measured["litert-int8"]
    if times < LEAST_FASTER:
        return f"{title} is not faster than {other} on this processor."
    return f"{title} is {times:.1f} times as fast as {other} on this processor."


def certificate_rows(result: ExportResult, *, with_accuracy: bool) -> list[list[str]]:
    """Return the certificates of the files that were made, with the names of the columns as the first row."""
    head = ["Format", "File", "Size", "Answers as the original", "Largest difference", "Milliseconds"]
    rows = [head + (["Right answers"] if with_accuracy else [])]
    for report in result.reports:
        if report.is_made:
            rows.append(_row(report) + ([f"{report.correct:,} of {report.total:,}"] if with_accuracy else []))
    return rows


def _row(report: FormatReport) -> list[str]:
    spec = FORMATS[report.format]
    return [
        spec.title,
        spec.file,
        file_size(report.size),
        f"{report.agreed:,} of {report.total:,}",
        f"{100 * report.largest_difference:.2g} points",
        f"{report.milliseconds:.1f}",
    ]
