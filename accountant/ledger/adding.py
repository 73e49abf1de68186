"""Receiving requests: each is recorded once, whoever asks at the same time, or none of a list is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import insert, select, update

from accountant.ledger.backends import Row
from accountant.ledger.book import Page
from accountant.ledger.database import in_parts
from accountant.ledger.schema import CLOSED, DONE, ENTRIES, REFUSED, REQUESTS, RUNS, WAITING
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
    """A request for a subject with these rows, None where nobody of that name is known (any more). former: keyed hashes under
    which he may have asked before the key was replaced.
    """

    subject: str
    hashed: str
    rows: Sequence[Row] | None
    former: Sequence[str] = ()


def receive(page: Page, asked: Sequence[Asked], *, due: int, urgent: bool, operator: str) -> list[Added]:
    """Entries and requests for those that are new; InputError, with nothing recorded, for a subject that nobody knows."""
    before = _before(page, [hashed for each in asked for hashed in (each.hashed, *each.former)])
    found: list[Added] = []
    new: list[dict[str, object]] = []
    for subject, hashed, rows, former in asked:
        there = max((before[each] for each in (hashed, *former) if each in before), default=None)
        # Until a release has been purged the rows are known, but gone.
        if there is not None and (rows is None or there[2] != DONE):
            page.append("duplicate", {"subject": there[3], "first": there[0], "operator": operator})
            found.append(Added(subject, there[0], False, there[1], there[2] in CLOSED))
            continue
        if rows is None:
            raise InputError(f"subject must be one that the ledger knows{_once(page)}, got {subject!r}: nothing was recorded")
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
        before[hashed] = (entry.number, due, "", hashed)
        found.append(Added(subject, entry.number, True, due))
    if new:
        page.connection.execute(insert(REQUESTS), new)
    return found


def _once(page: Page) -> str:
    """What else may be the matter with one who is not known."""
    rotated = page.connection.scalar(select(ENTRIES.c.number).where(ENTRIES.c.kind == "rotated").limit(1))
    return "" if rotated is None else " (who was answered before the key was replaced is not known any more)"


def _before(page: Page, hashes: Sequence[str]) -> dict[str, tuple[int, int, str, str]]:
    """The latest request, not refused, of each of these: number, due, the state of its run, if it has one, and this hash."""
    found: dict[str, tuple[int, int, str, str]] = {}
    columns = (REQUESTS.c.subject, REQUESTS.c.number, REQUESTS.c.due, RUNS.c.state)
    both = REQUESTS.outerjoin(RUNS, REQUESTS.c.run == RUNS.c.number)
    for some in in_parts(hashes):
        query = select(*columns).select_from(both).where(REQUESTS.c.subject.in_(some), REQUESTS.c.state != REFUSED)
        for subject, number, due, state in page.connection.execute(query.order_by(REQUESTS.c.number)):
            found[subject] = (number, due, state or "", subject)
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


def refuse(page: Page, subject: str, hashes: Sequence[str], *, reason: str, operator: str) -> int:
    """The entry of a waiting request that is refused, and why; InputError where the subject has none that waits."""
    waits = REQUESTS.c.subject.in_(hashes) & (REQUESTS.c.state == WAITING)
    number = page.connection.scalar(select(REQUESTS.c.number).where(waits))
    if number is None:
        raise InputError(f"subject must have a request that waits, got {subject!r}")
    page.append("refused", {"request": number, "reason": reason, "operator": operator})
    page.connection.execute(update(REQUESTS).where(waits).values(state=REFUSED))
    return int(number)
