"""What is called what of the things on the disk that all projects share."""

from __future__ import annotations

from tlcore.storage.usage import CacheKind

CACHE_NAMES: dict[CacheKind, str] = {
    "features": "Features of pictures that the frozen parts have computed",
    "compiled": "Compiled frozen parts; without them models answer only after half a minute more",
    "maps": "Maps of the pictures",
    "speeds": "How fast this computer is; time estimates are rough without",
    "ready_sets": "Small pictures of the ready sets",
    "weights": "Weights that people brought; they are kept",
}
