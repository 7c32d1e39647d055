"""How fast the frozen backbone runs: our engine, `predict`, ONNX Runtime, and what the machine can do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tests.bench.material import Sizes, photos, pixels_and_labels, prepare
from tests.bench.measures import Measurement, interleaved, medians, rounded
from tlcore.config import ModelConfig
from tlcore.features.engines import num_compute_threads
from tlcore.features.extractor import fastest_engine
from tlcore.home import DataRoot
from tlcore.model.classifier import build_prefix
from tlcore.model.cut import plan_model

PREDICT_BATCH = 32
ONNX_BATCH = 16
ONNX_THREADS = 2
MATRIX_SIDE = 2048
PRODUCTS = 5


def measure_features(sizes: Sizes, home: DataRoot) -> Iterator[Measurement]:
    """Compare the engines on the same pictures and weights."""
    config = ModelConfig()
    dataset = photos(sizes, home)
    pictures, _ = pixels_and_labels(dataset, dataset.items[: sizes.pictures], config, home)
    prepare(config, home)
    model = build_prefix(plan_model(config), home)
    floats = pictures.astype(np.float32)  # the peers get what they take without another step
    left, right = np.random.default_rng(0).random((2, MATRIX_SIDE, MATRIX_SIDE), np.float32)
    tf_left, tf_right = tf.constant(left), tf.constant(right)
    ours = our_engine(config, home)
    onnx = onnx_engine(model, home.path / "bench-prefix.onnx")
    check_same_answers(model, ours, onnx, pictures[:4])

    seconds = interleaved(
        {
            "ours": lambda: ours(pictures),
            "predict": lambda: model.predict(floats, batch_size=PREDICT_BATCH, verbose=0),
            "onnxruntime": lambda: onnx(floats),
            "sgemm_numpy": lambda: [left @ right for _ in range(PRODUCTS)],
            "sgemm_tensorflow": lambda: [tf.linalg.matmul(tf_left, tf_right).numpy()[0, 0] for _ in range(PRODUCTS)],
        },
        sizes.rounds,
    )
    middle = medians(seconds)
    rates = {name: len(pictures) / middle[name] for name in ("ours", "predict", "onnxruntime")}
    flop_per_picture = 2 * multiply_adds(model)
    ours_gflops = rates["ours"] * flop_per_picture / 1e9
    product_gflop = 2 * MATRIX_SIDE**3 * PRODUCTS / 1e9
    sgemm = {name: product_gflop / middle[name] for name in ("sgemm_numpy", "sgemm_tensorflow")}
    peers = {
        "onnxruntime": rounded(rates["onnxruntime"]),
        "our_engine": type(fastest_engine(plan_model(config), home)[0]()).__name__,
    }
    spread = {"ours_range": _range(len(pictures), seconds["ours"]), "rounds": sizes.rounds}

    def faster(name: str, peer: str, limit: float, **details: object) -> Measurement:
        return Measurement(name, "images/s", rates["ours"], limit, rates[peer], "more", details={**details, **spread})

    yield faster("features", "predict", 2.0, **peers)
    yield faster("features_onnxruntime", "onnxruntime", 1.0)
    yield Measurement(
        "features_sgemm",
        "GFLOP/s",
        ours_gflops,
        0.70,
        max(sgemm.values()),
        "more",
        details={
            **{name: rounded(value) for name, value in sgemm.items()},
            "mflop_per_picture": rounded(flop_per_picture / 1e6),
        },
    )


def our_engine(config: ModelConfig, home: DataRoot) -> Callable[[NDArray[np.uint8]], list[NDArray[np.generic]]]:
    """Return the frozen part as the feature pass runs it: the engine that won on this machine, on all cores."""
    make_engine, batch_size = fastest_engine(plan_model(config), home)
    local = threading.local()

    def features_of(batch: NDArray[np.uint8]) -> NDArray[np.generic]:
        if not hasattr(local, "engine"):
            local.engine = make_engine()
        return local.engine(list(batch))

    def run(pictures: NDArray[np.uint8]) -> list[NDArray[np.generic]]:
        batches = [pictures[start : start + batch_size] for start in range(0, len(pictures), batch_size)]
        return [row for rows in pool.map(features_of, batches) for row in rows]

    pool = ThreadPoolExecutor(num_compute_threads())
    return run


def onnx_engine(model: keras.Model, path: Path) -> Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return the same model in ONNX Runtime, written by Keras's own export."""
    import onnxruntime

    model(np.zeros((1, *model.input.shape[1:]), np.float32))  # the export refuses a model that was never called
    model.export(path, format="onnx", verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = ONNX_THREADS
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pictures: [
        row
        for start in range(0, len(pictures), ONNX_BATCH)
        for row in session.run(None, {name: pictures[start : start + ONNX_BATCH]})[0]
    ]


def check_same_answers(
    model: keras.Model,
    ours: Callable[[NDArray[np.uint8]], list[NDArray[np.generic]]],
    onnx: Callable[[NDArray[np.float32]], list[NDArray[np.float32]]],
    pictures: NDArray[np.uint8],
) -> None:
    """Make sure that all engines compute the same thing, up to half precision."""
    floats = pictures.astype(np.float32)
    expected = model.predict(floats, verbose=0)
    for answers in (ours(pictures), onnx(floats)):
        np.testing.assert_allclose(np.stack(answers).astype(np.float32), expected, rtol=0.01, atol=0.01)


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of the convolutions and dense layers for one picture; the rest is left out."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
            _, height, width, channels = layer.output.shape
            kernel_height, kernel_width = layer.kernel_size
            is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            inputs = 1 if is_depthwise else layer.input.shape[-1] // layer.groups
            total += height * width * channels * kernel_height * kernel_width * inputs
        elif isinstance(layer, keras.layers.Dense):
            total += layer.input.shape[-1] * layer.units
    return total


def _range(count: int, seconds: list[float]) -> list[float]:
    return [rounded(count / max(seconds)), rounded(count / min(seconds))]
