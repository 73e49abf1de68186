"""When to act: pure functions of numbers. Times in microseconds since 1970, durations in seconds."""

from __future__ import annotations

from accountant.numerics import number


def latest_start(earliest_due: int, *, seconds: float | None, margin: float, floor: float) -> int:
    """When a run should begin at the latest: ``margin`` times its estimated seconds, and ``floor``, before the first due date.

    seconds: None where nobody can tell; the floor is then all that there is.

    >>> latest_start(100_000_000, seconds=2.0, margin=10.0, floor=30.0)
    50000000
    """
    ahead = margin * (0.0 if seconds is None else number("seconds", seconds, at_least=0)) + floor
    return earliest_due - int(ahead * 1e6)


def acts(now: int, *, earliest_due: int | None, urgent: int, start: int) -> bool:
    """Whether to run now what waits: something is urgent, or the last moment has come.

    >>> acts(10, earliest_due=100, urgent=0, start=50), acts(10, earliest_due=100, urgent=1, start=50)
    (False, True)
    """
    return earliest_due is not None and (urgent > 0 or now >= start)
