"""The one Keras model that leaves: plain RGB pixels in, calibrated probabilities out."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from tlcore.config import ResizeMode
from tlcore.errors import RunError
from tlcore.export.resampling import square_of
from tlcore.export.simple_graphs import head_answers
from tlcore.export.source import ExportSource, Part
from tlcore.home import DataRoot
from tlcore.model.classifier import build_prefix, cut_model
from tlcore.model.cut import PIXELS, plan_model
from tlcore.results.calibration import SMALLEST_PROBABILITY
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.simple_heads.heads import load_simple_head

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
    squares: dict[tuple[int, ResizeMode], keras.KerasTensor] = {}  # members that see the same square share it

    def seen_by(part: Part) -> keras.KerasTensor:
        key = part.spec.prefix.image_size, part.spec.resize_mode
        if key not in squares:
            squares[key] = square_of(pixels, *key)
        return squares[key]

    return keras.Model(pixels, _answers(source, home, seen_by), name="classifier")


def build_square(source: ExportSource, home: DataRoot) -> keras.Model:
    """Return the model that takes the square picture which all parts see; otherwise as `build_any_size`.

    Raises:
        ValueError: If the parts see different squares.
    """
    if source.square is None:
        raise ValueError("`source` must have parts that see the same square. Received: different ones")
    size, _ = source.square
    pixels = keras.Input((size, size, 3), name=INPUT_NAME)
    return keras.Model(pixels, _answers(source, home, lambda _part: pixels), name="classifier")


def _answers(source: ExportSource, home: DataRoot, seen_by: Callable[[Part], keras.KerasTensor]) -> keras.KerasTensor:
    temperature = source.settings.temperature
    if len(source.parts) > 1:
        return _calibrated(_average(source, seen_by), temperature)
    (part,) = source.parts
    if part.kind == "simple_head":
        head = load_simple_head(part.folder)
        backbone = build_prefix(plan_model(part.model), home)
        answers, left = head_answers(head, _named(backbone, "backbone")(seen_by(part)), temperature)
        return _calibrated(answers, left)
    network = _network(part)
    left = _cooled(network, temperature)
    return _calibrated(_named(network, "network")(seen_by(part)), left)


def _average(source: ExportSource, seen_by: Callable[[Part], keras.KerasTensor]) -> keras.KerasTensor:
    """Return the weighted average of the members' probabilities.

    Members with the same frozen part look through it once: the file is smaller, and its answer comes sooner.
    """
    if any(part.spec.class_names != source.class_names for part in source.parts):
        raise RunError("The models of this group know different classes. Make a new group of runs that fit.")
    features: dict[str, keras.KerasTensor] = {}
    average: keras.KerasTensor | None = None
    for number, part in enumerate(source.parts, start=1):
        network, prefix = _network(part), part.spec.prefix
        same = [
            one for one in source.parts if one.spec.prefix == prefix and one.spec.resize_mode == part.spec.resize_mode
        ]
        if len(same) > 1 and prefix.cut != PIXELS:
            cut = cut_model(network, plan_model(part.model))
            key = prefix.features_key(part.spec.resize_mode)
            if key not in features:
                features[key] = _named(cut.prefix, f"frozen_{number}")(seen_by(part))
            answers = _named(cut.suffix, f"member_{number}")(features[key])
        else:
            answers = _named(network, f"member_{number}")(seen_by(part))
        weighted = answers * part.weight
        average = weighted if average is None else average + weighted
    return average


def _network(part: Part) -> keras.Model:
    try:
        model: keras.Model = keras.saving.load_model(part.folder / MODEL_FILE, compile=False)
    except (OSError, ValueError) as error:
        raise RunError("The model's file is missing or damaged. Train again to make a new one.") from error
    return model


def _named(model: keras.Model, name: str) -> keras.Model:
    """Return a model of the same layers under another name: inside of a larger one each needs its own."""
    return keras.Model(model.input, model.output, name=name)


def _cooled(network: keras.Model, temperature: float) -> float:
    """Divide the scores of a network by a temperature, inside of its last layer; return the temperature left to do.

    So calibration costs no operation, and 8-bit integers keep what a probability rounded to a 256th would lose.
    """
    last = network.layers[-1]
    if not (isinstance(last, keras.layers.Dense) and last.get_config()["activation"] == "softmax"):
        return temperature
    last.set_weights([values / temperature for values in last.get_weights()])
    return 1.0


def _calibrated(probabilities: keras.KerasTensor, temperature: float) -> keras.KerasTensor:
    """Scale probabilities with a temperature, as `tlcore.results.calibration` does."""
    if temperature == 1:
        return probabilities
    scores = ops.log(ops.maximum(probabilities, SMALLEST_PROBABILITY)) / temperature
    return ops.softmax(scores, axis=-1)
