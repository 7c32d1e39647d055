"""Registry rows of the Inception family: InceptionV3 and InceptionResNetV2."""

from __future__ import annotations

from tlcore.backbones.spec import (
    KERAS_APPLICATIONS,
    MINUS_ONE_TO_ONE,
    BackboneSpec,
    BlockSpec,
    Window,
    conv_parameters,
    keras_weights,
)

# A branch is a chain of convolutions: (channels, kernel area) each.
Branch = tuple[tuple[int, int], ...]

HALVE = (Window(3, 2, "valid"),)

STEM: Branch = ((32, 9), (32, 9), (64, 9), (80, 1), (192, 9))
STEM_WINDOWS = (*HALVE, Window(3, 1, "valid"), *HALVE, Window(3, 1, "valid"), *HALVE)


def _block(
    name: str,
    channels_in: int,
    branches: tuple[Branch, ...],
    channels_out: int,
    *,
    last_layer: str | None = None,
    forks: tuple[tuple[int, Branch], ...] = (),
    windows: tuple[Window, ...] = (),
    mixed: int = 0,
) -> BlockSpec:
    """Return a block of parallel branches, each convolution with a batch normalization that has no scale.

    `forks` are branches that start from another number of channels than the block's input. `mixed` channels of
    all branches are brought to the block's output by a 1x1 convolution with bias, to be added to its input.
    """
    convolutions = batch_norm = 0
    for start, branch in (*((channels_in, branch) for branch in branches), *forks):
        channels = start
        for filters, area in branch:
            convolutions += conv_parameters(channels, filters, area)
            batch_norm += 3 * filters
            channels = filters
    if mixed:
        convolutions += conv_parameters(mixed, channels_out, 1, bias=True)
    return BlockSpec(
        name=name,
        last_layer=last_layer or name,
        channels=channels_out,
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
        batch_norm_scale=False,
        windows=windows,
    )


def _fine(name: str, channels: int, pooled: int) -> BlockSpec:
    branches = (((64, 1),), ((48, 1), (64, 25)), ((64, 1), (96, 9), (96, 9)), ((pooled, 1),))
    return _block(name, channels, branches, 64 + 64 + 96 + pooled)


def _middle(name: str, narrow: int) -> BlockSpec:
    branches = (
        ((192, 1),),
        ((narrow, 1), (narrow, 7), (192, 7)),
        ((narrow, 1), (narrow, 7), (narrow, 7), (narrow, 7), (192, 7)),
        ((192, 1),),
    )
    return _block(name, 768, branches, 4 * 192)


def _coarse(name: str, channels: int) -> BlockSpec:
    branches = (((320, 1),), ((384, 1),), ((448, 1), (384, 9)), ((192, 1),))
    forks = ((384, ((384, 3),)),) * 4
    return _block(name, channels, branches, 320 + 4 * 384 + 192, forks=forks)


def inception_v3_blocks() -> tuple[BlockSpec, ...]:
    """Return the stem and the eleven mixed blocks.

    Source:
        Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, as built by keras.applications.
    """
    return (
        _block("stem", 3, (STEM,), 192, last_layer="max_pooling2d_1", windows=STEM_WINDOWS),
        _fine("mixed0", 192, 32),
        _fine("mixed1", 256, 64),
        _fine("mixed2", 288, 64),
        _block("mixed3", 288, (((384, 9),), ((64, 1), (96, 9), (96, 9))), 384 + 96 + 288, windows=HALVE),
        _middle("mixed4", 128),
        _middle("mixed5", 160),
        _middle("mixed6", 160),
        _middle("mixed7", 192),
        _block(
            "mixed8",
            768,
            (((192, 1), (320, 9)), ((192, 1), (192, 7), (192, 7), (192, 9))),
            320 + 192 + 768,
            windows=HALVE,
        ),
        _coarse("mixed9", 1280),
        _coarse("mixed10", 2048),
    )


def inception_resnet_v2_blocks() -> tuple[BlockSpec, ...]:
    """Return the stem, three groups of residual blocks with what leads to each, and the last convolution.

    Source:
        Szegedy et al. 2016, https://arxiv.org/abs/1602.07261, as built by keras.applications.
    """
    fine: tuple[Branch, ...] = (((32, 1),), ((32, 1), (32, 9)), ((32, 1), (48, 9), (64, 9)))
    middle: tuple[Branch, ...] = (((192, 1),), ((128, 1), (160, 7), (192, 7)))
    coarse: tuple[Branch, ...] = (((192, 1),), ((192, 1), (224, 3), (256, 3)))
    to_fine: tuple[Branch, ...] = (((96, 1),), ((48, 1), (64, 25)), ((64, 1), (96, 9), (96, 9)), ((64, 1),))
    to_middle: tuple[Branch, ...] = (((384, 9),), ((256, 1), (256, 9), (384, 9)))
    to_coarse: tuple[Branch, ...] = (
        ((256, 1), (384, 9)),
        ((256, 1), (288, 9)),
        ((256, 1), (288, 9), (320, 9)),
    )
    blocks = [
        _block("stem", 3, (STEM,), 192, last_layer="max_pooling2d_1", windows=STEM_WINDOWS),
        _block("mixed_5b", 192, to_fine, 320),
        *(_residual(f"block35_{number}", 320, fine) for number in range(1, 11)),
        _block("mixed_6a", 320, to_middle, 1088, windows=HALVE),
        *(_residual(f"block17_{number}", 1088, middle) for number in range(1, 21)),
        _block("mixed_7a", 1088, to_coarse, 2080, windows=HALVE),
        *(_residual(f"block8_{number}", 2080, coarse) for number in range(1, 10)),
        # The last residual block has no activation: it ends with Keras's fortieth scaled addition.
        _residual("block8_10", 2080, coarse, last_layer="custom_scale_layer_39"),
        _block("conv_7b", 2080, (((1536, 1),),), 1536, last_layer="conv_7b_ac"),
    ]
    return tuple(blocks)


def _residual(name: str, channels: int, branches: tuple[Branch, ...], last_layer: str | None = None) -> BlockSpec:
    mixed = sum(branch[-1][0] for branch in branches)
    return _block(name, channels, branches, channels, last_layer=last_layer or f"{name}_ac", mixed=mixed)


def _inception(
    name: str, title: str, top1: float, download_bytes: int, md5: str, blocks: tuple[BlockSpec, ...]
) -> BackboneSpec:
    filename = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    return BackboneSpec(
        name=name,
        title=title,
        builder=f"keras.applications:{title}",
        imagenet_top1=top1,
        imagenet_source=KERAS_APPLICATIONS,
        default_size=299,
        minimum_size=75,
        preprocessing=MINUS_ONE_TO_ONE,
        weights=keras_weights(name, filename, download_bytes, md5),
        blocks=blocks,
    )


INCEPTION_V3 = _inception(
    "inception_v3",
    "InceptionV3",
    0.779,
    87_910_968,
    "bcbd6486424b2319ff4ef7d526e38f63",
    inception_v3_blocks(),
)

INCEPTION_RESNET_V2 = _inception(
    "inception_resnet_v2",
    "InceptionResNetV2",
    0.803,
    219_055_592,
    "d19885ff4a710c122648d3b5c3b684e4",
    inception_resnet_v2_blocks(),
)
