"""Training that was ended from outside goes on from its checkpoint, and comes out as if nothing had happened."""

import errno
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.queued_run import create_run
from tests.test_training import CONFIG, labelled
from tlcore.config import (
    AugmentationConfig,
    FineTuningConfig,
    HeadConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from tlcore.dataset import Dataset
from tlcore.errors import FullDiskError, StorageError
from tlcore.features.store import LabelledFeatures
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs import reporting, tasks
from tlcore.jobs.processes import ROOT_DIR
from tlcore.jobs.reporting import JobProgress
from tlcore.jobs.worker import WorkerContext
from tlcore.progress import StopRequested
from tlcore.results.evaluation import VALIDATION_FILE_NAME, load_evaluation
from tlcore.results.export import save_export
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.storage import full_disk
from tlcore.storage.database import open_database
from tlcore.storage.database import writing as writing_to
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import JobStatus, claim_job, end_job, get_job, request_stop, requeue_job
from tlcore.storage.projects import create_project
from tlcore.storage.runs import RunSummary, get_run, go_back_to_epoch, read_metrics, write_metrics
from tlcore.training import checkpoint, finish, loop
from tlcore.training.checkpoint import CHECKPOINT_FILE, Checkpoints, TrainingState
from tlcore.training.loop import TrainingResult, keep_best, train_suffix
from tlcore.training.run import RunResult, train_classifier

NO_PICTURES = Dataset()


class Killed(BaseException):
    """The process is ended, as far as a test can have it in a process of its own."""


class Dying(RecordingProgress):
    """Ends the process in the middle of the n-th epoch that it trains; 0 lives."""

    def __init__(self, in_epoch: int = 0) -> None:
        super().__init__()
        self._in_epoch = in_epoch
        self._looks = 0

    @property
    def epochs(self) -> list[tuple[float, Mapping[str, float]]]:
        """The ends of epochs."""
        return [(epoch, values) for epoch, values in self.curve if epoch == int(epoch)]

    def check(self) -> None:
        is_in_epoch = len(self.epochs) == self._in_epoch - 1 and self.phases[-1][0] in ("training", "fine_tuning")
        self._looks = self._looks + 1 if is_in_epoch else 0
        if self._looks >= 4:  # it has learned from some batches already
            raise Killed


@pytest.fixture
def at_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints whatever they cost."""
    monkeypatch.setattr(checkpoint, "COST_SHARE", 1e9)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run" / CHECKPOINT_FILE


# --- the epochs of one phase


@dataclass(frozen=True)
class Fitted:
    """What came of a training."""

    result: TrainingResult
    epochs: list[tuple[float, Mapping[str, float]]]
    weights: list[np.ndarray]


@pytest.fixture(scope="module")
def uneven() -> LabelledFeatures:
    """Three classes of 40, 15 and 8 records that a straight line tells apart, most of the time."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [40, 15, 8])
    return labelled(rng.normal(size=(3, 8))[labels] + rng.normal(size=(63, 8)), labels)


def suffix_with(dropout: float, seed: int) -> keras.Model:
    inputs = x = keras.Input((8,))
    if dropout:
        x = keras.layers.Dropout(dropout, seed=seed)(x)
    x = keras.layers.Dense(16, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed))(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(seed))(x)
    return keras.Model(inputs, x)


def fit(
    config: TrainingConfig,
    data: LabelledFeatures,
    place: Path,
    dies_in: int = 0,
    seed: int = 3,
    validation: LabelledFeatures | None = None,
) -> Fitted:
    """Train with checkpoints, from the one that is there."""
    suffix, progress = suffix_with(0.4, seed), Dying(dies_in)
    checkpoints = Checkpoints(place, RunConfig(training=config), NO_PICTURES)
    begun = None if checkpoints.found is None else checkpoints.found.present
    checkpoints.begin_phase(())
    validation = validation or data
    result = train_suffix(suffix, lambda _: data, validation, config, progress, begun=begun, checkpoints=checkpoints)
    return Fitted(result, progress.epochs, suffix.get_weights())


def assert_same(went_on: Fitted, whole: Fitted) -> None:
    assert went_on.result == whole.result
    assert went_on.result.best_value == whole.result.best_value
    for one, other in zip(went_on.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("at_every_epoch")
@pytest.mark.parametrize(
    "config",
    [
        replace(CONFIG, optimizer="adam", balance="weights", schedule="cosine", warmup_epochs=2, label_smoothing=0.1),
        replace(CONFIG, optimizer="sgd", balance="sampling", schedule="step"),
        replace(CONFIG, optimizer="rmsprop"),
    ],
    ids=["weights", "sampling", "plain"],
)
def test_a_training_goes_on_as_if_it_had_never_ended(
    uneven: LabelledFeatures, config: TrainingConfig, tmp_path: Path
) -> None:
    whole = fit(config, uneven, tmp_path / "whole" / CHECKPOINT_FILE)
    place = tmp_path / "killed" / CHECKPOINT_FILE
    with pytest.raises(Killed):
        fit(config, uneven, place, dies_in=2)
    # Other first weights, which must not matter any more.
    with pytest.raises(Killed):
        fit(config, uneven, place, dies_in=4, seed=98)
    went_on = fit(config, uneven, place, seed=99)
    assert_same(went_on, whole)
    assert went_on.epochs == whole.epochs[4:]


@pytest.mark.usefixtures("at_every_epoch")
def test_patience_counts_the_epochs_before_the_end_of_the_process(uneven: LabelledFeatures, tmp_path: Path) -> None:
    contrary = LabelledFeatures(uneven.table, (uneven.labels + 1) % 3)
    config = replace(CONFIG, epochs=20, patience=3)
    whole = fit(config, uneven, tmp_path / "whole" / CHECKPOINT_FILE, validation=contrary)
    place = tmp_path / "killed" / CHECKPOINT_FILE
    with pytest.raises(Killed):
        fit(config, uneven, place, dies_in=whole.result.epochs, validation=contrary)
    went_on = fit(config, uneven, place, seed=99, validation=contrary)
    assert whole.result.epochs < 20
    assert whole.result.best_epoch < whole.result.epochs - 1
    assert_same(went_on, whole)
    assert went_on.epochs == whole.epochs[-1:]


@pytest.mark.usefixtures("at_every_epoch")
def test_a_training_that_was_stopped_or_complete_goes_on_no_more(uneven: LabelledFeatures, place: Path) -> None:
    whole = fit(CONFIG, uneven, place)
    checkpoints = Checkpoints(place, RunConfig(training=CONFIG), NO_PICTURES)
    assert checkpoints.found is not None
    present = checkpoints.found.present
    assert (present.ending, present.variables) == ("complete", ())
    suffix = suffix_with(0.4, seed=99)
    assert_same(Fitted(keep_best(suffix, present), [], suffix.get_weights()), whole)


# --- when they are written


class Clock:
    """A clock that a test turns on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Writing:
    """Checkpoints whose writing takes as long as a test says."""

    checkpoints: Checkpoints
    clock: Clock
    cost: float = 1.0
    written: list[float] = field(default_factory=list)

    def train(self, seconds: float, epoch: float, num_bytes: int = 0) -> None:
        """Let some time of a training pass."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += epoch
            self.checkpoints.after_epoch(num_bytes, lambda: STATE)


STATE = TrainingState(({"loss": 1.0},), 1, 1.0)


@pytest.fixture
def writing(place: Path, monkeypatch: pytest.MonkeyPatch) -> Writing:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    checkpoints = Checkpoints(place, RunConfig(), NO_PICTURES)
    writing = Writing(checkpoints, clock)

    def write(*_arguments: object) -> None:
        clock.now += writing.cost
        writing.written.append(clock.now)

    monkeypatch.setattr(checkpoint, "write_atomically", write)
    checkpoints.begin_phase(())
    return writing


@pytest.mark.parametrize(("cost", "epoch"), [(0.004, 0.05), (0.01, 0.1), (0.1, 1.0), (0.5, 2.0)])
def test_writing_takes_a_small_and_fixed_share_of_the_time(writing: Writing, cost: float, epoch: float) -> None:
    writing.cost = cost
    began = writing.clock.now
    writing.train(600, epoch, num_bytes=1000)
    share = cost * len(writing.written) / (writing.clock.now - began)
    assert 0.9 * checkpoint.COST_SHARE < share <= checkpoint.COST_SHARE


def test_after_long_epochs_there_is_always_one(writing: Writing) -> None:
    writing.cost = 0.15
    writing.train(600, epoch=20, num_bytes=10_000_000)
    assert {round(after - before) for before, after in itertools.pairwise(writing.written)} == {20}


def test_on_a_slow_disk_there_is_one_a_minute(writing: Writing) -> None:
    writing.cost = 10.0
    writing.train(600, epoch=1, num_bytes=30_000_000)
    assert {round(after - before) for before, after in itertools.pairwise(writing.written)} == {70}


def test_a_large_first_one_waits_until_it_may_be_paid_for(writing: Writing) -> None:
    writing.train(16, epoch=1, num_bytes=30_000_000)
    assert not writing.written
    writing.train(3, epoch=1, num_bytes=30_000_000)
    assert len(writing.written) == 1


@pytest.mark.usefixtures("at_every_epoch")
def test_a_full_disk_is_said_once_and_tried_again_later(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    checkpoints = Checkpoints(place, RunConfig(), NO_PICTURES)
    checkpoints.begin_phase(())
    tries: list[float] = []

    def fsync(_file: int) -> None:
        tries.append(clock.now)
        if len(tries) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    for _ in range(80):
        clock.now += 1.0
        checkpoints.after_epoch(0, lambda: STATE)
    assert [time - tries[0] for time in tries][:4] == [0, 30, 60, 61]
    assert capsys.readouterr().err.count("The disk is full") == 1
    assert Checkpoints(place, RunConfig(), NO_PICTURES).found is not None
    assert [path.name for path in place.parent.iterdir()] == [CHECKPOINT_FILE]


# --- the file


def state() -> TrainingState:
    """A state with everything in it."""
    return TrainingState(
        curve=({"loss": 0.1 + 0.2, "val_loss": 1 / 3}, {"loss": 0.2, "val_loss": 0.5}),
        best_epoch=1,
        best_value=1 / 3,
        generator=np.random.default_rng(5).bit_generator.state,
        variables=(np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7), np.array([1, 2], np.uint32)),
        best_weights=(np.ones((2, 3), np.float32),),
    )


def test_what_was_written_is_read(place: Path) -> None:
    checkpoints = Checkpoints(place, RunConfig(), NO_PICTURES)
    assert checkpoints.found is None
    checkpoints.begin_phase([replace(state(), ending="complete")])
    checkpoints.write(state())
    found = Checkpoints(place, RunConfig(), NO_PICTURES).found
    assert found is not None
    assert found.epochs == 4
    assert [phase.ending for phase in found.phases] == ["complete", ""]
    assert not found.phases[0].variables
    one, other = found.present, state()
    assert (one.curve, one.best_epoch, one.best_value, one.generator) == (
        other.curve,
        other.best_epoch,
        other.best_value,
        other.generator,
    )
    for ours, theirs in ((one.variables, other.variables), (one.best_weights, other.best_weights)):
        for array, same in zip(ours, theirs, strict=True):
            assert (array.dtype, array.shape) == (same.dtype, same.shape)
            np.testing.assert_array_equal(array, same)
    assert not [name for name in zipfile.ZipFile(place).namelist() if b"pickle" in zipfile.ZipFile(place).read(name)]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def one_bit(data: bytes) -> bytes:
    place = data.index(np.ones((2, 3), np.float32).tobytes()) + 5
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def packed(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if name != "best_0.npy" else bytes(10_000_000))
    return buffer.getvalue()


def pickled(_data: bytes) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, meta=np.array([{}], object), digest=np.zeros(32, np.uint8))
    return buffer.getvalue()


def without_a_variable(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            if name != "variable_1.npy":
                new.writestr(name, old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage", [half, one_bit, packed, pickled, without_a_variable, lambda _: b"", lambda _: b"no file of arrays"]
)
def test_a_damaged_checkpoint_is_not_used_and_the_log_says_so(
    place: Path, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    Checkpoints(place, RunConfig(), NO_PICTURES).write(state())
    place.write_bytes(damage(place.read_bytes()))
    assert Checkpoints(place, RunConfig(), NO_PICTURES).found is None
    (line,) = capsys.readouterr().err.splitlines()
    assert "damaged" in line
    assert "begins anew" in line


def test_a_checkpoint_of_other_settings_or_pictures_is_not_used(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Checkpoints(place, RunConfig(), NO_PICTURES).write(state())
    other = RunConfig(training=TrainingConfig(learning_rate=0.1))
    assert Checkpoints(place, other, NO_PICTURES).found is None
    assert Checkpoints(place, RunConfig(), replace(NO_PICTURES, grey_range=(0.0, 255.0))).found is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("other settings" in line for line in lines)


def test_what_a_killed_process_was_writing_goes(place: Path) -> None:
    place.parent.mkdir()
    (place.parent / ".writing-x.npz").write_bytes(b"half")
    Checkpoints(place, RunConfig(), NO_PICTURES)
    assert not list(place.parent.iterdir())


# --- a whole run

HEAD = ModelConfig(image_size=64, head=HeadConfig(dropout=0.3))
TRAINING = TrainingConfig(epochs=4, batch_size=6, learning_rate=0.01, patience=None)
CASES: Mapping[str, tuple[RunConfig, tuple[int, ...]]] = {
    "thawed block, new views in every epoch": (
        RunConfig(
            AugmentationConfig(rotation_range=20),
            replace(HEAD, first_trainable="block7a"),
            replace(TRAINING, epochs=3, learning_rate=1e-3, new_views_every_epoch=True),
        ),
        (3,),
    ),
    "second phase": (
        RunConfig(
            model=ModelConfig("small_cnn-8-16", 32, head=HeadConfig(dropout=0.3)),
            training=replace(TRAINING, epochs=2, fine_tuning=FineTuningConfig("conv2", 3, learning_rate=1e-3)),
        ),
        # In the second epoch, then in the second one of the second phase.
        (2, 3),
    ),
    "small network": (
        RunConfig(
            model=ModelConfig("small_cnn-8-16", 32, first_trainable="conv1", head=HeadConfig("flatten", (16,), 0.3)),
            training=TRAINING,
        ),
        (3,),
    ),
}
"""Settings, and in which of its epochs each process dies."""


@pytest.fixture(scope="module")
def lab_home(prepared_home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataRoot]:
    """A data root whose features and compiled parts stay from one test to the next."""
    home = DataRoot(tmp_path_factory.mktemp("checkpoints") / "home")
    shutil.copytree(prepared_home.path, home.path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(ENVIRONMENT_VARIABLE, str(home.path))
        yield home


@pytest.fixture(scope="module")
def dataset(lab_home: DataRoot) -> Dataset:
    return coloured_dataset(lab_home)


@dataclass(frozen=True)
class Runs:
    """Runs in a data root, each in a folder of its own."""

    home: DataRoot
    dataset: Dataset

    def train(self, name: str, config: RunConfig, progress: RecordingProgress, *, only_keep: bool = False) -> RunResult:
        """Train with checkpoints, from the one that is there."""
        folder = self.home.run_dir(name)
        checkpoints = Checkpoints(folder / CHECKPOINT_FILE, config, self.dataset)
        return train_classifier(
            self.dataset, config, folder, progress, self.home, checkpoints=checkpoints, only_keep=only_keep
        )

    def weights(self, name: str) -> dict[str, np.ndarray]:
        """Return the weights of the model that a run has left."""
        found: dict[str, np.ndarray] = {}

        def keep(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Dataset):
                found[name] = node[()]

        with zipfile.ZipFile(self.home.run_dir(name) / MODEL_FILE) as packed:
            weights = io.BytesIO(packed.read("model.weights.h5"))
        with h5py.File(weights) as file:
            file.visititems(keep)
        return found

    def answers(self, name: str) -> np.ndarray:
        """Return its answers to the pictures for validation and testing."""
        folder = self.home.run_dir(name)
        found = (load_evaluation(folder, VALIDATION_FILE_NAME), load_evaluation(folder))
        return np.concatenate([evaluation.probabilities for evaluation in found])


@pytest.fixture(scope="module")
def lab_runs(lab_home: DataRoot, dataset: Dataset) -> Runs:
    return Runs(lab_home, dataset)


def without_seconds(summary: RunSummary | None) -> RunSummary:
    assert summary is not None
    return replace(summary, seconds=0.0)


@pytest.mark.usefixtures("at_every_epoch")
@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_as_if_it_had_never_ended(lab_runs: Runs, name: str) -> None:
    config, deaths = CASES[name]
    whole = Dying()
    expected = lab_runs.train(f"{name}, whole", config, whole)
    seen: list[tuple[float, Mapping[str, float]]] = []
    for death in deaths:
        killed = Dying(death)
        with pytest.raises(Killed):
            lab_runs.train(name, config, killed)
        seen += killed.epochs
    last = Dying()
    result = lab_runs.train(name, config, last)
    assert [*seen, *last.epochs] == whole.epochs
    assert without_seconds(result.summary) == without_seconds(expected.summary)
    assert not result.stopped
    np.testing.assert_array_equal(lab_runs.answers(name), lab_runs.answers(f"{name}, whole"))
    weights, others = lab_runs.weights(name), lab_runs.weights(f"{name}, whole")
    assert weights.keys() == others.keys()
    for layer, values in weights.items():
        np.testing.assert_array_equal(values, others[layer], err_msg=layer)


TUNED, _ = CASES["second phase"]


class Stopping(Dying):
    """The person asks to stop, before anything has begun."""

    def check(self) -> None:
        raise StopRequested


@pytest.mark.usefixtures("at_every_epoch")
@pytest.mark.parametrize(("last", "epochs"), [(Dying(), 1), (Stopping(), 3)], ids=["only kept", "stopped"])
def test_the_best_epoch_of_a_run_becomes_its_model_without_more_training(
    lab_runs: Runs, last: Dying, epochs: int
) -> None:
    name, progress = f"after {epochs}", Dying(epochs + 1)
    with pytest.raises(Killed):
        lab_runs.train(name, TUNED, progress)
    result = lab_runs.train(name, TUNED, last, only_keep=type(last) is Dying)
    assert result.stopped
    assert result.summary is not None
    assert not last.epochs
    losses = [values["val_loss"] for _, values in progress.epochs]
    assert (result.summary.epochs, result.summary.best_epoch) == (epochs, 1 + int(np.argmin(losses)))
    validation = load_evaluation(lab_runs.home.run_dir(name), VALIDATION_FILE_NAME)
    loss = -np.log(validation.probabilities[np.arange(validation.total), validation.y_true]).mean()
    assert loss == pytest.approx(min(losses), rel=0.01)


def test_without_a_checkpoint_there_is_nothing_to_keep(lab_runs: Runs) -> None:
    assert lab_runs.train("nothing", TUNED, Dying(), only_keep=True) == RunResult(None, stopped=True)


# --- by workers

LINED_UP = CASES["small network"][0]


@dataclass(frozen=True)
class Line:
    """A data root with a run in line, and no runner."""

    home: DataRoot
    engine: sa.Engine
    project_id: str
    dataset: Dataset

    def start(self, config: RunConfig = LINED_UP) -> JobStatus:
        """Put a run in line and claim it."""
        create_run(self.engine, self.project_id, 1, config)
        return self.claim()

    def claim(self) -> JobStatus:
        job = claim_job(self.engine, "run")
        assert job is not None
        return job

    def claim_again(self, job: JobStatus) -> JobStatus:
        """Do what the runner does with a run whose worker died."""
        assert requeue_job(self.engine, job.id, job.attempt, "memory")
        return self.claim()

    def work(self, job: JobStatus, *, is_rescue: bool = False) -> tuple[str, str]:
        """Work as a worker, in this process."""
        progress = JobProgress(self.engine, job.id, job.attempt)
        context = WorkerContext(self.engine, self.home, job.id, job.attempt, progress, is_rescue=is_rescue)
        try:
            return tasks.train(context)
        finally:
            progress.flush()

    def curve(self, run_id: str) -> list[tuple[float, str, float]]:
        """Return the ends of epochs."""
        points = read_metrics(self.engine, run_id)
        return [(point.epoch, point.name, point.value) for point in points if point.epoch == int(point.epoch)]

    def checkpoint(self, run_id: str) -> Path:
        return self.home.run_dir(run_id) / CHECKPOINT_FILE


@pytest.fixture
def line(home: DataRoot, dataset: Dataset, lab_home: DataRoot) -> Line:
    for folder in ("images", "thumbnails"):
        shutil.copytree(lab_home.path / folder, home.path / folder)
    engine = open_database(home)
    project_id = create_project(engine, "ann", "Colours").id
    commit_version(engine, project_id, dataset, "all", parent=None, home=home)
    return Line(home, engine, project_id, dataset)


def points_of(progress: Dying) -> list[tuple[float, str, float]]:
    return [(epoch, name, value) for epoch, values in progress.epochs for name, value in values.items()]


def test_a_run_whose_worker_is_killed_goes_on_in_the_next_one(line: Line, lab_runs: Runs) -> None:
    whole = Dying()
    expected = lab_runs.train("lined up, whole", LINED_UP, whole)
    job = line.start()
    command = [sys.executable, "-m", "tests.workers.dying_worker", job.id, str(job.attempt), "3"]
    died = subprocess.run(command, cwd=ROOT_DIR, capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert max(line.curve(job.id))[0] == 3
    assert line.checkpoint(job.id).exists()
    again = line.claim_again(job)
    command = [sys.executable, "-m", "tlcore.jobs.worker", again.id, str(again.attempt)]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True)
    assert b"Going on after epoch 2" in done.stderr
    run = get_run(line.engine, job.id)
    assert (run.job.state, run.job.message, run.job.attempt) == ("finished", "", 2)
    assert without_seconds(run.summary) == without_seconds(expected.summary)
    assert sorted(line.curve(job.id)) == sorted(points_of(whole))
    ours, theirs = line.home.run_dir(job.id), lab_runs.home.run_dir("lined up, whole")
    for name in (VALIDATION_FILE_NAME, "evaluation.npz"):
        np.testing.assert_array_equal(
            load_evaluation(ours, name).probabilities, load_evaluation(theirs, name).probabilities
        )
    assert not line.checkpoint(job.id).exists()


@pytest.fixture
def killed(line: Line, monkeypatch: pytest.MonkeyPatch, at_every_epoch: None) -> JobStatus:
    """A run that was ended in its third epoch and claimed again."""
    job = line.start()

    def die(self: JobProgress, epoch: float, values: Mapping[str, float]) -> None:
        add_point(self, epoch, values)
        if epoch >= 3:
            raise Killed

    add_point = JobProgress.metrics
    with monkeypatch.context() as patched:
        patched.setattr(JobProgress, "metrics", die)
        with pytest.raises(Killed):
            line.work(job)
    return line.claim_again(job)


def test_a_run_that_dies_again_and_again_leaves_its_best_epoch(line: Line, killed: JobStatus) -> None:
    state, message = line.work(killed, is_rescue=True)
    run = get_run(line.engine, killed.id)
    assert run.summary is not None
    assert (state, run.summary.epochs) == ("stopped", 2)
    assert (
        f"The model is the one of epoch {run.summary.best_epoch}, the best so far; 2 of 4 epochs were trained."
        in message
    )
    assert message.startswith("The computer's memory ran out")
    assert {epoch for epoch, _, _ in line.curve(killed.id)} == {1, 2}
    assert not line.checkpoint(killed.id).exists()


@pytest.mark.parametrize(("stopped", "state"), [(False, "failed"), (True, "stopped")])
def test_a_run_that_dies_before_its_first_epoch_again_and_again_has_no_model(
    line: Line, stopped: bool, state: str
) -> None:
    job = line.start()
    if stopped:
        request_stop(line.engine, job.id)
    ended, message = line.work(job, is_rescue=True)
    assert ended == state
    assert "no model" in message


@pytest.mark.parametrize("way", ["damaged", "of another network"])
def test_a_run_whose_checkpoint_is_of_no_use_begins_anew(
    line: Line, killed: JobStatus, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = line.checkpoint(killed.id)
    if way == "damaged":
        path.write_bytes(path.read_bytes()[:500])
    else:
        Checkpoints(path, LINED_UP, line.dataset).write(state())
    assert line.work(killed) == ("finished", "")
    assert [epoch for epoch, name, _ in line.curve(killed.id) if name == "loss"] == [1, 2, 3, 4]
    assert "begins anew" in capsys.readouterr().err


def test_a_disk_that_is_full_at_the_end_costs_no_training(
    line: Line, monkeypatch: pytest.MonkeyPatch, at_every_epoch: None
) -> None:
    def full(*_arguments: object) -> None:
        raise StorageError("The disk is full.")

    job = line.start()
    with monkeypatch.context() as patched:
        patched.setattr(finish, "save_export", full)
        with pytest.raises(StorageError, match="up to epoch 4 is kept: when there is space, start a run with the same"):
            line.work(job)
    end_job(line.engine, job.id, job.attempt, "failed", "The disk is full.")
    again = line.start()
    assert again.id != job.id
    with monkeypatch.context() as patched:
        patched.setattr(loop._Training, "run_epoch", None)  # there is none to be trained
        assert line.work(again) == ("finished", "")
    assert line.curve(again.id) == line.curve(job.id)
    assert not line.checkpoint(job.id).exists()
    assert not line.checkpoint(again.id).exists()


@pytest.mark.parametrize("way", ["goes on", "is stopped"])
def test_a_run_on_a_full_disk_waits_for_room_and_keeps_its_best_epoch(
    line: Line, monkeypatch: pytest.MonkeyPatch, at_every_epoch: None, way: str
) -> None:
    job = line.start()
    looks: list[str] = []
    learned: list[object] = []
    epochs = itertools.count()
    clock = time.monotonic

    def monotonic() -> float:
        """Let an hour pass with every look, where nothing is stopped meanwhile."""
        return clock() + (3600.0 * len(looks) if way == "goes on" else 0.0)

    def is_full(_home: DataRoot) -> bool:
        return next(epochs) in (1, 2, 3)  # after the second epoch

    def look(_seconds: float) -> None:
        looks.append(get_job(line.engine, job.id).phase)
        if way == "is stopped":
            request_stop(line.engine, job.id)

    def no_room_at_first(*arguments: object) -> None:
        if looks.count("waiting_for_room") < 5:
            raise FullDiskError("The disk is full.")
        save_export(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(full_disk, "is_full", is_full)
    monkeypatch.setattr(full_disk, "TRY_SECONDS", 0.0001)
    monkeypatch.setattr(time, "monotonic", monotonic)
    monkeypatch.setattr(full_disk, "time", SimpleNamespace(sleep=look, monotonic=monotonic))
    monkeypatch.setattr(finish, "save_export", no_room_at_first)
    monkeypatch.setattr(tasks, "learn_speeds", lambda *arguments: learned.append(arguments))
    monkeypatch.setattr(reporting, "WRITE_SECONDS", 0.0)
    state, message = line.work(job)
    assert set(looks) == {"waiting_for_room"}
    assert len(looks) >= 5
    summary = get_run(line.engine, job.id).summary
    assert summary is not None
    assert summary.seconds < 1800  # the hours of waiting are no part of it
    assert learned == []
    if way == "goes on":
        assert (state, message) == ("finished", "")
        assert line.curve(job.id)[-1][0] == 4
    else:
        assert state == "stopped"
        assert "The model is the one of epoch" in message
        assert line.curve(job.id)[-1][0] == 2


def test_a_run_that_was_ended_after_its_last_word_is_not_trained_again(line: Line) -> None:
    job = line.start()
    line.work(job)
    summary = get_run(line.engine, job.id).summary
    assert line.work(line.claim_again(job)) == ("finished", "")
    assert get_run(line.engine, job.id).summary == summary


def test_curves_go_back_to_an_epoch_and_get_back_what_was_lost(line: Line) -> None:
    job = line.start()
    with writing_to(line.engine) as connection:
        for epoch, loss in ((0.5, 5.0), (1.0, 4.0), (1.5, 3.5), (2.5, 3.0), (3.0, 2.0)):
            write_metrics(connection, job.id, job.attempt, epoch, {"loss": loss})
        go_back_to_epoch(connection, job.id, job.attempt, [{"loss": 4.0}, {"loss": 3.2, "accuracy": 0.5}])
    points = [(point.epoch, point.name, point.value) for point in read_metrics(line.engine, job.id)]
    assert points == [
        (0.5, "loss", 5.0),
        (1.0, "loss", 4.0),
        (1.5, "loss", 3.5),
        (2.0, "loss", 3.2),
        (2.0, "accuracy", 0.5),
    ]
    with writing_to(line.engine) as connection:
        go_back_to_epoch(connection, job.id, job.attempt, [])
    assert read_metrics(line.engine, job.id) == []
