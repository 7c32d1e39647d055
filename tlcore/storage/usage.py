"""What the projects of a person take on the disk, by project and kind, and what the shared caches take."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from tlcore.home import DataRoot
from tlcore.storage.database import dataset_versions, jobs, projects, read_rows
from tlcore.storage.datasets import content_path, image_keys
from tlcore.storage.images import ImageStore

UsageKind = Literal["pictures", "history", "runs", "simple_heads", "predictions", "exports"]
CacheKind = Literal["features", "compiled", "maps", "speeds", "ready_sets", "weights"]

USAGE_KINDS: tuple[UsageKind, ...] = ("pictures", "history", "runs", "simple_heads", "predictions", "exports")
CACHE_KINDS: tuple[CacheKind, ...] = ("features", "compiled", "maps", "speeds", "ready_sets", "weights")

REMEMBERED_PROJECTS = 128
"""Of so many projects the pictures stay in memory, 16 bytes for each picture."""


@dataclass(frozen=True, slots=True)
class ProjectUsage:
    """What one project takes.

    Attributes:
        id: The project.
        name: What the person called it.
        by_kind: Bytes: `pictures` of the data set as it is now with their list, `history` for what only earlier
            versions of it have, `runs`, `simple_heads`, `predictions` for the answers to many pictures, and
            `exports` for models written in several formats.
        pictures: Different pictures in all its versions.
    """

    id: str
    name: str
    by_kind: Mapping[UsageKind, int]
    pictures: int

    @property
    def total(self) -> int:
        """Bytes of all kinds."""
        return sum(self.by_kind.values())


@dataclass(frozen=True, slots=True)
class Usage:
    """What the projects of one person take.

    Attributes:
        projects: Each of them, the largest first.
        total: Bytes of all; a picture that is in two of them counts once.
        pictures: Different pictures in all of them.
    """

    projects: tuple[ProjectUsage, ...]
    total: int
    pictures: int


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Different pictures and how large they are.

    Attributes:
        keys: The beginning of each key as a number, in order: 64 bits tell any pictures apart that one has here.
        sizes: Bytes of each with its thumbnail.
    """

    keys: NDArray[np.uint64]
    sizes: NDArray[np.int64]

    @property
    def total(self) -> int:
        """Bytes of all."""
        return int(self.sizes.sum())

    @classmethod
    def union(cls, parts: Iterable[Pictures]) -> Pictures:
        """Return the pictures that are in any of these, each once."""
        all_parts = [_NONE, *parts]
        keys, first = np.unique(np.concatenate([part.keys for part in all_parts]), return_index=True)
        return cls(keys, np.concatenate([part.sizes for part in all_parts])[first])


_NONE = Pictures(np.empty(0, np.uint64), np.empty(0, np.int64))

_lock = threading.Lock()
_remembered: OrderedDict[tuple[DataRoot, str], tuple[frozenset[str], Pictures]] = OrderedDict()
"""What a version holds never changes, so of each project only what is new is looked up."""


def short_key(key: str) -> int:
    """Return the number that stands for a picture in `Pictures`."""
    return int(key[:16], 16)


def usage_of(engine: sa.Engine, owner: str, home: DataRoot) -> Usage:
    """Return what the projects of a person take."""
    rows = read_rows(engine, sa.select(projects.c.id, projects.c.name, projects.c.version).where(_owned(owner)))
    versions = _versions_of(engine, owner)
    folders = _job_folders(engine, owner, home)
    found, parts = [], []
    for row in rows:
        contents = versions.get(row.id, {})
        everything = _pictures_of(row.id, frozenset(contents.values()), home)
        current = contents.get(row.version)
        now_there = _bytes_of(everything, current, home)
        lists = sum(file_bytes(content_path(content, home)) for content in set(contents.values()))
        own_list = 0 if current is None else file_bytes(content_path(current, home))
        by_kind: dict[UsageKind, int] = {
            "pictures": now_there + own_list,
            "history": everything.total - now_there + lists - own_list,
            **folders.get(row.id, {}),
        }
        found.append(ProjectUsage(row.id, str(row.name), by_kind, len(everything.keys)))
        parts.append(everything)
    union = Pictures.union(parts)
    twofold = sum(part.total for part in parts) - union.total
    largest = tuple(sorted(found, key=lambda project: -project.total))
    return Usage(largest, sum(project.total for project in found) - twofold, len(union.keys))


def pictures_of(engine: sa.Engine, owner: str, home: DataRoot) -> Pictures:
    """Return the different pictures in all versions of a person's projects."""
    versions = _versions_of(engine, owner).items()
    return Pictures.union(_pictures_of(project_id, frozenset(found.values()), home) for project_id, found in versions)


def bytes_of_versions(engine: sa.Engine, project_id: str, gone: Mapping[int, str], home: DataRoot) -> int:
    """Return what some versions of a project take that the others do not have.

    Args:
        engine: The database.
        project_id: The project.
        gone: The content of each of those versions, by number.
        home: The data root.
    """
    if not gone:
        return 0
    table = dataset_versions.c
    rows = read_rows(engine, sa.select(table.number, table.content).where(table.project_id == project_id))
    stay = {str(row.content) for row in rows if row.number not in gone}
    everything = _pictures_of(project_id, frozenset(stay | set(gone.values())), home)
    keys = [_keys_of(content, home) for content in stay]
    only = ~np.isin(everything.keys, np.concatenate([_NONE.keys, *keys]))
    lists = sum(file_bytes(content_path(content, home)) for content in set(gone.values()) - stay)
    return int(everything.sizes[only].sum()) + lists


def caches_of(home: DataRoot) -> dict[CacheKind, int]:
    """Return what the things take that all projects share, in bytes by kind."""
    return {kind: folder_bytes(folder) for kind, folder in cache_folders(home).items()}


def cache_folders(home: DataRoot) -> dict[CacheKind, Path]:
    """Return where the things lie that all projects share; all but the weights are made again when needed."""
    return {
        "features": home.features_dir,
        "compiled": home.compiled_dir,
        "maps": home.maps_dir,
        "speeds": home.speeds_dir,
        "ready_sets": home.ready_sets_dir,
        "weights": home.brought_weights_dir,
    }


def folder_bytes(folder: Path) -> int:
    """Return what the files in a folder and below take; 0 where there is none."""
    return sum(file_bytes(Path(place, name)) for place, _, names in os.walk(folder) for name in names)


def file_bytes(path: Path) -> int:
    """Return what a file takes; 0 where there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _owned(owner: str) -> sa.ColumnElement[bool]:
    return projects.c.owner == owner


def _versions_of(engine: sa.Engine, owner: str) -> dict[str, dict[int, str]]:
    """Return the content of each version by its number, of each project of a person."""
    table = dataset_versions.c
    query = sa.select(table.project_id, table.number, table.content).join(projects, projects.c.id == table.project_id)
    found: dict[str, dict[int, str]] = {}
    for row in read_rows(engine, query.where(_owned(owner))):
        found.setdefault(row.project_id, {})[row.number] = str(row.content)
    return found


def _job_folders(engine: sa.Engine, owner: str, home: DataRoot) -> dict[str, dict[UsageKind, int]]:
    """Return the bytes of what jobs have written, by project and kind."""
    places: dict[str, tuple[UsageKind, Path]] = {
        "run": ("runs", home.runs_dir),
        "simple_heads": ("simple_heads", home.simple_heads_dir),
        "prediction": ("predictions", home.predictions_dir),
        "export": ("exports", home.exports_dir),
    }
    query = sa.select(jobs.c.id, jobs.c.project_id, jobs.c.kind).join(projects, projects.c.id == jobs.c.project_id)
    found: dict[str, dict[UsageKind, int]] = {}
    for row in read_rows(engine, query.where(_owned(owner), jobs.c.kind.in_(places))):
        kind, folder = places[row.kind]
        of_project = found.setdefault(row.project_id, {})
        of_project[kind] = of_project.get(kind, 0) + folder_bytes(folder / str(row.id))
    return found


def _pictures_of(project_id: str, contents: frozenset[str], home: DataRoot) -> Pictures:
    """Return the pictures of a project in versions with these contents."""
    place = home, project_id
    with _lock:
        known, pictures = _remembered.get(place, (frozenset[str](), _NONE))
    if known == contents:
        return pictures
    if not known <= contents:
        known, pictures = frozenset(), _NONE
    names: set[str] = set()
    read = set(known)
    for content in contents - known:
        with suppress(OSError):  # tried again the next time
            names |= image_keys([content], home)
            read.add(content)
    there = set(pictures.keys.tolist())
    images = ImageStore(home)
    sizes = {short_key(name): images.num_bytes(name) for name in names if short_key(name) not in there}
    new = Pictures(np.fromiter(sizes, np.uint64, len(sizes)), np.fromiter(sizes.values(), np.int64, len(sizes)))
    pictures = Pictures.union([pictures, new])
    with _lock:
        _remembered[place] = frozenset(read), pictures
        _remembered.move_to_end(place)
        while len(_remembered) > REMEMBERED_PROJECTS:
            _remembered.popitem(last=False)
    return pictures


def _bytes_of(pictures: Pictures, content: str | None, home: DataRoot) -> int:
    """Return the bytes of those pictures that a version with this content has."""
    if content is None or not len(pictures.keys):
        return 0
    try:
        keys = _keys_of(content, home)
    except OSError:
        return 0
    return int(pictures.sizes[np.isin(pictures.keys, keys, assume_unique=True)].sum())


@lru_cache(maxsize=REMEMBERED_PROJECTS)
def _keys_of(content: str, home: DataRoot) -> NDArray[np.uint64]:
    names = image_keys([content], home)
    return np.unique(np.fromiter(map(short_key, names), np.uint64, len(names)))
