"""An exported model opens in the oldest version of Keras that it names, and answers the same there."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.test_export_graph import SMALL, make_head, make_run, source_of
from tlcore.config import RANDOM, RESIZE_MODES, HeadConfig, ModelConfig
from tlcore.export.graph import build_any_size
from tlcore.home import DataRoot
from tlcore.model.classifier import build_classifier
from tlcore.model.cut import plan_model
from tlcore.results.export import export_readme, save_keras_file
from tlcore.results.prediction_code import OLDEST_KERAS

# Together they have every kind of layer that Keras changed since, and every kind of head.
DENSE = HeadConfig(dense_units=(16, 8), dropout=0.3, l2=0.01)
FLAT = HeadConfig(pooling="flatten", dense_units=(8,), dropout=0.0)
MODELS = {
    "average": ModelConfig("efficientnet_lite0", 32, weights=RANDOM),
    "dense": ModelConfig("small_cnn-8-16", 32, weights=RANDOM, head=DENSE),
    "flat": ModelConfig("efficientnet_b0", 32, weights=RANDOM, head=FLAT),
}
HEAD_KINDS = ("logistic_regression", "nearest_neighbours")
PROGRAM = """
import sys
import keras, numpy as np
print(keras.__version__)
pixels = np.load("pixels.npy")
for name in sys.argv[1:]:
    model = keras.saving.load_model(f"{name}.keras")
    np.save(f"{name}-there.npy", np.asarray(model(pixels, training=False)))
"""


@pytest.fixture(scope="module")
def oldest_keras() -> Path:
    """A folder with that version; it runs on the TensorFlow that is installed."""
    folder = Path(tempfile.gettempdir()) / f"transfer-lab-tests-keras-{OLDEST_KERAS}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--retries", "1", "--target"]
            done = subprocess.run(
                [*pip, f"{temporary}/keras", f"keras=={OLDEST_KERAS}"], capture_output=True, text=True, check=False
            )
            if done.returncode:
                pytest.skip(f"Keras {OLDEST_KERAS} cannot be fetched from the package index: {done.stderr[-200:]}")
            Path(temporary, "keras").rename(folder)
    return folder


def check_there(oldest_keras: Path, folder: Path, answers: Mapping[str, np.ndarray]) -> None:
    """Load the files of a folder in that version, and compare what they answer there to its `pixels.npy`."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *answers],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(oldest_keras)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(OLDEST_KERAS)
    for name, expected in answers.items():
        np.testing.assert_allclose(np.load(folder / f"{name}-there.npy"), expected, atol=1e-5, err_msg=name)


def test_a_model_opens_in_the_oldest_keras_that_is_named(oldest_keras: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    answers = {}
    for name, config in MODELS.items():
        model = build_classifier(plan_model(config), 3, DataRoot.configured()).model
        answers[name] = np.asarray(model(pixels, training=False))
        save_keras_file(model, tmp_path / f"{name}.keras")
        keras.utils.clear_session()
    check_there(oldest_keras, tmp_path, answers)
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == sorted(f"{name}.keras" for name in MODELS)


def test_a_model_for_pictures_of_any_size_opens_there_too(
    oldest_keras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its operations are plain ones, and the file holds no code of ours."""
    monkeypatch.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.01)
    home = DataRoot(tmp_path / "home")
    group = tuple(
        replace(make_run(tmp_path / mode, replace(SMALL, resize_mode=mode), home, seed=seed), weight=1 / 3)
        for seed, mode in enumerate(RESIZE_MODES)
    )
    sources = {
        "network": source_of(group[:1], 2.0),
        "group": source_of(group, 2.0),
        **{kind: source_of((make_head(kind, tmp_path / kind, home),), 0.5) for kind in HEAD_KINDS},
    }
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    answers = {}
    for name, source in sources.items():
        model = build_any_size(source, home)
        answers[name] = np.asarray(model(pixels, training=False))
        save_keras_file(model, tmp_path / f"{name}.keras")
        np.testing.assert_array_equal(keras.saving.load_model(tmp_path / f"{name}.keras")(pixels), answers[name])
        keras.utils.clear_session()
    check_there(oldest_keras, tmp_path, answers)


def test_the_readme_names_the_versions() -> None:
    assert f"Keras {OLDEST_KERAS} or newer" in export_readme(ModelConfig(), ("cat", "dog"))
