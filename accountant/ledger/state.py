"""What the tables say at a moment, without reading the chain or a model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from accountant.ledger.database import Database
from accountant.ledger.lease import told, worker
from accountant.ledger.schema import CLOSED, ENTRIES, HEAD, LEDGER, REFUSED, RELEASED, REQUESTS, RUNNING, RUNS, SAVED, WAITING
from accountant.ledger.settings import Settings

#: States of requests that are not answered yet.
OPEN = (WAITING, RUNNING, SAVED)
#: Runs that did without a certificate.
UNCERTIFIED = (RUNS.c.what == "unlearn") & RUNS.c.state.in_(CLOSED) & RUNS.c.certificate.is_(None)


@dataclass(frozen=True, kw_only=True)
class Status:
    """Counts of requests by state, and what is due. Times: microseconds since 1970, UTC; None: nothing of the kind.

    waiting, running, saved, released, refused: requests in this state; points: records of those that are not answered yet.
    overdue: not answered yet, and past their due date; urgent: waiting, to be done at once. earliest_due: of the unanswered.
    model: SHA-256 of the model file as it should be. head: NUMBER:DIGEST of the last entry, to be kept elsewhere: ``verify``
    finds with it what was cut off at the end. worker: who works now, and since when.
    """

    ledger: str
    now: int
    waiting: int
    running: int
    saved: int
    released: int
    refused: int
    points: int
    overdue: int
    urgent: int
    earliest_due: int | None
    deadline: float
    backend: str
    model: str
    head: str
    worker: str | None
    uncertified: int = 0

    @property
    def received(self) -> int:
        """All requests."""
        return self.waiting + self.running + self.saved + self.released + self.refused

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {"received": self.received, **asdict(self)}


def status_of(database: Database) -> Status:
    """The status of a ledger."""
    with database.reading() as connection:
        return status_in(connection, database)


def status_in(connection: Connection, database: Database) -> Status:
    """The same, in a transaction that has begun."""
    now, columns = database.now(connection), REQUESTS.c
    counts = {
        state: int(count) for state, count in connection.execute(select(columns.state, func.count()).group_by(columns.state))
    }
    not_done = columns.state.in_(OPEN)
    points, earliest = connection.execute(
        select(func.coalesce(func.sum(columns.points), 0), func.min(columns.due)).where(not_done)
    ).one()
    overdue = connection.scalar(select(func.count()).select_from(REQUESTS).where(not_done, columns.due < now))
    urgent = connection.scalar(select(func.count()).select_from(REQUESTS).where(columns.state == WAITING, columns.urgent))
    ledger, head, works = (
        connection.execute(select(LEDGER)).one(),
        connection.execute(select(HEAD)).one(),
        worker(connection),
    )
    settings = Settings.from_json(ledger.settings)
    return Status(
        ledger=ledger.id,
        now=now,
        **{state: counts.get(state, 0) for state in (*OPEN, RELEASED, REFUSED)},
        points=int(points),
        overdue=int(overdue or 0),
        urgent=int(urgent or 0),
        earliest_due=earliest,
        deadline=settings.deadline,
        backend=settings.backend,
        model=model_digest(connection),
        head=f"{head.number}:{head.digest}",
        worker=None if works is None else told(works),
        uncertified=int(connection.scalar(select(func.count()).select_from(RUNS).where(UNCERTIFIED)) or 0),
    )


def model_digest(connection: Connection) -> str:
    """SHA-256 of the model file as the last closed run left it."""
    closed = select(RUNS.c.digest).where(RUNS.c.state.in_(CLOSED)).order_by(RUNS.c.number.desc()).limit(1)
    found = connection.scalar(closed)
    if found is None:
        found = json.loads(connection.scalar(select(ENTRIES.c.body).where(ENTRIES.c.number == 0)) or "{}").get("model", "")
    return str(found)
