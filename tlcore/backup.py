"""A backup: one file with all that cannot be made again, right while the app runs, and back again.

`python -m tlcore.backup save FILE` and `... restore FILE`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Set
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import filelock
import sqlalchemy as sa

from tlcore.documents import read_document, write_document
from tlcore.errors import StorageError, TransferLabError, UnreadableError
from tlcore.features.engines import compiled_prefix_path
from tlcore.home import HALF_WRITTEN, DataRoot, storage_error, write_atomically
from tlcore.model.cut import PIXELS
from tlcore.progress import Progress, TerminalProgress
from tlcore.results.prediction import SPEC_FILE, PredictorSpec
from tlcore.storage.copies import copy_file
from tlcore.storage.database import SCHEMA_VERSION, leavings, now, open_database, writing
from tlcore.storage.jobs import ACTIVE_STATES
from tlcore.storage.migrations import copy_database

MANIFEST = "backup.json"
DATABASE = "lab.sqlite"
COMPILED = "compiled"
SAVED_FOLDERS = (
    "images",
    "thumbnails",
    "datasets",
    "runs",
    "simple_heads",
    "predictions",
    "backbones/brought",
    "models",
    COMPILED,
)
"""Of the compiled parts those that a trained model needs for its answers.

The rest is made again when it is missing: features, the other compiled parts, speeds, downloads. It takes most of
the room.
"""

CHUNK_BYTES = 1 << 20
MAX_MANIFEST_BYTES = 1 << 28
TRIES = 3
COMPRESSED_WELL = (".json", ".sqlite", ".txt", ".log")
_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file of the backup: where it belongs below the data root, its size and its SHA-256."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class SameFile:
    """One more place of a file of the backup, as a model has that was handed out: below the data root too."""

    path: str
    saved_path: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        schema_version: Of the tables in its database.
        files: All files, the database first.
        same: Where else some of them belong; those of earlier versions name none.
    """

    schema_version: int
    files: tuple[SavedFile, ...]
    same: tuple[SameFile, ...] = ()


def save_backup(target: Path, home: DataRoot, progress: Progress) -> int:
    """Write everything of a data root that cannot be made again into one file; others may work meanwhile.

    The database is copied in one moment. Every file that it names was written before, under a name that says its
    content, so nothing that the copy names is missing. Jobs that wait or work in that moment are stopped ones in the
    copy: what they write later is not in it.

    Args:
        target: The ZIP file; replaced in one step when it is a backup already.
        home: The data root.
        progress: Told about every file.

    Returns:
        Number of files.

    Raises:
        StorageError: If there is nothing to save, the target is something else, it cannot be written, or files went
            away each time that it was tried.
    """
    if not home.database_path.is_file():
        raise StorageError(f"There is nothing to save in {home}. Name the right folder with TRANSFER_LAB_HOME.")
    if target.exists() and not _is_backup(target):
        raise StorageError(f"{target} is there already and is no backup. Choose another name, or remove it first.")
    open_database(home).dispose()  # brings an older one up to date
    numbers: list[int] = []

    def write(path: Path) -> None:
        for _ in range(TRIES):  # again when files went away meanwhile, with a project that was deleted
            number = _write(path, home, progress)
            if number is not None:
                numbers.append(number)
                return
        raise StorageError(
            "Files went away while they were saved, so no backup was made: pictures or projects are being deleted. Try "
            "again when that is done."
        )

    write_atomically(target.absolute(), write)
    return numbers[0]


def _is_backup(path: Path) -> bool:
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as packed:
        return MANIFEST in packed.namelist()
    return False


def _write(path: Path, home: DataRoot, progress: Progress) -> int | None:
    """Write the backup once; return how many files it has, `None` when some of them went away meanwhile."""
    is_whole, saved, same = True, list[SavedFile](), list[SameFile]()
    names: dict[tuple[int, ...], str] = {}
    with tempfile.TemporaryDirectory(prefix="transfer-lab-") as folder, zipfile.ZipFile(path, "w") as packed:
        copy_path = Path(folder) / DATABASE
        copy_database(home.database_path, copy_path)
        files = [(DATABASE, copy_path), *_files(home, without=_stop_jobs(copy_path))]
        for number, (name, place) in enumerate(files):
            progress.phase("backing_up", number, len(files))
            try:
                mark = _mark(place)
                if mark in names:
                    same.append(SameFile(name, names[mark]))
                    continue
                saved.append(_pack(packed, name, place))
                if mark:
                    names[mark] = name
            except FileNotFoundError:
                is_whole = False
        manifest = Manifest(SCHEMA_VERSION, tuple(saved), tuple(same))
        packed.writestr(MANIFEST, write_document(manifest), zipfile.ZIP_DEFLATED)
    return len(files) if is_whole else None


def _mark(path: Path) -> tuple[int, ...]:
    """Return what all names of one and the same file have in common; nothing where it has one name alone."""
    found = path.stat()
    if found.st_nlink < 2 or not found.st_ino:
        return ()
    # Size and time too: the number of a file that has gone meanwhile is given to another one.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _stop_jobs(database_path: Path) -> set[str]:
    """End the jobs of a copy that wait or work; return their ids."""
    active = f"state IN ({', '.join('?' * len(ACTIVE_STATES))})"
    with closing(sqlite3.connect(database_path)) as connection, connection:
        ids = {job_id for (job_id,) in connection.execute(f"SELECT id FROM jobs WHERE {active}", ACTIVE_STATES)}
        message = "It was not done when the backup was made. Start it again."
        change = f"UPDATE jobs SET state = 'stopped', message = ?, ended = ? WHERE {active}"
        connection.execute(change, (message, now(), *ACTIVE_STATES))
    return ids


def _files(home: DataRoot, without: Set[str] = frozenset()) -> Iterator[tuple[str, Path]]:
    """Yield the name and place of everything that is saved besides the database and what some jobs have begun."""
    needed = set(_compiled_parts(home))
    for folder in SAVED_FOLDERS:
        for path in sorted((home.path / folder).rglob("*")):
            name = path.relative_to(home.path)
            is_begun = path.name.startswith(HALF_WRITTEN) or not without.isdisjoint(name.parts)
            if path.is_file() and not is_begun and (folder != COMPILED or path in needed):
                yield name.as_posix(), path


def _compiled_parts(home: DataRoot) -> Iterator[Path]:
    """Yield the compiled frozen part of every trained model: without it the model cannot answer."""
    for folder in (home.runs_dir, home.simple_heads_dir, home.models_dir):
        for path in folder.rglob(SPEC_FILE):
            with suppress(OSError, UnreadableError):
                prefix = read_document(path.read_bytes(), PredictorSpec).prefix
                if prefix.cut != PIXELS:
                    yield compiled_prefix_path(prefix, home)


def _pack(packed: zipfile.ZipFile, name: str, place: Path) -> SavedFile:
    """Add a file; pictures and models do not get smaller, so they are not compressed."""
    digest, size = hashlib.sha256(), 0
    with place.open("rb") as source:
        info = zipfile.ZipInfo.from_file(place, name, strict_timestamps=False)
        info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(COMPRESSED_WELL) else zipfile.ZIP_STORED
        with packed.open(info, "w", force_zip64=True) as target:
            while data := source.read(CHUNK_BYTES):
                target.write(data)
                digest.update(data)
                size += len(data)
    return SavedFile(name, size, digest.hexdigest())


def restore_backup(source: Path, home: DataRoot, progress: Progress) -> Path | None:
    """Make a backup the data root again; what was there before is moved aside, never deleted.

    Everything is unpacked beside the data root, checked and brought up to date first, so that a file that is not
    right changes nothing.

    Args:
        source: A file that `save_backup` wrote.
        home: The data root.
        progress: Told about every file.

    Returns:
        Where the data root of before is now; `None` when there was none.

    Raises:
        StorageError: If the app works on the data root, or the file is no whole backup that this version can read.
    """
    try:
        home.path.parent.mkdir(parents=True, exist_ok=True)
        _check_unused(home)
        unpacked = Path(tempfile.mkdtemp(prefix=f"{home.path.name}.restoring-", dir=home.path.parent))
        try:
            _unpack(source, unpacked, progress)
            _open_restored(DataRoot(unpacked))
            _check_unused(home)  # unpacking may have taken minutes
            before = _move_aside(home.path)
            unpacked.replace(home.path)
        except BaseException:
            shutil.rmtree(unpacked, ignore_errors=True)
            raise
    except OSError as error:
        raise storage_error(error, home.path) from error
    return before


def _open_restored(home: DataRoot) -> None:
    """Bring an older database up to date, and let everybody be warned anew before a project goes that nobody opens."""
    engine = open_database(home)
    try:
        with writing(engine) as connection:
            connection.execute(sa.delete(leavings))
    finally:
        engine.dispose()


def _check_unused(home: DataRoot) -> None:
    """Check that no server, runner or worker has the data root open: it would write on where nobody looks any more.

    Raises:
        StorageError: If one has.
    """
    try:
        if home.runner_lock_path.exists():
            with filelock.FileLock(home.runner_lock_path, timeout=0):
                pass
        if home.database_path.is_file():
            with closing(sqlite3.connect(home.database_path, timeout=0)) as connection:
                # Only the last connection may leave this mode; whoever opens the database next returns to it.
                connection.execute("PRAGMA journal_mode=DELETE")
    except (filelock.Timeout, sqlite3.OperationalError) as error:
        raise StorageError(
            f"Transfer Lab works in {home}. Close it, let its trainings end, wait two minutes, and try again."
        ) from error
    except sqlite3.DatabaseError:
        return  # not even a database; it is moved aside as it is


def _unpack(source: Path, folder: Path, progress: Progress) -> None:
    """Unpack and check a backup."""
    try:
        with zipfile.ZipFile(source) as packed:
            if packed.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
                raise KeyError(MANIFEST)
            manifest = read_document(packed.read(MANIFEST), Manifest)
            if manifest.schema_version > SCHEMA_VERSION:
                raise StorageError("A newer Transfer Lab made this backup. Update Transfer Lab, then restore it.")
            _check_space(manifest, folder)
            for number, file in enumerate(manifest.files):
                progress.phase("restoring", number, len(manifest.files))
                _unpack_file(packed, file, folder)
            _place_again(manifest, folder)
        _check_database(folder / DATABASE)
    except FileNotFoundError as error:
        raise StorageError(f"There is no file {source}. Check its name.") from error
    # What zipfile raises for damaged, encrypted and unknown content, sqlite3 for another file, and the checks here.
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, RuntimeError, sqlite3.Error) as error:
        raise StorageError(
            f"{source} is no whole backup of Transfer Lab, so nothing was changed. Take another one."
        ) from error


def _check_space(manifest: Manifest, folder: Path) -> None:
    sizes = {file.path: file.size_bytes for file in manifest.files}
    needed, free = sum(file.size_bytes for file in manifest.files), shutil.disk_usage(folder).free
    if manifest.same and not _can_name_twice(folder):
        needed += sum(sizes[file.saved_path] for file in manifest.same)
    if needed > free:
        raise StorageError(
            f"This backup needs {needed >> 20:,} MB on the disk, and {free >> 20:,} MB are free. Free some space first."
        )


def _can_name_twice(folder: Path) -> bool:
    """Whether the file system of a folder can give one file two names."""
    first, second = folder / f"{HALF_WRITTEN}one", folder / f"{HALF_WRITTEN}two"
    first.touch()
    try:
        os.link(first, second)
    except OSError:
        return False
    finally:
        first.unlink()
        second.unlink(missing_ok=True)
    return True


def _place_again(manifest: Manifest, folder: Path) -> None:
    """Give unpacked files the other places that they have: as one more name, or as a copy where there is no such thing.

    Raises:
        KeyError: If one belongs to no place of a data root or to one that is taken, or the other is no unpacked file.
    """
    unpacked = {file.path for file in manifest.files} - {DATABASE}
    for file in manifest.same:
        path = _place(file.path, folder)
        if file.saved_path not in unpacked or path.exists():
            raise KeyError(file.path)
        copy_file(_place(file.saved_path, folder), path)


def _place(name: str, folder: Path) -> Path:
    """Return where a file of a backup belongs, and make the folders on the way.

    Raises:
        KeyError: If it belongs to no place of a data root.
    """
    parts = PurePosixPath(name).parts
    known = name == DATABASE or any(name.startswith(f"{one}/") for one in SAVED_FOLDERS)
    if not known or ".." in parts or any(letter in name for letter in "\\:\0"):
        raise KeyError(name)
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _unpack_file(packed: zipfile.ZipFile, file: SavedFile, folder: Path) -> None:
    """Unpack one file.

    Raises:
        KeyError: If it is missing, or belongs to no place of a data root.
        zipfile.BadZipFile: If it is another file than was saved.
    """
    path = _place(file.path, folder)
    digest, left = hashlib.sha256(), file.size_bytes
    with packed.open(file.path) as source, path.open("xb") as target:
        while data := source.read(CHUNK_BYTES):
            left -= len(data)
            if left < 0:
                break
            digest.update(data)
            target.write(data)
    if left or digest.hexdigest() != file.digest:
        raise zipfile.BadZipFile(file.path)


def _check_database(path: Path) -> None:
    """Check that a database is whole, does nothing by itself, and that none of its ids is a way out of a folder.

    Raises:
        ValueError: If it is not so.
        sqlite3.Error: If it is no database with these tables.
    """
    with closing(sqlite3.connect(path)) as connection:
        whole = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        active = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchall()
        ids = connection.execute("SELECT id FROM jobs UNION SELECT content FROM dataset_versions").fetchall()
    if not whole or active or not all(_ID.fullmatch(str(one)) for (one,) in ids):
        raise ValueError(f"`path` must be a database of Transfer Lab. Received: path={path}")


def _move_aside(path: Path) -> Path | None:
    """Give a folder another name and return it; `None` when there is nothing in it."""
    if not path.exists():
        return None
    if not any(path.iterdir()):
        path.rmdir()
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.before-{number}")).exists():
        number += 1
    path.replace(aside)
    return aside


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
