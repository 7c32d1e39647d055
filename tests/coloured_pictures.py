"""Small pictures that a model tells apart at once, made in the test, and a progress that remembers what it heard."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests.collecting import collect
from tlcore.dataset import Dataset
from tlcore.home import DataRoot
from tlcore.intake.sources import FileSource
from tlcore.progress import Phase, StopRequested
from tlcore.storage.images import ImageStore

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (210, 50, 40)}


def picture(colour: str, number: int, *, width: int = 64, height: int = 48) -> np.ndarray:
    """Return a noisy picture of one colour, uint8 of shape `(height, width, 3)`."""
    noise = np.random.default_rng([number, len(colour)]).normal(0, 25, (height, width, 3))
    return np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return pixels as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def coloured_dataset(home: DataRoot, per_class: int = 12, colours: tuple[str, ...] = tuple(COLOURS)) -> Dataset:
    """Bring `per_class` pictures of each colour into the data root."""
    files = [(f"{colour}/{n}.png", png(picture(colour, n))) for colour in colours for n in range(per_class)]
    return collect([FileSource(tuple(files))], Dataset(), ImageStore(home)).dataset


def write_colours_with_mistakes(archive: Path) -> None:
    """Write a ZIP of 48 pictures, of which every fourth lies in the wrong class, so that every model makes mistakes."""
    with zipfile.ZipFile(archive, "w") as pictures:
        for number, (colour, other) in itertools.product(range(24), (("blue", "red"), ("red", "blue"))):
            shown = colour if number % 4 else other
            pictures.writestr(f"{colour}/{number}.png", png(picture(shown, number)))


class RecordingProgress:
    """Remembers phases and curves; asks to stop when told how many looks at it that takes.

    Args:
        stop_after: Calls that pass before every further one raises `StopRequested`.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.phases: list[tuple[str, int, int]] = []
        self.curve: list[tuple[float, dict[str, float]]] = []

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        self.phases.append((name, done, total))
        self.check()

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        self.curve.append((epoch, dict(values)))

    def check(self) -> None:
        if self.stop_after is not None:
            self.stop_after -= 1
            if self.stop_after < 0:
                raise StopRequested

    @property
    def phase_names(self) -> list[str]:
        """Each phase once, in order."""
        return list(dict.fromkeys(name for name, _, _ in self.phases))

    @property
    def computed(self) -> int:
        """Pictures that feature passes computed."""
        return sum(done > 0 for name, done, _ in self.phases if name != "training")
