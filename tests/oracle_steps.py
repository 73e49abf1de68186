"""Exact laws of noisy steps in one dimension, and formulas written down a second time, for the tests of common steps.

Two runs start at two points and take the same noisy steps. On a grid of width h whatever is rounded to the grid after each step
is a system of its own, whose maps move points at most as far apart as those of the unrounded one do from h further apart.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np
from scipy.special import ndtr


@dataclass
class Walk:
    """Noisy steps on a grid from -reach to reach; the ends hold what is beyond, which clips where reach is a radius."""

    reach: float
    cells: int = 1201

    @property
    def grid(self) -> np.ndarray:
        return np.linspace(-self.reach, self.reach, self.cells)

    @property
    def width(self) -> float:
        return 2 * self.reach / (self.cells - 1)

    def noise(self, sigma: float, points: np.ndarray) -> np.ndarray:
        """Laws (points, cells) of each point and noise, rounded to the grid."""
        edges = self.grid[:-1] + self.width / 2
        below = ndtr((edges[None] - points[:, None]) / sigma)
        return np.diff(below, axis=1, prepend=0.0, append=1.0)

    def laws(
        self, step: Callable[[np.ndarray], np.ndarray], sigma: float, starts: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two laws after so many steps >= 1 of one map and noise, from two points that need not be on the grid."""
        p, q = self.noise(sigma, step(starts))
        kernel = self.noise(sigma, step(self.grid))
        for _ in range(steps - 1):
            p, q = p @ kernel, q @ kernel
        return p, q

    def start(self, x: float) -> np.ndarray:
        law = np.zeros(self.cells)
        law[int(np.abs(self.grid - x).argmin())] = 1.0
        return law


def hockey(p: np.ndarray, q: np.ndarray, epsilon: float) -> float:
    """The larger of the two divergences."""
    return max(np.maximum(p - math.exp(epsilon) * q, 0).sum(), np.maximum(q - math.exp(epsilon) * p, 0).sum())


def random_clipped(rng: np.random.Generator, rho: float, gap: float) -> Callable[[np.ndarray], np.ndarray]:
    """A map of modulus rho z + gap: steps of a clipped gradient, the double well and other worst cases among them."""
    kind = rng.integers(4)
    if kind == 0:
        at = rng.normal() * 0.1
        return lambda x: rho * x + gap / 2 * np.where(x >= at, 1.0, -1.0)
    if kind == 1:
        slope = float(rng.uniform(1, 30))
        return lambda x: rho * x + gap / 2 * np.clip(slope * x, -1, 1)
    if kind == 2:
        # The double well (x^2 - 1)^2, clipped.
        return lambda x: rho * x + gap / 2 * np.clip(-4 * x * (x * x - 1), -1, 1)
    knots = np.sort(rng.normal(size=3))
    signs = rng.choice([-1.0, 1.0], size=4)
    return lambda x: rho * x + gap / 2 * signs[np.searchsorted(knots, x)]


def random_convex(rng: np.random.Generator, rho: float, gap: float) -> Callable[[np.ndarray], np.ndarray]:
    """A step along subgradients of slope at most gap/2 of a convex, piecewise linear loss, with decay."""
    knots = np.sort(rng.normal(size=int(rng.integers(1, 4))) * 0.5)
    slopes = np.sort(rng.uniform(-1, 1, size=knots.size + 1))
    slopes[0], slopes[-1] = -1.0, 1.0
    return lambda x: rho * x - gap / 2 * slopes[np.searchsorted(knots, x)]


def random_smooth(rng: np.random.Generator, c: float) -> Callable[[np.ndarray], np.ndarray]:
    """A map of Lipschitz constant c > 1: steps of a smooth loss that curves down here and there."""
    at, size = rng.normal() * 0.3, float(rng.uniform(0.2, 1))
    if rng.random() < 0.5:
        return lambda x: c * x
    return lambda x: x + (c - 1) * size * np.sin((x - at) / size)


def theta(epsilon: mp.mpf, mu: mp.mpf) -> mp.mpf:
    return mp.ncdf(-epsilon / mu + mu / 2) - mp.exp(epsilon) * mp.ncdf(-epsilon / mu - mu / 2)


def chain(epsilon: float, mus: list[float]) -> mp.mpf:
    """delta after blocks, by the formula as it stands, with digits to spare."""
    with mp.workdps(600):
        delta = mp.mpf(1)
        for mu in mus:
            delta *= theta(mp.log(1 + mp.expm1(mp.mpf(epsilon)) / delta), mp.mpf(mu))
        return delta


def least_string(after: Callable[[float], float], start: float, steps: int) -> float:
    """The smallest mu over all shifts on a grid of distances, by dynamic programming backwards; rounded up by the grid."""
    grid = np.linspace(0, max(start, after(start)) * 1.05, 1501)
    reached = np.array([after(z) for z in grid])
    # cost[z]: of the steps that are left, from z apart; they have met at 0, and more steps are post-processing.
    cost = np.where(grid > 0, np.inf, 0.0)
    for _ in range(steps):
        a = reached[:, None] - grid[None]
        total = np.where(a >= 0, a * a + cost[None], np.where(grid[None] - reached[:, None] < grid[1], cost[None], np.inf))
        cost = np.minimum(total.min(axis=1), np.where(grid > 0, np.inf, 0.0))
    return float(np.sqrt(np.interp(start, grid, cost)))
