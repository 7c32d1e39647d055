"""A group of runs on the Understand page: what its members count, and whether it beats the best of them."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import accuracy_with_interval, percent
from pages.components.results.trained_models import Model, member_evaluations, run_names
from pages.components.state import Context
from pages.components.text import count
from tlcore.results.evaluation import Evaluation
from tlcore.storage.ensembles import Ensemble, delete_ensemble

UNLIKELY = 0.05
"""A difference that chance alone makes less often than this is taken for real, as everywhere in the field."""


def show_group(context: Context, ensemble: Ensemble, evaluation: Evaluation) -> None:
    """Show the members beside the group, and compare it with the best of them."""
    config = ensemble.config
    names = run_names(context, config.run_ids)
    members = member_evaluations(context, config)
    st.subheader(
        "The group and its members",
        anchor=False,
        help="For each picture the probabilities of all members are averaged. The field calls such a group an "
        "**ensemble**. It helps when the members make different mistakes: then one is often outvoted by the others.",
    )
    st.table(
        {
            "Model": ["**The group**", *names],
            "Test accuracy": [accuracy_with_interval(one.correct, one.total) for one in (evaluation, *members)],
            "Counts": ["", *(percent(weight) for weight in config.weights)],
        },
        hide_index=True,
        border="horizontal",
    )
    best = max(range(len(members)), key=lambda index: members[index].correct)
    st.markdown(comparison_words(evaluation, members[best], names[best]))
    if config.weighting == "validation":
        st.caption(
            "The weights are those with which the group was surest of the right answers on the validation pictures."
        )
    draw_delete(context, ensemble)


def comparison_words(group: Evaluation, best: Evaluation, name: str) -> str:
    """Say whether a group is at least as good as its best member, and whether chance alone could explain it.

    Args:
        group: Its answers.
        best: Those of the member with the most right answers, to the same pictures.
        name: Of that member.
    """
    from tlcore.results.ensembles import compare_answers

    gained = group.correct - best.correct
    if gained > 0:
        verdict = f"The group is **better** than its best member, {name}: {count(gained, 'more picture')} right."
    elif gained == 0:
        verdict = f"The group is **as good** as its best member, {name}: neither has more pictures right."
    else:
        verdict = f"The group is **not better**: {name} alone has {count(-gained, 'more picture')} right."
    compared = compare_answers(group, best)
    if not compared.only_first and not compared.only_second:
        return f"{verdict} Both are right and wrong on the very same pictures."
    details = (
        f"It corrects {count(compared.only_first, 'mistake')} of {name} and makes {compared.only_second:,} "
        f"where {name} is right."
    )
    if gained == 0:
        return f"{verdict} {details}"
    if compared.p_value < UNLIKELY:
        chance = "Chance alone hardly makes such a difference"
    else:
        chance = "Chance alone could make such a difference; more test pictures would tell"
    return f"{verdict} {details} {chance} (McNemar's test, p = {compared.p_value:.2g})."


def draw_delete(context: Context, model: Model) -> None:
    """Draw the button that removes a group; nothing when the model is none."""
    if not isinstance(model, Ensemble):
        return
    with st.popover("Delete this group", icon=":material/delete:", type="tertiary"):
        st.markdown("The group goes away; its runs stay.")
        if st.button("Delete", key=f"delete-{model.id}"):
            delete_ensemble(context.engine, model.id)
            st.query_params.pop("run", None)
            st.rerun()
