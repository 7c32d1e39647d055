"""The small CNN in Keras."""

from __future__ import annotations

import keras


def build_small_cnn(inputs: keras.KerasTensor, *, filters: tuple[int, ...]) -> keras.KerasTensor:
    """Add one 3x3 convolution with ReLU and one pooling per number of filters.

    Args:
        inputs: float32 of shape `(batch, height, width, 3)`, values in [0, 1].
        filters: Filters of each convolution, from the picture up.

    Returns:
        float32 of shape `(batch, height / 2 ** n, width / 2 ** n, filters[-1])` for n blocks, rounded down.
    """
    x = inputs
    for number, channels in enumerate(filters, start=1):
        x = keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return x
