"""Simple heads on features: as good as scikit-learn's own, probabilities that can be believed, files, jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from tests.coloured_pictures import COLOURS, RecordingProgress, coloured_dataset, picture
from tests.ready_projects import wait_for_end
from tlcore.config import AugmentationConfig, HeadConfig, ModelConfig
from tlcore.dataset import Dataset
from tlcore.errors import DatasetError, RunError
from tlcore.features.extractor import FeatureExtractor
from tlcore.features.pooled import unit_length
from tlcore.home import DataRoot
from tlcore.images.views import ViewRequest
from tlcore.jobs.control import start_job
from tlcore.library import read_dataset
from tlcore.model.cut import plan_model
from tlcore.progress import StopRequested
from tlcore.results.evaluation import TRAIN_FILE_NAME, VALIDATION_FILE_NAME, load_evaluation
from tlcore.simple_heads import run as simple_heads_run
from tlcore.simple_heads.heads import (
    SIMPLE_HEAD_FILE,
    ClassMeansHead,
    NeighboursHead,
    load_simple_head,
    save_simple_head,
    softmax,
)
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.simple_heads.run import train_simple_heads
from tlcore.simple_heads.training import (
    LINEAR_SVM_STRENGTH,
    LOGISTIC_REGRESSION_STRENGTH,
    SIMPLE_HEADS,
    best_temperature,
    find_simple_head_spec,
    left_out_similarities,
    scaled_features,
    train_class_means,
    train_nearest_neighbours,
)
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.deletion import delete_project
from tlcore.storage.jobs import create_job
from tlcore.storage.projects import create_project
from tlcore.storage.requests import SimpleHeadsRequest
from tlcore.storage.simple_heads import frozen_backbone, list_simple_heads, simple_head_dir

KINDS = [spec.kind for spec in SIMPLE_HEADS]
MODEL = ModelConfig(image_size=64)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Handwritten digits as features: 1,000 to learn from and 797 that are new."""
    features, labels = load_digits(return_X_y=True)
    return features[:1000].astype(np.float32), labels[:1000], features[1000:].astype(np.float32), labels[1000:]


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_classes", [2, 10])
def test_every_head_answers_new_pictures_with_probabilities(digits, kind: str, num_classes: int) -> None:
    features, labels, new, truth = digits
    few, new_few = labels < num_classes, truth < num_classes
    head = find_simple_head_spec(kind).train(features[few], labels[few], num_classes)
    probabilities = head.probabilities(new[new_few])
    assert probabilities.shape == (new_few.sum(), num_classes)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert accuracy(probabilities, truth[new_few]) > 0.88
    # Sure answers are right more often than unsure ones.
    sure = probabilities.max(axis=1) > 0.9
    assert accuracy(probabilities[sure], truth[new_few][sure]) >= accuracy(probabilities, truth[new_few])


@pytest.mark.parametrize("num_classes", [2, 10])
def test_logistic_regression_is_that_of_scikit_learn(digits, num_classes: int) -> None:
    features, labels, new, _ = digits
    features, labels = features[labels < num_classes], labels[labels < num_classes]
    scaled, mean, divisor = scaled_features(features)
    theirs = LogisticRegression(C=LOGISTIC_REGRESSION_STRENGTH, tol=1e-2, max_iter=300).fit(scaled, labels)
    ours = find_simple_head_spec("logistic_regression").train(features, labels, num_classes).probabilities(new)
    np.testing.assert_allclose(ours, theirs.predict_proba((unit_length(new) - mean) / divisor), atol=1e-3)


def test_the_linear_svm_answers_as_that_of_scikit_learn(digits) -> None:
    features, labels, new, _ = digits
    scaled, mean, divisor = scaled_features(features)
    theirs = LinearSVC(C=LINEAR_SVM_STRENGTH, tol=0.1, dual=True, random_state=0).fit(scaled, labels)
    ours = find_simple_head_spec("linear_svm").train(features, labels, 10).probabilities(new).argmax(axis=1)
    assert (ours == theirs.predict((unit_length(new) - mean) / divisor)).mean() > 0.995


def test_features_are_of_length_one_and_channels_weigh_by_how_much_they_move() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(1, 0.2, size=(40, 6)).astype(np.float32)
    scaled, mean, divisor = scaled_features(features)
    rows = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(divisor, np.sqrt(rows.var(axis=0) + np.median(rows.var(axis=0))), rtol=1e-5)
    np.testing.assert_allclose(scaled * divisor + mean, rows, rtol=1e-5)
    np.testing.assert_allclose(scaled_features(1000 * features)[0], scaled, atol=1e-4)


@pytest.mark.parametrize("kind", ["logistic_regression", "linear_svm"])
@pytest.mark.parametrize("wiggle", [0, 1e-4])
def test_a_channel_that_hardly_moved_in_training_does_not_decide_when_it_moves(kind: str, wiggle: float) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    features = rng.uniform(0, 1, size=(20, 64)).astype(np.float32)
    features[:, 0] = 3 * labels
    features[:, 1:9] = wiggle * (labels[:, None] + rng.uniform(0, 0.1, size=(20, 8)))
    head = find_simple_head_spec(kind).train(features, labels, 2)
    new = features.copy()
    new[:, 1:9] = 1 - labels[:, None]
    assert accuracy(head.probabilities(new), labels) >= 0.9
    _, mean, divisor = scaled_features(features)
    assert np.abs((unit_length(new) - mean) / divisor).max() < 10


@pytest.mark.parametrize("num_classes", [2, 10])
def test_the_linear_svm_is_as_sure_as_it_is_right(digits, num_classes: int) -> None:
    features, labels, new, truth = digits
    few, new_few = labels < num_classes, truth < num_classes
    probabilities = (
        find_simple_head_spec("linear_svm").train(features[few], labels[few], num_classes).probabilities(new[new_few])
    )
    sureness = float(probabilities.max(axis=1).mean())
    assert sureness == pytest.approx(accuracy(probabilities, truth[new_few]), abs=0.08)


def test_a_few_right_answers_do_not_make_sure_of_everything(digits) -> None:
    features, labels, new, truth = digits
    first = np.concatenate([np.flatnonzero(labels == digit)[:3] for digit in (3, 5, 8)])
    few = np.isin(truth, (3, 5, 8))
    classes = {3: 0, 5: 1, 8: 2}
    head = find_simple_head_spec("linear_svm").train(features[first], np.array([classes[d] for d in labels[first]]), 3)
    probabilities = head.probabilities(new[few])
    right = probabilities[np.arange(few.sum()), [classes[digit] for digit in truth[few]]]
    assert -np.log(right).mean() < np.log(3)  # guessing


@pytest.mark.parametrize("right", [2, 4, 18])
def test_a_temperature_counts_one_right_and_one_wrong_answer_more(right: int) -> None:
    labels = np.arange(right) % 2
    found = best_temperature(np.eye(2)[labels], labels)
    # All are right, so each shall be as sure as `right + 1` of `right + 2`.
    assert found == pytest.approx(1 / np.log(right + 1), rel=0.05)


def test_nearest_neighbours_are_those_of_scikit_learn(digits) -> None:
    features, labels, new, _ = digits
    theirs = KNeighborsClassifier(5, weights="distance", metric="cosine").fit(features, labels).predict_proba(new)
    ours = find_simple_head_spec("nearest_neighbours").train(features, labels, 10).probabilities(new)
    # Ours are kept in half precision, so the fifth may give way to a sixth that is as near.
    same = np.abs(ours - theirs).max(axis=1) < 0.02
    assert same.mean() > 0.995


def test_the_nearest_vote_and_no_others() -> None:
    features = np.random.default_rng(0).normal(size=(200, 8))
    new = np.random.default_rng(1).normal(size=(20, 8))
    head = NeighboursHead(unit_length(features).astype(np.float16), np.arange(200), 200, 3)
    nearest = np.argsort(-unit_length(new) @ head.features.astype(np.float32).T, axis=1)[:, :3]
    for votes, rows in zip(head.probabilities(new), nearest, strict=True):
        assert set(np.flatnonzero(votes)) == set(rows)
        assert np.argmax(votes) == rows[0]


def test_likeness_is_the_mean_similarity_to_the_most_similar_of_each_class() -> None:
    rng = np.random.default_rng(0)
    kept, labels = unit_length(rng.normal(size=(300, 8))), np.repeat([0, 1, 2], [30, 260, 10])
    head = NeighboursHead(kept.astype(np.float16), labels, 4, 5)
    new = rng.normal(size=(20, 8))
    similarities = cosine_similarity(new, kept)
    means = [np.sort(similarities[:, labels == one], axis=1)[:, -25:].mean(axis=1) for one in range(3)]
    likeness = head.likeness(new)
    np.testing.assert_allclose(likeness.sum(axis=1), 1, rtol=1e-5)
    # Of 10 pictures all count; a class without any is like nothing.
    ratios = np.log(likeness[:, :2] / likeness[:, 2:3])
    np.testing.assert_allclose(ratios, (np.stack(means[:2], axis=1) - means[2][:, None]) / 0.02, atol=0.1)
    assert likeness[:, 3].max() < 1e-6


def test_likeness_tells_a_small_change_that_no_vote_tells(digits) -> None:
    features, labels, new, _ = digits
    head = train_nearest_neighbours(features, labels, 10)
    moved = new[:50] + np.random.default_rng(0).normal(0, 1e-3, new[:50].shape)
    changed = (np.abs(head.likeness(moved) - head.likeness(new[:50])) > 0).any(axis=1)
    assert changed.all()
    alike = head.likeness(new).argmax(axis=1) == head.probabilities(new).argmax(axis=1)
    assert alike.mean() > 0.95


def test_class_means_answer_with_the_softmax_of_similarities_and_come_back_from_disk(tmp_path: Path) -> None:
    head = ClassMeansHead(np.array([[1, 0], [0, 1]], np.float32), 0.1)
    expected = np.exp([6, 8]) / np.exp([6, 8]).sum()
    np.testing.assert_allclose(head.probabilities(np.array([[30, 40]])), [expected], rtol=1e-5)
    save_simple_head(head, tmp_path)
    np.testing.assert_allclose(load_simple_head(tmp_path).probabilities(np.array([[30, 40]])), [expected], rtol=1e-5)


def test_features_of_nothing_have_no_length_and_stay() -> None:
    np.testing.assert_array_equal(unit_length(np.array([[0, 0], [0, 5]])), [[0, 0], [0, 1]])


def test_softmax_bears_large_scores() -> None:
    np.testing.assert_array_equal(softmax(np.array([[2000.0, 0], [-2000.0, 0]])), [[1, 0], [0, 1]])


def test_the_mean_of_a_class_is_found_from_two_pictures_and_judged_without_each(digits) -> None:
    features, labels, new, truth = digits
    first = np.concatenate([np.flatnonzero(labels == digit)[:2] for digit in range(10)])
    head = train_class_means(features[first], labels[first], 10)
    assert accuracy(head.probabilities(new), truth) > 0.6
    similarities = left_out_similarities(features[first], labels[first], 10)
    for left_out, position in ((7, labels[first][7]), (12, labels[first][12])):
        rest = np.delete(first, left_out)
        mean = features[rest][labels[rest] == position].mean(axis=0)
        cosine = mean @ features[first[left_out]] / np.linalg.norm(mean) / np.linalg.norm(features[first[left_out]])
        assert similarities[left_out, position] == pytest.approx(cosine, abs=1e-5)


def test_the_mean_of_one_picture_cannot_be_judged(digits) -> None:
    features, *_ = digits
    with pytest.raises(DatasetError, match="at least 2 training pictures"):
        train_class_means(features[:3], np.array([0, 0, 1]), 2)


@pytest.mark.parametrize("kind", ["logistic_regression", "linear_svm"])
def test_a_class_with_too_few_pictures_is_refused_in_words(digits, kind: str) -> None:
    features, labels, *_ = digits
    with pytest.raises(DatasetError, match="at least"):
        find_simple_head_spec(kind).train(features[labels < 2], labels[labels < 2], 3)


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(ValueError, match="`kind` must be one of logistic_regression"):
        find_simple_head_spec("forest")  # type: ignore[arg-type]


@pytest.mark.slow
def test_heads_hold_on_a_small_medical_set_over_random_splits(full_home: DataRoot, shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "brain_mri.zip")
    plan, index = plan_model(ModelConfig()), dataset.class_index()
    requests = [ViewRequest(item.image) for item in dataset.items]
    table = FeatureExtractor(plan, AugmentationConfig(), full_home).table(requests, RecordingProgress(), "features")
    features = table.take(np.arange(len(requests)))
    labels = np.array([index[item.class_id] for item in dataset.items])
    for per_class, limit in ((5, 0.74), (None, 0.84)):
        reached: dict[str, list[float]] = {"logistic_regression": [], "linear_svm": []}
        for seed in range(12):
            rng = np.random.default_rng(seed)
            shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in (0, 1)]
            tested = np.concatenate([rows[: len(rows) * 3 // 10] for rows in shuffled])
            trained = np.concatenate([rows[len(rows) * 3 // 10 :][:per_class] for rows in shuffled])
            for kind, accuracies in reached.items():
                head = find_simple_head_spec(kind).train(features[trained], labels[trained], 2)
                accuracies.append(accuracy(head.probabilities(features[tested]), labels[tested]))
        for kind, accuracies in reached.items():
            assert np.mean(accuracies) > limit, (kind, per_class, np.mean(accuracies))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_head_answers_the_same(digits, kind: str, tmp_path: Path) -> None:
    features, labels, new, _ = digits
    head = find_simple_head_spec(kind).train(features, labels, 10)
    save_simple_head(head, tmp_path)
    np.testing.assert_array_equal(load_simple_head(tmp_path).probabilities(new), head.probabilities(new))


def test_a_linear_head_of_a_former_version_takes_features_as_they_are(tmp_path: Path) -> None:
    weights, bias = np.array([[3, 0], [0, 1]], np.float32), np.zeros(2, np.float32)
    np.savez(tmp_path / SIMPLE_HEAD_FILE, weights=weights, bias=bias)
    answers = load_simple_head(tmp_path).probabilities(np.array([[2, 4]]))
    np.testing.assert_allclose(answers, 1 / (1 + np.exp([[-2, 2]])), rtol=1e-5)


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_damaged_head_is_said(digits, damage: str, tmp_path: Path) -> None:
    features, labels, *_ = digits
    save_simple_head(find_simple_head_spec("nearest_neighbours").train(features, labels, 10), tmp_path)
    path = tmp_path / SIMPLE_HEAD_FILE
    data = path.read_bytes()
    path.write_bytes({"gone": b"", "cut": data[: len(data) // 2], "other": b"PK not a head"}[damage])
    if damage == "gone":
        path.unlink()
    with pytest.raises(RunError, match="Train it again"):
        load_simple_head(tmp_path)


def test_the_frozen_backbone_of_any_model_is_the_same() -> None:
    model = ModelConfig(first_trainable="block7a", also_frozen=("block7a",), head=HeadConfig("flatten", (64,)))
    assert frozen_backbone(model) == ModelConfig(head=HeadConfig())


def test_heads_learn_from_the_pictures_of_a_data_set_and_leave_their_files(
    ready_home: DataRoot, tmp_path: Path
) -> None:
    dataset = coloured_dataset(ready_home, per_class=10)
    results = train_simple_heads(dataset, MODEL, RecordingProgress(), folder=tmp_path, home=ready_home).heads
    assert [one.kind for one in results] == KINDS
    for one in results:
        validated = load_evaluation(tmp_path / one.kind, VALIDATION_FILE_NAME)
        tested = load_evaluation(tmp_path / one.kind)
        assert (one.validation_correct, one.validation_total) == (validated.correct, validated.total)
        assert (one.test_correct, one.test_total) == (tested.correct, tested.total)
        for split, saved in (("validation", validated), ("test", tested)):
            assert saved.accuracy == 1
            assert saved.images == tuple(item.image for item in dataset.subset(split))
        assert one.trained_on == len(dataset.subset("train"))
        learned = load_evaluation(tmp_path / one.kind, TRAIN_FILE_NAME)
        assert sorted(learned.images) == sorted(item.image for item in dataset.subset("train"))
        assert learned.accuracy == 1
        predictor = load_simple_head_predictor(tmp_path / one.kind, ready_home)
        assert predictor.class_names == dataset.class_names
        assert predictor.image_size == 64
        answers = predictor.predict([picture(colour, 99) for colour in COLOURS])
        assert [predictor.class_names[row.argmax()] for row in answers] == list(COLOURS)


def test_heads_of_training_pictures_alone_have_nothing_to_be_judged_by(ready_home: DataRoot, tmp_path: Path) -> None:
    dataset = coloured_dataset(ready_home, per_class=10)
    dataset = Dataset(dataset.classes, dataset.subset("train"))
    for one in train_simple_heads(dataset, MODEL, RecordingProgress(), folder=tmp_path, home=ready_home).heads:
        assert (one.validation_correct, one.validation_total, one.test_correct, one.test_total) == (0, 0, 0, 0)
        assert load_evaluation(tmp_path / one.kind, VALIDATION_FILE_NAME).total == 0


def test_a_wish_to_stop_is_heard_between_heads(ready_home: DataRoot, tmp_path: Path) -> None:
    dataset = coloured_dataset(ready_home, per_class=10)
    train_simple_heads(dataset, MODEL, RecordingProgress(), folder=tmp_path, home=ready_home)
    progress = RecordingProgress(stop_after=2)
    with pytest.raises(StopRequested):
        train_simple_heads(dataset, MODEL, progress, folder=tmp_path, home=ready_home)
    assert progress.phase_names[-1] == "training_head"


def test_a_class_without_enough_training_pictures_is_named(home: DataRoot, tmp_path: Path) -> None:
    dataset = coloured_dataset(home, per_class=10)
    red = dataset.class_named("red")
    training = [item for item in dataset.of_class(red.id) if item.split == "train"]
    few = Dataset(dataset.classes, tuple(item for item in dataset.items if item not in training[1:]))
    with pytest.raises(DatasetError, match="Linear SVM needs at least 2 training pictures of each class; red has 1"):
        train_simple_heads(few, MODEL, RecordingProgress(), folder=tmp_path, home=home)


def test_of_very_many_pictures_each_class_keeps_its_share(home: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = coloured_dataset(home, per_class=40)
    monkeypatch.setattr(simple_heads_run, "MAX_TRAINING_PICTURES", 30)
    drawn = simple_heads_run._drawn(dataset)
    counts = [sum(item.class_id == label.id for item in drawn) for label in dataset.classes]
    assert counts == [10, 10, 10]
    assert simple_heads_run._drawn(dataset) == drawn


def test_a_job_trains_the_heads_and_the_newest_of_each_backbone_are_listed(ready_home: DataRoot) -> None:
    engine = open_database(ready_home)
    project = create_project(engine, "ann", "Colours")
    dataset = coloured_dataset(ready_home, per_class=10)
    version = commit_version(engine, project.id, dataset, "made", parent=None, home=ready_home)
    request = SimpleHeadsRequest(version, frozen_backbone(MODEL))
    job_id = create_job(engine, "simple_heads", project.id, request, key=project.id)
    assert list_simple_heads(engine, project.id) == []
    assert start_job(engine, ready_home, "simple_heads", project.id, request, key=project.id) == job_id
    assert wait_for_end(engine, job_id).state == "finished"
    again = start_job(engine, ready_home, "simple_heads", project.id, request, key=project.id)
    wait_for_end(engine, again)
    heads = list_simple_heads(engine, project.id)
    assert [head.id for head in heads] == [f"{again}.{kind}" for kind in KINDS]
    assert all(head.result.test_correct == head.result.test_total > 0 for head in heads)
    assert load_evaluation(simple_head_dir(again, "linear_svm", ready_home)).total == heads[0].result.test_total
    delete_project(engine, project.id, DataRoot.configured())
    assert list_simple_heads(engine, project.id) == []


def test_what_belongs_together_is_left_out_together(digits) -> None:
    features, labels, *_ = digits
    first = np.concatenate([np.flatnonzero(labels == digit)[:4] for digit in range(10)])
    groups = np.arange(40) // 2
    groups[:4] = 0  # all of the first class
    groups[4] = groups[-1]  # across classes
    similarities = left_out_similarities(features[first], labels[first], 10, groups)
    for one in (0, 4, 9, 39):
        for label in {int(labels[first][other]) for other in np.flatnonzero(groups == groups[one])}:
            rest = first[(groups != groups[one]) & (labels[first] == label)]
            if not len(rest):
                assert similarities[one, label] == 0
                continue
            mean = unit_length(features[rest]).sum(axis=0)
            cosine = mean @ features[first[one]] / np.linalg.norm(mean) / np.linalg.norm(features[first[one]])
            assert similarities[one, label] == pytest.approx(cosine, abs=1e-5)
