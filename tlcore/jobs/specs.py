"""Every kind of job: one row each, with the task that does the work and what it gives way to."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from tlcore.storage.jobs import JobKind, JobState

if TYPE_CHECKING:
    from tlcore.jobs.worker import WorkerContext

MAX_ATTEMPTS = 3
"""How often a job's work is begun, at most; whatever kills a worker three times would kill a fourth."""

Task = Callable[["WorkerContext"], tuple[JobState, str] | None]
"""Does the work; returns how the job ended, with words for the person, where there is more to say than `finished`."""

Afterwards = Callable[["WorkerContext"], None]


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A kind of job.

    Attributes:
        kind: Its name in the table.
        task: `module:function` of its task; imported by the worker alone.
        gives_way: What it ends for, and does not begin beside: `runs`, or `all` others. Figures that are measured
            beside other work would be wrong.
        program: What people call the program that does it.
        remedy: What a person can do when it was ended from outside, for want of memory.
        death_notice: What its death means, where that is more than the end of a program.
        max_seconds: After which it is ended by force.
        keeps_files: Whether it keeps files of its own that are of no use without its result.
        resumes: Whether it goes on, or begins again without harm, when its worker died.
        rescues: Whether something of it is kept when it is given up: a last worker does only that.
        afterwards: `module:function` of what its worker does once it is finished, and not before; empty for nothing.
    """

    kind: JobKind
    task: str
    gives_way: Literal["nothing", "runs", "all"] = "nothing"
    program: str = "training"
    remedy: str = "choose a smaller batch or backbone"
    death_notice: str = ""
    max_seconds: float = math.inf
    keeps_files: bool = False
    resumes: bool = False
    rescues: bool = False
    afterwards: str = ""

    def gives_way_to(self, kind: JobKind) -> bool:
        """Whether a job of this kind ends when one of another comes."""
        return kind != self.kind and (self.gives_way == "all" or (self.gives_way == "runs" and kind == "run"))

    def load_task(self) -> Task:
        """Import the task."""
        return cast(Task, _import(self.task))

    def load_afterwards(self) -> Afterwards | None:
        """Import what is done once a job is finished; `None` when there is nothing to do."""
        return cast(Afterwards, _import(self.afterwards)) if self.afterwards else None


def _import(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


JOBS: Mapping[JobKind, JobSpec] = {
    spec.kind: spec
    for spec in (
        JobSpec("run", "tlcore.jobs.tasks:train", resumes=True, rescues=True),
        JobSpec(
            "import",
            "tlcore.jobs.import_task:import_pictures",
            program="import",
            remedy="bring fewer pictures at a time",
            # Pictures are stored under the names of their contents, so the ones that were stored stay.
            resumes=True,
        ),
        JobSpec("search", "tlcore.jobs.tasks:search_rates", program="searching", resumes=True),
        JobSpec("measure", "tlcore.jobs.tasks:measure_speeds", "runs", program="measuring"),
        JobSpec(
            "simple_heads", "tlcore.jobs.tasks:train_heads", program="simple heads", resumes=True, keeps_files=True
        ),
        JobSpec(
            "cross_validation", "tlcore.jobs.tasks:train_on_other_splits", program="cross-validation", resumes=True
        ),
        JobSpec(
            "doctor",
            "tlcore.jobs.tasks:examine_pictures",
            program="picture check",
            remedy="choose a smaller backbone",
            resumes=True,
        ),
        JobSpec(
            "map",
            "tlcore.jobs.tasks:arrange_pictures",
            program="map",
            remedy="choose a smaller backbone",
            resumes=True,
        ),
        JobSpec(
            "prediction",
            "tlcore.jobs.prediction_task:answer_pictures",
            program="prediction",
            remedy="bring fewer pictures at a time",
            keeps_files=True,
            resumes=True,
        ),
        JobSpec(
            "export",
            "tlcore.jobs.export_task:make_files",
            program="export",
            remedy="choose fewer formats at a time",
            keeps_files=True,
            resumes=True,
            afterwards="tlcore.jobs.export_task:remove_replaced",
        ),
        # All backbones take minutes, a price a few seconds: so this one gives way to prices too.
        JobSpec("backbones", "tlcore.jobs.tasks:measure_all_backbones", "all", program="measuring"),
        JobSpec("weights_download", "tlcore.jobs.weights_tasks:download", program="download", resumes=True),
        JobSpec(
            "weights_check",
            "tlcore.jobs.weights_tasks:check",
            # A file from anybody: it may break its reader, or keep it busy for ever.
            death_notice="The file could not be read: the program that checks it gave up. Save the weights again with "
            "`model.save_weights` and bring that file.",
            max_seconds=300.0,
        ),
    )
}
