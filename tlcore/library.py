"""Transfer learning in a few lines of Python, without the app."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.documents import read_document, write_document
from tlcore.errors import DatasetError, RunError
from tlcore.export.formats import FORMATS
from tlcore.export.opening import Bundle, open_bundle
from tlcore.export.source import ExportSource, part_of_run
from tlcore.home import DataRoot, write_atomically
from tlcore.intake.archives.archive import Refusal
from tlcore.intake.brought import Brought, by_files, by_folders, read_as
from tlcore.intake.collection import Gathered, gather
from tlcore.intake.label_files.files import LabelFile
from tlcore.intake.meaning.readings import Reading
from tlcore.intake.meaning.tree import choose
from tlcore.intake.near_copies import find_scenes
from tlcore.intake.pictures.decoders import pixels_of
from tlcore.intake.sources import ArchiveSource, FolderSource
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION
from tlcore.progress import Progress, TerminalProgress
from tlcore.results.cross_validation import CrossValidation
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, load_evaluation
from tlcore.results.prediction import Predictor, load_predictor
from tlcore.storage.card_words import CardWords
from tlcore.storage.images import ImageStore
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import FormatName
from tlcore.training import cross_validation
from tlcore.training.run import train_classifier

__all__ = [
    "Bundle",
    "TrainedModel",
    "cross_validate",
    "export",
    "load_model",
    "open_bundle",
    "read_dataset",
    "train",
]

CONFIG_FILE, DATASET_FILE = "run.json", "dataset.json"
"""What a model was trained with, kept beside it: its code, its card and its 8-bit files need that."""


def read_dataset(
    path: str | Path,
    *,
    classes: str | int | Mapping[str, str] | None = None,
    labels: str | Path | Mapping[str, str] | None = None,
    groups: str | int | Mapping[str, str] | None = None,
    validation: float = VALIDATION_FRACTION,
    test: float = TEST_FRACTION,
    seed: int = 0,
) -> Dataset:
    """Read a ZIP or TAR file or a folder of pictures, and understand what its folders and label files mean.

    The class is the top folder below what lies around everything and below train, validation and test, unless a label
    file or the names of the files speak. What was understood and what is left out is printed. The pictures are cleaned
    and stored in the data root once. Pictures of one group and near-copies are on one side of the split.

    Args:
        path: The archive or folder.
        classes: What the classes are, where that is not clear or you mean another: `"top"` or `"leaf"` for the top or
            the innermost folder, a number for that level of folders below train and test (1 is the top one), `"joined"`
            for the names of all levels together, `"file names"` for `cat.1.jpg`, `"labels.csv: species"` for a column
            of a label file, or a mapping from folders to class names.
        labels: A file that says the classes (CSV, Excel, JSON ...), instead of those found beside the pictures, or a
            mapping from the names of picture files to class names.
        groups: What belongs together, if not what is found: as `classes`, or a mapping from the names of picture files
            to groups.
        validation: Fraction of each class that is kept for validation, where the folders do not say; below a folder
            called train, of its pictures.
        test: Fraction of each class that is kept for testing, likewise.
        seed: Decides which pictures these are.

    Raises:
        DatasetError: If nothing is there, or no picture in it, or it can be read in several ways: then with all.
        ValueError: If a fraction is negative, less than a tenth would be left for training, or `labels` and `classes`
            both say the class of each picture.
    """
    path, progress = Path(path), TerminalProgress()
    if classes is not None and labels is not None and (isinstance(classes, Mapping) or isinstance(labels, Mapping)):
        raise ValueError(
            "`classes` and `labels` must not be given together where one of them is a mapping. "
            f"Received: classes of type {type(classes).__name__}, labels of type {type(labels).__name__}"
        )
    if not path.exists():
        raise DatasetError(f"There is no file or folder {path}. Check its name.")
    store = ImageStore(DataRoot.configured())
    source = FolderSource(path) if path.is_dir() else ArchiveSource(path, path.name)
    label_file = None if labels is None or isinstance(labels, Mapping) else _label_file(path, Path(labels))
    gathered = gather(
        [source],
        Dataset(),
        store,
        on_progress=lambda done, total: progress.phase("reading", done, total, path.name),
        wanted=[key for key in (classes, groups) if isinstance(key, str | int)],
        label_file=label_file,
    )
    progress.close()
    brought = gathered.brought
    if not brought.pictures:
        _print_unused(progress, gathered.refused, gathered.notes)
        raise DatasetError(f"There is no picture in {path}. Put the pictures of each class into a folder of its own.")
    if isinstance(labels, Mapping):
        reading = read_as(brought, by_files(brought, labels))
    elif isinstance(classes, Mapping):
        reading = read_as(brought, by_folders(brought, classes))
    elif label_file is not None and classes is None:
        reading = _reading_of_file(gathered, label_file.path_parts[-1])
    else:
        reading = choose(brought.readings, classes)
    if groups is not None:
        named = by_files(brought, groups) if isinstance(groups, Mapping) else _classes_of(brought, groups)
        pairs = zip(reading.labels, named, strict=True)
        reading = replace(reading, labels=tuple(replace(label, group=group) for label, group in pairs))
    scenes = find_scenes([picture.image for picture in brought.pictures], store.thumbnail)
    report = gathered.into(Dataset(), reading=reading, scenes=scenes, validation=validation, test=test, seed=seed)
    progress.line(f"{len(report.dataset.items):,} pictures. {reading.title}.")
    _print_unused(progress, report.refused, report.notes)
    return report.dataset


def _label_file(path: Path, labels: Path) -> LabelFile:
    try:
        return LabelFile((path.name if path.is_dir() else path.stem, labels.name), labels.read_bytes())
    except OSError as error:
        raise DatasetError(f"The file {labels} cannot be read ({error.strerror}). Check its name.") from error


def _reading_of_file(gathered: Gathered, name: str) -> Reading:
    """Return what a given label file says, or the folders that say the same."""
    found = gathered.brought.readings.found
    own = [reading for reading in found if reading.key == name or reading.key.startswith(f"{name}: ")]
    if own:
        return own[0]
    if any(note.startswith(name) for note in found[0].notes):
        return found[0]
    raise DatasetError("\n".join((f"{name} says no classes of these pictures.", *gathered.notes)))


def _classes_of(brought: Brought, key: str | int) -> list[str | None]:
    return [label.class_name for label in choose(brought.readings, key).labels]


def _print_unused(progress: TerminalProgress, refused: Sequence[Refusal], notes: Sequence[str]) -> None:
    for note in notes:
        progress.line(note)
    for refusal in refused:
        progress.line(f"not used: {refusal.name}: {refusal.reason}")


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained classifier and the folder with its files.

    Attributes:
        folder: Holds `model.keras`, `labels.txt`, `pixels.py`, `README.txt`, its answers, and in `run.json` and
            `dataset.json` what it was trained with.
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

        As in the app, the file is decoded in a program of its own, which stays for the next one: a damaged or hostile
        picture may break that program, never yours.

        Raises:
            ImageError: If the file is no picture, or takes too much time or memory to decode.
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
    progress, config = progress or TerminalProgress(), config or RunConfig()
    folder = Path(folder) if folder is not None else _new_folder()
    folder.mkdir(parents=True, exist_ok=True)
    _keep_pictures(dataset)
    for name in (CONFIG_FILE, DATASET_FILE):  # of an earlier model in the same folder
        (folder / name).unlink(missing_ok=True)
    try:
        result = train_classifier(dataset, config, folder, progress, DataRoot.configured())
    finally:
        if isinstance(progress, TerminalProgress):
            progress.close()
    if result.diverged and isinstance(progress, TerminalProgress):
        progress.line(
            "The loss became infinite; the model is the best one before that. Choose a smaller learning rate."
        )
    if result.summary is None:
        raise RunError("Training ended before the first epoch was finished, so there is no model.")
    _write_text(folder / CONFIG_FILE, write_document(config))
    _write_text(folder / DATASET_FILE, write_document(dataset))
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
    _keep_pictures(dataset)
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


def export(
    model: TrainedModel,
    *formats: FormatName,
    path: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write a model into one ZIP file with all that somebody else needs: files, labels, card, self test, code.

    Each file is loaded again in a fresh process and compared with the original on the test pictures. What cannot be
    made, or answers otherwise than the original, is printed and stands in the bundle.

    Args:
        model: From `train`, or from `load_model` of a folder that `train` made.
        formats: `"keras"`, `"savedmodel"`, `"litert"`, `"litert-float16"`, `"litert-dynamic"`, `"litert-int8"` or
            `"onnx"`; `"litert"` when none is given.
        path: Where the ZIP file goes; `model.zip` in the present folder when not given. What is there is
            replaced. Its name without the ending is the model's title.
        progress: Gets progress; a terminal when not given.

    Returns:
        The path of the ZIP file, for `open_bundle` and for `python3 -m tlcore.serve`.

    Raises:
        RunError: If files of the model are missing or damaged, it is of an earlier version, or no format can be made.
        ValueError: If there is no format of such a name.
        StorageError: If the disk is full.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"`formats` must be of {', '.join(FORMATS)}. Received: {unknown[0]!r}")
    target, progress = Path("model.zip" if path is None else path), progress or TerminalProgress()
    source, home = _source_of(model, target.stem), DataRoot.configured()
    _keep_pictures(source.dataset)
    from tlcore.export.bundle import bundle_entries
    from tlcore.export.making import make_export

    with tempfile.TemporaryDirectory(prefix="transfer-lab-export-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            result = make_export(source, formats or ("litert",), folder, progress, home)
        finally:
            if isinstance(progress, TerminalProgress):
                progress.close()
        said = [(FORMATS[report.format].title, report.problem or report.warning) for report in result.reports]
        if isinstance(progress, TerminalProgress):
            for title, words in said:
                if words:
                    progress.line(f"{title}: {words}")
        if not any(report.is_made for report in result.reports):
            raise RunError("None of these formats could be made. " + " ".join(words for _, words in said))

        def write(temporary: Path) -> None:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle:
                # The test result stays an exam: it is not in a file that one only wants to use.
                for entry in bundle_entries(source, result, folder, CardWords(), home, exam_opened=False):
                    if isinstance(entry.content, Path):
                        bundle.write(entry.content, entry.name)
                    else:
                        bundle.writestr(entry.name, entry.content)

        write_atomically(target, write)
    return target


def _source_of(model: TrainedModel, title: str) -> ExportSource:
    try:
        config = read_document((model.folder / CONFIG_FILE).read_bytes(), RunConfig)
        dataset = read_document((model.folder / DATASET_FILE).read_bytes(), Dataset)
    except FileNotFoundError as error:
        raise RunError(
            "This model is of an earlier version of Transfer Lab, which did not note what it was trained with. To "
            "export it, train it again."
        ) from error
    except (OSError, ValueError) as error:
        raise RunError("The files of this model are missing or damaged. Train again to make new ones.") from error
    return ExportSource(title, (part_of_run(model.folder, config),), dataset, ModelSettings())


def _keep_pictures(dataset: Dataset) -> None:
    """Keep the pictures for a week from now on: they may be in no project, and a server may tidy up meanwhile."""
    ImageStore(DataRoot.configured()).keep(item.image for item in dataset.items)


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def _new_folder() -> Path:
    models_dir = DataRoot.configured().models_dir
    models_dir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="model-", dir=models_dir))
