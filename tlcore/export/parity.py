"""What a parity certificate must show, and which formats a model has none of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

from tlcore.errors import RunError
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource, Part
from tlcore.settings.escaping import plain
from tlcore.settings.words import count
from tlcore.simple_heads.heads import NeighboursHead, load_simple_head
from tlcore.storage.requests import FormatName, FormatReport

# Of a format that keeps all digits. Rounding alone moves an answer by less; one of a hundred may be undecided.
LEAST_AGREEMENT, LARGEST_DIFFERENCE = 0.99, 0.05
# Of a format that keeps 8 bits answers that are not sure move.
LEAST_ROUNDED_AGREEMENT = 0.95
FEWEST_ASKED = 20
"""With fewer pictures, an 8-bit file that changes one answer in ten may well have changed none of them."""
FEWEST_OF_CLASS = 3
"""So many changed answers of one class are no chance any more when they are more than half of it."""

ROUNDED: tuple[FormatName, ...] = ("litert-dynamic", "litert-int8")


def warning_of(report: FormatReport, changed_of: Mapping[str, tuple[int, int]] = MappingProxyType({})) -> str:
    """Return what a file's answers are not good enough for, in words; empty when its certificate holds.

    It looks at nothing but how the answers agree: how many are right may be the exam, which a warning must not tell.

    Args:
        report: What was measured of it.
        changed_of: By the name of a class, how many pictures the original takes for that class, after how many of them
            the file answers in another way.
    """
    if not report.is_made:
        return ""
    if not report.total:
        return "There was no picture to ask it about, so nobody knows whether it answers as the original does."
    changed = report.total - report.agreed
    is_rounded = report.format in ROUNDED
    # One picture is no proof against a file that keeps all digits: its probabilities are looked at, too.
    most = (1 - LEAST_ROUNDED_AGREEMENT) * report.total if is_rounded else max(1, (1 - LEAST_AGREEMENT) * report.total)
    said = []
    if changed > most + 1e-9:  # 0.05 times 20 is a little more than 1
        said.append(f"It answers {changed} of {report.total} pictures in another way than the original.")
    for name, (other, of_class) in changed_of.items():
        if other >= FEWEST_OF_CLASS and 2 * other > of_class:
            said.append(
                f"Of the {of_class} pictures that the original takes for {plain(name)}, it takes {other} for something "
                "else."
            )
    if said:
        return " ".join([*said, "Use another format, or look at those answers before you trust it."])
    if is_rounded and report.total < FEWEST_ASKED:
        pictures = count(report.total, "picture")
        return (
            f"It was asked about {pictures} only: too few to tell whether its rounded numbers answer as the original "
            "does. Add pictures, or look at its answers before you trust it."
        )
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
