"""What is left aside by its place, and that every picture among it is counted."""

import pytest

from tlcore.intake.aside import aside_lines, why_aside


def reason(path: str) -> str | None:
    aside = why_aside(tuple(path.split("/")))
    return None if aside is None else aside.kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("cat/@eaDir/0.jpg/SYNOPHOTO_THUMB_XL.jpg", "thumbnails"),
        ("cat/.@__thumb/0.jpg", "thumbnails"),
        ("cat/.thumbnails/0.png", "thumbnails"),
        ("Previews.lrdata/A/B/0.jpg", "thumbnails"),
        ("#recycle/cat/0.jpg", "deleted"),
        ("$RECYCLE.BIN/S-1/$R12.jpg", "deleted"),
        (".Trash-1000/files/0.jpg", "deleted"),
        (".ipynb_checkpoints/0.jpg", "hidden"),
        ("cat/.picasaoriginals/0.jpg", "hidden"),
        ("cat/.secret/IMG_0001", "hidden"),
        ("cat/.0.jpg", "hidden"),
        (".git/picture.png", "hidden"),
        ("__MACOSX/cat/0.jpg", "hidden"),
        ("cat/.IMG_0.JPG.icloud", "cloud"),
        ("cat/0.jpg.nextcloud", "cloud"),
        ("cat/list.gdoc", "cloud"),
        ("__MACOSX/cat/._0.jpg", "system"),
        ("cat/._0.jpg", "system"),
        ("cat/Thumbs.db", "system"),
        ("cat/desktop.ini", "system"),
        ("cat/.DS_Store", "system"),
        (".dropbox.attr", "system"),
        (".git/objects/ab/cdef", "system"),
        ("cat/@eaDir/0.jpg/SYNOINDEX_MEDIA_INFO", "system"),
        ("cat/@eaDir/0.jpg@SynoEAStream", "system"),
        ("@eaDir", "system"),
    ],
)
def test_place_says_why_a_file_is_left_aside(path: str, kind: str):
    assert reason(path) == kind


@pytest.mark.parametrize(
    "path",
    ["cat/0.jpg", "mask/0.jpg", "thumb/0.jpg", "photo/0.jpg", "labels/0.jpg", "cloud/0.jpg", "0", "a.b/0.cat.jpg"],
)
def test_ordinary_places_are_used(path: str):
    assert reason(path) is None


def test_what_is_left_aside_is_counted_but_for_leftovers_of_systems():
    paths = ["a/.IMG_1.JPG.icloud", "b/.IMG_2.JPG.icloud", "a/.ipynb_checkpoints/1.jpg", "a/.DS_Store", "a/1.jpg"]
    found = [why_aside(tuple(path.split("/"))) for path in paths]
    assert aside_lines(aside for aside in found if aside) == (
        "2 pictures are still in iCloud: download them (in Finder: Download Now), then bring the folder again",
        "1 hidden copy (.ipynb_checkpoints)",
    )
