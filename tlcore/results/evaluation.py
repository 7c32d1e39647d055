"""Answers to pictures whose class is known, and what they say: accuracy with its interval, per class, mistakes."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlcore.errors import RunError
from tlcore.home import write_atomically

FILE_NAME = "evaluation.npz"
"""Answers to the test pictures: the exam."""
VALIDATION_FILE_NAME = "validation.npz"
"""Answers to the validation pictures, in the same form: what people choose by, and what the weights of a group fit."""
TRAIN_FILE_NAME = "train.npz"
"""Answers to training pictures, in the same form; of many to some. Runs with augmentation keep none."""

_CONTENTS = {
    FILE_NAME: "test results",
    VALIDATION_FILE_NAME: "answers to the validation pictures",
    TRAIN_FILE_NAME: "answers to the training pictures",
}

FORMAT = 1
"""Of these files; one without a number is of this format."""

DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, KeyError, ValueError)
"""What zipfile raises for a file of arrays that is cut or overwritten, and numpy for arrays of another kind."""

# With fewer classes the right one is nearly always among the first three, or five.
FEWEST_CLASSES_TOP_3, FEWEST_CLASSES_TOP_5 = 4, 10

# The standard normal distribution has 95 % of its mass within this many deviations.
Z_95_PERCENT = 1.959963984540054


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a model answered on pictures whose class is known.

    Attributes:
        class_names: In the order of the model's outputs.
        images: Keys of the pictures in `tlcore.storage.images`.
        y_true: Right class of each picture, int64 of shape `(images,)`.
        probabilities: Answers, float32 of shape `(images, classes)`; each row adds up to 1.
    """

    class_names: tuple[str, ...]
    images: tuple[str, ...]
    y_true: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = (len(self.images), len(self.class_names))
        if self.probabilities.shape != shape:
            raise ValueError(
                "`probabilities` must have the shape (images, classes), here "
                f"{shape}. Received: probabilities.shape={self.probabilities.shape}"
            )
        if self.y_true.shape != shape[:1]:
            raise ValueError(
                f"`y_true` must have one value for each image, here {shape[0]}. "
                f"Received: y_true.shape={self.y_true.shape}"
            )
        if self.total and not (self.y_true.min() >= 0 and self.y_true.max() < len(self.class_names)):
            raise ValueError(
                f"`y_true` must be between 0 and {len(self.class_names) - 1}. "
                f"Received: values from {self.y_true.min()} to {self.y_true.max()}"
            )

    @property
    def y_pred(self) -> NDArray[np.int64]:
        """The most probable class of each picture, int64 of shape `(images,)`."""
        y_pred: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return y_pred

    @property
    def correct(self) -> int:
        """Pictures whose most probable class is the right one."""
        return int((self.y_pred == self.y_true).sum())

    @property
    def total(self) -> int:
        """All pictures."""
        return len(self.images)

    @property
    def accuracy(self) -> float | None:
        """Fraction of right answers in `[0, 1]`, higher is better; `None` when there are no pictures."""
        return _fraction(self.correct, self.total)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, in `[0, 1]`; all of it without pictures."""
        return accuracy_interval(self.correct, self.total)

    @property
    def result(self) -> str:
        """The accuracy with its interval, such as `94.0 % of 300 pictures (90.7 to 96.2 %)`, or `no pictures`."""
        if self.accuracy is None:
            return "no pictures"
        low, high = (100 * end for end in self.accuracy_interval)
        return f"{100 * self.accuracy:.1f} % of {self.total} pictures ({low:.1f} to {high:.1f} %)"


@dataclass(frozen=True, slots=True)
class ClassReport:
    """How well one class is told apart; all scores in `[0, 1]`, higher is better.

    Attributes:
        name: Name of the class.
        precision: Fraction of the pictures called this class that are; `None` when none was called so.
        recall: Fraction of this class's pictures that were found; `None` when it has none.
        f1: Harmonic mean of the two; `None` when the class neither has pictures nor was answered.
        support: Pictures of this class.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A picture and the answer that it got.

    Attributes:
        image: Key of the picture.
        y_true: Index of the right class.
        y_pred: Index of the answer.
        probability: How sure the model was of its answer, in `[0, 1]`.
    """

    image: str
    y_true: int
    y_pred: int
    probability: float


def save_evaluation(evaluation: Evaluation, run_dir: Path, file_name: str = FILE_NAME) -> None:
    """Write the evaluation into the folder of a run, whole or not at all.

    Args:
        evaluation: Answers to the pictures that belong into the file.
        run_dir: The folder.
        file_name: The file in it: the one of the test pictures, `VALIDATION_FILE_NAME` or `TRAIN_FILE_NAME`.

    Raises:
        StorageError: If the disk is full or cannot be written.
    """
    write_atomically(
        run_dir / file_name,
        lambda path: np.savez_compressed(
            path,
            format=np.int64(FORMAT),
            class_names=np.array(evaluation.class_names, dtype=np.str_),
            images=np.array(evaluation.images, dtype=np.str_),
            y_true=evaluation.y_true.astype(np.int64),
            probabilities=evaluation.probabilities.astype(np.float32),
        ),
    )


def load_evaluation(run_dir: Path, file_name: str = FILE_NAME) -> Evaluation:
    """Read back what `save_evaluation` wrote, into the same file.

    Raises:
        RunError: If the file is missing, damaged or from a newer version.
    """
    what = _CONTENTS[file_name]
    try:
        with zipfile.ZipFile(run_dir / file_name) as archive:
            if "format.npy" in archive.namelist() and int(_read_array(archive, "format")) > FORMAT:
                raise RunError(f"The {what} of this model are from a newer Transfer Lab. Update Transfer Lab.")
            return Evaluation(
                class_names=tuple(_read_array(archive, "class_names").tolist()),
                images=tuple(_read_array(archive, "images").tolist()),
                y_true=_read_array(archive, "y_true"),
                probabilities=_read_array(archive, "probabilities"),
            )
    except FileNotFoundError as error:
        raise RunError(
            f"There are no {what} of this model: it ended too early, is from an earlier version, or its files were "
            "deleted. Train again to get them."
        ) from error
    except DAMAGE as error:
        raise RunError(f"The {what} of this model are damaged. Train again to get them.") from error


def _read_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    # Read to its end first: that compares the checksum, before numpy looks at a damaged header.
    array: NDArray[Any] = np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    return array


def accuracy_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the interval that holds the true accuracy with 95 % confidence.

    Args:
        correct: Right answers.
        total: All answers. Without any, nothing is known: `(0, 1)`.

    Returns:
        Lowest and highest accuracy, in `[0, 1]`.

    Raises:
        ValueError: If `correct` is not between 0 and `total`.

    Source:
        Wilson's score interval: Wilson 1927, "Probable inference, the law of succession, and statistical
        inference", https://doi.org/10.1080/01621459.1927.10502953. Recommended for few observations and
        for fractions near 0 and 1 by Brown, Cai and DasGupta 2001, https://doi.org/10.1214/ss/1009213286.
    """
    if not 0 <= correct <= total:
        raise ValueError(f"`correct` must be between 0 and total={total}. Received: correct={correct}")
    if total == 0:
        return 0.0, 1.0
    fraction = correct / total
    z_squared = Z_95_PERCENT**2
    center = (fraction + z_squared / (2 * total)) / (1 + z_squared / total)
    spread = math.sqrt(fraction * (1 - fraction) / total + z_squared / (4 * total**2))
    half_width = Z_95_PERCENT * spread / (1 + z_squared / total)
    # At the ends the bound is 0 or 1 exactly; rounding could step over it.
    low = 0.0 if correct == 0 else max(0.0, center - half_width)
    high = 1.0 if correct == total else min(1.0, center + half_width)
    return low, high


def confusion_matrix(evaluation: Evaluation) -> NDArray[np.int64]:
    """Return counts of pictures, int64 of shape `(classes, classes)`: rows are true, columns predicted."""
    num_classes = len(evaluation.class_names)
    cells = evaluation.y_true * num_classes + evaluation.y_pred
    counts: NDArray[np.int64] = np.bincount(cells, minlength=num_classes**2).astype(np.int64)
    return counts.reshape(num_classes, num_classes)


def class_reports(evaluation: Evaluation) -> tuple[ClassReport, ...]:
    """Return precision, recall, F1 and support of every class, in the order of the model's outputs."""
    matrix = confusion_matrix(evaluation)
    hits, answered, support = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
    return tuple(
        ClassReport(
            name=name,
            precision=_fraction(hits[index], answered[index]),
            recall=_fraction(hits[index], support[index]),
            f1=_fraction(2 * hits[index], answered[index] + support[index]),
            support=int(support[index]),
        )
        for index, name in enumerate(evaluation.class_names)
    )


def usual_k(num_classes: int) -> int | None:
    """Return among how many answers the right class is looked for with that many classes; `None` for few classes."""
    if num_classes < FEWEST_CLASSES_TOP_3:
        return None
    return 3 if num_classes < FEWEST_CLASSES_TOP_5 else 5


def top_k_correct(evaluation: Evaluation, k: int) -> int:
    """Return how many pictures have their right class among the `k` most probable ones; of equals the first counts.

    Raises:
        ValueError: If `k` is not between 1 and the number of classes.
    """
    num_classes = len(evaluation.class_names)
    if not 1 <= k <= num_classes:
        raise ValueError(f"`k` must be between 1 and {num_classes}. Received: k={k}")
    ranked = np.argsort(-evaluation.probabilities, axis=1, kind="stable")[:, :k]
    return int((ranked == evaluation.y_true[:, np.newaxis]).any(axis=1).sum())


def average_reports(reports: Sequence[ClassReport]) -> tuple[ClassReport, ...]:
    """Return the macro and the weighted average of classes: each class, or each picture, counts the same.

    As in scikit-learn's `classification_report`, an undefined score counts as 0, and a class that has no pictures
    and was never answered is left out.

    Args:
        reports: From `class_reports`.

    Returns:
        Two rows, whose support is that of all classes; none without pictures.
    """
    seen = [report for report in reports if report.f1 is not None]
    support = [report.support for report in seen]
    if not sum(support):
        return ()
    scores = np.array([[report.precision or 0, report.recall or 0, report.f1 or 0] for report in seen])
    means = {"Macro avg": scores.mean(axis=0), "Weighted avg": np.average(scores, axis=0, weights=support)}
    return tuple(
        ClassReport(name, float(precision), float(recall), float(f1), sum(support))
        for name, (precision, recall, f1) in means.items()
    )


def _fraction(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def answered_at(evaluation: Evaluation, chosen: NDArray[np.bool_]) -> tuple[Answered, ...]:
    """Return the pictures at some places and their answers.

    Args:
        evaluation: Answers to pictures.
        chosen: Which of them, bool of shape `(images,)`.

    Returns:
        The chosen ones, in the same order.
    """
    y_pred = evaluation.y_pred
    return tuple(
        Answered(
            image=evaluation.images[index],
            y_true=int(evaluation.y_true[index]),
            y_pred=int(y_pred[index]),
            probability=float(evaluation.probabilities[index, y_pred[index]]),
        )
        for index in np.flatnonzero(chosen).tolist()
    )


def mistakes(evaluation: Evaluation) -> tuple[Answered, ...]:
    """Return the pictures with a wrong answer, the surest wrong answer first."""
    wrong = answered_at(evaluation, evaluation.y_pred != evaluation.y_true)
    return tuple(sorted(wrong, key=lambda mistake: -mistake.probability))
