"""Descent-to-Delete on batches: SGD without noise that goes on without the deleted points, then one Gaussian.

As :mod:`accountant.methods.d2d`, with batches: learning visits one partition in one order, T epochs or for ever; a request is K
more steps of it on what is left. Retraining is as long. mu_j = Z_j c^K/sigma with the distance Z_j of the two learned models.
"""

from __future__ import annotations

import math

import numpy as np

from accountant.methods.about import OURS, About
from accountant.methods.base import ROUNDING, CountedStream, Unit
from accountant.methods.d2d import ExactDescentToDelete
from accountant.methods.gaussian import gaussian_epsilon
from accountant.methods.one_release import OneRelease, WorstStream, size_of_sensitivity
from accountant.numerics import Floats, InputError, log_power
from accountant.questions import Setup
from accountant.shifts import log_learned_distance


class StochasticDescent(OneRelease):
    """mu_j = Z_j c^K/sigma, averaged over the batch j of the deleted point."""

    name = "d2d-stochastic"
    title = "Descent-to-Delete on batches, exact Gaussian"
    about = About(
        "SGD, one noise at the end", losses="convex", data=("replace", "zero-out"), requests=("one", "group", "stream"),
        code=OURS, year=None,
    )  # fmt: skip
    family = "d2d-stochastic"
    tightest = "d2d-stochastic"

    def refusal(self, setup: Setup) -> str | None:
        if (reason := super().refusal(setup)) is not None:
            return reason
        algorithm = setup.algorithm
        if isinstance(setup.reference, int) or (algorithm.learn_epochs is not None and setup.reference != "matched"):
            return f"reference must be matched for {self.name}, got {setup.reference}"
        if algorithm.log_contraction == 0 and algorithm.learn_epochs is None and algorithm.radius is None:
            return (
                f"learn_epochs (or radius) must be given for {self.name} where steps do not contract: nothing else bounds how "
                "far apart two learned models are"
            )
        return None

    def log_distances(self, setup: Setup, steps: Floats) -> Floats:
        positions = np.arange(setup.algorithm.steps_per_epoch)
        start = log_learned_distance(setup.algorithm, positions)[None, :]
        kept = log_power(setup.algorithm.log_contraction, steps)[:, None]
        size = sum(np.where(np.isfinite(part), np.abs(part), 0.0) for part in (start, kept))
        per_epoch = setup.algorithm.steps_per_epoch
        # An epoch's power of c is as inexact as the exponent is large.
        inner = np.minimum(per_epoch * abs(max(setup.algorithm.log_contraction, -1.0)), 700.0)
        return start + kept + ROUNDING * (1 + size + inner + size_of_sensitivity(setup))

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> CountedStream:
        self.check(setup)
        if setup.algorithm.log_contraction == 0 and setup.algorithm.radius is None:
            raise InputError(
                f"radius must be given for a stream under {self.name} where steps do not contract: distances grow for ever"
            )
        return _DescentStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit)

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        algorithm = setup.algorithm
        learned = "has converged" if algorithm.learn_epochs is None else f"takes {algorithm.learn_epochs} epochs"
        return (
            self.shape(setup),
            f"learning is SGD without noise on one partition in one order, and {learned}; unlearning goes on with it on what "
            f"is left; retraining is as long as both together{self.together(setup)}",
            ExactDescentToDelete.secret,
        )


class _DescentStream(WorstStream):
    """Distances add up and contract: D <- (D + S Z) c^K, with the converged distance of the worst batch.

    Later points have been in the data for longer than the first, and at any place of the cycle no batch is worse than the
    shortest one just after its visit.
    """

    def __init__(
        self, method: StochasticDescent, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs"
    ) -> None:
        super().__init__(method, setup, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit)
        alone = setup.with_(group_size=1, learn_epochs=None, batches="worst")
        self.log_one = float(method.components(alone, np.zeros(1))[1][0, 0])
        self.rate = setup.algorithm.log_contraction
        self.log_distance = -math.inf

    def _after(self, count: float, points: float) -> float:
        together = float(np.logaddexp(self.log_distance, self.log_one + math.log(points)))
        kept = float(log_power(self.rate, count * self.stride))
        size = abs(together) + (abs(kept) if math.isfinite(kept) else 0.0)
        return together + kept + ROUNDING * (1 + size)

    def reached(self, count: float, points: float) -> float:
        log_mu = np.array([self._after(count, points) - math.log(self.sigma)])
        return float(gaussian_epsilon(log_mu, np.array([self.delta]))[0])

    def advance(self, count: float, points: float) -> None:
        self.log_distance = self._after(count, points)
