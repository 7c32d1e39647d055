"""Ready data sets are downloaded whole or not at all, read without trust, and chosen from with care."""

from __future__ import annotations

import importlib.util
import io
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from tests.coloured_pictures import RecordingProgress
from tests.published_sets import (
    MAKERS,
    PER_SPLIT,
    Publisher,
    cifar_batch,
    pickled,
    pixels_of_set,
    publish,
    publishing,
    tar_of,
)
from tlcore import downloading
from tlcore.dataset import Dataset
from tlcore.errors import DatasetError, DownloadError, TransferLabError
from tlcore.home import DataRoot
from tlcore.intake.sources import ReadyPicture
from tlcore.jobs import reporting, worker
from tlcore.jobs.import_task import import_pictures
from tlcore.ready_sets import registry as ready_sets
from tlcore.ready_sets.files import fetch_files
from tlcore.ready_sets.pictures import choose, first_of_each_class, picture_of
from tlcore.ready_sets.previews import NUM_PICTURES, NUM_TO_ASK, load_pictures_to_ask, load_strip
from tlcore.ready_sets.registry import READY_SETS, ReadySetSpec, get_ready_set, open_ready_set
from tlcore.storage.database import open_database
from tlcore.storage.datasets import current_dataset, get_version
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ACTIVE_STATES, JobStatus, claim_job, create_job, get_job, list_jobs, request_stop
from tlcore.storage.projects import create_project, read_projects
from tlcore.storage.requests import ImportRequest

DOWNLOADED = tuple(spec.name for spec in READY_SETS if spec.files)


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with publishing() as state:
        yield state


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras's folder of data sets, empty."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets"


def opened(spec: ReadySetSpec, per_class: int | None = None) -> tuple[ReadyPicture, ...]:
    with ExitStack() as stack:
        paths = fetch_files(spec.files, spec.title, RecordingProgress())
        pictures = open_ready_set(spec, paths, stack, per_class)
        for picture in pictures:
            picture.clean()
        return pictures


def pixels(picture: ReadyPicture) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(picture.clean().data)))


@pytest.mark.parametrize("name", DOWNLOADED)
def test_every_set_is_downloaded_once_into_kerass_cache_and_read(name: str, publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, name)
    assert spec.download_bytes == sum(file.size_bytes for file in spec.files)
    first = opened(spec)
    assert spec.download_bytes == 0
    for file in spec.files:
        assert (cache / file.name).stat().st_size == file.size_bytes
    counts = Counter((picture.class_name, picture.split) for picture in first)
    has_test = name != "flower_photos"
    assert counts == {
        (class_name, split if has_test else None): number
        for class_name in spec.class_names
        for split, number in PER_SPLIT.items()
        if has_test or split == "train"
    }
    publisher.files.clear()
    assert [picture.name for picture in opened(spec)] == [picture.name for picture in first]
    assert len(publisher.asked) == len(spec.files)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_tiny_pictures_are_kept_exactly(name: str, publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, name)
    side = 32 if name.startswith("cifar") else 28
    shape = (side, side, 3) if side == 32 else (side, side)
    expected = {split: pixels_of_set(spec, split, shape) for split in PER_SPLIT}
    for picture in opened(spec):
        split, number = picture.split, int(picture.name.removesuffix(".png").rpartition("-")[2])
        assert picture.class_name == spec.class_names[expected[split][1][number]]
        wanted = expected[split][0][number]
        np.testing.assert_array_equal(pixels(picture), wanted if wanted.ndim == 3 else np.stack([wanted] * 3, axis=-1))


def test_photos_of_archives_can_be_read_in_any_order(publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, "flower_photos")
    with ExitStack() as stack:
        pictures = open_ready_set(spec, fetch_files(spec.files, spec.title, RecordingProgress()), stack)
        forward = [picture.clean().data for picture in pictures]
        backward = [picture.clean().data for picture in reversed(pictures)]
    assert forward == backward[::-1]
    assert len(set(forward)) == len(forward)


def test_a_copy_that_keras_or_a_tutorial_left_is_used_without_a_network(publisher: Publisher, cache: Path) -> None:
    cache.mkdir(parents=True)
    for name, other in (("cifar10", "cifar-10-batches-py.tar.gz"), ("cats_and_dogs", "cats_and_dogs_filtered.zip")):
        spec = publish(publisher, name)
        (cache / other).write_bytes(publisher.files.popitem()[1])
        assert spec.download_bytes == 0
        assert opened(spec)
    assert publisher.asked == []


def test_rows_agree_with_keras() -> None:
    """The addresses and hashes are those in the source of `keras.datasets`; reading it loads nothing."""
    folder = Path(importlib.util.find_spec("keras").origin).parent / "src" / "datasets"
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100"):
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        for file in get_ready_set(name).files:
            address, _, filename = file.url.rpartition("/")
            assert address in source
            assert filename in source
            assert file.name.removesuffix("_archive").rpartition("/")[2] in source
            assert file.file_hash in source or name == "fashion_mnist"


def test_rows_are_complete() -> None:
    assert len({spec.name for spec in READY_SETS}) == len(READY_SETS) == 8
    for spec in READY_SETS:
        assert len(set(spec.class_names)) == len(spec.classes)
        for text in (spec.title, spec.icon, spec.sentence, spec.teaches, spec.parts, spec.licence, spec.source):
            assert text.strip() == text != ""
        assert all(file.size_bytes > 0 and len(file.file_hash) in (0, 32, 64) for file in spec.files)
    sizes = {spec.name: (spec.num_images, len(spec.classes)) for spec in READY_SETS}
    assert sizes["mnist"] == sizes["fashion_mnist"] == (70_000, 10)
    assert (sizes["cifar10"], sizes["cifar100"]) == ((60_000, 10), (60_000, 100))
    assert (sizes["flower_photos"], sizes["cats_and_dogs"]) == ((3670, 5), (3000, 2))
    assert get_ready_set("cifar100").num_chosen(100) == 10_000


def test_a_cut_connection_goes_on_where_it_broke(publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, "mnist")
    publisher.cut_after = [5000]
    assert opened(spec)
    assert publisher.asked == [("/mnist.npz", None), ("/mnist.npz", "bytes=5000-")]


def test_a_wrong_file_is_refused_and_nothing_of_it_stays(publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, "mnist")
    publisher.files["/mnist.npz"] = publisher.files["/mnist.npz"][:-1] + b"x"
    with pytest.raises(DownloadError, match=r"MNIST is not the published file"):
        opened(spec)
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_no_network_is_said_with_what_to_do(cache: Path) -> None:
    spec = get_ready_set("mnist")
    nowhere = replace(spec, files=tuple(replace(file, url="http://127.0.0.1:9/mnist.npz") for file in spec.files))
    with pytest.raises(DownloadError, match=r"MNIST could not be downloaded .* take a data set that is ready"):
        opened(nowhere)


def test_a_damaged_copy_is_replaced(publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, "mnist")
    opened(spec)
    path = cache / "mnist.npz"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + b"x")
    assert opened(spec)
    assert path.read_bytes() == sound


def test_without_a_published_hash_the_first_copy_is_remembered(publisher: Publisher, cache: Path) -> None:
    spec = publish(publisher, "cats_and_dogs")
    assert not spec.has_published_hash
    opened(spec)
    path = cache / "cats_and_dogs.zip"
    sound = path.read_bytes()
    middle = len(sound) // 2
    path.write_bytes(sound[:middle] + bytes([sound[middle] ^ 255]) + sound[middle + 1 :])
    assert opened(spec)
    assert path.read_bytes() == sound
    assert len(publisher.asked) == 2


class _Harmful:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("kind", ["names a function", "forges an array", "forges its numbers", "is no pickle"])
def test_a_malicious_pickle_is_refused(kind: str, publisher: Publisher, cache: Path, tmp_path: Path) -> None:
    marker = tmp_path / "harm"
    numbers = np.array([b"a"], dtype=object)
    harmful = {
        "names a function": pickle.dumps({b"data": _Harmful(marker)}, protocol=2),
        "forges an array": pickled({"data": numbers, "labels": [0]}),
        "forges its numbers": pickled({"data": np.zeros((1, 3072), np.float64), "labels": [0]}),
        "is no pickle": b"\x00\x01",
    }[kind]
    names = [f"cifar-10-batches-py/data_batch_{number}" for number in range(1, 6)] + ["cifar-10-batches-py/test_batch"]
    good = cifar_batch(np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, np.int64), "labels")
    content = tar_of({name: harmful if name.endswith("_3") else good for name in names})
    spec = publish(publisher, "cifar10", [content])
    with pytest.raises(DatasetError, match="is not what it should be"):
        opened(spec)
    assert not marker.exists()


@pytest.mark.parametrize("name", DOWNLOADED)
def test_a_file_of_another_kind_is_refused_in_words(name: str, publisher: Publisher, cache: Path) -> None:
    spec = get_ready_set(name)
    contents = [MAKERS[name](spec)[0][:40]] * len(spec.files)
    with pytest.raises(TransferLabError, match=r"not what it should be|incomplete"):
        opened(publish(publisher, name, contents))


def test_arrays_of_objects_are_not_read(publisher: Publisher, cache: Path, tmp_path: Path) -> None:
    marker = tmp_path / "harm"
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.array([_Harmful(marker)], dtype=object), allow_pickle=True)
    spec = publish(publisher, "mnist", [buffer.getvalue()])
    with pytest.raises(DatasetError, match="not what it should be"):
        opened(spec)
    assert not marker.exists()


def made_up(sizes: dict[tuple[str, str | None], int]) -> list[ReadyPicture]:
    blank = np.zeros((4, 4), np.uint8)
    return [
        picture_of(class_name, split, f"{split}-{number}.png", blank)
        for (class_name, split), number_of_pictures in sizes.items()
        for number in range(number_of_pictures)
    ]


def test_a_larger_choice_contains_the_smaller_one_and_keeps_proportions() -> None:
    pictures = made_up({("a", "train"): 500, ("a", "test"): 100, ("b", None): 40, ("c", "train"): 60, ("c", "test"): 9})
    before: set[ReadyPicture] = set()
    for per_class in (1, 2, 3, 10, 30, 31, 60, 299, 300, 700):
        chosen = first_of_each_class(pictures, per_class)
        assert before <= set(chosen)
        before = set(chosen)
        counts = Counter((picture.class_name, picture.split) for picture in chosen)
        assert abs(counts["a", "test"] - min(per_class, 600) / 6) <= 1
        assert counts["a", "train"] + counts["a", "test"] == min(per_class, 600)
        assert counts["b", None] == min(per_class, 40)
        assert [pictures.index(picture) for picture in chosen[:50]] == sorted(map(pictures.index, chosen[:50]))
    assert first_of_each_class(pictures, 30) == first_of_each_class(pictures, 30)
    assert first_of_each_class(pictures, 30, seed=1) != first_of_each_class(pictures, 30)
    with pytest.raises(ValueError, match="per_class"):
        first_of_each_class(pictures, 0)


def test_only_some_classes_are_taken_as_of_a_choice_of_all() -> None:
    pictures = made_up({("a", "train"): 50, ("a", "test"): 10, ("b", None): 40, ("c", "train"): 60})
    some = choose(pictures, 6, ("c", "a"))
    assert list(some) == [picture for picture in choose(pictures, 6) if picture.class_name != "b"]
    assert Counter((picture.class_name, picture.split) for picture in some)["a", "test"] == 1
    assert choose(pictures) == tuple(pictures)
    with pytest.raises(DatasetError, match="no class d"):
        choose(pictures, 6, ("a", "d"))
    spec = get_ready_set("cats_and_dogs")
    assert (spec.num_chosen(100, ["cats"]), spec.num_chosen(None, ["dogs"]), spec.num_chosen(100)) == (100, 1500, 200)


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


@pytest.fixture
def import_set(
    engine: sa.Engine, home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[JobStatus, Dataset]]:
    """Run the import job's own work here, on a registry that holds one row; return the job and the data set."""
    project_id = create_project(engine, "ann", "Ready").id
    monkeypatch.setattr(worker, "lower_priority", lambda: None)

    def run(
        spec: ReadySetSpec, per_class: int | None = None, classes: tuple[str, ...] = ()
    ) -> tuple[JobStatus, Dataset]:
        monkeypatch.setattr(ready_sets, "READY_SETS", (spec,))
        request = ImportRequest(sample=spec.name, per_class=per_class, classes=classes)
        job_id = create_job(engine, "import", project_id, request)
        claimed = claim_job(engine, "import")
        assert claimed is not None
        assert worker.work(job_id, claimed.attempt, import_pictures) == 0
        return get_job(engine, job_id), current_dataset(engine, project_id, home)[1]

    return run


@pytest.mark.parametrize("name", ["mnist", "cats_and_dogs", "flower_photos"])
def test_an_import_keeps_the_sets_own_test_and_takes_validation_from_training(
    name: str, publisher: Publisher, cache: Path, home: DataRoot, import_set: Callable[..., tuple[JobStatus, Dataset]]
) -> None:
    spec = publish(publisher, name)
    job, dataset = import_set(spec)
    assert (job.state, job.message) == ("finished", "")
    assert sorted(dataset.class_names) == sorted(spec.class_names)
    for one in dataset.classes:
        names: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
        for item in dataset.of_class(one.id):
            names[item.split].add(item.name)
        if name == "flower_photos":
            assert [len(names[split]) for split in ("train", "validation", "test")] == [6, 1, 1]
        else:
            assert len(names["test"]) == PER_SPLIT["test"]
            assert all(text.startswith("test") for text in names["test"])
            assert [len(names[split]) for split in ("train", "validation")] == [7, 1]
            assert all(text.startswith("train") for text in names["train"] | names["validation"])
    strip = load_strip(spec, home)
    assert strip is not None
    assert len(strip.pictures) == NUM_PICTURES
    assert {preview.class_name for preview in strip.pictures} == set(spec.class_names[:NUM_PICTURES])


def test_one_class_of_a_set_joins_the_persons_own_with_its_parts(
    publisher: Publisher,
    cache: Path,
    engine: sa.Engine,
    home: DataRoot,
    import_set: Callable[..., tuple[JobStatus, Dataset]],
) -> None:
    spec = publish(publisher, "cats_and_dogs")
    _, dataset = import_set(spec, None, ("cats",))
    assert dataset.class_names == ("cats",)
    assert Counter(item.split for item in dataset.items) == {"train": 7, "validation": 1, "test": PER_SPLIT["test"]}
    [project] = read_projects(engine, "ann")[0]
    assert get_version(engine, project.id, project.version).note == "added cats of Cats and dogs"
    _, dataset = import_set(spec, None, ("dogs",))
    assert dataset.class_names == ("cats", "dogs")

    strip = load_strip(spec, home)  # of the whole set, whatever was taken
    assert strip is not None
    assert {preview.class_name for preview in strip.pictures} == {"cats", "dogs"}
    to_ask = load_pictures_to_ask(spec, home).pictures
    stored = {ImageStore(home).read(item.image) for item in dataset.subset("test")}
    assert 2 <= len(to_ask) <= NUM_TO_ASK
    assert {picture.image for picture in to_ask} <= stored


def test_an_import_takes_at_most_so_many_of_each_class_and_more_later(
    publisher: Publisher, cache: Path, home: DataRoot, import_set: Callable[..., tuple[JobStatus, Dataset]]
) -> None:
    spec = publish(publisher, "cifar10")
    _, few = import_set(spec, 6)
    assert Counter(item.split for item in few.items) == {"train": 30, "validation": 10, "test": 20}
    _, all_of_them = import_set(spec)
    assert set(few.items) <= set(all_of_them.items)
    assert len(all_of_them.items) == 120
    read = ImageStore(home).read(few.items[0].image)
    assert Image.open(io.BytesIO(read)).size == (32, 32)
    assert len(publisher.asked) == 1


def test_a_stopped_download_ends_the_import_and_goes_on_next_time(
    publisher: Publisher,
    cache: Path,
    engine: sa.Engine,
    import_set: Callable[..., tuple[JobStatus, Dataset]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = publish(publisher, "mnist")
    monkeypatch.setattr(downloading, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(reporting, "WRITE_SECONDS", 0.0)

    def stop_the_import() -> None:
        (job,) = list_jobs(engine, states=ACTIVE_STATES)
        request_stop(engine, job.id)

    publisher.on_request = stop_the_import
    job, dataset = import_set(spec)
    assert (job.state, dataset) == ("stopped", Dataset())
    assert not (cache / "mnist.npz").exists()
    publisher.on_request = lambda: None
    job, dataset = import_set(spec)
    assert job.state == "finished"
    assert len(dataset.items) == 120


def test_an_import_without_a_network_fails_with_words(
    cache: Path, import_set: Callable[..., tuple[JobStatus, Dataset]]
) -> None:
    spec = get_ready_set("mnist")
    nowhere = replace(spec, files=tuple(replace(file, url="http://127.0.0.1:9/mnist.npz") for file in spec.files))
    job, dataset = import_set(nowhere)
    assert (job.state, dataset) == ("failed", Dataset())
    assert "Check the network" in job.message
