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
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.curves.curves import rounded_up
from accountant.curves.hockey_stick import MAX_MU, Tail, between, rounded_down
from accountant.numerics import DOUBLE, Floats, Indices, decreasing_root

#: Name of the kind.
GAUSSIAN_MIXTURE: Final = "gaussian-mixture"
_UNIT: Final = DOUBLE.unit_roundoff
#: Where both directions count as zero; above twice the largest mu, for sums of two.
_END: Final = 4 * MAX_MU
#: What is e^50 times less than the largest is bounded by that instead of computed.
_NEGLIGIBLE: Final = 50.0
#: Newton's steps for l(x) = epsilon: it converges from one side, and where it ends early the answer is still safe.
_STEPS: Final = 200
#: Pairs of inner and outer components up to which each is taken; beyond them, classes of either.
_PAIRS: Final = 1 << 18
_INNER: Final = 1 << 10
#: Pairs, times problems, that are worked on at once.
_BLOCK: Final = 1 << 17
#: The log of a scale, and what else is about one, is not looked for to more than four units in the last place of this.
_FINEST: Final = 8.0
#: The two directions: of P from R, and of R from P.
FORWARD: Final = 1
BACKWARD: Final = -1


class _Rows(NamedTuple):
    """Weights (C,), normalised, and components (N, C), at least one of each row above zero."""

    log_weights: Floats
    mu: Floats


def loss(x: Floats, rows: _Rows, sign: int = 0) -> tuple[Floats, Floats]:
    """l(x) and l'(x), (N,), to a few roundings relative to l, also where it is nearly zero; l rounded up (sign 1) or down (-1)
    by their bound."""
    log_weights, mu = rows
    moved = mu * (x[:, None] - mu / 2)
    terms = log_weights + moved
    if sign:
        # Two roundings of the product, one of the sum, two of the logarithm of a weight and one of its normalisation.
        terms += sign * 4 * _UNIT * (np.abs(moved) + np.abs(log_weights))
    top = terms.max(axis=1)
    shares = np.exp(terms - top[:, None])
    total = shares.sum(axis=1)
    result = top + np.log(total) + sign * _UNIT * (_roundings(mu) + 4 * np.abs(top))
    slope = (shares * mu).sum(axis=1) / total
    small = np.flatnonzero(np.abs(result) <= 0.5)
    if small.size:
        # log1p of sum w_j (e^(s_j) - 1): the weights sum to one.
        some, likely, weights = moved[small], np.exp(log_weights + moved[small]), np.exp(log_weights)
        excess = np.where(some < 1, weights * np.expm1(np.minimum(some, 1.0)), likely - weights)
        near = excess.sum(axis=1)
        if sign:
            sizes = np.abs(excess) * (_roundings(mu) + 4 * np.abs(log_weights)) + likely * 8 * np.abs(some)
            near += sign * _UNIT * sizes.sum(axis=1)
        near = np.log1p(near)
        result[small] = near + sign * 4 * _UNIT * np.abs(near)
    return np.asarray(result), slope


def _roundings(mu: Floats) -> float:
    """Roundings of a sum along the components, which NumPy takes pairwise."""
    return 48 + 2 * math.log2(mu.shape[-1])


def level(epsilon: Floats, rows: _Rows, direction: int, guess: Floats | None = None) -> Floats:
    """x of l(x) = epsilon, at most the true one (FORWARD), or y of -l(-y) = epsilon, at most the true one, (N,).

    Beyond ``_END`` the answer stays there; y is infinite where l never reaches -epsilon.
    """
    log_weights, mu = rows
    target = direction * epsilon
    first = _above(target, rows)
    # A tangent of the convex l leads from anywhere to above the answer.
    x = first if guess is None else np.clip(guess, -_END, first)
    done, last = np.zeros(x.shape, dtype=np.bool_), np.full(x.shape, np.inf)
    for count in range(_STEPS):
        value, slope = loss(x, rows)
        step = (value - target) / slope
        size = np.maximum(np.abs(x), 1.0)
        # Steps go one way but for the first; where they are no longer halved, rounding is all that is left of them.
        done |= ~(np.abs(step) > 4 * _UNIT * size) | (count > 0) & ((step < 0) | (step < 1e-7 * size) & (step > 0.5 * last))
        if done.all():
            break
        last = step
        x = np.where(done, x, np.clip(x - step, -_END, first))
    low = x < 0 if direction == FORWARD else np.zeros_like(done)
    # l(0) <= 0.
    x = np.where(low, 0.0, x)
    push = 2 * _UNIT * np.maximum(np.abs(x), 1.0)
    for _ in range(_STEPS):
        over = direction * loss(x, rows, direction)[0] - epsilon
        bad = (over > 0) & ~low
        if not bad.any():
            break
        x = np.where(bad, np.clip(x - direction * np.maximum(over / np.maximum(slope, 1e-300), push), -_END, _END), x)
        if direction == FORWARD:
            low |= x <= 0
            x = np.where(low, 0.0, x)
        push = 2 * push
    else:
        # Everything is certain at the far end.
        x = np.where(bad, 0.0 if direction == FORWARD else _END, x)
    if direction == FORWARD:
        return np.asarray(x)
    still = np.where(mu > 0, -np.inf, log_weights)
    still = np.where(mu > 0, 0.0, np.exp(log_weights)).sum(axis=1) if (still > -np.inf).any() else np.zeros_like(x)
    never = np.log(still) - 4 * _UNIT * (_roundings(mu) + np.abs(np.log(still))) > -epsilon
    return np.where(never, np.inf, -x)


def _above(target: Floats, rows: _Rows) -> Floats:
    """An x at which l is not under the target but for rounding: l is at least each of its terms, and at least the logarithm of
    what never moves and the geometric mean of the others."""
    log_weights, mu = rows
    single = np.where(mu > 0, (target[:, None] - log_weights) / mu + mu / 2, np.inf).min(axis=1)
    weights = np.exp(log_weights) * (mu > 0)
    share = weights.sum(axis=1)
    rise = np.expm1(target) / share
    mean = (np.log1p(rise) * share + 0.5 * (weights * mu * mu).sum(axis=1)) / (weights * mu).sum(axis=1)
    # Far below zero the first of both is the better one, and the second loses its digits.
    return np.clip(np.fmin(single, np.where(rise > -0.5, mean, np.inf)), -_END, _END)


def tail_at(x: Floats, rows: _Rows, direction: int) -> Tail:
    """log of the divergence at epsilon = l(x), or -l(-y) at y = x, (N,), rounded up; its derivatives at one epsilon, but for
    by_epsilon, which is by epsilon."""
    log_weights, mu = rows
    x = x[:, None]
    if direction == FORWARD:
        a, b, chances = np.where(mu > 0, x - mu, np.inf), np.broadcast_to(x, mu.shape), np.broadcast_to(log_weights, mu.shape)
        spread = 8 * _UNIT * (1 + np.abs(log_weights))
    else:
        a, b = np.where(mu > 0, x, np.inf), x + mu
        moved = -mu * (x + mu / 2)
        chances = log_weights + moved - loss(-x[:, 0], rows, -1)[0][:, None]
        spread = 4 * _UNIT * (np.abs(moved) + np.abs(log_weights) + np.abs(chances) + 2)
    chances = chances + spread
    # Below every term: a divergence falls as its epsilon grows, and R(a) - R(b) >= mu/(b^2 + 3) for a >= 0.
    ahead = np.maximum(a, 0.0)
    least = chances - ahead * ahead / 2 - DOUBLE.log_sqrt_2pi + np.log(mu) - np.log((ahead + mu) ** 2 + 3)
    negligible = np.where(mu > 0, least, -np.inf).max(axis=1)[:, None] - _NEGLIGIBLE
    counts = (mu > 0) & (chances - np.where(a > 0, a * a / 2, 0.0) >= negligible)
    terms, by_epsilon, by_log_mu = np.full(mu.shape, -np.inf), np.zeros(mu.shape), np.zeros(mu.shape)
    parts = between(a[counts], b[counts], mu[counts], DOUBLE)
    terms[counts] = np.minimum(parts.log_delta + parts.error, 0.0) + chances[counts]
    by_epsilon[counts], by_log_mu[counts] = parts.by_epsilon, parts.by_log_mu
    return _summed(terms, by_epsilon, by_log_mu, mu.shape[1] * math.exp(-_NEGLIGIBLE))


def _summed(terms: Floats, by_epsilon: Floats, by_log_mu: Floats, left_out: float = 0.0) -> Tail:
    """log of the sum of e^terms along the last axis, rounded up, and the mean of the derivatives."""
    top = terms.max(axis=-1)
    shares = np.exp(terms - top[..., None])
    total = shares.sum(axis=-1)
    shares /= total[..., None]
    error = _UNIT * (_roundings(terms) + 4 * np.abs(top)) + left_out
    some = np.isfinite(top)
    return Tail(
        np.where(some, np.minimum(top + np.log(total) + error, 0.0), -np.inf),
        np.where(some, (shares * by_epsilon).sum(axis=-1), 0.0),
        np.where(some, (shares * by_log_mu).sum(axis=-1), 0.0),
        error,
    )


def _normalised(log_weights: Floats) -> Floats:
    return log_weights - np.log(np.exp(log_weights).sum())


def _rows_of(log_weights: Floats, mu: Floats, outside: int) -> tuple[_Rows, Floats | None]:
    """The mixtures of all rows, outer component by outer component, and the outer log weights."""
    if not outside:
        return _Rows(_normalised(log_weights), mu), None
    inner, outer = log_weights[:-outside], log_weights[-outside:]
    few, many = (mu[:, :-outside], inner), (mu[:, -outside:], outer)
    if inner.size * outer.size > _PAIRS:
        few = _pooled(*few, _INNER)
        many = _pooled(*many, _PAIRS // few[1].size)
    sums = (many[0][:, :, None] + few[0][:, None, :]) * (1 + 2 * _UNIT)
    return _Rows(_normalised(few[1]), sums.reshape(-1, few[1].size)), _normalised(many[1])


def _pooled(mu: Floats, log_weights: Floats, most: int) -> tuple[Floats, Floats]:
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


def mixture_pair_tail(epsilon: Floats, log_weights: Floats, mu: Floats, outside: int = 0, direction: int | None = None) -> Tail:
    """The larger of both directions (or one of them) at ``epsilon`` >= 0, rounded up; derivatives by epsilon and by the log of
    a factor of all mu. (P,), (C,), (P, C) -> (P,)."""
    if direction is None:
        one, two = (mixture_pair_tail(epsilon, log_weights, mu, outside, way) for way in (FORWARD, BACKWARD))
        larger = two.log_delta > one.log_delta
        return Tail(*(np.where(larger, second, first) for first, second in zip(one, two, strict=True)))
    size = max(1, _BLOCK // (min(_PAIRS, (mu.shape[1] - outside) * outside) if outside else mu.shape[1]))
    if epsilon.size > size:
        blocks = [slice(start, start + size) for start in range(0, epsilon.size, size)]
        tails = [mixture_pair_tail(epsilon[rows], log_weights, mu[rows], outside, direction) for rows in blocks]
        return Tail(*(np.concatenate(parts) for parts in zip(*tails, strict=True)))
    with np.errstate(all="ignore"):
        rows, outer = _rows_of(log_weights, mu, outside)
        each = epsilon if outer is None else np.repeat(epsilon, outer.size)
        tail = _moving_tail(each, rows, direction)
        if outer is None:
            return tail
        parts = Tail(*(part.reshape(epsilon.size, -1) for part in tail))
        return _summed(parts.log_delta + (outer + 8 * _UNIT * (1 + np.abs(outer))), parts.by_epsilon, parts.by_log_mu)


def _moving_tail(epsilon: Floats, rows: _Rows, direction: int) -> Tail:
    """One direction at each row; -inf where nothing moves and where l never reaches -epsilon."""
    moving = rows.mu.max(axis=1) > 0
    result = Tail(np.full(epsilon.shape, -np.inf), *(np.zeros(epsilon.shape) for _ in range(3)))
    some = _Rows(rows.log_weights, rows.mu[moving])
    x = level(epsilon[moving], some, direction)
    at = np.flatnonzero(moving)[x < np.inf]
    tail = tail_at(x[x < np.inf], _Rows(rows.log_weights, rows.mu[at]), direction)
    for whole, part in zip(result, tail, strict=True):
        whole[at] = part
    return result


def mixture_pair_epsilon(log_delta: Floats, log_weights: Floats, mu: Floats, outside: int = 0) -> Floats:
    """Smallest epsilon >= 0 at which both directions are at most the target, rounded up; (P,), (C,), (P, C) -> (P,)."""
    target = rounded_down(log_delta)
    if outside:
        return _epsilon_outside(target, log_weights, mu, outside)
    result = np.zeros_like(target)
    with np.errstate(all="ignore"):
        for direction in (FORWARD, BACKWARD):
            moving = np.flatnonzero(mu.max(axis=1) > 0)
            rows = _Rows(_normalised(log_weights), mu[moving])
            result[moving] = np.maximum(result[moving], _epsilon_in(target[moving], rows, direction))
    return result


def _epsilon_in(target: Floats, rows: _Rows, direction: int) -> Floats:
    """One direction, by the x or y at which its divergence meets the target."""
    largest, weights = rows.mu.max(axis=1), rows.log_weights
    reach = np.sqrt(-2 * target)
    # Where the tail of one component alone is the target, for the largest component of that kind.
    single = np.sqrt(np.maximum(2 * (weights - target[:, None] - DOUBLE.log_sqrt_2pi), 0.01)) * 0.95
    start = (rows.mu + single).max(axis=1) if direction == FORWARD else reach * 0.9
    high = (largest + reach) * (1 + 1e-12) if direction == FORWARD else reach * (1 + 1e-12)
    low = np.zeros_like(high) if direction == FORWARD else -_END - high

    def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
        some = _Rows(weights, rows.mu[active])
        tail = tail_at(x, some, direction)
        return tail.log_delta - target[active], tail.by_epsilon * loss(direction * x, some)[1]

    found = decreasing_root(excess, start=start, low=low, high=high, floor=1.0)
    return np.maximum(direction * loss(direction * found, rows, direction)[0], 0.0)


def _epsilon_outside(target: Floats, log_weights: Floats, mu: Floats, outside: int) -> Floats:
    """The same where the average is taken over mixtures, which share an epsilon but no x."""
    largest = mu[:, :-outside].max(axis=1) + mu[:, -outside:].max(axis=1)
    high = largest * (np.sqrt(-2 * target) + largest / 2) * (1 + 1e-12)
    result = np.zeros_like(target)
    positive = np.flatnonzero(~(mixture_pair_tail(result, log_weights, mu, outside).log_delta <= target))
    if not positive.size:
        return result

    def excess(epsilon: Floats, active: Indices) -> tuple[Floats, Floats]:
        rows = positive[active]
        tail = mixture_pair_tail(epsilon, log_weights, mu[rows], outside)
        return tail.log_delta - target[rows], tail.by_epsilon

    top = high[positive]
    finest = 8 * largest[positive]
    result[positive] = decreasing_root(excess, start=top / 2, low=np.zeros_like(top), high=top, floor=finest)
    return result


def mixture_pair_log_scale(
    epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats, outside: int = 0
) -> Floats:
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
        def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            mu = np.exp(log_shape[active] - x[:, None])
            one, *other = (mixture_pair_tail(epsilon[active], log_weights, mu, outside, way) for way in directions)
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
    return -found


@dataclass(frozen=True)
class GaussianMixtureCurve:
    """delta(epsilon) of a Gaussian mixture against a Gaussian, both directions (docs/theory.md, "Secret batches").

    ``outside``: so many trailing components are the draw of a stand-in: those before it are mixed, each of these moves all of
    them, and the divergences are averaged. The weights of each of the two kinds sum to one.
    """

    outside: int = 0

    @property
    def kind(self) -> str:
        return GAUSSIAN_MIXTURE

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return mixture_pair_epsilon(log_delta, log_weights, rounded_up(log_mu), self.outside)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return mixture_pair_tail(epsilon, log_weights, rounded_up(log_mu), self.outside).log_delta

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.log_delta(epsilon, log_weights, log_mu) <= rounded_down(log_delta)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return mixture_pair_log_scale(epsilon, log_delta, log_weights, log_shape, self.outside)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        from accountant.curves.pair_moments import mixture_pair_rdp

        return mixture_pair_rdp(alpha, log_weights, rounded_up(log_mu), self.outside)
