"""The few lines of Python that load an exported model and ask it about a picture."""

from __future__ import annotations

from tlcore.config import ModelConfig, ResizeMode

# The same OpenCV steps as `tlcore.resizing`, so that the answers are the app's own. Pillow's filters differ by one to
# three of 255 grey levels; `keras.utils.load_img` takes the nearest pixel and leaves phone photos on their side.
_RESIZING: dict[ResizeMode, str] = {
    "crop": """\
side = min(height, width)  # cut out the middle
picture = picture[(height - side) // 2 :, (width - side) // 2 :][:side, :side]
picture = cv2.resize(picture, ({size}, {size}), interpolation=shrink if side > {size} else grow)""",
    "stretch": """\
picture = cv2.resize(picture, ({size}, {size}), interpolation=shrink if min(height, width) > {size} else grow)""",
    "pad": """\
scale = {size} / max(height, width)  # the longer side fits; black borders beside the shorter one
height, width = max(1, round(height * scale)), max(1, round(width * scale))
picture = cv2.resize(picture, (width, height), interpolation=shrink if scale < 1 else grow)
top, left = ({size} - height) // 2, ({size} - width) // 2
picture = np.pad(picture, ((top, {size} - height - top), (left, {size} - width - left), (0, 0)))""",
}


PACKAGES = ("keras", "tensorflow", "opencv-python-headless")
"""What the program needs from PyPI."""


def prediction_code(config: ModelConfig) -> str:
    """Return a program that prints the classes of `picture.jpg`, the most probable one first.

    It runs in a folder with `model.keras` and `labels.txt` and needs `PACKAGES`.
    """
    return f"""\
import cv2, keras, numpy as np

model = keras.saving.load_model("model.keras")
class_names = open("labels.txt", encoding="utf-8").read().splitlines()

picture = cv2.imread("picture.jpg")[:, :, ::-1]  # RGB, 0 to 255; the model scales the values itself
height, width, shrink, grow = *picture.shape[:2], cv2.INTER_AREA, cv2.INTER_CUBIC
{_RESIZING[config.resize_mode].format(size=config.image_size)}
probabilities = model.predict(picture[np.newaxis].astype("float32"), verbose=0)[0]
for name, probability in sorted(zip(class_names, probabilities), key=lambda pair: -pair[1]):
    print(f"{{probability:6.1%}} {{name}}")
"""
