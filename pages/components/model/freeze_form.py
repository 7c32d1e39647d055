"""The line between frozen and trainable: one control, three shortcuts, and block by block for the curious."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from pages.components.amounts import amount
from pages.components.forms import SettingsForm
from pages.components.state import Context
from pages.components.train.price import draw_price
from tlcore.backbones.registry import BackboneSpec, get_backbone
from tlcore.backbones.weights.status import is_random
from tlcore.config import ModelConfig

BATCH_NORM_STILL = (
    "Batch normalization layers keep the mean and spread that they saw when the backbone was trained. With your few "
    "pictures new ones would be mostly noise, so these layers stay still even in blocks that learn."
)
BATCH_NORM_LEARNS = (
    "Batch normalization layers learn with their block here: without pre-training they have no mean and spread worth "
    "keeping."
)
BATCH_NORM_NONE = "This network has no batch normalization layers, which would need special care in blocks that learn."


def draw_freeze_line(context: Context, form: SettingsForm, config: ModelConfig) -> None:
    """Move the line between frozen and trainable, and say how many parameters learn."""
    st.subheader("How much learns anew", anchor=False)
    spec = get_backbone(config.backbone)
    summary = context.model
    st.select_slider(
        "Train from this block on",
        [None, *reversed(spec.block_names)],
        format_func=lambda name: "all frozen" if name is None else name,
        **form.bind(
            "first_trainable",
            help="The first blocks see edges and colours, which all photos share; the last ones see whole things. "
            "With few pictures keep all frozen (feature extraction). With many, or with pictures unlike photos, let "
            "the last blocks learn too (fine-tuning): it takes longer and wants a smaller learning rate.",
        ),
    )
    with st.container(horizontal=True, gap="xsmall"):
        for text, block, why in shortcuts(spec):
            moves = form.state("first_trainable", help=why)
            st.button(text, key=f"line_{text}", on_click=line_setter(form, block), **moves)
    trained, frozen = st.columns(2, wrap=False)
    trained.metric(":orange[:material/local_fire_department:] Learn", amount(summary.trainable_parameters))
    frozen.metric(":blue[:material/ac_unit:] Frozen", amount(summary.frozen_parameters))
    total = summary.trainable_parameters + summary.frozen_parameters
    st.caption(
        f"{summary.trainable_parameters:,} of {total:,} parameters learn from your pictures. "
        "Click a block to move the line there."
    )
    draw_price(context)
    _draw_block_by_block(form, spec, config)


def shortcuts(spec: BackboneSpec) -> tuple[tuple[str, str | None, str], ...]:
    """Return what the three buttons say, the first block that learns then, and why one would."""
    names = spec.block_names
    top = names[-max(1, round(len(names) / 4))]
    return (
        (
            "Freeze all",
            None,
            "Feature extraction: only the new head learns. Fastest, and best with few pictures.",
        ),
        ("Thaw top", top, f"Fine-tuning of the last blocks, from {top} on: what they see adapts to your pictures."),
        ("Thaw all", names[0], "Everything learns from your pictures: slow, and it wants many of them."),
    )


def line_setter(form: SettingsForm, block: str | None) -> Callable[[], None]:
    """Return a callback that moves the line to a block."""
    return lambda: form.change(lambda part: replace(part, first_trainable=block, also_frozen=()))


def _draw_block_by_block(form: SettingsForm, spec: BackboneSpec, config: ModelConfig) -> None:
    first = config.first_trainable
    behind = [] if first is None else list(spec.block_names[spec.block_index(first) :])
    with st.expander("Block by block, and batch normalization"):
        st.multiselect(
            "Blocks behind the line that stay frozen all the same",
            behind,
            placeholder="None" if behind else "All are frozen; move the line first",
            **form.bind(
                "also_frozen",
                shown=lambda names: [name for name in names if name in behind],
                stored=tuple,
                help="An experiment for the curious: usually a block learns best when all blocks after it learn too.",
                disabled=not behind,
            ),
        )
        st.caption(batch_norm_sentence(spec, config))


def batch_norm_sentence(spec: BackboneSpec, config: ModelConfig) -> str:
    """Say what becomes of the backbone's batch normalization layers."""
    if not any(block.batch_norm_parameters for block in spec.blocks):
        return BATCH_NORM_NONE
    return BATCH_NORM_LEARNS if is_random(spec, config.weights) else BATCH_NORM_STILL
