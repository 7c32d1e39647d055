"""A small web page that leaves with a model: it runs the LiteRT file in the browser, with pictures or the camera."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tlcore.export.entries import Entry
from tlcore.export.formats import FORMATS
from tlcore.export.source import ExportSource
from tlcore.storage.requests import ExportResult, FormatName

WEB_DIR = "web/"
SETTINGS_FILE = "settings.json"
PAGE_FILES = ("index.html", "style.css", "page.js", "classifier.js", "serve.mjs", "package.json", "README.txt")

RUN_BY_THE_PAGE: tuple[FormatName, ...] = ("litert", "litert-float16", "litert-dynamic")
"""What takes pictures of any size; the best first. The page makes no squares, which only whole numbers would need."""


def page_format(result: ExportResult) -> FormatName | None:
    """Return the format that the page runs, one without a warning if there is one; `None` if none can be run."""
    made = {report.format: report for report in result.reports if report.is_made}
    usable = [name for name in RUN_BY_THE_PAGE if name in made]
    return min(usable, key=lambda name: bool(made[name].warning), default=None)


def web_entries(source: ExportSource, result: ExportResult) -> Iterator[Entry]:
    """Yield the files of the page; none where no file takes pictures of any size in a browser.

    Args:
        source: What leaves.
        result: What was made of it.
    """
    name = page_format(result)
    if name is None:
        return
    settings = {
        "title": source.title,
        "model": f"../{FORMATS[name].file}",
        "classes": source.class_names,
        "threshold": source.settings.threshold,
    }
    yield Entry(WEB_DIR + SETTINGS_FILE, json.dumps(settings, ensure_ascii=False, indent=2).encode())
    for file in PAGE_FILES:
        yield Entry(WEB_DIR + file, Path(__file__).with_name(file))
