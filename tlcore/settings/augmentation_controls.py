"""What the Augment page offers: one row per control, one row per preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from tlcore.config import AugmentationConfig

ControlKind = Literal["slider", "range", "switch", "choice"]


@dataclass(frozen=True, slots=True)
class AugmentationSpec:
    """One control of the Augment page.

    Attributes:
        field: The field of `AugmentationConfig` that it sets, and the key of its widget.
        label: Name on the page.
        sentence: What it does, in everyday words.
        why: When it helps or harms, with the field's term.
        kind: `slider` sets one number, `range` two (lowest, highest), `switch` a truth value, `choice` one
            of the field's `CHOICES`.
        minimum: Lowest value of a slider or range, in the unit of the field.
        maximum: Highest value of a slider or range, in the unit of the field.
        step: Distance of two values of a slider or range.
        unit: `°` for an angle; numbers of other kinds have none.
    """

    field: str
    label: str
    sentence: str
    why: str
    kind: ControlKind = "slider"
    minimum: float = 0.0
    maximum: float = 1.0
    step: float = 0.05
    unit: str = ""


@dataclass(frozen=True, slots=True)
class PresetSpec:
    """A ready set of choices.

    Attributes:
        name: Key of the preset.
        label: Name on the page.
        sentence: What it is good for.
        config: The choices.
    """

    name: str
    label: str
    sentence: str
    config: AugmentationConfig


CONTROLS: Final[tuple[AugmentationSpec, ...]] = (
    AugmentationSpec(
        field="rotation_range",
        label="Turn",
        sentence="Tilts each picture by a random angle, at most this far to either side.",
        why="The field's term is rotation. It helps when things can lie at any angle, and it harms when the "
        "angle carries the meaning, as in 6 and 9.",
        maximum=180.0,
        step=5.0,
        unit="°",
    ),
    AugmentationSpec(
        field="width_shift_range",
        label="Move sideways",
        sentence="Pushes the picture left or right by up to this part of its width.",
        why="The field's term is translation, here a width shift. The model learns that a thing stays the "
        "same thing when it is not in the middle.",
        maximum=0.5,
    ),
    AugmentationSpec(
        field="height_shift_range",
        label="Move up and down",
        sentence="Pushes the picture up or down by up to this part of its height.",
        why="The field's term is translation, here a height shift. With too much of it the thing itself leaves "
        "the picture, and the model learns from what is left.",
        maximum=0.5,
    ),
    AugmentationSpec(
        field="shear_range",
        label="Slant",
        sentence="Leans the picture over, like italic letters, by up to this angle.",
        why="The field's term is shear. It imitates a camera that looks from the side, and the slant of "
        "different people's handwriting.",
        maximum=45.0,
        step=1.0,
        unit="°",
    ),
    AugmentationSpec(
        field="zoom_range",
        label="Zoom",
        sentence="Makes the picture larger or smaller, and may also make it wider or taller.",
        why="The field's term is scaling; width and height are drawn apart, so shapes change a little. "
        "The model learns that near and far show the same thing.",
        maximum=0.5,
    ),
    AugmentationSpec(
        field="brightness_range",
        label="Brightness",
        sentence="Makes the picture darker or brighter; 1 leaves it as it is.",
        why="The field's term is brightness jitter: all pixel values are multiplied by one random factor. It helps "
        "when your photos were taken in one kind of light and new ones will not be.",
        kind="range",
        minimum=0.2,
        maximum=2.0,
        step=0.1,
    ),
    AugmentationSpec(
        field="contrast_range",
        label="Contrast",
        sentence="Makes the difference between dark and bright parts stronger or weaker.",
        why="The field's term is contrast jitter: pixel values move away from their mean or towards it. It imitates "
        "fog, hard sun and different cameras.",
    ),
    AugmentationSpec(
        field="channel_shift_range",
        label="Lift or lower the colours",
        sentence="Adds one random number to red, green and blue alike, so everything gets paler or deeper.",
        why="The field's term is channel shift. A pixel value goes from 0 to 255, and the result stays between the "
        "darkest and the brightest value of the picture.",
        maximum=100.0,
        step=5.0,
    ),
    AugmentationSpec(
        field="horizontal_flip",
        label="Mirror left and right",
        sentence="Shows every second picture, by chance, as in a mirror.",
        why="The field's term is horizontal flip. A mirrored cat is still a cat, but a mirrored letter is often "
        "another letter or none.",
        kind="switch",
    ),
    AugmentationSpec(
        field="vertical_flip",
        label="Turn upside down",
        sentence="Swaps top and bottom in every second picture, by chance.",
        why="The field's term is vertical flip. It suits pictures from above or through a microscope, and rarely "
        "photos in which the sky is always at the top.",
        kind="switch",
    ),
    AugmentationSpec(
        field="fill_mode",
        label="Fill the gaps",
        sentence="Chooses what appears where a moved picture leaves an empty corner.",
        why="The field's term is fill mode, or padding. The filling should carry no hint about the class, "
        "or the model may learn the filling.",
        kind="choice",
    ),
    AugmentationSpec(
        field="cval",
        label="Shade of the gaps",
        sentence="Sets the shade from black (0) to white (255); it counts only for gaps of one shade of grey.",
        why="The field's term is constant value. Choose the shade of your background, "
        "for example white for drawings on paper.",
        maximum=255.0,
        step=5.0,
    ),
)

PRESET_SPECS: Final[tuple[PresetSpec, ...]] = (
    PresetSpec("none", "None", "The model sees your pictures as they are.", AugmentationConfig()),
    PresetSpec(
        "light",
        "Light",
        "Small changes that suit most photos.",
        AugmentationConfig(
            rotation_range=10.0,
            width_shift_range=0.05,
            height_shift_range=0.05,
            zoom_range=0.1,
            brightness_range=(0.9, 1.1),
            horizontal_flip=True,
        ),
    ),
    PresetSpec(
        "strong",
        "Strong",
        "Large changes for very few pictures; look whether you still recognise them.",
        AugmentationConfig(
            rotation_range=40.0,
            width_shift_range=0.2,
            height_shift_range=0.2,
            shear_range=15.0,
            zoom_range=0.3,
            brightness_range=(0.6, 1.4),
            contrast_range=0.3,
            channel_shift_range=30.0,
            horizontal_flip=True,
            fill_mode="reflect",
        ),
    ),
    PresetSpec(
        "tutorial",
        "Tutorial",
        "The settings that many Keras tutorials use.",
        AugmentationConfig(
            rotation_range=20.0,
            width_shift_range=0.2,
            height_shift_range=0.2,
            zoom_range=0.2,
            horizontal_flip=True,
            fill_mode="nearest",
        ),
    ),
)

PRESETS: Final[Mapping[str, AugmentationConfig]] = MappingProxyType({row.name: row.config for row in PRESET_SPECS})
