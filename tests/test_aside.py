"""What is left aside by its place, and that every picture among it is counted."""

import pytest

from tlcore.intake.meaning.aside import aside_among, aside_lines, why_aside


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
    [
        "cat/0.jpg",
        "mask/0.jpg",
        "thumb/0.jpg",
        "photo/0.jpg",
        "labels/0.jpg",
        "cloud/0.jpg",
        "points.cloud",
        "0",
        "a.b/0.cat.jpg",
    ],
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


def among(*paths: str) -> list[str]:
    """Return the paths that are left aside."""
    asides = aside_among([tuple(path.split("/")) for path in paths])
    return [path for path, aside in zip(paths, asides, strict=True) if aside]


def files(*folders: str, ending: str = "") -> list[str]:
    return [f"{folder}/{n}{ending}.png" for folder in folders for n in range(3)]


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        (["set/ill/images", "set/well/images"], ["set/ill/masks", "set/well/masks"]),
        (["set/ill", "set/well"], ["set/ill/mask", "set/well/mask"]),
        (["set/images/ill", "set/images/well"], ["set/masks/ill", "set/masks/well"]),
        (["set/train/ill", "set/test/ill"], ["set/ground_truth/ill"]),
        (["set/train/images"], ["set/train/labels"]),
        (["set/JPEGImages"], ["set/SegmentationClass", "set/SegmentationObject"]),
        (["set/train"], ["set/train_masks"]),
        (["images/ill"], ["masks/ill"]),
        (["set/cat", "set/dog"], ["set/cat/thumbs", "set/dog/thumbs"]),
        (["set/images"], ["set/annotations/trimaps"]),
    ],
)
def test_folders_of_masks_beside_pictures_are_left_aside(pictures: list[str], masks: list[str]):
    assert among(*files(*pictures), *files(*masks)) == files(*masks)
    assert among(*files(*pictures), *files(*masks, ending="_mask")) == files(*masks, ending="_mask")


@pytest.mark.parametrize(
    "folders",
    [
        ["set/mask", "set/no_mask"],
        ["set/mask", "set/no_mask", "set/wrong mask"],
        ["set/train/mask", "set/train/face", "set/test/mask", "set/test/face"],
        ["set/face", "set/face_mask"],
        ["set/masks", "set/gloves", "set/goggles"],
        ["set/labels", "set/photo", "set/boxes"],
        ["set/thumb", "set/index finger"],
        ["set/labels", "set/test", "set/images", "set/sketch"],
        ["mask"],
        ["set/seg_train", "set/seg_test", "set/seg_pred"],
        ["set/with_masks", "set/without_masks"],
    ],
)
def test_a_class_called_mask_among_classes_is_a_class(folders: list[str]):
    assert among(*files(*folders)) == []


def test_masks_of_another_name_in_a_folder_beside_images_are_left_aside():
    assert among(*files("set/ill/images"), "set/ill/masks/a.png") == ["set/ill/masks/a.png"]
    assert among(*files("set/images"), "set/labels/a.png") == []


def test_files_that_are_called_like_one_beside_them_are_left_aside():
    paths = ["set/ill/a (1).png", "set/ill/a (1)_mask.png", "set/ill/a (1)_mask_1.png", "set/ill/b_thumb.jpg"]
    assert among(*paths) == paths[1:3]
    assert among(*paths, "set/ill/b.jpg") == paths[1:]
    assert among("set/face_1.jpg", "set/face_mask_1.jpg", "set/face_2.jpg", "set/face_mask_2.jpg") == []


def test_masks_are_counted_with_their_folder():
    asides = aside_among([tuple(path.split("/")) for path in [*files("s/ill/images"), *files("s/ill/masks")]])
    assert aside_lines(aside for aside in asides if aside) == ("3 masks (in the folder masks)",)


def test_outlines_beside_a_folder_of_any_name_are_left_aside():
    birds = [("up", "birds", name, f"{name}{number}.jpg") for name in ("wren", "owl") for number in range(4)]
    outlines = [("up", "segmentations", *path[2:3], path[3].replace("jpg", "png")) for path in birds]
    assert [why is not None for why in aside_among([*birds, *outlines])] == [False] * 8 + [True] * 8
    faces = [("up", kind, f"{number}.jpg") for kind in ("masks", "no_masks") for number in range(4)]
    assert set(aside_among(faces)) == {None}


def test_notes_of_programs_beside_a_picture_are_passed_over():
    for name in ("cat/IMG_1.AAE", "cat/1.xmp"):
        why = why_aside(tuple(name.split("/")))
        assert why is not None
        assert why.kind == "system"
