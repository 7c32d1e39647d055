"""Who comes in where the teacher has set a class code."""

from __future__ import annotations

import hmac
from contextlib import suppress

import sqlalchemy as sa

from tlcore.errors import RemovedError, StorageError, UnreadableError
from tlcore.storage.class_settings import read_class_settings
from tlcore.storage.database import Source, unguarded
from tlcore.storage.people import admit, count_projects, is_visit_due, note_visit, plain_code, read_person

REMOVED = "You were removed from this class, so no class code lets you in. Ask your teacher to let you in again."


def is_admitted(source: Source, owner: str) -> bool:
    """Whether somebody comes in: there is no class code, or they have said it, or were there before it.

    Whoever was removed from the class does not, also where no code is asked for. Where what the teacher has set is
    damaged, nobody new comes in; whoever has projects is not new.

    Raises:
        StorageError: If the database cannot be read.
    """
    person = read_person(source, owner)
    if person.removed or person.admitted:
        return not person.removed
    try:
        return read_class_settings(source).code is None
    except UnreadableError:
        return count_projects(source, owner) > 0


def is_removed(source: Source, owner: str) -> bool:
    """Whether the teacher has removed somebody from the class."""
    return read_person(source, owner).removed


def is_readable(engine: sa.Engine) -> bool:
    """Whether it can be known what the class code is."""
    try:
        read_class_settings(engine)
    except UnreadableError:
        return False
    return True


def say_class_code(engine: sa.Engine, owner: str, typed: str) -> bool:
    """Let somebody in who says the class code, in any case, with or without spaces and dashes.

    Returns:
        Whether it is right.

    Raises:
        RemovedError: If they were removed from the class, whatever they say.
        StorageError: If the disk is full or cannot be written.
        UnreadableError: If it cannot be known what the code is.
    """
    if is_removed(engine, owner):
        raise RemovedError(REMOVED)
    code = read_class_settings(engine).code
    if code is not None and not hmac.compare_digest(_compared(code), _compared(typed)):
        return False
    admit(unguarded(engine), owner)  # the guard of a page lets nobody write who is not in yet
    return True


def note_admitted_visit(engine: sa.Engine, owner: str) -> None:
    """Note that somebody is here who has come in; it never fails. Whoever stands at the door is nobody yet."""
    with suppress(StorageError):
        if is_visit_due(engine, owner) and is_admitted(engine, owner):
            note_visit(engine, owner)


def _compared(code: str) -> bytes:
    # A code may be made of signs alone, such as three smileys.
    return (plain_code(code) or code.strip()).casefold().encode()
