"""Deletion requests over time: reading them, durations, and batching what arrives in one window."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import MAX_COUNT, Floats, InputError, all_bytes, integer, number, numbers, shown

_COLUMNS: Final = {
    "time": ("time", "date", "timestamp", "arrival"), "points": ("points", "count"), "joined": ("joined", "inserted"),
}  # fmt: skip
_ALLOWED: Final = "time (or date, timestamp, arrival) and, if wanted, points (or count) and joined (or inserted)"
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
#: What a rate may be per, and the unit of that; a year has 365 days.
_PER: Final = {
    "second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "year": "y", **{unit: unit for unit in _UNITS if unit}
}  # fmt: skip
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: The largest file that is read; a million requests are some 25 MB.
_MAX_BYTES: Final = 1 << 26
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


def read_requests(path: str | PathLike[str]) -> list[Arrival]:
    """The requests in a CSV file with a header: a time column and, if wanted, the number of points (default 1).

    With a column joined, records join, and points may be 0 where some do.

    Times are ISO 8601 dates (without an offset: UTC) or seconds from 0, one kind throughout, and never fall. InputError names
    the line.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    columns: dict[str, int] = {}
    arrivals: list[Arrival] = []
    try:
        for row in reader:
            if not row:
                continue
            where = f"requests file {path}, line {reader.line_num}"
            if not columns:
                columns = _header(where, row)
                continue
            if len(row) != len(columns):
                raise InputError(f"{where}: a line must have as many values as the header, {len(columns)}, got {len(row)}")
            text = row[columns["time"]].strip()
            time, dated = _time(where, text, arrivals[-1].dated if arrivals else None)
            if arrivals and time < arrivals[-1].time:
                raise InputError(f"{where}: times must be sorted, none before that of the line above, got {_quoted(text)}")
            joined = _count(where, "joined", row[columns["joined"]].strip(), 0) if "joined" in columns else 0
            least = 0 if joined else 1
            points = _count(where, "points", row[columns["points"]].strip(), least) if "points" in columns else 1
            arrivals.append(Arrival(time, points, dated, joined))
    except csv.Error as error:
        raise InputError(f"requests file {path}, line {reader.line_num}: this is not CSV: {error}") from None
    if not arrivals:
        what = "has a header but no requests" if columns else "is empty"
        raise InputError(f"requests file {path} {what}: it must have a header, such as time,points, and a line per request")
    return arrivals


def _text(path: str | PathLike[str]) -> str:
    try:
        text = all_bytes("requests", path, _MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"requests file {path} must be CSV text in UTF-8: {error}") from None
    if "\0" in text:
        raise InputError(f"requests file {path} must be CSV text in UTF-8, got a zero byte")
    return text


def _header(where: str, row: list[str]) -> dict[str, int]:
    """Where each known column stands."""
    roles = {name: role for role, names in _COLUMNS.items() for name in names}
    found: dict[str, int] = {}
    for at, text in enumerate(row):
        role = roles.get(text.strip().lower())
        if role is None:
            raise InputError(f"{where}: column {_quoted(text)} is unknown: the header may name {_ALLOWED}")
        if role in found:
            raise InputError(f"{where}: columns {_quoted(row[found[role]])} and {_quoted(text)} both give the {role}: keep one")
        found[role] = at
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
    raise InputError(f"{where}: time must be {allowed}, got {_quoted(text)}")


def _date(text: str) -> float:
    """Seconds from 1970; without an offset the date is in UTC."""
    instant = datetime.fromisoformat(text)
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - EPOCH).total_seconds()


def _count(where: str, name: str, text: str, least: int) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_COUNT))
    if not digits or not least <= int(text) <= MAX_COUNT:
        raise InputError(f"{where}: {name} must be a whole number from {least}, got {_quoted(text)}")
    return int(text)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def duration(value: str | float, *, name: str = "duration") -> float:
    """Seconds in "7d", "12h", "30m", "90s", "2w", "1.5d", "1y" (365 days) or a plain number; ``name`` is for the refusal."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*([smhdwy]?)\s*", value)
        if match is None:
            raise InputError(f"{name} must be seconds, or a number with s, m, h, d, w or y, as in 7d, got {_quoted(value)}")
        value = float(match[1]) * _UNITS[match[2]]
    return number(name, value, at_least=SHORTEST, at_most=LONGEST)


class Expected(NamedTuple):
    """How many requests are expected, and in how many seconds (None: not known)."""

    requests: int
    seconds: float | None

    def windows(self, window: float) -> tuple[int, int]:
        """Processings, and requests in each, where what arrives in windows of so many seconds is processed together."""
        assert self.seconds is not None
        each = max(round(self.requests * min(window / self.seconds, 1.0)), 1)
        return -(-self.requests // each), each


def expected_requests(requests: int | str, over: str | float | None = None, *, over_name: str = "over") -> Expected:
    """The number of requests, rounded up, of a rate such as "20/week" or "3/day" in a time such as "1y"; or a plain number.

    A rate needs the time; with a plain number it may be given, and is what the requests are spread over. over_name: what a
    refusal calls the time. Raises InputError for anything else.

    >>> expected_requests("20/week", "1y").requests, expected_requests("3/day", "2w").requests, expected_requests(100).requests
    (1043, 42, 100)
    """
    seconds = None if over is None else duration(over, name=over_name)
    rate = _rate(requests) if isinstance(requests, str) else None
    if rate is None:
        count: Any = int(requests) if isinstance(requests, str) else requests
        return Expected(integer("requests", count, at_least=1, at_most=MAX_COUNT), seconds)
    if seconds is None:
        raise InputError(f"{over_name} must be given with a rate of requests, such as 1y, got requests={requests}")
    total = rate * seconds
    if not 0 < total <= MAX_COUNT:
        raise InputError(f"requests must come to 1 to {MAX_COUNT} in that time, got {requests} for {over}")
    # A product of decimals that is whole but for rounding is that number.
    return Expected(max(math.ceil(total * (1 - 1e-12)), 1), seconds)


def _rate(text: str) -> float | None:
    """Requests per second in "20/week"; None for a plain whole number."""
    if re.fullmatch(r"\s*[0-9]{1,16}\s*", text):
        return None
    match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*(?:/|per)\s*([a-z]+)\s*", text)
    word = "" if match is None else match[2]
    unit = _PER.get(word.removesuffix("s") if len(word) > 2 else word)
    if match is None or unit is None or not float(match[1]) > 0:
        raise InputError(
            f"requests must be a whole number from 1, or a rate > 0 per second, minute, hour, day, week or year, as 20/week, "
            f"got {_quoted(text)}"
        )
    return float(match[1]) / _UNITS[unit]


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
