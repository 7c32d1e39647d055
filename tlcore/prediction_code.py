"""The few lines of Python that load an exported model and ask it about a picture."""

from __future__ import annotations

from tlcore.config import ModelConfig, ResizeMode

# Pillow's default filter (bicubic, averaging where it shrinks) comes closest to `tlcore.resizing`: two of 255
# grey levels on photos. `keras.utils.load_img` takes the nearest pixel and leaves phone photos lying on their side.
_RESIZING: dict[ResizeMode, str] = {
    "crop": "picture = ImageOps.fit(picture, ({size}, {size}))  # cut out the middle",
    "stretch": "picture = picture.resize(({size}, {size}))  # stretch",
    "pad": "picture = ImageOps.pad(picture, ({size}, {size}))  # add black borders",
}


def prediction_code(config: ModelConfig) -> str:
    """Return a program that prints the classes of `picture.jpg`, the most probable one first.

    It runs in a folder with `model.keras` and `labels.txt` and needs keras, tensorflow and pillow.
    """
    return f"""\
import keras, numpy as np
from PIL import Image, ImageOps

model = keras.saving.load_model("model.keras")
class_names = open("labels.txt", encoding="utf-8").read().splitlines()

picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGB")
{_RESIZING[config.resize_mode].format(size=config.image_size)}
pixels = np.asarray(picture, "float32")[None]  # RGB, 0 to 255; the model scales them itself
probabilities = model.predict(pixels, verbose=0)[0]
for name, probability in sorted(zip(class_names, probabilities), key=lambda pair: -pair[1]):
    print(f"{{probability:6.1%}} {{name}}")
"""
