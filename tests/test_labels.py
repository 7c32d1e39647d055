"""Folders become class names and splits."""

import pytest

from tlcore.intake.labels import Label, assign_labels, similar_names


def labels_of(*paths: str) -> list[tuple[str | None, str | None]]:
    labelled = assign_labels([tuple(path.split("/")) for path in paths])
    return [(label.class_name, label.split) for label in labelled]


def test_folder_is_the_class():
    assert labels_of("cat/1.jpg", "dog/1.jpg", "2.jpg") == [("cat", None), ("dog", None), (None, None)]


def test_folders_around_everything_are_passed_over():
    assert labels_of("a/b/cat/1.jpg", "a/b/dog/1.jpg") == [("cat", None), ("dog", None)]


def test_single_class_in_one_folder_keeps_its_name():
    assert labels_of("cat/1.jpg", "cat/2.jpg") == [("cat", None)] * 2
    assert labels_of("pets/cat/1.jpg", "pets/cat/2.jpg") == [("cat", None)] * 2


@pytest.mark.parametrize("wrap", ["", "data/", "My Data/v2/"])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("TRAIN", "Valid", "Testing"), ("training_set", "validation_set", "test_set")],
)
def test_splits_on_top_are_kept(wrap: str, train: str, validation: str, test: str):
    paths = [f"{wrap}{split}/{name}/1.jpg" for split in (train, validation, test) for name in ("cat", "dog")]
    expected = [(name, split) for split in ("train", "validation", "test") for name in ("cat", "dog")]
    assert labels_of(*paths) == expected


def test_split_folder_inside_itself_is_one_split():
    assert labels_of("train/train/cat/1.jpg", "test/test/cat/2.jpg") == [("cat", "train"), ("cat", "test")]


def test_splits_below_each_class_are_kept():
    assert labels_of("cat/train/1.jpg", "cat/test/2.jpg", "dog/train/3.jpg", "dog/test/4.jpg") == [
        ("cat", "train"),
        ("cat", "test"),
        ("dog", "train"),
        ("dog", "test"),
    ]


def test_class_called_train_among_others_is_a_class():
    assert labels_of("train/1.jpg", "bus/1.jpg", "car/1.jpg") == [("train", None), ("bus", None), ("car", None)]
    assert labels_of("train/1.jpg", "train/2.jpg") == [("train", None)] * 2


def test_splits_without_classes_keep_the_split():
    assert labels_of("train/1.jpg", "test/1.jpg") == [(None, "train"), (None, "test")]


def test_stray_pictures_do_not_hide_the_classes():
    paths = [f"pets/{name}/{number}.jpg" for name in ("cat", "dog") for number in range(4)]
    assert labels_of(*paths, "pets/cover.jpg", "pets/x.jpg", "pets/y.jpg")[:-3] == [
        (name, None) for name in ("cat", "dog") for _ in range(4)
    ]
    paths = [
        f"{split}/{name}/{number}.jpg" for split in ("train", "test") for name in ("a", "b") for number in range(9)
    ]
    assert labels_of(*paths, "cover.jpg")[0] == ("a", "train")


def test_folder_with_pictures_is_the_class_of_what_lies_deeper():
    assert labels_of("cat/1.jpg", "cat/more/2.jpg", "dog/1.jpg")[1] == ("cat", None)
    assert labels_of("cat/images/1.jpg", "dog/images/1.jpg") == [("cat", None), ("dog", None)]


def test_names_that_look_alike_stay_apart_and_are_reported():
    labelled = assign_labels([(name, "1.jpg") for name in ("Cat", "cat", "cat ", "dog", "cafe\u0301", "caf\u00e9")])
    names = [label.class_name for label in labelled]
    assert names == ["Cat", "cat", "cat (2)", "dog", "caf\u00e9 (2)", "caf\u00e9"]
    assert similar_names(names) == (("caf\u00e9", "caf\u00e9 (2)"), ("Cat", "cat", "cat (2)"))


def test_odd_folder_names_become_usable_class_names():
    labelled = assign_labels([(name, "1.jpg") for name in ("\x1b\x07", "x" * 300, "a\nb", "01", "1", "=1+1")])
    names = [str(label.class_name) for label in labelled]
    assert len(set(names)) == 6
    assert all(0 < len(name) <= 100 and name.isprintable() for name in names)
    assert names[3:] == ["01", "1", "=1+1"]


def test_no_pictures_no_labels():
    assert assign_labels([]) == ()
    assert assign_labels([("1.jpg",)]) == (Label(None, None),)
