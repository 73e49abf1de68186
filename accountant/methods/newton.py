"""Newton steps, then one Gaussian on what is released: certified removal by output perturbation ("Newton steps" in theory.md).

Learning has found the minimiser of the mean loss. A request of S points is answered with K Newton steps on what is left: each
has the gradient and the Hessian of all of it, and solves a linear system. With Z = 2 M S/(m n) (zero-out: half of it) and the
Hessian's Lipschitz constant gamma, the model is then Z q^(2^K - 1) from the minimiser of what is left, q = gamma Z/(2m). sigma
is the standard deviation of the one noise. The inner model has none of it, and stays secret.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from accountant.curves import gdp_delta
from accountant.methods.about import OURS, About
from accountant.methods.base import ROUNDING, CountedStream, FullBatch, Unit, flat, shaped
from accountant.methods.gaussian import OneGaussian, classical_delta, classical_factor, gaussian_epsilon
from accountant.numerics import MAX_COUNT, Floats, InputError
from accountant.problem import ADJACENCIES, hessian_lipschitz
from accountant.questions import Setup

#: Relative error of the published formula.
_SAFE: Final = 1 + 4e-15
#: From here on 2^K - 1 is no double.
_MOST_DOUBLINGS: Final = 1000.0


class _Newton(FullBatch):
    """What both bounds share: the run, its noise, what it cannot do, and streams of requests."""

    family = "newton"
    tightest = "newton-exact"
    noise = "one N(0, sigma^2 I) on the released model"

    def refusal(self, setup: Setup) -> str | None:
        if (reason := super().refusal(setup)) is not None:
            return reason
        problem, algorithm = setup.problem, setup.algorithm
        if algorithm.eta != 1 / problem.smoothness:
            return f"step_size must be left out for {self.name}, whose steps have none, got {algorithm.eta}"
        if algorithm.learn_epochs is not None:
            return f"learn_epochs must be left out for {self.name}, which learns the minimiser, got {algorithm.learn_epochs}"
        bend = hessian_lipschitz(problem)
        if bend is None:
            return (
                f"loss must be given for {self.name}, logistic or multinomial: how fast a Hessian changes does not follow from "
                "L, m and M"
            )
        if bend == math.inf:
            loss = "" if problem.loss is None else f", got {problem.loss.loss}"
            return (
                f"loss must be logistic or multinomial, without a clip that cuts, for {self.name}: others' Hessians jump{loss}"
            )
        if not log_rate(setup, log_start(setup)) < 0:
            ratio = math.exp(min(log_rate(setup, log_start(setup)), 700.0))
            return (
                f"n must be more than {ratio:.4g} times as large for {self.name}: so far from the new minimiser no Newton step "
                f"is proved to come nearer, got {problem.n}"
            )
        return None

    def evaluations(self, setup: Setup, steps: int) -> int:
        """A gradient of every point, and its Hessian, which counts as one gradient for each parameter (or as one: unknown)."""
        return steps * setup.problem.n * (1 + (setup.dimension or 1))

    def released_std(self, setup: Setup, sigma: float) -> float:
        return sigma

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        return (
            *newton_losses(setup),
            "learning finds the minimiser, so does retraining; unlearning is Newton steps with the gradient and Hessian of all "
            "that is left; how far a program's numbers are from that is to be measured (docs/theory.md)",
            SECRET_MODEL,
            *(() if setup.dimension else ("dimension is not given: a Hessian is counted as one gradient, and costs far more",)),
        )

    def _log_distance_after(self, setup: Setup, steps: Floats) -> Floats:
        return log_after(setup, log_start(setup), steps)


#: What must stay secret between requests.
SECRET_MODEL: Final = (
    "the noise on the release is drawn anew every time, and not kept in the model that unlearning goes on from, which stays "
    "secret"
)


def newton_losses(setup: Setup) -> tuple[str, ...]:
    """What is assumed of every point's loss."""
    problem = setup.problem
    return (
        f"every point's loss is {problem.strong_convexity:g}-strongly convex, the data part of its gradient has norm at "
        f"most {problem.lipschitz:g}, and its Hessian changes by at most {hessian_lipschitz(problem):.4g} times w's",
        "the divisor of the mean stays n as given; who divides by what is left gives the smallest number that will be left",
    )


def log_start(setup: Setup) -> float:
    """log of the distance of the two minimisers: factor M S/(m n), rounded up."""
    problem = setup.problem
    logs = [math.log(ADJACENCIES[problem.adjacency].factor), math.log(problem.lipschitz), math.log(setup.group_size)]
    logs += [-math.log(problem.strong_convexity), -math.log(problem.n)]
    return sum(logs) + ROUNDING * (1 + sum(map(abs, logs)))


def log_rate(setup: Setup, log_distance: float) -> float:
    """log of q = gamma d/(2m), by which a Newton step brings a model at distance d nearer, rounded up; -inf for gamma = 0."""
    bend = hessian_lipschitz(setup.problem)
    if bend == 0 or log_distance == -math.inf:
        return -math.inf
    if bend is None or bend == math.inf:
        return math.inf
    logs = [math.log(bend), -math.log(2 * setup.problem.strong_convexity), log_distance]
    return sum(logs) + ROUNDING * (1 + sum(map(abs, logs)))


def log_after(setup: Setup, log_distance: float, steps: Floats) -> Floats:
    """log of d q^(2^K - 1), (P,), rounded up, after K steps from distance d: inf, nothing, where q >= 1 and K > 0."""
    rate = log_rate(setup, log_distance)
    if not rate < 0 or rate == -math.inf:
        return np.where(steps > 0, rate if rate == -math.inf else np.inf, log_distance)
    gained = (np.exp2(np.minimum(steps, _MOST_DOUBLINGS)) - 1) * max(rate, -1e5) * (1 - ROUNDING)
    result: Floats = log_distance + gained
    return result + ROUNDING * (1 + np.abs(result) + abs(log_distance))


class ExactNewton(_Newton, OneGaussian):
    """The exact Gaussian mechanism: mu = Z q^(2^K - 1)/sigma; K = 0: output perturbation."""

    name = "newton-exact"
    title = "Newton steps, exact Gaussian"
    about = About(
        "Newton steps, one noise at the end", losses="curved", data=("replace", "zero-out"),
        requests=("one", "group", "stream", "adaptive"), code=OURS, year=None,
    )  # fmt: skip
    source = "docs/theory.md, Newton steps; the exact Gaussian mechanism of Balle & Wang 2018"

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> CountedStream:
        self.check(setup)
        return _NewtonStream(setup, sigma=sigma, epsilon=epsilon, delta=delta)


class PublishedNewton(_Newton):
    """sigma = 2 gamma M^2 S^2/(m^3 n^2) sqrt(2 log(1.25/delta))/epsilon for one step; more of them with their own distance.

    Where the Gaussian mechanism of that noise does not keep (epsilon, delta), nothing is said.
    """

    name = "newton"
    title = "Newton step, published"
    about = About(
        "one Newton step, one noise at the end", losses="curved", data=("replace", "zero-out"), requests=("one", "group"),
        code=None, year=2021,
    )  # fmt: skip
    source = "Sekhari, Acharya, Kamath & Suresh, NeurIPS 2021 (arXiv 2103.03279), quoted from secondary sources"
    proves = "(epsilon, delta)"

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        mu = self._mu(setup, noise, count)
        found = np.maximum(mu * classical_factor(chance) * _SAFE, 1e-300)
        said = np.isfinite(found) & (count >= 1)
        said[said] &= _enough(found[said], mu[said], chance[said])
        return shaped(np.where(said, found, np.inf), sigma, delta, steps)

    def _mu(self, setup: Setup, sigma: Floats, steps: Floats) -> Floats:
        """The distance in units of sigma, (P,), rounded up."""
        noise, distance = np.log(sigma), self._log_distance_after(setup, steps)
        with np.errstate(over="ignore", invalid="ignore"):
            logs = distance - noise
            rounding = np.where(np.isfinite(distance), ROUNDING * (1 + np.abs(noise) + np.abs(logs)), 0.0)
            return np.maximum(np.exp(logs + rounding), 1e-300)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        """1.25 exp(-(epsilon/mu)^2/2), at most 1, which stands for nothing."""
        noise, target, count = flat(sigma, epsilon, steps)
        mu = self._mu(setup, noise, count)
        with np.errstate(over="ignore"):
            found = classical_delta(target / mu)
        said = (count >= 1) & (target > 0) & (found < 1)
        said[said] &= _enough(target[said], mu[said], found[said])
        return shaped(np.where(said, found, 1.0), sigma, epsilon, steps)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> CountedStream:
        self.check(setup)
        raise InputError(f"{self.name} has no streams: its formula is about one request; {self.tightest} has")

    def unproved(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> dict[int, str]:
        mu = epsilon / classical_factor(delta)
        beyond = np.flatnonzero((epsilon > 0) & ~_enough(epsilon, np.maximum(mu, 1e-300), delta)).tolist()
        refusals = {
            at: f"{self.name} gives too little noise for epsilon={epsilon[at]:g} at delta={delta[at]:g}" for at in beyond
        }
        refusals |= dict.fromkeys(np.flatnonzero(~(steps >= 1)).tolist(), f"{self.name} says nothing without a Newton step")
        never = f"{self.name} never reaches epsilon = 0"
        return refusals | dict.fromkeys(np.flatnonzero(~(epsilon > 0)).tolist(), never)

    def nearly(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return np.exp(self._log_distance_after(setup, steps) + np.log(classical_factor(delta)) - np.log(epsilon))


def _enough(epsilon: Floats, mu: Floats, delta: Floats) -> np.typing.NDArray[np.bool_]:
    """Whether the exact Gaussian mechanism keeps what the formula says."""
    some = mu <= 1e150
    return some & (gdp_delta(epsilon=epsilon, mu=np.where(some & (mu > 0), mu, 1e-300)) <= delta)


class _NewtonStream(CountedStream):
    """The inner model goes on: D <- (D + Z) q(D + Z)^(2^K - 1), with the gradient of all that is left in every step."""

    def __init__(self, setup: Setup, *, sigma: float, epsilon: float, delta: float) -> None:
        super().__init__(setup, sigma=sigma, epsilon=epsilon, delta=delta)
        self.alone = setup.with_(group_size=1)
        self.log_sigma, self.chance = math.log(self.sigma), np.array([self.delta])
        self.log_one, self.log_distance = log_start(self.alone), -math.inf

    def _after(self, count: float, points: float) -> float:
        together = float(np.logaddexp(self.log_distance, self.log_one + math.log(points))) + ROUNDING * (1 + math.log(points))
        return float(log_after(self.alone, together, np.array([min(count, MAX_COUNT)]))[0])

    def reached(self, count: float, points: float) -> float:
        return float(gaussian_epsilon(np.array([self._after(count, points) - self.log_sigma]), self.chance)[0])

    def advance(self, count: float, points: float) -> None:
        self.log_distance = self._after(count, points)
