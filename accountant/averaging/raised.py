"""Laws of sums on a grid that is rounded up, for curves that grow with every outcome and are convex in none.

:class:`accountant.numerics.Law` keeps means, which is closer where a curve is convex; here, what is lost of probability is put
on an outcome that is above them all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from accountant.numerics import NEGLIGIBLE, Floats, Indices

#: Cells of a law.
CELLS: Final = 1 << 14
#: Successes expected of a binomial law, at most: the chance of none must be a double.
MOST_EXPECTED: Final = 300.0


@lru_cache(maxsize=4096)
def binomial(count: float, chance: float) -> tuple[int, Floats, float]:
    """The least number of successes that matters, the probabilities from there on, and that of what is beyond."""
    if chance == 1:
        return int(count), np.ones(1), 0.0
    most = int(min(count, 20 + 3 * count * chance + 30 * math.sqrt(count * chance)))
    k = np.arange(1, most + 1)
    with np.errstate(under="ignore"):
        ratios = (count - k + 1) / k * (chance / (1 - chance))
        mass = math.exp(count * math.log1p(-chance)) * np.cumprod(np.append(1.0, ratios))
        beyond = np.cumsum(mass[::-1])[::-1]
    kept = max(int(np.count_nonzero(beyond >= NEGLIGIBLE)), 1)
    # Fewer successes than matter count as the first number that does.
    first = int(np.count_nonzero(np.cumsum(mass) < NEGLIGIBLE))
    mass[first] += mass[:first].sum()
    lost = float(mass[kept:].sum()) + (2 * float(mass[-1]) if most < count else 0.0)
    return first, mass[first:kept], lost


@dataclass(frozen=True)
class RaisedLaw:
    """P(X = step (first + i)) = mass_i, all outcomes rounded up; ``lost``: chance of outcomes that are not among them."""

    mass: Floats
    first: int
    step: float
    lost: float

    def added(self, index: Indices, mass: Floats, lost: float = 0.0) -> RaisedLaw:
        """With an independent outcome at these multiples of the step, increasing."""
        low, size = int(index[0]), self.mass.size
        result = np.zeros(size + int(index[-1]) - low)
        for at, chance in zip((index - low).tolist(), mass.tolist(), strict=True):
            result[at : at + size] += chance * self.mass
        return replace(self, mass=result, first=self.first + low, lost=self.lost + lost)

    def roomy(self, further: float) -> RaisedLaw:
        """On a grid so coarse that it has room for so much more."""
        grid = self
        while grid.mass.size + further / grid.step > CELLS:
            grid = grid.trimmed()
            if grid.mass.size + further / grid.step > CELLS:
                grid = grid.coarser()
        return grid

    def trimmed(self) -> RaisedLaw:
        """What is hardly ever below counts as the first that is not, what is hardly ever above is lost."""
        below, above = np.cumsum(self.mass), np.cumsum(self.mass[::-1])
        low = int(np.searchsorted(below, NEGLIGIBLE))
        high = int(np.searchsorted(above, NEGLIGIBLE))
        kept = self.mass[low : self.mass.size - high].copy()
        kept[0] += below[low - 1] if low else 0.0
        return replace(self, mass=kept, first=self.first + low, lost=self.lost + float(above[high - 1] if high else 0.0))

    def coarser(self) -> RaisedLaw:
        mass, first = self.mass, self.first
        if first % 2 == 0:
            mass, first = np.insert(mass, 0, 0.0), first - 1
        if mass.size % 2:
            mass = np.append(mass, 0.0)
        return replace(self, mass=mass[::2] + mass[1::2], first=(first + 1) // 2, step=2 * self.step)

    def components(self, worst: float) -> tuple[Floats, Floats]:
        """Weights that sum to one, and values; what was lost is at ``worst``."""
        some = self.mass > 0
        values = self.step * (self.first + np.flatnonzero(some).astype(np.float64))
        weights = self.mass[some]
        if self.lost > 0:
            weights, values = np.append(weights, self.lost), np.append(values, max(worst, values[-1]))
        return weights / weights.sum(), values


def power(values: Floats, weights: Floats, count: int, *, cells: int = CELLS) -> tuple[Floats, Floats]:
    """Weights and values of the sum of ``count`` independent such outcomes; ``values`` (C,) ascending; cells: of its grid."""
    above = np.cumsum(weights[::-1])[::-1]
    some = np.append(True, above[1:] >= NEGLIGIBLE)
    low, high = float(values[0]), float(values[some][-1])
    worst = float(values[-1] - low) * count
    step = (high - low) / (cells // 2)
    index = np.ceil((values[some] - low) / step).astype(np.int64) if step > 0 else np.zeros(int(some.sum()), dtype=np.int64)
    square = RaisedLaw(np.bincount(index, weights[some]).astype(np.float64), 0, step, float(weights[~some].sum()))
    result, left = None, count
    while True:
        if left % 2:
            result = square if result is None else added_up(result, square, cells=cells)
        left //= 2
        if not left:
            assert result is not None
            weights, values = result.components(worst)
            return weights, values + count * low
        square = added_up(square, square, cells=cells)


def added_up(one: RaisedLaw, two: RaisedLaw, *, cells: int = CELLS) -> RaisedLaw:
    """Of two independent outcomes, whose steps differ by a power of two."""
    one, two = one.trimmed(), two.trimmed()
    while one.step != two.step or one.mass.size + two.mass.size > cells + 2:
        coarse = one.step > two.step, two.step > one.step
        one, two = one if coarse[0] else one.coarser(), two if coarse[1] else two.coarser()
    return replace(one, mass=np.convolve(one.mass, two.mass), first=one.first + two.first, lost=one.lost + two.lost)
