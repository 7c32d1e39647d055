"""Make the table of blocks from Keras: `python -m tlcore.backbones.measure_blocks [NAME ...]`, all without a name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import keras
import msgspec

from tlcore.backbones.keras_models import block_layers, block_output, build_network
from tlcore.backbones.registry import BLOCKS_PATH, MEASURED
from tlcore.backbones.rows import ROWS
from tlcore.backbones.spec import BackboneSpec, BlockSpec

SIZES = (75, 98, 129, 131, 144, 192, 208, 255, 299)
"""Sides of pictures, in pixels, at which networks are built: blocks get odd sizes and even ones, small and large."""


def measure_blocks(row: BackboneSpec) -> tuple[BlockSpec, ...]:
    """Build a row's network with random weights at several sizes and return its blocks, from the picture up.

    Raises:
        ValueError: If `block_ends` does not fit the network.
    """
    passed: list[list[tuple[int, int]]] = []  # of each block the sizes that it got and gave
    for size in SIZES:
        model = build_network(row, size)
        ends = find_block_ends([operation.name for operation in model.operations], row)
        bare = replace(row, blocks=tuple(BlockSpec(name, last, 0, 0) for name, last in ends.items()))
        sizes = [size, *(block_output(model, bare, name).shape[1] for name in ends)]
        passed = passed or [[] for _ in ends]
        for pairs, pair in zip(passed, pairwise(sizes), strict=True):
            pairs.append(pair)
    layers = block_layers(model, bare)
    return tuple(
        _block(end, block_output(model, bare, end.name).shape[-1], layers[end.name], pairs)
        for end, pairs in zip(bare.blocks, passed, strict=True)
    )


def find_block_ends(layer_names: Sequence[str], row: BackboneSpec) -> dict[str, str]:
    """Return the last layer of each block, by the block's name, from the picture up.

    Raises:
        ValueError: If no layer ends a block, or the last layer of the network ends none.
    """
    ends: dict[str, str] = {}
    for layer_name in layer_names:
        for pattern, name in row.block_ends:
            if match := re.fullmatch(pattern, layer_name):
                block = match.expand(name)
                ends.pop(block, None)  # the last of several ends counts, and so does its place
                ends[block] = layer_name
    if not ends or list(ends.values())[-1] != layer_names[-1]:
        raise ValueError(f"`block_ends` of {row.name} must end a block at {layer_names[-1]}. Received: {ends}")
    return ends


def _block(
    end: BlockSpec, channels: int, layers: Sequence[keras.layers.Layer], passed: Sequence[tuple[int, int]]
) -> BlockSpec:
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    window, stride = _window(passed)
    return replace(
        end,
        channels=channels,
        parameters=_count(layers),
        batch_norm_parameters=_count(norms),
        batch_norm_scale=all(layer.scale for layer in norms),
        pixel_statistics=_count(layer for layer in layers if isinstance(layer, keras.layers.Normalization)),
        window=window,
        stride=stride,
    )


def _window(passed: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the `window` and `stride` of a block that got and gave these sizes.

    Raises:
        ValueError: If no window does what the block does, or it never got both an odd and an even size.
    """
    size, output = max(passed)
    for stride in (2**power for power in range(6)):
        for window in range(size - stride * output + 1, size - stride * (output - 1) + 1):
            if all((before - window) // stride + 1 == after for before, after in passed):
                if stride > 1 and len({before % 2 for before, _ in passed}) < 2:
                    raise ValueError(f"`SIZES` must bring odd and even sizes to every block. Received: {passed}")
                return window, stride
    raise ValueError(f"`passed` must be sizes as a window changes them. Received: passed={passed}")


def _count(layers: Iterable[keras.layers.Layer]) -> int:
    return sum(layer.count_params() for layer in layers)


def main(names: Sequence[str]) -> None:
    """Measure the named rows, or all, and write the table in the order of the rows."""
    blocks = dict(MEASURED)
    for row in ROWS:
        if not names or row.name in names:
            print(row.name, flush=True)
            blocks[row.name] = measure_blocks(row)
            keras.utils.clear_session()
    text = ",\n".join(_as_json(row.name, blocks[row.name]) for row in ROWS if row.name in blocks)
    BLOCKS_PATH.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")


def _as_json(name: str, blocks: Iterable[BlockSpec]) -> str:
    """Return one backbone of the table, one block in a line; what a block has as most have it is left out."""
    usual = BlockSpec("", "", 0, 0)
    lines = []
    for block in blocks:
        fields = {field: getattr(block, field) for field in block.__slots__}
        said = {field: value for field, value in fields.items() if value != getattr(usual, field)}
        lines.append("    " + msgspec.json.encode(said).decode())
    return f'  "{name}": [\n' + ",\n".join(lines) + "\n  ]"


if __name__ == "__main__":
    main(sys.argv[1:])
