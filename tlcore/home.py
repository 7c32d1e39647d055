"""The data root: where everything is kept, and how a file is written so that a crash cannot spoil it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tlcore.errors import StorageError

ENVIRONMENT_VARIABLE = "TRANSFER_LAB_HOME"


@dataclass(frozen=True, slots=True)
class DataRoot:
    """The folder in which everything is kept; it knows what lies where in it.

    Attributes:
        path: The folder, absolute.
    """

    path: Path

    @classmethod
    def configured(cls) -> DataRoot:
        """Return the one that people use: `TRANSFER_LAB_HOME` or `~/.transfer-lab`."""
        chosen = os.environ.get(ENVIRONMENT_VARIABLE)
        # Absolute, because the processes that inherit the variable work in another folder.
        return cls(Path(chosen).expanduser().absolute() if chosen else Path.home() / ".transfer-lab")

    @property
    def database_path(self) -> Path:
        """Projects, versions, jobs and runs."""
        return self.path / "lab.sqlite"

    @property
    def images_dir(self) -> Path:
        """Pictures, named by their content."""
        return self.path / "images"

    @property
    def thumbnails_dir(self) -> Path:
        """Their thumbnails, under the same names."""
        return self.path / "thumbnails"

    @property
    def versions_dir(self) -> Path:
        """Lists of pictures, one per data set version, named by their content."""
        return self.path / "datasets"

    @property
    def imports_dir(self) -> Path:
        """What a person brought and was not imported yet."""
        return self.path / "imports"

    @property
    def runs_dir(self) -> Path:
        """One folder per training run: model, results, log."""
        return self.path / "runs"

    def run_dir(self, run_id: str) -> Path:
        """The files of one training run."""
        return self.runs_dir / run_id

    @property
    def simple_heads_dir(self) -> Path:
        """One folder per job that trained simple heads."""
        return self.path / "probes"

    @property
    def features_dir(self) -> Path:
        """The cache of features; may be deleted."""
        return self.path / "features"

    @property
    def compiled_dir(self) -> Path:
        """Compiled frozen parts and how fast they are; made again when missing."""
        return self.path / "compiled"

    @property
    def speeds_dir(self) -> Path:
        """What runs take on this machine."""
        return self.path / "speeds"

    @property
    def backbones_dir(self) -> Path:
        """Weights of the embedded backbone, converted."""
        return self.path / "backbones"

    @property
    def brought_weights_dir(self) -> Path:
        """Weights that people brought, named by their content."""
        return self.backbones_dir / "brought"

    @property
    def ready_sets_dir(self) -> Path:
        """Small pictures of downloaded ready data sets."""
        return self.path / "ready_sets"

    @property
    def models_dir(self) -> Path:
        """Models that `tlcore.library.train` made."""
        return self.path / "models"

    @property
    def runner_lock_path(self) -> Path:
        """Held by the one runner while it works."""
        return self.path / "runner.lock"

    @property
    def runner_log_path(self) -> Path:
        """What the runner said."""
        return self.path / "runner.log"


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
            f"The disk is full. Free some space in {DataRoot.configured().path} or delete old projects, then try again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{path.parent} cannot be written. Set {ENVIRONMENT_VARIABLE} to a folder of your own.")
    return StorageError(f"{path} could not be written ({error.strerror}). Check the disk, then try again.")
