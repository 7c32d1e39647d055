"""Making a group: which runs answer together, what each one counts, what the group is called."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.amounts import percent
from pages.components.errors import errors_shown
from pages.components.results.trained_models import (
    Model,
    answering_runs,
    answers_of,
    model_title,
    names_of_runs,
    validation_answers,
)
from pages.components.state import Context
from tlcore.storage.ensembles import MAX_MEMBERS, MIN_MEMBERS, EnsembleConfig, Weighting, create_ensemble
from tlcore.storage.projects import MAX_NAME_LENGTH
from tlcore.storage.runs import Run

WEIGHTINGS: dict[Weighting, str] = {"equal": "All the same", "validation": "Fitted on validation"}


@st.fragment
def draw_group_form(context: Context, shown: Model) -> None:
    """Let the person choose runs on the same pictures as the shown model, and make a group of them."""
    st.markdown(
        "Different models make different mistakes. When several answer together, their probabilities are averaged, "
        "and a mistake that only one makes is often outvoted. The field calls such a group an **ensemble**."
    )
    runs = {run.id: run for run in answering_runs(context) if run.version == shown.version}
    if len(runs) < MIN_MEMBERS:
        st.info(
            "A group needs two runs on the same pictures. Train once more, with another picture size, another "
            "freeze line or another seed: the more the two differ, the more the group can gain.",
            icon=":material/groups:",
        )
        return
    first = [shown.id] if shown.id in runs else []
    chosen = st.multiselect(
        f"Which runs? {MIN_MEMBERS} to {MAX_MEMBERS}",
        list(runs),
        default=[*first, *(run_id for run_id in runs if run_id not in first)][:MIN_MEMBERS],
        format_func=lambda run_id: model_title(runs[run_id]),
        max_selections=MAX_MEMBERS,
        key=f"group-runs-{shown.version}",
        help="Runs of the same version of the data set: they answered the same pictures. "
        "Every member adds its time to each answer.",
    )
    if len(chosen) < MIN_MEMBERS:
        st.caption("Choose one more run.")
        return
    # As in the list of runs, whatever the order of the taps.
    members = sorted((runs[run_id] for run_id in chosen), key=lambda run: run.number)
    with errors_shown():
        weighting, weights = _choose_weights(context, members)
        name = names_of_runs(members)
        typed = st.text_input(
            "Name of the group", key="group-name", placeholder=name, max_chars=MAX_NAME_LENGTH, width=420
        )
        if st.button("Make this group", key="make-group", icon=":material/group_add:"):
            config = EnsembleConfig(tuple(run.id for run in members), weights, weighting)
            _make(context, config, typed.strip() or name, shown.version)


def _choose_weights(context: Context, members: Sequence[Run]) -> tuple[Weighting, tuple[float, ...]]:
    """Let the person choose how the weights come about, and return them."""
    from tlcore.results.ensembles import equal_weights, fit_weights

    equal = equal_weights(len(members))
    answers = [validation_answers(context, run) for run in members]
    validations = [one for one in answers if one is not None and one.total]
    if len(validations) < len(members):
        st.caption(
            "All count the same. Weights could be fitted only on answers to validation pictures, and not all of these "
            "runs kept such answers: they had none, or were trained with an earlier version."
        )
        return "equal", equal
    weighting = st.segmented_control(
        "What does each one count?",
        list(WEIGHTINGS),
        format_func=lambda name: WEIGHTINGS[name],
        default="equal",
        required=True,
        key="group-weighting",
        help="Fitted: the weights, none below zero and 100 % in all, with which the group is surest of the right "
        "answers on the validation pictures (the smallest log loss). The test pictures are not looked at.",
    )
    if weighting == "equal":
        return "equal", equal
    weights = fit_weights(validations)
    parts = [f"Run {run.number}: {percent(weight)}" for run, weight in zip(members, weights, strict=True)]
    st.caption(", ".join(parts) + (". A run that counts nothing is not asked." if 0 in weights else ""))
    return "validation", weights


def _make(context: Context, config: EnsembleConfig, name: str, version: int) -> None:
    tested, validated = answers_of(context, config, "test"), validation_answers(context, config)
    st.query_params["run"] = create_ensemble(
        context.engine,
        context.project.id,
        name,
        version,
        config,
        test_correct=tested.correct,
        test_total=tested.total,
        validation_correct=None if validated is None else validated.correct,
        validation_total=None if validated is None else validated.total,
    )
    st.rerun()
