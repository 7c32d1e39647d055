"""The why of an answer on Predict and Understand: asked for with a tap, for any class, explained without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from pages.components.cover.component import read_box
from pages.components.figures.heat import heat_layer, heat_picture
from pages.components.results.answers import SHOWN_SIDE
from pages.components.results.why_panel import box_words, cover_words, map_words, warmest_words, why_words
from tests.finished_runs import Finished, open_step
from tests.page_tests import check, texts
from tlcore.explaining.covering import Box, Coverings, boxes_of, cover_all
from tlcore.results.prediction import SPEC_FILE, Predictor


def by_corner(images: Sequence[np.ndarray]) -> np.ndarray:
    """Say red the surer the brighter the top left is."""
    corner = np.array([image[: len(image) // 4, : image.shape[1] // 4].mean() / 255 for image in images])
    return np.stack([corner, 1 - corner], axis=1).astype(np.float32)


LOOKS_AT_THE_CORNER = Predictor(("red", "green"), (0, 1), 64, by_corner)


@pytest.fixture
def corner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: LOOKS_AT_THE_CORNER)


def corner_picture() -> bytes:
    pixels = np.full((60, 80, 3), 30, np.uint8)
    pixels[:15, :20] = 250
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def shown_why(page: AppTest) -> list[str]:
    return [text.value for text in page.markdown if "**from " in text.value]


def test_an_answer_is_explained_only_when_somebody_asks(make_finished, corner) -> None:
    finished: Finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    page.file_uploader[0].upload("corner.png", corner_picture()).run()
    assert shown_why(page) == []
    [ask] = [toggle for toggle in page.toggle if toggle.label == "Why this answer?"]
    check(ask.set_value(True).run())
    [why] = shown_why(page)
    assert "the top left" in why
    assert "red falls **from 9" in why
    assert "spoke for it" in why
    assert "speaks for red" in texts(page)
    [classes] = [group for group in page.button_group if group.label == "What speaks for"]
    check(classes.set_value(1).run())
    assert "speaks for green" in texts(page)
    [why] = shown_why(page)
    assert "the top left covered, green rises **from" in why
    assert "spoke against it" in why


@pytest.mark.parametrize(("kept", "said"), [(24, "red"), (0, "green")], ids=["kept", "only a small copy"])
def test_the_picture_itself_is_explained_while_it_is_kept(
    make_finished, monkeypatch: pytest.MonkeyPatch, kept: int, said: str
) -> None:
    def by_width(images: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[0.9, 0.1] if image.shape[1] > SHOWN_SIDE else [0.1, 0.9] for image in images], np.float32)

    wide = Predictor(("red", "green"), (0, 1), 600, by_width)
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: wide)
    monkeypatch.setattr("pages.components.results.bring_pictures.MAX_KEPT", kept)
    finished: Finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    buffer = BytesIO()
    Image.new("RGB", (800, 600)).save(buffer, "PNG")
    page.file_uploader[0].upload("wide.png", buffer.getvalue()).run()
    [ask] = [toggle for toggle in page.toggle if toggle.label == "Why this answer?"]
    check(ask.set_value(True).run())
    assert f"The model gives {said} **90 %**" in texts(page)
    assert ("Only a small copy" in texts(page)) == (not kept)


def test_a_mistake_opens_its_why_with_the_right_class_to_choose(make_finished, corner) -> None:
    finished: Finished = make_finished()
    finished.add_run(wrong=(3,))
    page = open_step("understand", finished.project_id)
    [why] = [button for button in page.button if button.label == "Why?"]
    check(why.click().run())
    [classes] = [group for group in page.button_group if group.label == "What speaks for"]
    assert len(classes.options) == 2
    assert "How is this found?" in str([popover.proto.popover.label for popover in page.get("popover")])


def test_a_model_that_is_gone_is_explained_in_the_dialog(make_finished) -> None:
    finished: Finished = make_finished()
    run_id = finished.add_run(wrong=(3,))
    (finished.home.run_dir(run_id) / SPEC_FILE).unlink()
    page = open_step("understand", finished.project_id)
    [why] = [button for button in page.button if button.label == "Why?"]
    check(why.click().run())
    assert "Train again" in page.error[0].value


def coverings(before: float, *covered: float) -> Coverings:
    """Return answers of two classes; the first cover lies at the top right, then bottom left, then in the middle."""
    whole = np.array([before, 1 - before], np.float32)
    rows = np.array([[after, 1 - after] for after in covered], np.float32)
    shares = np.zeros((len(covered), 3, 3), np.float32)
    for share, place in zip(shares, ((0, 2), (2, 0), (1, 1)), strict=False):
        share[place] = 1
    return Coverings(whole, rows, shares)


def test_the_words_say_what_the_most_telling_part_does() -> None:
    words = why_words("tulip", coverings(0.97, 0.41, 0.97), 0)
    assert words == "With the top right covered, tulip falls **from 97 % to 41 %**: that part spoke for it."
    assert "no single part decides" in why_words("tulip", coverings(0.97, 0.96, 0.97), 0)


def test_a_part_that_speaks_against_an_unlikely_class_is_named() -> None:
    unlikely = coverings(0.03, 0.02, 0.6)
    words = why_words("cat", unlikely, 0)
    assert words == "With the bottom left covered, cat rises **from 3 % to 60 %**: that part spoke against it."
    assert "no single part decides" in why_words("cat", coverings(0.03, 0.01, 0.04), 0)
    assert "falls **from 97 % to 40 %**" in why_words("dog", unlikely, 1)


def test_of_two_parts_the_one_that_changes_more_comes_first() -> None:
    words = why_words("cat", coverings(0.3, 0.2, 0.9), 0)
    assert words.index("rises **from 30 % to 90 %**") < words.index("falls **from 30 % to 20 %**")


def test_the_place_and_the_fall_are_of_the_same_cover() -> None:
    places = np.zeros((3, 3, 2), np.float32)
    places[0, 2, 0] = 50  # what the features say makes it warmest at the top right
    corner = replace(coverings(0.97, 0.6, 0.41), places=places)
    assert corner.heat_map(0).values.argmax() == 2
    assert "With the bottom left covered, tulip falls **from 97 % to 41 %**" in why_words("tulip", corner, 0)
    assert map_words("tulip", corner, 0) == "Heat map of what speaks for tulip, warmest at the top right"
    assert map_words("tulip", coverings(0.97, 0.96, 0.97), 0) == "Heat map of what speaks for tulip"


def test_a_cover_has_its_place_in_the_picture() -> None:
    made = cover_all(LOOKS_AT_THE_CORNER, np.zeros((60, 80, 3), np.uint8), detail=1)
    for part, box in enumerate(boxes_of(1)):
        middle = box.left + box.width / 2, box.top + box.height / 2
        assert made.middle_of(part) == pytest.approx(middle, abs=0.01)


@pytest.mark.parametrize(
    ("row", "column", "words"),
    [
        (0, 0, "the top left"),
        (4, 4, "the middle"),
        (4, 8, "the right"),
        (8, 4, "the bottom"),
        (8, 0, "the bottom left"),
    ],
)
def test_a_place_in_words(row: int, column: int, words: str) -> None:
    values = np.zeros((9, 9), np.float32)
    values[row, column] = 1
    assert warmest_words(values) == words


def test_the_map_colours_its_place_and_leaves_the_rest_of_the_picture() -> None:
    grey = np.full((60, 90, 3), 120, np.uint8)
    values = np.zeros((6, 6), np.float32)
    values[0, 0], values[5, 5] = 2, -2
    shown = np.asarray(Image.open(BytesIO(heat_picture(grey, values, 1.0))), int)
    height, width = shown.shape[:2]
    assert width > 90
    warm, cool, rest = shown[10, 10], shown[height - 10, width - 10], shown[height // 2, width // 2]
    assert warm[0] > 200 > 100 > warm[2]
    assert cool[2] > 200 > 100 > cool[0]
    np.testing.assert_allclose(rest, 120, atol=4)
    bare = np.asarray(Image.open(BytesIO(heat_picture(grey, values, 0.0))), int)
    np.testing.assert_allclose(bare, 120, atol=4)


def test_a_map_that_says_little_is_pale() -> None:
    values = np.zeros((6, 6), np.float32)
    values[2, 2] = 0.01
    layer = np.asarray(Image.open(BytesIO(heat_layer(values, 640, 480))))
    assert layer.shape == (72, 96, 4)
    assert layer[..., 3].max() < 10
    values[2, 2] = 3
    assert np.asarray(Image.open(BytesIO(heat_layer(values, 640, 480))))[..., 3].max() > 150


def test_the_browser_can_only_send_a_part_of_the_picture() -> None:
    good = {"left": 0.1, "top": 0, "width": 0.4, "height": 0.5}
    box = read_box(good)
    assert box is not None
    assert (box.left, box.top, box.width, box.height) == (0.1, 0, 0.4, 0.5)
    for change in (
        {"left": 0.7},
        {"top": -0.1},
        {"width": 0},
        {"height": "1"},
        {"height": None},
        {"left": float("nan")},
        {"width": float("inf")},
    ):
        assert read_box({**good, **change}) is None, change
    assert read_box(None) is None
    assert read_box([0.1, 0, 0.4, 0.5]) is None


def test_the_words_say_what_a_cover_changes() -> None:
    def said(after: float) -> str:
        before = np.array([0.97, 0.03], np.float32)
        return cover_words(("tulip", "rose"), before, np.array([after, 1 - after], np.float32), 0)

    assert said(0.41) == "tulip: 97 % becomes 41 %. Now the model says rose."
    assert said(0.8) == "tulip: 97 % becomes 80 %."
    assert said(0.97) == "tulip stays at 97 %."


def test_the_words_say_where_a_cover_lies_and_how_large_it_is() -> None:
    assert box_words(Box(0.05, 0.1, 0.25, 0.25)) == "Cover at the top left, 25 % wide and 25 % high."
    assert box_words(Box(0.6, 0.3, 0.4, 0.35)) == "Cover at the right, 40 % wide and 35 % high."


def test_a_part_can_be_covered_by_hand(make_finished, corner) -> None:
    finished: Finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    page.file_uploader[0].upload("corner.png", corner_picture()).run()
    [ask] = [toggle for toggle in page.toggle if toggle.label == "Why this answer?"]
    check(ask.set_value(True).run())
    [way] = [group for group in page.button_group if group.label == "How to ask"]
    check(way.set_value("cover").run())
    assert "Drag over the picture" in texts(page)
    assert shown_why(page) == []
