"""Model page: choose a backbone, move the line between frozen and trainable, build the head."""

from dataclasses import replace

import streamlit as st

from pages.components.figures.live_plot import live_plot
from pages.components.figures.network import network_figure, network_height, network_words
from pages.components.forms import SettingsForm, options
from pages.components.frame import next_step, open_page
from pages.components.model.backbone_chooser import draw_backbone_chooser
from pages.components.model.backbone_overview import draw_backbone_overview
from pages.components.model.freeze_form import draw_freeze_line
from pages.components.model.large_head import warn_of_large_head
from pages.components.model.offline_panel import draw_offline_panel
from pages.components.model.size_advice import size_sentence
from pages.components.model.weights_form import draw_start
from pages.components.settings_conflict import draw_conflict
from pages.components.shown_settings import look_at_settings
from pages.components.state import Context
from tlcore.backbones.registry import BackboneSpec, get_backbone
from tlcore.config import ModelConfig
from tlcore.model.cut import scales_otherwise
from tlcore.settings.words import CHOICES

IMAGE_SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299)
PENALTIES = (0.0, 0.00001, 0.0001, 0.001, 0.01, 0.1)
UNITS = (16, 32, 64, 128, 256, 512, 1024)
DENSE_SENTENCES = (
    "The answers come straight from what the backbone saw: plain softmax.",
    "One layer mixes what the backbone saw before the answers.",
    "Two layers mix what the backbone saw before the answers.",
)

# From `python3 -m tests.bench accuracy scaling`.
SCALING_MEASURED = (
    "Measured with EfficientNet-Lite0, all frozen, over five splits: 92.8 % right instead of 94.8 % on 17 flowers, "
    "98.1 % instead of 98.8 % on cats and dogs."
)


def draw_network(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Draw the network from the picture down to the answer; a click on a block moves the line there."""
    spec = get_backbone(config.backbone)
    summary = context.model

    def move_line() -> None:
        name = st.session_state["network"].clicked
        if name in spec.block_names:
            form.change(
                lambda part: replace(
                    part, first_trainable=None if part.first_trainable == name else name, also_frozen=()
                )
            )

    live_plot(
        network_figure(summary, config.image_size),
        key="network",
        height=network_height(summary),
        description=network_words(summary, spec.title, config.image_size),
        on_click=move_line,
        toolbar=False,
    )


def draw_head(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Choose the new layers on top of the backbone."""
    st.subheader("Head", anchor=False)
    st.markdown("The new layers on top: they turn what the backbone saw into your classes.")
    st.segmented_control(
        "What the head gets",
        required=True,
        **options("pooling"),
        **form.bind(
            "pooling",
            help="The first is global average pooling: for each kind of thing that the backbone sees, how much of it "
            "is in the picture. The second is flatten: it also keeps where. That makes many more parameters, which a "
            "small data set cannot teach.",
        ),
    )
    st.caption(CHOICES["pooling"][config.head.pooling].sentence)
    layers = len(config.head.dense_units)
    st.segmented_control(
        "Dense layers before the answer",
        [0, 1, 2],
        format_func=lambda number: ("None", "One", "Two")[number],
        required=True,
        **form.bind(
            "dense_units",
            key="dense_layers",
            shown=len,
            stored=lambda count: (*config.head.dense_units, 128, 64)[:count],
            help="A dense layer mixes all its inputs. Without one the head can only draw straight lines between "
            "classes, which is nearly always enough on top of a good backbone.",
        ),
    )
    st.caption(DENSE_SENTENCES[layers])
    for index in range(layers):
        _draw_units(form, config.head.dense_units, index)
    st.slider(
        "Dropout",
        0.0,
        0.9,
        step=0.05,
        format="percent",
        **form.bind(
            "dropout",
            help="In every training step this part of the values is switched off by chance, so that the head cannot "
            "rely on a single one. It helps against learning by heart (overfitting).",
        ),
    )
    st.caption("Switches off a part of the values during training, so that the head does not learn by heart.")
    st.select_slider(
        "Penalty on large weights (L2)",
        sorted({*PENALTIES, config.head.l2}),
        format_func=lambda value: f"{value:g}" if value else "none",
        **form.bind(
            "l2",
            help="The squares of the head's weights are added to the loss, so that no single one grows large. Another "
            "help against learning by heart, also called weight decay.",
        ),
    )
    st.caption("Keeps every single weight of the head small.")
    warn_of_large_head(context)


def _draw_units(form: SettingsForm, dense_units: tuple[int, ...], index: int) -> None:
    """Choose the units of one dense layer."""
    st.select_slider(
        f"Units of dense layer {index + 1}",
        sorted({*UNITS, dense_units[index]}),
        **form.bind(
            "dense_units",
            key=f"dense_units_{index + 1}",
            shown=lambda units: units[index],
            stored=lambda chosen: (*dense_units[:index], chosen, *dense_units[index + 1 :]),
            help="How many numbers the layer passes on.",
        ),
    )


def draw_picture(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Choose how a picture is brought into the shape that the backbone takes."""
    st.subheader("Picture", anchor=False)
    spec = get_backbone(config.backbone)
    sizes = {size for size in IMAGE_SIZES if spec.minimum_size <= size <= spec.default_size}
    st.select_slider(
        "Size in pixels",
        sorted({*sizes, spec.default_size, config.image_size}),
        **form.bind(
            "image_size",
            help=(
                f"{spec.title} was trained at {spec.default_size} pixels and sees best there. "
                if spec.weights is not None
                else f"{spec.default_size} pixels are enough for a network of this size. "
            )
            + "Half the size takes a quarter of the time and misses small things.",
        ),
    )
    st.caption(size_sentence(context, config))
    st.segmented_control(
        "A picture that is not square",
        required=True,
        **options("resize_mode"),
        **form.bind(
            "resize_mode",
            help="The choice belongs to the model: training, prediction and export all treat pictures in this way.",
        ),
    )
    st.caption(CHOICES["resize_mode"][config.resize_mode].sentence)
    if scales_otherwise(spec, "divide_255"):
        with st.expander("Scaling of pixel values"):
            _draw_scaling(form, spec, config)


def _draw_scaling(form: SettingsForm, spec: BackboneSpec, config: ModelConfig) -> None:
    """Choose which values the backbone gets for a picture, the common mistake included."""
    st.segmented_control(
        "What the backbone gets",
        required=True,
        **options("pixel_scaling"),
        **form.bind(
            "pixel_scaling",
            help="A pixel's red, green and blue are numbers from 0 to 255. To see what the mistake costs, train once "
            "with each and compare the two runs. The choice belongs to the model: prediction and export scale in the "
            "same way.",
        ),
    )
    low, high = (round(end, 1) for end in spec.preprocessing.value_range)
    sentence = f"{CHOICES['pixel_scaling'][config.pixel_scaling].sentence} {spec.title} expects {low:g} to {high:g}."
    st.caption(sentence if config.pixel_scaling == "backbone" else f"{sentence} {SCALING_MEASURED}")


screen = look_at_settings(open_page("model"), "model")
draw_conflict(screen)
context = screen.context
config = context.project.config
form = SettingsForm(context, "model")
choices, drawing = st.columns([2, 3], gap="large")
with choices:
    draw_backbone_chooser(context)
    draw_start(context)
    draw_freeze_line(context, form, config.model)
with drawing:
    draw_network(context, form, config.model)
head, picture = st.columns(2, gap="medium")
with head:
    draw_head(context, SettingsForm(context, "head"), config.model)
with picture:
    draw_picture(context, form, config.model)
draw_backbone_overview(context)
if not context.is_guest:
    draw_offline_panel(context)
next_step("Next: Train", "train")
