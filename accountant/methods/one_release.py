"""One Gaussian on the model that SGD without noise has left, batch by batch: the deleted point's batch is averaged over.

Both runs visit the same batches in the same order. Given the batch j of the deleted point their models are at most d_j apart,
so the releases are mu_j-GDP with mu_j = d_j/sigma, and delta(epsilon) <= sum_j (|B_j|/n) delta(epsilon; mu_j): joint
convexity.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final

import numpy as np

from accountant.curves import MARGIN, MAX_MU, mixture_log_scale, mixture_tail, mixture_tail_epsilon, probability, rounded_up
from accountant.methods.base import ROUNDING, CountedStream, Searched, Unit, flat, schedule_refusal, shaped
from accountant.numerics import SMALLEST, Floats, Indices, geometric_sum, log_power
from accountant.questions import Setup

#: Distances that are held at once.
_AT_ONCE: Final = 4_000_000


class OneRelease(Searched):
    """mu_j-GDP per batch j: subclasses bound how far apart the two models are after so many steps."""

    noise = "one N(0, sigma^2 I) on the released model"
    default_batches = "random"
    source = "docs/theory.md, Rewinding; the exact Gaussian mechanism of Balle & Wang 2018"
    proves = "mu-GDP per batch order"

    @abstractmethod
    def log_distances(self, setup: Setup, steps: Floats) -> Floats:
        """log d_j for one deleted point in each batch, (P,) -> (P, J), rounded up; -inf where the models are equal."""

    def refusal(self, setup: Setup) -> str | None:
        algorithm = setup.algorithm
        if algorithm.own_draws:
            return f"assignment must be partition for {self.name}, which visits one partition, got {algorithm.assignment}"
        if algorithm.rounding is not None:
            return (
                f"rounding must be left out for {self.name}, whose formula knows exact numbers only, got {algorithm.rounding}"
            )
        if setup.batches not in (None, "random", "worst"):
            return f"batches must be random or worst for {self.name}, got {setup.batches}"
        return schedule_refusal(self.name, setup)

    def released_std(self, setup: Setup, sigma: float) -> float:
        # What needs no noise has none.
        return sigma if sigma > SMALLEST else 0.0

    def shape(self, setup: Setup) -> str:
        """What is assumed of every point's loss."""
        problem = setup.problem
        convexity = f"{problem.strong_convexity:g}-strongly convex" if problem.strong_convexity > 0 else "convex"
        return (
            f"every point's loss is {problem.smoothness:g}-smooth and {convexity}, the data part of its gradient has norm at "
            f"most {problem.lipschitz:g}"
        )

    def together(self, setup: Setup) -> str:
        """Where several points are taken to be, as the end of a sentence; nothing where there is nothing to say."""
        several = setup.group_size > 1 and setup.algorithm.steps_per_epoch > 1
        return "; all points that leave together are taken to be in the worst batch" if several else ""

    def components(self, setup: Setup, steps: Floats) -> tuple[Floats, Floats]:
        """log weights (C,) and log distances (P, C): of every batch, or of the worst one, which several points share."""
        distances = self.log_distances(setup, steps)
        algorithm, points = setup.algorithm, setup.group_size
        if points > 1 or setup.batches == "worst" or distances.shape[1] == 1:
            log_points = math.log(points)
            worst = distances.max(axis=1, keepdims=True) + log_points
            return np.zeros(1), worst + ROUNDING * (1 + np.where(np.isfinite(worst), np.abs(worst), 0.0))
        sizes = algorithm.private_sizes(np.arange(algorithm.steps_per_epoch))
        weights = np.log(sizes / algorithm.private_records)
        return weights, distances

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        result = np.full(noise.size, np.inf)
        for rows in _chunks(setup, noise.size):
            weights, distances = self.components(setup, count[rows])
            log_mu = _log_mu(distances, noise[rows])
            some = np.flatnonzero(log_mu.max(axis=1) < math.log(MAX_MU) - 1)
            if some.size:
                result[rows[some]] = mixture_tail_epsilon(np.log(chance[rows[some]]), weights, rounded_up(log_mu[some]))
        return shaped(result, sigma, delta, steps)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        noise, target, count = flat(sigma, epsilon, steps)
        result = np.ones(noise.size)
        for rows in _chunks(setup, noise.size):
            weights, distances = self.components(setup, count[rows])
            log_mu = _log_mu(distances, noise[rows])
            some = np.flatnonzero(log_mu.max(axis=1) < math.log(MAX_MU) - 1)
            if some.size:
                tail = mixture_tail(target[rows[some]], weights, rounded_up(log_mu[some]))
                result[rows[some]] = probability(tail.log_delta)
        return shaped(result, sigma, epsilon, steps)

    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        result = np.zeros(epsilon.size)
        for rows in _chunks(setup, epsilon.size):
            weights, distances = self.components(setup, steps[rows])
            largest = distances.max(axis=1)
            apart = np.flatnonzero(largest > -np.inf)
            if apart.size:
                at = rows[apart]
                shape = distances[apart] - largest[apart, None]
                most = mixture_log_scale(epsilon[at], np.log(delta[at]), weights, shape)
                with np.errstate(over="ignore"):
                    result[at] = np.exp(largest[apart] - most + MARGIN)
        return result


def _log_mu(log_distances: Floats, sigma: Floats) -> Floats:
    """(P, C), (P,) -> (P, C): inf without noise, with which nothing is proved."""
    some = sigma > 0
    return np.where(some[:, None], log_distances - np.log(np.where(some, sigma, 1.0))[:, None], np.inf)


def _chunks(setup: Setup, rows: int) -> list[Indices]:
    """The rows of a question, as many at a time as there is room for."""
    return np.array_split(np.arange(rows), max(1, -(-rows * setup.algorithm.steps_per_epoch // _AT_ONCE)))


def log_visits(log_c: float, visits: Floats, *, stride: int) -> Floats:
    """log(1 + q + ... + q^(visits-1)), q = c^stride, for any c >= 0; -inf for no visit."""
    if log_c <= 0:
        with np.errstate(divide="ignore"):
            return np.log(geometric_sum(log_c, visits, stride=float(stride)))
    # The newest visit weighs least: the oldest one's power is taken out.
    with np.errstate(divide="ignore"):
        inner = np.log(geometric_sum(-log_c, visits, stride=float(stride)))
    return inner + np.maximum(visits - 1, 0.0) * stride * log_c


def size_of_sensitivity(setup: Setup) -> float:
    """How large the logarithms are that log h is a sum of, whose roundings stay where they cancel."""
    algorithm, problem = setup.algorithm, setup.problem
    return abs(algorithm.log_eta) + abs(math.log(problem.lipschitz)) + math.log(2 * problem.n)


def log_grown(setup: Setup, log_c: float, *, learned: Floats, after: Floats) -> Floats:
    """log d_j, (P,), (P,) -> (P, J): ``learned`` steps with the point in batch j, then ``after`` steps without a difference."""
    algorithm = setup.algorithm
    per_epoch = algorithm.steps_per_epoch
    positions = np.arange(per_epoch, dtype=np.float64)
    visits = np.maximum(np.floor((learned[:, None] - positions - 1) / per_epoch) + 1, 0.0)
    since = np.maximum(learned[:, None] - 1 - positions - (visits - 1) * per_epoch, 0.0)
    # Exponents are added as whole numbers: where a step back changes nothing the bound stays the same, to the last bit.
    newest, total = log_power(log_c, since + after[:, None]), log_visits(log_c, visits, stride=per_epoch)
    parts = [np.broadcast_to(algorithm.log_sensitivity(positions), total.shape), newest, total]
    size = sum(np.where(np.isfinite(part), np.abs(part), 0.0) for part in parts)
    size = size + np.where(visits > 1, visits * per_epoch * max(log_c, 0.0), 0.0) + size_of_sensitivity(setup)
    grown = sum(parts) + ROUNDING * (1 + size)
    if not math.isfinite(algorithm.diameter):
        return grown
    limit, kept = math.log(algorithm.diameter), np.minimum(log_power(log_c, after), 0.0)[:, None]
    apart = limit + kept + ROUNDING * (1 + abs(limit) + np.where(np.isfinite(kept), np.abs(kept), 0.0))
    return np.minimum(grown, apart)


class WorstStream(CountedStream):
    """A stream counted in epochs or steps, of a method of this file."""

    def __init__(
        self, method: OneRelease, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs"
    ) -> None:
        super().__init__(setup, sigma=sigma, epsilon=epsilon, delta=delta)
        self.method = method
        self.stride = method.steps_per_epoch(setup) if unit == "epochs" else 1
