"""The process that measures the speed of every backbone: `python -m tlcore.jobs.backbones_worker JOB ATTEMPT`."""

from __future__ import annotations

import sys

from tlcore.backbones.registry import BACKBONES
from tlcore.jobs.worker import WorkerContext, work
from tlcore.pricing.backbone_speeds import measure_backbones
from tlcore.storage.jobs import JobState


def measure_all(context: WorkerContext) -> tuple[JobState, str]:
    """Measure what nobody has measured on this machine yet."""
    measure_backbones(BACKBONES, context.progress, context.home)
    return "finished", ""


if __name__ == "__main__":
    sys.exit(work(measure_all))
