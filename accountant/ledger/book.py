"""Appending: one transaction after the other takes the head of the chain, adds entries to it and moves it on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from sqlalchemy import Connection, insert, select, update

from accountant.ledger.chain import NOTHING, Entry, following
from accountant.ledger.database import Database
from accountant.ledger.schema import ENTRIES, HEAD


class Page:
    """A transaction that is alone in appending.

    now: its time, which never falls from one transaction to the next. clock: what the database's clock said.
    """

    def __init__(self, connection: Connection, number: int, time: int, digest: str, held: int | None, clock: int) -> None:
        self.connection, self.last, self._digest = connection, number, digest
        self.now, self.clock, self._held = max(time, clock), clock, held
        self._entries: list[Entry] = []
        self._tell_time(time, clock)

    def append(self, kind: str, body: Mapping[str, object]) -> Entry:
        """The next entry; it is written when the transaction ends."""
        entry = following(self._digest, self.last + 1, self.now, kind, body)
        self._entries.append(entry)
        self.last, self._digest = entry.number, entry.digest
        return entry

    def _tell_time(self, time: int, clock: int) -> None:
        """Record that the clock ran backwards, once for each time that it did."""
        if clock >= time:
            self._held = None
        elif self._held is None or clock < self._held:
            self.append("clock", {"read": clock, "behind": time - clock})
            self._held = clock

    def write(self) -> None:
        """All entries, and the new head."""
        if not self._entries:
            return
        # The chain is stored in the order in which it is read.
        self.connection.execute(insert(ENTRIES), [asdict(entry) for entry in self._entries])
        head = {"number": self.last, "time": self.now, "digest": self._digest, "held": self._held}
        self.connection.execute(update(HEAD).values(**head))
        self._entries = []


@contextmanager
def writing(database: Database) -> Iterator[Page]:
    """A transaction that appends: all of the block is on the disk when it ends, or nothing."""
    with database.writing() as connection:
        # On PostgreSQL this row is the lock that SQLite has by itself.
        head = connection.execute(select(HEAD).with_for_update()).one_or_none()
        if head is None:
            connection.execute(insert(HEAD), {"one": 1, "number": -1, "time": 0, "digest": NOTHING, "held": None})
            head = connection.execute(select(HEAD).with_for_update()).one()
        page = Page(connection, head.number, head.time, head.digest, head.held, database.now(connection))
        yield page
        page.write()
