"""The searches: roots of monotone functions, and the smallest whole number that is enough, for one problem or many at once.

"Safe" means that the value returned was itself evaluated and found to meet the target (unless it is the upper end of the
bracket, which the caller vouches for), so rounding in the search can only cost the last digits and never the guarantee.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics.arithmetic import Numbers, Precise
from accountant.numerics.shapes import Floats, Indices
from accountant.numerics.validation import MAX_COUNT

_TOLERANCE: Final = 4 * np.finfo(np.float64).eps
_MAX_ITERATIONS: Final = 400
#: A refinement starts from an answer in doubles; on a plateau it would wander.
_MOST_REFINEMENTS: Final = 40
#: Newton's method usually needs fewer iterations; from here on every third step halves the bracket, if it is not fast.
_PATIENCE: Final = 8
#: How many times as far as the last step the next one may lead, and where nothing is looked for.
_FURTHEST: Final = 64
_FAR: Final = 2.0**62
#: Secants on one side before strides double, whatever they say.
_OPEN: Final = 8


class PlateauError(ArithmeticError):
    """No digit can be found where the target hardly depends on the unknown; more precision may not help."""


def decreasing_root(
    function: Callable[[Floats, Indices], tuple[Floats, Floats]],
    *,
    start: Floats,
    low: Floats,
    high: Floats,
    floor: float | Floats = 0.0,
) -> Floats:
    """Solve ``function(x) <= 0`` for the smallest x, elementwise, for non-increasing functions.

    ``function(x, active)`` gets the current points and the indices of the problems they belong to and returns value and
    slope; it may return a slope of zero where it knows none. ``low`` and ``high`` bracket the root: the value at
    ``high`` is known to be at most zero. Newton's method inside a bracket that only shrinks; where a step leaves the
    bracket it bisects. The tolerance is relative to max(\\|x\\|, ``floor``). Shapes: all one-dimensional and equal.
    """
    x = np.clip(start, low, high)
    low, high = low.astype(np.float64), high.astype(np.float64)
    push, least = np.ones_like(x), np.broadcast_to(np.asarray(floor, dtype=np.float64), x.shape)
    last = np.full_like(x, np.inf)
    active = np.arange(x.size)
    for iteration in range(_MAX_ITERATIONS):
        at = x[active]
        value, slope = function(at, active)
        met = value <= 0
        high[active] = np.where(met, np.minimum(at, high[active]), high[active])
        low[active] = np.where(met, low[active], np.maximum(at, low[active]))
        lo, hi = low[active], high[active]
        with np.errstate(all="ignore"):
            step = np.where(np.isfinite(slope) & (slope < 0), -value / slope, np.nan)
        tolerance = _TOLERANCE * np.maximum(np.abs(at), least[active])
        small = np.abs(step) <= tolerance
        # From the unmet side, creep over the root by a few roundings, doubling until the target is met.
        creep = ~met & (step < tolerance)
        push[active] = np.where(creep, 2 * push[active], 1.0)
        proposal = at + np.where(creep, push[active] * tolerance, step)
        inside = (proposal > lo) & (proposal < hi)
        length = np.abs(step)
        if iteration >= _PATIENCE and iteration % 3 == 2:
            # Steps that at least halve every time converge as fast as the bracket would.
            inside &= creep | (length <= 0.5 * last[active])
        last[active] = length
        proposal = np.where(inside, proposal, _middle(lo, hi))
        done = (met & (small | (value == 0))) | (hi - lo <= tolerance) | (proposal <= lo) | (proposal >= hi)
        x[active] = np.where(done, hi, proposal)
        active = active[~done]
        if not active.size:
            break
    return np.where(np.isin(np.arange(x.size), active), high, x) if active.size else x


def refined_root(function: Callable[[Any], tuple[Any, Any]], *, start: float, arithmetic: Precise, bits: int) -> Numbers:
    """The positive root of a decreasing function of one unknown, to ``bits`` bits, enclosed where the arithmetic proves.

    ``function(x)`` gives value and slope. Newton's method on log x from the double ``start``, then the signs on both sides of
    what it found; raises ArithmeticError where they are not certain.
    """
    ar = arithmetic
    x = ar.asarray(max(start, 1e-300))[()]
    last = math.inf
    # A step in doubles shows a thousand bits; each further one doubles what is right.
    unseen = max(math.ceil(math.log2((bits + 6) / 1000)), 0)
    for _ in range(_MOST_REFINEMENTS):
        value, slope = function(x)
        step = float(ar.midpoint(ar.asarray(value / (-slope * x))))
        if math.isnan(step):
            raise ArithmeticError(f"Newton's method fails at {float(x):g}")
        # Far from the root a step of the logarithm is held down to where the slope still means something.
        move = ar.centre(value / (-slope * x)) if abs(step) < 1 else math.copysign(1.0, step)
        x = ar.centre(ar.asarray(x * ar.exp(move))[()])
        # Done, or as fine as this precision goes.
        if abs(step) < 2.0 ** -min(bits + 6, 1000) or (abs(step) >= last and last < 2.0 ** -min(bits / 2, 900)):
            unseen -= 1
            if unseen < 0:
                break
        last = abs(step)
    else:
        raise PlateauError(f"Newton's method does not settle near {float(x):g}, where the target hardly depends on it")
    if not ar.proves:
        return x
    for slack in range(0, bits, 8):
        width = ar.asarray(Fraction(1, 2 ** (bits - slack)))[()]
        low, high = x - x * width, x + x * width
        if ar.surely_greater(function(low)[0], 0) and ar.surely_greater(0, function(high)[0]):
            return ar.between(low, high)
    raise ArithmeticError(f"the sign on both sides of {float(x):g} is not certain")


def _middle(low: Floats, high: Floats) -> Floats:
    """Halfway, on a logarithmic scale where the bracket spans orders of magnitude."""
    wide = (low > 0) & (high > 4 * low)
    with np.errstate(all="ignore"):
        return np.where(wide, np.sqrt(low) * np.sqrt(high), low + 0.5 * (high - low))


def smallest_count(
    holds: Callable[[Floats, Indices], NDArray[np.bool_]], *, low: Floats, high: Floats | float = float(MAX_COUNT)
) -> Floats:
    """Smallest whole number in [low, high] for which ``holds(count, active)`` is true, elementwise, +inf if none.

    ``holds`` must switch once, from false to true. Gallops from ``low``, then bisects: about 2 log2(answer) evaluations.

    >>> squares = np.array([10.0, 1e6])
    >>> smallest_count(lambda count, active: count**2 >= squares[active], low=np.zeros(2)).tolist()
    [4.0, 1000.0]
    """
    low = np.array(low, dtype=np.float64)
    top = np.broadcast_to(np.asarray(high, dtype=np.float64), low.shape)
    answer = np.full_like(low, np.inf)
    below = low - 1  # known, or taken, to fail
    probe = low.copy()
    active = np.flatnonzero(low <= top)
    stride = 1.0
    while active.size:
        met = holds(probe[active], active)
        answer[active[met]] = probe[active[met]]
        below[active[~met]] = probe[active[~met]]
        active = active[~met]
        active = active[probe[active] < top[active]]
        probe[active] = np.minimum(probe[active] + stride, top[active])
        stride *= 2
    active = np.flatnonzero(np.isfinite(answer) & (answer - below > 1))
    while active.size:
        middle = np.floor((answer[active] + below[active]) / 2)
        met = holds(middle, active)
        answer[active] = np.where(met, middle, answer[active])
        below[active] = np.where(met, below[active], middle)
        active = active[answer[active] - below[active] > 1]
    return answer


def smallest_whole(holds: Callable[[int], bool], low: int, high: int, start: int | None = None) -> int:
    """Smallest whole number from ``low`` to ``high`` for which ``holds(number)`` is true; high + 1 if there is none.

    ``holds`` must switch once, from false to true. Bisects the range: log2 of its size evaluations. Where the answer is near
    ``start``, a number in the range, strides from there that double find a narrow range first: about 2 log2 of the way.

    >>> smallest_whole(lambda number: number**2 >= 10, 0, 100)
    4
    >>> smallest_whole(lambda number: number**2 >= 10**8, 0, 2**53, start=9_990)
    10000
    """
    if start is None or low > high:
        return low + bisect_left(range(low, high + 1), True, key=holds)
    stride = 1
    if holds(start):
        high = start
        while (probe := start - stride) >= low:
            if not holds(probe):
                low = probe + 1
                break
            high = probe
            stride *= 2
    else:
        low = start + 1
        while low <= high:
            probe = min(start + stride, high)
            if holds(probe):
                high = probe
                break
            low = probe + 1
            stride *= 2
    return low + bisect_left(range(low, high), True, key=holds) if low < high else low


def guided_whole(holds: Callable[[int], bool], excess: Callable[[int], float | None], low: int, high: int, start: int) -> int:
    """:func:`smallest_whole` from ``start`` in the range, with fewer evaluations where it is known by how much a number fails.

    ``excess(number)``, asked after ``holds(number)``, is about zero where ``holds`` switches, and falls as numbers grow; None
    or infinite where that is not known. It only says what to try next: secants, and halves where these do not converge.

    >>> tried = []
    >>> guided_whole(lambda number: tried.append(number) or number >= 475, lambda number: 475 - number, 0, 2**53, start=291)
    475
    >>> tried
    [291, 292, 420, 475, 474]
    """
    unmet, met, probe, stride = low - 1, high + 1, start, 1
    known: list[tuple[int, float]] = []
    widths: list[int] = []
    count = 0
    while met - unmet > 1:
        enough = holds(probe)
        count += 1
        unmet, met = (unmet, probe) if enough else (probe, met)
        found = excess(probe)
        if found is not None and math.isfinite(found):
            known = [*known[-1:], (probe, found)]
        guess = _secant(known)
        if unmet >= low and met <= high:
            # Both ends were tried.
            widths.append(met - unmet)
            slow = len(widths) > 3 and 2 * widths[-1] > widths[-4]
            target = (unmet + met) // 2 if slow or guess is None else guess
            widths = [] if slow else widths
        elif guess is None or count > _OPEN:
            target, stride = start + (-stride if enough else stride), 2 * stride
        else:
            # A secant of neighbours tells little of what is far away.
            target = min(max(guess, probe - _FURTHEST * stride), probe + _FURTHEST * stride)
            stride = max(abs(target - start), 1)
        probe = min(max(target, unmet + 1), met - 1)
    return met


def _secant(known: list[tuple[int, float]]) -> int | None:
    """Where the line through both points has fallen to zero, rounded up; None where it does not fall."""
    if len(known) < 2:
        return None
    (one, first), (two, second) = known
    slope = (second - first) / (two - one) if two != one else 0.0
    at = two - second / slope if slope < 0 else math.inf
    return math.ceil(at) if abs(at) < _FAR else None
