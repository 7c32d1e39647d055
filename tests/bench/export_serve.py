"""The prediction service under load: 50 photographs a second, sent whether or not the last ones are answered."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Line, figure
from tests.bench.measures import percentile
from tests.conftest import SHARED_DATA
from tests.service import serving_model
from tlcore.config import RunConfig, TrainingConfig
from tlcore.jobs.processes import ROOT_DIR
from tlcore.library import export, read_dataset, train
from tlcore.storage.requests import FormatName

PHOTOS = SHARED_DATA / "cats_dogs.zip"
PER_SECOND, SECONDS, MOST_MS = 50, 20, 200.0
FORMATS: tuple[FormatName, ...] = ("litert", "litert-int8", "onnx")
PATIENCE_SECONDS = 30


def measure() -> Iterator[Line]:
    """Yield each figure."""
    with tempfile.TemporaryDirectory() as folder:
        model = train(read_dataset(PHOTOS), RunConfig(training=TrainingConfig(epochs=1)), folder=Path(folder) / "model")
        yield from load(export(model, *FORMATS, path=Path(folder) / "cats and dogs.zip"))


def load(bundle: Path) -> Iterator[Line]:
    """Serve a bundle in each format, and ask it from another process."""
    for name in FORMATS:
        with serving_model(bundle, "--format", name) as service:
            for seconds in (2, SECONDS):  # the first ones start the programs that decode
                command = [sys.executable, "-m", "tests.bench.export_serve", str(service.port), str(seconds)]
                done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, check=True)
            seen = json.loads(done.stdout)
        yield figure(
            f"p95 of an answer by {name}, ms",
            percentile(seen["milliseconds"], 95),
            f"EfficientNet-Lite0, photographs of cats and dogs, {PER_SECOND} a second for {SECONDS} s from another "
            "process, each over a connection of its own, counted from the moment at which it was due",
            at_most=MOST_MS,
            more={
                "median": round(percentile(seen["milliseconds"], 50), 1),
                "largest": round(max(seen["milliseconds"]), 1),
                "answers": seen["statuses"],
            },
        )


async def _ask_all(port: int, pictures: list[bytes], seconds: int) -> dict[str, object]:
    """Send pictures at their times; return how long each answer took, and how many there were of each status."""
    started = time.perf_counter() + 0.1
    results = await asyncio.gather(
        *(
            _ask(port, pictures[number % len(pictures)], started + number / PER_SECOND)
            for number in range(seconds * PER_SECOND)
        )
    )
    return {"milliseconds": [took for took, _ in results], "statuses": Counter(status for _, status in results)}


async def _ask(port: int, picture: bytes, due: float) -> tuple[float, str]:
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    async with asyncio.timeout(PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nConnection: close\r\n"
            f"Content-Length: {len(picture)}\r\n\r\n"
        )
        writer.write(head.encode() + picture)
        answer = await reader.read()
        writer.close()
    return (time.perf_counter() - due) * 1000, answer.split(b" ", 2)[1].decode()


def _photos() -> list[bytes]:
    with zipfile.ZipFile(PHOTOS) as archive:
        return [archive.read(name) for name in archive.namelist() if name.lower().endswith(".jpg")][:200]


if __name__ == "__main__":
    port, seconds = map(int, sys.argv[1:])
    print(json.dumps(asyncio.run(_ask_all(port, _photos(), seconds))))
