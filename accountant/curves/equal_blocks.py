"""Very many blocks that are all alike, as of steps that clip the model and have no other bound: each step is a block.

More blocks never prove less here, so nothing is searched: a chain of N equal contractions is evaluated as it stands, in plain
floats, a microsecond a block, and solved by Newton's method from coarser chains. While blocks change delta little,

    1 - Theta(e; mu) = Phi(e/mu - mu/2) + e^e Phi(-e/mu - mu/2),    e^e = 1 + (e^epsilon - 1)/delta,

has no cancellation; where they change it much (the last hundred)
:func:`~accountant.curves.one_block.contracted_through` goes on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import numpy as np

from accountant.curves.block_curve import BlockCurve
from accountant.curves.curves import rounded_up
from accountant.curves.hockey_stick import mixture_log_scale, mixture_tail_epsilon, rounded_down
from accountant.curves.one_block import Chain, contracted_through
from accountant.numerics import Floats

#: Blocks from which on they are counted and not searched; and the most that are counted.
LEAST: Final = 1024
MOST: Final = 1 << 16
#: Coarse chains, in numbers of blocks that stand for several.
_COARSE: Final = (256, 4096)
_HALF, _DENSITY = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
#: What one loses that erfc and its argument may be wrong by: relatively, and by how much more where blocks are far apart.
_LOSS, _FAR = 1e-12, 2.0**-49
_UNIT: Final = 2.0**-53
#: How near the solution is searched, relatively.
_CLOSE: Final = 1e-12
#: Smaller epsilons are not told from zero.
_FLOOR: Final = 1e-12
#: log of a mu with which nothing is private.
LARGEST: Final = 345.0


@dataclass(frozen=True, eq=False)
class EqualBlocks(BlockCurve):
    """A :class:`BlockCurve` of one component whose blocks of any length have the mu of the first one."""

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        counts, few = self._counts(epsilon.size)
        found, mu = np.empty(epsilon.size), rounded_up(log_mu)[:, 0]
        for row in np.flatnonzero(~few).tolist():
            found[row] = equal_chain(float(epsilon[row]), float(mu[row]), int(counts[row]))[0]
        if few.any():
            rows = np.flatnonzero(few)
            found[rows] = self._searched(rows).log_delta(epsilon[rows], log_weights, log_mu[rows])
        return found

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        counts, few = self._counts(log_delta.size)
        mu, goal = rounded_up(log_mu), rounded_down(log_delta)
        found = mixture_tail_epsilon(log_delta, log_weights, mu)
        for row in np.flatnonzero(~few & (found > 0)).tolist():
            bound, count = float(mu[row, 0]), int(counts[row])

            def chain(x: float, each: int, bound: float = bound, count: int = count) -> Chain:
                return equal_chain(x, bound, count, each)

            found[row] = least_of_chain(chain, 1, float(goal[row]), 0.0, float(found[row]), count)
        if few.any():
            rows = np.flatnonzero(few)
            found[rows] = self._searched(rows).epsilon(log_delta[rows], log_weights, log_mu[rows])
        return found

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        counts, few = self._counts(epsilon.size)
        goal, found = rounded_down(log_delta), mixture_log_scale(epsilon, log_delta, log_weights, log_shape)
        for row in np.flatnonzero(~few).tolist():
            at, count = float(epsilon[row]), int(counts[row])

            # In terms of -log mu, which falls as delta does.
            def chain(x: float, each: int, at: float = at, count: int = count) -> Chain:
                return equal_chain(at, float(rounded_up(np.array(-x))), count, each)

            found[row] = -least_of_chain(chain, 2, float(goal[row]), -LARGEST, -float(found[row]), count)
        if few.any():
            rows = np.flatnonzero(few)
            found[rows] = self._searched(rows).log_scale(epsilon[rows], log_delta[rows], log_weights, log_shape[rows])
        return found

    def split(self, epsilon: float, log_weights: Floats, log_mu: Floats) -> Floats:
        counts, few = self._counts(1)
        if few[0]:
            return self._searched(np.zeros(1, dtype=np.intp)).split(epsilon, log_weights, log_mu)
        # Blocks of one step, but for the first, which has what is left.
        return np.concatenate([[float(self.steps[0]) - counts[0] + 1], np.ones(int(counts[0]) - 1)])

    def _counts(self, rows: int) -> tuple[Floats, np.ndarray]:
        """Blocks of each row, and which rows have so few that the search is as good."""
        steps = np.broadcast_to(self.steps, (rows,))
        return np.minimum(steps, MOST), steps < LEAST

    def _searched(self, rows: np.ndarray) -> BlockCurve:
        some = self.rows(rows)
        return BlockCurve(some.steps, some.log_first, some.log_block)


def equal_chain(epsilon: float, mu: float, count: int, each: int = 1) -> Chain:
    """log delta after ``count`` blocks of bound ``mu`` > 0 at ``epsilon`` >= 0, rounded up; its slopes by epsilon and log mu.

    each: how many blocks are taken as one, as if delta did not change between them, which says little less than it should.
    """
    if mu <= 0:
        return -math.inf, 0.0, 0.0
    half, log, erfc, exp = mu / 2, math.log1p, math.erfc, math.exp
    if epsilon > 600 or half > 1e6:
        # Beyond what odds hold, or where no block changes delta.
        return contracted_through((0.0, 0.0, 0.0), epsilon, repeat(mu, count if half <= 1e6 else 0))
    excess, growth = math.expm1(epsilon) * (1 - 8 * _UNIT), math.exp(epsilon)
    slack = each * (1 - _LOSS - _FAR * (1 + half) * (1 + half))
    delta, by_epsilon, by_log_mu, done = 1.0, 0.0, 0.0, 0
    while done < count:
        odds = excess / delta
        inner = log(odds) * (1 - 8 * _UNIT)
        ratio = inner / mu
        a = ratio - half
        if a > -1.0 or delta < 1e-200:
            break
        below = 0.5 * (1 + odds) * erfc((ratio + half) * _HALF)
        lost = 0.5 * erfc(-a * _HALF) + below
        kept = 1 - lost
        # Of log(1 + odds), by epsilon and by log mu.
        share = odds / (1 + odds)
        by_inner = (growth / delta - odds * by_epsilon) / (1 + odds)
        by_epsilon -= each * below / kept * by_inner
        by_log_mu += each * (mu * _DENSITY * exp(-a * a / 2) + below * share * by_log_mu) / kept
        delta *= (1 - lost * slack) * (1 + 4 * _UNIT) if each == 1 else kept**each
        done += each
    reached = min(math.log(delta) * (1 - 4 * _UNIT), 0.0)
    return contracted_through((reached, by_epsilon, by_log_mu), epsilon, repeat(mu, count - done))


def least_of_chain(chain: Callable[[float, int], Chain], which: int, goal: float, low: float, high: float, count: int) -> float:
    """The least x >= ``low`` found at which log delta is at most ``goal``; at ``high`` a single block is enough.

    which: of the chain's slopes the one by x (1), or by -x (2). The chain falls with x, and log(log goal/log delta) is nearly
    affine in x.
    """
    sign = 1 if which == 1 else -1
    x = high
    levels = [count // blocks for blocks in _COARSE if count > 4 * blocks]
    for each in [*levels, 1]:
        # Coarse chains say where to begin, and prove nothing.
        unmet, met = low, high
        for _ in range(100):
            found = chain(x, each)
            reached, slope = found[0], sign * found[which]
            if reached <= goal:
                met = x
            else:
                unmet = x
            scale = max(abs(met), 1e-300) if which == 1 else 1.0
            if met - unmet <= 4 * _CLOSE * scale or (met == low and reached <= goal):
                break
            with_slope = -math.inf < reached < 0 and slope < 0
            step = math.log(reached / goal) * reached / -slope if with_slope else math.nan
            # A little beyond the root, so that both sides of it are seen.
            beyond = x + step + (_CLOSE if x + step >= met or reached > goal else -_CLOSE) * scale
            if each > 1 and abs(step) <= 1e-3 * scale:
                x = min(max(x + step, low), high)
                break
            x = beyond if unmet < beyond < met else 0.5 * (unmet + met)
    # Below that zero is as good, where it is enough.
    return low if met - low <= _FLOOR and chain(low, 1)[0] <= goal else met
