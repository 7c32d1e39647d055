"""A model that leaves: one Keras file, its labels, and a text that says how to feed it."""

from __future__ import annotations

from pathlib import Path

import keras

from tlcore.config import ModelConfig
from tlcore.home import write_atomically
from tlcore.results.prediction_code import PACKAGES, prediction_code
from tlcore.settings.words import CHOICES

MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
README_FILE = "README.txt"


def save_export(model: keras.Model, config: ModelConfig, class_names: tuple[str, ...], run_dir: Path) -> None:
    """Write `model.keras`, `labels.txt` and `README.txt` into a run's folder.

    Args:
        model: Pixels to probabilities, from `build_classifier`.
        config: What was chosen.
        class_names: In the order of the probabilities.
        run_dir: The run's folder.

    Raises:
        StorageError: If the disk is full.
    """
    labels = "".join(f"{' '.join(name.split())}\n" for name in class_names)
    write_atomically(run_dir / LABELS_FILE, lambda path: path.write_text(labels, "utf-8"))
    text = export_readme(config, class_names)
    write_atomically(run_dir / README_FILE, lambda path: path.write_text(text, "utf-8"))
    write_atomically(run_dir / MODEL_FILE, model.save)


def export_readme(config: ModelConfig, class_names: tuple[str, ...]) -> str:
    """Return the text that says how to feed the model."""
    size = config.image_size
    return (
        f"An image classifier for {len(class_names)} classes, made with Transfer Lab.\n\n"
        f"Input:  float32 of shape (pictures, {size}, {size}, 3), RGB pixels from 0 to 255.\n"
        f"        {CHOICES['resize_mode'][config.resize_mode].sentence}\n"
        "        The scaling of the pixel values is inside the model: do not divide by 255.\n"
        f"Output: float32 of shape (pictures, {len(class_names)}), one probability per class, in the order of\n"
        "        labels.txt.\n\n"
        f"In Python, with `pip install {' '.join(PACKAGES)}`:\n\n"
        f"{prediction_code(config)}"
    )
