"""What a person says of a model in its card: what it is for, where it must not be trusted, and whom to ask."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.documents import read_fields
from tlcore.errors import UnreadableError
from tlcore.storage.database import card_words, project_version, read_rows, writing

MAX_WORDS_LENGTH = 2000
MAX_CONTACT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class CardWords:
    """The three fields of a model card; text as typed, with line breaks, empty where nobody wrote anything.

    Attributes:
        purpose: What the model is for.
        limits: Where it must not be trusted.
        contact: Whom to ask about it.
    """

    purpose: str = ""
    limits: str = ""
    contact: str = ""

    def __post_init__(self) -> None:
        for name, longest in LONGEST.items():
            length = len(getattr(self, name))
            if length > longest:
                raise ValueError(f"`{name}` must have at most {longest} characters. Received: {length} characters")


LONGEST = {"purpose": MAX_WORDS_LENGTH, "limits": MAX_WORDS_LENGTH, "contact": MAX_CONTACT_LENGTH}
"""How many characters each field may have."""


def read_card_words(engine: sa.Engine, project_id: str, model_id: str) -> CardWords:
    """Return the words of a run, a group or a simple head; empty ones when nobody wrote any."""
    return _words(next(iter(read_rows(engine, _query(project_id, model_id))), None))


def change_card_words(
    engine: sa.Engine, project_id: str, model_id: str, change: Callable[[CardWords], CardWords]
) -> CardWords:
    """Change the words of a model in one transaction, so that two tabs keep each other's fields.

    Args:
        engine: The database.
        project_id: The project.
        model_id: Id of a run, a group or a simple head.
        change: Gets the words as they are and returns them as they shall be.

    Raises:
        NotFoundError: If the project was deleted meanwhile.
    """
    with writing(engine) as connection:
        project_version(connection, project_id)  # raises when it is gone
        row = connection.execute(_query(project_id, model_id)).first()
        words = change(_words(row))
        values = {"purpose": words.purpose, "limits": words.limits, "contact": words.contact}
        of_model = (card_words.c.project_id == project_id, card_words.c.model_id == model_id)
        if row is None:
            connection.execute(sa.insert(card_words).values(project_id=project_id, model_id=model_id, **values))
        else:
            connection.execute(sa.update(card_words).where(*of_model).values(**values))
    return words


def _words(row: sa.Row[tuple[str, str, str]] | None) -> CardWords:
    """Return what a row holds; nothing when there is none, or a damaged one, which the next change replaces."""
    if row is not None:
        with suppress(UnreadableError):
            return read_fields(row._mapping, CardWords)
    return CardWords()


def _query(project_id: str, model_id: str) -> sa.Select[tuple[str, str, str]]:
    columns = sa.select(card_words.c.purpose, card_words.c.limits, card_words.c.contact)
    return columns.where(card_words.c.project_id == project_id, card_words.c.model_id == model_id)
