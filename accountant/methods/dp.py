"""Plain differential privacy: no unlearning, so much noise that the learned model is private already (optimal with N = 0)."""

from __future__ import annotations

import numpy as np

from accountant.methods.base import Unit
from accountant.methods.pnsgd import BoundMethod, BoundStream
from accountant.numerics import Floats, InputError
from accountant.questions import Setup


class PlainPrivacy(BoundMethod):
    """No unlearning: so much noise that the learned model is private already (the optimal bound with N = 0)."""

    def run(self, steps: Floats) -> Floats:
        return np.zeros_like(steps)

    def fewest(self, setup: Setup, *, sigma: Floats, epsilon: Floats, delta: Floats, unit: Unit = "epochs") -> Floats:
        """0 where the noise is enough, inf elsewhere."""
        enough = self.epsilon(setup, sigma=sigma, delta=delta, steps=np.zeros(1)) <= epsilon
        return np.where(enough, 0.0, np.inf)

    def stream(self, setup: Setup, *, sigma: float, epsilon: float, delta: float, unit: Unit = "epochs") -> BoundStream:
        raise InputError(f"{self.name} has no streams: as many points as will ever be deleted are a group")
