"""What Keras itself counts, to compare with what is said before a model is built."""

import keras
import numpy as np

from tlcore.backbones.keras_models import PREPROCESSING_NAME


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """Return the trainable and the frozen weights of a model, in scalars."""
    # Not weights of the network: the state of dropout's random generator, and the fixed scaling of pixels.
    frozen = [
        variable
        for variable in model.non_trainable_variables
        if "seed_generator" not in variable.path and not variable.path.startswith(PREPROCESSING_NAME)
    ]
    return _scalars(model.trainable_variables), _scalars(frozen)


def _scalars(variables: list[keras.Variable]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)
