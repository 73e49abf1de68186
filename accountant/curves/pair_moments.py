"""Rényi divergences of a Gaussian mixture from a Gaussian, both directions, bounded from above.

E_R[L^a] with L = exp(l(x)) and R = N(0, 1): l is convex (``gaussian_mixture.py``), so that a l(x) is below its chord on every
cell of a grid for a > 0, and below its tangents for a < 0, and the Gaussian integral of the exponential of a line is known.
Cells are halved where that matters, until the bound is within about 4e-6 of the logarithm of the moment; whatever the grid is,
it is a bound. The average over the components, which is a bound too, is taken where it is smaller.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from accountant.curves.gaussian_mixture import pooled, rows_of
from accountant.curves.pair_core import Rows, loss
from accountant.curves.renyi import rdp_of
from accountant.numerics import DOUBLE, Floats

_UNIT: Final = DOUBLE.unit_roundoff
#: Components, and outer ones, beyond which classes that are rounded up are taken.
_MOST: Final = 1 << 9
_OUTER: Final = 1 << 5
#: Points of a grid at first and at most, and how close the bound is to be.
_FIRST: Final = 257
_POINTS: Final = 1 << 14
_CLOSE: Final = 4e-6
_MARGIN: Final = 13.0


def pair_rdp(alpha: Floats, log_weights: Floats, mu: Floats, outside: int = 0) -> Floats:
    """The larger of D_alpha(P || R) and D_alpha(R || P), alpha > 1, rounded up; (P,), (C,), (P, C) -> (P,).

    Outside components are public: log of the average of exp((alpha - 1) D), over alpha - 1.
    """
    with np.errstate(all="ignore"):
        if outside:
            inner = pooled(mu[:, :-outside], log_weights[:-outside], _MOST // 4)
            outer = pooled(mu[:, -outside:], log_weights[-outside:], _OUTER)
            mu, log_weights = np.concatenate([inner[0], outer[0]], axis=1), np.append(inner[1], outer[1])
            outside = outer[1].size
        else:
            mu, log_weights = pooled(mu, log_weights, _MOST)
        rows, chances = rows_of(log_weights, mu, outside)
        orders = alpha if chances is None else np.repeat(alpha, chances.size)
        average = rdp_of(orders, rows.log_weights, 0.5 * rows.mu**2 * (1 + 2 * _UNIT), "linear")
        each = average.copy()
        for row in np.flatnonzero(rows.mu.max(axis=1) > 0):
            one = Rows(rows.log_weights, rows.mu[row : row + 1])
            beta = orders[row] - 1
            found = max(_log_moment(orders[row], one), _log_moment(-beta, one)) / beta * (1 + 4 * _UNIT)
            each[row] = min(average[row], found) if found >= 0 else average[row]
        if chances is None:
            return each
        beta = (alpha - 1)[:, None]
        terms = chances + beta * each.reshape(alpha.size, -1)
        top = terms.max(axis=1)
        total = top + np.log(np.exp(terms - top[:, None]).sum(axis=1))
        return (total + _UNIT * (64 + 8 * np.abs(top))) / beta[:, 0] * (1 + 4 * _UNIT)


def _log_moment(power: float, rows: Rows) -> float:
    """log E_R[L^power], rounded up, of one row."""
    reach = power * float(rows.mu.max())
    x = np.linspace(min(reach, 0.0) - _MARGIN, max(reach, 0.0) + _MARGIN, _FIRST)
    value, slope = _losses(power, x, rows)
    result = np.inf
    while True:
        log_parts, gaps = _cells(power, x, value, slope)
        ends = _tails(power, x, value, slope, float(rows.mu.max()))
        top = max(float(log_parts.max()), *ends)
        shares = np.exp(log_parts - top)
        total = float(shares.sum()) + sum(float(np.exp(end - top)) for end in ends)
        result = min(result, top + float(np.log(total)) + _UNIT * (64 + 4 * abs(top)))
        loose = shares / total * np.minimum(gaps, 1.0)
        if not np.isfinite(result) or loose.sum() <= max(_CLOSE * abs(result), 1e-14) or x.size > _POINTS:
            return result
        split = np.flatnonzero(loose > 0.1 * max(_CLOSE * abs(result), 1e-14) / x.size)
        middle = 0.5 * (x[split] + x[split + 1])
        more, steeper = _losses(power, middle, rows)
        x = np.insert(x, split + 1, middle)
        value, slope = np.insert(value, split + 1, more), np.insert(slope, split + 1, steeper)


def _losses(power: float, x: Floats, rows: Rows) -> tuple[Floats, Floats]:
    """power l(x), rounded up, and its slope."""
    each = np.empty_like(x), np.empty_like(x)
    size = max(1, (1 << 17) // rows.mu.size)
    for start in range(0, x.size, size):
        some = x[start : start + size]
        repeated = Rows(rows.log_weights, np.broadcast_to(rows.mu, (some.size, rows.mu.size)))
        for whole, part in zip(each, loss(some, repeated, 1 if power > 0 else -1), strict=True):
            whole[start : start + size] = part
    return power * each[0] + 2 * _UNIT * np.abs(power * each[0]), power * each[1]


def _cells(power: float, x: Floats, value: Floats, slope: Floats) -> tuple[Floats, Floats]:
    """log of the bound on each cell's share of the moment, and how far, at most, its line is above power l."""
    left, right, width = x[:-1], x[1:], np.diff(x)
    gap = width * np.abs(np.diff(slope)) / 4
    if power > 0:
        line, start = np.diff(value) / width, value[:-1]
        # A line through rounded ends: what it is wrong by at the other end.
        start = start + 8 * _UNIT * (np.abs(value[:-1]) + np.abs(value[1:]))
    else:
        line = slope[:-1]
        start = value[:-1] + 64 * _UNIT * np.abs(slope[:-1]) * width
        # The tangent of the right end where it is lower: both are bounds, and the one of less area is taken.
        other = value[1:] - slope[1:] * width + 64 * _UNIT * (np.abs(slope[1:]) * width + np.abs(value[1:]))
        first = _integral(left, right, start, line)
        second = _integral(left, right, other, slope[1:])
        return np.minimum(first, second), gap
    return _integral(left, right, start, line), gap


def _integral(left: Floats, right: Floats, start: Floats, line: Floats) -> Floats:
    """log of the integral of phi(x) exp(start + line (x - left)) from left to right, rounded up."""
    from scipy.special import log_ndtr

    low, high = left - line, right - line
    # In the lower tail, where probabilities keep their digits.
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    large, small = log_ndtr(high), log_ndtr(low)
    ratio = np.exp(small - large)
    error = _UNIT * (16 + 8 * np.abs(large)) / np.maximum(1 - ratio, 1e-12) + 8 * _UNIT * (np.abs(start) + left**2 + line**2)
    return start - line * left + line**2 / 2 + large + np.log1p(-ratio) + error


def _tails(power: float, x: Floats, value: Floats, slope: Floats, largest: float) -> tuple[float, float]:
    """The same from the grid's ends on, where power l is below a line of slope power times the largest mu, or a tangent."""
    from scipy.special import log_ndtr

    right = power * largest if power > 0 else float(slope[-1])
    # To the left of the grid l is at most what it is at its end, or below its tangent.
    left = 0.0 if power > 0 else float(slope[0])
    ends = []
    for at, start, line, side in ((x[-1], value[-1], right, -1.0), (x[0], value[0], left, 1.0)):
        log_tail = float(log_ndtr(side * (at - line)))
        size = abs(start) + at * at + line * line + abs(log_tail)
        ends.append(float(start - line * at + line * line / 2 + log_tail + 64 * _UNIT * size))
    return ends[0], ends[1]
