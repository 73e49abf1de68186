"""What a curve says in an attacker's terms: advantage, accuracy, reconstruction, and how well one mu describes it.

H0 is the run that never had the record, H1 the unlearned one, and f the trade-off function that a guarantee proves: no test
whose type I error is x has a type II error under f(x). Everything here is an upper bound over all attackers, whatever else they
know and however long they compute, and attained by the best one where the guarantee is exact. Results are rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves.gdp import gdp_delta, gdp_epsilon
from accountant.numerics import Floats, number, numbers, plain

#: Rounding of a sum and a product, upwards.
_UP: Final = 1 + 4e-16
#: log of what no probability in double precision is below.
_MOST_EPSILON: Final = 740.0
#: Lines at first, on a logarithmic scale of epsilon, and golden sections of the bracket of the best.
_LINES: Final = 17
_SECTIONS: Final = 26
_GOLDEN: Final = 0.6180339887498949
#: Beyond it a prior is under 1e-26, and so is what it can differ by.
_FAR: Final = 60.0
#: Intervals at first, into how many they are cut, how often at most, and how near the largest difference is found.
_FIRST: Final = 64
_CUT: Final = 4
_CUTS: Final = 12
_MANY: Final = 1 << 14
_NEAR: Final = 1e-9


class _Curve(Protocol):
    """What risk needs of a guarantee."""

    @property
    def delta(self) -> Callable[[Any], Any]: ...
    @property
    def gdp(self) -> Callable[[float], float]: ...


@dataclass(frozen=True, kw_only=True)
class Regret:
    """How well one mu describes a curve, as in reporting by Gaussian differential privacy.

    mu: no attacker's error is smaller than against N(0, 1) and N(mu, 1), but for what has a delta under ``smallest_delta``.
    regret: by how much at most the best attacker's accuracy is lower in truth than mu makes believe, at any prior; 0 is best.
    prior: the smaller chance of the two runs where that happens. smallest_delta: as given.
    """

    mu: float
    regret: float
    prior: float
    smallest_delta: float


class Risks:
    """The questions about attackers that a guarantee answers; see :class:`~accountant.curves.Guarantee`."""

    def advantage(self: _Curve) -> float:
        """Largest difference of true and false positive rate of any test, in [0, 1].

        It is max_x (1 - x - f(x)) = delta(0), the total variation distance (Dong, Roth & Su 2022, Proposition 2.12;
        Kulynych & Gomez et al. 2024, arXiv 2407.02191). On even odds a guess is right with chance (1 + advantage)/2 at most.

        >>> from accountant import Guarantee
        >>> f"{Guarantee('gdp', weights=[1], values=[0.5]).advantage():.6f}"  # 2 Phi(1/4) - 1
        '0.197413'
        """
        return min(float(self.delta(0.0)), 1.0)

    @overload
    def accuracy(self: _Curve, prior: float) -> float: ...
    @overload
    def accuracy(self: _Curve, prior: ArrayLike) -> Floats: ...
    def accuracy(self: _Curve, prior: ArrayLike) -> float | Floats:
        """Largest chance of guessing right which of the two runs a model is from, where it is H1 with chance ``prior``.

        ``prior`` in [0, 1] has any shape. It is max_x (1 - prior) (1 - x) + prior (1 - f(x)), which is 1 - p + p delta(epsilon)
        at e^epsilon = (1 - p)/p, with p the smaller of prior and 1 - prior (Kulynych et al. 2025, arXiv 2507.06969, Proposition
        D.1, as the package riskcal cites it; it follows from the definition of delta). Without the model it is 1 - p.

        >>> from accountant import Guarantee
        >>> Guarantee("gdp", weights=[1], values=[0.5]).accuracy([0.5, 0.1, 0.0]).round(4)
        array([0.5987, 0.9   , 1.    ])
        """
        given = numbers("prior", prior, at_least=0, at_most=1)
        p = np.minimum(given, 1 - given)
        with np.errstate(divide="ignore"):
            odds = np.where(p > 0, np.log1p(-p) - np.log(p), _MOST_EPSILON)
        # A smaller epsilon has a larger delta: the logarithms' own rounding costs nothing but that.
        epsilon = np.clip(odds * (1 - 4e-16) - 4e-16, 0.0, _MOST_EPSILON)
        return plain(np.minimum((1 - p + p * np.asarray(self.delta(epsilon))) * _UP, 1.0))

    @overload
    def reconstruction(self: _Curve, baseline: float) -> float: ...
    @overload
    def reconstruction(self: _Curve, baseline: ArrayLike) -> Floats: ...
    def reconstruction(self: _Curve, baseline: ArrayLike) -> float | Floats:
        """Largest chance 1 - f(baseline) of an attack on the record that without the model succeeds with chance ``baseline``.

        ``baseline`` in [0, 1] has any shape. It is the chance of the best guess, before the model is seen, of what is to be
        found out: who it was, an attribute, the record up to an error. Also the largest true positive rate of a test whose
        false positive rate is ``baseline``. Sources, both second-hand: reconstruction robustness by f, Kaissis et al. 2023
        (arXiv 2307.03928); all such attacks, Kulynych et al. 2025 (arXiv 2507.06969). Proof in the theory, "Attackers".

        >>> from accountant import Guarantee
        >>> Guarantee("gdp", weights=[1], values=[0.5]).reconstruction([0.5, 0.01, 1e-6]).round(6)
        array([6.91462e-01, 3.38990e-02, 1.10000e-05])
        """
        x = numbers("baseline", baseline, at_least=0, at_most=1)
        return plain(np.clip(_by_lines(self.delta, np.ravel(x)).reshape(np.shape(x)), x, 1.0))

    def regret(self: _Curve, smallest_delta: float = 1e-12) -> Regret:
        """How well the one number ``gdp(smallest_delta)`` describes the whole curve; ``smallest_delta`` in (0, 1).

        The regret is the smallest shift r with f(x + r) - r <= G_mu(x) at all x (Gomez et al. 2026, arXiv 2503.10945, by the
        definition in their package gdpnum). By duality r = max over epsilon of (delta_mu - delta)(epsilon)/(1 + e^epsilon), and
        that is the largest difference of accuracy at any prior 1/(1 + e^epsilon). Found from above, within about
        1e-9 delta_mu(0) where delta is convex in e^epsilon, as that of two laws is. InputError where :meth:`gdp` has none.

        >>> from accountant import Guarantee
        >>> of = Guarantee("gdp", weights=[0.9, 0.1], values=[0.1, 0.5]).regret()
        >>> f"mu {of.mu:.4f}, regret {of.regret:.4f}"
        'mu 0.4767, regret 0.0664'
        """
        number("smallest_delta", smallest_delta, above=0, below=1)
        mu = float(self.gdp(smallest_delta))
        if mu == 0:
            return Regret(mu=mu, regret=0.0, prior=0.5, smallest_delta=smallest_delta)
        low, high, epsilon = _largest_difference(self.delta, mu)
        # Under what the rounding of the two curves can make, they are the same; at even odds mu itself claims so much.
        whole = float(gdp_delta(epsilon=0.0, mu=mu))
        regret = 0.0 if low <= 1e-11 * whole else min(high, whole / 2)
        prior = float(1 / (1 + np.exp(epsilon))) if regret else 0.5
        return Regret(mu=mu, regret=regret, prior=prior, smallest_delta=smallest_delta)


def _by_lines(delta: Callable[[Floats], Any], x: Floats) -> Floats:
    """The smallest line above 1 - f at x, (n,), to all digits near zero.

    They are delta(epsilon) + e^epsilon x, for x up to where f(x) = x, and 1 - e^-epsilon (1 - delta(epsilon) - x) beyond, with
    epsilon >= 0. Both are convex in what multiplies x: no point of the search is a wrong bound, and the best is in its bracket.
    """
    # f(x) = x is not known to digits where delta(0) rounds to one; beyond it f(x) < x, and below 1e-15 nothing beside one.
    steep = x <= max((1 - float(delta(np.zeros(1))[0])) / 2, 1e-15)

    def line(epsilon: Floats) -> Floats:
        beside = (1,) * (epsilon.ndim - 1)
        at, d = x.reshape(-1, *beside), np.asarray(delta(epsilon))
        first = d + np.exp(epsilon) * (1 + 1e-13) * at
        second = -np.exp(-epsilon) * (1 - 1e-13) * np.maximum(1 - d - at, 0.0)
        return np.where(steep.reshape(-1, *beside), first, second)

    # Beyond -log x the first is above one; e^-40 is nothing beside one. Where delta is one to all digits there is no slope: the
    # best is to the right, so of as good ones the last is taken.
    top = np.where(steep, -np.log(np.maximum(x, 1e-300)), 40.0)
    grid = np.concatenate([np.zeros((x.size, 1)), top[:, None] * np.geomspace(1e-12, 1, _LINES)], axis=1)
    bound, rows = line(grid), np.arange(x.size)
    lowest = bound.min(axis=1, keepdims=True)
    least = _LINES - np.argmax((bound <= lowest + 1e-12 * np.abs(lowest))[:, ::-1], axis=1)
    low, high = grid[rows, np.maximum(least - 1, 0)], grid[rows, np.minimum(least + 1, _LINES)]
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = line(left), line(right)
    best = np.minimum(bound[rows, least], np.minimum(at_left, at_right))
    for _ in range(_SECTIONS):
        down = at_left < at_right
        low, high = np.where(down, low, left), np.where(down, right, high)
        new = np.where(down, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        found = line(new)
        best = np.minimum(best, found)
        left, right = np.where(down, new, right), np.where(down, left, new)
        at_left, at_right = np.where(down, found, at_right), np.where(down, at_left, found)
    return np.where(steep, best, 1 + best) * _UP


def _largest_difference(delta: Callable[[Floats], Any], mu: float) -> tuple[float, float, float]:
    """A lower and an upper bound of the largest (delta_mu - delta)/(1 + e^epsilon), and the epsilon of the lower one.

    With p = 1/(1 + e^epsilon), p delta is convex in p. So on an interval with a point in between the one of mu is under its
    chords and the other above the continuations of its chords: the difference is largest at one of the three points.
    """
    top = min(float(gdp_epsilon(delta=1e-15, mu=mu)), _FAR)
    edges = np.linspace(0.0, max(top, 1e-300), _FIRST + 1)
    left, right = edges[:-1], edges[1:]
    last = float(gdp_delta(epsilon=top, mu=mu) / (1 + np.exp(top)))
    best, where, outside = 0.0, 0.0, last
    near = _NEAR * float(gdp_delta(epsilon=0.0, mu=mu))
    for _ in range(_CUTS):
        epsilon = np.stack([left, (left + right) / 2, right])
        p = 1 / (1 + np.exp(epsilon))
        above = p * np.asarray(gdp_delta(epsilon=epsilon, mu=mu))
        below = p * np.asarray(delta(epsilon))
        gap = above - below
        found = np.unravel_index(np.argmax(gap), gap.shape)
        if gap[found] > best:
            best, where = float(gap[found]), float(epsilon[found])
        with np.errstate(invalid="ignore", divide="ignore"):
            first = below[1] + (below[1] - below[2]) * (p[0] - p[1]) / (p[1] - p[2])
            second = below[1] + (below[1] - below[0]) * (p[1] - p[2]) / (p[0] - p[1])
        bound = np.fmax(np.fmax(above[0] - first, above[2] - second), gap.max(axis=0))
        open_ = bound > best + near
        outside = max(outside, float(bound[~open_].max(initial=0.0)))
        if not open_.any() or open_.sum() > _MANY:
            outside = max(outside, float(bound.max()))
            break
        cuts = np.linspace(left[open_], right[open_], _CUT + 1)
        left, right = np.ravel(cuts[:-1]), np.ravel(cuts[1:])
    else:
        outside = max(outside, float(bound.max(initial=0.0)))
    return best, max(best, outside), where
