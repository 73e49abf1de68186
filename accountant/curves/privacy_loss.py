"""Discrete privacy losses that lie above a privacy curve, in either direction of comparison.

A curve delta(epsilon), epsilon >= 0, that bounds the hockey-stick divergences of P from Q and of Q from P bounds them for
negative arguments, too: delta(-epsilon) = 1 - e^-epsilon (1 - delta(epsilon)). As functions of x = e^epsilon the true
divergences are convex, hence below every straight line between points above them: the polygon through bounds at any knots is
the curve of a pair whose privacy loss takes these knots as its values ("connect the dots", Doroshenko, Ghazi, Kamath, Kumar &
Manurangsi 2022, the tightest on a grid). Bounds at the knots need not be convex themselves (Rényi curves, rounding): the true
curve, convex and below them, is below their greatest convex minorant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import Floats, InputError, number, numbers, plain, shown

#: Multiples of the interval, at most; beyond them they are no longer told apart.
_MOST: Final = 2**50


@dataclass(frozen=True, eq=False)
class PrivacyLoss:
    """A privacy loss with the values ``interval`` times ``multiples``, of the given ``probabilities``, and infinity.

    multiples: whole numbers in order, symmetric about zero; not every multiple in between needs to be there.
    probabilities: of these losses, and ``infinite`` that of an infinite one; they sum to one. All arrays are read-only.
    """

    interval: float
    multiples: NDArray[np.int64]
    probabilities: Floats
    infinite: float

    def __post_init__(self) -> None:
        self.multiples.flags.writeable = self.probabilities.flags.writeable = False

    def delta(self, epsilon: ArrayLike) -> float | Floats:
        """E[max(0, 1 - e^(epsilon - loss))] at ``epsilon`` >= 0; broadcasts."""
        asked = numbers("epsilon", epsilon, at_least=0)
        losses = self.multiples * self.interval
        each = np.array([self._excess(losses, float(value)) for value in asked.flat])
        return plain(each.reshape(asked.shape))

    def _excess(self, losses: NDArray[Any], epsilon: float) -> float:
        above = np.searchsorted(losses, epsilon, side="right")
        return self.infinite - float(np.expm1(epsilon - losses[above:]) @ self.probabilities[above:])


def connect_dots(delta: Callable[[Floats], Floats], *, largest: float, interval: float, most: int) -> PrivacyLoss:
    """The smallest privacy loss on a grid that is above the curve ``delta`` in both directions.

    delta: bounds at an array of epsilons >= 0, rounded up; largest: the epsilon beyond which the loss counts as infinite.
    interval: > 0, of the grid; most: >= 2, how often ``delta`` may be asked: of a grid with more points only every so many are
    used. InputError if the grid has more than 2^50 points.
    """
    number("interval", interval, above=0)
    last = float(np.ceil(largest / interval))
    if not last <= _MOST:
        raise InputError(
            f"interval must be at least {largest / _MOST:.3g}, for losses up to {shown(largest)}, got {shown(interval)}"
        )
    knots = np.arange(last + 1) if last < most else np.unique(np.rint(np.linspace(0, last, most)))
    # What differences of neighbours lose, times as many as there are: no curve read from the masses is under the bounds.
    pad = 1 + 1e-13 + (4e-15 / -np.expm1(-(knots[1] - knots[0]) * interval) if last else 0.0)
    bounds = np.minimum.accumulate(np.minimum(np.asarray(delta(knots * interval)) * pad, 1.0))
    # Nor is the true curve above any line from a knot to its mirror image.
    mirror = np.exp(-knots[1:] * interval)
    lines = (2 * bounds[1:] * mirror - np.expm1(-knots[1:] * interval)) / (1 + mirror) * (1 + 1e-15)
    bounds[0] = min(bounds[0], lines.min(initial=1.0))
    while True:
        gaps = np.diff(knots) * interval
        falls = -np.diff(bounds)
        # Slopes times minus x: at the right end of every piece, and at its left end.
        with np.errstate(over="ignore"):
            right, left = falls / -np.expm1(-gaps), falls / np.expm1(gaps)
        convex = np.concatenate([[True], right[:-1] > left[1:], [True]])
        if convex.all() or knots.size < 3:
            break
        knots, bounds = knots[convex], bounds[convex]
    masses = right - np.append(left[1:], 0.0)
    mirrored = masses * np.exp(-knots[1:] * interval)
    # The rest is zero, by symmetry; missing in the sum, it would be missing from delta.
    middle = max(0.0, 1 - float(bounds[-1] + masses.sum() + mirrored.sum()) + 1e-15)
    multiples = knots[1:].astype(np.int64)
    return PrivacyLoss(
        interval=interval,
        multiples=np.concatenate([-multiples[::-1], [0], multiples]),
        probabilities=np.concatenate([mirrored[::-1], [middle], masses]),
        infinite=float(bounds[-1]),
    )
