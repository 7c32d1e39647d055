"""Transfer learning in a few lines of Python, without the app."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.errors import DatasetError, RunError
from tlcore.home import DataRoot
from tlcore.intake.collection import collect
from tlcore.intake.decoding import pixels_of
from tlcore.intake.sources import ArchiveSource, FolderSource
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION
from tlcore.progress import Progress, TerminalProgress
from tlcore.results.cross_validation import CrossValidation
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, load_evaluation
from tlcore.results.prediction import Predictor, load_predictor
from tlcore.storage.images import ImageStore
from tlcore.training import cross_validation
from tlcore.training.run import train_classifier


def read_dataset(
    path: str | Path,
    *,
    validation: float = VALIDATION_FRACTION,
    test: float = TEST_FRACTION,
    seed: int = 0,
) -> Dataset:
    """Read a ZIP file or a folder with one folder per class, optionally below train, validation and test.

    The pictures are cleaned and stored in the data root once; files that cannot be used are printed.

    Args:
        path: The ZIP file or folder.
        validation: Fraction of each class that is kept for validation, where the folders do not say; below a folder
            called train, of its pictures.
        test: Fraction of each class that is kept for testing, likewise.
        seed: Decides which pictures these are.

    Raises:
        DatasetError: If there is no picture in it.
        ValueError: If a fraction is negative, or less than a tenth would be left for training.
    """
    path = Path(path)
    source = FolderSource(path) if path.is_dir() else ArchiveSource(path, path.name)
    progress = TerminalProgress()
    report = collect(
        [source],
        Dataset(),
        ImageStore(DataRoot.configured()),
        on_progress=lambda done, total: progress.phase("reading", done, total, path.name),
        validation=validation,
        test=test,
        seed=seed,
    )
    progress.close()
    for refusal in report.refused:
        progress.line(f"not used: {refusal.name}: {refusal.reason}")
    if not report.dataset.items:
        raise DatasetError(f"There is no picture in {path}. Put the pictures of each class into a folder of its own.")
    return report.dataset


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained classifier and the folder with its files.

    Attributes:
        folder: Holds `model.keras`, `labels.txt`, `pixels.py`, `README.txt` and its answers.
        predictor: Pictures to probabilities.
    """

    folder: Path
    predictor: Predictor

    @property
    def validation(self) -> Evaluation:
        """Its answers to the validation pictures: what to choose by. They chose the best epoch, so they flatter a bit.

        Raises:
            RunError: If they are missing, as those of an early version, or damaged.
        """
        return load_evaluation(self.folder, VALIDATION_FILE_NAME)

    def open_exam(self) -> Evaluation:
        """Return its answers to the test pictures, which nothing has learned from or was chosen by.

        Ask for them once, when you have chosen by validation: the best of many exams is partly luck.

        Raises:
            RunError: If they are missing or damaged.
        """
        return load_evaluation(self.folder)

    def predict(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class for the picture in a file.

        Raises:
            ImageError: If the file is no picture.
        """
        pixels = pixels_of(Path(path).read_bytes(), self.predictor.grey_range)
        probabilities = self.predictor.predict([pixels])[0]
        return dict(zip(self.predictor.class_names, map(float, probabilities), strict=True))


def train(
    dataset: Dataset,
    config: RunConfig | None = None,
    *,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Train a classifier, test it, and save it.

    Args:
        dataset: From `read_dataset`.
        config: Augmentation, model and training; the defaults freeze the whole embedded backbone.
        folder: Where the model's files go; a new folder of the data root when not given.
        progress: Gets progress and curves; a terminal when not given.

    Raises:
        TransferLabError: With what is missing and what to do about it.
    """
    progress = progress or TerminalProgress()
    folder = Path(folder) if folder is not None else _new_folder()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        result = train_classifier(dataset, config or RunConfig(), folder, progress, DataRoot.configured())
    finally:
        if isinstance(progress, TerminalProgress):
            progress.close()
    if result.diverged and isinstance(progress, TerminalProgress):
        progress.line(
            "The loss became infinite; the model is the best one before that. Choose a smaller learning rate."
        )
    if result.summary is None:
        raise RunError("Training ended before the first epoch was finished, so there is no model.")
    return load_model(folder)


def cross_validate(
    dataset: Dataset,
    config: RunConfig | None = None,
    *,
    splits: int = 5,
    with_test: bool = False,
    progress: Progress | None = None,
) -> CrossValidation:
    """Train on several splits of the pictures and ask about those set apart; prints as its mean and range.

    Args:
        dataset: From `read_dataset`.
        config: As in `train`. Settings with the same seed are asked about the same pictures.
        splits: How many trainings; each picture is asked about in one of them.
        with_test: Deal the test pictures too; otherwise they stay sealed for the exam at the end.
        progress: Gets progress; a terminal when not given.

    Raises:
        TransferLabError: With what is missing and what to do about it.
    """
    progress, home = progress or TerminalProgress(), DataRoot.configured()
    try:
        return cross_validation.cross_validate(
            dataset, config or RunConfig(), progress, home, splits=splits, with_test=with_test
        )
    finally:
        if isinstance(progress, TerminalProgress):
            progress.close()


def load_model(folder: str | Path) -> TrainedModel:
    """Load a model that `train` saved.

    Raises:
        RunError: If its files are missing or damaged.
    """
    folder = Path(folder)
    return TrainedModel(folder, load_predictor(folder, DataRoot.configured()))


def _new_folder() -> Path:
    models_dir = DataRoot.configured().models_dir
    models_dir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="model-", dir=models_dir))
