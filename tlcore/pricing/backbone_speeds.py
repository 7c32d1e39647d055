"""How fast each backbone is on this machine, to choose one before any of its weights are here."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tlcore.backbones.registry import BackboneSpec
from tlcore.config import IMAGENET, POOLINGS, RANDOM, HeadConfig, ModelConfig
from tlcore.features.compiled import ensure_compiled
from tlcore.features.engines import read_engine_speeds, write_engine_speeds
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.progress import Phase, Progress


def backbone_milliseconds(spec: BackboneSpec, home: DataRoot) -> float | None:
    """Return the time for one picture through a whole backbone at its own size, on all cores.

    Args:
        spec: A row of the registry.
        home: The data root.

    Returns:
        Milliseconds with the faster engine; `None` where this machine never measured it. Every run with a frozen
        backbone measures, and so does `measure_backbones`; the values of the weights make no difference.
    """
    configs = [
        ModelConfig(spec.name, spec.default_size, head=HeadConfig(pooling), weights=weights)
        for pooling in POOLINGS
        for weights in (IMAGENET, RANDOM)
    ]
    speeds = [found for config in configs if (found := read_engine_speeds(plan_model(config).prefix, home)) is not None]
    fastest = max((max(found.litert, found.tensorflow) for found in speeds), default=0.0)
    return 1000 / fastest if fastest > 0 else None


def measure_backbones(specs: Sequence[BackboneSpec], progress: Progress, home: DataRoot) -> None:
    """Measure the backbones that this machine has not measured yet, small ones first; needs no weights.

    Args:
        specs: Rows of the registry.
        progress: Told what happens; may ask to stop. What was measured by then is kept.
        home: The data root.

    Raises:
        StopRequested: If the person asked to stop.
        StorageError: If the disk is full.
    """
    missing = sorted(
        (spec for spec in specs if backbone_milliseconds(spec, home) is None), key=lambda spec: spec.parameters
    )
    for number, spec in enumerate(missing):
        plan = plan_model(ModelConfig(spec.name, spec.default_size, weights=RANDOM))
        # The compiled network is of no use afterwards, only its speed.
        with tempfile.TemporaryDirectory(prefix="transfer-lab-", ignore_cleanup_errors=True) as folder:
            scratch = DataRoot(Path(folder))
            ensure_compiled(plan, _Counted(progress, spec.title, number, len(missing)), scratch)
            speeds = read_engine_speeds(plan.prefix, scratch)
        if speeds is not None:
            write_engine_speeds(plan.prefix, speeds, home)


class _Counted:
    """Says which backbone of how many is being measured, whatever is being done with it."""

    def __init__(self, progress: Progress, title: str, done: int, total: int) -> None:
        self._progress = progress
        self._title, self._done, self._total = title, done, total

    def phase(self, name: Phase, done: int = 0, total: int = 0, subject: str = "") -> None:
        self._progress.phase("measuring", self._done, self._total, self._title)

    def metrics(self, epoch: float, values: Mapping[str, float]) -> None:
        self._progress.metrics(epoch, values)

    def check(self) -> None:
        self._progress.check()
