"""Noisy fine-tuning as published: gradients clipped, or the model in every step.

Koloskova, Allouah, Jha, Guerraoui & Koyejo, Certified Unlearning for Neural Networks, ICML 2025, arXiv 2506.06985; formulas and
where they give enough noise: docs/guides/methods.md, "Fine-tuning".
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace
from typing import Final

import numpy as np

from accountant.curves import gdp_delta
from accountant.methods.about import About
from accountant.methods.steps import SAFE, Converted, Exactly, StepBound, no_steps
from accountant.numerics import Floats, digits
from accountant.problem import FineTuning, Stepping
from accountant.questions import StepAccountant
from accountant.shifts import Clipped, best_stop, clipped_mu

CODE: Final = "stair-lab/certified-unlearning-neural-networks-icml-2025"
PAPER: Final = "Koloskova, Allouah, Jha, Guerraoui & Koyejo, Certified Unlearning for Neural Networks, ICML 2025"


def _string(setup: Stepping) -> Clipped:
    """How far one step moves two models apart."""
    assert isinstance(setup, FineTuning)
    assert setup.gradient_clip is not None
    return Clipped(setup.rho, 2 * setup.step_size * setup.gradient_clip, setup.lost)


class GradientClipping(Exactly):
    """One string over all the steps that are run, none left out: what the noise of the public code is made for.

    Its noise is set so that mu = sqrt(2 epsilon_R), a Renyi divergence of alpha epsilon_R at every order alpha; here that mu is
    converted exactly, whatever the code logs.
    """

    name = "gradient-clipping"
    title = "fine-tuning, gradients clipped, the public code's noise"
    about = About(
        "noisy steps, gradients clipped, from a clipped model", losses="any", data=("replace", "zero-out", "remove"),
        requests=("one", "group", "stream", "adaptive"), code=CODE, year=2025,
    )  # fmt: skip
    source = f"the public code of {PAPER}; its divergence converted exactly"
    family = "fine-tuning"
    proves = "mu-GDP"
    tightest = "optimal"

    def own(self, setup: Stepping) -> Stepping:
        # Clipping the model as well is post-processing of nothing: another run, and no part of this bound.
        return (
            replace(setup, model_clip=None, clip_first=False)
            if isinstance(setup, FineTuning) and setup.gradient_clip
            else setup
        )

    def refusal(self, setup: Stepping) -> str | None:
        if not isinstance(setup, FineTuning):
            return f"algorithm must be fine-tuning for {self.name}, got {setup.name}"
        if setup.gradient_clip is None:
            return f"gradient_clip must be given for {self.name}"
        if setup.start_clip is None:
            return f"start_clip must be given for {self.name}: how far apart the two models are before the first step"
        return None

    def mu(self, setup: Stepping, steps: Floats) -> Floats:
        own = self.own(setup)
        mu = clipped_mu(_string(own), own.start_distance, np.maximum(steps, 1.0)) * SAFE
        return np.where(steps >= 1, mu, np.inf)

    def last(self, setup: Stepping) -> float:
        own = self.own(setup)
        stop = best_stop(_string(own), own.start_distance)
        if math.isinf(stop):
            return stop
        near = np.maximum([math.floor(stop), math.floor(stop) + 1], 1.0)
        return float(near[int(np.argmin(self.mu(setup, near)))])

    def unproved(self, epsilon: float, delta: float, steps: float) -> str:
        return no_steps(steps) if steps < 1 else super().unproved(epsilon, delta, steps)

    def assumptions(self, setup: Stepping) -> tuple[str, ...]:
        return StepAccountant(self.own(setup)).assumptions()


class Formula(Converted):
    """epsilon = factor(delta) mu, as published; where that says more than the Gaussian mechanism of this mu proves, nothing.

    The published sigma is mu factor(delta)/epsilon. It is enough noise up to :meth:`limit` only.
    """

    @abstractmethod
    def factor(self, delta: Floats) -> Floats:
        """epsilon over mu, (P,)."""

    @abstractmethod
    def inverse(self, ratio: Floats) -> Floats:
        """delta of a factor, (P,)."""

    def allows(self, epsilon: Floats, delta: Floats) -> Floats:
        mu = epsilon / self.factor(delta)
        return np.where(self._enough(epsilon, mu, delta), mu, 0.0)

    def given(self, mu: Floats, delta: Floats) -> Floats:
        epsilon = self.factor(delta) * mu * (1 + 1e-15)
        return np.where(self._enough(epsilon, mu, delta), epsilon, np.inf)

    def chance(self, mu: Floats, epsilon: Floats) -> Floats:
        delta = self.inverse(epsilon / mu) * SAFE
        some = (delta > 0) & (delta < 1)
        return np.where(some & self._enough(epsilon, mu, np.where(some, delta, 0.5)), delta, 1.0)

    @staticmethod
    def _enough(epsilon: Floats, mu: Floats, delta: Floats) -> np.typing.NDArray[np.bool_]:
        return (mu > 0) & (gdp_delta(epsilon=epsilon, mu=mu) <= delta)

    def limit(self, delta: float) -> float:
        """The largest epsilon at which the formula gives enough noise; inf if it always does."""
        chance = np.array([delta])
        low, high = 0.0, 1e6
        if self.allows(np.array([high]), chance)[0] > 0:
            return math.inf
        while high - low > 1e-12 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self.allows(np.array([middle]), chance)[0] > 0 else (low, middle)
        return low

    def unproved(self, epsilon: float, delta: float, steps: float) -> str:
        if epsilon > 0 and self.allows(np.array([epsilon]), np.array([delta]))[0] > 0:
            return super().unproved(epsilon, delta, steps)
        most = digits(self.limit(delta), 4, down=True)
        return f"the published formula gives enough noise only for 0 < epsilon <= {most} at delta = {delta:g}, got {epsilon:g}"


class ClippingFormula(Formula, GradientClipping):
    """sigma^2 = 9 log(1/delta) (C0 + C1 gamma T)^2 / (epsilon^2 T), published for T = C0/(C1 gamma) steps without decay."""

    name = "finetune-clipping"
    title = "fine-tuning, gradients clipped, published formula"
    source = f"{PAPER}; the formula is quoted from secondary sources"
    proves = "(epsilon, delta)"

    def refusal(self, setup: Stepping) -> str | None:
        if setup.weight_decay > 0:
            return f"weight_decay must be 0 for {self.name}, whose formula knows none, got {setup.weight_decay:g}"
        if setup.start != "clipped":
            return f"start must be clipped for {self.name}, got {setup.start}"
        return super().refusal(setup)

    def factor(self, delta: Floats) -> Floats:
        # mu = 2 (C0 + C1 gamma T)/(sigma sqrt T).
        return 1.5 * np.sqrt(-np.log(delta))

    def inverse(self, ratio: Floats) -> Floats:
        return np.exp(-((ratio / 1.5) ** 2))

    def unproved(self, epsilon: float, delta: float, steps: float) -> str:
        return no_steps(steps) if steps < 1 else super().unproved(epsilon, delta, steps)


class ModelClipping(StepBound):
    """delta <- delta Theta(log(1 + (e^epsilon - 1)/delta); 2 C2/sigma) in every step, from 1: blocks of one step."""

    name = "finetune-model-clipping"
    title = "fine-tuning, the model clipped in every step, published"
    about = GradientClipping.about._replace(runs="noisy steps, the model clipped in each")
    source = PAPER
    proves = "points of a curve"

    def own(self, setup: Stepping) -> Stepping:
        """Without what the published bound does not use: the start, and clipped gradients."""
        if setup.model_clip is None:
            return setup
        return FineTuning(step_size=setup.step_size, model_clip=setup.model_clip, clip_first=True)

    def refusal(self, setup: Stepping) -> str | None:
        if not isinstance(setup, FineTuning):
            return f"algorithm must be fine-tuning for {self.name}, got {setup.name}"
        if setup.model_clip is None:
            return f"model_clip must be given for {self.name}: what every step clips the model to, before its noise"
        return super().refusal(setup)
