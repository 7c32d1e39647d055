"""Messages that reach a page say nothing about where things lie on the server."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.page_tests import ROOT_DIR
from tlcore.errors import StorageError, TransferLabError
from tlcore.home import DataRoot, storage_error, without_places
from tlcore.ready_sets.files import damage_in_words
from tlcore.storage.database import open_database


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_what_cannot_be_written_is_said_without_its_place(home: DataRoot, number: int) -> None:
    words = str(storage_error(OSError(number, "no"), home.images_dir / "ab" / "x.png"))
    assert str(home.path) not in words
    assert "x.png" not in words


def test_a_place_that_a_person_named_is_named(home: DataRoot, tmp_path: Path) -> None:
    assert str(tmp_path) in str(storage_error(OSError(errno.EACCES, "no"), tmp_path / "projects.zip"))


def test_a_damaged_database_is_said_without_its_place(home: DataRoot) -> None:
    home.path.mkdir()
    home.database_path.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError) as raised:
        open_database(home)
    assert str(home.path) not in str(raised.value)


def test_a_damaged_download_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(TransferLabError) as raised, damage_in_words(tmp_path / "digits.zip"):
        raise OSError(f"cannot read {tmp_path / 'digits.zip'}")
    assert "The file digits.zip" in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


def test_what_libraries_say_loses_its_places(home: DataRoot) -> None:
    places = (home.path, Path(sys.prefix), ROOT_DIR, Path.home())
    said = without_places("; ".join(f"cannot open '{place}/a.h5'" for place in places))
    assert said == "; ".join(["cannot open '.../a.h5'"] * len(places))


def test_a_page_shows_no_place(home: DataRoot) -> None:
    def page(text: str) -> None:
        from pages.components.errors import show_error

        show_error(text)

    shown: Any = AppTest.from_function(page, args=(f"cannot open {home.path}/a.h5",)).run()
    assert "a" in shown.error[0].value
    assert home.path.name not in shown.error[0].value.replace("\\", "")
