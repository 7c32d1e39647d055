"""The data root: where everything is kept, and how a file is written so that a crash cannot spoil it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from tlcore.errors import StorageError

ENVIRONMENT_VARIABLE = "TRANSFER_LAB_HOME"


def home_dir() -> Path:
    """Return the data root, `TRANSFER_LAB_HOME` or `~/.transfer-lab`."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    # Absolute, because the processes that inherit the variable work in another folder.
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".transfer-lab"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk and rename it.

    Readers see the old file or the new one, never a part; a full disk leaves the old one.

    Args:
        path: Where the finished file goes. Its folder is made when missing.
        write: Called with the temporary path, which has the same suffix as `path`.

    Raises:
        StorageError: If the disk is full or the folder cannot be written.
    """
    temporary_path = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary_path = Path(name)
        write(temporary_path)
        with temporary_path.open("rb+") as file:
            os.fsync(file.fileno())
        temporary_path.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary_path is not None:
            temporary_path.unlink(missing_ok=True)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Put an operating system's error into words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"The disk is full. Free some space in {home_dir()} or delete old projects, then try again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path.parent} cannot be written. Set {ENVIRONMENT_VARIABLE} to a folder of your own.")
    return StorageError(f"{path} could not be written ({error.strerror}). Check the disk, then try again.")
