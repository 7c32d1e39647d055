"""`python -m tests.bench.decoding`: what awkward pictures take, and what decoding outside costs, as JSON lines.

The table comes first: a line for each file of the shared data folder and for each that is made here. Then the figures.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import psutil

from tests.awkward_pictures import Walked, made, shared, table, walk
from tests.bench.figures import Line, figure
from tests.conftest import SHARED_DATA
from tlcore.dataset import Dataset
from tlcore.home import DataRoot
from tlcore.intake import collection, sources
from tlcore.intake.collection import gather
from tlcore.intake.pictures import decoders, decoding
from tlcore.intake.sources import ArchiveSource
from tlcore.storage.images import ImageStore

PHOTOS = SHARED_DATA / "cats_dogs.zip"
NUM_PHOTOS = int(os.environ.get("BENCH_PHOTOS", "1000"))
NUM_ANSWERS = 60
MOST_MB, MOST_MB_OF_ARCHIVE, MOST_SECONDS = 400.0, 600.0, 5.0
MOST_PART_SLOWER = 0.1
MEGABYTE = 1e6


def measure() -> Iterator[Line]:
    """Yield each figure, after the table."""
    awkward = {name: make() for name, make in made().items()}
    walked = walk(shared(SHARED_DATA) | awkward)
    print(table(walked), flush=True)
    yield from _of_table(walked)
    yield from _of_archive(awkward)
    yield from _of_answers()
    yield from _of_import()


def _of_table(walked: list[Walked]) -> Iterator[Line]:
    how = f"{len(walked)} files, each in a new decoder; VmHWM"
    yield figure("decoding: most megabytes for one file", max(one.peak_mb for one in walked), how, at_most=MOST_MB)
    yield figure("decoding: most seconds for one file", max(one.seconds for one in walked), how, at_most=MOST_SECONDS)
    yield figure("decoding: files refused", sum(bool(one.outcome) for one in walked), how)


def _of_archive(files: dict[str, bytes]) -> Iterator[Line]:
    """Import a ZIP file of awkward pictures, each twice, and watch the memory of this process and its decoders."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "awkward.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(f"a/{name}", data)
                archive.writestr(f"b/{name}", data)
        before = psutil.Process().memory_info().rss
        seconds, peak = _watched(lambda: _gather(path, Path(folder)), before)
    yield figure(
        "import: most megabytes that a ZIP file of awkward pictures takes, decoders included",
        peak / MEGABYTE,
        "12 files of nearly 40 megapixels, each twice; what this process had before counts as the 105 MB of a worker",
        at_most=MOST_MB_OF_ARCHIVE,
        more={"seconds": round(seconds, 1)},
    )


def _watched(work: Callable[[], object], before: int) -> tuple[float, float]:
    """Return the seconds that work takes, and the most memory of this process and its children meanwhile."""
    thread, started, peak = threading.Thread(target=work), time.monotonic(), 0
    thread.start()
    process = psutil.Process()
    while thread.is_alive():
        total = 105_000_000 + process.memory_info().rss - before
        for child in process.children():
            try:
                total += child.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, total)
        thread.join(0.005)
    return time.monotonic() - started, peak


def _gather(path: Path, folder: Path) -> int:
    found = gather([ArchiveSource(path, path.name)], Dataset(), ImageStore(DataRoot(folder / str(time.monotonic()))))
    return len(found.brought.pictures)


def _of_answers() -> Iterator[Line]:
    """Decode one photo again and again, outside and inside in turns."""
    [photo] = _photos(1).values()
    outside, inside = [], []
    decoders.pixels_of(photo)
    for _ in range(NUM_ANSWERS):
        for times, function in ((outside, decoders.pixels_of), (inside, decoding.pixels_of)):
            started = time.perf_counter()
            function(photo)
            times.append(1000 * (time.perf_counter() - started))
    more = {"inside": round(statistics.median(inside), 2)}
    yield figure(
        "predict: milliseconds to the pixels of a photo",
        statistics.median(outside),
        "cats_dogs, median of 60",
        more=more,
    )


def _of_import() -> Iterator[Line]:
    """Import photos with decoders, and as it was before, in turns."""
    ratios, paces = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "photos.zip")
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in _photos(NUM_PHOTOS).items():
                archive.writestr(f"class/{name}", data)
        for _ in range(3):
            started = time.monotonic()
            _gather(path, Path(folder))
            outside = time.monotonic() - started
            with (
                mock.patch.object(sources, "read_image", decoding.read_image),
                mock.patch.object(collection, "measure_grey", decoding.measure_grey),
            ):
                started = time.monotonic()
                _gather(path, Path(folder))
                inside = time.monotonic() - started
            ratios.append(outside / inside)
            paces.append(NUM_PHOTOS / outside)
    yield figure(
        "import: how many times as long as without decoders",
        statistics.median(ratios),
        f"{NUM_PHOTOS} cats_dogs photos in a ZIP file, in turns, median of 3",
        at_most=1 + MOST_PART_SLOWER,
        more={"photos a second": round(statistics.median(paces), 1), "each": [round(ratio, 2) for ratio in ratios]},
    )


def _photos(number: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(PHOTOS) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".jpg")]
        for count in range(number):
            data = archive.read(names[count % len(names)])
            # What lies behind the end of a JPEG makes it another file.
            found[f"{count}.jpg"] = data + io.BytesIO(str(count // len(names)).encode()).getvalue()
    return found


def main() -> int:
    """Print the table and the figures; return 1 if one was missed."""
    missed = False
    for line in measure():
        print(json.dumps(line), flush=True)
        missed |= line.get("reached") is False
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
