"""Embedded data sets: complete, offline, without leakage."""

import socket
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest

from tlcore.ready_sets.embedded import PHOTOS, windows
from tlcore.ready_sets.registry import READY_SETS, get_ready_set, open_ready_set

EMBEDDED = tuple(spec for spec in READY_SETS if not spec.files)


@pytest.mark.parametrize("spec", EMBEDDED, ids=lambda spec: spec.name)
def test_row_says_what_is_built_without_a_network(spec, monkeypatch: pytest.MonkeyPatch):
    def no_network(*args: object) -> None:
        raise AssertionError("a ready data set asked for the network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    pictures = open_ready_set(spec, (), ExitStack())
    assert Counter(picture.class_name for picture in pictures) == dict(spec.classes)
    counts = Counter((picture.class_name, picture.split) for picture in pictures)
    for name in spec.class_names:
        assert counts[name, "train"] > counts[name, "test"] >= 8
        assert counts[name, "validation"] >= 8
    cleaned = [picture.clean() for picture in pictures]
    assert all(64 <= clean.width == clean.height <= 150 for clean in cleaned)
    assert len({clean.data for clean in cleaned}) == len(pictures)


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.class_name)
def test_no_pixel_of_one_split_is_in_another(photo):
    areas = {split: np.zeros((1000, 1000), dtype=bool) for split in ("train", "validation", "test")}
    for split, (left, top, right, bottom) in windows(photo):
        areas[split][top:bottom, left:right] = True
    assert all(area.any() for area in areas.values())
    assert sum(area.astype(int) for area in areas.values()).max() == 1


def test_windows_stay_inside_their_photograph():
    sizes = {"chelsea.png": (451, 300), "hubble_deep_field.jpg": (1000, 872)}
    for photo in PHOTOS:
        width, height = sizes.get(photo.file, (512, 512))
        assert all(right <= width and bottom <= height for _, (_, _, right, bottom) in windows(photo))


def test_same_pictures_every_time():
    spec = get_ready_set("digits")
    first, second = ([(p.name, p.split) for p in open_ready_set(spec, (), ExitStack())] for _ in range(2))
    assert first == second


def test_unknown_name_is_named():
    with pytest.raises(ValueError, match="surfaces, digits"):
        get_ready_set("planets")
