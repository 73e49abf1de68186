"""Rényi differential privacy: curves of the published family, mixtures over batch order, and conversion to (epsilon, delta).

With beta = alpha - 1, every curve here is D_alpha = K(beta)/beta, K(beta) = log sum_j w_j exp(kappa(beta) rho_j), where
kappa is a quadratic given by the *family*:

- ``linear``: D_alpha = alpha rho_j for each component (rho-zCDP, and mu-GDP with rho = mu^2/2): kappa = beta (beta + 1);
- ``not-converged``: D_alpha = (alpha - 1/2)/(alpha - 1) * 2 alpha rho_j (the weak triangle inequality with p = q = 2 of Chien
  et al. 2024): kappa = (2 beta + 1)(beta + 1).

K is convex, so the optimal order solves a monotone equation: it is moments over real alpha > 1, not over a grid.
Conversions: *basic* epsilon = D_alpha + log(1/delta)/(alpha - 1) (Mironov 2017, Proposition 3); *improved* epsilon = D_alpha +
log((alpha-1)/alpha) - (log delta + log alpha)/(alpha - 1) (Canonne, Kamath & Steinke 2020, Proposition 12).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.curves.hockey_stick import probability
from accountant.numerics import (
    DOUBLE,
    Arithmetic,
    Floats,
    Indices,
    InputError,
    Numbers,
    broadcast,
    checked_mixture,
    choice,
    decreasing_root,
    in_blocks,
    numbers,
    plain,
)

#: kappa(beta) = a beta^2 + b beta + c, by family.
FAMILIES: Final[dict[str, tuple[float, float, float]]] = {"linear": (1.0, 1.0, 0.0), "not-converged": (2.0, 3.0, 1.0)}
CONVERSIONS: Final = ("basic", "improved")
#: Largest rho; beyond it no order gives a finite double.
MAX_RHO: Final = 1e300
#: Largest order; its square is a double.
MAX_ALPHA: Final = 1e150
#: log beta is searched between these; the orders they stand for are beyond every use.
_LOG_BETA: Final = 690.0
_SAFE: Final = 1 + 2e-13


class _Moment(NamedTuple):
    value: Numbers  #: K(beta)
    slope: Numbers  #: dK/dbeta
    bend: Numbers  #: d^2 K/dbeta^2
    tilted: Numbers  #: mean of rho_j under the weights tilted by exp(kappa rho_j): dK/dkappa


def moment(beta: Numbers, log_weights: Numbers, rho: Numbers, family: str, arithmetic: Arithmetic = DOUBLE) -> _Moment:
    """K and its derivatives; (P,), (J,), (P, J) -> (P,)."""
    ar = arithmetic
    a, b, c = FAMILIES[family]
    with np.errstate(over="ignore", invalid="ignore"):
        kappa = (a * beta + b) * beta + c
        slope = 2 * a * beta + b
        if rho.shape[1] == 1:
            only = rho[:, 0]
            return _Moment(kappa * only, slope * only, 2 * a * only, only)
    # Factor the largest rho out, so that the exponents are at most zero.
    largest = rho[np.arange(rho.shape[0]), ar.midpoint(rho).argmax(axis=1)]
    with np.errstate(over="ignore", invalid="ignore"):
        below = largest[:, None] - rho
        terms = ar.exp(log_weights - kappa[:, None] * below)
        total = terms.sum(axis=1)
        # Moments of what is below the largest: exactly zero where only the largest is left.
        short = (terms * below).sum(axis=1) / total
        tilted = largest - short
        spread = (terms * (below - short[:, None]) ** 2).sum(axis=1) / total
        value = kappa * largest + ar.log(total)
        # Where nothing overflows: the sum may be one plus something tiny, which the line above would lose.
        small = ar.midpoint(kappa * largest) < 600
        if small.any():
            growth = ar.expm1(kappa[small, None] * rho[small])
            value[small] = ar.log1p((ar.exp(log_weights) * growth).sum(axis=1))
        return _Moment(value, slope * tilted, 2 * a * tilted + slope * slope * spread, tilted)


def _solve_beta(excess: Callable[[Floats, Indices], tuple[Floats, Floats]], start: Floats) -> Floats:
    """beta at which a decreasing ``excess(beta, active)`` crosses zero, by the one root-finder on log beta.

    ``excess`` returns the value and its derivative with respect to log beta.
    """
    bound = np.full(start.size, _LOG_BETA)

    def on_log(x: Floats, active: Indices) -> tuple[Floats, Floats]:
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope = excess(np.exp(x), active)
        return np.where(np.isnan(value), -np.inf, value), slope

    return np.exp(decreasing_root(on_log, start=np.log(start), low=-bound, high=bound, floor=1.0))


def best_beta_for_epsilon(log_delta: Floats, log_weights: Floats, rho: Floats, family: str, conversion: str) -> Floats:
    """The order minus one that minimises epsilon at the given delta: beta K' - K [+ log(1 + beta)] = log(1/delta)."""
    a, _, c = FAMILIES[family]
    with np.errstate(divide="ignore", over="ignore"):
        # One component: beta K' - K = (a beta^2 - c) rho.
        single = np.clip(np.sqrt((-log_delta / rho.max(axis=1) + c) / a), math.exp(-_LOG_BETA), math.exp(_LOG_BETA))
    if rho.shape[1] == 1 and conversion == "basic":
        return single

    def excess(beta: Floats, active: Indices) -> tuple[Floats, Floats]:
        moments = moment(beta, log_weights, rho[active], family)
        value, slope = beta * moments.slope - moments.value, beta * beta * moments.bend
        if conversion == "improved":
            value, slope = value + np.log1p(beta), slope + beta / (1 + beta)
        return -log_delta[active] - value, -slope

    return _solve_beta(excess, single)


def epsilon_at(
    beta: Floats, log_delta: Floats, log_weights: Floats, rho: Floats, family: str, conversion: str
) -> tuple[Floats, Floats]:
    """epsilon at order 1 + beta, rounded up, and its derivative with respect to a common log-factor of the rho_j."""
    moments = moment(beta, log_weights, rho, family)
    a, b, c = FAMILIES[family]
    with np.errstate(over="ignore", invalid="ignore"):
        kappa = (a * beta + b) * beta + c
        slope = kappa * moments.tilted / beta
    epsilon = (moments.value - log_delta) / beta
    if conversion == "improved":
        epsilon = epsilon - np.log1p(beta) / beta - np.log1p(1 / beta)
    magnitude = (np.abs(moments.value) - log_delta) / beta
    return np.maximum(epsilon + (_SAFE - 1) * magnitude, 0.0), slope


def epsilon_of(log_delta: Floats, log_weights: Floats, rho: Floats, family: str, conversion: str) -> Floats:
    """Smallest epsilon over real orders; (P,), (J,), (P, J) -> (P,). Zero where every rho is zero."""
    result = np.zeros(log_delta.size)
    moving = np.flatnonzero(rho.max(axis=1) > 0)
    if moving.size:
        arguments = (log_delta[moving], log_weights, rho[moving], family, conversion)
        result[moving] = epsilon_at(best_beta_for_epsilon(*arguments), *arguments)[0]
    return result


def log_delta_of(epsilon: Floats, log_weights: Floats, rho: Floats, family: str, conversion: str) -> Floats:
    """Smallest log delta over real orders, at most zero; (P,), (J,), (P, J) -> (P,). -inf where every rho is zero."""

    def excess(beta: Floats, active: Indices) -> tuple[Floats, Floats]:
        moments = moment(beta, log_weights, rho[active], family)
        value, slope = moments.slope, beta * moments.bend
        if conversion == "improved":
            value, slope = value + np.log(beta) - np.log1p(beta), slope + 1 / (1 + beta)
        return epsilon[active] - value, -slope

    a, b, _ = FAMILIES[family]
    # Far beyond this delta is zero, and products with the order would overflow.
    epsilon = np.minimum(epsilon, 1e150)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # One component: K' = (2 a beta + b) rho.
        single = (epsilon / rho.max(axis=1) - b) / (2 * a)
    beta = _solve_beta(excess, np.clip(np.nan_to_num(single), 1e-3, math.exp(_LOG_BETA)))
    moments = moment(beta, log_weights, rho, family)
    with np.errstate(over="ignore", invalid="ignore"):
        log_delta = moments.value - beta * epsilon
        error = (_SAFE - 1) * (np.abs(moments.value) + beta * epsilon + 1)
    if conversion == "improved":
        log_delta = log_delta - beta * np.log1p(1 / beta) - np.log1p(beta)
    with np.errstate(invalid="ignore"):
        # Where the moment overflows nothing is proved.
        log_delta = np.nan_to_num(log_delta + error, nan=0.0)
    return np.where(rho.max(axis=1) > 0, np.minimum(log_delta, 0.0), -np.inf)


def log_scale_of(
    epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats, family: str, conversion: str
) -> Floats:
    """Largest log s at which epsilon(delta) of rho_j = s^2 exp(2 log_shape_j) / 2 is at most epsilon, rounded down.

    (P,), (P,), (J,), (P, J) -> (P,); the largest entry of every row of ``log_shape`` is zero. -inf for epsilon = 0 with
    the basic conversion, which never reaches it.
    """

    def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
        rho = 0.5 * np.exp(2 * (log_shape[active] - x[:, None]))
        arguments = (log_delta[active], log_weights, rho, family, conversion)
        beta = best_beta_for_epsilon(*arguments)
        reached, slope = epsilon_at(beta, *arguments)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(reached) - np.log(epsilon[active]), np.where(reached > 0, -2 * slope / reached, 0.0)

    # rho + 2 sqrt(rho log(1/delta)) <= epsilon is what a single linear component needs; the not-converged family, at the
    # order it would use, at most sixteen times less.
    target = np.sqrt(-log_delta)
    with np.errstate(divide="ignore"):
        root_rho = np.log(epsilon) - np.log(np.sqrt(epsilon + target * target) + target)
    start = -(root_rho + 0.5 * math.log(2))
    size = epsilon.size
    result = np.full(size, -np.inf)
    some = np.flatnonzero(epsilon > 0)
    if some.size:

        def among(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            return excess(x, some[active])

        low, high = start[some] - 300.0, start[some] + 20.0
        result[some] = -decreasing_root(among, start=start[some], low=low, high=high, floor=1.0)
    return result


def rdp_of(alpha: Floats, log_weights: Floats, rho: Floats, family: str) -> Floats:
    """D_alpha, rounded up; (P,), (J,), (P, J) -> (P,)."""
    beta = alpha - 1
    return moment(beta, log_weights, rho, family).value / beta * _SAFE


@overload
def mixture_rdp(*, alpha: float, weights: ArrayLike, rho: Sequence[float], family: str = "linear") -> float: ...
@overload
def mixture_rdp(*, alpha: ArrayLike, weights: ArrayLike, rho: ArrayLike, family: str = "linear") -> float | Floats: ...
def mixture_rdp(*, alpha: ArrayLike, weights: ArrayLike, rho: ArrayLike, family: str = "linear") -> float | Floats:
    """D_alpha <= 1/(alpha-1) log sum_j w_j exp((alpha-1) alpha rho_j), the Rényi bound of a mixture (theory section 3).

    ``alpha`` > 1; ``weights`` (J,) sum to one; ``rho`` (..., J) with rho = mu^2/2 for a GDP curve; ``family`` as above.

    >>> f"{mixture_rdp(alpha=2.0, weights=[1.0], rho=[0.125]):.6g}"
    '0.25'
    """
    log_weights, rhos = _components(weights, rho, family)
    orders = numbers("alpha", alpha, above=1, at_most=MAX_ALPHA)

    def block(a: Floats, r: Floats) -> Floats:
        return rdp_of(a, log_weights, r, family)

    return plain(finite("alpha", in_blocks(block, orders, rhos, components=1)))


@overload
def rdp_epsilon(
    *, delta: float, weights: ArrayLike, rho: Sequence[float], family: str = "linear", conversion: str = "basic"
) -> float: ...
@overload
def rdp_epsilon(
    *, delta: ArrayLike, weights: ArrayLike, rho: ArrayLike, family: str = "linear", conversion: str = "basic"
) -> float | Floats: ...
def rdp_epsilon(
    *, delta: ArrayLike, weights: ArrayLike, rho: ArrayLike, family: str = "linear", conversion: str = "basic"
) -> float | Floats:
    """Smallest epsilon that a (mixture) Rényi curve proves at ``delta`` in (0, 1), over real orders alpha > 1.

    Shapes as in :func:`mixture_rdp`; ``conversion`` is "basic" or "improved". For one linear component and the basic
    conversion this is rho + 2 sqrt(rho log(1/delta)).

    >>> f"{rdp_epsilon(delta=1e-5, weights=[1.0], rho=[0.125]):.6g}"
    '2.52426'
    >>> f"{rdp_epsilon(delta=1e-5, weights=[1.0], rho=[0.125], conversion='improved'):.6g}"
    '2.16572'
    """
    log_weights, rhos = _components(weights, rho, family)
    choice("conversion", conversion, CONVERSIONS)

    def block(d: Floats, r: Floats) -> Floats:
        return epsilon_of(np.log(d), log_weights, r, family, conversion)

    return plain(in_blocks(block, numbers("delta", delta, above=0, below=1), rhos, components=1))


@overload
def rdp_delta(
    *, epsilon: float, weights: ArrayLike, rho: Sequence[float], family: str = "linear", conversion: str = "basic"
) -> float: ...
@overload
def rdp_delta(
    *, epsilon: ArrayLike, weights: ArrayLike, rho: ArrayLike, family: str = "linear", conversion: str = "basic"
) -> float | Floats: ...
def rdp_delta(
    *, epsilon: ArrayLike, weights: ArrayLike, rho: ArrayLike, family: str = "linear", conversion: str = "basic"
) -> float | Floats:
    """Smallest delta <= 1 that a (mixture) Rényi curve proves at ``epsilon`` >= 0; arguments as in :func:`rdp_epsilon`.

    >>> f"{rdp_delta(epsilon=1.0, weights=[1.0], rho=[0.125]):.6g}"
    '0.216265'
    """
    log_weights, rhos = _components(weights, rho, family)
    choice("conversion", conversion, CONVERSIONS)

    def block(e: Floats, r: Floats) -> Floats:
        return probability(log_delta_of(e, log_weights, r, family, conversion))

    return plain(in_blocks(block, numbers("epsilon", epsilon, at_least=0), rhos, components=1))


@overload
def rdp_to_epsilon(*, alpha: float, rdp: float, delta: float, conversion: str = "basic") -> float: ...
@overload
def rdp_to_epsilon(*, alpha: ArrayLike, rdp: ArrayLike, delta: ArrayLike, conversion: str = "basic") -> Floats: ...
def rdp_to_epsilon(*, alpha: ArrayLike, rdp: ArrayLike, delta: ArrayLike, conversion: str = "basic") -> float | Floats:
    """epsilon at ``delta`` from D_alpha <= ``rdp`` at one order ``alpha`` > 1 (elementwise; take the minimum yourself).

    >>> f"{rdp_to_epsilon(alpha=10.0, rdp=1.25, delta=1e-5):.6g}"
    '2.52921'
    """
    orders, divergence, deltas = broadcast(
        numbers("alpha", alpha, above=1), numbers("rdp", rdp, at_least=0), numbers("delta", delta, above=0, below=1)
    )
    log_delta = np.log(deltas)
    choice("conversion", conversion, CONVERSIONS)
    beta = orders - 1
    magnitude = divergence - log_delta / beta
    epsilon = magnitude
    if conversion == "improved":
        epsilon = epsilon - np.log1p(beta) / beta - np.log1p(1 / beta)
    return plain(np.maximum(epsilon + 4 * DOUBLE.unit_roundoff * magnitude, 0.0))


def _components(weights: ArrayLike, rho: ArrayLike, family: str) -> tuple[Floats, Floats]:
    choice("family", family, FAMILIES)
    w, rhos = checked_mixture(weights, "rho", rho, at_most=MAX_RHO)
    return np.log(w[w > 0]), rhos[..., w > 0]


def finite(name: str, values: Floats) -> Floats:
    if not np.all(np.isfinite(values)):
        raise InputError(f"{name} is so large that the divergence exceeds the largest double")
    return values
