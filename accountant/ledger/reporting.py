"""What an outsider is told of a ledger: counts, delays, what holds, and requests one by one, in constant memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, select

from accountant.ledger.database import Database, streamed
from accountant.ledger.schema import CLOSED, ENTRIES, FAILED, REFUSED, RELEASED, REQUESTS, RUNS
from accountant.ledger.staging import DamageError
from accountant.ledger.state import OPEN, Status, status_in
from accountant.numerics import integer

#: Requests and runs that are listed unless told otherwise.
REQUESTS_LISTED: Final = 1000
_INTENT, _SAVED = ENTRIES.alias("intent"), ENTRIES.alias("saved")
_BOTH: Final = REQUESTS.outerjoin(RUNS, and_(REQUESTS.c.run == RUNS.c.number, RUNS.c.state.in_(CLOSED)))


@dataclass(frozen=True, kw_only=True)
class ReportedRequest:
    """One request. Times: microseconds since 1970, UTC.

    subject: the keyed hash, which names nobody without the key. answered: when the model without its records was in its place
    and the closing entry written, None: not yet. run, what, certificate: of the run that answered it. reason: of a refusal.
    """

    number: int
    subject: str
    points: int
    received: int
    due: int
    urgent: bool
    state: str
    run: int | None
    what: str | None
    answered: int | None
    certificate: str | None
    reason: str | None = None

    def to_dict(self, *, subject: bool = False) -> dict[str, Any]:
        """JSON types; the keyed hash only where it is asked for."""
        found = asdict(self)
        if not subject:
            del found["subject"]
        return found


@dataclass(frozen=True, kw_only=True)
class ReportedRun:
    """A run that was closed. declared: nobody could look into what ran. without: why it has no certificate."""

    number: int
    what: str
    closed: int
    requests: int
    points: int
    steps: int
    sigma: float | None
    epsilon: float | None
    delta: float | None
    backend: str
    declared: bool
    version: str
    statement: str
    assumptions: tuple[str, ...]
    certificate: str | None

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "assumptions": list(self.assumptions)}


@dataclass(frozen=True, kw_only=True)
class Delays:
    """From receipt to answer, of all that were answered, in seconds; None: none was.

    median: half of them or more took no longer. late: answered after they were due; latest: how long after, at worst.
    overdue_by: how long the oldest of those has been due that are not answered yet.
    """

    answered: int
    median: float | None
    worst: float | None
    late: int
    latest: float | None
    overdue_by: float | None


class Report:
    """One state of a ledger, whatever is written meanwhile; made by :meth:`~accountant.ledger.Ledger.report`.

    status: as ``status`` tells it. begun: when the ledger began. delays: from receipt to answer. runs: how many were closed.
    declared: of these, those that nobody could look into. failed: runs that came to nothing. certificates: how many there are.
    unpurged: runs after which it is not yet forgotten who had which records. listed: how many requests ``latest`` gives.
    holding: the runs whose guarantees hold now: the last learning again, and the last unlearning since.
    """

    def __init__(self, connection: Connection, database: Database, listed: int) -> None:
        self._connection, self.listed = connection, listed
        self.status: Status = status_in(connection, database)
        self.begun = int(connection.scalar(select(ENTRIES.c.time).where(ENTRIES.c.number == 0)) or 0)
        self.delays = self._delays()
        count = select(func.count()).select_from(RUNS)
        closed = count.where(RUNS.c.state.in_(CLOSED))
        self.runs = int(connection.scalar(closed) or 0)
        self.failed = int(connection.scalar(count.where(RUNS.c.state == FAILED)) or 0)
        self.unpurged = int(connection.scalar(count.where(RUNS.c.state == RELEASED)) or 0)
        self.certificates = int(connection.scalar(count.where(RUNS.c.certificate.is_not(None))) or 0)
        # The body is canonical JSON, where no text within can look like this.
        told = ENTRIES.c.body.contains('"declared":true', autoescape=True)
        said = select(func.count()).select_from(RUNS.join(ENTRIES, ENTRIES.c.number == RUNS.c.number))
        self.declared = int(connection.scalar(said.where(RUNS.c.state.in_(CLOSED), told)) or 0)
        self.holding = self._holding()

    def overdue(self) -> Iterator[ReportedRequest]:
        """All requests that are past their due date and not answered, the oldest date first."""
        late = self._late()
        return self._requests(_query().where(late).order_by(REQUESTS.c.due, REQUESTS.c.number), {})

    def latest(self) -> Iterator[ReportedRequest]:
        """The last ``listed`` requests, the last one first; those that are overdue are left out here."""
        columns = REQUESTS.c
        last = select(columns.number).order_by(columns.number.desc()).limit(self.listed).subquery()
        first = self._connection.scalar(select(func.min(last.c.number)))
        if first is None:
            return iter(())
        query = _query().where(columns.number >= first, ~self._late()).order_by(columns.number.desc())
        return self._requests(query, self._reasons(int(first)))

    def latest_runs(self) -> Iterator[ReportedRun]:
        """The last ``listed`` runs that were closed, the last one first."""
        closed = _runs().where(RUNS.c.state.in_(CLOSED))
        with closing(streamed(self._connection, closed.order_by(RUNS.c.number.desc()).limit(self.listed))) as rows:
            for row in rows:
                yield _run(row)

    def to_dict(self) -> dict[str, Any]:
        """JSON types, without the lists of requests and runs, and without the machine that works now."""
        status = self.status.to_dict()
        del status["worker"]
        return {
            "status": status, "begun": self.begun, "delays": asdict(self.delays), "runs": self.runs,
            "failed": self.failed, "declared": self.declared, "certificates": self.certificates, "unpurged": self.unpurged,
            "listed": self.listed, "holding": [run.to_dict() for run in self.holding],
        }  # fmt: skip

    def _late(self) -> Any:
        return REQUESTS.c.state.in_(OPEN) & (REQUESTS.c.due < self.status.now)

    def _requests(self, query: Select[Any], reasons: dict[int, str]) -> Iterator[ReportedRequest]:
        with closing(streamed(self._connection, query)) as rows:
            for row in rows:
                yield ReportedRequest(**row._mapping, reason=reasons.get(row.number))

    def _reasons(self, first: int) -> dict[int, str]:
        """Why requests from this number on were refused."""
        query = select(ENTRIES.c.body).where(ENTRIES.c.number >= first, ENTRIES.c.kind == REFUSED)
        with closing(streamed(self._connection, query)) as rows:
            bodies = (json.loads(body) for (body,) in rows)
            return {body["request"]: body["reason"] for body in bodies if body["request"] >= first}

    def _delays(self) -> Delays:
        connection, took = self._connection, RUNS.c.closed - REQUESTS.c.received
        answered = REQUESTS.join(RUNS, REQUESTS.c.run == RUNS.c.number)
        closed, after = RUNS.c.state.in_(CLOSED), RUNS.c.closed - REQUESTS.c.due
        count, worst = connection.execute(select(func.count(), func.max(took)).select_from(answered).where(closed)).one()
        late, latest = connection.execute(
            select(func.count(), func.max(after)).select_from(answered).where(closed, after > 0)
        ).one()
        # The upper one of two in the middle.
        middle = select(took).select_from(answered).where(closed).order_by(took).offset(count // 2).limit(1)
        due = connection.scalar(select(func.min(REQUESTS.c.due)).where(self._late()))
        return Delays(
            answered=int(count),
            median=_seconds(connection.scalar(middle)),
            worst=_seconds(worst),
            late=int(late),
            latest=_seconds(latest),
            overdue_by=None if due is None else _seconds(self.status.now - due),
        )

    def _holding(self) -> tuple[ReportedRun, ...]:
        def last(what: str, after: int) -> ReportedRun | None:
            chosen = _runs().where(RUNS.c.state.in_(CLOSED), RUNS.c.what == what, RUNS.c.number > after)
            row = self._connection.execute(chosen.order_by(RUNS.c.number.desc()).limit(1)).one_or_none()
            return None if row is None else _run(row)

        again = last("refit", -1)
        since = last("unlearn", -1 if again is None else again.number)
        return tuple(run for run in (again, since) if run is not None)


@contextmanager
def reported(database: Database, listed: int) -> Iterator[Report]:
    """See :meth:`accountant.ledger.Ledger.report`."""
    integer("requests", listed, at_least=0)
    with database.reading() as connection:
        yield Report(connection, database, listed)


def _query() -> Select[Any]:
    columns = (REQUESTS.c[name] for name in ("number", "subject", "points", "received", "due", "urgent", "state", "run"))
    return select(*columns, RUNS.c.what, RUNS.c.closed.label("answered"), RUNS.c.certificate).select_from(_BOTH)


def _runs() -> Select[Any]:
    columns = (RUNS.c.number, RUNS.c.what, RUNS.c.closed, RUNS.c.certificate)
    tables = RUNS.join(_INTENT, _INTENT.c.number == RUNS.c.number).join(_SAVED, _SAVED.c.number == RUNS.c.saved)
    return select(*columns, _INTENT.c.body.label("intent"), _SAVED.c.body.label("saved")).select_from(tables)


def _run(row: Any) -> ReportedRun:
    try:
        return _read(row, json.loads(row.intent), json.loads(row.saved))
    except (ValueError, KeyError, TypeError):
        raise DamageError(
            f"the entries of run {row.number} cannot be read: accountant ledger verify says what was changed"
        ) from None


def _read(row: Any, intent: dict[str, Any], saved: dict[str, Any]) -> ReportedRun:
    return ReportedRun(
        number=row.number,
        what=row.what,
        closed=row.closed,
        requests=intent["count"],
        points=intent["plan"]["points"],
        steps=saved["steps"],
        sigma=intent["plan"]["sigma"],
        epsilon=saved["epsilon"],
        delta=saved["delta"],
        backend=intent["backend"],
        declared=intent["declared"],
        version=intent["version"],
        statement=saved["statement"],
        assumptions=tuple(saved["assumptions"]),
        certificate=row.certificate,
    )


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
