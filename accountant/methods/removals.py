"""How many more requests a Newton model can answer before it has to be learned anew, whatever the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from accountant.curves import gdp_mu
from accountant.methods.newton import ExactNewton, log_after, log_rate, log_start
from accountant.numerics import SMALLEST, InputError, choice, integer, number
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
    missed.
    """

    allowed: float
    reached: float
    after: float
    left: int | None


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
    target = {"epsilon": number("epsilon", epsilon, at_least=0), "delta": number("delta", delta, above=0, below=1)}
    start = number("residual", residual, at_least=0)
    allowed = float(gdp_mu(**target)) * noise * (1 - _SAFE)
    if choice("gradient", gradient, GRADIENTS) == "removed":
        if count != 1:
            raise InputError(f"steps must be 1 where gradient is removed: later steps need the gradient of all, got {count}")
        one = _after(setup, 0.0, 1)
        return RemovalBudget(allowed, start, (start + one) * (1 + _SAFE), _within(allowed, start, one, setup))
    after = _after(setup, start, count)
    return RemovalBudget(allowed, start, after, _followed(setup, start, allowed, count))


def _most(setup: Setup) -> int:
    return setup.problem.n // setup.group_size


def _after(setup: Setup, residual: float, steps: int) -> float:
    """The distance after one request from a distance, rounded up; inf where no step is proved to bring nearer."""
    with np.errstate(over="ignore", under="ignore"):
        moved = max(float(np.exp(log_start(setup))) * (1 + _SAFE) + residual, SMALLEST)
        if moved == math.inf:
            return math.inf
        return float(np.exp(log_after(setup, math.log(moved), np.array([float(steps)])))[0]) * (1 + _SAFE)


def _within(allowed: float, start: float, one: float, setup: Setup) -> int | None:
    """Requests that add ``one`` each."""
    if start > allowed:
        return 0
    if one == 0:
        return None
    left = (allowed - start) / one * (1 - _SAFE)
    return None if left >= _most(setup) else int(left)


def _followed(setup: Setup, start: float, allowed: float, steps: int) -> int | None:
    """Requests until D <- T(D) leaves what is allowed. T increases: where T(y) <= y, nothing below y passes it."""
    reached, left = start, 0
    if start > allowed:
        reached, left = _after(setup, start, steps), 1
        if not reached <= allowed:
            return 0
    for y in (allowed, min(allowed, max(reached, _lowest(setup)))):
        if reached <= y and _after(setup, y, steps) <= y:
            return None
    while left < min(_most(setup), _MOST_FOLLOWED):
        reached = _after(setup, reached, steps)
        if not reached <= allowed:
            return left
        left += 1
    return None if left == _most(setup) else left


def _lowest(setup: Setup) -> float:
    """Where T(y) - y is smallest for one step: m/gamma - Z."""
    # log q at a distance of 1, the logarithm of gamma/(2m).
    rate = log_rate(setup, 0.0)
    return max(math.exp(min(-rate - math.log(2), 700.0)) - math.exp(min(log_start(setup), 700.0)), 0.0)
