"""The code of a bundle: a script and a notebook that train the model again without the app, and what they need."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from tlcore.dataset import Dataset, Item
from tlcore.documents import to_json
from tlcore.export.entries import Entry
from tlcore.export.group_script import group_script
from tlcore.export.source import ExportSource, Part
from tlcore.export.training_script import (
    BACKBONE_FILE,
    LIST_FILE,
    PICTURES_FILE,
    needs_backbone_file,
    script_cells,
)
from tlcore.home import DataRoot, write_atomically
from tlcore.intake.pictures import pixels
from tlcore.model.cut import plan_model
from tlcore.results.prediction_code import PIXELS_FILE
from tlcore.storage.images import ImageStore

__all__ = ["PICTURES_FILE", "backbone_file", "code_entries", "picture_entries", "readme_lines", "write_backbone"]

CODE_DIR = "code"
SCRIPT_FILE = "train.py"
NOTEBOOK_FILE = "train.ipynb"
GROUP_SCRIPT_FILE = "average.py"

_PNG_BEGINS = b"\x89PNG"
_MAX_NAME_LENGTH = 60


def code_entries(source: ExportSource, home: DataRoot, folder: Path | None = None) -> Iterator[Entry]:
    """Yield the files of the folder `code` of a bundle.

    Args:
        source: The model; each member of a group has a folder of its own.
        home: The data root.
        folder: Where `write_backbone` left the backbones; one that is not there is left out.

    Raises:
        ImageError: If a picture is missing.
    """
    for place, part in enumerate(source.parts):
        inside = _part_dir(source, place)
        title = source.title if len(source.parts) == 1 else f"{source.title}, member {place + 1}"
        cells = script_cells(part, source.dataset, title)
        yield Entry(f"{inside}/{SCRIPT_FILE}", script(cells).encode())
        yield Entry(f"{inside}/{NOTEBOOK_FILE}", notebook(cells).encode())
        yield Entry(f"{inside}/{PIXELS_FILE}", Path(pixels.__file__))
        yield Entry(f"{inside}/{LIST_FILE}", _list_of_pictures(source.dataset, home))
        if folder is not None and needs_backbone_file(part):
            path = folder / backbone_file(source, place)
            if path.is_file():
                yield Entry(f"{inside}/{BACKBONE_FILE}", path)
    if len(source.parts) > 1:
        yield Entry(f"{CODE_DIR}/{GROUP_SCRIPT_FILE}", group_script(source).encode())


def readme_lines(source: ExportSource) -> tuple[str, ...]:
    """Return what the README of a bundle says about its folder `code`."""
    folders = "code" if len(source.parts) == 1 else "each folder of code"
    lines = [
        f"To train it again yourself: {folders} holds {SCRIPT_FILE}, a short program in plain Keras with the",
        f"settings of this model, and the same as a notebook, {NOTEBOOK_FILE}. Put {PICTURES_FILE} beside it, which",
        f"the app's Export page gives, and run: python {SCRIPT_FILE}",
    ]
    if len(source.parts) > 1:
        lines.append(f"Then python {GROUP_SCRIPT_FILE} in code lets the members answer together.")
    return tuple(lines)


def backbone_file(source: ExportSource, place: int) -> str:
    """Return the name of the file, in the folder of an export, with which the script of a part begins.

    Args:
        source: The model.
        place: Which of its parts, from 0.
    """
    if len(source.parts) == 1:
        return BACKBONE_FILE
    path = Path(BACKBONE_FILE)
    return f"{path.stem}-{place + 1}{path.suffix}"


def write_backbone(source: ExportSource, folder: Path, home: DataRoot) -> None:
    """Write the backbones with which the scripts begin, where Keras has none of that name; needs TensorFlow.

    Args:
        source: The model.
        folder: Of the export.
        home: The data root.

    Raises:
        WeightsError: If the weights are not on this computer any more.
        StorageError: If the disk is full.
    """
    for place, part in enumerate(source.parts):
        if needs_backbone_file(part):
            _write_backbone(part, folder / backbone_file(source, place), home)


def _write_backbone(part: Part, path: Path, home: DataRoot) -> None:
    from tlcore.backbones.keras_models import build_backbone
    from tlcore.results.export import save_keras_file

    first = part.model if part.config is None else part.config.phases[0].model
    plan = plan_model(first)
    seed = 0 if part.config is None else part.config.training.seed
    model = build_backbone(
        plan.backbone, first.image_size, home, first.weights, learning=plan.trainable_blocks, seed=seed
    )
    write_atomically(path, lambda temporary: save_keras_file(model, temporary))


def _part_dir(source: ExportSource, place: int) -> str:
    return CODE_DIR if len(source.parts) == 1 else f"{CODE_DIR}/member-{place + 1}"


def script(cells: Sequence[str]) -> str:
    """Return the cells of a script as one program."""
    return "\n\n".join(cells) + "\n"


def notebook(cells: Sequence[str]) -> str:
    """Return the cells of a script as a Jupyter notebook, version 4 of its format.

    Source:
        https://nbformat.readthedocs.io/en/latest/format_description.html
    """
    code: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "source": cell.splitlines(keepends=True),
        }
        for number, cell in enumerate(cells, start=1)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return to_json({"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def picture_entries(dataset: Dataset, home: DataRoot) -> Iterator[Entry]:
    """Yield the pictures of a data set for `PICTURES_FILE`, in folders for splits and classes, as they are stored.

    Args:
        dataset: The data set.
        home: The data root.

    Raises:
        ImageError: If a picture is missing.
    """
    store = ImageStore(home)
    for item, name in zip(dataset.items, _picture_names(dataset, store), strict=True):
        yield Entry(name, store.path(item.image))


def _list_of_pictures(dataset: Dataset, home: DataRoot) -> bytes:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["file", "class", "split"])
    names = {label.id: label.name for label in dataset.classes}
    for item, name in zip(dataset.items, _picture_names(dataset, ImageStore(home)), strict=True):
        table.writerow([name, names[item.class_id], item.split])
    return buffer.getvalue().encode()


def _picture_names(dataset: Dataset, store: ImageStore) -> Iterator[str]:
    """Yield the path of each item in the ZIP of pictures: no two alike, and one that every system takes."""
    folders: dict[str, str] = {}
    for number, label in enumerate(dataset.classes, start=1):
        folder = _safe(label.name) or "class"
        is_taken = folder.casefold() in {taken.casefold() for taken in folders.values()}
        folders[label.id] = f"{number} {folder}" if is_taken else folder
    for number, item in enumerate(dataset.items, start=1):
        yield f"{item.split}/{folders[item.class_id]}/{_file_name(number, item, store)}"


def _file_name(number: int, item: Item, store: ImageStore) -> str:
    try:
        with store.path(item.image).open("rb") as file:
            begins = file.read(len(_PNG_BEGINS))
    except OSError:
        begins = store.read(item.image)  # it says what to do
    suffix = ".png" if begins.startswith(_PNG_BEGINS) else ".jpg"
    stem = _safe(Path(item.name.replace("\\", "/")).stem)
    return f"{number:06} {stem}".strip() + suffix


def _safe(name: str) -> str:
    """Return what is left of a name when only letters, digits, spaces and a few signs are kept."""
    kept = re.sub(r"[^\w \-+()]", "_", unicodedata.normalize("NFC", name))[:_MAX_NAME_LENGTH].strip(" _")
    # Windows keeps these names for devices.
    return f"{kept}_" if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", kept) else kept
