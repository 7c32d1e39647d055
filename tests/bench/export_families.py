"""Which format each family of backbones, and each kind of head, can have: made, loaded in a fresh process and asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras

from tests.bench.figures import Line, figure
from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.test_every_backbone import smallest_of_each_family
from tests.test_export_graph import HEADS, make_head, make_run
from tlcore.backbones.registry import get_backbone
from tlcore.config import RANDOM, ModelConfig
from tlcore.dataset import Dataset
from tlcore.export.formats import FORMATS
from tlcore.export.making import make_export
from tlcore.export.source import ExportSource, Part
from tlcore.home import DataRoot
from tlcore.simple_heads.training import SIMPLE_HEADS
from tlcore.storage.model_settings import ModelSettings

LITE0 = "efficientnet_lite0"
SURENESS = 3.0
"""Answers as sure as if the network had learned; its weights are random."""


def measure() -> Iterator[Line]:
    """Yield a line for each model; what a converter cannot do stands in it."""
    home = DataRoot.configured()
    dataset = coloured_dataset(home, 8)
    for name in sorted(smallest_of_each_family() - {LITE0}):
        size = get_backbone(name).minimum_size
        part = make_run(home.path / "made" / name, ModelConfig(name, size, weights=RANDOM), home, sureness=SURENESS)
        yield of_model(name, part, dataset, home)
    for head, config in HEADS.items():
        model = ModelConfig(LITE0, 64, head=config)
        part = make_run(home.path / "made" / f"head-{head}", model, home, sureness=SURENESS)
        yield of_model(f"{LITE0}, head: {head}", part, dataset, home)
    for spec in SIMPLE_HEADS:
        part = make_head(spec.kind, home.path / "made" / spec.kind, home)
        yield of_model(f"{part.model.backbone}, {spec.title}", part, dataset, home)


def of_model(title: str, part: Part, dataset: Dataset, home: DataRoot) -> Line:
    """Write a model in every format, and say which ones came out and answer as the original."""
    source = ExportSource(title, (part,), dataset, ModelSettings(1.5))
    with tempfile.TemporaryDirectory() as folder:
        result = make_export(source, tuple(FORMATS), Path(folder), RecordingProgress(), home)
    keras.utils.clear_session()
    without = {report.format: report.problem or report.warning for report in result.reports}
    held = [name for name, words in without.items() if not words]
    return figure(
        f"{title}: formats whose certificate holds",
        len(held),
        f"random weights, {part.spec.prefix.image_size} pixels, asked about {result.total} pictures",
        more={
            "not": {name: words for name, words in without.items() if words},
            # Of networks that learned nothing: what rounding changes in them says nothing about a trained one.
            "agreed": {one.format: one.agreed for one in result.reports},
            "largest difference": {one.format: round(one.largest_difference, 4) for one in result.reports},
        },
    )
