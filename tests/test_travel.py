"""Projects travel: the file of one opens elsewhere as the same project, and no other file does any harm."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import random
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from tests.coloured_pictures import RecordingProgress
from tests.conftest import SHARED_DATA
from tests.damaged_root import DamagedRoot
from tests.page_tests import OWNER
from tests.test_copies import files_of, rows
from tlcore.dataset import Dataset, delete_images
from tlcore.errors import ArchiveError, ConflictError, FullDiskError, QuotaError, StorageError, TransferLabError
from tlcore.features.compiled import ensure_compiled
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.results.evaluation import load_evaluation
from tlcore.results.prediction import Predictor, load_predictor
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.storage.copies import COPIED_KINDS
from tlcore.storage.database import metadata, open_database, read_rows, run_notes, writing
from tlcore.storage.datasets import (
    NO_WAY_BACK,
    can_undo,
    commit_version,
    current_dataset,
    load_dataset,
    undo_version,
    write_list,
)
from tlcore.storage.deletion import delete_project
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import ENDED_STATES, claim_job, create_job, end_job
from tlcore.storage.projects import create_project, get_project
from tlcore.storage.requests import ImportRequest, StagedFile
from tlcore.storage.runs import list_runs
from tlcore.storage.simple_heads import list_simple_heads, simple_head_dir
from tlcore.travel import arriving, leaving
from tlcore.travel.arriving import arrival, open_arrival
from tlcore.travel.document import DOCUMENT_FILE, read_project
from tlcore.travel.leaving import STAYS, departure

EARLIER = Path(__file__).resolve().parent / "fixtures" / "project_1.transferlab.zip"
"""The file of a project as the first version that made such files made it; documents in it are older still."""


@dataclass(frozen=True)
class Elsewhere:
    """The data root of another computer."""

    home: DataRoot
    engine: sa.Engine

    def open(self, path: Path) -> str:
        """Open a file as the worker of its job does, and return the id of the project."""
        project_id = create_project(self.engine, OWNER, "Empty").id
        request = ImportRequest("import-x", (StagedFile("000000", path.name),), is_project=True)
        job_id = create_job(self.engine, "import", project_id, request)
        job = claim_job(self.engine, "import")
        assert job is not None
        try:
            with arrival(path) as found:
                progress = RecordingProgress()
                open_arrival(found, self.engine, project_id, self.home, progress, job_id=job_id, attempt=job.attempt)
        except BaseException:
            end_job(self.engine, job_id, job.attempt, "failed")
            raise
        end_job(self.engine, job_id, job.attempt, "finished")
        return project_id


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    home = DataRoot(tmp_path / "elsewhere")
    engine = open_database(home)
    yield Elsewhere(home, engine)
    engine.dispose()


@pytest.fixture
def root(home: DataRoot, no_runner: None) -> Iterator[DamagedRoot]:
    """A project with runs that were really trained, a group, simple heads, exams, notes and settings of a model."""
    made = DamagedRoot.make(home)
    with writing(made.engine) as connection:
        connection.execute(sa.insert(run_notes).values(job_id=made.run_id, note="I expect 90 %"))
    yield made
    made.shut_down()


def leave(engine: sa.Engine, project_id: str, home: DataRoot, path: Path) -> Path:
    path.write_bytes(b"".join(departure(engine, project_id, home).blocks()))
    return path


def document_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(DOCUMENT_FILE)


IDS = {"id", "job_id", "project_id", "model_id", "owner", "key", "request", "result", "config", "touched"}
OF_THE_MACHINE = {"pid", "heartbeat", "process"}
OF_PROJECT = (
    *("projects", "dataset_versions", "jobs", "runs", "run_notes", "metrics", "ensembles", "exams", "card_words"),
)


def comparable(engine: sa.Engine, project_id: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a project without ids, and without columns whose documents name some; those are compared apart."""
    found: dict[str, list[dict[str, Any]]] = {}
    tables = metadata.tables
    kinds = tables["jobs"].c.kind.in_(COPIED_KINDS)
    of_jobs = sa.select(tables["jobs"].c.id).where(tables["jobs"].c.project_id == project_id, kinds)
    for name in (*OF_PROJECT, "model_settings"):
        table = tables[name]
        if name == "projects":
            condition = table.c.id == project_id
        elif name == "jobs":
            condition = table.c.id.in_(of_jobs)
        else:
            condition = table.c.job_id.in_(of_jobs) if "job_id" in table.c else table.c.project_id == project_id
        left_out = OF_THE_MACHINE | IDS - ({"config"} if name in ("projects", "runs") else set())
        if name == "metrics":
            left_out = left_out | {"id"}
        lines = [
            {column: value for column, value in row._mapping.items() if column not in left_out}
            for row in read_rows(engine, sa.select(table).where(condition))
        ]
        found[name] = sorted(lines, key=lambda line: json.dumps({**line, "content": ""}, default=str, sort_keys=True))
    return found


def test_a_project_arrives_as_it_left(root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path) -> None:
    path = leave(root.engine, root.project_id, root.home, tmp_path / "one.zip")
    arrived = elsewhere.open(path)
    before, after = comparable(root.engine, root.project_id), comparable(elsewhere.engine, arrived)
    assert all(before[table] for table in before)
    contents = [{row["number"]: row.pop("content") for row in found["dataset_versions"]} for found in (before, after)]
    assert contents[0][4] == contents[1][4]  # of the present one; earlier ones held pictures that were deleted
    for number, one in enumerate(before["dataset_versions"], 1):
        if contents[0].get(one["parent"]) != contents[1].get(one["parent"]):
            one["parent"] = NO_WAY_BACK  # what was deleted does not come back
        assert one["number"] == number
    assert after == before
    assert (
        current_dataset(elsewhere.engine, arrived, elsewhere.home)[1]
        == current_dataset(root.engine, root.project_id, root.home)[1]
    )
    keys = {item.image for item in current_dataset(root.engine, root.project_id, root.home)[1].items}
    assert all(ImageStore(elsewhere.home).read(key) == ImageStore(root.home).read(key) for key in keys)
    assert all(ImageStore(elsewhere.home).thumbnail(key) for key in keys)
    again = leave(elsewhere.engine, arrived, elsewhere.home, tmp_path / "two.zip")
    assert document_of(again) == document_of(path)
    assert again.read_bytes() == path.read_bytes()
    names = {run.id for run in list_runs(root.engine, root.project_id)} | {root.project_id}
    assert not any(name in document_of(path).decode() for name in names)


def test_of_each_table_all_rows_travel_or_there_is_a_reason_why_not(root: DamagedRoot, tmp_path: Path) -> None:
    project = read_project(document_of(leave(root.engine, root.project_id, root.home, tmp_path / "one.zip")))
    travels: dict[str, int] = {
        "dataset_versions": len(project.versions),
        "jobs": len(project.jobs),
        "runs": sum(job.run is not None for job in project.jobs),
        "run_notes": sum(job.run is not None and job.run.note is not None for job in project.jobs),
        "metrics": sum(len(job.points) for job in project.jobs),
        "ensembles": len(project.groups),
        "exams": len(project.exams),
        "model_settings": len(project.settings),
        "card_words": len(project.card_words),
    }
    of_project = {name for name, table in metadata.tables.items() if {"project_id", "job_id"} & set(table.c.keys())}
    assert of_project == travels.keys() | STAYS.keys(), "a new table travels, or STAYS says why not"
    assert not travels.keys() & STAYS.keys()
    for name, number in travels.items():
        table = metadata.tables[name]
        query = sa.select(table)
        if name != "jobs" and "job_id" in table.c:
            query = query.join(metadata.tables["jobs"], metadata.tables["jobs"].c.id == table.c.job_id)
        columns = metadata.tables["jobs"].c if name == "jobs" or "job_id" in table.c else table.c
        query = query.where(columns.project_id == root.project_id)
        if columns is not table.c or name == "jobs":
            query = query.where(columns.kind.in_(COPIED_KINDS), columns.state.in_(ENDED_STATES))
        assert number == len(read_rows(root.engine, query)) > 0, name


def test_models_that_arrived_answer_as_before(root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path) -> None:
    arrived = elsewhere.open(leave(root.engine, root.project_id, root.home, tmp_path / "one.zip"))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 40, 50, 3), dtype=np.uint8)
    pairs: list[tuple[Predictor, Predictor]] = []
    for one, other in zip(list_runs(root.engine, root.project_id), list_runs(elsewhere.engine, arrived), strict=True):
        if one.has_model:
            ensure_compiled(plan_model(one.config.phases[-1].model), RecordingProgress(), elsewhere.home)
            assert (elsewhere.home.run_dir(other.id) / "pixels.py").is_file()
            names = (
                zipfile.ZipFile(root.home.run_dir(one.id) / "model.keras"),
                zipfile.ZipFile(elsewhere.home.run_dir(other.id) / "model.keras"),
            )
            left, right = (archive.read("model.weights.h5") for archive in names)
            assert left == right
            pairs.append(
                (
                    load_predictor(root.home.run_dir(one.id), root.home),
                    load_predictor(elsewhere.home.run_dir(other.id), elsewhere.home),
                )
            )
            assert load_evaluation(elsewhere.home.run_dir(other.id)).total == one.summary.test_total  # type: ignore[union-attr]
    heads = {head.result.kind: head for head in list_simple_heads(elsewhere.engine, arrived)}
    for head in list_simple_heads(root.engine, root.project_id):
        ensure_compiled(plan_model(head.model), RecordingProgress(), elsewhere.home)
        pairs.append(
            (
                load_simple_head_predictor(simple_head_dir(head.job_id, head.result.kind, root.home), root.home),
                load_simple_head_predictor(
                    simple_head_dir(heads[head.result.kind].job_id, head.result.kind, elsewhere.home), elsewhere.home
                ),
            )
        )
    assert len(pairs) == 6
    for one, other in pairs:
        assert one.class_names == other.class_names
        np.testing.assert_allclose(one.predict(list(pixels)), other.predict(list(pixels)), atol=1e-5)


def test_deleted_pictures_stay_behind(root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path) -> None:
    _, dataset = current_dataset(root.engine, root.project_id, root.home)
    gone = [dataset.subset("test")[0], dataset.subset("train")[0]]
    fewer = dataset
    for item in gone:
        fewer = delete_images(fewer, item.class_id, [item.image])
    commit_version(root.engine, root.project_id, fewer, "deleted two", parent=4, home=root.home)
    path = leave(root.engine, root.project_id, root.home, tmp_path / "one.zip")
    with zipfile.ZipFile(path) as archive:
        everything = b"".join(unpacked(archive.read(name)) for name in archive.namelist())
        names = archive.namelist()
    for item in gone:
        assert item.image.encode() not in everything
        assert item.image.encode("utf-32-le") not in everything  # as NumPy writes text
        assert f"pictures/{item.image}" not in names
    arrived = elsewhere.open(path)
    assert current_dataset(elsewhere.engine, arrived, elsewhere.home)[1] == fewer
    again = leave(elsewhere.engine, arrived, elsewhere.home, tmp_path / "two.zip")
    assert again.read_bytes() == path.read_bytes()


def test_what_was_deleted_does_not_come_back_and_nothing_is_emptied_by_undo(
    root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    version, dataset = current_dataset(root.engine, root.project_id, root.home)
    item = dataset.items[0]
    fewer = delete_images(dataset, item.class_id, [item.image])
    version = commit_version(root.engine, root.project_id, fewer, "deleted one", parent=version, home=root.home)
    assert can_undo(root.engine, root.project_id, version)
    arrived = elsewhere.open(leave(root.engine, root.project_id, root.home, tmp_path / "one.zip"))
    assert not can_undo(elsewhere.engine, arrived, version)
    with pytest.raises(ConflictError, match="cannot be taken back"):
        undo_version(elsewhere.engine, arrived, current=version)
    assert current_dataset(elsewhere.engine, arrived, elsewhere.home) == (version, fewer)
    # What was only moved can be taken back there as well.
    moved = replace(fewer, items=fewer.items[::-1])
    newest = commit_version(elsewhere.engine, arrived, moved, "moved", parent=version, home=elsewhere.home)
    again = elsewhere.open(leave(elsewhere.engine, arrived, elsewhere.home, tmp_path / "two.zip"))
    undo_version(elsewhere.engine, again, current=newest)
    assert current_dataset(elsewhere.engine, again, elsewhere.home) == (version, fewer)


def test_lists_of_pictures_are_packed_and_made_one_after_the_other(
    root: DamagedRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, dataset = current_dataset(root.engine, root.project_id, root.home)
    for _ in range(30):
        dataset = replace(dataset, items=(*dataset.items[1:], dataset.items[0]))
        version = commit_version(root.engine, root.project_id, dataset, "moved", parent=version, home=root.home)
    decoded: list[str] = []

    def counted(content: str, home: DataRoot) -> Dataset:
        decoded.append(content)
        return load_dataset(content, home)

    monkeypatch.setattr(leaving, "load_dataset", counted)
    found = departure(root.engine, root.project_id, root.home, looks_at_pictures=False)
    size = found.num_bytes
    assert len(decoded) == 1, "to tell the size only the present list is decoded"
    path = leave(root.engine, root.project_id, root.home, tmp_path / "one.zip")
    with zipfile.ZipFile(path) as archive:
        lists = [info for info in archive.infolist() if info.filename.startswith("versions/")]
        assert len(lists) > 10
        assert all(info.compress_size < info.file_size * 0.8 for info in lists)
        others = [info for info in archive.infolist() if info.filename.startswith("pictures/")]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in others)
    assert path.stat().st_size < size


def unpacked(data: bytes) -> bytes:
    """The bytes of a file, or of all that is in it where it is a ZIP file, as that of arrays is."""
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


def test_a_damaged_picture_does_not_keep_the_project_here(
    root: DamagedRoot, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    _, dataset = current_dataset(root.engine, root.project_id, root.home)
    ImageStore(root.home).path(dataset.items[0].image).write_bytes(b"\xff\xd8 damaged")
    ImageStore(root.home).path(dataset.items[1].image).unlink()
    arrived = elsewhere.open(leave(root.engine, root.project_id, root.home, tmp_path / "one.zip"))
    assert current_dataset(elsewhere.engine, arrived, elsewhere.home)[1].items == dataset.items[2:]


DAMAGE = [
    ("model_settings", ["temperature"], -1.0),
    ("model_settings", ["temperature", "threshold"], "garbage"),
    ("exams", ["opened", "version"], "garbage"),
    ("card_words", ["limits"], b"\xff\x00"),
    ("ensembles", ["config"], '{"run_ids": ["a", "b"], "weights": [0.9, 0.9]}'),
    ("ensembles", ["test_total", "name"], b"\xff"),
    ("metrics", ["value"], "garbage"),
    ("jobs", ["created"], "garbage"),
    ("runs", ["config"], "garbage"),
]


@pytest.mark.parametrize(("table", "columns", "value"), DAMAGE)
def test_a_damaged_row_does_not_keep_the_project_here(
    root: DamagedRoot, tmp_path: Path, table: str, columns: list[str], value: object
) -> None:
    with root.damaged_rows(table, columns, value):
        project = read_project(document_of(leave(root.engine, root.project_id, root.home, tmp_path / "one.zip")))
    assert project.version is not None
    rows_of = {"model_settings": project.settings, "exams": project.exams, "card_words": project.card_words}
    assert not {**rows_of, "ensembles": project.groups}.get(table)
    assert project.jobs or table == "jobs"


def test_a_group_whose_weights_are_damaged_stays_here_alone(root: DamagedRoot, tmp_path: Path) -> None:
    path = tmp_path / "one.zip"
    before = read_project(document_of(leave(root.engine, root.project_id, root.home, path)))
    table = metadata.tables["ensembles"]
    [config] = [row.config for row in read_rows(root.engine, sa.select(table.c.config))]
    damaged = json.dumps({**json.loads(config), "weights": [0.9, 0.9]})
    with root.damaged_rows("ensembles", ["config"], damaged):
        found = departure(root.engine, root.project_id, root.home)
        assert found.project.groups == ()
        after = read_project(document_of(leave(root.engine, root.project_id, root.home, path)))
    assert (after.jobs, after.versions) == (before.jobs, before.versions)


def test_what_stays_behind_is_told(root: DamagedRoot) -> None:
    whole = departure(root.engine, root.project_id, root.home).left_behind
    assert "1 answer to many pictures" in whole
    assert not any("damaged" in words or "cannot be read" in words for words in whole)
    _, dataset = current_dataset(root.engine, root.project_id, root.home)
    ImageStore(root.home).path(dataset.items[0].image).unlink()
    (root.home.run_dir(root.run_id) / "model.keras").write_bytes(b"garbage")
    create_job(root.engine, "doctor", root.project_id)
    with root.damaged_rows("model_settings", ["temperature"], -1.0), root.damaged_rows("ensembles", ["config"], "x"):
        found = departure(root.engine, root.project_id, root.home, looks_at_pictures=False).left_behind
    assert "1 group that is damaged or missing" in found
    for words in ("1 picture that is damaged or missing", "1 model whose weights cannot be read"):
        assert words in found
    assert any("that has not ended" in words or "that have not ended" in words for words in found)
    assert any("about a model" in words or "about models" in words or "notes about" in words for words in found)


def test_a_file_of_the_first_version_opens(elsewhere: Elsewhere, tmp_path: Path) -> None:
    arrived = elsewhere.open(EARLIER)
    project = get_project(elsewhere.engine, arrived, OWNER)
    assert (project.name, project.version) == ("Drawn shapes", 4)
    assert [run.has_model for run in list_runs(elsewhere.engine, arrived)] == [False, True, True, True]
    assert len(list_simple_heads(elsewhere.engine, arrived)) == 3
    again = leave(elsewhere.engine, arrived, elsewhere.home, tmp_path / "again.zip")
    assert read_project(document_of(again)) == read_project(document_of(EARLIER))


def test_the_same_project_twice_is_two(elsewhere: Elsewhere, tmp_path: Path) -> None:
    first, second = elsewhere.open(EARLIER), elsewhere.open(EARLIER)
    before = leave(elsewhere.engine, first, elsewhere.home, tmp_path / "first.zip").read_bytes()
    delete_project(elsewhere.engine, second, elsewhere.home)
    assert leave(elsewhere.engine, first, elsewhere.home, tmp_path / "first.zip").read_bytes() == before


def left_of(elsewhere: Elsewhere) -> tuple[dict[str, int], dict[str, int]]:
    """What a refused file may not change: files, and rows but for the empty project with the job that says why."""
    counted = rows(elsewhere.engine)
    return files_of(elsewhere.home), {
        name: number for name, number in counted.items() if name not in ("projects", "jobs", "turns")
    }


def refused(elsewhere: Elsewhere, path: Path, says: str = "", error: type[Exception] = ArchiveError) -> None:
    before = left_of(elsewhere)
    with pytest.raises(error, match=says) as caught:
        elsewhere.open(path)
    assert isinstance(caught.value, TransferLabError)
    after = left_of(elsewhere)
    assert after == before, set(after[0]) ^ set(before[0])


Change = Callable[[dict[str, bytes], dict[str, Any]], None]


def forged(target: Path, change: Change, *, keeps_digests: bool = False) -> Path:
    """Write the file of a project with something changed, and all its checksums right unless they shall not be.

    Args:
        target: Where to.
        change: Gets the files by name and the document.
        keeps_digests: Whether the document says of the files what it said before.
    """
    with zipfile.ZipFile(EARLIER) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name != DOCUMENT_FILE}
        document = json.loads(archive.read(DOCUMENT_FILE))
    change(files, document)
    if not keeps_digests:
        document["files"] = [
            {"name": name, "size": len(data), "digest": hashlib.sha256(data).hexdigest()}
            for name, data in files.items()
        ]
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(DOCUMENT_FILE, json.dumps(document))
    return target


def in_list(change: Callable[[dict[str, Any]], None]) -> Change:
    """What changes the present list of pictures, and gives it the name that it has then."""

    def change_list(files: dict[str, bytes], document: dict[str, Any]) -> None:
        version = next(one for one in document["versions"] if one["number"] == document["version"])
        listed = json.loads(files.pop(f"versions/{version['content']}.json"))
        change(listed)
        data = json.dumps(listed).encode()
        version["content"] = hashlib.sha256(data).hexdigest()
        files[f"versions/{version['content']}.json"] = data

    return change_list


def replaced(ending: str, make: Callable[[bytes], bytes]) -> Change:
    def replace_one(files: dict[str, bytes], _document: dict[str, Any]) -> None:
        name = next(name for name in sorted(files) if name.endswith(ending))
        files[name] = make(files[name])

    return replace_one


def pickled_arrays(_data: bytes) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def huge_arrays(_data: bytes) -> bytes:
    """Arrays that say to be far larger than they are."""
    buffer = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("probabilities.npy", header.getvalue() + bytes(100))
    return buffer.getvalue()


def arrays_of(**changed: Any) -> Callable[[bytes], bytes]:
    """What puts other arrays into a file of them; one that is bytes is put there as it is."""

    def change(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as stored:
            arrays = {**stored, **changed}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                if not isinstance(array, bytes):
                    one = io.BytesIO()
                    np.save(one, array)
                    array = one.getvalue()
                archive.writestr(f"{name}.npy", array)
        return buffer.getvalue()

    return change


def np_bytes() -> bytes:
    """A file of arrays of nothing that a project has."""
    buffer = io.BytesIO()
    np.savez(buffer, numbers=np.arange(3))
    return buffer.getvalue()


def header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The beginning of an array, which may be all of it."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def packed_by(method: int) -> Callable[[bytes], bytes]:
    """What packs arrays in another way than NumPy does."""

    def pack(data: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(buffer, "w", method) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
        return buffer.getvalue()

    return pack


def linked_weights(data: bytes) -> bytes:
    """Weights of which one array is a link to another file."""
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    return buffer.getvalue()


def renamed_picture(files: dict[str, bytes], _document: dict[str, Any]) -> None:
    name = next(name for name in files if name.startswith("pictures/"))
    files[f"pictures/{'a' * 64}"] = files.pop(name)


def strange_picture(make: Callable[[], bytes]) -> Change:
    """What puts another picture into the place of one, by its own right name, in the present list too."""

    def put(files: dict[str, bytes], document: dict[str, Any]) -> None:
        old = next(name for name in files if name.startswith("pictures/")).removeprefix("pictures/")
        data = make()
        new = hashlib.sha256(data).hexdigest()
        del files[f"pictures/{old}"]
        files[f"pictures/{new}"] = data
        for content in {version["content"] for version in document["versions"]}:
            listed = files.pop(f"versions/{content}.json").replace(old.encode(), new.encode())
            changed = hashlib.sha256(listed).hexdigest()
            files[f"versions/{changed}.json"] = listed
            for version in document["versions"]:
                if version["content"] == content:
                    version["content"] = changed

    return put


def drawn(size: tuple[int, int], file_format: str) -> Callable[[], bytes]:
    def draw() -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, (200, 30, 30)).save(buffer, file_format)
        return buffer.getvalue()

    return draw


def set_in(*path: Any) -> Change:
    """What sets one place of the document: its way, then the value."""
    *way, last, value = path

    def change(_files: dict[str, bytes], document: dict[str, Any]) -> None:
        place: Any = document
        for step in way:
            place = place[step]
        place[last] = value

    return change


def findings_about(image: str) -> Change:
    """What adds a check of the pictures that found fault with one."""

    def add(_files: dict[str, bytes], document: dict[str, Any]) -> None:
        heads = next(job for job in document["jobs"] if job["kind"] == "simple_heads")
        asked = json.loads(heads["request"])
        suspect = {"image": image, "class_id": "a", "to_class": None, "other": None}
        report = {"findings": [{"kind": "blank", "suspects": [suspect]}], "pictures": 1, "judged": 1, "agreed": 1}
        request = json.dumps({"version": asked["version"], "model": asked["model"]})
        # As JSON can spell a letter in many ways.
        result = json.dumps(report).replace('"image": "a', '"image": "\\u0061')
        job = {**heads, "id": "~job99~", "kind": "doctor", "key": None, "request": request, "result": result}
        document["jobs"].append(job)

    return add


def add_file(name: str, data: bytes = b"x") -> Change:
    return lambda files, _document: files.update({name: data})


FORGERIES: dict[str, tuple[Change, str]] = {
    "a way out": (add_file("../../evil.sh"), "belongs to no project"),
    "an absolute way": (add_file("/etc/cron.d/evil"), "belongs to no project"),
    "a way out of a job": (add_file("~job1~/../../evil.npz"), "belongs to no project"),
    "a program": (add_file("~job1~/pixels.py", b"print('hello')"), "belongs to no project"),
    "a compiled model": (add_file("~job1~/suffix.tflite"), "belongs to no project"),
    "a whole network": (add_file("~job1~/model.keras"), "belongs to no project"),
    "a database": (add_file("lab.sqlite", b"SQLite format 3\0"), "belongs to no project"),
    "a pickle": (add_file("~job1~/checkpoint.npz"), "belongs to no project"),
    "a newer version": (set_in("format", 99), "newer Transfer Lab"),
    "an unknown field": (set_in("shell", "true"), "cannot read it"),
    "a wrong type": (set_in("name", 7), "name"),
    "no name": (set_in("name", ""), "usable name"),
    "a large number": (set_in("jobs", 0, "attempt", 10**30), ""),
    "an impossible time": (set_in("created", 1e300), "impossible time"),
    "no such kind": (set_in("jobs", 0, "kind", "export"), "no such kind"),
    "work under way": (set_in("jobs", 0, "state", "running"), "has not ended"),
    "another backbone": (set_in("jobs", 0, "run", "config", "{}"), ""),
    "a bad id": (set_in("jobs", 0, "id", "../x"), "unusable name"),
    "an id twice": (set_in("jobs", 1, "id", "~job1~"), "twice"),
    "a bad group": (set_in("groups", 0, "config", '{"run_ids":["a","b"],"weights":[0.5,0.5]}'), "runs are missing"),
    "a version twice": (set_in("versions", 0, "number", 4), "twice"),
    "no such version": (set_in("version", 77), "no present data set"),
    "a list of another name": (set_in("versions", 0, "content", "../../x"), "no list"),
    "a class that is not there": (in_list(lambda listed: listed["items"][0].update(class_id="7")), "not there"),
    "a picture that is not there": (in_list(lambda listed: listed["items"][0].update(image="b" * 64)), "missing"),
    "a picture with a bad key": (in_list(lambda listed: listed["items"][0].update(image="../../x")), "missing"),
    "two classes of one name": (
        in_list(lambda listed: listed["classes"][0].update(name=listed["classes"][1]["name"])),
        "one name",
    ),
    "a class on two lines": (in_list(lambda listed: listed["classes"][0].update(name="a\nb")), "no class can have"),
    "a class that is written backwards": (
        in_list(lambda listed: listed["classes"][0].update(name="a\u202eb")),
        "no class can have",
    ),
    "a class of spaces": (in_list(lambda listed: listed["classes"][0].update(name=" ")), "no class can have"),
    "a picture on both sides of the split": (
        in_list(lambda listed: listed["items"].append({**listed["items"][0], "split": "test"})),
        "twice in a class",
    ),
    "a name of a picture with a NUL": (
        in_list(lambda listed: listed["items"][0].update(name="a\0.png")),
        "cannot be shown",
    ),
    "a range that ends before it begins": (in_list(lambda listed: listed.update(grey_range=[5, 1])), "ends before"),
    "a picture of another name": (renamed_picture, "not its checksum"),
    "a large picture": (strange_picture(drawn((4000, 20), "PNG")), "none that Transfer Lab stores"),
    "a picture of another kind": (strange_picture(drawn((40, 40), "TIFF")), "none that Transfer Lab stores"),
    "no picture": (strange_picture(lambda: b"\xff\xd8\xff" + b"x" * 99), "none that Transfer Lab stores"),
    "pickled arrays": (replaced("evaluation.npz", pickled_arrays), "no arrays of numbers"),
    "huge arrays": (replaced("evaluation.npz", huge_arrays), "no arrays of numbers"),
    "damaged arrays": (replaced("probe.npz", lambda data: data[:99]), "no arrays of numbers"),
    "arrays packed by bzip2": (replaced("evaluation.npz", packed_by(zipfile.ZIP_BZIP2)), "no arrays of numbers"),
    "arrays packed by LZMA": (replaced("evaluation.npz", packed_by(zipfile.ZIP_LZMA)), "no arrays of numbers"),
    "a bomb of zeros": (
        replaced("evaluation.npz", arrays_of(more=np.zeros(20_000_000, np.uint8))),
        "no arrays of numbers",
    ),
    "a billion names of no length": (
        replaced("evaluation.npz", arrays_of(images=header((10**9,), "<U0"))),
        "no arrays of numbers",
    ),
    "negative sizes": (
        replaced("evaluation.npz", arrays_of(images=header((-1, -1), "|u1") + b"1")),
        "no arrays of numbers",
    ),
    "answers that are no numbers": (
        replaced("evaluation.npz", arrays_of(probabilities=np.full((5, 3), np.nan, np.float32))),
        "cannot be",
    ),
    "answers to other pictures": (
        replaced("evaluation.npz", arrays_of(images=np.array(["a" * 64] * 5))),
        "cannot be",
    ),
    "names of no pictures": (replaced("evaluation.npz", arrays_of(images=np.arange(5))), "cannot be"),
    "classes that are numbers": (replaced("evaluation.npz", arrays_of(class_names=np.arange(3))), "cannot be"),
    "a head of no numbers": (
        replaced("linear_svm/probe.npz", arrays_of(bias=np.full(3, np.inf, np.float32))),
        "cannot be",
    ),
    "a head of a billion classes": (
        replaced("nearest_neighbours/probe.npz", arrays_of(sizes=np.array([10**9, 5]))),
        "cannot be",
    ),
    "a head of other labels": (
        replaced("nearest_neighbours/probe.npz", arrays_of(labels=np.full(24, 7))),
        "cannot be",
    ),
    "findings about another picture": (findings_about("a" * 64), "speaks of a picture that is missing"),
    "arrays of no known name": (add_file("~job1~/other.npz", np_bytes()), "cannot be"),
    "weights that are a link": (replaced("~job2~/model.weights.h5", linked_weights), "does not fit"),
    "weights that are a pickle": (replaced("~job2~/model.weights.h5", lambda _: b"\x80\x04."), "does not fit"),
    "cut weights": (replaced("~job2~/model.weights.h5", lambda data: data[: len(data) // 2]), "does not fit"),
    "nested far too deeply": (set_in("jobs", 0, "result", "[" * 100_000), "no run has"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_file_is_refused_in_words_and_leaves_nothing(elsewhere: Elsewhere, tmp_path: Path, name: str) -> None:
    change, says = FORGERIES[name]
    refused(elsewhere, forged(tmp_path / "forged.zip", change), says)


def test_a_missing_or_changed_file_is_refused(elsewhere: Elsewhere, tmp_path: Path) -> None:
    path = tmp_path / "forged.zip"
    for kind in ("pictures/", "versions/", "~job1~/evaluation", "~job1~/model"):

        def without(files: dict[str, bytes], _document: dict[str, Any], kind: str = kind) -> None:
            del files[next(name for name in files if name.startswith(kind))]

        def changed(files: dict[str, bytes], _document: dict[str, Any], kind: str = kind) -> None:
            name = next(name for name in files if name.startswith(kind))
            files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])

        refused(elsewhere, forged(path, without, keeps_digests=True), "missing")
        refused(elsewhere, forged(path, changed, keeps_digests=True), "checksum")


def zipped(target: Path, files: Iterator[tuple[str, bytes]], document: dict[str, Any] | bytes) -> Path:
    """Write a file of a project with files that are packed as well as they can be."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files:
            archive.writestr(name, data)
        archive.writestr(DOCUMENT_FILE, document if isinstance(document, bytes) else json.dumps(document))
    return target


def test_many_lists_that_unpack_to_much_are_refused_before_one_is_read(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = ((f"versions/{hashlib.sha256(data).hexdigest()}.json", data) for data in (bytes(9) + b"1", bytes(9) + b"2"))
    path = zipped(tmp_path / "bomb.zip", lists, b"{}")
    for name, value in (("MAX_LISTS", 1), ("MAX_LISTS_BYTES", 19)):
        with monkeypatch.context() as patched:
            patched.setattr(arriving, name, value)
            refused(elsewhere, path, "far more lists")
    with monkeypatch.context() as patched:
        patched.setenv("TRANSFER_LAB_UPLOAD_GB", "1e-8")
        refused(elsewhere, path, "unpacks to more than")
    spaces = ((f"versions/{number:064x}.json", b" " * 900_000) for number in range(10))
    refused(elsewhere, zipped(path, spaces, b"{}"), "far more than a project would")


@pytest.mark.skipif(sys.platform != "linux", reason="the system holds no such limit")
def test_a_description_that_fills_the_memory_is_refused(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arriving, "CHECKING_BYTES", 200_000_000)
    noise = b",".join(b"[%d]" % number for number in range(1_500_000))
    path = zipped(
        tmp_path / "bomb.zip", iter(()), b'{"format":1,"jobs":[' + noise + b"," + b"[]," * 4_000_000 + b"[]]}"
    )
    refused(elsewhere, path, "far more memory")
    elsewhere.open(EARLIER)


def test_a_list_is_read_once_for_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with arrival(EARLIER) as found:
        read: list[str] = []
        unpack = arriving.Arrival.list_of

        def noted(self: arriving.Arrival, content: str) -> bytes:
            read.append(content)
            return unpack(self, content)

        monkeypatch.setattr(arriving.Arrival, "list_of", noted)
        assert [len(found.dataset(number).items) for number in (4, 4, 4)] == [35] * 3
        assert len(read) == 1


def test_findings_about_a_picture_that_was_deleted_are_opened(elsewhere: Elsewhere, tmp_path: Path) -> None:
    elsewhere.open(forged(tmp_path / "one.zip", findings_about("0" * 63 + "1")))


def test_letters_of_a_newer_python_are_letters(elsewhere: Elsewhere, tmp_path: Path) -> None:
    newer = "\U0001fbff"  # nothing has this number yet

    def name_newly(listed: dict[str, Any]) -> None:
        listed["classes"][0].update(name=newer)
        listed["items"][0].update(name=newer)

    arrived = elsewhere.open(forged(tmp_path / "one.zip", in_list(name_newly)))
    assert current_dataset(elsewhere.engine, arrived, elsewhere.home)[1].class_names[0] == newer


def test_small_files_that_make_much_work_are_refused(
    elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value, says in (
        ("MAX_JOBS", 5, "far more versions, runs or groups"),
        ("MAX_POINTS", 5, "far more points"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(arriving, name, value)
            refused(elsewhere, EARLIER, says)

    def repeat_version(_files: dict[str, bytes], document: dict[str, Any]) -> None:
        last = max(document["versions"], key=lambda version: version["number"])
        document["versions"] += [{**last, "number": last["number"] + more} for more in range(1, 9)]

    monkeypatch.setattr(arriving, "MAX_LISTS", 8)
    refused(elsewhere, forged(tmp_path / "one.zip", repeat_version), "far more versions")


def test_markup_in_names_is_a_name(elsewhere: Elsewhere, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> [a](http://a.example)"
    arrived = elsewhere.open(forged(tmp_path / "one.zip", set_in("name", name)))
    assert get_project(elsewhere.engine, arrived, OWNER).name == name


def test_a_cut_file_is_refused(elsewhere: Elsewhere, tmp_path: Path) -> None:
    data, path = EARLIER.read_bytes(), tmp_path / "cut.zip"
    draw = random.Random(0)
    for place in [0, 1, len(data) - 1, *(draw.randrange(len(data)) for _ in range(40))]:
        path.write_bytes(data[:place])
        refused(elsewhere, path)


def test_a_file_with_a_changed_byte_is_refused_or_the_same(elsewhere: Elsewhere, tmp_path: Path) -> None:
    data, path = EARLIER.read_bytes(), tmp_path / "changed.zip"
    draw = random.Random(1)
    for _ in range(40):
        place = draw.randrange(len(data))
        path.write_bytes(data[:place] + bytes([data[place] ^ (1 + draw.randrange(255))]) + data[place + 1 :])
        try:
            with arrival(path) as found:
                assert found.project.name == "Drawn shapes"
        except ArchiveError:
            continue


def test_foreign_projects_are_refused(elsewhere: Elsewhere, tmp_path: Path) -> None:
    with zipfile.ZipFile(SHARED_DATA / "hostile.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("hostile/projects/") and name.endswith(".zip")]
        assert len(names) >= 7
        for name in names:
            path = tmp_path / "foreign.zip"
            path.write_bytes(archive.read(name))
            refused(elsewhere, path, "no project file")


def test_no_room_for_it(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("GB", "0.0001"), ("PICTURES", "5")):
        with monkeypatch.context() as patched:
            patched.setenv(f"TRANSFER_LAB_PERSON_{name}", value)
            refused(elsewhere, EARLIER, "one person can have", QuotaError)
    elsewhere.open(EARLIER)


@pytest.mark.parametrize("writes", [0, 20, 40, 70, 80])
def test_a_full_disk_leaves_nothing(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    left = [writes]
    make = tempfile.mkstemp

    def until_full(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return make(*args, **options)

    monkeypatch.setattr("tlcore.home.tempfile.mkstemp", until_full)
    refused(elsewhere, EARLIER, "full", FullDiskError)


def test_begun_again_after_a_worker_died(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(arriving, "_write_rows", die)
        patched.setattr(arriving, "remove_job_files", lambda *_: None)  # nobody is there to do it
        patched.setattr(arriving, "remove_unused_pictures", lambda *_args, **_options: None)
        with pytest.raises(Killed):
            elsewhere.open(EARLIER)
    arrived = elsewhere.open(EARLIER)
    assert len(current_dataset(elsewhere.engine, arrived, elsewhere.home)[1].items) == 35


def test_lists_are_written_while_others_can_write_too(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    written = list[str]()

    def write(data: bytes, home: DataRoot) -> str:
        with writing(elsewhere.engine) as connection:  # which waits, and gives up, within the transaction of another
            connection.execute(sa.update(metadata.tables["projects"]).values(visited=""))
        written.append(write_list(data, home))
        return written[-1]

    def fail(*_: object) -> None:
        raise ArchiveError("in the last moment")

    monkeypatch.setattr(arriving, "write_list", write)
    with monkeypatch.context() as patched:
        patched.setattr(arriving, "_write_rows", fail)
        refused(elsewhere, EARLIER, "in the last moment")
    assert written
    elsewhere.open(EARLIER)


def test_a_project_that_is_not_empty_is_not_written_over(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    check = arriving._check_room

    def bring_pictures(*args: Any) -> None:
        check(*args)
        _, engine, project_id, home = args
        commit_version(engine, project_id, Dataset(), "brought", parent=None, home=home)

    monkeypatch.setattr(arriving, "_check_room", bring_pictures)
    with pytest.raises(ConflictError, match="Open the file once more"):
        elsewhere.open(EARLIER)


def test_a_project_too_large_to_be_opened_does_not_leave(root: DamagedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_LAB_MAX_FILES", "20")
    with pytest.raises(StorageError, match="too large"):
        departure(root.engine, root.project_id, root.home).check_opens()
