"""Settings that were stored: read back, and checked against the backbones that this version knows."""

from __future__ import annotations

from dataclasses import dataclass

from tlcore.backbones.registry import get_backbone
from tlcore.config import RunConfig
from tlcore.documents import read_document
from tlcore.errors import UnreadableError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something stored that this version cannot read; it stays as it is, for a version that can.

    Attributes:
        id: Its id in its table.
        title: What people call it; a person may have written it.
        reason: Why, and what to do.
    """

    id: str
    title: str
    reason: str


def read_config(document: str) -> RunConfig:
    """Return the settings of a project or run.

    Raises:
        UnreadableError: If this version cannot read them, or does not know their backbone.
    """
    config = read_document(document, RunConfig)
    check_backbone(config.model.backbone)
    return config


def check_backbone(name: str) -> None:
    """Check that a stored backbone is one that this version knows.

    Raises:
        UnreadableError: If it is not.
    """
    try:
        get_backbone(name)
    except ValueError as error:
        raise UnreadableError(
            f"This version of Transfer Lab does not know the backbone `{name}`. Open it with the version that made it."
        ) from error
