"""Real histories: small models trained into states that the remarks on curves name, and trainings that went well.

`python3 -m tests.trained_histories FILE SEED ...` trains each state with each seed and writes them down: so those of
`tests/fixtures/histories.json` were made, with the seeds 0, 1 and 2.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np

from tests.coloured_pictures import RecordingProgress, png
from tests.drawn_scenes import draw_scene
from tlcore.backbones.registry import small_cnn_name
from tlcore.config import HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.dataset import ClassLabel, Dataset, Item, Split
from tlcore.errors import RunError
from tlcore.home import ENVIRONMENT_VARIABLE, DataRoot
from tlcore.intake.sources import ReadyPicture
from tlcore.ready_sets.embedded import read_digits, read_surfaces
from tlcore.results.evaluation import VALIDATION_FILE_NAME, Evaluation, load_evaluation
from tlcore.settings.augmentation_controls import PRESETS
from tlcore.storage.images import ImageStore
from tlcore.training.run import train_classifier

State = Literal[
    "overfitting",
    "rate_too_high",
    "rate_too_low",
    "still_improving",
    "too_little_data",
    "validation_above",
    "frozen_too_much",
    "frozen_too_little",
    "class_never_predicted",
    "no_difference",
    "well",
]
STATES: tuple[State, ...] = get_args(State)
"""What a training is led into: the ten that get a remark, and one that went well."""

SCENES = 260
"""Drawn scenes of each kind in the pool."""

ATTEMPTS = 10
"""Trainings until a class is never predicted."""


class TrainedHistory(msgspec.Struct, frozen=True):
    """What is known of one training.

    Attributes:
        state: Into what it was led.
        seed: Of its settings, its pictures and its chances.
        config: Its settings.
        counts: Pictures of each class for training.
        validation: Validation pictures.
        curve: The values by name at the end of each epoch, counted from 1.
        diverged: Whether it ended because the loss became infinite.
        y_true: Right class of each validation picture; empty where it left no model.
        y_pred: Its answers, likewise.
    """

    state: State
    seed: int
    config: RunConfig
    counts: tuple[int, ...]
    validation: int
    curve: tuple[tuple[float, dict[str, float]], ...]
    diverged: bool
    y_true: tuple[int, ...] = ()
    y_pred: tuple[int, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """A letter for each class."""
        return tuple("abcdefghij"[: len(self.counts)])

    @property
    def leaves_a_class_out(self) -> bool:
        """Whether there is a class that it called none of the validation pictures."""
        return bool(set(self.y_true) - set(self.y_pred))

    @property
    def evaluation(self) -> Evaluation | None:
        """Its answers to the validation pictures, each of them sure; `None` where it left no model."""
        if not self.y_true:
            return None
        probabilities = np.eye(len(self.counts), dtype=np.float32)[list(self.y_pred)]
        images = tuple(str(number) for number in range(len(self.y_true)))
        return Evaluation(self.class_names, images, np.array(self.y_true, np.int64), probabilities)


Pool = Mapping[str, Sequence[str]]
"""Keys of stored pictures by class."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained.

    Attributes:
        pool: Which pictures.
        classes: How many of its classes, drawn by the seed.
        train: Training pictures of each class, or of each in turn.
        validation: Validation pictures of each class.
        config: The settings.
        swapped: Part of the training labels that is exchanged for others, so that not all can be learned.
    """

    pool: Literal["digits", "surfaces", "scenes"]
    classes: int
    train: int | tuple[int, ...]
    validation: int
    config: RunConfig
    swapped: float = 0.0


class Trainer:
    """Makes histories in a data root; pictures and features are kept from one to the next."""

    def __init__(self, home: DataRoot) -> None:
        self._home = home
        self._store = ImageStore(home)
        self._pools: dict[str, Pool] = {}

    def train(self, state: State, seed: int) -> TrainedHistory:
        """Train a model into a state; the same seed gives the same history on the same machine.

        Raises:
            RuntimeError: No training led to a class that is never predicted, the one state that the answers prove.
        """
        for attempt in range(ATTEMPTS):
            entropy = [STATES.index(state), seed, *([attempt] if attempt else [])]
            history = self._train(state, seed, np.random.default_rng(entropy))
            if state != "class_never_predicted" or history.leaves_a_class_out:
                return history
        raise RuntimeError(f"in {ATTEMPTS} trainings every class was predicted")

    def _train(self, state: State, seed: int, rng: np.random.Generator) -> TrainedHistory:
        recipe = RECIPES[state](rng, seed)
        recipe = replace(recipe, config=replace(recipe.config, training=replace(recipe.config.training, seed=seed)))
        dataset = self._dataset(recipe, rng)
        train = dataset.subset("train")
        counts = tuple(sum(item.class_id == label.id for item in train) for label in dataset.classes)
        progress, diverged, answers = RecordingProgress(), False, None
        with tempfile.TemporaryDirectory() as folder:
            try:
                diverged = train_classifier(dataset, recipe.config, Path(folder), progress, self._home).diverged
                answers = load_evaluation(Path(folder), VALIDATION_FILE_NAME)
            except RunError:
                diverged = True
        return TrainedHistory(
            state=state,
            seed=seed,
            config=recipe.config,
            counts=counts,
            validation=len(dataset.subset("validation")),
            curve=tuple(
                (epoch, {name: round(value, 5) for name, value in values.items()})
                for epoch, values in progress.curve
                if epoch == int(epoch)
            ),
            diverged=diverged,
            y_true=() if answers is None else tuple(answers.y_true.tolist()),
            y_pred=() if answers is None else tuple(answers.y_pred.tolist()),
        )

    def _pool(self, name: str) -> Pool:
        if name not in self._pools:
            if name == "scenes":
                self._pools[name] = self._scenes()
            else:
                self._pools[name] = self._ready(read_digits() if name == "digits" else read_surfaces())
        return self._pools[name]

    def _ready(self, pictures: Iterable[ReadyPicture]) -> Pool:
        found: dict[str, list[str]] = {}
        for picture in pictures:
            clean = picture.clean()
            found.setdefault(picture.class_name, []).append(self._store.add(clean.data, clean.thumbnail))
        return found

    def _scenes(self) -> Pool:
        rng = np.random.default_rng(0)
        scenes = {str(kind): [png(draw_scene(rng, kind)[:160, :160]) for _ in range(SCENES)] for kind in (0, 1)}
        return {kind: [self._store.add(data, data) for data in drawn] for kind, drawn in scenes.items()}

    def _dataset(self, recipe: Recipe, rng: np.random.Generator) -> Dataset:
        pool = self._pool(recipe.pool)
        names = sorted(rng.permutation(sorted(pool))[: recipe.classes].tolist())
        labels = tuple(ClassLabel(f"class{number}", "abcdefghij"[number], number) for number in range(len(names)))
        sizes = recipe.train if isinstance(recipe.train, tuple) else (recipe.train,)
        items: list[Item] = []
        for number, name in enumerate(names):
            images = rng.permutation(list(pool[name])).tolist()
            wanted = sizes[number % len(sizes)]
            parts: tuple[tuple[Split, list[str]], ...] = (
                ("train", images[:wanted]),
                ("validation", images[wanted : wanted + recipe.validation]),
            )
            for split, chosen in parts:
                for image in chosen:
                    other = split == "train" and rng.random() < recipe.swapped
                    place = (number + 1 + int(rng.integers(len(names) - 1))) % len(names) if other else number
                    items.append(Item(image, labels[place].id, split, f"{image[:8]}.png"))
        return Dataset(labels, tuple(items))


def _pick(rng: np.random.Generator, *choices: float) -> float:
    return float(choices[int(rng.integers(len(choices)))])


def _head(units: tuple[int, ...] = (), dropout: float = 0.0, size: int = 64, l2: float = 0.0) -> ModelConfig:
    """Return a head on the frozen embedded backbone."""
    return ModelConfig(image_size=size, head=HeadConfig(dense_units=units, dropout=dropout, l2=l2))


def _scratch(filters: tuple[int, ...] = (16, 32), units: tuple[int, ...] = (64,), dropout: float = 0.0) -> ModelConfig:
    """Return a small network that learns as a whole, from nothing."""
    head = HeadConfig(pooling="flatten", dense_units=units, dropout=dropout)
    return ModelConfig(backbone=small_cnn_name(filters), image_size=32, first_trainable="conv1", head=head)


def _training(epochs: int, rate: float, patience: int | None = None, **fields: object) -> TrainingConfig:
    return TrainingConfig(epochs=epochs, learning_rate=rate, patience=patience, **fields)  # type: ignore[arg-type]


def _overfitting(rng: np.random.Generator, seed: int) -> Recipe:
    """A head with many weights, or a network from nothing, on few pictures of a hard question, for long."""
    number = int(rng.integers(30, 70))
    if seed % 2:
        training = _training(int(rng.integers(20, 35)), _pick(rng, 1e-3, 2e-3))
        return Recipe("scenes", 2, number, 80, RunConfig(model=_scratch(), training=training))
    training = _training(int(rng.integers(20, 40)), _pick(rng, 1e-3, 2e-3, 3e-3), patience=None)
    return Recipe("scenes", 2, number, 80, RunConfig(model=_head((256,)), training=training))


def _rate_too_high(rng: np.random.Generator, seed: int) -> Recipe:
    """Steps that are ten to three hundred times too large."""
    epochs = int(rng.integers(10, 20))
    if seed % 3 == 0:
        config = RunConfig(model=_head((128,)), training=_training(epochs, _pick(rng, 0.1, 0.3, 1.0)))
        return Recipe("digits", int(rng.integers(4, 10)), 30, 12, config)
    if seed % 3 == 1:
        config = RunConfig(model=_scratch(), training=_training(epochs, _pick(rng, 0.1, 0.2)))
        return Recipe("digits", 6, 30, 15, config)
    training = _training(epochs, _pick(rng, 1.0, 3.0), optimizer="sgd")
    return Recipe("digits", int(rng.integers(4, 10)), 30, 12, RunConfig(model=_head(), training=training))


def _rate_too_low(rng: np.random.Generator, seed: int) -> Recipe:
    """Steps that are a hundred times too small."""
    epochs, classes = int(rng.integers(8, 20)), int(rng.integers(4, 10))
    if seed % 3 == 0:
        config = RunConfig(model=_head(dropout=0.2), training=_training(epochs, _pick(rng, 3e-6, 1e-5, 2e-5)))
    elif seed % 3 == 1:
        config = RunConfig(model=_scratch(), training=_training(epochs, _pick(rng, 1e-6, 3e-6, 1e-5)))
    else:
        training = _training(epochs, _pick(rng, 1e-5, 3e-5), optimizer="sgd")
        config = RunConfig(model=_head(), training=training)
    return Recipe("digits", classes, 30, 12, config)


def _still_improving(rng: np.random.Generator, seed: int) -> Recipe:
    """A good or somewhat small rate, and an end long before the curve is flat."""
    epochs = int(rng.integers(6, 12))
    if seed % 2:
        config = RunConfig(model=_scratch(), training=_training(epochs, _pick(rng, 1e-4, 2e-4), patience=5))
        return Recipe("digits", 10, 40, 15, config)
    config = RunConfig(model=_head(), training=_training(epochs, _pick(rng, 2e-4, 3e-4), patience=5))
    return Recipe("digits", 10, 40, 15, config)


def _too_little_data(rng: np.random.Generator, seed: int) -> Recipe:
    """A handful of pictures."""
    pool: Literal["digits", "surfaces"] = "digits" if seed % 2 else "surfaces"
    config = RunConfig(model=_head(dropout=0.2), training=_training(20, _pick(rng, 1e-3, 3e-3), patience=5))
    return Recipe(pool, 3, int(rng.integers(4, 9)), int(rng.integers(2, 6)), config)


def _validation_above(rng: np.random.Generator, seed: int) -> Recipe:
    """Dropout or random changes that make the training pictures much harder than those for validation."""
    epochs = int(rng.integers(12, 24))
    if seed % 2:
        model = _head((256,), dropout=_pick(rng, 0.5, 0.6))
        return Recipe("digits", 8, 35, 15, RunConfig(model=model, training=_training(epochs, 1e-3)))
    augmentation = PRESETS["strong"] if seed % 4 else PRESETS["tutorial"]
    config = RunConfig(augmentation, _head(dropout=0.6), _training(epochs, 2e-3, views=3))
    return Recipe("digits", 6, 45, 25, config)


def _frozen_too_much(rng: np.random.Generator, seed: int) -> Recipe:
    """A few random filters that stay as they are, below a head of one layer."""
    filters = ((4, 8), (8, 8), (8, 16))[seed % 3]
    model = ModelConfig(backbone=small_cnn_name(filters), image_size=32, head=HeadConfig(dropout=0.0))
    training = _training(int(rng.integers(45, 65)), _pick(rng, 1.0, 2.0), schedule="step")
    return Recipe("digits", int(rng.integers(7, 11)), 80, 25, RunConfig(model=model, training=training))


def _frozen_too_little(rng: np.random.Generator, seed: int) -> Recipe:
    """Most or all of the pre-trained backbone learns from a few dozen pictures."""
    first = ("block3a", "block4a", "block5a")[seed % 3]
    model = replace(_head(), first_trainable=first)
    training = _training(int(rng.integers(10, 14)), _pick(rng, 2e-4, 5e-4), batch_size=16)
    return Recipe("scenes", 2, int(rng.integers(24, 36)), 60, RunConfig(model=model, training=training))


def _class_never_predicted(rng: np.random.Generator, seed: int) -> Recipe:
    """One class has one or two training pictures, and the others that look like it have sixty each."""
    sizes = (60, 60, 60, int(rng.integers(1, 3)))
    config = RunConfig(model=_head(dropout=0.1), training=_training(int(rng.integers(6, 9)), _pick(rng, 2.5e-4, 3e-4)))
    return Recipe("digits", 4, sizes, 20, config)


def _no_difference(rng: np.random.Generator, seed: int) -> Recipe:
    """It goes on long after everything that could be learned is learned, and nothing comes of it."""
    epochs = int(rng.integers(40, 60))
    training = _training(epochs, _pick(rng, 2e-3, 3e-3), schedule="cosine")
    if seed % 2:
        return Recipe("digits", 6, 60, 25, RunConfig(model=_head(l2=0.001), training=training))
    return Recipe("surfaces", 4, 24, 8, RunConfig(model=_head(l2=0.001), training=training))


def _well(rng: np.random.Generator, seed: int) -> Recipe:
    """Our settings as they are, on pictures that suit them."""
    training = _training(30, _pick(rng, 2e-3, 3e-3), patience=5)
    config = RunConfig(model=_head(dropout=_pick(rng, 0.0, 0.2)), training=training)
    if seed % 2:
        return Recipe("digits", int(rng.integers(4, 8)), 60, 25, config)
    return Recipe("surfaces", 5, 24, 8, config)


RECIPES: Mapping[State, Callable[[np.random.Generator, int], Recipe]] = {
    "overfitting": _overfitting,
    "rate_too_high": _rate_too_high,
    "rate_too_low": _rate_too_low,
    "still_improving": _still_improving,
    "too_little_data": _too_little_data,
    "validation_above": _validation_above,
    "frozen_too_much": _frozen_too_much,
    "frozen_too_little": _frozen_too_little,
    "class_never_predicted": _class_never_predicted,
    "no_difference": _no_difference,
    "well": _well,
}


def train_histories(home: DataRoot, seeds: Sequence[int], states: Sequence[State] = STATES) -> Iterator[TrainedHistory]:
    """Train each state with each seed."""
    trainer = Trainer(home)
    for state in states:
        for seed in seeds:
            yield trainer.train(state, seed)


def main(arguments: list[str]) -> int:
    """Train histories and write them into a file."""
    path, seeds = Path(arguments[0]), [int(word) for word in arguments[1:]]
    with tempfile.TemporaryDirectory() as folder:
        os.environ[ENVIRONMENT_VARIABLE] = folder
        found = list(train_histories(DataRoot(Path(folder)), seeds))
    path.write_bytes(b"[\n" + b",\n".join(msgspec.json.encode(history) for history in found) + b"\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
