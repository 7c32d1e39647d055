"""A model that leaves: one Keras file, its labels, and a text that says how to feed it."""

from __future__ import annotations

from pathlib import Path

import keras

from tlcore.config import ModelConfig, ResizeMode
from tlcore.home import write_atomically

MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
README_FILE = "README.txt"

RESIZING: dict[ResizeMode, str] = {
    "crop": "keras.utils.load_img(path, target_size=({size}, {size}), keep_aspect_ratio=True)",
    "stretch": "keras.utils.load_img(path, target_size=({size}, {size}))",
    "pad": "PIL.ImageOps.pad(keras.utils.load_img(path), ({size}, {size}))",
}
RESIZING_WORDS: dict[ResizeMode, str] = {
    "crop": "the middle square is cut out and scaled",
    "stretch": "both sides are scaled, whatever the shape",
    "pad": "the whole picture is scaled and black borders are added",
}


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


def prediction_code(config: ModelConfig) -> str:
    """Return the Python lines that load the exported model and predict one picture."""
    load = RESIZING[config.resize_mode].format(size=config.image_size)
    imports = "import keras\nimport numpy as np\n" + ("import PIL.ImageOps\n" if config.resize_mode == "pad" else "")
    return (
        f"{imports}\n"
        'model = keras.saving.load_model("model.keras")\n'
        'labels = open("labels.txt", encoding="utf-8").read().splitlines()\n'
        'path = "picture.jpg"\n'
        f"picture = np.asarray({load}, np.float32)\n"
        "probabilities = model.predict(picture[None], verbose=0)[0]\n"
        "print(labels[probabilities.argmax()], probabilities.max())\n"
    )


def export_readme(config: ModelConfig, class_names: tuple[str, ...]) -> str:
    """Return the text that says how to feed the model."""
    size = config.image_size
    return (
        f"An image classifier for {len(class_names)} classes, made with Transfer Lab.\n\n"
        f"Input:  float32 of shape (pictures, {size}, {size}, 3), RGB pixels from 0 to 255.\n"
        f"        {RESIZING_WORDS[config.resize_mode].capitalize()}. The scaling of the pixel values is inside the\n"
        "        model: do not divide by 255.\n"
        f"Output: float32 of shape (pictures, {len(class_names)}), one probability per class, in the order of\n"
        "        labels.txt.\n\n"
        "In Python, with `pip install keras tensorflow pillow`:\n\n"
        f"{prediction_code(config)}"
    )
