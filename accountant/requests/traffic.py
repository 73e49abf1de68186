"""How many requests are expected: durations and rates as people say them, and requests that are spread evenly."""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

from accountant.numerics import MAX_COUNT, InputError, integer, limit_of, number, typed_count
from accountant.requests.arrivals import LONGEST, SHORTEST, Arrival, quoted

#: Seconds in a unit; a year has 365 days. A month is none, for no two are alike.
_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_WORDS: Final = {
    "sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d", "week": "w", "yr": "y", "year": "y",
    **{unit: unit for unit in _UNITS},
}  # fmt: skip
_NUMBER: Final = r"(?:[0-9]+\.?[0-9]*(?:e\+?[0-9]{1,3})?|\.[0-9]+)"
_DURATION: Final = re.compile(rf"\s*(?:(?P<number>{_NUMBER})\s*|an?\s+)(?P<unit>[a-z]*)\s*", re.IGNORECASE)
_RATE: Final = re.compile(rf"\s*(?P<number>{_NUMBER})\s*(?:/|per\b|every\b|each\b|an?\b)\s*(?P<unit>[a-z]+)\s*", re.IGNORECASE)
#: What is a number of requests, well or badly written, and not the name of a file.
_COUNT: Final = re.compile(r"\s*[+-]?[0-9][0-9.,'_ ^*eE{}+-]*\s*")


def _unit(word: str) -> str | None:
    """The unit that a word is of, the plural included; None for none."""
    plain = word.lower()
    return _WORDS.get(plain) or _WORDS.get(plain.removesuffix("s") if len(plain) > 2 else "none")


def duration(value: str | float, *, name: str = "duration") -> float:
    """Seconds in "7d", "12h", "30m", "90s", "2 weeks", "1.5d", "1y" (365 days) or a plain number; ``name`` is for the refusal.

    >>> duration("7d") == duration("1 week") == duration(604_800) == duration("a week")
    True
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value)
        unit = None if match is None else _unit(match["unit"]) if match["unit"] else ""
        if match is None or unit is None or (match["number"] is None and not unit):
            raise InputError(f"{name} must be seconds, or a number with s, m, h, d, w or y, as in 7d, got {quoted(value)}")
        value = float(match["number"] or 1) * _UNITS[unit]
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

    def spread(self, points: int = 1) -> list[Arrival] | list[int]:
        """So many requests of so many points each, evenly from second 0 on; without times where no time is known.

        >>> Expected(4, 8.0).spread()[1:3]
        [Arrival(time=2.0, points=1, dated=False, joined=0), Arrival(time=4.0, points=1, dated=False, joined=0)]
        """
        if self.seconds is None:
            return [points] * self.requests
        return [Arrival(at * self.seconds / self.requests, points) for at in range(self.requests)]


def told(text: str) -> bool:
    """Whether a text is a number or a rate of requests, well or badly written, and not the name of a file.

    >>> told("20/week"), told("1.000"), told("requests.csv")
    (True, True, False)
    """
    return _COUNT.fullmatch(text) is not None or _RATE.fullmatch(text) is not None


def expected_requests(requests: int | str, over: str | float | None = None, *, over_name: str = "over") -> Expected:
    """The number of requests, rounded up, of a rate such as "20/week" or "3 a day" in a time such as "1y"; or a plain number.

    A rate needs the time; with a plain number it may be given, and is what the requests are spread over. over_name: what a
    refusal calls the time. Raises InputError for anything else.

    >>> expected_requests("20/week", "1y").requests, expected_requests("3 a day", "2w").requests
    (1043, 42)
    """
    seconds = None if over is None else duration(over, name=over_name)
    rate = _rate(requests) if isinstance(requests, str) else None
    if rate is None:
        count: Any = _count(requests) if isinstance(requests, str) else requests
        return Expected(integer("requests", count, at_least=1, at_most=MAX_COUNT), seconds)
    if seconds is None:
        raise InputError(f"{over_name} must be given with a rate of requests, such as 1y, got requests={requests}")
    total = rate * seconds
    if not 0 < total <= MAX_COUNT:
        raise InputError(f"requests must come to 1 to {limit_of(MAX_COUNT)} in that time, got {requests} for {over}")
    # A product of decimals that is whole but for rounding is that number.
    return Expected(max(math.ceil(total * (1 - 1e-12)), 1), seconds)


def _count(text: str) -> int:
    try:
        return typed_count(text)
    except ValueError as error:
        allowed = _ALLOWED if str(error) == "a whole number" else f"requests must be {error}"
        raise InputError(f"{allowed}, got {quoted(text)}") from None


_ALLOWED: Final = (
    "requests must be a whole number from 1, or a rate > 0 per second, minute, hour, day, week or year, as 20/week"
)


def _rate(text: str) -> float | None:
    """Requests per second in "20/week"; None for what is no rate."""
    if _COUNT.fullmatch(text) is not None:
        return None
    match = _RATE.fullmatch(text)
    unit = None if match is None else _unit(match["unit"])
    if match is None or unit is None or not 0 < float(match["number"]) < math.inf:
        raise InputError(f"{_ALLOWED}, got {quoted(text)}")
    return float(match["number"]) / _UNITS[unit]
