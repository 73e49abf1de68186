"""Blocks of unlearning steps behind the projection on a ball (docs/theory.md, "Block contraction").

Both runs are in the ball after every step, and after the deletion their steps are the same: so many of them in a row are one
block, which starts at most the diameter apart and pays for that alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accountant.bounds.base import Setting
from accountant.numerics import Floats, Numbers
from accountant.shifts import log_mu_decay


@dataclass(frozen=True)
class Ball:
    """Blocks of a constant algorithm with a radius."""

    setting: Setting

    def log_block(self, steps: Floats) -> Numbers:
        """log mu at sigma = 1 of so many common steps >= 1 from any two points of the ball, (P,)."""
        constants, ar = self.setting.constants, self.setting.arithmetic
        decay = log_mu_decay(log_c=constants.log_contraction, log_start=constants.log_diameter, steps=steps, arithmetic=ar)
        return decay - constants.log_unit_noise

    def worth(self, log_mu: Floats) -> Floats:
        """Of how many steps, no whole number, a block has this log mu at sigma = 1, (P,); it steers only."""
        # D^2/mu^2 is the sum of c^-2i over the steps i = 1, 2, ...
        constants = self.setting.constants
        log_sum, growth = 2 * (constants.log_diameter - constants.log_unit_noise - log_mu), -2 * constants.log_contraction
        if growth < 1e-12:
            return np.exp(np.minimum(log_sum, 600.0))
        return np.logaddexp(0.0, log_sum + np.log(-np.expm1(-growth))) / growth
