"""The few lines of Python that load an exported model and ask it about a picture."""

from __future__ import annotations

from tlcore.config import ModelConfig, ResizeMode

# The same steps as `tlcore.intake.decoding` and `tlcore.images.resizing`, so that the answers are the app's own. Other
# filters differ by one to three of 255 grey levels, which moves undecided answers by up to 15 points;
# `keras.utils.load_img` takes the nearest pixel and leaves phone photos on their side.
_RESIZING: dict[ResizeMode, str] = {
    "crop": """\
side = min(height, width)  # cut out the middle
picture = picture[(height - side) // 2 :, (width - side) // 2 :][:side, :side]
picture = scale(picture, {size}, {size})""",
    "stretch": """\
picture = scale(picture, {size}, {size})""",
    "pad": """\
side = max(height, width)  # the longer side fits; black borders beside the shorter one
height, width = max(1, round(height * {size} / side)), max(1, round(width * {size} / side))
picture = scale(picture, height, width)
top, left = ({size} - height) // 2, ({size} - width) // 2
picture = np.pad(picture, ((top, {size} - height - top), (left, {size} - width - left), (0, 0)))""",
}


PACKAGES = ("keras", "tensorflow", "pillow", "opencv-python-headless")
"""What the program needs from PyPI."""


def prediction_code(config: ModelConfig) -> str:
    """Return a program that prints the classes of `picture.jpg`, the most probable one first.

    It runs in a folder with `model.keras` and `labels.txt` and needs `PACKAGES`.
    """
    return f"""\
import cv2, keras, numpy as np
from PIL import Image, ImageOps

def scale(picture, height, width):  # average where a side shrinks, smooth curves where it grows
    smaller = min(width, picture.shape[1]), min(height, picture.shape[0])
    picture = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)

model = keras.saving.load_model("model.keras")
class_names = open("labels.txt", encoding="utf-8").read().splitlines()

picture = Image.open("picture.jpg")
picture.thumbnail((512, 512), Image.Resampling.LANCZOS, reducing_gap=3.0)
picture = np.array(ImageOps.exif_transpose(picture).convert("RGB"))  # 0 to 255; the model scales the values itself
height, width = picture.shape[:2]
{_RESIZING[config.resize_mode].format(size=config.image_size)}
probabilities = model.predict(picture[np.newaxis].astype("float32"), verbose=0)[0]
for name, probability in sorted(zip(class_names, probabilities), key=lambda pair: -pair[1]):
    print(f"{{probability:6.1%}} {{name}}")
"""
