"""The settings that jobs work with: the server that began last decides, also where the runner is from before it.

A runner outlives the server that started it, and hands its environment on to every worker. So a server writes down with
what settings it began, and the runner takes them over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress

from tlcore.errors import StorageError
from tlcore.home import DataRoot, write_atomically
from tlcore.intake.limits import LIMITS
from tlcore.jobs.slots import SLOTS_VARIABLE, THREADS_VARIABLE
from tlcore.storage.quotas import QUOTAS

CACHE_VARIABLE = "TRANSFER_LAB_CACHE_GB"

NAMES = (SLOTS_VARIABLE, THREADS_VARIABLE, CACHE_VARIABLE, *(limit.setting for limit in (*LIMITS, *QUOTAS)))
"""The variables that say how jobs work. No secret is among them: they are written into a file."""

_told: dict[DataRoot, dict[str, str]] = {}
"""What this process has written down, by data root: it speaks once, or two servers would contradict each other."""


def own_settings() -> dict[str, str]:
    """Return what this process has; a variable that says nothing is left out."""
    return {name: os.environ[name] for name in NAMES if os.environ.get(name)}


def tell_settings(home: DataRoot) -> None:
    """Write down what settings this process has, for the runner, unless it has done so."""
    settings = own_settings()
    if _told.get(home) == settings:
        return
    if told_settings(home) != settings:
        text = json.dumps(settings)
        with suppress(StorageError):  # a full disk: it is tried again with the next job
            write_atomically(home.runner_settings_path, lambda path: path.write_text(text, "utf-8"))
    if told_settings(home) == settings:
        _told[home] = settings


def told_settings(home: DataRoot) -> dict[str, str] | None:
    """Return with what settings the last server began; `None` where that is not known."""
    try:
        told = json.loads(home.runner_settings_path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(told, dict) or not all(isinstance(value, str) and "\0" not in value for value in told.values()):
        return None
    return {name: told[name] for name in NAMES if told.get(name)}


def take_settings(settings: Mapping[str, str]) -> list[str]:
    """Go on with other settings, and return the names of those that have changed."""
    before = own_settings()
    changed = [name for name in NAMES if settings.get(name) != before.get(name)]
    for name in changed:
        os.environ.pop(name, None)
        if name in settings:
            os.environ[name] = settings[name]
    return changed
