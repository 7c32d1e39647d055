"""What the pages compute while a person waits: nine augmented views, and the answer to one picture."""

from __future__ import annotations

import itertools
import statistics
import zipfile
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.material import PHOTOS, Sizes, photos
from tests.bench.measures import Measurement, percentile, rounded, seconds_of
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, square_pixels, view_pixels
from tlcore.intake.pictures.decoding import pixels_of
from tlcore.library import train
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.images import ImageStore

PREVIEW_VIEWS = 9
PREVIEW_LIMIT_MS = 30.0
PREDICT_LIMIT_MS = 15.0
REPETITIONS = 10
JPEG_QUALITY = 95


def measure_preview(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Read a stored photo and make nine views of it, as the Augment page does; one photo after another."""
    dataset, store = photos(sizes, home), ImageStore(home)
    model, augmentation = ModelConfig(), PRESETS["tutorial"]

    def preview(image: str) -> list[NDArray[np.uint8]]:
        square = square_pixels(store.read(image), model)
        requests = [ViewRequest(image, view) for view in range(PREVIEW_VIEWS)]
        return [view_pixels(square, request, augmentation) for request in requests]

    def preview_for_browser(image: str) -> None:
        for pixels in preview(image):
            cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])

    images = [item.image for item in dataset.items[: sizes.rounds * REPETITIONS]]
    preview(images[0])
    seconds = [seconds_of(lambda image=image: preview(image)) for image in images]  # type: ignore[misc]
    with_jpeg = [seconds_of(lambda image=image: preview_for_browser(image)) for image in images]  # type: ignore[misc]
    details = {
        "p95": rounded(1000 * percentile(seconds, 95)),
        "with_jpeg": _middle_ms(with_jpeg),
        "photos": len(images),
    }
    yield Measurement("preview", "ms", _middle_ms(seconds), PREVIEW_LIMIT_MS, limit_on="ours", details=details)


def measure_predict(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Answer one photo after another, from the bytes that a person brings."""
    config = RunConfig(training=TrainingConfig(epochs=1))
    predictor = train(photos(sizes, home), config).predictor

    def predict(data: bytes) -> object:
        return predictor.predict([pixels_of(data)])

    with zipfile.ZipFile(PHOTOS) as archive:
        names = (name for name in archive.namelist() if name.endswith(".jpg"))
        files = [archive.read(name) for name in itertools.islice(names, sizes.rounds * REPETITIONS)]
    predict(files[0])
    seconds = [seconds_of(lambda data=data: predict(data)) for data in files]  # type: ignore[misc]
    decoding = [seconds_of(lambda data=data: pixels_of(data)) for data in files]  # type: ignore[misc]
    details = {"p95": rounded(1000 * percentile(seconds, 95)), "decoding": _middle_ms(decoding), "photos": len(files)}
    yield Measurement("predict", "ms", _middle_ms(seconds), PREDICT_LIMIT_MS, limit_on="ours", details=details)


def _middle_ms(seconds: list[float]) -> float:
    return rounded(1000 * statistics.median(seconds))
