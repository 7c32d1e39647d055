"""Every hostile and every messy file, each in a process of its own: what became of it, its time and its memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.awkward_pictures import Walked, shared, table, walk
from tests.bench.figures import Line, figure
from tests.conftest import SHARED_DATA
from tlcore.backbones.weights.keras_file import read_layout
from tlcore.backup import restore_backup
from tlcore.dataset import Dataset
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.intake.collection import gather
from tlcore.intake.label_files.files import read_label_files
from tlcore.intake.label_files.tables import LabelFile
from tlcore.intake.pictures import decoders
from tlcore.intake.sources import ArchiveSource
from tlcore.progress import TerminalProgress
from tlcore.storage.images import ImageStore

MOST_MB, MOST_MB_OF_ARCHIVE, MOST_SECONDS = 400.0, 600.0, 5.0
PATIENCE_SECONDS = 60.0
MOST_WEIGHTS_BYTES = 100_000_000
WAY = "each in a new process, its decoders counted"
CANARY = "BADFILES_CANARY"
UNFORESEEN = "unforeseen: "


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file of `hostile.zip` that is no picture: its kind, its name and its bytes."""

    kind: str
    name: str
    data: bytes


def measure(home: DataRoot) -> Iterator[Line]:
    """Print what became of each file, then yield the figures."""
    os.environ[CANARY] = str(home.path / "canary")
    home.path.mkdir(parents=True)
    Path(os.environ[CANARY]).mkdir()
    pictures = walk(shared(SHARED_DATA))
    print(table(pictures), flush=True)
    yield from _figures("pictures", pictures, MOST_MB, "each in a new decoder")
    others: dict[str, list[Walked]] = {}
    for file in _hostile():
        walked = _walked(file)
        print(table([walked]), flush=True)
        others.setdefault(file.kind, []).append(walked)
    for kind, walked_files in others.items():
        most_mb = MOST_MB_OF_ARCHIVE if kind in ("archives", "datasets") else MOST_MB
        yield from _figures(kind, walked_files, most_mb, WAY)
    found = sum(1 for _ in Path(os.environ[CANARY]).rglob("*"))
    yield figure("files: programs inside them that ran", found, "files that their payloads would make", at_most=0)


def _figures(kind: str, walked: list[Walked], most_mb: float, how: str) -> Iterator[Line]:
    how = f"{len(walked)} files, {how}"
    slowest = max(walked, key=lambda one: one.seconds)
    largest = max(walked, key=lambda one: one.peak_mb)
    unforeseen = [f"{one.name}: {one.outcome}" for one in walked if one.outcome.startswith(UNFORESEEN)]
    yield figure(
        f"files: most seconds of a processor for one of the {kind}",
        slowest.seconds,
        how,
        at_most=MOST_SECONDS,
        more={"file": slowest.name},
    )
    yield figure(
        f"files: most megabytes for one of the {kind}",
        largest.peak_mb,
        how,
        at_most=most_mb,
        more={"file": largest.name},
    )
    yield figure(
        f"files: {kind} that met an error which nobody foresaw",
        len(unforeseen),
        how,
        at_most=0,
        more={"refused in words": sum(bool(one.outcome) for one in walked) - len(unforeseen), "which": unforeseen},
    )


def _hostile() -> Iterator[Hostile]:
    """Yield the files that are no pictures."""
    with zipfile.ZipFile(SHARED_DATA / "hostile.zip") as archive:
        for name in archive.namelist():
            kind = Path(name).parent.name
            if kind in ("archives", "datasets", "csv", "models", "projects"):
                yield Hostile(kind, Path(name).name, archive.read(name))


def _walked(file: Hostile) -> Walked:
    """Take one file in a process of its own, and watch that and what it starts."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), sys.stdout.fileno())
            os._exit(_take(file, Path(folder)))
        peak, seconds, code = _watch(child)
        said.seek(0)
        lines = said.read().splitlines()
    outcome = json.loads(lines[-1])["outcome"] if code == 0 and lines else f"{UNFORESEEN}ended with code {code}"
    return Walked(f"{file.kind}/{file.name}", outcome, seconds, peak)


def _watch(child: int) -> tuple[float, float, int]:
    """Return the most megabytes and the seconds of a processor that a process takes with its children, and its code."""
    peak, deadline = 0.0, time.monotonic() + PATIENCE_SECONDS
    process = psutil.Process(child)
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return peak, usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)
        total = 0.0
        with suppress(psutil.Error):
            total = process.memory_info().rss / 1e6
            for one in process.children(recursive=True):
                with suppress(psutil.Error):
                    total += one.memory_info().rss / 1e6
        peak = max(peak, total)
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.005)


def _take(file: Hostile, folder: Path) -> int:
    """Do with a file what the app does with it, and say what became of it."""
    path = folder / file.name
    path.write_bytes(file.data)
    try:
        outcome = _do(file, path, DataRoot(folder / "home"))
    except TransferLabError as error:
        outcome = f"refused: {error}"
    except Exception as error:  # noqa: BLE001 - the very thing that is looked for
        outcome = f"{UNFORESEEN}{type(error).__name__}: {error}"
    decoders.decoders().close()  # so that their time is counted
    print(json.dumps({"outcome": outcome[:300]}), flush=True)
    return 0


def _do(file: Hostile, path: Path, home: DataRoot) -> str:
    if file.kind == "csv":
        pictures = [("up", f"{number}.jpg") for number in range(12)]
        found = read_label_files([LabelFile(("up", file.name), file.data)], pictures)
        return "" if found.said else f"refused: {' '.join(found.notes)}"
    if file.kind == "models":
        layout = read_layout(path, file.name, MOST_WEIGHTS_BYTES)
        return "" if layout.layers else "refused: no layers"
    if file.kind == "projects":
        restore_backup(path, home, TerminalProgress())
        return ""
    shutil.rmtree(home.path, ignore_errors=True)
    gathered = gather([ArchiveSource(path, file.name)], Dataset(), ImageStore(home))
    return "" if gathered.brought.pictures else "refused: " + " ".join(one.reason for one in gathered.refused)
