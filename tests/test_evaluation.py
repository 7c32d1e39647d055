"""What a model's answers say, checked against scikit-learn and SciPy."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from tlcore.errors import RunError
from tlcore.results.evaluation import (
    FILE_NAME,
    TRAIN_FILE_NAME,
    VALIDATION_FILE_NAME,
    Evaluation,
    accuracy_interval,
    average_reports,
    class_reports,
    confusion_matrix,
    load_evaluation,
    mistakes,
    save_evaluation,
    top_k_correct,
    usual_k,
)


def an_evaluation(num_images: int = 200, num_classes: int = 5, seed: int = 0) -> Evaluation:
    generator = np.random.default_rng(seed)
    y_true = generator.integers(0, num_classes, num_images)
    scores = generator.random((num_images, num_classes)) + np.eye(num_classes)[y_true] * 0.5
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    return Evaluation(
        class_names=tuple(f"class {number}" for number in range(num_classes)),
        images=tuple(f"{number:064x}" for number in range(num_images)),
        y_true=y_true,
        probabilities=probabilities,
    )


def answers(y_true: list[int], y_pred: list[int], num_classes: int) -> Evaluation:
    return Evaluation(
        class_names=tuple("abcdefgh"[:num_classes]),
        images=tuple(str(number) for number in range(len(y_true))),
        y_true=np.array(y_true, dtype=np.int64),
        probabilities=np.eye(num_classes, dtype=np.float32)[np.array(y_pred, dtype=np.int64)],
    )


def test_accuracy_counts_the_most_probable_class() -> None:
    evaluation = an_evaluation()
    assert evaluation.accuracy == pytest.approx(metrics.accuracy_score(evaluation.y_true, evaluation.y_pred))
    assert evaluation.correct == round(evaluation.accuracy * evaluation.total)


def test_confusion_matrix_has_true_classes_in_rows() -> None:
    evaluation = an_evaluation()
    expected = metrics.confusion_matrix(evaluation.y_true, evaluation.y_pred, labels=range(5))
    np.testing.assert_array_equal(confusion_matrix(evaluation), expected)
    one_mistake = answers([0], [2], 3)
    assert confusion_matrix(one_mistake)[0, 2] == 1


def test_class_reports_agree_with_scikit_learn() -> None:
    evaluation = an_evaluation()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(evaluation.y_true, evaluation.y_pred)
    reports = class_reports(evaluation)
    assert [report.name for report in reports] == list(evaluation.class_names)
    np.testing.assert_allclose([report.precision for report in reports], precision)
    np.testing.assert_allclose([report.recall for report in reports], recall)
    np.testing.assert_allclose([report.f1 for report in reports], f1)
    assert [report.support for report in reports] == support.tolist()


def test_scores_that_nothing_defines_are_none() -> None:
    never_answered, only_answered, absent = class_reports(answers([0, 0], [1, 1], 3))
    assert (never_answered.precision, never_answered.recall, never_answered.f1) == (None, 0.0, 0.0)
    assert (only_answered.precision, only_answered.recall, only_answered.f1) == (0.0, None, 0.0)
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (None, None, None, 0)


@pytest.mark.parametrize(
    "evaluation",
    [an_evaluation(), answers([0, 0, 0, 1], [0, 1, 1, 1], 3), answers([0, 0], [1, 1], 4), answers([2], [2], 3)],
    ids=["many", "uneven", "never answered", "one"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_averages_over_classes_are_those_of_scikit_learn(evaluation: Evaluation) -> None:
    rows = average_reports(class_reports(evaluation))
    assert [row.name for row in rows] == ["Macro avg", "Weighted avg"]
    for row, average in zip(rows, ("macro", "weighted"), strict=True):
        expected = metrics.precision_recall_fscore_support(evaluation.y_true, evaluation.y_pred, average=average)
        assert (row.precision, row.recall, row.f1) == pytest.approx(expected[:3])
        assert row.support == evaluation.total


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    evaluation = an_evaluation(num_classes=7)
    expected = metrics.top_k_accuracy_score(
        evaluation.y_true, evaluation.probabilities, k=k, normalize=False, labels=range(7)
    )
    assert top_k_correct(evaluation, k) == expected


def test_top_1_is_the_accuracy_where_classes_are_equally_probable_and_all_classes_are_always_right() -> None:
    equal = Evaluation(("a", "b", "c"), ("1", "2"), np.array([0, 1]), np.full((2, 3), 1 / 3, np.float32))
    assert (top_k_correct(equal, 1), equal.correct) == (1, 1)
    assert top_k_correct(equal, 3) == 2
    with pytest.raises(ValueError, match=r"`k` must be between 1 and 3\. Received: k=4"):
        top_k_correct(equal, 4)


@pytest.mark.parametrize(("num_classes", "k"), [(2, None), (3, None), (4, 3), (9, 3), (10, 5), (100, 5)])
def test_among_how_many_answers_is_looked_grows_with_the_classes(num_classes: int, k: int | None) -> None:
    assert usual_k(num_classes) == k


def test_an_evaluation_without_pictures_has_no_accuracy() -> None:
    empty = Evaluation(("a", "b"), (), np.zeros(0, np.int64), np.zeros((0, 2), np.float32))
    assert empty.accuracy is None
    assert (empty.correct, empty.total) == (0, 0)
    assert confusion_matrix(empty).sum() == 0
    assert mistakes(empty) == ()
    assert class_reports(empty)[0].f1 is None
    assert average_reports(class_reports(empty)) == ()


def test_mistakes_begin_with_the_surest_wrong_answer() -> None:
    evaluation = an_evaluation()
    found = mistakes(evaluation)
    assert len(found) == evaluation.total - evaluation.correct > 1
    probabilities = [mistake.probability for mistake in found]
    assert probabilities == sorted(probabilities, reverse=True)
    for mistake in found:
        row = evaluation.probabilities[evaluation.images.index(mistake.image)]
        assert mistake.y_true != mistake.y_pred == row.argmax()
        assert mistake.probability == row.max()


@pytest.mark.parametrize(("correct", "total"), [(0, 1), (1, 1), (0, 58), (58, 58), (57, 58), (3, 10), (941, 1000)])
def test_accuracy_interval_is_wilsons(correct: int, total: int) -> None:
    expected = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    assert accuracy_interval(correct, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_accuracy_interval_knows_nothing_without_pictures() -> None:
    assert accuracy_interval(0, 0) == (0.0, 1.0)


def test_a_result_is_said_with_its_interval_and_without_pictures_that_there_are_none() -> None:
    assert answers([0] * 300, [0] * 282 + [1] * 18, 2).result == "94.0 % of 300 pictures (90.7 to 96.2 %)"
    assert answers([], [], 2).result == "no pictures"


def test_accuracy_interval_refuses_more_right_answers_than_answers() -> None:
    with pytest.raises(ValueError, match=r"`correct` must be between 0 and total=3\. Received: correct=4"):
        accuracy_interval(4, 3)


def test_an_evaluation_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    evaluation = an_evaluation()
    save_evaluation(evaluation, tmp_path / "run")
    loaded = load_evaluation(tmp_path / "run")
    assert (loaded.class_names, loaded.images) == (evaluation.class_names, evaluation.images)
    np.testing.assert_array_equal(loaded.y_true, evaluation.y_true)
    np.testing.assert_array_equal(loaded.probabilities, evaluation.probabilities)
    assert loaded.probabilities.dtype == np.float32
    assert [path.name for path in (tmp_path / "run").iterdir()] == [FILE_NAME]


def test_class_names_of_every_script_come_back_from_disk(tmp_path: Path) -> None:
    names = ("猫", "Löwe", "a,b\"c'", "قطة", "🐱", "x" * 100)
    evaluation = Evaluation(names, ("1",), np.array([5]), np.eye(6, dtype=np.float32)[:1])
    save_evaluation(evaluation, tmp_path)
    assert load_evaluation(tmp_path).class_names == names


def test_a_missing_evaluation_is_put_into_words(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no test results.*Train again"):
        load_evaluation(tmp_path)
    with pytest.raises(RunError, match=r"no answers to the validation pictures.*earlier version.*Train again"):
        load_evaluation(tmp_path, VALIDATION_FILE_NAME)
    with pytest.raises(RunError, match="no answers to the training pictures"):
        load_evaluation(tmp_path, TRAIN_FILE_NAME)


def test_a_damaged_evaluation_is_put_into_words(tmp_path: Path) -> None:
    save_evaluation(an_evaluation(), tmp_path)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    damaged = [b"", b"text", whole[: len(whole) // 2], whole[:-30], generator.bytes(5000)]
    for position in generator.integers(0, len(whole), 60):
        flipped = bytearray(whole)
        flipped[position] ^= 0xFF
        damaged.append(bytes(flipped))
    refused = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            load_evaluation(tmp_path)
        except RunError:
            refused += 1
    assert refused > len(damaged) // 2


def test_an_evaluation_of_a_newer_version_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "evaluation.npz", format=np.int64(99), logits=np.zeros(3))
    with pytest.raises(RunError, match="newer Transfer Lab"):
        load_evaluation(tmp_path)


def test_an_evaluation_of_other_arrays_is_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / FILE_NAME, class_names=np.array(["a"]), images=np.array(["1"]), y_true=np.zeros(2))
    with pytest.raises(RunError, match="damaged"):
        load_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("y_true", "probabilities", "named"),
    [
        (np.zeros(1, np.int64), np.ones((1, 3), np.float32), "probabilities"),
        (np.zeros(2, np.int64), np.ones((1, 2), np.float32), "y_true"),
        (np.array([0, 2]), np.ones((2, 2), np.float32), "y_true"),
        (np.array([-1, 0]), np.ones((2, 2), np.float32), "y_true"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(
    y_true: np.ndarray, probabilities: np.ndarray, named: str
) -> None:
    with pytest.raises(ValueError, match=f"`{named}` must .*Received: "):
        Evaluation(("a", "b"), tuple("12"[: len(probabilities)]), y_true, probabilities)
