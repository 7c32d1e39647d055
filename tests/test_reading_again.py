"""What was brought is placed in classes, read again later, and found by the names of its folders and files."""

from collections import Counter
from dataclasses import replace

import pytest

from tlcore.dataset import Dataset, check_trainable, delete_images, move_images, rename_class
from tlcore.errors import DatasetError
from tlcore.intake.brought import UNLABELLED, Brought, Picture, by_files, by_folders, give_class, read_again, read_as
from tlcore.intake.collection import Gathered
from tlcore.intake.meaning.tree import read_tree

FRUIT = tuple(
    f"fruit/{name}/{state}/{number}.jpg"
    for name in ("apple", "banana")
    for state in ("fresh", "rotten")
    for number in range(4)
)


def brought(paths: tuple[str, ...], **images: str) -> Brought:
    """Pictures at these paths, each with a key of its own unless told otherwise."""
    pictures = tuple(Picture(images.get(path, f"key {path}"), path) for path in paths)
    return Brought(pictures, read_tree([("", *path.split("/")) for path in paths]))


def came(paths: tuple[str, ...] = FRUIT, import_id: str = "one") -> tuple[Brought, Dataset]:
    found = brought(paths)
    return found, Gathered(found, (), ()).into(Dataset(), import_id=import_id).dataset


def counts(dataset: Dataset) -> dict[str, int]:
    names = {label.id: label.name for label in dataset.classes}
    found = Counter(names[item.class_id] for item in dataset.items)
    return {name: found[name] for name in names.values()}


def key_of(found: Brought, *classes: str) -> str:
    return next(one.key for one in found.readings.found if set(one.classes) == set(classes))


def test_unclear_import_is_a_question_and_nothing_is_learned_before_the_answer():
    found, dataset = came()
    assert dataset.question == "one"
    assert counts(dataset) == {"apple": 8, "banana": 8}
    with pytest.raises(DatasetError, match="Say on the Data page"):
        check_trainable(dataset)
    answered = read_again(dataset, "one", found, "top")
    assert answered.question is None
    assert answered.items == dataset.items
    check_trainable(answered)


def test_another_reading_needs_no_pictures_and_can_be_changed_again():
    found, dataset = came()
    states = read_again(dataset, "one", found, key_of(found, "fresh", "rotten"))
    assert counts(states) == {"fresh": 8, "rotten": 8}
    assert {item.image for item in states.items} == {item.image for item in dataset.items}
    assert states.question is None
    back = read_again(states, "one", found, "top")
    assert counts(back) == {"apple": 8, "banana": 8}
    assert {item.split for item in back.items} == {"train", "validation", "test"}


def test_what_was_deleted_stays_deleted_and_what_was_there_stays():
    found, dataset = came()
    before = Gathered(brought(("pets/cat/1.jpg", "pets/dog/1.jpg")), (), ()).into(Dataset()).dataset
    dataset = Gathered(found, (), ()).into(before, import_id="one").dataset
    apple = next(label.id for label in dataset.classes if label.name == "apple")
    gone = [item.image for item in dataset.of_class(apple)][:3]
    dataset = delete_images(dataset, apple, gone)
    states = read_again(dataset, "one", found, key_of(found, "fresh", "rotten"))
    assert sum(counts(states).values()) == 15
    assert counts(states)["cat"] == counts(states)["dog"] == 1
    assert not {item.image for item in states.items} & set(gone)


def test_moved_pictures_and_renamed_classes_follow_the_new_reading():
    found, dataset = came()
    apple, banana = (label.id for label in dataset.classes)
    moved = [item.image for item in dataset.of_class(apple)][:2]
    dataset = rename_class(move_images(dataset, apple, moved, banana), apple, "my apples")
    states = read_again(dataset, "one", found, key_of(found, "fresh", "rotten"))
    assert {name: number for name, number in counts(states).items() if number} == {"fresh": 8, "rotten": 8}


def test_a_class_that_other_pictures_use_stays():
    found, dataset = came()
    more = Gathered(brought(("more/apple/9.jpg", "more/pear/9.jpg")), (), ()).into(dataset).dataset
    states = read_again(more, "one", found, key_of(found, "fresh", "rotten"))
    assert counts(states) == {"apple": 1, "pear": 1, "fresh": 8, "rotten": 8}


def test_unknown_reading_lists_those_there_are():
    found, dataset = came()
    with pytest.raises(DatasetError, match="top"):
        read_again(dataset, "one", found, "colour")


def test_pictures_without_class_are_put_aside_and_can_get_one():
    paths = (*(f"s/train/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(9)), "s/test/a.jpg", "s/test/b.jpg")
    dataset = Gathered(brought(paths), (), ()).into(Dataset()).dataset
    assert [one.name for one in dataset.unlabelled] == ["a.jpg", "b.jpg"]
    cat = dataset.classes[0]
    given = give_class(dataset, ["key s/test/a.jpg"], cat.id)
    assert [one.name for one in given.unlabelled] == ["b.jpg"]
    assert counts(given) == {"cat": 10, "dog": 9}


def test_pictures_that_get_a_class_later_stay_with_their_group():
    found = brought(("1.jpg", "2.jpg", "3.jpg", "cat/4.jpg", "dog/5.jpg"))
    reading = read_as(found, [None, None, None, "cat", "dog"])
    labels = tuple(
        replace(label, group="patient 1" if number < 4 else None) for number, label in enumerate(reading.labels)
    )
    dataset = found.place(Dataset(), replace(reading, labels=labels))
    given = give_class(dataset, [one.image for one in dataset.unlabelled], dataset.classes[0].id)
    assert {item.split for item in given.of_class(dataset.classes[0].id)} == {"train"}


def test_pictures_of_which_nothing_says_a_class_wait_in_one():
    dataset = Gathered(brought(("1.jpg", "2.jpg")), (), ()).into(Dataset()).dataset
    assert counts(dataset) == {UNLABELLED: 2}
    assert dataset.unlabelled == ()


def test_folders_are_found_by_as_many_names_as_are_given():
    found = brought(FRUIT)
    states = by_folders(found, {"fresh": "good", "rotten": "bad", "banana/rotten": "very bad"})
    assert Counter(states) == {"good": 8, "bad": 4, "very bad": 4}
    assert by_folders(found, {"apple": "a"})[-1] is None
    with pytest.raises(DatasetError, match="no folder appel"):
        by_folders(found, {"appel": "a"})


def test_files_are_found_by_their_path_or_its_end():
    found = brought(("s/a/1.jpg", "s/b/2.jpg"))
    assert by_files(found, {"s/a/1.jpg": "x", "2.jpg": "y"}) == ["x", "y"]
    assert by_files(found, {"a/1.jpg": "x"}) == ["x", None]
    with pytest.raises(DatasetError, match=r"no picture 3\.jpg"):
        by_files(found, {"3.jpg": "x"})


def test_given_classes_keep_parts_and_groups():
    paths = tuple(f"s/{part}/{name}/{i}.jpg" for part in ("train", "test") for name in ("a", "b") for i in range(6))
    found = brought(paths)
    reading = read_as(found, ["x" if "/a/" in path else None for path in paths])
    assert Counter((label.class_name, label.split) for label in reading.labels) == {
        ("x", "train"): 6,
        ("x", "test"): 6,
        (None, "train"): 6,
        (None, "test"): 6,
    }
