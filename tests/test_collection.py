"""Sources become a data set and a report."""

import hashlib
import io
import json
import time
import zipfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.collecting import collect
from tlcore.dataset import MAX_CLASSES, Dataset
from tlcore.errors import DatasetError
from tlcore.home import DataRoot
from tlcore.intake.brought import UNLABELLED
from tlcore.intake.collection import ImportReport
from tlcore.intake.sources import ArchiveSource, FileSource, FolderSource, ReadySource
from tlcore.progress import StopRequested
from tlcore.ready_sets.registry import get_ready_set, open_ready_set
from tlcore.storage.images import ImageStore


class MemoryStore:
    """A picture store without a disk."""

    def __init__(self) -> None:
        self.pictures: dict[str, tuple[bytes, bytes]] = {}

    def add(self, data: bytes, thumbnail: bytes) -> str:
        key = hashlib.sha256(data).hexdigest()
        self.pictures[key] = (data, thumbnail)
        return key


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def picture(number: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> ArchiveSource:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return ArchiveSource(path, path.name)


def counts(report: ImportReport) -> dict[str, int]:
    classes = {label.id: label.name for label in report.dataset.classes}
    items = Counter(classes[item.class_id] for item in report.dataset.items)
    return {name: items[name] for name in classes.values()}


def test_zip_becomes_classes_and_the_rest_is_listed(tmp_path: Path, store: MemoryStore):
    files = {f"pets/{name}/{i}.jpg": picture(i + 50 * (name == "dog")) for name in ("dog", "cat") for i in range(10)}
    files |= {"pets/cat/cut.jpg": picture(99)[:300], "pets/notes.txt": b"hello", "../evil.jpg": picture(1)}
    progress: list[tuple[int, int]] = []
    source = zipped(tmp_path / "a.zip", files)
    report = collect([source], Dataset(), store, on_progress=lambda done, total: progress.append((done, total)))
    assert counts(report) == {"cat": 10, "dog": 10}
    assert Counter(item.split for item in report.dataset.items) == {"train": 12, "validation": 4, "test": 4}
    reasons = {refusal.name: refusal.reason for refusal in report.refused}
    assert set(reasons) == {"../evil.jpg", "pets/cat/cut.jpg"}
    [note] = report.notes
    assert "notes.txt" in note
    assert (report.added, report.already_there) == (20, 0)
    assert progress == [(done, 21) for done in range(22)]
    assert set(store.pictures) == {item.image for item in report.dataset.items}


def test_same_picture_again_is_already_there(store: MemoryStore):
    source = FileSource((("cat/1.png", picture(1)), ("cat/copy.png", picture(1)), ("cat/2.png", picture(2))))
    first = collect([source], Dataset(), store)
    assert (first.added, first.already_there) == (2, 1)
    second = collect([source], first.dataset, store)
    assert (second.added, second.already_there) == (0, 3)
    assert second.dataset == first.dataset


def test_same_picture_in_two_classes_is_kept_and_noted(store: MemoryStore):
    source = FileSource((("cat/1.png", picture(1)), ("dog/1.png", picture(1)), ("dog/2.png", picture(2))))
    report = collect([source], Dataset(), store)
    assert counts(report) == {"cat": 1, "dog": 2}
    assert any("more than one class" in note and "dog/1.png" in note for note in report.notes)
    one, other = (item for item in report.dataset.items if item.image == report.dataset.items[0].image)
    assert one.split == other.split


def test_splits_of_a_zip_are_kept_and_leaks_are_noted(tmp_path: Path, store: MemoryStore):
    files = {
        f"{split}/cat/{i}.png": picture(i + shift) for split, shift in (("train", 0), ("test", 7)) for i in range(10)
    }
    report = collect([zipped(tmp_path / "a.zip", files)], Dataset(), store)
    assert report.added == 17
    assert report.already_there == 3
    assert len(report.dataset.subset("test")) == 10
    assert any("one side only" in note for note in report.notes)


def test_pictures_without_a_folder_take_the_typed_class(store: MemoryStore):
    files = (("1.png", picture(1)), ("a/2.png", picture(2)), ("../../3.png", picture(3)))
    assert counts(collect([FileSource(files, class_name="cat")], Dataset(), store)) == {"a": 1, "cat": 2}
    report = collect([FileSource(files)], Dataset(), store)
    assert counts(report) == {"a": 1}
    assert [one.name for one in report.dataset.unlabelled] == ["1.png", "3.png"]
    assert any("2 pictures have no class" in note for note in report.notes)
    report = collect([FileSource((files[0], files[2]))], Dataset(), store)
    assert counts(report) == {UNLABELLED: 2}
    assert any("the class of these pictures: 2" in note for note in report.notes)


def test_a_class_that_is_called_unlabelled_is_one_like_others(tmp_path: Path, store: MemoryStore):
    names = [f"{folder}/{number}.png" for folder in ("cat", "dog", "unlabelled") for number in range(2)]
    files = {name: picture(seed) for seed, name in enumerate(names)}
    report = collect([zipped(tmp_path / "a.zip", files)], Dataset(), store)
    assert counts(report) == {"cat": 2, "dog": 2, UNLABELLED: 2}
    assert not any("Nothing says" in note for note in report.notes)


def test_several_sources_come_in_together_and_a_bad_one_is_listed(tmp_path: Path, store: MemoryStore):
    good = zipped(tmp_path / "good.zip", {"cat/1.png": picture(1)})
    bad = ArchiveSource(tmp_path / "bad", "holiday.rar")
    bad.path.write_bytes(b"Rar!\x1a\x07" + bytes(99))
    (tmp_path / "2.png").write_bytes(picture(2))
    gone = FileSource((("2.png", tmp_path / "2.png"), ("3.png", tmp_path / "gone.png")), class_name="dog")
    report = collect([good, bad, gone], Dataset(), store)
    assert counts(report) == {"cat": 1, "dog": 1}
    assert {refusal.name for refusal in report.refused} == {"holiday.rar", "3.png"}
    assert "RAR" in report.refused[0].reason


def test_folder_on_disk_becomes_classes(tmp_path: Path, store: MemoryStore):
    for name in ("cat/1.png", "cat/.hidden.png", "dog/2.png"):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(ord(name[0])))
    assert counts(collect([FolderSource(tmp_path / "pets")], Dataset(), store)) == {"cat": 1, "dog": 1}
    assert counts(collect([FolderSource(tmp_path / "pets" / "cat")], Dataset(), store)) == {"cat": 1}
    with pytest.raises(DatasetError, match="no folder"):
        collect([FolderSource(tmp_path / "gone")], Dataset(), store)


def test_class_without_a_good_picture_is_listed_empty(tmp_path: Path, store: MemoryStore):
    files = {"pets/cat/1.png": picture(1), "pets/dog/1.jpg": b"\xff\xd8\xff", "pets/owl/": b"", "pets/.git/x": b""}
    report = collect([zipped(tmp_path / "a.zip", files)], Dataset(), store)
    assert counts(report) == {"cat": 1, "dog": 0, "owl": 0}


def test_classes_come_in_the_order_in_which_people_count(store: MemoryStore):
    source = FileSource(tuple((f"{i}/x.png", picture(i)) for i in (10, 2, 1)))
    assert collect([source], Dataset(), store).dataset.class_names == ("1", "2", "10")


def test_similar_names_stay_apart_and_are_noted_once(store: MemoryStore):
    first = collect([FileSource((("cat/1.png", picture(1)),))], Dataset(), store)
    second = collect([FileSource((("Cat/2.png", picture(2)),))], first.dataset, store)
    assert counts(second) == {"cat": 1, "Cat": 1}
    assert any("Cat, cat" in note for note in second.notes)
    assert collect([FileSource((("Cat/3.png", picture(3)),))], second.dataset, store).notes == ()


def test_moving_pictures_are_noted(store: MemoryStore):
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (9, 9), color) for color in ("red", "blue")]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    report = collect([FileSource((("cat/a.gif", buffer.getvalue()),))], Dataset(), store)
    assert report.notes == ("Moving picture: only the first frame is used. cat/a.gif",)


def test_too_many_classes_are_refused_before_anything_is_read(store: MemoryStore):
    files = tuple((f"{i}/x.png", b"never read") for i in range(MAX_CLASSES + 1))
    with pytest.raises(DatasetError, match=f"{MAX_CLASSES + 1} classes"):
        collect([FileSource(files)], Dataset(), store)
    assert store.pictures == {}


def test_stop_is_obeyed_at_once(store: MemoryStore):
    def stop(done: int, total: int) -> None:
        if done:
            raise StopRequested

    source = FileSource(tuple((f"cat/{i}.png", picture(i)) for i in range(300)))
    with pytest.raises(StopRequested):
        collect([source], Dataset(), store, on_progress=stop)
    assert len(store.pictures) < 100


def test_nothing_usable_says_what_to_bring(store: MemoryStore):
    report = collect([FileSource((("a.txt", b"hello"),))], Dataset(), store)
    assert report.dataset == Dataset()
    assert "No pictures" in report.notes[0]


@pytest.mark.parametrize("name", ["surfaces", "digits"])
def test_ready_data_set_comes_in_whole(name: str, store: MemoryStore):
    spec = get_ready_set(name)
    report = collect([ReadySource(open_ready_set(spec, (), ExitStack()))], Dataset(), store)
    assert sorted(report.dataset.class_names) == sorted(spec.class_names)
    assert report.added == spec.num_images
    assert report.refused == ()
    assert report.notes == ()


def test_real_data_sets_come_in_whole(shared_data: Path, store: MemoryStore):
    report = collect([ArchiveSource(shared_data / "brain_mri.zip")], Dataset(), store)
    assert report.refused == ()
    assert report.added + report.already_there == 218
    assert len(report.dataset.classes) == 2
    assert len(report.dataset.subset("test")) >= 55
    assert json.dumps(report.notes)


def test_a_thousand_photos_come_in_within_twenty_seconds(tmp_path: Path):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for number in range(1000):
            small = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            small.resize((300, 300), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
            file.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.jpg", buffer.getvalue())
    started, cpu_started = time.monotonic(), time.process_time()
    report = collect([ArchiveSource(tmp_path / "a.zip")], Dataset(), ImageStore(DataRoot(tmp_path / "home")))
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu_started
    print(f"1,000 photos of 300 px: {seconds:.1f} s, {cpu_seconds:.1f} s of processor time")
    assert report.added == 1000
    assert cpu_seconds < 20  # the clock on the wall also counts what else this computer does
