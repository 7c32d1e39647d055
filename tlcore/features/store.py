"""Features of pictures on disk: written once, checked when read, the least recently used thrown out."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tlcore.home import DataRoot, holding, write_atomically
from tlcore.model.cut import Prefix

SIZE_LIMIT_VARIABLE = "TRANSFER_LAB_CACHE_GB"
DEFAULT_LIMIT_GB = 20
# Segments that were used this recently may belong to a run that is training.
KEEP_SECONDS = 600.0
KEY_BYTES = 16


def record_key(image: str, view: str = "") -> bytes:
    """Return the 16 bytes that stand for a picture under a view; `view` is empty for the plain picture."""
    return hashlib.blake2b(f"{image} {view}".encode(), digest_size=KEY_BYTES).digest()


class FeatureTable:
    """Rows of features that stay on disk until they are taken.

    Args:
        segments: Memory-mapped arrays of shape `(rows, *shape)`.
        places: int64 of shape `(n, 2)`: segment and row of each record.
    """

    def __init__(self, segments: Sequence[NDArray[np.generic]], places: NDArray[np.int64]) -> None:
        self._segments = segments
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.generic]:
        """Return the features of some records, shape `(len(indices), *shape)`, as they are stored."""
        places = self._places[indices]
        used = np.unique(places[:, 0])
        if len(used) == 1:
            return np.asarray(self._segments[used[0]][places[:, 1]])
        first = self._segments[0]
        rows = np.empty((len(indices), *first.shape[1:]), first.dtype)
        for segment in used:
            mask = places[:, 0] == segment
            rows[mask] = self._segments[segment][places[mask, 1]]
        return rows


@dataclass(frozen=True, slots=True)
class LabelledFeatures:
    """Features with their classes.

    Attributes:
        table: Records of the features.
        labels: int64 of shape `(len(table),)`, positions among the model's outputs.
    """

    table: FeatureTable
    labels: NDArray[np.int64]


class _Segment:
    """One file of records and its index: keys and checksums."""

    def __init__(self, index_path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self.index_path = index_path
        self.data_path = index_path.with_suffix(".features")
        with np.load(index_path, allow_pickle=False) as index:
            self.keys = [bytes(key) for key in index["keys"]]
            self._checksums = index["checksums"]
        self.rows: NDArray[np.generic] = np.memmap(
            self.data_path, dtype=dtype, mode="r", shape=(len(self._checksums), *shape)
        )
        expected = self.rows.nbytes
        if self.data_path.stat().st_size != expected or len(self.keys) != len(self._checksums):
            raise ValueError(f"`{self.data_path.name}` must have {expected} bytes")

    def is_whole(self, row: int) -> bool:
        """Whether a record is what was written."""
        return zlib.crc32(self.rows[row].tobytes()) == int(self._checksums[row])

    def mark_used(self) -> None:
        """Note the time, for throwing out the least recently used."""
        with contextlib.suppress(OSError):
            os.utime(self.index_path)


class FeatureSet:
    """All cached features of one prefix and resize mode.

    Records never change. A pass adds a segment: a file of records in the order of their keys, and an
    index that is renamed into place last, so a segment is there as a whole or not at all.
    """

    def __init__(self, directory: Path, shape: tuple[int, ...], dtype: str) -> None:
        self._directory = directory
        self._shape = shape
        self._dtype = dtype
        self._segments: list[_Segment] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._known: set[Path] = set()
        self._checked: set[bytes] = set()

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Return the positions in `keys` of records that must be computed.

        A segment that is cut, unreadable, or has a record that does not match its checksum is thrown away.
        """
        self.refresh()
        damaged = set()
        for key in keys:
            if key in self._places and key not in self._checked:
                segment, row = self._places[key]
                if self._segments[segment].is_whole(row):
                    self._checked.add(key)
                else:
                    damaged.add(segment)
        for segment in damaged:
            self._discard(self._segments[segment].index_path)
            self._places = {key: place for key, place in self._places.items() if place[0] != segment}
        return [position for position, key in enumerate(keys) if key not in self._places]

    def count_missing(self, keys: Sequence[bytes]) -> int:
        """Return how many different records are not there; a record that is there is not read, it may be damaged."""
        self.refresh()
        return sum(key not in self._places for key in set(keys))

    def table(self, keys: Sequence[bytes]) -> FeatureTable:
        """Return the records of keys that are all there.

        Raises:
            KeyError: If one is missing.
        """
        places = np.array([self._places[key] for key in keys], np.int64).reshape(len(keys), 2)
        for segment in np.unique(places[:, 0]):
            self._segments[segment].mark_used()
        return FeatureTable([segment.rows for segment in self._segments], places)

    def write(self, keys: Sequence[bytes], records: Iterable[NDArray[np.generic]]) -> None:
        """Write the records of `keys`, in that order; nothing is kept unless all were written.

        Raises:
            StorageError: If the disk is full.
            ValueError: If there are more or fewer records than keys.
        """
        name = hashlib.blake2b(b"".join(keys) + os.urandom(8), digest_size=12).hexdigest()
        data_path, index_path = (self._directory / f"{name}{suffix}" for suffix in (".features", ".npz"))
        checksums: list[int] = []

        def write_data(path: Path) -> None:
            with path.open("wb") as file:
                for record in records:
                    data = np.ascontiguousarray(record).tobytes()
                    file.write(data)
                    checksums.append(zlib.crc32(data))
            if len(checksums) != len(keys):
                raise ValueError(f"`records` must be {len(keys)} records. Received: {len(checksums)}")

        def write_index(path: Path) -> None:
            with path.open("wb") as file:
                key_bytes = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
                np.savez(file, keys=key_bytes, checksums=np.array(checksums, np.uint32))

        try:
            write_atomically(data_path, write_data)
            write_atomically(index_path, write_index)
        finally:
            if not index_path.exists():
                data_path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, while_waiting: Callable[[], object]) -> Iterator[None]:
        """Let nobody else compute records of this set; calls `while_waiting` as long as somebody does.

        Raises:
            StorageError: If the disk is full or cannot be written.
        """
        with holding(self._directory / "lock", while_waiting):
            # What a killed process left half written.
            without_index = (p for p in self._directory.glob("*.features") if not p.with_suffix(".npz").exists())
            for path in {*self._directory.glob(".*writing*"), *without_index}:
                with contextlib.suppress(OSError):
                    path.unlink()
            yield

    def refresh(self) -> None:
        """Find the segments that were written since the last look."""
        for index_path in sorted(self._directory.glob("[!.]*.npz")):
            if index_path in self._known:
                continue
            try:
                segment = _Segment(index_path, self._shape, self._dtype)
            # What numpy and zipfile raise for an index that is cut, overwritten or of another kind.
            except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
                self._discard(index_path)
                continue
            self._known.add(index_path)
            self._segments.append(segment)
            for row, key in enumerate(segment.keys):
                self._places[key] = (len(self._segments) - 1, row)

    @staticmethod
    def _discard(index_path: Path) -> None:
        for path in (index_path, index_path.with_suffix(".features")):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


class FeatureStore:
    """The features of one data root, kept under a size limit."""

    def __init__(self, home: DataRoot, limit_bytes: int | None = None) -> None:
        self._directory = home.features_dir
        configured = int(float(os.environ.get(SIZE_LIMIT_VARIABLE) or DEFAULT_LIMIT_GB) * 2**30)
        self._limit_bytes = configured if limit_bytes is None else limit_bytes

    def open(self, prefix: Prefix, features_key: str) -> FeatureSet:
        """Return the set of features of a prefix; empty when nothing was computed yet."""
        return FeatureSet(self._directory / features_key, prefix.shape, prefix.dtype)

    def evict(self) -> int:
        """Throw out segments, the least recently used first, until the limit holds; return the bytes freed.

        Segments that were used in the last ten minutes stay: a run may be reading them.
        """
        segments = []
        for index_path in self._directory.glob("*/[!.]*.npz"):
            with contextlib.suppress(OSError):
                size = index_path.stat().st_size + index_path.with_suffix(".features").stat().st_size
                segments.append((index_path.stat().st_mtime, size, index_path))
        total, freed = sum(size for _, size, _ in segments), 0
        for used, size, index_path in sorted(segments):
            if total - freed <= self._limit_bytes or time.time() - used < KEEP_SECONDS:
                break
            FeatureSet._discard(index_path)
            freed += size
        return freed
