"""A backup: one file with all that cannot be made again, right while the app runs, and back again.

`python -m tlcore.storage.backup save FILE` and `... restore FILE`.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import filelock

from tlcore.documents import read_document, write_document
from tlcore.errors import StorageError, TransferLabError, UnreadableError
from tlcore.home import DataRoot, storage_error, write_atomically
from tlcore.progress import Progress, TerminalProgress
from tlcore.storage.database import SCHEMA_VERSION, open_database

MANIFEST = "backup.json"
DATABASE = "lab.sqlite"
SAVED_FOLDERS = ("images", "thumbnails", "datasets", "runs", "simple_heads", "backbones/brought", "models")
"""The rest is computed again when it is missing: features, compiled parts, speeds. They take most of the room."""

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file of the backup: where it belongs below the data root, its size and its SHA-256."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        schema_version: Of the tables in its database.
        files: All files, the database first.
    """

    schema_version: int
    files: tuple[SavedFile, ...]


def save_backup(target: Path, home: DataRoot, progress: Progress) -> int:
    """Write everything of a data root that cannot be made again into one file; others may work meanwhile.

    The database is copied in one moment. Every file that it names was written before, under a name that says its
    content, so nothing that the copy names is missing; what a run writes later belongs to the next backup.

    Args:
        target: The ZIP file; replaced in one step.
        home: The data root.
        progress: Told about every file.

    Returns:
        Number of files.

    Raises:
        StorageError: If there is nothing to save, or the file cannot be written.
    """
    if not home.database_path.is_file():
        raise StorageError(f"There is nothing to save in {home}. Name the right folder with TRANSFER_LAB_HOME.")
    open_database(home).dispose()  # brings an older one up to date
    saved: list[SavedFile] = []

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="transfer-lab-") as folder, zipfile.ZipFile(path, "w") as packed:
            copy_path = Path(folder) / DATABASE
            with closing(sqlite3.connect(home.database_path)) as source, closing(sqlite3.connect(copy_path)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
            files = [(DATABASE, copy_path), *_files(home)]
            for number, (name, place) in enumerate(files):
                progress.phase("backing_up", number, len(files))
                with suppress(FileNotFoundError):  # of a project that was deleted meanwhile
                    saved.append(_pack(packed, name, place))
            packed.writestr(MANIFEST, write_document(Manifest(SCHEMA_VERSION, tuple(saved))))

    write_atomically(target.absolute(), write)
    return len(saved)


def restore_backup(source: Path, home: DataRoot, progress: Progress) -> Path | None:
    """Make a backup the data root again; what was there before is moved aside, never deleted.

    Everything is unpacked beside the data root and checked first, so that a damaged file changes nothing.

    Args:
        source: A file that `save_backup` wrote.
        home: The data root.
        progress: Told about every file.

    Returns:
        Where the data root of before is now; `None` when there was none.

    Raises:
        StorageError: If the app works on the data root, or the file is no whole backup that this version can read.
    """
    home.path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(home.runner_lock_path, timeout=0)
    try:
        if home.path.exists():
            lock.acquire()
        unpacked = Path(tempfile.mkdtemp(prefix=f"{home.path.name}.restoring-", dir=home.path.parent))
        try:
            _unpack(source, unpacked, progress)
            lock.release()
            before = _move_aside(home.path) if home.path.exists() else None
            unpacked.replace(home.path)
        except BaseException:
            shutil.rmtree(unpacked, ignore_errors=True)
            raise
    except filelock.Timeout as error:
        raise StorageError(
            f"Transfer Lab works in {home}. Close it, let its trainings end, wait two minutes, and try again."
        ) from error
    except OSError as error:
        raise storage_error(error, home.path) from error
    finally:
        lock.release()
    open_database(home).dispose()
    return before


def _files(home: DataRoot) -> Iterator[tuple[str, Path]]:
    for folder in SAVED_FOLDERS:
        for path in sorted((home.path / folder).rglob("*")):
            if path.is_file() and not path.name.startswith(".writing-"):
                yield path.relative_to(home.path).as_posix(), path


def _pack(packed: zipfile.ZipFile, name: str, place: Path) -> SavedFile:
    """Add a file, not compressed: pictures and models are already."""
    digest, size = hashlib.sha256(), 0
    with place.open("rb") as source, packed.open(name, "w", force_zip64=True) as target:
        while data := source.read(CHUNK_BYTES):
            target.write(data)
            digest.update(data)
            size += len(data)
    return SavedFile(name, size, digest.hexdigest())


def _unpack(source: Path, folder: Path, progress: Progress) -> None:
    """Unpack and check a backup."""
    try:
        with zipfile.ZipFile(source) as packed:
            manifest = read_document(packed.read(MANIFEST), Manifest)
            if manifest.schema_version > SCHEMA_VERSION:
                raise StorageError("A newer Transfer Lab made this backup. Update Transfer Lab, then restore it.")
            for number, file in enumerate(manifest.files):
                progress.phase("restoring", number, len(manifest.files))
                _unpack_file(packed, file, folder)
        if not (folder / DATABASE).is_file():
            raise StorageError(_not_a_backup(source))
    except (zipfile.BadZipFile, KeyError, UnreadableError, EOFError, NotImplementedError) as error:
        raise StorageError(_not_a_backup(source)) from error
    except FileNotFoundError as error:
        raise StorageError(f"There is no file {source}. Check its name.") from error


def _unpack_file(packed: zipfile.ZipFile, file: SavedFile, folder: Path) -> None:
    parts = PurePosixPath(file.path).parts
    known = file.path == DATABASE or any(file.path.startswith(f"{name}/") for name in SAVED_FOLDERS)
    if not known or ".." in parts or "\\" in file.path or ":" in file.path:
        raise KeyError(file.path)
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), file.size_bytes
    with packed.open(file.path) as source, path.open("wb") as target:
        while data := source.read(CHUNK_BYTES):
            left -= len(data)
            if left < 0:
                break
            digest.update(data)
            target.write(data)
    if left or digest.hexdigest() != file.digest:
        raise zipfile.BadZipFile(file.path)


def _move_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.before-{number}")).exists():
        number += 1
    path.replace(aside)
    return aside


def _not_a_backup(source: Path) -> str:
    return f"{source} is no whole backup of Transfer Lab, so nothing was changed. Take another one."


def main(arguments: list[str]) -> int:
    """Save or restore as the command line says; return the exit code."""
    action, file = arguments
    home, progress = DataRoot.configured(), TerminalProgress(sys.stdout)
    try:
        if action == "save":
            number = save_backup(Path(file), home, progress)
            progress.close()
            print(f"{number} files of {home} are saved in {file}.")
        else:
            before = restore_backup(Path(file), home, progress)
            progress.close()
            print(f"{home} is as it was saved in {file}.")
            if before is not None:
                print(f"What was there before is in {before}; delete it when you do not need it.")
    except TransferLabError as error:
        progress.close()
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
