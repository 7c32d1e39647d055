"""What a tree of folders means: classes, parts, groups, and where a person is asked."""

import random
import time
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

import pytest

from tlcore.errors import DatasetError
from tlcore.intake.meaning.aside import aside_among, why_aside
from tlcore.intake.meaning.readings import FileLabels, Label, Reading, Readings
from tlcore.intake.meaning.tree import choose, read_tree
from tlcore.intake.names import PICTURE_SUFFIXES, split_path

Told = dict[tuple[str | None, str | None], int]


def folders(*names: str, count: int = 4) -> list[str]:
    return [f"{name}/{number}.jpg" for name in names for number in range(count)]


def read(*paths: str, root: str = "brought", said: Sequence[FileLabels] = (), **options: object) -> Readings:
    return read_tree([(root, *path.split("/")) for path in paths], said, **options)  # type: ignore[arg-type]


def told(reading: Reading) -> Told:
    return dict(Counter((label.class_name, label.split) for label in reading.labels))


def counts(reading: Reading) -> dict[str | None, int]:
    return dict(Counter(label.class_name for label in reading.labels))


def clear(*paths: str, **options: object) -> Told:
    """Return classes, parts and their pictures where nothing is asked."""
    readings = read(*paths, **options)  # type: ignore[arg-type]
    assert readings.is_clear
    return told(readings.found[0])


def column(said: Iterable[str | None], source: str = "labels.csv", name: str = "label") -> FileLabels:
    return FileLabels(source, name, tuple(None if word is None else Label(word) for word in said))


# What lies around everything


def test_the_top_folder_is_the_class():
    assert clear(*folders("cat", "dog")) == {("cat", None): 4, ("dog", None): 4}
    assert clear(*folders("a/b/cat", "a/b/dog")) == {("cat", None): 4, ("dog", None): 4}
    assert clear(*folders("cat", "dog/big", "dog/small")) == {("cat", None): 4, ("dog", None): 8}
    assert clear(*folders("cat", "cat/more", "dog")) == {("cat", None): 8, ("dog", None): 4}


def test_one_flat_folder_is_one_class():
    assert clear(*folders("cat")) == {("cat", None): 4}
    assert clear(*folders("pets/cat")) == {("cat", None): 4}
    assert clear("1.jpg", "2.jpg", root="cat") == {("cat", None): 2}
    assert clear("images/1.jpg", "images/2.jpg", root="cat") == {("cat", None): 2}
    assert clear("cat/cat/1.jpg", "cat/cat/2.jpg") == {("cat", None): 2}


def test_loose_files_have_no_class():
    readings = read("1.jpg", "2.jpg", root="")
    assert told(readings.found[0]) == {(None, None): 2}
    assert readings.found[0].notes == ()  # all of them come into a class that waits to be named


def test_stray_pictures_do_not_hide_the_classes():
    assert clear(*folders("pets/cat", "pets/dog"), "pets/cover.jpg") == {
        ("cat", None): 4,
        ("dog", None): 4,
        (None, None): 1,
    }
    assert clear(*folders("set/cat", "set/dog", count=9), "docs/plot.jpg")[None, None] == 1


def test_pieces_that_only_hold_pictures_are_one_class_named_after_all_of_them():
    assert clear(*folders("images_001/images", "images_002/images"), root="xray") == {("xray", None): 8}


def test_the_set_once_more_in_another_folder_is_read_as_one_and_said():
    readings = read(*folders("yes", "no", "brain_tumor_dataset/yes", "brain_tumor_dataset/no"))
    assert counts(readings.found[0]) == {"yes": 8, "no": 8}
    assert "brain_tumor_dataset" in readings.found[0].notes[0]


def test_the_set_once_more_inside_itself_has_the_same_labels():
    once = folders("set/train/a", "set/train/b", "set/test/a", "set/test/b")
    assert clear(*once, *(f"set/{path}" for path in once)) == {key: 2 * n for key, n in clear(*once).items()}
    once = folders("pets/cat", "pets/dog")
    assert clear(*once, *(f"pets/{path}" for path in once)) == {("cat", None): 8, ("dog", None): 8}


def test_folders_that_only_hold_pictures_are_passed_over():
    assert clear(*folders("cat/images", "dog/images")) == {("cat", None): 4, ("dog", None): 4}
    assert clear(*folders("images/cat", "images/dog")) == {("cat", None): 4, ("dog", None): 4}


# Several things brought together


def test_flat_zips_are_classes():
    readings = read_tree([(name, f"{n}.jpg") for name in ("Class_1-samples", "Class_2-samples") for n in range(3)])
    assert readings.is_clear
    assert counts(readings.found[0]) == {"Class_1-samples": 3, "Class_2-samples": 3}


def test_zips_that_are_parts_are_parts():
    readings = read_tree([(part, name, "1.jpg") for part in ("train", "test") for name in ("cat", "dog")])
    assert told(readings.found[0]) == {(c, s): 1 for c in ("cat", "dog") for s in ("train", "test")}


@pytest.mark.parametrize("roots", [("set_part1", "set_part2"), ("photos-001", "photos-002"), ("a (1)", "a (2)")])
def test_zips_that_are_pieces_of_one_set_are_joined(roots: tuple[str, str]):
    readings = read_tree([(root, name, "1.jpg") for root in roots for name in ("cat", "dog")])
    assert counts(choose(readings, readings.found[0].key)) == {"cat": 2, "dog": 2}


def test_zips_with_different_classes_come_together():
    paths = [("pets", "cat"), ("pets", "dog"), ("farm", "cow"), ("farm", "hen")]
    readings = read_tree([(*path, "1.jpg") for path in paths])
    assert readings.is_clear
    assert readings.found[0].classes == ("cat", "cow", "dog", "hen")


def test_zips_with_the_same_folders_are_asked_about():
    readings = read_tree([(fruit, how, "1.jpg") for fruit in ("apple", "banana") for how in ("fresh", "rotten")])
    assert not readings.is_clear


# Parts


@pytest.mark.parametrize("wrap", ["", "data/", "My Data/v2/"])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("TRAIN", "Valid", "Testing"),
        ("training_set", "validation_set", "test_set"),
        ("seg_train/seg_train", "seg_dev/seg_dev", "seg_test/seg_test"),
        ("entrenamiento", "validación", "prueba"),
        ("Trainingsdaten", "Validierungsdaten", "Testdaten"),
        ("训练集", "验证集", "测试集"),
        ("flowers_train", "flowers_val", "flowers_test"),
        ("train/images", "val/images", "test/images"),
    ],
)
def test_parts_on_top_are_kept(wrap: str, train: str, validation: str, test: str):
    paths = [f"{wrap}{split}/{name}/1.jpg" for split in (train, validation, test) for name in ("cat", "dog")]
    assert clear(*paths) == {(c, s): 1 for s in ("train", "validation", "test") for c in ("cat", "dog")}


def test_parts_below_each_class_are_kept():
    expected = {(name, split): 4 for name in ("cat", "dog") for split in ("train", "test")}
    assert clear(*folders("cat/train", "cat/test", "dog/train", "dog/test")) == expected
    assert clear(*folders("cat/train/images", "cat/test/images", "dog/train/images", "dog/test/images")) == expected


def test_classes_in_the_names_of_parts():
    assert clear(*folders("trainA", "trainB", "testA", "testB")) == {
        (name, split): 4 for name in ("A", "B") for split in ("train", "test")
    }


def test_one_lone_folder_called_test_is_no_part():
    assert clear(*folders("test/cat", "test/dog")) == {("cat", None): 4, ("dog", None): 4}
    assert "no part" in read(*folders("test/cat", "test/dog")).found[0].notes[0]
    assert clear(*folders("train/cat", "train/dog"), *folders("pred", count=9)) == {
        ("cat", None): 4,
        ("dog", None): 4,
        (None, None): 9,
    }


def test_the_same_classes_beside_one_part_are_the_rest():
    assert clear(*folders("cat", "dog", "test/cat", "test/dog")) == {
        (name, split): 4 for name in ("cat", "dog") for split in (None, "test")
    }
    assert clear(*folders("horses/a", "horses/b", "validation-horses/a", "validation-horses/b")) == {
        (name, split): 4 for name in ("a", "b") for split in ("train", "validation")
    }
    assert clear(*folders("face", "face_test")) == {("face", None): 4, ("face_test", None): 4}


def test_class_called_train_or_test_among_others_is_a_class():
    assert clear(*folders("train", "bus", "car")) == {("train", None): 4, ("bus", None): 4, ("car", None): 4}
    assert clear(*folders("photo", "sketch", "test", "labels", "images")) == {
        (name, None): 4 for name in ("photo", "sketch", "test", "labels", "images")
    }
    assert clear(*folders("train/train", "train/bus", "test/train", "test/bus")) == {
        (name, split): 4 for name in ("train", "bus") for split in ("train", "test")
    }
    assert clear("train/1.jpg", "train/2.jpg") == {("train", None): 2}


def test_pictures_without_a_class_in_a_part_are_left_aside_and_counted():
    readings = read(*folders("train/cat", "train/dog"), *folders("test", count=5))
    assert readings.is_clear
    assert told(readings.found[0]) == {("cat", "train"): 4, ("dog", "train"): 4, (None, "test"): 5}
    assert any(note.startswith("5 pictures have no class (test)") for note in readings.found[0].notes)


@pytest.mark.parametrize("stray", ["seg_pred/seg_pred", "unlabelled", "predictions", "extra"])
def test_stray_folders_beside_parts_are_no_classes_without_a_word(stray: str):
    readings = read(*folders("train/cat", "train/dog", "test/cat", "test/dog"), *folders(stray, count=30))
    assert readings.is_clear
    assert counts(readings.found[0]) == {"cat": 8, "dog": 8, None: 30}
    assert any("30 pictures have no class" in note and stray in note for note in readings.found[0].notes)


def test_notes_show_no_control_characters_of_folders():
    parts = folders("train/cat", "train/dog", "test/cat", "test/dog")
    (note,) = read(*parts, "\u202egpj\n/1.jpg").found[0].notes
    assert "1 picture has no class (\ufffdgpj\ufffd)" in note


def test_more_pictures_of_the_same_classes_beside_parts_are_used():
    readings = read(*folders("train/cat", "train/dog", "test/cat", "test/dog", "extra/cat", "dog"))
    assert told(readings.found[0])["cat", None] == told(readings.found[0])["dog", None] == 4
    assert any("8 more pictures" in note for note in readings.found[0].notes)


def test_parts_without_classes_keep_the_part():
    assert clear("train/1.jpg", "test/1.jpg") == {(None, "train"): 1, (None, "test"): 1}


def test_classes_in_some_parts_only_are_kept_and_named():
    notes = read(*folders("train/a", "train/b", "train/c", "test/a", "test/b", "test/d")).found[0].notes
    assert notes == (
        "Without training pictures, as you brought it: d.",
        "Without test pictures, as you brought it: c.",
    )


def test_names_that_differ_across_parts_are_noted_and_never_merged():
    reading = read(*folders("train/Glioma_tumor", "train/none", "test/glioma", "test/none")).found[0]
    assert len(reading.classes) == 3
    assert any("glioma and Glioma_tumor" in note and "may be the same" in note for note in reading.notes)
    assert not any("may be the same" in note for note in read(*folders("a/cat", "a/cats")).found[0].notes)


# Several levels


def keys(readings: Readings) -> list[str]:
    return [reading.key for reading in readings.found]


def test_crossed_levels_are_asked_about_with_all_readings():
    readings = read(*folders("fruit/apple/fresh", "fruit/apple/rotten", "fruit/banana/fresh", "fruit/banana/rotten"))
    assert not readings.is_clear
    assert keys(readings) == ["top", "depth 2", "joined"]
    assert [reading.classes for reading in readings.found] == [
        ("apple", "banana"),
        ("fresh", "rotten"),
        ("apple fresh", "apple rotten", "banana fresh", "banana rotten"),
    ]


def test_a_name_such_as_photo_is_never_dropped_where_it_tells_things_apart():
    readings = read(*folders("set/shop_1/photo", "set/shop_1/sketch", "set/shop_2/photo", "set/shop_2/sketch"))
    assert not readings.is_clear
    assert [reading.classes for reading in readings.found][:2] == [("photo", "sketch"), ("shop_1", "shop_2")]


def magnified(slide: str = "slide_{}_{}") -> list[str]:
    return folders(
        *(
            f"histo/{name}/SOB/{slide.format(number, name)}/{power}X"
            for name in ("benign", "malignant")
            for number in ("A", "B")
            for power in (40, 100)
        )
    )


def test_magnification_and_slides_are_offered_and_slides_stay_together():
    readings = read(*magnified())
    assert readings.is_clear
    assert keys(readings) == ["top", "depth 4", "depth 3"]
    assert counts(readings.found[0]) == {"benign": 16, "malignant": 16}
    groups = {label.group for label in readings.found[0].labels}
    assert len(groups) == 4
    assert groups == {label.group for label in readings.found[1].labels}


def test_groups_of_the_same_name_in_two_classes_stay_apart():
    labels = read(*magnified("slide_{}")).found[0].labels
    assert len({label.group for label in labels}) == 4


def test_numbered_folders_of_several_pictures_are_groups_only_where_they_are_many():
    many = [f"{name}/{number:04}" for at, name in enumerate(("sick", "well")) for number in range(at * 9, at * 9 + 9)]
    assert len({label.group for label in read(*folders(*many)).found[0].labels}) == 18
    grades = [f"{name}/{number}" for name in ("apple", "pear") for number in (1, 2, 3)]
    readings = read(*folders(*grades))
    assert readings.is_clear
    assert {label.group for label in readings.found[0].labels} == {None}
    assert {label.group for label in read(*folders(*many, count=1)).found[0].labels} == {None}


def test_breeds_are_no_groups_and_can_be_chosen():
    readings = read(*folders("cat/siamese", "cat/persian", "dog/pug", "dog/beagle"))
    assert readings.is_clear
    assert keys(readings) == ["top", "depth 2"]
    assert {label.group for label in readings.found[0].labels} == {None}


def test_patients_around_classes_are_groups():
    paths = folders(*(f"patient_{n:02}/{name}" for n in range(12) for name in ("sick", "well")))
    readings = read(*paths)
    assert readings.is_clear
    assert readings.found[0].key == "depth 2"
    assert counts(readings.found[0]) == {"sick": 48, "well": 48}
    assert len({label.group for label in readings.found[0].labels}) == 12


def test_very_many_numbers_around_few_classes_are_asked_about():
    readings = read(*folders(*(f"{10253 + 7 * n}/{name}" for n in range(40) for name in "01")))
    assert not readings.is_clear
    assert readings.found[0].classes == ("0", "1")
    assert len({label.group for label in readings.found[0].labels}) == 40


def test_many_classes_with_the_same_folders_inside_are_clear():
    readings = read(*folders(*(f"flower {chr(97 + n)}x/{side}" for n in range(25) for side in ("front", "side"))))
    assert readings.is_clear
    assert len(readings.found[0].classes) == 25


def test_numbered_pieces_around_the_same_classes_are_joined():
    assert clear(*folders("batch_1/cat", "batch_1/dog", "batch_2/cat", "batch_2/dog")) == {
        ("cat", None): 8,
        ("dog", None): 8,
    }


def test_numbered_folders_around_different_classes_are_asked_about():
    readings = read(*folders("pets_1/cat", "pets_1/dog", "pets_2/owl", "pets_2/cow"))
    assert not readings.is_clear
    assert readings.found[0].classes == ("cat", "cow", "dog", "owl")


def test_folders_in_the_one_that_holds_nearly_everything_are_asked_about():
    readings = read(*folders("data/cat", "data/dog", count=20), *folders("other", count=2))
    assert not readings.is_clear
    assert [reading.classes for reading in readings.found] == [("cat", "dog"), ("data", "other")]
    readings = read(*folders("cat/a", "cat/b", count=20), *folders("dog"))
    assert not readings.is_clear
    assert [reading.classes for reading in readings.found] == [("cat", "dog"), ("a", "b")]


def test_classes_in_one_part_beside_other_folders_are_asked_about():
    readings = read(*folders("train/cat", "train/dog"), *folders("some more", count=20))
    assert not readings.is_clear
    assert [counts(reading) for reading in readings.found] == [
        {"cat": 4, "dog": 4, None: 20},
        {"train": 8, "some more": 20},
    ]


def test_folders_in_sets_of_pictures_are_asked_about():
    readings = read(*folders("colon_image_sets/a", "colon_image_sets/b", "lung_image_sets/c", "lung_image_sets/d"))
    assert not readings.is_clear
    assert readings.found[0].classes == ("a", "b", "c", "d")


def test_few_variants_around_many_classes_are_asked_about():
    kinds = [f"{variant}/plant {chr(97 + n)}" for variant in ("color", "grey") for n in range(25)]
    readings = read(*folders(*kinds))
    assert not readings.is_clear
    assert len(readings.found[0].classes) == 25
    assert read(*folders("128x128/cat", "128x128/dog", "64x64/cat", "64x64/dog")).found[0].classes == ("cat", "dog")


def test_long_numbers_of_slides_are_groups():
    paths = [
        f"{c}/{kind}/B{kind}-14-{22549 + n}{end}/{x}X"
        for c, kind in (("a", "k"), ("b", "l"))
        for n, end in enumerate(("AB", "CD", "EF", "G"))
        for x in (40, 100)
    ]
    assert len({label.group for label in read(*folders(*paths)).found[0].labels}) == 8


# Names of files


def test_names_of_files_are_the_classes_where_folders_say_nothing():
    names = [f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(5)]
    readings = read(*names, *(f"test1/{n}.jpg" for n in range(9)))
    assert readings.is_clear
    assert readings.found[0].key == "file names"
    assert told(readings.found[0]) == {("cat", "train"): 5, ("dog", "train"): 5, (None, "test"): 9}
    assert clear(*names) == {("cat", None): 5, ("dog", None): 5}


def test_names_of_files_are_silent_where_folders_speak():
    readings = read(*(f"{folder}/{name}_{n}.jpg" for folder in ("a", "b") for name in ("x", "y") for n in range(3)))
    assert keys(readings) == ["top"]


def test_frames_of_clips_stay_together():
    paths = [f"{name}/clip{clip}_frame_{n:03}.jpg" for name in ("cat", "dog") for clip in (1, 2) for n in range(5)]
    assert Counter(label.group for label in read(*paths).found[0].labels) == {
        f"{name}/clip{clip}": 5 for name in ("cat", "dog") for clip in (1, 2)
    }


# Label files


def test_label_file_decides_where_folders_tell_no_classes():
    paths = folders("skin_images_part_1", "skin_images_part_2")
    said = [column(["nv", "mel"] * 4, "skin.csv", "dx")]
    for brought in (paths, folders("pictures", count=8), [path.split("/")[1] + str(n) for n, path in enumerate(paths)]):
        readings = read(*brought, said=said)
        assert readings.is_clear
        assert readings.found[0].key == "skin.csv: dx"
        assert counts(readings.found[0]) == {"nv": 4, "mel": 4}


def test_label_file_that_says_the_same_is_noted():
    readings = read(*folders("cat", "dog"), said=[column(["c"] * 4 + ["d"] * 4)])
    assert readings.is_clear
    assert keys(readings) == ["top"]
    assert readings.found[0].classes == ("cat", "dog")
    assert any("labels.csv says the same" in note for note in readings.found[0].notes)


def test_label_file_names_numbered_folders():
    readings = read(*folders("00000", "00001"), said=[column(["stop"] * 4 + ["yield"] * 4)])
    assert readings.is_clear
    assert readings.found[0].classes == ("stop", "yield")
    assert counts(readings.found[0]) == {"stop": 4, "yield": 4}


def test_label_file_that_says_something_else_is_asked_about():
    readings = read(*folders("cat", "dog"), said=[column(["in", "out"] * 4)])
    assert not readings.is_clear
    assert keys(readings) == ["labels.csv: label", "top"]


def test_label_file_of_a_few_pictures_does_not_hide_the_folders():
    readings = read(*folders("cat", "dog"), said=[column(["in", "out", "in"] + [None] * 5)])
    assert readings.is_clear
    assert keys(readings) == ["top", "labels.csv: label"]


def test_label_file_answers_the_question_which_level_it_is():
    paths = folders("apple/fresh", "apple/rotten", "banana/fresh", "banana/rotten")
    readings = read(*paths, said=[column((["good"] * 4 + ["bad"] * 4) * 2)])
    assert readings.is_clear
    assert readings.found[0].classes == ("fresh", "rotten")


def test_label_file_gives_the_class_of_a_flat_test_folder():
    said = [column([None] * 8 + ["cat", "dog", "cat"])]
    readings = read(*folders("train/cat", "train/dog"), *folders("test", count=3), said=said)
    assert told(readings.found[0]) == {
        ("cat", "train"): 4,
        ("dog", "train"): 4,
        ("cat", "test"): 2,
        ("dog", "test"): 1,
    }


def test_parts_and_groups_come_from_folders_or_file():
    said = [FileLabels("l.csv", "dx", tuple(Label(name, None, f"p{n}") for n, name in enumerate(["a", "b"] * 4)))]
    labels = read(*folders("train", "test"), said=said).found[0].labels
    assert labels[0] == Label("a", "train", "p0")
    said = [FileLabels("l.csv", "dx", tuple(Label(name, "test") for name in ["a", "b"] * 4))]
    labels = read(*folders("patient_1", "patient_2"), said=said).found[0].labels
    assert labels[0] == Label("a", "test", "patient_1")
    assert labels[-1] == Label("b", "test", "patient_2")


# Names of classes, empty folders, nothing at all


def test_names_that_look_alike_stay_apart():
    readings = read(*(f"{name}/1.jpg" for name in ("Cat", "cat", "cat ", "dog", "cafe\u0301", "caf\u00e9")))
    names = [label.class_name for label in readings.found[0].labels]
    assert names == ["Cat", "cat", "cat (2)", "dog", "caf\u00e9 (2)", "caf\u00e9"]


def test_empty_folders_are_classes_without_pictures():
    empty = [("brought", "owl")]
    reading = read(*folders("cat", "dog"), empty_folders=empty).found[0]
    assert reading.classes == ("cat", "dog", "owl")
    assert read(empty_folders=[("brought", "pets", "owl"), ("brought", "pets", "cat")]).found[0].classes == (
        "cat",
        "owl",
    )


def test_no_pictures_no_labels():
    readings = read_tree([])
    assert readings.is_clear
    assert readings.found[0].labels == ()


# Choosing


def test_readings_are_chosen_by_key_or_depth():
    paths = folders("apple/fresh", "apple/rotten", "banana/fresh", "banana/rotten")
    readings = read(*paths)
    assert choose(readings, "joined").classes[0] == "apple fresh"
    assert choose(readings, 1) == choose(readings, "top") == choose(readings, "depth 1")
    assert choose(readings, 2) == choose(readings, "depth 2")
    assert choose(read(*paths, wanted="leaf"), "leaf").classes == ("fresh", "rotten")
    assert choose(read(*folders("cat", "dog"))).classes == ("cat", "dog")
    assert choose(read(*magnified(), wanted="leaf"), "leaf").classes == ("40X", "100X")
    assert choose(read("cat/a_1.jpg", "cat/a_2.jpg", "dog/b_1.jpg", "dog/b_2.jpg", wanted="file names"), "file names")


def test_unclear_or_unknown_choice_lists_all_readings():
    readings = read(*folders("apple/fresh", "apple/rotten", "banana/fresh", "banana/rotten"))
    for key in (None, "depth 7", 7):
        with pytest.raises(DatasetError) as error:
            choose(readings, key)
        assert 'classes="top": apple and banana are the classes (apple 8, banana 8)' in str(error.value)
        assert 'classes="joined"' in str(error.value)


# The tree that is shown


def test_tree_says_what_each_folder_means():
    reading = read(*folders("s/train/a/x", "s/train/b/y", "s/test/a/x", "s/test/b/y"), *folders("s/extra")).found[0]
    roles = {"/".join(folder.path): (folder.role, folder.pictures) for folder in reading.folders}
    assert roles["brought"] == ("passed", 20)
    assert roles["brought/s/train"] == ("part", 8)
    assert roles["brought/s/train/a"] == ("class", 4)
    assert roles["brought/s/extra"] == ("aside", 4)


def test_tree_stays_small():
    paths = [
        f"{split}/class{c}/patient_{c}_{p}/{n}.jpg"
        for split in ("train", "test")
        for c in range(60)
        for p in range(5)
        for n in range(2)
    ]
    rows = read(*paths).found[0].folders
    assert len(rows) <= 40
    assert [row.role for row in rows] == ["passed", "part", "class", "group", "part", "class", "group"]
    assert any(row.why == "60 folders" for row in rows)
    assert any(row.why == "300 folders" and row.pictures == 600 for row in rows)


# Properties

TREES = {
    "parts": folders("train/cat", "train/dog", "test/cat", "test/dog", "pred"),
    "crossed": folders("apple/fresh", "apple/rotten", "banana/fresh", "banana/rotten"),
    "slides": magnified(),
    "doubled": folders("set/cat", "set/dog", "set/set/cat", "set/set/dog"),
    "names": [f"train/{name}.{n}.jpg" for name in ("cat", "dog") for n in range(5)],
    "patients": folders(*(f"patient_{n:02}/{name}" for n in range(12) for name in ("sick", "well"))),
    "alike": [f"{name}/1.jpg" for name in ("Cat", "cat", "cat ", "dog")],
}


@pytest.mark.parametrize("name", TREES)
def test_order_of_the_pictures_never_matters(name: str):
    paths = TREES[name]
    expected = read(*paths)
    for seed in range(3):
        order = random.Random(seed).sample(range(len(paths)), len(paths))
        found = read(*(paths[at] for at in order))
        assert found.is_clear == expected.is_clear
        for reading, other in zip(found.found, expected.found, strict=True):
            assert reading.labels == tuple(other.labels[at] for at in order)
            assert (reading.key, reading.title, reading.classes) == (other.key, other.title, other.classes)
            assert (reading.folders, reading.notes) == (other.folders, other.notes)


@pytest.mark.parametrize("name", TREES)
def test_name_of_what_was_brought_never_matters(name: str):
    expected = read(*TREES[name])
    for root in ("", "images", "train", "patient_1", "part 2", "Ärger & Co."):
        found = read(*TREES[name], root=root)
        assert found.is_clear == expected.is_clear
        assert [r.labels for r in found.found] == [r.labels for r in expected.found]


# The shared inputs after public reports

CASES: dict[str, tuple[bool, list[dict[str | None, int]]]] = {
    "03_images_and_masks.zip": (True, [{"Ill": 6, "Normal": 6}]),
    "04_magnification_leaves.zip": (True, [{"benign": 12, "malignant": 12}]),
    "05_same_leaf_name.zip": (False, [{"apple": 8, "banana": 8}]),
    "06_seg_train.zip": (True, [{"forest": 9, "sea": 9, None: 6}]),
    "07_doubled_inside.zip": (True, [{"NORMAL": 22, "PNEUMONIA": 22}]),
    "08_flat_test.zip": (True, [{"cat": 8, "dog": 8, None: 5}]),
    "09_class_in_file_name.zip": (True, [{"cat": 6, "dog": 6}]),
    "10_nas_thumbnails.zip": (True, [{"cat": 6, "dog": 6}]),
    "13_class_called_photo.zip": (False, [{"photo": 8, "sketch": 8}, {"shop_1": 8, "shop_2": 8}]),
    "22_icloud_placeholders.zip": (True, [{"cat": 2, "dog": 2}]),
    "26_class_sets_differ.zip": (True, [{"a": 12, "b": 12, "c": 4, "d": 4}]),
    "26b_names_differ.zip": (True, [{"Glioma_tumor": 4, "No_tumor": 4, "glioma": 4, "notumor": 4}]),
    "31_ipynb_checkpoints.zip": (True, [{"skip": 3, "no_skip": 3}]),
    "37_folder_called_test.zip": (True, [{"cat": 8, "dog": 8}]),
}


@pytest.mark.parametrize("name", CASES)
def test_cases_of_public_reports(name: str, shared_data: Path):
    path = shared_data / "cases" / name
    if not path.exists():
        pytest.skip(f"{name} is not in the shared data folder")
    with zipfile.ZipFile(path) as archive:
        inside = [parts for entry in archive.namelist() if not entry.endswith("/") and (parts := split_path(entry))]
    pictures = [p for p in inside if PurePath(p[-1]).suffix.lower() in PICTURE_SUFFIXES and why_aside(p) is None]
    paths = [(path.stem, *parts) for parts in pictures]
    paths = [parts for parts, aside in zip(paths, aside_among(paths), strict=True) if aside is None]
    readings = read_tree(paths)
    is_clear, expected = CASES[name]
    assert readings.is_clear == is_clear
    assert [counts(reading) for reading in readings.found[: len(expected)]] == expected


# What other sets of these kinds showed


def test_parts_of_a_sample_are_parts():
    found = clear(*folders("train_mini/cat", "train_mini/dog", "val/cat", "val/dog", "TEST_SIMPLE/cat"))
    assert found[("cat", "test")] == found[("dog", "validation")] == found[("cat", "train")] == 4


def test_parts_in_one_of_several_folders_are_parts():
    parts = folders("set/set/train/cat", "set/set/train/dog", "set/set/test/cat", "set/set/test/dog")
    found = clear(*parts, *folders("large/large/cat", "large/large/dog", count=2))
    assert found == {(name, part): n for name in ("cat", "dog") for part, n in (("train", 4), ("test", 4), (None, 2))}
    assert clear(*parts, *folders("other/pictures"))[None, None] == 4


def test_pieces_of_a_download_are_one_set():
    paths = [
        (f"pets-20240101T101010Z-00{piece}", "pets", name, f"{piece}{number}.jpg")
        for piece, name in ((1, "cat"), (1, "dog"), (2, "dog"))
        for number in range(4)
    ]
    readings = read_tree(paths)
    assert readings.is_clear
    assert counts(readings.found[0]) == {"cat": 4, "dog": 8}


def test_days_below_classes_are_no_classes():
    found = clear(*folders(*(f"{name}/2024-05-0{day}" for name in ("cat", "dog") for day in (1, 2, 3))))
    assert found == {("cat", None): 12, ("dog", None): 12}


def test_what_is_sorted_is_asked_about():
    readings = read(*folders("sorted/cat", "sorted/dog", "unsorted"))
    assert not readings.is_clear
    assert counts(readings.found[0]) == {"cat": 4, "dog": 4, None: 4}


def test_names_that_two_of_three_parts_share_may_be_the_same_class():
    names = ("train/cancer_left", "valid/cancer_left", "test/cancer", "train/well", "valid/well", "test/well")
    notes = read(*folders(*names)).found[0].notes
    assert any("cancer and cancer_left" in note and "may be the same class" in note for note in notes)


def test_names_of_files_name_the_numbers_of_a_label_file():
    paths = [f"images/{name}_{number}.jpg" for name in ("cat", "dog") for number in range(4)]
    numbers = FileLabels("list.txt", "", tuple(Label("12"[n // 4], "test" if n % 4 > 1 else "train") for n in range(8)))
    assert clear(*paths, said=[numbers]) == {
        ("cat", "train"): 2,
        ("cat", "test"): 2,
        ("dog", "train"): 2,
        ("dog", "test"): 2,
    }


def test_a_second_file_says_what_belongs_together():
    paths = [f"photos/{number}.jpg" for number in range(8)]
    groups = FileLabels("more.csv", "", tuple(Label(None, None, f"patient {n // 2}") for n in range(8)))
    found = read(*paths, said=[column(["ill"] * 4 + ["well"] * 4), groups]).found[0]
    assert [label.group for label in found.labels] == [f"patient {n // 2}" for n in range(8)]


def test_a_list_of_numbers_says_no_classes():
    paths = folders("cat", "dog")
    readings = read(*paths, said=[column([str(number) for number in range(8)], "images.txt")])
    assert counts(readings.found[0]) == {"cat": 4, "dog": 4}


def test_a_folder_and_a_zip_with_a_further_class_come_together():
    found = read_tree(
        [("pets", name, f"{i}.jpg") for name in ("cat", "dog") for i in range(5)] + [("more", "fish", "1.jpg")]
    )
    assert found.is_clear
    assert set(found.found[0].classes) == {"cat", "dog", "fish"}
    paths = [("pets", "cat", "1.jpg"), ("pets", "dog", "1.jpg"), ("owl", "images", "1.jpg")]
    assert set(read_tree(paths).found[0].classes) != {"cat", "dog", "images"}


def test_ten_thousand_folders_beside_each_other_are_understood_in_a_moment():
    paths = [("up", f"class {number}", "1.jpg") for number in range(10_000)]
    began = time.process_time()
    readings = read_tree(paths)
    assert len(readings.found[0].classes) == 10_000
    assert time.process_time() - began < 4
