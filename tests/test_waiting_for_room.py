"""Work on a full disk waits for room: it says so, goes on by itself, and can be stopped meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.coloured_pictures import RecordingProgress
from tlcore.errors import FullDiskError, StorageError
from tlcore.home import DISK_IS_FULL, DataRoot, free_bytes, is_full
from tlcore.progress import StopRequested
from tlcore.storage import full_disk
from tlcore.storage.full_disk import MORE_BYTES, STOPPED_SECONDS, TRY_SECONDS, DiskWait


class Disk:
    """A disk and a clock that stand still but for the looks at them.

    Attributes:
        free: Bytes that are free.
        seconds: The time.
        gets: Bytes that are free from that time on.
    """

    def __init__(self) -> None:
        self.free, self.seconds = 0, 0.0
        self.gets: dict[float, int] = {}

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.free = max((free for time, free in self.gets.items() if self.seconds >= time), default=self.free)

    def writing(self, needs: int) -> Callable[[], str]:
        """Return what writes so many bytes, and notes when it is tried."""
        self.tries: list[float] = []

        def write() -> str:
            self.tries.append(self.seconds)
            if self.free < needs:
                raise FullDiskError(DISK_IS_FULL)
            return "written"

        return write


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(full_disk, "spare_bytes", lambda _home: disk.free)
    monkeypatch.setattr(full_disk, "is_full", lambda _home: disk.free < MORE_BYTES)
    monkeypatch.setattr(full_disk, "time", SimpleNamespace(sleep=disk.sleep, monotonic=lambda: disk.seconds))
    return disk


def test_it_is_written_as_soon_as_there_is_room(home: DataRoot, disk: Disk) -> None:
    disk.gets = {4.0: 5 * MORE_BYTES}
    progress = RecordingProgress()
    room = DiskWait(home, progress)
    assert room.repeat(disk.writing(5 * MORE_BYTES)) == "written"
    assert disk.tries == [0, 4]
    assert room.waited_seconds == 4
    assert room.repeat(disk.writing(MORE_BYTES)) == "written"
    assert room.waited_seconds == 4
    assert {name for name, _, _ in progress.phases} == {"waiting_for_room"}


def test_what_needs_more_than_there_is_is_tried_again_now_and_then(home: DataRoot, disk: Disk) -> None:
    disk.free, disk.gets = MORE_BYTES, {3.0: 2 * MORE_BYTES, 100.0: 9 * MORE_BYTES}
    DiskWait(home, RecordingProgress()).repeat(disk.writing(3 * MORE_BYTES))
    assert disk.tries == [0, 3, 3 + 2 * TRY_SECONDS, 3 + 6 * TRY_SECONDS, 100]


def test_nothing_is_calculated_again_while_the_disk_is_full(home: DataRoot, disk: Disk) -> None:
    disk.gets = {5000.0: 2 * MORE_BYTES}
    DiskWait(home, RecordingProgress()).repeat(disk.writing(MORE_BYTES))
    assert disk.tries == [0, 5000]


def test_a_full_disk_is_waited_for_before_anything_fails(home: DataRoot, disk: Disk) -> None:
    disk.gets = {2.0: MORE_BYTES}
    progress = RecordingProgress()
    DiskWait(home, progress).wait()
    assert disk.seconds == 2
    assert progress.phases
    heard = len(progress.phases)
    DiskWait(home, progress).wait()
    assert len(progress.phases) == heard


def test_it_can_be_stopped_while_it_waits(home: DataRoot, disk: Disk) -> None:
    room = DiskWait(home, RecordingProgress(stop_after=6))
    with pytest.raises(StopRequested):
        room.repeat(disk.writing(1))
    assert disk.seconds < 6
    assert room.waited_seconds == disk.seconds


def test_what_was_stopped_waits_to_be_kept_but_not_for_ever(home: DataRoot, disk: Disk) -> None:
    disk.gets = {30.0: MORE_BYTES}
    assert DiskWait(home, RecordingProgress(stop_after=0)).repeat(disk.writing(1), at_the_end=True) == "written"
    assert disk.seconds == 30
    disk.free, disk.gets = MORE_BYTES - 1, {}
    with pytest.raises(FullDiskError):
        DiskWait(home, RecordingProgress(stop_after=0)).repeat(disk.writing(MORE_BYTES), at_the_end=True)
    assert STOPPED_SECONDS < disk.seconds - 30 <= STOPPED_SECONDS + 2


def test_other_failures_and_impatient_work_end_at_once(home: DataRoot, disk: Disk) -> None:
    def broken() -> None:
        raise StorageError("The folder cannot be written.")

    with pytest.raises(StorageError, match="cannot be written"):
        DiskWait(home, RecordingProgress()).repeat(broken)
    impatient = DiskWait(home, RecordingProgress(), is_patient=False)
    impatient.wait()
    with pytest.raises(FullDiskError):
        impatient.repeat(disk.writing(1))
    assert disk.seconds == 0


def test_a_file_system_that_does_not_say_how_large_it_is_counts_as_empty(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    assert 0 < free_bytes(home) < 1 << 60
    silent = SimpleNamespace(f_blocks=0, f_bavail=0, f_bfree=0, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda _path: silent, raising=False)
    assert not is_full(home)
