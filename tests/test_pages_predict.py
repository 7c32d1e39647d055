"""Predict on a run made by the storage functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components.results.answers import ask
from tests.finished_runs import COLORS, RED_OR_GREEN, all_text, bring, open_step, picture, press
from tlcore.dataset import Item, Unlabelled
from tlcore.home import DataRoot
from tlcore.intake.pictures.decoding import clean_pixels, read_image
from tlcore.ready_sets.previews import NUM_TO_ASK
from tlcore.ready_sets.registry import get_ready_set
from tlcore.results.prediction import Predictor
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.images import ImageStore
from tlcore.storage.model_settings import change_model_settings


def test_predict_shows_a_validation_picture_and_its_answer_before_any_was_brought(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    assert "The model says" in all_text(page)
    assert "Right: its class is" in all_text(page)
    assert "A picture of your own validation set" in all_text(page)
    assert len(page.get("plotly_chart")) == 1
    before = [caption.value for caption in page.caption]
    page.button(key="another").click().run()
    assert not page.exception
    assert [caption.value for caption in page.caption] != before


def test_one_picture_gets_its_probabilities_and_its_file_is_forgotten(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    page.file_uploader[0].upload("my *rose*.png", picture(COLORS[0])).run()
    assert not page.exception
    assert "The model says red" in all_text(page)
    assert r"my \*rose\*\.png" in all_text(page)
    assert not page.file_uploader[0].value


def test_many_pictures_get_a_grid_and_refused_ones_their_reason(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    for name, data in (
        ("a.png", picture(COLORS[0])),
        ("b.png", picture(COLORS[1])),
        ("c.png", b""),
        ("=1+1.png", picture(COLORS[1])),
    ):
        page.file_uploader[0].upload(name, data)
    page.run()
    assert not page.exception
    assert r"**c\.png**" in page.warning[0].value
    assert "empty" in page.warning[0].value
    assert page.button(key="answer-0").label == "red 95 %"
    page.button(key="answer-1").click().run()
    assert "The model says green" in all_text(page)
    assert len(page.get("download_button")) == 1


def correct(page: AppTest, class_name: str) -> None:
    """Choose what the one picture on the page really shows, and add it."""
    [chooser] = [one for one in page.selectbox if str(one.key).startswith("correct-class-")]
    chooser.select(class_name).run()
    [button] = [one for one in page.button if str(one.key).startswith("correct-add-")]
    button.click().run()
    assert not page.exception


def test_a_wrong_answer_is_corrected_moved_and_taken_back(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    assert not [one for one in page.selectbox if str(one.key).startswith("correct-")]  # nothing was brought
    bring(page, ("mine.png", picture(COLORS[0])))
    correct(page, "green")
    version, dataset = current_dataset(finished.engine, finished.project_id, finished.home)
    [item] = set(dataset.items) - set(finished.dataset.items)
    assert (item.class_id, item.split, item.name) == ("class1", "train", "mine.png")
    assert read_image(ImageStore(finished.home).read(item.image)).thumbnail
    assert "one of your pictures of **green**; it counts from the next run" in all_text(page)
    assert "1 change waits for the next run" in all_text(page)
    correct(page, "red")
    assert "one of your pictures of **red**" in all_text(page)
    for undone in (version + 1, version):
        press(page, f"undo-{undone}")
    assert current_dataset(finished.engine, finished.project_id, finished.home)[1] == finished.dataset
    assert "one of your pictures" not in all_text(page)


def test_a_picture_that_the_model_learned_from_is_said_to_be_one(make_finished, predictor) -> None:
    finished = make_finished()
    clean = read_image(picture(COLORS[0]))
    image = ImageStore(finished.home).add(clean.data, clean.thumbnail)
    known = replace(finished.dataset, items=(*finished.dataset.items, Item(image, "class0", "train", "known.png")))
    place = finished.engine, finished.project_id
    version = commit_version(*place, known, "known", parent=finished.version, home=finished.home)
    replace(finished, version=version).add_run()
    page = open_step("predict", finished.project_id)
    bring(page, ("again.png", picture(COLORS[0])))
    assert "It is one of your pictures of **red** already, and the model learned from it" in all_text(page)
    assert "for the next run" not in all_text(page)


def test_answers_of_many_pictures_can_be_corrected_within_a_bound(
    make_finished, predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages.components.results.bring_pictures.MAX_KEPT", 2)
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    bring(page, *((f"{number}.png", picture((200, 30, number))) for number in range(3)))
    assert "The first 2 answers can be corrected" in all_text(page)
    page.button(key="answer-1").click().run()
    assert [one for one in page.selectbox if str(one.key).startswith("correct-class-")]
    page.button(key="answer-2").click().run()
    assert not [one for one in page.selectbox if str(one.key).startswith("correct-")]


def test_a_picture_scaled_otherwise_than_those_of_the_data_set_is_not_added_to_it(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    deep = replace(finished.dataset, grey_range=(0.0, 4095.0))
    commit_version(finished.engine, finished.project_id, deep, "deep", parent=finished.version, home=finished.home)
    page = open_step("predict", finished.project_id)
    bring(page, ("mine.png", picture(COLORS[0])))
    assert not [one for one in page.selectbox if str(one.key).startswith("correct-")]


@pytest.fixture
def two_models(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a run of this id call everything green, while the others tell red from green."""
    contrary: list[str] = []

    def load(folder: Path, _home: DataRoot | None = None) -> Predictor:
        if folder.name in contrary:
            return replace(RED_OR_GREEN, predict=lambda images: np.array([[0.2, 0.8]] * len(images), np.float32))
        return RED_OR_GREEN

    monkeypatch.setattr("tlcore.results.prediction.load_predictor", load)
    return contrary.append


def test_another_model_answers_the_same_picture_beside_this_one(make_finished, two_models) -> None:
    finished = make_finished()
    first = finished.add_run()
    two_models(first)
    assert not [one for one in open_step("predict", finished.project_id).selectbox if one.key == "rival"]
    second = finished.add_run()
    page = open_step("predict", finished.project_id, second)
    assert len(page.get("plotly_chart")) == 1
    page.selectbox(key="rival").set_value(first).run()
    assert not page.exception
    assert len(page.get("plotly_chart")) == 2  # of the picture from the own validation set
    bring(page, ("mine.png", picture(COLORS[0])))
    assert "**They differ.** Run 2 says red, Run 1 says green." in all_text(page)
    assert [chart.proto.id.split("-")[-1] for chart in page.get("plotly_chart")] == ["probabilities"] * 2
    bring(page, ("mine.png", picture(COLORS[1])))
    assert "Both say **green**" in all_text(page)
    page.selectbox(key="rival").set_value(None).run()
    assert len(page.get("plotly_chart")) == 1


def test_a_calibrated_model_is_asked_anew_and_others_keep_their_answers(make_finished, two_models) -> None:
    finished = make_finished()
    first, second = finished.add_run(), finished.add_run()
    two_models(first)

    def calibrate(model_id: str, temperature: float) -> None:
        place = finished.engine, finished.project_id, model_id
        change_model_settings(*place, lambda before: replace(before, temperature=temperature))
        page.run()
        assert not page.exception

    def said() -> list[str]:
        return [str(chart.proto.alt) for chart in page.get("plotly_chart")]

    page = open_step("predict", finished.project_id, second)
    page.selectbox(key="rival").set_value(first).run()
    bring(page, ("mine.png", picture(COLORS[0])))
    own, other = said()
    assert ("95 %" in own, "80 %" in other) == (True, True)
    calibrate(first, 2.0)  # in another tab
    assert said()[0] == own  # what was brought is still there
    assert "67 %" in said()[1]  # 0.8 and 0.2 to the power of one half
    calibrate(first, 1.0)
    assert said() == [own, other]
    calibrate(second, 2.0)
    assert "A picture of your own" in all_text(page)  # the kept answers have other probabilities
    calibrate(second, 1.0)
    assert said() == [own, other]


def test_where_two_models_differ_is_counted_marked_and_can_be_all_that_is_shown(
    make_finished, two_models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages.components.results.bring_pictures.MAX_KEPT", 3)
    finished = make_finished()
    first, second = finished.add_run(), finished.add_run()
    two_models(first)
    page = open_step("predict", finished.project_id, second)
    page.selectbox(key="rival").set_value(first).run()
    bring(page, *((f"{number}.png", picture(COLORS[number % 2])) for number in range(4)))
    assert "Run 2 and Run 1 differ on **2** of 3 pictures that were compared" in all_text(page)
    marks = [caption.value for caption in page.caption if "compare_arrows" in caption.value]
    assert marks == [":material/compare_arrows: Run 1: green 80 %"] * 2
    page.toggle(key="rival-only").set_value(True).run()
    assert not page.exception
    assert [one.key for one in page.button if str(one.key).startswith("answer-")] == ["answer-0", "answer-2"]
    page.button(key="answer-2").click().run()
    assert len(page.get("plotly_chart")) == 2


def test_a_group_is_compared_and_a_model_whose_files_are_gone_is_explained(
    make_finished, predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = make_finished()
    first, second = finished.add_run(), finished.add_run()
    config = EnsembleConfig((first, second), (0.5, 0.5))
    place = finished.engine, finished.project_id
    group = create_ensemble(*place, "Both", finished.version, config, test_correct=1, test_total=1)
    page = open_step("predict", finished.project_id, second)
    page.selectbox(key="rival").set_value(group).run()
    bring(page, ("mine.png", picture(COLORS[0])))
    assert "Both say **red**" in all_text(page)
    head = finished.add_head()  # whose files are not there
    page.run()
    page.selectbox(key="rival").set_value(head).run()
    assert not page.exception
    assert "missing or damaged" in page.error[0].value
    assert "The model says red" in all_text(page)


def test_the_camera_is_there_when_it_is_wanted(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    [drop] = page.get("bidi_component")
    assert drop.key == "drop-predict"
    page.toggle(key="camera").set_value(True).run()
    assert not page.exception
    [camera] = [one for one in page.get("bidi_component") if one.key != drop.key]
    assert '"asks": true' in camera.proto.json


def test_pictures_without_a_class_can_be_asked_about(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    assert not [button for button in open_step("predict", finished.project_id).button if button.key == "ask-unlabelled"]
    version, dataset = current_dataset(finished.engine, finished.project_id, finished.home)
    clean = clean_pixels(np.full((48, 64, 3), COLORS[1], np.uint8))
    key = ImageStore(finished.home).add(clean.data, clean.thumbnail)
    unlabelled = (Unlabelled(key, "test/1.png"), Unlabelled("0" * 64, "test/gone.png"))
    changed = replace(dataset, unlabelled=unlabelled)
    commit_version(finished.engine, finished.project_id, changed, "came", parent=version, home=finished.home)
    page = open_step("predict", finished.project_id)
    button = page.button(key="ask-unlabelled")
    assert button.label == "Ask about 2 pictures that came without a class"
    button.click().run()
    assert not page.exception
    assert "The model says green" in all_text(page)
    assert r"**test\/gone\.png**" in page.warning[0].value


def test_pictures_of_a_ready_set_can_be_asked_about(make_finished, predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    sets = page.selectbox(key="ask-set")
    assert sets.options == ["Surfaces", "Handwritten digits"]  # nothing was downloaded
    page = sets.select("Surfaces").run()
    assert not page.exception
    asks = [button for button in page.button if str(button.key).startswith("ask-surfaces-")]
    assert {button.label for button in asks} == set(get_ready_set("surfaces").class_names)
    assert len(asks) == NUM_TO_ASK
    asks[1].click().run()
    assert not page.exception
    assert "The model says" in all_text(page)
    assert "Surfaces 2 · answered in" in all_text(page).replace("\\", "")
    page.button(key="ask-all").click().run()
    assert not page.exception
    assert page.button(key=f"answer-{NUM_TO_ASK - 1}")


def test_what_a_picture_shows_is_said_where_the_model_knows_that_class() -> None:
    model = RED_OR_GREEN
    assert ask(model, "1", picture(COLORS[0]), "red").truth == "red"
    assert ask(model, "1", picture(COLORS[0]), "brick").truth is None
    assert ask(model, "1", b"", "red").reason
