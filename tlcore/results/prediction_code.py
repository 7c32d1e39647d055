"""The few lines of Python that load an exported model and ask it about a picture."""

from __future__ import annotations

from collections.abc import Sequence

from tlcore.config import ModelConfig

MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
PIXELS_FILE = "pixels.py"
README_FILE = "README.txt"

OLDEST_KERAS = "3.8"
"""The oldest version of Keras that opens an exported model; a test does it with this one."""

PACKAGES = ("keras", "tensorflow", "pillow", "opencv-python-headless")
"""What the program needs from PyPI."""

VERSIONS = f"Keras {OLDEST_KERAS} or newer, Pillow 11.3 or newer"


def prediction_code(config: ModelConfig, grey_range: tuple[float, float] | None = None) -> str:
    """Return a program that prints the classes of `picture.jpg`, the most probable one first.

    It runs in a folder with the model, the labels and `pixels.py`, which holds the app's own steps from a file to
    pixels: other filters differ by one to three of 255 grey levels, which moves undecided answers by up to 15
    points, and `keras.utils.load_img` takes the nearest pixel and leaves phone photos on their side.

    Args:
        config: What was chosen.
        grey_range: That of the data set, for pictures of more than 8 bits.
    """
    size_and_mode = f'{config.image_size}, "{config.resize_mode}"'
    arguments = size_and_mode if grey_range is None else f"{size_and_mode}, grey_range={grey_range}"
    return f"""\
import keras
from {PIXELS_FILE.removesuffix(".py")} import read_square

model = keras.saving.load_model("{MODEL_FILE}")
class_names = open("{LABELS_FILE}", encoding="utf-8").read().splitlines()

picture = read_square("picture.jpg", {arguments})  # values from 0 to 255
probabilities = model.predict(picture[None].astype("float32"), verbose=0)[0]
for name, probability in sorted(zip(class_names, probabilities), key=lambda pair: -pair[1]):
    print(f"{{probability:6.1%}} {{name}}")
"""


def labels_text(class_names: Sequence[str]) -> str:
    """Return the names of the classes as `labels.txt` holds them: one on each line."""
    return "".join(f"{' '.join(name.split())}\n" for name in class_names)
