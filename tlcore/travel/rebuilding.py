"""Models that arrived: their networks are built here, by this program, and get the numbers that they had learned."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tlcore.backbones.weights.keras_file import MAX_BYTES_BESIDES, MAX_BYTES_PER_PARAMETER, read_layout
from tlcore.config import RANDOM
from tlcore.damage import DAMAGE_ERRORS
from tlcore.dataset import Dataset
from tlcore.documents import read_document
from tlcore.errors import ArchiveError, WeightsError
from tlcore.features.compiled import configure_tensorflow
from tlcore.home import DataRoot, write_atomically
from tlcore.model.architecture import describe_model
from tlcore.model.cut import plan_model
from tlcore.results.prediction import SUFFIX_FILE, PredictorSpec, save_predictor_spec
from tlcore.results.prediction_code import MODEL_FILE
from tlcore.storage.configs import read_config
from tlcore.storage.requests import SimpleHeadsRequest
from tlcore.storage.simple_heads import frozen_backbone
from tlcore.travel.document import WEIGHTS_FILE

DOES_NOT_FIT = "A model in this project file does not fit what the file says of it, so nothing was opened."


def rebuild_run(config: str, dataset: Dataset, weights: Path, folder: Path, home: DataRoot) -> None:
    """Write the files of a run's model that are no arrays.

    The file of its weights is from anybody. It is looked through first, without Keras, and may hold nothing but arrays
    in itself; Keras then finds in it the numbers of a network that it does not describe.

    Args:
        config: The settings of the run, a stored document.
        dataset: What it learned from.
        weights: `model.weights.h5` of its model.
        folder: The run's folder.
        home: The data root.

    Raises:
        ArchiveError: If the weights do not fit the settings.
        StorageError: If the disk is full.
    """
    chosen = read_config(config).phases[-1].model
    plan = plan_model(chosen)
    model_size = describe_model(chosen, dataset.num_classes)
    parameters = model_size.trainable_parameters + model_size.frozen_parameters
    try:
        read_layout(weights, "The model", parameters * MAX_BYTES_PER_PARAMETER + MAX_BYTES_BESIDES)
    except WeightsError as error:
        raise ArchiveError(DOES_NOT_FIT) from error
    configure_tensorflow()
    from tlcore.features.compiling import compile_model
    from tlcore.model.classifier import build_classifier, cut_model
    from tlcore.results.export import save_export

    # Whatever they began with: all of them are replaced, and the published ones need not be here.
    built = build_classifier(plan_model(replace(chosen, weights=RANDOM)), dataset.num_classes, home)
    classifier = cut_model(built.model, plan)
    try:
        classifier.model.load_weights(weights)
    except DAMAGE_ERRORS as error:
        raise ArchiveError(DOES_NOT_FIT) from error
    save_export(classifier.model, chosen, dataset, folder)
    write_atomically(folder / MODEL_FILE, lambda path: _with_weights(folder / MODEL_FILE, weights, path))
    compile_model(classifier.suffix, folder / SUFFIX_FILE)
    save_predictor_spec(PredictorSpec.of(plan, dataset), folder)


def _with_weights(model: Path, weights: Path, target: Path) -> None:
    """Write a `.keras` file with the very file of weights that came: the same bytes travel on."""
    with zipfile.ZipFile(model) as archive, zipfile.ZipFile(target, "w") as changed:
        for entry in archive.infolist():
            with changed.open(entry.filename, "w", force_zip64=True) as written:
                if entry.filename == WEIGHTS_FILE:
                    with weights.open("rb") as source:
                        shutil.copyfileobj(source, written)
                else:
                    with archive.open(entry) as part:
                        shutil.copyfileobj(part, written)


def describe_heads(request: str, dataset_of: Callable[[int], Dataset], folder: Path) -> None:
    """Write beside simple heads what turns a picture into their probabilities.

    Args:
        request: What their job was asked for, a stored document.
        dataset_of: Returns a version of the data set by its number.
        folder: Holds a folder for each head.
    """
    asked = read_document(request, SimpleHeadsRequest)
    spec = PredictorSpec.of(plan_model(frozen_backbone(asked.model)), dataset_of(asked.version))
    for head in folder.iterdir():
        save_predictor_spec(spec, head)
