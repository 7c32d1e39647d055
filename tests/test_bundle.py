"""A bundle: all that its README names and nothing else, and a self test that runs and notices what is spoilt."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from tests.coloured_pictures import RecordingProgress
from tests.exportable import keep_examples, result_of, train_small
from tests.ready_heads import make_project_with_heads
from tests.test_card import PLAIN, source_of
from tlcore.documents import read_document
from tlcore.export import self_test
from tlcore.export.bundle import bundle_entries
from tlcore.export.certifying import hash_of
from tlcore.export.examples import (
    NUM_EXAMPLES,
    KeptAnswers,
    KeptExamples,
    KeptPicture,
    choose_examples,
    expected_of,
    read_examples,
)
from tlcore.export.formats import FORMATS
from tlcore.export.graph import build_any_size, build_square
from tlcore.export.making import original_predictor
from tlcore.export.manifest import Manifest
from tlcore.export.source import ExportSource, find_source
from tlcore.home import DataRoot
from tlcore.images.resizing import decode_image
from tlcore.results.calibration import calibrated_probabilities
from tlcore.results.export import save_keras_file
from tlcore.results.prediction import Predictor
from tlcore.storage.card_words import CardWords
from tlcore.storage.database import open_database
from tlcore.storage.images import ImageStore
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportResult, FormatReport

WORDS = CardWords("To tell colours apart")
RUNTIMES = {"keras": "keras", "ai_edge_litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportSource, DataRoot]:
    return train_small(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def made(trained: tuple[ExportSource, DataRoot], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with files of every runtime, by the converters alone."""
    folder = tmp_path_factory.mktemp("files")
    model = build_any_size(*trained)
    model(np.zeros((1, 48, 64, 3), np.float32))
    save_keras_file(model, folder / "model.keras")
    model.export(folder / "model.onnx", format="onnx", verbose=False)
    model.export(folder / "saved_model", format="tf_saved_model", verbose=False)

    (folder / "model.tflite").write_bytes(litert_converter(model, (1, None, None, 3)).convert())
    whole = litert_converter(build_square(*trained), (1, 64, 64, 3))
    whole.optimizations = [tf.lite.Optimize.DEFAULT]
    whole.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    whole.inference_input_type = whole.inference_output_type = tf.uint8
    source, home = trained
    squares = [decode_image(ImageStore(home).read(item.image)) for item in source.dataset.subset("train")]
    whole.representative_dataset = lambda: ([tf.image.resize(one, (64, 64))[None].numpy()] for one in squares)
    (folder / "model-int8.tflite").write_bytes(whole.convert())
    keep_examples(source, home, folder, "keras", "savedmodel", "litert", "litert-int8", "onnx")
    yield folder
    keras.utils.clear_session()


def litert_converter(model: keras.Model, shape: tuple[int | None, ...]) -> tf.lite.TFLiteConverter:
    """Return the converter of a model whose weights are constants: those of Keras it would not find."""
    lists = model.trainable_variables, model.non_trainable_variables
    trainable, others = ([variable.numpy() for variable in one] for one in lists)

    @tf.function(input_signature=[tf.TensorSpec(shape)])
    def predict(pixels: tf.Tensor) -> tf.Tensor:
        return model.stateless_call(trainable, others, pixels, training=False)[0]

    return tf.lite.TFLiteConverter.from_concrete_functions([predict.get_concrete_function()])


def whole_result(*names: str) -> ExportResult:
    """Certificates with which these formats were made, and one that could not be."""
    reports = [FormatReport(name, 1_000_000, 6, 5, 6, 0.02, 1.5) for name in names]  # type: ignore[arg-type]
    return result_of(*reports, FormatReport("litert-dynamic", problem="The converter gave up."))


ALL = whole_result("keras", "savedmodel", "litert", "litert-int8", "onnx")
LIGHT = whole_result("litert", "litert-int8", "onnx")


def unpack(
    trained: tuple[ExportSource, DataRoot],
    result: ExportResult,
    folder: Path,
    target: Path,
    *,
    exam_opened: bool = True,
    present: Collection[str] | None = None,
) -> list[str]:
    """Make a ZIP of the entries and unpack it; return the names in it."""
    source, home = trained
    with zipfile.ZipFile(target.with_suffix(".zip"), "w") as archive:
        for entry in bundle_entries(source, result, folder, WORDS, home, exam_opened=exam_opened, present=present):
            content = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
            archive.writestr(entry.name, content)
    with zipfile.ZipFile(target.with_suffix(".zip")) as archive:
        archive.extractall(target)
        return archive.namelist()


def run_self_test(folder: Path, without: Sequence[str] = ()) -> tuple[int, str]:
    """Run it as a person does who has only some of the runtimes; return its code and what it printed."""
    for name in without:
        (folder / f"{name}.py").write_text("raise ImportError", "utf-8")
    done = subprocess.run(
        [sys.executable, "self_test.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.mark.slow
def test_the_self_test_runs_all_files_and_each_answers_as_the_original(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    unpack(trained, ALL, made, tmp_path / "all")
    code, printed = run_self_test(tmp_path / "all")
    assert code == 0, printed
    for name in ("model.keras", "saved_model/", "model.tflite", "model-int8.tflite", "model.onnx"):
        assert re.search(
            rf"^{re.escape(name)} +as certified: differs by 0\.00\d\d, allowed 0\.0[15]00$", printed, re.MULTILINE
        )
    away = re.findall(
        r"from the original: 0\.\d+ at most; the same answer to \d of 5 pictures here, to 6 of 6", printed
    )
    assert len(away) == 5
    assert "5 of 5 files were tried" in printed


def test_the_self_test_says_what_to_install_and_wants_one_file_tried(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    unpack(trained, ALL, made, tmp_path / "some")
    code, printed = run_self_test(tmp_path / "some", without=["keras", "tensorflow", "onnxruntime"])
    assert code == 0, printed
    for needed in ("keras tensorflow", "tensorflow", "onnxruntime"):
        assert f"not tried: pip install {needed}\n" in printed
    assert "2 of 5 files were tried" in printed
    code, printed = run_self_test(tmp_path / "some", without=["ai_edge_litert"])
    assert code == 1
    assert "not tried: pip install ai-edge-litert opencv-python-headless" in printed
    assert "No file could be tried." in printed


@pytest.mark.parametrize("fault", ["weights", "cut"])
def test_the_self_test_fails_when_a_file_is_spoilt(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path, fault: str
) -> None:
    unpack(trained, whole_result("litert", "onnx"), made, tmp_path / "spoilt")
    path = tmp_path / "spoilt" / "model.onnx"
    path.write_bytes(spoilt(path) if fault == "weights" else path.read_bytes()[:10_000])
    code, printed = run_self_test(tmp_path / "spoilt")
    assert code == 1
    assert re.search(r"^model.onnx +FAILED", printed, re.MULTILINE)
    assert re.search(r"^model.tflite +as certified", printed, re.MULTILINE)


def test_the_self_test_knows_the_certified_file_and_says_its_warning_beside_it(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    warned = FormatReport("litert", 1_000_000, 60, 5, 4, 0.99, 1.5, warning="It takes r\u00e4re for something else.")
    result = result_of(replace(warned, sha256=hash_of(made / "model.tflite")))
    unpack(trained, result, made, tmp_path / "warned")
    code, printed = run_self_test(tmp_path / "warned")
    assert code == 0, printed
    assert re.search(r"^model.tflite +as certified: differs by 0\.0000, allowed 0\.0100$", printed, re.MULTILINE)
    assert "to 4 of 60 in the certificate" in printed
    assert "WARNING: It takes r\\xe4re for something else." in printed
    with (tmp_path / "warned" / "model.tflite").open("ab") as file:
        file.write(b"\0")
    code, printed = run_self_test(tmp_path / "warned")
    assert code == 1
    assert "FAILED: it is not the file that was certified" in printed


def test_the_self_test_reckons_the_hash_of_a_folder_as_the_certificate_does(made: Path) -> None:
    for name in ("saved_model", "model.onnx"):
        assert self_test.hash_of(made / name) == hash_of(made / name)


def spoilt(path: Path) -> bytes:
    """An ONNX file in which the weights of one class are other ones."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    head = next(one for one in model.graph.initializer if list(one.dims) == [16, 3])
    values = numpy_helper.to_array(head).copy()
    values[:, 0] += 5
    head.CopyFrom(numpy_helper.from_array(values, head.name))
    return bytes(model.SerializeToString())


def test_a_bundle_has_all_that_its_readme_names_and_nothing_else(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    names = unpack(trained, ALL, made, tmp_path / "all")
    assert len(set(names)) == len(names)
    text = (tmp_path / "all" / "README.txt").read_text("utf-8")
    files = text.partition("The files")[2].partition("How to feed them")[0]
    named = {line.split()[0] for line in files.splitlines() if line.startswith("  ")}
    assert named == {name.partition("/")[0] + ("/" if "/" in name else "") for name in names}
    assert {f"examples/{number}.png" for number in range(1, 6)} | {"examples/expected.json"} <= set(names)
    assert {"saved_model/saved_model.pb", "code/train.py", "code/train.ipynb", "web/index.html"} <= set(names)
    assert "Train it again" in text
    for part in (
        "pip install ai-edge-litert",
        "grey_range=(0, 4095)",
        "LiteRT, 8-bit weights does not come along: The",
    ):
        assert part in text
    assert (tmp_path / "all" / "labels.txt").read_text("utf-8") == "blue\ngreen\nred\n"
    assert "To tell colours apart" in (tmp_path / "all" / "MODEL_CARD.md").read_text("utf-8")
    assert max(len(line) for line in text.splitlines()) < 140


def test_an_exam_that_nobody_opened_is_in_no_file_of_the_bundle(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    unpack(trained, LIGHT, made, tmp_path / "closed", exam_opened=False)
    manifest = read_document((tmp_path / "closed" / "model.json").read_bytes(), Manifest)
    assert not manifest.shows_accuracy
    assert {manifest.result.correct, *(one.correct for one in manifest.result.reports)} == {0}
    readme = (tmp_path / "closed" / "README.txt").read_text("utf-8")
    assert "Right answers" not in readme
    assert "was not opened yet" in " ".join(readme.split())
    assert "6 of 6" in readme
    unpack(trained, LIGHT, made, tmp_path / "open")
    manifest = read_document((tmp_path / "open" / "model.json").read_bytes(), Manifest)
    assert manifest.shows_accuracy
    assert manifest.result == LIGHT
    assert (manifest.image_size, manifest.resize_mode, manifest.class_names) == (64, "crop", ("blue", "green", "red"))
    assert "Right answers" in (tmp_path / "open" / "README.txt").read_text("utf-8")


def test_one_threshold_holds_in_all_files_of_a_bundle(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    source, home = trained
    later = replace(source, settings=ModelSettings(threshold=0.7))
    assert LIGHT.settings.threshold == 0, "what held when the files were made"
    unpack((later, home), LIGHT, made, tmp_path / "later")
    manifest = read_document((tmp_path / "later" / "model.json").read_bytes(), Manifest)
    page = json.loads((tmp_path / "later" / "web" / "settings.json").read_text("utf-8"))
    assert [manifest.threshold, manifest.result.settings.threshold, page["threshold"]] == [0.7] * 3
    assert "Below a probability of 0.7 the app" in (tmp_path / "later" / "README.txt").read_text("utf-8")


def test_pictures_that_were_deleted_since_do_not_leave_and_are_counted(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    source, home = trained
    gone = {item.image for item in source.dataset.items if item.split == "test"}
    gone.add(source.dataset.subset("train")[0].image)
    present = {item.image for item in source.dataset.items} - gone
    unpack(trained, LIGHT, made, tmp_path / "less", exam_opened=False, present=present)
    deleted = {decode_image(ImageStore(home).read(image)).tobytes() for image in gone}
    for path in (tmp_path / "less" / "examples").glob("*.png"):
        with Image.open(path) as image:
            assert np.array(image).tobytes() not in deleted
    listed = (tmp_path / "less" / "code" / "pictures.csv").read_text("utf-8").splitlines()
    assert len(listed) == 1 + len(source.dataset.items) - len(gone)
    readme = " ".join((tmp_path / "less" / "README.txt").read_text("utf-8").split())
    num_all = len(source.dataset.items)
    assert f"{len(gone)} of the {num_all} pictures of its data set were deleted since" in readme
    assert "test pictures; the original" in readme
    assert "Right answers" not in readme
    card = (tmp_path / "less" / "MODEL_CARD.md").read_text("utf-8")
    assert f"{len(gone)} of {num_all} pictures were deleted from the project since." in card
    whole = [len(source.dataset.subset(split)) for split in ("train", "validation", "test")]
    assert "| All | {} | {} | {} |".format(*whole) in card
    assert not read_document((tmp_path / "less" / "model.json").read_bytes(), Manifest).shows_accuracy


def test_a_warning_stands_in_the_readme(trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path) -> None:
    result = result_of(FormatReport("litert", 1_000_000, 6, 5, 4, 0.4, 1.5, warning="It answers otherwise."))
    unpack(trained, result, made, tmp_path / "warned")
    assert "WARNING, model.tflite: It answers otherwise." in (tmp_path / "warned" / "README.txt").read_text("utf-8")


def test_examples_are_validation_pictures_of_all_classes_with_the_apps_own_calibrated_answers(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    source, home = trained
    warm = tmp_path / "made"
    shutil.copytree(made, warm)
    keep_examples(replace(source, settings=ModelSettings(temperature=1.7)), home, warm, "litert")
    unpack(trained, whole_result("litert"), warm, tmp_path / "warm")
    expected = json.loads((tmp_path / "warm" / "examples" / "expected.json").read_text("utf-8"))
    shown_by = {
        decode_image(ImageStore(home).read(item.image)).tobytes(): source.dataset.find_class(item.class_id).name
        for item in source.dataset.subset("validation")
    }
    shown, pixels = [], []
    for one in expected["pictures"]:
        with Image.open(tmp_path / "warm" / "examples" / one["file"]) as image:
            pixels.append(np.array(image))
        assert shown_by[pixels[-1].tobytes()] == one["class_name"]
        shown.append(one["class_name"])
    assert len({one.tobytes() for one in pixels}) == NUM_EXAMPLES
    assert set(shown) == {"blue", "green", "red"}
    ours = original_predictor(source, RecordingProgress(), home).predict(pixels)
    stored = np.array([one["probabilities"] for one in expected["pictures"]])
    np.testing.assert_allclose(stored, calibrated_probabilities(ours, 1.7), atol=1e-5)


def test_undecided_pictures_are_preferred_and_other_parts_stand_in(tmp_path: Path, ready_home: DataRoot) -> None:
    from tests.coloured_pictures import coloured_dataset

    dataset = coloured_dataset(ready_home, 20)
    source = replace(source_of(tmp_path, PLAIN), dataset=dataset)
    asked: list[NDArray[np.uint8]] = []

    def predict(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        asked.extend(images)
        sure = 0.4 + 0.05 * (len(asked) % 7)
        return np.array([[sure, 1 - sure - 0.1, 0.1]], np.float32)

    predictor = Predictor(PLAIN, (0, 1, 2), 64, predict)
    examples = choose_examples(source, predictor, ready_home)
    assert len(examples) == NUM_EXAMPLES
    assert len(asked) <= 20
    assert min(float(one.probabilities.max()) for one in examples) < 0.6
    assert all(one.class_name for one in examples)
    for part in ("test", "train"):
        items = tuple(item for item in dataset.items if item.split == part)
        only = replace(source, dataset=replace(dataset, items=items))
        found = choose_examples(only, predictor, ready_home)
        assert len(found) == NUM_EXAMPLES
        assert {bool(one.class_name) for one in found} == {part != "test"}, "what test pictures show is the exam"


def test_the_tolerance_does_not_follow_a_certificate_that_failed() -> None:
    kept = KeptExamples(
        tuple(KeptPicture(key, f"{key}.png", "cat", (0.25, 0.75)) for key in "ab"),
        tuple(KeptAnswers(name, ((0.1, 0.9), (0.2, 0.8))) for name in FORMATS),
    )
    result = result_of(*(FormatReport(name, 1, 6, 5, 1, 0.99, 1.0) for name in FORMATS))
    expected, chosen = expected_of(kept, result, present={"b"})
    assert {one.tolerance for one in expected.formats} == {0.01, 0.05}
    assert {one.answers for one in expected.formats} == {((0.2, 0.8),)}
    assert [one.file for one in expected.pictures] == [one.file for one in chosen] == ["b.png"]


def test_examples_that_are_damaged_are_none(made: Path, tmp_path: Path) -> None:
    assert read_examples(tmp_path) is None
    shutil.copy(made / "examples.json", tmp_path)
    assert read_examples(tmp_path) is None, "its pictures are gone"
    shutil.copytree(made / "examples", tmp_path / "examples")
    assert read_examples(tmp_path) == read_examples(made) is not None
    (tmp_path / "examples.json").write_text("{", "utf-8")
    assert read_examples(tmp_path) is None


def test_a_group_is_compared_with_the_average_of_its_members(
    trained: tuple[ExportSource, DataRoot], tmp_path: Path
) -> None:
    source, home = trained
    other = train_small(tmp_path / "other", learning_rate=0.001)[0].parts[0]
    members = (replace(source.parts[0], weight=0.3), replace(other, weight=0.7))
    group = replace(source, parts=members, settings=ModelSettings(temperature=2.0))
    model = build_any_size(group, home)
    (tmp_path / "model.tflite").write_bytes(litert_converter(model, (1, None, None, 3)).convert())
    keep_examples(group, home, tmp_path, "litert")
    unpack((group, home), whole_result("litert"), tmp_path, tmp_path / "group")
    code, printed = run_self_test(tmp_path / "group")
    assert code == 0, printed
    assert "a group of 2 models" in (tmp_path / "group" / "MODEL_CARD.md").read_text("utf-8")
    expected = json.loads((tmp_path / "group" / "examples" / "expected.json").read_text("utf-8"))["pictures"][0]
    with Image.open(tmp_path / "group" / "examples" / "1.png") as image:
        pixels = np.array(image)
    alone = [
        original_predictor(replace(source, parts=(part,)), RecordingProgress(), home).predict([pixels])
        for part in members
    ]
    average = (0.3 * alone[0] + 0.7 * alone[1]).astype(np.float32)
    np.testing.assert_allclose(expected["probabilities"], calibrated_probabilities(average, 2.0)[0], atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 0.05, "members that answer otherwise"


def test_a_bundle_of_a_simple_head_leaves_too(ready_home: DataRoot, tmp_path: Path) -> None:
    engine = open_database(ready_home)
    project_id, model_id = make_project_with_heads(engine, ready_home, "ann")
    source = find_source(engine, ready_home, project_id, model_id, ModelSettings())
    model = build_any_size(source, ready_home)
    (tmp_path / "model.tflite").write_bytes(litert_converter(model, (1, None, None, 3)).convert())
    keep_examples(source, ready_home, tmp_path, "litert")
    unpack((source, ready_home), whole_result("litert"), tmp_path, tmp_path / "head")
    code, printed = run_self_test(tmp_path / "head")
    assert code == 0, printed
    assert "Logistic regression" in (tmp_path / "head" / "MODEL_CARD.md").read_text("utf-8")
    assert "self_test.py" not in unpack((source, ready_home), result_of(), tmp_path, tmp_path / "none")


def test_files_without_examples_leave_without_a_self_test(
    trained: tuple[ExportSource, DataRoot], made: Path, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "made")
    (tmp_path / "made" / "examples.json").unlink()
    names = unpack(trained, LIGHT, tmp_path / "made", tmp_path / "freed")
    assert "model.tflite" in names
    assert not any(name.startswith(("self_test", "examples")) for name in names)
    readme = (tmp_path / "freed" / "README.txt").read_text("utf-8")
    assert "self_test" not in readme
    assert "There are no examples and no self test:" in readme


def test_nothing_of_tensorflow_is_loaded_while_a_bundle_is_put_together(
    trained: tuple[ExportSource, DataRoot], made: Path
) -> None:
    source, home = trained
    program = (
        "import sys, pickle\n"
        "from pathlib import Path\n"
        "from tlcore.export.bundle import bundle_entries\n"
        "from tlcore.home import DataRoot\n"
        "from tlcore.storage.card_words import CardWords\n"
        "source, result = pickle.loads(sys.stdin.buffer.read())\n"
        f"home, folder = DataRoot(Path({str(home.path)!r})), Path({str(made)!r})\n"
        "entries = bundle_entries(source, result, folder, CardWords(), home, exam_opened=True)\n"
        "print(len(list(entries)), {'tensorflow', 'keras', 'sklearn', 'pandas', 'streamlit'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps((source, LIGHT)), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    count, _, modules = done.stdout.decode().strip().partition(" ")
    assert int(count) > 20
    assert modules == "set()"
