"""What came with an import and what its folders can mean, kept so that it can be read again without the files."""

from __future__ import annotations

import zlib

import sqlalchemy as sa

from tlcore.damage import DAMAGE_ERRORS
from tlcore.documents import read_document, write_document
from tlcore.errors import UnreadableError
from tlcore.intake.brought import Brought
from tlcore.storage.database import brought, read_value, writing


def save_brought(engine: sa.Engine, job_id: str, value: Brought) -> None:
    """Keep what an import brought, beside its job; a second call replaces the first.

    Raises:
        StorageError: If the disk is full.
    """
    # Thousands of paths that begin alike: a tenth of their length when compressed.
    document = zlib.compress(write_document(value).encode())
    with writing(engine) as connection:
        connection.execute(sa.delete(brought).where(brought.c.job_id == job_id))
        connection.execute(sa.insert(brought).values(job_id=job_id, document=document))


def load_brought(engine: sa.Engine, job_id: str) -> Brought:
    """Return what an import brought.

    Raises:
        UnreadableError: If it is missing, damaged or of a newer version.
    """
    document = read_value(engine, sa.select(brought.c.document).where(brought.c.job_id == job_id))
    if document is None:
        raise UnreadableError("What came with this import is no longer here. Bring the pictures again.")
    try:
        text = zlib.decompress(document)
    except DAMAGE_ERRORS as error:
        raise UnreadableError("What came with this import is damaged. Bring the pictures again.") from error
    return read_document(text, Brought)
