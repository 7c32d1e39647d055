"""What a label file calls a picture is found among the paths, as text, and never guessed."""

import pytest

from tlcore.intake.label_files.picture_names import PictureNames


def found(name: str, *paths: str, folder: str = "up") -> str | None:
    """Return the path of the picture that a name means."""
    names = PictureNames([tuple(path.split("/")) for path in paths])
    match = names.find([name], tuple(folder.split("/")))[name]
    return None if match.picture is None else paths[match.picture]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.jpg", "up/a.jpg"),
        ("a", "up/a.jpg"),
        ("a", "up/deep/below/a.jpg"),
        ("a.png", "up/a.jpg"),
        ("A.JPG", "up/a.jpg"),
        ("images/a.jpg", "up/images/a.jpg"),
        ("./images\\a.jpg", "up/images/a.jpg"),
        ("/home/me/pictures/a.jpg", "up/a.jpg"),
        ("C:\\Users\\me\\a.jpg", "up/a.jpg"),
        ("7", "up/0007.jpg"),
        ("0007", "up/7.jpg"),
        ("cat.7", "up/cat.7.jpg"),
        ("scan.1.dcm", "up/scan.1.png"),
        ("cafe\u0301.jpg", "up/caf\u00e9.jpg"),
        ("up/a.jpg", "up/a.jpg"),
    ],
)
def test_a_name_is_found_however_it_is_written(name: str, path: str):
    assert found(name, path, "up/other.jpg") == path


@pytest.mark.parametrize(
    "name", ["b.jpg", "", " ", "..", "../a.jpg", "..\\..\\a.jpg", "x/../../../a.jpg", "a.jpg/", "a.jpg.txt", "aa"]
)
def test_what_is_not_there_or_climbs_out_means_nothing(name: str):
    assert found(name, "up/a.jpg") == ("up/a.jpg" if name == "a.jpg/" else None)


def test_as_much_of_a_path_counts_as_the_name_gives():
    paths = ("up/a/1.jpg", "up/b/1.jpg", "up/train/a/1.jpg")
    assert found("b/1.jpg", *paths) == "up/b/1.jpg"
    assert found("train/a/1.jpg", *paths) == "up/train/a/1.jpg"
    assert found("/data/v2/train/a/1.jpg", *paths) == "up/train/a/1.jpg"
    assert found("1.jpg", *paths) is None


def test_several_pictures_that_fit_are_told_from_none():
    names = PictureNames([("up", "a", "1.jpg"), ("up", "b", "1.jpg")])
    matches = names.find(["1.jpg", "2.jpg"], ("up",))
    assert [matches[name].is_ambiguous for name in ("1.jpg", "2.jpg")] == [True, False]


def test_the_folder_of_the_label_file_decides_between_equals():
    paths = ("up/train/images/1.jpg", "up/test/images/1.jpg", "up/test/1.jpg")
    assert found("1.jpg", *paths, folder="up/test") == "up/test/1.jpg"
    assert found("images/1.jpg", *paths, folder="up/test") == "up/test/images/1.jpg"
    assert found("../test/images/1.jpg", *paths, folder="up/train") == "up/test/images/1.jpg"


def test_the_name_as_it_is_goes_before_what_is_only_alike():
    assert found("a.png", "up/a.jpg", "up/a.png") == "up/a.png"
    assert found("A.jpg", "up/a.jpg", "up/A.jpg") == "up/A.jpg"
    assert found("7", "up/07.jpg", "up/7.jpg") == "up/7.jpg"
    assert found("07", "up/7.jpg", "up/007.jpg") is None


def test_a_picture_in_another_folder_that_is_here_is_another_picture():
    assert found("cat/1.jpg", "up/dog/1.jpg", "up/cat/2.jpg") is None
    assert found("train/1.jpg", "up/test/1.jpg") is None
    assert found("train/1.jpg", "test/1.jpg") is None
    assert found("old/1.jpg", "up/new/1.jpg") == "up/new/1.jpg"


def test_two_names_never_mean_one_picture_by_its_last_part_alone():
    names = PictureNames([("up", "new", "1.jpg"), ("up", "new", "2.jpg")])
    matches = names.find(["a/1.jpg", "b/1.jpg", "a/2.jpg"], ("up",))
    assert [matches[name].picture for name in ("a/1.jpg", "b/1.jpg", "a/2.jpg")] == [None, None, 1]


def test_loose_files_have_no_folder():
    names = PictureNames([("", "1.jpg"), ("", "2.jpg")])
    assert [match.picture for match in names.find(["1.jpg", "images/2.jpg"], ("",)).values()] == [0, 1]
