"""Every backbone that a person can choose: one row each, and small networks by their name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from tlcore.backbones.rows import ROWS
from tlcore.backbones.small_cnn import DEFAULT_FILTERS, small_cnn_filters, small_cnn_name, small_cnn_spec
from tlcore.backbones.spec import BackboneSpec, BlockSpec, output_shape

__all__ = ["BACKBONES", "BackboneSpec", "get_backbone", "output_shape", "small_cnn_filters", "small_cnn_name"]

BLOCKS_PATH = Path(__file__).with_name("blocks.json")
MEASURED = msgspec.json.decode(BLOCKS_PATH.read_bytes(), type=dict[str, tuple[BlockSpec, ...]])
"""The blocks of each backbone, from the picture up, by its name; `measure_blocks` measured them in Keras."""

BACKBONES: tuple[BackboneSpec, ...] = tuple(replace(row, blocks=MEASURED.get(row.name, ())) for row in ROWS)


def get_backbone(name: str) -> BackboneSpec:
    """Return the row of a backbone, or describe the small network of that name.

    Raises:
        ValueError: If there is no backbone of that name.
    """
    for spec in BACKBONES:
        if spec.name == name and not spec.blocks:
            raise ValueError(f"`{name}` must be measured first: python -m tlcore.backbones.measure_blocks {name}")
        if spec.name == name:
            return spec
    filters = small_cnn_filters(name)
    if filters is not None:
        return small_cnn_spec(filters)
    names = ", ".join(spec.name for spec in BACKBONES)
    raise ValueError(
        f"`name` must be one of {names}, or a small network such as {small_cnn_name(DEFAULT_FILTERS)}. "
        f"Received: name={name!r}"
    )
