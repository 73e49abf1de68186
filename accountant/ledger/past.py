"""The runs that a ledger has closed, as backends and estimates of time need them."""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import Connection, func, select

from accountant.ledger.backends import Past
from accountant.ledger.schema import CLOSED, ENTRIES, RUNS, SAVED

#: Measured runs that an estimate of time looks at.
_LAST: Final = 20


def past_of(connection: Connection, *, and_run: int | None = None, until: int | None = None) -> list[Past]:
    """All closed runs, in order; and_run: one that is saved, and is about to be closed, besides. until: up to this run."""
    intent, saved = ENTRIES.alias("intent"), ENTRIES.alias("saved")
    closed = RUNS.c.state.in_(CLOSED) | ((RUNS.c.state == SAVED) & (RUNS.c.number == and_run))
    query = (
        select(RUNS.c.what, intent.c.body, saved.c.body)
        .join(intent, intent.c.number == RUNS.c.number)
        .join(saved, saved.c.number == RUNS.c.saved)
        .where(closed)
        .order_by(RUNS.c.number)
    )
    if until is not None:
        query = query.where(RUNS.c.number <= until)
    found = []
    for what, begun, ended in connection.execution_options(yield_per=1000).execute(query):
        found.append(Past(what=what, points=json.loads(begun)["plan"]["points"], steps=json.loads(ended)["steps"]))
    return found


def measured(connection: Connection, what: str) -> list[tuple[int, float]]:
    """(steps, seconds) of the last runs of this kind."""
    last = (
        select(RUNS.c.number, RUNS.c.saved)
        .where(RUNS.c.what == what, RUNS.c.saved.is_not(None))
        .order_by(RUNS.c.number.desc())
        .limit(_LAST)
        .subquery()
    )
    # The entry of what ran stands between those two, with whatever was received meanwhile.
    between = ENTRIES.c.number.between(last.c.number, last.c.saved)
    query = select(ENTRIES.c.body).join(last, between).where(ENTRIES.c.kind == "run").order_by(ENTRIES.c.number)
    return [(body["steps"], body["seconds"]) for body in map(json.loads, connection.scalars(query))]


def certifying(connection: Connection) -> float | None:
    """The most seconds that one of the last certificates took; None where there was none."""
    last = select(RUNS.c.saved).where(RUNS.c.certificate.is_not(None)).order_by(RUNS.c.number.desc()).limit(_LAST).subquery()
    first = connection.scalar(select(func.min(last.c.saved)))
    if first is None:
        return None
    query = select(ENTRIES.c.body).where(ENTRIES.c.number > first, ENTRIES.c.kind == "released")
    took = [json.loads(body).get("seconds") for body in connection.scalars(query)]
    return max((seconds for seconds in took if seconds is not None), default=None)
