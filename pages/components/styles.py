"""The styles of the components that we draw ourselves: the buttons of all of them look the same."""

from __future__ import annotations

from pathlib import Path


def styles_of(file: Path) -> str:
    """Return a component's CSS: what all of them share, then its own, which may say otherwise."""
    shared = Path(__file__).with_name("controls.css")
    return shared.read_text(encoding="utf-8") + file.read_text(encoding="utf-8")
