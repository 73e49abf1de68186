"""Shifts for maps that are no contraction: a modulus of continuity of one step is enough (docs/theory.md, "Any modulus").

If ||phi(x) - phi(y)|| <= omega(||x - y||) for both runs' common map, omega non-decreasing, every choice of shifts a_k >= 0 with
z_k = omega(z_{k-1}) - a_k >= 0 and z_N = 0 proves mu^2 = sum_k (a_k/nu)^2 (shifted interpolation). Once the runs have met nothing
more is paid, so N steps prove what the best number of steps up to N proves.

Each modulus here is that of one step with constants that stay; distances have the units of the parameters, nu = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from accountant.numerics import Floats

#: Relative width to which the last shift is searched.
_NARROW: Final = 2.0**-50
_MOST: Final = 400


class Modulus(Protocol):
    """How far apart one noiseless step maps points that are z apart, and its inverse; scalars."""

    def after(self, z: float) -> float: ...
    def before(self, z: float) -> float:
        """The largest distance that a step maps to at most ``z``; negative where even 0 is mapped further apart."""
        ...

    def slope(self, z: float) -> float: ...


@dataclass(frozen=True)
class Clipped:
    """omega(z) = rho z + gap: clipped gradients of any loss, rho = 1 - step_size weight_decay, gap = 2 step_size gradient_clip."""

    rho: float
    gap: float

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

    def after(self, z: float) -> float:
        return self.c * z

    def before(self, z: float) -> float:
        return z / self.c

    def slope(self, z: float) -> float:
        return self.c


@dataclass(frozen=True)
class Nonsmooth:
    """omega(z) = sqrt(rho^2 z^2 + gap^2), gap = 2 step_size lipschitz: convex losses without smoothness, one rule of subgradients."""

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


@dataclass(frozen=True)
class Hoelder:
    """omega(z) = z + gap z^kappa: gradients with ||grad f(x) - grad f(y)|| <= L z^kappa, gap = step_size L, 0 < kappa < 1."""

    gap: float
    kappa: float

    def after(self, z: float) -> float:
        return z + self.gap * z**self.kappa if z > 0 else 0.0

    def before(self, z: float) -> float:
        if z <= 0:
            return 0.0
        low, high = 0.0, z
        for _ in range(200):
            x = 0.5 * (low + high)
            low, high = (x, high) if self.after(x) <= z else (low, x)
            if high - low <= 4e-16 * high:
                break
        return low

    def slope(self, z: float) -> float:
        return 1 + self.gap * self.kappa * z ** (self.kappa - 1) if z > 0 else math.inf


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
    rho, gap = modulus.rho, modulus.gap
    if gap == 0:
        return math.inf
    if rho == 1:
        return start / gap
    far = gap / (1 - rho)
    return math.inf if start >= far else math.log1p(-start / far) / math.log(rho) if rho > 0 else 1.0


def clipped_mu(modulus: Clipped, start: float, steps: Floats) -> Floats:
    """mu at unit noise of the chord over so many steps >= 1: (A + rho^N (z0 - A)) sqrt((1 - rho^2)/(1 - rho^(2N))), A = gap/(1-rho).

    The chord is feasible for every number of steps (all shifts up to the meeting are proportional to the weights).
    """
    n = np.asarray(steps, dtype=np.float64)
    rho, gap = modulus.rho, modulus.gap
    if rho == 1:
        return (start + gap * n) / np.sqrt(n)
    if rho == 0:
        return np.full(n.shape, gap) if gap else np.where(n > 0, gap, start)
    log_rho = math.log(rho)
    gone = -np.expm1(n * log_rho)  # 1 - rho^N
    reached = gap * gone / (1 - rho) + np.exp(n * log_rho) * start
    return reached * np.sqrt((1 - rho * rho) / -np.expm1(2 * n * log_rho))


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


def shot(modulus: Modulus, start: float, steps: int) -> tuple[float, list[float]]:
    """mu at unit noise, and shifts a_1 ... a_N that prove it, of ``steps`` >= 1 steps from ``start`` > 0 apart.

    Backwards: z_N = 0; from z_k and a_k the distance before is z_{k-1} = omega^-1(z_k + a_k), and the stationary sequence has
    a_{k-1} = a_k omega'(z_{k-1}). The last shift is searched for which z_0 is the start; what is returned is made feasible
    forwards, so that it holds whatever the search found.
    """

    def backwards(last: float) -> tuple[float, list[float]]:
        z, a = 0.0, last
        shifts: list[float] = []
        for _ in range(steps):
            z = modulus.before(z + a)
            if z < 0:
                return -1.0, shifts
            shifts.append(a)
            if z >= start:
                break
            a *= modulus.slope(z)
        return z, shifts

    high = modulus.after(start)
    low = 0.0
    for _ in range(_MOST):
        middle = 0.5 * (low + high)
        z, _ = backwards(middle)
        low, high = (low, middle) if z >= start else (middle, high)
        if high - low <= _NARROW * high:
            break
    return feasible(modulus, start, backwards(high)[1][::-1], steps)


def feasible(modulus: Modulus, start: float, wanted: list[float], steps: int) -> tuple[float, list[float]]:
    """mu and shifts of the sequence that begins with the wanted shifts and ends where the runs meet, at the last step at latest."""
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
    return math.sqrt(total) * (1 + 2.0**-50 * (1 + len(shifts))), shifts
