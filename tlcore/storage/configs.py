"""Settings that were stored: read back, and checked against the backbones that this version knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from tlcore.backbones.registry import get_backbone
from tlcore.config import ModelConfig, RunConfig
from tlcore.documents import read_document
from tlcore.errors import UnreadableError
from tlcore.storage.database import read_rows

T = TypeVar("T")


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


def read_all(
    engine: sa.Engine, query: sa.Select[Any], read: Callable[[Any], T], title: Callable[[Any], str]
) -> tuple[list[T], list[Unreadable]]:
    """Return what can be read and the rest, both in the order of the rows.

    Args:
        engine: The database.
        query: Its rows have an `id`.
        read: Makes one object of a row.
        title: What people call what a row holds.
    """
    readable, unreadable = [], []
    for row in read_rows(engine, query):
        try:
            readable.append(read(row))
        except UnreadableError as error:
            unreadable.append(Unreadable(row.id, title(row), str(error)))
    return readable, unreadable


def read_config(document: str, *, is_final: bool = True) -> RunConfig:
    """Return the settings of a project or run.

    Args:
        document: As it is stored.
        is_final: Whether something was made with them; those of the next run are mended when a block is missing.

    Raises:
        UnreadableError: If this version cannot read them, or does not know their backbone or one of its blocks.
    """
    config = read_document(document, RunConfig)
    tuning = config.training.fine_tuning
    check_model(config.model, () if tuning is None else (tuning.first_trainable,), is_final=is_final)
    return config


def check_model(model: ModelConfig, more_blocks: tuple[str, ...] = (), *, is_final: bool = True) -> None:
    """Check that a stored model is made of what this version knows.

    Raises:
        UnreadableError: If it is not.
    """
    remedy = "Open it with the version that made it."
    try:
        known = get_backbone(model.backbone).block_names
    except ValueError as error:
        raise UnreadableError(
            f"This version of Transfer Lab does not know the backbone `{model.backbone}`. {remedy}"
        ) from error
    for block in (model.first_trainable, *model.also_frozen, *more_blocks):
        if is_final and block is not None and block not in known:
            raise UnreadableError(
                f"In this version of Transfer Lab the backbone `{model.backbone}` has no block `{block}`. {remedy}"
            )
