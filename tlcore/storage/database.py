"""The database: its tables, its version, and how it is opened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import filelock
import sqlalchemy as sa

from tlcore.errors import FullDiskError, GuestError, NotFoundError, StorageError
from tlcore.home import DataRoot, is_full, storage_error
from tlcore.storage.migrations import MIGRATIONS, migrate
from tlcore.storage.reserve import with_loan, with_reserve

SCHEMA_VERSION = len(MIGRATIONS) + 1

BUSY_SECONDS = 30
"""How long a connection waits for another that writes."""

_GUARD = "guard"
_PERSON = "person"

LAST_TIME = 1e11
"""In the year 5138."""

T = TypeVar("T")

Guard = Callable[[sa.Connection], None]
"""Raises a `TransferLabError` where a transaction that begins may not write; it sees what is stored by then."""

Source = sa.Engine | sa.Connection
"""From where rows are read: the database, or an open transaction."""

metadata = sa.MetaData()

schema_version = sa.Table("schema_version", metadata, sa.Column("version", sa.Integer, primary_key=True))

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("owner", sa.String, nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("visited", sa.Text, nullable=False),
    sa.Column("touched", sa.Float),
)

people = sa.Table(
    "people",
    metadata,
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False, default="", server_default=""),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("admitted", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("removed", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("code", sa.String, unique=True),
)
"""Who has come: what they call themselves, the number by which they are called otherwise, and the fingerprint of the
code with which another browser becomes them."""

shares = sa.Table(
    "shares",
    metadata,
    sa.Column("code", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("for_all", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("created", sa.Float, nullable=False),
)
"""Links that give others a project to look at, or a copy; those for all stand on everybody's Home."""

guests = sa.Table(
    "guests",
    metadata,
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("code", sa.String, sa.ForeignKey("shares.code", ondelete="CASCADE"), primary_key=True, index=True),
)
"""Who has opened a link and may look at the project, for as long as one of the links is there."""

class_settings = sa.Table(
    "class_settings",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)
"""What the teacher has set for everybody: one row."""

server_days = sa.Table(
    "server_days",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
)
"""On which days the server ran, counted from the first of 1970."""

leavings = sa.Table(
    "leavings",
    metadata,
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("setting", sa.Float, nullable=False),
)
"""Which projects will be deleted as nobody opens them: since which day Home says so, and after how many days that was
decided."""

dataset_versions = sa.Table(
    "dataset_versions",
    metadata,
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("parent", sa.Integer),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("content", sa.String, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("phase", sa.String, nullable=False, default=""),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("total", sa.Integer, nullable=False, default=0),
    sa.Column("message", sa.Text, nullable=False, default=""),
    sa.Column("attempt", sa.Integer, nullable=False, default=0),
    sa.Column("pid", sa.Integer),
    sa.Column("heartbeat", sa.Float),
    sa.Column("stop_requested", sa.Float),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("subject", sa.String, nullable=False, default="", server_default=""),
    sa.Column("key", sa.String, index=True),
    sa.Column("request", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("process", sa.String),
    sa.Column("deaths", sa.String, nullable=False, default="", server_default=""),
    sa.Column("rescue", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
    sa.Column("silent", sa.Boolean, nullable=False, default=False, server_default=sa.false()),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("kind", sa.String, primary_key=True),
    sa.Column("owner", sa.String, primary_key=True),
    sa.Column("turn", sa.Integer, nullable=False),
)
"""Who had the last turn in the line of each kind of job: a number that only grows, as a clock can be set back."""

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("summary", sa.Text),
)

run_notes = sa.Table(
    "run_notes",
    metadata,
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("note", sa.Text, nullable=False),
)

metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("epoch", sa.Float, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("value", sa.Float, nullable=False),
)

ensembles = sa.Table(
    "ensembles",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("config", sa.Text, nullable=False),
    sa.Column("test_correct", sa.Integer, nullable=False),
    sa.Column("test_total", sa.Integer, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("validation_correct", sa.Integer),
    sa.Column("validation_total", sa.Integer),
)

exams = sa.Table(
    "exams",
    metadata,
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("model_id", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
)

model_settings = sa.Table(
    "model_settings",
    metadata,
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("model_id", sa.String, primary_key=True),
    sa.Column("temperature", sa.Float, nullable=False),
    sa.Column("threshold", sa.Float, nullable=False),
)

card_words = sa.Table(
    "card_words",
    metadata,
    sa.Column("project_id", sa.String, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("model_id", sa.String, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("limits", sa.Text, nullable=False),
    sa.Column("contact", sa.Text, nullable=False),
)
"""What people say of a model in its card."""

brought = sa.Table(
    "brought",
    metadata,
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("document", sa.LargeBinary, nullable=False),
)


def _connect(home: DataRoot, url: str | sa.URL | None, *, enforces_references: bool = True) -> sa.Engine:
    engine = sa.create_engine(url or sa.URL.create("sqlite", database=str(home.database_path)))

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS}")
        # WAL with FULL lost no acknowledged write in repeated kills; readers never wait for the writer.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA foreign_keys={'ON' if enforces_references else 'OFF'}")

    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", set_up)
        sa.event.listen(engine, "begin", _begin_immediately)
    return engine


def _begin_immediately(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later would fail with "database is locked"
    # when another writer came between; taking the write lock at once makes it wait instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")


def open_database(home: DataRoot, url: str | sa.URL | None = None) -> sa.Engine:
    """Open the database of a data root: its tables are made when it is new, lifted when it is an earlier one.

    Even opening takes some space on the disk. Where there is none, it comes out of the reserve.

    Args:
        home: The data root.
        url: An SQLAlchemy address instead of the SQLite file, such as one of PostgreSQL.

    Raises:
        StorageError: If the data root cannot be written or is from a newer version.
    """
    try:
        return _open(home, url)
    except StorageError as error:
        # SQLite says in many ways that it has no space, such as "disk I/O error" and "unable to open database file".
        cause = error.__cause__
        may_be_full = isinstance(cause, sa.exc.OperationalError | sqlite3.OperationalError)
        if not (may_be_full and "locked" not in str(cause) and home.reserve_path.exists()):
            raise
    with with_reserve(home):
        return _open(home, url)


def _open(home: DataRoot, url: str | sa.URL | None) -> sa.Engine:
    file = home.database_path
    try:
        home.path.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{file}.lock"):
            if url is None:
                _check_not_lost(home)
            if url is None:
                # The file remembers its journal mode, so one switch is enough. Two at the same time would fail at
                # once whatever the busy timeout: SQLite does not wait where each could wait for the other.
                with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as connection:
                    connection.execute("PRAGMA journal_mode=WAL")
            # Before the tables are made: those of an earlier or newer version look different.
            lifting = _connect(home, url, enforces_references=False)
            try:
                migrate(lifting, home)
            finally:
                lifting.dispose()
            engine = _connect(home, url)
            with writing(engine) as connection:
                metadata.create_all(connection)
                if connection.execute(sa.select(schema_version.c.version)).first() is None:
                    connection.execute(sa.insert(schema_version).values(version=SCHEMA_VERSION))
    except OSError as error:
        raise storage_error(error, file) from error
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        raise StorageError(
            f"The database of this Transfer Lab cannot be opened ({getattr(error, 'orig', error)}). "
            "Check that the folder of all data (TRANSFER_LAB_HOME) can be written and the disk is not full."
        ) from error
    return engine


def _check_not_lost(home: DataRoot) -> None:
    """Check that the database is there where people have brought pictures: a new one would hide that all are gone.

    Raises:
        StorageError: If it is not.
    """
    file = home.database_path
    if file.is_file() and file.stat().st_size:
        return
    # Only a project that is in the database writes this.
    if next(home.versions_dir.glob("*.json"), None) is not None:
        copies = ", ".join(path.name for path in sorted(home.path.glob("lab.format-*.sqlite")))
        beside = f"Copies of earlier versions lie beside it ({copies}). " if copies else ""
        raise StorageError(
            f"The database {file.name} is missing from the data folder, or empty, though pictures of projects are "
            f"there. Nothing was changed. Put the file back. {beside}Or bring back a backup with "
            "python3 app.py --restore FILE. To begin anew, move the data folder away first."
        )


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that takes the write lock at once, for a `with` statement.

    Raises:
        GuestError: If the engine is one of `read_only`.
        ShutOutError: If the guard of the engine says so, see `guarded`.
        FullDiskError: If the disk is full.
        StorageError: If the database cannot be written otherwise, as when another program holds it.
    """
    if engine.get_execution_options().get("read_only"):
        raise GuestError(
            "This project belongs to somebody else, and you may only look at it, so nothing was changed. A copy of it "
            "would be yours: ask for a link that allows one."
        )
    try:
        with engine.execution_options(write=True).begin() as connection:
            guard = engine.get_execution_options().get(_GUARD)
            if guard is not None:
                guard(connection)
            yield connection
    except sa.exc.OperationalError as error:
        if _is_for_want_of_room(error, engine):
            raise FullDiskError(
                "Nothing was saved: the disk is full. Free some space on the computer that runs Transfer Lab or delete "
                "old projects, then try again."
            ) from error
        raise StorageError(
            f"Nothing was saved: the database in {DataRoot.configured()} cannot be written ({error.orig}). "
            "Free some space on the disk, check that the folder can be written, then try again."
        ) from error


def _is_for_want_of_room(error: sa.exc.OperationalError, engine: sa.Engine) -> bool:
    """Whether the database could not be written because the disk is full; SQLite says so in many ways."""
    if "is full" in str(error.orig):
        return True
    home, code = _home_of(engine), getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return home is not None and code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and is_full(home)


def _home_of(engine: sa.Engine) -> DataRoot | None:
    """Return the data root of a database; `None` for one that is no file of ours."""
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    return DataRoot(Path(file).parent) if file else None


def write_few(engine: sa.Engine, write: Callable[[sa.Connection], T]) -> T:
    """Write a few rows that a full disk must not keep back, such as how a job ended; return what `write` returns.

    Where there is no room, a little of the reserve is lent to them.

    Args:
        engine: The database.
        write: Gets the transaction; called once more on a full disk.

    Raises:
        StorageError: As of `writing`; also when nothing is left of the reserve.
    """
    try:
        with writing(engine) as connection:
            return write(connection)
    except FullDiskError:
        home = _home_of(engine)
        if home is None or not home.reserve_path.exists():
            raise
    with with_loan(home), writing(engine) as connection:
        return write(connection)


def read_only(engine: sa.Engine) -> sa.Engine:
    """Return the same database for somebody who may only look: whatever writes raises a `GuestError`."""
    return engine.execution_options(read_only=True)


def guarded(engine: sa.Engine, guard: Guard, person: str) -> sa.Engine:
    """Return the same database for somebody whose right to write may end: every transaction asks first.

    A page lives long, with what it was given when it was drawn. Its buttons work on with that after the person was
    removed from the class, or the project has gone to somebody else.

    Args:
        engine: The database.
        guard: Asked in every transaction that writes.
        person: For whom the page works, see `person_of`.
    """
    return engine.execution_options(**{_GUARD: guard, _PERSON: person})


def person_of(engine: sa.Engine) -> str | None:
    """Return for whom a page works with this engine; `None` for the server itself, which acts for everybody."""
    person: str | None = engine.get_execution_options().get(_PERSON)
    return person


def unguarded(engine: sa.Engine) -> sa.Engine:
    """Return the same database without the guard, for what is checked in another way."""
    return engine.execution_options(**{_GUARD: None})


@contextmanager
def _reading(source: Source) -> Iterator[sa.Connection]:
    """Open a transaction that only reads, for a `with` statement; one that is open already is used as it is.

    Raises:
        StorageError: If the database is damaged, has gone, or cannot be read.
    """
    try:
        with nullcontext(source) if isinstance(source, sa.Connection) else source.begin() as connection:
            yield connection
    except sa.exc.DatabaseError as error:
        if type(error) not in (sa.exc.DatabaseError, sa.exc.OperationalError):
            raise  # the question was wrong, not the database
        raise StorageError(
            f"The database of the data folder cannot be read ({error.orig}). Check the disk and the folder; a damaged "
            "database can be replaced by a backup with python3 app.py --restore FILE."
        ) from error


def read_rows(source: Source, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
    """Return what a query finds, in a transaction of its own unless one is given."""
    with _reading(source) as connection:
        return connection.execute(query).all()


def read_row(engine: sa.Engine, query: sa.Select[Any], gone: str) -> sa.Row[Any]:
    """Return the one row that a query finds.

    Raises:
        NotFoundError: If there is none, with the words of `gone`.
    """
    for row in read_rows(engine, query):
        return row
    raise NotFoundError(gone)


def read_value(source: Source, query: sa.Select[Any]) -> Any:
    """Return the first value of the first row that a query finds; `None` when it finds none."""
    with _reading(source) as connection:
        return connection.execute(query).scalar()


def project_version(connection: sa.Connection, project_id: str) -> int | None:
    """Return the number of a project's current data set version; `None` before the first pictures.

    Raises:
        NotFoundError: If the project was deleted.
    """
    row = connection.execute(sa.select(projects.c.version).where(projects.c.id == project_id)).one_or_none()
    if row is None:
        raise NotFoundError("This project was deleted. Go to Home to see your projects.")
    version: int | None = row.version
    return version


def project_owner(connection: sa.Connection, project_id: str) -> str | None:
    """Return to whom a project belongs; `None` when it was deleted."""
    owner: str | None = connection.execute(sa.select(projects.c.owner).where(projects.c.id == project_id)).scalar()
    return owner


def now() -> float:
    """Return the time as stored: seconds since 1970, UTC."""
    return time.time()


def is_time(value: object) -> bool:
    """Whether a stored value can be a time that a calendar has: a fault may put any number there."""
    return isinstance(value, int | float) and 0 <= value < LAST_TIME
