"""A group of runs on the Understand page: what its members count, and whether it beats the best of them."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import accuracy_with_interval, percent
from pages.components.results.exam import opened_models
from pages.components.results.trained_models import Model, member_answers, run_names, short_name
from pages.components.state import Context
from tlcore.dataset import Split
from tlcore.results.comparison import verdict
from tlcore.results.evaluation import Evaluation
from tlcore.storage.ensembles import Ensemble, delete_ensemble


def show_group(context: Context, ensemble: Ensemble, evaluation: Evaluation, split: Split) -> None:
    """Show the members beside the group, and compare it with the best of them; exams that are closed stay so."""
    config = ensemble.config
    names = run_names(context, config.run_ids)
    members = member_answers(context, config, split)
    opened = opened_models(context)
    shown = [split == "validation" or run_id in opened for run_id in config.run_ids]
    st.subheader(
        "The group and its members",
        anchor=False,
        help="For each picture the probabilities of all members are averaged. The field calls such a group an "
        "**ensemble**. It helps when the members make different mistakes: then one is often outvoted by the others.",
    )
    st.table(
        {
            "Model": ["**The group**", *names],
            f"{split.capitalize()} accuracy": [
                accuracy_with_interval(one.correct, one.total) if is_shown else "exam not opened"
                for one, is_shown in zip((evaluation, *members), (True, *shown), strict=True)
            ],
            "Counts": ["", *(percent(weight) for weight in config.weights)],
        },
        hide_index=True,
        border="horizontal",
    )
    compared = [index for index, is_shown in enumerate(shown) if is_shown]
    if compared:
        best = max(compared, key=lambda index: members[index].correct)
        st.markdown(verdict(evaluation, members[best], (short_name(ensemble), names[best]), split))
    if config.weighting == "validation":
        flatters = ", which flatters it here" if split == "validation" else ""
        st.caption(
            "The weights are those with which the group was surest of the right answers on the validation "
            f"pictures{flatters}."
        )
    draw_delete(context, ensemble)


def draw_delete(context: Context, model: Model) -> None:
    """Draw the button that removes a group; nothing when the model is none, and for guests."""
    if not isinstance(model, Ensemble) or context.is_guest:
        return
    with st.popover("Delete this group", icon=":material/delete:", type="tertiary"):
        st.markdown("The group goes away; its runs stay.")
        if st.button("Delete", key=f"delete-{model.id}"):
            delete_ensemble(context.engine, model.id)
            st.query_params.pop("run", None)
            st.rerun()
