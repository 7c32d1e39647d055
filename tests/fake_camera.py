"""A pretended camera for tests: a film that shows one thing for some seconds, then another, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, PER_SECOND = 640, 480, 10
SCENES = ("disc", "stripes")


def write_film(path: Path, seconds: float) -> tuple[str, ...]:
    """Write a film for Chromium's `--use-file-for-fake-video-capture`, each scene so many seconds; return the option.

    The upper left corner is light in the first scene and dark in the second, so that a test sees which one is shown.
    """
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{PER_SECOND}:1 Ip A1:1 C420jpeg\n".encode())
        for scene in SCENES:
            for frame in _frames(scene, int(seconds * PER_SECOND)):
                film.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
    return (f"--use-file-for-fake-video-capture={path}",)


def _frames(scene: str, count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield frames of shape `(HEIGHT, WIDTH, 3)`, RGB; noise makes each one a picture of its own."""
    random = np.random.default_rng(SCENES.index(scene))
    across, down = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for number in range(count):
        frame = np.empty((HEIGHT, WIDTH, 3), np.float32)
        if scene == "disc":
            frame[:] = (215, 205, 190)
            left = WIDTH / 2 + 120 * np.sin(number / 7)
            frame[(across - left) ** 2 + (down - HEIGHT / 2) ** 2 < 120**2] = (200, 40, 40)
        else:
            frame[:] = (40, 60, 90)
            frame[(across + down + 12 * number) % 96 < 40] = (60, 160, 90)
        frame[:20, :20] = 235 if scene == "disc" else 20
        yield np.clip(frame + random.normal(0, 6, frame.shape), 0, 255).astype(np.uint8)
