"""Finite precision: what computing in floating point adds to the distance of two runs in every step.

A computed step is r(phi(x) + e(x) + noise): e is the rounding of the gradient step, a function of x that both runs share, and
r the rounding of the result. Two points that were d apart then end at most c d + h + 2 (rho_e + c rho_r) apart, whatever e and
r are within their bounds (docs/theory.md, "Finite precision"). With u the unit roundoff, k the parameters plus the rows of a
batch plus what a step does besides, and gamma = k u/(1 - k u), the bound of sums of products of length k in any order,

    rho_e <= gamma ((1 + eta (L - m)) X + eta M),    rho_r <= gamma X,

X a bound on the norm of the parameters: the radius; or what the regulariser leaves of M and of all noise; or, where neither
bounds them, all steps of learning and unlearning, each of length eta M, and their noise, which grows with their number. The
latter two hold but for a chance of e^-1500 in all, which no delta here resolves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from accountant.numerics import MAX_COUNT, SMALLEST, Floats, UnreachableError
from accountant.problem.algorithm import PNSGD
from accountant.problem.formats import UNITS, gamma
from accountant.problem.loads import load_limit

#: -log of the chance that the norm bound fails.
_CERTAIN: Final = 1500.0
#: Above this epsilon that chance would count.
MAX_EPSILON: Final = 700.0
#: What helps where rounding costs too much.
REMEDIES: Final = "more noise, float64, a larger batch_size or fewer steps would help"


@dataclass(frozen=True)
class Drift:
    """How the norm bound of a run grows that nothing holds back, as what it adds to mu; logs, all for one step.

    first: of what does not depend on the norm, at sigma = 1. drift: of a norm eta M, at sigma = 1. noise: of a norm of one
    step's noise. feedback: log(1 + kappa), by which rounding errors enlarge the norm from step to step.
    """

    first: float
    drift: float
    noise: float
    feedback: float
    dimension: int

    def parts(self, log_steps: Floats) -> tuple[Floats, Floats]:
        """Logs of what all steps add: at sigma = 1, and whatever sigma is."""
        grown = np.exp(log_steps) * self.feedback
        small = np.minimum(grown, 30.0)
        # ((1 + kappa)^N - 1)/kappa, the longest way of N steps of length one.
        way = np.where(grown < 30, np.log(np.expm1(small)), grown) - math.log(math.expm1(self.feedback))
        longest = math.sqrt(self.dimension) + np.sqrt(2 * (_CERTAIN + log_steps))
        first = 0.5 * log_steps + np.logaddexp(self.first, self.drift + way)
        return first, self.noise + log_steps + np.log(longest) + grown


@dataclass(frozen=True)
class Rounding:
    """What rounding adds to mu: a part that falls with sigma, and ``constant``, which does not depend on it.

    log_each: log of the first part at sigma = 1. learned: None where contraction bounds both for ever; otherwise they are those
    of one step, and grow with all steps, so many of which are learning: with their root, or as ``drift`` says.
    """

    log_each: float
    constant: float
    learned: float | None = None
    drift: Drift | None = None

    def mu(self, sigma: float, steps: float = 0.0) -> float:
        """All of it at this noise, after so many steps of unlearning."""
        log_scale, constant = self.parts(np.asarray(steps))
        return math.exp(min(float(log_scale) - math.log(sigma), 709.0)) + float(constant)

    def parts(self, steps: Floats) -> tuple[Floats, Floats]:
        """After so many steps of unlearning: log of the first part at sigma = 1, and the other part."""
        if self.learned is None:
            return np.full(np.shape(steps), self.log_each), np.full(np.shape(steps), self.constant)
        log_steps = np.log(np.maximum(self.learned + steps, 1.0))
        if self.drift is not None:
            first, other = self.drift.parts(log_steps)
            return first, np.exp(np.minimum(other, 709.0))
        return self.log_each + 0.5 * log_steps, self.constant * np.exp(0.5 * log_steps)


def gamma_of(algorithm: PNSGD) -> float:
    """What sums of products lose in the algorithm's format."""
    assert algorithm.rounding is not None
    assert algorithm.dimension is not None
    return gamma(rounding=algorithm.rounding, dimension=algorithm.dimension, rows=_rows(algorithm))


def _rows(algorithm: PNSGD) -> int:
    """The most rows of a step: a full batch, or of own draws what a batch may have, beyond which its chance is paid."""
    if not algorithm.own_draws:
        return algorithm.largest_batch
    assert algorithm.largest_n is not None
    return max(algorithm.largest_batch, int(min(load_limit(algorithm) + 1, float(algorithm.largest_n))))


def _load(algorithm: PNSGD) -> float:
    """The largest batch over the divisor."""
    return _rows(algorithm) / algorithm.largest_batch


def norm_scale(algorithm: PNSGD) -> float:
    """M/m, the size of parameters that a strongly convex problem has; the radius, or all of learning together, where m = 0.

    >>> from accountant import PNSGD, Problem
    >>> norm_scale(PNSGD(Problem(n=10, smoothness=1.0, strong_convexity=0.1, lipschitz=2.0)))
    20.0
    """
    problem = algorithm.problem
    if problem.strong_convexity > 0:
        scale = problem.lipschitz / problem.strong_convexity
        return scale if algorithm.radius is None else min(scale, algorithm.radius)
    if algorithm.radius is not None:
        return algorithm.radius
    steps = math.inf if algorithm.learn_epochs is None else float(algorithm.learn_epochs) * algorithm.steps_per_epoch
    return algorithm.eta * problem.lipschitz * steps


def noise_in_units(algorithm: PNSGD, sigma: float, rounding: str) -> float:
    """Standard deviation of one step's noise in units of the last place of a parameter of the norm scale."""
    scale = norm_scale(algorithm)
    if not 0 < scale < math.inf:
        return math.nan
    return algorithm.noise_std(sigma) / (2 * UNITS[rounding]) / 2.0 ** math.floor(math.log2(scale))


def in_exact_numbers(algorithm: PNSGD) -> PNSGD:
    """The algorithm without rounding, but for the ball, which rounding makes a little larger."""
    if algorithm.rounding is None:
        return algorithm
    return replace(algorithm, rounding=None, radius=None if algorithm.radius is None else algorithm.diameter / 2)


@lru_cache(maxsize=256)
def rounding_of(algorithm: PNSGD) -> Rounding | None:
    """What rounding costs in all steps of a run, learning included; None where no format is set.

    Raises UnreachableError where learning never ends and nothing bounds what piles up in it, InputError where the format loses
    every digit.
    """
    if algorithm.rounding is None:
        return None
    problem, eta, loss = algorithm.problem, algorithm.eta, gamma_of(algorithm)
    learned = None if algorithm.learn_epochs is None else float(algorithm.learn_epochs) * algorithm.steps_per_epoch
    load = _load(algorithm)
    longest, steepness = eta * problem.lipschitz * load, eta * (problem.smoothness - problem.strong_convexity) * load
    gap = _gap_of_norms(algorithm)
    left = 1 - loss * (2 + steepness) / gap if gap > 0 else 0.0
    # Of the parameters' norm: what does not depend on the noise, and the part of unit noise.
    noise_norm = 0.0
    if algorithm.radius is not None:
        norm = algorithm.radius * (1 + loss)
    elif left > 0:
        norm = longest * (1 + loss) / gap / left
        assert algorithm.dimension is not None
        surely = math.sqrt(algorithm.dimension) + math.sqrt(2 * (_CERTAIN + _log_age(algorithm)))
        # Errors feed back into the norm from steps long ago, which may have been longer: hence left twice.
        noise_norm = math.sqrt(2 * eta / (gap * (2 - gap))) * surely / left**2
    elif learned is not None:
        return _drifting(algorithm, loss, learned, longest=longest, touched=2 + steepness)
    else:
        raise UnreachableError(
            f"rounding={algorithm.rounding} of endless learning is not bounded, because nothing bounds the parameters: "
            "learn_epochs, a radius or a larger strong_convexity would; nothing is promised"
        )
    if algorithm.log_contraction < 0:
        # How much longer than one step it is looked at, on average.
        learned, gathered = None, 0.5 * (math.log1p(math.exp(algorithm.log_contraction)) - _log_gap(algorithm))
    elif learned is not None:
        gathered = 0.0
    else:
        raise UnreachableError(
            f"rounding={algorithm.rounding} without contraction needs learn_epochs: it piles up; nothing is promised"
        )
    each = math.log(2 * loss) + gathered - algorithm.log_unit_noise
    moved = (2 + steepness) * norm + longest
    constant = math.exp(min(each + math.log((2 + steepness) * noise_norm), 709.0)) if noise_norm > 0 else 0.0
    return Rounding(each + math.log(max(moved, SMALLEST)), constant, learned)


def _drifting(algorithm: PNSGD, loss: float, learned: float, *, longest: float, touched: float) -> Rounding:
    """Where the parameters may move away for as long as it runs (docs/theory.md, "Finite precision").

    longest: eta M, the longest step; touched: 2 + eta (L - m), by how much a step's roundings go with the norm.
    """
    assert algorithm.dimension is not None
    first = math.log(2 * loss) + math.log(longest) - algorithm.log_unit_noise
    drift = Drift(
        first=first,
        drift=first + math.log(touched * (1 + loss) / (1 - loss)),
        noise=math.log(2 * loss * touched),
        feedback=math.log1p(loss * touched / (1 - loss)),
        dimension=algorithm.dimension,
    )
    log_each, log_constant = (float(part) for part in drift.parts(np.zeros(())))
    return Rounding(log_each, math.exp(min(log_constant, 709.0)), learned, drift)


def _gap_of_norms(algorithm: PNSGD) -> float:
    """1 - |1 - eta m|, by how much the regulariser shrinks the parameters in a step."""
    from fractions import Fraction

    shrunk = Fraction(algorithm.eta) * Fraction(algorithm.problem.strong_convexity)
    return float(max(min(shrunk, 2 - shrunk), Fraction(0)))


def _log_age(algorithm: PNSGD) -> float:
    """log((1 + r)(2 + r)) of the steps r before the end, averaged as rounding counts them; without contraction its maximum."""
    if algorithm.log_contraction < 0:
        return math.log(2) - 2 * _log_gap(algorithm)
    learned = math.inf if algorithm.learn_epochs is None else float(algorithm.learn_epochs) * algorithm.steps_per_epoch
    return 2 * math.log(learned + MAX_COUNT + 2)


def _log_gap(algorithm: PNSGD) -> float:
    """log(1 - c)."""
    return math.log(-math.expm1(algorithm.log_contraction))
