"""A person's own weights on the page: checked by a job that a reload does not end, and taken when they fit."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import psutil
import pytest
from streamlit.testing.v1 import AppTest

import tests.keras_saving  # noqa: F401
from pages.components.text import label
from tests.bench.understand_weights import hostile_models, shape_bomb
from tests.coloured_pictures import coloured_dataset
from tests.lab import Lab
from tests.page_tests import ROOT_DIR, check, texts
from tests.weights_checks import check_weights
from tlcore.backbones.weights.brought import find_brought
from tlcore.config import IMAGENET, ModelConfig
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.jobs import control, runner
from tlcore.jobs.runner import Runner
from tlcore.jobs.slots import slots_of
from tlcore.jobs.specs import JOBS
from tlcore.storage.database import open_database
from tlcore.storage.jobs import JobStatus, claim_job, get_job, last_job

BACKBONE = "mobilenet_v2_035"


@pytest.fixture
def lab(home: DataRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(control, "ensure_runner", lambda _home: None)
    lab = Lab.make(home, coloured_dataset(home, 2))
    lab.change(lambda config: replace(config, model=ModelConfig(BACKBONE, 96)))
    return lab


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Weights of that backbone, as a person saves them."""
    path = tmp_path_factory.mktemp("person") / "pets.weights.h5"
    network = keras.applications.MobileNetV2(include_top=False, weights=None, alpha=0.35, input_shape=(96, 96, 3))
    network.save_weights(path)
    return path.read_bytes()


def bring(lab: Lab, content: bytes) -> AppTest:
    page = check(lab.open("model").button_group(key="begins_with").set_value("file").run())
    page.file_uploader(key="weights_file_0").upload("pets.weights.h5", content)
    return check(page.run())


def the_check(lab: Lab) -> JobStatus:
    job = last_job(lab.engine, lab.project_id, "weights_check")
    assert job is not None
    return job


def check_now(lab: Lab) -> JobStatus:
    """Do what the runner would do with the check that waits: claim it and start its process."""
    job = claim_job(lab.engine, "weights_check")
    assert job is not None
    command = [sys.executable, "-m", "tlcore.jobs.worker", job.id, str(job.attempt)]
    subprocess.run(command, cwd=ROOT_DIR, timeout=120, check=True)
    assert not list(lab.home.imports_dir.iterdir()), "the staged file goes with the end of the job"
    return get_job(lab.engine, job.id)


def test_a_file_that_fits_is_taken_after_a_reload_too(lab: Lab, file: bytes) -> None:
    bring(lab, file)
    assert the_check(lab).state == "queued"
    page = check(lab.open("model").button_group(key="begins_with").set_value("file").run())
    assert f"stop-{the_check(lab).id}" in [button.key for button in page.button]
    assert check_now(lab).message == ""
    assert check(page.run()).button_group(key="begins_with").value == "file"
    brought = find_brought(lab.config.model.weights, lab.home)
    assert brought is not None
    assert (brought.filename, brought.backbone) == ("pets.weights.h5", BACKBONE)
    assert "In use: pets" in texts(page)


def test_weights_of_a_backbone_that_was_changed_meanwhile_are_kept_and_not_taken(lab: Lab, file: bytes) -> None:
    bring(lab, file)
    lab.change(lambda config: replace(config, model=ModelConfig()))
    assert check_now(lab).state == "finished"
    assert lab.config.model == ModelConfig()
    assert list(lab.home.brought_weights_dir.iterdir())


def test_a_file_that_is_none_is_refused_in_words(lab: Lab) -> None:
    page = bring(lab, b"<html><p>Please log in")
    check_now(lab)
    assert label("pets.weights.h5 is a web page") in texts(check(page.run()))
    assert lab.config.model.weights == IMAGENET


def test_a_check_can_be_stopped_and_leaves_no_file(lab: Lab, file: bytes) -> None:
    page = bring(lab, file)
    check(page.button(key=f"stop-{the_check(lab).id}").click().run())
    assert the_check(lab).state == "stopped"
    assert not list(lab.home.imports_dir.iterdir())
    assert lab.config.model.weights == IMAGENET


@pytest.mark.parametrize("ending", ["killed", "endless"])
def test_a_checking_program_that_gives_up_is_a_refusal(
    lab: Lab, file: bytes, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WORKER_MODULE", "tests.workers.sleeper")
    monkeypatch.setenv("SLEEPER", "deaf")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(lab.home.path))
    bring(lab, file)
    working, deadline = Runner(lab.engine, lab.home), time.monotonic() + 30
    while the_check(lab).state != "running":
        assert time.monotonic() < deadline
        working.step()
    pid = the_check(lab).pid
    assert pid is not None
    if ending == "killed":
        psutil.Process(pid).kill()
    else:
        brief = {**JOBS, "weights_check": replace(JOBS["weights_check"], max_seconds=0.1)}
        monkeypatch.setattr(runner, "JOBS", brief)
    while the_check(lab).state != "failed":
        assert time.monotonic() < deadline
        working.step()
        time.sleep(0.05)
    assert "could not be read: the program that checks it gave up" in the_check(lab).message
    assert not list(lab.home.imports_dir.iterdir())
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


MOST_SECONDS = 2.0
MOST_MB = 150.0


def refused(home: DataRoot, content: bytes, filename: str, words: str) -> None:
    """See that a file is refused in these words, quickly, with little memory, and without TensorFlow."""
    ended = check_weights(open_database(home), home, BACKBONE, content, filename)
    assert ended.state == "failed"
    assert words in ended.message
    assert ended.message.startswith(filename)
    assert ended.loaded == ()
    if ended.peak_mb is not None:
        assert ended.peak_mb < MOST_MB
    # Beside other tests a process waits for a core; `tests.bench understand weights` measures the whole time.
    assert ended.processor_seconds < MOST_SECONDS


def test_a_shape_bomb_is_refused_before_tensorflow_is_there(home: DataRoot) -> None:
    refused(home, shape_bomb(), "bomb.weights.h5", "an array without its values")


def test_a_web_page_is_refused_before_tensorflow_is_there(home: DataRoot) -> None:
    refused(home, b"<html><p>Please log in", "pets.h5", "is a web page")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m09_h5_external_link.h5", "a link to something else"),
        ("m17_pickle_renamed.keras", "pickle"),
        ("m07_h5_external_dataset.weights.h5", "kept in another file"),
        ("m11_h5_shape_bomb_3GiB.weights.h5", "which weights do not need"),
    ],
)
def test_hostile_files_are_refused_before_tensorflow_is_there(
    name: str, words: str, home: DataRoot, shared_data: Path
) -> None:
    refused(home, dict(hostile_models())[name], name, words)


def test_files_are_checked_one_after_the_other() -> None:
    assert slots_of("weights_check") == 1
