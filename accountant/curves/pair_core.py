"""A Gaussian mixture against a Gaussian at one point: the privacy loss, where it crosses a level, the divergence there.

See ``gaussian_mixture.py`` for the formulas. Unchecked arrays: (N,) rows, (C,) weights, (N, C) components.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from accountant.curves.hockey_stick import MAX_MU, Tail, between
from accountant.numerics import DOUBLE, Floats

_UNIT: Final = DOUBLE.unit_roundoff
#: Where both directions count as zero; above twice the largest mu, for sums of two.
END: Final = 4 * MAX_MU
#: What is e^50 times less than the largest is bounded by that instead of computed.
_NEGLIGIBLE: Final = 50.0
#: Newton's steps for l(x) = epsilon: it converges from one side, and where it ends early the answer is still safe.
_STEPS: Final = 200
#: The two directions: of P from R, and of R from P.
FORWARD: Final = 1
BACKWARD: Final = -1


class Rows(NamedTuple):
    """Weights (C,), normalised, and components (N, C), at least one of each row above zero."""

    log_weights: Floats
    mu: Floats


def loss(x: Floats, rows: Rows, sign: int = 0) -> tuple[Floats, Floats]:
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


def level(epsilon: Floats, rows: Rows, direction: int, guess: Floats | None = None) -> Floats:
    """x of l(x) = epsilon, at most the true one (FORWARD), or y of -l(-y) = epsilon, at most the true one, (N,).

    Beyond ``END`` the answer stays there; y is infinite where l never reaches -epsilon.
    """
    log_weights, mu = rows
    target = direction * epsilon
    first = _above(target, rows)
    # A tangent of the convex l leads from anywhere to above the answer.
    x = first if guess is None else np.clip(np.where(np.isfinite(guess), guess, first), -END, first)
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
        x = np.where(done, x, np.clip(x - step, -END, first))
    low = x < 0 if direction == FORWARD else np.zeros_like(done)
    # l(0) <= 0.
    x = np.where(low, 0.0, x)
    push = 2 * _UNIT * np.maximum(np.abs(x), 1.0)
    for _ in range(_STEPS):
        over = direction * loss(x, rows, direction)[0] - epsilon
        bad = (over > 0) & ~low
        if not bad.any():
            break
        x = np.where(bad, np.clip(x - direction * np.maximum(over / np.maximum(slope, 1e-300), push), -END, END), x)
        if direction == FORWARD:
            low |= x <= 0
            x = np.where(low, 0.0, x)
        push = 2 * push
    else:
        # Everything is certain at the far end.
        x = np.where(bad, 0.0 if direction == FORWARD else END, x)
    if direction == FORWARD:
        return np.asarray(x)
    still = np.where(mu > 0, -np.inf, log_weights)
    still = np.where(mu > 0, 0.0, np.exp(log_weights)).sum(axis=1) if (still > -np.inf).any() else np.zeros_like(x)
    never = np.log(still) - 4 * _UNIT * (_roundings(mu) + np.abs(np.log(still))) > -epsilon
    return np.where(never, np.inf, -x)


def _above(target: Floats, rows: Rows) -> Floats:
    """An x at which l is not under the target but for rounding: l is at least each of its terms, and at least the logarithm of
    what never moves and the geometric mean of the others."""
    log_weights, mu = rows
    single = np.where(mu > 0, (target[:, None] - log_weights) / mu + mu / 2, np.inf).min(axis=1)
    weights = np.exp(log_weights) * (mu > 0)
    share = weights.sum(axis=1)
    rise = np.expm1(target) / share
    mean = (np.log1p(rise) * share + 0.5 * (weights * mu * mu).sum(axis=1)) / (weights * mu).sum(axis=1)
    # Far below zero the first of both is the better one, and the second loses its digits.
    return np.clip(np.fmin(single, np.where(rise > -0.5, mean, np.inf)), -END, END)


def tail_at(x: Floats, rows: Rows, direction: int) -> Tail:
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
    return summed(terms, by_epsilon, by_log_mu, mu.shape[1] * math.exp(-_NEGLIGIBLE))


def summed(terms: Floats, by_epsilon: Floats, by_log_mu: Floats, left_out: float = 0.0) -> Tail:
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


def normalised(log_weights: Floats) -> Floats:
    return log_weights - np.log(np.exp(log_weights).sum())
