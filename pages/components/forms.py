"""Settings and widgets: a widget shows what is stored, and stores what is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import streamlit as st

from pages.components.errors import errors_kept
from pages.components.shown_settings import SettingsChangedError, checked, note_settings, shown_settings
from pages.components.state import Context
from tlcore.config import AugmentationConfig, HeadConfig, ModelConfig, RunConfig, TrainingConfig
from tlcore.model.architecture import without_contradictions
from tlcore.settings.locks import LOCKED, change_config, lock_of
from tlcore.settings.words import CHOICES

GUEST_CANNOT = "This project belongs to somebody else: you may look, but change and start nothing."

Section = Literal["run", "augmentation", "model", "head", "training"]
SectionConfig = RunConfig | AugmentationConfig | ModelConfig | HeadConfig | TrainingConfig


def section_of(config: RunConfig, section: Section) -> SectionConfig:
    """Return one part of the settings; all of them for `run`."""
    if section == "run":
        return config
    if section == "head":
        return config.model.head
    part: SectionConfig = getattr(config, section)
    return part


def with_section(config: RunConfig, section: Section, part: Any) -> RunConfig:
    """Return the settings with one part exchanged."""
    if section == "run":
        whole: RunConfig = part
        return whole
    if section == "head":
        return replace(config, model=replace(config.model, head=part))
    return replace(config, **{section: part})


def options(field: str) -> dict[str, Any]:
    """Return the keyword arguments with which a widget offers the values of a field by their names."""
    choices = CHOICES[field]
    return {"options": list(choices), "format_func": lambda value: choices[value].label}


def control_state(
    context: Context,
    section: Section,
    field: str,
    *,
    help: str | None = None,  # noqa: A002
    disabled: bool = False,
) -> dict[str, Any]:
    """Return the keyword arguments that say whether a control of a field can be moved, and why not.

    Args:
        context: Who looks at which project.
        section: The part of the settings.
        field: The field of that part.
        help: What the control says about itself while it can be moved.
        disabled: Whether it cannot be moved anyway.
    """
    if context.is_guest:
        return {"disabled": True, "help": GUEST_CANNOT}
    prefix = {"run": "", "head": "model.head."}.get(section, f"{section}.")
    if lock_of(f"{prefix}{field}", context.locked) is not None:
        return {"disabled": True, "help": LOCKED}
    return {"disabled": disabled, "help": help}


def work_state(
    context: Context,
    lock: str,
    *,
    help: str | None = None,  # noqa: A002
    disabled: bool = False,
) -> dict[str, Any]:
    """Return the same for a button that starts what a lock may hold, a row of `tlcore.settings.locks`."""
    if context.is_guest:
        return {"disabled": True, "help": GUEST_CANNOT}
    if lock in context.locked:
        return {"disabled": True, "help": LOCKED}
    return {"disabled": disabled, "help": help}


def show_stored(key: str, value: object) -> None:
    """Let the widget of that key show what is stored; before it is drawn."""
    # Written only when it differs: a write of the same value would move a slider back under the finger.
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


class SettingsForm:
    """Binds widgets to one part of a project's settings.

    The database holds the truth: every run of a page puts the stored value into the widget, and the widget's
    callback, which comes first, stores what the person chose. So a reload and another project always show what the
    next run will use. A choice on a page that another tab has made stale is kept in this tab alone until the person
    has chosen whose settings count, see `shown_settings`.
    """

    def __init__(self, context: Context, section: Section) -> None:
        self._context = context
        self._section: Section = section

    def bind(
        self,
        field: str,
        *,
        key: str | None = None,
        shown: Callable[[Any], Any] | None = None,
        stored: Callable[[Any], Any] | None = None,
        help: str | None = None,  # noqa: A002
        disabled: bool = False,
    ) -> dict[str, Any]:
        """Return the keyword arguments that tie a widget to a field.

        Args:
            field: The field of this part of the settings.
            key: Key of the widget; the field's name when not given.
            shown: From the field's value to the widget's; the same value when not given.
            stored: From the widget's value to the field's; the same value when not given.
            help: What the widget says about itself while it can be moved.
            disabled: Whether it cannot be moved anyway.
        """
        key = key or field
        value = getattr(section_of(self._context.project.config, self._section), field)
        show_stored(key, shown(value) if shown else value)
        state = control_state(self._context, self._section, field, help=help, disabled=disabled)
        return {"key": key, "on_change": self._store, "args": (field, key, stored), **state}

    def state(self, field: str, *, help: str | None = None) -> dict[str, Any]:  # noqa: A002
        """Return whether another control of a field can be moved, such as a shortcut; as of `control_state`."""
        return control_state(self._context, self._section, field, help=help)

    def _store(self, field: str, key: str, stored: Callable[[Any], Any] | None) -> None:
        value = st.session_state[key]
        value = stored(value) if stored else value
        self.change(lambda part: replace(part, **{field: value}))

    def change(self, change: Callable[[Any], Any]) -> None:
        """Store a change of this part of the settings; meant for callbacks.

        Args:
            change: Gets the part as it is stored and returns it as it shall be. What it makes meaningless elsewhere
                goes, see `without_contradictions`.
        """
        section, project_id = self._section, self._context.project.id

        def apply(config: RunConfig) -> RunConfig:
            config = without_contradictions(config)
            return without_contradictions(with_section(config, section, change(section_of(config, section))))

        with errors_kept():  # a callback comes before the page, which then says so
            try:
                stored = change_config(self._context.engine, project_id, checked(project_id, apply))
            except SettingsChangedError:
                shown = shown_settings(project_id)
                if shown is not None:  # the choice is kept in this tab; the page asks whose settings count
                    note_settings(project_id, apply(shown.config), is_undecided=True)
            else:
                note_settings(project_id, stored)
