"""Composition of mixtures: the law of a sum, of mu^2 for Gaussians and of rho for Renyi curves.

Two releases with independent labels j, k of probabilities w_j v_k are, given the labels, sqrt(mu_j^2 + mu_k^2)-GDP (Dong, Roth
& Su 2022, Corollary 3.3): the mixture of the composition is the law of mu_j^2 + mu_k^2 for independent labels. Few outcomes are
listed. Many, of Gaussians, are put on a grid, each split between its neighbours so that the mean is kept, and then raised so
that no privacy curve is under the true one (docs/theory.md, "Composition"): never on the unsafe side, and of second order in
the grid. Renyi moments weigh improbable outcomes too much for that; of many only the worst counts.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats, Law, rounded_law

#: Outcomes up to which each is listed, and draws whose binomial coefficients are doubles.
LISTED: Final = 20_000
_DRAWS: Final = 1000
#: Probabilities that underflow count as this.
_LEAST: Final = 1e-300
#: Grid points up to the largest outcome.
_GRID: Final = 1 << 13
#: Listed weights are products of probabilities that are right to this, and outcomes are raised for it.
_SAFE: Final = 1 + 1e-11


def sum_of_two(one: tuple[Floats, Floats], other: tuple[Floats, Floats], *, squares: bool) -> tuple[Floats, Floats]:
    """Weights and values of the sum of independent outcomes, each given as weights (J,) and values >= 0 (J,).

    ``squares``: values are mu^2, of which hockey-stick divergences are taken; otherwise rho of Renyi curves.
    """
    (weights, values), (others, more) = _merged(*one), _merged(*other)
    if weights.size * others.size <= LISTED:
        return _merged(np.outer(weights, others).ravel(), np.add.outer(values, more).ravel() * _SAFE)
    if not squares:
        return np.ones(1), (values.max() + more.max(keepdims=True)) * _SAFE
    top = float(max(values.max(), more.max()))
    law = rounded_law(values / top, weights, 1 / _GRID) + rounded_law(more / top, others, 1 / _GRID)
    return _raised(law, top, float(values.max() + more.max()))


def sum_of_many(weights: Floats, values: Floats, count: int, *, squares: bool) -> tuple[Floats, Floats]:
    """The same of ``count`` >= 1 independent outcomes of one law."""
    weights, values = _merged(weights, values)
    if values.size == 1:
        return weights, values * count * _SAFE
    if count <= _DRAWS and _multisets(values.size, count) <= LISTED:
        return _listed(weights, values, count)
    top = float(values.max())
    if not squares:
        return np.ones(1), np.array([top * count * _SAFE])
    return _raised(rounded_law(values / top, weights, 1 / _GRID).power(count), top, top * count)


def _merged(weights: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Outcomes of positive probability, each once, in order."""
    some = weights > 0
    distinct, place = np.unique(values[some], return_inverse=True)
    return _whole(np.bincount(place, weights[some], distinct.size)), distinct


def _whole(weights: NDArray[Any]) -> Floats:
    return weights / weights.sum()


def _multisets(kinds: int, count: int) -> float:
    """Number of ways to draw ``count`` of ``kinds``, order aside; approximate, and infinite where it is far too large."""
    logarithm = math.lgamma(kinds + count) - math.lgamma(count + 1) - math.lgamma(kinds)
    return math.exp(logarithm) if logarithm < 50 else math.inf


def _listed(weights: Floats, values: Floats, count: int) -> tuple[Floats, Floats]:
    """Every number of outcomes of each kind, one kind after the other: binomial, given what is left to draw."""
    from scipy.special import binom

    left, total, chance = np.array([count]), np.zeros(1), np.ones(1)
    rest = np.cumsum(weights[::-1])[::-1]
    for kind in range(values.size - 1):
        ways = left + 1
        drawn = np.arange(ways.sum()) - np.repeat(np.cumsum(ways) - ways, ways)
        left, total, chance = (np.repeat(array, ways) for array in (left, total, chance))
        share = min(weights[kind] / rest[kind], 1.0)
        chance = chance * (binom(left, drawn) * share**drawn * (1 - share) ** (left - drawn))
        total, left = total + drawn * values[kind], left - drawn
    return _merged(np.maximum(chance, _LEAST), (total + left * values[-1]) * _SAFE)


def _raised(law: Law, unit: float, worst: float) -> tuple[Floats, Floats]:
    """Weights and values, times ``unit``, of which no curve is under that of the true outcomes, at most ``worst``."""
    weights, values = law.components
    values[:-1] += squares_raised_by(values[:-1], law, unit)
    values *= unit
    values[-1] = worst
    return _merged(weights, values * _SAFE)


def squares_raised_by(outcomes: Floats, law: Law, unit: float) -> Floats:
    """What sums of mu^2/unit must be raised by so that no hockey-stick divergence is under the true one.

    A hockey-stick divergence is a convex function of y = 2 Phi(sqrt(x)/2) - 1, whose y'' = -k y' with k = 1/(2 x) + 1/8, so it
    is enough to keep the mean of y: with a rounding of variance v and size at most e around a true x, raising by
    s >= (k/2) e^(k e) (v + s^2) does, for k at x - e. Raising by e, the first-order answer, is always enough.
    """
    # The true outcome is at most the error away from the one on the grid.
    least = (outcomes - 2 * law.error) * unit
    variance, error = law.variance * unit, law.error
    with np.errstate(all="ignore"):
        bend = 0.5 / least + 0.125
        second = 1.1 * bend / 2 * np.exp(bend * error * unit) * variance
        safe = (least > 0) & (second**2 <= 0.05 * variance / unit)
    return np.where(safe, np.minimum(second, error), error)
