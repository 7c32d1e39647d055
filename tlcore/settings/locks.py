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
    """

    name: str
    title: str
    sentence: str
    fields: tuple[str, ...] = ()
    jobs: tuple[JobKind, ...] = ()


LOCKS: Final[Sequence[LockSpec]] = (
    LockSpec("pictures", "Bringing pictures", "No pictures of one's own come in: no files, no camera."),
    LockSpec("ready_sets", "Ready sets", "No ready set of pictures is taken."),
    LockSpec("doctor", "Check of the pictures", "Nobody looks for faults in pictures and labels.", jobs=("doctor",)),
    LockSpec("augmentation", "Augmentation", "Random changes of the pictures stay as they are.", ("augmentation",)),
    LockSpec(
        "views",
        "Views of each picture",
        "It stays how many changed views of each picture are made.",
        ("training.views", "training.new_views_every_epoch"),
    ),
    LockSpec("backbone", "Backbone", "The network that can already see stays the same.", ("model.backbone",)),
    LockSpec(
        "weights",
        "First weights",
        "It stays what the network has learned before; no weights are fetched or brought.",
        ("model.weights",),
        ("weights_download", "weights_check"),
    ),
    LockSpec(
        "freeze_line",
        "Freeze line",
        "It stays which blocks are frozen.",
        ("model.first_trainable", "model.also_frozen"),
    ),
    LockSpec("head", "Head", "The new layers on top stay as they are.", ("model.head",)),
    LockSpec(
        "picture",
        "Shape of the pictures",
        "Size, cutting and pixel scaling stay as they are.",
        ("model.image_size", "model.resize_mode", "model.pixel_scaling"),
    ),
    LockSpec("epochs", "Epochs", "It stays how long a model learns.", ("training.epochs", "training.patience")),
    LockSpec(
        "learning",
        "Optimizer and learning rate",
        "It stays in what steps a model learns; no learning rate is searched.",
        ("training.optimizer", "training.learning_rate", "training.schedule", "training.warmup_epochs"),
        ("search",),
    ),
    LockSpec(
        "fine_points",
        "Batch size and the finer points",
        "Batch size, seed, uneven classes and label smoothing stay as they are.",
        ("training.batch_size", "training.seed", "training.balance", "training.label_smoothing"),
    ),
    LockSpec("second_phase", "Second phase", "The fine-tuning after it stays as it is.", ("training.fine_tuning",)),
    LockSpec("training", "Training", "Nobody starts a training.", jobs=("run",)),
    LockSpec("simple_heads", "Simple heads", "Nobody trains simple heads.", jobs=("simple_heads",)),
    LockSpec("cross_validation", "Cross-validation", "Nobody trains on other splits.", jobs=("cross_validation",)),
    LockSpec("map", "Map of the pictures", "No new map is made.", jobs=("map",)),
    LockSpec("exam", "The exam", "Nobody opens an exam, the result on the test pictures."),
    LockSpec("predictions", "Many pictures at once", "Nobody asks a model about many pictures.", jobs=("prediction",)),
    LockSpec("download", "Download of the model", "No model is taken away on Export."),
)
"""In the order of the pages."""

_BY_NAME: Final[Mapping[str, LockSpec]] = {spec.name: spec for spec in LOCKS}


def unlocked(engine: sa.Engine) -> sa.Engine:
    """Return the same database for somebody whom no lock stops: the teacher, and what the server does by itself."""
    return engine.execution_options(**{_FREE: True})


def read_locks(engine: sa.Engine) -> frozenset[str]:
    """Return the names of what is locked for whoever uses this engine.

    A damaged row locks nothing: a class that cannot work is worse, and the teacher's page says so. Names that this
    version does not know are left out.
    """
    if engine.get_execution_options().get(_FREE):
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
        LockedError: If they do; not where the rest leaves no choice, such as a freeze line that another backbone
            does not have.
    """
    touched = list(touched_locks(before, after, locked))
    if touched and without_contradictions(_with_values_of(before, after, touched)) != after:
        raise locked_error(touched)


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
        check_change(before, after, locked)
        return after

    return update_config(engine, project_id, within_locks)


def locked_error(specs: Iterable[LockSpec]) -> LockedError:
    """Return the error that says what is locked."""
    names = " and ".join(f"“{spec.title}”" for spec in specs)
    return LockedError(f"Your teacher has locked {names}, so nothing was changed or started. Ask your teacher.")


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
