"""What waiting saves and when learning again is cheaper: what the backend foresees, of numbers of records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from accountant.ledger.backends import Backend, Following, Foreseeing, Plan, Refitting, RunFailedError
from accountant.ledger.database import Database
from accountant.ledger.past import certifying, measured, past_of
from accountant.ledger.schema import ENTRIES, REQUESTS, WAITING
from accountant.ledger.settings import Settings
from accountant.ledger.when import (
    cheapest_cycle,
    estimated_seconds,
    expected_points,
    latest_start,
    refit_cheaper,
    requests_before_refit,
    saving,
)
from accountant.numerics import UnreachableError

#: Requests that are looked ahead, and records that are looked at one by one.
AHEAD: Final = 60
SINGLY: Final = 60
#: Deadlines over which the rate of requests is measured.
_RATE_OVER: Final = 4


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What what waits takes now, what it will take at the last moment, and how requests and learning again compare.

    Counted in noisy steps, of records, not of subjects; None: not known, or nothing of the kind.
    points: records that wait. expected: that are asked for besides until ``start`` (microseconds since 1970), the last moment
    for a run, if they come as fast as within the last four deadlines.
    now: steps for all that waits, in one run. merged: for that and what is expected, in one run at ``start``. apart: for what
    waits now and what is expected then, in two. singly: for the records that wait in a run each (the first ``singly_of``).
    seconds: of ``now``, estimated.
    refit: of learning again. refit_cheaper: whether that is less than ``now``. requests_left: runs as large as this one, or of
    one record where none waits, one after the other from now on, each of which takes no more than learning again; None: as
    many as were looked at (``ahead``). cycle: after how many of them learning again costs least in the long run.
    why: what the backend says where it foresees nothing.
    """

    points: int
    expected: int = 0
    start: int | None = None
    now: int | None = None
    merged: int | None = None
    apart: int | None = None
    singly: int | None = None
    singly_of: int = 0
    seconds: float | None = None
    refit: int | None = None
    refit_cheaper: bool = False
    requests_left: int | None = None
    cycle: int | None = None
    ahead: int = 0
    why: str | None = None

    @property
    def saving_by_waiting(self) -> float | None:
        """How many times as many steps what waits and what is expected take in two runs as in one."""
        return None if self.apart is None or self.merged is None else saving(self.apart, self.merged)

    @property
    def saving_by_merging(self) -> float | None:
        """How many times as many steps the records that wait take one by one as in one run; None if not all were looked at."""
        whole = self.singly_of == self.points and self.points > 1
        return saving(self.singly, self.now) if whole and self.singly is not None and self.now is not None else None

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "saving_by_waiting": self.saving_by_waiting, "saving_by_merging": self.saving_by_merging}


def outlook_of(database: Database, settings: Settings, backend: Backend) -> Outlook:
    """The outlook of a ledger; reads its tables and, through the backend, the model."""
    with database.reading() as connection:
        now = database.now(connection)
        if isinstance(backend, Following):
            backend.follow(past_of(connection))
        points, due = _waiting(connection)
        ran, certificate = measured(connection, "unlearn"), certifying(connection)
        rate = _rate(connection, now, settings.deadline)
    again = _refit_plan(backend)
    refit = None if again is None else again.steps
    if not isinstance(backend, Foreseeing):
        return Outlook(points=points, refit=refit, why=f"backend {settings.backend} does not say what requests will take")
    try:
        first = backend.foreseen([points or 1])
    except (UnreachableError, RunFailedError) as error:
        return Outlook(points=points, refit=refit, why=str(error))
    steps = first[0] if first else None
    seconds = None if steps is None else _estimated(steps, again, ran, certificate)
    start = due and latest_start(due, seconds=seconds, margin=settings.margin, floor=settings.floor)
    expected = 0 if start is None else expected_points(rate[0], over=rate[1], ahead=(start - now) / 1e6)
    each = backend.foreseen([points or 1] * AHEAD)
    known = refit is not None
    return Outlook(
        points=points,
        expected=expected,
        start=start,
        now=steps if points else None,
        seconds=seconds if points else None,
        refit=refit,
        refit_cheaper=bool(points) and refit_cheaper(steps, refit),
        requests_left=requests_before_refit(each, refit=refit, ends=len(each) < AHEAD) if known else None,  # type: ignore[arg-type]
        cycle=cheapest_cycle(each, refit=refit) if known else None,  # type: ignore[arg-type]
        ahead=AHEAD,
        **(_together(backend, points, expected) if points else {}),
    )


def _together(backend: Foreseeing, points: int, expected: int) -> dict[str, Any]:
    singly = min(points, SINGLY)
    return {
        "merged": _sum(backend, [points + expected]),
        "apart": _sum(backend, [points, expected]) if expected else None,
        "singly": _sum(backend, [1] * singly),
        "singly_of": singly,
    }


def _sum(backend: Foreseeing, points: Sequence[int]) -> int | None:
    """Steps in all; None where some request cannot be answered."""
    found = backend.foreseen(points)
    return sum(found) if len(found) == len(points) else None


def _refit_plan(backend: Backend) -> Plan | None:
    if not isinstance(backend, Refitting):
        return None
    try:
        return backend.plan_refit([])
    except RunFailedError:
        return None


def _estimated(steps: int, again: Plan | None, ran: list[tuple[int, float]], certificate: float | None) -> float | None:
    return estimated_seconds(steps, planned=_as_learning(again, steps), measured=ran, certificate=certificate)


def _as_learning(again: Plan | None, steps: int) -> float | None:
    """Seconds of so many steps, each of which takes what one of learning again does."""
    return None if again is None or again.seconds is None else again.seconds * steps / max(again.steps, 1)


def _waiting(connection: Connection) -> tuple[int, int | None]:
    columns = REQUESTS.c
    query = select(func.coalesce(func.sum(columns.points), 0), func.min(columns.due)).where(columns.state == WAITING)
    points, due = connection.execute(query).one()
    return int(points), due


def _rate(connection: Connection, now: int, deadline: float) -> tuple[int, float]:
    """Records that were asked for, and the seconds within which: the last four deadlines, or since the ledger began.

    A ledger that is younger than one deadline counts as that old: what comes on its first day says little.
    """
    begun = connection.scalar(select(ENTRIES.c.time).where(ENTRIES.c.number == 0)) or now
    since = max(int(begun), now - int(_RATE_OVER * deadline * 1e6))
    asked = select(func.coalesce(func.sum(REQUESTS.c.points), 0)).where(REQUESTS.c.received >= since)
    return int(connection.scalar(asked) or 0), max((now - since) / 1e6, deadline)
