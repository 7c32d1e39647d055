"""What the teacher has set for everybody on this server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from tlcore.documents import read_document, write_document
from tlcore.storage.database import Source, class_settings, read_value, write_few
from tlcore.storage.people import admit_owners_of_projects

_ONLY_ROW = 1


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """What holds for everybody.

    Attributes:
        code: What a new browser must say before it comes in, as typed by the teacher; `None` lets everybody in.
        locked: Names of the controls that only the teacher may move, rows of `tlcore.settings.locks`.
    """

    code: str | None = None
    locked: tuple[str, ...] = ()


def read_class_settings(source: Source) -> ClassSettings:
    """Return what the teacher has set; nothing at first.

    Raises:
        UnreadableError: If it is damaged, or of a newer version.
    """
    document = read_value(source, sa.select(class_settings.c.document).where(class_settings.c.id == _ONLY_ROW))
    return ClassSettings() if document is None else read_document(document, ClassSettings)


def reset_class_settings(engine: sa.Engine) -> None:
    """Begin anew with nothing set, where what is stored cannot be read.

    A full disk does not keep it back.

    Raises:
        StorageError: If nothing is left of the reserve, or the database cannot be written.
    """
    write_few(engine, lambda connection: connection.execute(sa.delete(class_settings)))


def change_class_settings(engine: sa.Engine, change: Callable[[ClassSettings], ClassSettings]) -> ClassSettings:
    """Change what holds for everybody in one transaction, and return it.

    With the first class code, those come in unasked who have projects by then.

    A full disk does not keep it back.

    Raises:
        StorageError: If nothing is left of the reserve, or the database cannot be written.
    """
    of_row = class_settings.c.id == _ONLY_ROW

    def write(connection: sa.Connection) -> ClassSettings:
        stored = connection.execute(sa.select(class_settings.c.document).where(of_row)).scalar()
        before = ClassSettings() if stored is None else read_document(stored, ClassSettings)
        changed = change(before)
        if before.code is None and changed.code is not None:
            admit_owners_of_projects(connection)
        document = write_document(changed)
        if not connection.execute(sa.update(class_settings).where(of_row).values(document=document)).rowcount:
            connection.execute(sa.insert(class_settings).values(id=_ONLY_ROW, document=document))
        return changed

    return write_few(engine, write)
