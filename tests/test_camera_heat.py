"""The heat map on top of the camera: one at a time, half of the time at most, never instead of an answer."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pages.components.camera import asking
from pages.components.camera.asking import answered, with_heat
from pages.components.camera.component import Message, View
from pages.components.camera.heat_turns import LEAST_PAUSE_SECONDS, HeatTurns
from tests.drawn_scenes import jpeg
from tlcore.results.prediction import Predictor


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> str:
        self.now += seconds
        return "map"


def test_maps_take_half_of_the_time_at_most() -> None:
    clock = Clock()
    turns = HeatTurns(clock)
    assert turns.take(lambda: clock.work(0.4)) == "map"
    clock.now += 0.39
    assert turns.take(lambda: clock.work(0.4)) is None
    clock.now += 0.02
    assert turns.take(lambda: clock.work(3)) == "map"
    clock.now += 2.9
    assert turns.take(lambda: clock.work(0.4)) is None


def test_who_comes_while_a_map_is_computed_goes_without_and_does_not_wait() -> None:
    turns, began, may_end = HeatTurns(), threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        assert may_end.wait(30)
        return "first"

    found: list[str | None] = []
    first = threading.Thread(target=lambda: found.append(turns.take(slow)))
    first.start()
    assert began.wait(30)
    assert turns.take(lambda: "second") is None
    may_end.set()
    first.join()
    assert found == ["first"]


def test_a_map_that_fails_lets_the_next_one_come() -> None:
    clock = Clock()
    turns = HeatTurns(clock)
    with pytest.raises(ValueError, match="broken"):
        turns.take(lambda: (_ for _ in ()).throw(ValueError("broken")))
    clock.now += 1
    assert turns.take(lambda: clock.work(0.1)) == "map"


def brightest_corner() -> Predictor:
    """Return a model that says `light` when the top left is bright."""

    def predict(images: Sequence[np.ndarray]) -> np.ndarray:
        corner = np.array([image[: len(image) // 3, : image.shape[1] // 3].mean() / 255 for image in images])
        return np.stack([corner, 1 - corner], axis=1).astype(np.float32)

    return Predictor(("light", "dark"), (0, 1), 60, predict)


def question(number: int = 1) -> Message:
    pixels = np.full((60, 80, 3), 20, np.uint8)
    pixels[:20, :26] = 250
    return Message(number, "question", (jpeg(pixels),))


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> HeatTurns:
    found = HeatTurns()
    monkeypatch.setattr(asking, "heat_turns", lambda: found)
    return found


def shown(view: View, before: View, number: int) -> View:
    predictor = brightest_corner()
    return with_heat(answered(view, question(number), predictor, "note"), before, question(number), predictor)


@pytest.mark.usefixtures("turns")
def test_the_map_lies_where_the_answer_comes_from() -> None:
    view = shown(View(asks=True), View(), 1)
    assert view.answered == 1
    assert len(view.bars) == 2
    assert view.heat_words == "Warm parts speak for light."
    layer = np.asarray(Image.open(io.BytesIO(base64.b64decode(view.heat.partition(",")[2]))), int)
    assert layer.shape == (72, 96, 4)  # as the picture
    assert layer[:20, :28, 3].mean() > 4 * layer[40:, 50:, 3].mean() + 20
    assert (layer[5, 5, :3] == (255, 145, 0)).all()


def test_the_next_map_comes_a_second_later_and_answers_come_meanwhile(
    turns: HeatTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("pages.components.camera.asking.time.monotonic", clock)
    turns._clock = clock
    first = shown(View(asks=True), View(), 1)
    assert first.heat
    marked = replace(first, heat="the first map")
    clock.now += LEAST_PAUSE_SECONDS / 2
    second = shown(View(asks=True), marked, 2)
    assert (second.answered, second.heat) == (2, "the first map")
    clock.now += LEAST_PAUSE_SECONDS
    assert shown(View(asks=True), second, 3).heat == first.heat


@pytest.mark.usefixtures("turns")
def test_a_picture_that_cannot_be_used_gets_no_new_map() -> None:
    broken = Message(3, "question", (b"no picture",))
    view = answered(View(asks=True), broken, brightest_corner(), "note")
    assert with_heat(view, View(heat="before"), broken, brightest_corner()).heat == "before"
