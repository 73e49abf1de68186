"""Rewind-to-Delete (Mu & Klabjan 2025): back to an iterate of learning, from there without the deleted points, one Gaussian.

Learning is N steps of gradient descent without noise (SGD: on one partition, in one order). A request goes back to iterate
N - K, which learning has saved, and runs its last K steps again on what is left; N(0, sigma^2 I) is added to what is released.
Retraining is all N steps on what is left. Until iterate N - K the two runs differ in the deleted points; after it they take the
same steps, so their distance grows or shrinks by c per step: c = 1 + eta L for smooth losses, 1 for convex, less for strongly
convex ones. See "Rewinding" in docs/theory.md.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Final

import numpy as np

from accountant.methods.about import OURS, About
from accountant.methods.base import ROUNDING, CountedStream, Unit, flat, shaped
from accountant.methods.gaussian import classical_delta, classical_factor
from accountant.methods.one_release import OneRelease, WorstStream, log_grown, log_visits
from accountant.numerics import SMALLEST, Floats
from accountant.problem import default_retrain_epochs
from accountant.questions import Setup

PAPER: Final = "Mu & Klabjan, NeurIPS 2025 (arXiv 2409.09778), Theorem 3.1"
SECOND_HAND: Final = "put together from the authors' public code and a third party's audit of it"
#: The published formula is about epsilon up to one.
_MOST: Final = 1.0


class _Rewind(OneRelease):
    """What the bounds share: the run, how long it is, and streams."""

    family = "rewind"

    def refusal(self, setup: Setup) -> str | None:
        if (reason := super().refusal(setup)) is not None:
            return reason
        if default_retrain_epochs(setup.algorithm) is None:
            return f"learn_epochs must be given for {self.name}: how long the learning is that it goes back in"
        if setup.reference != "matched":
            return f"reference must be matched for {self.name}, whose retraining is as long as learning, got {setup.reference}"
        return None

    @abstractmethod
    def log_contraction(self, setup: Setup) -> float:
        """log c of one step of both runs."""

    def length(self, setup: Setup) -> float:
        """N, the steps of learning."""
        return float(default_retrain_epochs(setup.algorithm) or 0) * self.steps_per_epoch(setup)

    def log_distances(self, setup: Setup, steps: Floats) -> Floats:
        length = self.length(setup)
        # Going back all the way is a retraining, and so is more.
        back = np.minimum(steps, length)
        return log_grown(setup, self.log_contraction(setup), learned=length - back, after=back)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> CountedStream:
        self.check(setup)
        return RewindStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit)

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        return (
            self.shape(setup),
            f"learning is {self.length(setup):g} steps without noise, retraining the same steps on what is left, from the same "
            f"start; unlearning runs the last of them again, from the saved iterate of learning{self.together(setup)}",
            "the saved iterates and all models before the noise stay secret; the noise is drawn anew for every release",
        )


class RewindStream(WorstStream):
    """Every request goes back to an iterate of the first learning, in which all points deleted so far still were."""

    deleted = 0.0

    def reached(self, count: float, points: float) -> float:
        setup = self.setup.with_(group_size=int(self.deleted + points))
        if self.method.refusal(setup) is not None:
            # All points together may be more than one request could have.
            return math.inf
        known = {"sigma": np.array(self.sigma), "delta": np.array(self.delta)}
        return float(self.method.epsilon(setup, **known, steps=np.array(count * self.stride)))

    def advance(self, count: float, points: float) -> None:
        self.deleted += points


class SmoothRewind(_Rewind):
    """mu = h (c^(N-K) - 1)/(c - 1) c^K/sigma with c = 1 + eta L: no convexity is used."""

    name = "rewind-smooth"
    #: Not rewind-exact: who claims this, or the published formula, may have losses that are not convex.
    tightest = "rewind-smooth"
    title = "Rewind-to-Delete, smooth losses, exact Gaussian"
    about = About(
        "SGD again from a saved iterate, one noise at the end", losses="smooth", data=("replace", "zero-out"),
        requests=("one", "group", "stream"), code=OURS, year=None,
    )  # fmt: skip

    def log_contraction(self, setup: Setup) -> float:
        return math.log1p(setup.algorithm.eta * setup.problem.smoothness)

    def shape(self, setup: Setup) -> str:
        problem = setup.problem
        return (
            f"every point's loss is {problem.smoothness:g}-smooth, convex or not, the data part of its gradient has norm at "
            f"most {problem.lipschitz:g}"
        )


class ExactRewind(_Rewind):
    """The same with the contraction of convex (c = 1) and strongly convex (c < 1) losses."""

    name = "rewind-exact"
    tightest = "rewind-exact"
    title = "Rewind-to-Delete, convex losses, exact Gaussian"
    about = SmoothRewind.about._replace(losses="convex")

    def log_contraction(self, setup: Setup) -> float:
        return setup.algorithm.log_contraction


class PublishedRewind(SmoothRewind):
    """sigma = 2 M S h(K)/(L n) sqrt(2 log(1.25/delta))/epsilon, h(K) = ((1 + eta L n/(n-S))^(N-K) - 1) (1 + eta L)^K.

    For epsilon up to 1 and full batches; the S points really leave, so that the divisor becomes n - S.
    """

    name = "rewind"
    title = "Rewind-to-Delete, published"
    about = About(
        "gradient descent again from a saved iterate, one noise at the end", losses="smooth", data=("replace", "zero-out"),
        requests=("one", "group", "stream"), code="public, the authors' (R2D)", year=2024,
    )  # fmt: skip
    source = f"{PAPER}, second-hand: {SECOND_HAND}"
    proves = "(epsilon, delta), epsilon up to 1"

    def refusal(self, setup: Setup) -> str | None:
        if (reason := super().refusal(setup)) is not None:
            return reason
        n, size = setup.problem.n, setup.algorithm.batch_size
        if size != n:
            return f"batch_size must be full for {self.name}, which uses all points in every step, got {size}"
        if setup.group_size >= n:
            return f"group_size must be less than n = {n} for {self.name}, got {setup.group_size}"
        if setup.algorithm.radius is not None:
            return f"radius must be left out for {self.name}, whose formula knows no projection, got {setup.algorithm.radius}"
        return None

    def log_sensitivity(self, setup: Setup, steps: Floats) -> Floats:
        """log of 2 M S h(K)/(L n), (P,), rounded up; -inf for K >= N."""
        problem, points, length = setup.problem, setup.group_size, self.length(setup)
        back = np.minimum(steps, length)
        slope = max(setup.algorithm.eta * problem.smoothness, SMALLEST)
        grown = math.log1p(slope * problem.n / (problem.n - points))
        logs = [math.log(2), math.log(problem.lipschitz), math.log(points), -math.log(problem.smoothness), -math.log(problem.n)]
        # q^t - 1 = (q - 1)(1 + ... + q^(t-1)).
        total = log_visits(grown, length - back, stride=1) + math.log(math.expm1(grown))
        kept = back * math.log1p(slope)
        size = sum(map(abs, logs)) + abs(math.log(math.expm1(grown))) + kept + 2 * length * grown
        return sum(logs) + total + kept + ROUNDING * (1 + size)

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        found = np.exp(np.minimum(self._log_mu(setup, noise, count) + np.log(classical_factor(chance)) + ROUNDING, 1.0))
        return shaped(np.where(found <= _MOST, found, np.inf), sigma, delta, steps)

    def _log_mu(self, setup: Setup, sigma: Floats, steps: Floats) -> Floats:
        noise = np.log(np.where(sigma > 0, sigma, 1.0))
        return np.where(sigma > 0, self.log_sensitivity(setup, steps) - noise + ROUNDING * (1 + np.abs(noise)), np.inf)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        """1.25 exp(-(epsilon/mu)^2/2), at most 1, which stands for nothing; epsilon = 1 proves what is above it."""
        noise, target, count = flat(sigma, epsilon, steps)
        log_target = np.log(np.clip(target, SMALLEST, _MOST))
        with np.errstate(under="ignore"):
            found = classical_delta(np.exp(np.minimum(log_target - self._log_mu(setup, noise, count), 300.0)))
        return shaped(np.where((target > 0) & (found < 1), found, 1.0), sigma, epsilon, steps)

    def unproved(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> dict[int, str]:
        never = dict.fromkeys(np.flatnonzero(~(epsilon > 0)).tolist(), f"{self.name} never reaches epsilon = 0")
        beyond = np.flatnonzero(epsilon > _MOST).tolist()
        return never | {at: f"{self.name} is published for epsilon up to 1, got {epsilon[at]:g}" for at in beyond}

    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return np.exp(self.log_sensitivity(setup, steps) + np.log(classical_factor(delta)) - np.log(epsilon))
