"""Scripts of exported models, laid out and run as a person would run them."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tlcore.config import ModelConfig, RunConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.export.entries import Entry
from tlcore.export.source import ExportSource, Part, part_of_run
from tlcore.export.training_code import PICTURES_FILE, code_entries, picture_entries, write_backbone
from tlcore.home import DataRoot
from tlcore.model.cut import plan_model
from tlcore.results.prediction import PredictorSpec
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import SimpleHeadKind
from tlcore.storage.simple_heads import frozen_backbone

SPLITS: tuple[Split, ...] = ("train", "train", "validation", "test")


def source_of_run(folder: Path, config: RunConfig, dataset: Dataset) -> ExportSource:
    """Return what is exported of a run whose files lie in a folder."""
    return ExportSource("Run 1", (part_of_run(folder, config),), dataset, ModelSettings())


def lay_out(source: ExportSource, folder: Path, home: DataRoot) -> Path:
    """Unpack the code of a bundle, with the ZIP of pictures in each folder that has a list of them."""
    made = folder / "made"
    made.mkdir(parents=True)
    write_backbone(source, made, home)
    for entry in code_entries(source, home, made):
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_bytes(entry))
    for listed in folder.rglob("pictures.csv"):
        with zipfile.ZipFile(listed.with_name(PICTURES_FILE), "w") as archive:
            for entry in picture_entries(source.dataset, home):
                archive.writestr(entry.name, _bytes(entry))
        with listed.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == len(source.dataset.items)
    return folder / "code"


def _bytes(entry: Entry) -> bytes:
    return entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()


def run_script(folder: Path, name: str = "train.py") -> tuple[int, int]:
    """Run a script in its folder, in a process that does not find the app; return right test pictures and all.

    Raises:
        AssertionError: If it fails, with what it said.
    """
    # `-P` keeps the folder of the checkout out; the folder of the script is put in instead.
    program = f"import sys, runpy; sys.path.insert(0, '.'); sys.modules['tlcore'] = None; runpy.run_path('{name}')"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = re.search(r"\((\d+) of (\d+) pictures\)", done.stdout)
    assert found is not None, done.stdout[-1000:]
    return int(found[1]), int(found[2])


def listed_dataset(num_classes: int = 3, each: int = 8) -> Dataset:
    """Return a data set of pictures that are nowhere: for scripts that are written and not run."""
    classes = tuple(ClassLabel(f"id{number}", f"class {number}", number) for number in range(num_classes))
    items = tuple(
        Item(f"{number:064x}", classes[number % num_classes].id, SPLITS[number // num_classes % 4], f"{number}.jpg")
        for number in range(num_classes * each)
    )
    return Dataset(classes, items)


def part_of(config: RunConfig, dataset: Dataset, weight: float = 1.0) -> Part:
    """Return a network of some settings that nobody has trained: its script needs none of its files."""
    plan = plan_model(config.phases[-1].model)
    return Part(Path("nowhere"), "network", PredictorSpec.of(plan, dataset), plan.config, weight, config)


def simple_head_of(kind: SimpleHeadKind, model: ModelConfig, dataset: Dataset) -> Part:
    """Return a simple head that nobody has trained."""
    spec = PredictorSpec.of(plan_model(model), dataset)
    return Part(Path("nowhere") / kind, "simple_head", spec, frozen_backbone(model))
