"""Descent-to-Delete whose intermediate models are open."""

from __future__ import annotations

import math

import numpy as np

from accountant.methods.about import About
from accountant.methods.base import Unit
from accountant.methods.d2d import PAPER, SAFE, Published, PublishedStream, log_gamma
from accountant.numerics import Floats
from accountant.questions import Setup


class OpenDescentToDelete(Published):
    """The stream whose inner model is no secret: request i has I = I_min + ceil(log(log(4 d i/delta))/log(1/gamma)) iterations.

    As the baseline's public code has it, gamma^I counts all of a request's iterations; with I_min alone sigma would be some 20
    times larger.

    sigma = 8 M gamma^I / (m n (1 - gamma^I) (sqrt(2 log(2/delta) + 3 epsilon) - sqrt(2 log(2/delta) + 2 epsilon))), with
    I_min = ceil(log(sqrt(2 d)/((1 - gamma) (sqrt(2 log(2/delta) + epsilon) - sqrt(2 log(2/delta)))))/log(1/gamma)).
    """

    name = "d2d-open"
    title = "Descent-to-Delete, no secret state"
    about = About(
        "gradient descent from the last release, one noise at the end", losses="strong", data=("replace", "zero-out"),
        requests=("one", "group", "stream"), code="Graph-COM/Langevin_unlearning", year=2021,
    )  # fmt: skip
    source = f"{PAPER}, no secret state, as the baseline of Chien et al. 2024"
    #: Its noise is in the model that unlearning starts from, which the exact mechanism below knows nothing of.
    tightest = "d2d-open"
    proves = "(epsilon, delta), as published"
    secret = "every request starts from the last noisy release; sigma belongs to all iterations of a request"
    _log_constant = math.log(8)

    def refusal(self, setup: Setup) -> str | None:
        reason = super().refusal(setup)
        if reason is None and setup.dimension is None:
            return f"dimension must be given for {self.name}: the number of parameters of the model"
        return reason

    def __init__(self, request: int = 1) -> None:
        #: Which request of a stream is asked about, from 1.
        self.request = request

    def minimum(self, setup: Setup, *, epsilon: Floats, delta: Floats) -> Floats:
        """Fewest iterations for the request; shape of epsilon and delta."""
        dimension, rate = int(setup.dimension or 1), -log_gamma(setup.problem)
        level = 2 * np.log(2 / delta)
        with np.errstate(divide="ignore", over="ignore"):
            gap = epsilon / (np.sqrt(level + epsilon) + np.sqrt(level))
            first = (0.5 * math.log(2 * dimension) - np.log(gap) - math.log(-math.expm1(-rate))) / rate
        return np.maximum(np.ceil(first), 1.0) + self._further(dimension, rate, delta)

    def _further(self, dimension: int, rate: float, delta: Floats) -> Floats:
        """Iterations for the noise of earlier releases."""
        return np.ceil(np.log(np.log(4.0 * dimension * self.request / delta)) / rate)

    def _gap(self, epsilon: Floats, delta: Floats) -> Floats:
        level = 2 * np.log(2 / delta)
        return epsilon / (np.sqrt(level + 3 * epsilon) + np.sqrt(level + 2 * epsilon))

    def _reached(self, setup: Setup, distance: Floats, delta: Floats, steps: Floats) -> Floats:
        # With x the difference of the roots and y = sqrt(l + 2 eps): eps = x^2 + 2 x y, so y^2 = l + 2 x^2 + 4 x y.
        level = 2 * np.log(2 / delta)
        square = distance * distance
        by_noise = 5 * square + 2 * distance * np.sqrt(6 * square + level)
        # The number of iterations, too, belongs to a target: the smallest that it is enough for.
        return np.maximum(by_noise * SAFE, self._allowed(setup, delta, steps))

    def _allowed(self, setup: Setup, delta: Floats, steps: Floats) -> Floats:
        """Smallest epsilon whose I_min, with the further iterations of the first request, is at most ``steps``."""
        rate, dimension = -log_gamma(setup.problem), int(setup.dimension or 1)
        level = 2 * np.log(2 / delta)
        budget = steps - self._further(dimension, rate, delta)
        with np.errstate(over="ignore"):
            kept = np.where(budget > 0, np.maximum(budget, 1e-300) * rate, 0.0)
            gap = np.exp(0.5 * math.log(2 * dimension) - math.log(-math.expm1(-rate)) - kept) * (1 + 1e-12)
        return np.where(budget >= 1, gap * (gap + 2 * np.sqrt(level)), np.inf)

    def unproved(self, setup: Setup, epsilon: Floats, delta: Floats, steps: Floats) -> dict[int, str]:
        refusals = super().unproved(setup, epsilon, delta, steps)
        short = np.flatnonzero((epsilon > 0) & ~(self._allowed(setup, delta, steps) <= epsilon))
        for row, fewest in zip(short.tolist(), self.minimum(setup, epsilon=epsilon[short], delta=delta[short]), strict=True):
            refusals[row] = (
                f"{self.name} needs at least {fewest:.0f} iterations for epsilon={epsilon[row]:g} at delta={delta[row]:g}, got "
                f"{steps[row]:.0f}"
            )
        return refusals

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> PublishedStream:
        self.check(setup)
        return _OpenStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta)


class _OpenStream(PublishedStream):
    """A request's budget is what is left of its iterations after those for the noise of all releases before it."""

    def further(self) -> float:
        problem, dimension = self.setup.problem, int(self.setup.dimension or 1)
        method = OpenDescentToDelete(self.requests + 1)
        return float(method._further(dimension, -log_gamma(problem), self.known["delta"]))

    def reached(self, count: float, points: float) -> float:
        further = self.further()
        return super().reached(count - further, points)

    def advance(self, count: float, points: float) -> None:
        super().advance(count - self.further(), points)

    def answer(self, setup: Setup, count: float) -> float:
        method = OpenDescentToDelete(self.requests + 1)
        return float(method.epsilon(setup, **self.known, steps=np.array(max(count + self.further(), 0.0))))
