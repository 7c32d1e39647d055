"""What a teacher can lock: groups of settings and kinds of work that then only the teacher may change or start.

A lock freezes a setting at the value that a project has. It is shown on the pages and enforced where settings are
stored and jobs are put in line, so that a page that was drawn before the lock changes nothing either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.errors import LockedError, UnreadableError
from tlcore.model.architecture import without_contradictions
from tlcore.storage.class_settings import read_class_settings
from tlcore.storage.jobs import JobKind
from tlcore.storage.projects import read_project_config, update_config
from tlcore.storage.requests import ImportRequest

LOCKED: Final = "Your teacher has locked this."
"""Beside a control that does not move."""

_FREE: Final = "free_of_locks"


@dataclass(frozen=True, slots=True)
class LockSpec:
    """A group of controls that is locked together.

    Attributes:
        name: As it is stored.
        title: What it is called.
        sentence: What nobody but the teacher can do any more.
        fields: Paths in the settings, such as `training.epochs`; one of a part stands for all of it.
        jobs: Kinds of jobs that are not started any more.
        forced: Why what is locked cannot stay as it is beside another choice, such as another backbone.
    """

    name: str
    title: str
    sentence: str
    fields: tuple[str, ...] = ()
    jobs: tuple[JobKind, ...] = ()
    forced: str = ""


LOCKS: Final[Sequence[LockSpec]] = (
    LockSpec(
        "pictures",
        "Bringing pictures",
        "Nobody brings pictures: no files, no camera, no copy of a project but those that you hand out to all.",
    ),
    LockSpec("ready_sets", "Ready sets", "Nobody takes a ready set of pictures."),
    LockSpec("doctor", "Check of the pictures", "Nobody looks for faults in pictures and labels.", jobs=("doctor",)),
    LockSpec("augmentation", "Augmentation", "Random changes of the pictures stay as they are.", ("augmentation",)),
    LockSpec(
        "views",
        "Views of each picture",
        "How many changed views of each picture are made stays as it is.",
        ("training.views", "training.new_views_every_epoch"),
    ),
    LockSpec("backbone", "Backbone", "The network that can already see stays the same.", ("model.backbone",)),
    LockSpec(
        "weights",
        "First weights",
        "What the network has learned before stays as it is; no weights are fetched or brought.",
        ("model.weights",),
        ("weights_download", "weights_check"),
    ),
    LockSpec(
        "freeze_line",
        "Freeze line",
        "Which blocks are frozen stays as it is.",
        ("model.first_trainable", "model.also_frozen"),
        forced="This backbone has no such block.",
    ),
    LockSpec("head", "Head", "The new layers on top stay as they are.", ("model.head",)),
    LockSpec(
        "picture",
        "Shape of the pictures",
        "Size, cutting and pixel scaling stay as they are.",
        ("model.image_size", "model.resize_mode", "model.pixel_scaling"),
        forced="This backbone needs larger pictures, or scales pixels in a way of its own.",
    ),
    LockSpec("epochs", "Epochs", "How long a model learns stays as it is.", ("training.epochs", "training.patience")),
    LockSpec(
        "learning",
        "Optimizer and learning rate",
        "The steps in which a model learns stay as they are; no learning rate is searched.",
        ("training.optimizer", "training.learning_rate", "training.schedule", "training.warmup_epochs"),
        ("search",),
    ),
    LockSpec(
        "fine_points",
        "Batch size and the finer points",
        "Batch size, seed, uneven classes and label smoothing stay as they are.",
        ("training.batch_size", "training.seed", "training.balance", "training.label_smoothing"),
    ),
    LockSpec(
        "second_phase",
        "Second phase",
        "The fine-tuning after the first training stays as it is.",
        ("training.fine_tuning",),
        forced="The block at which the second phase begins would not be there, or learn before it already.",
    ),
    LockSpec("training", "Training", "Nobody starts a training.", jobs=("run",)),
    LockSpec("simple_heads", "Simple heads", "Nobody trains simple heads.", jobs=("simple_heads",)),
    LockSpec("cross_validation", "Cross-validation", "Nobody trains on other splits.", jobs=("cross_validation",)),
    LockSpec("map", "Map of the pictures", "Nobody makes a new map.", jobs=("map",)),
    LockSpec("exam", "The exam", "Nobody opens an exam, the result on the test pictures."),
    LockSpec("predictions", "Many pictures at once", "Nobody asks a model about many pictures.", jobs=("prediction",)),
    LockSpec(
        "download",
        "Download of the model",
        "Nobody downloads a model on Export, or makes files of it.",
        jobs=("export",),
    ),
)
"""In the order of the pages."""

_BY_NAME: Final[Mapping[str, LockSpec]] = {spec.name: spec for spec in LOCKS}


def unlocked(engine: sa.Engine) -> sa.Engine:
    """Return the same database for somebody whom no lock stops: the teacher, and what the server does by itself."""
    return engine.execution_options(**{_FREE: True})


def is_unlocked(engine: sa.Engine) -> bool:
    """Whether this engine is one of `unlocked`."""
    return bool(engine.get_execution_options().get(_FREE))


def read_locks(engine: sa.Engine) -> frozenset[str]:
    """Return the names of what is locked for whoever uses this engine.

    A damaged row locks nothing: a class that cannot work is worse, and the teacher's page says so. Names that this
    version does not know are left out.
    """
    if is_unlocked(engine):
        return frozenset()
    try:
        return frozenset(read_class_settings(engine).locked) & _BY_NAME.keys()
    except UnreadableError:
        return frozenset()


def lock_of(field: str, locked: Collection[str]) -> LockSpec | None:
    """Return the lock that holds a field of the settings, if any.

    Args:
        field: Its path, such as `training.epochs`.
        locked: Names of what is locked.
    """
    return next((spec for spec in LOCKS if spec.name in locked and _covers(spec, field)), None)


def _covers(spec: LockSpec, field: str) -> bool:
    return any(field == path or field.startswith(f"{path}.") for path in spec.fields)


def check_lock(engine: sa.Engine, name: str) -> None:
    """Check that something that is no setting and no job may be done.

    Args:
        engine: The database, see `unlocked`.
        name: Which lock, a row of `LOCKS`.

    Raises:
        LockedError: If the teacher has locked it.
    """
    if name in read_locks(engine):
        raise locked_error([_BY_NAME[name]])


def check_job(engine: sa.Engine, kind: JobKind, request: object | None = None) -> None:
    """Check that a job of a kind may be put in line.

    Raises:
        LockedError: If the teacher has locked it.
    """
    locked = read_locks(engine)
    stopping = [spec for spec in LOCKS if spec.name in locked and kind in spec.jobs]
    if isinstance(request, ImportRequest):
        name = "pictures" if request.sample is None else "ready_sets"
        stopping += [_BY_NAME[name]] if name in locked else []
    if stopping:
        raise locked_error(stopping)


def check_change(before: RunConfig, after: RunConfig, locked: Collection[str]) -> None:
    """Check that settings differ in nothing that is locked.

    Raises:
        LockedError: If they do; also where the rest leaves no choice, such as a freeze line that another backbone does
            not have: whoever came back to the first backbone would have taken it away.
    """
    touched = list(touched_locks(before, after, locked))
    if not touched:
        return
    is_forced = without_contradictions(_with_values_of(before, after, touched)) == after
    if not is_forced:
        raise locked_error(touched)
    names = {one.name for one in LOCKS}
    chosen = [one for one in touched_locks(before, after, names) if one not in touched]
    why = " ".join(one.forced for one in touched if one.forced)
    raise LockedError(
        f"Your teacher has locked {_titles(touched)}, which cannot stay as it is with your choice of "
        f"{_titles(chosen)}, so nothing was changed or started. {why} Ask your teacher."
    )


def touched_locks(before: RunConfig, after: RunConfig, locked: Collection[str]) -> Iterator[LockSpec]:
    """Yield the locks that stand in the way from some settings to others."""
    for spec in LOCKS:
        if spec.name in locked and any(_value(before, path) != _value(after, path) for path in spec.fields):
            yield spec


def check_plans(engine: sa.Engine, project_id: str, plans: Iterable[RunConfig]) -> None:
    """Check that runs with these settings may be put in line.

    Raises:
        LockedError: If training is locked, or one differs from the project in what is locked.
        NotFoundError: If the project was deleted.
    """
    locked = read_locks(engine)
    if not locked:
        return
    check_job(engine, "run")
    present = without_contradictions(read_project_config(engine, project_id))
    for config in plans:
        check_change(present, config, locked)


def change_config(engine: sa.Engine, project_id: str, change: Callable[[RunConfig], RunConfig]) -> RunConfig:
    """Change the settings for the next run as a person who may be held by locks; see `update_config`.

    Raises:
        LockedError: If the change touches what is locked; nothing is stored then.
        NotFoundError: If the project was deleted.
    """
    locked = read_locks(engine)

    def within_locks(before: RunConfig) -> RunConfig:
        after = change(before)
        # What the stored settings contradict has no effect, and pages do not show it.
        check_change(without_contradictions(before), after, locked)
        return after

    return update_config(engine, project_id, within_locks)


def locked_error(specs: Iterable[LockSpec]) -> LockedError:
    """Return the error that says what is locked."""
    return LockedError(
        f"Your teacher has locked {_titles(specs)}, so nothing was changed or started. Ask your teacher."
    )


def _titles(specs: Iterable[LockSpec]) -> str:
    return " and ".join(f"“{spec.title}”" for spec in specs)


def _value(config: object, path: str) -> object:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def _with_values_of(before: RunConfig, after: RunConfig, specs: Iterable[LockSpec]) -> RunConfig:
    """Return the second settings with what is locked taken from the first."""
    for spec in specs:
        for path in spec.fields:
            after = _with_value(after, path.split("."), _value(before, path))
    return after


def _with_value(part: Any, names: Sequence[str], value: object) -> Any:
    name, *rest = names
    if not rest:
        return replace(part, **{name: value})
    inner = getattr(part, name)
    if not is_dataclass(inner):
        raise ValueError(f"`names` must lead through parts of the settings. Received: names={names}")
    return replace(part, **{name: _with_value(inner, rest, value)})
