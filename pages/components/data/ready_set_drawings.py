"""Small drawings of what a ready data set shows, for as long as its own pictures are not on this computer."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

import streamlit as st
from PIL import Image, ImageDraw, ImageFont

SIDE = 96
DETAIL = 4
"""Drawn so many times larger and then reduced, which smooths the edges."""

COARSE_SIDE = 24
"""Side of drawings that stand for photos of 32 pixels, before they are enlarged again."""

Color = str
Paint = Callable[["Paper"], None]


class Paper:
    """A square to draw on, with places from 0 to 1."""

    def __init__(self, background: Color) -> None:
        self.image = Image.new("RGB", (SIDE * DETAIL, SIDE * DETAIL), background)
        self._draw = ImageDraw.Draw(self.image)

    def disc(self, x: float, y: float, radius: float, color: Color, *, flat: float = 1.0) -> None:
        """Draw a disc; `flat` below 1 makes it lower than wide."""
        self._draw.ellipse(_scaled((x - radius, y - radius * flat, x + radius, y + radius * flat)), color)

    def shape(self, places: Sequence[tuple[float, float]], color: Color) -> None:
        """Draw a polygon."""
        self._draw.polygon(_scaled([value for place in places for value in place]), color)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        """Draw a rectangle."""
        self._draw.rectangle(_scaled((left, top, right, bottom)), color)

    def text(self, words: str, color: Color) -> None:
        """Write in the middle."""
        font = ImageFont.load_default(size=0.7 * SIDE * DETAIL)
        self._draw.text((SIDE * DETAIL / 2, SIDE * DETAIL / 2), words, color, font, anchor="mm")


def _scaled(values: Sequence[float]) -> list[float]:
    return [value * SIDE * DETAIL for value in values]


def _digit(digit: str) -> Paint:
    return lambda paper: paper.text(digit, "#f4f4f4")


def _shirt(paper: Paper) -> None:
    sleeves = [(0.08, 0.34), (0.3, 0.16), (0.7, 0.16), (0.92, 0.34), (0.8, 0.48), (0.72, 0.4)]
    paper.shape([*sleeves, (0.72, 0.86), (0.28, 0.86), (0.28, 0.4), (0.2, 0.48)], "#c9c9c9")
    paper.disc(0.5, 0.16, 0.12, "black", flat=0.7)


def _trousers(paper: Paper) -> None:
    paper.shape([(0.3, 0.1), (0.7, 0.1), (0.78, 0.9), (0.58, 0.9), (0.5, 0.34), (0.42, 0.9), (0.22, 0.9)], "#b4b4b4")


def _dress(paper: Paper) -> None:
    paper.shape([(0.4, 0.08), (0.6, 0.08), (0.6, 0.4), (0.82, 0.92), (0.18, 0.92), (0.4, 0.4)], "#dcdcdc")


def _shoe(paper: Paper) -> None:
    paper.shape([(0.08, 0.42), (0.34, 0.36), (0.6, 0.58), (0.92, 0.66), (0.92, 0.76), (0.08, 0.76)], "#cfcfcf")
    paper.box(0.08, 0.76, 0.92, 0.82, "#7d7d7d")


def _bag(paper: Paper) -> None:
    paper.disc(0.5, 0.4, 0.24, "#a9a9a9")
    paper.disc(0.5, 0.4, 0.17, "black")
    paper.box(0.14, 0.42, 0.86, 0.84, "#bdbdbd")


def _boot(paper: Paper) -> None:
    paper.shape([(0.22, 0.12), (0.54, 0.12), (0.54, 0.58), (0.88, 0.68), (0.88, 0.82), (0.22, 0.82)], "#d4d4d4")
    paper.box(0.22, 0.82, 0.4, 0.9, "#8a8a8a")


def _plane(paper: Paper) -> None:
    paper.shape([(0.3, 0.5), (0.44, 0.5), (0.62, 0.84), (0.52, 0.84)], "#8b97a8")
    paper.disc(0.5, 0.5, 0.38, "#f2f4f7", flat=0.2)
    paper.shape([(0.14, 0.48), (0.1, 0.28), (0.2, 0.28), (0.3, 0.46)], "#d9534f")


def _car(paper: Paper) -> None:
    paper.box(0, 0.72, 1, 1, "#8d8d8d")
    paper.shape([(0.26, 0.5), (0.38, 0.34), (0.66, 0.34), (0.78, 0.5)], "#bcd6ea")
    paper.box(0.1, 0.5, 0.9, 0.72, "#c0392b")
    for x in (0.28, 0.72):
        paper.disc(x, 0.74, 0.1, "#222222")


def _bird(paper: Paper) -> None:
    paper.shape([(0.1, 0.5), (0.4, 0.5), (0.3, 0.66)], "#5d4037")
    paper.disc(0.5, 0.54, 0.24, "#8d5a2b", flat=0.7)
    paper.disc(0.7, 0.38, 0.12, "#a5682f")
    paper.shape([(0.8, 0.36), (0.94, 0.42), (0.8, 0.44)], "#f1c40f")


def _ship(paper: Paper) -> None:
    paper.box(0, 0.7, 1, 1, "#2f6690")
    paper.shape([(0.12, 0.56), (0.9, 0.56), (0.78, 0.76), (0.24, 0.76)], "#4a4a4a")
    paper.box(0.36, 0.36, 0.66, 0.56, "#ecf0f1")


def _frog(paper: Paper) -> None:
    paper.disc(0.5, 0.62, 0.3, "#5f9e3a", flat=0.8)
    for x in (0.34, 0.66):
        paper.disc(x, 0.38, 0.11, "#5f9e3a")
        paper.disc(x, 0.36, 0.05, "#1d1d1d")


def _truck(paper: Paper) -> None:
    paper.box(0, 0.74, 1, 1, "#8d8d8d")
    paper.box(0.08, 0.28, 0.62, 0.72, "#e6e6e6")
    paper.shape([(0.64, 0.4), (0.82, 0.4), (0.92, 0.56), (0.92, 0.72), (0.64, 0.72)], "#2e86c1")
    for x in (0.24, 0.78):
        paper.disc(x, 0.76, 0.1, "#222222")


def _apple(paper: Paper) -> None:
    paper.disc(0.5, 0.56, 0.3, "#c0392b")
    paper.box(0.48, 0.14, 0.53, 0.32, "#6d4c2f")


def _fish(paper: Paper) -> None:
    paper.shape([(0.3, 0.5), (0.08, 0.3), (0.08, 0.7)], "#f39c12")
    paper.disc(0.54, 0.5, 0.3, "#f5b041", flat=0.6)
    paper.disc(0.72, 0.44, 0.04, "#1d1d1d")


def _house(paper: Paper) -> None:
    paper.box(0, 0.8, 1, 1, "#6aa84f")
    paper.box(0.22, 0.46, 0.78, 0.82, "#f0e0c0")
    paper.shape([(0.14, 0.48), (0.5, 0.16), (0.86, 0.48)], "#a04030")
    paper.box(0.44, 0.58, 0.58, 0.82, "#6d4c2f")


def _mushroom(paper: Paper) -> None:
    paper.box(0.42, 0.46, 0.58, 0.84, "#f5ecd7")
    paper.disc(0.5, 0.42, 0.34, "#c0392b", flat=0.7)
    for x, y in ((0.36, 0.38), (0.54, 0.28), (0.66, 0.44)):
        paper.disc(x, y, 0.06, "#fdfdfd")


def _rocket(paper: Paper) -> None:
    paper.shape([(0.36, 0.62), (0.24, 0.86), (0.42, 0.76)], "#c0392b")
    paper.shape([(0.64, 0.62), (0.76, 0.86), (0.58, 0.76)], "#c0392b")
    paper.shape([(0.5, 0.08), (0.64, 0.34), (0.64, 0.78), (0.36, 0.78), (0.36, 0.34)], "#ecf0f1")
    paper.disc(0.5, 0.42, 0.07, "#2e86c1")


def _flower(petals: int, color: Color, middle: Color, length: float = 0.3, width: float = 0.1) -> Paint:
    def paint(paper: Paper) -> None:
        paper.box(0.48, 0.5, 0.53, 1, "#3c7a34")
        for number in range(petals):
            angle = 2 * math.pi * number / petals
            for part in (0.5, 0.75, 1.0):
                x, y = 0.5 + part * length * math.cos(angle), 0.44 + part * length * math.sin(angle)
                paper.disc(x, y, width, color)
        paper.disc(0.5, 0.44, 0.12, middle)

    return paint


def _tulip(paper: Paper) -> None:
    paper.box(0.48, 0.5, 0.53, 1, "#3c7a34")
    paper.shape([(0.28, 0.18), (0.4, 0.3), (0.5, 0.14), (0.6, 0.3), (0.72, 0.18), (0.7, 0.5), (0.3, 0.5)], "#d6336c")
    paper.disc(0.5, 0.48, 0.2, "#d6336c")


def _cat(fur: Color) -> Paint:
    def paint(paper: Paper) -> None:
        for ear in ([(0.18, 0.12), (0.46, 0.3), (0.22, 0.5)], [(0.82, 0.12), (0.54, 0.3), (0.78, 0.5)]):
            paper.shape(ear, fur)
        _face(paper, fur)
        paper.shape([(0.45, 0.6), (0.55, 0.6), (0.5, 0.67)], "#d98880")

    return paint


def _dog(fur: Color, ears: Color) -> Paint:
    def paint(paper: Paper) -> None:
        _face(paper, fur)
        for x in (0.2, 0.8):
            paper.disc(x, 0.48, 0.1, ears, flat=2.2)
        paper.disc(0.5, 0.66, 0.15, "#f3e5d0", flat=0.8)
        paper.disc(0.5, 0.6, 0.07, "#1d1d1d", flat=0.8)

    return paint


def _face(paper: Paper, fur: Color) -> None:
    paper.disc(0.5, 0.54, 0.34, fur)
    for x in (0.38, 0.62):
        paper.disc(x, 0.47, 0.05, "#1d1d1d")


SKY, GRASS = "#a9cce3", "#b9d7a0"
DRAWINGS: dict[str, tuple[Color, bool, tuple[Paint, ...]]] = {
    "mnist": ("black", False, tuple(_digit(digit) for digit in "205914")),
    "fashion_mnist": ("black", False, (_shirt, _trousers, _dress, _shoe, _bag, _boot)),
    "cifar10": (SKY, True, (_plane, _car, _bird, _ship, _frog, _truck)),
    "cifar100": (SKY, True, (_apple, _fish, _house, _mushroom, _rocket, _flower(10, "#f1c40f", "#6d4c2f"))),
    "flower_photos": (
        GRASS,
        False,
        (
            _flower(12, "#fbfbfb", "#f4c20d", width=0.06),
            _flower(18, "#f7d038", "#f0b90b", length=0.26, width=0.07),
            _flower(7, "#c2185b", "#8e1245", length=0.14, width=0.16),
            _flower(12, "#f5a623", "#5d3a1a", width=0.08),
            _tulip,
            _flower(9, "#f3c6d9", "#f4c20d", width=0.08),
        ),
    ),
    "cats_and_dogs": (
        "#e8e2d6",
        False,
        (
            _cat("#8c8c8c"),
            _dog("#c68e4f", "#7a4e22"),
            _cat("#d9893b"),
            _dog("#efe6d8", "#8d6e4f"),
            _cat("#3b3b3b"),
            _dog("#6b4a2f", "#3a2717"),
        ),
    ),
}
"""Background, whether the pictures are coarse, and what is drawn, by the name of the ready data set."""


@st.cache_data(max_entries=len(DRAWINGS), show_spinner=False)
def set_drawings(name: str) -> tuple[bytes, ...]:
    """Return the drawings for a ready data set, square PNG files; none where there are none."""
    if name not in DRAWINGS:
        return ()
    background, coarse, paints = DRAWINGS[name]
    return tuple(_drawn(background, coarse, paint) for paint in paints)


def _drawn(background: Color, coarse: bool, paint: Paint) -> bytes:
    paper = Paper(background)
    paint(paper)
    if coarse:
        small = paper.image.resize((COARSE_SIDE, COARSE_SIDE), Image.Resampling.BOX)
        drawing = small.resize((SIDE, SIDE), Image.Resampling.NEAREST)
    else:
        drawing = paper.image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG")
    return buffer.getvalue()
