"""Pictures are shared out to train, validation and test."""

from collections import Counter
from dataclasses import replace

import pytest

from tlcore.dataset import ClassLabel, Dataset, Split
from tlcore.intake.leaks import leaks, undivided, without_leaks
from tlcore.intake.splitting import (
    NewItem,
    assign_splits,
    resplit,
    share_anew,
    share_validation,
    units,
)

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


def test_resplit_shares_out_what_was_shared_out():
    dataset = replace(EMPTY, items=assign_splits(new("a", 100), EMPTY))
    again = resplit(dataset, validation=0.2, test=0.1, seed=1)
    assert counts(again.items, "a") == (70, 20, 10)
    assert [item.image for item in again.items] == [item.image for item in dataset.items]
    assert counts(resplit(dataset, validation=0, test=0).items, "a") == (100, 0, 0)


def brought(*pictures: list[NewItem]) -> Dataset:
    return replace(EMPTY, items=assign_splits([picture for some in pictures for picture in some], EMPTY))


def test_resplit_leaves_a_test_folder_and_shares_out_the_rest():
    dataset = brought(new("a", 80, "train"), new("a", 20, "test", 80))
    again = resplit(dataset, validation=0.2, seed=1)
    assert counts(again.items, "a") == (64, 16, 20)
    assert again.subset("test") == dataset.subset("test")
    assert [item.image for item in again.items] == [item.image for item in dataset.items]
    assert resplit(again, validation=0.15) == dataset


def test_resplit_leaves_a_validation_folder():
    dataset = brought(new("a", 80, "train"), new("a", 20, "validation", 80))
    again = resplit(dataset, validation=0.5, test=0.3, seed=1)
    assert counts(again.items, "a") == (56, 20, 24)
    assert again.subset("validation") == dataset.subset("validation")


def test_resplit_gives_test_pictures_to_the_classes_that_came_without():
    dataset = brought(new("a", 80, "train"), new("a", 20, "test", 80), new("b", 100, "train"))
    assert counts(dataset.items, "b") == (85, 15, 0)
    again = resplit(dataset, validation=0.2, test=0.1)
    assert counts(again.items, "a") == (64, 16, 20)
    assert counts(again.items, "b") == (70, 20, 10)


def test_parts_that_came_are_shared_out_when_they_are_given_up_and_then_forgotten():
    dataset = brought(new("a", 80, "train"), new("a", 20, "test", 80))
    again = resplit(dataset, test=0.1, keep_given=False)
    assert counts(again.items, "a") == (75, 15, 10)
    assert not any(item.stays for item in again.items)


def test_test_pictures_of_which_nobody_knows_whether_they_came_as_such_stay():
    dataset = brought(new("a", 100))
    unknown = replace(dataset, items=tuple(replace(item, given=None) for item in dataset.items))
    again = resplit(unknown, validation=0.4, seed=1)
    assert [item.image for item in again.subset("test")] == [item.image for item in dataset.subset("test")]
    assert counts(again.items, "a") == (51, 34, 15)


def test_later_pictures_do_not_join_a_test_folder():
    dataset = brought(new("a", 80, "train"), new("a", 20, "test", 80))
    for later in (new("a", 100, start=100), new("a", 100, "train", 100)):
        more = assign_splits(later, dataset)
        assert counts([*dataset.items, *more], "a") == (153, 27, 20)
        assert not any(item.given for item in more)
    (tested,) = assign_splits(new("a", 1, "test", 100), dataset)
    assert (tested.split, tested.given) == ("test", True)


def test_a_copy_of_a_test_picture_in_another_class_takes_no_test_pictures_from_that_class():
    dataset = brought(new("a", 80, "train"), new("a", 20, "test", 80))
    copy = replace(new("a", 1, start=80)[0], class_id="b")
    more = assign_splits([copy, *new("b", 99)], dataset)
    assert counts(more, "b") == (70, 15, 15)
    assert more[0].split == "test"


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.15), (0.15, -0.1)])
def test_impossible_fractions_are_named(validation: float, test: float):
    with pytest.raises(ValueError, match=r"at least 0 and together at most 0\.9"):
        assign_splits([], EMPTY, validation=validation, test=test)


def test_a_tenth_is_enough_to_train_on():
    assert counts(assign_splits(new("a", 100), EMPTY, validation=0.45, test=0.45), "a") == (10, 45, 45)


def grouped(class_id: str, *sizes: int, start: int = 0, split: Split | None = None) -> list[NewItem]:
    """Return groups of so many pictures each."""
    return [
        NewItem(f"{class_id}{start + group}.{i}", class_id, f"{i}.jpg", split, group=f"{class_id}{start + group}")
        for group, size in enumerate(sizes)
        for i in range(size)
    ]


def sides(items, name=lambda item: item.group) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for item in items:
        found.setdefault(name(item), set()).add(item.split)
    return found


def test_units_are_connected_by_pictures_groups_and_scenes():
    pictures = [
        NewItem("1", "a", "", group="x"),
        NewItem("2", "b", "", group="x", scene="s"),
        NewItem("3", "a", "", scene="s"),
        NewItem("3", "b", "", group="y"),
        NewItem("4", "b", "", group="y"),
        NewItem("5", "b", "", group="s"),
    ]
    assert units(pictures) == {"1": "1", "2": "1", "3": "1", "4": "1", "5": "5"}
    assert units(pictures[::-1], scenes_together=False) == {"1": "1", "2": "1", "3": "3", "4": "3", "5": "5"}


def test_groups_are_on_one_side_and_the_fractions_are_met_as_nearly_as_they_allow():
    pictures = grouped("a", *[1, 2, 3, 4, 5, 6] * 5) + grouped("b", *[7] * 20)
    for seed in range(20):
        items = assign_splits(pictures, EMPTY, seed=seed)
        assert all(len(found) == 1 for found in sides(items).values())
        for class_id, total in (("a", 105), ("b", 140)):
            train, validation, test = counts(items, class_id)
            assert abs(validation - 0.15 * total) <= 4
            assert abs(test - 0.15 * total) <= 4
            assert train + validation + test == total


def test_groups_are_dealt_alike_in_any_order_and_otherwise_by_another_seed():
    pictures = grouped("a", *[3] * 20)
    found = {item.image: item.split for item in assign_splits(pictures, EMPTY)}
    assert {item.image: item.split for item in assign_splits(pictures[::-1], EMPTY)} == found
    assert {item.image: item.split for item in assign_splits(pictures, EMPTY, seed=1)} != found


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((20,), {"train"}), ((20, 20), {"train", "test"}), ((20, 20, 20), {"train", "validation", "test"})],
)
def test_few_groups_train_first_then_test_then_validate(sizes: tuple[int, ...], expected: set[str]):
    items = assign_splits(grouped("a", *sizes), EMPTY)
    assert {item.split for item in items} == expected
    assert all(len(found) == 1 for found in sides(items).values())


def test_a_small_group_is_tested_rather_than_a_large_one():
    for seed in range(5):
        train, validation, test = counts(assign_splits(grouped("a", 60, 15, 15, 10), EMPTY, seed=seed), "a")
        assert train in (70, 75)
        assert {validation, test} <= {10, 15}


def test_a_group_of_several_classes_takes_no_class_all_that_it_can_learn_from():
    shared = [NewItem(f"{class_id}{i}", class_id, "", group="patient") for class_id in "ab" for i in range(5)]
    for seed in range(10):
        items = assign_splits(shared + grouped("a", *[2] * 10), EMPTY, seed=seed)
        assert sides(items)["patient"] == {"train"}
        assert counts(items, "b") == (5, 0, 0)


def test_patients_with_pictures_of_both_classes_are_shared_out_as_a_whole():
    pictures = [
        NewItem(f"{patient}{class_id}{i}", class_id, "", group=f"patient {patient}")
        for patient in range(20)
        for class_id in "ab"
        for i in range(2)
    ]
    items = assign_splits(pictures, EMPTY)
    assert all(len(found) == 1 for found in sides(items).values())
    assert counts(items, "a") == counts(items, "b") == (28, 6, 6)


def test_later_pictures_of_a_group_go_where_the_others_are():
    first = replace(EMPTY, items=assign_splits(grouped("a", *[2] * 20), EMPTY))
    later = [replace(item, image=f"{item.image}+") for item in grouped("a", *[2] * 20)]
    items = assign_splits(later, first)
    assert all(len(found) == 1 for found in sides([*first.items, *items]).values())


def test_groups_do_not_move_what_folders_said():
    pictures = grouped("a", *[2] * 20, split="train") + [
        replace(picture, image=f"{picture.image}t", split="test") for picture in grouped("a", *[2] * 5)
    ]
    items = assign_splits(pictures, EMPTY)
    assert all(item.split != "test" for item in items[:40])
    assert all(item.split == "test" for item in items[40:])
    assert all(found <= {"train", "test"} for group, found in sides(items).items() if group in ("a0", "a1"))
    # Shared out anew, what belongs to the kept test pictures joins them.
    again = resplit(replace(EMPTY, items=items))
    assert sides(again.items)["a0"] == {"test"}
    assert all(len(found) == 1 for found in sides(again.items).values())


def test_near_copies_are_kept_together_as_long_as_the_data_set_says_so():
    pictures = [NewItem(f"{i}.{j}", "a", "", scene=f"{i}") for i in range(20) for j in range(5)]
    dataset = replace(EMPTY, items=assign_splits(pictures, EMPTY))
    assert counts(dataset.items, "a") == (70, 15, 15)
    assert all(len(found) == 1 for found in sides(dataset.items, lambda item: item.scene).values())
    apart = resplit(replace(dataset, scenes_together=False))
    assert any(len(found) > 1 for found in sides(apart.items, lambda item: item.scene).values())
    together = resplit(replace(apart, scenes_together=True))
    assert together == dataset


def test_validation_is_shared_out_by_groups_too():
    dataset = replace(EMPTY, items=assign_splits(grouped("a", *[4] * 25), EMPTY))
    again = share_validation(dataset, 0.3)
    assert all(len(found) == 1 for found in sides(again.items).values())
    assert again.subset("test") == dataset.subset("test")


def leaky(learned: int = 30) -> Dataset:
    """Return pictures of which five were given for testing, three of them with near-copies that train."""
    test = [NewItem(f"t{i}", "a", "", "test", scene=f"s{i}" if i < 3 else None) for i in range(5)]
    copies = [NewItem(f"c{i}", "a", "", "train", scene=f"s{i % 3}") for i in range(6)]
    others = [NewItem(f"o{i}", "a", "", "train") for i in range(learned)]
    return replace(EMPTY, items=assign_splits([*test, *copies, *others], EMPTY))


def test_near_copies_across_given_parts_are_reported_and_moved_on_request():
    dataset = leaky()
    assert leaks(dataset, "test") == {"t0": "c0", "t1": "c1", "t2": "c2"}
    assert leaks(replace(dataset, scenes_together=False), "test") == leaks(dataset, "test")
    moved = without_leaks(dataset)
    assert leaks(moved, "test") == {}
    assert {item.image for item in moved.subset("test")} == {f"t{i}" for i in range(5)} | {f"c{i}" for i in range(6)}
    assert [item.given for item in moved.subset("test")] == [True] * 5 + [False] * 6
    assert without_leaks(moved) == moved


def test_what_a_class_needs_to_learn_from_is_not_moved():
    dataset = leaky(learned=0)
    moved = without_leaks(dataset)
    assert len(leaks(moved, "test")) == 1
    assert any(item.split == "train" for item in moved.items)


def test_pictures_of_one_group_across_given_parts_are_reported():
    pictures = [NewItem("1", "a", "", "train", "x"), NewItem("2", "a", "", "test", "x"), NewItem("3", "a", "", "train")]
    assert leaks(replace(EMPTY, items=assign_splits(pictures, EMPTY)), "test") == {"2": "1"}


def test_a_class_whose_pictures_all_belong_together_is_named():
    pictures = grouped("a", 20) + grouped("b", 10, 10) + new("c", 1)
    dataset = replace(EMPTY, items=assign_splits(pictures, EMPTY))
    assert [label.name for label in undivided(dataset)] == ["a"]


def test_shared_out_anew_the_proportions_stay():
    pictures = [NewItem(f"{i}.{j}", "a", "", scene=f"{i}") for i in range(40) for j in range(5)]
    dataset = resplit(replace(EMPTY, items=assign_splits(pictures, EMPTY)), validation=0.25, test=0.1)
    for together in (False, True):
        dataset = share_anew(replace(dataset, scenes_together=together))
        assert counts(dataset.items, "a") == (130, 50, 20)
