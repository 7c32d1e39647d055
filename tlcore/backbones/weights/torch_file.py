"""Read the tensors of a PyTorch file in the format before version 1.6, without PyTorch and without running its code."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tlcore.damage import DAMAGE_ERRORS
from tlcore.errors import WeightsError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of raw values that tensors point into."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view of a storage, in values, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _Tensor:
    """Stand in for `torch._utils._rebuild_tensor_v2`."""
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor is not described by a storage, a shape and strides")
    if min((offset, *shape, *strides)) < 0:
        raise pickle.UnpicklingError("a tensor has a negative offset, shape or stride")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _TensorUnpickler(pickle.Unpickler):
    """Admit what describes a dictionary of tensors, nothing else."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in STORAGE_DTYPES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not needed for weights")

    def persistent_load(self, saved_id: tuple[object, ...]) -> _Storage:
        match saved_id:
            case ("storage", str(kind), str(key), str(), int(count), None) if kind in STORAGE_DTYPES and count >= 0:
                return _Storage(key, STORAGE_DTYPES[kind], count)
        raise pickle.UnpicklingError("a storage is described in an unknown way")


def read_tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    """Return every tensor of the file, as arrays of their own, by name.

    Args:
        path: The file. It is four pickles (magic number, protocol, machine, tensors), the list of
            storage keys, and for each storage a count (int64) and its values, all little-endian.

    Raises:
        WeightsError: If the file cannot be read, or holds anything besides tensors.

    Source:
        `torch/serialization.py`, `_legacy_save`.
    """
    try:
        with path.open("rb") as file:
            tensors = _read_descriptions(file)
            storages = _read_storages(file, {t.storage.key: t.storage for t in tensors.values()})
        return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}
    except OSError as error:
        raise WeightsError(
            f"{path.name} could not be read ({error.strerror}). Install the requirements again."
        ) from error
    except DAMAGE_ERRORS as error:
        raise WeightsError(f"{path.name} is not a file of weights: {error}. Install the requirements again.") from error


def _read_descriptions(file: IO[bytes]) -> dict[str, _Tensor]:
    magic_number, protocol, machine = (_TensorUnpickler(file).load() for _ in range(3))
    if magic_number != MAGIC_NUMBER or protocol != PROTOCOL_VERSION:
        raise pickle.UnpicklingError("it does not start like PyTorch's old format")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise pickle.UnpicklingError("its values are not little-endian")
    tensors = _TensorUnpickler(file).load()
    if not isinstance(tensors, OrderedDict) or not all(isinstance(value, _Tensor) for value in tensors.values()):
        raise pickle.UnpicklingError("it holds other things than tensors")
    return dict(tensors)


def _read_storages(file: IO[bytes], expected: dict[str, _Storage]) -> dict[str, NDArray[np.generic]]:
    storages = {}
    for key in _TensorUnpickler(file).load():
        storage = expected[key]
        (count,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(storage.dtype)
        raw = file.read(storage.count * dtype.itemsize)
        if count != storage.count or len(raw) != storage.count * dtype.itemsize:
            raise pickle.UnpicklingError("it ends too early")
        storages[key] = np.frombuffer(raw, dtype)
    return storages


def _view(tensor: _Tensor, values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the tensor's values; its strides differ from the shape's own order in many of them."""
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape or last >= len(values):
        raise pickle.UnpicklingError("a tensor reaches past its values")
    strides = tuple(stride * values.itemsize for stride in tensor.strides)
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides).copy()
