"""Edits of a data set: every one returns a new data set and leaves the old one alone."""

import pytest

from tlcore.dataset import (
    MAX_CLASS_NAME_LENGTH,
    MAX_CLASSES,
    Dataset,
    Item,
    clean_class_name,
    delete_class,
    delete_images,
    merge_class,
    move_images,
    rename_class,
    unique_items,
    with_class,
)
from tlcore.errors import DatasetError


@pytest.fixture
def dataset() -> Dataset:
    """Cats 1 to 3 (3 is a test picture), dogs 4 and 5."""
    dataset, cat = with_class(Dataset(), "cat")
    dataset, dog = with_class(dataset, "dog")
    items = [Item(str(number), cat.id, "test" if number == 3 else "train", f"{number}.jpg") for number in (1, 2, 3)]
    items += [Item(str(number), dog.id, "train", f"{number}.jpg") for number in (4, 5)]
    return Dataset(dataset.classes, tuple(items))


def id_of(dataset: Dataset, name: str) -> str:
    label = dataset.class_named(name)
    assert label is not None
    return label.id


def images_of(dataset: Dataset, name: str) -> list[str]:
    return [item.image for item in dataset.of_class(id_of(dataset, name))]


def test_a_class_is_added_once(dataset: Dataset) -> None:
    again, label = with_class(dataset, "  cat ")
    assert again == dataset
    assert label.name == "cat"


def test_a_new_class_takes_the_first_free_color(dataset: Dataset) -> None:
    assert [label.color for label in dataset.classes] == [0, 1]
    without_cat = delete_class(dataset, id_of(dataset, "cat"))
    with_bird, bird = with_class(without_cat, "bird")
    assert bird.color == 0
    assert with_class(with_bird, "fish")[1].color == 2


def test_renaming_keeps_pictures_color_and_order(dataset: Dataset) -> None:
    renamed = rename_class(dataset, id_of(dataset, "cat"), "Katze")
    assert renamed.class_names == ("Katze", "dog")
    assert renamed.classes[0].color == dataset.classes[0].color
    assert renamed.items == dataset.items
    assert dataset.class_names == ("cat", "dog")


def test_a_class_can_be_renamed_to_its_own_name(dataset: Dataset) -> None:
    assert rename_class(dataset, id_of(dataset, "cat"), " cat ") == dataset


def test_two_classes_cannot_have_one_name(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="already a class called dog"):
        rename_class(dataset, id_of(dataset, "cat"), "dog")


def test_merging_moves_all_pictures_and_removes_the_class(dataset: Dataset) -> None:
    merged = merge_class(dataset, id_of(dataset, "cat"), id_of(dataset, "dog"))
    assert merged.class_names == ("dog",)
    assert images_of(merged, "dog") == ["1", "2", "3", "4", "5"]
    assert [item.split for item in merged.items] == ["train", "train", "test", "train", "train"]


def test_merging_keeps_one_copy_of_a_picture_that_both_had(dataset: Dataset) -> None:
    shared = Dataset(dataset.classes, (*dataset.items, Item("1", id_of(dataset, "dog"), "train", "1.jpg")))
    merged = merge_class(shared, id_of(dataset, "cat"), id_of(dataset, "dog"))
    assert images_of(merged, "dog").count("1") == 1


def test_a_class_cannot_be_merged_with_itself(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="merged with itself"):
        merge_class(dataset, id_of(dataset, "cat"), id_of(dataset, "cat"))


def test_deleting_a_class_removes_its_pictures(dataset: Dataset) -> None:
    left = delete_class(dataset, id_of(dataset, "cat"))
    assert left.class_names == ("dog",)
    assert [item.image for item in left.items] == ["4", "5"]


def test_deleting_images_leaves_the_same_picture_in_other_classes(dataset: Dataset) -> None:
    shared = Dataset(dataset.classes, (*dataset.items, Item("1", id_of(dataset, "dog"), "train", "1.jpg")))
    left = delete_images(shared, id_of(dataset, "cat"), ["1", "2", "not there"])
    assert images_of(left, "cat") == ["3"]
    assert images_of(left, "dog") == ["4", "5", "1"]


def test_moving_images_keeps_their_split(dataset: Dataset) -> None:
    moved = move_images(dataset, id_of(dataset, "cat"), ["3"], id_of(dataset, "dog"))
    assert images_of(moved, "cat") == ["1", "2"]
    assert [item.split for item in moved.of_class(id_of(moved, "dog"))] == ["test", "train", "train"]


def test_moving_images_into_a_class_that_is_gone_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no longer there"):
        move_images(dataset, id_of(dataset, "cat"), ["3"], "gone")


def test_an_edit_of_a_class_that_is_gone_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no longer there"):
        delete_class(dataset, "gone")
    with pytest.raises(DatasetError, match="no longer there"):
        rename_class(dataset, "gone", "x")
    with pytest.raises(DatasetError, match="no longer there"):
        merge_class(dataset, "gone", id_of(dataset, "dog"))


def test_counts_tell_class_and_split(dataset: Dataset) -> None:
    counts = dataset.counts()
    assert counts[id_of(dataset, "cat"), "train"] == 2
    assert counts[id_of(dataset, "cat"), "test"] == 1
    assert counts[id_of(dataset, "dog"), "test"] == 0
    assert [item.image for item in dataset.subset("test")] == ["3"]
    assert dataset.class_index() == {id_of(dataset, "cat"): 0, id_of(dataset, "dog"): 1}


@pytest.mark.parametrize(
    ("typed", "cleaned"),
    [(" a  b ", "a b"), ("a\tb\n", "a b"), ("\x00cat\x1b", "cat"), ("\u202ecat", "cat"), ("<b>", "<b>"), ("猫", "猫")],
)
def test_a_class_name_has_no_control_characters(typed: str, cleaned: str) -> None:
    assert clean_class_name(typed) == cleaned


@pytest.mark.parametrize("typed", ["", "  ", "\x00", "x" * (MAX_CLASS_NAME_LENGTH + 1)])
def test_a_class_name_that_cannot_be_used_is_refused(typed: str) -> None:
    with pytest.raises(DatasetError, match="class"):
        clean_class_name(typed)


def test_there_is_a_largest_number_of_classes() -> None:
    dataset = Dataset()
    for number in range(MAX_CLASSES):
        dataset, _ = with_class(dataset, str(number))
    assert len({label.color for label in dataset.classes}) == MAX_CLASSES
    with pytest.raises(DatasetError, match=f"at most {MAX_CLASSES} classes"):
        with_class(dataset, "one more")
    assert with_class(dataset, "7")[0] == dataset


def test_unique_items_keep_the_first_copy() -> None:
    first = Item("1", "a", "train", "first.jpg")
    assert unique_items([first, Item("1", "a", "test", "second.jpg")]) == (first,)
