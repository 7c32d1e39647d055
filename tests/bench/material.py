"""What the measurements work on: how much of it, the shared photos, and the data root with the prepared backbone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.conftest import SHARED_DATA
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.documents import read_document, to_json
from tlcore.features.compiled import ensure_compiled
from tlcore.home import DataRoot
from tlcore.images.views import square_pixels
from tlcore.library import read_dataset
from tlcore.model.cut import plan_model
from tlcore.progress import TerminalProgress
from tlcore.storage.images import ImageStore

PHOTOS = SHARED_DATA / "cats_dogs.zip"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        train: Training photos.
        test: Test photos.
        head_epochs: Epochs with a frozen backbone.
        tuning_epochs: Epochs of fine-tuning.
        rounds: Repetitions of short things.
        long_rounds: Repetitions of our side of long things; the other side's minutes are measured once.
        pictures: Pictures in one round of an engine.
        viewers: People who watch a training.
        load_seconds: How long they do.
        worker_images: The two sizes of data set whose memory is compared.
    """

    train: int = 600
    test: int = 300
    head_epochs: int = 10
    tuning_epochs: int = 5
    rounds: int = 5
    long_rounds: int = 2
    pictures: int = 256
    viewers: int = 30
    load_seconds: float = 20.0
    worker_images: tuple[int, int] = (2_000, 20_000)


FULL = Sizes()
QUICK = Sizes(
    train=64,
    test=32,
    head_epochs=2,
    tuning_epochs=3,
    rounds=2,
    long_rounds=1,
    pictures=32,
    viewers=5,
    load_seconds=5.0,
    worker_images=(500, 5_000),
)


def photos(sizes: Sizes, home: DataRoot) -> Dataset:
    """Return the shared photos, stored in the data root: all that are not for testing are for training."""
    path = home.path / "bench-photos.json"
    if not path.exists():
        path.write_text(to_json(read_dataset(PHOTOS)), encoding="utf-8")
    dataset = read_document(path.read_bytes(), Dataset)
    items = sorted(dataset.items, key=lambda item: item.image)  # keys are hashes, so the classes are mixed
    test = [item for item in items if item.split == "test"][: sizes.test]
    train = [replace(item, split="train") for item in items if item.split != "test"][: sizes.train]
    return replace(dataset, items=(*train, *test))


def pixels_and_labels(
    dataset: Dataset, items: tuple[Item, ...], model: ModelConfig, home: DataRoot
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return decoded square pictures, uint8 of shape `(n, size, size, 3)`, and their classes."""
    store, index = ImageStore(home), dataset.class_index()
    pictures = [square_pixels(store.read(item.image), model) for item in items]
    return np.stack(pictures), np.array([index[item.class_id] for item in items], np.int64)


def prepare(model: ModelConfig, home: DataRoot) -> None:
    """Compile the frozen part of a model, which happens once on a computer and belongs to no measurement."""
    progress = TerminalProgress()
    ensure_compiled(plan_model(model), progress, home)
    progress.close()
