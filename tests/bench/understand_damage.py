"""Every column of every table and every kind of file damaged in turn: how often a page closes, or another project."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.bench.figures import Line, figure
from tests.damaged_root import FAULTS, FILES, KEYS, DamagedRoot
from tlcore.home import DataRoot
from tlcore.storage.database import metadata

VALUES: tuple[object, ...] = ("garbage", "{}", 1e300)


def measure() -> Iterator[Line]:
    """Yield how many cases of damage closed anything, for rows and for files."""
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tlcore.jobs.control.start_module", lambda *_args, **_kwargs: None)
        root = DamagedRoot.make(DataRoot.configured())
        yield _count("rows", _rows(root), root)
        yield _count("files", _files(root), root)


def _count(what: str, cases: Iterator[tuple[str, AbstractContextManager[object]]], root: DamagedRoot) -> Line:
    number, closed = 0, []
    for name, damage in cases:
        number += 1
        with damage:
            complaints = root.complaints()
        if complaints:
            closed.append(f"{name}: {complaints[0][:300]}")
    how = f"{number} cases of damage in turn, 14 pages opened after each, with two projects"
    return figure(
        f"damaged {what} that close a page or another project", len(closed), how, at_most=0, more={"closed": closed}
    )


def _rows(root: DamagedRoot) -> Iterator[tuple[str, AbstractContextManager[object]]]:
    for table in metadata.sorted_tables:
        for column in table.columns:
            if table.name != "schema_version" and not column.primary_key and column.name not in KEYS:
                for value in VALUES:
                    yield f"{table.name}.{column.name} = {value!r}", root.damaged_rows(table.name, [column.name], value)


def _files(root: DamagedRoot) -> Iterator[tuple[str, AbstractContextManager[object]]]:
    for kind, pattern in FILES.items():
        for fault, damage in FAULTS.items():
            yield f"{kind} {fault}", root.damaged_files([pattern], damage)
