"""Which model a result page shows: the newest run, or what the address names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st

from pages.components.frame import next_step
from pages.components.results.trained_models import (
    Model,
    can_answer,
    freed_words,
    list_models,
    model_title,
)
from pages.components.state import Context

M = TypeVar("M", bound=Model)


def choose_model(context: Context, *, to_ask: bool = False) -> Model:
    """Return the run, group or simple head to show; draw a choice when there are several.

    The page's step needs a model, so there is one. The choice is kept in the address, where it survives a reload and
    goes along to the next page. Where it cannot answer any more, that is said.

    Args:
        context: The project.
        to_ask: Whether the page asks it; those that cannot answer are then left out, and without any the page ends.
    """
    models = list_models(context)
    if to_ask:
        models = _without_freed(context, models)
    chosen = _choose(
        models,
        "Which model?",
        "Every time you train, a new run is kept with its model. The newest one stands first, then groups of runs "
        "and simple heads, which you make on Understand.",
    )
    if not can_answer(context, chosen):
        st.info(freed_words(context, chosen), icon=":material/inventory_2:")
    return chosen


def _without_freed(context: Context, models: Sequence[M]) -> list[M]:
    """Return the models that can be asked; say of the one in the address that it cannot, and end without any."""
    found = [model for model in models if can_answer(context, model)]
    in_address = st.query_params.get("run")
    freed = [model for model in models if model not in found]
    named = next((model for model in freed if model.id == in_address), None)
    if named is not None or not found:
        st.info(freed_words(context, named or freed[0]), icon=":material/inventory_2:")
    if not found:
        next_step("Train again", "train")
        st.stop()
    return found


def _choose(models: Sequence[M], question: str, meaning: str) -> M:
    by_id = {model.id: model for model in models}
    if len(by_id) == 1:
        return models[0]
    ids = list(by_id)
    in_address = st.query_params.get("run")
    chosen = st.selectbox(
        question,
        ids,
        index=ids.index(in_address) if in_address in by_id else 0,
        format_func=lambda model_id: model_title(by_id[model_id]),
        help=meaning,
    )
    st.query_params["run"] = chosen
    return by_id[chosen]
