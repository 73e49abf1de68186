"""Methods about noisy steps that both runs share, as in fine-tuning: what they have in common, and our bound.

A :class:`~accountant.problem.Stepping` is what they are asked about. An epoch is a step: there are no batches to count by.
Every request starts again from a clipped model, so requests do not pile up, and groups of any size cost the same.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import Final

import numpy as np

from accountant.curves import gdp_delta, gdp_epsilon, gdp_mu
from accountant.methods.about import OURS, About
from accountant.methods.base import Needed, Peer, Unit, flat, shaped, smallest_sigma
from accountant.numerics import LARGEST, Floats, Indices, shown, smallest_count
from accountant.problem import Stepping
from accountant.questions import StepAccountant, StepOutcome, Unknown

#: A rounding on the safe side of what stands before a formula.
SAFE: Final = 1 + 1e-13
#: Steps beyond which nobody looks.
_MOST_STEPS = 2.0**40


class StepMethod(Peer[Stepping]):
    """A method about common steps: sigma is the standard deviation of one step's noise, without sqrt(2 eta)."""

    noise = "every step adds N(0, sigma^2 I)"
    #: Whether there are noisy steps; without, the model gets its noise once.
    runs_steps = True

    def own(self, setup: Stepping) -> Stepping:
        """The algorithm as the method runs it, where that is another one."""
        return setup


@lru_cache(maxsize=512)
def step_accountant(setup: Stepping) -> StepAccountant:
    """The accountant of common steps, made once."""
    return StepAccountant(setup)


class StepBound(StepMethod):
    """The accountant's own bound, of strings and blocks."""

    name = "optimal"
    title = "noisy steps, optimal shifts and blocks"
    about = About(
        "noisy steps on what is left, from a clipped model", losses="any", data=("replace", "zero-out", "remove"),
        requests=("one", "group", "stream", "adaptive"), code=OURS, year=None,
    )  # fmt: skip
    source = "docs/theory.md, Any modulus"
    family = "fine-tuning"
    proves = "mu-GDP, or points of a curve by blocks"
    tightest = "optimal"

    def refusal(self, setup: Stepping) -> str | None:
        refused = step_accountant(self.own(setup)).refusal
        return None if refused is None else str(refused)

    def epsilon(self, setup: Stepping, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        return np.asarray(self._ask(setup, "epsilon", sigma=sigma, delta=delta, steps=steps).answer)

    def delta(self, setup: Stepping, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        return np.minimum(self._ask(setup, "delta", sigma=sigma, epsilon=epsilon, steps=steps).answer, 1.0)

    def needed(self, setup: Stepping, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        outcome = self._ask(setup, "sigma", epsilon=epsilon, delta=delta, steps=steps)
        return Needed(np.asarray(outcome.answer), outcome.refusals)

    def fewest(self, setup: Stepping, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        return np.asarray(self._ask(setup, "steps", sigma=sigma, epsilon=epsilon, delta=delta).answer)

    def assumptions(self, setup: Stepping) -> tuple[str, ...]:
        return step_accountant(self.own(setup)).assumptions()

    def blocks(self, setup: Stepping, *, sigma: float, epsilon: float, steps: int) -> int:
        """Into how many blocks the steps are split at this epsilon; 1: a single string."""
        found = step_accountant(self.own(setup)).ask("delta", sigma=sigma, epsilon=epsilon, steps=steps)
        return 1 if found.refusals else found.blocks

    def _ask(self, setup: Stepping, unknown: Unknown, **question: Floats) -> StepOutcome:
        self.check(setup)
        return step_accountant(self.own(setup)).ask(unknown, **question)


class Converted(StepMethod):
    """A bound that is one mu per number of steps, made an epsilon by a rule of its own. Noise mu / sigma."""

    @abstractmethod
    def allows(self, epsilon: Floats, delta: Floats) -> Floats:
        """The largest mu that the rule takes for (epsilon, delta), (P,); 0 where it proves nothing."""

    @abstractmethod
    def mu(self, setup: Stepping, steps: Floats) -> Floats:
        """mu at sigma = 1 after so many steps, (P,), inf where nothing is proved."""

    @abstractmethod
    def given(self, mu: Floats, delta: Floats) -> Floats:
        """epsilon by the rule, (P,); inf where it proves nothing."""

    @abstractmethod
    def chance(self, mu: Floats, epsilon: Floats) -> Floats:
        """delta by the rule, (P,); 1 where it proves nothing."""

    @abstractmethod
    def last(self, setup: Stepping) -> float:
        """The number of steps after which more of them only cost; inf if there is none."""

    def unproved(self, epsilon: float, delta: float, steps: float) -> str:
        """Why no sigma proves a target."""
        return f"no sigma up to {LARGEST:g} proves epsilon={epsilon:g}"

    def epsilon(self, setup: Stepping, *, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        self.check(setup)
        noise, chance, count = flat(sigma, delta, steps)
        return shaped(self._epsilon(setup, noise, chance, count), sigma, delta, steps)

    def _epsilon(self, setup: Stepping, sigma: Floats, delta: Floats, steps: Floats) -> Floats:
        mu = self.mu(setup, steps) / sigma
        some = np.isfinite(mu) & (mu <= 1e150)
        return np.where(some, self.given(np.where(some, mu, 1.0), delta), np.inf)

    def delta(self, setup: Stepping, *, sigma: Floats, epsilon: Floats, steps: Floats) -> Floats:
        self.check(setup)
        noise, target, count = flat(sigma, epsilon, steps)
        mu = self.mu(setup, count) / noise
        some = np.isfinite(mu) & (mu <= 1e150)
        found = np.where(some, self.chance(np.where(some, mu, 1.0), target), 1.0)
        return shaped(np.minimum(found, 1.0), sigma, epsilon, steps)

    def needed(self, setup: Stepping, *, epsilon: Floats, delta: Floats, steps: Floats) -> Needed:
        self.check(setup)
        target, chance, count = flat(epsilon, delta, steps)
        most, mu = self.allows(target, chance), self.mu(setup, count)
        rows = np.flatnonzero((most > 0) & np.isfinite(mu))

        def reached(noise: Floats, at: Indices) -> Floats:
            return self._epsilon(setup, noise, chance[rows[at]], count[rows[at]])

        sigma = np.full(target.size, np.inf)
        sigma[rows] = smallest_sigma(reached, mu[rows] / most[rows], target[rows])
        refusals = {
            int(at): self.unproved(float(target[at]), float(chance[at]), float(count[at]))
            for at in np.flatnonzero(np.isinf(sigma)).tolist()
        }
        return Needed(shaped(sigma, epsilon, delta, steps), refusals)

    def fewest(self, setup: Stepping, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        self.check(setup)
        noise, target, chance = flat(sigma, epsilon, delta)
        last = min(self.last(setup), _MOST_STEPS)

        def holds(count: Floats, rows: Indices) -> np.typing.NDArray[np.bool_]:
            return self._epsilon(setup, noise[rows], chance[rows], np.minimum(count, last)) <= target[rows]

        return shaped(smallest_count(holds, low=np.zeros(noise.size), high=last), sigma, epsilon, delta)


class Exactly(Converted):
    """What the Gaussian mechanism of that mu proves (Balle & Wang 2018), both ways."""

    def allows(self, epsilon: Floats, delta: Floats) -> Floats:
        return np.asarray(gdp_mu(epsilon=epsilon, delta=delta))

    def given(self, mu: Floats, delta: Floats) -> Floats:
        return np.asarray(gdp_epsilon(delta=delta, mu=mu))

    def chance(self, mu: Floats, epsilon: Floats) -> Floats:
        return np.asarray(gdp_delta(epsilon=epsilon, mu=mu)) * SAFE


def no_steps(steps: float) -> str:
    """Why so few steps prove nothing."""
    return f"steps must be at least 1: without a noisy step nothing is hidden, got {shown(steps)}"
