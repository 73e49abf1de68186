"""Who is deleted and what is averaged: the components of the privacy curve, as a law of the bound's scale at sigma = 1.

One point at a position, one point in a random batch, a group placed at its worst, as given or at random, or a point whose
batch is drawn anew in every epoch: each is a way of weighing positions, and each becomes a :class:`Mixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from typing import Any, Final, Protocol

import numpy as np

from accountant.averaging import groups
from accountant.averaging.reshuffle import reshuffled_sum
from accountant.bounds import Bound, Setting, log_total
from accountant.curves import GDPCurve, Mixture
from accountant.numerics import DOUBLE, Floats, Law, Numbers

#: Logarithms of the batches' shares are rounded up to multiples of this.
_SHAPE: Final = 1e-10
#: The shares of a mixture of one.
_SURE: Final = (Fraction(1),)


def log_shares(shares: Sequence[Fraction] | Floats, setting: Setting) -> Numbers:
    """Logarithms of probabilities, in the setting's arithmetic."""
    if setting.arithmetic is DOUBLE:
        return np.log(np.array(shares, dtype=np.float64))
    return setting.arithmetic.log(setting.arithmetic.asarray(shares))


class Components(Protocol):
    """How a question's mixture is made."""

    @property
    def fixed(self) -> bool:
        """Whether the weights are the same for every number of steps."""
        ...

    @property
    def width(self) -> int:
        """Components per question, for sizing blocks."""
        ...

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        """(P,), (P,) -> weights (C,) and scales (P, C); all steps are equal where ``fixed`` is false."""
        ...

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        """How the average over placements was found; "exact" where there is nothing to find."""
        ...


@dataclass(frozen=True, eq=False)
class OnePoint:
    """A single point at one of the positions (J,), with probabilities weights/whole (C,): a last one beyond J is for no batch.

    weights: numbers of points, of ``whole`` points in all.
    """

    positions: Floats
    weights: Floats
    whole: int = 1
    #: Only the position that proves least counts.
    worst: bool = False
    fixed: bool = True

    @property
    def width(self) -> int:
        return max(self.positions.size, self.weights.size)

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        addends = bound.log_addend(setting, self.positions, steps, log_start)
        scale = bound.log_scale(setting, addends, steps)
        if self.worst:
            scale = reduce(setting.arithmetic.maximum, scale.T)[:, None]
        elif self.weights.size > self.positions.size:
            nothing = np.full((scale.shape[0], 1), -np.inf)
            if setting.starts_apart:
                # The runs differ in their start whatever the point does: no more than with a point in any batch.
                nothing = reduce(setting.arithmetic.minimum, scale.T)[:, None]
            scale = np.append(scale, nothing, axis=1)
        shares: Any = self.weights / self.whole
        if setting.arithmetic is not DOUBLE:
            shares = [Fraction(int(weight), self.whole) for weight in self.weights]
        return Mixture(log_shares(shares, setting), scale, bound.curve(setting))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return "exact"


@dataclass(frozen=True, eq=False)
class Placed:
    """A group whose points are where ``counts`` (J,) says."""

    counts: Floats
    fixed: bool = True
    width: int = 1

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        placed = bound.log_placed(setting, self.counts, steps)
        return Mixture(log_shares(_SURE, setting), bound.log_scale(setting, placed, steps), bound.curve(setting))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return "exact"


@dataclass(frozen=True, eq=False)
class WorstSum:
    """A group of ``count`` points that all lie where they add most: an upper bound on any placement."""

    sizes: Floats
    count: int
    fixed: bool = True
    width: int = 1

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        positions = np.arange(self.sizes.size, dtype=np.float64)
        addends = bound.log_addend(setting, positions, steps, log_start)
        ar = setting.arithmetic
        rows = [log_total(r[None], groups.worst_counts(ar.midpoint(r), self.sizes, self.count), ar) for r in addends]
        return Mixture(log_shares(_SURE, setting), bound.log_scale(setting, np.concatenate(rows), steps), bound.curve(setting))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return "sum of the points' own bounds, an upper bound"


@dataclass(frozen=True, eq=False)
class EveryPlacement:
    """A small group at random in few batches: every placement by itself."""

    counts: Floats
    chances: Sequence[Fraction]
    fixed: bool = True

    @property
    def width(self) -> int:
        return len(self.chances)

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        placed = bound.log_placed_each(setting, self.counts, steps)
        return Mixture(log_shares(self.chances, setting), bound.log_scale(setting, placed, steps), bound.curve(setting))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return groups.EVERY


def _read(law: Law, log_unit: float, bound: Bound, setting: Setting, steps: Floats) -> tuple[Floats, Floats]:
    """Log weights (C,), and the bound's scale (P, C) of sums that have this law in units of exp(log_unit)."""
    weights, values = law.components
    with np.errstate(divide="ignore"):
        log_sum = np.log(values)[None] + log_unit
    return np.log(weights), bound.log_scale(setting, np.broadcast_to(log_sum, (steps.size, values.size)), steps)


@dataclass(frozen=True, eq=False)
class RandomGroup:
    """A group of ``count`` points at random in batches of the given sizes; what the points add is added up.

    unused: points that no batch contains, and that add nothing.
    """

    sizes: Floats
    count: int
    unused: float = 0.0
    affordable: float = groups.AFFORDABLE
    fixed: bool = False
    width: int = 1 << 15
    _found: dict[bytes, groups.Sampled] = field(default_factory=dict, repr=False)

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        top, sampled = self._sum(bound, setting, steps)
        curve = bound.curve(setting)
        if sampled.convex_only and isinstance(curve, GDPCurve):
            curve = GDPCurve(tangent=True)
        log_weights, scale = _read(sampled.law, top, bound, setting, steps)
        # The grid is that of the sum; the bound scales it.
        unit = float(np.exp(min(bound.log_scale(setting, np.full((1, 1), top), steps[:1])[0, 0], 700.0)))
        return Mixture(log_weights, scale, curve, sampled.law.scaled(unit))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        method = self._sum(bound, setting, steps)[1].method
        algorithm = setting.algorithm
        # Adding up is exact where every point's string is its chord, and for distances.
        straight = setting.timeline is None and algorithm.learn_epochs is None and algorithm.radius is None
        if bound.curve(setting).kind == "gdp" and not (straight and 2 * steps[0] >= algorithm.steps_per_epoch - 2):
            method += "; of the sum of the points' own bounds, an upper bound"
        return method

    def _sum(self, bound: Bound, setting: Setting, steps: Floats) -> tuple[float, groups.Sampled]:
        """log of the largest addend, and the law of the sum in units of it."""
        positions = np.arange(self.sizes.size, dtype=np.float64)
        addends = bound.log_addend(setting, positions, steps[:1], np.zeros(1))[0]
        sizes = self.sizes
        if self.unused:
            addends, sizes = np.append(addends, -np.inf), np.append(sizes, self.unused)
        top = float(addends.max())
        if not np.isfinite(top):
            return top, groups.sampled_sum(np.ones(1), np.array([float(self.count)]), self.count)
        shape = np.ceil((addends - top) / _SHAPE) * _SHAPE
        # Rounded up, so that one law serves all numbers of steps that contract every batch's share alike.
        key = shape.tobytes()
        if key not in self._found:
            self._found[key] = groups.sampled_sum(np.exp(shape), sizes, self.count, affordable=self.affordable)
        return top, self._found[key]


@dataclass(frozen=True, eq=False)
class Reshuffled:
    """Points whose batch is drawn anew in every epoch of learning."""

    count: int = 1
    fixed: bool = False
    width: int = 1 << 15

    def mixture(self, bound: Bound, setting: Setting, steps: Floats, log_start: Numbers) -> Mixture:
        log_unit, sampled = reshuffled_sum(bound, setting, float(steps[0]), self.count)
        log_weights, scale = _read(sampled.law, log_unit, bound, setting, steps)
        return Mixture(log_weights, scale, GDPCurve(tangent=sampled.convex_only))

    def method(self, bound: Bound, setting: Setting, steps: Floats) -> str:
        return reshuffled_sum(bound, setting, float(steps[0]), self.count)[1].method
