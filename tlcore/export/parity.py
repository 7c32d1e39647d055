"""What a parity certificate must show, and which formats a model has none of."""

from __future__ import annotations

from contextlib import suppress

from tlcore.errors import RunError
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource, Part
from tlcore.simple_heads.heads import NeighboursHead, load_simple_head
from tlcore.storage.requests import FormatName, FormatReport

# Of a format that keeps all digits. Rounding alone moves an answer by less; one of a hundred may be undecided.
LEAST_AGREEMENT, LARGEST_DIFFERENCE = 0.99, 0.05
# Of a format that keeps 8 bits: answers that are not sure move, but they must not become worse.
LEAST_ROUNDED_AGREEMENT, MOST_LOST = 0.95, 0.01

ROUNDED: tuple[FormatName, ...] = ("litert-dynamic", "litert-int8")


def warning_of(report: FormatReport, original_correct: int) -> str:
    """Return what a file's answers are not good enough for, in words; empty when its certificate holds.

    Args:
        report: What was measured of it.
        original_correct: Of the same pictures, those that the original answers right.
    """
    if not report.is_made or not report.total:
        return ""
    changed = report.total - report.agreed
    is_rounded = report.format in ROUNDED
    least = LEAST_ROUNDED_AGREEMENT if is_rounded else LEAST_AGREEMENT
    # One picture is no proof: among thirty, one in a hundred is none.
    if changed > max(1, (1 - least) * report.total):
        return (
            f"It answers {changed} of {report.total} pictures in another way than the original. Use another format, or "
            "look at those answers before you trust it."
        )
    if is_rounded and original_correct - report.correct > max(1, MOST_LOST * report.total):
        return "It is wrong more often than the original, by more than one picture in a hundred. Use another format."
    if not is_rounded and report.largest_difference > LARGEST_DIFFERENCE:
        return (
            f"One of its probabilities is {100 * report.largest_difference:.0f} points away from the original's. Use "
            "another format where the probability matters."
        )
    return ""


def unavailable(source: ExportSource, format: FormatName) -> str:  # noqa: A002 - what it is called everywhere
    """Return why a model cannot be written in a format, in words; empty when it can."""
    spec = FORMATS[format]
    if not spec.takes_any_size and source.square is None:
        return "The runs of this group see pictures of different sizes, and this format takes only one."
    if format == "litert-int8":
        if any(part.kind == "simple_head" and _is_vote(part) for part in source.parts):
            return "Nearest neighbours look up the pictures that are most alike, which 8-bit integers cannot."
        if len(source.parts) > 1 and source.settings.temperature != 1:
            return "The calibration of a group needs finer numbers than 8-bit integers. Take its temperature off first."
    return ""


def _is_vote(part: Part) -> bool:
    """Whether a simple head is a vote of neighbours; a damaged one is told when it is exported."""
    with suppress(RunError):
        return isinstance(load_simple_head(part.folder), NeighboursHead)
    return False
