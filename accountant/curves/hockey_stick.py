"""The hockey-stick divergence of Gaussians and of their mixtures, and its inverses: the numerical core.

delta(epsilon; mu) = Phi(-a) - e^epsilon Phi(-b) with a = epsilon/mu - mu/2 and b = a + mu (Balle & Wang 2018). Since
e^epsilon phi(b) = phi(a), it equals phi(a) (R(a) - R(b)) with the Mills ratio R(x) = Phi(-x)/phi(x): no cancellation in
the tails, and nothing underflows in logarithms. The divergence is jointly convex, so a mechanism that draws component j
with probability w_j obeys delta(epsilon) <= sum_j w_j delta(epsilon; mu_j).

Arrays here are unchecked and have shape (P,) for P problems, (J,) for weights and (P, J) for the components of each
problem; ``gdp.py`` is the checked, public face.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import DOUBLE, Arithmetic, Floats, Indices, Numbers, decreasing_root, smallest_whole

#: Largest mu whose square is comfortably a double; delta there is 1 for every epsilon below 1e299.
MAX_MU: Final = 1e150
#: Of so many components or more, those that are e^50 times less likely than the largest are not evaluated.
_MANY: Final = 16
_NEGLIGIBLE: Final = 50.0
#: Numbers up to which looking at all of them costs less than a search.
_FEW: Final = 1 << 13
#: From this epsilon on single components turn over within so small a relative change of the scale.
_STEEP: Final = 1e18
_STEP: Final = 2.0**-44


class Tail(NamedTuple):
    """log delta, its derivatives, and a bound on its absolute rounding error (arrays of one shape)."""

    log_delta: Numbers
    by_epsilon: Numbers
    by_log_mu: Numbers
    error: Numbers


def hockey_stick(epsilon: Numbers, mu: Numbers, arithmetic: Arithmetic = DOUBLE, *, negligible: Numbers | None = None) -> Tail:
    """log delta(epsilon) of mu-GDP for arrays of one shape, 0 <= epsilon, 0 <= mu <= MAX_MU.

    d delta/d mu = phi(a) and d delta/d epsilon = -e^epsilon Phi(-b) = -phi(a) R(b). log delta is -inf where mu = 0 and
    where it would be under -1e299; it may be -inf wherever it is below ``negligible`` (broadcast with the others).
    """
    with np.errstate(all="ignore"):
        ratio = epsilon / mu
        return between(ratio - mu / 2, ratio + mu / 2, mu, arithmetic, negligible=negligible)


def between(a: Numbers, b: Numbers, width: Numbers, arithmetic: Arithmetic, *, negligible: Numbers | None = None) -> Tail:
    """phi(a) (R(a) - R(b)) and its derivatives, b = a + width: :func:`hockey_stick` at epsilon = a width + width^2/2 of either
    sign.

    The derivatives: phi(a) by the width at one epsilon, and -phi(a) R(b) by epsilon. To be called with NumPy's warnings off.
    """
    ar, mu = arithmetic, width
    log_delta = np.full_like(a, -np.inf)
    by_epsilon, by_log_mu, error = (np.zeros_like(a) for _ in range(3))
    at = ar.midpoint(a)
    far = at <= -1
    near = (at > -1) & (at < MAX_MU)
    if negligible is not None:
        # delta <= Phi(-a) <= exp(-a^2/2)/2 for a >= 0.
        near &= (a < 0) | (-(a * a) / 2 >= negligible)
    if near.any():
        near = ... if near.all() else near
        x, width = a[near], mu[near]
        log_difference, upper = ar.log_mills_difference(x, width)
        log_delta[near] = -(x * x) / 2 - ar.log_sqrt_2pi + log_difference
        by_epsilon[near] = -ar.exp(ar.log(upper) - log_difference)
        by_log_mu[near] = ar.exp(ar.log(width) - log_difference)
        size, width = 1 + np.abs(ar.midpoint(x)), ar.midpoint(width)
        error[near] = ar.unit_roundoff * (64 + 4 * size * (size + width) + 2 * np.minimum(size + width, 27) ** 2)
    below = far & (ar.midpoint(b) < 0)
    # R(a) overflows for large negative a; there delta = 1 - phi(a) (R(-a) + R(b)) is at least a third.
    if (far := far & ~below).any():
        x, y, width = -a[far], b[far], mu[far]
        density = ar.exp(-(x * x) / 2 - ar.log_sqrt_2pi)
        upper = ar.mills(y)
        result = ar.log1p(-density * (ar.mills(x) + upper))
        inverse = density * ar.exp(-result)
        log_delta[far] = result
        by_epsilon[far] = -upper * inverse
        by_log_mu[far] = width * inverse
        # The density underflows beyond x^2 = 2000; there log delta is zero, which is above the truth.
        deviation, y = np.minimum(ar.midpoint(x), 45), ar.midpoint(y)
        error[far] = ar.unit_roundoff * (64 + 8 * deviation * (deviation + y)) * np.abs(ar.midpoint(result))
    if below.any():
        # Both ends far to the left, epsilon < 0: 1 - e^epsilon + phi(a) (R(-b) - R(-a)), no term of which is negative.
        x, y, width = a[below], -b[below], mu[below]
        epsilon = width * (x + width / 2)
        density = ar.exp(-(x * x) / 2 - ar.log_sqrt_2pi)
        log_difference, _ = ar.log_mills_difference(y, width)
        result = ar.log(-ar.expm1(epsilon) + density * ar.exp(log_difference))
        log_delta[below] = result
        by_epsilon[below] = -ar.exp(epsilon - result) * (1 - ar.exp(-(y * y) / 2 - ar.log_sqrt_2pi) * ar.mills(y))
        by_log_mu[below] = width * density * ar.exp(-result)
        size = 1 + np.minimum(ar.midpoint(y + width), 45)
        error[below] = ar.unit_roundoff * (64 + 8 * size**2)
    return Tail(log_delta, by_epsilon, by_log_mu, error)


def tangent_hockey_stick(epsilon: Numbers, mu: Numbers) -> Tail:
    """The smallest convex function of mu above delta(epsilon; mu): delta itself up to sqrt(2 epsilon), its tangent beyond.

    d^2 delta/d mu^2 = phi(a) a b/mu changes sign where a = 0; there the slope is phi(0). Exceeds one for large mu.
    """
    flex = np.sqrt(2 * epsilon)
    beyond = mu > flex
    parts = hockey_stick(epsilon, np.where(beyond, flex, mu))
    if not beyond.any():
        return parts
    with np.errstate(all="ignore"):
        slope = math.exp(-DOUBLE.log_sqrt_2pi)
        log_rise = np.where(beyond, np.log(slope * (mu - np.where(beyond, flex, 0.0))), -np.inf)
        log_delta = np.logaddexp(parts.log_delta, log_rise)
        share = np.exp(parts.log_delta - log_delta)
        by_epsilon = np.where(beyond, parts.by_epsilon * share, parts.by_epsilon)
        by_log_mu = np.where(beyond, slope * mu * np.exp(-log_delta), parts.by_log_mu)
    return Tail(np.where(beyond, log_delta, parts.log_delta), by_epsilon, by_log_mu, parts.error + 64 * DOUBLE.unit_roundoff)


def mixture_tail(epsilon: Floats, log_weights: Floats, mu: Floats, *, tangent: bool = False) -> Tail:
    """log of sum_j w_j delta(epsilon; mu_j), rounded up by its own error bound; (P,), (J,), (P, J) -> (P,).

    ``tangent``: of the convex functions above the components' divergences.
    """
    negligible, roundings, left_out = None, math.log2(mu.shape[1]), 0.0
    if not tangent and mu.shape[1] >= _MANY:
        # Most components are far below the largest; what they add is bounded instead of computed.
        left_out, roundings = mu.shape[1] * math.exp(-_NEGLIGIBLE), float(mu.shape[1])
        largest = mu.argmax(axis=1)
        negligible = _least(epsilon, mu[np.arange(epsilon.size), largest]) + log_weights[largest] - _NEGLIGIBLE
        first = _first_that_counts(epsilon, mu, negligible)
        mu, log_weights = mu[:, first:], log_weights[first:]
        negligible = negligible[:, None]
    each = np.broadcast_to(epsilon[:, None], mu.shape)
    parts = tangent_hockey_stick(each, mu) if tangent else hockey_stick(each, mu, negligible=negligible)
    terms = parts.log_delta + parts.error
    terms = (terms if tangent else np.minimum(terms, 0.0)) + log_weights
    if mu.shape[1] == 1 and negligible is None:
        return Tail(terms[:, 0], parts.by_epsilon[:, 0], parts.by_log_mu[:, 0], parts.error[:, 0])
    top = terms.max(axis=1)
    # One after the other, leading zeros make no difference, so that no answer depends on which others are asked for with it.
    add = _sum if negligible is None else _running_sum
    with np.errstate(all="ignore"):
        shares = np.exp(terms - top[:, None])
        total = add(shares)
        shares /= total[:, None]
        error = DOUBLE.unit_roundoff * (16 + roundings + np.abs(top)) + left_out
        log_delta = top + np.log(total) + error
    some = np.isfinite(top)
    return Tail(
        np.where(some, log_delta, -np.inf),
        np.where(some, add(shares * parts.by_epsilon), 0.0),
        np.where(some, add(shares * parts.by_log_mu), 0.0),
        error,
    )


def _sum(values: Floats) -> Floats:
    return np.asarray(values.sum(axis=1))


def _running_sum(values: Floats) -> Floats:
    return np.asarray(values.cumsum(axis=1)[:, -1])


def _least(epsilon: Floats, mu: Floats) -> Floats:
    """A lower bound on log delta(epsilon; mu), -inf for mu = 0: R(a) - R(b) >= mu |R'(b)| = mu (1 - b R(b)) >= mu/(b^2 + 3)."""
    with np.errstate(all="ignore"):
        a, b = epsilon / mu - mu / 2, epsilon / mu + mu / 2
        least = -(a * a) / 2 - DOUBLE.log_sqrt_2pi + np.log(mu) - np.log(b * b + 3)
    return np.where(np.isfinite(least), least, -np.inf)


def _first_that_counts(epsilon: Floats, mu: Floats, negligible: Floats) -> int:
    """Columns before this one are negligible in every row."""
    last = mu.shape[1] - 1
    if mu.size < _FEW:
        counts = _counts(epsilon[:, None], mu, negligible[:, None]).any(axis=0)
        return int(counts.argmax()) if counts.any() else last
    if not (mu[:, 1:] >= mu[:, :-1]).all():
        return 0
    # Batches in order have increasing mu, and what is below a negligible one is negligible, too.
    return smallest_whole(lambda column: bool(_counts(epsilon, mu[:, column], negligible).any()), 0, last - 1)


def _counts(epsilon: Floats, mu: Floats, negligible: Floats) -> NDArray[np.bool_]:
    """Where exp(-a^2/2)/2 >= delta is not negligible; everywhere for a <= 0."""
    with np.errstate(all="ignore"):
        a = epsilon / mu - mu / 2
        return ~((a > 0) & (-(a * a) / 2 < negligible))


def probability(log_delta: Floats) -> Floats:
    """delta from its logarithm, at most one, rounded up; zero for -inf only."""
    delta = np.exp(log_delta)
    # Near one the error that the logarithm was raised by is less than a unit in the last place of delta.
    delta = np.minimum(np.where(delta > 0.25, delta * (1 + 2.0**-51), delta), 1.0)
    small = (delta < 1e-307) & (log_delta > -np.inf)
    return np.where(small, np.nextafter(delta * (1 + 1e-12), 1.0), delta)


def rounded_down(log_delta: Floats) -> Floats:
    """A target log delta, lowered by the error of taking its logarithm."""
    return log_delta - 4 * DOUBLE.unit_roundoff * (1 + np.abs(log_delta))


def mixture_tail_epsilon(log_delta: Floats, log_weights: Floats, mu: Floats, *, tangent: bool = False) -> Floats:
    """Smallest epsilon >= 0 at which the mixture's delta is at most the target, rounded up; (P,), (J,), (P, J) -> (P,)."""
    target = rounded_down(log_delta)
    largest = mu.max(axis=1)
    # delta <= Phi(-a) <= exp(-a^2/2)/2 brackets epsilon from above; there every mu is below sqrt(2 epsilon).
    high = largest * (np.sqrt(-2 * target) + largest / 2) * (1 + 1e-12)
    result = np.zeros_like(high)
    positive = np.flatnonzero(~(mixture_tail(result, log_weights, mu, tangent=tangent).log_delta <= target))
    if not positive.size:
        return result

    def excess(epsilon: Floats, active: Indices) -> tuple[Floats, Floats]:
        rows = positive[active]
        tail = mixture_tail(epsilon, log_weights, mu[rows], tangent=tangent)
        return tail.log_delta - target[rows], tail.by_epsilon

    top = high[positive]
    # Where delta is the tail probability of the largest component alone: close from below, and Newton's first step from
    # there lands above the root, log delta being nearly concave.
    steep = np.sqrt(np.maximum(-2 * target - 2 * DOUBLE.log_sqrt_2pi - np.log(1 - 2 * target), 0.01))
    start = (largest * (steep + largest / 2))[positive]
    # An error of log delta moves epsilon by up to mu times as much: finer than that there is nothing to find.
    finest = 8 * largest[positive]
    result[positive] = decreasing_root(excess, start=start, low=np.zeros_like(top), high=top, floor=finest)
    return result


def past_steps(
    excess: Callable[[Floats, Indices], tuple[Floats, Floats]], found: Floats, steep: Indices, low: Floats, most: int
) -> Floats:
    """Roots, searched on below where a component turns from harmless to harmful within a few roundings.

    Its share may be allowed: what looks like the root is then a step.
    """
    for _ in range(most):
        if not steep.size:
            break
        beyond = found[steep] - _STEP * np.maximum(np.abs(found[steep]), 1.0)
        further = (beyond > low[steep]) & (excess(beyond, steep)[0] <= 0)
        steep, beyond = steep[further], beyond[further]
        if steep.size:
            rows = steep

            def among(x: Floats, active: Indices, rows: Indices = rows) -> tuple[Floats, Floats]:
                return excess(x, rows[active])

            found[steep] = decreasing_root(among, start=beyond, low=low[steep], high=beyond, floor=1.0)
    return found


def mixture_log_scale(
    epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats, *, tangent: bool = False
) -> Floats:
    """Largest log s at which delta(epsilon) of the mixture of mu_j = s exp(log_shape_j) is at most delta, rounded down.

    (P,), (P,), (J,), (P, J) -> (P,). The largest entry of every row of ``log_shape`` must be zero.
    """
    target = rounded_down(log_delta)
    reach = np.sqrt(-2 * target)
    # Two scales that are surely small enough: delta <= Phi(-a), and delta(epsilon) <= delta(0) <= mu / sqrt(2 pi).
    with np.errstate(divide="ignore"):
        by_tail = np.log(2 * epsilon / (reach + np.sqrt(reach * reach + 2 * epsilon)))
    high = 1e-9 - np.maximum(by_tail, target + DOUBLE.log_sqrt_2pi)

    def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
        tail = mixture_tail(epsilon[active], log_weights, np.exp(log_shape[active] - x[:, None]), tangent=tangent)
        return tail.log_delta - target[active], -tail.by_log_mu

    low = np.minimum(-math.log(MAX_MU), high)
    found = decreasing_root(excess, start=high, low=low, high=high, floor=1.0)
    # Beyond such an epsilon a component turns from harmless to harmful within a few roundings, and its share may be allowed:
    # what looks like the root is then a step, and the search goes on below it.
    steep = np.flatnonzero(epsilon > _STEEP)
    return -past_steps(excess, found, steep, low, log_shape.shape[1])
