"""What the file of a project says of it: the rows of its tables, and which files lie beside."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from tlcore.dataset import MAX_CLASS_NAME_LENGTH, MAX_CLASSES, Dataset
from tlcore.doctor.findings import DoctorReport
from tlcore.documents import read_document, write_document
from tlcore.errors import UnreadableError
from tlcore.results.cross_validation import CrossValidation
from tlcore.storage.card_words import CardWords
from tlcore.storage.configs import read_config
from tlcore.storage.copies import COPIED_KINDS
from tlcore.storage.database import is_time
from tlcore.storage.ensembles import EnsembleConfig
from tlcore.storage.jobs import ENDED_STATES, LEAST_IMPOSSIBLE
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.projects import MAX_NAME_LENGTH
from tlcore.storage.requests import CrossValidationRequest, DoctorRequest, SimpleHeadsRequest, SimpleHeadsResult
from tlcore.storage.runs import RunSummary
from tlcore.travel.packing import TravellingFile

DOCUMENT_FILE = "project.json"
WEIGHTS_FILE = "model.weights.h5"
"""What a run's model has learned. The network around it is built anew by the program that opens the file."""

MAX_TEXT = 20_000_000
MAX_COLOR = 1_000_000

PICTURE, VERSION = re.compile(r"pictures/([0-9a-f]{64})"), re.compile(r"versions/([0-9a-f]{64})\.json")
OF_JOB = re.compile(
    r"(~job\d+~)/(?:" + re.escape(WEIGHTS_FILE) + r"|(?:(?P<head>[a-z_]+)/)?(?!checkpoint)[a-z_]+\.npz)"
)
"""Names of the files beside the document; there are no others."""

PROJECT_ID = "~project~"

T = TypeVar("T")

_REQUESTS: Mapping[str, type] = {
    "simple_heads": SimpleHeadsRequest,
    "cross_validation": CrossValidationRequest,
    "doctor": DoctorRequest,
}
_RESULTS: Mapping[str, type] = {
    "simple_heads": SimpleHeadsResult,
    "cross_validation": CrossValidation,
    "doctor": DoctorReport,
}


@dataclass(frozen=True, slots=True)
class TravellingVersion:
    """A version of the data set, as of `tlcore.storage.datasets.Version`; its list of pictures is a file."""

    number: int
    parent: int | None
    note: str
    content: str
    created: float


@dataclass(frozen=True, slots=True)
class TravellingRun:
    """What a training run has besides its job; settings and summary are stored documents."""

    number: int
    version: int
    config: str
    summary: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class TravellingJob:
    """Work that has ended and what came of it, as of `tlcore.storage.jobs.JobStatus`.

    Attributes:
        id: Stands for it in this file alone; every computer gives it a new one.
        key: What makes two jobs the same.
        request: What it was asked for, a stored document.
        result: What it answered, a stored document.
        run: Of a training run.
        points: Of its curves: epoch, name and value; no value is an infinite one.
    """

    id: str
    kind: str
    state: str
    phase: str
    subject: str
    done: int
    total: int
    message: str
    attempt: int
    created: float
    started: float | None
    ended: float | None
    stop_requested: float | None
    deaths: str
    key: str | None
    request: str | None
    result: str | None
    run: TravellingRun | None = None
    points: tuple[tuple[float, str, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class TravellingGroup:
    """A group of runs, as of `tlcore.storage.ensembles.Ensemble`; its runs and weights are a stored document."""

    id: str
    name: str
    version: int
    config: str
    test_correct: int
    test_total: int
    created: float
    validation_correct: int | None
    validation_total: int | None


@dataclass(frozen=True, slots=True)
class TravellingExam:
    """An opened exam, as of `tlcore.storage.exams.Exam`."""

    model_id: str
    version: int
    opened: float


@dataclass(frozen=True, slots=True)
class TravellingSettings:
    """How a model answers, as of `tlcore.storage.model_settings.ModelSettings`."""

    model_id: str
    temperature: float
    threshold: float


@dataclass(frozen=True, slots=True)
class TravellingWords:
    """What people say of a model in its card, as of `tlcore.storage.card_words.CardWords`."""

    model_id: str
    purpose: str
    limits: str
    contact: str


@dataclass(frozen=True, slots=True)
class TravellingProject:
    """A project that travels.

    Attributes:
        name: What the person called it.
        created: When it was made, in seconds since 1970.
        version: Number of the present data set version.
        config: Settings for the next run, a stored document.
        visited: The steps that were opened.
        versions: Versions of the data set, by number.
        jobs: In the order in which they were asked for.
        groups: In the order in which they were made.
        exams: Exams that were opened.
        settings: Of models that do not answer as they were trained.
        files: All files beside this document.
        card_words: Of models that somebody has described.
    """

    name: str
    created: float
    version: int | None
    config: str
    visited: str
    versions: tuple[TravellingVersion, ...]
    jobs: tuple[TravellingJob, ...]
    groups: tuple[TravellingGroup, ...]
    exams: tuple[TravellingExam, ...]
    settings: tuple[TravellingSettings, ...]
    files: tuple[TravellingFile, ...]
    card_words: tuple[TravellingWords, ...] = ()


def write_project(project: TravellingProject) -> bytes:
    """Return the document of a project."""
    return write_document(project).encode()


def read_project(data: bytes) -> TravellingProject:
    """Read the document of a project and check all that it says, except for the content of the files.

    Raises:
        UnreadableError: If it is damaged, from a newer version, or contradicts itself.
    """
    try:
        project = read_document(data, TravellingProject)
    except RecursionError as error:
        raise UnreadableError("Its description is nested far too deeply.") from error
    _check_project(project)
    return project


def problem_of(job: TravellingJob) -> str:
    """Return why what is stored of a job cannot be read; empty when it can."""
    try:
        check_job(job)
    except UnreadableError as error:
        return str(error)
    return ""


def check_job(job: TravellingJob) -> None:
    """Check that work is of a kind that travels, has ended, and that its documents can be read.

    Raises:
        UnreadableError: If not.
    """
    _require(job.kind in COPIED_KINDS and job.state in ENDED_STATES, "a job that has not ended, or of no such kind")
    _require((job.kind == "run") == (job.run is not None), "a training run without its settings")
    _check_texts(job.phase, job.subject, job.message, job.deaths, job.key or "", job.request or "", job.result or "")
    _check_counts(job.done, job.total, job.attempt)
    _check_times(job.created, job.started, job.ended, job.stop_requested)
    _require(
        all(_is_number(epoch) and (value is None or _is_number(value)) for epoch, _, value in job.points), "a curve"
    )
    for document, kinds in ((job.request, _REQUESTS), (job.result, _RESULTS)):
        if document is not None and job.kind in kinds:
            _read(document, kinds[job.kind])
        _require(document is None or job.kind in kinds, "a training run with what no run has")
    if job.run is not None:
        _check_counts(job.run.number, job.run.version)
        _check_texts(job.run.note or "")
        _guarded(lambda: read_config(job.run.config if job.run else ""))
        if job.run.summary is not None:
            _read(job.run.summary, RunSummary)


def check_row(row: TravellingExam | TravellingSettings | TravellingWords | TravellingVersion) -> None:
    """Check what is said of a model or of a version.

    Raises:
        UnreadableError: If it says something that cannot be.
    """
    if isinstance(row, TravellingVersion):
        _check_counts(row.number, row.parent)
        _check_times(row.created)
        _check_texts(row.note, row.content)
        return
    _check_texts(row.model_id)
    if isinstance(row, TravellingExam):
        _check_counts(row.version)
        _check_times(row.opened)
    elif isinstance(row, TravellingSettings):
        _guarded(lambda: ModelSettings(row.temperature, row.threshold))
    else:
        _check_texts(row.purpose, row.limits, row.contact)
        _guarded(lambda: CardWords(row.purpose, row.limits, row.contact))


def check_group(group: TravellingGroup, run_ids: Collection[str], numbers: Collection[int]) -> None:
    """Check a group, and that its runs and its version of the data set are there.

    Raises:
        UnreadableError: If not.
    """
    _require(0 < len(group.name) <= MAX_NAME_LENGTH, "a group without a usable name")
    config = _read(group.config, EnsembleConfig)
    _require(set(run_ids).issuperset(config.run_ids) and group.version in numbers, "a group whose runs are missing")
    _check_counts(group.test_correct, group.test_total, group.validation_correct, group.validation_total)
    _check_times(group.created)


def check_dataset(dataset: Dataset, pictures: Collection[str]) -> None:
    """Check that a list of pictures agrees with itself, and names none but those that came with it.

    Another picture could be here already, as one of somebody else.

    Args:
        dataset: The list.
        pictures: Keys of those that came.

    Raises:
        UnreadableError: If a picture has a class that is not there, or there is something that no list has.
    """
    ids = {label.id for label in dataset.classes}
    _require(len(ids) == len(dataset.classes) <= MAX_CLASSES, "classes that are there twice, or too many of them")
    _require(
        all(0 < len(c.name) <= MAX_CLASS_NAME_LENGTH and 0 <= c.color < MAX_COLOR for c in dataset.classes),
        "a class without a usable name",
    )
    _require(all(item.class_id in ids for item in dataset.items), "a picture of a class that is not there")
    keys = {item.image for item in dataset.items} | {one.image for one in dataset.unlabelled}
    _require(keys.issubset(pictures), "a list of pictures of which one is missing")
    _require(all(map(_is_number, dataset.grey_range or ())), "a range of grey values")


def _check_project(project: TravellingProject) -> None:
    _require(0 < len(project.name) <= MAX_NAME_LENGTH, "a project without a usable name")
    _check_texts(project.visited)
    _check_times(project.created)
    _guarded(lambda: read_config(project.config, is_final=False))
    numbers = {version.number for version in project.versions}
    _require(len(numbers) == len(project.versions), "a version that is there twice")
    _require(project.version is None or project.version in numbers, "no present data set")
    for version in project.versions:
        check_row(version)
    ids = [job.id for job in project.jobs]
    _require(len(set(ids)) == len(ids), "a job that is there twice")
    for job in project.jobs:
        _require(re.fullmatch(r"~job\d{1,9}~", job.id) is not None, "a job with an unusable name")
        check_job(job)
    _check_models(project, numbers)
    _check_files(project)


def _check_models(project: TravellingProject, numbers: set[int]) -> None:
    """Check groups, exams and settings, and that all that they name is there."""
    run_ids = {job.id for job in project.jobs if job.run is not None}
    _require(all(job.run.version in numbers for job in project.jobs if job.run), "a run whose data set is missing")
    groups = {group.id for group in project.groups}
    _require(len(groups) == len(project.groups), "a group that is there twice")
    for group in project.groups:
        _require(re.fullmatch(r"~group\d{1,9}~", group.id) is not None, "a group with an unusable name")
        check_group(group, run_ids, numbers)
    rows: tuple[tuple[TravellingExam | TravellingSettings | TravellingWords, ...], ...]
    rows = (project.exams, project.settings, project.card_words)
    for of_model in rows:
        names = [one.model_id for one in of_model]
        _require(len(set(names)) == len(names), "a model that is there twice")
        for one in of_model:
            check_row(one)


def _check_files(project: TravellingProject) -> None:
    """Check that the files are those of this project and that no list of pictures is missing."""
    names = {file.name for file in project.files}
    _require(len(names) == len(project.files), "a file that is there twice")
    kinds = {job.id: job.kind for job in project.jobs}
    for file in project.files:
        _require(file.size >= 0 and re.fullmatch("[0-9a-f]{64}", file.digest) is not None, "a file without a checksum")
        found = PICTURE.fullmatch(file.name) or VERSION.fullmatch(file.name)
        if found is not None:
            _require(found[1] == file.digest, f"{file.name[:20]}…, whose name is not its checksum")
            continue
        of_job = OF_JOB.fullmatch(file.name)
        _require(of_job is not None, "a file that belongs to no project")
        kind = kinds.get(of_job[1] if of_job else "")
        is_of_head = of_job is not None and of_job["head"] is not None
        _require(kind == ("simple_heads" if is_of_head else "run"), "a file of a model that is not there")
    lists = {f"versions/{version.content}.json" for version in project.versions}
    _require({name for name in names if name.startswith("versions/")} == lists, "no list of its pictures")


def _read(document: str, kind: type[T]) -> T:
    return _guarded(lambda: read_document(document, kind))


def _guarded(read: Callable[[], T]) -> T:
    try:
        return read()
    except UnreadableError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"It says something that cannot be: {str(error)[:200]}") from error


def _check_texts(*texts: str) -> None:
    _require(all(len(text) <= MAX_TEXT and "\0" not in text for text in texts), "a text that is too long")


def _check_counts(*counts: int | None) -> None:
    _require(all(count is None or 0 <= count < LEAST_IMPOSSIBLE for count in counts), "an impossible number")


def _check_times(*times: float | None) -> None:
    _require(all(time is None or is_time(time) for time in times), "an impossible time")


def _is_number(value: float) -> bool:
    with suppress(TypeError, OverflowError):
        return math.isfinite(value)
    return False


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise UnreadableError(f"It holds {what}.")
