"""Output perturbation: the model is clipped, and one Gaussian is added; as published, and exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from accountant.methods.about import OURS, About
from accountant.methods.finetune import CODE, PAPER, Formula
from accountant.methods.gaussian import classical_factor
from accountant.methods.steps import Exactly
from accountant.numerics import Floats
from accountant.problem import Stepping


@dataclass(frozen=True, kw_only=True)
class Release(Stepping):
    """No step is run: the model is clipped, and released with noise."""

    step_size: float = 1.0

    name: ClassVar[str] = "output-perturbation"
    meaning: ClassVar[str] = "the model is clipped, and released with one Gaussian"


class ExactOutputPerturbation(Exactly):
    """mu = 2 C0/sigma, converted exactly (Balle & Wang 2018)."""

    name = "output-perturbation-exact"
    title = "clipped model with one Gaussian, exactly"
    about = About(
        "the clipped model, one noise", losses="any", data=("replace", "zero-out", "remove"),
        requests=("one", "group", "stream", "adaptive"), code=OURS, year=None,
    )  # fmt: skip
    source = "Balle & Wang (2018)"
    family = "output-perturbation"
    proves = "mu-GDP"
    tightest = "output-perturbation-exact"
    noise = "the clipped model gets N(0, sigma^2 I) once"
    runs_steps = False

    def refusal(self, setup: Stepping) -> str | None:
        if not math.isfinite(setup.start_distance):
            return f"start_clip must be given for {self.name}: what the model is clipped to"
        return None

    def mu(self, setup: Stepping, steps: Floats) -> Floats:
        return np.full(np.shape(steps), setup.start_distance)

    def last(self, setup: Stepping) -> float:
        return 0.0

    def assumptions(self, setup: Stepping) -> tuple[str, ...]:
        where = "starts at the public centre of the ball" if setup.start == "centre" else "is clipped alike"
        return (
            f"the model is clipped to norm {setup.start_distance / (1 if setup.start == 'centre' else 2):g}, and the reference "
            f"{where}; then one Gaussian, and no step on what is left",
            "sigma is the standard deviation of the noise that each parameter gets, once",
        )


class OutputPerturbation(Formula, ExactOutputPerturbation):
    """sigma = 2 C0 sqrt(2 log(1.25/delta))/epsilon, the classical formula of the Gaussian mechanism."""

    name = "output-perturbation"
    title = "clipped model with one Gaussian, published formula"
    about = ExactOutputPerturbation.about._replace(code=CODE, year=2025)
    source = PAPER
    proves = "(epsilon, delta)"

    def factor(self, delta: Floats) -> Floats:
        return classical_factor(delta)

    def inverse(self, ratio: Floats) -> Floats:
        return 1.25 * np.exp(-(ratio**2) / 2)
