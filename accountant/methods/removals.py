"""How many more requests a Newton model can answer before it has to be learned anew, whatever the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from accountant.curves import gdp_mu
from accountant.methods.gaussian import gaussian_epsilon
from accountant.methods.newton import SECRET_MODEL, ExactNewton, log_after, log_rate, log_start, newton_losses
from accountant.numerics import LARGEST, SMALLEST, InputError, choice, integer, number, shown
from accountant.questions import Setup

#: What a Newton step's gradient is of.
GRADIENTS: Final = ("all", "removed")
#: What is allowed is rounded down by this share, what is reached up.
_SAFE: Final = 1e-12
#: Requests that are followed one by one.
_MOST_FOLLOWED: Final = 1_000_000


@dataclass(frozen=True)
class RemovalBudget:
    """What is left of one noise at one target.

    allowed: how far the inner model may be from the minimiser of what is left. reached: how far it may be now. after: how far
    at most after the next request. left: requests that surely stay within it; None: all, as steps correct what earlier ones
    missed. assumptions: what the numbers rest on.
    """

    allowed: float
    reached: float
    after: float
    left: int | None
    assumptions: tuple[str, ...]


def removals_left(
    setup: Setup,
    *,
    sigma: float,
    epsilon: float,
    delta: float,
    residual: float = 0.0,
    steps: int = 1,
    gradient: Literal["all", "removed"] = "all",
) -> RemovalBudget:
    """How many more requests of ``setup.group_size`` points each keep (``epsilon``, ``delta``) at noise ``sigma``.

    residual: the norm of the inner model's gradient over m, which bounds its distance from the minimiser of its data: 0 after
    exact learning, or measured (``NewtonRun.residual``). steps: Newton steps per request. gradient: "all": of all that is left,
    so that errors are corrected; "removed": of the points that go alone, one step, as in certified removal, where errors add
    up. Raises InputError for a setup that the method ``newton-exact`` refuses, and numbers outside their domain.

    >>> from accountant import PNSGD, preset
    >>> setup, target = Setup(PNSGD(preset("mnist"))), {"sigma": 0.01, "epsilon": 1.0, "delta": 1e-5}
    >>> removals_left(setup, **target).left is None, removals_left(setup, **target, gradient="removed").left
    (True, 2)
    """
    ExactNewton().check(setup)
    noise, count = number("sigma", sigma, above=0), integer("steps", steps, at_least=1)
    budget = _Budget(
        setup,
        noise,
        number("epsilon", epsilon, at_least=0),
        number("delta", delta, above=0, below=1),
        count,
    )
    start = number("residual", residual, at_least=0)
    told = _assumed(setup, start, choice("gradient", gradient, GRADIENTS))
    if gradient == "all":
        return RemovalBudget(budget.allowed, start, budget.after(start), budget.followed(start), told)
    if count != 1:
        raise InputError(f"steps must be 1 where gradient is removed: later steps need the gradient of all, got {count}")
    one = budget.after(0.0)
    return RemovalBudget(budget.allowed, start, start + one * (1 + _SAFE), budget.within(start, one), told)


def _assumed(setup: Setup, residual: float, gradient: str) -> tuple[str, ...]:
    measured = (
        f"the norm of the inner model's gradient, divided by m, was measured: at most {shown(residual)}, with its rounding"
    )
    exact = "learning found the minimiser, and no request came since; what a program misses of that is a residual"
    whole = "all that is left" if gradient == "all" else "the removed points alone, and the Hessian of all that is left"
    return (
        *newton_losses(setup),
        measured if residual else exact,
        f"every request is answered by Newton steps with the gradient{' and Hessian' * (gradient == 'all')} of {whole}",
        "retraining finds the minimiser of what is left",
        SECRET_MODEL,
    )


class _Budget:
    """One noise and target. Distances are doubles, rounded up; near to what is allowed the exact mechanism has the word."""

    def __init__(self, setup: Setup, sigma: float, epsilon: float, delta: float, steps: int) -> None:
        self.setup, self.sigma, self.epsilon, self.delta, self.steps = setup, sigma, epsilon, delta, steps
        self.allowed = min(float(gdp_mu(epsilon=epsilon, delta=delta)) * sigma * (1 - _SAFE), LARGEST)
        self.most = setup.problem.n // setup.group_size
        self.log_moved = log_start(setup)

    def kept(self, distance: float) -> bool:
        """Whether two models so far apart keep the target."""
        if not abs(distance - self.allowed) <= 10 * _SAFE * self.allowed or distance == 0:
            return distance <= self.allowed
        log_mu = np.array([math.log(distance) - math.log(self.sigma)])
        return float(gaussian_epsilon(log_mu, np.array([self.delta]))[0]) <= self.epsilon

    def after(self, residual: float) -> float:
        """The distance after one request from a distance; inf where no step is proved to bring nearer."""
        log_moved = self.log_moved
        if residual > 0:
            log_moved = float(np.logaddexp(log_moved, math.log(residual))) + 2.0**-50
        with np.errstate(over="ignore", under="ignore"):
            # Below all doubles it is still more than nothing.
            log_distance = log_after(self.setup, log_moved, np.array([float(self.steps)]))
            return (
                float(np.maximum(np.exp(log_distance), SMALLEST)[0]) if np.isfinite(log_distance[0]) else _end(log_distance[0])
            )

    def within(self, start: float, one: float) -> int | None:
        """Requests that add ``one`` each."""
        if start > self.allowed:
            return 0
        left = math.floor(min((self.allowed - start) / one * (1 - _SAFE), self.most)) if one > 0 else self.most
        if left < self.most and self.kept(start + (left + 1) * one * (1 + (2.0**-50 if start else 0.0))):
            left += 1
        return None if left >= self.most else left

    def followed(self, start: float) -> int | None:
        """Requests until D <- T(D) leaves what is allowed. T increases: where T(y) <= y, nothing below y passes it."""
        reached, left = start, 0
        if start > self.allowed:
            reached, left = self.after(start), 1
            if not self.kept(reached):
                return 0
        for y in (self.allowed, min(self.allowed, max(reached, self.lowest()))):
            if reached <= y and self.after(y) <= y:
                return None
        while left < min(self.most, _MOST_FOLLOWED):
            reached = self.after(reached)
            if not self.kept(reached):
                return left
            left += 1
        return None if left == self.most else left

    def lowest(self) -> float:
        """Where T(y) - y is smallest for one step: m/gamma - Z."""
        # log q at a distance of 1, the logarithm of gamma/(2m).
        rate = log_rate(self.setup, 0.0)
        return max(math.exp(min(-rate - math.log(2), 700.0)) - math.exp(min(self.log_moved, 700.0)), 0.0)


def _end(log_distance: float) -> float:
    return 0.0 if log_distance < 0 else math.inf
