"""The code of a bundle: a script and a notebook that train the model again without the app, and what they need."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tlcore.dataset import Dataset, Item, keep_images
from tlcore.documents import to_json
from tlcore.errors import ImageError
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
from tlcore.results.prediction_code import LABELS_FILE, PIXELS_FILE, labels_text
from tlcore.settings.words import count
from tlcore.storage.images import ImageStore

__all__ = ["PICTURES_FILE", "backbone_file", "code_entries", "picture_entries", "readme_lines", "write_backbone"]

CODE_DIR = "code"
SCRIPT_FILE = "train.py"
NOTEBOOK_FILE = "train.ipynb"
GROUP_SCRIPT_FILE = "average.py"

LEFT_OUT_FILE = "left out.txt"
"""In the ZIP of pictures: that some are not in it."""

_PNG_BEGINS, _PNG_ENDS = b"\x89PNG", b"IEND\xaeB`\x82"
_JPEG_BEGINS, _JPEG_ENDS = b"\xff\xd8", b"\xff\xd9"
_MAX_NAME_LENGTH = 60


def code_entries(
    source: ExportSource, home: DataRoot, folder: Path | None = None, present: Collection[str] | None = None
) -> Iterator[Entry]:
    """Yield the files of the folder `code` of a bundle.

    Pictures that are not present or cannot be read are left out, and the scripts say how many.

    Args:
        source: The model; each member of a group has a folder of its own.
        home: The data root.
        folder: Where `write_backbone` left the backbones; one that is not there is left out.
        present: The keys of the pictures that may leave, those which nobody has deleted since; `None` for all.

    Raises:
        ImageError: If no training picture is left.
    """
    listed = dict(_readable(source.dataset, home, present))
    if not any(item.split == "train" for item in listed):
        raise ImageError(
            "None of the pictures that this model learned from is left, so there is nothing to train it again with."
        )
    dataset = replace(source.dataset, items=tuple(listed))
    num_left_out = len(source.dataset.items) - len(listed)
    table = _list_of_pictures(dataset, listed.values())
    for place, part in enumerate(source.parts):
        inside = _part_dir(source, place)
        cells = script_cells(part, dataset, num_left_out)
        yield Entry(f"{inside}/{SCRIPT_FILE}", script(cells).encode())
        yield Entry(f"{inside}/{NOTEBOOK_FILE}", notebook(cells).encode())
        yield Entry(f"{inside}/{PIXELS_FILE}", Path(pixels.__file__))
        yield Entry(f"{inside}/{LABELS_FILE}", labels_text(dataset.class_names).encode())
        yield Entry(f"{inside}/{LIST_FILE}", table)
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
        f"the app's Export page gives to whoever owns the project, and run: python {SCRIPT_FILE}",
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


def picture_entries(dataset: Dataset, home: DataRoot, present: Collection[str] | None = None) -> Iterator[Entry]:
    """Yield the pictures of a data set for `PICTURES_FILE`, in folders for splits and classes, as they are stored.

    Pictures that are not present or cannot be read are left out, and a text at the end says how many.

    Args:
        dataset: The data set.
        home: The data root.
        present: The keys of the pictures that may leave, those which nobody has deleted since; `None` for all.
    """
    store = ImageStore(home)
    num_left_out = len(dataset.items)
    for item, name in _readable(dataset, home, present):
        num_left_out -= 1
        yield Entry(name, store.path(item.image))
    if num_left_out:
        text = (
            f"{count(num_left_out, 'picture')} of this data set cannot come along: deleted since, or not readable any "
            "more.\n"
        )
        yield Entry(LEFT_OUT_FILE, text.encode())


def _list_of_pictures(dataset: Dataset, names: Collection[str]) -> bytes:
    """Return the list: classes are numbers, as a name might act as a formula in a spreadsheet."""
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["file", "class", "split"])
    numbers = {label.id: number for number, label in enumerate(dataset.classes)}
    for item, name in zip(dataset.items, names, strict=True):
        table.writerow([name, numbers[item.class_id], item.split])
    return buffer.getvalue().encode()


def _readable(dataset: Dataset, home: DataRoot, present: Collection[str] | None) -> Iterator[tuple[Item, str]]:
    """Yield each item whose picture may leave and can be read, with its path in the ZIP of pictures.

    No two paths are alike, and every system takes them. A picture keeps its path whatever others are deleted, so that
    a list and a ZIP of different days fit together.
    """
    store = ImageStore(home)
    folders: dict[str, str] = {}
    for number, label in enumerate(dataset.classes, start=1):
        folder = _safe(label.name) or "class"
        is_taken = folder.casefold() in {taken.casefold() for taken in folders.values()}
        folders[label.id] = f"{number} {folder}" if is_taken else folder
    kept = dataset if present is None else keep_images(dataset, present)
    for item in kept.items:
        suffix = _suffix(store.path(item.image))
        if suffix:
            stem = _safe(Path(item.name.replace("\\", "/")).stem)
            yield item, f"{item.split}/{folders[item.class_id]}/{f'{stem} {item.image[:12]}'.strip()}{suffix}"


def _suffix(path: Path) -> str:
    """Return how the name of a stored picture ends; empty for one that is missing, cut or otherwise damaged."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(_PNG_BEGINS))
            file.seek(-len(_PNG_ENDS), os.SEEK_END)
            ends = file.read()
    except OSError:
        return ""
    if begins.startswith(_PNG_BEGINS) and ends.endswith(_PNG_ENDS):
        return ".png"
    return ".jpg" if begins.startswith(_JPEG_BEGINS) and ends.endswith(_JPEG_ENDS) else ""


def _safe(name: str) -> str:
    """Return what is left of a name when only letters, digits, spaces and a few signs are kept."""
    kept = re.sub(r"[^\w \-+()]", "_", unicodedata.normalize("NFC", name))[:_MAX_NAME_LENGTH].strip(" _")
    # Windows keeps these names for devices.
    return f"{kept}_" if re.fullmatch(r"(?i)con|prn|aux|nul|com\d|lpt\d", kept) else kept
