"""A project arrives: its file is checked as one from anybody, then becomes a project of this data root at once.

Nothing of it is executed or interpreted: it holds documents, pictures and arrays. Pictures are decoded by programs of
their own, the networks of its models are built by this program, and only what they have learned is read from it.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import sqlalchemy as sa

from tlcore.dataset import Dataset, clean_class_name, unique_items
from tlcore.documents import read_document, to_json
from tlcore.errors import (
    ArchiveError,
    ConflictError,
    DatasetError,
    ImageError,
    NotFoundError,
    TransferLabError,
    UnreadableError,
)
from tlcore.home import DataRoot, write_atomically
from tlcore.intake.archives.members import Member
from tlcore.intake.archives.zip_files import check_whole, zip_members
from tlcore.intake.limits import RATIO, UPLOAD_GB
from tlcore.intake.pictures import decoders
from tlcore.intake.pictures.pixels import MAX_SIDE
from tlcore.progress import Progress
from tlcore.storage.copies import renamed_id, renamed_text
from tlcore.storage.database import (
    card_words,
    dataset_versions,
    ensembles,
    exams,
    jobs,
    metrics,
    model_settings,
    now,
    projects,
    run_notes,
    runs,
    writing,
)
from tlcore.storage.datasets import content_path, write_list
from tlcore.storage.deletion import remove_job_files, remove_lists, remove_unused_pictures
from tlcore.storage.images import ImageStore, image_key
from tlcore.storage.jobs import write_result
from tlcore.storage.requests import ImportSummary
from tlcore.storage.room import BoundedStore, Room, check_bytes
from tlcore.travel.answers import check_stored_arrays, is_known
from tlcore.travel.arrays import RATIO_FLOOR_BYTES, check_arrays
from tlcore.travel.document import (
    DOCUMENT_FILE,
    OF_JOB,
    PICTURE,
    PROJECT_ID,
    VERSION,
    WEIGHTS_FILE,
    TravellingJob,
    TravellingProject,
    check_dataset,
    read_project,
)
from tlcore.travel.memory import limited_memory
from tlcore.travel.packing import TravellingFile
from tlcore.travel.stored_pictures import stored_size

NO_PROJECT = (
    "This is no project file of Transfer Lab, or only a part of one, so nothing was opened. In the project on the "
    "other computer, Share makes one: Take the whole project. Pictures in a ZIP file are brought on the Data page."
)
MAX_DOCUMENT_BYTES = 1 << 26
MAX_LIST_BYTES = 1 << 26
"""Of one list: that of a hundred thousand pictures has less."""

MAX_LISTS_BYTES = 1 << 31
MAX_LISTS = 2000
"""Of all versions together: an undo goes back 30 steps, and each run keeps one."""

MAX_JOBS = 5000
"""Runs and other work, and groups: each has rows, and a model is built for a run."""

MAX_POINTS = 2_000_000
"""Of all curves together: a thousand runs of a hundred epochs have less."""

CHECKING_BYTES = 1_000_000_000
"""What checking a file may take of the memory, besides what the program has before."""

MAX_PICTURE_BYTES = 4_000_000
"""More than 512 x 512 pixels take in whichever way."""

MAX_ARRAYS_BYTES = 1 << 28
PICTURES_AT_A_TIME = 64

_KEY = re.compile('"([0-9a-f]{64})"')

_DIRECTORY_BYTES = 20_100_000
"""As much as the directory of a ZIP file of pictures may have, with what lies behind it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An opened file whose description and checksums are right.

    Attributes:
        project: What it says.
        members: Its files, by name.
        of_jobs: The files of each job, by its id in the file.
        pictures: Keys of the pictures that came.
    """

    project: TravellingProject
    members: Mapping[str, Member]
    of_jobs: Mapping[str, Sequence[TravellingFile]]
    pictures: frozenset[str]
    _kept: dict[str, Dataset] = field(default_factory=dict)

    def list_of(self, content: str) -> bytes:
        """Return a list of pictures, by its key, as it was written; it is unpacked anew, as all together are large."""
        return _read(self.members[f"versions/{content}.json"], MAX_LIST_BYTES)

    def dataset(self, number: int) -> Dataset:
        """Return a version of the data set; the last one is kept, as many runs have the same."""
        content = next(version.content for version in self.project.versions if version.number == number)
        if content not in self._kept:
            self._kept.clear()
            self._kept[content] = read_document(self.list_of(content), Dataset)
        return self._kept[content]


def check_looks_like_one(path: Path) -> None:
    """Check that a file can be that of a project: a whole ZIP file whose directory names its description.

    Nothing is unpacked and next to no memory is taken, whatever the file is, so a server can do it for anybody.

    Raises:
        ArchiveError: If it is no such file.
    """
    with path.open("rb") as file:
        check_whole(file)
        file.seek(max(0, file.seek(0, 2) - _DIRECTORY_BYTES))
        before = b""
        while block := file.read(1 << 20):
            if DOCUMENT_FILE.encode() in before + block:
                return
            before = block[-len(DOCUMENT_FILE) :]
    raise ArchiveError(NO_PROJECT)


@contextmanager
def arrival(path: Path, progress: Progress | None = None) -> Iterator[Arrival]:
    """Open the file of a project and check it from one end to the other, for a `with` statement.

    Only a process of its own does this, never one that serves others: a hostile file keeps it busy.

    Args:
        path: A file from anybody.
        progress: Told how far it is.

    Raises:
        ArchiveError: If it is no file of a project, damaged, from a newer version, or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            with limited_memory(CHECKING_BYTES):
                found = _checked(zip_members(file), path.stat().st_size, progress)
            yield found
    except UnreadableError as error:
        raise ArchiveError(f"This project file cannot be opened, so nothing of it was taken. {error}") from error
    except ImageError as error:
        raise ArchiveError(
            "The project file is incomplete or damaged, so nothing of it was taken. Take it once more, or bring it "
            "again."
        ) from error


def _checked(members: list[Member], packed_bytes: int, progress: Progress | None) -> Arrival:
    try:
        return _looked_through(members, packed_bytes, progress)
    except MemoryError:
        pass  # told below, where what filled the memory is gone
    raise UnreadableError("Reading it takes far more memory than a project does.")


def _looked_through(members: list[Member], packed_bytes: int, progress: Progress | None) -> Arrival:
    by_name = {
        member.name.decode("cp437") if isinstance(member.name, bytes) else member.name: member for member in members
    }
    document = by_name.pop(DOCUMENT_FILE, None)
    if document is None:
        raise ArchiveError(NO_PROJECT)
    refused = next((member.why_refused for member in members if member.why_refused), None)
    if refused is not None or len(by_name) + 1 != len(members):
        raise UnreadableError(f"A file in it cannot be read. {refused or 'There are two of one name.'}")
    # Many small files that unpack to much are a bomb as well as a large one.
    total = sum(member.size for member in by_name.values())
    if total > UPLOAD_GB.value * 1e9:
        raise UnreadableError(f"It unpacks to more than {UPLOAD_GB} GB, the most that can be opened.")
    if total > RATIO_FLOOR_BYTES and total > RATIO.value * packed_bytes:
        raise UnreadableError("It unpacks to far more than a project would, as harmful ZIP files do.")
    lists = [member.size for name, member in by_name.items() if VERSION.fullmatch(name)]
    if len(lists) > MAX_LISTS or sum(lists) > MAX_LISTS_BYTES:
        raise UnreadableError("It holds far more lists of pictures than a project does.")
    project = read_project(_read(document, MAX_DOCUMENT_BYTES))
    if len(project.versions) > MAX_LISTS or len(project.jobs) + len(project.groups) > MAX_JOBS:
        raise UnreadableError("It holds far more versions, runs or groups than a project does.")
    if sum(len(job.points) for job in project.jobs) > MAX_POINTS:
        raise UnreadableError("Its curves have far more points than training leaves.")
    if by_name.keys() != {file.name for file in project.files}:
        raise UnreadableError("Some of its files are missing, or there are others than it says.")
    pictures = frozenset(file.digest for file in project.files if PICTURE.fullmatch(file.name))
    for job in project.jobs:
        if not all(is_known(key, pictures) for key in _keys_in(job.request, job.result)):
            raise UnreadableError("Some work in it speaks of a picture that is missing.")
    of_jobs: dict[str, list[TravellingFile]] = {}
    for number, file in enumerate(project.files):
        if progress is not None:
            progress.phase("checking_files", number, len(project.files))
        if by_name[file.name].size != file.size:
            raise UnreadableError("One of its files has another size than it says.")
        if VERSION.fullmatch(file.name):
            data = _read(by_name[file.name], MAX_LIST_BYTES)
            _check_digest(file, (data,))
            _check_list(data, pictures)
            continue
        _check_digest(file, by_name[file.name].chunks())
        if not PICTURE.fullmatch(file.name):
            of_jobs.setdefault(file.name.partition("/")[0], []).append(file)
    return Arrival(project, by_name, of_jobs, pictures)


def _keys_in(*documents: str | None) -> Iterator[str]:
    """Yield all that can be keys of pictures in stored documents that can be read."""
    for document in documents:
        # Written anew, so that no letter is spelt in another way.
        yield from _KEY.findall(to_json(msgspec.json.decode(document or "null")))


def _check_digest(file: TravellingFile, chunks: Iterable[bytes]) -> None:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    if digest.hexdigest() != file.digest:
        raise UnreadableError("One of its files is not the one that left: its checksum is another one.")


def _check_list(data: bytes, pictures: frozenset[str]) -> None:
    try:
        dataset = read_document(data, Dataset)
        check_dataset(dataset, pictures)
        _check_rules(dataset)
    except RecursionError as error:
        raise UnreadableError("A list of pictures is nested far too deeply.") from error


def _check_rules(dataset: Dataset) -> None:
    """Check what edits and imports see to, as a list from anybody has passed none of them.

    Raises:
        UnreadableError: If no edit and no import could have made the list.
    """
    try:
        usable = all(
            label.id and clean_class_name(_known(label.name)) == _known(label.name) for label in dataset.classes
        )
    except DatasetError:
        usable = False
    if not usable or len(set(dataset.class_names)) != dataset.num_classes:
        raise UnreadableError("It holds classes of one name, or of a name that no class can have.")
    if len(unique_items(dataset.items)) != len(dataset.items):
        raise UnreadableError("It holds a picture that is twice in a class.")
    names = [item.name for item in dataset.items] + [one.name for one in dataset.unlabelled]
    if not all(_known(name).isprintable() for name in names):
        raise UnreadableError("It holds a picture of a name that cannot be shown.")
    if dataset.grey_range is not None and not dataset.grey_range[0] <= dataset.grey_range[1]:
        raise UnreadableError("It holds a range of grey values that ends before it begins.")


def _known(text: str) -> str:
    """Return a text with another letter for each that this Python does not know: a newer one may have let it in."""
    return "".join("x" if unicodedata.category(letter) == "Cn" else letter for letter in text)


def _read(member: Member, max_bytes: int) -> bytes:
    if member.size > max_bytes:
        raise UnreadableError("A part of it is far too large.")
    return b"".join(member.chunks())


def open_arrival(
    found: Arrival,
    engine: sa.Engine,
    project_id: str,
    home: DataRoot,
    progress: Progress,
    *,
    job_id: str,
    attempt: int,
) -> None:
    """Make the present project, which is empty, the one of a file; all at once, or nothing of it.

    Files come first and rows last, in one transaction. What a killed worker has left goes with the leftovers.

    Args:
        found: The file, open.
        engine: The database.
        project_id: The empty project.
        home: The data root.
        progress: Told what happens; may ask to stop.
        job_id: The job that opens it.
        attempt: Its claim.

    Raises:
        ArchiveError: If a picture or a model in the file is not what it seems.
        ConflictError: If the project is not empty any more.
        QuotaError: If its owner has no room for it.
        StorageError: If the disk is full.
        StopRequested: If the person asked to stop.
    """
    new_ids = {job.id: _new_id(f"{job_id} {attempt}", job.id) for job in found.project.jobs}
    contents = {version.content for version in found.project.versions}
    store = _NotingStore(home, Room(engine, project_id, home))
    try:
        _check_room(found, engine, project_id, home)
        added = _take_pictures(found, store, progress)
        for number, job in enumerate(found.project.jobs):
            progress.phase("opening", number, len(found.project.jobs))
            _take_files(found, job, new_ids[job.id], home)
        for content in contents:
            write_list(found.list_of(content), home)
        with writing(engine) as connection:
            _write_rows(connection, found, project_id, new_ids, home)
            write_result(connection, job_id, attempt, ImportSummary(added, 0, (), ()))
    except BaseException:
        for new in new_ids.values():
            remove_job_files(new, home)
        with suppress(TransferLabError):  # what is left goes with the leftovers
            remove_lists(engine, contents, home)
        if store.added:
            remove_unused_pictures(engine, store.added, home, import_id=job_id)
        raise


def _new_id(opening: str, old: str) -> str:
    """Return the id that a job gets, which nobody guesses; it is another one in each attempt to open the file."""
    return hashlib.sha256(f"{opening} {old}".encode()).hexdigest()[:16]


class _NotingStore(BoundedStore):
    """A store of pictures that knows what was added through it."""

    def __init__(self, home: DataRoot, room: Room) -> None:
        super().__init__(home, room)
        self.added: set[str] = set()

    def add(self, data: bytes, thumbnail: bytes) -> str:
        """Store a picture and note its key, before: on a full disk its thumbnail may be there alone."""
        self.added.add(image_key(data))
        return super().add(data, thumbnail)


def _check_room(found: Arrival, engine: sa.Engine, project_id: str, home: DataRoot) -> None:
    """Check that there is room for all but the pictures, which are counted one by one.

    Raises:
        QuotaError: If there is none for this person.
    """
    # A model is there twice: to take away, and as what answers.
    needed = sum(
        file.size * (2 if file.name.endswith(WEIGHTS_FILE) else 1)
        for file in found.project.files
        if not PICTURE.fullmatch(file.name)
    )
    with engine.connect() as connection:
        owner = connection.execute(sa.select(projects.c.owner).where(projects.c.id == project_id)).scalar()
    if owner is None:
        raise NotFoundError("This project was deleted while it was opened.")
    check_bytes(engine, owner, needed, home)


def _take_pictures(found: Arrival, store: ImageStore, progress: Progress) -> int:
    """Decode and store the pictures; return how many there are."""
    names = [file.name for file in found.project.files if PICTURE.fullmatch(file.name)]
    decoders.warm()

    def take(name: str) -> None:
        data = _read(found.members[name], MAX_PICTURE_BYTES)
        store.add(data, _checked_thumbnail(data))

    with ThreadPoolExecutor(decoders.number_of_decoders()) as pool:
        for start in range(0, len(names), PICTURES_AT_A_TIME):
            progress.phase("looking", start, len(names))
            list(pool.map(take, names[start : start + PICTURES_AT_A_TIME]))
    return len(names)


def _checked_thumbnail(data: bytes) -> bytes:
    """Return the thumbnail of a picture that is as the app stores them.

    Raises:
        ArchiveError: If it is another one.
    """
    try:
        size = stored_size(data)
        if size is None or max(size) > MAX_SIDE:
            raise ImageError("It is no picture of Transfer Lab.")
        clean = decoders.read_image(data)
        if (clean.width, clean.height) != size:
            raise ImageError("It is no picture of Transfer Lab.")
    except ImageError as error:
        raise ArchiveError(
            "A picture in this project file is damaged, or none that Transfer Lab stores, so nothing was opened."
        ) from error
    return clean.thumbnail


def _take_files(found: Arrival, job: TravellingJob, new_id: str, home: DataRoot) -> None:
    """Write what a job has left into the folder of its new id."""
    folder = home.run_dir(new_id) if job.run is not None else home.simple_heads_dir / new_id
    for file in found.of_jobs.get(job.id, ()):
        matched = OF_JOB.fullmatch(file.name)
        member = found.members[file.name]
        if matched is None:  # it was refused before
            continue
        target = folder / file.name.removeprefix(f"{job.id}/")
        if not file.name.endswith(WEIGHTS_FILE):
            data = _read(member, MAX_ARRAYS_BYTES)
            check_arrays(data)
            write_atomically(target, lambda path, data=data: path.write_bytes(data))  # type: ignore[misc]
            check_stored_arrays(target, found.pictures)
            continue
        write_atomically(target, lambda path, member=member: _spool(member, path))  # type: ignore[misc]
        from tlcore.travel.rebuilding import rebuild_run  # with what builds networks

        assert job.run is not None
        try:
            rebuild_run(job.run.config, found.dataset(job.run.version), target, folder, home)
        finally:
            target.unlink(missing_ok=True)
    if job.kind == "simple_heads" and job.request is not None and folder.is_dir():
        from tlcore.travel.rebuilding import describe_heads

        describe_heads(job.request, found.dataset, folder)


def _spool(member: Member, path: Path) -> None:
    with path.open("wb") as target:
        for chunk in member.chunks():
            target.write(chunk)


def _write_rows(
    connection: sa.Connection, found: Arrival, project_id: str, new_ids: Mapping[str, str], home: DataRoot
) -> None:
    """Write all rows in the caller's transaction."""
    project = found.project
    of_project = projects.c.id == project_id
    row = connection.execute(sa.select(projects.c.version).where(of_project)).one_or_none()
    if row is None:
        raise NotFoundError("This project was deleted while it was opened.")
    if row.version is not None:
        raise ConflictError("Pictures came into this project while it was opened. Open the file once more, on Home.")
    groups = {group.id: f"group.{secrets.token_urlsafe(12)}" for group in project.groups}
    renamed = {**new_ids, **groups, PROJECT_ID: project_id}
    for version in project.versions:
        if not content_path(version.content, home).exists():
            # Written before, as nobody else can write meanwhile; another project that had the same was deleted since.
            write_list(found.list_of(version.content), home)
        values: dict[str, object] = {"number": version.number, "parent": version.parent, "note": version.note}
        values |= {"content": version.content, "created": version.created, "project_id": project_id}
        connection.execute(sa.insert(dataset_versions).values(values))
    for job in project.jobs:
        _write_job(connection, job, project_id, renamed)
    for group in project.groups:
        values = {name: getattr(group, name) for name in _GROUP_COLUMNS}
        values |= {"id": groups[group.id], "project_id": project_id, "config": renamed_text(group.config, renamed)}
        connection.execute(sa.insert(ensembles).values(values))
    for exam in project.exams:
        values = {"project_id": project_id, "version": exam.version, "opened": exam.opened}
        values["model_id"] = renamed_id(exam.model_id, renamed)
        connection.execute(sa.insert(exams).values(values))
    for one in project.settings:
        values = {"project_id": project_id, "temperature": one.temperature, "threshold": one.threshold}
        values["model_id"] = renamed_id(one.model_id, renamed)
        connection.execute(sa.insert(model_settings).values(values))
    for said in project.card_words:
        values = {"project_id": project_id, "purpose": said.purpose, "limits": said.limits, "contact": said.contact}
        values["model_id"] = renamed_id(said.model_id, renamed)
        connection.execute(sa.insert(card_words).values(values))
    values = {"version": project.version, "config": project.config, "visited": project.visited}
    values |= {"created": project.created, "touched": now(), "name": project.name}
    connection.execute(sa.update(projects).where(of_project).values(values))


_GROUP_COLUMNS = (
    *("name", "version", "test_correct", "test_total", "created", "validation_correct", "validation_total"),
)
_JOB_COLUMNS = (
    *("kind", "state", "phase", "subject", "done", "total", "message", "attempt", "created", "started", "ended"),
    *("stop_requested", "deaths"),
)


def _write_job(connection: sa.Connection, job: TravellingJob, project_id: str, renamed: Mapping[str, str]) -> None:
    values = {name: getattr(job, name) for name in _JOB_COLUMNS}
    values |= {"id": renamed[job.id], "project_id": project_id}
    values["key"] = None if job.key is None else renamed_id(job.key, renamed)
    values |= {"request": renamed_text(job.request, renamed), "result": renamed_text(job.result, renamed)}
    connection.execute(sa.insert(jobs).values(values))
    if job.run is not None:
        run = {name: getattr(job.run, name) for name in ("number", "version", "config", "summary")}
        connection.execute(sa.insert(runs).values(job_id=values["id"], **run))
        if job.run.note is not None:
            connection.execute(sa.insert(run_notes).values(job_id=values["id"], note=job.run.note))
    if job.points:
        points = [
            {"job_id": values["id"], "epoch": epoch, "name": name, "value": math.inf if value is None else value}
            for epoch, name, value in job.points
        ]
        connection.execute(sa.insert(metrics), points)
