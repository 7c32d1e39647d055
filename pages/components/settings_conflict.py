"""Two tabs with different settings of one project: the difference in words, and the choice whose settings count."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.shown_settings import Screen, SettingsChangedError, forget_settings
from pages.components.text import label
from tlcore.config import RunConfig
from tlcore.model.architecture import without_contradictions
from tlcore.results.comparison import difference_name, differences
from tlcore.settings.locks import change_config
from tlcore.settings.words import field_value

CHOOSE_FIRST = "Another tab has changed the settings of this project. Choose at the top of the page whose count."


def draw_conflict(screen: Screen) -> None:
    """Say which settings differ and let the person choose; nothing is drawn where none do."""
    theirs = screen.theirs
    if theirs is None:
        return
    context, mine = screen.context, screen.context.project.config

    def take_mine(stored: RunConfig) -> RunConfig:
        if without_contradictions(stored) != theirs:
            raise SettingsChangedError("They were changed once more.")
        return mine

    def keep() -> None:
        # Settings that nobody has seen yet are not overwritten: the page then shows those.
        with errors_kept(), suppress(SettingsChangedError):
            change_config(context.engine, context.project.id, take_mine)
            forget_settings(context.project.id)

    with st.container(border=True, key="settings-conflict"):
        st.markdown(
            ":material/tab_duplicate: **The settings of this project were changed in another tab.** This page still "
            "shows yours. Until you choose, nothing that you change here is stored."
        )
        st.table(_rows(mine, theirs), hide_index=True, border="horizontal")
        with st.container(horizontal=True):
            st.button(
                "Keep mine",
                key="settings-keep",
                icon=":material/check:",
                help="Stores what this page shows. The other tab is told the same when somebody uses it.",
                on_click=keep,
            )
            st.button(
                "Take theirs",
                key="settings-take",
                icon=":material/sync:",
                help="Shows what the other tab stored. What you changed here since is gone.",
                on_click=forget_settings,
                args=(context.project.id,),
            )


def _rows(mine: RunConfig, theirs: RunConfig) -> dict[str, list[str]]:
    found = list(differences(mine, theirs))
    names = [difference_name(one) for one in found]
    fields = [one.path.rpartition(".")[2] for one in found]
    return {
        "Setting": [label(name[:1].upper() + name[1:]) for name in names],
        "Yours, on this page": [
            label(field_value(field, one.before)) for field, one in zip(fields, found, strict=True)
        ],
        "Theirs, stored": [label(field_value(field, one.after)) for field, one in zip(fields, found, strict=True)],
    }
