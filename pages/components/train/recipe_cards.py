"""Recipes as cards: one tap fills the pages, another trains the recipe and our own settings on the same pictures."""

from __future__ import annotations

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.forms import SettingsForm
from pages.components.model.weights_download import start_download
from pages.components.results.compared_runs import compare_runs
from pages.components.state import Context
from pages.components.text import label
from pages.components.train.run_note import take_note
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import weights_status
from tlcore.dataset import check_trainable
from tlcore.downloading import megabytes
from tlcore.errors import DatasetError
from tlcore.jobs.control import start_runs
from tlcore.settings.recipes import OURS, RECIPES, RecipeSpec
from tlcore.storage.runs import RunPlan, get_run

COMPARE_HELP = "Trains this recipe, then our own settings, on the same pictures; their curves come in one picture."


def draw_recipes(context: Context) -> None:
    """Draw a card for each recipe."""
    with st.expander("Start from a recipe", icon=":material/menu_book:"):
        st.markdown(
            "The settings of four well-known tutorials, and ours. A recipe fills Augment, Model and Train; "
            "change there what you like."
        )
        grid = st.grid(2, min_column_width=280, border=True, key="recipes")
        for recipe in RECIPES:
            with grid.cell():
                _draw_card(context, recipe)


def _draw_card(context: Context, recipe: RecipeSpec) -> None:
    spec = get_backbone(recipe.config.model.backbone)
    status = weights_status(spec, context.home)
    chosen = recipe.config == context.project.config
    st.markdown(f"**{label(recipe.title)}**", help=recipe.teaches)
    st.markdown(label(recipe.sentence))
    size = megabytes(status.download_bytes)
    st.caption("Ready, no network needed." if status.ready_offline else f"{spec.title} needs a download of {size}.")
    form = SettingsForm(context, "run")
    with st.container(horizontal=True):
        st.button(
            "These are your settings" if chosen else "Use these settings",
            key=f"recipe-{recipe.name}",
            icon=":material/check:" if chosen else ":material/tune:",
            disabled=chosen,
            on_click=form.change,
            args=(lambda _: recipe.config,),
        )
        if not status.ready_offline:
            st.button(
                f"Download {size}",
                key=f"fetch-{recipe.name}",
                icon=":material/download:",
                on_click=start_download,
                args=(context, [spec]),
            )
        elif recipe is not OURS:
            st.button(
                "Compare with ours",
                key=f"against-ours-{recipe.name}",
                icon=":material/compare_arrows:",
                disabled=not _has_data(context),
                help=COMPARE_HELP,
                on_click=_train_both,
                args=(context, recipe),
            )


def _has_data(context: Context) -> bool:
    try:
        check_trainable(context.dataset)
    except DatasetError:
        return False
    return True


def _train_both(context: Context, recipe: RecipeSpec) -> None:
    """Put the recipe and our own settings in line, and show the first of them with both in one picture."""
    version = context.version
    plans = [RunPlan(version, recipe.config, take_note(context)), RunPlan(version, OURS.config)]
    with errors_kept():
        run_ids = start_runs(context.engine, context.project.id, plans, context.home)
        compare_runs(get_run(context.engine, run_id).number for run_id in run_ids)
        st.query_params["run"] = run_ids[0]
