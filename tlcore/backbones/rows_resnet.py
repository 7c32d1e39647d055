"""Registry rows of the ResNet family."""

from __future__ import annotations

from tlcore.backbones.spec import CAFFE, BackboneSpec, BlockSpec, WeightsSpec, Window, conv_parameters

# (narrow channels, blocks) of each stage. Source: He et al. 2015, https://arxiv.org/abs/1512.03385, table 1.
RESNET50_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
WIDENING = 4


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


def resnet_blocks(stages: tuple[tuple[int, int], ...]) -> tuple[BlockSpec, ...]:
    """Return the first convolution with its pooling, then every residual block (version 1)."""
    channels = 64
    blocks = [
        BlockSpec(
            name="conv1",
            last_layer="pool1_pool",
            channels=channels,
            parameters=conv_parameters(3, channels, 49, bias=True) + 4 * channels,
            batch_norm_parameters=4 * channels,
            windows=(Window(7, 2, 3), Window(3, 2, 1)),
        )
    ]
    for stage, (narrow, repeats) in enumerate(stages, start=2):
        for number in range(1, repeats + 1):
            stride = 2 if number == 1 and stage > 2 else 1
            blocks.append(_bottleneck(f"conv{stage}_block{number}", channels, narrow, stride, project=number == 1))
            channels = WIDENING * narrow
    return tuple(blocks)


RESNET50 = BackboneSpec(
    name="resnet50",
    title="ResNet50",
    builder="keras.applications:ResNet50",
    imagenet_top1=0.749,
    imagenet_source="https://keras.io/api/applications/",
    default_size=224,
    minimum_size=32,
    preprocessing=CAFFE,
    weights=WeightsSpec(
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_bytes=94_765_736,
        url="https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="4d473c1dd8becc155b73f8504c6f6626",
    ),
    blocks=resnet_blocks(RESNET50_STAGES),
)
