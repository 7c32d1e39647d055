"""The files in which MNIST, Fashion-MNIST and CIFAR keep pictures as tables of pixels; none of them is trusted."""

from __future__ import annotations

import gzip
import pickle
import struct
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlcore.dataset import Split
from tlcore.intake.sources import ReadyPicture
from tlcore.ready_sets.files import damage_in_words
from tlcore.ready_sets.pictures import picture_of

CIFAR_SIDE = 32
# A batch of CIFAR-100 has 155 MB; what claims more is a trap for the memory.
_MAX_MEMBER_BYTES = 200_000_000
_SPLITS: tuple[Split, Split] = ("train", "test")


def read_mnist(path: Path, class_names: Sequence[str]) -> Iterator[ReadyPicture]:
    """Yield the pictures of `mnist.npz`, whose arrays have the names of `keras.datasets.mnist`.

    Args:
        path: The file.
        class_names: Names of the classes by their numbers.

    Raises:
        DatasetError: If the file is not such a file.
    """
    with damage_in_words(path), np.load(path, allow_pickle=False) as arrays:
        for split in _SPLITS:
            yield from _pictures(split, arrays[f"x_{split}"], arrays[f"y_{split}"], class_names)


def read_idx(paths: Sequence[Path], class_names: Sequence[str]) -> Iterator[ReadyPicture]:
    """Yield the pictures of Fashion-MNIST.

    Args:
        paths: Compressed IDX files: labels and pictures for training, labels and pictures for testing.
        class_names: Names of the classes by their numbers.

    Raises:
        DatasetError: If a file is not such a file.

    Source:
        The format: http://yann.lecun.com/exdb/mnist/
    """
    for split, labels_path, images_path in zip(_SPLITS, paths[::2], paths[1::2], strict=True):
        with damage_in_words(labels_path):
            labels = _idx(labels_path, 1)
        with damage_in_words(images_path):
            yield from _pictures(split, _idx(images_path, 3), labels, class_names)


def read_cifar(
    path: Path, class_names: Sequence[str], *, train: Sequence[str], test: str, label_key: str
) -> Iterator[ReadyPicture]:
    """Yield the pictures of CIFAR-10 or CIFAR-100 in their version for Python.

    Args:
        path: The compressed TAR file.
        class_names: Names of the classes by their numbers.
        train: Names of the batches for training inside it.
        test: Name of the batch for testing.
        label_key: Under which key a batch keeps its labels.

    Raises:
        DatasetError: If the file is not such a file, or its pickles hold anything but numbers and bytes.

    Source:
        The format: https://www.cs.toronto.edu/~kriz/cifar.html
    """
    with damage_in_words(path):
        batches = _read_batches(path, {*train, test})
        for split, names in zip(_SPLITS, (train, [test]), strict=True):
            first = 0
            for name in names:
                planes = batches[name][b"data"].values.reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
                labels = np.array(batches[name][label_key.encode()])
                yield from _pictures(split, planes.transpose(0, 2, 3, 1), labels, class_names, first)
                first += len(planes)


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of a compressed IDX file of bytes."""
    with gzip.open(path) as file:
        data = file.read(_MAX_MEMBER_BYTES)
    magic, *shape = struct.unpack_from(f">I{dimensions}I", data)
    if magic != 0x0800 + dimensions:
        raise ValueError(f"it begins with {magic:#x}")
    return np.frombuffer(data, np.uint8, offset=4 * (1 + dimensions)).reshape(shape)


def _read_batches(path: Path, names: set[str]) -> dict[str, Any]:
    batches = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name in names and member.isfile() else None
            if file is not None and member.size <= _MAX_MEMBER_BYTES:
                batches[member.name] = _ByteUnpickler(file, encoding="bytes").load()
    return batches


class _ByteUnpickler(pickle.Unpickler):
    """Reads dicts, lists, numbers, bytes and arrays of bytes; a pickle that asks for anything else is refused.

    The names that an array needs lead to the classes below, not to NumPy's, whose state a pickle could forge.
    """

    def find_class(self, module: str, name: str, /) -> Any:
        """Return what stands for a name.

        Raises:
            pickle.UnpicklingError: If it is not one that an array needs.
        """
        if (module, name) == ("numpy", "ndarray"):
            return "ndarray"  # only handed on
        if (module, name) == ("numpy", "dtype"):
            return _ByteKind
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _ByteArray
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


class _ByteKind:
    """Stands for `numpy.dtype("uint8")`, and for no other."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it holds numbers of kind {code!r}")

    def __setstate__(self, _state: object) -> None:
        """Forget the order of bytes: one byte has none."""


class _ByteArray:
    """Stands for a `numpy.ndarray`; `values` is the real one, of dtype uint8, once its state was read."""

    def __init__(self, _kind: object, _shape: object, _code: object) -> None:
        self.values = np.empty(0, np.uint8)

    def __setstate__(self, state: Any) -> None:
        _version, shape, kind, by_columns, data = state
        if not isinstance(kind, _ByteKind):
            raise pickle.UnpicklingError(f"it holds numbers of kind {kind!r}")
        self.values = np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C")


def _pictures(
    split: Split, pixels: NDArray[Any], labels: NDArray[Any], class_names: Sequence[str], first: int = 0
) -> Iterator[ReadyPicture]:
    """Yield the pictures of a table.

    Args:
        split: Theirs.
        pixels: uint8 of shape `(num_images, height, width)`, grey, or `(num_images, height, width, 3)`, RGB.
        labels: Integers of shape `(num_images,)`, the number of each picture's class.
        class_names: Names of the classes by their numbers.
        first: Number of the first one in its split.

    Raises:
        ValueError: If the table is not such a one.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
        raise ValueError(f"it holds pictures as {pixels.dtype} of shape {pixels.shape}")
    if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"it holds {len(pixels)} pictures and labels of shape {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(class_names):
        raise ValueError(f"it has labels up to {labels.max()} for {len(class_names)} classes")
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True), first):
        yield picture_of(class_names[int(label)], split, f"{split}-{number:05d}.png", image)
