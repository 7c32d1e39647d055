"""Honest probabilities and "I don't know", as a person meets them on Understand and on Predict."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Slider

from pages.components.camera.asking import answered
from pages.components.camera.component import Message, View
from pages.components.figures.calibration import calibration_figure, coverage_figure
from pages.components.results.answers import DO_NOT_KNOW, Answer
from pages.components.results.prediction_table import prediction_csv
from tests.finished_runs import NAMES, Finished, all_text, by_colour, open_step, picture
from tests.test_calibration import drawn
from tlcore.results.calibration import Coverage, calibration_bins, coverage_at, coverage_curve
from tlcore.results.evaluation import TRAIN_FILE_NAME, VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.prediction import Predictor
from tlcore.storage.database import metrics, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.exams import open_exam
from tlcore.storage.model_settings import ModelSettings, change_model_settings, read_model_settings
from tlcore.storage.simple_heads import simple_head_dir


def choose(finished: Finished, model_id: str, **values: float) -> ModelSettings:
    """Let the settings of a model be others."""
    return change_model_settings(
        finished.engine, finished.project_id, model_id, lambda before: replace(before, **values)
    )


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run answers by the mean colour: 95 % red or 90 % green."""

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return by_colour(images)

    one = Predictor(NAMES, (0, 1), 64, predict)
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: one)


def bars(page: AppTest) -> str:
    """Return what the bars of an answer say to those who cannot see them."""
    return str(page.get("plotly_chart")[0].proto.alt)


def test_predict_answers_with_the_temperature_of_the_model(make_finished, predictor) -> None:
    finished = make_finished()
    first, second = finished.add_run(), finished.add_run()
    before = bars(open_step("predict", finished.project_id, first))
    assert ("95 %" in before) != ("90 %" in before)
    choose(finished, first, temperature=2.0)
    after = bars(open_step("predict", finished.project_id, first))
    # 0.95 and 0.9 to the power of one half, of both classes together.
    assert ("81 %" in after) != ("75 %" in after)
    other = bars(open_step("predict", finished.project_id, second))
    assert ("95 %" in other) != ("90 %" in other), "another run has its own"


def test_below_the_threshold_predict_says_that_it_does_not_know(make_finished, predictor) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    choose(finished, run_id, threshold=0.85)
    assert DO_NOT_KNOW not in all_text(open_step("predict", finished.project_id, run_id))
    choose(finished, run_id, temperature=2.0)
    page = open_step("predict", finished.project_id, run_id)
    assert [heading for heading in (m.value for m in page.markdown) if heading.startswith("###")] == [
        f"### {DO_NOT_KNOW}"
    ]
    assert re.search(
        r"the model's best guess is \*\*(red|green)\*\* at (81|75) %, and it answers from 85 %", all_text(page)
    )
    assert "Right:" not in all_text(page)
    assert re.search(r"Its class is \*\*(red|green)\*\*", all_text(page))


def test_many_answers_say_below_each_picture_which_ones_are_not_known(make_finished, predictor) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    choose(finished, run_id, threshold=0.92)
    page = open_step("predict", finished.project_id, run_id)
    for name, color in (("red.png", (200, 30, 30)), ("green.png", (30, 160, 40))):
        page.file_uploader[0].upload(name, picture(color))
    page.run()
    said = [button.label for button in page.button if str(button.key).startswith("answer-")]
    assert said == ["red 95 %", "I don't know (green 90 %)"]


def test_the_table_of_answers_says_what_is_not_known_and_the_best_guess() -> None:
    answers = [
        Answer("a.png", probabilities=(0.25, 0.75)),
        Answer("b.png", probabilities=(0.9, 0.1)),
        Answer("c.png", reason="No."),
    ]
    rows = list(csv.reader(io.StringIO(prediction_csv(["cat", "dog"], answers, 0.8).removeprefix("\ufeff"))))
    assert rows[0] == ["file", "answer", "best guess", "probability", "cat", "dog", "refused because"]
    assert rows[1] == ["a.png", "I don't know", "dog", "0.750000", "0.250000", "0.750000", ""]
    assert rows[2][:4] == ["b.png", "cat", "cat", "0.900000"]
    assert rows[3] == ["c.png", "", "", "", "", "", "No."]


def test_the_camera_says_what_it_does_not_know() -> None:
    predictor = Predictor(NAMES, (0, 1), 64, by_colour, threshold=0.92)
    red, green = (
        answered(View(asks=True), Message(1, "question", (picture(color),)), predictor, "Run 1 answers.")
        for color in ((200, 30, 30), (30, 160, 40))
    )
    assert (red.unknown, len(red.bars)) == ("", 2)
    assert (green.unknown, len(green.bars)) == ("I don't know: the model's best guess is green at 90 %.", 2)
    assert answered(green, Message(2, "question", (picture((200, 30, 30)),)), predictor, "").unknown == ""


def slider(page: AppTest) -> Slider:
    return next(one for one in page.slider if str(one.key).startswith("threshold-"))


def figure_words(page: AppTest, start: str) -> str:
    """Return what a figure says to those who cannot see it."""
    return next(str(one.proto.alt) for one in page.get("plotly_chart") if str(one.proto.alt).startswith(start))


def test_understand_says_how_far_the_probabilities_are_off(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(38, 39))
    page = open_step("understand", finished.project_id)
    # 40 pictures with 60 to 89 %, all but the two surest right: far from sure enough.
    assert "It says 74.6 % on average and is right in 95 % (83 to 99 %): it is **not sure enough**" in all_text(page)
    assert "points off** (expected calibration error)" in all_text(page)
    assert "so this is more than luck" in all_text(page)
    assert "cannot be calibrated: of 40 validation pictures only 2 were answered wrong" in all_text(page)
    assert figure_words(page, "Calibration curve: says 63 %, right in 100 % of 9 pictures")


def test_calibrated_probabilities_are_used_at_a_tap_and_the_original_ones_again(make_finished, predictor) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(3, 8, 11, 38))
    before = bars(open_step("predict", finished.project_id, run_id))
    page = open_step("understand", finished.project_id, run_id)
    offered = re.search(r"Calibrated, they would be ([\d.]+) points off.*temperature ([\d.]+)", all_text(page))
    assert offered is not None
    page.button(key="calibrate").click().run()
    assert not page.exception
    settings = read_model_settings(finished.engine, finished.project_id, run_id)
    assert f"{settings.temperature:.2f}" == offered[2] != "1.00"
    assert f"Calibrated probabilities are in use**, here and on Predict: {offered[1]} points off" in all_text(page)
    assert bars(open_step("predict", finished.project_id, run_id)) != before
    page.button(key="calibrate").click().run()
    assert "Calibrated, they would be" in all_text(page)
    assert read_model_settings(finished.engine, finished.project_id, run_id) == ModelSettings()
    assert bars(open_step("predict", finished.project_id, run_id)) == before


def test_the_mistakes_have_the_probabilities_that_are_in_use(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(8,))
    choose(finished, run_id, temperature=0.5)
    # 0.66 and 0.34, squared and together 1 again.
    assert "model said **green** 79 %" in all_text(open_step("understand", finished.project_id, run_id))


def test_where_all_answers_are_right_no_temperature_is_offered(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("understand", finished.project_id)
    assert "cannot be calibrated: all 40 validation pictures were answered right" in all_text(page)
    assert not [button for button in page.button if button.key == "calibrate"]


def test_the_threshold_is_chosen_with_its_coverage_and_kept(make_finished, predictor) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=range(20))
    page = open_step("understand", finished.project_id, run_id)
    assert "It answers **100 %** of the 40 validation pictures and is right in **50.0 %** of those" in all_text(page)
    slider(page).set_value(75).run()
    assert not page.exception
    # The later a picture, the surer its answer: those from 75 % on are all right.
    words = "It answers **50 %** of the 40 validation pictures and is right in **100.0 %** of those (84 to 100 %)."
    assert words in all_text(page)
    assert figure_words(page, "It answers") == words.replace("**", "")
    assert read_model_settings(finished.engine, finished.project_id, run_id).threshold == 0.75
    again = open_step("understand", finished.project_id, run_id)
    assert slider(again).value == 75
    slider(again).set_value(99).run()
    assert "It answers **none** of the 40 validation pictures" in all_text(again)


def test_a_run_without_validation_answers_shows_its_exam_and_says_why_nothing_is_fitted(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong_in_exam=(3, 8))
    finished.forget_validation(run_id)
    page = open_step("understand", finished.project_id, run_id)
    assert "the model must have answered validation pictures" in all_text(page)
    assert "It answers **100 %** of the 40 test pictures" in all_text(page)


def test_a_simple_head_is_calibrated_too(make_finished) -> None:
    finished = make_finished()
    head_id = finished.add_head()
    folder = simple_head_dir(head_id.removesuffix(".linear_svm"), "linear_svm", finished.home)
    save_evaluation(finished.answers("validation", (1, 3, 5)), folder, VALIDATION_FILE_NAME)
    page = open_step("understand", finished.project_id, head_id)
    page.button(key="calibrate").click().run()
    assert not page.exception
    assert read_model_settings(finished.engine, finished.project_id, head_id).temperature < 1


def table_of(page: AppTest) -> dict[str, list[str]]:
    """Return the scores of the parts, a list for each part."""
    table = next(one.value for one in page.table if list(one.value)[:2] == ["Part", "Pictures"])
    return {row[0]: row[1:] for row in table.astype(str).values.tolist()}


def test_every_part_stands_with_its_interval_and_a_closed_exam_stays_closed(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(3, 8), wrong_in_exam=range(10))
    page = open_step("understand", finished.project_id, run_id)
    rows = table_of(page)
    assert rows["Train"] == ["–", "not kept"]
    assert rows["Validation"] == ["40", "95 % (83 to 99 %)"]
    assert rows["Test"] == ["40", "exam not opened"]
    assert "earlier version or was trained with augmentation" in all_text(page)
    save_evaluation(finished.answers("validation", ()), finished.home.run_dir(run_id), TRAIN_FILE_NAME)
    open_exam(finished.engine, finished.project_id, run_id, finished.version)
    page = open_step("understand", finished.project_id, run_id)
    rows = table_of(page)
    assert rows["Train"] == ["40", "100 % (91 to 100 %)"]
    assert rows["Test"] == ["40", "75 % (60 to 86 %)"]
    columns = ["Class", "Train", "Validation", "Test"]
    assert columns not in [list(one.value) for one in page.dataframe], "nobody has opened the table of the classes"
    page.session_state["class-scores"] = True  # as after a click on it
    page.run()
    classes = next(one.value for one in page.dataframe if list(one.value) == columns)
    assert classes.values.tolist()[1] == ["green", "100 % (84 to 100 %)", "95 % (76 to 99 %)", "75 % (53 to 89 %)"]


def test_the_training_accuracy_of_the_curve_stands_in_where_no_answers_were_kept(make_finished) -> None:
    finished = make_finished()
    items = [replace(item, split="train") if n % 4 == 0 else item for n, item in enumerate(finished.dataset.items)]
    dataset = replace(finished.dataset, items=tuple(items))
    version = commit_version(
        finished.engine, finished.project_id, dataset, "some", parent=finished.version, home=finished.home
    )
    run_id = replace(finished, dataset=dataset, version=version).add_run()
    with writing(finished.engine) as connection:
        for epoch, accuracy in ((2.5, 0.1), (3.0, 0.9), (5.0, 1.0)):
            connection.execute(sa.insert(metrics).values(job_id=run_id, epoch=epoch, name="accuracy", value=accuracy))
    page = open_step("understand", finished.project_id, run_id)
    # 0.9 at the best epoch, the third, of 20 pictures.
    assert table_of(page)["Train"] == ["20", "90 % (70 to 97 %) \\*"]
    assert "on average over the best epoch" in all_text(page)


def test_the_right_class_is_looked_for_among_the_first_where_there_are_enough_classes(make_finished) -> None:
    names = ("red", "green", "blue", "grey")
    finished = make_finished(names=names, each=5)
    run_id = finished.add_run(names=names)
    folder = finished.home.run_dir(run_id)
    items = finished.dataset.subset("validation")
    y_true = np.array([finished.dataset.class_index()[item.class_id] for item in items], np.int64)
    # The right class comes third everywhere but in two pictures, where it comes last.
    probabilities = np.tile(np.array([0.4, 0.3, 0.2, 0.1], np.float32), (len(items), 1))
    for row, truth in enumerate(y_true):
        place = 3 if row < 2 else 2
        probabilities[row, [truth, place]] = probabilities[row, [place, truth]]
    answers = Evaluation(names, tuple(item.image for item in items), y_true, probabilities)
    save_evaluation(answers, folder, VALIDATION_FILE_NAME)
    page = open_step("understand", finished.project_id, run_id)
    assert table_of(page)["Validation"] == ["20", "0 % (0 to 16 %)", "90 % (70 to 97 %)"]


def test_export_says_that_its_files_give_the_original_probabilities(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    assert "calibrated" not in all_text(open_step("export", finished.project_id, run_id))
    choose(finished, run_id, temperature=1.5)
    calibrated = all_text(open_step("export", finished.project_id, run_id))
    assert "these files give the original ones" in calibrated
    assert DO_NOT_KNOW not in calibrated


def test_export_says_that_its_files_always_answer(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    choose(finished, run_id, threshold=0.9)
    text = all_text(open_step("export", finished.project_id, run_id))
    assert "Predict says \u201cI don't know\u201d below 90 %, the files always answer." in text
    assert "whose largest probability is below 0.9." in text
    choose(finished, run_id, temperature=1.5)
    assert "largest calibrated probability" in all_text(open_step("export", finished.project_id, run_id))


def test_the_coverage_figure_has_its_dot_at_the_chosen_place_and_none_where_nothing_is_answered() -> None:
    answers = drawn(400)
    curve = coverage_curve(answers, [number / 100 for number in range(100)])
    chosen = coverage_at(answers, 0.7)
    band, line, dot = coverage_figure(curve, chosen).data
    assert (list(dot.x), list(dot.y)) == ([100 * chosen.coverage], [100 * chosen.accuracy])
    assert (dot.x[0], dot.y[0]) in set(zip(line.x, line.y, strict=True))
    assert min(band.y) < min(line.y) < max(line.y) <= max(band.y)
    assert len(coverage_figure(curve, Coverage(1, 0, 0, 400)).data) == 2
    everything, nothing = Coverage(0, 400, 400, 400), Coverage(1, 0, 0, 400)
    assert len(coverage_figure([everything, nothing], everything).data) == 3


def test_the_calibration_figure_has_a_dot_for_each_range_and_larger_ones_for_more_pictures() -> None:
    bins, others = calibration_bins(drawn(400)), calibration_bins(drawn(400, too_sure=3))
    diagonal, rings, dots = calibration_figure(bins, others, "original").data
    assert list(dots.x) == [100 * one.confidence for one in bins]
    assert list(rings.y) == [100 * one.accuracy for one in others]
    assert diagonal.x == diagonal.y
    most = max(range(len(bins)), key=lambda index: bins[index].total)
    assert dots.marker.size[most] == max(dots.marker.size) > min(dots.marker.size)
    for one, up, down in zip(bins, dots.error_y.array, dots.error_y.arrayminus, strict=True):
        low, high = one.accuracy_interval
        assert (one.accuracy + up / 100, one.accuracy - down / 100) == pytest.approx((high, low))
    assert len(calibration_figure(bins, (), "original").data) == 2
