"""Deletion requests over time: reading them, and batching what arrives in one window."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import MAX_COUNT, Floats, InputError, number, numbers, shown
from accountant.tables import Table

_COLUMNS: Final = {
    "time": ("time", "date", "timestamp", "arrival"), "points": ("points", "count"), "joined": ("joined", "inserted"),
}  # fmt: skip
_ALLOWED: Final = "time (or date, timestamp, arrival) and, if wanted, points (or count) and joined (or inserted)"
#: The largest file that is read; a million requests are some 25 MB.
_MAX_BYTES: Final = 1 << 26
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Years 1 to 8307 as seconds from 1970. The Unix clock in seconds lies inside, and in milliseconds outside, which catches it.
_EARLIEST, _LATEST = -6.3e10, 2e11
#: Shortest and longest window or deadline in seconds; the longest is some 300 years.
SHORTEST, LONGEST = 1e-3, 1e10


class Arrival(NamedTuple):
    """A deletion request: when it came, in seconds, and how many points it deletes; ``joined``: records that join then, before.

    0 points are no request, and have records that join.
    """

    time: float
    points: int = 1
    #: The seconds count from 1970-01-01 UTC and are shown as a date.
    dated: bool = False
    joined: int = 0


def read_requests(path: str | PathLike[str], *, name: str | None = None) -> list[Arrival]:
    """The requests in a CSV file with a header: a time column and, if wanted, the number of points (default 1).

    With a column joined, records join, and points may be 0 where some do.

    Times are ISO 8601 dates (without an offset: UTC) or seconds from 0, one kind throughout, and never fall. InputError names
    the line of the file, which it calls ``name`` (default: its path).
    """
    called = str(path) if name is None else name
    if os.path.isfile(path) and os.path.getsize(path) > _MAX_BYTES:
        raise InputError(f"requests file {called} must be at most {_MAX_BYTES} bytes")
    table = Table(path, name=called, what="requests file", plain=True)
    names = _header(f"requests file {called}", table.columns)
    arrivals: list[Arrival] = []
    for row in table.rows():
        if row.fault is not None:
            raise table.refusal(row.line, row.fault)
        where = f"requests file {called}, line {row.line}"
        cells = {role: row.cells[name] for role, name in names.items()}
        time, dated = _time(where, cells["time"], arrivals[-1].dated if arrivals else None)
        if arrivals and time < arrivals[-1].time:
            raise InputError(f"{where}: times must be sorted, none before that of the line above, got {quoted(cells['time'])}")
        joined = _count(where, "joined", cells["joined"], 0) if "joined" in cells else 0
        points = _count(where, "points", cells["points"], 0 if joined else 1) if "points" in cells else 1
        arrivals.append(Arrival(time, points, dated, joined))
    return arrivals


def _header(where: str, row: list[str]) -> dict[str, str]:
    """The name of each known column."""
    roles = {name: role for role, names in _COLUMNS.items() for name in names}
    found: dict[str, str] = {}
    for text in row:
        role = roles.get(text.strip().lower())
        if role is None:
            raise InputError(f"{where}: column {quoted(text)} is unknown: the header may name {_ALLOWED}")
        if role in found:
            raise InputError(f"{where}: columns {quoted(found[role])} and {quoted(text)} both give the {role}: keep one")
        found[role] = text
    if "time" not in found:
        raise InputError(f"{where}: the time column is missing: the header may name {_ALLOWED}")
    return found


def _time(where: str, text: str, dated: bool | None) -> tuple[float, bool]:
    """Seconds, and whether ``text`` is a date; ``dated`` is what the lines above say, None: nothing yet."""
    # Eight digits may be meant as a date, and as seconds 20240131 and 20240201 would be 70 seconds apart.
    if dated is None and re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])[0-3]\d", text):
        raise InputError(f"{where}: time {text} may be a date or seconds: write it with hyphens or with a decimal point")
    for kind, parse, earliest in ((False, float, 0.0), (True, _date, _EARLIEST)):
        if dated in (None, kind):
            try:
                seconds = parse(text)
            except ValueError:
                continue
            if not earliest <= seconds <= _LATEST:
                number(f"{where}: time in seconds", seconds, at_least=earliest, at_most=_LATEST)
            return seconds, kind
    allowed = {None: "an ISO 8601 date or seconds", True: "an ISO 8601 date, as above", False: "seconds, as above"}[dated]
    raise InputError(f"{where}: time must be {allowed}, got {quoted(text)}")


def _date(text: str) -> float:
    """Seconds from 1970; without an offset the date is in UTC."""
    instant = datetime.fromisoformat(text)
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH).total_seconds()


def _count(where: str, name: str, text: str, least: int) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_COUNT))
    if not digits or not least <= int(text) <= MAX_COUNT:
        raise InputError(f"{where}: {name} must be a whole number from {least}, got {quoted(text)}")
    return int(text)


def quoted(text: str) -> str:
    """What was typed, as far as a refusal needs it."""
    return repr(text if len(text) <= 40 else text[:40] + "...")


class Batched(NamedTuple):
    """Points of every processing (k,), its times, the longest wait, and records that join before each."""

    points: NDArray[np.int64]
    times: Floats | None
    wait: float | None
    joined: NDArray[np.int64]


@dataclass(frozen=True)
class Queue:
    """Checked requests: points and records that join (k,) int64 and, if they have any, times (k,) that never fall."""

    points: NDArray[np.int64]
    times: Floats | None
    dated: bool
    joined: NDArray[np.int64]

    @classmethod
    def of(cls, requests: Sequence[Arrival] | Sequence[int], most: int) -> Queue:
        if not isinstance(requests, Sequence | np.ndarray):
            raise InputError(f"requests must be a list of arrivals or of numbers of points, got {requests!r}")
        if not len(requests):
            raise InputError("requests must have at least one entry, got none")
        times: Floats | None = None
        counts: Sequence[Any] = requests
        joining: Sequence[int] = [0]
        if isinstance(requests[0], Arrival):
            arrivals = [request for request in requests if isinstance(request, Arrival)]
            if len(arrivals) < len(requests):
                raise InputError("requests must all be arrivals or all be numbers of points, got a mix")
            if len({arrival.dated for arrival in arrivals}) > 1:
                raise InputError("requests must all be dated or all be in seconds, got a mix")
            counts, joining = [arrival.points for arrival in arrivals], [arrival.joined for arrival in arrivals]
            times = numbers("arrival times", [arrival.time for arrival in arrivals], at_least=_EARLIEST, at_most=_LATEST)
            if np.any(np.diff(times) < 0):
                at = int(np.argmax(np.diff(times) < 0)) + 1
                raise InputError(f"arrival times must be sorted, got {shown(times[at])} after {shown(times[at - 1])}")
        joined = np.broadcast_to(numbers("joined", joining, at_least=0, at_most=MAX_COUNT, whole=True), (len(requests),))
        points = numbers("points", counts, at_least=0 if joined.any() else 1, at_most=MAX_COUNT, whole=True)
        if points.ndim != 1:
            raise InputError(f"requests must be a list of arrivals or of numbers of points, got shape {points.shape}")
        if np.any((points == 0) & (joined == 0)):
            raise InputError("points must be at least 1 where no records join, got 0")
        if not points.sum() <= most + joined.sum():
            more = f" and {joined.sum():.0f} that join" if joined.any() else ""
            raise InputError(f"requests must delete at most n = {most} points{more} in all, got {shown(float(points.sum()))}")
        dated = times is not None and arrivals[0].dated
        return cls(points.astype(np.int64), times, dated, joined.astype(np.int64))

    def batched(self, window: float | None) -> Batched:
        """What is processed together, when, and the longest wait; who joins in a window joins before what arrives in it goes.

        What arrives in [t0 + k w, t0 + (k + 1) w) is processed at the end of it; without a window, what arrives at one time.
        """
        if self.times is None:
            return Batched(self.points, None, None, self.joined)
        since = self.times - self.times[0]
        if window is None:
            first = np.flatnonzero(np.diff(since, prepend=-1.0) > 0)
            return Batched(np.add.reduceat(self.points, first), self.times[first], 0.0, np.add.reduceat(self.joined, first))
        at = np.floor(since / window)
        # The quotient is rounded; the products decide.
        at -= at * window > since
        at += (at + 1) * window <= since
        first = np.flatnonzero(np.diff(at, prepend=-1.0) > 0)
        ends = (at[first] + 1) * window
        wait = min(float((ends - since[first]).max()), window)
        times, joined = self.times[0] + ends, np.add.reduceat(self.joined, first)
        return Batched(np.add.reduceat(self.points, first), times, wait, joined)
