"""Understand, Predict and Export, and the download route, on a run made by the storage functions."""

from __future__ import annotations

import csv
import http.client
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from streamlit.testing.v1 import AppTest

from pages.components.amounts import chance, file_size, interval_words
from pages.components.figures.results import confusion_figure, probability_figure
from pages.components.results.answers import Answer
from pages.components.results.ensemble_views import comparison_words
from pages.components.results.prediction_table import defused, prediction_csv
from pages.components.state import LOCAL_OWNER
from pages.server.asgi import owner_of
from pages.server.downloads import download_route, download_url
from tests.page_tests import modules_after
from tests.queued_run import create_run
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.intake.decoding import clean_pixels
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, load_evaluation, save_evaluation
from tlcore.results.prediction_code import OLDEST_KERAS, prediction_code
from tlcore.storage.database import open_database, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.ensembles import list_ensembles
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

    def add_run(self, wrong: Sequence[int] = (), names: Sequence[str] = NAMES, test: int | None = None) -> str:
        """Make a finished run that answers the test pictures of these positions wrong, with rising certainty."""
        run_id = create_run(self.engine, self.project_id, self.version, RunConfig())
        job = claim_job(self.engine, "run")
        items = self.dataset.subset("test")[:test]
        y_true = np.array([self.dataset.class_index()[item.class_id] for item in items], dtype=np.int64)
        probabilities = np.zeros((len(items), len(names)), np.float32)
        for index, truth in enumerate(y_true):
            said = 1 - truth if index in wrong else truth
            probabilities[index, said] = 0.6 + 0.3 * index / max(1, len(items))
            probabilities[index, 1 - said] = 1 - probabilities[index, said]
        folder = self.home.run_dir(run_id)
        save_evaluation(Evaluation(tuple(names), tuple(i.image for i in items), y_true, probabilities), folder)
        (folder / "model.keras").write_bytes(b"K" * 3_000_000)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
        (folder / "pixels.py").write_text("# from a file to pixels", "utf-8")
        (folder / "README.txt").write_text("Feed me.", "utf-8")
        (folder / "worker.log").write_text("secret", "utf-8")
        summary = RunSummary(3, 5, 0.9, len(items) - len(wrong), len(items), 2562, 3_370_000, 12.0)
        with writing(self.engine) as connection:
            write_summary(connection, run_id, job.attempt, summary)
        end_job(self.engine, run_id, job.attempt, "finished")
        return run_id

    def add_validation(self, run_id: str, wrong: Sequence[int] = ()) -> None:
        """Let a run keep answers to the validation pictures, for which the test pictures stand in."""
        folder = self.home.run_dir(run_id)
        test = load_evaluation(folder)
        probabilities = np.full(test.probabilities.shape, 0.1, np.float32)
        for index, truth in enumerate(test.y_true):
            probabilities[index, 1 - truth if index in wrong else truth] = 0.9
        save_evaluation(Evaluation(NAMES, test.images, test.y_true, probabilities), folder, VALIDATION_FILE_NAME)

    def add_head(self) -> str:
        """Make a trained simple head that answers one test picture wrong; return its id."""
        request = SimpleHeadsRequest(self.version, frozen_backbone(ModelConfig()))
        job_id = create_job(self.engine, "simple_heads", self.project_id, request)
        job = claim_job(self.engine, "simple_heads")
        items = self.dataset.subset("test")
        y_true = np.array([self.dataset.class_index()[item.class_id] for item in items], dtype=np.int64)
        said = np.where(np.arange(len(items)) == 5, 1 - y_true, y_true)
        evaluation = Evaluation(NAMES, tuple(i.image for i in items), y_true, np.eye(2, dtype=np.float32)[said])
        save_evaluation(evaluation, simple_head_dir(job_id, "linear_svm", self.home))
        with writing(self.engine) as connection:
            result = SimpleHeadResult("linear_svm", len(items) - 1, len(items), 100, 0.25)
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
        for number in range(each * len(names)):
            noise = random.integers(-20, 20, (48, 64, 3))
            pixels = np.clip(np.array(COLORS[number % 2]) + noise, 0, 255).astype(np.uint8)
            clean = clean_pixels(pixels)
            key = images.add(clean.data, clean.thumbnail)
            items.append(Item(key, classes[number % len(names)].id, "test", f"{number}.png"))
        dataset = Dataset(classes, tuple(items))
        project = create_project(engine, owner, "Colours")
        version = commit_version(engine, project.id, dataset, "made", parent=None, home=home)
        return Finished(engine, home, project.id, dataset, version)

    return make


class RedOrGreen:
    """Answers by the mean colour, as quickly as a trained model and without one."""

    class_colors = (0, 1)
    image_size = 64

    def __init__(self, class_names: Sequence[str] = NAMES) -> None:
        self.class_names = tuple(class_names)

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        red = [float(image[..., 0].mean() > image[..., 1].mean()) for image in images]
        return np.array([[0.95, 0.05] if value else [0.1, 0.9] for value in red], np.float32)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: RedOrGreen())


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
    assert accuracy_of(page) == "Test accuracy 95 %, between 83 and 99 %"
    text = all_text(page)
    assert "38 of 40 test pictures right" in text
    assert "between 83 and 99 %" in text
    assert "one picture = 2.5 points" in text


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
    assert "all 40 test pictures" in page.success[0].value
    assert "between 91 and 100 %" in all_text(page)


def test_a_tiny_test_set_is_said(make_finished) -> None:
    finished = make_finished(each=4)
    finished.add_run()
    assert "Only 8 test pictures" in open_step("understand", finished.project_id).warning[0].value


def test_a_run_without_test_pictures_says_how_to_get_some(make_finished) -> None:
    finished = make_finished()
    finished.add_run(test=0)
    page = open_step("understand", finished.project_id)
    assert "no test pictures" in page.info[0].value
    assert not page.get("plotly_chart")
    assert "no test pictures" in all_text(open_step("train", finished.project_id))


def test_undefined_scores_are_a_dash_with_the_reason(make_finished) -> None:
    finished = make_finished()
    names = (*NAMES, "*lynx*")
    finished.add_run(names=names)
    page = open_step("understand", finished.project_id)
    table = page.dataframe[0].value
    assert list(table["Class"]) == [*names, "Macro avg", "Weighted avg"]
    assert np.isnan(table["Recall"][2])
    assert np.isnan(table["Precision"][2])
    assert table["Recall"][0] == 100
    text = all_text(page)
    assert r"\*lynx\* has no precision (–): the model never gave this answer." in text
    assert r"\*lynx\* has no recall (–): there is no test picture of it." in text


def test_damaged_results_are_explained(make_finished) -> None:
    finished = make_finished()
    run_id = finished.add_run()
    (finished.home.run_dir(run_id) / "evaluation.npz").write_bytes(b"PK broken")
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
    assert accuracy_of(page).startswith("Test accuracy 100 %")
    assert page.query_params["run"] in (second, [second])
    assert page.selectbox[0].options[1].startswith("Run 1: 95 % right")
    assert accuracy_of(open_step("understand", finished.project_id, first)).startswith("Test accuracy 95 %")
    page.selectbox[0].select_index(1).run()
    assert accuracy_of(page).startswith("Test accuracy 95 %")
    assert page.query_params["run"] in (first, [first])


def test_predict_shows_a_test_picture_with_its_answer_before_anything_was_brought(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    assert "The model says" in all_text(page)
    assert "Right: its class is" in all_text(page)
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


def test_a_photo_gets_an_answer(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_step("predict", finished.project_id)
    assert not page.get("camera_input")
    page.toggle(key="camera").set_value(True).run()
    page.camera_input(key="photo").upload("photo.jpg", picture(COLORS[1], "JPEG")).run()
    assert not page.exception
    assert "The model says green" in all_text(page)


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
    assert "all count the same" in all_text(page).lower()
    group_id = make_group(finished, page)
    for shown in (page, open_step("understand", finished.project_id, group_id)):
        assert shown.query_params["run"] in (group_id, [group_id])
        assert any("Runs 1 and 2" in option for option in shown.selectbox[0].options)
        # Where only one is wrong, the surer one wins: 31 and 32 are sure mistakes, 0 and 1 are not.
        assert accuracy_of(shown).startswith("Test accuracy 92 %")
        rows = shown.table[0].value
        assert list(rows["Model"]) == ["**The group**", "Run 1", "Run 2"]
        assert list(rows["Counts"]) == ["", "50 %", "50 %"]
        assert "The group is **as good** as its best member, Run 1" in all_text(shown)


def test_weights_are_fitted_when_the_runs_kept_their_validation_answers(make_finished) -> None:
    finished = make_finished()
    for wrong in ((30,), (31,)):
        finished.add_validation(finished.add_run(wrong=wrong), wrong=range(0) if wrong == (30,) else range(39))
    page = open_step("understand", finished.project_id)
    weighting = next(group for group in page.button_group if group.key == "group-weighting")
    weighting.set_value("validation").run()
    assert "Run 1: 100 %, Run 2: 0 %. A run that counts nothing is not asked." in all_text(page)
    page.text_input(key="group-name").set_value("*Our* best")
    group = make_group(finished, page)
    kept = list_ensembles(finished.engine, finished.project_id)[0]
    assert (kept.config.weights, kept.config.weighting, kept.name) == ((1.0, 0.0), "validation", "*Our* best")
    assert "on the validation pictures" in all_text(open_step("understand", finished.project_id, group))


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


def test_a_group_whose_run_lost_its_files_is_explained_and_can_be_deleted(make_finished) -> None:
    finished = make_finished()
    first = finished.add_run()
    finished.add_run()
    group_id = make_group(finished, open_step("understand", finished.project_id))
    (finished.home.run_dir(first) / "evaluation.npz").unlink()
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


def graded(*right: bool) -> Evaluation:
    y_true = np.zeros(len(right), np.int64)
    probabilities = np.array([[0.9, 0.1] if one else [0.1, 0.9] for one in right], np.float32)
    return Evaluation(NAMES, tuple(map(str, range(len(right)))), y_true, probabilities)


def test_a_group_is_compared_honestly() -> None:
    def words(group: Sequence[bool], best: Sequence[bool]) -> str:
        return comparison_words(graded(*group), graded(*best), "Run 3")

    gain = words([True] * 12, [False] * 10 + [True] * 2)
    assert "**better** than its best member, Run 3: 10 more pictures right" in gain
    assert "Chance alone hardly" in gain
    luck = words([True] * 12, [False] + [True] * 11)
    assert "1 more picture right" in luck
    assert "Chance alone could" in luck
    loss = words([False, True], [True, True])
    assert "**not better**: Run 3 alone has 1 more picture right" in loss
    assert "**as good**" in words([True, False], [False, True])
    assert "the very same pictures" in words([True, False], [True, False])


def test_a_simple_head_is_looked_at_and_compared_with_the_run(make_finished) -> None:
    finished = make_finished()
    finished.add_run(wrong=(3, 8))
    head_id = finished.add_head()
    page = open_step("understand", finished.project_id)
    assert page.selectbox[0].options[1] == "Linear SVM: 98 % right, on EfficientNet-Lite0"
    rows = page.table[0].value
    assert list(rows["Model"]) == ["Run 1", "Linear SVM"]
    assert rows["Test accuracy"][1] == "98 % (87 to 100 %)"
    assert "drawn at random" not in all_text(page)
    page = open_step("understand", finished.project_id, head_id)
    assert accuracy_of(page).startswith("Test accuracy 98 %")
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
    monkeypatch.setattr("pages.components.train.training_form.find_obstacle", lambda context: None)
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
    assert accuracy_of(page).startswith("Test accuracy 98 %")
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
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=[download_route(owner_of)]), port=0, log_level="warning"))
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


def test_the_confusion_matrix_writes_every_number_and_keeps_equal_names_apart() -> None:
    matrix = np.array([[48, 2, 0], [1, 30, 0], [0, 0, 0]])
    figure = confusion_figure(matrix, ["<b>", "a very long class name 1", "a very long class name 2"])
    right, wrong = (np.array(trace.text) for trace in figure.data)
    assert np.char.add(right.astype(str), wrong.astype(str)).tolist() == matrix.astype(str).tolist()
    names = list(figure.data[0].x)
    assert names[0] == "&lt;b&gt;"
    assert len(set(names)) == 3
    assert not np.isnan(np.array(figure.data[0].z, float).diagonal()).any()


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
