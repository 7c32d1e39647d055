"""What the workers do that fetch published weights and check those that a person brings."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from tlcore.backbones.registry import get_backbone
from tlcore.backbones.spec import BackboneSpec
from tlcore.backbones.weights.status import download_weights, published_weights, weights_status
from tlcore.config import RunConfig
from tlcore.downloading import is_reachable
from tlcore.errors import WeightsError
from tlcore.jobs.worker import WorkerContext
from tlcore.model.architecture import with_weights, without_contradictions
from tlcore.settings.locks import change_config, unlocked
from tlcore.storage.requests import WeightsCheckRequest, WeightsCheckResult, WeightsDownloadRequest
from tlcore.storage.staging import remove_staging_dir


def download(context: WorkerContext) -> None:
    """Fetch the weights that the request names, one file after the other; a stop keeps what has come."""
    specs = [get_backbone(name) for name in context.request(WeightsDownloadRequest).backbones]
    for number, spec in enumerate(specs):
        if weights_status(spec, context.home).ready_offline:
            continue
        # Without a network some computers take minutes to say so; this takes seconds.
        if not is_reachable(published_weights(spec).url):
            here = f" {number} of {len(specs)} are here." if number else ""
            raise WeightsError(
                f"The weights of {spec.title} cannot be fetched: there is no way to the internet from this "
                f"computer.{here} Connect it and try again, or choose a backbone that is ready offline."
            )
        download_weights(spec, progress=_report(context, spec))


def _report(context: WorkerContext, spec: BackboneSpec) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        context.progress.phase("downloading", done // 10**6, max(1, total // 10**6), spec.title)

    return report


def check(context: WorkerContext) -> None:
    """Check a person's file against its backbone, keep it, and let the project begin with it."""
    from tlcore.backbones.weights.keras_file import read_brought

    request = context.request(WeightsCheckRequest)
    context.progress.phase("checking_weights", subject=request.filename)
    file, spec = context.home.imports_dir / request.staging / "weights", get_backbone(request.backbone)
    try:
        read_brought(spec, file, request.filename)
        # TensorFlow comes with this import: several seconds and hundreds of megabytes, for a file that is worth it.
        from tlcore.backbones.weights.brought_check import keep_brought

        key = keep_brought(spec, file, request.filename, context.home)
    finally:
        remove_staging_dir(request.staging, context.home)
    context.answer(WeightsCheckResult(key))
    _begin_with(context.engine, context.project_id, request, key)


def _begin_with(engine: sa.Engine, project_id: str, request: WeightsCheckRequest, key: str) -> None:
    """Let the project begin with what was checked, unless it has another backbone by now.

    Raises:
        LockedError: If the teacher has locked that meanwhile.
    """

    def change(config: RunConfig) -> RunConfig:
        if config.model.backbone != request.backbone:
            return config
        return without_contradictions(with_weights(without_contradictions(config), key))

    change_config(unlocked(engine) if request.is_unlocked else engine, project_id, change)
