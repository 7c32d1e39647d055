"""Understand page: how sure an accuracy is, from the button to the figure."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pages.components.figures.splits import splits_figure
from pages.components.results.certainty_panel import description, spread_words
from tests.finished_runs import Finished
from tests.page_tests import check, open_app, texts
from tlcore.results.cross_validation import CrossValidation, FoldResult
from tlcore.storage.database import writing
from tlcore.storage.jobs import ACTIVE_STATES, claim_job, end_job, list_jobs, read_request, write_result
from tlcore.storage.requests import CrossValidationRequest

FOUND = CrossValidation(tuple(FoldResult(correct, 68) for correct in (62, 64, 65, 63, 64)))


@pytest.fixture
def finished(make_finished: Callable[..., Finished]) -> Finished:
    return make_finished()


def end(finished: Finished, state: str, message: str = "", result: CrossValidation | None = None) -> None:
    """End the trainings that wait."""
    job = claim_job(finished.engine, "cross_validation")
    assert job is not None
    if result is not None:
        with writing(finished.engine) as connection:
            write_result(connection, job.id, job.attempt, result)
    end_job(finished.engine, job.id, job.attempt, state, message)  # type: ignore[arg-type]


def test_trainings_on_other_splits_are_asked_for_watched_and_shown(finished: Finished) -> None:
    run_id = finished.add_run()
    page = open_app("understand", project=finished.project_id, run=run_id)
    assert "Takes about 60 s at most: this run took 12 s" in texts(page)
    page = check(page.button_group(key=f"certainty-splits-{run_id}").set_value(10).run())
    assert "Takes about 2 min at most" in texts(page)
    page = check(page.button(key="train-splits").click().run())
    (job,) = list_jobs(finished.engine, states=ACTIVE_STATES)
    assert job.kind == "cross_validation"
    assert read_request(finished.engine, job.id, CrossValidationRequest) == CrossValidationRequest(run_id, 10)
    assert any(button.key == f"stop-{job.id}" for button in page.button)

    end(finished, "finished", result=FOUND)
    page = open_app("understand", project=finished.project_id, run=run_id)
    assert page.button_group(key=f"certainty-splits-{run_id}").value == 10
    assert "Five trainings on other splits: 91.2 to 95.6 %, on average **93.5 %**." in texts(page)
    assert "all 340 pictures for training and validation" in texts(page)
    assert not any(button.key == "train-splits" for button in page.button)
    page = check(page.button_group(key=f"certainty-splits-{run_id}").set_value(5).run())
    assert any(button.key == "train-splits" for button in page.button)


def test_two_runs_have_trainings_of_their_own_and_a_link_that_leads_to_them(finished: Finished) -> None:
    first, second = finished.add_run(), finished.add_run()
    check(open_app("understand", project=finished.project_id, run=first).button(key="train-splits").click().run())
    page = open_app("understand", project=finished.project_id, run=second)
    assert any(button.key == "train-splits" for button in page.button)
    page = open_app("train", project=finished.project_id)
    (link,) = [one for one in page.get("page_link") if one.proto.label == "Watch"]
    assert f"run={first}" in link.proto.query_string


def test_trainings_that_failed_say_why_and_can_be_tried_again(finished: Finished) -> None:
    run_id = finished.add_run()
    check(open_app("understand", project=finished.project_id, run=run_id).button(key="train-splits").click().run())
    end(finished, "failed", "5 trainings need more pictures.")
    page = open_app("understand", project=finished.project_id, run=run_id)
    assert any("5 trainings need more pictures" in error.value for error in page.error)
    assert any(button.key == "train-splits" for button in page.button)


def test_a_simple_head_has_no_such_panel(finished: Finished) -> None:
    page = open_app("understand", project=finished.project_id, run=finished.add_head())
    assert "cross-validation" not in texts(page)


def test_the_words_say_how_far_a_single_split_may_be_off() -> None:
    assert spread_words(FOUND).endswith("A single split can be lucky or unlucky by about 1.7 points.")
    same = CrossValidation(2 * (FoldResult(20, 20),))
    assert spread_words(same) == "2 trainings on other splits: **100.0 %** every time. The split makes no difference."


def test_the_figure_shows_each_training_the_mean_its_spread_and_the_run() -> None:
    figure = splits_figure(FOUND, 0.97)
    (dots,) = figure.data
    assert list(dots.x) == [100 * accuracy for accuracy in FOUND.accuracies]
    assert len(set(dots.y)) == len(FOUND.folds)
    band, mean, own = figure.layout.shapes
    middle, spread = 100 * FOUND.mean, 100 * FOUND.deviation
    assert (band.x0, band.x1) == pytest.approx((middle - spread, middle + spread))
    assert (mean.x0, own.x0) == pytest.approx((middle, 97))
    assert mean.line.dash != own.line.dash
    low, high = figure.layout.xaxis.range
    assert low < min(dots.x)
    assert high > 97
    assert [note.text for note in figure.layout.annotations] == ["mean 93.5 %", "this run 97.0 %"]
    assert len(splits_figure(FOUND, None).layout.shapes) == 2
    words = description(FOUND, 0.97)
    assert words.startswith("Accuracy of 5 trainings on other splits: 91.2, 94.1, 95.6, 92.6, 94.1 %, mean 93.5 %")
    assert "this run is 97.0 %" in words
