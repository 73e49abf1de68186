"""What it costs that a batch of own draws may come out too large for its step to contract.

R's maps contract by c = 1 - eta m as long as the other records of a batch are at most b (2/eta - 2 m)/(L - m), L - m being the
smoothness of a record's data part. Two ways to pay for larger batches (docs/theory.md, "Secret batches"):

- never redraw: delta grows by p, the chance that any batch that is used is too large, at any moment of the history;
- redraw the key at the start until no batch is too large: epsilon grows by -log(1 - p2) and delta to
  (delta + e^epsilon p2)/(1 - p2), p2 a bound on the chance that the deleted record makes its batch too large. One draw for all
  epochs, no newcomers.

Chances are logarithms, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from accountant.numerics import DOUBLE, InputError, smallest_whole
from accountant.problem.algorithm import PNSGD
from accountant.problem.assignment import FRESH, POISSON, SECRET
from accountant.problem.constants import exact_step_size
from accountant.problem.reading import decimal

#: Terms of a tail that are added one by one; the rest is a geometric series.
_TERMS: Final = 4096
#: Numbers of batches that are looked at one by one for the smallest batch size that pays.
_MOST_LAYOUTS: Final = 400


class Oversize(NamedTuple):
    """log p of never redrawing, and log p2 of redrawing (None where that is not offered); -inf for none."""

    log_added: float
    log_redrawn: float | None

    def pays(self, delta: float) -> bool:
        """Whether anything is left of delta."""
        return self.least < math.log(delta)

    @property
    def least(self) -> float:
        """log of a delta of which nothing is left: p, or twice p2, which both directions ask for."""
        return self.log_added if self.log_redrawn is None else min(self.log_added, self.log_redrawn + math.log(2))


def load_limit(algorithm: PNSGD) -> float:
    """The most other records that a batch of own draws may have for its step to contract by 1 - eta m; +inf where any may.

    >>> from dataclasses import replace
    >>> from accountant import PNSGD, preset
    >>> load_limit(PNSGD(replace(preset("mnist"), adjacency="remove"), 128, assignment="secret"))
    256.0
    """
    problem = algorithm.problem
    steepness = decimal(problem.smoothness) - decimal(problem.strong_convexity)
    if steepness == 0:
        return math.inf
    eta = exact_step_size(algorithm)
    limit = int(algorithm.batch_size) * (2 / eta - 2 * decimal(problem.strong_convexity)) / steepness
    return float(max(limit.__floor__(), 0))


def oversize(algorithm: PNSGD, *, steps: int = 0, points: int = 1) -> Oversize:
    """What batches that are too large cost a run of own draws with so many ``steps`` of unlearning and deleted ``points``.

    Raises InputError where the cost has no end: fresh draws or Poisson sampling in learning of no finite length.
    """
    return _oversize(algorithm, steps if algorithm.assignment in (FRESH, POISSON) else 0, points)


@lru_cache(maxsize=4096)
def _oversize(algorithm: PNSGD, steps: int, points: int, load: int | None = None) -> Oversize:
    """``load``: the most other records that a batch may have; None: those of the step size."""
    limit, batches, n = load_limit(algorithm) if load is None else load, algorithm.steps_per_epoch, algorithm.problem.n
    if math.isinf(limit):
        return Oversize(-math.inf, -math.inf if _may_redraw(algorithm) else None)
    most = algorithm.largest_n
    assert most is not None
    stand_in = algorithm.problem.adjacency == "replace"
    one = log_tail(most if stand_in else most - 1, batches, int(limit) + 1)
    times = batches
    if algorithm.assignment == SECRET:
        log_added = math.log(batches) + one
    else:
        if algorithm.learn_epochs is None:
            raise InputError(f"assignment={algorithm.assignment} needs learn_epochs: every draw may come out too large")
        times = algorithm.learn_epochs * batches + steps
        if algorithm.assignment == FRESH:
            times = -(-times // batches) * batches
        log_added = math.log(times) + one
    log_redrawn = None
    if _may_redraw(algorithm):
        # No newcomers: the others are the n - 1 that were there.
        beyond = math.log(batches) + log_tail(n - 1, batches, int(limit) + 1)
        if beyond < 0:
            log_redrawn = math.log(points) + _log_mass(n - 1, batches, int(limit)) - math.log1p(-math.exp(beyond)) + 1e-15
    if algorithm.redraw:
        # Where batches that are too large are the rule, no key may ever be found.
        return Oversize(math.inf, 0.0 if log_redrawn is None else log_redrawn)
    return Oversize(log_added, None if algorithm.redraw is False else log_redrawn)


def _may_redraw(algorithm: PNSGD) -> bool:
    return algorithm.assignment == SECRET and algorithm.problem.adjacency == "remove" and algorithm.redraw is not False


def _remedies(algorithm: PNSGD, delta: float, steps: int, points: int) -> str:
    """What makes the cost less than delta, in words: the largest step size and the smallest larger batch that do."""
    n = algorithm.problem.n
    most = algorithm.largest_n
    assert most is not None
    enough = smallest_whole(
        lambda load: _oversize(algorithm, steps, points, load).pays(delta), int(load_limit(algorithm)) + 1, most
    )
    found = [f"a step_size of at most {_step_size(algorithm, enough):.7g}"]
    size = _smallest_batch(algorithm, lambda changed: oversize(changed, steps=steps, points=points).pays(delta))
    if size <= n:
        found.append(f"a batch_size of {size} (the smallest)")
    if algorithm.redraw is not None:
        other = replace(algorithm, redraw=None)
        if oversize(other, steps=steps, points=points).pays(delta):
            found.append(f"redraw={'no' if algorithm.redraw else 'yes'}")
    return " or ".join(found)


def _step_size(algorithm: PNSGD, load: int) -> float:
    """The largest step size of seven digits with which a batch may have so many other records."""
    problem = algorithm.problem
    m, steepness = decimal(problem.strong_convexity), decimal(problem.smoothness) - decimal(problem.strong_convexity)
    exact = float(2 / (load * steepness / int(algorithm.batch_size) + 2 * m))
    unit = 10.0 ** (math.floor(math.log10(exact)) - 6)
    return float(f"{math.floor(exact / unit) * unit:.7g}")


def _smallest_batch(algorithm: PNSGD, holds: Callable[[PNSGD], bool]) -> int:
    """The smallest larger batch size for which ``holds``, which for equally many batches goes one way; n + 1 for none.

    Where the number of batches changes it may go up and down: close below what doubling strides find all numbers are tried.
    """
    n, size = algorithm.problem.n, int(algorithm.batch_size)

    def at(b: int) -> bool:
        return holds(replace(algorithm, batch_size=b))

    best = smallest_whole(at, size + 1, n, start=size + 1) if size < n else n + 1
    count = -(-n // min(best, n))
    for batches in range(count, count + _MOST_LAYOUTS):
        # All sizes that make so many batches, the largest of which pays most.
        low, high = max(-(-n // batches), size + 1), min((n - 1) // (batches - 1) if batches > 1 else n, best - 1)
        if batches > n or (n - 1) // max(batches - 1, 1) <= size:
            break
        if low <= high and at(high):
            best = smallest_whole(at, low, high)
    return best


def too_large(algorithm: PNSGD, delta: float, *, steps: int = 0, points: int = 1) -> str | None:
    """Why (epsilon, delta) is out of reach because batches may be too large, with what would do; None where it is not."""
    if not algorithm.own_draws:
        return None
    cost = oversize(algorithm, steps=steps, points=points)
    if cost.pays(delta):
        return None
    limit = f"a batch of own draws is too large, with more than {load_limit(algorithm):.0f} other records,"
    if algorithm.redraw:
        assert cost.log_redrawn is not None
        told = f"{limit} too often to redraw the key until none is at delta = {delta:g}"
    else:
        told = f"{limit} with a chance of {math.exp(min(cost.log_added, 0.0)):.3g}, which delta = {delta:g} does not pay for"
    return f"{told}: {_remedies(algorithm, delta, steps, points)} would do"


def log_tail(n: int, batches: int, least: int) -> float:
    """log P(Bin(n, 1/batches) >= least), rounded up.

    >>> f"{log_tail(11263, 352, 65):.6g}"
    '-15.47'
    """
    if least <= 0 or least * batches <= n:
        return 0.0
    if least > n:
        return -math.inf
    if batches == 1:
        return 0.0
    # Ratios of neighbouring terms fall, so what is beyond the last one is less than a geometric series.
    total, term = 1.0, 1.0
    k = least
    for _ in range(_TERMS):
        ratio = (n - k) / ((k + 1) * (batches - 1))
        if term * ratio < 1e-18 * total or k >= n:
            break
        term *= ratio
        total += term
        k += 1
    if k < n:
        ratio = (n - k) / ((k + 1) * (batches - 1))
        total += term * ratio / (1 - ratio)
    return min(_log_mass(n, batches, least) + math.log(total) + 1e-12, 0.0)


def _log_mass(n: int, batches: int, k: int) -> float:
    """log P(Bin(n, 1/batches) = k), rounded up: Stirling's formula with Robbins' bounds, the large terms as a divergence."""
    if not 0 <= k <= n:
        return -math.inf
    if batches == 1:
        return 0.0 if k == n else -math.inf
    if min(k, n - k) < 200:
        few = min(k, n - k)
        choose = math.fsum(math.log(n - i) - math.log(i + 1) for i in range(few))
        log_mass = choose - k * math.log(batches) + (n - k) * math.log1p(-1 / batches)
        size = few * math.log(n + 1) + k * math.log(batches) + (n - k) / batches
        return log_mass + 8 * DOUBLE.unit_roundoff * (1 + size)
    share = k - n / batches
    away = k * math.log1p(share * batches / n) + (n - k) * math.log1p(-share / (n - n / batches))
    stirling = 0.5 * math.log(n / (2 * math.pi * k * (n - k))) + 1 / (12 * n) - 1 / (12 * k + 1) - 1 / (12 * (n - k) + 1)
    size = abs(k * math.log1p(share * batches / n)) + abs(share) * 2 + abs(stirling)
    return stirling - away + 8 * DOUBLE.unit_roundoff * (1 + size + k)
