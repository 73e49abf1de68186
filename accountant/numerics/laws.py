"""Laws of sums on a grid: what a random placement does to mu, in a form of which privacy curves only grow.

An outcome x between two points of the grid is split between them so that its mean is kept. Sums of such roundings keep
the mean of the sum, and by Jensen's inequality no convex function of the sum gets smaller. The hockey-stick divergence
is not convex in mu, but it is a convex function of the total variation 2 Phi(mu/2) - 1 (docs/theory.md, "Random groups"):
raising every outcome by :meth:`Law.raised_by`, which is of second order in the grid, is enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from accountant.numerics.shapes import Floats

#: Probability that is moved to the worst outcome rather than carried along, on each side and in each operation.
NEGLIGIBLE: Final = 1e-40
#: Grid points above which a power of a law goes on with a grid twice as coarse.
_COARSE: Final = 1 << 13


@dataclass(frozen=True)
class Law:
    """P(X = offset + step (first + i)) = mass_i, and P = lost for outcomes that, rounding included, are at most ``worst``.

    variance, error: of the rounding, given the true outcome: a bound on its variance and on its size.
    """

    offset: float
    step: float
    first: int
    mass: Floats
    lost: float
    worst: float
    variance: float
    error: float

    @property
    def outcomes(self) -> Floats:
        return self.offset + self.step * np.arange(self.first, self.first + self.mass.size, dtype=np.float64)

    @property
    def components(self) -> tuple[Floats, Floats]:
        """Weights that sum to one, and values; the last one is ``worst``.

        Values below zero, which only drawing with replacement makes, count as zero: convex and increasing functions stay so.
        """
        some = self.mass > 0
        weights = np.append(self.mass[some], max(self.lost, 1e-300))
        return weights / weights.sum(), np.append(np.maximum(self.outcomes[some], 0.0), self.worst)

    def __add__(self, other: Law) -> Law:
        """The law of the sum of two independent outcomes."""
        few, many = sorted((self.mass, other.mass), key=np.count_nonzero)
        at = np.flatnonzero(few)
        if at.size * 64 < few.size:
            mass = np.zeros(few.size + many.size - 1)
            for k in at.tolist():
                mass[k : k + many.size] += few[k] * many
        else:
            mass = np.convolve(few, many)
        return Law(
            offset=self.offset + other.offset,
            step=self.step,
            first=self.first + other.first,
            mass=mass,
            lost=self.lost + other.lost,
            worst=self.worst + other.worst,
            variance=self.variance + other.variance,
            error=self.error + other.error,
        ).trimmed()

    def trimmed(self) -> Law:
        """Both tails of negligible probability moved to the worst outcome."""
        below, above = np.cumsum(self.mass), np.cumsum(self.mass[::-1])
        low = int(np.searchsorted(below, NEGLIGIBLE, side="right"))
        high = int(np.searchsorted(above, NEGLIGIBLE, side="right"))
        kept = self.mass[low : self.mass.size - high]
        lost = (below[low - 1] if low else 0.0) + (above[high - 1] if high else 0.0)
        return replace(self, first=self.first + low, mass=kept, lost=self.lost + float(lost))

    def coarser(self) -> Law:
        """The same on every second point of the grid, the others split between their neighbours."""
        mass, first = self.mass, self.first
        if first % 2:
            mass, first = np.insert(mass, 0, 0.0), first - 1
        if mass.size % 2 == 0:
            mass = np.append(mass, 0.0)
        even, odd = mass[::2].copy(), mass[1::2] / 2
        even[:-1] += odd
        even[1:] += odd
        return replace(
            self,
            step=2 * self.step,
            first=first // 2,
            mass=even,
            worst=self.worst + self.step,
            variance=self.variance + self.step**2,
            error=self.error + self.step,
        )

    def power(self, count: int) -> Law:
        """The law of the sum of ``count`` >= 1 independent outcomes, on a grid as fine as is quick."""
        result, square = None, self
        while True:
            if count % 2:
                result = square if result is None else result + square
            count //= 2
            while max(square.mass.size, 0 if result is None else result.mass.size) > _COARSE:
                square = square.coarser()
                result = None if result is None else result.coarser()
            if not count:
                assert result is not None
                return result
            square = square + square

    def reflected(self, total: float) -> Law:
        """The law of total - X; the caller knows its worst outcome."""
        return replace(
            self,
            offset=total - self.offset,
            first=-(self.first + self.mass.size - 1),
            mass=self.mass[::-1],
            worst=math.inf,
        )

    def scaled(self, unit: float) -> Law:
        """The law of unit times X."""
        return replace(
            self,
            offset=self.offset * unit,
            step=self.step * unit,
            worst=self.worst * unit,
            variance=self.variance * unit**2,
            error=self.error * unit,
        )

    def raised_by(self, scale: Floats, *, beyond: float | Floats = 0.0) -> Floats:
        """What every outcome, times ``scale`` and ``beyond`` more, must be raised by to leave no divergence under the true one.

        With y = 2 Phi(x/2) - 1 this asks for a mean of y at least the true one: y'' >= -(M/4) e^(M error/2) y' up to the
        largest outcome M. Raising by the whole error, the first-order answer, is always enough.
        """
        largest = (float(self.outcomes.max(initial=0.0)) + 3 * self.error) * scale + beyond
        variance, error = self.variance * scale**2, self.error * scale
        with np.errstate(over="ignore", invalid="ignore"):
            second = 1.1 * largest / 8 * np.exp(largest * error / 2) * variance
        return np.where(second**2 <= 0.05 * variance, np.minimum(second, error), error)


def rounded_law(values: Floats, weights: Floats, step: float, *, up: bool = False) -> Law:
    """The law with these outcomes >= 0 and probabilities, on multiples of ``step``; ``up`` rounds up instead of splitting."""
    at = values / step
    low = np.floor(at)
    share = at - low
    if up:
        low, share = np.ceil(at), np.zeros_like(at)
    index = low.astype(np.int64)
    first = int(index.min())
    mass = np.zeros(int(index.max()) - first + 2)
    np.add.at(mass, index - first, weights * (1 - share))
    np.add.at(mass, index - first + 1, weights * share)
    return Law(
        offset=0.0,
        step=step,
        first=first,
        mass=mass,
        lost=0.0,
        worst=step * (first + mass.size - 1),
        variance=float((share * (1 - share)).max()) * step**2,
        error=step if share.any() else 0.0,
    )
