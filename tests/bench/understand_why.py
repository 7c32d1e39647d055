"""In how many pictures the heat map finds a planted patch that alone decides the class, and how long a map takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pages.components.camera.asking import HEAT_DETAIL
from tests.bench.figures import Line, figure
from tests.drawn_scenes import draw_scene
from tests.planted_patch import PATCH_SHARE, WITH_PATCH, Pixels, as_brought, patched_dataset, share_found
from tlcore.backbones.registry import get_backbone
from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.explaining.covering import cover_all
from tlcore.explaining.heat_map import HeatMap
from tlcore.home import DataRoot
from tlcore.library import train
from tlcore.progress import TerminalProgress
from tlcore.results.ensembles import ensemble_predictor, equal_weights
from tlcore.results.prediction import Predictor
from tlcore.simple_heads.prediction import load_simple_head_predictor
from tlcore.simple_heads.run import train_simple_heads
from tlcore.simple_heads.training import SIMPLE_HEADS, find_simple_head_spec

LEAST_FOUND = 0.9
MOST_SECONDS = 1.0
TO_LEARN = 400
NEW = 60
THINGS = 2
SMALL_CNN = "small_cnn-16-32-64"
MEMBERS = ("pooled and linear", "hidden layer", "small CNN")
NEIGHBOURS = find_simple_head_spec("nearest_neighbours").title
TRIALS = 20
DETAILS = {"the places that a page has time for": None, "the places of a camera's map": HEAT_DETAIL}


def measure() -> Iterator[Line]:
    """Yield each figure."""
    grounds = _grounds(TO_LEARN + NEW)
    dataset = patched_dataset(grounds[NEW:], DataRoot.configured())
    with TemporaryDirectory() as folder:
        models = _models(dataset, Path(folder))
        for name, predictor in models.items():
            for way, detail in DETAILS.items():
                yield _found(name, predictor, grounds[:NEW], way, detail)
        for name in ("pooled and linear", "flattened", NEIGHBOURS, "group"):
            yield _seconds(name, models[name], as_brought(grounds[0]))


def _grounds(count: int) -> list[Pixels]:
    rng = np.random.default_rng(5)
    return [draw_scene(rng, int(rng.integers(2)), THINGS) for _ in range(count)]


def _models(dataset: Dataset, folder: Path) -> dict[str, Predictor]:
    """Train a model of each kind."""
    quick = TrainingConfig(epochs=15, views=1)
    last = get_backbone("efficientnet_lite0").block_names[-1]
    small = ModelConfig(SMALL_CNN, 96, weights="random", first_trainable=get_backbone(SMALL_CNN).block_names[0])
    configs = {
        "pooled and linear": RunConfig(training=quick),
        "hidden layer": RunConfig(model=ModelConfig(head=HeadConfig(dense_units=(64,))), training=quick),
        "flattened": RunConfig(model=ModelConfig(head=HeadConfig(pooling="flatten")), training=quick),
        "thawed block": RunConfig(
            model=ModelConfig(first_trainable=last), training=replace(quick, epochs=5, learning_rate=3e-4)
        ),
        "small CNN": RunConfig(model=small, training=replace(quick, epochs=25)),
    }
    models = {name: train(dataset, config, folder=folder / name).predictor for name, config in configs.items()}
    home = DataRoot.configured()
    train_simple_heads(dataset, ModelConfig(), TerminalProgress(), folder=folder / "simple", home=home)
    for spec in SIMPLE_HEADS:
        models[spec.title] = load_simple_head_predictor(folder / "simple" / spec.kind, home)
    members = [models[name] for name in MEMBERS]
    return {**models, "group": ensemble_predictor(members, equal_weights(len(members)))}


def _found(name: str, predictor: Predictor, grounds: list[Pixels], way: str, detail: float | None) -> Line:
    class_index = predictor.class_names.index(WITH_PATCH)
    places: list[int] = []

    def explain(pixels: Pixels) -> HeatMap:
        coverings = cover_all(predictor, pixels, detail=detail)
        places.append(len(coverings.covered))
        return coverings.heat_map(class_index)

    found, seen = share_found(predictor, explain, grounds)
    return figure(
        "why: share of pictures in which the map's maximum lies at the planted patch",
        found,
        f"{name}, {way}: {len(grounds)} new drawn scenes, patch of 1/{PATCH_SHARE} of the side, seed 1; of those in "
        "which the model sees the patch",
        at_least=LEAST_FOUND,
        more={"model sees the patch": round(seen, 3), **_places(places)},
    )


def _seconds(name: str, predictor: Predictor, picture: Pixels) -> Line:
    predictor.predict([picture])
    seconds, places = [], []
    for _ in range(TRIALS):
        started = time.perf_counter()
        places.append(len(cover_all(predictor, picture).covered))
        seconds.append(time.perf_counter() - started)
    return figure(
        "why: seconds of a heat map",
        float(np.median(seconds)),
        f"{name}, EfficientNet-Lite0 at 224 pixels: median of {TRIALS} maps of one picture",
        at_most=MOST_SECONDS,
        more={"slowest": round(max(seconds), 2), **_places(places)},
    )


def _places(places: list[int]) -> dict[str, float]:
    return {"median of places": float(np.median(places)), "fewest places": min(places)}
