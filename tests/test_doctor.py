"""The doctor: what it finds in a data set, what it leaves alone, and the edits that mend it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.planted_faults import plant
from tests.ready_projects import wait_for_end
from tlcore.config import ModelConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.doctor.changes import Changes, changes_between, judged_alike
from tlcore.doctor.examination import examine
from tlcore.doctor.findings import (
    FINDINGS,
    DoctorReport,
    Finding,
    FindingKind,
    Suspect,
    keep,
    move,
    open_findings,
    relabel,
    remove,
)
from tlcore.doctor.label_quality import confident_classes, out_of_fold_probabilities, out_of_fold_twice
from tlcore.doctor.picture_quality import PictureMeasures, measure_picture, odd_pictures
from tlcore.documents import read_document, write_document
from tlcore.home import DataRoot
from tlcore.intake.leaks import leaks
from tlcore.jobs.control import start_job
from tlcore.library import read_dataset
from tlcore.progress import StopRequested
from tlcore.results.evaluation import Evaluation
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.images import ImageStore
from tlcore.storage.jobs import read_result
from tlcore.storage.projects import create_project
from tlcore.storage.requests import DoctorRequest

CLASSES = (ClassLabel("a", "cat", 0), ClassLabel("b", "dog", 1))
MODEL = ModelConfig(image_size=64)


def listed(*places: tuple[str, str, Split, str | None]) -> Dataset:
    """Return a data set of pictures that nobody reads: each with its class, part and scene."""
    return Dataset(CLASSES, tuple(Item(image, label, split, "", scene=scene) for image, label, split, scene in places))


def report_of(*findings: Finding, scenes: dict[str, str] | None = None) -> DoctorReport:
    return DoctorReport(findings, 4, 4, 4, scenes or {})


FOUR = listed(("1", "a", "train", ""), ("2", "a", "train", ""), ("3", "b", "train", ""), ("4", "b", "test", ""))


def test_every_finding_says_how_many_why_and_what_mends_it() -> None:
    for kind in FINDINGS:
        one, two = (Finding(kind, (Suspect("1", "a"),) * number) for number in (1, 2))
        assert one.title.startswith("1 picture ")
        assert two.title.startswith("2 pictures ")
        assert one.sentence.endswith(".")
        assert one.fix in ("remove", "relabel", "move")


def test_a_report_is_read_as_it_was_written() -> None:
    report = report_of(Finding("mislabelled", (Suspect("1", "a", "b"),)), scenes={"1": "", "2": "1"})
    assert read_document(write_document(report), DoctorReport) == report


def test_relabelling_moves_a_picture_and_leaves_no_second_copy() -> None:
    edited = relabel(FOUR, [Suspect("1", "a", "b")])
    assert [(item.image, item.class_id) for item in edited.items] == [("1", "b"), ("2", "a"), ("3", "b"), ("4", "b")]
    twice = listed(("1", "a", "train", ""), ("1", "b", "train", ""))
    assert [item.class_id for item in relabel(twice, [Suspect("1", "a", "b")]).items] == ["b"]


def test_removing_takes_a_picture_out_of_the_named_class_only() -> None:
    twice = listed(("1", "a", "train", ""), ("1", "b", "train", ""))
    assert [item.class_id for item in remove(twice, [Suspect("1", "a")]).items] == ["b"]


def test_what_was_mended_or_kept_is_not_reported_again() -> None:
    suspects = (Suspect("1", "a", "b"), Suspect("2", "a", "b"), Suspect("3", "b", "a"))
    report = report_of(Finding("mislabelled", suspects))
    assert open_findings(report, FOUR) == report.findings
    edited = relabel(FOUR, suspects[:1])
    assert open_findings(report, edited)[0].suspects == suspects[1:]
    edited = remove(edited, suspects[1:2])
    assert open_findings(report, edited)[0].suspects == suspects[2:]
    edited = keep(edited, suspects[2:])
    assert open_findings(report, edited) == ()
    assert open_findings(report, FOUR) == report.findings  # as after an undo


def test_a_data_set_with_kept_pictures_is_stored_and_one_from_before_is_read() -> None:
    kept = keep(FOUR, [Suspect("1", "a"), Suspect("1", "a")])
    assert kept.checked == (("1", "a"),)
    assert read_document(write_document(kept), Dataset) == kept
    before = write_document(FOUR).replace(',"checked":[]', "")
    assert "checked" not in before
    assert read_document(before, Dataset) == FOUR


def test_moving_uses_the_scenes_that_were_found() -> None:
    unknown = listed(
        *((str(number), "a", "train", None) for number in range(5)),
        ("copy", "a", "test", None),
        *((f"b{number}", "b", "train", None) for number in range(3)),
    )
    report = report_of(Finding("leak", (Suspect("copy", "a", other="1"),)), scenes={"copy": "1", "1": "1"})
    assert open_findings(report, unknown) == report.findings
    moved = move(unknown, report)
    assert {item.image for item in moved.items if item.split == "test"} == {"copy", "1"}
    assert not leaks(moved, "test")
    assert open_findings(report, moved) == ()


def test_changes_count_each_picture_once() -> None:
    after = listed(("1", "b", "test", ""), ("2", "a", "test", ""), ("3", "b", "train", ""), ("5", "a", "train", ""))
    assert changes_between(FOUR, after) == Changes(added=1, removed=1, relabelled=1, moved=1)
    assert changes_between(FOUR, after).total == 4
    assert changes_between(FOUR, FOUR).total == 0


def test_two_models_are_judged_by_the_classes_as_they_are_later() -> None:
    def answers(*said: tuple[str, int, int]) -> Evaluation:
        """A picture, its class, the answer."""
        images, y_true, y_pred = zip(*said, strict=True)
        return Evaluation(("cat", "dog"), images, np.array(y_true), np.eye(2, dtype=np.float32)[list(y_pred)])

    # Picture 1 was called a cat and is a dog, which the first model said; 4 is validated only later.
    was, now = judged_alike(
        answers(("1", 0, 1), ("2", 0, 0), ("3", 1, 0)),
        answers(("4", 1, 1), ("3", 1, 1), ("2", 0, 1), ("1", 1, 1)),
        FOUR,
        relabel(FOUR, [Suspect("1", "a", "b")]),
    )
    assert was.images == now.images == ("3", "2", "1")
    assert (was.y_pred == was.y_true).tolist() == [False, True, True]
    assert (now.y_pred == now.y_true).tolist() == [True, False, True]


def test_a_class_claims_a_picture_only_when_it_is_as_sure_as_of_its_own() -> None:
    probabilities = np.array(
        [
            [0.9, 0.1, 0],
            [0.6, 0.2, 0.2],
            [0.04, 0.96, 0],
            [0.04, 0.7, 0.26],
            [0.2, 0.8, 0],
            [0, 0.76, 0.24],
            [np.nan] * 3,
        ],
        np.float32,
    )
    labels = np.array([0, 0, 0, 0, 0, 1, 1])
    # By hand: class 1 is sure of its own picture by 0.76. The fourth picture is not class 0, but claimed by none; the
    # fifth is claimed by class 1, but too probable in its own.
    assert confident_classes(probabilities, labels).tolist() == [0, 0, 1, 0, 0, 1, 1]


def digits_with_swaps(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Handwritten digits, their labels with 5 % of them swapped, and which ones those are."""
    features, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(truth), bool)
    wrong[rng.permutation(len(truth))[: len(truth) // 20]] = True
    labels = np.where(wrong, (truth + rng.integers(1, 10, len(truth))) % 10, truth)
    return features.astype(np.float32), labels, wrong


def test_swapped_digits_are_found() -> None:
    """The raw pixels of tiny digits are hard on a linear classifier; with features of a backbone more is found."""
    features, labels, wrong = digits_with_swaps(0)
    probabilities = out_of_fold_twice(features, labels, np.arange(len(labels)), 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    suspected = confident_classes(probabilities, labels) != labels
    assert (suspected & wrong).sum() >= 0.65 * wrong.sum()
    assert (suspected & ~wrong).sum() <= 0.1 * suspected.sum()


def test_what_belongs_together_is_left_out_together() -> None:
    rng = np.random.default_rng(0)
    # Ten groups of five copies: who learned four of them knows the fifth, by its group and not by its class.
    groups, labels = np.repeat(np.arange(10), 5), np.repeat(np.arange(10) % 2, 5)
    features = np.repeat(rng.normal(size=(10, 64)), 5, axis=0) + rng.normal(0, 0.01, (50, 64))
    apart = out_of_fold_probabilities(features, labels, np.arange(50), 2)
    together = out_of_fold_probabilities(features, labels, groups, 2)
    assert (apart.argmax(axis=1) == labels).mean() == 1
    assert (together.argmax(axis=1) == labels).mean() < 0.8


def test_a_class_of_one_group_cannot_be_judged() -> None:
    features = np.random.default_rng(0).normal(size=(30, 8))
    labels = np.repeat([0, 1, 2], 10)
    groups = np.where(labels == 2, 100, np.arange(30))
    probabilities = out_of_fold_probabilities(features, labels, groups, 3)
    assert np.isnan(probabilities).any(axis=1).tolist() == (labels == 2).tolist()
    assert (confident_classes(probabilities, labels)[labels == 2] == 2).all()
    assert np.isnan(out_of_fold_twice(features, labels, groups, 3)).any(axis=1).tolist() == (labels == 2).tolist()


def photo(rng: np.random.Generator, side: int = 240) -> np.ndarray:
    """Return something with edges and texture, as a photograph has them."""
    ground = cv2.resize(rng.integers(60, 230, (12, 12, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(ground + rng.normal(0, 18, ground.shape), 0, 255).astype(np.uint8)


def odd_of(pictures: list[np.ndarray], labels: str = "") -> dict[FindingKind, list[str]]:
    """Return the numbers of the odd pictures; without labels the pictures are of one class."""
    measures = {str(number): measure_picture(pixels) for number, pixels in enumerate(pictures)}
    items = [Item(str(number), (labels or "a" * len(pictures))[number], "train", "") for number in range(len(pictures))]
    odd = odd_pictures(measures, items)
    return {kind: [image for image, _ in found] for kind, found in odd.items() if found}


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [photo(rng) for _ in range(30)]


def test_ordinary_pictures_have_no_fault(photos: list[np.ndarray]) -> None:
    assert odd_of(photos) == {}
    assert odd_of([]) == {}


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("blank", lambda pixels: np.full_like(pixels, 240)),
        ("blank", lambda pixels: np.clip(pixels * 0.0 + 3, 0, 255).astype(np.uint8)),
        ("dark", lambda pixels: (pixels * 0.2).astype(np.uint8)),
        ("blurred", lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 6)),
        ("tiny", lambda pixels: cv2.resize(pixels, (48, 48), interpolation=cv2.INTER_AREA)),
        ("odd_shape", lambda pixels: np.ascontiguousarray(pixels[:60])),
    ],
)
def test_a_spoilt_picture_is_found(kind: FindingKind, spoil, photos: list[np.ndarray]) -> None:
    odd = odd_of([*photos, spoil(photos[0])])
    assert odd[kind] == ["30"]
    assert all(found == ["30"] for found in odd.values())


def test_what_many_pictures_of_a_class_share_is_no_fault(photos: list[np.ndarray]) -> None:
    night = [(pixels * 0.2).astype(np.uint8) for pixels in photos[:10]]
    assert odd_of([*photos, *night], "a" * 30 + "b" * 10) == {}


def test_small_pictures_are_not_blurred_and_digits_not_dark() -> None:
    digits = load_digits().images[:100]
    pictures = [np.repeat((image * 16).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2) for image in digits]
    assert odd_of([cv2.resize(one, (28, 28), interpolation=cv2.INTER_NEAREST) for one in pictures]) == {}


def test_measures_are_numbers_of_any_size_of_picture() -> None:
    measures = measure_picture(np.zeros((1, 2, 3), np.uint8))
    assert measures == PictureMeasures(2, 1, 0, 0, 0)


def spoilt_dataset(home: DataRoot) -> tuple[Dataset, dict[str, str]]:
    """Three colours, of which a blue picture is called red, one is in two classes, and one has lost its file."""
    dataset = coloured_dataset(home, per_class=14)
    blue, green, red = (label.id for label in dataset.classes)
    of_blue, of_green = dataset.of_class(blue), dataset.of_class(green)
    wrong, lost, twice = of_blue[0].image, of_green[0].image, of_green[1]
    items = tuple(replace(item, class_id=red) if item.image == wrong else item for item in dataset.items)
    ImageStore(home).path(lost).unlink()
    dataset = replace(dataset, items=(*items, replace(twice, class_id=red)))
    return dataset, {"mislabelled": wrong, "unreadable": lost, "two_classes": twice.image, "red": red, "blue": blue}


def test_an_examination_finds_what_is_wrong(ready_home: DataRoot) -> None:
    dataset, wrong = spoilt_dataset(ready_home)
    progress = RecordingProgress()
    report = examine(dataset, MODEL, progress, ready_home)
    found = {finding.kind: finding.suspects for finding in report.findings}
    assert found["mislabelled"] == (Suspect(wrong["mislabelled"], wrong["red"], wrong["blue"]),)
    assert found["unreadable"][0].image == wrong["unreadable"]
    (contradiction,) = found["two_classes"]
    assert (contradiction.image, contradiction.class_id) == (wrong["two_classes"], wrong["red"])
    assert report.pictures == 42
    assert report.agreed == 40
    assert report.judged == 42  # 43 places, one of which has no picture
    assert {"looking", "features", "judging"} <= set(progress.phase_names)
    with pytest.raises(StopRequested):
        examine(dataset, MODEL, RecordingProgress(stop_after=3), ready_home)


def test_one_class_is_examined_without_judging_it(ready_home: DataRoot) -> None:
    report = examine(coloured_dataset(ready_home, colours=("red",)), MODEL, RecordingProgress(), ready_home)
    assert report.judged == 0
    assert report.pictures == 12


@pytest.mark.slow
def test_an_examination_is_a_job(ready_home: DataRoot) -> None:
    engine = open_database(ready_home)
    project = create_project(engine, "local", "Colours")
    dataset, wrong = spoilt_dataset(ready_home)
    version = commit_version(engine, project.id, dataset, "made", parent=None, home=ready_home)
    job = wait_for_end(engine, start_job(engine, ready_home, "doctor", project.id, DoctorRequest(version, MODEL)))
    report = read_result(engine, job.id, DoctorReport)
    assert report is not None
    assert wrong["mislabelled"] in {image for finding in report.findings for image in finding.images}


@pytest.mark.slow
def test_planted_faults_are_found_with_few_false_alarms(full_home: DataRoot, shared_data: Path) -> None:
    """On a part of the photographs; `tests.bench understand` does so on all, with several seeds."""
    dataset = read_dataset(shared_data / "cats_dogs.zip")
    rng = np.random.default_rng(0)
    part = replace(dataset, items=tuple(dataset.items[i] for i in rng.permutation(len(dataset.items))[:300]))
    planted = plant(part, full_home, 0, swapped=0.05, copies=20, blank=10)
    report = examine(planted.dataset, ModelConfig(), RecordingProgress(), full_home)
    for kind in planted.faults:
        assert planted.found(report, kind) >= 0.8, kind
        assert planted.false_alarms(report, kind) <= 0.1, kind
