"""The three parts of a data set: how large they are, why they exist, and how to share out anew."""

from __future__ import annotations

import streamlit as st

from pages.components.data.edits import save_edit
from pages.components.state import Context
from pages.components.text import count
from tlcore.dataset import SPLITS, Dataset, Split
from tlcore.intake.splitting import HELD_BACK, TEST_FRACTION, VALIDATION_FRACTION, resplit

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
                "What belongs together goes into the same part: copies of a picture, its near-copies, and groups such "
                "as the pictures of one patient or of one session of the camera. Pictures that came in a folder called "
                "test or validation, or as the test pictures of a ready data set, stay there."
            )
        if not context.is_guest:
            with st.popover("Split again", icon=":material/shuffle:", key=f"split-{context.project.version}"):
                _split_form(context, dataset)


def _split_form(context: Context, dataset: Dataset) -> None:
    keep_given = not _wants_all(context, dataset)
    closed = {split: _comes_in_every_class(dataset, split) and keep_given for split in HELD_BACK}
    if all(closed.values()):
        st.caption("All other pictures train, so nothing is left to share out.")
        return
    of_others = " of the others" if keep_given and any(item.stays for item in dataset.items) else ""
    with st.form("split-form", border=False):
        fractions = {"validation": VALIDATION_FRACTION, "test": TEST_FRACTION}
        for split in ("validation", "test"):
            if not closed[split]:
                label = f"{split.capitalize()}, %{of_others}"
                percent = st.slider(label, 0, 40, round(100 * fractions[split]), key=f"split-{split}")
                fractions[split] = percent / 100
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 0, key="split-seed", help="The same number shares out the same way again."
        )
        st.caption("Every class is shared out in these proportions. Models that are trained already keep their split.")
        if st.form_submit_button("Split again"):
            edited = resplit(dataset, **fractions, seed=int(seed), keep_given=keep_given)
            sizes = " / ".join(f"{len(edited.subset(split)):,}" for split in SPLITS)
            save_edit(context, edited, f"split into {sizes} pictures, seed {int(seed)}")


def _wants_all(context: Context, dataset: Dataset) -> bool:
    """Say which pictures came as validation or test pictures, and ask whether they are shared out all the same."""
    staying = [item for item in dataset.items if item.stays]
    if not staying:
        return False
    parts = [count(sum(item.split == split for item in staying), f"{split} picture") for split in HELD_BACK]
    named = " and ".join(part for part in parts if not part.startswith("0 "))
    if any(item.given is None for item in staying):
        st.markdown(
            f"Nobody noted whether a test set was among these pictures when they came. Kept, to be safe: {named}."
        )
    else:
        st.markdown(f"Came with the set, and kept: {named}.")
    return st.checkbox(
        "Give them up: share out all pictures",
        key=f"split-all-{context.project.id}-{context.project.version}",
        help="Others report their results on the same test pictures. Shared out, yours no longer compare with theirs.",
    )


def _comes_in_every_class(dataset: Dataset, split: Split) -> bool:
    came = {item.class_id for item in dataset.items if item.stays and item.split == split}
    return came == {item.class_id for item in dataset.items}
