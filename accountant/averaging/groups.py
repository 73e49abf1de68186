"""Groups: where several deleted points lie in the batches, and the law of what they add up to when the order is random.

What each point adds depends on its batch only, so a group adds sum_j S_j v_j, where (S_j) are the numbers of its points in the
batches: multivariate hypergeometric for a random order (theory: docs/theory.md, "Random groups").
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np

from accountant.numerics import NEGLIGIBLE, Floats, Law, rounded_law

EXACT: Final = "exact law of the placement on a grid"
REPLACED: Final = "sampling with replacement (Hoeffding), an upper bound"
EVERY: Final = "every placement"
#: Grids of the exact law, the finest that is affordable counts, and of the one that stands in for it.
_CELLS: Final = (1 << 14, 1 << 13)
_COARSE_CELLS: Final = 1 << 10
#: Products of the recursion that a few seconds allow.
AFFORDABLE: Final = 4.0e9
_LOG_NEGLIGIBLE: Final = -math.log(NEGLIGIBLE)


def worst_counts(values: Floats, sizes: Floats, count: int) -> Floats:
    """How many of ``count`` points lie in each batch when those that add most are filled first."""
    order = np.argsort(-values, kind="stable")
    filled = np.minimum(np.cumsum(sizes[order]), count)
    counts = np.zeros_like(sizes)
    counts[order] = np.diff(filled, prepend=0.0)
    return counts


class Sampled(NamedTuple):
    """The law of a group's sum, how it was found, and whether only convex functions of it are upper bounds.

    step: of the grid on which single points were rounded; the law may be on a coarser one.
    """

    law: Law
    method: str
    convex_only: bool
    step: float = 0.0


def sampled_sum(values: Floats, sizes: Floats, count: int, *, affordable: float = AFFORDABLE) -> Sampled:
    """Law of the sum of ``count`` of sum(sizes) points drawn without replacement, sizes_j of which have value values_j >= 0.

    Exact up to the grid where that is affordable. Beyond it the points are drawn with replacement, which no convex function
    takes for smaller (Hoeffding 1963, Theorem 4); of more than half of the points, the ones left out are drawn.
    """
    total = int(sizes.sum())
    worst = float(worst_counts(values, sizes, count) @ values)
    whole = float(sizes @ values)
    if count == total:
        return Sampled(Law(whole, 1.0, 0, np.ones(1), 0.0, whole, 0.0, 0.0), EXACT, False)
    drawn = min(count, total - count)
    plans = (_Recursion(values, sizes, drawn, cells) for cells in _CELLS)
    plan = next((plan for plan in plans if plan.products <= affordable), None)
    law = _replaced(values, sizes / total, drawn) if plan is None else plan.run()
    law = law.reflected(whole) if drawn < count else law
    if plan is not None or drawn < count:
        # Where an outcome is lost, so may be what its rounding put above it; drawing with replacement may leave out less.
        reach = worst if plan is not None else max(worst, whole - drawn * float(values.min()))
        law = replace(law, worst=reach + law.error)
    step = float(values.max()) / _COARSE_CELLS if plan is None else plan.step
    return Sampled(law, REPLACED if plan is None else EXACT, plan is None, step)


def _replaced(values: Floats, chances: Floats, count: int) -> Law:
    """The law of the sum of ``count`` independent draws."""
    return rounded_law(values, chances, float(values.max()) / _COARSE_CELLS).power(count)


def placement_count(batches: int, count: int) -> int:
    """In how many ways indistinguishable points can lie in the batches, were there room."""
    return math.comb(batches + count - 1, count)


def every_placement(sizes: Floats, count: int) -> tuple[Floats, list[Fraction]]:
    """Every placement (P, J) of the points and its exact probability (P,): multivariate hypergeometric."""
    rooms = sizes.astype(int).tolist()
    behind = [sum(rooms[j + 1 :]) for j in range(len(rooms))]
    found: list[tuple[int, ...]] = []

    def place(j: int, left: int, before: tuple[int, ...]) -> None:
        if j == len(rooms):
            found.append(before)
            return
        for own in range(max(0, left - behind[j]), min(left, rooms[j]) + 1):
            place(j + 1, left - own, (*before, own))

    place(0, count, ())
    every = math.comb(sum(rooms), count)
    chances = [Fraction(math.prod(map(math.comb, rooms, counts)), every) for counts in found]
    return np.array(found, dtype=np.float64), chances


class _Recursion:
    """Batch by batch: probability of (points drawn so far, their sum). Independent draws, then conditioned on their number."""

    def __init__(self, values: Floats, sizes: Floats, count: int, cells: int) -> None:
        order = np.argsort(values, kind="stable")
        self.values, self.sizes, self.count = values[order], sizes[order], count
        total = float(sizes.sum())
        self.chance = count / total
        mean = float(sizes @ values) / total
        deviation = float(sizes @ (values - mean) ** 2) / total
        top = float(values.max())
        # Bernstein's inequality holds without replacement, too.
        reach = top * _LOG_NEGLIGIBLE / 3
        reach += math.sqrt(reach**2 + 2 * count * deviation * _LOG_NEGLIGIBLE)
        largest = float(worst_counts(values, sizes, count) @ values)
        self.step = min(largest, count * mean + reach) / cells
        # Numbers drawn from the batches so far, within what has more than negligible probability.
        share = np.cumsum(self.sizes) / total
        middle = count * share
        linear = _LOG_NEGLIGIBLE / 3
        width = np.minimum(
            linear + np.sqrt(linear**2 + 2 * count * share * (1 - share) * _LOG_NEGLIGIBLE),
            math.sqrt(count * _LOG_NEGLIGIBLE / 2),
        )
        left = np.cumsum(self.sizes[::-1])[::-1] - self.sizes
        self.low = np.maximum(np.ceil(middle - width), np.maximum(count - left, 0)).astype(int)
        self.high = np.minimum(np.floor(middle + width), np.minimum(np.cumsum(self.sizes), count)).astype(int)
        self.low[-1] = self.high[-1] = count
        self.draws = [self._draws(float(size)) for size in self.sizes]
        reached = np.cumsum(self._most() * self.values) / self.step
        self.columns = (np.minimum(reached, cells) + values.size + 2).astype(int)
        rows = (self.high - self.low + 1).astype(float)
        self.products = float(sum(2 * r * len(d) * c for r, d, c in zip(rows, self.draws, self.columns, strict=True)))

    def _draws(self, size: float) -> Floats:
        """Binomial probabilities of 0, 1, ... points of a batch, as far as they matter."""
        most = int(min(size, self.count))
        m = np.arange(most + 1)
        log_choose = np.array([math.lgamma(size + 1) - math.lgamma(k + 1) - math.lgamma(size - k + 1) for k in m])
        with np.errstate(divide="ignore", invalid="ignore"):
            log_mass = log_choose + m * math.log(self.chance) + (size - m) * math.log1p(-self.chance)
        some = np.flatnonzero(log_mass > -_LOG_NEGLIGIBLE)
        return np.exp(log_mass[: some[-1] + 1])

    def _most(self) -> Floats:
        """Most points that each batch may hold, as far as the numbers so far allow."""
        most = np.array([len(draws) - 1.0 for draws in self.draws])
        return np.minimum(most, self.high)

    def run(self) -> Law:
        table, beyond = np.ones((1, 1)), np.zeros(1)
        low, high = 0, 0
        spreads = []
        for value, draws, to_low, to_high, width in zip(
            self.values, self.draws, self.low, self.high, self.columns, strict=True
        ):
            new, past = np.zeros((to_high - to_low + 1, width)), np.zeros(to_high - to_low + 1)
            shares = np.zeros(len(draws))
            for m, chance in enumerate(draws.tolist()):
                first, last = max(low, to_low - m), min(high, to_high - m)
                if first > last or chance == 0:
                    continue
                at = m * float(value) / self.step
                shift = int(at)
                shares[m] = at - shift
                rows = slice(first + m - to_low, last + m - to_low + 1)
                source = table[first - low : last - low + 1]
                past[rows] += chance * beyond[first - low : last - low + 1]
                for k, part in ((shift, 1 - shares[m]), (shift + 1, shares[m])):
                    fits = max(min(source.shape[1], width - k), 0)
                    if part > 0 and fits:
                        new[rows, k : k + fits] += (chance * part) * source[:, :fits]
                    if part > 0 and fits < source.shape[1]:
                        past[rows] += (chance * part) * source[:, fits:].sum(axis=1)
            spreads.append(float((shares * (1 - shares)).max()))
            table, beyond, low, high = new, past, to_low, to_high
            # Rescaled: only proportions matter, and small probabilities of the number drawn stay in range.
            scale = float(table.sum() + beyond.sum())
            table /= scale
            beyond /= scale
        at_once = min(self.count, len(spreads))
        return Law(
            offset=0.0,
            step=self.step,
            first=0,
            mass=table[0],
            # The number drawn has a probability of at least 1/(4 sqrt(count)), by which what was left out is divided.
            lost=float(beyond[0]) + 16 * len(spreads) * math.sqrt(self.count) * NEGLIGIBLE,
            worst=math.inf,
            variance=sum(sorted(spreads, reverse=True)[:at_once]) * self.step**2,
            error=self.step * at_once,
        ).trimmed()
