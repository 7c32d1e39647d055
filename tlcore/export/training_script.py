"""The script that trains a model of the app again with nothing but Keras, written line by line for its settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from tlcore.backbones.registry import BackboneSpec, get_backbone, small_cnn_filters
from tlcore.backbones.spec import RAW_PIXELS, PreprocessingSpec
from tlcore.config import IMAGENET, AugmentationConfig, OptimizerName, RunConfig, ScheduleName, TrainingConfig
from tlcore.dataset import Dataset
from tlcore.export.source import Part
from tlcore.model.cut import ModelPlan, plan_model, scales_otherwise
from tlcore.results.prediction_code import LABELS_FILE, PACKAGES
from tlcore.settings.words import count
from tlcore.simple_heads.run import MAX_TRAINING_PICTURES
from tlcore.simple_heads.training import (
    LEAST_VARIANCE,
    LINEAR_SVM_STRENGTH,
    LINEAR_SVM_TOLERANCE,
    LOGISTIC_REGRESSION_STRENGTH,
    LOGISTIC_REGRESSION_TOLERANCE,
    MAX_STEPS,
    NUM_NEIGHBOURS,
)
from tlcore.storage.requests import SimpleHeadKind

PICTURES_FILE = "pictures.zip"
LIST_FILE = "pictures.csv"
BACKBONE_FILE = "backbone.keras"
TRAINED_FILE = "trained.keras"

# From here on a student's computer may run short of memory.
MUCH_MEMORY = 2e9

_OPTIMIZERS: dict[OptimizerName, str] = {
    "adam": "Adam({})",
    "sgd": "SGD({}, momentum=0.9)",
    "rmsprop": "RMSprop({})",
    "adamw": "AdamW({})",
}


@dataclass(frozen=True, slots=True)
class _Setup:
    """What decides about the lines of a script.

    Attributes:
        plan: The model, as its first phase begins.
        config: What was chosen.
        dataset: What it learned from.
        asks_once: Whether the frozen backbone is asked once about each picture, and the head learns from the answers.
    """

    plan: ModelPlan
    config: RunConfig
    dataset: Dataset
    asks_once: bool

    @property
    def training(self) -> TrainingConfig:
        """How its first phase learns."""
        return self.config.training

    @property
    def validates(self) -> bool:
        """Whether there are validation pictures."""
        return bool(self.dataset.subset("validation"))

    @property
    def is_one_hot(self) -> bool:
        """Whether classes are given as rows of zeros and a one."""
        return self.training.label_smoothing > 0

    @property
    def has_augmentation(self) -> bool:
        """Whether pictures are changed at random."""
        return not self.config.augmentation.is_identity

    @property
    def monitor(self) -> str:
        """What chooses the best epoch."""
        if not self.validates:
            return "loss"
        plain = self.training.label_smoothing == 0 and self.config.model.head.l2 == 0
        return "val_loss" if plain else "val_cross_entropy"

    @property
    def learner(self) -> str:
        """Name of the network that the first phase trains."""
        return "head" if self.asks_once else self.whole

    @property
    def whole(self) -> str:
        """Name of the whole network as it is trained."""
        return "learner" if self.has_augmentation else "model"

    @property
    def truth(self) -> str:
        """What the classes are called in the script."""
        return "hot" if self.is_one_hot else "y"


def needs_backbone_file(part: Part) -> bool:
    """Whether the script needs the backbone as a file: what it begins with cannot be had from Keras by its name."""
    plan = plan_model(part.model)
    if small_cnn_filters(part.model.backbone) is not None:
        return False
    published = plan.backbone.builder.startswith("keras.applications:") and part.model.weights == IMAGENET
    if published or not plan.is_random:
        return not published
    return _first(part).trainable_blocks != plan.backbone.block_names  # frozen random weights are always the same ones


def script_cells(part: Part, dataset: Dataset, num_left_out: int = 0) -> tuple[str, ...]:
    """Return the cells of the script that trains a part again; joined with empty lines they are the script.

    It runs in a folder with `pixels.py`, the names of the classes, the list of pictures, the ZIP of pictures and,
    where it needs one, the backbone. No word that somebody has typed is in it: names could be read as code.

    Args:
        part: A network or a simple head.
        dataset: What it learned from, as far as it is still there.
        num_left_out: How many pictures are not there any more.
    """
    if part.config is None:
        cells = _simple_head(part, dataset, num_left_out)
    else:
        cells = _network(part, part.config, dataset, num_left_out)
    return tuple("\n".join(cell) for cell in cells)


def _first(part: Part) -> ModelPlan:
    """Return the model as its training begins."""
    return plan_model(part.model if part.config is None else part.config.phases[0].model)


def _network(part: Part, config: RunConfig, dataset: Dataset, num_left_out: int) -> Iterator[list[str]]:
    plan = _first(part)
    asks_once = not plan.trainable_blocks and config.augmentation.is_identity
    setup = _Setup(plan, config, dataset, asks_once)
    sampled = config.training.balance == "sampling"
    yield _beginning(part, dataset, num_left_out, _differences(setup), sampled=sampled)
    yield _pictures(part, dataset)
    yield _backbone(part, plan)
    if plan.trainable_blocks != plan.backbone.block_names or config.training.fine_tuning:
        yield _freezing(plan, config)
    elif plan.is_random and _normalizes(plan.backbone):
        yield [
            "# Batch normalization remembers the mean and the spread of what passes. In so short a training, the usual",
            "# momentum of 0.99 would remember the random beginning.",
            "for layer in base.layers:",
            "    if isinstance(layer, keras.layers.BatchNormalization):",
            "        layer.momentum = 0.9",
        ]
    yield _head(setup)
    if setup.has_augmentation:
        yield _augmentation(config.augmentation, config.training)
    yield _first_phase(setup)
    if config.training.fine_tuning is not None:
        yield _second_phase(setup)
    yield _test(dataset, "model.predict(x_test).argmax(axis=1)")
    if config.training.warmup_epochs:
        # A compiled model would take the class of the warm-up along, which no other program knows.
        yield [
            "# Only the network, without its optimizer: another program need not know `WarmUp`.",
            f'keras.Model(model.inputs, model.outputs).save("{TRAINED_FILE}")',
        ]
        return
    yield [f'model.save("{TRAINED_FILE}")  # `keras.saving.load_model` opens it']


def _beginning(
    part: Part, dataset: Dataset, num_left_out: int, differences: Sequence[str], *, sampled: bool = False
) -> list[str]:
    config = part.config
    files = f"pixels.py, {LABELS_FILE}, {LIST_FILE}" + (f", {BACKBONE_FILE}" if needs_backbone_file(part) else "")
    seed = 0 if config is None else config.training.seed
    counts = [len(dataset.subset(split)) for split in ("train", "validation", "test")]
    packages = [*PACKAGES, *(["scikit-learn"] if part.config is None else [])]
    lines = [
        '"""Trains an image classifier again, in plain Python: read it from top to bottom."""',
        "",
        f"# It learns from {counts[0]} pictures; {counts[1]} are for validation and {counts[2]} for testing.",
        *_left_out(num_left_out),
        f"# What it needs:  pip install {' '.join(packages)}",
        f"# In this folder: {files},",
        f"#                 and {PICTURES_FILE}, the pictures: the Export page of the app has them for whoever owns",
        "#                 the project, as a download of its own.",
    ]
    if differences:
        lines += [
            "#",
            "# Seed and settings are those of the app, but two programs never draw the same chances. What differs:",
        ]
        for difference in differences:
            lines += [f"# {line}" for line in difference.split("\n")]
    lines += ["import csv", "import io"]
    if sampled or _has_schedule(config):
        lines.append("import math")
    lines += ["import zipfile", "", "import keras", "import numpy as np"]
    lines += ["from pixels import read_square", ""]
    lines += [f"SIZE = {part.model.image_size}  # the side of the square picture that the network sees, in pixels"]
    if config is not None:
        lines.append(f"BATCH = {config.training.batch_size}  # pictures in each step of the training")
    lines.append(f"keras.utils.set_random_seed({seed})  # the same chances every time that this script runs")
    return lines


def _left_out(number: int) -> list[str]:
    if not number:
        return []
    return [
        f"# The model also had {count(number, 'picture')} that cannot come along: deleted since, or not readable now.",
        "# So this script makes a slightly different one.",
    ]


def _pictures(part: Part, dataset: Dataset) -> list[str]:
    splits = [split for split in ("train", "validation", "test") if dataset.subset(split)]
    num_bytes = len(dataset.items) * part.model.image_size**2 * 3
    lines = [
        "# Training pictures teach. Validation pictures choose the best epoch. Test pictures are asked once, at the",
        "# end, and say how good the model is with pictures that it has never met.",
        f'with open("{LABELS_FILE}", encoding="utf-8") as file:',
        "    class_names = file.read().splitlines()",
        f'with open("{LIST_FILE}", encoding="utf-8", newline="") as file:',
        "    rows = list(csv.DictReader(file))",
        "",
        "",
        "def read_split(split):",
        '    """Return the pictures of one split, uint8 from 0 to 255, and the numbers of their classes, from 0."""',
        f'    with zipfile.ZipFile("{PICTURES_FILE}") as archive:',
        "        there = set(archive.namelist())  # without pictures that were deleted since the list was made",
        '        chosen = [row for row in rows if row["split"] == split and row["file"] in there]',
        '        files = [io.BytesIO(archive.read(row["file"])) for row in chosen]',
        f'    pictures = np.stack([read_square(file, SIZE, "{part.model.resize_mode}") for file in files])',
        '    return pictures, np.array([int(row["class"]) for row in chosen])',
        "",
        "",
    ]
    if num_bytes > MUCH_MEMORY:
        lines.append(f"# All pictures are kept in memory: about {num_bytes / 1e9:.0f} GB.")
    return [*lines, *(f'x_{split}, y_{split} = read_split("{split}")' for split in splits)]


def _backbone(part: Part, plan: ModelPlan) -> list[str]:
    spec, model = plan.backbone, part.model
    lines = _origin(part, plan)
    filters = small_cnn_filters(model.backbone)
    if scales_otherwise(get_backbone(model.backbone), model.pixel_scaling):
        lines.append("# Pixels are divided by 255, as was chosen, although this network was trained with other values.")
    lines.append("pixels = keras.Input((SIZE, SIZE, 3))")
    if filters is not None:
        lines += [
            "x = keras.layers.Rescaling(1 / 255)(pixels)",
            f"for number, filters in enumerate({list(filters)}, start=1):",
            '    x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)',
            '    x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)',
            "base = keras.Model(pixels, x)",
        ]
        return [*lines, "features = base(pixels)"]
    if needs_backbone_file(part):
        # It scales the pixels itself.
        return [*lines, f'base = keras.saving.load_model("{BACKBONE_FILE}", compile=False)', "features = base(pixels)"]
    weights = '"imagenet"' if model.weights == IMAGENET else "None"
    arguments = "".join(f", {name}={value!r}" for name, value in spec.arguments)
    builder = spec.builder.replace(":", ".")
    lines.append(f"base = {builder}(include_top=False, weights={weights}, input_shape=(SIZE, SIZE, 3){arguments})")
    return [*lines, *_scaling(spec.preprocessing), "features = base(scaled)"]


def _origin(part: Part, plan: ModelPlan) -> list[str]:
    title = plan.backbone.title
    if plan.is_random:
        return [f"# The backbone, {title}, begins with random weights: it has not seen a single picture yet."]
    if part.model.weights != IMAGENET:
        return [
            f"# The backbone is {title} with weights of your own: {BACKBONE_FILE} holds them as they were brought.",
            "# It scales the pixels itself.",
        ]
    lines = [
        f"# The backbone, {title}, has learned from more than a million photographs (ImageNet) what edges,",
        "# patterns and parts of things look like. That is what is transferred: only its last layer, which named the",
        "# classes of ImageNet, is left out.",
    ]
    if needs_backbone_file(part):
        return [*lines, "# It scales the pixels itself, to the values that it was trained with."]
    return [*lines, "# Keras downloads its weights once."]


def _scaling(preprocessing: PreprocessingSpec) -> list[str]:
    """Return the lines from pixels to what a network of Keras takes."""
    if preprocessing == RAW_PIXELS:
        return ["scaled = pixels  # this network scales them itself"]
    low, high = preprocessing.value_range
    comment = f"# This network was trained with values from {low:.3g} to {high:.3g}."
    source = "pixels"
    lines = []
    if preprocessing.bgr:
        lines.append("blue_first = pixels[..., ::-1]  # blue, green, red instead of red, green, blue")
        source = "blue_first"
    scale, offset = (_number(values) for values in (preprocessing.scale, preprocessing.offset))
    if scale == repr(1 / 255):
        scale, comment = "1 / 255", "# Values from 0 to 1."
    elif scale == repr(1 / 127.5):
        scale = "1 / 127.5"
    arguments = scale if offset == "0.0" else f"{scale}, offset={offset}"
    return [comment, *lines, f"scaled = keras.layers.Rescaling({arguments})({source})"]


def _number(values: tuple[float, ...]) -> str:
    return repr(values[0]) if len(set(values)) == 1 else repr(list(values))


def _normalizes(spec: BackboneSpec) -> bool:
    return any(block.batch_norm_parameters for block in spec.blocks)


def _stretches(plan: ModelPlan) -> list[tuple[str, str]]:
    """Return the stretches of the backbone that learn: after which layer each begins, "" for the picture, and its last.

    The first block begins behind the scaling of the pixels, which has no weights or stays as it is.
    """
    stretches: list[tuple[str, str]] = []
    before = ""
    for block in plan.backbone.blocks:
        if block.name in plan.trainable_blocks:
            if stretches and stretches[-1][1] == before:
                stretches[-1] = (stretches[-1][0], block.last_layer)
            else:
                stretches.append((before, block.last_layer))
        before = block.last_layer
    return stretches


def _freezing(plan: ModelPlan, config: RunConfig) -> list[str]:
    """Return how layers are frozen and thawed; a network that is frozen for good needs one line for it."""
    later = config.training.fine_tuning is not None
    lines = ["# Frozen: training leaves these weights alone."]
    if not plan.is_random:
        lines = [
            f"{lines[0]} The head begins with random weights and makes large mistakes",
            "# at first; they would shake what the backbone knows.",
        ]
    if not plan.trainable_blocks and not later:
        return [*lines, "base.trainable = False"]
    lines += ["", "", "def thaw(*stretches):"]
    lines.append(
        '    """Let some stretches of the backbone learn: (behind this layer, up to that one). All else is frozen."""'
    )
    lines.append("    places = {step.name: place for place, step in enumerate(base.operations)}")
    lines.append('    places[""] = places.get("preprocessing", -1)  # nothing: from the picture on')
    lines.append("    base.trainable = True")
    lines.append("    for layer in base.layers:")
    lines.append(
        "        learns = any(places[after] < places[layer.name] <= places[last] for after, last in stretches)"
    )
    if not plan.is_random and _normalizes(plan.backbone):
        lines += [
            "        # Batch normalization keeps the means and spreads of the first training: a few pictures would",
            "        # make worse ones, and all layers behind it are used to these.",
            "        layer.trainable = learns and not isinstance(layer, keras.layers.BatchNormalization)",
        ]
    else:
        lines.append("        layer.trainable = learns")
        if _normalizes(plan.backbone):
            lines += [
                "        if isinstance(layer, keras.layers.BatchNormalization):",
                "            layer.momentum = 0.9  # the usual 0.99 would remember the random beginning",
            ]
    return [*lines, "", "", *_thawed(plan)]


def _thawed(plan: ModelPlan) -> list[str]:
    if not plan.trainable_blocks:
        return ["base.trainable = False  # all of it, for now"]
    return [f"thaw({', '.join(repr(stretch) for stretch in _stretches(plan))})"]


def _head(setup: _Setup) -> list[str]:
    head = setup.config.model.head
    lines = ["# The head: new layers that turn what the backbone sees into one probability for each class."]
    layers = []
    if head.pooling == "average":
        lines.append(
            "features = keras.layers.GlobalAveragePooling2D()(features)  # one number for each thing it looks for"
        )
    else:
        lines.append("features = keras.layers.Flatten()(features)  # every place of the picture keeps its own numbers")
    regularizer = f", kernel_regularizer=keras.regularizers.L2({head.l2!r})" if head.l2 else ""
    for units in (*head.dense_units, None):
        if head.dropout:
            layers.append(f"keras.layers.Dropout({head.dropout!r}),  # hides some numbers at random, in training only")
        size, activation = ("len(class_names)", "softmax") if units is None else (str(units), "relu")
        layers.append(f'keras.layers.Dense({size}, activation="{activation}"{regularizer}),')
    lines += ["head = keras.Sequential(", "    [", *(f"        {layer}" for layer in layers), "    ]", ")"]
    if head.l2:
        lines.append("# L2 adds the squares of the weights to the loss, which keeps them small.")
    return [*lines, "model = keras.Model(pixels, head(features))"]


def _augmentation(config: AugmentationConfig, training: TrainingConfig) -> list[str]:
    """Return the layers that change training pictures at random."""
    fill = f'fill_mode="{config.fill_mode}"' + (
        f", fill_value={config.cval!r}" if config.fill_mode == "constant" else ""
    )
    lines = []
    layers = []
    if config.rotation_range:
        layers.append(f"keras.layers.RandomRotation({config.rotation_range!r} / 360, {fill}),  # degrees, either way")
    if config.width_shift_range or config.height_shift_range:
        shifts = f"{config.height_shift_range!r}, {config.width_shift_range!r}"
        layers.append(f"keras.layers.RandomTranslation({shifts}, {fill}),  # up and down, sideways")
    if config.shear_range:
        layers.append(f"keras.layers.RandomShear(float(np.sin(np.radians({config.shear_range!r}))), 0.0, {fill}),")
    if config.zoom_range:
        zoom = repr(config.zoom_range)
        layers.append(f"keras.layers.RandomZoom({zoom}, {zoom}, {fill}),  # height and width each on its own")
    if config.horizontal_flip or config.vertical_flip:
        both = config.horizontal_flip and config.vertical_flip
        way = "horizontal_and_vertical" if both else "horizontal" if config.horizontal_flip else "vertical"
        layers.append(f'keras.layers.RandomFlip("{way}"),')
    if config.channel_shift_range:
        layers.append(
            f"keras.layers.RandomBrightness({config.channel_shift_range!r} / 255),  # channel shift: adds to all"
        )
    if config.brightness_range != (1, 1):
        layers.append(f"RandomFactor{config.brightness_range!r},")
        lines += [
            "class RandomFactor(keras.layers.Layer):",
            '    """Multiplies pixel values: `RandomBrightness` of Keras adds to them, which is something else."""',
            "",
            "    def __init__(self, darkest, brightest):",
            "        super().__init__()",
            "        self.range = darkest, brightest",
            "        self.chance = keras.random.SeedGenerator()",
            "",
            "    def call(self, images, training=False):",
            "        if not training:",
            "            return images",
            "        shape = (keras.ops.shape(images)[0], 1, 1, 1)",
            "        factors = keras.random.uniform(shape, *self.range, seed=self.chance)",
            "        return keras.ops.clip(images * factors, 0, 255)",
            "",
            "",
        ]
    if config.contrast_range:
        layers.append(f"keras.layers.RandomContrast({config.contrast_range!r}),")
    lines += [
        "# Augmentation: in training, each picture is changed a little at random every time, so that learning it by",
        "# heart does not help. These layers do nothing when the network is asked.",
        "learner = keras.Sequential(",
        "    [",
        "        keras.Input((SIZE, SIZE, 3)),",
    ]
    return [*lines, *(f"        {layer}" for layer in layers), "        model,", "    ]", ")"]


def _differences(setup: _Setup) -> list[str]:
    """Name what is not as in the app."""
    config, training = setup.config.augmentation, setup.training
    found = ["- The order of the pictures, the first weights of what is new, and dropout."]
    if setup.plan.is_random:
        found.append("- A backbone that begins with random weights comes out several points better or worse each time.")
    if setup.has_augmentation:
        if training.new_views_every_epoch:
            found.append("- Augmentation draws other views of each picture, and draws each step's change on its own.")
        else:
            views = "one view" if training.views == 1 else f"{training.views} views"
            found.append(
                f"- The app draws {views} of each picture once and walks through them; Keras draws new ones all the\n"
                "  time. It gets more variety, and needs longer."
            )
        warps = (config.rotation_range, config.width_shift_range, config.height_shift_range, config.shear_range)
        if sum(map(bool, (*warps, config.zoom_range))) > 1:
            found.append(
                "- The app warps a picture once, as Keras's former ImageDataGenerator; layers of Keras do it in turn."
            )
        if config.shear_range:
            found.append("- The app's shear also makes pictures lower; RandomShear only slants them, sideways.")
        if config.channel_shift_range:
            found.append(
                "- The app keeps shifted values between the picture's darkest and brightest, Keras in 0 to 255."
            )
        if config.contrast_range:
            found.append("- The app's contrast is about the mean of all values, Keras's about that of each colour.")
    frozen = not setup.asks_once and setup.plan.trainable_blocks != setup.plan.backbone.block_names
    tunes = training.fine_tuning is not None
    if (frozen or tunes) and ":EfficientNet" in setup.plan.backbone.builder:
        found.append("- Keras leaves out branches of this network at random while it trains, also in frozen blocks.")
    return found


def _has_schedule(config: RunConfig | None) -> bool:
    if config is None:
        return False
    phases = [phase.training for phase in config.phases]
    return any(phase.schedule != "constant" or phase.warmup_epochs for phase in phases)


def _first_phase(setup: _Setup) -> list[str]:
    training = setup.training
    lines = []
    splits = ["train", *(["validation"] if setup.validates else [])]
    if training.balance == "weights":
        lines += [
            "# Rare classes count more, so that all classes weigh the same.",
            "counts = np.bincount(y_train, minlength=len(class_names))",
            "class_weight = {c: len(y_train) / (np.count_nonzero(counts) * n) for c, n in enumerate(counts) if n}",
            "",
        ]
    if training.balance == "sampling":
        lines += _balanced()
    if setup.is_one_hot:
        lines.append(
            "# Label smoothing takes a little certainty from the right answer and spreads it over all classes."
        )
        lines += [f"hot_{split} = keras.utils.to_categorical(y_{split}, len(class_names))" for split in splits]
        lines.append("")
    if setup.asks_once:
        lines += [
            "# A frozen backbone always says the same about the same picture, so it is asked once. The head is small",
            "# and learns from the answers in seconds.",
            "backbone = keras.Model(pixels, features)",
            *(f"seen_{split} = backbone.predict(x_{split}, batch_size=BATCH)" for split in splits),
            "",
        ]
    data = "seen" if setup.asks_once else "x"
    lines += _phase(setup, training, setup.learner, data, "")
    return lines


def _balanced() -> list[str]:
    return [
        "class Balanced(keras.utils.PyDataset):",
        '    """Every epoch draws as many pictures of each class as of any other, those of rare ones several times."""',
        "",
        "    def __init__(self, x, labels, truth):",
        "        super().__init__()",
        "        self.x, self.labels, self.truth = x, labels, truth",
        "        self.on_epoch_end()",
        "",
        "    def on_epoch_end(self):",
        "        present, total = np.unique(self.labels), len(self.labels)",
        "        drawn = []",
        "        for place, label in enumerate(present):",
        "            share = total // len(present) + (place < total % len(present))",
        "            drawn.append(np.resize(np.random.permutation(np.flatnonzero(self.labels == label)), share))",
        "        self.order = np.random.permutation(np.concatenate(drawn))",
        "",
        "    def __len__(self):",
        "        return math.ceil(len(self.order) / BATCH)",
        "",
        "    def __getitem__(self, number):",
        "        chosen = self.order[number * BATCH : (number + 1) * BATCH]",
        "        return self.x[chosen], self.truth[chosen]",
        "",
        "",
    ]


def _rate(training: TrainingConfig) -> list[str]:
    """Return the lines that make `rate`, the learning rate, for one phase; none where it is a number."""
    peak = repr(float(training.learning_rate))
    warmup = training.warmup_epochs
    epochs = max(1, training.epochs - warmup)
    if training.schedule == "constant" and not warmup:
        return []
    lines = ["steps = math.ceil(len(y_train) / BATCH)  # in each epoch"]
    schedules: dict[ScheduleName, list[str]] = {
        "constant": [f"rate = {peak}"],
        "cosine": [
            "# Large steps at first, ever smaller ones towards the end.",
            f"rate = keras.optimizers.schedules.CosineDecay({peak}, {epochs} * steps)",
        ],
        "step": [
            "# A tenth after each third of the training.",
            f"thirds = [math.ceil({epochs} * steps * third / 3) - 1 for third in (1, 2)]",
            f"rate = keras.optimizers.schedules.PiecewiseConstantDecay(thirds, [{peak}, {peak} / 10, {peak} / 100])",
        ],
    }
    lines += schedules[training.schedule]
    if not warmup:
        return lines
    after = "self.after" if training.schedule == "constant" else "self.after(step - self.steps)"
    return [
        *lines,
        "",
        "",
        "class WarmUp(keras.optimizers.schedules.LearningRateSchedule):",
        '    """Lets the learning rate grow from next to nothing: the first steps of a new head are the wildest."""',
        "",
        "    def __init__(self, after, peak, steps):",
        "        self.after, self.peak, self.steps = after, peak, steps",
        "",
        "    def __call__(self, step):",
        '        step = keras.ops.cast(step, "float32")',
        f"        growing = self.peak * keras.ops.maximum(step, {0.1 / warmup!r} * self.steps) / self.steps",
        f"        return keras.ops.where(step < self.steps, growing, {after})",
        "",
        "",
        f"rate = WarmUp(rate, {peak}, {warmup} * steps)",
    ]


def _phase(setup: _Setup, training: TrainingConfig, network: str, data: str, number: str) -> list[str]:
    """Return the lines that train one phase.

    Args:
        setup: What it is about.
        training: How this phase learns.
        network: Name of what is trained.
        data: Name of what it learns from, before the name of the split.
        number: Empty for the first phase; otherwise the name of what the phase before reached.
    """
    lines = _rate(training)
    rate = "rate" if lines else repr(float(training.learning_rate))
    metrics = ['"accuracy"']
    if setup.is_one_hot:
        loss = f"keras.losses.CategoricalCrossentropy(label_smoothing={training.label_smoothing!r})"
    else:
        loss = '"sparse_categorical_crossentropy"'
    if setup.monitor == "val_cross_entropy":
        kind = "Categorical" if setup.is_one_hot else "SparseCategorical"
        metrics.append(f'keras.metrics.{kind}Crossentropy(name="cross_entropy")')
    if not number:
        lines += [
            "# The learning rate says how large the steps are: too large, and the loss jumps about; too small, and it",
            "# hardly falls. A new head can take larger steps than a network that knows something already.",
        ]
    lines += [
        f"{network}.compile(",
        f"    optimizer=keras.optimizers.{_OPTIMIZERS[training.optimizer].format(rate)},",
        f"    loss={loss},",
        f"    metrics=[{', '.join(metrics)}],",
        ")",
    ]
    patience = training.epochs if training.patience is None else training.patience
    if not number:
        lines += _about_best(setup, training)
    stopping = f'"{setup.monitor}", patience={patience}, mode="min", restore_best_weights=True'
    if number:
        stopping += f", baseline={number}"
    lines.append(f"best = keras.callbacks.EarlyStopping({stopping})")
    truth = setup.truth
    if training.balance == "sampling":
        data_lines = [f"    Balanced({data}_train, y_train, {truth}_train),"]
    else:
        data_lines = [f"    {data}_train,", f"    {truth}_train,", "    batch_size=BATCH,"]
    lines += [f"history = {network}.fit(", *data_lines, f"    epochs={training.epochs},"]
    if setup.validates:
        lines.append(f"    validation_data=({data}_validation, {truth}_validation),")
    if training.balance == "weights":
        lines.append("    class_weight=class_weight,")
    return [*lines, "    callbacks=[best],", ")"]


def _about_best(setup: _Setup, training: TrainingConfig) -> list[str]:
    """Return the comment on which epoch is kept."""
    if setup.validates:
        lines = [
            "# The epoch with the smallest validation loss is kept; later ones may have learned pictures by heart."
        ]
    else:
        lines = ["# There are no validation pictures, so the epoch with the smallest training loss is kept."]
    if setup.monitor == "val_cross_entropy":
        lines.append("# That loss is the plain cross-entropy, without what was added for training.")
    if training.patience is not None:
        lines.append(f"# Training stops early after {training.patience} epochs without a better one.")
    return lines


def _second_phase(setup: _Setup) -> list[str]:
    phase = setup.config.phases[1]
    plan = plan_model(phase.model)
    return [
        "# Fine-tuning: the head has learned, so its mistakes are small now. The last blocks of the backbone thaw",
        f"# and adapt to these pictures, with a learning rate of {phase.training.learning_rate!r} instead",
        f"# of {setup.training.learning_rate!r}: in large steps they would forget what they know.",
        *_thawed(plan),
        f'before, weights = min(history.history["{setup.monitor}"]), model.get_weights()',
        *_phase(setup, phase.training, setup.whole, "x", "before"),
        f'if min(history.history["{setup.monitor}"]) >= before:  # it became no better: keep what there was',
        "    model.set_weights(weights)",
    ]


def _test(dataset: Dataset, answers: str) -> list[str]:
    if not dataset.subset("test"):
        return ["# There are no test pictures, so nothing tells how good it is with pictures that it has never met."]
    return [
        "# The test, once. With few pictures it is partly luck: with others it would be some points better or worse.",
        f"right = {answers} == y_test",
        'print(f"Test accuracy: {right.mean():.4f} ({right.sum()} of {len(right)} pictures)")',
    ]


def _simple_head(part: Part, dataset: Dataset, num_left_out: int) -> Iterator[list[str]]:
    plan = plan_model(part.model)
    differences = []
    if len(dataset.subset("train")) > MAX_TRAINING_PICTURES:
        differences.append(
            f"- The app takes {MAX_TRAINING_PICTURES} of the training pictures, this script all of them."
        )
    kind = simple_head_kind(part)
    if kind == "linear_svm":
        differences.append("- The app also turns scores into probabilities; that leaves every answer as it is.")
    yield _beginning(part, dataset, num_left_out, differences)
    yield _pictures(part, dataset)
    yield [*_backbone(part, plan), "features = keras.layers.GlobalAveragePooling2D()(features)"]
    yield [
        "# The backbone stays as it is: it is asked once what it sees in each picture. Each answer is scaled to",
        "# length 1, so that a picture with strong contrast does not outweigh the others.",
        "backbone = keras.Model(pixels, features)",
        "",
        "",
        "def seen(pictures):",
        "    rows = backbone.predict(pictures, batch_size=32)",
        "    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)",
        "",
        "",
        "seen_train = seen(x_train)",
    ]
    if kind == "nearest_neighbours":
        neighbours = min(NUM_NEIGHBOURS, len(dataset.subset("train")))
        yield [
            f"# Nothing is learned: the {neighbours} most similar training pictures vote, nearer ones count more.",
            "from sklearn.neighbors import KNeighborsClassifier",
            "",
            "head = KNeighborsClassifier(",
            f'    {neighbours}, metric="cosine", weights=lambda distances: 1 / np.maximum(distances, 1e-6)',
            ").fit(seen_train, y_train)",
        ]
        yield _test(dataset, "head.predict(seen(x_test))")
        return
    yield [
        "# Numbers that hardly change from picture to picture say little, and must not be blown up: so each is divided",
        "# by its own spread and the usual one together.",
        "mean, variance = seen_train.mean(axis=0), seen_train.var(axis=0)",
        f"usual = np.median(variance[variance > {LEAST_VARIANCE} * variance.max()])",
        "divisor = np.sqrt(variance + usual)",
    ]
    if kind == "linear_svm":
        yield [
            "# A linear support vector machine: one line between each class and the rest, with the widest margin.",
            "# A small C forgives pictures on the wrong side of it.",
            "from sklearn.svm import LinearSVC",
            "",
            f"head = LinearSVC(C={LINEAR_SVM_STRENGTH}, tol={LINEAR_SVM_TOLERANCE}, dual=True, random_state=0)",
            "head.fit((seen_train - mean) / divisor, y_train)",
        ]
    else:
        yield [
            "# Logistic regression: a weighted sum for each class, turned into probabilities. A small C keeps the",
            "# weights small.",
            "from sklearn.linear_model import LogisticRegression",
            "",
            "head = LogisticRegression(",
            f"    C={LOGISTIC_REGRESSION_STRENGTH}, tol={LOGISTIC_REGRESSION_TOLERANCE}, max_iter={MAX_STEPS}",
            ")",
            "head.fit((seen_train - mean) / divisor, y_train)",
        ]
    yield _test(dataset, "head.predict((seen(x_test) - mean) / divisor)")


def simple_head_kind(part: Part) -> SimpleHeadKind:
    """Return which kind of simple head a part is."""
    kinds: tuple[SimpleHeadKind, ...] = get_args(SimpleHeadKind)
    return next(kind for kind in kinds if kind == part.folder.name)
