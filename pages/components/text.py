"""Text that people typed, made safe for places where Streamlit reads Markdown."""

from __future__ import annotations

import html
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from tlcore.settings.escaping import label as label
from tlcore.settings.escaping import plain as plain
from tlcore.settings.words import count as count

K = TypeVar("K", bound=Hashable)


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
