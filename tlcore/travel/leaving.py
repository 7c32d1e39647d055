"""A project leaves: what it is in one moment, and its file, made while it is sent."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from tlcore.backbones.spec import HDF5_SIGNATURE
from tlcore.damage import DAMAGE_ERRORS
from tlcore.dataset import Dataset, keep_images
from tlcore.documents import format_of, read_fields, write_document
from tlcore.errors import NotFoundError, StorageError, UnreadableError
from tlcore.home import DataRoot
from tlcore.intake.limits import FILES, UPLOAD_GB
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.settings.words import count
from tlcore.storage.copies import COPIED_KINDS, renamed_id, renamed_text
from tlcore.storage.database import (
    card_words,
    dataset_versions,
    ensembles,
    exams,
    jobs,
    metrics,
    model_settings,
    projects,
    read_rows,
    run_notes,
    runs,
)
from tlcore.storage.datasets import NO_WAY_BACK, content_path, image_keys, load_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ENDED_STATES
from tlcore.travel.arrays import check_arrays
from tlcore.travel.document import (
    DOCUMENT_FILE,
    OF_JOB,
    PROJECT_ID,
    WEIGHTS_FILE,
    TravellingExam,
    TravellingGroup,
    TravellingJob,
    TravellingProject,
    TravellingRun,
    TravellingSettings,
    TravellingVersion,
    TravellingWords,
    check_group,
    check_row,
    problem_of,
    read_project,
    write_project,
)
from tlcore.travel.packing import Outgoing, TravellingFile, pack

BLOCK_BYTES = 1 << 20

R = TypeVar("R", TravellingExam, TravellingSettings, TravellingWords)

STAYS: Mapping[str, str] = {
    "shares": "a link belongs to this Transfer Lab",
    "guests": "who may look at a project here is of no meaning elsewhere",
    "leavings": "whether nobody opens the project is seen on each computer anew",
    "brought": "pictures that wait for an answer are in no data set, and concern nobody else",
}
"""The tables of a project whose rows do not travel, and why; those of all others do."""

_NOTHING = "0" * 48
"""How the key begins that stands for a picture that was deleted; no picture has such a one."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A project as it was in one moment, ready to be sent.

    Attributes:
        project: All that its document will say, but for the files; its versions are as they are here.
        images: Keys of the pictures of its present data set.
        deleted: Keys of pictures that it had before, each with what stands for it in the file.
        folders: Where the files of its jobs lie, by the names of these in the file.
        home: The data root.
        left_behind: What does not travel though it belongs to the project, in words, each with how many there are.
    """

    project: TravellingProject
    images: tuple[str, ...]
    deleted: Mapping[str, str]
    folders: Mapping[str, Path]
    home: DataRoot
    left_behind: tuple[str, ...] = ()

    def blocks(self) -> Iterator[bytes]:
        """Yield the file, block by block.

        Raises:
            TransferLabError: If something of it went away meanwhile; what was sent by then is no whole file.
        """
        sent: dict[str, str] = {}
        yield from pack(self._files(sent), DOCUMENT_FILE, lambda files: self._document(files, sent))

    @property
    def num_bytes(self) -> int:
        """About how large the file is."""
        images, total = ImageStore(self.home), 0
        of_jobs = (path for _, path in self._of_jobs())
        lists = (content_path(content, self.home) for content in self._lists())
        for path in chain((images.path(key) for key in self.images), lists, of_jobs):
            with suppress(OSError):
                total += path.stat().st_size
        return total

    def check_opens(self) -> None:
        """Check that another Transfer Lab with the limits of this one takes the file.

        Raises:
            StorageError: If not.
        """
        number = len(self.images) + len(self._lists()) + len(list(self._of_jobs())) + 1
        if self.num_bytes > UPLOAD_GB.value * 1e9 or number > FILES.value:
            raise StorageError(
                f"This project is too large for one file: at most {UPLOAD_GB} GB and {FILES} files can be opened "
                "again. Free some room on the page Storage, such as models that you no longer need, then try again."
            )

    def check_document(self) -> None:
        """Check that the whole document can be read again, before anything is sent.

        Raises:
            UnreadableError: If not.
        """
        names = [(f"pictures/{key}", key) for key in self.images]
        names += [(f"versions/{key}.json", key) for key in self._lists()]
        names += [(name, "0" * 64) for name, _ in self._of_jobs()]  # which have their checksums only when they are sent
        files = tuple(TravellingFile(name, 0, digest) for name, digest in names)
        read_project(write_project(replace(self.project, files=files)))

    def _lists(self) -> tuple[str, ...]:
        """Return the keys of the lists of pictures of the versions, each once."""
        return tuple(dict.fromkeys(version.content for version in self.project.versions))

    def _files(self, sent: dict[str, str]) -> Iterator[Outgoing]:
        """Yield the files; note in `sent` which key each list has in the file, by the one that it has here."""
        images, known = ImageStore(self.home), frozenset(self.images)
        for key in self.images:
            yield Outgoing(f"pictures/{key}", partial(_blocks, images.path(key)))
        for content in self._lists():  # one after the other: all of them can be far more than the memory holds
            data = _list(content, known, self.home)
            key = hashlib.sha256(data).hexdigest()
            if key not in sent.values():
                yield _of_bytes(f"versions/{key}.json", data, shrinks=True)
            sent[content] = key
        for name, path in self._of_jobs():
            if name.endswith(".npz"):
                arrays = _answers(path, self.deleted)
                if arrays is not None:
                    yield _of_bytes(name, arrays)
            else:
                yield Outgoing(name, partial(_weights, path))

    def _of_jobs(self) -> Iterator[tuple[str, Path]]:
        """Yield the name in the file and the place of everything that the jobs have left and that travels."""
        for name, folder in self.folders.items():
            for path in sorted([*folder.glob("*.npz"), *folder.glob("*/*.npz")]):
                full = f"{name}/{path.relative_to(folder).as_posix()}"
                if OF_JOB.fullmatch(full):
                    yield full, path
            if _has_weights(folder / MODEL_FILE):
                yield f"{name}/{WEIGHTS_FILE}", folder / MODEL_FILE

    def _document(self, files: tuple[TravellingFile, ...], sent: Mapping[str, str]) -> bytes:
        cut = {version.number for version in self.project.versions if sent[version.content] != version.content}
        versions = tuple(
            # What was deleted does not come back there, so there is nothing to take back to.
            replace(one, content=sent[one.content], parent=NO_WAY_BACK if one.parent in cut else one.parent)
            for one in self.project.versions
        )
        data = write_project(replace(self.project, versions=versions, files=files))
        read_project(data)  # what cannot be opened must not leave as if it could
        return data


def departure(engine: sa.Engine, project_id: str, home: DataRoot, *, looks_at_pictures: bool = True) -> Departure:
    """Return a project as it is now, with everything but what is made again and what concerns nobody else.

    Pictures that were deleted or damaged stay here, as do answers to pictures that are in no data set, and who may look
    at it.

    Args:
        engine: The database.
        project_id: The project.
        home: The data root.
        looks_at_pictures: Whether each picture is read once to see that it is whole, and the results for which pictures
            they name; to tell the size alone they are not.

    Raises:
        NotFoundError: If it was deleted.
        UnreadableError: If its settings or its present list of pictures cannot be read.
        StorageError: If the database or a list cannot be read.
    """
    with engine.begin() as connection:  # one moment of all tables
        return _Snapshot(connection, project_id, home, looks_at_pictures=looks_at_pictures).take()


class _Snapshot:
    """Reads the rows of a project."""

    def __init__(self, connection: sa.Connection, project_id: str, home: DataRoot, *, looks_at_pictures: bool) -> None:
        self._connection = connection
        self._id = project_id
        self._home = home
        self._looks_at_pictures = looks_at_pictures
        self._deleted: dict[str, str] = {}
        self._damaged: Counter[str] = Counter()

    def take(self) -> Departure:
        row = next(iter(read_rows(self._connection, sa.select(projects).where(projects.c.id == self._id))), None)
        if row is None:
            raise NotFoundError("This project was deleted. Go to Home to see your projects.")
        versions, images = self._versions(row.version)
        found = self._jobs({version.number for version in versions})
        new_ids = {old.id: f"~job{number}~" for number, old in enumerate(found, 1)}
        rows = self._group_rows()
        renamed = {**new_ids, **{group.id: f"~group{number}~" for number, group in enumerate(rows, 1)}}
        renamed[self._id] = PROJECT_ID
        if self._looks_at_pictures:
            self._note_deleted(found, images)
        project = TravellingProject(
            name=row.name,
            created=row.created,
            version=row.version,
            config=row.config,
            visited=row.visited,
            versions=tuple(versions),
            jobs=tuple(self._renamed_job(job, {**renamed, **self._deleted}) for job in found),
            groups=self._groups(rows, renamed, versions, set(new_ids.values())),
            exams=self._exams(renamed),
            settings=self._settings(renamed),
            files=(),
            card_words=self._card_words(renamed),
        )
        folders = {
            new_ids[job.id]: (self._home.run_dir(job.id) if job.run else self._home.simple_heads_dir / job.id)
            for job in found
            if job.kind in ("run", "simple_heads")
        }
        found_project = Departure(
            project, images, dict(self._deleted), folders, self._home, self._left_behind(found, folders)
        )
        found_project.check_document()
        return found_project

    def _versions(self, present: int | None) -> tuple[list[TravellingVersion], tuple[str, ...]]:
        """Return the versions whose lists can be read, and the pictures of the present one that are whole."""
        table = dataset_versions.c
        columns = (table.number, table.parent, table.note, table.content, table.created)
        query = sa.select(*columns).where(table.project_id == self._id).order_by(table.number)
        versions, keys = list[TravellingVersion](), set[str]()
        for row in read_rows(self._connection, query):
            if row.number == present:
                listed = _keys(load_dataset(row.content, self._home))
                keys = set(filter(self._is_whole, listed))
                self._damaged["picture"] += len(listed) - len(keys)
            elif not _is_readable(content_path(row.content, self._home), row.content):
                self._damaged["earlier version of the data set"] += 1
                continue  # nobody can open it here either
            try:
                version = read_fields(row._mapping, TravellingVersion)
                check_row(version)
            except UnreadableError:
                if row.number == present:
                    raise
                self._damaged["earlier version of the data set"] += 1
                continue
            versions.append(version)
        return versions, tuple(sorted(keys))

    def _left_behind(self, found: list[TravellingJob], folders: Mapping[str, Path]) -> tuple[str, ...]:
        """Return in words what does not travel: short, only what there is."""
        query = sa.select(jobs.c.kind, jobs.c.state).where(jobs.c.project_id == self._id)
        rows = read_rows(self._connection, query)
        ended = [row.kind for row in rows if row.state in ENDED_STATES]
        copied = sum(kind in COPIED_KINDS for kind in ended)
        said = [
            (len(rows) - len(ended), "piece of work that has not ended", "pieces of work that have not ended"),
            (copied - len(found), "training or finding that is damaged", "trainings or findings that are damaged"),
        ]
        for noun, number in self._damaged.items():
            said.append((number, f"{noun} that is damaged or missing", f"{_many(noun)} that are damaged or missing"))
        weights = [folder / MODEL_FILE for folder in folders.values() if (folder / MODEL_FILE).exists()]
        lost = sum(not _has_weights(path) for path in weights)
        said.append((lost, "model whose weights cannot be read", "models whose weights cannot be read"))
        waiting = sum((folder / "checkpoint.npz").exists() for folder in folders.values())
        said.append((waiting, "checkpoint of a training", "checkpoints of trainings"))
        for kind, noun in _MADE_AGAIN.items():
            said.append((ended.count(kind), noun, _many(noun)))
        return tuple(count(number, one, many) for number, one, many in said if number > 0)

    def _is_whole(self, key: str) -> bool:
        path = ImageStore(self._home).path(key)
        if not self._looks_at_pictures:
            return path.is_file()
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest() == key
        except OSError:
            return False

    def _jobs(self, versions: set[int]) -> list[TravellingJob]:
        """Return the jobs that have ended, under the ids that they have here; one that is damaged stays here."""
        query = sa.select(jobs, runs.c.number, runs.c.version, runs.c.config, runs.c.summary, run_notes.c.note)
        query = query.outerjoin(runs, runs.c.job_id == jobs.c.id).outerjoin(run_notes, run_notes.c.job_id == jobs.c.id)
        query = query.where(jobs.c.project_id == self._id, jobs.c.kind.in_(COPIED_KINDS))
        query = query.where(jobs.c.state.in_(ENDED_STATES)).order_by(jobs.c.created, jobs.c.kind, runs.c.number)
        found = []
        for row in read_rows(self._connection, query):
            columns = {name: getattr(row, name) for name in _JOB_COLUMNS}
            run = None
            if row.kind == "run" and row.version in versions:
                run = TravellingRun(row.number, row.version, row.config, row.summary, row.note)
            try:
                job = TravellingJob(**columns, run=run, points=self._points(row.id) if run else ())
                if not problem_of(job) and isinstance(job.message, str):
                    found.append(job)
            except (TypeError, ValueError, AttributeError):
                continue  # a value of a column is damaged
        return found

    def _points(self, job_id: str) -> tuple[tuple[float, str, float | None], ...]:
        query = sa.select(metrics.c.epoch, metrics.c.name, metrics.c.value).where(metrics.c.job_id == job_id)
        rows = read_rows(self._connection, query.order_by(metrics.c.id))
        points = []
        for row in rows:
            with suppress(TypeError, ValueError, OverflowError):  # a damaged one stays here
                value = float(row.value)
                if isinstance(row.name, str) and math.isfinite(float(row.epoch)):
                    points.append((float(row.epoch), row.name, value if math.isfinite(value) else None))
        return tuple(points)

    def _note_deleted(self, found: list[TravellingJob], images: tuple[str, ...]) -> None:
        """Give each picture that was deleted, and that something still speaks of, what stands for it in the file.

        Numbered by where it comes first, so that a project that travels on makes the same file.
        """
        known = set(images)
        for job in found:
            folder = self._home.run_dir(job.id) if job.run else self._home.simple_heads_dir / job.id
            for path in sorted([*folder.glob("*.npz"), *folder.glob("*/*.npz")]):
                for key in _image_names(path):
                    self._stand_in(key, known)
            for document in (job.request, job.result):
                with suppress(ValueError, RecursionError):
                    for key in _keys_in(json.loads(document or "null")):
                        self._stand_in(key, known)

    def _stand_in(self, key: str, known: set[str]) -> None:
        if key not in known and not key.startswith(_NOTHING) and key not in self._deleted:
            self._deleted[key] = f"{_NOTHING}{len(self._deleted) + 1:016x}"

    @staticmethod
    def _renamed_job(job: TravellingJob, renamed: Mapping[str, str]) -> TravellingJob:
        return replace(
            job,
            id=renamed[job.id],
            key=None if job.key is None else renamed_id(job.key, renamed),
            request=renamed_text(job.request, renamed),
            result=renamed_text(job.result, renamed),
        )

    def _group_rows(self) -> list[sa.Row[Any]]:
        query = sa.select(ensembles).where(ensembles.c.project_id == self._id)
        return list(read_rows(self._connection, query.order_by(ensembles.c.created, ensembles.c.name)))

    def _groups(
        self,
        rows: list[sa.Row[Any]],
        renamed: Mapping[str, str],
        versions: list[TravellingVersion],
        job_ids: set[str],
    ) -> tuple[TravellingGroup, ...]:
        numbers = {version.number for version in versions}
        found = []
        for row in rows:
            with suppress(UnreadableError, ValueError, TypeError, AttributeError):  # a damaged one stays here
                values = {name: value for name, value in row._mapping.items() if name != "project_id"}
                values |= {"id": renamed[row.id], "config": renamed_text(row.config, renamed) or ""}
                group = read_fields(values, TravellingGroup)
                check_group(group, job_ids, numbers)
                found.append(group)
        self._damaged["group"] += len(rows) - len(found)
        return tuple(found)

    def _exams(self, renamed: Mapping[str, str]) -> tuple[TravellingExam, ...]:
        found = self._of_models(exams, TravellingExam, renamed)
        return tuple(sorted(found, key=lambda exam: (exam.opened, exam.model_id)))

    def _settings(self, renamed: Mapping[str, str]) -> tuple[TravellingSettings, ...]:
        return tuple(sorted(self._of_models(model_settings, TravellingSettings, renamed), key=lambda one: one.model_id))

    def _card_words(self, renamed: Mapping[str, str]) -> tuple[TravellingWords, ...]:
        return tuple(sorted(self._of_models(card_words, TravellingWords, renamed), key=lambda one: one.model_id))

    def _of_models(self, table: sa.Table, kind: type[R], renamed: Mapping[str, str]) -> Iterator[R]:
        """Yield what the rows of a table say of models; one that is damaged stays here."""
        for row in read_rows(self._connection, sa.select(table).where(table.c.project_id == self._id)):
            try:
                values = {name: value for name, value in row._mapping.items() if name != "project_id"}
                one = read_fields({**values, "model_id": renamed_id(row.model_id, renamed)}, kind)
                check_row(one)
            except (UnreadableError, ValueError, TypeError, AttributeError):
                self._damaged["note about a model"] += 1
                continue
            yield one


_JOB_COLUMNS = (
    *("id", "kind", "state", "phase", "subject", "done", "total", "message", "attempt", "created", "started", "ended"),
    *("stop_requested", "deaths", "key", "request", "result"),
)


_MADE_AGAIN: Mapping[str, str] = {
    "search": "search for settings",
    "map": "map of the pictures",
    "prediction": "answer to many pictures",
    "export": "set of files of a model",
}
"""Kinds of jobs of which nothing travels, and what each has made."""


def _many(noun: str) -> str:
    first, space, rest = noun.partition(" ")
    if noun.startswith("earlier version"):
        return noun.replace("version", "versions", 1)
    return f"{first}es{space}{rest}" if first.endswith("ch") else f"{first}s{space}{rest}"


def _keys(dataset: Dataset) -> set[str]:
    return {item.image for item in dataset.items} | {one.image for one in dataset.unlabelled}


class _Numbered(msgspec.Struct):
    """The number of the format of a stored document; all else is looked over, but not kept."""

    format: int = 1


def _is_readable(path: Path, content: str) -> bool:
    """Whether a list of pictures is as it was written, by this version or an earlier one."""
    try:
        data = path.read_bytes()
        is_known = msgspec.json.decode(data, type=_Numbered).format <= format_of(Dataset)
    except (OSError, ValueError, RecursionError):
        return False
    return is_known and hashlib.sha256(data).hexdigest() == content


def _list(content: str, known: frozenset[str], home: DataRoot) -> bytes:
    """Return a list of pictures without those that do not travel; as it lies here when all of them do."""
    with suppress(OSError):
        if image_keys((content,), home) <= known:
            data = content_path(content, home).read_bytes()
            if hashlib.sha256(data).hexdigest() == content:
                return data
    dataset = load_dataset(content, home)
    return write_document(keep_images(dataset, known & _keys(dataset))).encode()


def _keys_in(document: Any) -> Iterator[str]:
    """Yield what can be the key of a picture in a stored document, in order."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from _keys_in(name)
            yield from _keys_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from _keys_in(value)
    elif isinstance(document, str) and len(document) == 64 and not set(document) - set("0123456789abcdef"):
        yield document


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as source:
            while block := source.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise StorageError("A picture was deleted while the file was made. Take the project once more.") from error


def _of_bytes(name: str, data: bytes, *, shrinks: bool = False) -> Outgoing:
    return Outgoing(name, lambda: iter((data,)), shrinks)


def _image_names(path: Path) -> list[str]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            return [str(key) for key in stored["images"].tolist()] if "images" in stored else []
    except DAMAGE_ERRORS:
        return []


def _answers(path: Path, deleted: Mapping[str, str]) -> bytes | None:
    """Return stored arrays, with other keys of pictures that were deleted; `None` where nobody can read them."""
    import numpy as np

    try:
        data = path.read_bytes()
        check_arrays(data)
        names = _image_names(path)
        if deleted.keys().isdisjoint(names):
            return data
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = dict(stored)
        arrays["images"] = np.array([deleted.get(name, name) for name in names], dtype=np.str_)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()
    except (OSError, UnreadableError):
        return None


def _has_weights(path: Path) -> bool:
    """Whether a model's file is there and holds weights that can be read elsewhere."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(WEIGHTS_FILE) as source:
            return source.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except DAMAGE_ERRORS:
        return False


def _weights(path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(WEIGHTS_FILE) as source:
            while block := source.read(BLOCK_BYTES):
                yield block
    except DAMAGE_ERRORS as error:
        raise StorageError("A model was deleted while the file of the project was made. Take it once more.") from error
