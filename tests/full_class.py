"""A data root as a class of thirty leaves it after a term, made in a second: to look at and to measure."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator

import sqlalchemy as sa

from tlcore.config import RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.documents import write_document
from tlcore.home import DataRoot
from tlcore.storage.database import dataset_versions, jobs, now, people, projects, writing
from tlcore.storage.datasets import content_path
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import JobKind

NAMES = ("Ada", "Ben", "Chloé", "Deniz", "Emil", "Fatou", "Grete", "Hana", "Ivo", "Jun")
WORKING, WAITING = 4, 60
PICTURES = 50
FILE_BYTES = 2000


def fill(
    engine: sa.Engine, home: DataRoot, *, num_people: int = 30, num_projects: int = 600, num_jobs: int = 3000
) -> list[str]:
    """Fill a data root with people who have projects with pictures and jobs, most of which have ended.

    Returns:
        The identities of the people.
    """
    owners = [f"{number:024d}" for number in range(num_people)]
    config = write_document(RunConfig())
    versions = [_version(number, home) for number in range(num_people)]
    with writing(engine) as connection:
        connection.execute(sa.insert(people), [_person(number, owner) for number, owner in enumerate(owners)])
        made = [
            {
                "id": secrets.token_urlsafe(16),
                "owner": owners[number % num_people],
                "name": f"Project {number}",
                "created": now() - number,
                "version": 1,
                "config": config,
                "visited": "",
                "touched": now(),
            }
            for number in range(num_projects)
        ]
        connection.execute(sa.insert(projects), made)
        rows = [
            {
                "project_id": project["id"],
                "number": 1,
                "parent": None,
                "note": "",
                "content": versions[number % num_people],
                "created": now(),
            }
            for number, project in enumerate(made)
        ]
        connection.execute(sa.insert(dataset_versions), rows)
        ids = [str(project["id"]) for project in made]
        if num_jobs:
            connection.execute(sa.insert(jobs), list(_jobs(ids, num_jobs, home)))
    return owners


def _person(number: int, owner: str) -> dict[str, object]:
    name = "" if number % 7 == 6 else NAMES[number % len(NAMES)] + ("" if number < len(NAMES) else f" {number}")
    return {"owner": owner, "name": name, "number": number + 1, "seen": time.time() - 400 * number, "admitted": True}


def _version(number: int, home: DataRoot) -> str:
    """Write the list of some pictures, and files in their places, and return its content's name."""
    images, items = ImageStore(home), []
    for place in range(PICTURES):
        key = hashlib.sha256(f"{number} {place}".encode()).hexdigest()
        for path in (images.path(key), home.thumbnails_dir / key[:2] / key):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(FILE_BYTES))
        items.append(Item(image=key, class_id="a" if place % 2 else "b", split="train", name=f"{place}.jpg"))
    document = write_document(Dataset((ClassLabel("a", "cat", 0), ClassLabel("b", "dog", 1)), tuple(items)))
    content = hashlib.sha256(document.encode()).hexdigest()
    path = content_path(content, home)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document, encoding="utf-8")
    return content


def _jobs(project_ids: list[str], number: int, home: DataRoot) -> Iterator[dict[str, object]]:
    kinds: tuple[JobKind, ...] = ("run", "run", "run", "simple_heads", "map")
    for place in range(number):
        job_id = secrets.token_urlsafe(12)
        state = "running" if place < WORKING else "queued" if place < WORKING + WAITING else "finished"
        kind = kinds[place % len(kinds)]
        works = state == "running"
        yield {
            "id": job_id,
            "kind": kind,
            "project_id": project_ids[place % len(project_ids)],
            "state": state,
            "phase": "training" if works else "",
            "done": 3 * place if works else 0,
            "total": 20 if works else 0,
            "attempt": 0 if state == "queued" else 1,
            "heartbeat": now(),
            "created": now() - number + place,
            "started": None if state == "queued" else now(),
            "ended": now() if state == "finished" else None,
        }
        if state == "finished" and kind == "run":
            folder = home.run_dir(job_id)
            folder.mkdir(parents=True)
            (folder / "model.keras").write_bytes(bytes(FILE_BYTES))
            (folder / "labels.txt").write_bytes(bytes(100))
