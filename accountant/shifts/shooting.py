"""The best shifts of any modulus of continuity, and the smallest mu over all numbers of steps up to a given one.

Convex moduli (those of losses that are not smooth): what is minimised is convex, and its one stationary sequence is found by
shooting backwards. With z_N = 0 and y = z_{N-1} the last shift is omega(y), and before it

    z_{k-1} = omega^-1(z_k + a_k),    a_{k-1} = a_k omega'(z_{k-1});

y is searched for which z_0 is the start. Concave moduli (gradients that are Hoelder): any choice of tangents, one a step, is an
affine modulus above the true one, whose best shifts are proportional to the weights of their steps; those move the path, and
the path gives new tangents. What is returned is made feasible forwards, so that it holds
whatever the search found.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from accountant.numerics import Floats, smallest_whole
from accountant.shifts.hoelder import apart_at_once, at_scale, most_useful, tangent_shifts, tried_counts
from accountant.shifts.moduli import (
    Clipped,
    Hoelder,
    Least,
    Modulus,
    Nonsmooth,
    Smooth,
    best_clipped_mu,
    best_stop,
    smooth_clipped,
    smooth_mu,
)

#: Steps up to which strings of moduli that have no closed form are followed.
MOST_STEPS: Final = 1_000_000
#: Rounds of a search, and where it is as narrow as doubles are.
_ROUNDS: Final = 200
_NARROW: Final = 2.0**-51
#: Steps up to which the best number is compared with its neighbours, and rounds of tangents.
_COMPARED: Final = 30_000
_TANGENTS: Final = 60


def back(modulus: Modulus, y: float, most: int, stop: float) -> tuple[float, float, int]:
    """From y = z_{N-1} > 0 backwards, for at most so many steps in all and until ``stop`` is reached: distance, shift, steps.

    The distance before the first of these steps, -1 where there is none; and what the shift before it would be.
    """
    if isinstance(modulus, Nonsmooth):
        return modulus.back(y, most, stop)
    z, a, count = y, modulus.after(y) * modulus.slope(y), 1
    while count < most and z < stop:
        z = modulus.before(z + a)
        if z < 0:
            return -1.0, a, count
        a *= modulus.slope(z)
        count += 1
    return z, a, count


def shot(modulus: Modulus, start: float, steps: int) -> tuple[float, list[float]]:
    """mu at unit noise, and shifts a_1 ... a_N that prove it, of ``steps`` >= 1 steps from ``start`` > 0 apart."""
    if steps == 1:
        return feasible(modulus, start, [], 1)
    y = _aim(modulus, start, steps)
    z, a = y, modulus.after(y) * modulus.slope(y)
    shifts = [modulus.after(y)]
    while len(shifts) < steps:
        shifts.append(a)
        z = modulus.before(z + a)
        if z < 0:
            break
        a *= modulus.slope(z)
    return feasible(modulus, start, shifts[::-1], steps)


def _aim(modulus: Modulus, start: float, steps: int) -> float:
    """The last distance from which so many steps backwards reach the start, or a little more; the search is on squares, where
    two steps of :class:`Nonsmooth` are affine."""
    goal, stop = start * start, 2 * start

    def missed(w: float) -> float:
        z, _, count = back(modulus, math.sqrt(w), steps, stop)
        # Where the start was passed long before.
        return (z * z - goal) * (steps / count) if z >= 0 else -goal

    low, high, below, above = 0.0, goal, -goal, missed(goal)
    while above < 0:
        # From near by the models are best let drift apart first.
        low, high, below, above = high, 4 * high, above, missed(4 * high)
    side = 0
    for turn in range(_ROUNDS):
        w = low - below * (high - low) / (above - below)
        if turn % 4 == 3 or not low < w < high:
            w = 0.5 * (low + high)
        value = missed(w)
        if value >= 0:
            high, above = w, value
            below *= 0.5 if side > 0 else 1.0
            side = 1
        else:
            low, below = w, value
            above *= 0.5 if side < 0 else 1.0
            side = -1
        if high - low <= _NARROW * high or 0 <= value <= 1e-14 * goal:
            break
    return math.sqrt(high)


def feasible(modulus: Modulus, start: float, wanted: list[float], steps: int) -> tuple[float, list[float]]:
    """mu and shifts of the sequence that begins with the wanted shifts and ends where the runs meet, at the last step if not
    before."""
    z, total = start, 0.0
    shifts: list[float] = []
    for k in range(steps):
        reached = modulus.after(z)
        wish = wanted[k] if k < len(wanted) else math.inf
        a = reached if k == steps - 1 else min(wish, reached)
        shifts.append(a)
        total += a * a
        z = reached - a
        if z <= 0:
            break
    # A single shift's square may be beyond the doubles.
    mu = shifts[0] if len(shifts) == 1 else math.sqrt(total)
    return mu * (1 + 2.0**-50 * (1 + len(shifts))), shifts


def tangents(modulus: Modulus, start: float, steps: int) -> tuple[float, list[float]]:
    """As :func:`shot`, of a concave modulus: by tangents along the path, which is moved until nothing is gained."""
    # To meet at once is where no tangent leads, and those of an even path may lead to a minimum that is not the least.
    best = feasible(modulus, start, [], steps)
    fewer = steps
    while fewer > 1:
        found = _followed(modulus, start, fewer)
        best = found if found[0] < best[0] else best
        fewer //= 2
    return best


def _followed(modulus: Modulus, start: float, steps: int) -> tuple[float, list[float]]:
    """:func:`tangents` from a path that falls evenly."""
    path = start * (1 - np.arange(steps) / steps)
    best: tuple[float, list[float]] = (math.inf, [])
    for _ in range(_TANGENTS):
        slopes = np.array([modulus.slope(z) for z in path.tolist()])
        lifts = np.array([modulus.after(z) for z in path.tolist()]) - slopes * path
        found = feasible(modulus, start, _chord(start, slopes, lifts).tolist(), steps)
        gained = best[0] - found[0]
        if found[0] < best[0]:
            best = found
        if not gained > 1e-15 * best[0]:
            break
        z, moved = start, [start]
        for a in found[1][:-1]:
            z = max(modulus.after(z) - a, 0.0)
            moved.append(z)
        moved += [0.0] * (steps - len(moved))
        path = np.maximum(np.array(moved), 1e-12 * start)
    return best


def best_shifts(modulus: Modulus, start: float, steps: int) -> tuple[float, list[float]]:
    """The smallest mu found over 1 ... ``steps`` steps from ``start`` > 0 apart, and the shifts that prove it: the witness.

    The list is as long as the runs take to meet; the steps after it are post-processing.
    """
    if isinstance(modulus, Clipped):
        stop, n = best_stop(modulus, start), steps
        if stop < steps:
            low = max(math.floor(stop), 1)
            n = min((low, min(low + 1, steps)), key=lambda k: float(best_clipped_mu(modulus, start, np.array(float(k)))))
        return tangents(modulus, start, n)
    if (scaled := at_scale(modulus, start)) is not None:
        mu, shifts = best_shifts(*scaled[:2], steps)
        return mu * scaled[2], [a * scaled[2] for a in shifts]
    if apart_at_once(modulus, start):
        return feasible(modulus, start, [], 1)
    if isinstance(modulus, Nonsmooth):
        return shot(modulus, start, 1 if modulus.rho == 0 else min(steps, _useful(modulus, start, steps)))
    if isinstance(modulus, Least):
        match modulus.moduli:
            case (Smooth() as smooth, Clipped() as clipped):
                first = int(smooth_clipped(smooth, clipped, start, np.array(float(steps)))[1])
                slopes = np.where(np.arange(steps) < first, clipped.rho, smooth.c)
                lifts = np.where(np.arange(steps) < first, clipped.gap, 0.0)
                return feasible(modulus, start, _chord(start, slopes, lifts).tolist(), steps)
        # Each holds by itself, and so does the one that proves more.
        return min((best_shifts(each, start, steps) for each in modulus.moduli), key=lambda found: found[0])
    if isinstance(modulus, Hoelder):
        return _along(modulus, start, min(steps, _last(modulus, start)))
    return tangents(modulus, start, min(steps, MOST_STEPS))


def _along(modulus: Hoelder, start: float, steps: int) -> tuple[float, list[float]]:
    """mu and shifts of at most so many steps: of all paths of tangents, and of meeting at once, the least."""
    # To meet at once is where no tangent leads, and those of an even path may lead to a minimum that is not the least.
    once = feasible(modulus, start, [], 1)
    best = min(tried_counts(steps), key=lambda count: _tangent_mu(modulus, start, count))
    if steps == 1 or once[0] <= _tangent_mu(modulus, start, best):
        return once
    return feasible(modulus, start, tangent_shifts(modulus, start, best).tolist(), best)


@lru_cache(maxsize=1 << 14)
def _tangent_mu(modulus: Hoelder, start: float, count: int) -> float:
    return feasible(modulus, start, tangent_shifts(modulus, start, count).tolist(), count)[0]


@lru_cache(maxsize=256)
def _last(modulus: Hoelder, start: float) -> int:
    """The number of steps after which more of them only cost; its neighbours are compared where it is not too large."""
    guess = most_useful(modulus, start)
    if guess > _COMPARED:
        return guess
    return smallest_whole(
        lambda count: _alone(modulus, start, count + 1) >= _alone(modulus, start, count), 1, 2 * _COMPARED, start=guess
    )


def _chord(start: float, slopes: Floats, lifts: Floats) -> Floats:
    """The best shifts of affine steps z -> slope z + lift, (N,): proportional to the weights of their steps."""
    with np.errstate(divide="ignore"):
        after = np.append(np.cumsum(np.log(slopes[:0:-1]))[::-1], 0.0)
    weights = np.exp(after - after.max())
    whole = weights[0] * slopes[0] * start + float((weights * lifts).sum())
    return whole * weights / float((weights**2).sum())


def best_mu(modulus: Modulus, start: float, steps: Floats) -> Floats:
    """mu at unit noise of the best string of at most so many steps >= 1, (P,), from ``start`` > 0 apart."""
    if isinstance(modulus, Clipped):
        return best_clipped_mu(modulus, start, steps)
    if isinstance(modulus, Smooth):
        return smooth_mu(modulus, start, steps)
    if isinstance(modulus, Nonsmooth) and modulus.rho == 0:
        return np.full(np.shape(steps), modulus.gap)
    if isinstance(modulus, Least):
        match modulus.moduli:
            case (Smooth() as smooth, Clipped() as clipped):
                return smooth_clipped(smooth, clipped, start, steps)[0]
        return np.minimum.reduce([best_mu(each, start, steps) for each in modulus.moduli])
    if (scaled := at_scale(modulus, start)) is not None:
        return best_mu(*scaled[:2], steps) * scaled[2]
    if apart_at_once(modulus, start):
        return np.full(np.shape(steps), feasible(modulus, start, [], 1)[0])
    each, rows = np.unique(np.minimum(steps, MOST_STEPS), return_inverse=True)
    if isinstance(modulus, Hoelder):
        each, again = np.unique(np.minimum(each, float(_last(modulus, start))), return_inverse=True)
        rows = again[rows]
    if isinstance(modulus, Nonsmooth):
        each, again = np.unique(np.minimum(each, float(_useful(modulus, start, int(each.max())))), return_inverse=True)
        rows = again[rows]
        if each.sum() > _MANY * each.max():
            return _volley(modulus, start, each)[rows]
    return np.array([_alone(modulus, start, int(count)) for count in each.tolist()])[rows]


#: Where so many times the longest string is to be followed, all of them at once are faster.
_MANY: Final = 200


@lru_cache(maxsize=1 << 14)
def _alone(modulus: Modulus, start: float, steps: int) -> float:
    if isinstance(modulus, Hoelder):
        return _along(modulus, start, steps)[0]
    return shot(modulus, start, steps)[0]


def _useful(modulus: Nonsmooth, start: float, most: int) -> int:
    """:func:`_stop`, or ``most`` where that is certainly no more.

    N steps that lead from the start evenly have shifts of start/N or more, and move models gap^2/(2 start) apart at most.
    """
    return most if modulus.gap * math.sqrt(most) <= 0.03 * start else _stop(modulus, start)


@lru_cache(maxsize=256)
def _stop(modulus: Modulus, start: float) -> int:
    """The number of steps of a convex modulus after which more of them only cost; at most :data:`MOST_STEPS`.

    One more step at the start pays while the shift that is wanted there is more than twice what the step itself moves apart, to
    first order; near the number that this finds its neighbours are compared.
    """
    low, high = 0.0, start
    few, many = 1, MOST_STEPS
    for _ in range(_ROUNDS):
        y = 0.5 * (low + high)
        z, a, count = back(modulus, y, MOST_STEPS, start)
        if z >= start and a > 2 * (modulus.after(z) - z):
            # More steps would do more: a smaller last distance.
            high, few = y, count
        else:
            low = y
            many = count if z >= start else many
        if few >= many or high - low <= _NARROW * high:
            break
    guess = few
    if guess > _COMPARED:
        return guess
    return smallest_whole(
        lambda count: _alone(modulus, start, count + 1) >= _alone(modulus, start, count), 1, 2 * _COMPARED, start=guess
    )


def _volley(modulus: Nonsmooth, start: float, steps: Floats) -> Floats:
    """:func:`shot` of many numbers of steps at once, increasing ones.

    Shifts that lead back to the start, or to more, prove their mu as they are.
    """
    counts = steps[::-1].astype(np.intp)
    square, gap, goal = modulus.rho**2, modulus.gap**2, start * start

    def backwards(w: Floats) -> tuple[Floats, Floats]:
        """z_0^2 and the sum of squares; z_0 is 0 where no distance was before one, NaN where it is beyond all numbers."""
        z = np.sqrt(w)
        a, total = square * z, square * w + gap
        for k in range(1, int(counts[0])):
            size = int(np.searchsorted(-counts, -k, side="left"))
            now = a[:size]
            total[:size] += now * now
            whole = z[:size] + now
            z[:size] = np.sqrt(np.maximum(whole * whole - gap, 0.0) / square)
            now *= square * z[:size] / np.maximum(whole, 1e-300)
        return z * z, total

    low, high = np.zeros(counts.size), np.full(counts.size, goal)
    below, above, best = np.full(counts.size, -goal), np.full(counts.size, goal), np.full(counts.size, math.inf)
    with np.errstate(all="ignore"):
        for turn in range(_ROUNDS):
            w = low - below * (high - low) / (above - below)
            w = np.where((turn % 4 == 3) | ~((low < w) & (w < high)), 0.5 * (low + high), w)
            w = high if turn == 0 else w
            reached, total = backwards(w.copy())
            met = ~(reached < goal)
            best = np.where(met & np.isfinite(reached), np.minimum(best, total), best)
            value = np.where(np.isfinite(reached), reached - goal, goal)
            below, above = np.where(met, below * 0.5, value), np.where(met, value, above * 0.5)
            low, high = np.where(met, low, w), np.where(met, w, high)
            if np.all((high - low <= _NARROW * high) | (met & (value <= 1e-14 * goal))):
                break
    found = np.sqrt(best) * (1 + 2.0**-50 * (1 + counts))
    for row in np.flatnonzero(np.isinf(best)).tolist():
        found[row] = _alone(modulus, start, int(counts[row]))
    return found[::-1]
