"""Text that people typed, made safe for places where Streamlit reads Markdown."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from tlcore.settings.words import count as count

K = TypeVar("K", bound=Hashable)

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_LINK = re.compile(r"(?i)(?<=http)(?=s?:)|(?<=www)(?=\.)|(?=@)")
_WORD_JOINER = "\u2060"


def label(text: str) -> str:
    """Return text that Streamlit shows exactly as it was typed.

    A class called `![x](http://...)` would load a picture from elsewhere, in a button as much as in
    a heading. Every punctuation mark is escaped, invisible and direction-changing characters
    become a visible replacement, and addresses of pages and of mail are broken so that they do not become links.
    """
    return _MARKDOWN.sub(r"\\\1", _LINK.sub(_WORD_JOINER, plain(text)))


def plain(text: str, max_length: int | None = None) -> str:
    """Return text for places that show it literally, such as tables and options, without hidden characters."""
    visible = "".join("\ufffd" if _is_hidden(character) else character for character in text)
    if max_length is not None and len(visible) > max_length:
        return visible[: max_length - 1].rstrip() + "…"
    return visible


def plot_label(text: str, max_length: int | None = None) -> str:
    """Return text for Plotly, which reads tags such as `<b>` and `<a>` in every label and hover text."""
    return html.escape(plain(text, max_length), quote=False)


def distinct(texts: Mapping[K, str]) -> dict[K, str]:
    """Return the texts of a choice so that no two are alike: what was chosen comes back from a browser as its text."""
    found: dict[K, str] = {}
    taken: set[str] = set()
    for key, text in texts.items():
        number, free = 1, text
        while free in taken:
            number += 1
            free = f"{text} ({number})"
        taken.add(free)
        found[key] = free
    return found


def first_of(texts: Sequence[str], number: int) -> str:
    """Return the first ones of some texts as a list in words, and how many more there are."""
    shown = ", ".join(texts[:number])
    return shown if len(texts) <= number else f"{shown} and {len(texts) - number:,} more"


def _is_hidden(character: str) -> bool:
    if character == " ":
        return False
    return not character.isprintable() or unicodedata.category(character) in ("Cf", "Zl", "Zp", "Cc")
