"""Honest probabilities and "I don't know", as a person meets them on Understand and on Predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_pages_results import (  # noqa: F401 - make_finished is a fixture
    NAMES,
    Finished,
    RedOrGreen,
    make_finished,
    open_step,
)
from tlcore.results.prediction import Predictor
from tlcore.storage.model_settings import ModelSettings, change_model_settings


def choose(finished: Finished, model_id: str, **values: float) -> ModelSettings:
    """Let the settings of a model be others."""
    return change_model_settings(
        finished.engine, finished.project_id, model_id, lambda before: replace(before, **values)
    )


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run answers by the mean colour: 95 % red or 90 % green."""

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return RedOrGreen().predict(images)

    one = Predictor(NAMES, (0, 1), 64, predict)
    monkeypatch.setattr("tlcore.results.prediction.load_predictor", lambda _folder, _home=None: one)


def bars(page: object) -> str:
    """Return what the bars of an answer say to those who cannot see them."""
    return str(page.get("plotly_chart")[0].proto.alt)


def test_predict_answers_with_the_temperature_of_the_model(make_finished, predictor) -> None:  # noqa: F811
    finished = make_finished()
    first, second = finished.add_run(), finished.add_run()
    before = bars(open_step("predict", finished.project_id, first))
    assert ("95 %" in before) != ("90 %" in before)
    choose(finished, first, temperature=2.0)
    after = bars(open_step("predict", finished.project_id, first))
    # 0.95 and 0.9 to the power of one half, of both classes together.
    assert ("81 %" in after) != ("75 %" in after)
    other = bars(open_step("predict", finished.project_id, second))
    assert ("95 %" in other) != ("90 %" in other), "another run has its own"
