"""Registry rows of the networks made of inverted residuals: EfficientNet-Lite0 and MobileNetV2."""

from __future__ import annotations

from tlcore.backbones.spec import (
    EFFICIENTNET_LITE,
    MINUS_ONE_TO_ONE,
    BackboneSpec,
    BlockSpec,
    WeightsSpec,
    Window,
    conv_parameters,
)

# (kernel, stride of the first block, expansion, channels, blocks) of each stage.
# Source: Tan and Le 2019, https://arxiv.org/abs/1905.11946, table 1; the Lite variant drops squeeze-and-excitation.
LITE0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
LITE0_STEM_CHANNELS = 32
LITE0_TOP_CHANNELS = 1280

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


def convolution_block(
    name: str, last_layer: str, channels_in: int, channels_out: int, kernel: int, stride: int
) -> BlockSpec:
    """Return a block of one convolution without bias and its batch normalization."""
    batch_norm = 4 * channels_out
    return BlockSpec(
        name=name,
        last_layer=last_layer,
        channels=channels_out,
        parameters=conv_parameters(channels_in, channels_out, kernel * kernel) + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=(Window(kernel, stride),),
    )


def inverted_residual(
    name: str, last_layer: str, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int
) -> BlockSpec:
    """Return a block of expansion (unless 1), depthwise convolution and projection, without bias."""
    wide = channels_in * expansion
    convolutions = wide * kernel * kernel + conv_parameters(wide, channels_out, 1)
    batch_norm = 4 * (wide + channels_out)
    if expansion != 1:
        convolutions += conv_parameters(channels_in, wide, 1)
        batch_norm += 4 * wide
    return BlockSpec(
        name=name,
        last_layer=last_layer,
        channels=channels_out,
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=(Window(kernel, stride),),
    )


def lite0_blocks() -> tuple[BlockSpec, ...]:
    """Return the blocks of EfficientNet-Lite0."""
    channels = LITE0_STEM_CHANNELS
    blocks = [convolution_block("stem", "stem_activation", 3, channels, 3, 2)]
    for stage, (kernel, stride, expansion, channels_out, repeats) in enumerate(LITE0_STAGES, start=1):
        for index in range(repeats):
            name = f"block{stage}{'abcd'[index]}"
            last_layer = f"{name}_add" if index else f"{name}_project_bn"
            step = 1 if index else stride
            blocks.append(inverted_residual(name, last_layer, channels, channels_out, kernel, step, expansion))
            channels = channels_out
    blocks.append(convolution_block("top", "top_activation", channels, LITE0_TOP_CHANNELS, 1, 1))
    return tuple(blocks)


def _divisible_by_8(channels: float) -> int:
    """Round as Keras does: to a multiple of 8, never down by more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v2_blocks(alpha: float) -> tuple[BlockSpec, ...]:
    """Return the blocks of MobileNetV2; `alpha` scales the channels."""
    channels = _divisible_by_8(32 * alpha)
    blocks = [convolution_block("Conv1", "Conv1_relu", 3, channels, 3, 2)]
    for first_stride, expansion, stage_channels, repeats in MOBILENET_V2_STAGES:
        channels_out = _divisible_by_8(int(stage_channels * alpha))
        for index in range(repeats):
            number = len(blocks) - 1
            name = f"block_{number}" if number else "expanded_conv"
            stride = 1 if index else first_stride
            adds = stride == 1 and channels == channels_out
            last_layer = f"{name}_add" if adds else f"{name}_project_BN"
            blocks.append(inverted_residual(name, last_layer, channels, channels_out, 3, stride, expansion))
            channels = channels_out
    top_channels = _divisible_by_8(1280 * alpha) if alpha > 1 else 1280
    blocks.append(convolution_block("Conv_1", "out_relu", channels, top_channels, 1, 1))
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

MOBILENET_V2 = BackboneSpec(
    name="mobilenet_v2",
    title="MobileNetV2",
    builder="keras.applications:MobileNetV2",
    arguments=(("alpha", 1.0),),
    imagenet_top1=0.713,
    imagenet_source="https://keras.io/api/applications/",
    default_size=224,
    minimum_size=32,
    preprocessing=MINUS_ONE_TO_ONE,
    weights=WeightsSpec(
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        download_bytes=9_406_464,
        url="https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    ),
    blocks=mobilenet_v2_blocks(1.0),
)
