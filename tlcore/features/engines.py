"""Which engine runs a frozen prefix fastest on this machine: measured once, remembered."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tlcore.documents import read_document, write_document
from tlcore.features.litert import CompiledModel
from tlcore.home import DataRoot, write_atomically
from tlcore.model.cut import Prefix

THREADS_VARIABLE = "TRANSFER_LAB_THREADS"
# Half precision ends here; the first layers of VGG16 come near.
LARGEST = float(np.finfo(np.float16).max)
TRIAL_SECONDS = 1.0


class Engine(Protocol):
    """Computes the features of a few pictures at a time.

    Attributes:
        batch_size: How many pictures one call takes at most.
    """

    batch_size: int

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.generic]:
        """Return the features of square pictures, as they are stored: shape `(pictures, *prefix.shape)`."""


class PixelsEngine:
    """Nothing is frozen: the features are the pixels."""

    batch_size = 1

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.generic]:
        """Return the pictures, uint8."""
        return np.stack(pictures)


class LiteRTEngine:
    """The compiled prefix on one core, one picture after the other; each thread has its own."""

    batch_size = 1

    def __init__(self, path: Path) -> None:
        self._model = CompiledModel(path)

    def __call__(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.generic]:
        """Return the features, float16."""
        return as_stored(np.stack([self._model(picture) for picture in pictures]))


def as_stored(features: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return features in half precision, without infinities."""
    return np.clip(features, -LARGEST, LARGEST).astype(np.float16)


@dataclass(frozen=True, slots=True)
class EngineSpeeds:
    """Pictures per second through one prefix, higher is better.

    Attributes:
        machine: Where this was measured.
        litert: With LiteRT, one picture per core.
        tensorflow: With a folded TensorFlow graph, in batches.
    """

    machine: str
    litert: float
    tensorflow: float

    @property
    def fastest(self) -> Literal["litert", "tensorflow"]:
        """The engine to use."""
        return "litert" if self.litert >= self.tensorflow else "tensorflow"


def num_compute_threads() -> int:
    """Return how many cores a run may use: all, unless `TRANSFER_LAB_THREADS` says otherwise."""
    return max(1, int(os.environ.get(THREADS_VARIABLE, os.cpu_count() or 1)))


def this_machine() -> str:
    """Return what tells machines apart whose speeds differ."""
    return f"{platform.system()} {platform.machine()} {platform.processor()} {num_compute_threads()} threads"


def compiled_prefix_path(prefix: Prefix, home: DataRoot) -> Path:
    """Return where the compiled prefix is, or will be."""
    return home.compiled_dir / f"{prefix.key}.tflite"


def _speeds_path(prefix: Prefix, home: DataRoot) -> Path:
    return compiled_prefix_path(prefix, home).with_suffix(".json")


def read_engine_speeds(prefix: Prefix, home: DataRoot) -> EngineSpeeds | None:
    """Return what was measured for a prefix on this machine; `None` when nothing was."""
    try:
        speeds = read_document(_speeds_path(prefix, home).read_bytes(), EngineSpeeds)
    except (OSError, ValueError):
        return None
    return speeds if speeds.machine == this_machine() else None


def write_engine_speeds(prefix: Prefix, speeds: EngineSpeeds, home: DataRoot) -> None:
    """Remember what was measured for a prefix on this machine."""
    write_atomically(_speeds_path(prefix, home), lambda path: path.write_text(write_document(speeds), "utf-8"))


def pictures_per_second(make_engine: Callable[[], Engine], image_size: int) -> float:
    """Measure an engine for about a second, with as many threads as the feature pass uses.

    Args:
        make_engine: Called once per thread.
        image_size: Side of the square pictures, in pixels.
    """
    threads = num_compute_threads()
    engines = [make_engine() for _ in range(threads)]
    shape = (engines[0].batch_size, image_size, image_size, 3)
    pictures = list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    for engine in dict.fromkeys(engines):
        engine(pictures[:1])  # the first call makes an engine ready
    started = time.perf_counter()
    engines[0](pictures[:1])
    # A slow network would need half a minute for whole batches; how fast it is shows in smaller ones too.
    batch = pictures[: max(1, int(TRIAL_SECONDS / (time.perf_counter() - started)))]

    def work(engine: Engine) -> int:
        done, end = 0, time.perf_counter() + TRIAL_SECONDS
        while time.perf_counter() < end:
            done += len(engine(batch))
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, engines))
    return done / (time.perf_counter() - started)
