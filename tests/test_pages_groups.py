"""What belongs together, as a person meets it on Data and on Understand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pages.components.data.advice import data_advice
from pages.components.data.groups_panel import groups_words, leak_words, scenes_words
from tests.drawn_scenes import draw_scene, frames_of
from tests.lab import Lab
from tests.page_tests import check, texts
from tests.queued_run import create_run, leave_model
from tlcore.config import RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.home import DataRoot
from tlcore.intake.leaks import leaks
from tlcore.intake.pictures.decoding import clean_pixels
from tlcore.intake.splitting import NewItem, assign_splits, units
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, save_evaluation
from tlcore.storage.database import writing
from tlcore.storage.datasets import current_dataset
from tlcore.storage.exams import open_exam
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import claim_job, end_job
from tlcore.storage.runs import RunSummary, write_summary

CLASSES = (ClassLabel("a", "squares", 0), ClassLabel("b", "circles", 1))


def listed(*groups: Sequence[tuple[str, Split]], kind: str = "scene") -> Dataset:
    """Return a data set of groups of pictures, each with its class and split, which nobody reads."""
    items = [
        replace(Item(f"{number}.{place}", class_id, split, ""), **{kind: f"g{number}"})
        for number, group in enumerate(groups)
        for place, (class_id, split) in enumerate(group)
    ]
    return Dataset(CLASSES, tuple(items))


def test_groups_are_counted_in_words() -> None:
    assert scenes_words(listed([("a", "train")] * 6, [("b", "test")] * 4)) == (
        "**2 groups of near-copies**, 10 pictures; each group is on one side."
    )
    assert scenes_words(listed([("a", "train"), ("a", "test")], [("b", "test")] * 4)) == (
        "**2 groups of near-copies**, 6 pictures; 1 of them is in more than one part."
    )
    slides = listed(*[[("a", "train")] * 4] * 6, kind="group")
    assert groups_words(slides) == "**24 pictures in 6 groups** (g0, g1, g2, g3 and 2 more); each group is on one side."


def test_near_copies_across_parts_are_counted_in_words() -> None:
    dataset = listed([("a", "train"), ("a", "test")], [("b", "test")] * 4, [("b", "train")])
    assert (
        leak_words(dataset, "test", leaks(dataset, "test"))
        == "**1 of 5 test pictures is a near-copy of a training picture**"
    )
    assert not leaks(dataset, "validation")
    patients = listed([("a", "train"), ("a", "test"), ("a", "test")], [("b", "train")], kind="group")
    words = leak_words(patients, "test", leaks(patients, "test"))
    assert words.endswith("are of the same scene or group as training pictures**")


def test_a_class_that_is_one_group_is_named_with_what_helps() -> None:
    whole = listed([("a", "train")] * 20, *[[("b", split)] * 12 for split in ("train", "validation", "test")])
    assert data_advice(whole) == [
        "All pictures of squares belong together, so none can be kept for testing. "
        "Bring pictures from another place or day."
    ]
    both = data_advice(listed([("a", "train")] * 20, [("b", "train")] * 20))
    assert both[0].startswith("All pictures of squares, circles belong together")
    assert len(both) == 1


def stored_bursts(home: DataRoot, scenes: int = 16, frames: int = 3) -> list[NewItem]:
    rng, store = np.random.default_rng(0), ImageStore(home)
    new = {}
    for scene in range(scenes):
        for frame in frames_of(draw_scene(rng, scene % 2), rng, frames):
            clean = clean_pixels(frame)
            key = store.add(clean.data, clean.thumbnail)
            new[key] = NewItem(key, "ab"[scene % 2], f"{scene}.jpg", scene=f"scene {scene}")
    return list(new.values())


def burst_lab(home: DataRoot, *, known: bool = True) -> Lab:
    new = stored_bursts(home)
    if not known:
        new = [replace(item, scene=None) for item in new]
    return Lab.make(home, Dataset(CLASSES, assign_splits(new, Dataset(CLASSES))))


def current(lab: Lab) -> Dataset:
    return current_dataset(lab.engine, lab.project_id, lab.home)[1]


def is_together(dataset: Dataset) -> bool:
    unit_of = units(dataset.items)
    return len({(unit_of[item.image], item.split) for item in dataset.items}) == len(set(unit_of.values()))


def test_the_switch_shares_out_anew_and_can_be_undone(home: DataRoot) -> None:
    lab = burst_lab(home)
    before = current(lab)
    app = lab.open("data")
    assert "16 groups of near-copies**, 48 pictures; each group is on one side." in texts(app)
    switch = next(toggle for toggle in app.toggle if toggle.label == "Keep near-copies together")
    check(switch.set_value(False).run())
    assert not current(lab).scenes_together
    assert not is_together(current(lab))
    assert "are near-copies of training pictures" in texts(app)
    switch = next(toggle for toggle in app.toggle if toggle.label == "Keep near-copies together")
    check(switch.set_value(True).run())
    assert current(lab) == before
    check(next(button for button in app.button if button.label.startswith("Undo")).click().run())
    assert not current(lab).scenes_together


def test_the_largest_groups_are_shown_whatever_made_them(home: DataRoot) -> None:
    new = [replace(item, group="day 1") if item.class_id == "a" else item for item in stored_bursts(home)]
    app = Lab.make(home, Dataset(CLASSES, assign_splits(new, Dataset(CLASSES)))).open("data")
    assert "These are the 12 largest of 17." in texts(app)
    assert "24 pictures, squares: train" in texts(app)


def test_near_copies_are_looked_for_on_request_where_nobody_has(home: DataRoot) -> None:
    lab = burst_lab(home, known=False)
    app = lab.open("data")
    check(next(button for button in app.button if button.label == "Look for near-copies").click().run())
    found = current(lab)
    assert len({item.scene for item in found.items} - {None, ""}) == 16
    assert is_together(found)
    assert "16 groups of near-copies" in texts(app)


def test_where_there_are_none_that_is_said(home: DataRoot) -> None:
    new = stored_bursts(home, frames=1)
    items = assign_splits([replace(item, scene=None) for item in new], Dataset(CLASSES))
    lab = Lab.make(home, Dataset(CLASSES, items))
    app = lab.open("data")
    check(next(button for button in app.button if button.label == "Look for near-copies").click().run())
    assert "No near-copies were found" in texts(app)
    assert "Look for near-copies" not in [button.label for button in app.button]
    assert current(lab).items == tuple(replace(item, scene="") for item in items)


def given_lab(home: DataRoot) -> Lab:
    """A project whose test folder holds near-copies of pictures in the training folder."""
    new = [
        replace(item, split="test" if place % 12 == 0 else "train") for place, item in enumerate(stored_bursts(home))
    ]
    return Lab.make(home, Dataset(CLASSES, assign_splits(new, Dataset(CLASSES))))


def test_near_copies_across_given_parts_are_shown_and_moved(home: DataRoot) -> None:
    lab = given_lab(home)
    app = lab.open("data")
    assert "**4 of 4 test pictures are near-copies of training pictures**" in texts(app)
    check(app.button(key="move-leaks").click().run())
    moved = current(lab)
    assert not leaks(moved, "test")
    assert sum(item.given is True for item in moved.subset("test")) == 4
    assert not [button for button in app.button if button.key == "move-leaks"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_near_copies_do_to_the_accuracy_is_said(home: DataRoot, split: Split) -> None:
    scenes = [[("a", "train"), ("a", split)]] * 4 + [[("a", split)]] * 8 + [[("b", split)]] * 8 + [[("b", "train")]]
    lab = Lab.make(home, listed(*scenes))
    run_id = create_run(lab.engine, lab.project_id, lab.version, RunConfig())
    asked = current(lab).subset(split)
    y_true = np.array([item.class_id == "b" for item in asked], np.int64)
    y_pred = y_true.copy()
    y_pred[-5:] = 0  # five mistakes, none of them about a near-copy
    names = tuple(label.name for label in CLASSES)
    answers = Evaluation(names, tuple(item.image for item in asked), y_true, np.eye(2, dtype=np.float32)[y_pred])
    none = Evaluation(names, (), np.zeros(0, np.int64), np.zeros((0, 2), np.float32))
    validated, tested = (answers, none) if split == "validation" else (none, answers)
    save_evaluation(validated, home.run_dir(run_id), VALIDATION_FILE_NAME)
    save_evaluation(tested, home.run_dir(run_id))
    leave_model(home, run_id)
    job = claim_job(lab.engine, "run")
    assert job is not None
    counts = (tested.correct, tested.total, 10, 10, 1.0, validated.correct, validated.total)
    with writing(lab.engine) as connection:
        write_summary(connection, run_id, job.attempt, RunSummary(1, 1, validated.accuracy, *counts))
    end_job(lab.engine, job.id, job.attempt, "finished")
    if split == "test":
        open_exam(lab.engine, lab.project_id, run_id, lab.version)
    app = lab.open("understand", run=run_id)
    assert "Without the 4 that are near-copies of training pictures: **69 % instead of 75 %**." in texts(app)
