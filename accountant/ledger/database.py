"""Databases: SQLite files and PostgreSQL, each with its own way to begin, to tell the time and to be only read."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Select, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from accountant.ledger.schema import OLDER, REVISION
from accountant.numerics import InputError, MissingExtraError

#: Reads a clock: microseconds since 1970, UTC.
Clock = Callable[[], int]
#: Seconds that one writer waits for the others.
_PATIENCE: Final = 120
#: Rows that are fetched at a time where there may be many.
_ROWS: Final = 2000
#: Values of one statement.
_VALUES: Final = 500
_WRITES: Final = "ledger_writes"
SQLITE: Final = "sqlite"


class DatabaseError(RuntimeError):
    """The database is away, full, busy or will not have it: nothing of the transaction was written. Try again later."""


class Database:
    """A database by file name or URL (``sqlite:///...``, ``postgresql://...``).

    read_only: of a SQLite file nothing is written. create: the SQLite file is made now, with mode 0600, and must not be there.
    clock: instead of the database's own, for tests. name: the argument, for messages. journal: SQLite's mode.
    """

    def __init__(
        self,
        address: str | PathLike[str],
        *,
        name: str = "db",
        read_only: bool = False,
        create: bool = False,
        clock: Clock | None = None,
        journal: str = "WAL",
    ) -> None:
        self.url, self._name, self._clock, self.journal = url_of(address, name), name, clock, journal
        self.path = Path(self.url.database or "") if self.sqlite else None
        self.shown = os.fspath(self.path) if self.path else self.url.render_as_string(hide_password=True)
        if self.path is not None:
            _prepare_file(self.path, name, create)
        self.engine = self._engine(read_only)
        self._writer = self.engine.execution_options(**{_WRITES: True})

    @property
    def sqlite(self) -> bool:
        return self.url.get_backend_name() == SQLITE

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database, whatever others write meanwhile."""
        engine = self.engine if self.sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        with self._told(), engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is on the disk, whole, when the block has ended, or not at all; of SQLite it is alone."""
        with self._told(), self._writer.begin() as connection:
            yield connection

    def vacuum(self, *tables: str) -> None:
        """Give back, overwritten, the space of rows that were removed from these."""
        engine = self.engine if self.sqlite else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._told(), engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            # Not by SQLAlchemy, which would begin a transaction.
            for statement in ("VACUUM",) if self.sqlite else [f"VACUUM FULL {table}" for table in tables]:
                driver.execute(statement)

    def now(self, connection: Connection) -> int:
        """The database's clock in microseconds. SQLite has that of the machine that runs this program."""
        if self._clock is not None:
            return self._clock()
        if self.sqlite:
            return time.time_ns() // 1000
        return int(connection.scalar(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")))

    def revision(self) -> str | None:
        """The version of its tables, None where there is no ledger."""
        from sqlalchemy import inspect

        with self.reading() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return None if found is None else str(found)

    def check_revision(self, *, read_only: bool) -> None:
        """Bring the tables up to this program's version; InputError for a newer one, and where there is no ledger."""
        found = self.revision()
        if found is None:
            raise InputError(f"db {self.shown} holds no ledger: accountant ledger init makes one")
        if found in OLDER and not read_only:
            from accountant.ledger.migrating import migrate

            with self.writing() as connection:
                migrate(connection)
        elif found in OLDER:
            raise InputError(
                f"db {self.shown} has tables of version {found}: accountant ledger process brings them to {REVISION}"
            )
        elif found != REVISION:
            raise InputError(f"db {self.shown} has tables of version {found}, newer than this program, which knows {REVISION}")

    def check_durable(self) -> None:
        """InputError for a PostgreSQL that loses what was committed when the power goes."""
        if self.sqlite:
            return
        with self.reading() as connection:
            if connection.scalar(text("SHOW fsync")) != "on":
                raise InputError(f"db {self.shown} must be of a server with fsync = on, got off")

    def _engine(self, read_only: bool) -> Engine:
        if self.path is not None:
            file = self.path
            engine = create_engine(
                "sqlite://", poolclass=QueuePool, creator=lambda: _opened(file, read_only, self.journal), hide_parameters=True
            )
            event.listen(engine, "begin", _begin)
            return engine
        try:
            engine = create_engine(self.url, pool_pre_ping=True, hide_parameters=True, connect_args={"connect_timeout": 10})
        except ImportError:
            raise MissingExtraError("a ledger on PostgreSQL", "psycopg", "postgresql") from None
        event.listen(engine, "connect", _synchronous)
        return engine

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What databases raise, in a sentence that holds no statement, parameter or password."""
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig).strip().split("\n")[0]
            self._check_is_one(error.orig)
            raise DatabaseError(f"database {self.shown}: {said}") from None
        except sqlite3.Error as error:
            self._check_is_one(error)
            raise DatabaseError(f"database {self.shown}: {error}") from None
        except SQLAlchemyError as error:
            raise DatabaseError(f"database {self.shown}: {type(error).__name__}") from None

    def _check_is_one(self, error: BaseException | None) -> None:
        """InputError for another file than a SQLite one: nobody need try again, as where a database is away."""
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise InputError(f"{self._name} {self.shown} is no SQLite database") from None


def streamed(connection: Connection, query: Select[Any]) -> Generator[Any, None, None]:
    """The rows of a query, however many, in constant memory; to be closed where it is not read to its end."""
    with connection.execute(query.execution_options(yield_per=_ROWS)) as result:
        for some in result.partitions():
            yield from some


def in_parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Values that are looked for, as many at a time as one statement may have."""
    return (values[at : at + _VALUES] for at in range(0, len(values), _VALUES))


def url_of(address: str | PathLike[str], name: str = "db") -> URL:
    """The URL of an address, which may be the name of a SQLite file; InputError for other databases than these two.

    >>> url_of("postgresql://ann:secret@host/deletions").drivername
    'postgresql+psycopg'
    """
    said = os.fspath(address)
    if "://" not in said:
        return URL.create(SQLITE, database=os.path.realpath(said))
    try:
        url = make_url(said)
    except ArgumentError:
        raise InputError(f"{name} must be a file name or a URL as in postgresql://host/name") from None
    kind = url.get_backend_name() if "+" not in url.drivername else url.drivername.split("+")[0]
    if kind == SQLITE and url.database:
        return URL.create(SQLITE, database=os.path.realpath(url.database))
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise InputError(f"{name} must be a SQLite file or on PostgreSQL, got a URL that begins with {url.drivername}")


def _prepare_file(path: Path, name: str, create: bool) -> None:
    if create:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise InputError(f"{name} {path} cannot be made: {error.strerror}") from None
    elif not path.is_file():
        raise InputError(f"{name} {path} is not there: accountant ledger init makes it")


def _opened(path: Path, read_only: bool, journal: str) -> sqlite3.Connection:
    # Who may not even write beside the file can read it where nobody has it open.
    alone = read_only and not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    mode = "mode=ro" + "&immutable=1" * alone if read_only else "mode=rw"
    connection = sqlite3.connect(
        f"file:{quote(os.fspath(path))}?{mode}", uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
    )
    for pragma in ("foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")
    if not read_only:
        connection.execute(f"PRAGMA journal_mode={journal}").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _begin(connection: Connection) -> None:
    """SQLite begins as it is told: writers wait for each other here, where nothing has been read yet."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _synchronous(connection: Any, record: Any) -> None:
    """What is committed is on the disk, whatever the role's default is."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit = on")
    connection.commit()
