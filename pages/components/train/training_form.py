"""How the trainable part learns: the settings of the next run, and what they come to."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import amount
from pages.components.forms import SettingsForm, options
from pages.components.model.large_head import warn_of_large_head
from pages.components.state import Context
from pages.components.text import count, label
from pages.components.train.price import draw_price
from pages.components.train.rate_finder import draw_rate_finder
from pages.components.train.schedule_form import draw_phases, draw_schedule
from pages.components.train.starting import find_obstacle
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import is_random
from tlcore.config import TrainingConfig
from tlcore.dataset import SPLITS
from tlcore.settings.words import CHOICES, decimal

BATCH_SIZES = (4, 8, 16, 32, 64, 128, 256)
LEARNING_RATES = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
DEFAULT_PATIENCE = TrainingConfig().patience or 5
FINE_TUNING_RATE = 0.0003
"""Above this, steps are so large that blocks of the backbone forget what they knew."""


def draw_training_form(context: Context) -> None:
    """Draw the settings of the next run; each is stored when it is chosen."""
    config = context.project.config
    training = config.training
    form = SettingsForm(context, "training")
    left, right = st.columns(2, gap="medium")
    with left:
        st.number_input(
            "Epochs, at most",
            1,
            1000,
            **form.bind(
                "epochs",
                help="In one epoch the model sees every training picture once. The best epoch is kept, so too many "
                "cost time and nothing else.",
            ),
        )
        st.caption("How many times it goes through all pictures.")
        st.toggle(
            "Stop early",
            **form.bind(
                "patience",
                key="early_stopping",
                shown=lambda patience: patience is not None,
                stored=lambda wanted: DEFAULT_PATIENCE if wanted else None,
                help="Validation pictures are set apart to see whether it still learns something that "
                "holds for new pictures. The field's term is early stopping.",
            ),
        )
        if training.patience is None:
            st.caption("Off: all epochs are trained, and the best one is kept.")
        else:
            st.number_input(
                "Epochs to wait for something better",
                1,
                1000,
                **form.bind("patience", help="The field's term is patience."),
            )
            st.caption("Ends when the validation loss has not become better for so long.")
    with right:
        st.select_slider(
            "Learning rate",
            sorted({*LEARNING_RATES, training.learning_rate}),
            format_func=decimal,
            **form.bind(
                "learning_rate",
                help="How far the weights move in one step. Too small: it takes forever. Too large: it jumps over the "
                "goal, and the loss goes up and down or explodes.",
            ),
        )
        st.caption("How large its steps are.")
        st.selectbox(
            "Optimizer",
            **options("optimizer"),
            **form.bind("optimizer", help="The rule that turns mistakes into steps of the weights."),
        )
        st.caption(CHOICES["optimizer"][training.optimizer].sentence)
    with st.expander("More settings"):
        _draw_batch_and_seed(form, training)
        draw_schedule(context)
    with st.expander("Find a learning rate"):
        draw_rate_finder(context, is_ready=find_obstacle(context) is None)
    draw_phases(context)


def _draw_batch_and_seed(form: SettingsForm, training: TrainingConfig) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        st.select_slider(
            "Batch size",
            sorted({*BATCH_SIZES, training.batch_size}),
            **form.bind(
                "batch_size",
                help="Larger batches make steadier steps and need more memory; smaller ones make more steps per epoch.",
            ),
        )
        st.caption("How many pictures it looks at before each step.")
    with right:
        st.number_input(
            "Seed",
            0,
            2**31 - 1,
            **form.bind(
                "seed",
                help="Chance decides the first weights of what learns, the order of the pictures and what dropout "
                "switches off. The same seed throws the same dice, so the run can be made again. Random weights that "
                "are frozen are the same whatever the seed.",
            ),
        )
        st.caption("Another number gives another throw of the dice.")


def draw_summary(context: Context) -> None:
    """Say what the next run will train, and on what."""
    config, dataset = context.project.config, context.dataset
    pictures, validation, test = (len(dataset.subset(split)) for split in SPLITS)
    views = 1 if config.augmentation.is_identity else config.training.views
    st.subheader("What will be trained", anchor=False)
    with st.container(horizontal=True, key="summary"):
        st.metric("Classes", dataset.num_classes, width="content", border=True)
        st.metric("Training pictures", f"{pictures:,}", width="content", border=True)
        st.metric("Weights that learn", amount(context.model.trainable_parameters), width="content", border=True)
        st.metric("Frozen weights", amount(context.model.frozen_parameters), width="content", border=True)
        draw_price(context)
    first = config.model.first_trainable
    what = "only the new head learns" if first is None else f"the head and the blocks from {label(first)} on learn"
    tuning = config.training.fine_tuning
    if tuning is not None:
        what += f", then also the blocks from {label(tuning.first_trainable)} on"
    if config.augmentation.is_identity:
        changes = "without random changes"
    elif config.training.new_views_every_epoch:
        changes = "with new random changes in every epoch"
    else:
        changes = f"with {count(views, 'randomly changed view')} of each"
    mark = "there are no test pictures to give a final mark"
    if test:
        mark = f"{count(test, 'test picture')} that it never sees give the final mark"
    st.markdown(
        f"{label(get_backbone(config.model.backbone).title)} at {config.model.image_size} pixels: {what}, from "
        f"{count(pictures, 'picture')} {changes}. {count(validation, 'validation picture')} "
        f"{'chooses' if validation == 1 else 'choose'} the best epoch, and {mark}."
    )
    warn_of_large_head(context)
    knows_something = not is_random(get_backbone(config.model.backbone), config.model.weights)
    if first is not None and knows_something and config.training.learning_rate > FINE_TUNING_RATE:
        st.info(
            f"Blocks of the backbone learn too, and a learning rate of {decimal(config.training.learning_rate)} can "
            f"spoil what they know. {decimal(FINE_TUNING_RATE / 3)} is a good start.",
            icon=":material/lightbulb:",
        )
