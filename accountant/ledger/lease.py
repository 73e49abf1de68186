"""One worker at a time: a lock of the system beside the model, a lease in the database, on PostgreSQL an advisory lock besides.

The lock goes with a process that dies, so on one machine the next one begins at once; for another machine, which sees the lease
only, a worker that says nothing is dead when its lease has expired. Every write of a run checks that the lease is its own.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.exc import DBAPIError

from accountant.ledger.book import Page, writing
from accountant.ledger.database import Database, DatabaseError
from accountant.ledger.schema import LEASE
from accountant.ledger.settings import Settings
from accountant.numerics import InputError, locked_file

#: Seconds for which an advisory lock is asked for, and between two tries.
_PATIENCE: Final = 2.0
_PAUSE: Final = 0.05


class BusyError(RuntimeError):
    """Another process works on this ledger; the message says who, and since when."""


class LeaseLostError(RuntimeError):
    """Another worker has taken over, as this one's lease had expired: nothing more of this run is written."""


class Lease:
    """That this worker has, until it lets go or says nothing for so many seconds."""

    def __init__(self, database: Database, token: str, seconds: float) -> None:
        self._database, self._token, self.seconds = database, token, seconds

    def check(self, page: Page) -> None:
        """LeaseLostError, which undoes the transaction, where it is another's now; prolongs it otherwise."""
        # A lease is short, so the clock counts as it is, even where it was set back.
        self._prolong(page.connection, page.clock)

    def prolong(self) -> None:
        """The same, while the run goes on."""
        with self._database.writing() as connection:
            self._prolong(connection, self._database.now(connection))

    def _prolong(self, connection: Connection, now: int) -> None:
        own = LEASE.c.holder == self._token
        changed = connection.execute(update(LEASE).where(own).values(expires=now + int(self.seconds * 1e6)))
        if changed.rowcount != 1:
            raise LeaseLostError("another worker has taken over, as this one's lease had expired: nothing more is written")


@contextmanager
def leased(database: Database, settings: Settings, ledger: str) -> Iterator[Lease]:
    """The lease, for the block; BusyError where another worker has it."""
    with ExitStack() as stack:
        _lock_files(stack, database, settings)
        if not database.sqlite:
            stack.enter_context(_advisory(database, ledger))
        token = secrets.token_hex(16)
        _take(database, token, settings.lease)
        try:
            yield Lease(database, token, settings.lease)
        finally:
            _let_go(database, token)


def _lock_files(stack: ExitStack, database: Database, settings: Settings) -> None:
    files = [settings.model] if database.path is None else [settings.model, os.fspath(database.path)]
    for file in files:
        try:
            stack.enter_context(locked_file(f"{file}.worker", wait=0))
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise BusyError(_busy(database)) from None
            raise InputError(f"{file} cannot be locked: {error.strerror}") from None


@contextmanager
def _advisory(database: Database, ledger: str) -> Iterator[None]:
    """A lock of this connection, which PostgreSQL lets go when it breaks."""
    number = int(ledger[:15], 16)
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        until = time.monotonic() + _PATIENCE
        # The server may need a moment to see that a process is gone.
        while not connection.scalar(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}):
            if time.monotonic() >= until:
                raise BusyError(_busy(database))
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            with suppress(DBAPIError):
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})


def _take(database: Database, token: str, seconds: float) -> None:
    with writing(database) as page:
        lease = page.connection.execute(select(LEASE)).one()
        host = socket.gethostname()[:80]
        # A dead worker of this machine holds no lock, and we have it. A lease that ends later than any could is one of before
        # the clock was set back.
        if lease.holder is not None and lease.host != host and 0 < lease.expires - page.clock <= seconds * 1e6:
            raise BusyError(told(lease))
        who = f"process {os.getpid()} on {host}"
        page.connection.execute(
            update(LEASE).values(holder=token, host=host, who=who, since=page.clock, expires=page.clock + int(seconds * 1e6))
        )


def _let_go(database: Database, token: str) -> None:
    try:
        with database.writing() as connection:
            free = dict.fromkeys(("holder", "host", "who", "since", "expires"))
            connection.execute(update(LEASE).where(LEASE.c.holder == token).values(free))
    except DatabaseError:
        # It expires.
        return


def worker(connection: Connection) -> Row[tuple[object, ...]] | None:
    """The lease of who works now; None where nobody does."""
    lease = connection.execute(select(LEASE)).one()
    return None if lease.holder is None else lease


def _busy(database: Database) -> str:
    with database.reading() as connection:
        lease = worker(connection)
    return "another process has just begun or ended to work on this ledger" if lease is None else told(lease)


def told(lease: Row[tuple[object, ...]]) -> str:
    """Who works, and since when."""
    since = datetime.fromtimestamp(lease.since / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{lease.who} works on this ledger since {since}"
