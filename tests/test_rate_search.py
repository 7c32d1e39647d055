"""The learning-rate search: the suggestion, the steps themselves, and the job that takes them."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.page_tests import OWNER, ROOT_DIR
from tlcore.config import ModelConfig, RunConfig, TrainingConfig
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.home import DataRoot
from tlcore.progress import StopRequested
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, create_job, last_job, read_result
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SettingsRequest
from tlcore.training.loop import SEARCH_STEPS, search_rates
from tlcore.training.rate_search import RateSearch, smoothed

RATES = tuple(np.geomspace(1e-6, 1.0, 61).tolist())


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss() -> None:
    losses = [1.0 if rate < 1e-4 else max(0.2, 1 - math.log10(rate / 1e-4) / 3) for rate in RATES]
    losses = [loss if rate <= 0.1 else 5.0 for rate, loss in zip(RATES, losses, strict=True)]
    suggestion = RateSearch(RATES, tuple(losses)).suggestion
    assert suggestion is not None
    assert 0.005 <= suggestion <= 0.02
    assert float(f"{suggestion:.1g}") == suggestion


def test_a_loss_that_never_falls_gives_no_suggestion() -> None:
    assert RateSearch(RATES, tuple(1 + rate for rate in RATES)).suggestion is None
    assert RateSearch(RATES[:3], (3.0, 2.0, 1.0)).suggestion is None


def test_smoothing_leaves_a_constant_alone_and_takes_ups_and_downs_away() -> None:
    np.testing.assert_allclose(smoothed(np.full(9, 2.5)), 2.5)
    noisy = 1 + 0.5 * (-1.0) ** np.arange(60)
    assert np.ptp(smoothed(noisy)[30:]) < 0.2


def clusters() -> LabelledFeatures:
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    rows = (rng.normal(size=(3, 8))[labels] * 2 + rng.normal(size=(90, 8))).astype(np.float16)
    return LabelledFeatures(FeatureTable([rows], np.array([(0, row) for row in range(90)])), labels)


def new_suffix() -> keras.Model:
    inputs = keras.Input((8,))
    layer = keras.layers.Dense(3, "softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    return keras.Model(inputs, layer(inputs))


def test_a_real_search_finds_a_rate_that_learns() -> None:
    progress = RecordingProgress()
    found = search_rates(new_suffix(), clusters(), TrainingConfig(batch_size=16), progress)
    assert list(found.rates) == sorted(found.rates)
    assert len(found.rates) == len(found.losses) <= SEARCH_STEPS
    assert found.suggestion is not None
    assert 1e-3 <= found.suggestion <= 0.5
    assert progress.phases[0] == ("trying_rates", 0, SEARCH_STEPS)


def test_a_search_obeys_a_wish_to_stop() -> None:
    with pytest.raises(StopRequested):
        search_rates(new_suffix(), clusters(), TrainingConfig(), RecordingProgress(stop_after=5))


def test_a_search_ends_when_the_loss_explodes() -> None:
    found = search_rates(new_suffix(), clusters(), TrainingConfig(optimizer="sgd"), RecordingProgress())
    assert all(math.isfinite(loss) for loss in found.losses)
    assert len(found.rates) == len(found.losses)


def test_the_job_of_a_search_writes_what_it_found(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home)
    engine = open_database(ready_home)
    project = create_project(engine, OWNER, "Colours")
    version = commit_version(engine, project.id, dataset, "brought", parent=None, home=ready_home)
    request = SettingsRequest(version, RunConfig(model=ModelConfig(image_size=64)))
    job_id = create_job(engine, "search", project.id, request)
    job = claim_job(engine, "search")
    assert job is not None
    command = [sys.executable, "-m", "tlcore.jobs.worker", job_id, str(job.attempt)]
    done = subprocess.run(command, cwd=ROOT_DIR, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    search = last_job(engine, project.id, "search")
    assert search is not None
    assert (search.id, search.state, search.message) == (job_id, "finished", "")
    found = read_result(engine, job_id, RateSearch)
    assert found is not None
    assert found.suggestion is not None
    assert 1e-5 < found.suggestion < 0.5
    engine.dispose()
