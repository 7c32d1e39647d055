"""Pictures that came without a class: look at them, give some a class, delete some."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.components.data.edits import save_edit
from pages.components.errors import errors_shown
from pages.components.gallery import gallery
from pages.components.state import Context
from pages.components.text import count
from tlcore.dataset import Dataset, Item, Unlabelled, with_class
from tlcore.intake.brought import give_class


@st.fragment
def unlabelled_panel(context: Context, dataset: Dataset) -> None:
    """Draw the pictures without a class and what can be done with them."""
    without = dataset.unlabelled
    with st.expander(f"{count(len(without), 'picture')} without a class", icon=":material/help_center:"):
        st.markdown("Nothing learns from these. On Predict you can ask a trained model about them.")
        shown = [Item(one.image, "", "test", one.name) for one in without]
        ticked = {
            item.image
            for item in gallery(context, shown, key=f"without-{context.version}", can_choose=not context.is_guest)
        }
        if context.is_guest:
            return
        chosen = [one for one in without if one.image in ticked]
        with st.container(horizontal=True, vertical_alignment="center", key="without-actions"):
            if not chosen:
                st.caption("Tick pictures to give them a class or to delete them.")
                return
            st.markdown(f"{count(len(chosen), 'picture')} ticked:", width="content")
            _give_class(context, dataset, chosen)
            if st.button("Delete them", key="delete-without", icon=":material/delete:"):
                edited = replace(dataset, unlabelled=tuple(one for one in without if one.image not in ticked))
                save_edit(context, edited, f"deleted {count(len(chosen), 'picture')} without a class")


def _give_class(context: Context, dataset: Dataset, chosen: list[Unlabelled]) -> None:
    with st.popover("Give them a class", icon=":material/label:", key=f"give-{context.version}"):
        target = st.selectbox(
            "Which class?",
            [one.name for one in dataset.classes],
            index=None,
            accept_new_options=True,
            placeholder="Choose, or type a new name",
            key=f"give-to-{context.version}",
        )
        if st.button("Put them there", key=f"give-yes-{context.version}", disabled=not target) and target:
            with errors_shown():
                extended, into = with_class(dataset, target)
                edited = give_class(extended, [one.image for one in chosen], into.id)
                save_edit(context, edited, f"gave {count(len(chosen), 'picture')} the class {into.name}")
