"""The feature pass: once per picture and view, equal to Keras, in pieces that outlive a stop, in little memory."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tlcore.config import AugmentationConfig, ModelConfig, TrainingConfig
from tlcore.errors import ImageError, RunError
from tlcore.features import extractor as features
from tlcore.features.compiled import is_compiled
from tlcore.features.compiling import compile_model
from tlcore.features.engines import EngineSpeeds, as_stored, compiled_prefix_path, this_machine, write_engine_speeds
from tlcore.features.extractor import FeatureExtractor
from tlcore.features.litert import CompiledModel
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest, square_pixels, view_of_epoch, view_pixels
from tlcore.jobs.processes import ROOT_DIR
from tlcore.model.classifier import build_prefix
from tlcore.model.cut import plan_model
from tlcore.progress import Phase, StopRequested
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.images import ImageStore
from tlcore.training.split_features import SplitFeatures

NO_AUGMENTATION = AugmentationConfig()
POOLED = ModelConfig(image_size=64)
EARLY = ModelConfig(image_size=64, first_trainable="block2a")
# Nothing is frozen, so the features are the pixels and no backbone is needed.
PIXELS = ModelConfig(image_size=32, first_trainable="stem")


@pytest.fixture
def pictures(home: DataRoot) -> list[str]:
    """Keys of 12 stored pictures."""
    return [item.image for item in coloured_dataset(home, per_class=4).items]


def extractor(
    home: DataRoot, config: ModelConfig, augmentation: AugmentationConfig = NO_AUGMENTATION
) -> FeatureExtractor:
    return FeatureExtractor(plan_model(config), augmentation, home)


def plain(pictures: Sequence[str]) -> list[ViewRequest]:
    return [ViewRequest(image) for image in pictures]


def compute(home: DataRoot, config: ModelConfig, requests: Sequence[ViewRequest], **kwargs: object) -> np.ndarray:
    table = extractor(home, config, **kwargs).table(requests, RecordingProgress(), "features")
    return table.take(np.arange(len(requests)))


def num_computed(home: DataRoot, config: ModelConfig, requests: Sequence[ViewRequest], **kwargs: object) -> int:
    progress = RecordingProgress()
    extractor(home, config, **kwargs).table(requests, progress, "features")
    return progress.computed


def pixels_of_requests(
    home: DataRoot, config: ModelConfig, requests: Sequence[ViewRequest], **kwargs: object
) -> np.ndarray:
    augmentation = kwargs.get("augmentation", NO_AUGMENTATION)
    store = ImageStore(home)
    return np.stack([view_pixels(square_pixels(store.read(r.image), config), r, augmentation) for r in requests])


def compile_prefix(config: ModelConfig, home: DataRoot) -> None:
    compile_model(build_prefix(plan_model(config), home), compiled_prefix_path(plan_model(config).prefix, home))


@pytest.mark.parametrize("config", [POOLED, EARLY], ids=["pooled", "cut early"])
def test_the_compiled_prefix_computes_what_keras_computes(prepared_home: DataRoot, config: ModelConfig) -> None:
    path = compiled_prefix_path(plan_model(config).prefix, prepared_home)
    if not path.exists():
        compile_prefix(config, prepared_home)
    prefix = build_prefix(plan_model(config), prepared_home)
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (3, 8, 8, 3)), np.ones((1, 8, 8, 1)))
    expected = np.asarray(prefix(smooth.astype(np.float32), training=False))
    compiled = CompiledModel(path)
    ours = np.stack([compiled(picture.astype(np.uint8)) for picture in smooth])
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    assert expected.std() > 0.05


@pytest.mark.parametrize("engine", ["litert", "tensorflow"])
def test_features_are_those_of_the_preview_under_every_view(ready_home: DataRoot, engine: str) -> None:
    config = POOLED if engine == "litert" else EARLY
    path = compiled_prefix_path(plan_model(config).prefix, ready_home)
    if not path.exists():
        compile_prefix(config, ready_home)
    speeds = {"litert": 1.0, "tensorflow": 1.0, engine: 2.0}
    write_engine_speeds(plan_model(config).prefix, EngineSpeeds(this_machine(), **speeds), ready_home)
    pictures = [item.image for item in coloured_dataset(ready_home, per_class=1).items]
    augmentation = PRESETS["strong"]
    requests = [ViewRequest(image, view) for image in pictures for view in (None, 0, 1)]
    ours = compute(ready_home, config, requests, augmentation=augmentation)
    shown = pixels_of_requests(ready_home, config, requests, augmentation=augmentation)
    assert len({view.tobytes() for view in shown}) == len(shown)
    compiled = CompiledModel(path)
    assert ours.dtype == np.float16
    np.testing.assert_allclose(ours, np.stack([compiled(view) for view in shown]), atol=1e-3, rtol=1e-3)


def test_when_nothing_is_frozen_the_features_are_the_very_pixels(home: DataRoot, pictures: list[str]) -> None:
    requests = [ViewRequest(image, view) for image in pictures for view in (None, 3)]
    augmentation = PRESETS["tutorial"]
    ours = compute(home, PIXELS, requests, augmentation=augmentation)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, pixels_of_requests(home, PIXELS, requests, augmentation=augmentation))


@pytest.mark.parametrize("other", [replace(PIXELS, resize_mode="pad"), replace(PIXELS, image_size=40)], ids=str)
def test_another_size_or_resizing_has_features_of_its_own(
    home: DataRoot, pictures: list[str], other: ModelConfig
) -> None:
    requests = plain(pictures)
    compute(home, PIXELS, requests)
    assert num_computed(home, other, requests) == 12
    np.testing.assert_array_equal(compute(home, other, requests), pixels_of_requests(home, other, requests))
    assert num_computed(home, PIXELS, requests) == 0


def test_changing_ten_pictures_of_thirty_computes_ten(home: DataRoot) -> None:
    pictures = [item.image for item in coloured_dataset(home, per_class=14).items]
    assert num_computed(home, PIXELS, plain(pictures[:30])) == 30
    assert num_computed(home, PIXELS, plain(pictures[:20] + pictures[30:40])) == 10
    assert num_computed(home, PIXELS, plain(pictures[:40])) == 0


def test_a_picture_that_comes_twice_is_computed_once(home: DataRoot, pictures: list[str]) -> None:
    requests = plain([pictures[0], pictures[1], pictures[0]])
    assert num_computed(home, PIXELS, requests) == 2
    np.testing.assert_array_equal(compute(home, PIXELS, requests), pixels_of_requests(home, PIXELS, requests))


def epochs_computed(
    home: DataRoot, pictures: list[str], training: TrainingConfig, augmentation: AugmentationConfig
) -> list[int]:
    """Return how many pictures each of six epochs computes."""
    one = extractor(home, PIXELS, augmentation)
    counts = []
    for epoch in range(6):
        progress = RecordingProgress()
        one.table([view_of_epoch(image, epoch, augmentation, training) for image in pictures], progress, "views")
        counts.append(progress.computed)
    return counts


def test_after_a_walk_through_the_bank_of_views_nothing_is_computed(home: DataRoot, pictures: list[str]) -> None:
    counts = epochs_computed(home, pictures, TrainingConfig(views=3), PRESETS["light"])
    assert counts == [12, 12, 12, 0, 0, 0]


def test_new_views_are_computed_in_every_epoch_when_chosen(home: DataRoot, pictures: list[str]) -> None:
    training = TrainingConfig(views=3, new_views_every_epoch=True)
    assert epochs_computed(home, pictures, training, PRESETS["light"]) == [12] * 6


def test_without_augmentation_only_the_first_epoch_computes(home: DataRoot, pictures: list[str]) -> None:
    assert epochs_computed(home, pictures, TrainingConfig(views=3), NO_AUGMENTATION) == [12, 0, 0, 0, 0, 0]


def test_an_epoch_of_training_has_the_pictures_at_different_places_of_their_banks(home: DataRoot) -> None:
    dataset, training = coloured_dataset(home), TrainingConfig(views=3)
    train = dataset.subset("train")
    features = SplitFeatures(dataset, plan_model(PIXELS), PRESETS["light"], home)
    bank = [[ViewRequest(item.image, view) for view in range(3)] for item in train]
    pixels = [pixels_of_requests(home, PIXELS, row, augmentation=PRESETS["light"]) for row in bank]
    seen = []
    for epoch in range(3):
        records = features.views(epoch, training, RecordingProgress())
        rows = records.table.take(np.arange(len(train)))
        seen.append(
            [
                int(np.flatnonzero((views == row).all(axis=(1, 2, 3)))[0])
                for views, row in zip(pixels, rows, strict=True)
            ]
        )
        assert records.labels.tolist() == [dataset.class_index()[item.class_id] for item in train]
        assert min(np.bincount(seen[-1], minlength=3)) > 0.1 * len(train)
    assert all(sorted(views) == [0, 1, 2] for views in zip(*seen, strict=True))


def test_a_stop_keeps_the_pieces_that_were_complete(
    home: DataRoot, pictures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "SEGMENT_RECORDS", 4)
    with pytest.raises(StopRequested):
        extractor(home, PIXELS).table(plain(pictures), RecordingProgress(stop_after=10), "features")
    assert num_computed(home, PIXELS, plain(pictures)) == 4


def test_a_stop_does_not_wait_for_the_other_pictures(home: DataRoot, pictures: list[str]) -> None:
    seen: list[str] = []

    class SlowStore(ImageStore):
        def read(self, key: str) -> bytes:
            seen.append(key)
            time.sleep(0.05)
            return super().read(key)

    slow = FeatureExtractor(plan_model(PIXELS), NO_AUGMENTATION, home, SlowStore(home))
    with pytest.raises(StopRequested):
        slow.table(plain(pictures), RecordingProgress(stop_after=2), "features")
    assert len(seen) < len(pictures)


@pytest.mark.parametrize("threads", [1, 3])
def test_only_a_few_pictures_are_in_memory_at_once(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setenv("TRANSFER_LAB_THREADS", str(threads))
    pictures = [item.image for item in coloured_dataset(home, per_class=14).items]
    lock, read, written, ahead = threading.Lock(), 0, 0, 0

    class CountingStore(ImageStore):
        def read(self, key: str) -> bytes:
            nonlocal read, ahead
            with lock:
                read += 1
                ahead = max(ahead, read - written)
            return super().read(key)

    class SlowDisk(RecordingProgress):
        def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
            nonlocal written
            written = done
            time.sleep(0.002)

    FeatureExtractor(plan_model(PIXELS), NO_AUGMENTATION, home, CountingStore(home)).table(
        plain(pictures), SlowDisk(), "features"
    )
    assert read == len(pictures)
    assert 1 <= ahead <= 4 * threads + 1


def test_two_threads_that_need_the_same_features_compute_them_once(home: DataRoot, pictures: list[str]) -> None:
    progresses = [RecordingProgress(), RecordingProgress()]

    def run(progress: RecordingProgress) -> np.ndarray:
        table = extractor(home, PIXELS).table(plain(pictures), progress, "features")
        return table.take(np.arange(len(pictures)))

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, progresses)
    np.testing.assert_array_equal(first, second)
    assert sum(progress.computed for progress in progresses) == 12


def test_two_processes_that_need_the_same_features_compute_them_once(home: DataRoot, pictures: list[str]) -> None:
    command = [sys.executable, "-m", "tests.workers.extractor", *pictures]
    with extractor(home, PIXELS)._features.alone(lambda: None):
        processes = [subprocess.Popen(command, cwd=ROOT_DIR, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
    answers = sorted(process.communicate(timeout=30)[0] for process in processes)
    assert answers == ["0 12\n", "12 12\n"]


def test_a_wish_to_stop_is_heard_while_waiting_for_another_run(home: DataRoot, pictures: list[str]) -> None:
    waiting = extractor(home, PIXELS)
    with waiting._features.alone(lambda: None), pytest.raises(StopRequested):
        waiting.table(plain(pictures), RecordingProgress(stop_after=0), "features")


def test_a_picture_that_is_gone_is_said_and_the_lock_is_free_again(home: DataRoot, pictures: list[str]) -> None:
    ImageStore(home).path(pictures[5]).unlink()
    with pytest.raises(ImageError, match="missing"):
        compute(home, PIXELS, plain(pictures))
    del pictures[5]
    assert num_computed(home, PIXELS, plain(pictures)) == 11


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "empty"])
def test_a_damaged_compiled_prefix_is_not_used(ready_home: DataRoot, damage: str) -> None:
    path = compiled_prefix_path(plan_model(POOLED).prefix, ready_home)
    data = bytearray(path.read_bytes())
    assert is_compiled(plan_model(POOLED), ready_home)
    if damage == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes({"cut": data[:-100], "flipped": data, "empty": b""}[damage])
    assert not is_compiled(plan_model(POOLED), ready_home)
    with pytest.raises(RunError, match="missing or damaged"):
        CompiledModel(path)


def test_values_beyond_half_precision_stay_finite() -> None:
    stored = as_stored(np.array([1e6, -1e6, 0.5], np.float32))
    assert stored.dtype == np.float16
    assert stored.tolist() == [65504, -65504, 0.5]
