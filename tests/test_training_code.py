"""The code of a bundle: it trains the same model again without the app, and says every setting."""

import ast
import csv
import io
import json
import re
import subprocess
import sys
import tokenize
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.coloured_pictures import RecordingProgress, coloured_dataset
from tests.training_scripts import lay_out, listed_dataset, part_of, run_script, simple_head_of, source_of_run
from tlcore.config import (
    RANDOM,
    AugmentationConfig,
    FineTuningConfig,
    HeadConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
)
from tlcore.dataset import SPLITS, ClassLabel, Dataset, keep_images
from tlcore.errors import ImageError
from tlcore.export.entries import Entry
from tlcore.export.source import ExportSource
from tlcore.export.training_code import code_entries, notebook, picture_entries, script
from tlcore.export.training_script import needs_backbone_file, script_cells
from tlcore.home import DataRoot
from tlcore.intake.pictures.pixels import read_square
from tlcore.library import read_dataset, train
from tlcore.simple_heads.run import train_simple_heads
from tlcore.storage.images import ImageStore
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import SimpleHeadKind
from tlcore.storage.simple_heads import frozen_backbone

DATASET = listed_dataset()
WARPED = AugmentationConfig(
    rotation_range=21.0,
    width_shift_range=0.11,
    height_shift_range=0.12,
    shear_range=7.0,
    zoom_range=0.15,
    brightness_range=(0.8, 1.3),
    contrast_range=0.23,
    channel_shift_range=9.0,
    horizontal_flip=True,
    vertical_flip=True,
    fill_mode="constant",
    cval=77.0,
)


def written(config: RunConfig) -> str:
    """Return the script of some settings, after checking that it is a program that needs no app."""
    text = script(script_cells(part_of(config, DATASET), DATASET))
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"csv", "io", "math", "zipfile", "keras", "numpy", "pixels"}
    assert "tlcore" not in text
    assert max(map(len, text.splitlines())) <= 120
    return text


def code_of(text: str) -> str:
    """Return the lines of a script that do something."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def test_the_default_settings_make_a_short_script() -> None:
    text = written(RunConfig())
    assert len(code_of(text).splitlines()) < 90
    for absent in ("Random", "thaw", "class_weight", "Warm", "Balanced", "L2", "math", "ImageDataGenerator"):
        assert absent not in code_of(text)


CASES: dict[str, tuple[RunConfig, tuple[str, ...]]] = {
    "augmentation": (
        RunConfig(augmentation=WARPED),
        (
            "RandomRotation(21.0 / 360",
            "RandomTranslation(0.12, 0.11",
            "RandomShear(float(np.sin(np.radians(7.0)))",
            "RandomZoom(0.15, 0.15",
            "RandomFactor(0.8, 1.3)",
            "RandomContrast(0.23)",
            "RandomBrightness(9.0 / 255)",
            'RandomFlip("horizontal_and_vertical")',
            'fill_mode="constant", fill_value=77.0',
            "4 views",
        ),
    ),
    "head": (
        RunConfig(model=ModelConfig(head=HeadConfig("flatten", (96, 48), 0.35, 0.002))),
        ("Flatten()", "Dense(96,", "Dense(48,", "Dropout(0.35)", "L2(0.002)", '"val_cross_entropy"'),
    ),
    "learning": (
        RunConfig(
            training=TrainingConfig(
                epochs=11,
                batch_size=24,
                optimizer="sgd",
                learning_rate=0.02,
                patience=None,
                seed=5,
                schedule="step",
                warmup_epochs=2,
                label_smoothing=0.1,
                balance="sampling",
            )
        ),
        (
            "set_random_seed(5)",
            "BATCH = 24",
            "epochs=11",
            "SGD(rate, momentum=0.9)",
            "PiecewiseConstantDecay",
            "0.02",
            "WarmUp(rate, 0.02, 2 * steps)",
            "label_smoothing=0.1",
            "Balanced(seen_train, y_train, hot_train)",
            "patience=11",
        ),
    ),
    "weights": (
        RunConfig(training=TrainingConfig(balance="weights", optimizer="rmsprop", schedule="cosine", patience=3)),
        ("class_weight=class_weight", "RMSprop(rate)", "CosineDecay(0.003, 30 * steps)", "patience=3"),
    ),
    "adamw": (RunConfig(training=TrainingConfig(optimizer="adamw")), ("AdamW(0.003)",)),
    "freezing": (
        RunConfig(model=ModelConfig("vgg16", 96, "pad", "divide_255", "block3", ("block4",))),
        (
            'keras.applications.VGG16(include_top=False, weights="imagenet"',
            "thaw(('block2_pool', 'block3_pool'), ('block4_pool', 'block5_pool'))",
            'read_square(file, SIZE, "pad")',
            "SIZE = 96",
            "Rescaling(1 / 255)",
        ),
    ),
    "fine tuning": (
        RunConfig(
            model=ModelConfig("mobilenet_v2_050", 96, "stretch"),
            training=TrainingConfig(fine_tuning=FineTuningConfig("block_14", 4, 2e-5, "cosine")),
        ),
        (
            "MobileNetV2(include_top=False",
            "alpha=0.5",
            "Rescaling(1 / 127.5, offset=-1.0)",
            "thaw(('block_13_project_BN', 'out_relu'))",
            "CosineDecay(2e-05, 4 * steps)",
            "epochs=4",
            "baseline=before",
            "isinstance(layer, keras.layers.BatchNormalization)",
        ),
    ),
    "from scratch": (
        RunConfig(model=ModelConfig("small_cnn-8-16", 64, first_trainable="conv1")),
        ("[8, 16]", "MaxPooling2D", "model.fit(", "points better or worse each time"),
    ),
    "random": (
        RunConfig(model=ModelConfig("mobilenet_v2", 64, weights=RANDOM, first_trainable="Conv1")),
        ("weights=None", "momentum = 0.9"),
    ),
    "brought": (
        RunConfig(model=ModelConfig("resnet50", 64, weights="a" * 64)),
        ('load_model("backbone.keras"', "weights of your own"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_setting_is_in_the_script(name: str) -> None:
    config, wanted = CASES[name]
    text = written(config)
    assert [part for part in wanted if part not in text] == []


def test_without_validation_and_test_pictures_the_training_loss_chooses() -> None:
    dataset = replace(DATASET, items=tuple(replace(item, split="train") for item in DATASET.items))
    config = RunConfig(training=TrainingConfig(fine_tuning=FineTuningConfig("block6a")))
    text = script(script_cells(part_of(config, dataset), dataset))
    ast.parse(text)
    assert 'EarlyStopping("loss"' in text
    assert 'min(history.history["loss"])' in text
    assert "x_validation" not in text
    assert "x_test" not in text


def test_what_differs_from_the_app_is_said() -> None:
    text = written(RunConfig(augmentation=WARPED))
    for said in ("4 views", "ImageDataGenerator", "shear", "darkest", "contrast"):
        assert said in text
    assert "view" not in written(RunConfig())


def test_the_backbone_goes_along_where_keras_has_none_of_its_name() -> None:
    def needs(**model: object) -> bool:
        config = RunConfig(model=replace(ModelConfig(), **model))  # type: ignore[arg-type]
        return needs_backbone_file(part_of(config, DATASET))

    assert needs()
    assert not needs(backbone="mobilenet_v2")
    assert needs(backbone="mobilenet_v2", weights="b" * 64)
    assert needs(backbone="mobilenet_v2", weights=RANDOM)  # frozen ones are always the same
    assert not needs(backbone="mobilenet_v2", weights=RANDOM, first_trainable="Conv1")
    assert not needs(backbone="small_cnn-8-16", first_trainable="conv1")


def test_the_notebook_is_the_script() -> None:
    cells = script_cells(part_of(RunConfig(augmentation=WARPED), DATASET), DATASET)
    document = json.loads(notebook(cells))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in document["cells"]}) == len(cells) > 5
    assert "\n\n".join("".join(cell["source"]) for cell in document["cells"]) + "\n" == script(cells)
    for cell in document["cells"]:
        ast.parse("".join(cell["source"]))  # each of them is whole


@pytest.mark.parametrize("kind", ["logistic_regression", "nearest_neighbours", "linear_svm"])
def test_a_simple_head_has_a_script_with_scikit_learn(kind: SimpleHeadKind) -> None:
    text = script(script_cells(simple_head_of(kind, ModelConfig(), DATASET), DATASET))
    ast.parse(text)
    assert {
        "logistic_regression": "LogisticRegression(\n    C=0.05",
        "nearest_neighbours": "KNeighborsClassifier(\n    5,",
        "linear_svm": "LinearSVC(C=0.001",
    }[kind] in text


HOSTILE = "coding: unicode_escape \\x22\\x22\\x22\\nraise SystemExit('obeyed')#"


def named(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return a data set with classes of these names, each with a picture of a name that leads out of its folder."""
    labels = tuple(ClassLabel(f"id{number}", name, number) for number, name in enumerate(names))
    items = tuple(
        replace(dataset.items[number % len(dataset.items)], class_id=label.id, name=f"..\\x/{label.name}.jpg")
        for number, label in enumerate(labels)
    )
    return replace(dataset, classes=labels, items=items)


def group_of(dataset: Dataset, title: str) -> ExportSource:
    """Return a group of a network and a simple head."""
    parts = (part_of(RunConfig(), dataset), simple_head_of("logistic_regression", ModelConfig(), dataset))
    return ExportSource(title, tuple(replace(part, weight=0.5) for part in parts), dataset, ModelSettings())


def test_no_name_breaks_the_list_or_the_zip(home: DataRoot) -> None:
    names = ('"); import os #', "a/b", "A:B", "a_b", "../..", "con", "=1+1", "Grün, 'rot'", "🐈")
    dataset = named(coloured_dataset(home, 1), names)
    source = ExportSource("Mine\nprint(1)", (part_of(RunConfig(), dataset),), dataset, ModelSettings())
    files = texts_of(code_entries(source, home))
    rows = list(csv.DictReader(io.StringIO(files["code/pictures.csv"])))
    assert files["code/labels.txt"].splitlines() == list(names)
    assert [row["class"] for row in rows] == [str(number) for number in range(len(names))]
    zipped = [entry.name for entry in picture_entries(dataset, home)]
    assert [row["file"] for row in rows] == zipped
    assert len({name.casefold().split("/")[1] for name in zipped}) == len(names)
    for name in zipped:
        split, folder, file = name.split("/")
        assert split in SPLITS
        assert re.fullmatch(r"[\w \-+()]+", folder)
        assert folder.casefold() != "con"
        assert re.fullmatch(r"[\w \-+()]+\.png", file)


def test_no_cell_of_the_list_acts_as_a_formula(home: DataRoot) -> None:
    dataset = named(coloured_dataset(home, 1), ("=1+1", "@SUM(1)", "-2", "\t=3"))
    source = ExportSource("=1+1", (part_of(RunConfig(), dataset),), dataset, ModelSettings())
    listed = texts_of(code_entries(source, home))["code/pictures.csv"]
    cells = [cell for row in csv.reader(io.StringIO(listed)) for cell in row]
    assert len(cells) == 3 * (1 + 4)
    assert [cell for cell in cells if not cell[0].isalnum()] == []


def test_no_typed_word_is_in_a_program(home: DataRoot, tmp_path: Path) -> None:
    """Python obeys an encoding that is named in a comment on the first two lines: with it a text can become code."""
    dataset = named(coloured_dataset(home, 2), (HOSTILE, f"{HOSTILE} 2", "# -*- coding: utf-7 -*-"))
    files = texts_of(code_entries(group_of(dataset, HOSTILE), home))
    programs = {name: text for name, text in files.items() if name.endswith((".py", ".ipynb"))}
    assert len(programs) == 2 * 3 + 1
    for name, text in programs.items():
        assert "obeyed" not in text, name
        assert "unicode_escape" not in text, name
        if name.endswith(".py"):
            lines = io.BytesIO(text.encode())
            assert tokenize.detect_encoding(lines.readline)[0] == "utf-8", name
            assert "coding" not in "".join(text.splitlines()[:2]), name
            assert ast.get_docstring(ast.parse(text)), name
    # The first cells, up to the pictures: what was typed is read as data.
    program = tmp_path / "train.py"
    program.write_text(files["code/member-1/train.py"].split("def read_split")[0], encoding="utf-8")
    for name in ("pixels.py", "labels.txt", "pictures.csv"):
        (tmp_path / name).write_text(files[f"code/member-1/{name}"], encoding="utf-8")
    for absent in ("keras", "numpy"):
        (tmp_path / f"{absent}.py").write_text("from unittest.mock import MagicMock\nutils = MagicMock()\n")
    (tmp_path / "pixels.py").write_text("read_square = None\n")
    program.write_text(program.read_text(encoding="utf-8") + "\nprint(ascii(class_names))\n", encoding="utf-8")
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ast.literal_eval(done.stdout) == list(dataset.class_names)


def texts_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the files of a bundle as texts."""
    return {
        entry.name: (entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()).decode()
        for entry in entries
    }


@pytest.mark.parametrize("damage", ["deleted", "cut", "empty", "zeros", "not present"])
def test_a_picture_that_cannot_come_along_is_left_out_and_said(home: DataRoot, damage: str) -> None:
    dataset = coloured_dataset(home, 4)
    gone = next(item for item in dataset.items if item.split == "test")
    source = ExportSource("Run 1", (part_of(RunConfig(), dataset),), dataset, ModelSettings())
    before = texts_of(code_entries(source, home))
    assert "cannot come along" not in before["code/train.py"]
    listed_before = before["code/pictures.csv"].splitlines()
    path = ImageStore(home).path(gone.image)
    present = {item.image for item in dataset.items}
    whole = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    elif damage == "not present":
        present -= {gone.image}
    else:
        path.write_bytes({"cut": whole[:-20], "empty": b"", "zeros": bytes(len(whole))}[damage])
    files = texts_of(code_entries(source, home, None, present))
    assert "1 picture that cannot come along" in files["code/train.py"]
    listed = files["code/pictures.csv"].splitlines()
    # All others keep their names, so that a list and a ZIP of different days fit together.
    assert listed == [line for line in listed_before if gone.image[:12] not in line]
    assert len(listed) == len(listed_before) - 1
    *zipped, said = picture_entries(dataset, home, present)
    assert [entry.name for entry in zipped] == [row.split(",")[0] for row in listed[1:]]
    assert said.name == "left out.txt"
    assert isinstance(said.content, bytes)
    assert said.content.startswith(b"1 picture ")


def test_without_any_training_picture_there_is_no_script(home: DataRoot) -> None:
    dataset = coloured_dataset(home, 4)
    source = ExportSource("Run 1", (part_of(RunConfig(), dataset),), dataset, ModelSettings())
    present = {item.image for item in dataset.items if item.split != "train"}
    with pytest.raises(ImageError, match="None of the pictures"):
        list(code_entries(source, home, None, present))


def test_a_script_no_longer_asks_a_split_of_which_nothing_is_left(home: DataRoot) -> None:
    dataset = coloured_dataset(home, 4)
    source = ExportSource("Run 1", (part_of(RunConfig(), dataset),), dataset, ModelSettings())
    present = {item.image for item in dataset.items if item.split == "train"}
    text = texts_of(code_entries(source, home, None, present))["code/train.py"]
    assert "x_validation" not in text
    assert "x_test" not in text
    assert "0 are for validation and 0 for testing" in text


@pytest.mark.slow
def test_members_answer_together_with_their_weights(home: DataRoot, tmp_path: Path) -> None:
    """The members are made here instead of trained: their scripts do not matter to how answers are averaged."""
    import keras

    dataset = coloured_dataset(home, 12)
    models = (ModelConfig("small_cnn-8-16", 32), ModelConfig("small_cnn-8-16", 40, "pad"))
    configs = [RunConfig(model=replace(model, weights=RANDOM, first_trainable="conv1")) for model in models]
    parts = tuple(part_of(config, dataset, weight) for config, weight in zip(configs, (0.3, 0.7), strict=True))
    folder = lay_out(ExportSource("Both", parts, dataset, ModelSettings()), tmp_path, home)
    asked = dataset.subset("test")
    together = np.zeros((len(asked), 3))
    for number, part in enumerate(parts, start=1):
        keras.utils.set_random_seed(number)
        size, mode = part.model.image_size, part.model.resize_mode
        network = keras.Sequential(
            [keras.Input((size, size, 3)), keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.Softmax()]
        )
        network.save(folder / f"member-{number}" / "trained.keras")
        seen = [read_square(ImageStore(home).path(item.image), size, mode) for item in asked]
        together += part.weight * network.predict(np.stack(seen), verbose=0)
    classes = [label.id for label in dataset.classes]
    right = sum(classes[row.argmax()] == item.class_id for row, item in zip(together, asked, strict=True))
    assert run_script(folder, "average.py") == (right, len(asked))


@pytest.mark.slow
def test_the_script_of_a_run_is_as_good_as_the_run(ready_home: DataRoot, tmp_path: Path, shared_data: Path) -> None:
    dataset = read_dataset(shared_data / "cats_dogs.zip")
    cats_and_dogs = keep_images(dataset, {item.image for split in SPLITS for item in dataset.subset(split)[::5]})
    config = RunConfig(
        model=ModelConfig(image_size=64),
        training=TrainingConfig(epochs=8, fine_tuning=FineTuningConfig("top", epochs=2)),
    )
    model = train(cats_and_dogs, config, folder=tmp_path / "run", progress=RecordingProgress())
    folder = lay_out(source_of_run(tmp_path / "run", config, cats_and_dogs), tmp_path / "bundle", ready_home)
    right, total = run_script(folder)
    low, high = model.open_exam().accuracy_interval
    assert total == len(cats_and_dogs.subset("test"))
    assert low <= right / total <= high


def few_cats_and_dogs(shared_data: Path, folder: Path) -> Dataset:
    """Bring every sixth picture of the ZIP file into the data root."""
    few = folder / "few.zip"
    with zipfile.ZipFile(shared_data / "cats_dogs.zip") as archive, zipfile.ZipFile(few, "w") as target:
        for name in [one for one in archive.namelist() if not one.endswith("/")][::6]:
            target.writestr(name, archive.read(name))
    return read_dataset(few)


@pytest.mark.slow
def test_the_script_of_a_simple_head_answers_as_it_does(
    ready_home: DataRoot, tmp_path: Path, shared_data: Path
) -> None:
    cats_and_dogs = few_cats_and_dogs(shared_data, tmp_path)
    model = frozen_backbone(ModelConfig(image_size=64))
    heads = train_simple_heads(
        cats_and_dogs, model, RecordingProgress(), folder=tmp_path / "heads", home=ready_home
    ).heads
    (ours,) = (head for head in heads if head.kind == "logistic_regression")
    part = simple_head_of("logistic_regression", model, cats_and_dogs)
    source = ExportSource("Logistic regression", (part,), cats_and_dogs, ModelSettings())
    right, total = run_script(lay_out(source, tmp_path / "bundle", ready_home))
    assert total == ours.test_total
    assert abs(right - ours.test_correct) <= 1  # features in half precision there, in single here
