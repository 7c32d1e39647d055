"""The formats in which a model leaves: their files, who runs them, and what kind of picture they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tlcore.storage.requests import FormatName

Runtime = Literal["keras", "tensorflow", "litert", "onnx"]


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """A format.

    Attributes:
        name: Its name in requests and in Python.
        title: What people call it.
        file: Name of its file in a bundle; of a folder when it ends with a slash.
        runtime: What loads it.
        sentence: Whom it is for, in plain words.
        takes_any_size: Whether it takes pictures of any height and width; otherwise only the square that the model
            sees, which `pixels.py` makes.
        dtype: Type of the pixel values that it takes, `[0, 255]`.
        is_calibrated: Whether training pictures decide how its numbers are rounded.
    """

    name: FormatName
    title: str
    file: str
    runtime: Runtime
    sentence: str
    takes_any_size: bool = True
    dtype: Literal["float32", "uint8"] = "float32"
    is_calibrated: bool = False


FORMATS: Mapping[FormatName, FormatSpec] = {
    spec.name: spec
    for spec in (
        FormatSpec("keras", "Keras", "model.keras", "keras", "To go on with in Python: look inside, train further."),
        FormatSpec(
            "savedmodel", "SavedModel", "saved_model/", "tensorflow", "For servers that run TensorFlow, without Keras."
        ),
        FormatSpec(
            "litert",
            "LiteRT",
            "model.tflite",
            "litert",
            "For telephones, small computers and browsers: the same numbers as the original.",
        ),
        FormatSpec(
            "litert-float16",
            "LiteRT, half precision",
            "model-float16.tflite",
            "litert",
            "Half the size; computes as exactly as before on most devices.",
        ),
        FormatSpec(
            "litert-dynamic",
            "LiteRT, 8-bit weights",
            "model-dynamic.tflite",
            "litert",
            "A quarter of the size; on many processors slower than the others.",
        ),
        FormatSpec(
            "litert-int8",
            "LiteRT, 8-bit integers",
            "model-int8.tflite",
            "litert",
            "A quarter of the size, on many processors the fastest; also for chips that only know integers.",
            takes_any_size=False,
            dtype="uint8",
            is_calibrated=True,
        ),
        FormatSpec("onnx", "ONNX", "model.onnx", "onnx", "For ONNX Runtime: Windows, C#, Java, web servers."),
    )
}
