"""A text of headings, paragraphs, lists and tables, written as Markdown or as a web page that needs nothing else.

What people typed is marked as such, so that it shows as it was typed in both and is never read as Markdown or HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tlcore.settings.escaping import label, plain


@dataclass(frozen=True, slots=True)
class Typed:
    """Text that people typed, such as the name of a class."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """An address of ours, shown as it is."""

    address: str


Text: TypeAlias = str | Typed | Link | tuple[str | Typed | Link, ...]
"""Our own words, typed ones and addresses, one after the other."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a level, 1 for the title."""

    level: Literal[1, 2, 3]
    text: Text


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: Text


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row names it.

    Attributes:
        columns: What stands above each column.
        rows: The cells.
        caption: What it shows.
    """

    columns: tuple[Text, ...]
    rows: tuple[tuple[Text, ...], ...]
    caption: str = ""


Piece: TypeAlias = Heading | Paragraph | Items | Table

LONGEST_UNBROKEN = 20
"""Cells of so many characters, such as `49 to 94 %`, stay on one line."""

_OWN_MARKDOWN = re.compile(r"([\\`*_<>\[\]|])")

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8888; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { border: 1px solid #8888; padding: .3rem .6rem; text-align: left; vertical-align: top; }
p, li, tbody th { overflow-wrap: anywhere; }
tbody th { min-width: 8rem; }
.short { white-space: nowrap; }
@media print {
  body { font-size: 10pt; margin: 0; max-width: none; }
  .wide { overflow: visible; }
  h2, h3, caption { break-after: avoid; }
  tr { break-inside: avoid; }
}
"""


def to_markdown(pieces: Sequence[Piece]) -> str:
    """Return a text as Markdown with tables, as GitHub and Streamlit read it."""
    return "\n\n".join(_markdown(piece) for piece in pieces) + "\n"


def _markdown(piece: Piece) -> str:
    if isinstance(piece, Heading):
        return f"{'#' * piece.level} {_inline(piece.text)}"
    if isinstance(piece, Paragraph):
        return _inline(piece.text)
    if isinstance(piece, Items):
        return "\n".join(f"- {_inline(item)}" for item in piece.items)
    lines = [piece.columns, *piece.rows]
    rows = ["| " + " | ".join(_inline(cell) for cell in line) + " |" for line in lines]
    rows.insert(1, "|" + " --- |" * len(piece.columns))
    caption = f"{_inline(piece.caption)}\n\n" if piece.caption else ""
    return caption + "\n".join(rows)


def _inline(text: Text) -> str:
    return "".join(_inline_part(part) for part in _parts(text))


def _inline_part(part: str | Typed | Link) -> str:
    if isinstance(part, Typed):
        return label(part.text)
    return f"<{part.address}>" if isinstance(part, Link) else _OWN_MARKDOWN.sub(r"\\\1", part)


def to_html(title: str, pieces: Sequence[Piece]) -> str:
    """Return a text as a web page of one file: it has no scripts, and loads nothing from anywhere.

    Args:
        title: What stands on the browser's tab; typed text is safe here.
        pieces: The text.
    """
    body = "\n".join(_html(piece) for piece in pieces)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(plain(title))}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(piece: Piece) -> str:
    if isinstance(piece, Heading):
        return f"<h{piece.level}>{_marked(piece.text)}</h{piece.level}>"
    if isinstance(piece, Paragraph):
        return f"<p>{_marked(piece.text)}</p>"
    if isinstance(piece, Items):
        return "<ul>\n" + "\n".join(f"<li>{_marked(item)}</li>" for item in piece.items) + "\n</ul>"
    head = "".join(f'<th scope="col">{_marked(cell)}</th>' for cell in piece.columns)
    rows = "\n".join(_html_row(row) for row in piece.rows)
    caption = f"<caption>{_marked(piece.caption)}</caption>\n" if piece.caption else ""
    # With a place in the order of the keys, so that one can scroll without a mouse.
    return (
        f'<div class="wide" tabindex="0"><table>\n{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _html_row(row: tuple[Text, ...]) -> str:
    first, *others = row
    cells = "".join(_html_cell(cell) for cell in others)
    return f'<tr><th scope="row">{_marked(first)}</th>{cells}</tr>'


def _html_cell(cell: Text) -> str:
    kind = ' class="short"' if isinstance(cell, str) and len(cell) <= LONGEST_UNBROKEN else ""
    return f"<td{kind}>{_marked(cell)}</td>"


def _marked(text: Text) -> str:
    return "".join(_marked_part(part) for part in _parts(text))


def _marked_part(part: str | Typed | Link) -> str:
    if isinstance(part, Link):
        address = html.escape(part.address)
        return f'<a href="{address}" rel="noreferrer">{address}</a>'
    return html.escape(plain(part.text) if isinstance(part, Typed) else part)


def _parts(text: Text) -> tuple[str | Typed | Link, ...]:
    return text if isinstance(text, tuple) else (text,)
