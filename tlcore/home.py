"""The data root: where everything is kept, and how a file is written so that a crash cannot spoil it."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tlcore.errors import FullDiskError, StorageError

ENVIRONMENT_VARIABLE = "TRANSFER_LAB_HOME"
HALF_WRITTEN = ".writing-"
"""How the name of a file begins that is not whole yet; whoever writes it gives it its own name in the end."""

LOCK_POLL_SECONDS = 0.5

DISK_IS_FULL = (
    "The disk is full. Free some space on the computer that runs Transfer Lab or delete old projects, then try again."
)
LEAST_BYTES = 1 << 20
"""With less than this the disk counts as full: no checkpoint has room, and hardly a row."""

RESERVE_BYTES = 8 << 20
"""How large the reserve is: more than the journal of a large deletion, which SQLite writes before it makes room."""


class _Below:
    """A place below the data root."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __get__(self, home: DataRoot, _owner: type[DataRoot]) -> Path:
        return home.path.joinpath(*self._names)


@dataclass(frozen=True)
class DataRoot:
    """The folder in which everything is kept; it knows what lies where in it.

    Attributes:
        path: The folder, absolute.
    """

    path: Path

    def __str__(self) -> str:
        """Return the folder, for messages."""
        return str(self.path)

    database_path = _Below("lab.sqlite")
    """Projects, versions, jobs, runs and their curves."""
    reserve_path = _Below("reserve")
    """Holds disk space that is given up first when the disk is full; made again when missing."""
    reserve_lock_path = _Below("reserve.lock")
    """Held by the one who lends the reserve or makes it."""
    images_dir = _Below("images")
    """Pictures, named by their content."""
    thumbnails_dir = _Below("thumbnails")
    """Their thumbnails, under the same names."""
    versions_dir = _Below("datasets")
    """The list of pictures of each data set version, named by its content."""
    imports_dir = _Below("imports")
    """What people brought and was not imported yet."""
    runs_dir = _Below("runs")
    """A folder for each training run: model, results, log."""
    simple_heads_dir = _Below("simple_heads")
    """A folder for each job that trained simple heads."""
    predictions_dir = _Below("predictions")
    """A folder for each job that asked a model about many pictures: its answers."""
    exports_dir = _Below("exports")
    """A folder for each job that wrote a model in several formats: the files."""
    brought_weights_dir = _Below("backbones", "brought")
    """Weights that people brought, named by their content."""
    models_dir = _Below("models")
    """Models that `tlcore.library.train` made."""
    compiled_dir = _Below("compiled")
    """Compiled frozen parts and how fast they are; made again when missing."""
    features_dir = _Below("features")
    """The cache of features; may be deleted while nothing runs."""
    speeds_dir = _Below("speeds")
    """What runs take on this machine; measured again when missing."""
    maps_dir = _Below("maps")
    """Where pictures lie on the maps of their data sets; made again when missing."""
    ready_sets_dir = _Below("ready_sets")
    """Small pictures of downloaded ready data sets, for their cards."""
    secret_path = _Below("secret.key")
    """Signs the identities of browsers. Without it every one of them is taken over once more."""
    earlier_owners_path = _Below("earlier_owners.json")
    """Whose browsers come from before that secret."""
    certificate_path = _Below("certificate.pem")
    """For HTTPS: the certificate that this machine made for itself, with its key; made again when missing."""
    logs_dir = _Below("logs")
    """What workers said, by the kind of their jobs; that of a run lies with the run."""
    runner_lock_path = _Below("runner.lock")
    """Held by the one runner while it works."""
    runner_beat_path = _Below("runner.beat")
    """Tells which process the runner is, and when it last looked after the jobs."""
    runner_settings_path = _Below("runner.settings")
    """Tells the runner with what settings the last server began."""
    runner_log_path = _Below("runner.log")
    """What the runner said."""

    @classmethod
    def configured(cls) -> DataRoot:
        """Return the one that people use: `TRANSFER_LAB_HOME` or `~/.transfer-lab`."""
        chosen = os.environ.get(ENVIRONMENT_VARIABLE)
        # Absolute, because the processes that inherit the variable work in another folder.
        return cls(Path(chosen).expanduser().absolute() if chosen else Path.home() / ".transfer-lab")

    def run_dir(self, run_id: str) -> Path:
        """Return the folder of a training run's files."""
        return self.runs_dir / run_id


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
        handle, name = tempfile.mkstemp(prefix=HALF_WRITTEN, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary_path = Path(name)
        write(temporary_path)
        with temporary_path.open("rb+") as file:
            os.fsync(file.fileno())
        temporary_path.replace(path)
    except OSError as error:
        raise storage_error(error, path) from error
    except Exception as error:  # what a library makes of a full disk while it closes its file
        if is_for_want_of_room(error):
            raise FullDiskError(DISK_IS_FULL) from error
        raise
    finally:
        if temporary_path is not None:
            temporary_path.unlink(missing_ok=True)


@contextmanager
def holding(lock_path: Path, while_waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a lock that only one process can have, or thread of it.

    Args:
        lock_path: Its file. The folder is made when missing.
        while_waiting: Called twice a second while somebody else holds it; what it raises ends the wait.

    Raises:
        StorageError: If the disk is full or the folder cannot be written.
    """
    lock = FileLock(lock_path)
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOCK_POLL_SECONDS)
            except Timeout:
                while_waiting()
    except OSError as error:
        raise storage_error(error, lock_path) from error
    try:
        yield
    finally:
        lock.release()


def storage_error(error: OSError, path: Path) -> StorageError:
    """Put an operating system's error into words.

    Where the data root lies is nobody's business but of those who start the app: they know it, or look it up in
    `TRANSFER_LAB_HOME`. A place outside is one that they named themselves.
    """
    if is_for_want_of_room(error):
        return FullDiskError(DISK_IS_FULL)
    is_inside = path.is_relative_to(DataRoot.configured().path)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        folder = "The folder of all data" if is_inside else str(path.parent)
        return StorageError(f"{folder} cannot be written. Set {ENVIRONMENT_VARIABLE} to a folder of your own.")
    file = "A file in the folder of all data" if is_inside else str(path)
    return StorageError(f"{file} could not be written ({error.strerror}). Check the disk, then try again.")


def is_for_want_of_room(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that the disk is full."""
    while error is not None:
        if isinstance(error, FullDiskError) or (
            isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def free_bytes(home: DataRoot) -> int:
    """Return how much room this account has on the disk of a data root; without a word of the system, plenty."""
    with suppress(OSError):
        if hasattr(os, "statvfs"):
            stats = os.statvfs(home.path)
            if not stats.f_blocks:  # some file systems on other computers do not say
                return sys.maxsize
            # Some file systems keep a part of the disk for the administrator alone.
            return stats.f_frsize * (stats.f_bavail if os.geteuid() else stats.f_bfree)
        return shutil.disk_usage(home.path).free
    return sys.maxsize


def spare_bytes(home: DataRoot) -> int:
    """Return how much room work may take: what is free, without what the reserve lacks, which may only be lent."""

    def reserve_bytes() -> int:
        with suppress(OSError):
            return home.reserve_path.stat().st_size
        return 0

    # Asked before and after: whether the reserve goes or comes meanwhile, its room is not taken for free.
    before, free, after = reserve_bytes(), free_bytes(home), reserve_bytes()
    return free - max(0, RESERVE_BYTES - min(before, after))


def is_full(home: DataRoot) -> bool:
    """Whether the disk of a data root has no room for work; what deletes may still have the reserve."""
    return spare_bytes(home) < LEAST_BYTES


def without_places(text: str) -> str:
    """Return a text that a library wrote for people, without where this program and its data lie on the computer."""
    # From the inside outwards: an environment lies in the program's folder, both often in somebody's own.
    for place in (DataRoot.configured().path, Path(sys.prefix), Path(__file__).resolve().parents[1], Path.home()):
        if place != Path(place.anchor):
            text = text.replace(str(place), "...")
    return text
