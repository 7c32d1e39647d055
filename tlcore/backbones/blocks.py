"""The blocks of the backbones, measured in Keras by `tlcore.backbones.measure_blocks` and kept beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tlcore.backbones.spec import BlockSpec

BLOCKS_PATH = Path(__file__).with_suffix(".json")


def read_blocks() -> dict[str, tuple[BlockSpec, ...]]:
    """Return the blocks of each backbone, from the picture up, by the backbone's name."""
    return msgspec.json.decode(BLOCKS_PATH.read_bytes(), type=dict[str, tuple[BlockSpec, ...]])


def write_blocks(blocks: Mapping[str, tuple[BlockSpec, ...]]) -> None:
    """Write the table, one block in a line; what a block has as most have it is left out."""
    usual = BlockSpec("", "", 0, 0)
    networks = []
    for name, rows in blocks.items():
        lines = []
        for block in rows:
            fields = {field: getattr(block, field) for field in block.__slots__}
            said = {field: value for field, value in fields.items() if value != getattr(usual, field)}
            lines.append("    " + msgspec.json.encode(said).decode())
        networks.append(f'  "{name}": [\n' + ",\n".join(lines) + "\n  ]")
    BLOCKS_PATH.write_text("{\n" + ",\n".join(networks) + "\n}\n", encoding="utf-8")
