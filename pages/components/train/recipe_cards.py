"""Recipes as cards: one tap fills the pages, another trains the text's settings and the same as we would do it."""

from __future__ import annotations

import streamlit as st

from pages.components.amounts import percent
from pages.components.data.edits import save_edit
from pages.components.data.ready_set_cards import READY_SET
from pages.components.errors import errors_kept, errors_shown
from pages.components.forms import SettingsForm
from pages.components.frame import find_step
from pages.components.model.weights_download import start_download
from pages.components.results.compared_runs import compare_runs
from pages.components.state import Context, link_params
from pages.components.text import label
from pages.components.train.run_note import take_note
from tlcore.backbones.registry import get_backbone
from tlcore.backbones.weights.status import weights_status
from tlcore.config import RunConfig
from tlcore.dataset import Dataset, check_trainable
from tlcore.downloading import megabytes
from tlcore.errors import DatasetError
from tlcore.intake.splitting import share_validation
from tlcore.jobs.control import start_runs
from tlcore.ready_sets.registry import ReadySetSpec, get_ready_set
from tlcore.settings.locks import change_config, check_change
from tlcore.settings.recipes import RECIPES, RecipeSpec
from tlcore.storage.projects import create_project
from tlcore.storage.runs import RunPlan, get_run

COMPARE_HELP = (
    "Trains the text's settings, then the same as we would do it, on the same pictures; their curves come in one "
    "picture, with what was changed."
)
SHARE_HELP = (
    "Shares out training and validation pictures anew; the test pictures stay. It can be undone on Data, and models "
    "that are trained already keep their pictures."
)
CLOSE_SHARE = 0.01
"""So near to the text's share of validation pictures counts as the same."""


def draw_recipes(context: Context) -> None:
    """Draw a card for each recipe."""
    with st.expander("Start from a recipe", icon=":material/menu_book:"):
        st.markdown(
            "Ours, and well-known tutorials with exactly their settings, each beside the same as we would do it. A "
            "recipe fills Augment, Model and Train; change there what you like."
        )
        grid = st.grid(2, min_column_width=280, border=True, key="recipes")
        for recipe in RECIPES:
            with grid.cell():
                _draw_card(context, recipe)


def _draw_card(context: Context, recipe: RecipeSpec) -> None:
    spec = get_backbone(recipe.config.model.backbone)
    status = weights_status(spec, context.home)
    st.markdown(f"**{label(recipe.title)}**", help=recipe.teaches)
    st.markdown(label(recipe.sentence))
    if recipe.note:
        st.caption(label(recipe.note))
    size = megabytes(status.download_bytes)
    st.caption("Ready, no network needed." if status.ready_offline else f"{spec.title} needs a download of {size}.")
    with st.container(horizontal=True):
        _draw_use(context, recipe.config, "Use these settings", f"recipe-{recipe.name}")
        if not status.ready_offline:
            st.button(
                f"Download {size}",
                key=f"fetch-{recipe.name}",
                icon=":material/download:",
                on_click=start_download,
                args=(context, [spec]),
            )
        _draw_pictures(context, recipe)
    _draw_share(context, recipe)
    if recipe.improved is None:
        return
    st.markdown(f"**As we would do it:** {label(recipe.improvement)}")
    with st.container(horizontal=True):
        _draw_use(context, recipe.improved, "Use ours", f"improved-{recipe.name}")
        if status.ready_offline:
            st.button(
                "Compare the two",
                key=f"against-ours-{recipe.name}",
                icon=":material/compare_arrows:",
                disabled=not _has_data(context),
                help=COMPARE_HELP,
                on_click=_train_both,
                args=(context, recipe.config, recipe.improved),
            )


def _draw_use(context: Context, config: RunConfig, text: str, key: str) -> None:
    chosen = config == context.project.config
    st.button(
        "These are your settings" if chosen else text,
        key=key,
        icon=":material/check:" if chosen else ":material/tune:",
        disabled=chosen,
        on_click=SettingsForm(context, "run").change,
        args=(lambda _: config,),
    )


def _draw_pictures(context: Context, recipe: RecipeSpec) -> None:
    """Offer the text's own pictures, in a new project, where this one has others."""
    if recipe.ready_set is None:
        return
    ready_set = get_ready_set(recipe.ready_set)
    if set(ready_set.class_names) != set(context.dataset.class_names) and st.button(
        f"Try it on {ready_set.title}",
        key=f"data-{recipe.name}",
        icon=":material/photo_library:",
        help=f"Makes a new project with these settings and opens its Data page, where {ready_set.title} is the first "
        "to choose. This project stays as it is.",
    ):
        _open_project(context, recipe, ready_set)


def _draw_share(context: Context, recipe: RecipeSpec) -> None:
    """Offer the text's share of validation pictures where this project has another."""
    if recipe.validation is None or _is_close(context.dataset, recipe.validation):
        return
    share, here = percent(recipe.validation), percent(_validation_share(context.dataset))
    st.caption(f"The text keeps {share} of the training pictures for validation; here they are {here}.")
    if st.button(f"Keep {share}", key=f"share-{recipe.name}", icon=":material/shuffle:", help=SHARE_HELP):
        _share_out(context, recipe.validation)


def _validation_share(dataset: Dataset) -> float:
    """Return which fraction of the pictures that are not for testing is for validation."""
    validation, training = len(dataset.subset("validation")), len(dataset.subset("train"))
    return validation / max(1, validation + training)


def _is_close(dataset: Dataset, share: float) -> bool:
    # Whole pictures of each class cannot always come nearer.
    pictures = len(dataset.subset("validation")) + len(dataset.subset("train"))
    near = max(CLOSE_SHARE, dataset.num_classes / 2 / max(1, pictures))
    return abs(_validation_share(dataset) - share) <= near


def _share_out(context: Context, share: float) -> None:
    edited = share_validation(context.dataset, share)
    if edited == context.dataset:
        st.info("These pictures came with a validation part of their own. To share them out anew, go to Data.")
        return
    save_edit(context, edited, f"validation pictures: {percent(share)} of those not for testing")


def _open_project(context: Context, recipe: RecipeSpec, ready_set: ReadySetSpec) -> None:
    """Make a project with the settings of a recipe, and go where its pictures are chosen."""
    with errors_shown():
        check_change(RunConfig(), recipe.config, context.locked)  # before there is a project
        project = create_project(context.engine, context.owner, ready_set.title)
        change_config(context.engine, project.id, lambda _: recipe.config)
        st.switch_page(find_step("data").path, query_params={**link_params(project.id), READY_SET: ready_set.name})


def _has_data(context: Context) -> bool:
    try:
        check_trainable(context.dataset)
    except DatasetError:
        return False
    return True


def _train_both(context: Context, config: RunConfig, improved: RunConfig) -> None:
    """Put the text's settings and ours in line, and show the first of them with both in one picture."""
    plans = [RunPlan(context.version, config, take_note(context)), RunPlan(context.version, improved)]
    with errors_kept():
        run_ids = start_runs(context.engine, context.project.id, plans, context.home)
        compare_runs(get_run(context.engine, run_id).number for run_id in run_ids)
        st.query_params["run"] = run_ids[0]
