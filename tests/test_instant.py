"""Instant answers: bounded work, nothing computed twice, honest figures, and the test pictures left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from tests.coloured_pictures import COLOURS, RecordingProgress, coloured_dataset, picture
from tlcore.config import AugmentationConfig, ModelConfig
from tlcore.dataset import Dataset
from tlcore.errors import RunError
from tlcore.features.extractor import FeatureExtractor
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest
from tlcore.jobs.processes import ROOT_DIR
from tlcore.model.cut import plan_model
from tlcore.simple_heads import instant
from tlcore.simple_heads.instant import InstantFeatures, fit_instant, instant_items
from tlcore.storage.images import ImageStore

MODEL = ModelConfig(image_size=64)


def images_of(dataset: Dataset) -> list[str]:
    return [item.image for item in instant_items(dataset)]


def test_the_test_pictures_are_not_looked_at(home: DataRoot) -> None:
    dataset = coloured_dataset(home)
    assert {item.split for item in instant_items(dataset)} == {"train", "validation"}


def test_classes_with_one_picture_wait_and_many_pictures_are_shared_out(
    home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = coloured_dataset(home)
    red = dataset.class_named("red").id
    kept = [item for item in dataset.of_class(red) if item.split == "train"][:1]
    few = replace(dataset, items=tuple(i for i in dataset.items if i.class_id != red or i in kept))
    assert red not in {item.class_id for item in instant_items(few)}
    monkeypatch.setattr(instant, "MAX_PICTURES", 9)
    items = instant_items(dataset)
    assert [sum(item.class_id == label.id for item in items) for label in dataset.classes] == [3, 3, 3]


def test_features_are_those_of_a_run_and_each_is_computed_once(
    ready_home: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = coloured_dataset(ready_home, per_class=4)
    images = images_of(dataset)
    features = InstantFeatures(MODEL, ready_home)
    assert features.advance(images, 60) == 0
    known = features.known(images)
    extractor = FeatureExtractor(plan_model(MODEL), AugmentationConfig(), ready_home)
    table = extractor.table([ViewRequest(image) for image in images], RecordingProgress(), "features")
    np.testing.assert_allclose(np.stack(list(known.values())), table.take(np.arange(len(images))), atol=1e-3)

    monkeypatch.setattr(ImageStore, "read", lambda *_: pytest.fail("computed again"))
    assert features.advance(images, 60) == 0
    # A server that starts anew finds what runs have computed.
    assert InstantFeatures(MODEL, ready_home).advance(images, 60) == 0


def test_one_run_of_a_page_does_no_more_than_its_share(ready_home: DataRoot) -> None:
    images = images_of(coloured_dataset(ready_home, per_class=14))
    features = InstantFeatures(MODEL, ready_home)
    assert features.advance(images, 0) == len(images) - 1
    missing = features.advance(images, 0.01)
    assert 0 < missing < len(images) - 1
    assert len(features.known(images)) == len(images) - missing


def test_only_so_many_features_stay_in_memory(ready_home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instant, "MAX_KNOWN", 5)
    images = images_of(coloured_dataset(ready_home, per_class=4))
    features = InstantFeatures(MODEL, ready_home)
    features.advance(images, 60)
    assert list(features.known(images)) == images[-5:]


@pytest.mark.parametrize(("per_class", "method"), [(4, "class_means"), (40, "logistic_regression")])
def test_the_classifier_fits_the_number_of_pictures(ready_home: DataRoot, per_class: int, method: str) -> None:
    dataset = coloured_dataset(ready_home, per_class=per_class)
    features = InstantFeatures(MODEL, ready_home)
    features.advance(images_of(dataset), 60)
    items = instant_items(dataset)
    started = time.process_time()
    classifier = fit_instant(dataset, items, features.known(images_of(dataset)), features)
    assert time.process_time() - started < 5  # the first import of scikit-learn included
    assert classifier is not None
    assert classifier.method == method
    if method == "class_means":
        assert (classifier.total, classifier.learned_from) == (len(items), len(items))
    else:
        assert classifier.total == len(dataset.subset("validation"))
        assert classifier.learned_from == len(dataset.subset("train"))
    assert classifier.correct == classifier.total
    names = classifier.predictor.class_names
    answers = classifier.predictor.predict([picture(colour, 999) for colour in COLOURS])
    assert [names[row.argmax()] for row in answers] == list(COLOURS)


def test_nothing_is_answered_before_two_classes_are_known(ready_home: DataRoot) -> None:
    dataset = coloured_dataset(ready_home, per_class=6)
    features = InstantFeatures(MODEL, ready_home)
    items = instant_items(dataset)
    blue = [item.image for item in items if item.class_id == dataset.class_named("blue").id]
    features.advance(blue, 60)
    assert fit_instant(dataset, items, features.known(images_of(dataset)), features) is None
    green = [item.image for item in items if item.class_id == dataset.class_named("green").id]
    features.advance(green, 60)
    classifier = fit_instant(dataset, items, features.known(images_of(dataset)), features)
    assert classifier is not None
    assert classifier.predictor.class_names == ("blue", "green")


def test_without_the_compiled_backbone_it_is_said(home: DataRoot) -> None:
    with pytest.raises(RunError, match="missing or damaged"):
        InstantFeatures(MODEL, home)


def test_neither_tensorflow_nor_scikit_learn_is_loaded_before_it_is_needed() -> None:
    code = "import sys, tlcore.simple_heads.instant; print({'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
