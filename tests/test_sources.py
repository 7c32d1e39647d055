"""What a source yields: folders with links, hidden things and folders that cannot be read, and names of files."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tlcore.intake import limits, sources
from tlcore.intake.meaning.aside import aside_lines
from tlcore.intake.sources import ArchiveSource, FileSource, FolderSource, Listing, Source, list_source

links = pytest.mark.skipif(sys.platform == "win32", reason="making links needs special rights on Windows")


class Found:
    """What a source yields: names of files, refused names with reasons, lines of what is left aside."""

    def __init__(self, source: Source) -> None:
        listing = Listing()
        with ExitStack() as stack:
            list_source(source, listing, stack)
        self.names = [one.name for one in listing.found]
        self.refused = {refusal.name: refusal.reason for refusal in listing.refused}
        self.aside = aside_lines(why for _, why in listing.aside)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for name in ("cat/1.jpg", "dog/2.jpg", "all/3.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@links
def test_links_inside_the_folder_are_followed_and_others_are_named(pets: Path, tmp_path: Path):
    (tmp_path / "secret.jpg").write_bytes(b"s")
    (tmp_path / "outside").mkdir()
    (pets / "bird").symlink_to(pets / "all", target_is_directory=True)
    (pets / "cat" / "again.jpg").symlink_to("../dog/2.jpg")
    (pets / "cat" / "secret.jpg").symlink_to(tmp_path / "secret.jpg")
    (pets / "cat" / "outside").symlink_to(tmp_path / "outside", target_is_directory=True)
    (pets / "cat" / "nowhere.jpg").symlink_to("gone.jpg")
    found = Found(FolderSource(pets))
    assert found.names == [
        "pets/all/3.jpg",
        "pets/bird/3.jpg",
        "pets/cat/1.jpg",
        "pets/cat/again.jpg",
        "pets/dog/2.jpg",
    ]
    assert set(found.refused) == {f"pets/cat/{name}" for name in ("secret.jpg", "outside", "nowhere.jpg")}
    assert "outside of the folder" in found.refused["pets/cat/secret.jpg"]
    assert "outside of the folder" in found.refused["pets/cat/outside"]
    assert "nowhere" in found.refused["pets/cat/nowhere.jpg"]


@links
def test_loops_of_links_end(pets: Path):
    (pets / "cat" / "up").symlink_to(pets, target_is_directory=True)
    (pets / "cat" / "to_dog").symlink_to(pets / "dog", target_is_directory=True)
    (pets / "dog" / "to_cat").symlink_to(pets / "cat", target_is_directory=True)
    (pets / "itself").symlink_to(pets / "itself")
    found = Found(FolderSource(pets))
    assert set(found.names) == {
        "pets/all/3.jpg",
        "pets/cat/1.jpg",
        "pets/cat/to_dog/2.jpg",
        "pets/dog/2.jpg",
        "pets/dog/to_cat/1.jpg",
    }
    assert "never end" in found.refused["pets/cat/up"]
    assert "nowhere" in found.refused["pets/itself"]


@links
def test_links_that_multiply_are_followed_only_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "_MAX_FOLDER_LINKS", 50)
    folder = tmp_path / "set"
    for level in range(12):  # two ways to each next level: 4,096 ways to the last
        (folder / str(level)).mkdir(parents=True)
        for name in ("a", "b"):
            (folder / str(level) / name).symlink_to(folder / str(level + 1), target_is_directory=True)
    (folder / "12").mkdir()
    (folder / "12" / "1.jpg").write_bytes(b"x")
    found = Found(FolderSource(folder))
    assert len(found.names) <= 51
    assert any("more than 50 links" in reason for reason in found.refused.values())


@links
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="the administrator may read everything")
def test_a_folder_that_cannot_be_read_is_named(pets: Path):
    (pets / "dog").chmod(0)
    found = Found(FolderSource(pets))
    (pets / "dog").chmod(0o755)
    assert "cannot be read" in found.refused["pets/dog"]


def test_an_error_in_a_folder_is_named_and_the_rest_is_read(pets: Path, monkeypatch: pytest.MonkeyPatch):
    real = os.scandir

    def scandir(place: Path) -> object:
        if Path(place).name == "dog":
            raise PermissionError(13, "Permission denied")
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    found = Found(FolderSource(pets))
    assert found.names == ["pets/all/3.jpg", "pets/cat/1.jpg"]
    assert "Permission denied" in found.refused["pets/dog"]


def test_what_is_left_aside_in_a_folder_is_counted(pets: Path):
    for name in (".git/x.png", "cat/@eaDir/1.jpg/thumb.jpg", "cat/.9.JPG.icloud", "cat/Thumbs.db", "cat/.hidden/4.jpg"):
        (pets / name).parent.mkdir(parents=True, exist_ok=True)
        (pets / name).write_bytes(b"x")
    found = Found(FolderSource(pets))
    assert found.names == ["pets/all/3.jpg", "pets/cat/1.jpg", "pets/dog/2.jpg"]
    assert sum(int(line.split()[0]) for line in found.aside) == 4
    dropped = FileSource(tuple((f"pets/{name}", b"x") for name in ("cat/.9.JPG.icloud", "cat/1.jpg", "cat/b.zip.001")))
    assert Found(dropped).names == ["pets/cat/1.jpg"]
    assert len(Found(dropped).aside) == 1
    assert "several parts" in Found(dropped).refused["pets/cat/b.zip.001"]


def test_folders_may_not_lie_too_deep(pets: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(limits.DEPTH.setting, "2")
    (pets / "cat" / "young" / "kitten").mkdir(parents=True)
    found = Found(FolderSource(pets))
    assert "pets/cat/1.jpg" in found.names
    assert "folders deep" in found.refused["pets/cat/young"]


def test_a_part_of_an_archive_is_refused_by_its_own_name(tmp_path: Path):
    (tmp_path / "000000").write_bytes(b"PK")
    found = Found(ArchiveSource(tmp_path / "000000", "pets.zip.001"))
    assert "several parts" in found.refused["pets.zip.001"]
