"""The compiled frozen part of a model: whether it is here, and how it is made, once on this computer."""

from __future__ import annotations

import os

from tlcore.features.engines import compiled_prefix_path, num_compute_threads, read_engine_speeds, write_engine_speeds
from tlcore.features.litert import is_whole
from tlcore.home import DataRoot, holding
from tlcore.model.cut import PIXELS, ModelPlan
from tlcore.progress import Progress, background, wait_for
from tlcore.quiet import silence_tensorflow


def configure_tensorflow() -> None:
    """Keep TensorFlow to the cores that a run may use, and its notes off the terminal; call it before the import."""
    silence_tensorflow()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(num_compute_threads()))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(num_compute_threads()))


def is_compiled(plan: ModelPlan, home: DataRoot) -> bool:
    """Whether the frozen prefix of a model, if it has one, is compiled, whole, and measured on this machine."""
    prefix = plan.prefix
    if prefix.cut == PIXELS:
        return True
    return is_whole(compiled_prefix_path(prefix, home)) and read_engine_speeds(prefix, home) is not None


def ensure_compiled(plan: ModelPlan, progress: Progress, home: DataRoot) -> None:
    """Compile the frozen prefix of a model unless it was compiled before on this computer.

    Raises:
        StopRequested: If the person asked to stop; what was begun is finished for the next run.
        WeightsError: If the backbone's weights are not on this computer.
        StorageError: If the disk is full.
    """
    if is_compiled(plan, home):
        return
    configure_tensorflow()
    with background() as pool:
        compiled = pool.submit(_compile, plan, home)
        wait_for(compiled, progress, "compiling")


def _compile(plan: ModelPlan, home: DataRoot) -> None:
    from tlcore.features.compiling import compile_model, measure_engines
    from tlcore.model.classifier import build_prefix

    path = compiled_prefix_path(plan.prefix, home)
    with holding(path.with_suffix(".lock")):
        if not is_compiled(plan, home):
            model = build_prefix(plan, home)
            compile_model(model, path)
            write_engine_speeds(plan.prefix, measure_engines(model, path), home)
