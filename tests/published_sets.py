"""A publisher on loopback, and small data sets in the formats of the real ones, for it to publish."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
from PIL import Image

from tlcore.ready_sets.registry import ReadySetSpec, get_ready_set

PER_SPLIT = {"train": 8, "test": 4}
"""Pictures of each class in the small data sets."""


@dataclass
class Publisher:
    """A server on loopback and what it was asked: per request the path and the wanted range."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None


@contextmanager
def publishing() -> Iterator[Publisher]:
    """Run a publisher; each number in `cut_after` cuts one answer after so many bytes."""
    state = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if content is None or (start and start >= len(content)):
                self.send_error(404 if content is None else 416)
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            state.on_request()
            self.wfile.write(body[: state.cut_after.pop(0)] if state.cut_after else body)

        def do_HEAD(self) -> None:
            self.send_response(200 if self.path in state.files else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def publish(publisher: Publisher, name: str, contents: list[bytes] | None = None) -> ReadySetSpec:
    """Put a small version of a data set on the server; return its row with the addresses, sizes and hashes of these.

    A row without a published hash stays without one.
    """
    spec = get_ready_set(name)
    files = []
    for file, content in zip(spec.files, contents or MAKERS[name](spec), strict=True):
        path = "/" + file.url.rpartition("/")[2]
        publisher.files[path] = content
        digest = hashlib.sha256(content).hexdigest() if file.file_hash else ""
        files.append(replace(file, url=publisher.url + path, size_bytes=len(content), file_hash=digest))
    return replace(spec, files=tuple(files))


def pixels_of_set(spec: ReadySetSpec, split: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return random pictures, and their labels in turn."""
    number = PER_SPLIT[split] * len(spec.classes)
    rng = np.random.default_rng([len(split), *shape])
    return rng.integers(0, 256, (number, *shape), dtype=np.uint8), np.arange(number) % len(spec.classes)


def mnist_files(spec: ReadySetSpec) -> list[bytes]:
    arrays = {}
    for split in PER_SPLIT:
        arrays[f"x_{split}"], labels = pixels_of_set(spec, split, (28, 28))
        arrays[f"y_{split}"] = labels.astype(np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return [buffer.getvalue()]


def idx_files(spec: ReadySetSpec) -> list[bytes]:
    contents = []
    for split in PER_SPLIT:
        pixels, labels = pixels_of_set(spec, split, (28, 28))
        contents.append(gzip.compress(struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes()))
        contents.append(gzip.compress(struct.pack(">IIII", 0x803, len(pixels), 28, 28) + pixels.tobytes()))
    return contents


class PythonTwoPickler(pickle._Pickler):
    """Writes as Python 2 did: texts and bytes alike as strings of bytes, and NumPy's former name."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        data = value.encode("latin-1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch[str] = dispatch[bytes] = save_string


def pickled(value: object) -> bytes:
    """Return a pickle as in the files of CIFAR."""
    buffer = io.BytesIO()
    PythonTwoPickler(buffer, protocol=2).dump(value)
    return buffer.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def cifar_batch(pixels: np.ndarray, labels: np.ndarray, label_key: str) -> bytes:
    data = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(len(pixels), -1)
    names = [f"{number}.png" for number in range(len(labels))]
    return pickled({"data": data, label_key: labels.tolist(), "filenames": names, "batch_label": "one of six"})


def cifar10_files(spec: ReadySetSpec) -> list[bytes]:
    members = {"cifar-10-batches-py/batches.meta": pickled({"label_names": list(spec.class_names)})}
    pixels, labels = pixels_of_set(spec, "train", (32, 32, 3))
    for number, indices in enumerate(np.array_split(np.arange(len(labels)), 5), start=1):
        batch = cifar_batch(pixels[indices], labels[indices], "labels")
        members[f"cifar-10-batches-py/data_batch_{number}"] = batch
    members["cifar-10-batches-py/test_batch"] = cifar_batch(*pixels_of_set(spec, "test", (32, 32, 3)), "labels")
    return [tar_of(members)]


def cifar100_files(spec: ReadySetSpec) -> list[bytes]:
    return [
        tar_of(
            {
                f"cifar-100-python/{split}": cifar_batch(*pixels_of_set(spec, split, (32, 32, 3)), "fine_labels")
                for split in PER_SPLIT
            }
        )
    ]


def photos_of_set(spec: ReadySetSpec, split: str) -> Iterator[tuple[str, bytes]]:
    """Yield class folder and file name, and a JPEG file."""
    for class_index, class_name in enumerate(spec.class_names):
        for number in range(PER_SPLIT[split]):
            rng = np.random.default_rng([class_index, number, len(split)])
            coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            coarse.resize((200, 150), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            yield f"{class_name}/{split}{number}.jpg", buffer.getvalue()


def flower_files(spec: ReadySetSpec) -> list[bytes]:
    photos = {f"flower_photos/{name}": data for name, data in photos_of_set(spec, "train")}
    return [tar_of({"flower_photos/LICENSE.txt": b"CC BY 2.0", **photos})]


def cat_files(spec: ReadySetSpec) -> list[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cats_and_dogs_filtered/vectorize.py", b"print('hello')")
        for split, folder in (("train", "train"), ("test", "validation")):
            for name, data in photos_of_set(spec, split):
                archive.writestr(f"cats_and_dogs_filtered/{folder}/{name}", data)
    return [buffer.getvalue()]


MAKERS: dict[str, Callable[[ReadySetSpec], list[bytes]]] = {
    "mnist": mnist_files,
    "fashion_mnist": idx_files,
    "cifar10": cifar10_files,
    "cifar100": cifar100_files,
    "flower_photos": flower_files,
    "cats_and_dogs": cat_files,
}
