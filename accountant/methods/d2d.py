"""Descent-to-Delete (Neel, Roth & Sharifi-Malvajerdi 2021): gradient descent without noise, one Gaussian on what is released.

Full-batch steps of size 2/(L + m) contract by gamma = (L - m)/(L + m); a request is answered with I of them. sigma is the
standard deviation of the one noise. Three bounds on it: the published formula, which serves every request of a stream whose
inner model stays secret; the published formula without that secret; and the exact Gaussian mechanism, whose distance the shift
engine tracks: two converged models are 2M/(mn) apart, less gamma^I.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final

import numpy as np

from accountant.methods.about import OURS, About
from accountant.methods.base import ROUNDING, CountedStream, FullBatch, Unit, flat, shaped
from accountant.methods.gaussian import OneGaussian, gaussian_epsilon
from accountant.methods.newton import log_start
from accountant.numerics import SMALLEST, Floats
from accountant.problem import Problem
from accountant.questions import Setup

PAPER: Final = "Neel, Roth & Sharifi-Malvajerdi 2021 (arXiv 2007.02923)"
#: Relative error of the formulas below in doubles.
SAFE: Final = 1 + 4e-15


def log_gamma(problem: Problem) -> float:
    """log((L - m)/(L + m)), rounded up, -inf for L = m; 0 where m/L is below all sizes."""
    gap, total = problem.smoothness - problem.strong_convexity, problem.smoothness + problem.strong_convexity
    if gap == 0:
        return -math.inf
    ratio = 2 * (problem.strong_convexity / total)
    # The doubles below have few digits, and could round the contraction up to twice what it is.
    if ratio < SMALLEST:
        return 0.0
    # Near L = m the difference has the digits, else its distance from 1.
    return (math.log1p(-ratio) if ratio < 0.5 else math.log(gap / total)) * (1 - 2.0**-50)


def contracted(log_distance: float, log_kept: Floats) -> Floats:
    """The sum of the two, rounded up."""
    size = abs(log_distance) + np.where(np.isfinite(log_kept), np.abs(log_kept), 0.0)
    result: Floats = log_distance + log_kept + ROUNDING * (1 + size)
    return result


class _DescentToDelete(FullBatch):
    """What the three bounds share: the run, its noise, and streams of requests."""

    family = "d2d"
    tightest = "d2d-exact"
    noise = "one N(0, sigma^2 I) on the released model"
    secret = "the noise on the release is not kept in the model that unlearning goes on from, which stays secret"

    def refusal(self, setup: Setup) -> str | None:
        if (reason := super().refusal(setup)) is not None:
            return reason
        problem, eta = setup.problem, setup.algorithm.eta
        if log_gamma(problem) == 0:
            return f"strong_convexity must be large enough for {self.name} to contract, got {problem.strong_convexity}"
        own = 2 / (problem.smoothness + problem.strong_convexity)
        # The default of noisy SGD says nothing of this descent, whose step is always its own.
        if eta != 1 / problem.smoothness and not math.isclose(eta, own, rel_tol=1e-9):
            return f"step_size must be 2/(smoothness + strong_convexity) = {own:.10g} for {self.name}, got {eta}"
        return None

    def released_std(self, setup: Setup, sigma: float) -> float:
        return sigma

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        problem = setup.problem
        return (
            f"every point's loss is {problem.smoothness:g}-smooth and {problem.strong_convexity:g}-strongly convex, the data "
            f"part of its gradient has norm at most {problem.lipschitz:g}",
            "learning and unlearning are full-batch gradient descent without noise, learning has converged",
            self.secret,
        )


class Published(_DescentToDelete):
    """A published standard deviation: a factor of the target times r(I) = gamma^I/(1 - gamma^I)."""

    def _log_distance(self, setup: Setup, steps: Floats) -> Floats:
        """log of the distance that the factor 4 sqrt(2) M S/(m n) (or 8 M S/(m n)) makes of r(I), rounded up."""
        problem = setup.problem
        logs = [math.log(problem.lipschitz), math.log(setup.group_size)]
        logs += [-math.log(problem.strong_convexity), -math.log(problem.n)]
        ratio = _log_ratio(problem, steps)
        size = sum(map(abs, logs)) + np.where(np.isfinite(ratio), np.abs(ratio) + steps * -max(log_gamma(problem), -1e300), 0.0)
        return sum(logs) + self._log_constant + ratio + ROUNDING * (1 + size)

    _log_constant: float

    @abstractmethod
    def _reached(self, setup: Setup, distance: Floats, delta: Floats, steps: Floats) -> Floats:
        """epsilon for a distance in units of sigma, the constant included."""

    @abstractmethod
    def _gap(self, epsilon: Floats, delta: Floats) -> Floats:
        """The difference of roots that the constant is divided by."""

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        with np.errstate(over="ignore", divide="ignore"):
            log_noise = np.log(noise)
            log_distance = self._log_distance(setup, count) - log_noise + ROUNDING * np.abs(log_noise)
            # Below all doubles it is still more than nothing, which the formula never reaches.
            some = log_distance > -np.inf
            distance = np.where(some, np.maximum(np.exp(log_distance), SMALLEST), 0.0)
            reached = np.maximum(self._reached(setup, distance, chance, count), np.where(some, SMALLEST, 0.0))
            return shaped(reached, sigma, delta, steps)

    def unproved(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> dict[int, str]:
        none = f"{self.name} says nothing without at least one iteration: its formula divides by zero"
        never = f"{self.name} never reaches epsilon = 0"
        return dict.fromkeys(np.flatnonzero(~(epsilon > 0)).tolist(), never) | dict.fromkeys(
            np.flatnonzero(~(steps >= 1)).tolist(), none
        )

    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return np.exp(self._log_distance(setup, steps) - np.log(self._gap(epsilon, delta)))


def _log_ratio(problem: Problem, steps: Floats) -> Floats:
    """log(gamma^I/(1 - gamma^I)) = -log(gamma^-I - 1); inf for I = 0."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        exponent = -log_gamma(problem) * steps
        value = -np.where(exponent > 30, exponent + np.log1p(-np.exp(-exponent)), np.log(np.expm1(exponent)))
    return np.where(steps == 0, np.inf, value)


class PublishedStream(CountedStream):
    """Every request with at least the fewest iterations that any had so far, as the formula's proof by induction needs."""

    def __init__(self, method: Published, setup: Setup, *, sigma: float, epsilon: float, delta: float) -> None:
        super().__init__(setup, sigma=sigma, epsilon=epsilon, delta=delta)
        self.method = method
        self.known = {"sigma": np.array(self.sigma), "delta": np.array(self.delta)}
        self.fewest, self.most, self.requests = math.inf, 1.0, 0

    def reached(self, count: float, points: float) -> float:
        setup = self.setup.with_(group_size=int(max(points, self.most)))
        return self.answer(setup, min(count, self.fewest))

    def answer(self, setup: Setup, count: float) -> float:
        return float(self.method.epsilon(setup, **self.known, steps=np.array(count)))

    def advance(self, count: float, points: float) -> None:
        self.fewest, self.most = min(self.fewest, count), max(self.most, points)
        self.requests += 1


class DescentToDelete(Published):
    """sigma = 4 sqrt(2) M gamma^I / (m n (1 - gamma^I) (sqrt(log(1/delta) + epsilon) - sqrt(log(1/delta))))."""

    name = "d2d"
    title = "Descent-to-Delete, published"
    about = About(
        "gradient descent, one noise at the end", losses="strong", data=("replace", "zero-out"),
        requests=("one", "group", "stream"), code="Graph-COM/Langevin_unlearning", year=2021,
    )  # fmt: skip
    source = f"{PAPER}, as the baseline of Chien et al. 2024"
    proves = "(epsilon, delta), by zero-concentrated privacy"
    _log_constant = math.log(4 * math.sqrt(2))

    def _gap(self, epsilon: Floats, delta: Floats) -> Floats:
        level = -np.log(delta)
        return epsilon / (np.sqrt(level + epsilon) + np.sqrt(level))

    def _reached(self, setup: Setup, distance: Floats, delta: Floats, steps: Floats) -> Floats:
        # (sqrt(level + eps) - sqrt(level)) = x is eps = x (x + 2 sqrt(level)).
        return distance * (distance + 2 * np.sqrt(-np.log(delta))) * SAFE

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> PublishedStream:
        self.check(setup)
        return PublishedStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta)


class ExactDescentToDelete(OneGaussian, _DescentToDelete):
    """The exact Gaussian mechanism: mu = Z gamma^I/sigma, with the distance Z = 2M/(mn) of two converged models."""

    name = "d2d-exact"
    title = "Descent-to-Delete, exact Gaussian"
    about = DescentToDelete.about._replace(code=OURS, year=None)
    source = "shift engine: noise in the last step only (theory section 2); the exact Gaussian mechanism of Balle & Wang 2018"

    def refusal(self, setup: Setup) -> str | None:
        reason = super().refusal(setup)
        if reason is None and setup.algorithm.learn_epochs is not None and setup.reference != "matched":
            return f"reference must be matched for {self.name} with learn_epochs, got {setup.reference}"
        return reason

    def log_distance(self, setup: Setup) -> float:
        """log of the distance of the two learned models, of all the setup's points, rounded up: Z S (1 - gamma^T)."""
        epochs = setup.algorithm.learn_epochs
        if epochs is None:
            return log_start(setup)
        # Less is kept of the start, for the learned part to be rounded up.
        learned = math.log(-math.expm1(epochs * log_gamma(setup.problem) * (1 + 2.0**-48)))
        return float(contracted(log_start(setup), np.array(learned)))

    def _log_distance_after(self, setup: Setup, steps: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return contracted(self.log_distance(setup), np.where(steps == 0, 0.0, steps * log_gamma(setup.problem)))

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> CountedStream:
        self.check(setup)
        return _ExactStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta)


class _ExactStream(CountedStream):
    """Distances add up and contract: D <- (D + Z) gamma^I."""

    def __init__(self, method: ExactDescentToDelete, setup: Setup, *, sigma: float, epsilon: float, delta: float) -> None:
        super().__init__(setup, sigma=sigma, epsilon=epsilon, delta=delta)
        self.rate = log_gamma(setup.problem)
        # Later points have been in the data for longer than the first; their distance is at most the converged one.
        alone = setup.with_(group_size=1, learn_epochs=None)
        self.log_one = method.log_distance(alone)
        self.log_sigma, self.chance = math.log(self.sigma), np.array([self.delta])
        self.log_distance = -math.inf

    def _after(self, count: float, points: float) -> float:
        together = float(np.logaddexp(self.log_distance, self.log_one + math.log(points)))
        return float(contracted(together, np.array(count * self.rate if count else 0.0)))

    def reached(self, count: float, points: float) -> float:
        log_mu = np.array([self._after(count, points) - self.log_sigma])
        return float(gaussian_epsilon(log_mu, self.chance)[0])

    def advance(self, count: float, points: float) -> None:
        self.log_distance = self._after(count, points)
