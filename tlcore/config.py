"""What a person chose: one tree of frozen dataclasses, checked on creation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

FillMode = Literal["nearest", "constant", "reflect", "wrap"]
ResizeMode = Literal["crop", "stretch", "pad"]
PixelScaling = Literal["backbone", "divide_255"]
Pooling = Literal["average", "flatten"]
OptimizerName = Literal["adam", "sgd", "rmsprop", "adamw"]
ScheduleName = Literal["constant", "step", "cosine"]
Balance = Literal["none", "weights", "sampling"]

FILL_MODES: tuple[FillMode, ...] = get_args(FillMode)
RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)
PIXEL_SCALINGS: tuple[PixelScaling, ...] = get_args(PixelScaling)
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
SCHEDULE_NAMES: tuple[ScheduleName, ...] = get_args(ScheduleName)
BALANCES: tuple[Balance, ...] = get_args(Balance)

IMAGENET = "imagenet"
RANDOM = "random"
"""Besides these two, `ModelConfig.weights` is the key of a file that a person brought."""


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"`{name}` must be between {low:g} and {high:g}. Received: {name}={value}")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(choices)}. Received: {name}={value!r}")


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """Random changes of a training picture, with the names and meanings of Keras's `ImageDataGenerator`.

    Attributes:
        rotation_range: Largest turn in degrees, either way.
        width_shift_range: Largest move sideways, as a fraction of the width.
        height_shift_range: Largest move up or down, as a fraction of the height.
        shear_range: Largest shear angle in degrees, either way.
        zoom_range: Scale factors are drawn from `[1 - zoom_range, 1 + zoom_range]`, for each axis.
        brightness_range: Darkest and brightest factor; `(1, 1)` leaves brightness alone.
        contrast_range: Contrast factors are drawn from `[1 - contrast_range, 1 + contrast_range]`.
        channel_shift_range: Largest value added to each colour channel, in pixel values of `[0, 255]`.
        horizontal_flip: Mirror left and right in half of the draws.
        vertical_flip: Mirror top and bottom in half of the draws.
        fill_mode: What fills the area that a move uncovers.
        cval: Pixel value in `[0, 255]` for `fill_mode="constant"`.
    """

    rotation_range: float = 0.0
    width_shift_range: float = 0.0
    height_shift_range: float = 0.0
    shear_range: float = 0.0
    zoom_range: float = 0.0
    brightness_range: tuple[float, float] = (1.0, 1.0)
    contrast_range: float = 0.0
    channel_shift_range: float = 0.0
    horizontal_flip: bool = False
    vertical_flip: bool = False
    fill_mode: FillMode = "nearest"
    cval: float = 0.0

    def __post_init__(self) -> None:
        _check_range("rotation_range", self.rotation_range, 0, 180)
        _check_range("width_shift_range", self.width_shift_range, 0, 1)
        _check_range("height_shift_range", self.height_shift_range, 0, 1)
        _check_range("shear_range", self.shear_range, 0, 80)
        _check_range("zoom_range", self.zoom_range, 0, 0.9)
        darkest, brightest = self.brightness_range
        _check_range("brightness_range", darkest, 0, brightest)
        _check_range("brightness_range", brightest, darkest, 3)
        _check_range("contrast_range", self.contrast_range, 0, 1)
        _check_range("channel_shift_range", self.channel_shift_range, 0, 255)
        _check_range("cval", self.cval, 0, 255)
        _check_choice("fill_mode", self.fill_mode, FILL_MODES)

    @property
    def is_identity(self) -> bool:
        """Whether every draw leaves the picture as it is."""
        neutral = AugmentationConfig(fill_mode=self.fill_mode, cval=self.cval)
        return self == neutral


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """The new layers on top of the backbone.

    Attributes:
        pooling: `average` keeps one number per channel, `flatten` keeps every position.
        dense_units: Units of each dense layer before the output; at most two layers.
        dropout: Fraction of values set to zero during training, before the output and each dense layer.
        l2: Penalty on the squares of the head's weights, added to the loss.
    """

    pooling: Pooling = "average"
    dense_units: tuple[int, ...] = ()
    dropout: float = 0.2
    l2: float = 0.0

    def __post_init__(self) -> None:
        _check_choice("pooling", self.pooling, POOLINGS)
        _check_range("len(dense_units)", len(self.dense_units), 0, 2)
        for units in self.dense_units:
            _check_range("dense_units", units, 1, 4096)
        _check_range("dropout", self.dropout, 0, 0.9)
        _check_range("l2", self.l2, 0, 1)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Backbone, freeze line and head.

    Attributes:
        backbone: Name of a row of `tlcore.backbones.registry`.
        image_size: Side of the square picture that the backbone sees, in pixels.
        resize_mode: How a picture becomes square: cut the middle, stretch, or add borders.
        pixel_scaling: How pixel values become the backbone's input: as its row of the registry says, or divided by
            255 whatever it was trained with, a common mistake.
        first_trainable: Name of the first block that is trained; the blocks before it stay
            frozen. `None` freezes the whole backbone.
        also_frozen: Names of blocks behind that line which stay frozen all the same.
        weights: What the backbone begins with: `imagenet`, `random`, or the key of a file that a person brought.
        head: The layers after the backbone.
    """

    backbone: str = "efficientnet_lite0"
    image_size: int = 224
    resize_mode: ResizeMode = "crop"
    pixel_scaling: PixelScaling = "backbone"
    first_trainable: str | None = None
    also_frozen: tuple[str, ...] = ()
    weights: str = IMAGENET
    head: HeadConfig = field(default_factory=HeadConfig)

    def __post_init__(self) -> None:
        _check_range("image_size", self.image_size, 32, 512)
        _check_choice("resize_mode", self.resize_mode, RESIZE_MODES)
        _check_choice("pixel_scaling", self.pixel_scaling, PIXEL_SCALINGS)


@dataclass(frozen=True, slots=True)
class FineTuningConfig:
    """The second phase of a training: after the head has learned, blocks of the backbone thaw and learn gently.

    Attributes:
        first_trainable: Name of the first block that thaws.
        epochs: Further passes over the training pictures, at most.
        learning_rate: Step size; 10 to 100 times smaller than that of the first phase, or the backbone forgets.
        schedule: How it changes over these epochs, as `TrainingConfig.schedule`. Gentle steps at the end bring the
            blocks to rest, which matters more here than in the first phase.
    """

    first_trainable: str
    epochs: int = 5
    learning_rate: float = 1e-4
    schedule: ScheduleName = "cosine"

    def __post_init__(self) -> None:
        _check_range("epochs", self.epochs, 1, 1000)
        _check_range("learning_rate", self.learning_rate, 1e-8, 10)
        _check_choice("schedule", self.schedule, SCHEDULE_NAMES)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How the trainable part learns.

    Attributes:
        epochs: Passes over the training pictures, at most.
        batch_size: Pictures per step.
        optimizer: Name of a Keras optimizer; `sgd` has momentum 0.9.
        learning_rate: Step size of the optimizer.
        patience: Epochs without a better validation loss before training stops early;
            `None` trains all epochs. The best epoch is kept in either case.
        views: Augmented views of each picture that are computed once and walked through by the
            epochs. Without augmentation there is one.
        new_views_every_epoch: Draw new views in every epoch instead; slower, more variety.
        seed: Fixes the initial weights of what is trained, dropout and the order of the pictures. Views, and random
            weights that are frozen, have draws of their own, so that runs with different seeds share their features.
        schedule: How the learning rate changes over the epochs: `constant`, `step` (a tenth after each third),
            `cosine` (smoothly down to zero).
        warmup_epochs: Epochs in which the learning rate grows from zero to its full size.
        label_smoothing: Fraction of certainty that is taken from the right answer and spread over all classes.
        balance: How uneven classes are evened out: not at all, by `weights` of their losses, or by `sampling`
            each class equally often.
        fine_tuning: The second phase; `None` trains in one.
    """

    epochs: int = 30
    batch_size: int = 32
    optimizer: OptimizerName = "adam"
    learning_rate: float = 3e-3
    patience: int | None = 5
    views: int = 4
    new_views_every_epoch: bool = False
    seed: int = 0
    schedule: ScheduleName = "constant"
    warmup_epochs: int = 0
    label_smoothing: float = 0.0
    balance: Balance = "none"
    fine_tuning: FineTuningConfig | None = None

    def __post_init__(self) -> None:
        _check_range("epochs", self.epochs, 1, 1000)
        _check_range("batch_size", self.batch_size, 1, 512)
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_range("learning_rate", self.learning_rate, 1e-8, 10)
        if self.patience is not None:
            _check_range("patience", self.patience, 1, 1000)
        _check_range("views", self.views, 1, 64)
        _check_range("seed", self.seed, 0, 2**31 - 1)
        _check_choice("schedule", self.schedule, SCHEDULE_NAMES)
        _check_range("warmup_epochs", self.warmup_epochs, 0, 1000)
        _check_range("label_smoothing", self.label_smoothing, 0, 0.5)
        _check_choice("balance", self.balance, BALANCES)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that a run needs besides its data set version: the same tree makes the same run again."""

    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def phases(self) -> tuple[RunConfig, ...]:
        """The run as one or two trainings: the second goes on from the first one's best epoch."""
        tuning = self.training.fine_tuning
        first = replace(self, training=replace(self.training, fine_tuning=None))
        if tuning is None:
            return (first,)
        training = replace(
            first.training,
            epochs=tuning.epochs,
            learning_rate=tuning.learning_rate,
            schedule=tuning.schedule,
            warmup_epochs=0,
        )
        model = replace(self.model, first_trainable=tuning.first_trainable)
        return first, replace(first, model=model, training=training)
