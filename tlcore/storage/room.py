"""Whether a person has room for more: each quota is looked up where something is about to come."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tlcore.errors import QuotaError
from tlcore.home import DataRoot
from tlcore.storage.database import jobs, projects, read_value
from tlcore.storage.images import ImageStore, image_key
from tlcore.storage.quotas import PERSON_GB, PERSON_PICTURES, PERSON_PROJECTS, PERSON_RUNS, PERSON_UPLOADS
from tlcore.storage.usage import pictures_of, short_key, usage_of

if TYPE_CHECKING:
    from tlcore.storage.uploads import Coming


def check_projects(connection: sa.Connection, owner: str) -> None:
    """Check that a person may have one project more, as a part of the transaction that makes it.

    Raises:
        QuotaError: If not.
    """
    if not PERSON_PROJECTS.is_set:
        return
    count = sa.select(sa.func.count()).select_from(projects).where(projects.c.owner == owner)
    there = connection.execute(count).scalar_one()
    if there + 1 > PERSON_PROJECTS.value:
        raise QuotaError(
            f"You have as many projects as one person can have: {PERSON_PROJECTS}. Delete one that you no longer need, "
            f"on Home or on Storage. {PERSON_PROJECTS.for_the_host}"
        )


def beyond_together(engine: sa.Engine, owners: Sequence[str], home: DataRoot) -> str:
    """Return in words which quotas all that some identities have would go beyond as one person's; empty if none.

    Nothing is refused by it: all this lies here already, and refusing would only keep it apart. But whoever has more
    than one person can have makes and starts nothing new before some of it has gone.
    """
    beyond = []
    if PERSON_PROJECTS.is_set:
        query = sa.select(sa.func.count()).select_from(projects).where(projects.c.owner.in_(owners))
        if (number := int(read_value(engine, query))) > PERSON_PROJECTS.value:
            beyond.append(f"{number:,} projects, and one person can have {PERSON_PROJECTS}")
    if PERSON_GB.is_set:
        # Pictures of both count twice here, which is at most too careful.
        there = sum(usage_of(engine, owner, home).total for owner in owners)
        if there > PERSON_GB.value * 1e9:
            beyond.append(f"up to {there / 1e9:,.2f} GB, and one person can have {PERSON_GB} GB")
    if not beyond:
        return ""
    return (
        f"Together these are {'; '.join(beyond)}. All come along, but nothing new can be made or started until some "
        "have gone. The page Storage, at the foot of Home, frees room."
    )


def check_waiting_runs(connection: sa.Connection, project_id: str) -> None:
    """Check that the owner of a project may have one run more in line, as a part of the transaction that adds it.

    Raises:
        QuotaError: If not.
    """
    if not PERSON_RUNS.is_set:
        return
    owner = sa.select(projects.c.owner).where(projects.c.id == project_id).scalar_subquery()
    waiting = sa.select(sa.func.count()).select_from(jobs.join(projects, projects.c.id == jobs.c.project_id))
    waiting = waiting.where(projects.c.owner == owner, jobs.c.kind == "run", jobs.c.state == "queued")
    there = connection.execute(waiting).scalar_one()
    if there + 1 > PERSON_RUNS.value:
        raise QuotaError(
            f"As many of your training runs wait in line as one person can have there: {PERSON_RUNS}. So none was "
            "added. Wait until some have begun, or stop some that you no longer need, on Train. "
            f"{PERSON_RUNS.for_the_host}"
        )


def check_coming(engine: sa.Engine, owner: str, coming: Coming, home: DataRoot) -> None:
    """Check that what a person's browsers send, the newest upload included, is not too much.

    Raises:
        QuotaError: If it is.
    """
    if coming.uploads > PERSON_UPLOADS.value:
        raise QuotaError(
            f"As many of your uploads come in as one person can have at a time: {PERSON_UPLOADS}. Wait until one of "
            f"them has ended, then try again. {PERSON_UPLOADS.for_the_host}"
        )
    check_bytes(engine, owner, coming.num_bytes, home)


def check_bytes(engine: sa.Engine, owner: str, num_bytes: int, home: DataRoot) -> None:
    """Check that a person has room for so many bytes more.

    Raises:
        QuotaError: If not.
    """
    if not PERSON_GB.is_set:
        return
    there = usage_of(engine, owner, home).total
    if there + num_bytes > PERSON_GB.value * 1e9:
        raise QuotaError(
            f"What you bring has {num_bytes / 1e9:,.2f} GB, and your projects take {there / 1e9:,.2f} GB already; one "
            f"person can have {PERSON_GB} GB. {_MAKE_ROOM} {PERSON_GB.for_the_host}"
        )


@dataclass(frozen=True, slots=True)
class WorkRoom:
    """Room of the owner of a project for what work leaves there, measured before the transaction that puts it in line.

    Attributes:
        there: Bytes that the projects take.
    """

    there: int

    @classmethod
    def of(cls, engine: sa.Engine, project_id: str, home: DataRoot) -> WorkRoom | None:
        """Return it; `None` where there is no limit, or the project has gone."""
        if not PERSON_GB.is_set:
            return None
        owner = read_value(engine, sa.select(projects.c.owner).where(projects.c.id == project_id))
        return None if owner is None else cls(usage_of(engine, str(owner), home).total)

    def check(self, num_bytes: int = 0) -> None:
        """Check that there is room for so many bytes more; somebody who has all that one may have begins nothing.

        Raises:
            QuotaError: If there is none.
        """
        limit = PERSON_GB.value * 1e9
        if self.there < limit and self.there + num_bytes <= limit:
            return
        coming = f", and what waits and works would add about {num_bytes / 1e9:,.2f} GB" if num_bytes else ""
        raise QuotaError(
            f"Your projects take {self.there / 1e9:,.2f} GB already{coming}; one person can have {PERSON_GB} GB. So "
            "this was not started. The page Storage, at the foot of Home, shows what takes room and frees it. "
            f"{PERSON_GB.for_the_host}"
        )


class Room:
    """What a person may still bring, counted down while pictures come in; many threads may ask at once.

    Args:
        engine: The database.
        project_id: The project into which they come; its owner counts.
        home: The data root.
        owner: Who counts instead, as where a copy of the project becomes somebody else's.
    """

    def __init__(self, engine: sa.Engine, project_id: str, home: DataRoot, *, owner: str | None = None) -> None:
        self._lock = threading.Lock()
        self._known: set[int] | None = None
        self._bytes = 0
        if PERSON_PICTURES.is_set or PERSON_GB.is_set:
            if owner is None:
                owner = str(read_value(engine, sa.select(projects.c.owner).where(projects.c.id == project_id)))
            self._known = set(pictures_of(engine, owner, home).keys.tolist())
            self._bytes = usage_of(engine, owner, home).total if PERSON_GB.is_set else 0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._known is not None

    def take(self, key: str, num_bytes: int) -> None:
        """Count a picture; one that the person has already takes nothing.

        Args:
            key: Its key.
            num_bytes: What it takes with its thumbnail.

        Raises:
            QuotaError: If there is no room for it.
        """
        if self._known is None:
            return
        with self._lock:
            if short_key(key) in self._known:
                return
            if len(self._known) + 1 > PERSON_PICTURES.value:
                raise QuotaError(
                    f"With these there would be more than {PERSON_PICTURES} different pictures in your projects, which "
                    f"is what one person can have. Nothing was added. {_MAKE_ROOM} {PERSON_PICTURES.for_the_host}"
                )
            if self._bytes + num_bytes > PERSON_GB.value * 1e9:
                raise QuotaError(
                    f"With these your projects would take more than {PERSON_GB} GB, which is what one person can have. "
                    f"Nothing was added. {_MAKE_ROOM} {PERSON_GB.for_the_host}"
                )
            self._known.add(short_key(key))
            self._bytes += num_bytes


class BoundedStore(ImageStore):
    """A store of pictures that takes only what a person has room for.

    Args:
        home: The data root.
        room: How much that is.
    """

    def __init__(self, home: DataRoot, room: Room) -> None:
        super().__init__(home)
        self._room = room

    def add(self, data: bytes, thumbnail: bytes) -> str:
        """Store a clean picture with its thumbnail and return its key.

        Raises:
            QuotaError: If there is no room for it.
            StorageError: If the disk is full or cannot be written.
        """
        self._room.take(image_key(data), len(data) + len(thumbnail))
        return super().add(data, thumbnail)


_MAKE_ROOM = "The page Storage, at the foot of Home, shows what takes room and frees it; or bring fewer pictures."
