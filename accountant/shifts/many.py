"""Many taut strings at once, of the same steps with other sensitivities: groups whose records lie in other batches.

The strings of :mod:`accountant.shifts.minorant`, one array operation for all of them where that has a Python loop for each.
A step that adds nothing is one of its own here: a point just before it may be no vertex, but is a point of the path.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accountant.numerics import SMALLEST, Floats, geometric_sum, log_power
from accountant.shifts.minorant import FORGOTTEN, weights_left
from accountant.shifts.runs import Runs

#: What a sum of two positive terms, their weights included, may lose.
_ROUNDING = 16 * 2.0**-53


def each_cyclic(*, log_c: float, patterns: Floats, steps: float, noise: float) -> Runs:
    """As :func:`accountant.shifts.runs.cyclic` from batch 0, for patterns (C, J): sensitivities are (C, runs); finite log_c."""
    period = patterns.shape[1]

    def unrolled(first: int, count: int) -> Runs:
        return Runs(np.full(count, log_c), patterns[:, (first + np.arange(count)) % period], np.full(count, noise))

    if steps <= 2 * period:
        return unrolled(0, int(steps))
    if math.isinf(steps):
        return each_joined([_middle(log_c, patterns, 0, steps, noise), unrolled(0, period)])
    end = int(steps) % period
    return each_joined([unrolled(0, period), _middle(log_c, patterns, end, steps - 2 * period, noise), unrolled(end, period)])


def each_joined(parts: list[Runs]) -> Runs:
    """Runs one after the other; sensitivities (C, runs)."""
    return Runs(*(np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)))


def _middle(log_c: float, patterns: Floats, end: int, steps: float, noise: float) -> Runs:
    """``steps`` steps, the last of them just before batch ``end``, as one run: no vertex is in it."""
    period = patterns.shape[1]
    epochs, rest = (math.inf, 0) if math.isinf(steps) else divmod(int(steps), period)
    terms = np.exp(log_power(log_c, np.arange(period))) * patterns[:, (end - 1 - np.arange(period)) % period]
    rise: Any = terms.sum(axis=1) * geometric_sum(log_c, epochs, stride=period)
    if rest:
        rise = rise + np.exp(log_power(log_c, period * epochs)) * terms[:, :rest].sum(axis=1)
    whole, root = max(float(log_power(log_c, steps)), FORGOTTEN), noise * np.sqrt(geometric_sum(log_c, steps, stride=2))
    return Runs(np.array([whole]), np.maximum(rise, SMALLEST)[:, None], np.array([root]))


def taut_strings(log_c: Floats, h: Floats, nu: Floats) -> Floats:
    """mu (C,), rounded up, of the strings that start at distance zero: log_c (N,), h (C, N), nu (N,) > 0.

    Pool adjacent violators, from the end, all strings in step; a piece is its rise and the root of its length at a scale of
    its own, as there.

    >>> taut_strings(np.log([0.5, 0.5]), np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones(2)).round(6).tolist()
    [0.447214, 1.0]
    """
    count, size = h.shape
    logs = weights_left(log_c)
    # Piece 0 ends every string: nothing is steep enough to join it.
    scale, rise, root, slope = (np.zeros((size + 1, count)) for _ in range(4))
    slope[0] = math.inf
    top = np.zeros(count, dtype=np.int64)
    every = np.arange(count)
    for k in range(size - 1, -1, -1):
        at = np.full(count, logs[k + 1])
        up, long = h[:, k].copy(), np.full(count, nu[k])
        steep = _slopes(at, up, long)
        while True:
            joins = every[(top > 0) & (steep >= slope[top, every])]
            if not joins.size:
                break
            other = top[joins], joins
            new = np.maximum(at[joins], scale[other])
            mine, its = np.exp(at[joins] - new), np.exp(scale[other] - new)
            both = mine * up[joins] + its * rise[other]
            # A difference never vanishes, however far it has contracted.
            up[joins] = np.where((up[joins] > 0) | (rise[other] > 0), np.maximum(both, SMALLEST), both)
            long[joins] = np.hypot(mine * long[joins], its * root[other])
            at[joins] = new
            steep[joins] = _slopes(new, up[joins], long[joins])
            top[joins] -= 1
        top += 1
        scale[top, every], rise[top, every], root[top, every], slope[top, every] = at, up, long, steep
    there = (np.arange(size + 1)[:, None] <= top) & (rise > 0)
    with np.errstate(divide="ignore"):
        costs = np.where(there, rise / np.where(there, root, 1.0), 0.0)
        spread = np.where(there, np.abs(np.log(np.where(there, rise, 1.0))), 0.0).max(axis=0)
    largest = np.maximum(costs.max(axis=0), SMALLEST)
    mu = largest * np.sqrt(((costs / largest) ** 2).sum(axis=0))
    result: Floats = mu * (1 + _ROUNDING * (size + 8) + 8e-16 * spread)
    return result


def _slopes(scale: Floats, rise: Floats, root: Floats) -> Floats:
    """log of rise over length."""
    with np.errstate(divide="ignore"):
        slopes: Floats = np.log(rise) - 2 * np.log(root) - scale
    return slopes
