"""Start a run with the settings as they are, and say what stands in the way."""

from __future__ import annotations

from pages.components.state import Context
from pages.components.text import label
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import weights_status
from tlcore.dataset import check_trainable
from tlcore.downloading import megabytes
from tlcore.errors import DatasetError, RunError
from tlcore.jobs.control import start_runs
from tlcore.model.architecture import check_phases
from tlcore.settings.locks import LOCKED
from tlcore.storage.runs import RunPlan


def start_training(context: Context) -> str:
    """Put a run with the settings as they are in line, with what is expected of it, and return its id."""
    from pages.components.train.run_note import take_note  # with what estimates times, when it is asked for

    plan = RunPlan(context.version, context.project.config, take_note(context))
    return start_runs(context.engine, context.project.id, [plan], context.home)[0]


def find_run_obstacle(context: Context) -> str | None:
    """Return why a run cannot start and what to do about it; `None` when it can."""
    if "training" in context.locked:
        return LOCKED
    try:
        check_phases(context.project.config)
    except RunError as error:
        return label(str(error))
    return find_obstacle(context)


def find_obstacle(context: Context) -> str | None:
    """Return why nothing can learn from these pictures and what to do about it; `None` when it can."""
    try:
        check_trainable(context.dataset)
    except DatasetError as error:
        return label(str(error))
    model = context.project.config.model
    spec = get_backbone(model.backbone)
    status = weights_status(spec, context.home, model.weights)
    if status.state == "bring":
        return f"Your file of weights for {spec.title} is not on this computer any more. Bring it again on Model."
    if not status.ready_offline:
        return (
            f"The weights of {spec.title} are not on this computer. Download them on Model "
            f"({megabytes(status.download_bytes)}), or choose another backbone there."
        )
    return None
