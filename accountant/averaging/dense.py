"""Many visits at random: the law of a bound on their string, which is far below the sum of their own bounds.

Visits with r steps after them push by W_r = sum c^s over those with s <= r, and the noise after them has T_r = 1 + c^2 + ... +
c^(2r), in units of the step's. To pay everything at the rate of the steepest stretch, beta = max W_r/T_r, in the last steps is
feasible, so that mu^2 <= beta W (docs/theory.md, "Other draws"): for one visit this is its own bound, for many it is nearly the
chord. The law of both, of W on a grid and of beta between levels, is followed from the newest visit on, all rounded up.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from accountant.averaging.raised import CELLS, RaisedLaw, binomial
from accountant.numerics import NEGLIGIBLE, Floats

#: Levels of beta near what is expected, what one is of the one below, and the lowest in units of what is expected.
_LEVELS: Final = 18
_RATIO: Final = 1.08
_LOWEST: Final = 0.65
#: Levels above them, up to so many visits just at the end.
_FAR: Final = 10
_VISITS: Final = 30.0
#: Stretches, and cells of W but for one that each stretch is rounded up by.
_STRETCHES: Final = 96
_WIDE: Final = 1 << 12
#: -log of the chance that W is beyond its grid.
_BEYOND: Final = 60.0


def string_law(pushes: Floats, noise: Floats, lengths: Floats, chance: float) -> tuple[Floats, Floats, float]:
    """Weights and values of a bound on mu, and the chance of what is beyond, for stretches of steps from the newest on.

    pushes, noise: c^r and T_r of each stretch's newest step, (B,); lengths: steps of each, visited with this chance each.
    """
    # Fewer stretches are rounded less often.
    falls = np.log(pushes[0] / pushes) + 0.5 * np.log(noise / noise[0])
    newest = np.flatnonzero(np.diff(np.floor(falls * (_STRETCHES / max(float(falls[-1]), 1e-300))), prepend=-1.0))
    pushes, noise, lengths = pushes[newest], noise[newest], np.add.reduceat(lengths, newest)
    mean, variance = np.cumsum(chance * lengths * pushes), np.cumsum(chance * lengths * pushes**2)
    top = float(pushes[0])
    # Bernstein's inequality.
    reach = float(mean[-1]) + math.sqrt(2 * _BEYOND * float(variance[-1])) + _BEYOND / 3 * top
    step = top / max(math.floor(_WIDE * top / reach), 1)
    size = math.ceil(reach / step) + 1 + pushes.size
    levels = _LOWEST * float((mean / noise).max()) * _RATIO ** np.arange(_LEVELS)
    # Far above what is expected: some visits just at the end.
    far = max(_VISITS * top / float(noise[0]), _RATIO * float(levels[-1]))
    levels = np.append(levels, np.geomspace(levels[-1], far, _FAR + 1)[1:])
    # Row i: beta is at most levels_i, and above the level before; the last row has no level.
    table, used, lost = np.zeros((levels.size + 1, size)), 1, 0.0
    table[0, 0] = 1.0
    for push, spread, length in zip(pushes.tolist(), noise.tolist(), lengths.tolist(), strict=True):
        first, mass, beyond = binomial(length, chance)
        index = np.ceil(np.arange(first, first + mass.size) * (push / step) * (1 - 1e-15)).astype(np.int64).tolist()
        wide = min(used + index[-1], size)
        result = np.zeros_like(table)
        for at, share in zip(index, mass.tolist(), strict=True):
            room = min(used, size - at)
            if room > 0:
                result[:, at : at + room] += share * table[:, :room]
            if room < used:
                lost += share * float(table[:, max(room, 0) : used].sum())
        lost += beyond
        for row, most in enumerate(np.floor(levels * (spread / step) * (1 - 1e-12)).tolist()):
            if most + 1 < wide:
                above = slice(int(most) + 1, wide)
                result[row + 1, above] += result[row, above]
                result[row, above] = 0.0
        table, used = result, wide
    total = step * np.arange(size)
    # At most what all visits together would take as late as the newest one.
    alone = total / math.sqrt(noise[0])
    values = np.minimum(np.sqrt(levels[:, None] * total), alone)
    weights, found = table.ravel(), np.append(values.ravel(), alone)
    return weights[weights > 0], found[weights > 0], lost


def on_grid(weights: Floats, values: Floats, lost: float, step: float) -> RaisedLaw:
    """These outcomes as a law whose step is ``step`` times a power of two."""
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    above = np.cumsum(weights[::-1])[::-1]
    kept = np.append(True, above[1:] >= NEGLIGIBLE)
    top = float(values[kept][-1])
    step *= 2.0 ** max(math.ceil(math.log2(max(top / step, 1e-300) / (CELLS // 2))), 0)
    mass = np.bincount(np.ceil(values[kept] / step).astype(np.int64), weights[kept]).astype(np.float64)
    return RaisedLaw(mass, 0, step, lost + float(weights[~kept].sum()))
