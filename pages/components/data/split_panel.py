"""The three parts of a data set: how large they are, why they exist, and how to share out anew."""

from __future__ import annotations

import streamlit as st

from pages.components.data.edits import save_edit
from pages.components.state import Context
from tlcore.dataset import SPLITS, Dataset
from tlcore.intake.splitting import TEST_FRACTION, VALIDATION_FRACTION, resplit

SENTENCES = {
    "train": "The model learns from these.",
    "validation": "A rehearsal after each round of training.",
    "test": "Kept apart; the exam at the end.",
}


def split_panel(context: Context, dataset: Dataset) -> None:
    """Draw the parts with their percentages, the explanation, and the form that splits again."""
    for column, split in zip(st.columns(len(SPLITS), gap="medium"), SPLITS, strict=True):
        size = len(dataset.subset(split))
        column.metric(split.capitalize(), f"{100 * size / max(1, len(dataset.items)):.0f} %", border=False)
        column.caption(f"{size:,} of {len(dataset.items):,} pictures. {SENTENCES[split]}")
    with st.container(horizontal=True):
        with st.popover("Why three parts?", icon=":material/help:"):
            st.markdown(
                "A pupil who has seen the exam beforehand gets full marks and may have understood nothing. It is the "
                "same here: a model can learn pictures by heart. So some pictures are **kept apart** (the *test set*) "
                "and asked only once, when everything is decided. The *validation set* is a rehearsal: it shows "
                "during training whether the model still gets better, and which epoch to keep.\n\n"
                "Two copies of one picture always go into the same part."
            )
        with st.popover("Split again", icon=":material/shuffle:", key=f"split-{context.project.version}"):
            _split_form(context, dataset)


def _split_form(context: Context, dataset: Dataset) -> None:
    with st.form("split-form", border=False):
        validation = st.slider("Validation, %", 0, 40, round(100 * VALIDATION_FRACTION), key="split-validation")
        test = st.slider("Test, %", 0, 40, round(100 * TEST_FRACTION), key="split-test")
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="split-seed", help="The same number shares out the same way again."
        )
        st.caption("Every class is shared out in these proportions. Models that are trained already keep their split.")
        if st.form_submit_button("Split again"):
            edited = resplit(dataset, validation / 100, test / 100, int(seed))
            rest = 100 - validation - test
            save_edit(context, edited, f"split into {rest} / {validation} / {test} %, seed {int(seed)}")
