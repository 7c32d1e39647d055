"""Registry rows of MobileNetV3, small and large."""

from __future__ import annotations

from tlcore.backbones.rows.blocks import convolution_block, divisible_by_8, inverted_residual
from tlcore.backbones.spec import RAW_PIXELS, BackboneSpec, BlockSpec, keras_weights

# (kernel, stride, expansion, channels, squeeze-and-excitation) of each block.
# Source: Howard et al. 2019, https://arxiv.org/abs/1905.02244, tables 1 and 2, as built by keras.applications.
Stage = tuple[int, int, float, int, bool]

SMALL_BLOCKS: tuple[Stage, ...] = (
    (3, 2, 1, 16, True),
    (3, 2, 72 / 16, 24, False),
    (3, 1, 88 / 24, 24, False),
    (5, 2, 4, 40, True),
    (5, 1, 6, 40, True),
    (5, 1, 6, 40, True),
    (5, 1, 3, 48, True),
    (5, 1, 3, 48, True),
    (5, 2, 6, 96, True),
    (5, 1, 6, 96, True),
    (5, 1, 6, 96, True),
)
LARGE_BLOCKS: tuple[Stage, ...] = (
    (3, 1, 1, 16, False),
    (3, 2, 4, 24, False),
    (3, 1, 3, 24, False),
    (5, 2, 3, 40, True),
    (5, 1, 3, 40, True),
    (5, 1, 3, 40, True),
    (3, 2, 6, 80, False),
    (3, 1, 2.5, 80, False),
    (3, 1, 2.3, 80, False),
    (3, 1, 2.3, 80, False),
    (3, 1, 6, 112, True),
    (3, 1, 6, 112, True),
    (5, 2, 6, 160, True),
    (5, 1, 6, 160, True),
    (5, 1, 6, 160, True),
)
# The accuracies stand in the documentation of these functions.
SOURCE = "https://keras.io/api/applications/mobilenet/"


def mobilenet_v3_blocks(table: tuple[Stage, ...], last_activation: str) -> tuple[BlockSpec, ...]:
    """Return the blocks of MobileNetV3; `last_activation` is the name that Keras gives the last layer."""
    channels = 16
    blocks = [convolution_block("conv", "activation", 3, channels, 3, 2)]
    for number, (kernel, stride, expansion, channels_out, squeezes) in enumerate(table):
        name = f"expanded_conv_{number}" if number else "expanded_conv"
        adds = stride == 1 and channels == channels_out
        width = divisible_by_8(channels * expansion)
        blocks.append(
            inverted_residual(
                name,
                f"{name}_add" if adds else f"{name}_project_bn",
                channels,
                channels_out,
                kernel,
                stride,
                wide=width if number else None,
                squeeze=divisible_by_8(width / 4) if squeezes else 0,
            )
        )
        channels = channels_out
    blocks.append(convolution_block("conv_1", last_activation, channels, divisible_by_8(6 * channels), 1, 1))
    return tuple(blocks)


MOBILENET_V3_SMALL = BackboneSpec(
    name="mobilenet_v3_small",
    title="MobileNetV3 Small",
    builder="keras.applications:MobileNetV3Small",
    imagenet_top1=0.681,
    imagenet_source=SOURCE,
    default_size=224,
    minimum_size=32,
    preprocessing=RAW_PIXELS,
    weights=keras_weights(
        "mobilenet_v3",
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        4_334_752,
        "d3e8ec802a04aa4fc771ee12a9a9b836",
    ),
    blocks=mobilenet_v3_blocks(SMALL_BLOCKS, "activation_17"),
)

MOBILENET_V3_LARGE = BackboneSpec(
    name="mobilenet_v3_large",
    title="MobileNetV3 Large",
    builder="keras.applications:MobileNetV3Large",
    imagenet_top1=0.756,
    imagenet_source=SOURCE,
    default_size=224,
    minimum_size=32,
    preprocessing=RAW_PIXELS,
    weights=keras_weights(
        "mobilenet_v3",
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        12_683_000,
        "07fb09a5933dd0c8eaafa16978110389",
    ),
    blocks=mobilenet_v3_blocks(LARGE_BLOCKS, "activation_19"),
)
