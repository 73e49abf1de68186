"""When to act, and how: pure functions of numbers. Times in microseconds since 1970, durations in seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from accountant.numerics import InputError, integer, number


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


def estimated_seconds(
    steps: int, *, planned: float | None, measured: Sequence[tuple[int, float]], certificate: float | None = None
) -> float | None:
    """How long a run of so many steps takes: the longest of what is planned and what earlier runs say; None: nobody knows.

    certificate: what its certificate takes besides, after the steps; None: nobody knows, or there is none.

    measured: (steps, seconds) of earlier runs. One of as many steps or more says its own seconds, since a run has a beginning
    and an end whatever its length; a shorter one says its seconds times what the steps are more.

    >>> estimated_seconds(100, planned=None, measured=[(50, 2.0), (400, 3.0)])
    4.0
    >>> estimated_seconds(100, planned=7.5, measured=[(50, 2.0)])
    7.5
    >>> estimated_seconds(100, planned=7.5, measured=[(50, 2.0)], certificate=20.0)
    27.5
    """
    integer("steps", steps, at_least=0)
    told = [seconds * max(1.0, steps / max(ran, 1)) for ran, seconds in measured]
    if planned is not None:
        told.append(number("planned", planned, at_least=0))
    return None if certificate is None and not told else max(told, default=0.0) + (certificate or 0.0)


def expected_points(received: int, *, over: float, ahead: float) -> int:
    """Records that will be asked for within ``ahead`` seconds if they go on to come as fast as within the last ``over``.

    Rounded up; none where nothing was seen yet (over = 0) or the time has passed.

    >>> expected_points(30, over=86_400.0, ahead=8_640.0)
    3
    """
    integer("received", received, at_least=0)
    if number("over", over, at_least=0) == 0 or ahead <= 0:
        return 0
    return math.ceil(received * (ahead / over) * (1 - 1e-12))


def refit_cheaper(steps: int | None, refit: int | None) -> bool:
    """Whether learning again takes fewer steps than a request, or is all that is left (steps = None: no number is enough).

    >>> refit_cheaper(120, 100), refit_cheaper(100, 100), refit_cheaper(None, 100), refit_cheaper(120, None)
    (True, False, True, False)
    """
    return refit is not None and (steps is None or steps > refit)


def requests_before_refit(steps: Sequence[int], *, refit: int, ends: bool) -> int | None:
    """How many requests, one after the other, each take at most the steps of learning again; None: all that were looked at.

    steps: of each. ends: whether no number of steps is enough for the request after them.

    >>> requests_before_refit([10, 40, 90, 160], refit=100, ends=False)
    3
    >>> requests_before_refit([10, 40], refit=100, ends=True), requests_before_refit([10, 40], refit=100, ends=False)
    (2, None)
    """
    integer("refit", refit, at_least=0)
    for count, each in enumerate(steps):
        if each > refit:
            return count
    return len(steps) if ends else None


def cheapest_cycle(steps: Sequence[int], *, refit: int) -> int | None:
    """After how many requests learning again, which answers the next one too, costs least for ever; None: not within these.

    Of a cycle of one refit and k requests every request costs (refit + the first k steps) / (k + 1) on average. While requests
    cost more and more, that falls until the next one costs more than the average so far: the rule for when to replace a
    machine that wears out.

    >>> cheapest_cycle([10, 20, 30, 40, 50, 60], refit=50)
    2
    """
    spent = integer("refit", refit, at_least=0)
    for count, each in enumerate(steps):
        if each < 0:
            raise InputError(f"steps must be at least 0, got {each}")
        if each * (count + 1) > spent:
            return count
        spent += each
    return None


def saving(apart: int, merged: int) -> float | None:
    """How many times as many steps requests take apart as in one; None where one takes none.

    >>> saving(340, 10)
    34.0
    """
    return None if merged <= 0 else apart / merged
