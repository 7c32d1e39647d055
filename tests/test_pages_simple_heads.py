"""Simple heads on the pages."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.finished_runs import accuracy_of, all_text, open_step, table_with
from tlcore.config import ModelConfig
from tlcore.documents import write_document
from tlcore.results.evaluation import VALIDATION_FILE_NAME
from tlcore.storage.database import jobs, writing
from tlcore.storage.jobs import (
    ACTIVE_STATES,
    list_jobs,
    read_request,
    request_stop,
)
from tlcore.storage.requests import SimpleHeadResult, SimpleHeadsRequest, SimpleHeadsResult
from tlcore.storage.simple_heads import simple_head_dir


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


def test_simple_heads_are_trained_by_a_job_that_is_watched(make_finished) -> None:
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
    assert page.checkbox(key=f"format-{head_id}-litert").value
    assert not page.button(key="make").disabled
