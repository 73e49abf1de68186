"""Gaussian differential privacy: privacy curve, its inverses and the trade-off function, of one mu and of mixtures.

A mechanism is mu-GDP when telling its two output laws apart is at least as hard as telling N(0, 1) from N(mu, 1)
(Dong, Roth & Su 2022). A mixture draws component j with probability w_j and is then mu_j-GDP.

Every function broadcasts like NumPy; a result without an axis is a float. Results are rounded to the safe side (delta and
epsilon up, mu and type II error down) by a bound on their own floating-point error, which is about 1e-13 of the value of
delta in everyday ranges and at most 1e-10 of log delta anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves import hockey_stick as core
from accountant.numerics import Floats, Indices, InputError, broadcast, checked_mixture, in_blocks, numbers, plain


@overload
def gdp_delta(*, epsilon: float, mu: float) -> float: ...
@overload
def gdp_delta(*, epsilon: ArrayLike, mu: ArrayLike) -> Floats: ...
def gdp_delta(*, epsilon: ArrayLike, mu: ArrayLike) -> float | Floats:
    """delta(epsilon) = Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2) (Balle & Wang 2018, Theorem 8).

    ``epsilon`` >= 0 and 0 <= ``mu`` <= 1e150, broadcast together. Below 1e-308 digits are lost, upwards: see gdp_log_delta.

    >>> f"{gdp_delta(epsilon=1.0, mu=0.5):.6g}"
    '0.00682959'
    >>> gdp_delta(epsilon=[0.0, 1.0], mu=0.5).round(4)
    array([0.1974, 0.0068])
    """
    return mixture_delta(epsilon=epsilon, weights=[1.0], mu=np.asarray(mu)[..., None])


@overload
def gdp_log_delta(*, epsilon: float, mu: float) -> float: ...
@overload
def gdp_log_delta(*, epsilon: ArrayLike, mu: ArrayLike) -> Floats: ...
def gdp_log_delta(*, epsilon: ArrayLike, mu: ArrayLike) -> float | Floats:
    """Natural logarithm of :func:`gdp_delta`; -inf where delta is zero (mu = 0) or log delta is under -1e299.

    >>> f"{gdp_log_delta(epsilon=100.0, mu=0.5):.6g}"
    '-19962.2'
    """
    return mixture_log_delta(epsilon=epsilon, weights=[1.0], mu=np.asarray(mu)[..., None])


@overload
def gdp_epsilon(*, delta: float, mu: float) -> float: ...
@overload
def gdp_epsilon(*, delta: ArrayLike, mu: ArrayLike) -> Floats: ...
def gdp_epsilon(*, delta: ArrayLike, mu: ArrayLike) -> float | Floats:
    """Smallest epsilon >= 0 with ``gdp_delta(epsilon=epsilon, mu=mu) <= delta``, for ``delta`` in (0, 1).

    >>> f"{gdp_epsilon(delta=1e-5, mu=0.5):.6g}"
    '1.99309'
    """
    return mixture_epsilon(delta=delta, weights=[1.0], mu=np.asarray(mu)[..., None])


@overload
def gdp_mu(*, epsilon: float, delta: float) -> float: ...
@overload
def gdp_mu(*, epsilon: ArrayLike, delta: ArrayLike) -> Floats: ...
def gdp_mu(*, epsilon: ArrayLike, delta: ArrayLike) -> float | Floats:
    """Largest mu whose Gaussian mechanism is (``epsilon``, ``delta``)-private; epsilon >= 0, delta in (0, 1).

    >>> f"{gdp_mu(epsilon=1.0, delta=1e-5):.6g}"
    '0.268051'
    """
    eps, dlt = broadcast(_epsilon(epsilon), _delta(delta))
    one = np.zeros(1)

    def block(e: Floats, d: Floats) -> Floats:
        return np.exp(core.mixture_log_scale(e, np.log(d), one, np.zeros((e.size, 1))))

    return plain(in_blocks(block, eps, dlt) * (1 - 1e-15))


@overload
def gdp_tradeoff(*, type_i: float, mu: float) -> float: ...
@overload
def gdp_tradeoff(*, type_i: ArrayLike, mu: ArrayLike) -> Floats: ...
def gdp_tradeoff(*, type_i: ArrayLike, mu: ArrayLike) -> float | Floats:
    """Smallest type II error of any test with type I error at most ``type_i`` in [0, 1]: Phi(Phi^-1(1 - x) - mu).

    >>> f"{gdp_tradeoff(type_i=0.05, mu=0.5):.6g}"
    '0.873865'
    """
    from scipy.special import ndtr, ndtri

    x, shift = broadcast(numbers("type_i", type_i, at_least=0, at_most=1), _mu(mu))
    quantile = -ndtri(x)
    with np.errstate(invalid="ignore"):
        # A rounding of the argument counts with the argument itself; beyond 40 the error underflows to zero.
        size = np.minimum(np.abs(quantile) + shift, 1e3) * np.minimum(np.abs(quantile - shift) + 1, 40)
    return plain(ndtr(quantile - shift) * (1 - 4e-15 * (1 + size)))


@overload
def mixture_delta(*, epsilon: float, weights: ArrayLike, mu: Sequence[float], tangent: bool = False) -> float: ...
@overload
def mixture_delta(*, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, tangent: bool = False) -> float | Floats: ...
def mixture_delta(*, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, tangent: bool = False) -> float | Floats:
    """sum_j w_j delta(epsilon; mu_j): the hockey-stick divergence of a mixture, by joint convexity (theory section 3).

    ``weights`` has shape (J,) and sums to one; ``mu`` has shape (..., J), its leading axes broadcast with ``epsilon``.
    ``tangent`` replaces each divergence by the smallest convex function of mu above it: an upper bound where the true mu
    is known only to be dominated by this mixture for convex functions (sampling without replacement, Hoeffding 1963).

    >>> f"{mixture_delta(epsilon=1.0, weights=[0.9, 0.1], mu=[0.1, 0.5]):.6g}"
    '0.000682959'
    """
    log_delta = mixture_log_delta(epsilon=epsilon, weights=weights, mu=mu, tangent=tangent)
    return plain(core.probability(np.asarray(log_delta)))


@overload
def mixture_log_delta(*, epsilon: float, weights: ArrayLike, mu: Sequence[float], tangent: bool = False) -> float: ...
@overload
def mixture_log_delta(*, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, tangent: bool = False) -> float | Floats: ...
def mixture_log_delta(*, epsilon: ArrayLike, weights: ArrayLike, mu: ArrayLike, tangent: bool = False) -> float | Floats:
    """Natural logarithm of :func:`mixture_delta`; -inf where delta is zero or log delta is under -1e299."""
    log_weights, mus = _components(weights, mu)
    eps = _epsilon(epsilon)

    def block(e: Floats, m: Floats) -> Floats:
        return core.mixture_tail(e, log_weights, m, tangent=tangent).log_delta

    return plain(np.minimum(in_blocks(block, eps, mus, components=1), 0.0))


@overload
def mixture_epsilon(*, delta: float, weights: ArrayLike, mu: Sequence[float], tangent: bool = False) -> float: ...
@overload
def mixture_epsilon(*, delta: ArrayLike, weights: ArrayLike, mu: ArrayLike, tangent: bool = False) -> float | Floats: ...
def mixture_epsilon(*, delta: ArrayLike, weights: ArrayLike, mu: ArrayLike, tangent: bool = False) -> float | Floats:
    """Smallest epsilon >= 0 with ``mixture_delta(...) <= delta``; shapes as in :func:`mixture_delta`.

    >>> f"{mixture_epsilon(delta=1e-5, weights=[0.9, 0.1], mu=[0.1, 0.5]):.6g}"
    '1.69807'
    """
    log_weights, mus = _components(weights, mu)
    dlt = _delta(delta)

    def block(d: Floats, m: Floats) -> Floats:
        return core.mixture_tail_epsilon(np.log(d), log_weights, m, tangent=tangent)

    return plain(in_blocks(block, dlt, mus, components=1))


@overload
def mixture_tradeoff(*, type_i: float, weights: ArrayLike, mu: ArrayLike) -> float: ...
@overload
def mixture_tradeoff(*, type_i: ArrayLike, weights: ArrayLike, mu: ArrayLike) -> Floats: ...
def mixture_tradeoff(*, type_i: ArrayLike, weights: ArrayLike, mu: ArrayLike) -> float | Floats:
    """Smallest type II error against a mixture whose component the attacker sees, at type I error ``type_i``.

    The best test spends its type I error where it buys most (Neyman-Pearson): all components share one likelihood-ratio
    threshold t, so type I = sum_j w_j Phi(-t/mu_j - mu_j/2) and type II = sum_j w_j Phi(t/mu_j - mu_j/2). ``weights``
    and ``mu`` have shape (J,); ``type_i`` in [0, 1] has any shape.

    >>> f"{mixture_tradeoff(type_i=0.05, weights=[0.9, 0.1], mu=[0.1, 0.5]):.6g}"
    '0.925583'
    """
    from scipy.special import ndtr

    from accountant.numerics import decreasing_root

    log_weights, mus = _components(weights, mu)
    if mus.ndim != 1:
        raise InputError(f"mu must have one axis, as weights has, got shape {mus.shape}")
    x = numbers("type_i", type_i, at_least=0, at_most=1)
    moving = mus > 0
    w, m = np.exp(log_weights[moving]), mus[moving]
    idle = np.exp(log_weights[~moving]).sum()
    flat = np.ravel(x)
    if not m.size:
        return plain(np.maximum(1 - x, 0.0))
    # A component with mu = 0 offers slope -1 at every point: it is used exactly while the others' slope is flatter, t < 0.
    top = np.full_like(flat, 40 * m.max() + m.max() ** 2)

    high = flat > 0.5

    def excess(t: Floats, active: Indices) -> tuple[Floats, Floats]:
        """Type I error at threshold t, less the one asked for; above one half as the difference of the complements."""
        with np.errstate(over="ignore"):
            ratio = t[:, None] / m
        spent = (w * ndtr(-ratio - m / 2)).sum(axis=1) + np.where(t < 0, idle, 0.0)
        kept = (w * ndtr(ratio + m / 2)).sum(axis=1) + np.where(t < 0, 0.0, idle)
        x = flat[active]
        return np.where(high[active], (1 - x) - kept, spent - x), np.zeros_like(t)

    t = decreasing_root(excess, start=np.zeros_like(flat), low=-top, high=top, floor=float(m.min()))
    # Any threshold gives a supporting line of the convex trade-off function, hence a lower bound at every type I error:
    # beta(x) >= beta(alpha_t) - e^t (x - alpha_t), so the accuracy of t costs tightness only.
    with np.errstate(over="ignore"):
        beta = (w * ndtr(t[:, None] / m - m / 2)).sum(axis=1) + np.where(t < 0, 0.0, idle)
    line = beta + np.exp(np.minimum(t, 700)) * excess(t, np.arange(t.size))[0]
    return plain(np.clip(line * (1 - 1e-13), 0.0, 1.0 - flat).reshape(np.shape(x)))


def _epsilon(epsilon: ArrayLike) -> Floats:
    return numbers("epsilon", epsilon, at_least=0)


def _delta(delta: ArrayLike) -> Floats:
    return numbers("delta", delta, above=0, below=1)


def _mu(mu: ArrayLike) -> Floats:
    return numbers("mu", mu, at_least=0, at_most=core.MAX_MU)


def _components(weights: ArrayLike, mu: ArrayLike) -> tuple[Floats, Floats]:
    w, mus = checked_mixture(weights, "mu", mu, at_most=core.MAX_MU)
    return np.log(w[w > 0]), mus[..., w > 0]
