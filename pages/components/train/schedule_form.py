"""Finer choices about learning: a second phase, the path of the learning rate, uneven classes, smoothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from pages.components.forms import SettingsForm, options
from pages.components.state import Context
from pages.components.text import count
from tlcore.backbones.registry import get_backbone
from tlcore.config import FineTuningConfig, TrainingConfig
from tlcore.model.architecture import blocks_to_thaw, usual_fine_tuning
from tlcore.settings.words import CHOICES, decimal

FINE_TUNING_RATES = (0.000001, 0.000003, 0.00001, 0.00003, 0.0001, 0.0003, 0.001)
UNEVEN = 1.5
"""From this many times as many pictures in one class as in another a balance is suggested."""


def draw_phases(context: Context) -> None:
    """Choose whether the backbone thaws after the head has learned, and how it learns then."""
    config = context.project.config
    spec, tuning = get_backbone(config.model.backbone), config.training.fine_tuning
    form = SettingsForm(context, "training")
    thawable = blocks_to_thaw(config)
    st.toggle(
        "Then fine-tune the backbone",
        **form.bind(
            "fine_tuning",
            key="fine_tune",
            shown=lambda tuning: tuning is not None,
            stored=lambda wanted: usual_fine_tuning(config) if wanted else None,
            disabled=not thawable,
            help="First only the head learns, on a backbone that stands still. Then the upper blocks thaw and learn "
            "too, in much smaller steps, from the best epoch on. Without the first phase a new head would shake the "
            "backbone and spoil what it knows. If nothing gets better, the head of the first phase is kept.",
        ),
    )
    if not thawable:
        st.caption("All blocks learn from the beginning already, so there is nothing left to thaw.")
        return
    if tuning is None:
        st.caption("Off: training has one phase.")
        return
    blocks, epochs, rate, schedule = st.columns(4, gap="medium")
    with blocks:
        st.selectbox(
            "Thaw from this block on",
            [*reversed(thawable)],
            **_bind(
                form,
                tuning,
                "first_trainable",
                "tuning_block",
                help=f"The blocks of {spec.title} from here to the head learn in the second phase.",
            ),
        )
    with epochs:
        st.number_input("Further epochs, at most", 1, 1000, **_bind(form, tuning, "epochs", "tuning_epochs"))
    with rate:
        st.select_slider(
            "Its learning rate",
            sorted({*FINE_TUNING_RATES, tuning.learning_rate}),
            format_func=decimal,
            **_bind(
                form, tuning, "learning_rate", "tuning_rate", help="10 to 100 times smaller than that of the head."
            ),
        )
    with schedule:
        st.selectbox(
            "How it changes",
            **options("schedule"),
            **_bind(
                form,
                tuning,
                "schedule",
                "tuning_schedule",
                help="Blocks of the backbone end best with small steps, so cosine is the usual choice; the tutorials "
                "keep the rate constant.",
            ),
        )
    times = config.training.learning_rate / tuning.learning_rate
    if times < 10:
        st.info(
            f"The second phase takes steps only {times:.1g} times smaller than the first. 10 to 100 times smaller is "
            "usual; larger steps can spoil what the backbone knows.",
            icon=":material/lightbulb:",
        )


def _bind(form: SettingsForm, tuning: FineTuningConfig, field: str, key: str, **words: Any) -> dict[str, Any]:
    """Tie a widget to a field of the second phase."""
    return form.bind(
        "fine_tuning",
        key=key,
        shown=lambda stored: getattr(stored, field),
        stored=lambda value: replace(tuning, **{field: value}),
        **words,
    )


def draw_schedule(context: Context) -> None:
    """Choose how the learning rate changes, how classes are balanced, and how sure the right answer shall be."""
    training = context.project.config.training
    form = SettingsForm(context, "training")
    left, right = st.columns(2, gap="medium")
    with left:
        st.selectbox(
            "Learning rate over the epochs",
            **options("schedule"),
            **form.bind(
                "schedule",
                help="Large steps get near the goal quickly, small ones come to rest there. The field's term is "
                "learning-rate schedule.",
            ),
        )
        st.caption(
            CHOICES["schedule"][training.schedule].sentence
            + (" The second phase has a path of its own." if training.fine_tuning else "")
        )
        st.number_input(
            "Epochs to warm up",
            0,
            100,
            **form.bind(
                "warmup_epochs",
                help="The learning rate grows from almost nothing, so that the first steps of a new head do no damage.",
            ),
        )
    with right:
        st.selectbox(
            "Classes of different size",
            **options("balance"),
            **form.bind("balance", help="With 900 cats and 100 dogs, always answering cat is right nine times of ten."),
        )
        st.caption(balance_sentence(context, training))
        st.slider(
            "Label smoothing",
            0.0,
            0.5,
            step=0.05,
            format="percent",
            **form.bind(
                "label_smoothing",
                help="The right answer is asked for with a little less than certainty. It helps against "
                "overconfidence; the training loss then never reaches zero. The validation loss leaves it out, so "
                "that runs compare.",
            ),
        )


def balance_sentence(context: Context, training: TrainingConfig) -> str:
    """Say what the choice does, and how uneven the classes are."""
    sentence = CHOICES["balance"][training.balance].sentence
    train = context.dataset.subset("train")
    sizes = {one.id: 0 for one in context.dataset.classes}
    for item in train:
        sizes[item.class_id] += 1
    if not sizes or min(sizes.values()) == 0:
        return sentence
    smallest, largest = min(sizes.values()), max(sizes.values())
    if largest / smallest < UNEVEN:
        return f"{sentence} Yours have nearly the same size."
    return f"{sentence} Yours have {smallest:,} to {count(largest, 'training picture')}."
