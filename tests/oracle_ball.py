"""Exact laws of projected noisy SGD in one dimension: densities in the ball by Gauss's quadrature, and atoms at its two ends.

Losses have gradients m x + M tanh(k x - s), smooth in x, so that the quadrature converges faster than any power. The point that
is deleted pushes one way, the one that takes its place any other.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import ndtr

Array = np.ndarray


@dataclass
class Law:
    """Density at the nodes, and the chances of the ends."""

    density: Array
    ends: Array


@dataclass
class Run:
    """The constants of a run; a step is told the s of its batch's points."""

    radius: float
    eta: float
    sigma: float
    convexity: float
    lipschitz: float
    steepness: float
    nodes: int = 120
    _rule: tuple[Array, Array] = field(init=False)

    def __post_init__(self) -> None:
        x, w = np.polynomial.legendre.leggauss(self.nodes)
        self._rule = x * self.radius, w * self.radius

    @cached_property
    def noise(self) -> float:
        return float(np.sqrt(2 * self.eta) * self.sigma)

    def moved(self, x: Array, pushes: list[float]) -> Array:
        """After a noiseless step on a batch whose points have these s."""
        slope = sum(np.tanh(self.steepness * x - s) for s in pushes) / len(pushes)
        return x - self.eta * (self.convexity * x + self.lipschitz * slope)

    def first(self, x: float, pushes: list[float]) -> Law:
        return self._spread(self.moved(np.array([x]), pushes), np.ones(1))

    def step(self, law: Law, pushes: list[float]) -> Law:
        points, masses = self._points(law)
        return self._spread(self.moved(points, pushes), masses)

    def _points(self, law: Law) -> tuple[Array, Array]:
        x, w = self._rule
        return np.append(x, [-self.radius, self.radius]), np.append(w * law.density, law.ends)

    def _spread(self, means: Array, masses: Array) -> Law:
        return Law(self._density(self._rule[0], means, masses), self._ends(means, masses))

    def _density(self, y: Array, means: Array, masses: Array) -> Array:
        z = (y[:, None] - means[None]) / self.noise
        return np.exp(-z * z / 2) @ masses / (self.noise * np.sqrt(2 * np.pi))

    def _ends(self, means: Array, masses: Array) -> Array:
        below, above = ndtr((-self.radius - means) / self.noise), ndtr((means - self.radius) / self.noise)
        return np.array([below @ masses, above @ masses])

    def run(self, start: float, batches: list[list[float]]) -> tuple[Law, Law]:
        """The laws before and after the last step, (points and masses of the last one's means come from the first)."""
        before, law = None, self.first(start, batches[0])
        for pushes in batches[1:]:
            before, law = law, self.step(law, pushes)
        assert before is not None
        return before, law

    def delta(self, runs: tuple[list[list[float]], list[list[float]]], starts: tuple[float, float], epsilon: float) -> float:
        """The larger hockey-stick divergence of the last laws of two runs."""
        y = np.linspace(-self.radius, self.radius, 6001)
        densities, ends = [], []
        for batches, start in zip(runs, starts, strict=True):
            before, law = self.run(start, batches)
            points, masses = self._points(before)
            densities.append(self._density(y, self.moved(points, batches[-1]), masses))
            ends.append(law.ends)
        (p, q), (a, b), g = densities, ends, np.exp(epsilon)
        return max(
            float(np.trapezoid(np.maximum(u - g * v, 0), y) + np.maximum(e - g * f, 0).sum())
            for u, v, e, f in ((p, q, a, b), (q, p, b, a))
        )
