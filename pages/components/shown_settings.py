"""The settings that this browser tab shows, and how it notices that others were stored meanwhile.

The database holds the settings of a project once, whoever looks at them. A tab that showed them before another one
changed them is stale: what a person does there is meant for what the person sees. So each tab remembers what it shows,
and nothing is stored or started from a stale page before the person has chosen whose settings count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import streamlit as st

from pages.components.state import Context
from tlcore.config import RunConfig
from tlcore.errors import ConflictError
from tlcore.model.architecture import without_contradictions

_KEY = "shown-settings"


@dataclass(frozen=True, slots=True)
class ShownSettings:
    """What a tab shows of a project.

    Attributes:
        page: The page that shows it.
        config: The settings on it, with what the person has chosen there since.
        version: The data set version on it; `None` before the first pictures.
        is_undecided: Whether others were stored, and the person has not chosen yet whose settings count.
    """

    page: str
    config: RunConfig
    version: int | None
    is_undecided: bool = False


@dataclass(frozen=True, slots=True)
class Screen:
    """What a page of settings works on, and what has changed behind its back.

    Attributes:
        context: With the settings that the page shows.
        theirs: The settings that were stored by somebody else, while it is not decided whose count.
        has_other_pictures: Whether the data set is another one than when this page was last drawn.
    """

    context: Context
    theirs: RunConfig | None
    has_other_pictures: bool

    @property
    def is_undecided(self) -> bool:
        """Whether the person has to choose first whose settings count."""
        return self.theirs is not None


class SettingsChangedError(ConflictError):
    """The settings that are stored are not those that the page shows."""


def _records() -> dict[str, ShownSettings]:
    """Return what this tab shows, by the ids of projects."""
    records: dict[str, ShownSettings] = st.session_state.setdefault(_KEY, {})
    return records


def shown_settings(project_id: str) -> ShownSettings | None:
    """Return what this tab shows of a project; `None` where it shows none of its settings."""
    return _records().get(project_id)


def is_undecided(project_id: str) -> bool:
    """Whether the person has still to choose in this tab whose settings of a project count."""
    shown = shown_settings(project_id)
    return shown is not None and shown.is_undecided


def look_at_settings(context: Context, page: str) -> Screen:
    """Return what a page shall show: the settings as stored, or the tab's own while it is not decided whose count.

    Args:
        context: What the page works on, with the settings as they are stored.
        page: Its name. Somebody who comes from another page sees nothing stale, and gets what is stored.
    """
    project, before = context.project, shown_settings(context.project.id)
    was_here = before is not None and before.page == page
    other_pictures = before is not None and was_here and before.version != project.version
    if before is not None and before.config != project.config and (before.is_undecided or was_here):
        _records()[project.id] = ShownSettings(page, before.config, project.version, is_undecided=True)
        mine = replace(context, project=replace(project, config=before.config))
        return Screen(mine, project.config, other_pictures)
    _records()[project.id] = ShownSettings(page, project.config, project.version)
    return Screen(context, None, other_pictures)


def leave_settings(project_id: str | None = None, page: str = "") -> None:
    """Forget what the tab showed on other pages; what is not decided yet stays.

    Args:
        project_id: The project that is shown now, if any.
        page: The page of it that is shown now.
    """
    for of_project, shown in [*_records().items()]:
        if not shown.is_undecided and (of_project, shown.page) != (project_id, page):
            forget_settings(of_project)


def forget_settings(project_id: str) -> None:
    """Let the tab show next what is stored, whatever it shows now."""
    _records().pop(project_id, None)


def checked(project_id: str, change: Callable[[RunConfig], RunConfig]) -> Callable[[RunConfig], RunConfig]:
    """Return a change of stored settings that refuses where they are not those that this tab shows.

    Args:
        project_id: Whose settings.
        change: Gets the settings as they are stored and returns them as they shall be.

    Returns:
        The same; it raises a `SettingsChangedError`.
    """
    shown = shown_settings(project_id)

    def apply(stored: RunConfig) -> RunConfig:
        if shown is not None and (shown.is_undecided or shown.config != without_contradictions(stored)):
            raise SettingsChangedError("The settings were changed in another tab meanwhile.")
        return change(stored)

    return apply


def note_settings(project_id: str, config: RunConfig, *, is_undecided: bool = False) -> None:
    """Remember that the tab shows other settings now; those are stored unless it is undecided whose count."""
    shown = shown_settings(project_id)
    if shown is not None:
        _records()[project_id] = replace(shown, config=config, is_undecided=is_undecided)
