"""EfficientNet-Lite0, a group and a vote of neighbours leave in every format that they can have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from tests.coloured_pictures import RecordingProgress, coloured_dataset, picture
from tests.test_export_graph import SMALL, make_head, make_run
from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.export.converting import convert
from tlcore.export.formats import FORMATS
from tlcore.export.graph import INPUT_NAME
from tlcore.export.making import make_export
from tlcore.export.readers import open_format
from tlcore.export.resampling import square_of
from tlcore.export.source import ExportSource, Part, part_of_run
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.images.resizing import resize_image
from tlcore.intake.splitting import resplit
from tlcore.library import train
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import ExportResult

pytestmark = pytest.mark.slow

LITE0 = ModelConfig("efficientnet_lite0", 32, head=HeadConfig(dropout=0.0))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataRoot]:
    folder = tmp_path_factory.mktemp("formats")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(ENVIRONMENT_VARIABLE, str(folder))
        patched.setattr("tlcore.features.engines.TRIAL_SECONDS", 0.01)
        yield DataRoot(folder)
    keras.utils.clear_session()


@pytest.fixture(scope="module")
def dataset(home: DataRoot) -> Dataset:
    # Enough test pictures that certificates of rounded formats can hold.
    return resplit(coloured_dataset(home, per_class=20), test=0.4)


@pytest.fixture(scope="module")
def made(dataset: Dataset, home: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportResult, Path]:
    """A calibrated Lite0 that tells the colours apart, in every format."""
    run = RunConfig(model=LITE0, training=TrainingConfig(epochs=10, learning_rate=0.01))
    model = train(dataset, run, progress=RecordingProgress())
    source = ExportSource("Run 1", (part_of_run(model.folder, run),), dataset, ModelSettings(1.5))
    folder = tmp_path_factory.mktemp("files")
    return make_export(source, tuple(FORMATS), folder, RecordingProgress(), home), folder


def test_lite0_leaves_in_every_format_and_stays_right(made: tuple[ExportResult, Path]) -> None:
    result = made[0]
    assert result.correct > 0.8 * result.total > 0
    for report in result.reports:
        assert (report.problem, report.warning) == ("", ""), report
        assert report.correct >= result.correct - 1
    sizes = {report.format: report.size for report in result.reports}
    assert sizes["litert-float16"] < 0.6 * sizes["litert"]
    assert sizes["litert-int8"] < 0.4 * sizes["litert"]
    assert sizes["litert-dynamic"] < 0.4 * sizes["litert"]


def test_each_format_answers_alike_about_pictures_of_other_sizes(made: tuple[ExportResult, Path]) -> None:
    shown = [picture("red", 99, width=131, height=77), picture("blue", 98, width=20, height=41)]
    ask = open_format(made[1], "keras")
    expected = [ask(one) for one in shown]
    for name, spec in FORMATS.items():
        answer = open_format(made[1], name)
        for one, right in zip(shown, expected, strict=True):
            given = one if spec.takes_any_size else resize_image(one, LITE0.image_size, LITE0.resize_mode)
            most = 0.15 if name in ("litert-int8", "litert-dynamic") else 0.01
            np.testing.assert_allclose(answer(given), right, atol=most, err_msg=name)


@pytest.mark.parametrize("last", ["convnext_tiny_stage_0_block_0_layer_scale", "block1a_project_bn"])
def test_gelu_depthwise_layers_and_normalization_leave_as_onnx(last: str, tmp_path: Path) -> None:
    """The first block of ConvNeXt and of EfficientNet: the rest of them repeats it, and takes a minute to convert."""
    family = keras.applications.ConvNeXtTiny if "convnext" in last else keras.applications.EfficientNetB0
    whole = family(weights=None, include_top=False, input_shape=(32, 32, 3))
    block = keras.Model(whole.input, whole.get_layer(last).output)
    pixels = keras.Input((None, None, 3), name=INPUT_NAME)
    values = keras.layers.GlobalAveragePooling2D()(block(square_of(pixels, 32, "stretch")))
    model = keras.Model(pixels, keras.layers.Dense(3, "softmax")(values))
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(0.3, 0.2, one.shape)) for one in model.get_weights()])
    convert(model, "onnx", tmp_path)
    answer = open_format(tmp_path, "onnx")
    for one in (picture("red", 99, width=131, height=77), picture("blue", 98, width=20, height=41)):
        expected = model(one[np.newaxis].astype(np.float32)).numpy()[0]
        np.testing.assert_allclose(answer(one), expected, atol=1e-4)
    session = onnxruntime.InferenceSession(tmp_path / FORMATS["onnx"].file)
    assert [(one.name, one.shape[3]) for one in session.get_inputs()] == [(INPUT_NAME, 3)]


def test_an_operation_that_onnx_does_not_know_is_no_file(tmp_path: Path) -> None:
    pixels = keras.Input((None, None, 3), name=INPUT_NAME)
    values = keras.layers.GlobalAveragePooling2D()(pixels)
    model = keras.Model(pixels, keras.layers.Lambda(lambda one: tf.math.digamma(one), (3,))(values))
    with pytest.raises(onnx.checker.ValidationError, match="Digamma"):
        convert(model, "onnx", tmp_path)
    assert list(tmp_path.iterdir()) == []


def _group(home: DataRoot, folder: Path) -> tuple[Part, ...]:
    smaller = replace(SMALL, image_size=40)
    return tuple(
        replace(make_run(folder / str(seed), config, home, seed=seed, sureness=4), weight=0.5)
        for seed, config in enumerate((SMALL, smaller))
    )


def _votes(home: DataRoot, folder: Path) -> tuple[Part, ...]:
    return (make_head("nearest_neighbours", folder / "votes", home),)


@pytest.mark.parametrize("parts", [_group, _votes], ids=["group of two squares", "vote of neighbours"])
def test_what_has_no_integers_still_leaves_in_other_formats(
    parts: object, dataset: Dataset, home: DataRoot, tmp_path: Path
) -> None:
    made_parts = parts(home, tmp_path)  # type: ignore[operator]
    names = made_parts[0].spec.class_names
    classes = tuple(replace(label, name=name) for label, name in zip(dataset.classes, names, strict=True))
    source = ExportSource("Other", made_parts, replace(dataset, classes=classes), ModelSettings())
    result = make_export(source, ("litert-int8", "litert", "onnx"), tmp_path, RecordingProgress(), home)
    integers, *others = result.reports
    assert integers.problem
    assert not (tmp_path / FORMATS["litert-int8"].file).exists()
    for report in others:
        assert (report.problem, report.warning) == ("", ""), report
        assert report.total == result.total > 0
