"""What a person can give up to make room: the parts of each project, and what all projects share."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

import sqlalchemy as sa

from tlcore.errors import StorageError, TransferLabError
from tlcore.home import DataRoot, storage_error
from tlcore.storage.database import jobs, read_rows, runs
from tlcore.storage.deletion import (
    CHECKPOINT_FILES,
    MODEL_FILES,
    delete_job,
    delete_project,
    job_folder,
    remove_run_files,
    remove_versions,
    unneeded_versions,
)
from tlcore.storage.jobs import ACTIVE_STATES, ENDED_STATES, KINDS_WITH_FILES, list_jobs
from tlcore.storage.reserve import keep_reserve, with_reserve
from tlcore.storage.usage import CacheKind, ProjectUsage, bytes_of_versions, cache_folders, file_bytes, folder_bytes

PieceKind = Literal["history", "model", "checkpoint", "simple_heads", "prediction", "export", "project"]

GIVEN_UP = ".given-up-"
"""How the name of a folder begins that is on its way out."""

REMADE: tuple[CacheKind, ...] = ("features", "compiled", "maps", "speeds", "ready_sets")
"""What is made again when it is needed; brought weights are not."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a project that can go.

    Attributes:
        project_id: The project.
        kind: What it is.
        id: The job that made it; empty for `history` and `project`.
        number: That of the run; for `history` how many versions go; 0 for the others.
        created: When its job was put in line, in seconds since 1970; 0 where there is none.
        num_bytes: What it takes. Pictures that another project has too stay on the disk.
    """

    project_id: str
    kind: PieceKind
    id: str
    number: int
    created: float
    num_bytes: int

    @property
    def key(self) -> str:
        """Tells it from all others."""
        return f"{self.kind}-{self.project_id}-{self.id}"


def pieces_of(engine: sa.Engine, usage: ProjectUsage, home: DataRoot) -> list[Piece]:
    """Return what can go of a project, the project as a whole last."""
    with engine.begin() as connection:
        versions = unneeded_versions(connection, usage.id, undo_steps=0)
    found = []
    if versions:
        num_bytes = bytes_of_versions(engine, usage.id, versions, home)
        found.append(Piece(usage.id, "history", "", len(versions), 0, num_bytes))
    of_project = sa.select(
        jobs.c.id, jobs.c.kind, jobs.c.created, runs.c.number, runs.c.summary.is_not(None).label("ok")
    )
    of_project = of_project.outerjoin(runs, runs.c.job_id == jobs.c.id).where(jobs.c.project_id == usage.id)
    ended = of_project.where(jobs.c.state.in_(ENDED_STATES)).order_by(jobs.c.created.desc())
    for row in read_rows(engine, ended.where(jobs.c.kind.in_(("run", *KINDS_WITH_FILES)))):
        kind: PieceKind = row.kind if row.kind != "run" else "model" if row.ok else "checkpoint"
        if row.kind == "run":
            folder = home.run_dir(str(row.id))
            num_bytes = sum(file_bytes(folder / name) for name in MODEL_FILES)
        else:
            num_bytes = folder_bytes(job_folder(row.kind, str(row.id), home))
        if num_bytes:
            created = float(row.created) if isinstance(row.created, int | float) else 0.0
            found.append(Piece(usage.id, kind, str(row.id), row.number or 0, created, num_bytes))
    return [*found, Piece(usage.id, "project", "", 0, 0, usage.total)]


def give_up_all(engine: sa.Engine, pieces: Collection[Piece], caches: Collection[CacheKind], home: DataRoot) -> None:
    """Remove parts of projects and things that all projects share; what cannot be removed keeps no other one there.

    Args:
        engine: The database.
        pieces: Parts of projects.
        caches: As of `empty_cache`.
        home: The data root.

    Raises:
        StorageError: If something could not be removed, when the others are gone.
    """
    ways = [partial(give_up, engine, piece, home) for piece in pieces]
    ways += [partial(empty_cache, engine, kind, home) for kind in caches]
    errors: list[TransferLabError] = []
    for remove in ways:
        try:
            remove()
        except TransferLabError as error:
            errors.append(error)
    if errors:
        some = f"{len(errors)} of {len(ways)} could not be removed; the others are gone. "
        causes = " ".join(dict.fromkeys(map(str, errors)))
        raise StorageError((some if len(errors) < len(ways) else "") + causes) from errors[0]


def give_up(engine: sa.Engine, piece: Piece, home: DataRoot) -> None:
    """Remove a part of a project; nothing happens where it has gone already.

    Raises:
        StorageError: If the database cannot be written, and nothing is deleted then, or a file cannot be removed.
    """
    if piece.kind == "project":
        delete_project(engine, piece.project_id, home)
    elif piece.kind == "history":
        remove_versions(engine, piece.project_id, home, undo_steps=0)
    elif piece.kind == "model" or piece.kind == "checkpoint":
        names = MODEL_FILES if piece.kind == "model" else CHECKPOINT_FILES
        remove_run_files(engine, piece.project_id, piece.id, home, names)
    else:
        delete_job(engine, piece.project_id, piece.id, piece.kind, home)


def empty_cache(engine: sa.Engine, kind: CacheKind, home: DataRoot) -> None:
    """Remove something that all projects share and that is made again when needed.

    Raises:
        StorageError: If a job works or waits, which may need it, or the folder cannot be moved.
        ValueError: If it is not made again.
    """
    if kind not in REMADE:
        raise ValueError(f"`kind` must be one of {', '.join(REMADE)}. Received: kind={kind}")
    if list_jobs(engine, states=ACTIVE_STATES):
        raise StorageError(
            "Something works or waits in line that may need it, so nothing was removed. Try again when it has ended."
        )
    folder = cache_folders(home)[kind]
    aside = home.path / f"{GIVEN_UP}{secrets.token_hex(8)}"
    try:
        with with_reserve(home), suppress(FileNotFoundError):
            folder.rename(aside)  # at once, so that nobody finds half of it
    except OSError as error:
        raise storage_error(error, folder) from error
    shutil.rmtree(aside, ignore_errors=True)
    keep_reserve(home)
