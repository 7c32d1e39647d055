"""What a person brings, put aside for the job that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tlcore.errors import TransferLabError
from tlcore.home import DataRoot, storage_error
from tlcore.storage.staging import make_staging_dir, remove_staging_dir


@contextmanager
def staging_dir(home: DataRoot) -> Iterator[Path]:
    """Make a folder to fill, which goes away again when the job cannot be put in line.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    folder = make_staging_dir(home)
    try:
        yield folder
    except (OSError, TransferLabError) as error:
        remove_staging_dir(folder.name, home)
        raise storage_error(error, folder) if isinstance(error, OSError) else error from error
