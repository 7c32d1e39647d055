"""Registry row of Xception."""

from __future__ import annotations

import itertools

from tlcore.backbones.spec import (
    KERAS_APPLICATIONS,
    MINUS_ONE_TO_ONE,
    BackboneSpec,
    BlockSpec,
    Window,
    conv_parameters,
    keras_weights,
)

HALVE = (Window(3, 2),)
MIDDLE_CHANNELS = 728


def _separable(name: str, last_layer: str, channels: tuple[int, ...], *, halves: bool) -> BlockSpec:
    """Return a block of separable convolutions, from the first number of channels through the others.

    A block that halves the size has a 1x1 convolution on its shortcut.
    """
    convolutions = batch_norm = 0
    for before, after in itertools.pairwise(channels):
        convolutions += 9 * before + conv_parameters(before, after, 1)
        batch_norm += 4 * after
    if halves:
        convolutions += conv_parameters(channels[0], channels[-1], 1)
        batch_norm += 4 * channels[-1]
    return BlockSpec(
        name=name,
        last_layer=last_layer,
        channels=channels[-1],
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=HALVE if halves else (),
    )


def xception_blocks() -> tuple[BlockSpec, ...]:
    """Return the fourteen blocks.

    Source:
        Chollet 2016, https://arxiv.org/abs/1610.02357, figure 5, as built by keras.applications.
    """
    batch_norm = 4 * (32 + 64)
    first = BlockSpec(
        name="block1",
        last_layer="block1_conv2_act",
        channels=64,
        parameters=conv_parameters(3, 32, 9) + conv_parameters(32, 64, 9) + batch_norm,
        batch_norm_parameters=batch_norm,
        windows=(Window(3, 2, "valid"), Window(3, 1, "valid")),
    )
    middle = (MIDDLE_CHANNELS,) * 4
    return (
        first,
        _separable("block2", "add", (64, 128, 128), halves=True),
        _separable("block3", "add_1", (128, 256, 256), halves=True),
        _separable("block4", "add_2", (256, MIDDLE_CHANNELS, MIDDLE_CHANNELS), halves=True),
        *(_separable(f"block{number}", f"add_{number - 2}", middle, halves=False) for number in range(5, 13)),
        _separable("block13", "add_11", (MIDDLE_CHANNELS, MIDDLE_CHANNELS, 1024), halves=True),
        _separable("block14", "block14_sepconv2_act", (1024, 1536, 2048), halves=False),
    )


XCEPTION = BackboneSpec(
    name="xception",
    title="Xception",
    builder="keras.applications:Xception",
    imagenet_top1=0.79,
    imagenet_source=KERAS_APPLICATIONS,
    default_size=299,
    minimum_size=71,
    preprocessing=MINUS_ONE_TO_ONE,
    weights=keras_weights(
        "xception",
        "xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
        83_683_744,
        "b0042744bf5b25fce3cb969f33bebb97",
    ),
    blocks=xception_blocks(),
)
