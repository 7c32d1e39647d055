"""Many pictures asked about by a job: what it writes, how it ends, what goes when it is deleted."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import psutil
import pytest
import sqlalchemy as sa

from tests.coloured_pictures import COLOURS, RecordingProgress, picture, png
from tests.queued_run import create_run
from tests.ready_heads import MODEL, make_project_with_heads
from tests.ready_projects import wait_for_end
from tlcore.backup import restore_backup, save_backup
from tlcore.config import RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.errors import DatasetError, RunError
from tlcore.features.litert import CompiledModel, sharing_loader
from tlcore.home import DataRoot
from tlcore.intake.archives.archive import Refusal
from tlcore.jobs import control, prediction_task
from tlcore.jobs.control import start_job
from tlcore.jobs.prediction_task import answer_pictures, find_predictor, find_strangers
from tlcore.jobs.runner import Runner
from tlcore.jobs.specs import MAX_ATTEMPTS
from tlcore.jobs.worker import WorkerContext
from tlcore.progress import TerminalProgress
from tlcore.results.prediction import Predictor
from tlcore.storage.answers import AnswerFilter, all_answers, count_answers, read_answers
from tlcore.storage.database import jobs, open_database, writing
from tlcore.storage.datasets import commit_version, content_path, get_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.jobs import claim_job, create_job, end_job, get_job, has_job
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.predictions import answers_path, delete_prediction, read_predictions
from tlcore.storage.projects import create_project
from tlcore.storage.requests import PredictionRequest, PredictionSummary, StagedFile
from tlcore.storage.staging import make_staging_dir


@dataclass(frozen=True)
class Lab:
    """A project, and a model that can be asked."""

    engine: sa.Engine
    home: DataRoot
    project_id: str
    model_id: str = "model"

    def request(self, *, archive: bytes | None = None, files: Sequence[tuple[str, bytes]] = ()) -> PredictionRequest:
        """Stage a ZIP file and files as the browser does."""
        folder = make_staging_dir(self.home)
        staged = []
        for number, (name, data) in enumerate(files):
            (folder / str(number)).write_bytes(data)
            staged.append(StagedFile(str(number), name))
        archives: tuple[StagedFile, ...] = ()
        if archive is not None:
            (folder / "zip").write_bytes(archive)
            archives = (StagedFile("zip", "red.zip"),)
        return PredictionRequest(self.model_id, folder.name, archives, tuple(staged))

    def context(self, request: PredictionRequest, progress: RecordingProgress | None = None) -> WorkerContext:
        """Claim a job of this request as its worker would."""
        job_id = create_job(self.engine, "prediction", self.project_id, request)
        job = claim_job(self.engine, "prediction")
        assert job is not None
        assert job.id == job_id
        return WorkerContext(self.engine, self.home, job_id, job.attempt, progress or RecordingProgress())  # type: ignore[arg-type]

    def run(self, request: PredictionRequest, progress: RecordingProgress | None = None) -> tuple[str, str, str]:
        """Do the job here; return its id, how it ended, and its last words."""
        context = self.context(request, progress)
        state, message = answer_pictures(context)
        end_job(self.engine, context.job_id, context.attempt, state, message)
        return context.job_id, state, message

    @property
    def is_clean(self) -> bool:
        """Whether nothing waits, and no answers are kept."""
        return not any(self.home.imports_dir.glob("*")) and not any(self.home.predictions_dir.glob("*"))


@pytest.fixture
def lab(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A project whose model answers by the strongest colour: blue, green or red."""

    def predict(images: Sequence[np.ndarray]) -> np.ndarray:
        means = np.array([image[..., ::-1].mean(axis=(0, 1)) for image in images], np.float32)
        return np.asarray(means / means.sum(axis=1, keepdims=True), np.float32)

    predictor = Predictor(tuple(COLOURS), (0, 1, 2), 64, predict)
    monkeypatch.setattr(prediction_task, "find_predictor", lambda *_: predictor)
    engine = open_database(home)
    return Lab(engine, home, create_project(engine, "ann", "Colours").id)


def zipped(files: Sequence[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_zip_is_answered_with_truth_refusals_and_thumbnails(lab: Lab) -> None:
    files = [(f"test/{colour.title()}/{n}.png", png(picture(colour, n))) for colour in COLOURS for n in range(3)]
    files += [
        ("test/green/wrong.png", png(picture("red", 7))),
        ("loose.png", png(picture("blue", 1))),
        ("test/red/broken.jpg", b"no picture"),
        ("__MACOSX/._loose.png", b"x"),
        ("labels.csv", b"file,label\n"),
    ]
    refused = (Refusal("far.png", "It is too large."),)
    request = replace(lab.request(archive=zipped(files)), refused=refused, settings=ModelSettings(2.0, 0.36))
    job_id, state, message = lab.run(request)
    assert (state, message) == ("finished", "")
    [prediction], unreadable = read_predictions(lab.engine, lab.project_id)
    assert (prediction.job_id, unreadable) == (job_id, [])
    path = answers_path(job_id, lab.home)
    found = {answer.name: answer for answer in all_answers(path)}
    sure = [one for one in found.values() if one.truth is not None and max(one.probabilities) >= 0.36]
    assert prediction.summary == PredictionSummary(
        class_names=tuple(COLOURS),
        class_colors=(0, 1, 2),
        answered=11,
        refused=2,
        known=10,
        sure=len(sure),
        correct=sum(one.truth == one.said for one in sure),
        aside=2,
        model_id="model",
        settings=ModelSettings(2.0, 0.36),
        brought="red.zip",
        strange=None,
        judged_by=0,
    )
    assert found["test/Blue/0.png"].truth == found["test/Blue/0.png"].said == 0
    assert (found["test/green/wrong.png"].truth, found["test/green/wrong.png"].said) == (1, 2)
    assert found["loose.png"].truth is None  # the ZIP file is called red.zip, which is no folder
    assert "no picture" in found["test/red/broken.jpg"].reason or found["test/red/broken.jpg"].reason
    assert found["far.png"].reason == "It is too large."
    [wrong] = read_answers(path, AnswerFilter(only_wrong=True), "brought", start=0, number=9)
    assert wrong.name == "test/green/wrong.png"
    assert wrong.thumbnail.startswith(b"\xff\xd8")
    assert not any(lab.home.imports_dir.glob("*"))


def test_a_dropped_folder_says_the_class_too(lab: Lab) -> None:
    job_id, *_ = lab.run(lab.request(files=[("Red/1.png", png(picture("red", 1))), ("2.png", png(picture("red", 2)))]))
    assert [answer.truth for answer in all_answers(answers_path(job_id, lab.home))] == [2, None]
    assert read_predictions(lab.engine, lab.project_id)[0][0].summary.brought == "Red"


def test_a_temperature_changes_how_sure_answers_are_and_none_of_them(lab: Lab) -> None:
    files = [(f"{n}.png", png(picture("red", n))) for n in range(3)]
    plain, *_ = lab.run(lab.request(files=files))
    softer, *_ = lab.run(replace(lab.request(files=files), settings=ModelSettings(temperature=4.0)))
    for one, other in zip(
        all_answers(answers_path(plain, lab.home)), all_answers(answers_path(softer, lab.home)), strict=True
    ):
        powers = np.array(one.probabilities) ** 0.25
        np.testing.assert_allclose(other.probabilities, powers / powers.sum(), rtol=1e-4)
        assert one.said == other.said


def test_a_wish_to_stop_keeps_what_was_answered(lab: Lab) -> None:
    files = [(f"{n}.png", png(picture("red", n))) for n in range(20)]
    job_id, state, message = lab.run(lab.request(files=files), RecordingProgress(stop_after=7))
    [prediction], _ = read_predictions(lab.engine, lab.project_id)
    done = prediction.summary.answered
    assert 0 < done < 20
    assert (state, message) == ("stopped", f"Stopped: {done} of 20 pictures were answered.")
    assert count_answers(answers_path(job_id, lab.home), AnswerFilter()) == done
    assert not any(lab.home.imports_dir.glob("*"))


def test_what_holds_no_file_is_refused_and_leaves_nothing(lab: Lab) -> None:
    context = lab.context(lab.request(archive=zipped([("labels.csv", b"a,b\n")])))
    with pytest.raises(DatasetError, match="No pictures were found"):
        answer_pictures(context)
    assert lab.is_clean


def test_a_model_that_fails_leaves_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> Predictor:
        raise RunError("gone")

    monkeypatch.setattr(prediction_task, "find_predictor", gone)
    context = lab.context(lab.request(files=[("1.png", png(picture("red", 1)))]))
    with pytest.raises(RunError):
        answer_pictures(context)
    assert lab.is_clean


def test_a_prediction_is_deleted_with_its_files_and_with_its_project(lab: Lab) -> None:
    files = [("1.png", png(picture("red", 1)))]
    first, second = (lab.run(lab.request(files=files))[0] for _ in range(2))
    waiting = create_job(lab.engine, "prediction", lab.project_id, lab.request(files=files))
    other = create_project(lab.engine, "ann", "Other").id
    delete_prediction(lab.engine, other, first, lab.home)
    delete_prediction(lab.engine, lab.project_id, waiting, lab.home)  # it has not ended
    assert has_job(lab.engine, waiting)
    assert answers_path(first, lab.home).is_file()
    delete_prediction(lab.engine, lab.project_id, first, lab.home)
    delete_prediction(lab.engine, lab.project_id, first, lab.home)
    assert not answers_path(first, lab.home).parent.exists()
    assert [one.job_id for one in read_predictions(lab.engine, lab.project_id)[0]] == [second]
    delete_project(lab.engine, lab.project_id, lab.home)
    assert lab.is_clean


def test_answers_are_in_a_backup_for_they_cannot_be_made_again(lab: Lab, tmp_path) -> None:  # type: ignore[no-untyped-def]
    job_id, *_ = lab.run(lab.request(files=[("1.png", png(picture("red", 1)))]))
    save_backup(tmp_path / "backup.zip", lab.home, TerminalProgress())
    restored = DataRoot(tmp_path / "restored")
    restore_backup(tmp_path / "backup.zip", restored, TerminalProgress())
    assert [answer.said for answer in all_answers(answers_path(job_id, restored))] == [2]


@pytest.mark.parametrize(("threshold", "sure", "correct"), [(0.0, 4, 3), (0.6, 3, 2), (0.75, 1, 1), (1.0, 0, 0)])
def test_below_the_threshold_an_answer_is_neither_right_nor_wrong(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, threshold: float, sure: int, correct: int
) -> None:
    probabilities = iter(([0.75, 0.25], [0.5, 0.5], [0.375, 0.625], [0.625, 0.375]))  # exact in 32 bits
    predictor = Predictor(("a", "b"), (0, 1), 8, lambda _images: np.array([next(probabilities)], np.float32))
    monkeypatch.setattr(prediction_task, "find_predictor", lambda *_: predictor)
    files = [(f"a/{n}.png", png(picture("red", n))) for n in range(4)]
    lab.run(replace(lab.request(files=files), settings=ModelSettings(threshold=threshold)))
    [prediction], _ = read_predictions(lab.engine, lab.project_id)
    summary = prediction.summary
    assert (summary.known, summary.sure, summary.correct) == (4, sure, correct)


def test_runs_groups_and_heads_of_the_own_project_are_found(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def predictor(name: str) -> Predictor:
        value = {"one": 0.2, "two": 0.6}.get(name, 0.9)
        return Predictor(("a", "b"), (0, 1), 8, lambda images: np.full((len(images), 2), value, np.float32))

    engine = open_database(home)
    mine, other = (create_project(engine, "ann", name).id for name in ("Mine", "Other"))
    for project in (mine, other):
        commit_version(engine, project, Dataset(), "made", parent=None, home=home)
    seeds = ((mine, 0), (mine, 1), (other, 0))
    runs = [create_run(engine, one, 1, RunConfig(training=TrainingConfig(seed=seed))) for one, seed in seeds]
    names = dict(zip(runs, ("one", "two", "three"), strict=True))
    monkeypatch.setattr(prediction_task, "load_predictor", lambda folder, *_: predictor(names[folder.name]))
    group = create_ensemble(
        engine, mine, "Group", 1, EnsembleConfig(tuple(runs[:2]), (0.5, 0.5)), test_correct=0, test_total=0
    )
    job_id = create_job(engine, "prediction", mine)
    context = WorkerContext(engine, home, job_id, 1, RecordingProgress())  # type: ignore[arg-type]
    said = [find_predictor(context, one).predict([np.zeros((8, 8, 3), np.uint8)])[0, 0] for one in (runs[0], group)]
    np.testing.assert_allclose(said, [0.2, 0.4], rtol=1e-6)
    for missing in (runs[2], "nothing", "group.nothing", job_id, "../etc"):
        with pytest.raises(RunError, match="not here any more"):
            find_predictor(context, missing)


@pytest.fixture
def real_lab(ready_home: DataRoot, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A project with a real simple head, and a runner with real workers."""
    monkeypatch.setattr(control, "RUNNER_MODULE", "tests.workers.quick_runner")
    before = set(psutil.Process().children(recursive=True))
    engine = open_database(ready_home)
    yield Lab(engine, ready_home, *make_project_with_heads(engine, ready_home, "ann", per_class=40))
    for process in set(psutil.Process().children(recursive=True)) - before:
        with suppress(psutil.Error):
            process.kill()
            process.wait(5)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)


def test_strangers_are_told_for_heads_runs_and_groups_and_not_without_features(ready_home: DataRoot) -> None:
    engine = open_database(ready_home)
    project_id, head = make_project_with_heads(engine, ready_home, "ann", per_class=40)
    run = create_run(engine, project_id, 1, RunConfig(model=MODEL))
    other = create_run(engine, project_id, 1, RunConfig(model=replace(MODEL, image_size=96)))
    pair = EnsembleConfig((other, run), (0.5, 0.5))
    group = create_ensemble(engine, project_id, "Group", 1, pair, test_correct=0, test_total=0)
    job_id = create_job(engine, "prediction", project_id)
    context = WorkerContext(engine, ready_home, job_id, 1, RecordingProgress())  # type: ignore[arg-type]
    for model_id in (head, run, group):  # of the group by the features of its second run
        found = find_strangers(context, model_id)
        assert found is not None
        assert found.is_strange(noise(1))
        assert not found.is_strange(picture("red", 1))  # it was learned from, or judged by
    assert find_strangers(context, other) is None  # no features of pictures of 96 pixels
    assert find_strangers(context, "nothing") is None
    content_path(get_version(engine, project_id, 1).content, ready_home).write_bytes(b"damaged")
    assert find_strangers(context, head) is None


def test_a_picture_goes_through_the_frozen_part_once(ready_home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_database(ready_home)
    project_id, head = make_project_with_heads(engine, ready_home, "ann", per_class=40)
    job_id = create_job(engine, "prediction", project_id)
    context = WorkerContext(engine, ready_home, job_id, 1, RecordingProgress())  # type: ignore[arg-type]
    pictures = [picture("red", 900), noise(1), picture("blue", 901)]
    alone, expected = find_strangers(context, head), find_predictor(context, head).predict(pictures)
    assert alone is not None
    asked: list[CompiledModel] = []
    ask = CompiledModel.__call__
    monkeypatch.setattr(CompiledModel, "__call__", lambda self, example: asked.append(self) or ask(self, example))
    load = sharing_loader()
    predictor, strangers = find_predictor(context, head, load), find_strangers(context, head, load)
    assert strangers is not None
    found = [(predictor.predict([one])[0], strangers.is_strange(one)) for one in pictures]
    assert len(asked) == len(pictures)
    np.testing.assert_array_equal([probabilities for probabilities, _ in found], expected)
    assert [is_strange for _, is_strange in found] == [alone.is_strange(one) for one in pictures]


def test_a_killed_worker_is_followed_by_another_and_leaves_no_files_of_its_own(real_lab: Lab) -> None:
    lab, data = real_lab, png(picture("red", 1))
    request = lab.request(archive=zipped([(f"{n}.png", data) for n in range(900)]))
    job_id = start_job(lab.engine, lab.home, "prediction", lab.project_id, request)
    deadline = time.monotonic() + 60
    while (job := get_job(lab.engine, job_id)).done < 1:
        assert time.monotonic() < deadline, job
        assert job.is_active, job
        time.sleep(0.02)
    folder = answers_path(job_id, lab.home).parent
    assert any(folder.iterdir())
    psutil.Process(job.pid).kill()  # as when the memory runs out
    ended = wait_for_end(lab.engine, job_id)
    assert (ended.state, ended.attempt) == ("finished", 2)
    assert [path.name for path in folder.iterdir()] == [answers_path(job_id, lab.home).name]
    assert not any(lab.home.imports_dir.glob("*"))
    (found,), _ = read_predictions(lab.engine, lab.project_id)
    assert found.summary.answered == 900


def of_a_runner_that_died(lab: Lab, context: WorkerContext, attempt: int) -> None:
    """Let a job be one that a runner claimed which died long ago, as the worker did."""
    of_job = sa.update(jobs).where(jobs.c.id == context.job_id)
    with writing(lab.engine) as connection:
        connection.execute(of_job.values(attempt=attempt, pid=2**30, process="another start:1"))


def test_what_the_runner_gives_up_leaves_no_files(lab: Lab) -> None:
    context = lab.context(lab.request(files=[("1.png", png(picture("red", 1)))]))
    path = answers_path(context.job_id, lab.home)
    path.parent.mkdir(parents=True)
    (path.parent / ".writing-1.sqlite").write_bytes(b"half an answer")
    of_a_runner_that_died(lab, context, MAX_ATTEMPTS)
    Runner(lab.engine, lab.home).step()
    assert get_job(lab.engine, context.job_id).state == "failed"
    assert not path.parent.exists()
    assert not any(lab.home.imports_dir.glob("*"))


def test_answers_that_came_before_their_worker_died_are_kept(lab: Lab) -> None:
    context = lab.context(lab.request(files=[("1.png", png(picture("red", 1)))]))
    answer_pictures(context)
    of_a_runner_that_died(lab, context, MAX_ATTEMPTS)
    Runner(lab.engine, lab.home).step()
    assert get_job(lab.engine, context.job_id).state == "failed"
    assert answers_path(context.job_id, lab.home).is_file()
    before = answers_path(context.job_id, lab.home).stat().st_mtime_ns
    assert answer_pictures(context) == ("finished", "")  # asked again, it is done already
    assert answers_path(context.job_id, lab.home).stat().st_mtime_ns == before


def test_a_real_worker_answers_without_tensorflow_stops_when_asked_and_says_that_a_model_is_gone(real_lab: Lab) -> None:
    lab = real_lab
    files = [(f"{colour}/{n}.png", png(picture(colour, 100 + n))) for colour in COLOURS for n in range(4)]
    start = partial(start_job, lab.engine, lab.home, "prediction", lab.project_id)
    files += [(f"noise {n}.png", png(noise(n))) for n in range(3)]
    answered = start(lab.request(archive=zipped(files)))
    lost = start(replace(lab.request(files=files[:1]), model_id="gone"))
    many = start(lab.request(archive=zipped([(f"{n}.png", files[0][1]) for n in range(6000)])))
    assert wait_for_end(lab.engine, answered).state == "finished"
    deadline = time.monotonic() + 60
    while (job := get_job(lab.engine, many)).done < 1:
        assert time.monotonic() < deadline, job
        assert job.is_active, job
        time.sleep(0.02)
    assert "tensorflow" not in " ".join(one.path for one in psutil.Process(job.pid).memory_maps()).lower()
    control.stop_job(lab.engine, job, lab.home)
    assert wait_for_end(lab.engine, many).state == "stopped"
    assert (get_job(lab.engine, lost).state, "not here any more" in get_job(lab.engine, lost).message) == (
        "failed",
        True,
    )
    stopped, finished = read_predictions(lab.engine, lab.project_id)[0]
    assert (finished.summary.answered, finished.summary.known, finished.summary.correct) == (15, 12, 12)
    strange = {one.name for one in all_answers(answers_path(answered, lab.home)) if one.strange}
    assert {name for name in strange if "/" not in name} == {"noise 0.png", "noise 1.png", "noise 2.png"}
    assert len(strange) <= 5  # about one in twenty of the others
    assert finished.summary.strange == len(strange)
    assert finished.summary.judged_by == 18
    assert 0 < stopped.summary.answered < 6000
    assert not any(lab.home.imports_dir.glob("*"))
    assert {path.name for path in lab.home.predictions_dir.iterdir()} == {answered, many}
