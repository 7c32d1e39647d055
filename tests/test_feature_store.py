"""Cached features are whole or not there: damage, a full disk and old age are noticed."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tlcore.errors import StorageError
from tlcore.features.store import FeatureSet, FeatureStore, record_key
from tlcore.home import DataRoot
from tlcore.model.cut import Prefix

PREFIX = Prefix("efficientnet_lite0", "weights", 64, "pooling", (4,))
KEYS = [record_key(f"picture {number}") for number in range(6)]
ROWS = np.arange(24, dtype=np.float16).reshape(6, 4)


def open_set(home: DataRoot) -> FeatureSet:
    """As a process that was started just now sees it."""
    return FeatureStore(home).open(PREFIX, "set")


def write(features: FeatureSet, keys: Sequence[bytes] = KEYS, rows: np.ndarray = ROWS) -> None:
    features.write(keys, iter(rows))


def only_file(home: DataRoot, pattern: str) -> Path:
    (path,) = (home.path / "features" / "set").glob(pattern)
    return path


@pytest.fixture
def written(home: DataRoot) -> DataRoot:
    write(open_set(home))
    return home


def test_what_was_written_is_read_in_any_order(written: DataRoot) -> None:
    features = open_set(written)
    assert features.missing(KEYS) == []
    order = [4, 0, 5]
    table = features.table([KEYS[position] for position in order])
    np.testing.assert_array_equal(table.take(np.arange(3)), ROWS[order])
    assert table.take(np.arange(3)).dtype == np.float16


def test_a_table_spans_the_segments_of_several_passes(home: DataRoot) -> None:
    features = open_set(home)
    write(features, KEYS[:2], ROWS[:2])
    write(features, KEYS[2:], ROWS[2:])
    assert open_set(home).missing(KEYS) == []
    assert features.missing(KEYS) == []
    np.testing.assert_array_equal(features.table(KEYS).take(np.array([5, 0, 3])), ROWS[[5, 0, 3]])


def test_only_what_is_not_there_is_missing(written: DataRoot) -> None:
    assert open_set(written).missing([KEYS[0], record_key("new"), KEYS[1], record_key(KEYS[0].hex(), "0")]) == [1, 3]


def cut_data(home: DataRoot) -> None:
    os.truncate(only_file(home, "*.features"), ROWS.nbytes - 3)


def lengthen_data(home: DataRoot) -> None:
    with only_file(home, "*.features").open("ab") as file:
        file.write(b"\0\0")


def flip_data(home: DataRoot) -> None:
    flip(only_file(home, "*.features"), 17)


def flip_index(home: DataRoot) -> None:
    path = only_file(home, "*.npz")
    flip(path, path.stat().st_size // 3)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def cut_index(home: DataRoot) -> None:
    path = only_file(home, "*.npz")
    os.truncate(path, path.stat().st_size - 30)


def empty_index(home: DataRoot) -> None:
    os.truncate(only_file(home, "*.npz"), 0)


def garbage_index(home: DataRoot) -> None:
    only_file(home, "*.npz").write_bytes(b"no index at all " * 20)


def foreign_index(home: DataRoot) -> None:
    np.savez(only_file(home, "*.npz"), something=np.arange(3))


def drop_data(home: DataRoot) -> None:
    only_file(home, "*.features").unlink()


DAMAGES = [
    cut_data,
    lengthen_data,
    flip_data,
    flip_index,
    cut_index,
    empty_index,
    garbage_index,
    foreign_index,
    drop_data,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_segment_is_thrown_away_and_can_be_computed_again(written: DataRoot, damage: object) -> None:
    damage(written)  # type: ignore[operator]
    features = open_set(written)
    assert features.missing(KEYS) == list(range(6))
    assert not [path for path in (written.path / "features" / "set").iterdir() if path.suffix in (".npz", ".features")]
    write(features)
    assert features.missing(KEYS) == []
    np.testing.assert_array_equal(features.table(KEYS).take(np.arange(6)), ROWS)


def test_damage_costs_only_its_own_segment(home: DataRoot) -> None:
    features = open_set(home)
    write(features, KEYS[:3], ROWS[:3])
    flip_data(home)
    write(features, KEYS[3:], ROWS[3:])
    assert open_set(home).missing(KEYS) == [0, 1, 2]


def test_features_of_another_shape_are_not_used(written: DataRoot) -> None:
    other = FeatureSet(written.path / "features" / "set", (5,), "float16")
    assert other.missing(KEYS) == list(range(6))


@pytest.mark.parametrize(
    "change", [{"weights": "others"}, {"image_size": 96}, {"cut": "block7a"}, {"backbone": "mobilenet_v2"}]
)
def test_another_model_has_another_place(change: dict[str, object]) -> None:
    values = {name: getattr(PREFIX, name) for name in ("backbone", "weights", "image_size", "cut", "shape")}
    other = Prefix(**{**values, **change})
    assert other.features_key("crop") != PREFIX.features_key("crop")
    assert PREFIX.features_key("pad") != PREFIX.features_key("crop")


def test_nothing_is_visible_before_all_of_it_is_written(home: DataRoot) -> None:
    features = open_set(home)

    def watched() -> Iterator[np.ndarray]:
        for row in ROWS:
            assert open_set(home).missing(KEYS) == list(range(6))
            yield row
        assert open_set(home).missing(KEYS) == list(range(6))

    features.write(KEYS, watched())
    assert open_set(home).missing(KEYS) == []


def test_what_was_given_up_leaves_nothing(written: DataRoot) -> None:
    def given_up() -> Iterator[np.ndarray]:
        yield ROWS[0]
        raise KeyboardInterrupt

    before = sorted((written.path / "features" / "set").iterdir())
    with pytest.raises(KeyboardInterrupt):
        open_set(written).write([record_key("new")], given_up())
    assert sorted((written.path / "features" / "set").iterdir()) == before


def test_too_few_records_are_refused(home: DataRoot) -> None:
    with pytest.raises(ValueError, match="6 records"):
        write(open_set(home), KEYS, ROWS[:5])
    assert open_set(home).missing(KEYS) == list(range(6))


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(written: DataRoot) -> None:
    directory = written.path / "features" / "set"
    before = sorted(directory.iterdir())
    for name in (".0123.writing", ".writing-0123.features", ".writing-0123.npz"):
        (directory / name).write_bytes(b"half")
    (directory / "0123.features").write_bytes(b"its index was never written")
    assert open_set(written).missing(KEYS) == []
    with open_set(written).alone(lambda: None):
        pass
    assert [path for path in sorted(directory.iterdir()) if path.name != "lock"] == before


class FullFile:
    """A file on a disk that is full."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> "FullFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("when", ["open", "write", "flush"])
def test_a_full_disk_is_said_and_leaves_earlier_features_whole(
    written: DataRoot, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    features = open_set(written)
    real_open = Path.open

    def full(path: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if when == "open" and "w" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        file = real_open(path, mode, *args, **kwargs)  # type: ignore[call-overload]
        return FullFile(file) if "w" in mode and when == "write" else file

    def full_fsync(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        if when == "flush":
            patched.setattr(os, "fsync", full_fsync)
        with pytest.raises(StorageError, match="disk is full"):
            write(features, [record_key("new")], ROWS[:1])
    assert sorted(path.suffix for path in (written.path / "features" / "set").iterdir()) == [".features", ".npz"]
    fresh = open_set(written)
    assert fresh.missing(KEYS) == []
    np.testing.assert_array_equal(fresh.table(KEYS).take(np.arange(6)), ROWS)


@pytest.fixture
def three_segments(home: DataRoot) -> tuple[DataRoot, list[Path]]:
    """Segments with two records each; the second was used last, then the first, the third longest ago."""
    found: list[Path] = []
    for number in range(3):
        write(open_set(home), KEYS[2 * number : 2 * number + 2], ROWS[:2])
        (new,) = set((home.path / "features" / "set").glob("*.npz")) - set(found)
        found.append(new)
    for path, hours in zip(found, (2, 1, 3), strict=True):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - hours * 3600))
    return home, found


def segment_bytes(index_path: Path) -> int:
    return index_path.stat().st_size + index_path.with_suffix(".features").stat().st_size


def test_the_least_recently_used_features_go_first(three_segments: tuple[DataRoot, list[Path]]) -> None:
    home, (first, second, third) = three_segments
    size = segment_bytes(first)
    assert FeatureStore(home, limit_bytes=3 * size).evict() == 0
    assert FeatureStore(home, limit_bytes=2 * size).evict() == size
    assert (first.exists(), second.exists(), third.exists()) == (True, True, False)
    assert FeatureStore(home, limit_bytes=size).evict() == size
    assert (first.exists(), second.exists()) == (False, True)
    assert open_set(home).missing(KEYS) == [0, 1, 4, 5]
    assert not first.with_suffix(".features").exists()


def test_reading_features_makes_them_recent(three_segments: tuple[DataRoot, list[Path]]) -> None:
    home, (first, second, third) = three_segments
    features = open_set(home)
    assert features.missing(KEYS[4:]) == []
    features.table(KEYS[4:])
    FeatureStore(home, limit_bytes=0).evict()
    assert (first.exists(), second.exists(), third.exists()) == (False, False, True)


def test_features_of_a_run_that_trains_now_stay_even_above_the_limit(written: DataRoot) -> None:
    assert FeatureStore(written, limit_bytes=0).evict() == 0
    assert open_set(written).missing(KEYS) == []


def test_the_limit_can_be_set_from_outside(
    three_segments: tuple[DataRoot, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = three_segments
    monkeypatch.setenv("TRANSFER_LAB_CACHE_GB", "0")
    FeatureStore(home).evict()
    assert not list((home.path / "features").rglob("*.npz"))


def test_a_table_that_is_open_survives_the_eviction_of_its_file(three_segments: tuple[DataRoot, list[Path]]) -> None:
    home, _ = three_segments
    features = open_set(home)
    features.missing(KEYS)
    table = features.table(KEYS)
    for path in (home.path / "features" / "set").glob("*.npz"):
        os.utime(path, (0, 0))
    FeatureStore(home, limit_bytes=0).evict()
    np.testing.assert_array_equal(table.take(np.array([3])), ROWS[[1]])
