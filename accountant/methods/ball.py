"""Noisy SGD in a ball, for smooth losses that need not be convex: what the common steps after a deletion prove by themselves.

After the request unlearning and retraining take the same N steps on the same batches, and each ends in the ball: steps of
smooth losses from models at most 2R apart, whatever was learned before ("Losses that need not be convex" in docs/theory.md).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from accountant.methods.about import OURS, About
from accountant.methods.base import CountedStream, Method, Needed, Unit, flat, schedule_refusal, shaped, smallest_sigma
from accountant.methods.steps import step_accountant
from accountant.numerics import LARGEST, SMALLEST, Floats, Indices
from accountant.problem import SmoothNonconvex
from accountant.questions import Setup, StepAccountant, StepOutcome, Unknown

#: The last so many of all steps are looked at: more never prove less, hardly ever more, and take long.
_MOST_STEPS: Final = 1_000_000.0


class SmoothBall(Method):
    """Common steps of modulus 1 + eta L from anywhere in the ball: a string, or blocks that contract."""

    name = "smooth-ball"
    title = "noisy SGD in a ball, smooth losses, convex or not"
    source = "docs/theory.md, Losses that need not be convex"
    family = "smooth-ball"
    proves = "points of a curve"
    tightest = "smooth-ball"
    about = About(
        "noisy SGD in a ball", losses="smooth", data=("replace", "zero-out"), requests=("one", "group", "stream", "adaptive"),
        code=OURS, year=None,
    )  # fmt: skip

    def refusal(self, setup: Setup) -> str | None:
        algorithm = setup.algorithm
        if algorithm.radius is None:
            return f"radius must be given for {self.name}: without a ball nothing bounds how far apart two models are"
        if algorithm.own_draws:
            return f"assignment must be partition for {self.name}, whose steps both runs share, got {algorithm.assignment}"
        if algorithm.rounding is not None:
            return (
                f"rounding must be left out for {self.name}, whose formula knows exact numbers only, got {algorithm.rounding}"
            )
        if isinstance(setup.reference, int):
            return f"reference must be matched or converged for {self.name}, got {setup.reference}"
        return schedule_refusal(self.name, setup)

    def epsilon(self, setup: Setup, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        noise, chance, count = flat(sigma, delta, steps)
        found = self._ask(setup, "epsilon", sigma=_noise(setup, noise), delta=chance, steps=count)
        return shaped(np.asarray(found.answer), sigma, delta, steps)

    def delta(self, setup: Setup, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        noise, target, count = flat(sigma, epsilon, steps)
        found = self._ask(setup, "delta", sigma=_noise(setup, noise), epsilon=target, steps=count)
        return shaped(np.minimum(found.answer, 1.0), sigma, epsilon, steps)

    def needed(self, setup: Setup, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        target, chance, count = flat(epsilon, delta, steps)
        found = self._ask(setup, "sigma", epsilon=target, delta=chance, steps=count)
        noise_std = np.asarray(found.answer)
        rows = np.flatnonzero(np.isfinite(noise_std))

        def reached(noise: Floats, at: Indices) -> Floats:
            return self.epsilon(setup, sigma=noise, delta=chance[rows[at]], steps=count[rows[at]])

        sigma = np.full(target.size, np.inf)
        with np.errstate(over="ignore"):
            sigma[rows] = smallest_sigma(reached, noise_std[rows] / setup.algorithm.noise_std(1.0), target[rows])
        missing = {
            int(at): f"no sigma up to {LARGEST:g} proves epsilon={target[at]:g}" for at in np.flatnonzero(np.isinf(sigma))
        }
        return Needed(shaped(sigma, epsilon, delta, steps), missing | found.refusals)

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        noise, target, chance = flat(sigma, epsilon, delta)
        found = self._ask(setup, "steps", sigma=_noise(setup, noise), epsilon=target, delta=chance)
        answer = np.asarray(found.answer)
        counts = np.where(answer > _MOST_STEPS, np.inf, answer) / (self.steps_per_epoch(setup) if unit == "epochs" else 1)
        # More steps never prove less.
        return shaped(np.ceil(counts), sigma, epsilon, delta)

    def common(self, setup: Setup) -> StepAccountant:
        """The accountant of the steps that both runs share."""
        algorithm = setup.algorithm
        steps = SmoothNonconvex(
            step_size=algorithm.eta, smoothness=setup.problem.smoothness, model_clip=float(algorithm.radius or 0)
        )
        return step_accountant(steps)

    def _ask(self, setup: Setup, unknown: Unknown, **question: Floats) -> StepOutcome:
        self.check(setup)
        if "steps" in question:
            question["steps"] = np.minimum(question["steps"], _MOST_STEPS)
        return self.common(setup).ask(unknown, **question)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> CountedStream:
        self.check(setup)
        return _BallStream(self, setup, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit)

    def assumptions(self, setup: Setup) -> tuple[str, ...]:
        return (
            f"every point's loss is {setup.problem.smoothness:g}-smooth, convex or not; its gradients need no bound",
            f"every step ends in the ball of radius {setup.algorithm.radius:g}, after its noise",
            "after the request unlearning and retraining take the same steps on the same batches of what is left; how the "
            "model was learned, and how many records go, does not count",
            "requests may be chosen in knowledge of models released before; each release is compared with a reference of its "
            "own, on the run's own partition, which is not drawn anew",
        )

    def released_std(self, setup: Setup, sigma: float) -> None:
        """Without convexity steps do not contract, and what their noise adds up to is bounded by the ball alone."""
        return None


def _noise(setup: Setup, sigma: Floats) -> Floats:
    """Standard deviation of one step's noise; less of it than there is never proves more."""
    with np.errstate(over="ignore", under="ignore"):
        noise = np.minimum(math.sqrt(2 * setup.algorithm.eta) * sigma * (1 - 2.0**-50), LARGEST)
    return np.where(noise >= SMALLEST, noise, 0.0)


class _BallStream(CountedStream):
    """Requests do not pile up: the steps since the last one cover all records that are gone by then."""

    def __init__(
        self, method: SmoothBall, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs"
    ) -> None:
        super().__init__(setup, sigma=sigma, epsilon=epsilon, delta=delta)
        self.method = method
        self.stride = method.steps_per_epoch(setup) if unit == "epochs" else 1
        known = {"sigma": np.array(self.sigma), "epsilon": np.array(self.target), "delta": np.array(self.delta)}
        self.fewest = float(method.fewest(setup, **known, unit=unit))

    def reached(self, count: float, points: float) -> float:
        known = {"sigma": np.array(self.sigma), "delta": np.array(self.delta)}
        return float(self.method.epsilon(self.setup, **known, steps=np.array(count * self.stride)))

    def needed(self, points: float) -> float:
        return self.fewest

    def advance(self, count: float, points: float) -> None:
        """Nothing is left of a request once the next is answered."""
