"""Values as JSON: plain, and as stored documents, which carry the number of their format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tlcore.errors import UnreadableError

FORMAT_FIELD = "format"

Lift = Callable[[dict[str, Any]], dict[str, Any]]


def _given_unknown(dataset: dict[str, Any]) -> dict[str, Any]:
    """Until then nobody noted whether a picture came as a test picture or was shared out."""
    return {**dataset, "items": [{"given": None, **item} for item in dataset.get("items", ())]}


LIFTS: dict[str, tuple[Lift, ...]] = {"Dataset": (_given_unknown,)}
"""What changed in a stored type, by its name: the first lifts a document of format 1 to format 2, and so on.

A renamed field, a removed one or another meaning is a lift here, and nothing else: documents without a number are of
format 1, and a type without a lift is still in that format.
"""

T = TypeVar("T")


def to_json(value: object) -> str:
    """Return any configuration or data set as JSON text; the same value gives the same text in every version."""
    return msgspec.json.encode(value).decode()


def write_document(value: object) -> str:
    """Return a dataclass as it is stored."""
    return to_json({FORMAT_FIELD: format_of(type(value)), **msgspec.to_builtins(value)})


def read_document(text: str | bytes, kind: type[T]) -> T:
    """Read a stored document, of this version or an earlier one, with every check of the constructor.

    Raises:
        UnreadableError: If it is damaged, of a newer version, or holds what this version does not know: a field is
            missing, unknown to `kind` or out of range.
    """
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
        found = fields.pop(FORMAT_FIELD, 1)
        if not isinstance(found, int) or found > format_of(kind):
            raise UnreadableError("A newer Transfer Lab has written it. Update Transfer Lab to open it.")
        for lift in LIFTS.get(kind.__name__, ())[found - 1 :]:
            fields = lift(fields)
        value = msgspec.convert(fields, kind, str_keys=True)
        unknown = _unknown_field(fields, msgspec.to_builtins(value))
        if unknown is not None:
            raise ValueError(f"`text` must be a {kind.__name__} as JSON. Received: unknown field `{unknown}`")
    except UnreadableError:
        raise
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"This version of Transfer Lab cannot read it: {error}.") from error
    return value


def read_fields(fields: Mapping[Any, Any], kind: type[T]) -> T:
    """Make a dataclass of the columns of a stored row: SQLite keeps in a column whatever a fault has put there.

    Args:
        fields: By the names of the fields; dataclasses inside are there already.
        kind: What to make.

    Raises:
        UnreadableError: If a value is not of the type of its field, or a constructor refuses it.
    """
    try:
        # Names of columns are a kind of text of their own, which msgspec does not take.
        return msgspec.convert({str(name): value for name, value in fields.items()}, kind)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise UnreadableError(f"Its row in the database is damaged: {error}.") from error


def format_of(kind: type) -> int:
    """Return the format in which a type is stored now."""
    return len(LIFTS.get(kind.__name__, ())) + 1


def _unknown_field(given: object, understood: object) -> str | None:
    """Return a field that msgspec left out in silence: it can forbid them in its own classes only."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for name, value in given.items():
            unknown = _unknown_field(value, understood[name]) if name in understood else name
            if unknown is not None:
                return str(unknown)
    elif isinstance(given, list) and isinstance(understood, list | tuple):
        for value, same in zip(given, understood, strict=True):
            unknown = _unknown_field(value, same)
            if unknown is not None:
                return unknown
    return None
