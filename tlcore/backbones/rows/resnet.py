"""Registry rows of the ResNet family: versions 1 and 2."""

from __future__ import annotations

from tlcore.backbones.spec import (
    CAFFE,
    KERAS_APPLICATIONS,
    MINUS_ONE_TO_ONE,
    BackboneSpec,
    BlockSpec,
    PreprocessingSpec,
    Window,
    conv_parameters,
    keras_weights,
)

# (narrow channels, blocks) of each stage. Source: He et al. 2015, https://arxiv.org/abs/1512.03385, table 1.
RESNET50_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
RESNET101_STAGES = ((64, 3), (128, 4), (256, 23), (512, 3))
FIRST_CHANNELS = 64
WIDENING = 4


def _first_block(*, batch_norm: int) -> BlockSpec:
    """Return the first convolution, with bias, and its pooling."""
    return BlockSpec(
        name="conv1",
        last_layer="pool1_pool",
        channels=FIRST_CHANNELS,
        parameters=conv_parameters(3, FIRST_CHANNELS, 49, bias=True) + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=(Window(7, 2, 3), Window(3, 2, 1)),
    )


def _bottleneck(name: str, channels: int, narrow: int, stride: int, *, project: bool) -> BlockSpec:
    """Return a block of 1x1, 3x3 and 1x1 convolutions with bias; `project` adds a 1x1 on the shortcut."""
    wide = WIDENING * narrow
    convolutions = (
        conv_parameters(channels, narrow, 1, bias=True)
        + conv_parameters(narrow, narrow, 9, bias=True)
        + conv_parameters(narrow, wide, 1, bias=True)
    )
    batch_norm = 4 * (narrow + narrow + wide)
    if project:
        convolutions += conv_parameters(channels, wide, 1, bias=True)
        batch_norm += 4 * wide
    return BlockSpec(
        name=name,
        last_layer=f"{name}_out",
        channels=wide,
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=(Window(1, stride, "valid"),),
    )


def _preactivated(name: str, channels: int, narrow: int, stride: int, *, project: bool, last: bool) -> BlockSpec:
    """Return a block of version 2: batch normalization comes before each convolution.

    `last` adds the normalization after the whole network, which is no block of its own: it has nothing to train.
    """
    wide = WIDENING * narrow
    convolutions = (
        conv_parameters(channels, narrow, 1)
        + conv_parameters(narrow, narrow, 9)
        + conv_parameters(narrow, wide, 1, bias=True)
    )
    batch_norm = 4 * (channels + narrow + narrow)
    if project:
        convolutions += conv_parameters(channels, wide, 1, bias=True)
    if last:
        batch_norm += 4 * wide
    return BlockSpec(
        name=name,
        last_layer="post_relu" if last else f"{name}_out",
        channels=wide,
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=(Window(3, stride, 1),),
    )


def resnet_blocks(stages: tuple[tuple[int, int], ...]) -> tuple[BlockSpec, ...]:
    """Return the first convolution with its pooling, then every residual block (version 1)."""
    channels = FIRST_CHANNELS
    blocks = [_first_block(batch_norm=4 * channels)]
    for stage, (narrow, repeats) in enumerate(stages, start=2):
        for number in range(1, repeats + 1):
            stride = 2 if number == 1 and stage > 2 else 1
            blocks.append(_bottleneck(f"conv{stage}_block{number}", channels, narrow, stride, project=number == 1))
            channels = WIDENING * narrow
    return tuple(blocks)


def resnet_v2_blocks(stages: tuple[tuple[int, int], ...]) -> tuple[BlockSpec, ...]:
    """Return the first convolution with its pooling, then every residual block (version 2).

    Source:
        He et al. 2016, https://arxiv.org/abs/1603.05027; here the last block of a stage halves the size.
    """
    channels = FIRST_CHANNELS
    blocks = [_first_block(batch_norm=0)]
    for stage, (narrow, repeats) in enumerate(stages, start=2):
        is_last_stage = stage == len(stages) + 1
        for number in range(1, repeats + 1):
            ends_stage = number == repeats
            blocks.append(
                _preactivated(
                    f"conv{stage}_block{number}",
                    channels,
                    narrow,
                    2 if ends_stage and not is_last_stage else 1,
                    project=number == 1,
                    last=ends_stage and is_last_stage,
                )
            )
            channels = WIDENING * narrow
    return tuple(blocks)


def _resnet(
    name: str,
    title: str,
    top1: float,
    preprocessing: PreprocessingSpec,
    download_bytes: int,
    md5: str,
    blocks: tuple[BlockSpec, ...],
) -> BackboneSpec:
    filename = f"{title.lower()}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return BackboneSpec(
        name=name,
        title=title,
        builder=f"keras.applications:{title}",
        imagenet_top1=top1,
        imagenet_source=KERAS_APPLICATIONS,
        default_size=224,
        minimum_size=32,
        preprocessing=preprocessing,
        weights=keras_weights("resnet", filename, download_bytes, md5),
        blocks=blocks,
    )


RESNET50 = _resnet(
    "resnet50",
    "ResNet50",
    0.749,
    CAFFE,
    94_765_736,
    "4d473c1dd8becc155b73f8504c6f6626",
    resnet_blocks(RESNET50_STAGES),
)

RESNET101 = _resnet(
    "resnet101",
    "ResNet101",
    0.764,
    CAFFE,
    171_446_536,
    "88cf7a10940856eca736dc7b7e228a21",
    resnet_blocks(RESNET101_STAGES),
)

RESNET50_V2 = _resnet(
    "resnet50_v2",
    "ResNet50V2",
    0.76,
    MINUS_ONE_TO_ONE,
    94_668_760,
    "fac2f116257151a9d068a22e544a4917",
    resnet_v2_blocks(RESNET50_STAGES),
)
