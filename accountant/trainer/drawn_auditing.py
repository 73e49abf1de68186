"""Audits of runs whose records draw their batches by themselves: a test for what tells a draw.

The average over the leaver's draw is inside the laws only as long as nothing else tells that draw. So a test has cells: what
another record that is still there shows of its own batch, or what was published. Where draws are independent and secret, cells
tell nothing of the leaver; where they are not, a test in each cell sees the leaver's batch.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats
from accountant.trainer.runs import Run

#: Cells that a record that is still there is sorted into.
_CELLS: Final = 8
#: Points of the interval of an unknown chance, what is left out of binomials at either end, and halvings of epsilon.
_GRID: Final = 33
_TAIL: Final = 1e-12
_HALVINGS: Final = 40

Cells = NDArray[np.int64]


def published_cells(learned: Run, row: int, seed: int | None) -> tuple[Cells, Cells]:
    """What sizes before and after the deletion tell, (trials,): the leaver's batch, and that of one who had no gradient."""
    draws = learned.draws
    assert draws is not None
    assert draws.own is not None
    return draws.own[:, row], np.random.default_rng(seed).integers(draws.batches, size=draws.trials)


def witness_cells(ours: Floats, theirs: Floats, pilot: int) -> tuple[Cells, Cells]:
    """What parameters along a witness tell of the draw of this record that is still there, (trials,); edges from the pilot."""
    edges = np.quantile(np.concatenate([ours[:pilot], theirs[:pilot]]), np.arange(1, _CELLS) / _CELLS)
    return np.searchsorted(edges, ours), np.searchsorted(edges, theirs)


def cell_scores(ours: Floats, theirs: Floats, our_cells: Cells, their_cells: Cells, pilot: int) -> tuple[Floats, Floats]:
    """Scores as log-likelihood ratios of two normal laws of one variance in every cell, fitted on the pilot, (trials,) each."""
    one, other = ours.copy(), theirs.copy()
    for cell in range(int(max(our_cells.max(), their_cells.max())) + 1):
        mine, yours = our_cells == cell, their_cells == cell
        first, second = ours[:pilot][mine[:pilot]], theirs[:pilot][yours[:pilot]]
        # A cell that one of both never comes into tells which of both it was.
        gap, middle, spread = 0.0, 0.0, 1.0
        if first.size > 1 and second.size > 1:
            gap, middle = float(first.mean() - second.mean()), float(first.mean() + second.mean()) / 2
            spread = float(first.var() + second.var()) / 2 or 1.0
        shift = np.log((first.size + 1) / (second.size + 1))
        one[mine] = gap * (ours[mine] - middle) / spread + shift
        other[yours] = gap * (theirs[yours] - middle) / spread + shift
    return one, other


class Chosen(NamedTuple):
    """A test of scores above or below a threshold; forward: more often on the first law. expected: epsilon that it shows."""

    threshold: float
    forward: bool
    expected: float


def chosen_test(ours: Floats, theirs: Floats, *, delta: float, risk: float) -> Chosen:
    """The threshold test on scores of a pilot that shows the largest epsilon there, with the pilot's own uncertainty."""
    one, other = np.sort(ours), np.sort(theirs)
    thresholds = np.quantile(np.concatenate([one, other]), np.linspace(0, 1, 402)[1:-1])
    above, null = (1 - np.searchsorted(each, thresholds, "right") / each.size for each in (one, other))
    found = []
    for forward in (True, False):
        hits, alarms = (above, null) if forward else (1 - null, 1 - above)
        value = _expected(hits, alarms, delta, one.size, risk)
        at = int(np.argmax(value))
        found.append(Chosen(float(thresholds[at]), forward, float(value[at])))
    return max(found, key=lambda each: each.expected)


def shown_epsilon(test: Chosen, ours: Floats, theirs: Floats, *, delta: float, risk: float) -> float:
    """A lower bound on epsilon from the counts of a test on other trials, wrong with probability ``risk``; exact binomials.

    Both counts are judged together: where epsilon is enough, P(hit) <= delta + e^epsilon P(alarm), and hits - e^epsilon alarms
    is rarely large, whatever P(alarm) is in its own interval (Berger and Boos 1994).
    """
    hits, alarms = int((ours > test.threshold).sum()), int((theirs > test.threshold).sum())
    if not test.forward:
        hits, alarms = theirs.size - alarms, ours.size - hits
    return epsilon_of_counts(hits, alarms, ours.size, delta=delta, risk=risk)


def epsilon_of_counts(hits: int, alarms: int, count: int, *, delta: float, risk: float) -> float:
    """The largest epsilon that so many hits under one law and alarms under the other refute, of ``count`` trials each.

    >>> epsilon_of_counts(30_000, 3_000, 100_000, delta=0.05, risk=0.01) <= math.log((0.3 - 0.05) / 0.03)
    True
    """
    from scipy.special import betaincinv
    from scipy.stats import binom

    # A hundredth for the interval of P(alarm), another for what lies between its grid points.
    outside, inside = risk / 100, risk * 0.98
    low = float(betaincinv(alarms, count - alarms + 1, outside / 2)) if alarms else 0.0
    high = float(betaincinv(alarms + 1, count - alarms, 1 - outside / 2)) if alarms < count else 1.0
    chances = np.linspace(low, high, _GRID)
    seen = np.arange(int(binom.ppf(_TAIL, count, low)), int(binom.ppf(1 - _TAIL, count, high)) + 1)
    mass = binom.pmf(seen[:, None], count, chances)

    def refuted(epsilon: float) -> bool:
        g = math.exp(epsilon)
        # Rounding to the safe side: fewer hits are asked for.
        need = np.ceil(hits - g * alarms + g * seen - 1e-6)
        tail = binom.sf(need[:, None] - 1, count, np.minimum(delta + g * chances, 1.0))
        return bool((mass * tail).sum(axis=0).max() + 2 * _TAIL + outside <= inside)

    if not refuted(0.0):
        return 0.0
    below, above = 0.0, max(math.log(max(hits / count - delta, _TAIL)) - math.log(max(low, _TAIL)), 1.0)
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        below, above = (middle, above) if refuted(middle) else (below, middle)
    return below


def _expected(hits: Floats, alarms: Floats, delta: float, count: int, risk: float) -> Floats:
    """Of these shares: epsilon at which hits - e^epsilon alarms is just significantly above delta, if normal; -inf for none."""
    from scipy.special import ndtri

    z = -float(ndtri(risk))
    least = 1 / count
    p, r = np.clip(hits, least, 1 - least), np.clip(alarms, least, 1 - least)
    # (p - delta - g r)^2 = z^2 (p (1 - p) + g^2 r (1 - r))/count, the smaller root.
    a, b = r**2 - z**2 * r * (1 - r) / count, (p - delta) * r
    c = (p - delta) ** 2 - z**2 * p * (1 - p) / count
    with np.errstate(invalid="ignore", divide="ignore"):
        g = (b - np.sqrt(b**2 - a * c)) / a
        return np.where((p > delta) & (a > 0) & (c > 0) & (g > 0), np.log(g), -np.inf)
