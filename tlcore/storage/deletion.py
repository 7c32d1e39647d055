"""Delete a project with all its files, and pictures that nothing needs any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import sqlalchemy as sa

from tlcore.home import DataRoot
from tlcore.storage.database import dataset_versions, jobs, now, projects, writing
from tlcore.storage.datasets import content_path, image_keys
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ACTIVE_STATES
from tlcore.storage.reserve import with_reserve
from tlcore.storage.staging import remove_staging_dir, staging_of


def delete_project(engine: sa.Engine, project_id: str, home: DataRoot) -> None:
    """Remove a project: its rows, its models and results, and the pictures that no other project has.

    A worker of the project notices at its next report that its job is gone, and ends; see `remove_job_files`.

    Args:
        engine: The database.
        project_id: The project; nothing happens if it is not there.
        home: The data root.

    Raises:
        StorageError: If the database cannot be written; nothing is deleted then.
    """
    with with_reserve(home):
        _delete_project(engine, project_id, home)


def _delete_project(engine: sa.Engine, project_id: str, home: DataRoot) -> None:
    versions = sa.select(dataset_versions.c.content).distinct()
    of_project = sa.select(jobs.c.id).where(jobs.c.project_id == project_id)
    requests = sa.select(jobs.c.request).where(jobs.c.project_id == project_id, jobs.c.request.is_not(None))
    with writing(engine) as connection:
        contents = set(connection.execute(versions.where(dataset_versions.c.project_id == project_id)).scalars())
        job_ids = list(connection.execute(of_project).scalars())
        staged = {staging_of(text) for text in connection.execute(requests).scalars()}
        connection.execute(sa.delete(projects).where(projects.c.id == project_id))
    try:
        keys = image_keys(contents, home)
    except OSError:
        keys = set()  # which pictures it had cannot be told, so they stay
    # Locked: another project that is about to use the same content waits, and then writes its file anew.
    with writing(engine) as connection:
        for content in contents - set(connection.execute(versions).scalars()):
            content_path(content, home).unlink(missing_ok=True)
    for job_id in job_ids:
        remove_job_files(job_id, home)
    for name in staged:
        remove_staging_dir(name, home)
    remove_unused_pictures(engine, keys, home)


def remove_job_files(job_id: str, home: DataRoot) -> None:
    """Remove what a run, a training of simple heads or a prediction has written."""
    for folder in (home.run_dir(job_id), home.simple_heads_dir / job_id, home.predictions_dir / job_id):
        shutil.rmtree(folder, ignore_errors=True)


def remove_unused_pictures(
    engine: sa.Engine, keys: Iterable[str], home: DataRoot, *, import_id: str | None = None
) -> None:
    """Remove those of some pictures that are in no version of any project and that no import has just brought.

    Args:
        engine: The database.
        keys: Keys of pictures.
        home: The data root.
        import_id: An import that gives up what it has brought.
    """
    importing = sa.select(sa.func.min(jobs.c.created)).where(jobs.c.kind == "import", jobs.c.state.in_(ACTIVE_STATES))
    since = now()
    with engine.begin() as connection:
        # In this order: an import that ends between the two has its pictures in a version.
        earliest = connection.execute(importing.where(jobs.c.id != (import_id or ""))).scalar()
        contents = connection.execute(sa.select(dataset_versions.c.content).distinct()).scalars().all()
    try:
        used = image_keys(contents, home)
    except OSError:
        return  # a version that cannot be read now may need any of them
    images = ImageStore(home)
    for key in set(keys) - used:
        images.remove(key, brought_before=since if earliest is None else min(since, earliest))
