"""A finished run made by the storage functions, and how tests look at the pages that show it."""

from __future__ import annotations

import io
import itertools
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ButtonGroup

from pages.components.state import LOCAL_OWNER
from tests.queued_run import create_run
from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.documents import write_document
from tlcore.export.formats import FORMATS
from tlcore.home import DataRoot
from tlcore.intake.pictures.decoding import clean_pixels
from tlcore.model.cut import Prefix
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.results.prediction import Predictor, PredictorSpec, save_predictor_spec
from tlcore.storage.database import open_database, runs, writing
from tlcore.storage.datasets import commit_version
from tlcore.storage.ensembles import list_ensembles
from tlcore.storage.exams import open_exam
from tlcore.storage.exports import export_dir
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, create_job, end_job, write_result
from tlcore.storage.projects import create_project
from tlcore.storage.requests import (
    ExportRequest,
    ExportResult,
    FormatReport,
    SimpleHeadResult,
    SimpleHeadsRequest,
    SimpleHeadsResult,
)
from tlcore.storage.runs import RunSummary, write_summary
from tlcore.storage.simple_heads import frozen_backbone, simple_head_dir

PAGES_DIR = Path(__file__).resolve().parents[1] / "pages"
OWNER = "o" * 24
NAMES = ("red", "green")
COLORS = ((200, 30, 30), (30, 160, 40))


def _model_bytes() -> bytes:
    """Return what has the parts of a model's file, and about the size of a small one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"K" * 3_000_000)
    return buffer.getvalue()


MODEL_BYTES = _model_bytes()


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
        (folder / "model.keras").write_bytes(MODEL_BYTES)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
        (folder / "pixels.py").write_text("# from a file to pixels", "utf-8")
        (folder / "README.txt").write_text("Feed me.", "utf-8")
        (folder / "worker.log").write_text("secret", "utf-8")
        self._describe(folder, names)
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

    def _describe(self, folder: Path, names: Sequence[str]) -> None:
        prefix = Prefix("efficientnet_lite0", "imagenet", 224, "pooling", (1280,))
        save_predictor_spec(PredictorSpec(prefix, "crop", tuple(names), tuple(range(len(names)))), folder)

    def add_export(self, model_id: str, *reports: FormatReport, correct: int = 36) -> str:
        """Make files of a model as a job leaves them, of the size that is said; return the id of the job."""
        request = ExportRequest(model_id, tuple(report.format for report in reports))
        job_id = create_job(self.engine, "export", self.project_id, request, key=request.key)
        job = claim_job(self.engine, "export")
        folder = export_dir(job_id, self.home)
        for report in reports:
            if report.is_made:
                file = FORMATS[report.format].file
                path = folder / (f"{file}saved_model.pb" if file.endswith("/") else file)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(report.format.encode().ljust(min(1000, report.size), b"."))
                os.truncate(path, report.size)
        result = ExportResult(model_id, request.settings, correct, 40, 6.0, "a processor of tests", tuple(reports))
        with writing(self.engine) as connection:
            write_result(connection, job_id, job.attempt, result)
        end_job(self.engine, job_id, job.attempt, "finished")
        return job_id

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
        self._describe(folder, NAMES)
        with writing(self.engine) as connection:
            counts = (tested.correct, tested.total, 100, 0.25, validated.correct, validated.total)
            result = SimpleHeadResult("linear_svm", *counts)
            write_result(connection, job_id, job.attempt, SimpleHeadsResult((result,)))
        end_job(self.engine, job_id, job.attempt, "finished")
        return f"{job_id}.linear_svm"


def make_finished(home: DataRoot, owner: str = LOCAL_OWNER, names: Sequence[str] = NAMES, each: int = 20) -> Finished:
    """Make a project of red and green pictures, `each` of every class and of both parts, without a run yet."""
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


def by_colour(images: Sequence[np.ndarray]) -> np.ndarray:
    """Answer by the mean colour, as quickly as a trained model and without one."""
    red = [float(image[..., 0].mean() > image[..., 1].mean()) for image in images]
    return np.array([[0.95, 0.05] if value else [0.1, 0.9] for value in red], np.float32)


RED_OR_GREEN = Predictor(NAMES, (0, 1), 64, by_colour)


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


def bring(page: AppTest, *pictures: tuple[str, bytes]) -> None:
    for name, data in pictures:
        page.file_uploader[0].upload(name, data)
    page.run()
    assert not page.exception


def make_group(finished: Finished, page: AppTest) -> str:
    """Press the button that makes a group of the chosen runs; return its id."""
    page.button(key="make-group").click().run()
    assert not page.exception
    return list_ensembles(finished.engine, finished.project_id)[0].id
