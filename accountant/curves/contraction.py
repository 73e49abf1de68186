"""What a projection gives: the guarantee contracts block by block (theory: docs/theory.md, "Block contraction").

Let both runs take m common steps from any two points of the set, with the bound mu for them. Then in each direction, for every
epsilon >= 0,

    delta_after <= delta Theta(log(1 + (e^epsilon - 1)/delta); mu),    Theta the hockey-stick divergence of mu-GDP,

whatever proved delta before. From delta = 1 the first block gives delta(epsilon; mu) itself. Chains fall super-exponentially:
everything is in logarithms. Arrays are unchecked and of one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

import numpy as np

from accountant.curves.hockey_stick import hockey_stick
from accountant.curves.one_block import contracted_through
from accountant.numerics import DOUBLE, Arithmetic, Floats, Numbers

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
        state = float(before.log_delta.flat[row]), float(before.by_epsilon.flat[row]), float(before.by_log_mu.flat[row])
        mus = chain.from_iterable(repeat(float(mu.flat[row]), count) for mu, count in blocks)
        state = contracted_through(state, float(epsilon.flat[row]), mus)
        for array, value in zip(result, state, strict=True):
            array.flat[row] = value
    return Chained(*result)


def averaged(reached: Chained, log_weights: Floats) -> Chained:
    """The average of components (P, C), rounded up, (P,)."""
    if reached.log_delta.shape[1] == 1:
        return Chained(reached.log_delta[:, 0], reached.by_epsilon[:, 0], reached.by_log_mu[:, 0])
    with np.errstate(all="ignore"):
        terms = reached.log_delta + log_weights
        top = terms.max(axis=1, keepdims=True)
        shares = np.exp(terms - np.where(np.isfinite(top), top, 0.0))
        total = shares.sum(axis=1)
        log_delta = top[:, 0] + np.log(total) + _UNIT * (16 + terms.shape[1] + np.abs(top[:, 0]))
        shares = shares / total[:, None]
    some = np.isfinite(top[:, 0])
    means = (np.where(some, (shares * by).sum(axis=1), 0.0) for by in (reached.by_epsilon, reached.by_log_mu))
    return Chained(np.where(some, log_delta, -np.inf), *means)


def contracted_in(log_delta: Numbers, epsilon: Numbers, mu: Numbers, arithmetic: Arithmetic) -> Numbers:
    """log delta after one block in numbers of any arithmetic, enclosures included; for epsilon > 0."""
    ar = arithmetic
    odds = ar.log(ar.expm1(epsilon)) - log_delta
    # log(1 + e^odds), without overflow.
    large = ar.midpoint(odds) > 0
    inner = np.where(large, odds + ar.log1p(ar.exp(-ar.maximum(odds, -odds))), ar.log1p(ar.exp(-ar.maximum(odds, -odds))))
    return log_delta + hockey_stick(inner, mu, ar).log_delta
