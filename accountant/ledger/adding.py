"""Receiving requests: each is recorded once, whoever asks at the same time, or none of a list is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import insert, select, update

from accountant.ledger.backends import Row
from accountant.ledger.book import Page
from accountant.ledger.database import in_parts
from accountant.ledger.schema import CLOSED, DONE, REFUSED, REQUESTS, RUNS, WAITING
from accountant.numerics import InputError


class Added(NamedTuple):
    """What became of a request. number: of the request; new: whether it is one, or was there before; due: microseconds; done:
    whether it has been answered.
    """

    subject: str
    number: int
    new: bool
    due: int
    done: bool = False


class Asked(NamedTuple):
    """A request for a subject with these rows, None where nobody of that name is known (any more)."""

    subject: str
    hashed: str
    rows: Sequence[Row] | None


def receive(page: Page, asked: Sequence[Asked], *, due: int, urgent: bool, operator: str) -> list[Added]:
    """Entries and requests for those that are new; InputError, with nothing recorded, for a subject that nobody knows."""
    before = _before(page, [each.hashed for each in asked])
    found: list[Added] = []
    new: list[dict[str, object]] = []
    for subject, hashed, rows in asked:
        there = before.get(hashed)
        # Until a release has been purged the rows are known, but gone.
        if there is not None and (rows is None or there[2] != DONE):
            page.append("duplicate", {"subject": hashed, "first": there[0], "operator": operator})
            found.append(Added(subject, there[0], False, there[1], there[2] in CLOSED))
            continue
        if rows is None:
            raise InputError(f"subject must be one that the ledger knows, got {subject!r}: nothing was recorded")
        body = {"subject": hashed, "points": len(rows), "due": due, "urgent": urgent, "operator": operator}
        entry = page.append("received", body)
        new.append(
            {
                "number": entry.number,
                "subject": hashed,
                "points": len(rows),
                "received": entry.time,
                "due": due,
                "urgent": urgent,
                "state": WAITING,
                "run": None,
            }
        )
        before[hashed] = (entry.number, due, None)
        found.append(Added(subject, entry.number, True, due))
    if new:
        page.connection.execute(insert(REQUESTS), new)
    return found


def _before(page: Page, hashes: Sequence[str]) -> dict[str, tuple[int, int, str | None]]:
    """The latest request, not refused, of each of these: number, due and the state of its run, if it has one."""
    found: dict[str, tuple[int, int, str | None]] = {}
    columns = (REQUESTS.c.subject, REQUESTS.c.number, REQUESTS.c.due, RUNS.c.state)
    both = REQUESTS.outerjoin(RUNS, REQUESTS.c.run == RUNS.c.number)
    for some in in_parts(hashes):
        query = select(*columns).select_from(both).where(REQUESTS.c.subject.in_(some), REQUESTS.c.state != REFUSED)
        for subject, number, due, state in page.connection.execute(query.order_by(REQUESTS.c.number)):
            found[subject] = (number, due, state)
    return found


def checked_subjects(subjects: Sequence[str] | Mapping[str, object]) -> list[str]:
    """A list of names, one or more; InputError for anything else."""
    if isinstance(subjects, str | bytes):
        raise InputError(f"subjects must be a list of names, got {subjects!r}")
    names = list(subjects)
    if not names:
        raise InputError("subjects must name one or more, got none")
    for name in names:
        if not isinstance(name, str) or not name:
            raise InputError(f"subjects must be text, got {name!r}")
    return names


def refuse(page: Page, subject: str, hashed: str, *, reason: str, operator: str) -> int:
    """The entry of a waiting request that is refused, and why; InputError where the subject has none that waits."""
    waits = (REQUESTS.c.subject == hashed) & (REQUESTS.c.state == WAITING)
    number = page.connection.scalar(select(REQUESTS.c.number).where(waits))
    if number is None:
        raise InputError(f"subject must have a request that waits, got {subject!r}")
    page.append("refused", {"request": number, "reason": reason, "operator": operator})
    page.connection.execute(update(REQUESTS).where(waits).values(state=REFUSED))
    return int(number)
