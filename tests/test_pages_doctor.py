"""The check of the pictures on Data, and mistakes worked on, as a person meets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.components.results.mistake_fixes import waiting_words
from tests.coloured_pictures import coloured_dataset
from tests.finished_runs import Finished
from tests.lab import Lab
from tests.page_tests import check, modules_after, open_app, texts
from tlcore.dataset import Dataset
from tlcore.doctor import edges
from tlcore.doctor.changes import Changes
from tlcore.doctor.edges import only_edges
from tlcore.doctor.findings import BackgroundFinding, DoctorReport, Finding, Suspect, relabel
from tlcore.home import DataRoot
from tlcore.jobs import control
from tlcore.storage.database import writing
from tlcore.storage.datasets import commit_version, current_dataset, undo_version
from tlcore.storage.exams import open_exam
from tlcore.storage.jobs import claim_job, create_job, end_job, last_job, write_result
from tlcore.storage.requests import DoctorRequest


@pytest.fixture(autouse=True)
def queued_jobs_stay_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ensure_runner", lambda home: None)


def current(lab: Lab) -> Dataset:
    return current_dataset(lab.engine, lab.project_id, lab.home)[1]


def answered(
    lab: Lab,
    *findings: Finding,
    scenes: dict[str, str] | None = None,
    agreed: int = 36,
    backgrounds: tuple[BackgroundFinding, ...] = (),
) -> AppTest:
    """Open Data after a check that found this."""
    create_job(lab.engine, "doctor", lab.project_id, DoctorRequest(lab.version, lab.config.model))
    job = claim_job(lab.engine, "doctor")
    assert job is not None
    with writing(lab.engine) as connection:
        write_result(connection, job.id, job.attempt, DoctorReport(findings, 36, 36, agreed, scenes or {}, backgrounds))
    end_job(lab.engine, job.id, job.attempt, "finished")
    return lab.open("data")


def tap(app: AppTest, label: str) -> AppTest:
    return check(next(button for button in app.button if button.label == label).click().run())


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def suspects(lab: Lab, number: int = 3) -> tuple[Suspect, ...]:
    blue, green, _ = current(lab).classes
    return tuple(Suspect(item.image, blue.id, green.id) for item in current(lab).of_class(blue.id)[:number])


def test_a_tap_puts_a_check_in_line(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    app = tap(lab.open("data"), "Check my pictures")
    job = last_job(lab.engine, lab.project_id, "doctor")
    assert job is not None
    assert job.state == "queued"
    assert "Check my pictures" not in labels(app)


def test_nothing_found_is_said(home: DataRoot) -> None:
    app = answered(Lab.make(home, coloured_dataset(home)))
    assert "36 pictures checked, nothing left that looks wrong." in [success.value for success in app.success]
    assert "Check again" in labels(app)


def test_all_are_moved_to_the_class_shown_with_one_tap_and_back(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    before = current(lab)
    app = answered(lab, Finding("mislabelled", suspects(lab)))
    assert "**3 of 36 pictures may be wrong.**" in texts(app)
    assert [box.label for box in app.checkbox if box.key.startswith("doctor")] == ["blue → green?"] * 3
    tap(app, "Move all 3 to the class shown")
    green = before.classes[1].id
    assert len(current(lab).of_class(green)) == 15
    assert "may be wrong" not in texts(app)
    tap(app, "Undo: moved 3 pictures to another class")
    assert current(lab) == before
    assert "**3 of 36 pictures may be wrong.**" in texts(app)


def test_how_often_the_classifier_agrees_is_said(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    app = answered(lab, Finding("mislabelled", suspects(lab)))
    assert "The classifier agrees with the class of 100 % of your pictures." in texts(app)
    assert "so often wrong" not in texts(app)
    app = answered(lab, Finding("mislabelled", suspects(lab)), agreed=27)
    assert "agrees with the class of 75 % of your pictures. Where it is so often wrong, half" in texts(app)


def test_only_the_ticked_ones_are_removed(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    suspects_before = suspects(lab)
    app = answered(lab, Finding("mislabelled", suspects_before))
    box = next(box for box in app.checkbox if box.key.startswith("doctor"))
    check(box.check().run())
    tap(app, "Remove the 1 ticked")
    assert len(current(lab).items) == 35
    assert suspects_before[0].image not in {item.image for item in current(lab).items}
    assert "**2 of 36 pictures may be wrong.**" in texts(app)


def test_pictures_that_are_right_are_kept_and_not_asked_about_again(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    before = current(lab)
    app = answered(lab, Finding("mislabelled", suspects(lab)), Finding("dark", suspects(lab, 1)))
    tap(app, "They are right: keep all 3")
    assert current(lab).items == before.items
    assert len(current(lab).checked) == 3
    assert app.success


def test_a_copy_across_the_parts_is_moved(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    items = current(lab).of_class(current(lab).classes[0].id)
    test = next(item for item in items if item.split == "test")
    train = next(item for item in items if item.split == "train")
    unknown = replace(current(lab), items=tuple(replace(item, scene=None) for item in current(lab).items))
    commit_version(lab.engine, lab.project_id, unknown, "unknown", parent=lab.version, home=home)
    found = Finding("leak", (Suspect(test.image, test.class_id, other=train.image),))
    app = answered(lab, found, scenes={test.image: "s", train.image: "s"})
    tap(app, "Move the training pictures to their side")
    assert next(item.split for item in current(lab).items if item.image == train.image) == "test"


def test_rare_classes_count_more_at_a_tap_and_back(home: DataRoot) -> None:
    even = coloured_dataset(home)
    rare = even.classes[0].id
    few = {item.image for item in even.of_class(rare) if item.split == "train"}
    few.remove(min(few))
    lab = Lab.make(home, replace(even, items=tuple(item for item in even.items if item.image not in few)))
    app = answered(lab)
    assert "1 training picture of blue" in texts(app)
    tap(app, "Let rare classes count more")
    assert lab.config.training.balance == "weights"
    assert "Done for the next run: rare classes count more (class weights)." in texts(app)
    tap(app, "Undo: every picture counts the same")
    assert lab.config.training.balance == "none"
    assert "Let rare classes count more" in labels(app)


def test_a_class_that_its_background_gives_away_is_shown_by_its_edges_and_kept(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    before = current(lab)
    app = answered(lab, backgrounds=(BackgroundFinding((before.classes[1].id,), 0.9992, 0.93),))
    assert "Told by its edges alone: green" in [expander.label for expander in app.expander]
    assert "36 pictures checked. Each looks right by itself." in texts(app)
    assert (
        "Told green from the other classes by the edges alone in **over 99 %** of pairs of pictures, by the middles "
        "alone in 93 %." in texts(app)
    )
    # Five green ones, and five of the other classes by turns.
    assert sum(image.proto.imgs[0].alt.startswith("Edges of") for image in app.get("image")) == 10
    tap(app, "The background belongs to it: keep")
    assert current(lab).items == before.items
    assert "36 pictures checked, nothing left that looks wrong." in [success.value for success in app.success]
    tap(app, "Undo: kept the background of green")
    assert current(lab) == before
    assert "The background belongs to it: keep" in labels(app)


def test_edges_are_made_only_where_they_are_seen_and_only_once(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    def looking(picture: np.ndarray) -> np.ndarray:
        looked_at.append(picture)
        return only_edges(picture)

    monkeypatch.setattr(edges, "only_edges", looking)
    lab = Lab.make(home, coloured_dataset(home))
    classes = current(lab).classes
    app = answered(lab, Finding("dark", suspects(lab)), backgrounds=(BackgroundFinding((classes[1].id,), 0.99, 0.9),))
    assert "Told by its edges alone: green" in [expander.label for expander in app.expander]
    assert not looked_at
    assert "The background belongs to it: keep" not in labels(app)
    app.session_state["doctor-background"] = True  # as after a click on it
    check(app.run())
    assert sum(image.proto.imgs[0].alt.startswith("Edges of") for image in app.get("image")) == 10
    assert len(looked_at) == 10
    check(app.run())
    assert "The background belongs to it: keep" in labels(app)
    assert len(looked_at) == 10


def test_pictures_on_other_backgrounds_are_brought_at_a_tap(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    blue, green, _ = current(lab).classes
    app = answered(lab, backgrounds=(BackgroundFinding((blue.id, green.id), 1.0, 0.97),))
    assert "2 classes are told by edges alone" in [expander.label for expander in app.expander]
    assert "Told blue from green by the edges alone in **100 %** of pairs" in texts(app)
    tap(app, "Bring green on other backgrounds")
    assert app.session_state["way"] == "files"
    assert app.selectbox(key="bring-class").value == "green"
    assert "ready for green" in app.toast[0].value


def test_pictures_that_came_since_are_counted(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home, per_class=10))
    answered(lab)
    commit_version(lab.engine, lab.project_id, coloured_dataset(home), "more", parent=lab.version, home=home)
    assert "6 pictures came since then." in texts(lab.open("data"))


def test_a_check_that_failed_says_why(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    create_job(lab.engine, "doctor", lab.project_id, DoctorRequest(lab.version, lab.config.model))
    job = claim_job(lab.engine, "doctor")
    assert job is not None
    end_job(lab.engine, job.id, job.attempt, "failed", "The disk is full.")
    app = lab.open("data")
    assert "The disk is full." in [error.value.replace("\\", "") for error in app.error]
    assert "Check my pictures" in labels(app)


def test_what_waits_for_the_next_run_is_counted_in_words() -> None:
    assert waiting_words(Changes(0, 1, 2, 0)) == (
        "**3 changes wait for the next run**: 2 moved to another class, 1 removed."
    )
    assert waiting_words(Changes(1, 0, 0, 0)) == "**1 change waits for the next run**: 1 added."


def test_the_first_paint_of_a_report_loads_no_classifier(home: DataRoot) -> None:
    lab = Lab.make(home, coloured_dataset(home))
    answered(lab, Finding("mislabelled", suspects(lab)))
    assert not {"sklearn", "tensorflow", "keras", "ai_edge_litert"} & modules_after("data", home, lab.project_id)


def test_mistakes_are_corrected_where_they_are_seen(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    run_id = finished.add_run(wrong=(0, 1, 2))
    app = open_app("understand", project=finished.project_id, run=run_id)
    assert "wait for the next run" not in texts(app)
    wrong = [finished.dataset.subset("validation")[place] for place in (2, 1, 0)]  # the surest first
    names = {label.id: label.name for label in finished.dataset.classes}
    other = {"red": "green", "green": "red"}

    def dataset() -> Dataset:
        return current_dataset(finished.engine, finished.project_id, finished.home)[1]

    tap(app, f"It is {other[names[wrong[0].class_id]]}")
    moved = next(item for item in dataset().items if item.image == wrong[0].image)
    assert names[moved.class_id] == other[names[wrong[0].class_id]]
    assert f"now {names[moved.class_id]}" in texts(app)
    assert "**1 change waits for the next run**: 1 moved to another class." in texts(app)
    tap(app, "Remove")
    assert wrong[1].image not in {item.image for item in dataset().items}
    tap(app, "Keep")
    assert dataset().checked == ((wrong[2].image, wrong[2].class_id),)
    assert "**2 changes wait for the next run**: 1 moved to another class, 1 removed." in texts(app)
    assert not {"Remove", "Keep"} & set(labels(app))
    tap(app, "Undo: kept 1 picture as right")
    assert "Keep" in labels(app)


def test_pictures_from_before_what_the_model_learned_from_wait_too_and_are_not_undone_further(
    make_finished: Callable[..., Finished],
) -> None:
    finished = make_finished()
    edited = replace(finished.dataset, items=finished.dataset.items[1:])
    parent = {"parent": finished.version, "home": finished.home}
    version = commit_version(finished.engine, finished.project_id, edited, "removed 1 picture", **parent)
    run_id = replace(finished, dataset=edited, version=version).add_run()
    app = open_app("understand", project=finished.project_id, run=run_id)
    assert "for the next run" not in texts(app)
    undo_version(finished.engine, finished.project_id, current=version)
    check(app.run())
    assert "**1 change waits for the next run**: 1 added." in texts(app)
    assert "Train again" in texts(app) or "Train again" in labels(app)
    assert not [name for name in labels(app) if name.startswith("Undo")]


def test_what_corrections_brought_is_said_once_they_were_learned(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    first = finished.add_run(wrong=(0, 1, 2), wrong_in_exam=(0,))
    removed, relabelled = finished.dataset.subset("validation")[:2]
    other = next(label.id for label in finished.dataset.classes if label.id != relabelled.class_id)
    edited = relabel(finished.dataset, [Suspect(relabelled.image, relabelled.class_id, other)])
    edited = replace(edited, items=tuple(item for item in edited.items if item != removed))
    parent = {"parent": finished.version, "home": finished.home}
    version = commit_version(finished.engine, finished.project_id, edited, "corrected", **parent)
    second = replace(finished, dataset=edited, version=version).add_run()

    def said(run: str) -> str:
        return texts(open_app("understand", project=finished.project_id, run=run))

    # The first model called the relabelled picture what it is now, so only one of its mistakes was one.
    changed = "**Pictures changed since Run 1**: 1 moved to another class, 1 removed. "
    assert (
        f"{changed}On the 39 validation pictures that both answered, by today's classes: Run 1 97 % (87 to 100 %) and "
        "Run 2 100 % (91 to 100 %). Of 39 validation pictures Run 2 got 1 more right than Run 1" in said(second)
    )
    assert "Pictures changed since" not in said(first)
    for run in (second, first):
        assert "test pictures that both answered" not in said(second)  # each exam is opened by a person
        open_exam(finished.engine, finished.project_id, run, version if run == second else finished.version)
    app = open_app("understand", project=finished.project_id, run=second)
    app = check(app.segmented_control(key=f"answers-{second}").set_value("test").run())
    assert f"{changed}On the 40 test pictures that both answered, by today's classes: Run 1 98 %" in texts(app)
