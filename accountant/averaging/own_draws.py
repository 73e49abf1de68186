"""Records that draw their batches by themselves: the average over the leaver's draw is inside the laws, and is attained.

Theorem H (docs/theory.md, "Secret batches"): with the chances w_j and the bound mu_j for each batch, against the run without
the record, both directions of the hockey-stick divergence are at most those of sum_j w_j N(mu_j, 1) and N(0, 1). A stand-in
that stays draws for itself; its draw is averaged outside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from accountant.bounds import Bound, Setting
from accountant.curves import Curve, GaussianMixtureCurve, Mixture, cheapest
from accountant.numerics import DOUBLE, Floats, Numbers
from accountant.problem import oversize


def paying(curve: Curve, setting: Setting, *, steps: float, points: int = 1) -> Curve:
    """The curve with what batches cost that may come out too large, by the cheaper way where both are open."""
    cost = oversize(setting.algorithm, steps=int(steps), points=points)
    return cheapest(curve, cost.log_added, cost.log_redrawn)


@dataclass(frozen=True, eq=False)
class OwnDraw:
    """One record at one of ``positions`` (J,), each as likely; ``stand_in``: positions of the one that takes its place, if any.

    points: records that are deleted where their distance is given, whatever they drew; each may make its batch too large.
    """

    positions: Floats
    stand_in: Floats
    points: int = 1
    #: False where what is paid depends on the number of steps, of which all rows have the same then.
    fixed: bool = True

    @property
    def width(self) -> int:
        return self.positions.size * max(self.stand_in.size, 1)

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        if self.stand_in.size and not setting.given_distance:
            # The two runs' distances from the one without both records add up, which a ball would cap.
            setting = replace(setting, algorithm=replace(setting.algorithm, radius=None))
        both = np.append(self.positions, self.stand_in)
        where, at = np.unique(both, return_inverse=True)
        addends = bound.log_addend(setting, where, steps, log_start)
        scale = bound.log_scale(setting, addends, steps)[:, at]
        length = 0.0 if self.fixed else float(steps[0])
        curve = paying(GaussianMixtureCurve(self.stand_in.size), setting, steps=length, points=self.points)
        return Mixture(self._log_weights(setting), scale, curve)

    def _log_weights(self, setting: Setting) -> Numbers:
        counts = [self.positions.size] * self.positions.size + [self.stand_in.size] * self.stand_in.size
        if setting.arithmetic is DOUBLE:
            return -np.log(np.array(counts, dtype=np.float64))
        shares: Any = [Fraction(1, count) for count in counts]
        return setting.arithmetic.log(setting.arithmetic.asarray(shares))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return "exact"
