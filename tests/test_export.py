"""An exported model opens in the oldest version of Keras that it names, and answers the same there."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

from tlcore.config import RANDOM, HeadConfig, ModelConfig
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


def test_a_model_opens_in_the_oldest_keras_that_is_named(oldest_keras: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    answers = {}
    for name, config in MODELS.items():
        model = build_classifier(plan_model(config), 3, DataRoot.configured()).model
        answers[name] = np.asarray(model(pixels, training=False))
        save_keras_file(model, tmp_path / f"{name}.keras")
        keras.utils.clear_session()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *MODELS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(oldest_keras)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(OLDEST_KERAS)
    for name, expected in answers.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}-there.npy"), expected, atol=1e-5, err_msg=name)
    assert sorted(path.name for path in tmp_path.glob("*.keras")) == sorted(f"{name}.keras" for name in MODELS)


def test_the_readme_names_the_versions() -> None:
    assert f"Keras {OLDEST_KERAS} or newer" in export_readme(ModelConfig(), ("cat", "dog"))
