"""Classes told apart by their background: found when a frame is planted, and not where the thing itself is seen."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.collecting import collect
from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.planted_faults import on_ground
from tlcore.config import ModelConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.doctor.background import Separation, is_given_away, separation
from tlcore.doctor.edges import only_edges, only_middle
from tlcore.doctor.examination import examine
from tlcore.doctor.findings import BackgroundFinding, DoctorReport, keep_background, open_backgrounds
from tlcore.documents import read_document, write_document
from tlcore.home import DataRoot
from tlcore.intake.sources import FileSource
from tlcore.progress import StopRequested
from tlcore.storage.images import ImageStore

PER_CLASS = 24
MODEL = ModelConfig(image_size=64)
HUSKY = BackgroundFinding(("a",), 0.996, 0.9)
REPORT = DoctorReport((), 2, 2, 2, backgrounds=(HUSKY,))
TWO = Dataset(
    (ClassLabel("a", "husky", 0), ClassLabel("b", "wolf", 1)),
    (Item("1", "a", "train", ""), Item("2", "b", "train", "")),
)


def photographs(home: DataRoot, shared_data: Path) -> Dataset:
    """Some photographs of cats, of dogs and of one kind of flower."""
    files: list[tuple[str, bytes]] = []
    for archive, wanted in (("cats_dogs", ("cats", "dogs")), ("flowers17", ("sunflower",))):
        with zipfile.ZipFile(shared_data / f"{archive}.zip") as opened:
            seen: Counter[str] = Counter()
            for name in opened.namelist():
                of = Path(name).parent.name
                if of in wanted and name.endswith(".jpg") and seen[of] < PER_CLASS:
                    seen[of] += 1
                    files.append((f"{of}/{Path(name).name}", opened.read(name)))
    return collect([FileSource(tuple(files))], Dataset(), ImageStore(home)).dataset


def test_edges_and_middle_are_a_picture_in_two_parts() -> None:
    picture = np.random.default_rng(0).integers(0, 100, (64, 64, 3), np.uint8)
    edges, middle = only_edges(picture), only_middle(picture)
    assert (edges[8:-8, 8:-8] == 128).all()
    assert (middle[8:-8, 8:-8] == picture[8:-8, 8:-8]).all()
    assert (edges.astype(int) + middle - 128 == picture).all()
    assert picture.max() < 100  # it was not written to


def test_separation_is_the_area_under_the_curve_and_a_distance_in_deviations() -> None:
    rng = np.random.default_rng(0)
    is_class = np.arange(4000) < 1000
    odds = np.where(is_class, 2.0, -1.0) + rng.normal(0, 1.5, 4000)
    probabilities = (1 / (1 + np.exp(-odds))).astype(np.float32)
    found = separation(probabilities, is_class)
    assert found is not None
    assert found.area == pytest.approx(roc_auc_score(is_class, probabilities))
    assert found.distance == pytest.approx(3 / 1.5, rel=0.05)
    some = np.where(np.arange(4000) % 2, probabilities, np.nan).astype(np.float32)
    assert separation(some, is_class) == separation(probabilities[1::2], is_class[1::2])


def test_nothing_is_said_of_a_class_that_could_not_be_judged() -> None:
    is_class = np.array([True, True, False, False])
    assert separation(np.array([np.nan, np.nan, 0.1, 0.2], np.float32), is_class) is None
    certain = separation(np.array([1, 1, 0, 0], np.float32), is_class)
    assert certain is not None
    assert certain.area == 1
    assert np.isfinite(certain.distance)


def test_a_class_is_given_away_by_edges_that_say_more_than_the_middle() -> None:
    assert is_given_away(Separation(1.0, 8), Separation(0.95, 2.4))
    assert is_given_away(Separation(1.0, 8), Separation(1.0, 5))  # known by both, and far more clearly by the edges
    assert not is_given_away(Separation(0.99, 3), Separation(1.0, 5))  # a flower that fills the picture
    assert not is_given_away(Separation(1.0, 15), Separation(1.0, 9))  # bricks, which are everywhere in the picture
    assert not is_given_away(Separation(0.9, 3), Separation(0.6, 0.5))  # the sky around an airplane says something


@pytest.mark.slow
def test_a_planted_ground_is_found_as_that_of_its_class(ready_home: DataRoot, shared_data: Path) -> None:
    dataset = photographs(ready_home, shared_data)
    cats, dogs, flowers = (label.id for label in dataset.classes)
    progress = RecordingProgress()
    assert examine(dataset, MODEL, progress, ready_home).backgrounds == ()
    assert ("covering", 3 * PER_CLASS, 3 * PER_CLASS) in progress.phases
    assert ("judging_edges", 10, 10) in progress.phases
    framed = on_ground(dataset, ready_home, 0, dogs, "snow")
    (found,) = examine(framed, MODEL, RecordingProgress(), ready_home).backgrounds
    assert found.class_ids == (dogs,)  # and not cats, which are what has no snow and is no flower
    assert found.edges > 0.98
    assert 0.5 < found.middles <= 1
    two = Dataset(framed.classes[:2], tuple(item for item in framed.items if item.class_id != flowers))
    (found,) = examine(two, MODEL, RecordingProgress(), ready_home).backgrounds
    assert found.class_ids == (cats, dogs)  # what tells one of two tells the other
    started = progress.phases.index(("covering", 0, 3 * PER_CLASS))
    with pytest.raises(StopRequested):
        examine(dataset, MODEL, RecordingProgress(stop_after=started + 5), ready_home)


def test_what_fills_the_picture_is_no_background(ready_home: DataRoot) -> None:
    assert examine(coloured_dataset(ready_home), MODEL, RecordingProgress(), ready_home).backgrounds == ()


def test_small_classes_are_not_judged_by_their_edges(ready_home: DataRoot) -> None:
    progress = RecordingProgress()
    examine(coloured_dataset(ready_home, per_class=9), MODEL, progress, ready_home)
    assert "judging" in progress.phase_names
    assert "covering" not in progress.phase_names


def test_a_background_that_is_right_is_not_reported_again() -> None:
    assert open_backgrounds(REPORT, TWO) == (HUSKY,)
    kept = keep_background(TWO, HUSKY)
    assert open_backgrounds(REPORT, kept) == ()
    assert read_document(write_document(kept), Dataset) == kept
    assert kept.items == TWO.items
    assert keep_background(kept, HUSKY) == kept
    assert open_backgrounds(REPORT, Dataset(TWO.classes, TWO.items[1:])) == ()  # its pictures are gone
    assert open_backgrounds(REPORT, Dataset(TWO.classes[1:], TWO.items[1:])) == ()


def test_reports_and_data_sets_from_before_are_read() -> None:
    assert read_document(write_document(REPORT), DoctorReport) == REPORT
    before = write_document(DoctorReport((), 2, 2, 2)).replace(',"backgrounds":[]', "")
    assert "backgrounds" not in before
    assert read_document(before, DoctorReport).backgrounds == ()
    before = write_document(TWO).replace(',"backgrounds_kept":[]', "")
    assert "backgrounds_kept" not in before
    assert read_document(before, Dataset) == TWO
