"""Exact laws of noisy steps in one dimension along gradients that are powers of distances, from the definition alone.

A loss is a sum of pieces c |x - b|^(1 + kappa)/(1 + kappa), c > 0 for convex ones: its gradient c sign(x - b) |x - b|^kappa
has the Hoelder constant |c| 2^(1 - kappa), attained between points on both sides of b, and sums of pieces the sum of theirs.
The law after each step is integrated over the one before it with Gauss and Legendre's nodes on panels that end at the kinks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

#: Nodes of a panel, which is at most two of the noise's standard deviations long, and the most panels that are tried.
NODES, PANELS = 10, 300


@dataclass
class Power:
    """step: gamma; decay: lambda; kappa, weights and places (m,) of the pieces."""

    step: float
    decay: float
    kappa: float
    weights: np.ndarray
    places: np.ndarray

    @property
    def constant(self) -> float:
        return float(np.abs(self.weights).sum()) * 2 ** (1 - self.kappa)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        apart = np.subtract.outer(x, self.places)
        return (np.sign(apart) * np.abs(apart) ** self.kappa) @ self.weights

    def after(self, x: np.ndarray) -> np.ndarray:
        return (1 - self.step * self.decay) * x - self.step * self.gradient(x)

    def divergence(self, start: float, other: float, sigma: float, steps: int, epsilon: float) -> float:
        """The larger of the two hockey-stick divergences of the laws after so many steps."""
        if steps == 1:
            ends = self.after(np.array([start, other]))
            return gaussian(abs(float(ends[0] - ends[1])) / sigma, epsilon)
        laws = [self._law(np.array([each]), np.ones(1), steps, sigma, start, other) for each in (start, other)]
        (_, width, p), (_, _, q) = laws
        e = math.exp(epsilon)
        return float(max(width @ np.maximum(p - e * q, 0), width @ np.maximum(q - e * p, 0)))

    def _law(
        self, points: np.ndarray, masses: np.ndarray, steps: int, sigma: float, *starts: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reach = np.array(starts)
        for _ in range(steps):
            # Both runs have the same nodes in every step.
            reach = self.after(np.array([reach.min(), reach.max(), *self.places.clip(reach.min(), reach.max())]))
            low, high = reach.min() - 7.5 * sigma, reach.max() + 7.5 * sigma
            # Where a step stretches, what it is the law of is as much narrower.
            slope = 1 + self.step * self.constant * sigma ** (self.kappa - 1)
            nodes, width = panels(low, high, self.places, 2 * sigma / slope)
            kernel = np.exp(-0.5 * np.square(np.subtract.outer(nodes, self.after(points)) / sigma)) / (
                sigma * math.sqrt(2 * math.pi)
            )
            law = kernel @ masses
            points, masses, reach = nodes, law * width, np.array([low, high])
        return nodes, width, law


class TooWideError(Exception):
    """The laws spread over too many panels."""


def panels(low: float, high: float, breaks: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    count = math.ceil((high - low) / longest)
    if count > PANELS:
        raise TooWideError
    # Powers are rough near their kinks: panels halve towards them.
    near = np.outer([-1, 1], longest / 2.0 ** np.arange(1, 12)).ravel()
    kinks = np.concatenate([breaks, np.add.outer(breaks, near).ravel()])
    ends = np.unique(np.concatenate([np.linspace(low, high, count + 1), kinks[(kinks > low) & (kinks < high)]]))
    x, w = np.polynomial.legendre.leggauss(NODES)
    half = np.diff(ends) / 2
    return ((ends[:-1] + half)[:, None] + half[:, None] * x).ravel(), (half[:, None] * w).ravel()


def gaussian(mu: float, epsilon: float) -> float:
    if mu == 0:
        return 0.0
    return float(ndtr(-epsilon / mu + mu / 2) - math.exp(epsilon) * ndtr(-epsilon / mu - mu / 2))


def random_power(rng: np.random.Generator, *, convex: bool) -> Power:
    kappa = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.02, 0.98))
    step, count = float(10 ** rng.uniform(-1, 0.3)), int(rng.integers(1, 4))
    weights = rng.uniform(0.2, 2, size=count)
    if not convex:
        weights = weights * np.where(rng.random(count) < 0.7, -1.0, 1.0)
    decay = 0.0 if rng.random() < 0.5 else float(rng.uniform(0, 0.9)) / step
    return Power(step, decay, kappa, weights, rng.normal(size=count) * 0.4)
