"""Augment page: change pictures at random, and see at once what the training will see."""

from base64 import b64encode

import cv2
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from pages.components.errors import show_error
from pages.components.forms import SettingsForm, options, show_stored
from pages.components.frame import next_step, open_page
from pages.components.settings_conflict import draw_conflict
from pages.components.shown_settings import look_at_settings
from pages.components.state import Context, read_context
from pages.components.text import label
from tlcore.config import RunConfig
from tlcore.dataset import Item
from tlcore.errors import TransferLabError
from tlcore.images.views import ViewRequest, square_pixels, view_pixels
from tlcore.settings.augmentation_controls import CONTROLS, PRESET_SPECS, AugmentationSpec
from tlcore.settings.words import CHOICES

TILES = 9
CONTROLS_HEIGHT = 600
ORIGINAL_PIXELS = 170
ANOTHER_HELP = "Look at another picture of your data set."
AGAIN_HELP = "Throw the dice again: nine more views of this picture."
VIEWS_STYLE = "display: grid; grid-template-columns: repeat(3, 1fr); gap: 0.5rem"
VIEWS = (1, 2, 4, 8, 16, 32)


def draw_preset(form: SettingsForm, config: RunConfig) -> None:
    """Offer the presets; none is marked when the settings are the person's own."""
    presets = {row.name: row for row in PRESET_SPECS}
    current = next((row.name for row in PRESET_SPECS if row.config == config.augmentation), None)
    show_stored("preset", current)

    def choose() -> None:
        chosen = presets.get(st.session_state["preset"])
        if chosen is not None:
            form.change(lambda _: chosen.config)

    st.segmented_control(
        "Start from",
        presets,
        format_func=lambda name: presets[name].label,
        key="preset",
        on_change=choose,
        **form.state("rotation_range"),
    )
    st.caption(presets[current].sentence if current else "Your own mix.")


def draw_control(row: AugmentationSpec, form: SettingsForm, config: RunConfig) -> None:
    """Draw the widget of one row, with its sentence below and the reason one tap away."""
    value, sentence = getattr(config.augmentation, row.field), row.sentence
    if row.kind == "switch":
        st.toggle(row.label, **form.bind(row.field, help=row.why))
    elif row.kind == "choice":
        st.selectbox(row.label, **options(row.field), **form.bind(row.field, help=row.why))
        sentence += f" {CHOICES[row.field][value].sentence}"
    else:
        highest = max(value) if row.kind == "range" else value
        pair = tuple if row.kind == "range" else None
        bound = form.bind(row.field, shown=pair, stored=pair, help=row.why)
        largest = max(row.maximum, highest)
        st.slider(row.label, row.minimum, largest, step=row.step, format=slider_format(row), **bound)
    st.caption(sentence)


def slider_format(row: AugmentationSpec) -> str:
    """Return how a slider writes its value."""
    if row.kind == "range":
        return "%.1f×"
    if row.maximum <= 1:
        return "percent"
    return "%.0f°" if row.unit == "°" else "%.0f"


def shown_items(context: Context) -> list[Item]:
    """Return the pictures to look at: those for training, classes mixed, always in the same order."""
    items = context.dataset.subset("train") or context.dataset.items
    return sorted(items, key=lambda item: item.image)  # keys are hashes, so this order looks random


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels for the browser, so gently that nobody sees it."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    return encoded.tobytes()


def draw_pictures(context: Context, config: RunConfig) -> None:
    """Show one picture, and beside it nine views of it made by the very function that training uses."""
    items = shown_items(context)
    item = items[st.session_state.get("augment_picture", 0) % len(items)]
    first = st.session_state.get("augment_first_view", 0)
    views = range(first, first + TILES)
    requests = [ViewRequest(item.image), *(ViewRequest(item.image, view) for view in views)]
    try:
        square = square_pixels(context.images.read(item.image), config.model)
        # Not a likeness of what training gets, but the functions that training calls.
        original, *changed = (view_pixels(square, request, config.augmentation) for request in requests)
    except TransferLabError as error:
        show_error(error)
        return
    class_name = context.dataset.find_class(item.class_id).name

    used = 1 if config.augmentation.is_identity else config.training.views
    left, right = st.columns([1, 3])
    with left:
        st.image(jpeg(original), width=ORIGINAL_PIXELS, alt=f"The picture as it is, {class_name}")
        st.markdown(f"**Original**, {label(class_name)}")
        with st.container(horizontal=True, gap="xsmall"):
            st.button("Another", icon=":material/image:", key="another", on_click=another_picture, help=ANOTHER_HELP)
            st.button("Again", icon=":material/casino:", key="again", on_click=draw_again, help=AGAIN_HELP)
    with right, st.container(key="views-grid"):
        st.html(views_html(dict(zip(views, changed, strict=True))))
    st.caption(views_sentence(config, first, used))


def views_html(views: dict[int, NDArray[np.uint8]]) -> str:
    """Return all views as one piece of HTML with the pictures inside: they change at once, without nine requests."""
    pictures = (
        f'<img src="data:image/jpeg;base64,{b64encode(jpeg(pixels)).decode()}" '
        f'alt="View {view + 1} of the same picture" style="width: 100%; border-radius: 0.25rem">'
        for view, pixels in views.items()
    )
    return f'<div style="{VIEWS_STYLE}">{"".join(pictures)}</div>'


def views_sentence(config: RunConfig, first: int, used: int) -> str:
    """Say which of the nine pictures training gets."""
    if config.augmentation.is_identity:
        return "Nothing changes yet: every view is the original. Choose a preset or move a slider."
    shown = f"Views {first + 1} to {first + TILES} of this picture, row by row."
    if config.training.new_views_every_epoch:
        return f"{shown} Training takes the next one in every epoch."
    if first >= used:
        return f"{shown} Training uses views 1 to {used}; these are further draws, to see what can come."
    last = min(used, TILES)
    return f"{shown} Training gets {'view 1' if last == 1 else f'views 1 to {last}'} of these, exactly so."


def another_picture() -> None:
    """Go on to the next picture, with its first views."""
    st.session_state["augment_picture"] = st.session_state.get("augment_picture", 0) + 1
    st.session_state["augment_first_view"] = 0


def draw_again() -> None:
    """Go on to the next nine draws."""
    st.session_state["augment_first_view"] = st.session_state.get("augment_first_view", 0) + TILES


def draw_bank(context: Context, config: RunConfig) -> None:
    """Choose how many views of each picture are made, and say what that costs and buys."""
    form = SettingsForm(context, "training")
    st.subheader("How many views", anchor=False)
    fresh = config.training.new_views_every_epoch
    choices = sorted({*VIEWS, config.training.views})
    st.select_slider(
        "Views of each picture",
        choices,
        **form.bind(
            "views",
            disabled=fresh or config.augmentation.is_identity,
            help="A bank of views: they are made once, the frozen blocks look at them once, and the epochs take turns "
            "with them. That is why training with a frozen backbone takes seconds instead of minutes.",
        ),
    )
    st.toggle(
        "New views in every epoch",
        **form.bind(
            "new_views_every_epoch",
            disabled=config.augmentation.is_identity,
            help="This is how most tutorials do it. Nothing can be computed ahead, so every epoch sends every picture "
            "through the whole backbone again.",
        ),
    )
    st.caption(bank_sentence(config, len(context.dataset.subset("train"))))


def bank_sentence(config: RunConfig, pictures: int) -> str:
    """Say what the choice of views costs and buys."""
    if config.augmentation.is_identity:
        return "Without changes all views are the same, so one is enough."
    training = config.training
    if training.new_views_every_epoch:
        return (
            f"Costs: all {training.epochs} epochs are as slow as the first. "
            "Buys: the model never sees the same view twice."
        )
    if training.views == 1:
        return "Costs: nothing extra. Buys: little, because each picture is changed once and then stays that way."
    return (
        f"Costs: {training.views} × the preparation, {training.views * pictures:,} pictures instead of {pictures:,}, "
        f"once. Buys: {training.views} variants of each picture; the epochs stay fast."
    )


@st.fragment
def draw_playground(context: Context) -> None:
    """Pictures and controls; only this part runs again when a slider is let go."""
    try:
        screen = look_at_settings(read_context(context.project.id), "augment")
    except TransferLabError:
        st.rerun(scope="app")  # the whole page says what happened
    draw_conflict(screen)
    context = screen.context
    config, form = context.project.config, SettingsForm(context, "augmentation")
    draw_preset(form, config)
    pictures, controls = st.columns([2, 1], gap="medium")
    with pictures:
        draw_pictures(context, config)
    with controls, st.container(height=CONTROLS_HEIGHT, key="controls"):
        for row in CONTROLS:
            if row.field != "cval" or config.augmentation.fill_mode == "constant":
                draw_control(row, form, config)
    draw_bank(context, config)


context = open_page("augment")
draw_playground(context)
next_step("Next: Model", "model")
