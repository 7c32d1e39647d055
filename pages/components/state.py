"""What a page works on: owner, project and data root. Ids come from the address, everything else from storage."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

import sqlalchemy as sa
import streamlit as st

from pages.server.identity import left_since
from pages.server.private_streamlit import GUEST_OF, PERSON, USER_COOKIE
from pages.server.teacher import is_teacher
from tlcore.dataset import Dataset
from tlcore.errors import NotFoundError, ShutOutError, TransferLabError
from tlcore.home import DataRoot
from tlcore.model.architecture import ModelSummary, describe_model, without_contradictions
from tlcore.settings.locks import read_locks, unlocked
from tlcore.storage.admission import is_admitted, note_admitted_visit
from tlcore.storage.database import Guard, guarded, open_database, project_owner, read_only
from tlcore.storage.datasets import get_version, image_keys, load_dataset
from tlcore.storage.identities import read_identities
from tlcore.storage.images import GivenImages, ImageStore
from tlcore.storage.jobs import ACTIVE_STATES, JobKind, JobStatus, list_jobs
from tlcore.storage.projects import Project, get_project
from tlcore.storage.retention import touch_project
from tlcore.storage.room import BoundedStore, Room
from tlcore.storage.runs import Run, list_runs

LOCAL_OWNER = "local"

LOCKS_SECONDS = 1.0
"""How long pages remember what is locked; whatever is stored or started asks anew."""

NEXT_RUN = "next"
"""Stands in the address in place of a run's id while the settings of the next one are chosen."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Who looks at a page, and at what data root.

    Attributes:
        engine: The database; it refuses to write from when this person may not any more.
        home: The data root.
        owner: The browser that looks at the page.
    """

    engine: sa.Engine
    home: DataRoot
    owner: str

    @property
    def locked(self) -> frozenset[str]:
        """Names of what the teacher has locked for this person, as of a second ago at most."""
        return frozenset() if is_teacher(self.owner) else _locked(self.engine, self.home)

    def dataset_of(self, project: Project, version: int | None = None) -> Dataset:
        """Return a version of a project's data set, the current one when no number is given."""
        number = project.version if version is None else version
        if number is None:
            return Dataset()
        return _dataset(get_version(self.engine, project.id, number).content, self.home)


@dataclass(frozen=True, slots=True)
class Context(Visit):
    """What the page of a project works on, as it was when the page began.

    Attributes:
        project: The project in the address. Of a guest, who may only look, `engine` refuses to write.
    """

    project: Project

    @property
    def is_guest(self) -> bool:
        """Whether the project belongs to somebody else, who lets this person look at it."""
        return self.project.owner != self.owner

    @property
    def images(self) -> ImageStore:
        """The pictures of this data root; for who may only look, those of the present data set alone."""
        if not self.is_guest:
            return ImageStore(self.home)
        try:
            content = get_version(self.engine, self.project.id, self.version).content
            return GivenImages(self.home, _present(content, self.home))
        except TransferLabError:  # there is no list of pictures, or none that can be read
            return GivenImages(self.home, frozenset())

    def images_to_add(self, taken: Iterable[str] = ()) -> ImageStore:
        """Return the pictures, to add some: what the owner of the project has no room for is refused.

        Args:
            taken: Keys of pictures that were added a moment ago and are in no version yet.
        """
        room = Room(self.engine, self.project.id, self.home)
        for key in taken:
            room.take(key, self.images.num_bytes(key))
        return BoundedStore(self.home, room)

    @property
    def version(self) -> int:
        """The number of the current data set, 0 before the first pictures."""
        return self.project.version or 0

    @property
    def model(self) -> ModelSummary:
        """What the chosen model will look like for the project's classes."""
        return describe_model(self.project.config.model, max(self.dataset.num_classes, 1))

    @property
    def dataset(self) -> Dataset:
        """The project's current data set; empty before the first pictures. Costs nothing on a rerun."""
        return self.dataset_of(self.project)

    def active_jobs(self, kind: JobKind, *, of_everyone: bool = False) -> list[JobStatus]:
        """Return the jobs of a kind that wait or work for this project, or for whomever."""
        found = list_jobs(self.engine, states=ACTIVE_STATES, project_id=None if of_everyone else self.project.id)
        return [job for job in found if job.kind == kind]

    @property
    def runs(self) -> list[Run]:
        """The project's runs, newest first."""
        return list_runs(self.engine, self.project.id)


@st.cache_resource(max_entries=8, show_spinner=False)
def _engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@st.cache_resource(max_entries=24, show_spinner=False)
def _dataset(content: str, home: DataRoot) -> Dataset:
    return load_dataset(content, home)


@st.cache_resource(max_entries=24, show_spinner=False)
def _present(content: str, home: DataRoot) -> frozenset[str]:
    return frozenset(image_keys([content], home))


# Thirty pages draw twenty controls each, again and again.
@st.cache_data(ttl=LOCKS_SECONDS, max_entries=8, show_spinner=False)
def _locked(_engine: sa.Engine, home: DataRoot) -> frozenset[str]:
    return read_locks(_engine)


def read_owner() -> str:
    """Return who looks at the page: the anonymous cookie of this browser.

    Raises:
        NotFoundError: If the browser keeps no cookies: all such browsers would be one and the same person.
    """
    cookie = st.context.cookies.get(USER_COOKIE)
    owner = read_identities(DataRoot.configured()).owner_of(cookie) if isinstance(cookie, str) else None
    if owner is not None:
        return owner
    if st.context.headers:  # which a program that runs a page without a browser, such as a test, does not send
        raise NotFoundError(
            "Your browser keeps no cookie of this page, so it cannot know your projects again. Allow cookies for this "
            "address, or open it in a window of its own, then reload."
        )
    return LOCAL_OWNER


def session_person(owner: str) -> tuple[str, float]:
    """Return whose pages this session has drawn from its beginning, and when that was, by the monotonic clock.

    Args:
        owner: Who looks at the page now, from which on it is theirs if it is new.
    """
    person: tuple[str, float] = st.session_state.setdefault(PERSON, (owner, time.monotonic()))
    return person


def _guard(owner: str, project_id: str | None = None) -> Guard:
    """Return what lets a person write, in a project if one is named, until that is not theirs to do any more."""
    _, began = session_person(owner)

    def check(connection: sa.Connection) -> None:
        if left_since(owner, began):
            raise ShutOutError(
                "This page was drawn for somebody who this browser is no longer, so nothing was changed. Load it anew."
            )
        if not is_teacher(owner) and not is_admitted(connection, owner):
            raise ShutOutError(
                "You are not in the class any more, so nothing was changed. Load the page anew and say the class code."
            )
        if project_id is not None and project_owner(connection, project_id) not in (owner, None):
            raise ShutOutError(
                "This project belongs to somebody else by now, so nothing was changed. Go to Home to see yours."
            )

    return check


def read_visit() -> Visit:
    """Open the data root, and note that this person is here; the engine of a teacher is held by no lock.

    Raises:
        NotFoundError: If this browser keeps no cookies.
        StorageError: If the data root cannot be used.
    """
    home, owner = DataRoot.configured(), read_owner()
    engine = _engine(home)
    note_admitted_visit(engine, owner)
    free = unlocked(engine) if is_teacher(owner) else engine
    return Visit(guarded(free, _guard(owner), owner), home, owner)


def read_context(project_id: str) -> Context:
    """Open the data root and a project, which may be one of somebody else who lets this person look at it.

    A teacher may look at every one.

    Raises:
        NotFoundError: If the project does not exist or is not for this browser; also as of `read_visit`.
        StorageError: As of `read_visit`.
        UnreadableError: If this version cannot read its settings.
    """
    visit = read_visit()
    project = get_project(visit.engine, project_id, visit.owner, as_guest=True, of_anyone=is_teacher(visit.owner))
    touch_project(visit.engine, project)  # a guest's visit counts too
    # A tab with an old page may have stored what does not fit the backbone of another one.
    project = replace(project, config=without_contradictions(project.config))
    if project.owner == visit.owner:
        engine = guarded(visit.engine, _guard(visit.owner, project_id), visit.owner)
    else:
        engine = read_only(visit.engine)
        st.session_state[GUEST_OF] = project_id
    return Context(engine, visit.home, visit.owner, project)


def link_params(project_id: str, run_id: str | None = None) -> dict[str, str]:
    """Return the part of an address that names a project and, when given, a run."""
    return {"project": project_id, **({"run": run_id} if run_id else {})}
