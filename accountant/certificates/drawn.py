"""Several points at random, drawn with replacement: the law of their sum in whole numbers (Hoeffding 1963, Theorem 4)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Any, Final

from accountant.arithmetic import Precise
from accountant.precision import rounded

#: Points of the grid up to the largest mu of one point.
_CELLS: Final = 64
_SHARES: Final = 1 << 32
#: Probability that is moved up to the next outcome that counts.
_NEGLIGIBLE: Final = Fraction(1, 10**60)


class Drawn:
    """``points`` independent draws of a batch, each adding its mu, split between neighbours on a grid with the mean kept.

    weights: exact probabilities of the batches; highs: upper ends of their mu.
    """

    def __init__(self, points: int, weights: Sequence[Fraction], highs: Sequence[Fraction]) -> None:
        self.points, self.highs = points, list(highs)
        largest = max(highs)
        self.step = rounded(largest / _CELLS, 6, up=True) if largest > 0 else "1"
        self._counts = self._law(list(weights))

    def _law(self, weights: list[Fraction]) -> tuple[list[int], int]:
        """Numbers of ways to every multiple of the step, and of ways in all."""
        from flint import fmpz_poly

        step, whole = Fraction(self.step), lcm(*(weight.denominator for weight in weights))
        one: dict[int, int] = {}
        for weight, mu in zip(weights, self.highs, strict=True):
            ways = weight.numerator * (whole // weight.denominator)
            at = mu / step
            k = at.numerator // at.denominator
            share = -((-(at - k) * _SHARES) // 1)
            one[k] = one.get(k, 0) + ways * (_SHARES - int(share))
            one[k + 1] = one.get(k + 1, 0) + ways * int(share)
        polynomial = fmpz_poly([one.get(k, 0) for k in range(max(one) + 1)]) ** self.points
        return [int(c) for c in polynomial.coeffs()], (whole * _SHARES) ** self.points

    def law(self, older: Any, ar: Precise) -> tuple[list[Fraction], list[Any]]:
        """Probabilities and mu of the sum; negligible outcomes at the lower end count as the first that is not."""
        counts, whole = self._counts
        weights, mus, step = [], [], Fraction(self.step)
        below = 0
        for k, count in enumerate(counts):
            below += count
            if not below or (Fraction(below, whole) < _NEGLIGIBLE and k < len(counts) - 1):
                continue
            weights.append(Fraction(below, whole))
            mus.append(older + ar.asarray(step * k)[()])
            below = 0
        return weights, mus
