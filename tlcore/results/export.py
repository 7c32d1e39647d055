"""A model that leaves: one Keras file, its labels, and a text that says how to feed it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import keras

from tlcore.config import ModelConfig, PixelScaling
from tlcore.dataset import Dataset
from tlcore.home import write_atomically
from tlcore.intake.pictures import pixels
from tlcore.results.prediction_code import (
    LABELS_FILE,
    MODEL_FILE,
    PACKAGES,
    PIXELS_FILE,
    README_FILE,
    VERSIONS,
    labels_text,
    prediction_code,
)
from tlcore.settings.words import CHOICES

SCALING_INSIDE: Final[Mapping[PixelScaling, str]] = {
    "backbone": "The scaling of the pixel values is inside the model: do not divide by 255.",
    "divide_255": "The model itself divides the pixel values by 255: do not divide them once more.",
}

# What newer versions of Keras write into every model and older ones refuse. Nothing here makes use of them.
_UNKNOWN_TO_OLDER_KERAS = frozenset(
    {
        *("input_axes", "output_axes"),  # of initializers
        *("renorm", "renorm_clipping", "renorm_momentum"),  # of batch normalization
        *("lora_alpha", "quantization_config", "ragged"),
    }
)


def save_export(model: keras.Model, config: ModelConfig, dataset: Dataset, run_dir: Path) -> None:
    """Write `model.keras`, `labels.txt`, `pixels.py` and `README.txt` into a run's folder.

    Args:
        model: Pixels to probabilities, from `build_classifier`.
        config: What was chosen.
        dataset: What it learned from.
        run_dir: The run's folder.

    Raises:
        StorageError: If the disk is full.
    """
    labels = labels_text(dataset.class_names)
    write_atomically(run_dir / LABELS_FILE, lambda path: path.write_text(labels, "utf-8"))
    text = export_readme(config, dataset.class_names, dataset.grey_range)
    write_atomically(run_dir / README_FILE, lambda path: path.write_text(text, "utf-8"))
    write_atomically(run_dir / PIXELS_FILE, lambda path: shutil.copyfile(pixels.__file__, path))
    write_atomically(run_dir / MODEL_FILE, lambda path: save_keras_file(model, path))


def save_keras_file(model: keras.Model, path: Path) -> None:
    """Write a model as a `.keras` file that versions of Keras from `OLDEST_KERAS` on open.

    Raises:
        OSError: If the disk is full.
    """
    newest_path = path.with_name(f"{path.stem}.newest.keras")  # Keras insists on this ending
    try:
        model.save(newest_path)
        with zipfile.ZipFile(newest_path) as newest, zipfile.ZipFile(path, "w") as archive:
            for entry in newest.infolist():
                with newest.open(entry) as source, archive.open(entry, "w") as target:
                    if entry.filename == "config.json":
                        target.write(json.dumps(_known_to_older_keras(json.load(source))).encode())
                    else:
                        shutil.copyfileobj(source, target)
    finally:
        newest_path.unlink(missing_ok=True)


def _known_to_older_keras(config: Any) -> Any:
    if isinstance(config, dict):
        kept = {name: value for name, value in config.items() if name not in _UNKNOWN_TO_OLDER_KERAS}
        if str(config.get("module", "")).startswith("keras.src.ops.") and isinstance(config.get("config"), dict):
            # Plain operations had no name of their own; what they are called in a model stands beside.
            kept["config"] = {name: value for name, value in config["config"].items() if name != "name"}
        return {name: _known_to_older_keras(value) for name, value in kept.items()}
    return [_known_to_older_keras(value) for value in config] if isinstance(config, list) else config


def export_readme(
    config: ModelConfig, class_names: tuple[str, ...], grey_range: tuple[float, float] | None = None
) -> str:
    """Return the text that says how to feed the model."""
    size = config.image_size
    return (
        f"An image classifier for {len(class_names)} classes, made with Transfer Lab.\n\n"
        f"Input:  float32 of shape (pictures, {size}, {size}, 3), RGB pixels from 0 to 255.\n"
        f"        {CHOICES['resize_mode'][config.resize_mode].sentence}\n"
        f"        {SCALING_INSIDE[config.pixel_scaling]}\n"
        f"Output: float32 of shape (pictures, {len(class_names)}), one probability per class, in the order of\n"
        "        labels.txt.\n\n"
        f"In Python, with `pip install {' '.join(PACKAGES)}` ({VERSIONS}):\n\n"
        f"{prediction_code(config, grey_range)}"
    )
