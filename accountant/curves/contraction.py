"""What a projection gives: the guarantee contracts block by block (theory: docs/theory.md, "Block contraction").

Let both runs take m common steps from any two points of the set, with the bound mu for them. Then in each direction, for every
epsilon >= 0,

    delta_after <= delta Theta(log(1 + (e^epsilon - 1)/delta); mu),    Theta the hockey-stick divergence of mu-GDP,

whatever proved delta before. From delta = 1 the first block gives delta(epsilon; mu) itself. Chains fall super-exponentially:
everything is in logarithms. Arrays are unchecked and of one shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.curves.curves import GDPCurve, rounded_up
from accountant.curves.hockey_stick import hockey_stick, mixture_log_scale, mixture_tail_epsilon, rounded_down
from accountant.curves.one_block import contracted_once
from accountant.numerics import DOUBLE, Arithmetic, Floats, Indices, Numbers, decreasing_root

#: Name of curves that are contracted block by block.
CONTRACTION: Final = "contraction"
_UNIT: Final = DOUBLE.unit_roundoff
#: Rows up to which one after the other is faster than all at once.
_FEW: Final = 12


class Chained(NamedTuple):
    """log delta, and its derivatives by epsilon and by a common log mu of all that was chained; rounded up."""

    log_delta: Floats
    by_epsilon: Floats
    by_log_mu: Floats


def certain(shape: tuple[int, ...]) -> Chained:
    """delta = 1, which needs no proof."""
    return Chained(np.zeros(shape), np.zeros(shape), np.zeros(shape))


def contracted(before: Chained, epsilon: Floats, mu: Floats) -> Chained:
    """After one block with bound ``mu`` >= 0, at the same ``epsilon`` >= 0."""
    with np.errstate(all="ignore"):
        log_delta = np.minimum(before.log_delta, 0.0)
        # log(1 + (e^epsilon - 1)/delta), rounded down, which is the safe side.
        odds = np.where(epsilon < 30, np.log(np.expm1(epsilon)), epsilon + np.log1p(-np.exp(-epsilon))) - log_delta
        inner = np.logaddexp(0.0, odds)
        lost = np.where(np.isneginf(odds), 0.0, 4 * _UNIT * (np.abs(odds) + np.abs(log_delta)))
        inner = np.maximum(inner - lost, 0.0)
        share = np.exp(odds - np.logaddexp(0.0, odds))
        tail = hockey_stick(inner, mu)
        growth = np.where(epsilon > 0, 1 / -np.expm1(-epsilon), 0.0)
        by_inner = np.where(share > 0, share * (growth - before.by_epsilon), 0.0)
        # At epsilon = 0 the slope of log(1 + (e^epsilon - 1)/delta) is 1/delta.
        by_inner = np.where(epsilon > 0, by_inner, np.exp(-log_delta))
        after = log_delta + np.minimum(tail.log_delta + tail.error, 0.0)
        after = np.where(np.isneginf(tail.log_delta) | np.isneginf(log_delta), -np.inf, after + 4 * _UNIT * np.abs(after))
        by_epsilon = before.by_epsilon + tail.by_epsilon * by_inner
        by_log_mu = before.by_log_mu + tail.by_log_mu - tail.by_epsilon * share * before.by_log_mu
    finite = np.isfinite(after)
    return Chained(after, np.where(finite, by_epsilon, 0.0), np.where(finite, by_log_mu, 0.0))


def chained(epsilon: Floats, blocks: Sequence[tuple[Floats, int]], before: Chained | None = None) -> Chained:
    """After blocks of common steps, each a bound mu of the shape of epsilon and how often it comes."""
    reached = certain(epsilon.shape) if before is None else before
    if epsilon.size <= _FEW:
        return _each(epsilon, blocks, reached)
    for mu, count in blocks:
        for _ in range(count):
            reached = contracted(reached, epsilon, mu)
            if not np.isfinite(reached.log_delta).any():
                return reached
    return reached


def _each(epsilon: Floats, blocks: Sequence[tuple[Floats, int]], before: Chained) -> Chained:
    """:func:`chained`, one row after the other."""
    result = [np.empty(epsilon.shape) for _ in range(3)]
    for row in range(epsilon.size):
        state = tuple(float(array.flat[row]) for array in before)
        at = float(epsilon.flat[row])
        for mu, count in blocks:
            bound = float(mu.flat[row])
            for _ in range(count):
                state = contracted_once(*state, at, bound)
                if state[0] == -math.inf:
                    break
        for array, value in zip(result, state, strict=True):
            array.flat[row] = value
    return Chained(*result)


def contracted_in(log_delta: Numbers, epsilon: Numbers, mu: Numbers, arithmetic: Arithmetic) -> Numbers:
    """log delta after one block in numbers of any arithmetic, enclosures included; for epsilon > 0."""
    ar = arithmetic
    odds = ar.log(ar.expm1(epsilon)) - log_delta
    # log(1 + e^odds), without overflow.
    large = ar.midpoint(odds) > 0
    inner = np.where(large, odds + ar.log1p(ar.exp(-ar.maximum(odds, -odds))), ar.log1p(ar.exp(-ar.maximum(odds, -odds))))
    return log_delta + hockey_stick(inner, mu, ar).log_delta


#: Numbers of blocks that are tried first; between the best of them and its neighbours the search goes on.
_LADDER: Final = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 90, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096)
#: How many rungs that prove less are climbed before the search turns back.
_PATIENCE: Final = 3
#: Epsilon and log sigma are searched no finer than this, and sigma over so many orders e below what is surely enough.
_FLOOR: Final = 1e-12
_WIDEST: Final = 60.0


@dataclass(frozen=True, eq=False)
class BlockCurve:
    """What common steps in a set of finite diameter prove: the first block, then as many as pay, of lengths that are searched.

    steps: N common steps. log_first: log mu at sigma = 1 of each component (C,) with the first block of so many steps.
    log_block: log mu at sigma = 1 of a block of so many steps >= 1 from any two points of the set. Both fall with the number of
    steps. Components are averaged after the last block; read at log mu (P, C) = log_first(N) - log sigma. Whatever the
    search finds holds: any split into blocks is one. It gives points of a curve; there is no single mu.
    """

    steps: int
    log_first: Callable[[int], Floats]
    log_block: Callable[[int], float]

    @property
    def kind(self) -> str:
        return CONTRACTION

    def split(self, count: int) -> tuple[int, list[tuple[int, int]]]:
        """The first of ``count`` blocks, and the lengths of the others, each with how often it comes."""
        size, more = divmod(self.steps, count)
        first = size + (1 if more else 0)
        longer = max(more - 1, 0)
        return first, [(length, times) for length, times in ((size + 1, longer), (size, count - 1 - longer)) if times]

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        fine = self._fineness(log_mu)

        def value(count: int, rows: Indices) -> Floats:
            return self._at(count, epsilon[rows], log_weights, fine[rows]).log_delta

        return self._least(value, epsilon.size)[0]

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        target, fine = rounded_down(log_delta), self._fineness(log_mu)
        alone = np.zeros(1)

        def value(count: int, rows: Indices) -> Floats:
            def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
                some = rows[active]
                found = self._at(count, x, log_weights, fine[some])
                return np.maximum(found.log_delta, -1e300) - target[some], found.by_epsilon

            # The last block alone, whatever was before it.
            first, others = self.split(count)
            last = self.log_block(others[-1][0]) if others else float(self.log_first(first).max())
            top = mixture_tail_epsilon(log_delta[rows], alone, rounded_up(last + fine[rows])[:, None]) * (1 + 1e-9)
            zero = np.zeros(rows.size)
            met = excess(zero, np.arange(rows.size))[0] <= 0
            return np.where(met, 0.0, decreasing_root(excess, start=0.7 * top, low=zero, high=top, floor=_FLOOR))

        return self._least(value, log_delta.size)[0]

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.log_delta(epsilon, log_weights, log_mu) <= rounded_down(log_delta)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        target = rounded_down(log_delta)
        alone, shape = np.zeros(1), np.zeros((epsilon.size, 1))
        one = mixture_log_scale(epsilon, log_delta, alone, shape)
        top = float(self.log_first(self.steps).max())

        def value(count: int, rows: Indices) -> Floats:
            def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
                some = rows[active]
                found = self._at(count, epsilon[some], log_weights, -x)
                return np.maximum(found.log_delta, -1e300) - target[some], -found.by_log_mu

            # log sigma with which the last block alone is enough, whatever was before it.
            first, others = self.split(count)
            last = self.log_block(others[-1][0]) if others else float(self.log_first(first).max())
            high = last - one[rows] + _FLOOR
            return decreasing_root(excess, start=high, low=high - _WIDEST, high=high, floor=1.0)

        # The scale of the shape, whose largest entry is zero where the first block takes all steps.
        return top - self._least(value, epsilon.size)[0]

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """That of a single block: a contraction gives points of a curve only."""
        return GDPCurve().rdp(alpha, log_weights, log_mu)

    def blocks(self, epsilon: float, log_weights: Floats, log_mu: Floats) -> int:
        """The number of blocks with which delta(epsilon) was found smallest; log_mu (1, C)."""
        fine = self._fineness(log_mu)

        def value(count: int, rows: Indices) -> Floats:
            return self._at(count, np.full(rows.size, epsilon), log_weights, fine[rows]).log_delta

        return int(self._least(value, 1)[1][0])

    def bounds(self, count: int, log_mu: Floats) -> Floats:
        """mu of each of so many blocks, in their order, of a single component; log_mu (1, 1)."""
        fine = self._fineness(log_mu)
        first, others = self.split(count)
        logs = [float(self.log_first(first)[0])]
        for length, times in others:
            logs += [self.log_block(length)] * times
        return rounded_up(np.array(logs) + fine)

    def _fineness(self, log_mu: Floats) -> Floats:
        """-log sigma."""
        reference = self.log_first(self.steps)
        column = int(reference.argmax())
        return log_mu[:, column] - reference[column]

    def _at(self, count: int, epsilon: Floats, log_weights: Floats, fine: Floats) -> Chained:
        """log delta with so many blocks at -log sigma, (P,), (P,), rounded up."""
        first, others = self.split(count)
        mu = rounded_up(self.log_first(first)[None] + fine[:, None])
        each = np.broadcast_to(epsilon[:, None], mu.shape)
        blocks = [(mu, 1)]
        blocks += [(np.broadcast_to(rounded_up(self.log_block(m) + fine)[:, None], mu.shape), times) for m, times in others]
        reached = chained(each, blocks)
        if mu.shape[1] == 1:
            return Chained(reached.log_delta[:, 0], reached.by_epsilon[:, 0], reached.by_log_mu[:, 0])
        with np.errstate(all="ignore"):
            terms = reached.log_delta + log_weights
            top = terms.max(axis=1, keepdims=True)
            shares = np.exp(terms - np.where(np.isfinite(top), top, 0.0))
            total = shares.sum(axis=1)
            log_delta = top[:, 0] + np.log(total) + _UNIT * (16 + mu.shape[1] + np.abs(top[:, 0]))
            shares = shares / total[:, None]
        some = np.isfinite(top[:, 0])
        means = (np.where(some, (shares * by).sum(axis=1), 0.0) for by in (reached.by_epsilon, reached.by_log_mu))
        return Chained(np.where(some, log_delta, -np.inf), *means)

    def _least(self, value: Callable[[int, Indices], Floats], size: int) -> tuple[Floats, Indices]:
        """The smallest value over numbers of blocks, row by row, and where it was found: up a ladder, then in between."""
        best, where = np.full(size, np.inf), np.ones(size, dtype=np.intp)
        tried: set[int] = set()

        def look(count: int, rows: Indices) -> NDArray[np.bool_]:
            tried.add(count)
            found = value(count, rows)
            less = found < best[rows]
            best[rows[less]], where[rows[less]] = found[less], count
            return less

        worse, active = np.zeros(size, dtype=np.intp), np.arange(size)
        for count in (*(rung for rung in _LADDER if rung < self.steps), self.steps)[: len(_LADDER)]:
            less = look(count, active)
            worse[active] = np.where(less, 0, worse[active] + 1)
            active = active[worse[active] < _PATIENCE]
            if not active.size:
                break
        for start in np.unique(where).tolist():
            rows = np.flatnonzero(where == start)
            below = max((k for k in tried if k < start), default=start)
            above = min((k for k in tried if k > start), default=start)
            middle = start
            while True:
                left, right = (below + middle) // 2, (middle + above + 1) // 2
                if below < left < middle and look(left, rows).any():
                    above, middle = middle, left
                elif middle < right < above and look(right, rows).any():
                    below, middle = middle, right
                elif left <= below + 1 and right >= above - 1:
                    break
                else:
                    below, above = (left if left < middle else below), (right if right > middle else above)
                    if above - below <= 2:
                        break
        return best, where
