"""A small web page that leaves with a model: it runs the LiteRT file in the browser, with pictures or the camera."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tlcore.export.entries import Entry
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.results.prediction_code import PIXELS_FILE
from tlcore.settings.escaping import plain
from tlcore.storage.requests import ExportResult, FormatName

WEB_DIR = "web/"
SETTINGS_FILE = "settings.json"
PAGE_FILES = ("index.html", "style.css", "page.js", "classifier.js", "depth.js", "serve.mjs", "package.json")
README_FILE = "README.txt"
README_WIDTH = 118

RUN_BY_THE_PAGE: tuple[FormatName, ...] = ("litert", "litert-float16", "litert-dynamic")
"""What takes pictures of any size; the best first. The page makes no squares, which only whole numbers would need."""


def page_format(result: ExportResult) -> FormatName | None:
    """Return the format that the page runs, one without a warning if there is one; `None` if none can be run."""
    made = {report.format: report for report in result.reports if report.is_made}
    usable = [name for name in RUN_BY_THE_PAGE if name in made]
    return min(usable, key=lambda name: bool(made[name].warning), default=None)


def grey_words(source: ExportSource) -> str:
    """Return what programs that read 8 bits must know of a model that learned from deeper pictures; else nothing."""
    if source.dataset.grey_range is None:
        return ""
    low, high = source.dataset.grey_range
    return (
        f"The model learned from pictures of more than 8 bits, of which {low:g} became black and {high:g} white. Here "
        f"pictures have 8 bits: make deeper ones so first, with {PIXELS_FILE}."
    )


def web_entries(source: ExportSource, result: ExportResult) -> Iterator[Entry]:
    """Yield the files of the page; none where no file takes pictures of any size in a browser.

    Args:
        source: What leaves.
        result: What was made of it.
    """
    name = page_format(result)
    if name is None:
        return
    warning = next(report.warning for report in result.reports if report.format == name)
    notes = [words for words in (warning and f"Warning: {warning}", grey_words(source)) if words]
    settings = {
        "title": source.title,
        "model": f"../{FORMATS[name].file}",
        "classes": source.class_names,
        "threshold": source.settings.threshold,
        "greyRange": source.dataset.grey_range,
        "notes": notes,
    }
    yield Entry(WEB_DIR + SETTINGS_FILE, json.dumps(settings, ensure_ascii=False, indent=2).encode())
    for file in PAGE_FILES:
        yield Entry(WEB_DIR + file, Path(__file__).with_name(file))
    readme = Path(__file__).with_name(README_FILE).read_text("utf-8")
    parts = (textwrap.fill(plain(one), README_WIDTH) for one in notes)
    yield Entry(WEB_DIR + README_FILE, "\n".join((readme, *(f"{part}\n" for part in parts))).encode())
