"""Understand on a run made by the storage functions."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from pages.components.amounts import ordinal
from pages.components.results.exam import meaning_of_exam
from tests.finished_runs import (
    ALL_STEPS,
    NAMES,
    Finished,
    accuracy_of,
    all_text,
    make_group,
    open_home,
    open_step,
    press,
    switch,
    table_with,
)
from tests.page_tests import modules_after
from tlcore.dataset import Dataset, Split
from tlcore.results.evaluation import FILE_NAME, VALIDATION_FILE_NAME, Evaluation, load_evaluation, save_evaluation
from tlcore.results.prediction import SPEC_FILE
from tlcore.storage.datasets import commit_version
from tlcore.storage.ensembles import delete_ensemble


@pytest.mark.parametrize("step", ["understand", "predict", "export"])
def test_a_project_without_a_run_says_what_to_do(make_finished, step: str) -> None:
    page = open_step(step, make_finished().project_id)
    assert any("no trained model" in info.value for info in page.info)
    assert any("Train" in button.label for button in page.button)


def test_understand_says_the_accuracy_with_its_interval_in_words(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(3, 8))
    page = open_step("understand", finished.project_id)
    assert accuracy_of(page) == "Validation accuracy 95 %, between 83 and 99 %"
    text = all_text(page)
    assert "38 of 40 validation pictures right" in text
    assert "between 83 and 99 %" in text
    assert "one picture = 2.5 points" in text
    assert "chose the best epoch, so the number is a little optimistic" in text


def test_the_surest_mistake_comes_first_with_what_it_is_and_what_the_model_said(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(3, 8))
    page = open_step("understand", finished.project_id)
    said = [element.value.replace("  \n", " ") for element in page.markdown if "  \nmodel said" in element.value]
    assert said == ["is **red**, model said **green** 66 %", "is **green**, model said **red** 62 %"]


def test_many_mistakes_are_paged_and_one_kind_can_be_chosen(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=range(31))
    page = open_step("understand", finished.project_id)
    assert sum("  \nmodel said" in m.value for m in page.markdown) == 12
    page.get("pagination")[0].set_value(3).run()
    assert sum("  \nmodel said" in m.value for m in page.markdown) == 7
    kinds = next(group for group in page.button_group if group.label == "Most frequent mix-ups")
    assert list(kinds.options) == ["red → green: 16", "green → red: 15"]
    kinds.set_value((0, 1)).run()
    assert sum("said **green**" in m.value for m in page.markdown) == 12
    assert not any("said **red**" in m.value for m in page.markdown)


def test_no_mistakes_at_all_is_said(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("understand", finished.project_id)
    assert "all 40 validation pictures" in page.success[0].value
    assert "between 91 and 100 %" in all_text(page)


def test_a_tiny_validation_set_is_said(make_finished) -> None:
    finished = make_finished(each=4)
    finished.add_run()
    assert "Only 8 validation pictures" in open_step("understand", finished.project_id).warning[0].value


def test_a_run_without_test_pictures_has_no_exam_and_says_how_to_get_one(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run(test=0)
    page = open_step("understand", finished.project_id)
    assert "no test pictures, so it has no exam" in page.info[0].value
    assert accuracy_of(page).startswith("Validation accuracy 100 %")
    assert not [button for button in page.button if button.key == "open-exam"]
    assert "**No test pictures**" in all_text(open_step("train", finished.project_id, run_id))


def test_a_run_without_validation_pictures_has_its_exam_alone(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run(validation=0, wrong_in_exam=(3,))
    assert "no validation pictures" in all_text(open_home())
    assert "no validation pictures" in all_text(open_step("train", finished.project_id))
    assert "**No validation pictures**" in all_text(open_step("train", finished.project_id, run_id))
    page = open_step("understand", finished.project_id)
    assert "no validation pictures, so only its exam can tell" in page.info[0].value
    assert not page.get("plotly_chart")
    page.button(key="open-exam").click().run()
    assert not page.exception
    assert accuracy_of(page).startswith("Test accuracy 98 %")
    assert "1st model tested on these 40 test pictures" in all_text(page)


def test_a_run_without_either_says_so(make_finished) -> None:
    finished = make_finished()
    finished.add_run(validation=0, test=0)
    page = open_step("understand", finished.project_id)
    assert ["no validation pictures" in page.info[0].value, "no test pictures" in page.info[1].value] == [True, True]
    assert "nan" not in all_text(page)


def test_a_run_of_an_earlier_version_shows_its_exam_and_says_what_is_missing(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong_in_exam=range(10))
    finished.forget_validation(run_id)
    assert "Run 1: 90 % of the validation pictures right" in all_text(open_home())
    page = open_step("understand", finished.project_id)
    assert "kept no answers to the validation pictures: it is from an earlier version" in page.info[0].value
    assert accuracy_of(page).startswith("Test accuracy 75 %")
    assert not [group for group in page.button_group if str(group.key).startswith("answers-")]
    assert open_step("train", finished.project_id, run_id).metric[0].value == "90 %"


def test_the_test_result_is_nowhere_before_the_exam_is_opened(make_finished, predictor) -> None:
    finished = make_finished()
    shown = [finished.add_run(wrong_in_exam=range(27)), finished.add_run(wrong_in_exam=range(27))]
    page = open_step("understand", finished.project_id)
    shown.append(make_group(finished, page))

    def pages(*run_ids: str) -> str:
        opened = [open_home(), open_step("train", finished.project_id)]
        opened += [open_step(step, finished.project_id, one) for one in run_ids for step in ALL_STEPS]
        for one in opened:
            if any(box.label == "Each class in every part" for box in one.expander):
                one.session_state["class-scores"] = True  # as after a click on it
                one.run()
        tables = [str(table.value) for one in opened for table in (*one.table, *one.dataframe)]
        options = [str(box.options) for one in opened for box in one.selectbox]
        return "\n".join([*map(all_text, opened), *tables, *options])

    text = pages(*shown)
    assert "Its exam of 40 test pictures is not opened yet" in text
    assert not re.search(r"3[23] %|13 of 40|Test accuracy", text)
    press(page, "open-exam")
    assert re.search(r"32 %|33 %", pages(shown[2]))
    assert not re.search(r"3[23] %|13 of 40", pages(*shown[:2])), "that of the group opens none of its members"


def test_a_tap_reads_no_answers_again_and_changed_ones_are_shown(make_finished, monkeypatch) -> None:
    finished = make_finished()
    runs = [finished.add_run(wrong=(3, 8)), finished.add_run()]
    page = open_step("understand", finished.project_id, runs[0])
    make_group(finished, page)
    read: list[str] = []

    def noted(folder: Path, file_name: str) -> Evaluation:
        read.append(file_name)
        return load_evaluation(folder, file_name)

    monkeypatch.setattr("tlcore.results.evaluation.load_evaluation", noted)
    page.run()
    assert read == []
    page = open_step("understand", finished.project_id, runs[0])
    assert read == [], "another person reads them from memory"
    save_evaluation(finished.answers("validation", (3, 8, 9, 10)), finished.home.run_dir(runs[0]), VALIDATION_FILE_NAME)
    page.run()
    assert read == [VALIDATION_FILE_NAME]
    assert accuracy_of(page).startswith("Validation accuracy 90 %")


def test_an_exam_is_opened_by_a_button_counted_and_one_tap_away_from_validation(make_finished) -> None:
    finished = make_finished()
    first, second = finished.add_run(wrong=(3, 8)), finished.add_run(wrong_in_exam=range(4))
    page = open_step("understand", finished.project_id)
    assert "No model was tested on them so far" in all_text(page)
    press(page, "open-exam")
    assert accuracy_of(page) == "Test accuracy 90 %, between 77 and 96 %"
    assert not page.warning
    text = all_text(page)
    assert "36 of 40 test pictures right" in text
    assert "This is the 1st model tested on these 40 test pictures: a fair exam." in text
    assert "optimistic" not in text
    assert not [button for button in page.button if button.key == "open-exam"]
    switch(page).set_value("validation").run()
    assert accuracy_of(page).startswith("Validation accuracy 100 %")
    assert "**Exam: 90 % (77 to 96 %)** of 40 test pictures right" in all_text(page)

    page = open_step("understand", finished.project_id)
    assert accuracy_of(page).startswith("Validation accuracy 100 %"), "validation leads"
    page = open_step("understand", finished.project_id, first)
    assert "1 model was tested on them so far" in all_text(page)
    press(page, "open-exam")
    text = all_text(page)
    assert "This is the 2nd model tested on these 40 test pictures. Each look at the exam while you choose" in text
    assert "1st of 2 models tested" in all_text(open_step("understand", finished.project_id, second))
    assert "**Exam: 90 %" in all_text(open_step("train", finished.project_id, second))


def test_the_count_stays_when_a_group_goes_and_starts_anew_with_other_test_pictures(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run()
    page = open_step("understand", finished.project_id)
    group_id = make_group(finished, page)
    press(page, "open-exam")
    delete_ensemble(finished.engine, group_id)
    assert "1 model was tested on them so far" in all_text(open_step("understand", finished.project_id))

    def change(gone: Split) -> Finished:
        items = list(finished.dataset.items)
        items.remove(finished.dataset.subset(gone)[-1])
        dataset = Dataset(finished.dataset.classes, tuple(items))
        version = commit_version(
            finished.engine, finished.project_id, dataset, "fewer", parent=finished.version, home=finished.home
        )
        return Finished(finished.engine, finished.home, finished.project_id, dataset, version)

    finished = change("validation")
    finished.add_run()
    assert "1 model was tested on them so far" in all_text(open_step("understand", finished.project_id))
    finished = change("test")
    finished.add_run()
    assert "No model was tested on them so far" in all_text(open_step("understand", finished.project_id))


def test_an_exam_whose_answers_are_gone_is_not_counted(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    (finished.home.run_dir(run_id) / FILE_NAME).unlink()
    page = open_step("understand", finished.project_id)
    press(page, "open-exam")
    assert "Train again" in page.error[0].value
    assert "No model was tested on them so far" in all_text(open_step("understand", finished.project_id))


def test_the_meaning_of_an_exam_in_words() -> None:
    assert "This is the 12th model tested on these 380 test pictures. Each look" in meaning_of_exam(12, 12, 380)
    assert "the more models, the more luck" in meaning_of_exam(12, 12, 380)
    assert "This is the 3rd of 21 models tested on this 1 test picture." in meaning_of_exam(3, 21, 1)
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th")
    ]


def test_undefined_scores_are_a_dash_with_the_reason(make_finished) -> None:
    finished = make_finished()
    names = (*NAMES, "*lynx*")
    finished.add_run(names=names)
    page = open_step("understand", finished.project_id)
    table = table_with(page.dataframe, "Precision")
    assert list(table["Class"]) == [*names, "Macro avg", "Weighted avg"]
    assert np.isnan(table["Recall"][2])
    assert np.isnan(table["Precision"][2])
    assert table["Recall"][0] == 100
    text = all_text(page)
    assert r"\*lynx\* has no precision (–): the model never gave this answer." in text
    assert r"\*lynx\* has no recall (–): there is no validation picture of it." in text


def test_damaged_results_are_explained(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    (finished.home.run_dir(run_id) / VALIDATION_FILE_NAME).write_bytes(b"PK broken")
    page = open_step("understand", finished.project_id)
    assert "Train again" in page.error[0].value
    assert "Train again" in [button.label for button in page.button]


def test_a_model_that_is_gone_is_explained(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    (finished.home.run_dir(run_id) / SPEC_FILE).unlink()
    page = open_step("predict", finished.project_id)
    assert "Train again" in page.error[0].value
    assert "Train again" in [button.label for button in page.button]


def test_the_newest_run_is_shown_unless_the_address_names_another(make_finished) -> None:
    finished = make_finished()
    first, second = finished.add_run(wrong=(3, 8)), finished.add_run()
    page = open_step("understand", finished.project_id)
    assert accuracy_of(page).startswith("Validation accuracy 100 %")
    assert page.query_params["run"] in (second, [second])
    assert page.selectbox[0].options[1].startswith("Run 1: 95 % on validation")
    assert accuracy_of(open_step("understand", finished.project_id, first)).startswith("Validation accuracy 95 %")
    page.selectbox[0].select_index(1).run()
    assert accuracy_of(page).startswith("Validation accuracy 95 %")
    assert page.query_params["run"] in (first, [first])


def test_the_first_paint_of_understand_loads_neither_network_nor_classifiers(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    loaded = modules_after("understand", finished.home, finished.project_id)
    assert "plotly" in loaded
    assert not {"sklearn", "tensorflow", "keras", "ai_edge_litert"} & loaded
