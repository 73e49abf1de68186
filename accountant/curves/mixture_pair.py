"""A Gaussian mixture against a Gaussian: privacy curve, its inverses and the trade-off function, in both directions.

P = sum_j w_j N(mu_j, 1) and R = N(0, 1): what a release tells of one record whose batch is drawn in secret (docs/theory.md,
"Secret batches"). The mixture is inside of the divergence; where the component is public it is outside: ``gdp.py``.

Every function broadcasts like NumPy; a result without an axis is a float. Results are rounded to the safe side (delta and
epsilon up, scale and type II error down) by a bound on their own floating-point error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves import gaussian_mixture as mixtures
from accountant.curves import pair_core as core
from accountant.curves.gdp import gdp_tradeoff
from accountant.curves.hockey_stick import MAX_MU, probability
from accountant.numerics import (
    DOUBLE,
    Floats,
    Indices,
    InputError,
    broadcast,
    checked_mixture,
    decreasing_root,
    in_blocks,
    numbers,
    plain,
)

#: Weights (K,) of another draw, and values (K,) by which its component k moves every mu_j: averaged outside of the divergence.
StandIn = tuple[ArrayLike, ArrayLike]


@overload
def mixture_pair_delta(
    *, epsilon: float, weights: ArrayLike, mu: Sequence[float], stand_in: StandIn | None = None
) -> float: ...
@overload
def mixture_pair_delta(
    *, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats: ...
def mixture_pair_delta(
    *, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats:
    """The larger of the hockey-stick divergences of P from R and of R from P at e^``epsilon``, epsilon >= 0.

    ``weights`` has shape (J,) and sums to one; ``mu`` has shape (..., J), 0 <= mu <= 1e150, its leading axes broadcast with
    ``epsilon``. ``stand_in``: (weights, values) of a second, independent draw, over which the divergence from R of the mixture
    of mu_j + values_k is averaged, in each direction; up to a few hundred components of each are taken one by one, of more
    some are rounded up.

    >>> f"{mixture_pair_delta(epsilon=1.0, weights=[0.5, 0.5], mu=[2.0, 0.5]):.6g}"
    '0.246667'
    """
    log_delta = mixture_pair_log_delta(epsilon=epsilon, weights=weights, mu=mu, stand_in=stand_in)
    return plain(probability(np.asarray(log_delta)))


@overload
def mixture_pair_log_delta(
    *, epsilon: float, weights: ArrayLike, mu: Sequence[float], stand_in: StandIn | None = None
) -> float: ...
@overload
def mixture_pair_log_delta(
    *, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats: ...
def mixture_pair_log_delta(
    *, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats:
    """Natural logarithm of :func:`mixture_pair_delta`; -inf where delta is zero or log delta is under -1e299."""
    log_weights, mus, outside = components(weights, mu, stand_in)
    eps = numbers("epsilon", epsilon, at_least=0)

    def block(e: Floats, m: Floats) -> Floats:
        return mixtures.pair_tail(e, log_weights, m, outside).log_delta

    return plain(in_blocks(block, eps, mus, components=1))


@overload
def mixture_pair_epsilon(
    *, delta: float, weights: ArrayLike, mu: Sequence[float], stand_in: StandIn | None = None
) -> float: ...
@overload
def mixture_pair_epsilon(
    *, delta: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats: ...
def mixture_pair_epsilon(
    *, delta: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats:
    """Smallest epsilon >= 0 with ``mixture_pair_delta(...) <= delta``, for ``delta`` in (0, 1).

    >>> f"{mixture_pair_epsilon(delta=1e-5, weights=[0.9, 0.1], mu=[0.1, 0.5]):.6g}"
    '0.62822'
    """
    log_weights, mus, outside = components(weights, mu, stand_in)
    dlt = numbers("delta", delta, above=0, below=1)

    def block(d: Floats, m: Floats) -> Floats:
        return mixtures.pair_epsilon(np.log(d), log_weights, m, outside)

    return plain(in_blocks(block, dlt, mus, components=1))


@overload
def mixture_pair_scale(
    *, epsilon: float, delta: float, weights: ArrayLike, mu: Sequence[float], stand_in: StandIn | None = None
) -> float: ...
@overload
def mixture_pair_scale(
    *, epsilon: ArrayLike, delta: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats: ...
def mixture_pair_scale(
    *, epsilon: ArrayLike, delta: ArrayLike, weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None
) -> float | Floats:
    """Largest factor of all mu (and values of the stand-in) with ``mixture_pair_delta(...) <= delta``; at most 1e150/max(mu).

    Some mu of every row must be positive. With mu at noise one it is one over the least noise.

    >>> f"{mixture_pair_scale(epsilon=1.0, delta=1e-5, weights=[0.9, 0.1], mu=[0.1, 0.5]):.6g}"
    '1.36752'
    """
    log_weights, mus, outside = components(weights, mu, stand_in)
    eps, dlt = broadcast(numbers("epsilon", epsilon, at_least=0), numbers("delta", delta, above=0, below=1))
    numbers("mu", mus.max(axis=-1), above=0)

    def block(e: Floats, d: Floats, m: Floats) -> Floats:
        largest = m.max(axis=1)
        with np.errstate(divide="ignore"):
            shape = np.log(m) - np.log(largest)[:, None]
        found = mixtures.pair_log_scale(e, np.log(d), log_weights, shape, outside)
        # The logarithms of components, and of the scale, are right to so many roundings of their size.
        size = np.abs(found) + np.where(np.isfinite(shape), np.abs(shape), 0.0).max(axis=1) + np.abs(np.log(largest))
        return np.exp(found - 1e-15 * (4 + size)) / largest

    return plain(in_blocks(block, eps, dlt, mus, components=1))


@overload
def mixture_pair_tradeoff(*, type_i: float, weights: ArrayLike, mu: ArrayLike) -> float: ...
@overload
def mixture_pair_tradeoff(*, type_i: ArrayLike, weights: ArrayLike, mu: ArrayLike) -> Floats: ...
def mixture_pair_tradeoff(*, type_i: ArrayLike, weights: ArrayLike, mu: ArrayLike) -> float | Floats:
    """Smallest type II error at type I error ``type_i`` in [0, 1] of tests of R against P and of P against R, made convex.

    The best test of R against P says P beyond a threshold c: type I is Phi(-c), type II sum_j w_j Phi(c - mu_j). Read
    backwards it is the other test; the convex function below both follows a line of slope -1 in between. ``weights`` and
    ``mu`` have shape (J,); ``type_i`` has any shape.

    >>> f"{mixture_pair_tradeoff(type_i=0.05, weights=[0.9, 0.1], mu=[0.1, 0.5]):.6g}"
    '0.932315'
    """
    w, m = checked_mixture(weights, "mu", mu, at_most=MAX_MU)
    if m.ndim != 1:
        raise InputError(f"mu must have one axis, as weights has, got shape {m.shape}")
    log_weights, mus, _ = components(w, m)
    x = numbers("type_i", type_i, at_least=0, at_most=1)
    if mus.size == 1 or not mus.any():
        return gdp_tradeoff(type_i=x, mu=mus.max())
    flat = np.ravel(x)
    with np.errstate(all="ignore"):
        found = _tradeoff(flat, core.Rows(core.normalised(log_weights), mus[None]))
    return plain(np.clip(found, 0.0, 1 - flat).reshape(x.shape))


def _tradeoff(x: Floats, rows: core.Rows) -> Floats:
    """The best line below both trade-off functions that a threshold gives, for type I errors (N,)."""
    from scipy.special import ndtr, ndtri

    log_weights, mu = rows.log_weights, rows.mu[0]
    weights, most = np.exp(log_weights), mu.max()

    def kept(c: Floats) -> Floats:
        """P(X <= c)."""
        return np.asarray((weights * ndtr(c[:, None] - mu)).sum(axis=1))

    def excess(c: Floats, active: Indices) -> tuple[Floats, Floats]:
        density = np.exp(-(np.minimum(np.abs(c[:, None] - mu), 40.0) ** 2) / 2 - DOUBLE.log_sqrt_2pi)
        return x[active] - kept(c), -(weights * density).sum(axis=1)

    # Any threshold is right: how near it is to the best one costs tightness only.
    turn = core.level(np.zeros(1), rows, core.FORWARD)
    near, far = ndtr(-turn), kept(turn)
    before = -ndtri(np.minimum(x, near))
    high = np.full_like(x, most + 40.0)
    late = decreasing_root(excess, start=np.full_like(x, turn[0]), low=-high, high=high, floor=1.0)
    c = np.maximum(np.where(x <= near, before, late), turn)
    value = np.where(x <= near, kept(before), np.where(x < 1, ndtr(-c), 0.0))
    value *= 1 - 4e-15 * (8 + 40 * np.minimum(np.abs(c) + most, 1e3))
    # The slope there is -e^epsilon or one over that; should the other direction be larger at that epsilon, the line is lower.
    c = np.minimum(c, most + 40.0)
    epsilon = np.maximum(core.loss(c, core.Rows(log_weights, np.broadcast_to(mu, (c.size, mu.size))))[0], 0.0)
    each = np.broadcast_to(mu, (c.size, mu.size))
    one, two = (mixtures.pair_tail(epsilon, log_weights, each, direction=way) for way in (core.FORWARD, core.BACKWARD))
    lower = np.exp(one.log_delta - 3 * one.error - 1e-13 * (1 + np.abs(np.maximum(one.log_delta, -1e3))))
    missing = np.maximum(np.exp(two.log_delta) * (1 + 1e-15) - lower, 0.0)
    value -= np.where(x <= near, 1.0, np.exp(-epsilon)) * missing
    delta = np.exp(mixtures.pair_tail(np.zeros(1), log_weights, mu[None]).log_delta)
    # The line of slope -1 is right everywhere, and the best one in between.
    return np.maximum(np.where((x <= near) | (x >= far), value, 0.0), (1 - delta - x) * (1 - 1e-15) - 1e-15)


def components(weights: ArrayLike, mu: ArrayLike, stand_in: StandIn | None = None) -> tuple[Floats, Floats, int]:
    """Log weights (C,), components (..., C), and how many of the last ones are the stand-in's; checked."""
    w, mus = checked_mixture(weights, "mu", mu, at_most=MAX_MU)
    log_weights, mus = np.log(w[w > 0]), mus[..., w > 0]
    if stand_in is None:
        return log_weights, mus, 0
    others, values = checked_mixture(stand_in[0], "stand_in", stand_in[1], at_most=MAX_MU)
    if values.ndim != 1:
        raise InputError(f"stand_in must have values of one axis, got shape {values.shape}")
    values = values[others > 0]
    moved = np.broadcast_to(values, (*mus.shape[:-1], values.size))
    return np.append(log_weights, np.log(others[others > 0])), np.concatenate([mus, moved], axis=-1), values.size
