"""Registry rows of the EfficientNet families: Lite0, B0 to B3, V2B0 and V2B1."""

from __future__ import annotations

import math

from tlcore.backbones.rows.blocks import convolution_block, divisible_by_8, inverted_residual, nearest_multiple_of_8
from tlcore.backbones.spec import (
    EFFICIENTNET_LITE,
    KERAS_APPLICATIONS,
    RAW_PIXELS,
    BackboneSpec,
    BlockSpec,
    WeightsSpec,
    keras_weights,
)

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
# (stride of the first block, expansion, channels, blocks, fused) of each stage; all kernels are 3x3.
# Source: Tan and Le 2021, https://arxiv.org/abs/2104.00298; the base sizes as built by keras.applications.
V2_STAGES = (
    (1, 1, 16, 1, True),
    (2, 4, 32, 2, True),
    (2, 4, 48, 2, True),
    (2, 4, 96, 3, False),
    (1, 6, 112, 5, False),
    (2, 6, 192, 8, False),
)
STEM_CHANNELS = 32
TOP_CHANNELS = 1280
BLOCK_LETTERS = "abcdefghi"
# Three means, three variances and a count: Keras keeps them among the weights of these networks.
PIXEL_STATISTICS = 7
# Keras divides the normalized pixels by the roots of these, but only when it loads the ImageNet weights itself.
# Source: `IMAGENET_STDDEV_RGB` of keras/src/applications/efficientnet.py, and
# https://github.com/tensorflow/tensorflow/issues/49930
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)


def lite0_blocks() -> tuple[BlockSpec, ...]:
    """Return the blocks of EfficientNet-Lite0."""
    channels = STEM_CHANNELS
    blocks = [convolution_block("stem", "stem_activation", 3, channels, 3, 2)]
    for stage, (kernel, stride, expansion, channels_out, repeats) in enumerate(STAGES, start=1):
        for index in range(repeats):
            name = f"block{stage}{BLOCK_LETTERS[index]}"
            last_layer = f"{name}_add" if index else f"{name}_project_bn"
            wide = None if expansion == 1 else expansion * channels
            step = 1 if index else stride
            blocks.append(inverted_residual(name, last_layer, channels, channels_out, kernel, step, wide=wide))
            channels = channels_out
    blocks.append(convolution_block("top", "top_activation", channels, TOP_CHANNELS, 1, 1))
    return tuple(blocks)


def efficientnet_blocks(width: float, depth: float) -> tuple[BlockSpec, ...]:
    """Return the blocks of an EfficientNet whose channels and repeats are scaled by `width` and `depth`."""
    channels = divisible_by_8(STEM_CHANNELS * width)
    blocks = [convolution_block("stem", "stem_activation", 3, channels, 3, 2, pixel_statistics=PIXEL_STATISTICS)]
    for stage, (kernel, first_stride, expansion, stage_channels, repeats) in enumerate(STAGES, start=1):
        channels_out = divisible_by_8(stage_channels * width)
        for index in range(math.ceil(repeats * depth)):
            name = f"block{stage}{BLOCK_LETTERS[index]}"
            blocks.append(
                inverted_residual(
                    name,
                    f"{name}_add" if index else f"{name}_project_bn",
                    channels,
                    channels_out,
                    kernel,
                    1 if index else first_stride,
                    wide=None if expansion == 1 else expansion * channels,
                    squeeze=channels // 4,
                )
            )
            channels = channels_out
    blocks.append(convolution_block("top", "top_activation", channels, divisible_by_8(TOP_CHANNELS * width), 1, 1))
    return tuple(blocks)


def efficientnet_v2_blocks(depth: float) -> tuple[BlockSpec, ...]:
    """Return the blocks of an EfficientNetV2 of the base width; `depth` scales the repeats."""
    channels = nearest_multiple_of_8(STEM_CHANNELS)
    blocks = [convolution_block("stem", "stem_activation", 3, channels, 3, 2)]
    for stage, (first_stride, expansion, channels_out, repeats, fused) in enumerate(V2_STAGES, start=1):
        for index in range(math.ceil(repeats * depth)):
            name = f"block{stage}{BLOCK_LETTERS[index]}"
            last_step = "project_activation" if expansion == 1 else "project_bn"
            blocks.append(
                inverted_residual(
                    name,
                    f"{name}_add" if index else f"{name}_{last_step}",
                    channels,
                    channels_out,
                    3,
                    1 if index else first_stride,
                    wide=None if expansion == 1 else expansion * channels,
                    squeeze=0 if fused else channels // 4,
                    fused=fused,
                )
            )
            channels = channels_out
    blocks.append(convolution_block("top", "top_activation", channels, TOP_CHANNELS, 1, 1))
    return tuple(blocks)


EFFICIENTNET_LITE0 = BackboneSpec(
    name="efficientnet_lite0",
    title="EfficientNet-Lite0",
    builder="tlcore.backbones.efficientnet_lite:build_efficientnet_lite0",
    imagenet_top1=0.751,
    imagenet_source="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
    default_size=224,
    minimum_size=32,
    preprocessing=EFFICIENTNET_LITE,
    weights=WeightsSpec("efficientnet_lite0.weights.h5"),
    blocks=lite0_blocks(),
)


def _efficientnet(
    number: int, width: float, depth: float, size: int, top1: float, download_bytes: int, md5: str
) -> BackboneSpec:
    """Return the row of EfficientNetB`number`."""
    filename = f"efficientnetb{number}_notop.h5"
    return BackboneSpec(
        name=f"efficientnet_b{number}",
        title=f"EfficientNetB{number}",
        builder=f"keras.applications:EfficientNetB{number}",
        imagenet_variance_factors=IMAGENET_DEVIATIONS,
        imagenet_top1=top1,
        imagenet_source=KERAS_APPLICATIONS,
        default_size=size,
        minimum_size=32,
        preprocessing=RAW_PIXELS,
        # Keras keeps these, and only these, outside its usual folder.
        weights=WeightsSpec(
            filename, download_bytes, f"https://storage.googleapis.com/keras-applications/{filename}", md5
        ),
        blocks=efficientnet_blocks(width, depth),
    )


def _efficientnet_v2(number: int, depth: float, size: int, top1: float, download_bytes: int, md5: str) -> BackboneSpec:
    """Return the row of EfficientNetV2B`number`."""
    return BackboneSpec(
        name=f"efficientnet_v2_b{number}",
        title=f"EfficientNetV2B{number}",
        builder=f"keras.applications:EfficientNetV2B{number}",
        imagenet_top1=top1,
        imagenet_source=KERAS_APPLICATIONS,
        default_size=size,
        minimum_size=32,
        preprocessing=RAW_PIXELS,
        weights=keras_weights("efficientnet_v2", f"efficientnetv2-b{number}_notop.h5", download_bytes, md5),
        blocks=efficientnet_v2_blocks(depth),
    )


EFFICIENTNET_B0 = _efficientnet(0, 1.0, 1.0, 224, 0.771, 16_705_208, "50bc09e76180e00e4465e1a485ddc09d")
EFFICIENTNET_B1 = _efficientnet(1, 1.0, 1.1, 240, 0.791, 27_018_416, "74c4e6b3e1f6a1eea24c589628592432")
EFFICIENTNET_B2 = _efficientnet(2, 1.1, 1.2, 260, 0.801, 31_790_344, "111f8e2ac8aa800a7a99e3239f7bfb39")
EFFICIENTNET_B3 = _efficientnet(3, 1.2, 1.4, 300, 0.816, 43_941_136, "af6d107764bb5b1abb91932881670226")

EFFICIENTNET_V2_B0 = _efficientnet_v2(0, 1.0, 224, 0.787, 24_274_472, "893217f2bb855e2983157299931e43ff")
EFFICIENTNET_V2_B1 = _efficientnet_v2(1, 1.1, 240, 0.798, 28_456_008, "0e80663031ca32d657f9caa404b6ec37")
