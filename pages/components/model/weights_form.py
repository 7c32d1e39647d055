"""What the backbone begins with: ImageNet, chance, or a file of one's own; or a small network from scratch."""

from __future__ import annotations

import streamlit as st
from streamlit.typing import UploadedFile

from pages.components.errors import errors_shown, show_error
from pages.components.forms import SettingsForm, control_state, options, show_stored
from pages.components.job_view import watch_job
from pages.components.model.backbone_choice import with_backbone
from pages.components.shown_settings import forget_settings
from pages.components.staging import staging_dir
from pages.components.state import Context
from pages.components.text import label
from pages.server.private_streamlit import remove_uploaded
from tlcore.backbones.registry import BackboneSpec, get_backbone, small_cnn_filters, small_cnn_name
from tlcore.backbones.small_cnn import MAX_BLOCKS
from tlcore.backbones.weights.brought import find_brought
from tlcore.config import IMAGENET, RANDOM, ModelConfig
from tlcore.jobs.control import start_job
from tlcore.model.architecture import with_weights
from tlcore.settings.locks import is_unlocked
from tlcore.settings.words import BROUGHT, CHOICES, RANDOM_DRAWS
from tlcore.storage.jobs import last_job
from tlcore.storage.requests import WeightsCheckRequest

# Seen in the projects' own descriptions and in programs that load their files; the files themselves were not tried.
WHERE_TO_FIND = """
Pictures that look unlike photos may gain from weights that learned on their own kind. What fits are weights of the very
network that is chosen here, as Keras saves them, without the classifier: `.weights.h5`, or `.h5`, often with `notop` in
its name. Every file is checked layer by layer before it is used.

- **Medical pictures (CT, MRI, ultrasound)**: RadImageNet, `github.com/BMEII-AI/RadImageNet`, offers such files for
  ResNet50, DenseNet121, InceptionV3 and InceptionResNetV2.
- **Places and scenes**: `github.com/GKalliatakis/Keras-VGG16-places365` offers one for VGG16 that learned on Places365.
- **Plants and animals**: weights that learned on iNaturalist are published for PyTorch, in
  `github.com/visipedia/newt`. These do not fit as they are: somebody who programs must put them into Keras's network
  first and save that. The same holds for every `.pth` or `.pt` file.
- **Your own**: train a network in Keras on any pictures, take its part without the classifier, and save that with
  `model.save_weights("mine.weights.h5")`.

Read on which terms a file may be used, and how its pixels were scaled: the file itself does not say. Where they were
divided by 255, choose so below, under Scaling of pixel values.
"""
FILTERS = (4, 8, 16, 32, 64, 128, 256, 512)


def draw_start(context: Context) -> None:
    """Choose what the backbone begins with, or what the small network looks like."""
    config = context.project.config
    spec = get_backbone(config.model.backbone)
    form = SettingsForm(context, "run")
    filters = small_cnn_filters(config.model.backbone)
    if filters is not None:
        _draw_small_network(context, form, filters)
        return
    wants_file = st.session_state.get("begins_with") == BROUGHT
    weights = config.model.weights
    present = weights if weights in (IMAGENET, RANDOM) else BROUGHT
    # "Your file" without one stays chosen for as long as the backbone for which it was tapped.
    keeps_asking = wants_file and st.session_state.get("file_for") == spec.name
    if "begins_with" not in st.session_state or not keeps_asking:
        st.session_state["begins_with"] = present

    def choose() -> None:
        chosen = st.session_state["begins_with"]
        st.session_state["file_for"] = spec.name
        if chosen in (IMAGENET, RANDOM):
            form.change(lambda run: with_weights(run, chosen))

    st.segmented_control(
        "It begins with",
        required=True,
        key="begins_with",
        on_change=choose,
        **options("weights"),
        **control_state(context, "model", "weights"),
    )
    st.caption(CHOICES["weights"][st.session_state["begins_with"]].sentence)
    if st.session_state["begins_with"] == BROUGHT:
        _draw_file(context, form, spec, config.model)


def _draw_file(context: Context, form: SettingsForm, spec: BackboneSpec, model: ModelConfig) -> None:
    if model.weights not in (IMAGENET, RANDOM):
        brought = find_brought(model.weights, context.home)
        name = brought.filename if brought is not None else "a file that is not on this computer any more"
        st.caption(f"In use: {label(name)}")
    else:
        present = CHOICES["weights"][model.weights].label
        st.caption(f"Until you bring one, nothing changes: {present}.")
    with st.popover("Where do I find one?", type="tertiary", icon=":material/help:"):
        st.markdown(WHERE_TO_FIND)
    if context.is_guest:
        return
    turn = st.session_state.setdefault("weights_turn", 0)
    file = st.file_uploader(
        f"Weights of {spec.title} without its classifier (.weights.h5 or .h5)",
        type=["h5"],
        key=f"weights_file_{turn}",
    )
    job = last_job(context.engine, context.project.id, "weights_check")
    if job is not None and job.is_active:
        st.session_state["watched_check"] = job.id
        watch_job(context, job.id, on_end=lambda: _take_checked(context))
    elif job is not None and job.state == "finished" and job.id == st.session_state.get("watched_check"):
        # It ended between two drawings of the page, so nobody was there to see the end.
        _take_checked(context)
        st.rerun()
    elif file is not None:
        _start_check(context, spec, file)
    elif job is not None and job.state == "failed":
        show_error(job.message)


def _take_checked(context: Context) -> None:
    """Show what the check has stored: the project begins with the file now, which is no change of another tab."""
    st.session_state.pop("begins_with", None)
    st.session_state.pop("watched_check", None)
    forget_settings(context.project.id)


def _start_check(context: Context, spec: BackboneSpec, file: UploadedFile) -> None:
    """Put the file aside for its check, which also lets the project begin with it."""
    with errors_shown(), staging_dir(context.home) as folder:
        (folder / "weights").write_bytes(file.getbuffer())
        request = WeightsCheckRequest(spec.name, folder.name, file.name, is_unlocked(context.engine))
        start_job(context.engine, context.home, "weights_check", context.project.id, request)
        remove_uploaded([file])
        st.session_state["weights_turn"] += 1
        st.rerun()


def _draw_small_network(context: Context, form: SettingsForm, filters: tuple[int, ...]) -> None:
    st.markdown(
        f"A small network of your own, from scratch: it knows nothing before it sees your pictures. {RANDOM_DRAWS}"
    )

    def build(chosen: tuple[int, ...]) -> None:
        form.change(lambda run: with_backbone(run, small_cnn_name(chosen)))

    show_stored("cnn_blocks", len(filters))
    st.segmented_control(
        "Convolution blocks",
        list(range(1, MAX_BLOCKS + 1)),
        required=True,
        key="cnn_blocks",
        **control_state(
            context,
            "model",
            "backbone",
            help="Each block looks for patterns in what the block before found, then halves the picture. More blocks "
            "see larger patterns.",
        ),
        on_change=lambda: build(resized(filters, st.session_state["cnn_blocks"])),
    )
    for index, number in enumerate(filters):
        key = f"cnn_filters_{index + 1}"
        show_stored(key, number)
        st.select_slider(
            f"Filters of block {index + 1}",
            sorted({*FILTERS, number}),
            key=key,
            **control_state(
                context, "model", "backbone", help="How many patterns this block looks for." if not index else None
            ),
            on_change=lambda index=index, key=key: build(
                (*filters[:index], st.session_state[key], *filters[index + 1 :])
            ),
        )
    st.caption("Dense layers are chosen below, under Head.")


def resized(filters: tuple[int, ...], blocks: int) -> tuple[int, ...]:
    """Return the filters of a network with more or fewer blocks; each further one has twice as many, up to a limit."""
    while len(filters) < blocks:
        filters = (*filters, min(2 * filters[-1], FILTERS[-1]))
    return filters[:blocks]
