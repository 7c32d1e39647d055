"""Pictures are shared out to train, validation and test."""

from collections import Counter
from dataclasses import replace

import pytest

from tlcore.dataset import ClassLabel, Dataset, Split
from tlcore.intake.splitting import NewItem, assign_splits, resplit

EMPTY = Dataset(tuple(ClassLabel(name, name, index) for index, name in enumerate("abc")))


def new(class_id: str, count: int, split: Split | None = None, start: int = 0) -> list[NewItem]:
    return [NewItem(f"{class_id}{i}", class_id, f"{i}.jpg", split) for i in range(start, start + count)]


def counts(items, class_id: str) -> tuple[int, int, int]:
    splits = Counter(item.split for item in items if item.class_id == class_id)
    return splits["train"], splits["validation"], splits["test"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (10, (6, 2, 2)), (100, (70, 15, 15))],
)
def test_each_class_is_shared_out_by_the_fractions(count: int, expected: tuple[int, int, int]):
    items = assign_splits(new("a", count) + new("b", 50), EMPTY)
    assert counts(items, "a") == expected


def test_same_seed_gives_the_same_splits_in_any_order():
    pictures = new("a", 40)
    splits = {item.image: item.split for item in assign_splits(pictures, EMPTY, seed=3)}
    assert {item.image: item.split for item in assign_splits(pictures[::-1], EMPTY, seed=3)} == splits
    assert {item.image: item.split for item in assign_splits(pictures, EMPTY, seed=4)} != splits


def test_copies_share_a_split_even_across_classes():
    pictures = new("a", 30) + [replace(picture, class_id="b") for picture in new("a", 30)]
    sides: dict[str, set[str]] = {}
    for item in assign_splits(pictures, EMPTY):
        sides.setdefault(item.image, set()).add(item.split)
    assert all(len(side) == 1 for side in sides.values())


def test_given_splits_are_kept():
    pictures = new("a", 5, "train") + new("a", 3, "validation", 5) + new("a", 2, "test", 8)
    assert [item.split for item in assign_splits(pictures, EMPTY)] == [picture.split for picture in pictures]


def test_missing_validation_is_taken_from_train_only():
    items = assign_splits(new("a", 80, "train") + new("a", 20, "test", 80), EMPTY)
    assert counts(items, "a") == (68, 12, 20)
    assert all(item.split == "test" for item in items[80:])


def test_missing_test_is_taken_from_train_only():
    items = assign_splits(new("a", 80, "train") + new("a", 20, "validation", 80), EMPTY)
    assert counts(items, "a") == (68, 20, 12)


def test_train_alone_is_shared_out():
    assert counts(assign_splits(new("a", 100, "train"), EMPTY), "a") == (70, 15, 15)


def test_picture_in_train_and_test_is_only_tested():
    items = assign_splits(new("a", 9, "train") + new("a", 1, "test"), EMPTY)
    assert items[0].split == items[-1].split == "test"


def test_train_and_test_folders_with_the_same_pictures_leave_something_to_train():
    items = assign_splits(new("a", 10, "train") + new("a", 10, "test"), EMPTY)
    assert counts(items[:10], "a") == (6, 2, 2)
    assert items[:10] == items[10:]


def test_later_pictures_never_move_earlier_ones():
    first = replace(EMPTY, items=assign_splits(new("a", 20), EMPTY))
    more = assign_splits(new("a", 100), first)
    assert more[:20] == first.items
    assert counts(more, "a") == (70, 15, 15)


def test_pictures_that_come_one_by_one_reach_the_fractions():
    dataset = EMPTY
    for picture in new("a", 40):
        dataset = replace(dataset, items=dataset.items + assign_splits([picture], dataset))
    assert counts(dataset.items, "a") == (28, 6, 6)


def test_resplit_shares_out_everything_anew():
    dataset = replace(EMPTY, items=assign_splits(new("a", 100, "test"), EMPTY))
    again = resplit(dataset, validation=0.2, test=0.1, seed=1)
    assert counts(again.items, "a") == (70, 20, 10)
    assert [item.image for item in again.items] == [item.image for item in dataset.items]
    assert counts(resplit(dataset, validation=0, test=0).items, "a") == (100, 0, 0)


def test_impossible_fractions_are_named():
    with pytest.raises(ValueError, match="together at most"):
        assign_splits([], EMPTY, validation=0.5, test=0.5)
