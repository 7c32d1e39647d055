"""Understand, Predict and Export, and the download route, on a run made by the storage functions."""

from __future__ import annotations

import csv
import http.client
import io
import itertools
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ButtonGroup

from pages.components.amounts import chance, file_size, interval_words, ordinal
from pages.components.figures.results import probability_figure
from pages.components.results.answers import Answer, ask
from pages.components.results.exam import meaning_of_exam
from pages.components.results.prediction_table import defused, prediction_csv
from pages.components.state import LOCAL_OWNER
from pages.server.asgi import owner_of
from pages.server.downloads import answers_route, download_route, download_url
from tests.page_tests import modules_after
from tests.queued_run import create_run
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split, Unlabelled
from tlcore.documents import write_document
from tlcore.home import DataRoot
from tlcore.intake.pictures.decoding import clean_pixels, read_image
from tlcore.ready_sets.previews import NUM_TO_ASK
from tlcore.ready_sets.registry import get_ready_set
from tlcore.results.evaluation import FILE_NAME, VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.prediction import Predictor
from tlcore.results.prediction_code import OLDEST_KERAS, prediction_code
from tlcore.storage.database import jobs, open_database, runs, writing
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble, delete_ensemble, list_ensembles
from tlcore.storage.exams import open_exam
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import (
    ACTIVE_STATES,
    claim_job,
    create_job,
    end_job,
    list_jobs,
    read_request,
    request_stop,
    write_result,
)
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SimpleHeadResult, SimpleHeadsRequest, SimpleHeadsResult
from tlcore.storage.runs import RunSummary, write_summary
from tlcore.storage.simple_heads import frozen_backbone, simple_head_dir

PAGES_DIR = Path(__file__).resolve().parents[1] / "pages"
OWNER = "o" * 24
NAMES = ("red", "green")
COLORS = ((200, 30, 30), (30, 160, 40))


@dataclass(frozen=True)
class Finished:
    engine: sa.Engine
    home: DataRoot
    project_id: str
    dataset: Dataset
    version: int

    def answers(
        self, split: Split, wrong: Sequence[int], names: Sequence[str] = NAMES, total: int | None = None
    ) -> Evaluation:
        """Return answers to the first pictures of a part, wrong at these positions, with rising certainty."""
        items = self.dataset.subset(split)[:total]
        y_true = np.array([self.dataset.class_index()[item.class_id] for item in items], dtype=np.int64)
        probabilities = np.zeros((len(items), len(names)), np.float32)
        for index, truth in enumerate(y_true):
            said = 1 - truth if index in wrong else truth
            probabilities[index, said] = 0.6 + 0.3 * index / max(1, len(items))
            probabilities[index, 1 - said] = 1 - probabilities[index, said]
        return Evaluation(tuple(names), tuple(item.image for item in items), y_true, probabilities)

    def add_run(
        self,
        wrong: Sequence[int] = (),
        names: Sequence[str] = NAMES,
        *,
        wrong_in_exam: Sequence[int] = (),
        validation: int | None = None,
        test: int | None = None,
    ) -> str:
        """Make a finished run that answers the validation pictures of these positions wrong, with rising certainty."""
        run_id = create_run(self.engine, self.project_id, self.version, RunConfig())
        job = claim_job(self.engine, "run")
        validated = self.answers("validation", wrong, names, validation)
        tested = self.answers("test", wrong_in_exam, names, test)
        folder = self.home.run_dir(run_id)
        save_evaluation(validated, folder, VALIDATION_FILE_NAME)
        save_evaluation(tested, folder)
        (folder / "model.keras").write_bytes(b"K" * 3_000_000)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
        (folder / "pixels.py").write_text("# from a file to pixels", "utf-8")
        (folder / "README.txt").write_text("Feed me.", "utf-8")
        (folder / "worker.log").write_text("secret", "utf-8")
        summary = RunSummary(
            best_epoch=3,
            epochs=5,
            validation_accuracy=validated.accuracy,
            test_correct=tested.correct,
            test_total=tested.total,
            trainable_parameters=2562,
            frozen_parameters=3_370_000,
            seconds=12.0,
            validation_correct=validated.correct,
            validation_total=validated.total,
        )
        with writing(self.engine) as connection:
            write_summary(connection, run_id, job.attempt, summary)
        end_job(self.engine, run_id, job.attempt, "finished")
        return run_id

    def forget_validation(self, run_id: str) -> None:
        """Let a run be one of an earlier version, which kept no answers to the validation pictures."""
        (self.home.run_dir(run_id) / VALIDATION_FILE_NAME).unlink()
        with writing(self.engine) as connection:
            summary = RunSummary(3, 5, 0.9, 30, 40, 2562, 3_370_000, 12.0)
            of_run = sa.update(runs).where(runs.c.job_id == run_id)
            connection.execute(of_run.values(summary=write_document(summary)))
        open_exam(self.engine, self.project_id, run_id, self.version)

    def add_head(self) -> str:
        """Make a trained simple head that answers one picture of each part wrong; return its id."""
        request = SimpleHeadsRequest(self.version, frozen_backbone(ModelConfig()))
        job_id = create_job(self.engine, "simple_heads", self.project_id, request)
        job = claim_job(self.engine, "simple_heads")
        validated, tested = self.answers("validation", [5]), self.answers("test", [5])
        folder = simple_head_dir(job_id, "linear_svm", self.home)
        save_evaluation(validated, folder, VALIDATION_FILE_NAME)
        save_evaluation(tested, folder)
        with writing(self.engine) as connection:
            counts = (tested.correct, tested.total, 100, 0.25, validated.correct, validated.total)
            result = SimpleHeadResult("linear_svm", *counts)
            write_result(connection, job_id, job.attempt, SimpleHeadsResult((result,)))
        end_job(self.engine, job_id, job.attempt, "finished")
        return f"{job_id}.linear_svm"


@pytest.fixture
def make_finished(home: DataRoot) -> Callable[..., Finished]:
    def make(owner: str = LOCAL_OWNER, names: Sequence[str] = NAMES, each: int = 20) -> Finished:
        engine = open_database(home)
        images, random = ImageStore(home), np.random.default_rng(0)
        classes = tuple(ClassLabel(f"class{index}", name, index) for index, name in enumerate(names))
        items = []
        for number, split in itertools.product(range(each * len(names)), ("validation", "test")):
            noise = random.integers(-20, 20, (48, 64, 3))
            pixels = np.clip(np.array(COLORS[number % 2]) + noise, 0, 255).astype(np.uint8)
            clean = clean_pixels(pixels)
            key = images.add(clean.data, clean.thumbnail)
            items.append(Item(key, classes[number % len(names)].id, split, f"{split} {number}.png"))
        dataset = Dataset(classes, tuple(items))
        project = create_project(engine, owner, "Colours")
        version = commit_version(engine, project.id, dataset, "made", parent=None, home=home)
        return Finished(engine, home, project.id, dataset, version)

    return make


def by_colour(images: Sequence[np.ndarray]) -> np.ndarray:
    """Answer by the mean colour, as quickly as a trained model and without one."""
    red = [float(image[..., 0].mean() > image[..., 1].mean()) for image in images]
    return np.array([[0.95, 0.05] if value else [0.1, 0.9] for value in red], np.float32)


RED_OR_GREEN = Predictor(NAMES, (0, 1), 64, by_colour)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: RED_OR_GREEN)


def table_with(tables: Sequence[Any], column: str) -> Any:
    """Return the rows of the only table with this column."""
    [rows] = [table.value for table in tables if column in table.value]
    return rows


def open_step(step: str, project_id: str, run_id: str | None = None) -> AppTest:
    page = AppTest.from_file(str(PAGES_DIR / "router.py"), default_timeout=20)
    page.query_params["project"] = project_id
    if run_id:
        page.query_params["run"] = run_id
    page.switch_page(str(PAGES_DIR / f"{step}.py"))
    page.run()
    assert not page.exception
    return page


def picture(color: tuple[int, int, int], kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 60), color).save(buffer, kind)
    return buffer.getvalue()


def all_text(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.info, *page.warning, *page.success, *page.error, *page.title]
    return "\n".join(element.value for element in parts)


ALL_STEPS = ("train", "understand", "predict", "export")


def open_home() -> AppTest:
    page = AppTest.from_file(str(PAGES_DIR / "router.py"), default_timeout=20).run()
    assert not page.exception
    return page


def press(page: AppTest, key: str) -> None:
    page.button(key=key).click().run()
    assert not page.exception


def switch(page: AppTest) -> ButtonGroup:
    """Return the switch between the answers to the validation pictures and those of the exam."""
    return next(group for group in page.button_group if str(group.key).startswith("answers-"))


def accuracy_of(page: AppTest) -> str:
    """Return what the accuracy figure says to those who cannot see it."""
    return str(page.get("plotly_chart")[0].proto.alt)


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
    kinds = page.button_group(key="mistakes-pair")
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
        tables = [str(table.value) for one in opened for table in (*one.table, *one.dataframe)]
        options = [str(box.options) for one in opened for box in one.selectbox]
        return "\n".join([*map(all_text, opened), *tables, *options])

    text = pages(*shown)
    assert "Its exam of 40 test pictures is not opened yet" in text
    assert not re.search(r"3[23] %|13 of 40|Test accuracy", text)
    press(page, "open-exam")
    assert re.search(r"32 %|33 %", pages(shown[2]))
    assert not re.search(r"3[23] %|13 of 40", pages(*shown[:2])), "that of the group opens none of its members"


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
    finished.add_run()  # it has no compiled model
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


def bring(page: AppTest, *pictures: tuple[str, bytes]) -> None:
    for name, data in pictures:
        page.file_uploader[0].upload(name, data)
    page.run()
    assert not page.exception


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


def test_export_names_sizes_settings_and_code(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    page = open_step("export", finished.project_id)
    links = {link.url: link.label for link in page.get("link_button")}
    assert links[download_url(run_id, "model.keras")] == "model.keras (3.0 MB)"
    assert "Download all (ZIP, 3.0 MB)" in links.values()
    assert any("EfficientNet-Lite0" in value for value in page.table[0].value["Value"])
    assert page.code[0].value.strip() == prediction_code(ModelConfig()).strip()
    assert f"Keras {OLDEST_KERAS} or newer" in all_text(page)


def test_the_program_on_the_page_scales_deep_pictures_as_the_data_set_did(make_finished) -> None:
    finished = make_finished()
    scans = replace(finished.dataset, grey_range=(0.0, 4095.0))
    version = commit_version(
        finished.engine, finished.project_id, scans, "scans", parent=finished.version, home=finished.home
    )
    replace(finished, version=version).add_run()
    page = open_step("export", finished.project_id)
    assert page.code[0].value.strip() == prediction_code(ModelConfig(), (0.0, 4095.0)).strip()


def test_the_program_of_a_model_from_before_is_in_its_readme(make_finished) -> None:
    finished = make_finished()
    (finished.home.run_dir(finished.add_run()) / "pixels.py").unlink()
    page = open_step("export", finished.project_id)
    assert not page.code
    assert "README.txt" in all_text(page)


def test_export_says_so_when_the_files_are_gone(make_finished) -> None:
    finished = make_finished()
    (finished.home.run_dir(finished.add_run()) / "model.keras").unlink()
    assert "Train again" in open_step("export", finished.project_id).error[0].value


def make_group(finished: Finished, page: AppTest) -> str:
    """Press the button that makes a group of the chosen runs; return its id."""
    page.button(key="make-group").click().run()
    assert not page.exception
    return list_ensembles(finished.engine, finished.project_id)[0].id


def test_two_runs_become_a_group_that_is_looked_at_like_a_run_and_survives_a_reload(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(30, 31, 32))
    finished.add_run(wrong=(0, 1, 30))
    page = open_step("understand", finished.project_id)
    group_id = make_group(finished, page)
    for shown in (page, open_step("understand", finished.project_id, group_id)):
        assert shown.query_params["run"] in (group_id, [group_id])
        assert any("Runs 1 and 2" in option for option in shown.selectbox[0].options)
        # Where only one is wrong, the surer one wins: 31 and 32 are sure mistakes, 0 and 1 are not.
        assert accuracy_of(shown).startswith("Validation accuracy 92 %")
        rows = table_with(shown.table, "Model")
        assert list(rows["Model"]) == ["**The group**", "Run 1", "Run 2"]
        assert list(rows["Validation accuracy"]) == ["92 % (80 to 97 %)"] * 3
        assert list(rows["Counts"]) == ["", "50 %", "50 %"]
        assert "Of 40 validation pictures the group and Run 1 got the same number right" in all_text(shown)
    group = list_ensembles(finished.engine, finished.project_id)[0]
    assert (group.validation_correct, group.validation_total) == (37, 40)
    press(page, "open-exam")
    assert list(table_with(page.table, "Test accuracy")["Test accuracy"]) == [
        "100 % (91 to 100 %)",
        *["exam not opened"] * 2,
    ]


def test_weights_are_fitted_when_the_runs_kept_their_validation_answers(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run(wrong=range(39))
    page = open_step("understand", finished.project_id)
    weighting = next(group for group in page.button_group if group.key == "group-weighting")
    weighting.set_value("validation").run()
    assert "Run 1: 100 %, Run 2: 0 %. A run that counts nothing is not asked." in all_text(page)
    page.text_input(key="group-name").set_value("*Our* best")
    group = make_group(finished, page)
    kept = list_ensembles(finished.engine, finished.project_id)[0]
    assert (kept.config.weights, kept.config.weighting, kept.name) == ((1.0, 0.0), "validation", "*Our* best")
    text = all_text(open_step("understand", finished.project_id, group))
    assert "fitted their weights: the number is optimistic" in text
    assert "on the validation pictures, which flatters it here" in text


def test_members_from_an_earlier_version_make_a_group_whose_validation_is_not_known(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.forget_validation(finished.add_run())
    page = open_step("understand", finished.project_id)
    assert "All count the same." in all_text(page)
    make_group(finished, page)
    assert page.selectbox[0].options[2] == "Group \u201cRuns 1 and 2\u201d"
    assert "kept no answers to the validation pictures" in page.info[0].value
    assert [button.key for button in page.button if button.key == "open-exam"]
    assert [button.label for button in page.button if str(button.key).startswith("delete-group")] == ["Delete"]


def test_runs_on_other_pictures_cannot_join(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    dataset = Dataset(finished.dataset.classes, finished.dataset.items[:-1])
    version = commit_version(
        finished.engine, finished.project_id, dataset, "one less", parent=finished.version, home=finished.home
    )
    Finished(finished.engine, finished.home, finished.project_id, dataset, version).add_run()
    page = open_step("understand", finished.project_id)
    assert any("two runs on the same pictures" in info.value for info in page.info)


def test_a_group_predicts_and_is_deleted_without_its_runs(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    page = open_step("predict", finished.project_id, group_id)
    page.file_uploader[0].upload("a.png", picture(COLORS[0])).run()
    assert "The model says red" in all_text(page)
    page = open_step("understand", finished.project_id, group_id)
    page.button(key=f"delete-{group_id}").click().run()
    assert not page.exception
    assert list_ensembles(finished.engine, finished.project_id) == []
    assert len(page.selectbox[0].options) == 2
    assert page.selectbox[0].options[0].startswith("Run 2")


def test_a_group_whose_run_has_damaged_files_is_explained_and_can_be_deleted(make_finished) -> None:
    finished = make_finished()
    first = finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    (finished.home.run_dir(first) / VALIDATION_FILE_NAME).write_bytes(b"PK broken")
    page = open_step("understand", finished.project_id, group_id)
    assert "Train again" in page.error[0].value
    assert page.button(key=f"delete-{group_id}").label == "Delete"


def test_the_address_of_a_group_leads_to_no_error_on_train_and_export(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    assert "no file of its own" in open_step("export", finished.project_id, group_id).info[0].value
    assert not open_step("train", finished.project_id, group_id).error


def test_heads_of_an_earlier_version_are_not_ranked_and_can_be_trained_again(make_finished) -> None:
    finished = make_finished()
    head_id = finished.add_head()
    job_id, _, kind = head_id.partition(".")
    (simple_head_dir(job_id, kind, finished.home) / VALIDATION_FILE_NAME).unlink()
    with writing(finished.engine) as connection:
        result = write_document(SimpleHeadsResult((SimpleHeadResult("linear_svm", 39, 40, 100, 0.25),)))
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(result=result))
    page = open_step("understand", finished.project_id)
    assert "kept no answers to the validation pictures" in page.info[0].value
    assert list(table_with(page.table, "Validation accuracy")["Validation accuracy"]) == ["not known"]
    assert page.button(key="train-probes").label == "Train simple heads again"


def test_a_simple_head_is_looked_at_and_compared_with_the_run(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(3, 8))
    head_id = finished.add_head()
    page = open_step("understand", finished.project_id)
    assert page.selectbox[0].options[1] == "Linear SVM: 98 % on validation, EfficientNet-Lite0"
    rows = table_with(page.table, "Model")
    assert list(rows["Model"]) == ["Run 1", "Linear SVM"]
    assert rows["Validation accuracy"][1] == "98 % (87 to 100 %)"
    assert "Of 40 validation pictures Linear SVM got 1 more right than Run 1: 2 only Linear SVM, 1" in all_text(page)
    assert "it may well be chance" in all_text(page)
    assert "drawn at random" not in all_text(page)
    page = open_step("understand", finished.project_id, head_id)
    assert accuracy_of(page).startswith("Validation accuracy 98 %")
    assert "These pictures chose nothing here" in all_text(page)
    page = open_step("predict", finished.project_id, head_id)
    assert "Train it again" in page.error[0].value  # its files are not there


def test_simple_heads_are_trained_by_a_job_that_is_watched(make_finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.jobs.control.ensure_runner", lambda home=None: None)
    finished = make_finished()
    finished.add_run()
    page = open_step("understand", finished.project_id)
    page.button(key="train-probes").click().run()
    assert not page.exception
    (job,) = list_jobs(finished.engine, states=ACTIVE_STATES, project_id=finished.project_id)
    assert read_request(finished.engine, job.id, SimpleHeadsRequest) == SimpleHeadsRequest(
        finished.version, ModelConfig()
    )
    assert "Simple heads" in page.get("progress")[0].proto.text
    page.button(key=f"stop-{job.id}").click().run()
    assert not list_jobs(finished.engine, states=ACTIVE_STATES, project_id=finished.project_id)
    assert "train-probes" in [button.key for button in page.button]


def test_simple_heads_need_no_network_to_be_trained_first(make_finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.jobs.control.ensure_runner", lambda home=None: None)
    monkeypatch.setattr("pages.components.train.starting.find_obstacle", lambda context: None)
    finished = make_finished()
    page = open_step("train", finished.project_id)
    page.button(key="train-probes").click().run()
    assert not page.exception
    (job,) = list_jobs(finished.engine, states=ACTIVE_STATES, project_id=finished.project_id)
    assert read_request(finished.engine, job.id, SimpleHeadsRequest) == SimpleHeadsRequest(
        finished.version, ModelConfig()
    )
    request_stop(finished.engine, job.id)
    head_id = finished.add_head()
    rows = open_step("train", finished.project_id).table[0].value
    assert list(rows["Model"]) == ["Linear SVM"]
    page = open_step("understand", finished.project_id, head_id)
    assert accuracy_of(page).startswith("Validation accuracy 98 %")
    page = open_step("export", finished.project_id, head_id)
    assert "Train a network" in page.info[0].value


def test_the_first_paint_of_understand_loads_neither_network_nor_classifiers(make_finished) -> None:
    finished = make_finished()
    finished.add_run()
    loaded = modules_after("understand", finished.home, finished.project_id)
    assert "plotly" in loaded
    assert not {"sklearn", "tensorflow", "keras", "ai_edge_litert"} & loaded


@dataclass(frozen=True)
class Answered:
    status: int
    content: bytes
    disposition: str | None


Get = Callable[..., Answered]


@pytest.fixture
def get(home: DataRoot) -> Iterator[Get]:
    """Ask a real server, with the address exactly as it is written."""
    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[download_route(owner_of), answers_route(owner_of)]), port=0, log_level="warning"
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def get(address: str, cookie: str | None = f"lab_user={OWNER}") -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", address, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        result = Answered(answer.status, answer.read(), answer.headers["content-disposition"])
        connection.close()
        return result

    yield get
    server.should_exit = True
    thread.join(timeout=10)


def test_the_owner_gets_the_files_as_attachments(make_finished, get: Get) -> None:
    run_id = make_finished(OWNER).add_run()
    answer = get(download_url(run_id, "model.keras"))
    assert answer == Answered(200, b"K" * 3_000_000, 'attachment; filename="model.keras"')
    assert get(download_url(run_id, "labels.txt")).content == b"red\ngreen\n"


def test_the_zip_holds_all_files(make_finished, get: Get) -> None:
    run_id = make_finished(OWNER).add_run()
    answer = get(download_url(run_id, "model.zip"))
    assert answer.disposition == 'attachment; filename="model.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["model.keras", "labels.txt", "pixels.py", "README.txt"]
        assert archive.read("model.keras") == b"K" * 3_000_000


def test_another_owner_gets_the_same_answer_as_for_a_run_that_is_not_there(make_finished, get: Get) -> None:
    run_id = make_finished(OWNER).add_run()
    missing = get(download_url("nothing", "model.keras"))
    assert missing.status == 404
    for cookie in (f"lab_user={'x' * 24}", "lab_user=", f"lab_user={LOCAL_OWNER}", "other=1", None):
        for file in ("model.keras", "model.zip"):
            assert get(download_url(run_id, file), cookie) == missing


@pytest.mark.parametrize(
    "file",
    [
        "worker.log",
        "evaluation.npz",
        "../../lab.sqlite",
        "..%2F..%2Flab.sqlite",
        "..%5Clab.sqlite",
        "MODEL.KERAS",
        "..",
    ],
)
def test_nothing_else_leaves_the_folder(make_finished, get: Get, file: str) -> None:
    run_id = make_finished(OWNER).add_run()
    assert get(f"/download/{run_id}/{file}").status == 404


@pytest.mark.parametrize("prefix", ["..%2Fruns%2F", "%2E%2E/runs/", "./"])
def test_a_run_id_is_never_a_path(make_finished, get: Get, prefix: str) -> None:
    run_id = make_finished(OWNER).add_run()
    assert get(f"/download/{prefix}{run_id}/model.keras").status == 404


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "  =x", "\xa0=x"])
def test_a_text_that_acts_as_a_formula_is_defused(text: str) -> None:
    assert defused(text) == f"'{text}"


def test_the_table_has_one_line_per_picture_and_refused_ones_their_reason() -> None:
    text = prediction_csv(
        ["=cat", "dog"], [Answer("a.png", probabilities=(0.25, 0.75)), Answer("-b.png", reason="It is empty.")]
    )
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0] == ["file", "answer", "probability", "'=cat", "dog", "refused because"]
    assert rows[1] == ["a.png", "dog", "0.750000", "0.250000", "0.750000", ""]
    assert rows[2] == ["'-b.png", "", "", "", "", "It is empty."]


def test_the_table_says_what_looks_like_none_of_the_classes_where_that_is_known() -> None:
    answers = [Answer(name, probabilities=(0.25, 0.75)) for name in ("shoe.png", "cat.png")]
    answers.append(Answer("c.png", reason="No."))
    text = prediction_csv(["cat", "dog"], answers, is_strange=lambda answer: answer.name == "shoe.png")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row[3] for row in rows] == ["like none of your classes", "yes", "no", ""]
    assert {len(row) for row in rows} == {7}


def test_probability_bars_are_ranked_coloured_and_name_the_rest() -> None:
    probabilities = [0.0, 0.1, 0.6, 0.02, 0.03, 0.05, 0.05, 0.05, 0.05, 0.05]
    figure = probability_figure(probabilities, [f"c{index}" for index in range(10)], [f"#{i:06x}" for i in range(10)])
    bars = figure.data[0]
    assert bars.y[0] == "c2"
    assert bars.marker.color[0] == "#000002"
    assert bars.text[0] == "60 %"
    assert bars.y[-1] == "3 others"
    assert sum(bars.x) == pytest.approx(1.0)


def test_numbers_in_words() -> None:
    assert chance(0.9999) == "over 99 %"
    assert chance(1.0) == "100 %"
    assert chance(0.0001) == "under 1 %"
    assert file_size(14_230_000) == "14.2 MB"
    assert interval_words(284, 300) == "between 92 and 97 %"
    assert interval_words(4974, 5000) == "between 99.2 and 99.6 %"
