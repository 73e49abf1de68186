"""The hockey-stick divergence of a Gaussian mixture P = sum_j w_j N(mu_j, 1) from R = N(0, 1), in both directions.

The privacy loss l(x) = log sum_j w_j exp(mu_j x - mu_j^2/2) increases. At epsilon = l(x) the divergence of P from R is
sum_j w_j phi(x - mu_j) (R(x - mu_j) - R(x)) with the Mills ratio R, and at epsilon = -l(-y) that of R from P is
phi(y) sum_j v_j (R(y) - R(y + mu_j)) with v_j = w_j exp(-mu_j y - mu_j^2/2 - l(-y)), the posterior chances at -y: sums of
positive terms, the core of ``hockey_stick.py``. Both are exact at every x and y, so that an x (a y) a little too small, where
l is certainly not above epsilon (under -epsilon), gives a divergence a little too large: that is the safe side.

``outside``: so many trailing columns are another draw, which is averaged outside: component k of it moves all mu_j by mu_k.
Unchecked arrays: (P,) problems, (C,) weights, (P, C) components; weights, inside and outside, count as summing to one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from accountant.curves.hockey_stick import MAX_MU, Tail, past_steps, rounded_down
from accountant.curves.pair_core import BACKWARD, END, FORWARD, Rows, level, loss, normalised, summed, tail_at
from accountant.numerics import DOUBLE, Floats, Indices, decreasing_root

_UNIT: Final = DOUBLE.unit_roundoff
#: Pairs of inner and outer components up to which each is taken; beyond them, classes of either.
_PAIRS: Final = 1 << 18
_INNER: Final = 1 << 10
#: Pairs, times problems, that are worked on at once.
_BLOCK: Final = 1 << 17
#: The log of a scale, and what else is about one, is not looked for to more than four units in the last place of this.
_FINEST: Final = 8.0
#: From such an x, and such an epsilon, on single components turn over within so small a relative change.
_COARSE: Final = 1e6
_STEEP: Final = 1e18


def rows_of(log_weights: Floats, mu: Floats, outside: int) -> tuple[Rows, Floats | None]:
    """The mixtures of all rows, outer component by outer component, and the outer log weights."""
    if not outside:
        return Rows(normalised(log_weights), mu), None
    inner, outer = log_weights[:-outside], log_weights[-outside:]
    few, many = (mu[:, :-outside], inner), (mu[:, -outside:], outer)
    if inner.size * outer.size > _PAIRS:
        few = pooled(*few, _INNER)
        many = pooled(*many, _PAIRS // few[1].size)
    sums = (many[0][:, :, None] + few[0][:, None, :]) * (1 + 2 * _UNIT)
    return Rows(normalised(few[1]), sums.reshape(-1, few[1].size)), normalised(many[1])


def pooled(mu: Floats, log_weights: Floats, most: int) -> tuple[Floats, Floats]:
    """At most so many classes, each as far as its farthest member: every divergence here increases with every mu."""
    if log_weights.size <= most:
        return mu, log_weights
    order = np.argsort(mu[0], kind="stable")
    sizes = mu[0][order]
    # Half of the classes are evenly far apart, half are evenly likely.
    even = np.floor((sizes - sizes[0]) / (sizes[-1] - sizes[0] or 1.0) * (most // 2 - 1))
    below = np.cumsum(np.exp(log_weights[order]))
    likely = np.floor(below / below[-1] * (most // 2 - 1))
    starts = np.flatnonzero(np.append(True, (np.diff(even) > 0) | (np.diff(likely) > 0)))
    weights = np.logaddexp.reduceat(log_weights[order], starts)
    return np.maximum.reduceat(mu[:, order], starts, axis=1), weights


def pair_tail(
    epsilon: Floats,
    log_weights: Floats,
    mu: Floats,
    outside: int = 0,
    direction: int | None = None,
    memory: Floats | None = None,
) -> Tail:
    """The larger of both directions (or one of them) at ``epsilon`` >= 0, rounded up; derivatives by epsilon and by the log of
    a factor of all mu. (P,), (C,), (P, C) -> (P,). ``memory``: where the losses were last, written anew; nothing outside."""
    if direction is None:
        one, two = (pair_tail(epsilon, log_weights, mu, outside, way) for way in (FORWARD, BACKWARD))
        larger = two.log_delta > one.log_delta
        return Tail(*(np.where(larger, second, first) for first, second in zip(one, two, strict=True)))
    size = max(1, _BLOCK // (min(_PAIRS, (mu.shape[1] - outside) * outside) if outside else mu.shape[1]))
    if epsilon.size > size:
        blocks = [slice(start, start + size) for start in range(0, epsilon.size, size)]
        memories = [None if memory is None else memory[rows] for rows in blocks]
        tails = [
            pair_tail(epsilon[rows], log_weights, mu[rows], outside, direction, last)
            for rows, last in zip(blocks, memories, strict=True)
        ]
        return Tail(*(np.concatenate(parts) for parts in zip(*tails, strict=True)))
    with np.errstate(all="ignore"):
        rows, outer = rows_of(log_weights, mu, outside)
        each = epsilon if outer is None else np.repeat(epsilon, outer.size)
        tail = _moving_tail(each, rows, direction, memory)
        if outer is None:
            return tail
        parts = Tail(*(part.reshape(epsilon.size, -1) for part in tail))
        return summed(parts.log_delta + (outer + 8 * _UNIT * (1 + np.abs(outer))), parts.by_epsilon, parts.by_log_mu)


def _moving_tail(epsilon: Floats, rows: Rows, direction: int, memory: Floats | None) -> Tail:
    """One direction at each row; -inf where nothing moves and where l never reaches -epsilon."""
    moving = rows.mu.max(axis=1) > 0
    result = Tail(np.full(epsilon.shape, -np.inf), *(np.zeros(epsilon.shape) for _ in range(3)))
    some = Rows(rows.log_weights, rows.mu[moving])
    x = level(epsilon[moving], some, direction, None if memory is None else direction * memory[moving])
    if memory is not None:
        memory[moving] = x
    at = np.flatnonzero(moving)[x < np.inf]
    there = Rows(rows.log_weights, rows.mu[at])
    tail = tail_at(x[x < np.inf], there, direction)
    if direction == BACKWARD and (coarse := x[x < np.inf] < -_COARSE).any():
        bound = _beyond_steps(epsilon[at], -x[x < np.inf], there)
        tail = tail._replace(log_delta=np.where(coarse, np.minimum(tail.log_delta, bound), tail.log_delta))
    for whole, part in zip(result, tail, strict=True):
        whole[at] = part
    return result


def _beyond_steps(epsilon: Floats, x: Floats, rows: Rows) -> Floats:
    """log of an upper bound on the divergence of R from P where the x of l(x) = -epsilon is so large that rounding it moves l.

    R(X < x) - e^epsilon P(X < x) is at most 1 - e^epsilon P(X < x_1) for every x_1 where l is certainly below -epsilon.
    """
    below = x * (1 - 2.0**-48)
    certain = loss(below, rows, 1)[0] <= -epsilon
    chance = (np.exp(rows.log_weights) * (rows.mu <= below[:, None] - 40)).sum(axis=1) * (
        1 - _UNIT * (64 + 8 * rows.mu.shape[1])
    )
    left = np.maximum(1 - np.exp(epsilon) * (1 - 8 * _UNIT) * chance, 0.0) + 4 * _UNIT
    return np.where(certain, np.log(left), 0.0)


def pair_epsilon(log_delta: Floats, log_weights: Floats, mu: Floats, outside: int = 0) -> Floats:
    """Smallest epsilon >= 0 at which both directions are at most the target, rounded up; (P,), (C,), (P, C) -> (P,)."""
    target = rounded_down(log_delta)
    if outside:
        return _epsilon_outside(target, log_weights, mu, outside)
    result = np.zeros_like(target)
    moving = np.flatnonzero(pair_tail(result, log_weights, mu).log_delta > target)
    if not moving.size:
        return result
    with np.errstate(all="ignore"):
        for direction in (FORWARD, BACKWARD):
            rows = Rows(normalised(log_weights), mu[moving])
            result[moving] = np.maximum(result[moving], _epsilon_in(target[moving], rows, direction))
    return result


def _epsilon_in(target: Floats, rows: Rows, direction: int) -> Floats:
    """One direction, by the x or y at which its divergence meets the target."""
    largest, weights = rows.mu.max(axis=1), rows.log_weights
    reach = np.sqrt(-2 * target)
    # Where the tail of one component alone is the target, for the largest component of that kind.
    single = np.sqrt(np.maximum(2 * (weights - target[:, None] - DOUBLE.log_sqrt_2pi), 0.01)) * 0.95
    alone = np.where(weights > target[:, None], rows.mu + single, 0.0).max(axis=1)
    start = np.maximum(alone, _farthest(target, rows)) if direction == FORWARD else reach * 0.9
    high = (largest + reach) * (1 + 1e-12) if direction == FORWARD else reach * (1 + 1e-12)
    low = np.zeros_like(high) if direction == FORWARD else -END - high

    def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
        some = Rows(weights, rows.mu[active])
        tail = tail_at(x, some, direction)
        return tail.log_delta - target[active], tail.by_epsilon * loss(direction * x, some)[1]

    found = decreasing_root(excess, start=start, low=low, high=high, floor=1.0)
    found = past_steps(excess, found, np.flatnonzero(np.abs(found) > _COARSE), low, rows.mu.shape[1])
    return np.maximum(direction * loss(direction * found, rows, direction)[0], 0.0)


def _farthest(target: Floats, rows: Rows) -> Floats:
    """The largest mu beyond which there is as much weight as the target."""
    order = np.argsort(-rows.mu, axis=1)
    enough = np.exp(rows.log_weights)[order].cumsum(axis=1) >= np.exp(target)[:, None]
    place = np.where(enough.any(axis=1), enough.argmax(axis=1), rows.mu.shape[1] - 1)
    return np.asarray(np.take_along_axis(rows.mu, np.take_along_axis(order, place[:, None], axis=1), axis=1)[:, 0])


def _epsilon_outside(target: Floats, log_weights: Floats, mu: Floats, outside: int) -> Floats:
    """The same where the average is taken over mixtures, which share an epsilon but no x."""
    largest = mu[:, :-outside].max(axis=1) + mu[:, -outside:].max(axis=1)
    high = largest * (np.sqrt(-2 * target) + largest / 2) * (1 + 1e-12)
    result = np.zeros_like(target)
    positive = np.flatnonzero(~(pair_tail(result, log_weights, mu, outside).log_delta <= target))
    if not positive.size:
        return result

    def excess(epsilon: Floats, active: Indices) -> tuple[Floats, Floats]:
        rows = positive[active]
        tail = pair_tail(epsilon, log_weights, mu[rows], outside)
        return tail.log_delta - target[rows], tail.by_epsilon

    top = high[positive]
    finest = 8 * largest[positive]
    result[positive] = decreasing_root(excess, start=top / 2, low=np.zeros_like(top), high=top, floor=finest)
    return result


def pair_log_scale(epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats, outside: int = 0) -> Floats:
    """Largest log s at which delta(epsilon) of the mixture of mu_j = s exp(log_shape_j) is at most delta, rounded down.

    (P,), (P,), (C,), (P, C) -> (P,). The largest entry of every row of ``log_shape`` must be zero.
    """
    target = rounded_down(log_delta)
    # A scale that is surely small enough: by joint convexity the divergence is at most that of the farthest component.
    reach = np.sqrt(-2 * target)
    with np.errstate(all="ignore"):
        by_tail = np.log(2 * epsilon / (reach + np.sqrt(reach * reach + 2 * epsilon)))
        high = 1e-9 - np.maximum(by_tail, target + DOUBLE.log_sqrt_2pi) + (math.log(2) if outside else 0.0)
        # Where one component alone spends everything.
        own = np.sqrt(2 * np.maximum(log_weights - target[:, None], 1e-3))
        further = epsilon[:, None] - log_weights
        single = np.log(2 * further / (own + np.sqrt(own * own + 2 * further))) - log_shape
        start = np.clip(-single.min(axis=1), -math.log(MAX_MU), high)
    low = np.minimum(-math.log(MAX_MU), high)

    def excess_in(*directions: int) -> Callable[[Floats, Indices], tuple[Floats, Floats]]:
        memories = {way: np.full(epsilon.size, np.nan) for way in directions}

        def tail_of(way: int, mu: Floats, active: Indices) -> Tail:
            last = None if outside else memories[way][active]
            tail = pair_tail(epsilon[active], log_weights, mu, outside, way, last)
            if last is not None:
                memories[way][active] = last
            return tail

        def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            mu = np.exp(log_shape[active] - x[:, None])
            one, *other = (tail_of(way, mu, active) for way in directions)
            value, slope = one.log_delta, -one.by_log_mu
            for tail in other:
                larger = tail.log_delta > value
                value, slope = np.where(larger, tail.log_delta, value), np.where(larger, -tail.by_log_mu, slope)
            return value - target[active], slope

        return excess

    forward, every = excess_in(FORWARD), np.arange(start.size)
    for _ in range(3):
        value, slope = forward(start, every)
        # In the tail log delta is a linear function of 1/s^2.
        with np.errstate(all="ignore"):
            move = 0.5 * np.log1p(np.maximum(-2 * value / slope, -0.9))
        start = np.clip(start + np.where(np.isfinite(move), move, 0.0), low, high)
    found = decreasing_root(forward, start=start, low=low, high=high, floor=_FINEST)
    more = np.flatnonzero(excess_in(BACKWARD)(found, every)[0] > 0)
    if more.size:
        both = excess_in(FORWARD, BACKWARD)

        def rest(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            return both(x, more[active])

        found[more] = decreasing_root(rest, start=found[more], low=low[more], high=high[more], floor=_FINEST)
    steep = np.flatnonzero(epsilon > _STEEP)
    if steep.size:
        found = past_steps(excess_in(FORWARD, BACKWARD), found, steep, low, log_shape.shape[1])
    return -found
