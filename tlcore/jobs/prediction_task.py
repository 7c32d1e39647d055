"""What the worker of a prediction does: it asks a model about many pictures, one after the other."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import threadpool_limits

from tlcore.errors import DatasetError, ImageError, NotFoundError, RunError, TransferLabError
from tlcore.features.litert import CompiledModel, Loader, sharing_loader
from tlcore.home import write_atomically
from tlcore.intake.archives.archive import Refusal
from tlcore.intake.names import similarity_key, some
from tlcore.intake.pictures.decoders import pixels_of
from tlcore.intake.pictures.grey import GreyRange
from tlcore.intake.sources import ArchiveSource, Found, Listing, list_source
from tlcore.jobs.staged import staged_sources
from tlcore.jobs.worker import WorkerContext
from tlcore.progress import StopRequested, in_order
from tlcore.results.calibration import calibrated
from tlcore.results.ensembles import ensemble_predictor
from tlcore.results.neighbours import Comparison, FrozenPart, Neighbours, first_comparable, load_neighbours
from tlcore.results.prediction import Predictor, load_predictor
from tlcore.results.strangers import Strangers, load_strangers
from tlcore.settings.words import count
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.storage.answers import AnswerWriter, StoredAnswer, writing_answers
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.ensembles import Ensemble
from tlcore.storage.jobs import JobState, read_result
from tlcore.storage.models import Model, find_model, members_of
from tlcore.storage.predictions import answers_path
from tlcore.storage.requests import PredictionRequest, PredictionSummary
from tlcore.storage.runs import list_runs
from tlcore.storage.simple_heads import TrainedSimpleHead, simple_head_dir
from tlcore.storage.staging import remove_staging_dir

THUMBNAIL_SIDE = 96
THUMBNAIL_QUALITY = 80
"""Some 3 kB each: fifty thousand, the most that one can bring, take 150 MB."""
MAX_THREADS = 4
_GONE = "This model is not here any more. Choose another one, then bring the pictures again."


def answer_pictures(context: WorkerContext) -> tuple[JobState, str]:
    """Ask the model of the request about everything that was brought, and keep its answers."""
    request = context.request(PredictionRequest)
    path = answers_path(context.job_id, context.home)
    if read_result(context.engine, context.job_id, PredictionSummary) is not None:
        remove_staging_dir(request.staging, context.home)
        return "finished", ""  # an earlier worker died after its work and before it could say so
    try:
        shutil.rmtree(path.parent, ignore_errors=True)  # what an earlier worker was writing
        context.progress.phase("opening", subject="the model")
        load = sharing_loader()
        predictor = calibrated(find_predictor(context, request.model_id, load), request.settings.temperature)
        strangers = find_strangers(context, request.model_id, load)
        with ExitStack() as stack:
            listing = Listing(refused=list(request.refused))
            folders: list[tuple[str, ...]] = []
            for source in staged_sources(request, context.home, None):
                list_source(source, listing, stack)
                # The name of a ZIP file is no folder around its pictures.
                outermost = 1 if isinstance(source, ArchiveSource) else 0
                folders += [found.path_parts[outermost:-1] for found in listing.found[len(folders) :]]
            if not listing.found and not listing.refused:
                raise DatasetError("No pictures were found. Bring JPEG or PNG files, or a ZIP file with some inside.")
            asking = _Asking(context, request, predictor, listing, folders, strangers)
            write_atomically(path, asking.write)
        context.answer(asking.summary)
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise
    finally:
        remove_staging_dir(request.staging, context.home)
    if asking.was_stopped:
        done, total = asking.summary.answered, count(len(listing.found), "picture")
        return "stopped", f"Stopped: {done:,} of {total} were answered."
    return "finished", ""


def _brought(request: PredictionRequest) -> str:
    """Return the names of the archives and folders of a request, in a few words."""
    folders = dict.fromkeys(file.name.split("/")[0] for file in request.files if "/" in file.name)
    return some([*(archive.name for archive in request.archives), *folders])


def find_predictor(context: WorkerContext, model_id: str, load: Loader = CompiledModel) -> Predictor:
    """Return a run, a group or a simple head of the job's project, ready to answer; `load` loads the frozen parts.

    Raises:
        RunError: If there is none of this id, or its files are missing or damaged.
    """
    home, model = context.home, _model(context, model_id)
    if isinstance(model, Ensemble):
        members = [load_predictor(home.run_dir(run_id), home, load) for run_id in model.config.run_ids]
        return ensemble_predictor(members, model.config.weights)
    if isinstance(model, TrainedSimpleHead):
        return load_simple_head_predictor(simple_head_dir(model.job_id, model.result.kind, home), home, load)
    return load_predictor(home.run_dir(model.id), home, load)


def _model(context: WorkerContext, model_id: str) -> Model:
    try:
        return find_model(context.engine, context.project_id, model_id)
    except NotFoundError as error:
        raise RunError(_GONE) from error


@dataclass(frozen=True, slots=True, eq=False)
class FoundStrangers:
    """What tells, of any picture, whether it looks like none of a model's classes.

    Attributes:
        strangers: The training pictures, and the limit.
        frozen: The frozen part.
    """

    strangers: Strangers
    frozen: FrozenPart

    def is_strange(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether it does; the pixels are uint8 RGB of shape `(height, width, 3)`."""
        return self.strangers.is_strange(self.frozen.vector(pixels))


def find_strangers(context: WorkerContext, model_id: str, load: Loader = CompiledModel) -> FoundStrangers | None:
    """Return what tells pictures that look like none of a model's classes; `None` where nothing can.

    `load` loads the frozen part.
    """
    home, project_id = context.home, context.project_id
    with suppress(TransferLabError):  # without features, or with a damaged list of pictures
        model = _model(context, model_id)
        dataset = load_dataset(get_version(context.engine, project_id, model.version).content, home)

        def load_both(compared: tuple[Comparison, ...]) -> tuple[Neighbours, FrozenPart]:
            neighbours = load_neighbours(dataset, compared, home)
            comparison = neighbours.comparison
            return neighbours, FrozenPart(comparison.prefix, comparison.resize_mode, home, load)

        members = members_of(model, list_runs(context.engine, project_id))
        _, (neighbours, frozen) = first_comparable(members, load_both)
        strangers = load_strangers(neighbours, dataset, home)
        return None if strangers is None else FoundStrangers(strangers, frozen)
    return None


class _Asking:
    """Asks about what was listed, and writes down each answer as it comes.

    Args:
        context: Whose progress is told.
        request: What for.
        predictor: Who is asked.
        listing: What was brought.
        folders: Those around each file that was found.
        strangers: What tells pictures that look like none of the classes; `None` where nothing can.
    """

    def __init__(
        self,
        context: WorkerContext,
        request: PredictionRequest,
        predictor: Predictor,
        listing: Listing,
        folders: Sequence[tuple[str, ...]],
        strangers: FoundStrangers | None,
    ) -> None:
        self._progress, self._predictor, self._listing = context.progress, predictor, listing
        self._request, self._folders, self._strangers = request, folders, strangers
        self._truths = {similarity_key(name): index for index, name in enumerate(predictor.class_names)}
        self._answered = self._refused = self._known = self._sure = self._correct = self._strange = 0
        self.was_stopped = False

    @property
    def summary(self) -> PredictionSummary:
        """What was written."""
        strangers = None if self._strangers is None else self._strangers.strangers
        return PredictionSummary(
            class_names=self._predictor.class_names,
            class_colors=self._predictor.class_colors,
            answered=self._answered,
            refused=self._refused,
            known=self._known,
            sure=self._sure,
            correct=self._correct,
            aside=len(self._listing.aside) + len(self._listing.label_files),
            model_id=self._request.model_id,
            settings=self._request.settings,
            brought=_brought(self._request),
            strange=None if strangers is None else self._strange,
            judged_by=0 if strangers is None else strangers.judged_by,
        )

    def write(self, path: Path) -> None:
        """Write the answers to a new file; a wish to stop ends it early."""
        # A picture is compared in a moment; several threads for it would wait for each other on a busy computer.
        with threadpool_limits(1), writing_answers(path) as writer:
            for refusal in self._listing.refused:
                self._keep(writer, StoredAnswer(refusal.name, reason=refusal.reason))
            total = len(self._listing.found)
            try:
                self._progress.phase("answering", 0, total)
                with closing(self._answers()) as answers:
                    for done, answer in enumerate(answers, start=1):
                        self._keep(writer, answer)
                        self._progress.phase("answering", done, total)
            except StopRequested:
                self.was_stopped = True

    def _keep(self, writer: AnswerWriter, answer: StoredAnswer) -> None:
        writer.add(answer)
        self._refused += bool(answer.reason)
        self._answered += not answer.reason
        is_sure = answer.truth is not None and answer.is_sure(self._request.settings.threshold)
        self._known += answer.truth is not None
        self._sure += is_sure
        self._correct += is_sure and answer.truth == answer.said
        self._strange += bool(answer.strange)

    def _answers(self) -> Generator[StoredAnswer, None, None]:
        """Yield the answer to each file; the next few are decoded meanwhile."""
        threads = max(2, min(os.cpu_count() or 2, MAX_THREADS))
        decode = partial(_decoded, self._predictor.grey_range)
        with (
            ThreadPoolExecutor(threads, thread_name_prefix="decoding") as pool,
            closing(in_order(pool, decode, self._listing.found, ahead=2 * threads)) as decoded,
        ):
            for found, folders, pixels in zip(self._listing.found, self._folders, decoded, strict=True):
                if isinstance(pixels, Refusal):
                    yield StoredAnswer(pixels.name, reason=pixels.reason)
                else:
                    probabilities = self._predictor.predict([pixels])[0]
                    truth = truth_of(folders, self._truths)
                    strange = None if self._strangers is None else self._strangers.is_strange(pixels)
                    small = _thumbnail(pixels)
                    yield StoredAnswer(found.name, tuple(probabilities.tolist()), truth, small, strange=strange)


def truth_of(folders: Sequence[str], truths: Mapping[str, int]) -> int | None:
    """Return the class that a folder around a picture names, the innermost one first; `None` where none does.

    Args:
        folders: Names of the folders, the outermost first.
        truths: The index of each class by the `similarity_key` of its name.
    """
    return next((truths[key] for key in map(similarity_key, reversed(folders)) if key in truths), None)


def _decoded(grey_range: GreyRange | None, found: Found) -> NDArray[np.uint8] | Refusal:
    try:
        assert found.read is not None
        with found.in_turn():
            return pixels_of(found.read(), grey_range)
    except ImageError as error:
        return Refusal(found.name, str(error))


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    small, buffer = Image.fromarray(pixels), io.BytesIO()
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()
