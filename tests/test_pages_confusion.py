"""The confusion matrix on Understand as a person works with it: its figure, its order, and the pictures of a cell."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Selectbox

from pages.components.amounts import interval_range
from pages.components.figures.confusion import confusion_figure
from pages.components.figures.live_plot import Figure
from tests.finished_runs import Finished, switch
from tests.page_tests import check, open_app, texts
from tests.test_evaluation import answers
from tlcore.results.evaluation import (
    VALIDATION_FILE_NAME,
    Evaluation,
    confusion_matrix,
    load_evaluation,
    save_evaluation,
)
from tlcore.storage.exams import open_exam


def layers(figure: Figure, name: str) -> list[list[object]]:
    """Return what the cells have, those without pictures and those with them laid over each other."""
    empty, full = (trace[name] for trace in figure["data"])
    return [[above or below for above, below in zip(*lines, strict=True)] for lines in zip(full, empty, strict=True)]


def test_every_number_is_written_and_equal_names_stay_apart() -> None:
    matrix = np.array([[48, 2, 0], [1, 30, 0], [0, 0, 0]])
    figure = confusion_figure(matrix, ["<b>", "a very long class name 1", "a very long class name 2"], (0, 1, 2))
    assert layers(figure, "text") == matrix.astype(str).tolist()
    names = figure["data"][0]["x"]
    assert names[0] == "&lt;b&gt;"
    assert len(set(names)) == 3
    assert json.loads(json.dumps(figure)) == figure


def test_rows_in_percent_are_those_of_scikit_learn_and_never_round_to_nothing_or_all() -> None:
    evaluation = answers([0] * 20 + [1] * 20, [0] * 17 + [1] * 3 + [1] * 20, 2)
    matrix = confusion_matrix(evaluation)
    normalized = metrics.confusion_matrix(evaluation.y_true, evaluation.y_pred, normalize="true")
    expected = [[f"{100 * share:.0f} %" for share in row] for row in normalized]
    assert layers(confusion_figure(matrix, "ab", (0, 1), in_percent=True), "text") == expected
    rare = confusion_figure(np.array([[999, 1], [0, 3]]), "ab", (0, 1), in_percent=True)
    assert layers(rare, "text") == [["&gt;99 %", "&lt;1 %"], ["0 %", "100 %"]]


def test_under_the_pointer_stands_the_share_of_the_row_with_its_interval() -> None:
    figure = confusion_figure(np.array([[43, 7], [0, 0]]), ["cat", "dog"], (0, 1))
    (_, mixed_up), (absent, _) = layers(figure, "hovertext")
    assert mixed_up == f"is cat, model said dog<br>7 of 50 = 14 % ({interval_range(7, 50)})"
    assert interval_range(7, 50) == "7 to 26 %"
    assert absent == "is dog, model said cat<br>no pictures"


def test_mistakes_and_right_answers_have_colours_of_their_own_and_the_chosen_cell_a_frame() -> None:
    matrix = np.array([[5, 0, 5], [0, 9, 1], [0, 0, 9]])
    figure = confusion_figure(matrix, "abc", (2, 0, 1), chosen=(0, 2))
    shades = figure["data"][1]["z"]
    assert shades == [[1.0, None, None], [-1.0, 0.5, None], [pytest.approx(-0.36), None, 0.9]]
    assert figure["data"][1]["customdata"][1] == [2, 0, None]  # the places in the matrix, not in the drawing
    frame = figure["layout"]["shapes"][0]
    assert [frame[end] for end in ("x0", "x1", "y0", "y1")] == [-0.5, 0.5, 0.5, 1.5]


def test_a_hundred_classes_fit_into_a_small_message_and_write_no_numbers() -> None:
    matrix = np.diag(np.full(100, 40))
    matrix[np.arange(99), np.arange(1, 100)] = 7
    figure = confusion_figure(matrix, [f"class {index}" for index in range(100)], range(100))
    assert not any("text" in trace or trace["texttemplate"] for trace in figure["data"])
    assert figure["data"][1]["hovertext"][4][5].startswith("is class 4, model said class 5<br>7 of 47 = 15 %")
    assert len(json.dumps(figure)) < 350_000


def open_understand(finished: Finished, run_id: str) -> AppTest:
    return open_app("understand", project=finished.project_id, run=run_id)


def figure_of(page: AppTest) -> Figure:
    """Return the figure of the matrix as it is sent to the browser."""
    sent = [element.proto for element in page.get("bidi_component")]
    found = next(json.loads(one.json) for one in sent if "Confusion matrix" in one.json)
    return dict(found["figure"])


def pictures_of(page: AppTest) -> int:
    return sum("  \nmodel said" in element.value for element in page.markdown)


def cells(page: AppTest) -> Selectbox:
    """Return the list of the cells."""
    return next(box for box in page.selectbox if box.label == "See the pictures of a cell")


def test_the_cells_are_a_list_too_that_shows_their_pictures(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    page = open_understand(finished, finished.add_run(wrong=(0, 2, 3)))
    assert list(cells(page).options) == [
        "red → green: 2",
        "green → red: 1",
        "red right: 18",
        "green right: 19",
    ]
    before = pictures_of(page)
    check(cells(page).select_index(0).run())
    assert "##### 2 pictures of red that the model called green" in texts(page)
    assert pictures_of(page) == before + 2
    assert [button.label for button in page.button].count("It is green") == 4  # below the mistakes and below the cell
    check(cells(page).select_index(3).run())
    assert "##### 19 pictures of green that the model called green" in texts(page)
    assert pictures_of(page) == before + 12
    assert "These are right" in texts(page)
    check(page.button(key="confusion-clear").click().run())
    assert cells(page).value is None
    assert pictures_of(page) == before


def test_a_picture_is_corrected_below_its_cell(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    page = open_understand(finished, finished.add_run(wrong=(0,)))
    check(cells(page).select_index(0).run())
    relabel = next(button for button in page.button if str(button.key).startswith("cell-relabel"))
    check(relabel.click().run())
    assert "**1 change waits for the next run**: 1 moved to another class." in texts(page)
    assert texts(page).count("now green") == 2
    check(cells(page).select_index(1).run())
    keys = [str(button.key) for button in page.button]
    assert sum(key.startswith("cell-remove") for key in keys) == 12
    assert not any(key.startswith(("cell-keep", "cell-relabel")) for key in keys)  # nothing to correct in a right one


def test_the_cell_is_forgotten_where_it_has_no_pictures(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0,))
    page = open_understand(finished, run_id)
    check(cells(page).select_index(0).run())
    folder = finished.home.run_dir(run_id)
    now = load_evaluation(folder, VALIDATION_FILE_NAME)
    right = np.eye(2, dtype=np.float32)[now.y_true]
    save_evaluation(Evaluation(now.class_names, now.images, now.y_true, right), folder, VALIDATION_FILE_NAME)
    check(page.run())
    assert cells(page).value is None


def test_what_was_chosen_among_the_answers_of_one_model_is_not_chosen_among_others(
    make_finished: Callable[..., Finished],
) -> None:
    finished = make_finished()
    first, second = finished.add_run(wrong=range(31), wrong_in_exam=range(31)), finished.add_run(wrong=range(31))
    open_exam(finished.engine, finished.project_id, first, finished.version)
    page = open_understand(finished, first)

    def choose() -> None:
        check(cells(page).select_index(0).run())
        pair = next(group for group in page.button_group if group.label == "Most frequent mix-ups")
        check(pair.set_value((0, 1)).run())
        check(page.get("pagination")[0].set_value(2).run())
        assert cells(page).value == (0, 1)

    def nothing_is_chosen() -> bool:
        pair = next(group for group in page.button_group if group.label == "Most frequent mix-ups")
        return (cells(page).value, pair.value, page.get("pagination")[0].value) == (None, None, 1)

    choose()
    check(switch(page).set_value("test").run())
    assert nothing_is_chosen()
    check(switch(page).set_value("validation").run())
    choose()
    check(page.selectbox[0].select(second).run())
    assert page.query_params["run"] in (second, [second])
    assert nothing_is_chosen()


@pytest.fixture
def hundred(make_finished: Callable[..., Finished]) -> AppTest:
    """The page of a model of a hundred classes that takes each for the one fifty further on."""
    names = [f"kind {index}" for index in range(100)]
    finished = make_finished(names=names, each=2)
    run_id = finished.add_run(names=names)
    folder = finished.home.run_dir(run_id)
    now = load_evaluation(folder, VALIDATION_FILE_NAME)
    said = np.where(np.arange(now.total) < 100, now.y_true, (now.y_true + 50) % 100)
    probabilities = np.eye(100, dtype=np.float32)[said]
    save_evaluation(Evaluation(now.class_names, now.images, now.y_true, probabilities), folder, VALIDATION_FILE_NAME)
    return open_understand(finished, run_id)


def test_a_hundred_classes_are_ordered_at_a_tap_and_looked_at(hundred: AppTest) -> None:
    assert figure_of(hundred)["data"][0]["x"] == [f"kind {index}" for index in range(100)]
    check(hundred.toggle(key="confusion-alike").set_value(True).run())
    names = figure_of(hundred)["data"][0]["x"]
    assert names == [f"kind {index}" for first in range(50) for index in (first, first + 50)]
    check(cells(hundred).select("kind 7 → kind 57: 1").run())
    assert "##### 1 picture of kind 7 that the model called kind 57" in texts(hundred)
    frame = figure_of(hundred)["layout"]["shapes"][0]
    assert (frame["x0"], frame["y0"]) == (14.5, 13.5)
    check(hundred.segmented_control(key="confusion-unit").set_value("percent").run())
    assert "##### 1 picture of kind 7 that the model called kind 57" in texts(hundred)


def test_two_classes_have_no_order(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    page = open_understand(finished, finished.add_run(wrong=(0,)))
    assert not [one for one in page.toggle if one.key == "confusion-alike"]
    check(page.segmented_control(key="confusion-unit").set_value("percent").run())
    assert layers(figure_of(page), "text") == [["95 %", "5 %"], ["0 %", "100 %"]]


def test_long_names_that_begin_alike_are_told_apart_by_their_ends() -> None:
    names = ["aquarium fish, red", "aquarium fish, blue", "aquarium fish, bl\u200bue"]
    shown = confusion_figure(np.eye(3, dtype=np.int64), names, (0, 1, 2))["data"][0]["x"]
    assert shown[:2] == ["aquarium fish…", "aquariu…, blue"]
    assert len(set(shown)) == 3
    assert all(len(name) <= 14 for name in shown)
