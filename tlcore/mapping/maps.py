"""The map of a data set: made from the features of a frozen backbone, kept, and read again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tlcore.backbones.weights.status import require_weights
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.documents import read_document, write_document
from tlcore.features.compiled import configure_tensorflow, ensure_compiled
from tlcore.features.engines import num_compute_threads
from tlcore.features.extractor import FeatureExtractor
from tlcore.features.store import FeatureStore, record_key
from tlcore.home import DataRoot, write_atomically
from tlcore.images.views import ViewRequest
from tlcore.mapping.projection import neighbour_embedding, plane, principal_components
from tlcore.mapping.sample import map_sample
from tlcore.model.cut import plan_model
from tlcore.progress import Progress
from tlcore.storage.simple_heads import frozen_backbone

# Raise it when the same pictures would get other places; earlier maps are then left alone and made anew.
FORMAT = 1

MAX_KEPT_BYTES = 64_000_000
"""Of all maps together, a few hundred large ones. The oldest beyond that are deleted: they can be made again."""

Places = tuple[tuple[float, float], ...]
"""Where each picture lies: across and up, both in `[-1, 1]`, with one scale."""


@dataclass(frozen=True, slots=True)
class PictureMap:
    """Where pictures lie on a plane.

    Attributes:
        pca: By their first two principal components.
        explained: The share of all variance that these two hold, in `[0, 1]`.
        tsne: By t-SNE; empty until that was made.
    """

    pca: Places
    explained: float
    tsne: Places = ()


def backbone_of_map(model: ModelConfig) -> ModelConfig:
    """Return the frozen backbone whose features place the pictures of a model.

    One that has learned nothing yet sees no likeness, so the usual one takes its place.
    """
    return frozen_backbone(ModelConfig() if plan_model(model).is_random else model)


def map_key(items: Sequence[Item], backbone: ModelConfig) -> str:
    """Return what names a map: its pictures in their order, and what their features depend on."""
    features = plan_model(backbone).prefix.features_key(backbone.resize_mode)
    images = " ".join(item.image for item in items)
    return hashlib.sha256(f"map {FORMAT} {features} {images}".encode()).hexdigest()[:32]


def map_at_once(items: Sequence[Item], backbone: ModelConfig, home: DataRoot) -> PictureMap | None:
    """Return the map by principal components, in about a second; `None` while features of its pictures are missing.

    Args:
        items: From `map_sample`.
        backbone: From `backbone_of_map`.
        home: The data root.
    """
    prefix = plan_model(backbone).prefix
    features = FeatureStore(home).open(prefix, prefix.features_key(backbone.resize_mode))
    keys = [record_key(item.image) for item in items]
    # First by name alone: the check of what is there reads it all.
    if not items or features.count_missing(keys) or features.missing(keys):
        return None
    return _by_components(features.table(keys).take(np.arange(len(keys))))


def make_map(dataset: Dataset, backbone: ModelConfig, progress: Progress, home: DataRoot) -> PictureMap:
    """Make the whole map, t-SNE too, and keep it; features that are not cached are computed first.

    Args:
        dataset: Pictures of the data root.
        backbone: From `backbone_of_map`.
        progress: Told what happens; may ask to stop.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        WeightsError: If the backbone's weights are not on this computer.
        ImageError: If a stored picture is missing or damaged.
        StorageError: If the disk is full.
    """
    items = map_sample(dataset)
    kept = read_map(items, backbone, home)
    if kept is not None:  # made for another project with the same pictures
        return kept
    configure_tensorflow()
    progress.phase("preparing")
    plan = plan_model(backbone)
    if map_at_once(items, backbone, home) is None:
        require_weights(plan.backbone, home, backbone.weights)
        ensure_compiled(plan, progress, home)
    extractor = FeatureExtractor(plan, AugmentationConfig(), home)
    table = extractor.table([ViewRequest(item.image) for item in items], progress, "features")
    features = table.take(np.arange(len(items)))
    with threadpool_limits(num_compute_threads()):
        progress.phase("arranging")
        first = _by_components(features)
        places = neighbour_embedding(features, lambda done, total: progress.phase("arranging", done, total))
    found = PictureMap(first.pca, first.explained, _scaled(places))
    path = _path(items, backbone, home)
    write_atomically(path, lambda temporary: temporary.write_text(write_document(found), "utf-8"))
    _delete_oldest(home.maps_dir)
    return found


def read_map(items: Sequence[Item], backbone: ModelConfig, home: DataRoot) -> PictureMap | None:
    """Return the map that was made of these pictures; `None` when there is none, or it cannot be read."""
    try:
        found = read_document(_path(items, backbone, home).read_bytes(), PictureMap)
    except (OSError, ValueError):
        return None
    return found if len(found.pca) == len(found.tsne) == len(items) else None


def _delete_oldest(folder: Path) -> None:
    """Delete the oldest maps where there are more than are kept; the newest one always stays."""
    sizes: dict[Path, tuple[int, int]] = {}
    for path in folder.glob("[!.]*.json"):  # those with a dot are being written
        with suppress(OSError):  # somebody else deleted it
            status = path.stat()
            sizes[path] = (status.st_mtime_ns, status.st_size)
    newest, *others = sorted(sizes, key=lambda path: sizes[path], reverse=True)
    kept = sizes[newest][1]
    for path in others:
        kept += sizes[path][1]
        if kept > MAX_KEPT_BYTES:
            with suppress(OSError):
                path.unlink()


def _path(items: Sequence[Item], backbone: ModelConfig, home: DataRoot) -> Path:
    return home.maps_dir / f"{map_key(items, backbone)}.json"


def _by_components(features: NDArray[np.generic]) -> PictureMap:
    rows, explained = principal_components(features, 2)
    return PictureMap(_scaled(plane(rows)), explained)


def _scaled(places: NDArray[np.float32]) -> Places:
    """Return places in `[-1, 1]`, the middle of the two ends of each axis at 0; four digits are finer than a screen."""
    if not len(places):
        return ()
    centred = places - (places.max(axis=0) + places.min(axis=0)) / 2
    largest = float(np.abs(centred).max())
    scaled = np.round(centred.astype(np.float64) / (largest or 1.0), 4)
    return tuple((x, y) for x, y in scaled.tolist())
