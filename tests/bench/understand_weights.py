"""Hostile files of models brought as weights: what each refusal takes, and that TensorFlow never gets one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py

from tests.bench.figures import Line, figure
from tests.conftest import SHARED_DATA
from tests.weights_checks import check_weights
from tlcore.home import DataRoot
from tlcore.storage.database import open_database

BACKBONE = "mobilenet_v2_035"


def measure() -> Iterator[Line]:
    """Yield how many of the files got as far as TensorFlow, and the most memory and time that a refusal took."""
    home = DataRoot.configured()
    engine = open_database(home)
    checks = {name: check_weights(engine, home, BACKBONE, content, name) for name, content in hostile_models()}
    how = f"{len(checks)} files: the models of hostile.zip and a shape bomb, each checked by a worker of its own"
    accepted = [name for name, check in checks.items() if check.state != "failed"]
    loaded = [name for name, check in checks.items() if check.loaded]
    said = {name: check.message for name, check in checks.items()}
    yield figure("hostile files taken as weights", len(accepted), how, at_most=0, more={"files": accepted})
    yield figure("hostile files that reach TensorFlow", len(loaded), how, at_most=0, more={"said": said})
    longest = max(checks, key=lambda name: checks[name].seconds)
    busiest = max(checks, key=lambda name: checks[name].processor_seconds)
    yield figure(
        "longest refusal, in seconds, with the start of its worker",
        checks[longest].seconds,
        how,
        at_most=2.0,
        more={"file": longest, "processor seconds, at most": round(checks[busiest].processor_seconds, 2)},
    )
    peaks = {name: check.peak_mb for name, check in checks.items() if check.peak_mb is not None}
    if peaks:
        largest = max(peaks, key=lambda name: peaks[name])
        yield figure("most memory of a refusal, in MB", peaks[largest], how, at_most=150.0, more={"file": largest})


def hostile_models() -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: those of the shared data folder, and an array of 3.2 GB in a file of 2 KB."""
    with zipfile.ZipFile(SHARED_DATA / "hostile.zip") as archive:
        for info in archive.infolist():
            if "/models/" in info.filename and not info.is_dir():
                content = archive.read(info)
                yield Path(info.filename).name, content
                yield from _weights_inside(Path(info.filename).stem, content)
    yield "bomb.weights.h5", shape_bomb()


def _weights_inside(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the weights of a whole model as a file of their own: what its HDF5 part does would be met there."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as model:
            for info in model.infolist():
                if info.filename.endswith(".h5"):
                    yield f"{name}.weights.h5", model.read(info)


def shape_bomb() -> bytes:
    """Return a file of weights with an array of 3.2 GB that takes no room in it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", (10**6, 800), "f4")
    return content.getvalue()
