"""Registry rows of MobileNet and of MobileNetV2 in six widths."""

from __future__ import annotations

from tlcore.backbones.rows.blocks import convolution_block, divisible_by_8, inverted_residual
from tlcore.backbones.spec import (
    KERAS_APPLICATIONS,
    MINUS_ONE_TO_ONE,
    BackboneSpec,
    BlockSpec,
    Window,
    conv_parameters,
    keras_weights,
)

# (stride, channels) of each block. Source: Howard et al. 2017, https://arxiv.org/abs/1704.04861, table 1.
MOBILENET_BLOCKS = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)

# (stride of the first block, expansion, channels, blocks) of each stage.
# Source: Sandler et al. 2018, https://arxiv.org/abs/1801.04381, table 2.
MOBILENET_V2_STAGES = (
    (1, 1, 16, 1),
    (2, 6, 24, 2),
    (2, 6, 32, 3),
    (2, 6, 64, 4),
    (1, 6, 96, 3),
    (2, 6, 160, 3),
    (1, 6, 320, 1),
)
MOBILENET_V2_WIDTHS_SOURCE = "https://www.tensorflow.org/api_docs/python/tf/keras/applications/mobilenet_v2"


def mobilenet_blocks() -> tuple[BlockSpec, ...]:
    """Return the first convolution and the thirteen blocks of a depthwise and a 1x1 convolution."""
    channels = 32
    blocks = [convolution_block("conv1", "conv1_relu", 3, channels, 3, 2)]
    for number, (stride, channels_out) in enumerate(MOBILENET_BLOCKS, start=1):
        batch_norm = 4 * (channels + channels_out)
        blocks.append(
            BlockSpec(
                name=f"block_{number}",
                last_layer=f"conv_pw_{number}_relu",
                channels=channels_out,
                parameters=9 * channels + conv_parameters(channels, channels_out, 1) + batch_norm,
                batch_norm_parameters=batch_norm,
                # Keras pads one side only before a 3x3 window of stride 2: the size is that of a 2x2 window.
                windows=(Window(3, 1) if stride == 1 else Window(2, 2, "valid"),),
            )
        )
        channels = channels_out
    return tuple(blocks)


def mobilenet_v2_blocks(alpha: float) -> tuple[BlockSpec, ...]:
    """Return the blocks of MobileNetV2; `alpha` scales the channels."""
    channels = divisible_by_8(32 * alpha)
    blocks = [convolution_block("Conv1", "Conv1_relu", 3, channels, 3, 2)]
    for first_stride, expansion, stage_channels, repeats in MOBILENET_V2_STAGES:
        channels_out = divisible_by_8(int(stage_channels * alpha))
        for index in range(repeats):
            number = len(blocks) - 1
            name = f"block_{number}" if number else "expanded_conv"
            stride = 1 if index else first_stride
            adds = stride == 1 and channels == channels_out
            last_layer = f"{name}_add" if adds else f"{name}_project_BN"
            wide = None if expansion == 1 else expansion * channels
            blocks.append(inverted_residual(name, last_layer, channels, channels_out, 3, stride, wide=wide))
            channels = channels_out
    top_channels = divisible_by_8(1280 * alpha) if alpha > 1 else 1280
    blocks.append(convolution_block("Conv_1", "out_relu", channels, top_channels, 1, 1))
    return tuple(blocks)


def _mobilenet_v2(
    name: str, title: str, alpha: float, top1: float, source: str, download_bytes: int | None = None
) -> BackboneSpec:
    """Return the row of one width; without a known size of the file that of its numbers stands for it."""
    blocks = mobilenet_v2_blocks(alpha)
    return BackboneSpec(
        name=name,
        title=title,
        builder="keras.applications:MobileNetV2",
        arguments=(("alpha", alpha),),
        imagenet_top1=top1,
        imagenet_source=source,
        default_size=224,
        minimum_size=32,
        preprocessing=MINUS_ONE_TO_ONE,
        weights=keras_weights(
            "mobilenet_v2",
            f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5",
            download_bytes or 4 * sum(block.parameters for block in blocks),
            size_is_exact=download_bytes is not None,
        ),
        blocks=blocks,
    )


MOBILENET = BackboneSpec(
    name="mobilenet",
    title="MobileNet",
    builder="keras.applications:MobileNet",
    imagenet_top1=0.704,
    imagenet_source=KERAS_APPLICATIONS,
    default_size=224,
    minimum_size=32,
    preprocessing=MINUS_ONE_TO_ONE,
    # As published: far more than 4 bytes for each number.
    weights=keras_weights("mobilenet", "mobilenet_1_0_224_tf_no_top.h5", 17_225_924),
    blocks=mobilenet_blocks(),
)

MOBILENET_V2_035 = _mobilenet_v2("mobilenet_v2_035", "MobileNetV2 0.35", 0.35, 0.603, MOBILENET_V2_WIDTHS_SOURCE)
MOBILENET_V2_050 = _mobilenet_v2("mobilenet_v2_050", "MobileNetV2 0.5", 0.5, 0.654, MOBILENET_V2_WIDTHS_SOURCE)
MOBILENET_V2_075 = _mobilenet_v2("mobilenet_v2_075", "MobileNetV2 0.75", 0.75, 0.698, MOBILENET_V2_WIDTHS_SOURCE)
MOBILENET_V2 = _mobilenet_v2("mobilenet_v2", "MobileNetV2", 1.0, 0.713, KERAS_APPLICATIONS, 9_406_464)
MOBILENET_V2_130 = _mobilenet_v2("mobilenet_v2_130", "MobileNetV2 1.3", 1.3, 0.744, MOBILENET_V2_WIDTHS_SOURCE)
MOBILENET_V2_140 = _mobilenet_v2("mobilenet_v2_140", "MobileNetV2 1.4", 1.4, 0.75, MOBILENET_V2_WIDTHS_SOURCE)
