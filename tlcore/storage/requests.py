"""What jobs are asked for and what they answer, as stored with them; the words of a training run are in `runs`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import Split
from tlcore.intake.archives.archive import Refusal
from tlcore.intake.meaning.readings import Folder
from tlcore.storage.model_settings import ModelSettings

SimpleHeadKind = Literal["logistic_regression", "nearest_neighbours", "linear_svm"]
FormatName = Literal[
    "keras", "savedmodel", "litert", "litert-float16", "litert-dynamic", "litert-int8", "onnx"
]  # `tlcore.export.formats` says what they are


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that waits to be imported.

    Attributes:
        path: Where its bytes are, inside the staging folder.
        name: What it was called; text only. It may name folders: `cat/1.jpg`.
    """

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import.

    Attributes:
        staging: Folder under `imports` of the data root; `None` for a ready data set.
        archives: ZIP and TAR files.
        files: Pictures.
        class_name: The class for pictures without a folder.
        sample: Name of a ready data set.
        per_class: At most so many pictures of each class of the ready data set; `None` for all.
        classes: Names of the classes to take from the ready data set; all of them when there are none.
        refused: Files that were refused when they were brought; they are not in the staging folder.
        is_project: Whether the one archive is the file of a whole project, which the empty project becomes.
    """

    staging: str | None = None
    archives: tuple[StagedFile, ...] = ()
    files: tuple[StagedFile, ...] = ()
    class_name: str | None = None
    sample: str | None = None
    per_class: int | None = None
    classes: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    is_project: bool = False


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did.

    Attributes:
        added: Pictures that are new in the data set.
        already_there: Pictures that their class had before.
        refused: Files that could not be used.
        notes: Things worth knowing, in words.
        reading: What the folders were taken to mean, as a title; empty where that is no question.
        folders: The tree of them, as understood.
    """

    added: int
    already_there: int
    refused: tuple[Refusal, ...]
    notes: tuple[str, ...]
    reading: str = ""
    folders: tuple[Folder, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingsRequest:
    """What to measure, or to search a learning rate for: settings, and the data set version whose pictures are used."""

    version: int
    config: RunConfig


@dataclass(frozen=True, slots=True)
class SimpleHeadsRequest:
    """What to train simple heads on.

    Attributes:
        version: The data set version.
        model: The backbone, picture size and resize mode; all of it is frozen, and its features are averaged.
    """

    version: int
    model: ModelConfig


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """Whose pictures to look through for faults.

    Attributes:
        version: The data set version.
        model: The backbone, picture size and resize mode that a classifier of the pictures uses; all of it is frozen.
    """

    version: int
    model: ModelConfig


@dataclass(frozen=True, slots=True)
class MapRequest:
    """Whose pictures to arrange on a map.

    Attributes:
        version: The data set version.
        backbone: The backbone, picture size and resize mode whose features place them; all of it is frozen.
    """

    version: int
    backbone: ModelConfig


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """Which pictures to ask a model about.

    Attributes:
        model_id: Id of a run, a group or a simple head of the project.
        staging: Folder under `imports` of the data root.
        archives: ZIP and TAR files.
        files: Pictures.
        refused: Files that were refused when they were brought; they are not in the staging folder.
        settings: How the model answers.
    """

    model_id: str
    staging: str | None = None
    archives: tuple[StagedFile, ...] = ()
    files: tuple[StagedFile, ...] = ()
    refused: tuple[Refusal, ...] = ()
    settings: ModelSettings = field(default_factory=ModelSettings)


@dataclass(frozen=True, slots=True)
class PredictionSummary:
    """What came of asking a model about many pictures; the answers lie in a file.

    Attributes:
        class_names: In the order of the probabilities.
        class_colors: Colour numbers of the classes, in the same order.
        answered: Pictures that were answered.
        refused: Files that could not be used.
        known: Answered pictures whose folder names one of the classes.
        sure: Those of them to which the model did not say that it does not know.
        correct: Those of these that were answered right.
        aside: Files that are no pictures to ask about, such as thumbnails and tables.
        model_id: Who was asked.
        settings: As of the request.
        brought: The names of the archives and folders that came, in a few words; empty when there were none.
        strange: Answered pictures that look like none of the classes; `None` where nothing could say so.
        judged_by: How many validation pictures told what is still usual; 0 where nothing could.
    """

    class_names: tuple[str, ...]
    class_colors: tuple[int, ...]
    answered: int
    refused: int
    known: int
    sure: int
    correct: int
    aside: int
    model_id: str
    settings: ModelSettings
    brought: str
    strange: int | None
    judged_by: int


@dataclass(frozen=True, slots=True)
class SimpleHeadResult:
    """How good one head became.

    Attributes:
        kind: Which one.
        test_correct: Test pictures that it answers right.
        test_total: Test pictures.
        trained_on: Training pictures that it learned from; no more than a limit.
        seconds: What its training took, once the features were there.
        validation_correct: Validation pictures that it answers right; `None` in heads of earlier versions, which were
            not asked about them.
        validation_total: Validation pictures; `None` as above.
    """

    kind: SimpleHeadKind
    test_correct: int
    test_total: int
    trained_on: int
    seconds: float
    validation_correct: int | None = None
    validation_total: int | None = None


@dataclass(frozen=True, slots=True)
class SimpleHeadsResult:
    """How good the heads of one job became."""

    heads: tuple[SimpleHeadResult, ...]


@dataclass(frozen=True, slots=True)
class CrossValidationRequest:
    """Which run's settings to train on other splits of its pictures.

    Attributes:
        run_id: The run.
        splits: How many trainings.
    """

    run_id: str
    splits: int

    @property
    def key(self) -> str:
        """The key of its job: the same trainings are never made twice at a time, and found by it later."""
        return f"{self.run_id} {self.splits}"


@dataclass(frozen=True, slots=True)
class WeightsDownloadRequest:
    """Whose published weights to fetch, by the names of the backbones."""

    backbones: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeightsCheckRequest:
    """A person's file of weights that waits to be checked.

    Attributes:
        backbone: Name of the backbone that it shall be for.
        staging: Folder under `imports` of the data root.
        filename: Its name on the person's computer; text only.
        is_unlocked: Whether it is for a teacher, whose project no lock holds.
    """

    backbone: str
    staging: str
    filename: str
    is_unlocked: bool = False


@dataclass(frozen=True, slots=True)
class WeightsCheckResult:
    """The key of the weights that were kept, for `ModelConfig.weights`."""

    key: str


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Which model to write in which formats.

    Attributes:
        model_id: Id of a run, a group or a simple head of the project.
        formats: The formats.
        settings: How the model answers: its temperature goes into the files, its threshold beside them.
    """

    model_id: str
    formats: tuple[FormatName, ...]
    settings: ModelSettings = field(default_factory=ModelSettings)

    @property
    def key(self) -> str:
        """The key of its job: the same files are never made twice at a time, and found by it later."""
        return " ".join([self.model_id, f"{self.settings.temperature:g}", *sorted(self.formats)])


@dataclass(frozen=True, slots=True)
class FormatReport:
    """The parity certificate of one exported file: it was loaded in a fresh process and asked about pictures.

    Attributes:
        format: Which one.
        size: Bytes of its file or folder; 0 when it could not be made.
        total: Test pictures that it was asked about.
        correct: Those that it answers right.
        agreed: Those that it answers as the original does.
        largest_difference: Between a probability of it and the original's, in `[0, 1]`.
        milliseconds: For one square picture of the size that the model sees, on this machine, the median, without
            reading the picture's file.
        problem: Why it could not be made or asked, in words; empty when it could.
        warning: What its answers are not good enough for, in words; empty when the certificate holds.
        sha256: Of its file, of a folder over the names and the contents in order; empty where it was not kept.
    """

    format: FormatName
    size: int = 0
    total: int = 0
    correct: int = 0
    agreed: int = 0
    largest_difference: float = 0.0
    milliseconds: float = 0.0
    problem: str = ""
    warning: str = ""
    sha256: str = ""

    @property
    def is_made(self) -> bool:
        """Whether there is a file."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What came of an export; its files lie in the folder of the job.

    Attributes:
        model_id: Which model it was; empty outside of projects.
        settings: As of the request.
        correct: Test pictures of the certificates that the original answers right.
        total: Test pictures of the certificates.
        milliseconds: Of the original, as the app asks it, for one such square on this machine, the median.
        processor: What this machine computes with, in words.
        reports: One for each format that was asked for.
        split: Which pictures these are: for testing, or others where there are none.
        unreadable: Those that could not be read and were left out.
    """

    model_id: str
    settings: ModelSettings
    correct: int
    total: int
    milliseconds: float
    processor: str
    reports: tuple[FormatReport, ...]
    split: Split = "test"
    unreadable: int = 0
