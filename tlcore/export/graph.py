"""The one Keras model that leaves: plain RGB pixels in, calibrated probabilities out."""

from __future__ import annotations

import keras

from tlcore.errors import RunError
from tlcore.export.resampling import square_of
from tlcore.export.source import ExportSource, Part
from tlcore.home import DataRoot
from tlcore.results.prediction_code import MODEL_FILE

INPUT_NAME = "pixels"


def build_any_size(source: ExportSource, home: DataRoot) -> keras.Model:
    """Return the model that takes pictures of any height and width.

    Args:
        source: What shall leave.
        home: The data root.

    Returns:
        float32 pixels in `[0, 255]` of shape `(batch, height, width, 3)` to probabilities `(batch, classes)`, which
        are those of `Predict`: averaged over the parts, scaled with the temperature.

    Raises:
        RunError: If a file of the model is missing or damaged.
        WeightsError: If the backbone's weights are not on this computer.
    """
    pixels = keras.Input((None, None, 3), name=INPUT_NAME)
    part = source.parts[0]
    answers = _network(part)(square_of(pixels, part.spec.prefix.image_size, part.spec.resize_mode))
    return keras.Model(pixels, answers, name="classifier")


def build_square(source: ExportSource, home: DataRoot) -> keras.Model:
    """Return the model that takes the square picture which all parts see; otherwise as `build_any_size`.

    Raises:
        ValueError: If the parts see different squares.
    """
    if source.square is None:
        raise ValueError("`source` must have parts that see the same square. Received: different ones")
    return _network(source.parts[0])


def _network(part: Part) -> keras.Model:
    try:
        model: keras.Model = keras.saving.load_model(part.folder / MODEL_FILE, compile=False)
    except (OSError, ValueError) as error:
        raise RunError("The model's file is missing or damaged. Train again to make a new one.") from error
    return model
