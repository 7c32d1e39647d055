"""A picture that a model answered wrong becomes one of the data set: where it goes, and what it belongs to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.drawn_scenes import draw_scene, frames_of, jpeg
from tlcore.dataset import ClassLabel, Dataset, Item, Split, Unlabelled
from tlcore.errors import DatasetError
from tlcore.home import DataRoot
from tlcore.intake import correction
from tlcore.intake.correction import with_picture
from tlcore.intake.pictures.decoding import pixels_of, read_image, read_with_pixels
from tlcore.storage.images import ImageStore

CLASSES = (ClassLabel("c1", "cat", 0), ClassLabel("d1", "dog", 1))
Scenes = tuple[Dataset, dict[int, str], ImageStore]
"""A data set, for each picture of it another frame of the same scene, and where all of them are stored."""
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@pytest.fixture
def scenes(home: DataRoot) -> Scenes:
    """Twelve different pictures of each class, four in each part, and a second frame of every one of the cats."""
    rng, store = np.random.default_rng(0), ImageStore(home)

    def keep(pixels: np.ndarray) -> str:
        clean = read_image(jpeg(pixels))
        return store.add(clean.data, clean.thumbnail)

    items, again = [], {}
    for number in range(24):
        first, second = frames_of(draw_scene(rng, number % 2), rng, 2, move=0.05)
        items.append(Item(keep(first), CLASSES[number % 2].id, SPLITS[number // 2 % 3], f"{number}.jpg"))
        again[number] = keep(second)
    return Dataset(CLASSES, tuple(items)), again, store


def added(before: Dataset, after: Dataset) -> Item:
    [item] = set(after.items) - set(before.items)
    return item


def test_a_new_picture_trains_and_leaves_the_others_as_they_are(scenes: Scenes) -> None:
    dataset, _, store = scenes
    clean = read_image(jpeg(draw_scene(np.random.default_rng(99), 0)))
    image = store.add(clean.data, clean.thumbnail)
    after = with_picture(dataset, image, "mine.jpg", "cat", store.thumbnail)
    item = added(dataset, after)
    assert (item.image, item.class_id, item.split, item.name, item.scene) == (image, "c1", "train", "mine.jpg", "")
    assert after.items[:-1] == dataset.items


@pytest.mark.parametrize(("number", "split"), [(0, "train"), (2, "validation"), (4, "test")])
def test_a_near_copy_goes_where_the_picture_is_that_it_shows_again(scenes: Scenes, number: int, split: Split) -> None:
    dataset, again, store = scenes
    assert dataset.items[number].split == split
    after = with_picture(dataset, again[number], "again.jpg", "cat", store.thumbnail)
    held = {item.image: item for item in after.items}
    assert held[again[number]].split == split
    assert held[again[number]].scene == held[dataset.items[number].image].scene != ""
    apart = with_picture(replace(dataset, scenes_together=False), again[number], "again.jpg", "cat", store.thumbnail)
    assert {item.image: item for item in apart.items}[again[number]].split == "train"


def test_a_near_copy_of_a_tested_picture_is_tested_whatever_class_it_is_given(scenes: Scenes) -> None:
    dataset, again, store = scenes
    assert dataset.items[4].split == "test"
    for class_name in ("dog", "fox"):
        after = with_picture(dataset, again[4], "again.jpg", class_name, store.thumbnail)
        held = {item.image: item for item in after.items}
        assert held[again[4]].split == "test"
        assert held[again[4]].scene == held[dataset.items[4].image].scene != ""


def test_a_near_copy_of_a_tested_picture_is_found_before_many_newer_ones(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, again, store = scenes
    monkeypatch.setattr(correction, "MAX_COMPARED", 3)
    tested = with_picture(dataset, again[4], "again.jpg", "cat", store.thumbnail)
    assert {item.image: item for item in tested.items}[again[4]].split == "test"
    learned = with_picture(dataset, again[0], "again.jpg", "cat", store.thumbnail)
    assert added(dataset, learned).scene == ""  # one of the older training pictures, which harms no exam


def test_what_belongs_to_a_near_copy_belongs_to_the_new_one(scenes: Scenes) -> None:
    dataset, again, store = scenes
    items = list(dataset.items)
    items[4], items[10] = (replace(items[place], scene="one", split="test") for place in (4, 10))
    known = replace(dataset, items=tuple(items))
    after = with_picture(known, again[4], "again.jpg", "cat", store.thumbnail)
    assert added(known, after).scene == "one"
    assert [item.scene for item in after.items].count("one") == 3


def test_a_picture_that_is_there_already_moves_and_keeps_its_part(scenes: Scenes) -> None:
    dataset, _, store = scenes
    tested = dataset.items[4]
    after = with_picture(dataset, tested.image, "again.jpg", "dog", store.thumbnail)
    assert len(after.items) == len(dataset.items)
    assert added(dataset, after) == replace(tested, class_id="d1")


def test_a_picture_without_a_class_gets_one_and_a_new_name_makes_a_class(scenes: Scenes) -> None:
    dataset, again, store = scenes
    waiting = replace(dataset, unlabelled=(Unlabelled(again[1], "what.jpg"), Unlabelled(again[3], "other.jpg")))
    after = with_picture(waiting, again[1], "what.jpg", "  fox ", store.thumbnail)
    assert after.class_names == ("cat", "dog", "fox")
    assert [item.image for item in after.of_class(after.classes[2].id)] == [again[1]]
    assert [one.image for one in after.unlabelled] == [again[3]]
    with pytest.raises(DatasetError):
        with_picture(dataset, again[1], "what.jpg", " ", store.thumbnail)


def test_one_look_gives_what_two_looks_give() -> None:
    data = jpeg(draw_scene(np.random.default_rng(1), 1))
    clean, pixels = read_with_pixels(data)
    assert clean == read_image(data)
    np.testing.assert_array_equal(pixels, pixels_of(data))
