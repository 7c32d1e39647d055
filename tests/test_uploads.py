"""Files that come in pieces: what is taken, what is refused at once, and that no piece can do harm."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import tarfile
import time
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from pages.server import uploads as routes
from pages.server.identity import owner_of
from pages.server.uploads import KEY_HEADER, upload_address, upload_key, upload_routes
from tests.asgi_request import request
from tests.signing import cookie_of
from tests.test_leftovers import DAY_OLD, run_days
from tlcore.errors import DatasetError, NotFoundError, StorageError
from tlcore.home import DataRoot
from tlcore.intake.limits import UPLOAD_GB
from tlcore.storage import staging, uploads
from tlcore.storage.database import open_database
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import ACTIVE_STATES, create_job, list_jobs, read_request
from tlcore.storage.model_settings import ModelSettings, change_model_settings
from tlcore.storage.projects import create_project
from tlcore.storage.requests import ImportRequest, PredictionRequest, StagedFile
from tlcore.storage.staging import make_staging_dir, remove_abandoned
from tlcore.storage.uploads import Announced, PieceWriter, begin_upload, finish_upload, give_up_upload

OWNER = "o" * 24
RAR, SEVEN_ZIP = b"Rar!\x1a\x07\x01\x00", b"7z\xbc\xaf\x27\x1c\x00\x04"


def piece_of(parts: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return a piece with these parts: number of the file, where to begin, bytes."""
    header = json.dumps([(number, start, len(data)) for number, start, data in parts]).encode()
    return len(header).to_bytes(4, "big") + header + b"".join(data for _, _, data in parts)


def write(folder: str, home: DataRoot, *parts: tuple[int, int, bytes]) -> None:
    write_raw(folder, home, piece_of(parts))


def write_raw(folder: str, home: DataRoot, piece: bytes) -> None:
    with PieceWriter(folder, home) as writer:
        writer.write(piece)
        writer.finish()


def contents(found: ImportRequest, home: DataRoot) -> dict[str, bytes]:
    staged = (*found.files, *found.archives)
    return {file.name: (home.imports_dir / str(found.staging) / file.path).read_bytes() for file in staged}


def test_pieces_in_any_order_cut_anywhere_become_the_files(home: DataRoot) -> None:
    rng = random.Random(0)
    files = {f"cat/{number}.jpg": rng.randbytes(size) for number, size in enumerate((0, 1, 999, 5000, 0))}
    folder, _ = begin_upload([Announced(name, len(data)) for name, data in files.items()], home)
    pieces = [
        piece_of([(0, 0, b""), (1, 0, files["cat/1.jpg"]), (2, 0, files["cat/2.jpg"])]),
        piece_of([(3, 0, files["cat/3.jpg"][:1500])]),
        piece_of([(3, 1500, files["cat/3.jpg"][1500:]), (4, 0, b"")]),
    ]
    for data in (pieces[2], pieces[0], pieces[1], pieces[2]):  # one of them comes twice
        with PieceWriter(folder, home) as piece:
            while data:
                cut = rng.randint(1, 700)
                piece.write(data[:cut])
                data = data[cut:]
            piece.finish()
    found = finish_upload(folder, home)
    assert found is not None
    assert contents(found, home) == files
    assert found.refused == found.archives == ()


def test_what_was_sent_is_taken_once(home: DataRoot) -> None:
    folder, _ = begin_upload([Announced("1.jpg", 1)], home)
    write(folder, home, (0, 0, b"x"))
    assert finish_upload(folder, home, "cat") == ImportRequest(
        staging=folder, files=(StagedFile("000000", "1.jpg"),), class_name="cat"
    )
    assert finish_upload(folder, home, "cat") is None
    with pytest.raises(NotFoundError, match="Bring the files again"):
        write(folder, home, (0, 0, b"y"))


def test_a_piece_on_its_way_finds_no_place_after_a_stop(home: DataRoot) -> None:
    folder, _ = begin_upload([Announced("1.jpg", 1), Announced("2.jpg", 1)], home)
    piece = piece_of([(0, 0, b"x"), (1, 0, b"y")])
    with PieceWriter(folder, home) as writer:
        writer.write(piece[:-2])
        give_up_upload(folder, home)
        with pytest.raises(NotFoundError, match="Bring the files again"):
            writer.write(piece[-2:])
    assert list(home.imports_dir.iterdir()) == []


def test_a_file_that_did_not_come_whole_is_refused_by_name(home: DataRoot) -> None:
    folder, _ = begin_upload([Announced("whole.jpg", 2), Announced("part.jpg", 2), Announced("none.jpg", 0)], home)
    write(folder, home, (0, 0, b"xy"), (1, 0, b"x"))
    found = finish_upload(folder, home)
    assert found is not None
    assert contents(found, home) == {"whole.jpg": b"xy"}
    assert {refusal.name for refusal in found.refused} == {"part.jpg", "none.jpg"}
    assert all("Add it again" in refusal.reason for refusal in found.refused)


def zip_head() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cat/1.jpg", b"x" * 1000)
    return buffer.getvalue()[: uploads.HEAD_BYTES]


def tar_head(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        archive.addfile(tarfile.TarInfo("cat/1.jpg"), io.BytesIO(b""))
    return buffer.getvalue()[: uploads.HEAD_BYTES]


@pytest.mark.parametrize(
    ("file", "is_archive"),
    [
        (Announced("pets.ZIP", 10, zip_head()), True),
        (Announced("pets", 10, zip_head()), True),
        (Announced("damaged.zip", 10, b"nothing"), True),
        (Announced("pets.tar.gz", 10, tar_head("w:gz")), True),
        (Announced("pets.tar", 10, tar_head("w")), True),
        (Announced("labels.xlsx", 10, zip_head()), False),
        (Announced("labels.csv", 10, b"file,class"), False),
        (Announced("cat/pets.zip", 10), False),
        (Announced("1.jpg", 10), False),
    ],
)
def test_beginning_and_ending_tell_what_is_read_as_an_archive(
    home: DataRoot, file: Announced, is_archive: bool
) -> None:
    _, [expected] = begin_upload([file], home)
    assert (expected.is_archive, expected.refusal) == (is_archive, None)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (Announced("pets.rar", 3 * 10**9, RAR), "a RAR file"),
        (Announced("pets.zip", 3 * 10**9, RAR), "a RAR file"),
        (Announced("pets.7z", 3 * 10**9, SEVEN_ZIP), "a 7z file"),
        (Announced("pets.z01", 3 * 10**9, b"PK\x07\x08PK\x03\x04"), "one part of an archive"),
        (Announced("pets.zip.002", 3 * 10**9, b"\x8f\x02"), "one part of an archive"),
        (Announced("pets/pets.part1.rar", 10**8, RAR), "one part of an archive"),
        (Announced("cat/film.mov", 128_000_001), "the limit is 128 MB"),
        (Announced("cat/" * 300 + "1.jpg", 10), "more than 1,000 characters"),
    ],
)
def test_what_cannot_be_used_is_refused_before_it_is_sent(home: DataRoot, file: Announced, words: str) -> None:
    folder, expected = begin_upload([file, Announced("cat/1.jpg", 1)], home)
    assert words in str(expected[0].refusal)
    with pytest.raises(ValueError, match="does not belong"):
        write(folder, home, (0, 0, b"x"))
    write(folder, home, (1, 0, b"x"))
    found = finish_upload(folder, home)
    assert found is not None
    assert contents(found, home) == {"cat/1.jpg": b"x"}
    assert [refusal.reason for refusal in found.refused] == [expected[0].refusal]


def test_too_much_is_refused_with_the_limit_and_a_way_out(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    too_many = [Announced(f"{number}.jpg", 1) for number in range(50_001)]
    with pytest.raises(DatasetError, match=r"50,001 files.*several parts"):
        begin_upload(too_many, home)
    large = [Announced(f"{number}.zip", 10**9) for number in range(5)]
    with pytest.raises(DatasetError, match=r"5\.0 GB; at most 4 GB.*TRANSFER_LAB_UPLOAD_GB"):
        begin_upload(large, home)
    monkeypatch.setenv(UPLOAD_GB.setting, "6")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * 10**9))
    begin_upload(large, home)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 10**9))
    with pytest.raises(DatasetError, match=r"5\.0 GB.*room for 2\.0 GB"):
        begin_upload(large, home)
    assert len(list(home.imports_dir.iterdir())) == 1


@pytest.mark.parametrize(
    "piece",
    [
        piece_of([(1, 0, b"x")]),
        piece_of([(-1, 0, b"x")]),
        piece_of([(0, 2, b"xy")]),
        piece_of([(0, -1, b"x")]),
        piece_of([(0, 0, b"xyz")]) + b"more",
        piece_of([(0, 0, b"xyz")])[:-1],
        piece_of([(0, 0, b"xyz")])[:3],
        b"",
        b"\xff\xff\xff\xff{}",
        (2).to_bytes(4, "big") + b"{}",
        (9).to_bytes(4, "big") + b"[[0,0,-1]]",
    ],
)
def test_a_piece_that_is_none_is_refused_and_writes_nowhere_else(home: DataRoot, piece: bytes) -> None:
    folder, _ = begin_upload([Announced("1.jpg", 3)], home)
    with pytest.raises(ValueError, match=r".+"):
        write_raw(folder, home, piece)
    assert {path.name for path in (home.imports_dir / folder).iterdir()} <= {"index.json", "000000"}


@pytest.mark.parametrize("name", ["..", "import-/../../runs", "import-gone", "", "/etc"])
def test_only_folders_of_uploads_are_written_to(home: DataRoot, name: str) -> None:
    with pytest.raises(NotFoundError):
        PieceWriter(name, home)
    with pytest.raises(NotFoundError):
        finish_upload(name, home)


def test_a_full_disk_is_said_in_words(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = begin_upload([Announced("1.jpg", 1)], home)

    def refuse(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(StorageError, match="disk is full"):
        write(folder, home, (0, 0, b"x"))


def test_folders_left_behind_are_removed_after_a_day_but_not_what_a_job_waits_with(home: DataRoot) -> None:
    engine = open_database(home)
    left, waiting, new = (make_staging_dir(home) for _ in range(3))
    create_job(engine, "import", create_project(engine, OWNER, "Pets").id, ImportRequest(staging=waiting.name))
    long_ago = time.time() - DAY_OLD
    for folder in (left, waiting):
        (folder / "000000").write_bytes(b"x")
        os.utime(folder, (long_ago, long_ago))
    run_days(engine)
    staging._coming.clear()  # as a server that was started anew
    remove_abandoned(engine, home)
    assert set(home.imports_dir.iterdir()) == {waiting, new}


class Browser:
    """Asks the upload routes as the page's script does."""

    def __init__(self, project_id: str, owner: str = OWNER, origin: str = "http://lab.example") -> None:
        self.project_id = project_id
        self.owner = owner
        self.origin = origin

    def ask(self, method: str, folder: str, key: str, body: bytes = b"", query: bytes = b"") -> tuple[int, Any]:
        headers = {"host": "lab.example", "origin": self.origin, KEY_HEADER.lower(): key}
        headers |= {"cookie": cookie_of(self.owner)} if self.owner else {}
        app = Starlette(routes=upload_routes(owner_of))
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        address = upload_address(self.project_id, folder)
        status, _, answer = request(app, address, pairs, method=method, body=body, query=query)
        return status, json.loads(answer) if answer else {}

    def begin(self, *files: tuple[str, int, bytes]) -> tuple[int, Any]:
        listing = json.dumps([(name, size, b64encode(head).decode()) for name, size, head in files]).encode()
        return self.ask("POST", "", upload_key(OWNER, self.project_id), listing)

    def begun(self) -> tuple[str, str]:
        """Announce one file of three bytes, and return the folder for it with its key."""
        status, told = self.begin(("cat/1.jpg", 3, b""))
        assert status == 200
        return told["folder"], told["key"]


@pytest.fixture
def engine(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    # Queued jobs stay queued: no runner process is started by these tests.
    monkeypatch.setattr("tlcore.jobs.control.ensure_runner", lambda home=None: None)
    return open_database(home)


@pytest.fixture
def project(engine: sa.Engine) -> str:
    return create_project(engine, OWNER, "Pets").id


PIECE = piece_of([(0, 0, b"abc")])


def test_the_end_of_an_upload_that_names_a_model_begins_a_prediction(
    engine: sa.Engine, home: DataRoot, project: str
) -> None:
    browser = Browser(project)
    _, begun = browser.begin(("cat/1.jpg", 3, b""), ("pets.rar", 9, RAR))
    assert browser.ask("PUT", begun["folder"], begun["key"], PIECE)[0] == 204
    change_model_settings(engine, project, "group.a", lambda _: ModelSettings(temperature=1.5, threshold=0.25))
    status, told = browser.ask("POST", begun["folder"], begun["key"], query=b"model=group.a")
    assert status == 200
    [job] = list_jobs(engine, states=ACTIVE_STATES, project_id=project)
    assert (job.id, job.kind) == (told["job"], "prediction")
    found = read_request(engine, job.id, PredictionRequest)
    assert (found.model_id, found.settings) == ("group.a", ModelSettings(1.5, 0.25))
    assert found.staging == begun["folder"]
    assert [file.name for file in found.files] == ["cat/1.jpg"]
    assert [refusal.name for refusal in found.refused] == ["pets.rar"]


def test_the_routes_bring_files_to_the_disk_and_begin_their_import_once(
    engine: sa.Engine, home: DataRoot, project: str
) -> None:
    browser = Browser(project)
    status, begun = browser.begin(("cat/1.jpg", 3, b""), ("pets.rar", 9, RAR))
    assert status == 200
    [[number, reason]] = begun["refused"]
    assert number == 1
    assert "a RAR file" in reason
    folder, key = begun["folder"], begun["key"]
    assert browser.ask("PUT", folder, key, PIECE)[0] == 204
    status, told = browser.ask("POST", folder, key, query=b"class_name=Kn%C3%B6del")
    assert status == 200
    assert browser.ask("POST", folder, key) == (200, told)  # the answer to the first may have been lost
    assert browser.ask("DELETE", folder, key)[0] == 204  # a Stop that comes too late takes nothing from the import
    [job] = list_jobs(engine, states=ACTIVE_STATES, project_id=project)
    assert job.id == told["job"]
    found = read_request(engine, job.id, ImportRequest)
    assert contents(found, home) == {"cat/1.jpg": b"abc"}
    assert found.class_name == "Knödel"
    assert [refusal.name for refusal in found.refused] == ["pets.rar"]


def test_what_was_given_up_is_gone(home: DataRoot, project: str) -> None:
    browser = Browser(project)
    folder, key = browser.begun()
    assert browser.ask("DELETE", folder, key)[0] == 204
    assert not (home.imports_dir / folder).exists()
    for method, body in (("PUT", PIECE), ("POST", b"")):
        status, told = browser.ask(method, folder, key, body)
        assert status == 404
        assert "Bring the files again" in told["message"]


def test_without_its_project_or_room_for_its_job_nothing_stays_of_what_was_sent(
    engine: sa.Engine, home: DataRoot, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise StorageError("The disk is full.")

    browser = Browser(project)
    folder, key = browser.begun()
    with monkeypatch.context() as patched:
        patched.setattr(routes, "start_job", refuse)
        assert browser.ask("POST", folder, key) == (507, {"message": "The disk is full."})
    assert not (home.imports_dir / folder).exists()
    folder, key = browser.begun()
    delete_project(engine, project, home)
    assert browser.ask("POST", folder, key)[0] == 404
    assert list(home.imports_dir.iterdir()) == []


@pytest.mark.parametrize(
    "who", [{"owner": "x" * 24}, {"owner": ""}, {"origin": "http://evil.example"}, {"origin": "null"}]
)
def test_nobody_else_may_send_or_take_away(home: DataRoot, project: str, who: dict[str, str]) -> None:
    folder, key = Browser(project).begun()
    other = Browser(project, **who)
    assert other.begin(("cat/1.jpg", 3, b""))[0] == 403
    for method, body in (("PUT", PIECE), ("POST", b""), ("DELETE", b"")):
        assert other.ask(method, folder, key, body)[0] == 403
    assert [path.name for path in (home.imports_dir / folder).iterdir()] == ["index.json"]


def test_a_key_is_good_for_one_project_and_one_folder(engine: sa.Engine, project: str) -> None:
    browser, other = Browser(project), Browser(create_project(engine, OWNER, "Other").id)
    (folder, key), (_, second_key) = browser.begun(), browser.begun()
    for asked, its_key in (
        (browser, second_key),
        (browser, upload_key(OWNER, project)),
        (browser, "ä"),
        (other, key),
    ):
        status, told = asked.ask("PUT", folder, its_key, PIECE)
        assert status == 403
        assert "Reload" in told["message"]
    assert other.ask("POST", "", upload_key(OWNER, project), b"[]")[0] == 403


@pytest.mark.parametrize("listing", [b"", b"[]", b"{}", b'[["a", -1, ""]]', b'[["a", 1, "?"]]', b'[["a", 1]]', b"\xff"])
def test_a_list_of_files_that_is_none_is_refused(project: str, listing: bytes) -> None:
    status, told = Browser(project).ask("POST", "", upload_key(OWNER, project), listing)
    assert status == 400
    assert "Reload" in told["message"]


def test_limits_and_damage_are_answers_in_words(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(project)
    status, told = browser.begin(*((f"{number}.zip", 10**9, b"") for number in range(5)))
    assert status == 413
    assert "at most 4 GB" in told["message"]
    folder, key = browser.begun()
    status, told = browser.ask("PUT", folder, key, b"nonsense")
    assert status == 400
    assert "Reload" in told["message"]
    monkeypatch.setattr(routes, "MAX_LISTING_BYTES", 10)
    assert browser.begin(("1.jpg", 3, b""))[0] == 413


def test_an_upload_that_takes_more_than_a_day_is_not_taken_away(home: DataRoot) -> None:
    folder, _ = begin_upload([Announced("1.jpg", 2)], home)
    write(folder, home, (0, 0, b"x"))
    old = time.time() - DAY_OLD
    os.utime(home.imports_dir / folder, (old, old))
    write(folder, home, (0, 1, b"y"))
    engine = open_database(home)
    run_days(engine)
    staging._coming.clear()  # as a server that was started anew
    remove_abandoned(engine, home)
    found = finish_upload(folder, home)
    assert found is not None
    assert contents(found, home) == {"1.jpg": b"xy"}
