"""Answers to many pictures on Predict: the job is watched, the table filtered, taken away as a file, deleted."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components.pace import Pace
from pages.components.results.prediction_table import Columns, answers_csv
from pages.components.results.prediction_view import UNKNOWN
from pages.components.results.trained_models import Model, list_models
from pages.components.state import Context
from pages.server.downloads import answers_url
from tests.finished_runs import COLORS, NAMES, OWNER, Finished, bring, open_step, picture, press
from tests.page_tests import texts
from tests.signing import cookie_of
from tlcore.home import write_atomically
from tlcore.storage.answers import StoredAnswer, writing_answers
from tlcore.storage.database import jobs, writing
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble, delete_ensemble
from tlcore.storage.jobs import claim_job, create_job, end_job, get_job, has_job, write_job, write_result
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.predictions import answers_path, delete_prediction
from tlcore.storage.requests import PredictionRequest, PredictionSummary

DEFAULTS = ModelSettings()
SMALL = picture(COLORS[0], "JPEG")
ANSWERS = (
    StoredAnswer("red/1.jpg", (0.9, 0.1), 0, SMALL),
    StoredAnswer("red/2.jpg", (0.3, 0.7), 0, SMALL),
    StoredAnswer("=1+1.jpg", (0.4, 0.6), None, SMALL),
    StoredAnswer("red/broken.jpg", reason="It is damaged."),
)


def begin(finished: Finished, request: PredictionRequest) -> tuple[str, int]:
    """Put a job in line and claim it as a worker would."""
    job_id = create_job(finished.engine, "prediction", finished.project_id, request)
    job = claim_job(finished.engine, "prediction")
    assert job is not None
    return job_id, job.attempt


def add_answers(
    finished: Finished,
    answers: Sequence[StoredAnswer] = ANSWERS,
    *,
    settings: ModelSettings = DEFAULTS,
    model_id: str = "gone",
    judged_by: int = 0,
) -> str:
    """Keep answers as the worker of a job does; return its id."""
    job_id, attempt = begin(finished, PredictionRequest(model_id, "import-x", settings=settings))
    known = [one for one in answers if one.truth is not None]
    sure = [one for one in known if one.is_sure(settings.threshold)]
    refused = sum(bool(one.reason) for one in answers)
    summary = PredictionSummary(
        NAMES,
        (0, 1),
        len(answers) - refused,
        refused,
        len(known),
        len(sure),
        sum(one.truth == one.said for one in sure),
        aside=2,
        model_id=model_id,
        settings=settings,
        brought="my *pets*.zip",
        strange=sum(bool(one.strange) for one in answers) if judged_by else None,
        judged_by=judged_by,
    )

    def write(path) -> None:  # type: ignore[no-untyped-def]
        with writing_answers(path) as writer:
            for answer in answers:
                writer.add(answer)

    write_atomically(answers_path(job_id, finished.home), write)
    with writing(finished.engine) as connection:
        write_result(connection, job_id, attempt, summary)
    end_job(finished.engine, job_id, attempt, "finished")
    return job_id


def open_answers(finished: Finished, job_id: str) -> AppTest:
    page = open_step("predict", finished.project_id)
    page.selectbox(key="many-chosen").set_value(job_id).run()
    assert not page.exception
    return page


def table(page: AppTest) -> dict[str, list[object]]:
    return {name: list(values) for name, values in page.dataframe[0].value.items()}


def test_answers_are_chosen_shown_filtered_and_sorted(make_finished, predictor) -> None:
    finished = make_finished()
    job_id = add_answers(finished, model_id=finished.add_run())
    page = open_step("predict", finished.project_id)
    assert "A picture of your own" in texts(page)  # nothing is chosen yet
    [title] = page.selectbox(key="many-chosen").options
    assert title.startswith("my *pets*.zip: 3 pictures, by Run 1, ")
    page = open_answers(finished, job_id)
    assert "**50 % (9 to 91 %) right** of the 2 pictures" in texts(page)
    assert "Its probabilities are the original ones, and it always answered." in texts(page)
    assert page.selectbox(key=f"many-said-{job_id}").options == ["Anything", "red", "green"]
    shown = table(page)
    assert shown["File"] == ["red/1.jpg", "red/2.jpg", "=1+1.jpg"]
    assert shown["Answer"] == ["red", "green", "green"]
    assert shown["Folder says"] == ["red", "red", ""]
    assert shown["Right"] == ["yes", "no", ""]
    np.testing.assert_allclose(shown["Sure"], [0.9, 0.7, 0.6], rtol=1e-6)  # type: ignore[arg-type]
    assert str(shown["Picture"][0]).startswith("data:image/jpeg;base64,/9j/")
    assert "1 file could not be used" in [one.label for one in page.expander]
    assert page.dataframe[1].value.to_dict("list") == {"File": ["red/broken.jpg"], "Why": ["It is damaged."]}
    assert "2 files left aside" in texts(page)
    page.selectbox(key=f"many-order-{job_id}").set_value("least sure").run()
    assert table(page)["File"] == ["=1+1.jpg", "red/2.jpg", "red/1.jpg"]
    page.selectbox(key=f"many-said-{job_id}").set_value(1).run()
    assert table(page)["File"] == ["=1+1.jpg", "red/2.jpg"]
    assert "2 of 3 answers" in texts(page)
    page.toggle(key=f"many-wrong-{job_id}").set_value(True).run()
    assert table(page)["File"] == ["red/2.jpg"]
    page.slider(key=f"many-below-{job_id}").set_value(65).run()
    assert not page.exception
    assert "No answer is like that" in texts(page)
    press(page, "close-many")
    assert "A picture of your own" in texts(page)


def test_what_folders_say_has_no_columns_where_they_say_nothing(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_answers(finished, add_answers(finished, [replace(ANSWERS[0], truth=None)], model_id="gone"))
    assert list(table(page)) == ["Picture", "Answer", "Sure", "File"]
    assert "by a model that is gone" in page.subheader[0].value
    assert not [one for one in page.toggle if str(one.key).startswith("many-wrong")]


def test_pictures_like_none_of_the_classes_are_counted_marked_and_found(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    answers = [replace(one, strange=None if one.reason else one.name == "red/2.jpg") for one in ANSWERS]
    job_id = add_answers(finished, answers, judged_by=12)
    page = open_answers(finished, job_id)
    [said] = [one for one in page.markdown if "like none of your classes" in one.value]
    assert said.value == "**1 of 3 pictures** looks like none of your classes."
    assert "95 in 100 of your validation pictures" in said.help
    assert "There are only 12 validation pictures" in said.help
    assert table(page)["Like none of your classes"] == ["no", "yes", "no"]
    page.toggle(key=f"many-strange-{job_id}").set_value(True).run()
    assert table(page)["File"] == ["red/2.jpg"]
    assert "1 of 3 answers" in texts(page)


def test_where_no_picture_is_like_none_of_the_classes_there_is_nothing_to_filter(
    make_finished,
    predictor,
) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_answers(finished, add_answers(finished, [replace(ANSWERS[0], strange=False)], judged_by=40))
    [said] = [one for one in page.markdown if "like none of your classes" in one.value]
    assert said.value == "**0 of 1 picture** looks like none of your classes."
    assert "There are only" not in said.help
    assert table(page)["Like none of your classes"] == ["no"]
    assert not [one for one in page.toggle if str(one.key).startswith("many-strange")]


def test_below_the_threshold_the_table_says_i_do_not_know(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    answers = [ANSWERS[0], ANSWERS[1], replace(ANSWERS[2], truth=0), StoredAnswer("red/4.jpg", (0.6, 0.4), 0, SMALL)]
    job_id = add_answers(finished, answers, settings=ModelSettings(1.7, 0.65))
    page = open_answers(finished, job_id)
    assert table(page)["Answer"] == ["red", "green", "I don't know (perhaps green)", "I don't know (perhaps red)"]
    assert table(page)["Right"] == ["yes", "no", "", ""]
    assert (
        "It answered **2** of the 4 pictures whose folder is called like a class and was right in "
        "**50 % (9 to 91 %)** of those." in texts(page)
    )
    assert (
        "Its probabilities are calibrated (temperature 1.70), and it said \u201cI don't know\u201d below 65 %"
        in texts(page)
    )
    page.toggle(key=f"many-wrong-{job_id}").set_value(True).run()
    assert table(page)["File"] == ["red/2.jpg"]
    page.toggle(key=f"many-wrong-{job_id}").set_value(False).run()
    said = page.selectbox(key=f"many-said-{job_id}")
    assert said.options == ["Anything", "I don't know", "red", "green"]
    said.set_value(UNKNOWN).run()
    assert table(page)["File"] == ["=1+1.jpg", "red/4.jpg"]
    page.selectbox(key=f"many-said-{job_id}").set_value(0).run()
    assert table(page)["File"] == ["red/1.jpg"]


def test_a_threshold_that_lets_nothing_through_is_said(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_answers(finished, add_answers(finished, settings=ModelSettings(threshold=0.99)))
    assert "It answered **none** of the 2 pictures whose folder is called like a class" in texts(page)
    assert table(page)["Right"] == ["", "", ""]


def test_twenty_thousand_answers_are_paged(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    many = [StoredAnswer(f"{n}.jpg", (1 - n / 40_000, n / 40_000), None, SMALL) for n in range(20_000)]
    page = open_answers(finished, add_answers(finished, many))
    assert table(page)["File"] == [f"{n}.jpg" for n in range(100)]
    assert "20,000 answers, 1 to 100 are here" in texts(page)
    [pages] = page.get("pagination")
    assert pages.proto.num_pages == 200


def test_the_job_is_watched_on_this_page_and_on_others_and_can_be_stopped(
    make_finished,
    predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tlcore.jobs.control.ensure_runner", lambda home=None: None)
    finished = make_finished()
    finished.add_run()
    job_id, attempt = begin(finished, PredictionRequest("model"))
    with writing(finished.engine) as connection:
        write_job(connection, job_id, attempt, state="running", phase="answering", done=20, total=300)
    page = open_step("predict", finished.project_id)
    [bar] = page.get("progress")
    assert bar.proto.text.replace("\\", "") == "Asking the model, 20 of 300"
    page.session_state[f"pace-{job_id}-answering"] = Pace(time.monotonic() - 60, 5)
    page.run()
    assert page.get("progress")[0].proto.text.replace("\\", "") == "Asking the model, 20 of 300, 19 min left"
    press(page, f"stop-{job_id}")
    assert get_job(finished.engine, job_id).stop_requested is not None
    other = open_step("understand", finished.project_id)
    assert other.get("progress")  # on other pages too
    end_job(finished.engine, job_id, attempt, "stopped", "Stopped before it began.")
    assert not open_step("predict", finished.project_id).get("progress")


def test_a_failed_job_says_why_until_it_is_put_away(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    job_id, attempt = begin(finished, PredictionRequest("gone"))
    end_job(finished.engine, job_id, attempt, "failed", "This model is not here any more.")
    page = open_step("predict", finished.project_id)
    assert "not here any more" in page.error[0].value
    press(page, f"put-away-{job_id}")
    assert not page.error
    assert not has_job(finished.engine, job_id)


def test_answers_are_deleted_and_those_that_are_damaged_can_be(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    job_id = add_answers(finished)
    page = open_answers(finished, job_id)
    path = answers_path(job_id, finished.home)
    path.write_bytes(b"no answers" * 1000)
    page.run()
    assert "missing or damaged" in page.error[0].value
    press(page, f"delete-{job_id}")
    assert not path.parent.exists()
    assert not has_job(finished.engine, job_id)
    assert not page.error
    assert "A picture of your own" in texts(page)


def test_answers_that_another_tab_deletes_are_gone_here_too_without_a_fault(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    first, second = add_answers(finished), add_answers(finished)
    page, other = open_answers(finished, first), open_answers(finished, first)
    press(other, f"delete-{first}")
    press(page, f"delete-{first}")  # the button that still stands there, or a second click
    assert not page.error
    assert "A picture of your own" in texts(page)
    assert len(page.selectbox(key="many-chosen").options) == 1
    assert has_job(finished.engine, second)
    assert table(open_answers(finished, second))["File"]
    page = open_answers(finished, second)
    delete_prediction(finished.engine, finished.project_id, second, finished.home)
    page.selectbox(key=f"many-order-{second}").set_value("surest").run()
    assert not page.exception
    assert "A picture of your own" in texts(page)
    assert not [one for one in page.selectbox if one.key == "many-chosen"]


def test_a_failure_that_another_tab_has_put_away_can_be_put_away_here_too(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    job_id, attempt = begin(finished, PredictionRequest("gone"))
    end_job(finished.engine, job_id, attempt, "failed", "This model is not here any more.")
    page, other = (open_step("predict", finished.project_id) for _ in range(2))
    press(other, f"put-away-{job_id}")
    press(page, f"put-away-{job_id}")
    assert not page.error


def test_answers_that_were_whole_when_their_worker_died_are_no_failure_to_put_away(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    job_id = add_answers(finished)
    with writing(finished.engine) as connection:
        ended = {"state": "failed", "message": "The prediction program was ended from outside."}
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(ended))
    page = open_answers(finished, job_id)
    assert not page.error
    assert "was ended from outside" in texts(page)
    assert table(page)["File"]


def test_answers_stay_readable_when_the_group_that_gave_them_is_deleted_meanwhile(make_finished, predictor) -> None:
    finished = make_finished()
    config = EnsembleConfig((finished.add_run(), finished.add_run()), (0.5, 0.5))
    place = finished.engine, finished.project_id
    group = create_ensemble(*place, "Both", finished.version, config, test_correct=1, test_total=1)
    page = open_answers(finished, add_answers(finished, model_id=group))
    assert "by the group" in page.subheader[0].value
    delete_ensemble(finished.engine, group)
    page.run()
    assert not page.exception
    assert "by a model that is gone" in page.subheader[0].value
    assert table(page)["File"]


def test_models_are_listed_once_for_all_answers_to_choose_from(
    make_finished, predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = make_finished()
    finished.add_run()
    asked: list[None] = []

    def listed(context: Context) -> list[Model]:
        asked.append(None)
        return list_models(context)

    monkeypatch.setattr("pages.components.results.many_pictures.list_models", listed)
    for _ in range(5):
        add_answers(finished)
    open_step("predict", finished.project_id)
    assert len(asked) == 1


def test_what_another_version_stored_is_said_and_hides_nothing_else(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    first, second = add_answers(finished), add_answers(finished)
    with writing(finished.engine) as connection:
        connection.execute(jobs.update().where(jobs.c.id == first).values(result='{"format": 99}'))
    page = open_step("predict", finished.project_id)
    assert len(page.selectbox(key="many-chosen").options) == 1
    assert "1 earlier answer file cannot be read" in texts(page)
    assert table(open_answers(finished, second))["File"]


def test_newly_brought_pictures_come_before_chosen_answers(make_finished, predictor) -> None:
    finished = make_finished()
    finished.add_run()
    page = open_answers(finished, add_answers(finished))
    bring(page, ("mine.png", picture(COLORS[0])))
    assert "The model says red" in texts(page)
    assert page.selectbox(key="many-chosen").value is None


def test_the_table_as_a_file_is_safe_whole_and_for_its_owner_alone(make_finished, get) -> None:
    finished = make_finished(OWNER)
    job_id = add_answers(finished, settings=ModelSettings(threshold=0.65))
    answer = get(answers_url(job_id))
    assert (answer.status, answer.disposition) == (200, 'attachment; filename="answers.csv"')
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows == [
        ["file", "answer", "best guess", "probability", "folder says", "red", "green", "refused because"],
        ["red/1.jpg", "red", "red", "0.900000", "red", "0.900000", "0.100000", ""],
        ["red/2.jpg", "green", "green", "0.700000", "red", "0.300000", "0.700000", ""],
        ["'=1+1.jpg", "I don't know", "green", "0.600000", "", "0.400000", "0.600000", ""],
        ["red/broken.jpg", "", "", "", "", "", "", "It is damaged."],
    ]
    job_id = add_answers(finished, [replace(ANSWERS[2], strange=True), ANSWERS[3]], judged_by=40)
    rows = list(csv.reader(io.StringIO(get(answers_url(job_id)).content.decode("utf-8-sig"))))
    assert rows == [  # no folder says a class
        ["file", "answer", "probability", "like none of your classes", "red", "green", "refused because"],
        ["'=1+1.jpg", "green", "0.600000", "yes", "0.400000", "0.600000", ""],
        ["red/broken.jpg", "", "", "", "", "", "It is damaged."],
    ]
    other = cookie_of("p" * 24)
    unknown = get(answers_url("nothing"))
    assert unknown.status == 404
    for cookie in (other, None):
        assert get(answers_url(job_id), cookie) == unknown
    assert get(answers_url(begin(finished, PredictionRequest("model"))[0])) == unknown
    answers_path(job_id, finished.home).unlink()
    damaged = get(answers_url(job_id))
    assert damaged.status == 404
    assert b"missing or damaged" in damaged.content


def test_a_class_that_acts_as_a_formula_is_defused_in_the_file() -> None:
    lines = list(answers_csv(Columns(("=cmd", "b"), folders=True), [StoredAnswer("+1.jpg", (0.9, 0.1), 0)]))
    assert lines[0].startswith("\ufefffile,answer,probability,folder says,'=cmd,b,")
    assert lines[1].startswith("'+1.jpg,'=cmd,0.900000,'=cmd,")
