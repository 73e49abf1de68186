"""Several records that draw their batches by themselves and are deleted at once.

Given what every record drew, the shifts of all of them add up (without restarts), so the string of a tuple of batches is at
most the sum of the records' own, and the index of theorem H is the tuple: independent draws, whose sum is a plain convolution.
The curve of a Gaussian mixture grows with every mu (Kahane's inequality, in every entry of the Gram matrix) and is convex in
none, so the grid rounds up. Stand-ins draw by themselves too: the law of their sum, which is the same, is averaged outside. A
ball restarts all strings of a tuple at one time or none: from the request on, at its diameter (docs/theory.md, "Groups and
streams of own draws").
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np

from accountant.averaging.groups import EVERY, placement_count
from accountant.averaging.own_draws import paying
from accountant.averaging.placements import log_shares
from accountant.averaging.raised import power
from accountant.averaging.sampled import Visits
from accountant.bounds import Bound, Setting
from accountant.curves import GaussianMixtureCurve, Mixture
from accountant.numerics import Floats, Numbers
from accountant.shifts import log_mu_decay

#: Multisets of batches up to which each is looked at by itself; where stand-ins are averaged outside, of either.
_MOST: Final = (2000, 200)
#: Logarithms of the batches' shares are rounded up to multiples of this; what rounding to doubles may lose is far below.
_SHAPE: Final = 1e-10
#: Cells of the law.
_CELLS: Final = 1 << 13
#: Components where a stand-in is averaged outside, inside and outside.
_PAIRED: Final = (768, 96)


def own_group(batches: int, count: int, *, stand_in: bool) -> OwnPlacements | OwnGroup:
    """``count`` records, each in one of so many batches, each as likely."""
    if placement_count(batches, count) > _MOST[stand_in]:
        return OwnGroup(batches, count, stand_in)
    counts, chances = [], []
    for multiset in itertools.combinations_with_replacement(range(batches), count):
        held = Counter(multiset)
        counts.append([float(held[j]) for j in range(batches)])
        ways = math.factorial(count) // math.prod(math.factorial(k) for k in held.values())
        chances.append(Fraction(ways, batches**count))
    every = np.array(counts)
    return OwnPlacements(every, chances, every if stand_in else None)


def own_group_at(batches: int, at: int, count: int, *, stand_in: bool) -> OwnPlacements:
    """``count`` records in one batch, whose stand-ins lie where they add most: nobody lacks room."""
    counts = count * np.eye(batches)[[at, batches - 1]]
    return OwnPlacements(counts[:1], [Fraction(1)], counts[1:] if stand_in else None)


def _without_ball(setting: Setting) -> Setting:
    """Strings of several records add up without a ball only: each of them would restart at a time of its own."""
    return replace(setting, algorithm=replace(setting.algorithm, radius=None))


def _log_restarted(bound: Bound, setting: Setting, steps: Floats, stand_in: bool) -> Numbers | None:
    """log of the scale of any tuple of records at the request, when the ball says how far apart the runs are, (P, 1)."""
    if setting.algorithm.radius is None or stand_in:
        # A bound on both runs' distance is none on that of either from the run without leavers and stand-ins.
        return None
    constants = setting.constants
    log_sum = log_mu_decay(
        log_c=constants.log_contraction, log_start=constants.log_diameter, steps=steps[:, None], arithmetic=setting.arithmetic
    )
    return bound.log_scale(setting, log_sum, steps)


def _drifts(setting: Setting) -> bool:
    return setting.algorithm.log_contraction == 0 and setting.algorithm.learn_epochs is None


@dataclass(frozen=True, eq=False)
class OwnPlacements:
    """Every multiset of batches by itself: counts (C, J) of records, and exact chances; stand_in: the same of stand-ins."""

    counts: Floats
    chances: Sequence[Fraction]
    stand_in: Floats | None
    fixed: bool = True

    @property
    def width(self) -> int:
        return len(self.chances) ** self._sides

    @property
    def _sides(self) -> int:
        return 1 if self.stand_in is None else 2

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        points, alone = int(self.counts[0].sum()), self.stand_in is None
        restarted = _log_restarted(bound, setting, steps, stand_in=not alone)
        if len(self.chances) == 1 and alone:
            # One tuple, one string: it may restart where it likes.
            scale = bound.log_scale(setting, bound.log_placed(setting, self.counts[0], steps), steps)
        elif _drifts(setting):
            assert restarted is not None
            scale = np.repeat(restarted, len(self.chances), axis=1)
        else:
            scale = self._scale(bound, setting, self.counts, steps)
            if restarted is not None:
                scale = setting.arithmetic.minimum(scale, restarted)
            if self.stand_in is not None:
                same = self.stand_in is self.counts
                scale = np.append(scale, scale if same else self._scale(bound, setting, self.stand_in, steps), axis=1)
        curve = paying(GaussianMixtureCurve(0 if alone else len(self.chances)), setting, steps=0.0, points=points)
        return Mixture(np.tile(log_shares(self.chances, setting), self._sides), scale, curve)

    def _scale(self, bound: Bound, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        plain = _without_ball(setting)
        return bound.log_scale(setting, bound.log_placed_each(plain, counts, steps), steps)

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return EVERY if len(self.chances) > 1 else "exact"


@dataclass(frozen=True, eq=False)
class OwnGroup:
    """The law of the sum of the records' own scales, on a grid that is rounded up."""

    batches: int
    count: int
    stand_in: bool
    fixed: bool = False
    width: int = 1 << 16
    _found: dict[bytes, Visits] = field(default_factory=dict, repr=False)

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        restarted: Any = _log_restarted(bound, setting, steps, self.stand_in)
        if _drifts(setting):
            return Mixture(np.zeros(1), restarted, paying(GaussianMixtureCurve(), setting, steps=0.0, points=self.count))
        log_unit, law = self._sum(bound, setting, steps)
        laws = [law.pooled(classes) for classes in _PAIRED] if self.stand_in else [law]
        log_weights = np.log(np.concatenate([law.weights for law in laws]))
        log_sum = np.log(np.concatenate([law.values for law in laws])) + log_unit
        scale = bound.log_scale(setting, np.broadcast_to(log_sum, (steps.size, log_sum.size)), steps)
        if restarted is not None:
            scale = np.minimum(scale, restarted)
        outside = laws[1].values.size if self.stand_in else 0
        return Mixture(log_weights, scale, paying(GaussianMixtureCurve(outside), setting, steps=0.0, points=self.count))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return "law of the sum of the records' own bounds on a grid rounded up, an upper bound"

    def _sum(self, bound: Bound, setting: Setting, steps: Floats) -> tuple[float, Visits]:
        """log of the largest addend, and the law of the sum in units of it."""
        positions = np.arange(self.batches, dtype=np.float64)
        addends = bound.log_addend(_without_ball(setting), positions, steps[:1], np.zeros(1))[0]
        top = float(addends.max())
        if not np.isfinite(top):
            return top, Visits(0.0, np.ones(1), np.ones(1))
        # Rounded up, so that one law serves all numbers of steps that contract every batch's share alike.
        shape = np.sort(np.ceil((addends - top) / _SHAPE + 1) * _SHAPE)
        key = shape.tobytes()
        if key not in self._found:
            weights, values = power(np.exp(shape), np.full(self.batches, 1 / self.batches), self.count, cells=_CELLS)
            self._found[key] = Visits(0.0, weights, values * (1 + _SHAPE))
        return top, self._found[key]
