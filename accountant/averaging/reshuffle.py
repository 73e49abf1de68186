"""Reshuffled batches: a fresh permutation in every epoch of learning, the same for both processes.

Given the order, every visit to the deleted point is a difference h that the steps from it to the end can absorb alone: with r
steps after it this takes g(r) = h c^r sqrt((1 - c^2)/(1 - c^(2(r+1))))/nu. By the triangle inequality of Gaussian trade-off
functions mu is at most the sum over visits, whose terms are independent. It is averaged over the positions in the most recent
epochs; the epochs before them count together, at their worst, which is the cyclic string with the point always in the last
batch. No outcome is taken for more than the worst order (docs/theory.md, "Reshuffled batches").
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from accountant.averaging.groups import REPLACED, Sampled
from accountant.bounds import Bound, Setting
from accountant.numerics import Floats, Law, geometric_sum, log_power, rounded_law
from accountant.shifts import log_mu_cyclic

METHOD: Final = "exact law over the most recent epochs on a grid rounded up, older epochs at their worst"
_CELLS: Final = 1 << 15
#: Epochs whose positions are averaged over, at most.
_RECENT: Final = 64
#: An epoch whose worst share of mu is below this is not looked at by itself.
_OLD: Final = 1e-9


def reshuffled_sum(bound: Bound, setting: Setting, steps: float, count: int) -> tuple[float, Sampled]:
    """log of a unit, and the law of a bound on mu at unit noise in that unit, for ``count`` points after ``steps`` steps."""
    # The worst position of an epoch is the last: it is contracted least, and a short last batch weighs its points most.
    last = np.array([setting.algorithm.steps_per_epoch - 1.0])
    return _sum(setting, steps, count, float(bound.log_addend(setting, last, np.array([steps]), np.zeros(1))[0, 0]))


@lru_cache(maxsize=32)
def _sum(setting: Setting, steps: float, count: int, worst: float) -> tuple[float, Sampled]:
    """The same, from log mu of the worst order."""
    algorithm = setting.algorithm
    log_c, period = algorithm.log_contraction, algorithm.steps_per_epoch
    positions = np.arange(period, dtype=np.float64)
    log_h = algorithm.log_sensitivity(positions)
    if worst == -math.inf:
        return 0.0, Sampled(Law(0.0, 1.0, 0, np.ones(1), 0.0, 0.0, 0.0, 0.0), METHOD, False)
    chances = algorithm.batch_sizes(positions) / algorithm.problem.n
    unit = worst
    epochs = math.inf if algorithm.learn_epochs is None else algorithm.learn_epochs
    recent: list[Floats] = []
    for epoch in range(int(min(_RECENT, epochs))):
        after = period * epoch + period - 1 - positions + steps
        log_alone = log_h + log_power(log_c, after) - 0.5 * np.log(geometric_sum(log_c, after + 1, stride=2))
        terms = np.exp(log_alone - unit)
        if recent and terms.max() < _OLD:
            break
        recent.append(terms)
    older = 0.0
    if epochs > len(recent):
        # All epochs before the recent ones at their worst, as one string that ends with them.
        log_older = log_mu_cyclic(
            log_c=log_c,
            steps_per_epoch=period,
            log_sensitivity=log_h[-1],
            log_start=-math.inf,
            visits=float(epochs - len(recent)),
            lead=period - 1.0,
            tail=float(len(recent) * period + steps),
        )
        older = math.exp(min(float(log_older) - unit, 700.0))
    largest = older + sum(float(terms.max()) for terms in recent)
    step = min(largest, 1.0 if count == 1 else largest) / _CELLS
    law = None
    for terms in reversed(recent):
        values, weights = terms, chances
        if algorithm.dropped_points:
            values = np.append(values, 0.0)
            weights = np.append(weights, algorithm.dropped_points / algorithm.problem.n)
        own = rounded_law(values, weights, step, up=count == 1)
        law = own if law is None else law + own
    assert law is not None
    law = Law(law.offset + older, law.step, law.first, law.mass, law.lost, law.worst + older, law.variance, law.error)
    if count > 1:
        return unit, Sampled(law.power(count), f"{METHOD}; {REPLACED}", True)
    # The worst order is a bound, too: what would be above it counts as it.
    capped = np.minimum(law.outcomes, 1.0)
    inside = capped < 1.0
    mass, beyond = law.mass[inside], float(law.mass[~inside].sum()) + law.lost
    return unit, Sampled(Law(law.offset, law.step, law.first, mass, beyond, 1.0, 0.0, 0.0), METHOD, False)
