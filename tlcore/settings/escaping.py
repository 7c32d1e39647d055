"""Text that people typed, made safe for places that read Markdown, and without characters that nobody sees."""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_LINK = re.compile(r"(?i)(?<=http)(?=s?:)|(?<=www)(?=\.)|(?=@)")
_WORD_JOINER = "\u2060"


def label(text: str) -> str:
    """Return text that Markdown shows exactly as it was typed.

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


def _is_hidden(character: str) -> bool:
    if character == " ":
        return False
    return not character.isprintable() or unicodedata.category(character) in ("Cf", "Zl", "Zp", "Cc")
