"""The certificates of an export in words: one table for the card and the README of a bundle."""

from __future__ import annotations

from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.settings.words import count, file_size
from tlcore.storage.requests import ExportResult, FormatReport


def shows_accuracy(source: ExportSource, *, exam_opened: bool) -> bool:
    """Whether right answers of the certificates may be shown: those to test pictures are the exam.

    Without test pictures the validation pictures were asked, whose answers are no secret.
    """
    return exam_opened or not source.dataset.subset("test")


def certificate_words(source: ExportSource, result: ExportResult, *, with_accuracy: bool) -> str:
    """Return how the certificates came about, and why accuracy is missing where it is."""
    pictures = "test" if source.dataset.subset("test") else "validation"
    words = (
        f"Each file was loaded in a fresh process and asked about {count(result.total, f'{pictures} picture')}; "
        "the original is the model as the app asks it. "
    )
    if with_accuracy:
        words += f"The original answers {result.correct:,} of these right. "
    else:
        words += (
            "How many of these it answers right is the exam, which was not opened yet; whether the files answer as the "
            "original does can be said without it. "
        )
    machine = f" ({result.processor})" if result.processor else ""
    return (
        f"{words}Milliseconds are for one picture on the computer that made the files{machine}; the original took "
        f"{result.milliseconds:.1f}."
    )


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
