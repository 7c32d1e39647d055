"""The small network that learns from scratch: its name carries its architecture."""

from __future__ import annotations

from itertools import pairwise

from tlcore.backbones.spec import ZERO_TO_ONE, BackboneSpec, BlockSpec

PREFIX = "small_cnn"
MAX_BLOCKS = 6
MIN_FILTERS, MAX_FILTERS = 4, 512
DEFAULT_FILTERS = (32, 64, 128)


def small_cnn_name(filters: tuple[int, ...]) -> str:
    """Return the backbone name of a small network, such as `small_cnn-32-64-128`.

    Args:
        filters: Filters of the 3x3 convolution of each block, from the picture up.

    Raises:
        ValueError: If there are too few or too many blocks or filters.
    """
    if not 1 <= len(filters) <= MAX_BLOCKS:
        raise ValueError(f"`filters` must have 1 to {MAX_BLOCKS} numbers. Received: filters={filters}")
    if not all(MIN_FILTERS <= number <= MAX_FILTERS for number in filters):
        raise ValueError(
            f"`filters` must be numbers between {MIN_FILTERS} and {MAX_FILTERS}. Received: filters={filters}"
        )
    return "-".join([PREFIX, *map(str, filters)])


def small_cnn_filters(name: str) -> tuple[int, ...] | None:
    """Return the filters that a name carries, `None` when it is not the name of a small network."""
    prefix, *numbers = name.split("-")
    if prefix != PREFIX:
        return None
    try:
        filters = tuple(map(int, numbers))
        # One network has one name, so `032` is none.
        return filters if small_cnn_name(filters) == name else None
    except ValueError:
        return None


def small_cnn_spec(filters: tuple[int, ...]) -> BackboneSpec:
    """Describe a small network: per block a 3x3 convolution with ReLU, then a pooling that halves the size.

    Raises:
        ValueError: If there are too few or too many blocks or filters.
    """
    blocks = tuple(
        BlockSpec(
            name=f"conv{number}",
            last_layer=f"pool{number}",
            channels=channels_out,
            parameters=9 * channels * channels_out + channels_out,
            window=2,
            stride=2,
        )
        for number, (channels, channels_out) in enumerate(pairwise((3, *filters)), start=1)
    )
    return BackboneSpec(
        name=small_cnn_name(filters),
        title=f"Small CNN ({', '.join(map(str, filters))} filters)",
        builder="tlcore.backbones.keras_models:build_small_cnn",
        arguments=(("filters", filters),),
        imagenet_top1=None,
        imagenet_source="",
        # Larger pictures take minutes to learn from and teach such a network little more.
        default_size=64,
        # Every block halves the size, and at least one position must be left.
        minimum_size=max(32, 2 ** len(filters)),
        preprocessing=ZERO_TO_ONE,
        weights=None,
        blocks=blocks,
    )
