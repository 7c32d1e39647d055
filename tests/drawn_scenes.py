"""Drawn scenes and frames of them, as a person makes with a camera that moves: for tests of near-copies."""

from __future__ import annotations

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

SCENE_SIDE = 220
FRAME_SIDE = 160
# By these the two kinds of scenes are told apart, in the mean: the kind is visible, but not in every scene.
CIRCLES = (0.27, 0.73)


def draw_scene(rng: np.random.Generator, kind: int, things: int = 12) -> Pixels:
    """Return a picture of circles and squares on a ground of two colours; kind 1 has more circles than kind 0."""
    low, high = rng.uniform(30, 225, (2, 3))
    ground = low + (high - low) * np.linspace(0, 1, SCENE_SIDE)[:, None, None] * np.ones((1, SCENE_SIDE, 1))
    scene = np.ascontiguousarray(np.clip(ground + rng.normal(0, 6, ground.shape), 0, 255).astype(np.uint8))
    for _ in range(things):
        x, y = (int(value) for value in rng.integers(0, SCENE_SIDE, 2))
        size, color = int(rng.integers(8, 24)), tuple(int(value) for value in rng.integers(0, 255, 3))
        if rng.random() < CIRCLES[kind]:
            cv2.circle(scene, (x, y), size, color, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(scene, (x - size, y - size), (x + size, y + size), color, -1)
    return scene


def frames_of(scene: Pixels, rng: np.random.Generator, count: int = 6, move: float = 0.12) -> list[Pixels]:
    """Return cuts of a scene whose places differ by up to so many of their sides from the middle."""
    free = (SCENE_SIDE - FRAME_SIDE) // 2
    frames = []
    for _ in range(count):
        left, top = (free + round(FRAME_SIDE * part) for part in rng.uniform(-move, move, 2))
        frames.append(np.ascontiguousarray(scene[top : top + FRAME_SIDE, left : left + FRAME_SIDE]))
    return frames


def jpeg(pixels: Pixels, quality: int = 88) -> bytes:
    """Return a picture as a JPEG file, with the traces that one leaves."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
