"""Langevin unlearning (LU): full-batch noisy gradient descent, bounded through the stationary law (Chien et al. 2024).

D_alpha <= exp(-K eta m/alpha) e_0(alpha) with e_0(alpha) = 4 alpha S^2 M^2/(m sigma^2 n^2) for S points; a stream obeys
e_s(alpha) = exp(-K_s eta m/alpha) (alpha - 1/2)/(alpha - 1) (e_0(2 alpha) + e_(s-1)(2 alpha)), whose orders double every time.

With u = 1/alpha the recursion is a sum of terms, one per request of the past (depth i, the newest has 0):

    exp(-u sum_(l<=i) K_l eta m/2^l) prod_(l<=i) g(u/2^l) 2^(i+1) e_0-unit/u,    g(v) = (1 - v/2)/(1 - v),

the oldest request's with i factors g (l < i) and 2^i. Logarithms of all factors are convex in u, so the sum is, and so is
log(1/delta) u/(1 - u): the best order is the one zero of a derivative, found over real alpha > 1.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.methods.about import About
from accountant.methods.base import CountedStream, FullBatch, Unit, flat, shaped
from accountant.numerics import LARGEST, Floats, Indices, decreasing_root
from accountant.questions import Setup

#: Requests of the past that are followed one by one; the factors of older ones are one to the last digit, or taken as one.
_DEPTH: Final = 128
#: logit(1/alpha) is searched between these.
_RANGE: Final = 690.0
_SAFE: Final = 1 + 1e-12


class _Terms(NamedTuple):
    """The sum of one stream's terms at one noise; arrays (P, T), T terms from the newest request on."""

    #: Decay exponents sum_(l<=i) K_l eta m/2^l.
    decay: Floats
    #: log of the factor of 1/u.
    log_size: Floats
    #: Number of factors g of every term, (T,).
    factors: NDArray[np.int64]


def _log_g(u: Floats, rest: Floats, depth: int) -> tuple[Floats, Floats, Floats]:
    """log g(u/2^l) and its first two derivatives in u, summed over l < i for i = 0 ... depth, (P, depth + 1); rest = 1 - u."""
    scale = 2.0 ** -np.arange(depth)
    v = u[:, None] * scale
    left, half = 1 - v, 1 - v / 2
    if depth:
        left[:, 0] = rest
    by_left, by_half = scale / left, scale / (2 * half)
    parts = (np.log1p(-v / 2) - np.log(left), by_left - by_half, by_left**2 - by_half**2)
    zero = np.zeros((u.size, 1))
    value, slope, bend = (np.hstack([zero, part.cumsum(axis=1)]) for part in parts)
    return value, slope, bend


def _log_terms(terms: _Terms, log_odds: Floats) -> tuple[Floats, Floats, Floats]:
    """log of every term at logit(u), and its first two derivatives in u, each (P, T)."""
    u, rest = _share(log_odds)[:, None], _share(-log_odds)
    with np.errstate(over="ignore", divide="ignore"):
        g, slope, bend = _log_g(u[:, 0], rest, int(terms.factors.max(initial=0)))
        value = terms.log_size + g[:, terms.factors] - terms.decay * u + np.logaddexp(0.0, -log_odds)[:, None]
        return value, slope[:, terms.factors] - terms.decay - 1 / u, bend[:, terms.factors] + 1 / u**2


def _share(log_odds: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -log_odds))


def _best(terms: _Terms, log_delta: Floats, near: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """log epsilon over real orders, the share of it that goes with 1/sigma^2, and logit(1/alpha) of the order; (P,) each.

    ``near``: where the search for the order starts, if something close to it is known.
    """
    log_level = np.log(-log_delta)

    def excess(x: Floats, rows: Indices) -> tuple[Floats, Floats]:
        """Minus the derivative of log epsilon by logit(u), and its derivative."""
        some = _Terms(terms.decay[rows], terms.log_size[rows], terms.factors)
        u, rest = _share(x), _share(-x)
        value, slope, bend = _log_terms(some, x)
        conversion = log_level[rows] + x
        top = np.maximum(value.max(axis=1), conversion)
        weight, own = np.exp(value - top[:, None]), np.exp(conversion - top)
        inner = u * rest  # du/dx
        with np.errstate(over="ignore", invalid="ignore"):
            total = weight.sum(axis=1) + own
            # The conversion level u/(1 - u) is e^x level, its own derivative.
            by_u = (weight * slope).sum(axis=1)
            first = by_u * inner + own
            second = (weight * (slope**2 + bend)).sum(axis=1) * inner**2 + by_u * inner * (rest - u) + own
            ratio = first / total
            return -ratio, ratio**2 - second / total

    # A single request has a minimum near beta = sqrt(level/size), from which the search starts.
    size = np.logaddexp.reduce(terms.log_size, axis=1)
    start = np.clip(0.5 * (size - log_level), -_RANGE, _RANGE) if near is None else near
    bound = np.full(log_delta.size, _RANGE)
    # Every order is valid, and around the best one epsilon is flat.
    x = decreasing_root(excess, start=start, low=-bound, high=bound, floor=1e5)
    value = _log_terms(terms, x)[0]
    divergence = np.logaddexp.reduce(value, axis=1)
    log_epsilon = np.logaddexp(divergence, log_level + x)
    return log_epsilon, np.exp(divergence - log_epsilon), x


class Langevin(FullBatch):
    """D_alpha of noisy gradient descent from log-Sobolev constants; the basic conversion, optimised over real orders."""

    name = "langevin"
    title = "Langevin unlearning"
    source = "Chien, Wang, Chen & Li, Langevin Unlearning, NeurIPS 2024 (arXiv 2401.10371)"
    family = "pnsgd"
    proves = "Renyi unlearning, basic conversion"
    tightest = "optimal"
    about = About(
        "noisy gradient descent", losses="strong", data=("replace", "zero-out"), requests=("one", "group", "stream"),
        code="Graph-COM/Langevin_unlearning", year=2024,
    )  # fmt: skip

    def refusal(self, setup: Setup) -> str | None:
        learned, eta, most = setup.algorithm.learn_epochs, setup.algorithm.eta, 1 / setup.problem.smoothness
        if (reason := super().refusal(setup)) is not None:
            return reason
        if learned is not None:
            return f"learn_epochs must be left out for {self.name}, which is about converged learning, got {learned}"
        if not eta <= most * (1 + 1e-12):
            return f"step_size must be at most 1/smoothness = {most:.10g} for {self.name}, got {eta}"
        return None

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        problem = setup.problem
        return (
            f"every point's loss is {problem.smoothness:g}-smooth and {problem.strong_convexity:g}-strongly convex, the data "
            f"part of its gradient has norm at most {problem.lipschitz:g}",
            "learning and unlearning are full-batch noisy gradient descent; learning has converged",
        )

    def released_std(self, setup: Setup, sigma: float) -> float | None:
        return accumulated_std(setup, sigma)

    def rate(self, setup: Setup) -> float:
        """eta m, what a step adds to the exponent."""
        return setup.algorithm.eta * setup.problem.strong_convexity

    def log_unit(self, setup: Setup) -> float:
        """log of 4 M^2/(m n^2), which S^2/sigma^2 multiplies."""
        problem = setup.problem
        return math.log(4) + 2 * math.log(problem.lipschitz) - math.log(problem.strong_convexity) - 2 * math.log(problem.n)

    def _terms(self, setup: Setup, noise: Floats, count: Floats) -> _Terms:
        """The one term of a single request."""
        log_size = self.log_unit(setup) + 2 * math.log(setup.group_size) - 2 * np.log(noise)
        return _Terms((self.rate(setup) * count)[:, None], log_size[:, None], np.zeros(1, dtype=np.int64))

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        log_epsilon = _best(self._terms(setup, noise, count), np.log(chance))[0]
        return shaped(_exp(log_epsilon), sigma, delta, steps)

    def unproved(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> dict[int, str]:
        return dict.fromkeys(np.flatnonzero(~(epsilon > 0)).tolist(), f"{self.name} never reaches epsilon = 0")

    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        log_delta, log_target = np.log(delta), np.log(epsilon)

        def excess(x: Floats, rows: Indices) -> tuple[Floats, Floats]:
            log_epsilon, share, _ = _best(self._terms(setup, np.exp(x), steps[rows]), log_delta[rows])
            return log_epsilon - log_target[rows], -2 * share

        bound = np.full(epsilon.size, 690.0)
        # Without contraction and order two; Newton's method does the rest.
        start = np.clip(0.5 * (self.log_unit(setup) + np.log(-8 * log_delta) - 2 * log_target), -600, 600)
        return np.exp(decreasing_root(excess, start=start, low=-bound, high=bound, floor=1.0))

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> LangevinStream:
        self.check(setup)
        return LangevinStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta)


class LangevinStream(CountedStream):
    """The recursion over requests; a state of at most 128 of them."""

    def __init__(self, method: Langevin, setup: Setup, *, sigma: float, epsilon: float, delta: float) -> None:
        super().__init__(setup, sigma=sigma, epsilon=epsilon, delta=delta)
        self.rate = method.rate(setup)
        self.log_unit = method.log_unit(setup) - 2 * math.log(self.sigma)
        self.log_delta = np.array([math.log(self.delta)])
        #: Exponents K eta m and log S^2 of the requests followed one by one, newest first.
        self.decays: deque[float] = deque(maxlen=_DEPTH)
        self.log_squares: deque[float] = deque(maxlen=_DEPTH)
        #: log of the sum of 2^(i+1) S_i^2 over requests (2^i for the oldest): at every request, and before the followed ones.
        self.log_totals: deque[float] = deque(maxlen=_DEPTH)
        self.requests = 0
        #: logit(1/alpha) of the order that was best the last time.
        self._order: Floats | None = None

    def _terms(self, count: float, points: float) -> _Terms:
        log_square = 2 * math.log(points)
        decays = np.array([self.rate * count, *self.decays])
        log_squares = np.array([log_square, *self.log_squares])
        size = decays.size
        depth = np.arange(size)
        decay = (decays * 2.0**-depth).cumsum()
        log_size = self.log_unit + log_squares + (depth + 1) * math.log(2)
        factors = depth + 1
        if self.requests + 1 == size:
            log_size[-1] -= math.log(2)
            factors[-1] -= 1
        else:
            # All older requests, as if they had run no steps: the sum up to the oldest that is followed, at its depth.
            log_size[-1] = self.log_unit + depth[-1] * math.log(2) + self.log_totals[-1]
            decay[-1] = decay[-2]
        return _Terms(decay[None], log_size[None], factors)

    def reached(self, count: float, points: float) -> float:
        log_epsilon, _, self._order = _best(self._terms(count, points), self.log_delta, self._order)
        return float(_exp(log_epsilon)[0])

    def advance(self, count: float, points: float) -> None:
        log_square = 2 * math.log(points)
        before = self.log_totals[0] if self.requests else -math.inf
        total = log_square if not self.requests else math.log(2) + float(np.logaddexp(log_square, before))
        self.decays.appendleft(self.rate * count)
        self.log_squares.appendleft(log_square)
        self.log_totals.appendleft(total)
        self.requests += 1


def _exp(log_epsilon: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.exp(log_epsilon) * _SAFE


def accumulated_std(setup: Setup, sigma: float) -> float | None:
    """sqrt(2 eta/(1 - c^2)) sigma, what the noise of all steps adds up to; None without contraction, or beyond 1e300."""
    algorithm = setup.algorithm
    if algorithm.log_contraction == 0:
        return None
    total = algorithm.noise_std(sigma) / math.sqrt(-math.expm1(2 * algorithm.log_contraction))
    return total if total <= LARGEST else None
