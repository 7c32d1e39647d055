"""Model page: choose a backbone, move the line between frozen and trainable, build the head."""

from dataclasses import replace

import streamlit as st

from pages.components.forms import SettingsForm
from pages.components.frame import next_step, open_page, show_error
from pages.components.live_plot import live_plot
from pages.components.network_chart import amount, network_figure, network_height
from pages.components.price import draw_price
from pages.components.state import Context
from tlcore.architecture import describe_model
from tlcore.backbones.download import download_weights
from tlcore.backbones.registry import BACKBONES, BackboneSpec, get_backbone
from tlcore.backbones.weights import megabytes, weights_status
from tlcore.config import ModelConfig, ResizeMode
from tlcore.errors import TransferLabError

IMAGE_SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299)
UNITS = (16, 32, 64, 128, 256, 512, 1024)
RESIZE_SENTENCES: dict[ResizeMode, tuple[str, str]] = {
    "crop": ("Cut", "Cuts the middle out; what stands at the border is lost."),
    "stretch": ("Stretch", "Squeezes everything in; things look thinner or wider."),
    "pad": ("Add borders", "Keeps everything in shape, with black borders."),
}


def backbone_sentence(spec: BackboneSpec, context: Context) -> str:
    """Say in a line how large and how good a backbone is, and whether it is here."""
    status = weights_status(spec, context.home)
    here = "ready, no network needed"
    if not status.ready_offline:
        here = f"needs a download of {megabytes(status.download_bytes)}"
    right = f"names {100 * spec.imagenet_top1:.0f} of 100 ImageNet photos right"
    return f"{amount(spec.parameters)} parameters, {right}; {here}"


def with_backbone(config: ModelConfig, name: str) -> ModelConfig:
    """Return the settings with another backbone: all frozen, at the size that it was trained on."""
    if name == config.backbone:
        return config
    return replace(config, backbone=name, first_trainable=None, image_size=get_backbone(name).default_size)


def draw_backbone(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Choose the backbone; when its weights are missing, offer the download."""
    st.subheader("Backbone", anchor=False)
    bound = form.bind("backbone")
    bound |= {"on_change": lambda: form.change(lambda part: with_backbone(part, st.session_state["backbone"]))}
    st.radio(
        "A network that has already seen 1.3 million photos",
        [spec.name for spec in BACKBONES],
        format_func=lambda name: get_backbone(name).title,
        captions=[backbone_sentence(spec, context) for spec in BACKBONES],
        help="The backbone turns a picture into numbers that describe it. It learned that on ImageNet, 1.3 million "
        "photos of 1,000 kinds of things. Parameters are the numbers that it learned: more of them can "
        "mean better and always means slower.",
        key=bound["key"],
        on_change=bound["on_change"],
    )
    spec = get_backbone(config.backbone)
    status = weights_status(spec, context.home)
    if status.ready_offline:
        return
    st.warning(
        f"The weights of {spec.title} are not on this computer yet ({megabytes(status.download_bytes)}). "
        "Download them, or choose a backbone that is ready.",
        icon=":material/cloud_download:",
    )
    if st.button(f"Download {megabytes(status.download_bytes)}", icon=":material/download:", key="download"):
        download(spec)


def download(spec: BackboneSpec) -> None:
    """Fetch the weights while the page waits; leaving the page pauses it, and the next try goes on from there."""
    bar = st.progress(0.0, text=f"Downloading {spec.title}")

    def show(done: int, total: int) -> None:
        bar.progress(min(1.0, done / total) if total else 0.0, text=f"{megabytes(done)} of {megabytes(total)}")

    try:
        download_weights(spec, progress=show)
    except TransferLabError as error:
        show_error(error)
        return
    st.rerun()


def draw_freeze_line(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Move the line between frozen and trainable, and show the network with its parameters."""
    st.subheader("How much learns anew", anchor=False)
    spec = get_backbone(config.backbone)
    summary = describe_model(config, max(context.dataset.num_classes, 1))
    st.select_slider(
        "Train from this block on",
        [None, *reversed(spec.block_names)],
        format_func=lambda name: "all frozen" if name is None else name,
        help="The first blocks see edges and colours, which all photos share; the last ones see whole things. With few "
        "pictures keep all frozen (feature extraction). With many, or with pictures unlike photos, let the last "
        "blocks learn too (fine-tuning): it takes longer and wants a smaller learning rate.",
        **form.bind("first_trainable"),
    )
    trained, frozen = st.columns(2, wrap=False)
    trained.metric(":orange[:material/local_fire_department:] Learn", amount(summary.trainable_parameters))
    frozen.metric(":blue[:material/ac_unit:] Frozen", amount(summary.frozen_parameters))
    total = summary.trainable_parameters + summary.frozen_parameters
    st.caption(
        f"{summary.trainable_parameters:,} of {total:,} parameters learn from your pictures. "
        "Click a block to move the line there."
    )
    draw_price(context)


def draw_network(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Draw the network from the picture down to the answer; a click on a block moves the line there."""
    spec = get_backbone(config.backbone)
    summary = describe_model(config, max(context.dataset.num_classes, 1))

    def move_line() -> None:
        name = st.session_state["network"].clicked
        if name in spec.block_names:
            form.change(lambda part: replace(part, first_trainable=None if part.first_trainable == name else name))

    live_plot(
        network_figure(summary, config.image_size),
        key="network",
        height=network_height(summary),
        description=f"{spec.title} as a stack of {len(spec.blocks)} blocks; "
        f"{sum(not block.trainable for block in summary.blocks)} are frozen.",
        on_click=move_line,
        toolbar=False,
    )


def draw_head(form: SettingsForm, config: ModelConfig) -> None:
    """Choose the new layers on top of the backbone."""
    st.subheader("Head", anchor=False)
    st.markdown("The new layers on top: they turn what the backbone saw into your classes.")
    st.segmented_control(
        "What the head gets",
        ["average", "flatten"],
        format_func={"average": "One average per channel", "flatten": "Every position"}.get,
        required=True,
        help="The first is global average pooling: for each kind of thing that the backbone sees, how much of it is "
        "in the picture. The second is flatten: it also keeps where. That makes many more parameters, "
        "which a small data set cannot teach.",
        **form.bind("pooling"),
    )
    layers = len(config.head.dense_units)
    st.segmented_control(
        "Dense layers before the answer",
        [0, 1, 2],
        format_func={0: "None", 1: "One", 2: "Two"}.get,
        required=True,
        help="A dense layer mixes all its inputs. Without one the head can only draw straight lines between classes, "
        "which is nearly always enough on top of a good backbone.",
        **form.bind(
            "dense_units",
            key="dense_layers",
            shown=len,
            stored=lambda count: (*config.head.dense_units, 128, 64)[:count],
        ),
    )
    for index in range(layers):
        st.select_slider(
            f"Units of dense layer {index + 1}",
            sorted({*UNITS, config.head.dense_units[index]}),
            help="How many numbers the layer passes on.",
            **form.bind(
                "dense_units",
                key=f"dense_units_{index + 1}",
                shown=lambda units, index=index: units[index],
                stored=lambda chosen, index=index: tuple(
                    chosen if position == index else units for position, units in enumerate(config.head.dense_units)
                ),
            ),
        )
    st.slider(
        "Dropout",
        0.0,
        0.9,
        step=0.05,
        format="percent",
        help="In every training step this part of the values is switched off by chance, so that the head cannot "
        "rely on a single one. It helps against learning by heart (overfitting).",
        **form.bind("dropout"),
    )
    st.caption("Switches off a part of the values during training, so that the head does not learn by heart.")


def draw_picture(form: SettingsForm, config: ModelConfig) -> None:
    """Choose how a picture is brought into the shape that the backbone takes."""
    st.subheader("Picture", anchor=False)
    spec = get_backbone(config.backbone)
    sizes = {size for size in IMAGE_SIZES if spec.minimum_size <= size <= spec.default_size}
    st.select_slider(
        "Size in pixels",
        sorted({*sizes, spec.default_size, config.image_size}),
        help=f"{spec.title} was trained at {spec.default_size} pixels and sees best there. Half the size takes a "
        "quarter of the time and misses small things.",
        **form.bind("image_size"),
    )
    st.caption(f"Every picture becomes a square of {config.image_size} × {config.image_size} pixels.")
    st.segmented_control(
        "A picture that is not square",
        list(RESIZE_SENTENCES),
        format_func=lambda mode: RESIZE_SENTENCES[mode][0],
        required=True,
        help="The choice belongs to the model: training, prediction and export all treat pictures in this way.",
        **form.bind("resize_mode"),
    )
    st.caption(RESIZE_SENTENCES[config.resize_mode][1])


context = open_page("model", needs_data=True)
config = context.project.config
form = SettingsForm(context.engine, context.project.id, config, "model")
choices, drawing = st.columns([2, 3], gap="large")
with choices:
    draw_backbone(context, form, config.model)
    draw_freeze_line(context, form, config.model)
with drawing:
    draw_network(context, form, config.model)
head, picture = st.columns(2, gap="medium")
with head:
    draw_head(SettingsForm(context.engine, context.project.id, config, "head"), config.model)
with picture:
    draw_picture(form, config.model)
next_step("Next: Train", "train")
