"""Registry row of DenseNet121."""

from __future__ import annotations

from tlcore.backbones.spec import (
    KERAS_APPLICATIONS,
    TORCH,
    BackboneSpec,
    BlockSpec,
    Window,
    conv_parameters,
    keras_weights,
)

# Layers of each dense block. Source: Huang et al. 2016, https://arxiv.org/abs/1608.06993, table 1.
DENSENET121_LAYERS = (6, 12, 24, 16)
FIRST_CHANNELS = 64
GROWTH = 32


def _dense_block(name: str, channels: int, layers: int, *, last: bool) -> BlockSpec:
    """Return a dense block: each layer adds `GROWTH` channels to everything before it.

    `last` adds the normalization after the whole network, which is no block of its own: it has nothing to train.
    """
    convolutions = batch_norm = 0
    for _ in range(layers):
        convolutions += conv_parameters(channels, 4 * GROWTH, 1) + conv_parameters(4 * GROWTH, GROWTH, 9)
        batch_norm += 4 * channels + 4 * 4 * GROWTH
        channels += GROWTH
    if last:
        batch_norm += 4 * channels
    return BlockSpec(
        name=name,
        last_layer="relu" if last else f"{name}_block{layers}_concat",
        channels=channels,
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
    )


def _transition(name: str, channels: int) -> BlockSpec:
    """Return a 1x1 convolution to half of the channels and an average pooling to half of the size."""
    return BlockSpec(
        name=name,
        last_layer=f"{name}_pool",
        channels=channels // 2,
        parameters=4 * channels + conv_parameters(channels, channels // 2, 1),
        batch_norm_parameters=4 * channels,
        windows=(Window(2, 2, "valid"),),
    )


def densenet_blocks(layers: tuple[int, ...]) -> tuple[BlockSpec, ...]:
    """Return the first convolution with its pooling, then dense blocks and the transitions between them."""
    blocks = [
        BlockSpec(
            name="conv1",
            last_layer="pool1",
            channels=FIRST_CHANNELS,
            parameters=conv_parameters(3, FIRST_CHANNELS, 49) + 4 * FIRST_CHANNELS,
            batch_norm_parameters=4 * FIRST_CHANNELS,
            windows=(Window(7, 2, 3), Window(3, 2, 1)),
        )
    ]
    for number, count in enumerate(layers, start=2):
        is_last = number == len(layers) + 1
        blocks.append(_dense_block(f"conv{number}", blocks[-1].channels, count, last=is_last))
        if not is_last:
            blocks.append(_transition(f"pool{number}", blocks[-1].channels))
    return tuple(blocks)


DENSENET121 = BackboneSpec(
    name="densenet121",
    title="DenseNet121",
    builder="keras.applications:DenseNet121",
    imagenet_top1=0.75,
    imagenet_source=KERAS_APPLICATIONS,
    default_size=224,
    minimum_size=32,
    preprocessing=TORCH,
    weights=keras_weights(
        "densenet",
        "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
        29_084_464,
        "30ee3e1110167f948a6b9946edeeb738",
    ),
    blocks=densenet_blocks(DENSENET121_LAYERS),
)
