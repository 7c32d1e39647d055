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
from tlcore.documents import read_document
from tlcore.features.store import FeatureTable, LabelledFeatures
from tlcore.home import DataRoot
from tlcore.progress import StopRequested
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.jobs import claim_job, create_job, last_job, read_result
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SettingsRequest
from tlcore.training.loop import SEARCH_STEPS, SEARCH_SWEEPS, search_rates
from tlcore.training.rate_search import RateSearch, smoothed

RATES = tuple(np.geomspace(1e-6, 1.0, 61).tolist())


def falling(middle: float, explodes: float = 0.1) -> list[float]:
    """Losses that fall from 1 to 0.2 around a rate, and are back at once when the rate is too large."""
    return [0.2 + 0.8 / (1 + (rate / middle) ** 2) if rate < explodes else 5.0 for rate in RATES]


@pytest.mark.parametrize("middle", [1e-4, 1e-3])
def test_the_suggestion_is_where_most_of_the_fall_is_done(middle: float) -> None:
    suggestion = RateSearch(RATES, tuple(falling(middle))).suggestion
    assert suggestion is not None
    assert middle <= suggestion <= 3 * middle
    assert float(f"{suggestion:.1g}") == suggestion


def test_the_suggestion_is_that_of_the_mean_however_the_single_sweeps_jump() -> None:
    rng = np.random.default_rng(0)
    clean = np.array(falling(1e-3))
    sweeps = [list(clean * rng.uniform(0.6, 1.4, len(clean))) for _ in range(4)]
    found = RateSearch.of_sweeps(RATES, sweeps)
    np.testing.assert_allclose(found.losses, np.mean(sweeps, axis=0))
    assert found.suggestion == pytest.approx(RateSearch(RATES, tuple(clean)).suggestion, rel=1)
    assert len(found.single_suggestions) == 4
    assert found.single_suggestions[0] <= found.suggestion <= found.single_suggestions[-1]
    lowest, highest = found.spread
    assert (np.array(lowest) <= found.smoothed).all()
    assert (found.smoothed <= np.array(highest)).all()


def test_sweeps_end_together_where_the_first_of_them_exploded() -> None:
    found = RateSearch.of_sweeps(RATES, [falling(1e-3)[:30], falling(1e-3)[:25]])
    assert len(found.rates) == len(found.losses) == 25
    assert [len(losses) for losses in found.sweeps] == [25, 25]
    assert RateSearch.of_sweeps(RATES, [[], falling(1e-3)]).suggestion is None


def test_a_search_of_a_former_version_is_still_read() -> None:
    old = f'{{"rates": {list(RATES)}, "losses": {falling(1e-3)}}}'
    found = read_document(old, RateSearch)
    assert found.sweeps == found.single_suggestions == ()
    assert found.suggestion is not None
    assert found.spread == (found.smoothed, found.smoothed)


def test_a_loss_that_never_falls_gives_no_suggestion() -> None:
    assert RateSearch(RATES, tuple(1 + rate for rate in RATES)).suggestion is None
    assert RateSearch(RATES[:3], (3.0, 2.0, 1.0)).suggestion is None


def test_a_suggestion_needs_ten_steps_and_a_fall_of_a_fiftieth() -> None:
    steep = tuple(np.linspace(1, 0.1, 10).tolist())
    assert RateSearch(RATES[:9], steep[:9]).suggestion is None
    assert RateSearch(RATES[:10], steep).suggestion is not None
    steps = np.linspace(0, 1, len(RATES))
    for first in (0.2, 5):
        assert RateSearch(RATES, tuple((first * (1 - 0.03 * steps)).tolist())).suggestion is not None
        assert RateSearch(RATES, tuple((first * (1 - 0.015 * steps)).tolist())).suggestion is None


def test_smoothing_leaves_a_constant_alone_and_takes_ups_and_downs_away() -> None:
    np.testing.assert_allclose(smoothed(RATES, 61 * (2.5,)), 2.5)
    noisy = 1 + 0.5 * (-1.0) ** np.arange(61)
    assert np.ptp(smoothed(RATES, tuple(noisy))) < 0.15


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
    assert progress.phases[0] == ("trying_rates", 0, SEARCH_SWEEPS * SEARCH_STEPS)


def test_every_sweep_starts_again_from_the_first_weights_with_other_pictures() -> None:
    suffix = new_suffix()
    rows = clusters()
    losses = -np.log(suffix.predict_on_batch(rows.table.take(np.arange(90)))[np.arange(90), rows.labels])
    found = search_rates(suffix, rows, TrainingConfig(batch_size=64, optimizer="sgd"), RecordingProgress())
    firsts = [losses_of[0] for losses_of in found.sweeps]
    assert len(set(firsts)) == SEARCH_SWEEPS
    np.testing.assert_allclose(firsts, losses.mean(), rtol=0.3)  # and not that of weights that have exploded


def test_a_batch_of_one_easy_picture_does_not_end_a_sweep() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(33, np.int64)
    labels[::2] = 1
    rows = (rng.normal(size=(33, 8)) + 3 * labels[:, None]).astype(np.float16)
    features = LabelledFeatures(FeatureTable([rows], np.array([(0, row) for row in range(33)])), labels)
    found = search_rates(new_suffix(), features, TrainingConfig(optimizer="sgd"), RecordingProgress())
    assert found.rates[-1] > 0.05
    assert found.suggestion is not None


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
