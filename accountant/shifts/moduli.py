"""Shifts for maps that are no contraction: a modulus of continuity of one step is enough (docs/theory.md, "Any modulus").

If ||phi(x) - phi(y)|| <= omega(||x - y||) for both runs' common map, omega non-decreasing, every choice of shifts a_k >= 0
with z_k = omega(z_{k-1}) - a_k >= 0 and z_N = 0 proves mu^2 = sum_k (a_k/nu)^2 (shifted interpolation). Once the runs have met
nothing more is paid, so N steps prove what the best number of steps up to N proves.

Each modulus here is that of one step with constants that stay; distances have the units of the parameters, nu = 1.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from accountant.numerics import Floats

#: What a sum that is too large to hold is taken for.
_HUGE: Final = 1e300


class Modulus(Hashable, Protocol):
    """How far apart one noiseless step maps points that are z apart, and its inverse; scalars."""

    def after(self, z: float) -> float: ...
    def before(self, z: float) -> float:
        """The largest distance that a step maps to at most ``z``; negative where even 0 is mapped further apart."""
        ...

    def slope(self, z: float) -> float: ...


@dataclass(frozen=True)
class Clipped:
    """omega(z) = rho z + gap: clipped gradients of any loss; rho = 1 - step_size weight_decay, gap = 2 step_size
    gradient_clip."""

    rho: float
    gap: float
    #: 1 - rho where it is known to more digits than rho itself says.
    decay: float | None = None

    @property
    def lost(self) -> float:
        """1 - rho."""
        return 1 - self.rho if self.decay is None else self.decay

    @property
    def log_rho(self) -> float:
        if self.rho < 0.5:
            return math.log(self.rho) if self.rho > 0 else -math.inf
        return math.log1p(-self.lost)

    def after(self, z: float) -> float:
        return self.rho * z + self.gap

    def before(self, z: float) -> float:
        return (z - self.gap) / self.rho if self.rho > 0 else (math.inf if z >= self.gap else -1.0)

    def slope(self, z: float) -> float:
        return self.rho


@dataclass(frozen=True)
class Smooth:
    """omega(z) = c z, c = 1 + step_size smoothness: smooth losses without convexity."""

    c: float
    #: c - 1 where it is known to more digits than c itself says.
    growth: float | None = None

    @property
    def log_c(self) -> float:
        return math.log1p(self.c - 1 if self.growth is None else self.growth)

    def after(self, z: float) -> float:
        return self.c * z

    def before(self, z: float) -> float:
        return z / self.c

    def slope(self, z: float) -> float:
        return self.c


@dataclass(frozen=True)
class Nonsmooth:
    """omega(z) = sqrt(rho^2 z^2 + gap^2): convex losses that are not smooth, one rule of subgradients; gap = 2 step_size
    lipschitz."""

    rho: float
    gap: float

    def after(self, z: float) -> float:
        return math.hypot(self.rho * z, self.gap)

    def before(self, z: float) -> float:
        if z < self.gap:
            return -1.0
        return math.sqrt((z - self.gap) * (z + self.gap)) / self.rho

    def slope(self, z: float) -> float:
        whole = self.after(z)
        return self.rho * self.rho * z / whole if whole > 0 else self.rho

    def back(self, y: float, most: int, stop: float) -> tuple[float, float, int]:
        """:func:`~accountant.shifts.shooting.back` without calls: a million steps in a fifth of a second."""
        square, gap, sqrt = self.rho * self.rho, self.gap * self.gap, math.sqrt
        z, a, count = y, square * y, 1
        inverse = 1 / self.rho
        while count < most and z < stop:
            whole = z + a
            left = whole * whole - gap
            if left < 0:
                return -1.0, a, count
            z = sqrt(left) * inverse
            a *= square * z / whole
            count += 1
        return z, a, count


@dataclass(frozen=True)
class Hoelder:
    """omega(z) = rho z + gap z^kappa: gradients with ||grad f(x) - grad f(y)|| <= L z^kappa, 0 < kappa < 1,
    gap = step_size L."""

    gap: float
    kappa: float
    rho: float = 1.0

    def after(self, z: float) -> float:
        return self.rho * z + self.gap * z**self.kappa if z > 0 else 0.0

    def before(self, z: float) -> float:
        if z <= 0:
            return 0.0
        low, high = 0.0, z
        while self.after(high) < z:
            low, high = high, 2 * high
        for _ in range(200):
            x = 0.5 * (low + high)
            low, high = (x, high) if self.after(x) <= z else (low, x)
            if high - low <= 4e-16 * high:
                break
        return low

    def slope(self, z: float) -> float:
        return self.rho + self.gap * self.kappa * z ** (self.kappa - 1) if z > 0 else math.inf


@dataclass(frozen=True)
class Least:
    """The smaller of several moduli that all hold."""

    moduli: tuple[Modulus, ...]

    def after(self, z: float) -> float:
        return min(each.after(z) for each in self.moduli)

    def before(self, z: float) -> float:
        return max(each.before(z) for each in self.moduli)

    def slope(self, z: float) -> float:
        return min(self.moduli, key=lambda each: each.after(z)).slope(z)


def best_stop(modulus: Clipped, start: float) -> float:
    """N* (a real number, +inf if there is none) after which more clipped steps only cost: the meeting is cheapest there."""
    gap, lost = modulus.gap, modulus.lost
    if gap == 0:
        return math.inf
    if lost == 0:
        return start / gap
    far = gap / lost
    return math.inf if start >= far else math.log1p(-start / far) / modulus.log_rho if lost < 1 else 1.0


def _sums(log_rate: float, n: Floats) -> tuple[Floats, Floats]:
    """1 + r + ... + r^(n-1) and 1 + r^2 + ... + r^(2(n-1)) of r = exp(log_rate)."""
    if log_rate == 0:
        return n, n
    with np.errstate(over="ignore"):
        return np.expm1(n * log_rate) / math.expm1(log_rate), np.expm1(2 * n * log_rate) / math.expm1(2 * log_rate)


def clipped_mu(modulus: Clipped, start: float, steps: Floats) -> Floats:
    """mu at unit noise of the chord over so many steps >= 1: S/sqrt(t), S = rho^N z0 + gap (1 + ... + rho^(N-1)),
    t = 1 + rho^2 + ... + rho^(2(N-1)).

    Shifts proportional to the weights of their steps, up to where the runs meet, are feasible for every number of steps.
    """
    n = np.asarray(steps, dtype=np.float64)
    if modulus.lost >= 1:
        return np.full(n.shape, modulus.gap)
    moved, squares = _sums(modulus.log_rho, n)
    return (np.exp(n * modulus.log_rho) * start + modulus.gap * moved) / np.sqrt(squares)


def best_clipped_mu(modulus: Clipped, start: float, steps: Floats) -> Floats:
    """The smallest of :func:`clipped_mu` over 1 ... steps; it falls up to N* and rises after."""
    n = np.asarray(steps, dtype=np.float64)
    stop = best_stop(modulus, start)
    if math.isinf(stop):
        return clipped_mu(modulus, start, n)
    low = max(math.floor(stop), 1.0)
    best = np.minimum(n, low)
    return np.where(n > low, np.minimum(clipped_mu(modulus, start, best), clipped_mu(modulus, start, best + 1)),
                    clipped_mu(modulus, start, best))  # fmt: skip


def smooth_mu(modulus: Smooth, start: float, steps: Floats) -> Floats:
    """mu at unit noise of ``steps`` >= 1 steps: start/sqrt(c^-2 + c^-4 + ... + c^(-2 N)); more steps never cost."""
    return start / np.sqrt(_waiting(modulus, np.asarray(steps, dtype=np.float64)))


def _waiting(modulus: Smooth, n: Floats) -> Floats:
    """c^-2 + ... + c^(-2 n), 0 for n = 0."""
    log_c = modulus.log_c
    if log_c == 0:
        return n
    with np.errstate(over="ignore"):
        return np.minimum(-np.expm1(-2 * log_c * n) / np.expm1(2 * log_c), _HUGE)


def smooth_clipped(smooth: Smooth, clipped: Clipped, start: float, steps: Floats) -> tuple[Floats, Floats]:
    """mu at unit noise where both moduli hold, and how many of the steps are clipped ones, while the models are far apart.

    omega is concave: for any fixed choice of tangents, one a step, shifts proportional to the weights prove S/sqrt(t) (up to
    where the runs meet). As distances fall, the choice is how many of the first steps are clipped ones; the best number is
    searched, row by row. Smooth ones after the best stop cost nothing.
    """
    n = np.asarray(steps, dtype=np.float64)

    def mu(first: Floats) -> Floats:
        moved, squares = _sums(clipped.log_rho, first) if clipped.lost < 1 else (np.minimum(first, 1.0),) * 2
        left = np.exp(first * clipped.log_rho) if clipped.lost < 1 else np.where(first > 0, 0.0, 1.0)
        with np.errstate(divide="ignore"):
            return (left * start + clipped.gap * moved) / np.sqrt(squares + _waiting(smooth, n - first))

    low, high = np.zeros_like(n), n.copy()
    while np.any(high - low > 2):
        third = np.floor((high - low) / 3)
        left, right = low + third, high - third
        less = mu(left) <= mu(right)
        low, high = np.where(less, low, left), np.where(less, right, high)
    stop = np.minimum(n, max(math.floor(min(best_stop(clipped, start), _HUGE)), 1.0))
    tried = np.stack([low, np.minimum(low + 1, n), high, np.zeros_like(n), stop, np.minimum(stop + 1, n)])
    found = np.stack([mu(each) for each in tried])
    best = found.argmin(axis=0)[None]
    return np.take_along_axis(found, best, 0)[0], np.take_along_axis(tried, best, 0)[0]
