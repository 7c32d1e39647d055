"""Registry rows of the Inception family."""

from __future__ import annotations

from tlcore.backbones.spec import MINUS_ONE_TO_ONE, BackboneSpec, BlockSpec, WeightsSpec, Window, conv_parameters

# A branch is a chain of convolutions: (channels, kernel area) each.
Branch = tuple[tuple[int, int], ...]

HALVE = (Window(3, 2, "valid"),)


def _block(
    name: str,
    channels_in: int,
    branches: tuple[Branch, ...],
    channels_out: int,
    *,
    last_layer: str | None = None,
    forks: tuple[tuple[int, Branch], ...] = (),
    windows: tuple[Window, ...] = (),
) -> BlockSpec:
    """Return a block of parallel branches, each convolution with a batch normalization that has no scale.

    `forks` are branches that start from another number of channels than the block's input.
    """
    convolutions = batch_norm = 0
    for start, branch in (*((channels_in, branch) for branch in branches), *forks):
        channels = start
        for filters, area in branch:
            convolutions += conv_parameters(channels, filters, area)
            batch_norm += 3 * filters
            channels = filters
    return BlockSpec(
        name=name,
        last_layer=last_layer or name,
        channels=channels_out,
        parameters=convolutions + batch_norm,
        batch_norm_parameters=batch_norm,
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
    stem_windows = (
        Window(3, 2, "valid"),
        Window(3, 1, "valid"),
        *HALVE,
        Window(3, 1, "valid"),
        *HALVE,
    )
    stem = ((32, 9), (32, 9), (64, 9), (80, 1), (192, 9))
    return (
        _block("stem", 3, (stem,), 192, last_layer="max_pooling2d_1", windows=stem_windows),
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


INCEPTION_V3 = BackboneSpec(
    name="inception_v3",
    title="InceptionV3",
    builder="keras.applications:InceptionV3",
    imagenet_top1=0.779,
    imagenet_source="https://keras.io/api/applications/",
    default_size=299,
    minimum_size=75,
    preprocessing=MINUS_ONE_TO_ONE,
    weights=WeightsSpec(
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        download_bytes=87_910_968,
        url="https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
        md5="bcbd6486424b2319ff4ef7d526e38f63",
    ),
    blocks=inception_v3_blocks(),
)
