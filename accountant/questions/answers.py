"""Answers, row by row: each of sigma, epsilon, delta and the length of unlearning from the others, for the rows of a query.

A row that has no answer holds inf (NaN where no curve can be read); which rows those are is a value, and nobody raises here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from accountant.curves import CONTRACTION, MARGIN, Mixture, probability, readable
from accountant.numerics import LARGEST, SMALLEST, Floats, Indices, in_blocks, smallest_count
from accountant.questions.query import Query, Rows

#: log of a mu with which nothing is private.
_LARGEST_LOG_MU: Final = 345.0
#: Relative width to which a search that had to stride is narrowed again.
_WIDE: Final = 2.0**-36
#: The same where another split into blocks was found.
_SPLIT: Final = 2.0**-17


def epsilon_of(query: Rows, *, sigma: Floats, delta: Floats) -> Floats:
    """Smallest epsilon proven, rounded up; NaN where sigma is so small that nothing is guaranteed."""

    def block(n: Floats, start: Floats, noise: Floats, d: Floats) -> Floats:
        mixture, log_delta = query.mixture(n, start), np.log(d)
        return _where_readable(mixture, noise, lambda log_mu, rows: mixture.rows(rows).curve.epsilon(
            log_delta[rows], mixture.log_weights, log_mu))  # fmt: skip

    return query.solve(block, sigma, delta)


def delta_of(query: Rows, *, sigma: Floats, epsilon: Floats) -> Floats:
    """Smallest delta proven, rounded up; NaN where sigma is so small that nothing is guaranteed."""

    def block(n: Floats, start: Floats, noise: Floats, e: Floats) -> Floats:
        mixture = query.mixture(n, start)
        return _where_readable(mixture, noise, lambda log_mu, rows: probability(
            mixture.rows(rows).curve.log_delta(e[rows], mixture.log_weights, log_mu)))  # fmt: skip

    return query.solve(block, sigma, epsilon)


def rdp_of(query: Rows, *, alpha: Floats, sigma: Floats) -> Floats:
    """Bound on both Rényi divergences, rounded up; NaN where sigma is so small that nothing is guaranteed."""

    def block(n: Floats, start: Floats, noise: Floats, a: Floats) -> Floats:
        mixture = query.mixture(n, start)
        return _where_readable(mixture, noise, lambda log_mu, rows: mixture.curve.rdp(
            a[rows], mixture.log_weights, log_mu))  # fmt: skip

    return query.solve(block, sigma, alpha)


def sigma_of(query: Rows, *, epsilon: Floats, delta: Floats) -> Floats:
    """Smallest sigma, on the safe side: put back, it gives an epsilon at most the target; at least 1e-300, inf above 1e300."""

    def block(n: Floats, start: Floats, e: Floats, d: Floats) -> Floats:
        mixture, log_delta = query.mixture(n, start), np.log(d)
        log_scale = mixture.log_scale
        peak = log_scale.max(axis=1)
        moving = np.isfinite(peak)
        # Nothing that differs needs no noise, and what is beyond every number no noise is enough for.
        log_sigma = np.where(np.isposinf(peak), np.inf, -np.inf)
        with np.errstate(invalid="ignore"):
            shape = log_scale[moving] - peak[moving, None]
        if moving.any():
            scale = mixture.rows(np.flatnonzero(moving)).curve.log_scale(
                e[moving], log_delta[moving], mixture.log_weights, shape
            )
            log_sigma[moving] = peak[moving] - scale + MARGIN
        sigma = np.exp(np.minimum(log_sigma, 709.0))
        # The search ends within some roundings of the answer; step over until the reported epsilon meets the target.
        # Where epsilon is small against delta it follows sigma steeply, and the first step is smaller.
        with np.errstate(over="ignore"):
            push = 2.0**-45 * np.minimum(1.0, 0.5 * e / d)
        sigma = np.maximum(sigma * (1 + push), SMALLEST)
        below = sigma.copy()
        unmet = np.flatnonzero(sigma <= LARGEST)
        while unmet.size:
            log_mu = mixture.rows(unmet).log_mu(sigma[unmet])
            reached = mixture.rows(unmet).curve.epsilon(log_delta[unmet], mixture.log_weights, log_mu)
            missed = ~(reached <= e[unmet])
            unmet, reached = unmet[missed], reached[missed]
            below[unmet] = sigma[unmet]
            push[unmet] = np.maximum(2 * push[unmet], 2.0**-52)
            if mixture.curve.kind == CONTRACTION:
                # Another split was found for epsilon than for sigma.
                with np.errstate(all="ignore"):
                    miss = np.where(e[unmet] > 0, reached / e[unmet] - 1, 0.0)
                push[unmet] = np.maximum(push[unmet], np.where((miss > 1e-9) & (miss < 1), 0.1 * miss, 0.0))
            with np.errstate(over="ignore"):
                sigma[unmet] *= 1 + push[unmet]
            unmet = unmet[sigma[unmet] <= LARGEST]
        # Where epsilon jumps or stands still the last strides were long: halve what they left.
        width = _WIDE if mixture.curve.kind != CONTRACTION else _SPLIT
        wide = np.flatnonzero((sigma <= LARGEST) & (sigma > below * (1 + width)))
        while wide.size:
            middle = np.sqrt(below[wide]) * np.sqrt(sigma[wide])
            log_mu = mixture.rows(wide).log_mu(middle)
            met = mixture.rows(wide).curve.epsilon(log_delta[wide], mixture.log_weights, log_mu) <= e[wide]
            sigma[wide], below[wide] = np.where(met, middle, sigma[wide]), np.where(met, below[wide], middle)
            wide = wide[sigma[wide] > below[wide] * (1 + width)]
        return np.where(sigma <= LARGEST, sigma, np.inf)

    return query.solve(block, epsilon, delta)


def share_of_rounding(query: Query, *, sigma: Floats, delta: Floats) -> Floats:
    """The share of epsilon at delta that rounding costs, of the algorithm's format; 0 where epsilon is."""
    exact = replace(query.setting, algorithm=replace(query.setting.algorithm, rounding=None))
    cost = epsilon_of(query, sigma=sigma, delta=delta)
    without = epsilon_of(replace(query, setting=exact), sigma=sigma, delta=delta)
    with np.errstate(invalid="ignore"):
        return np.where(cost > 0, 1 - without / np.where(cost > 0, cost, 1.0), 0.0)


class Counting:
    """The fewest counts k for which stride * k + beyond steps meet a target, between two ends; monotone in between."""

    def __init__(self, query: Rows, *, stride: int, beyond: int) -> None:
        self.query, self.stride, self.beyond = query, stride, beyond

    def fewest(self, *, low: Floats, high: Floats, sigma: Floats, epsilon: Floats, delta: Floats) -> Floats:
        """Counts in the arguments' common shape; inf where ``high`` is not enough."""

        def block(least: Floats, start: Floats, most: Floats, noise: Floats, e: Floats, d: Floats) -> Floats:
            log_delta = np.log(d)

            def meets(mixture: Mixture, log_mu: Floats, rows: Indices) -> Floats:
                # No noise after the last difference: nothing is guaranteed, which is an answer here and no error.
                finite = log_mu.max(axis=1) < _LARGEST_LOG_MU
                met = np.zeros(rows.size)
                if finite.any():
                    some = rows[finite]
                    met[finite] = mixture.rows(np.flatnonzero(finite)).curve.meets(
                        e[some], log_delta[some], mixture.log_weights, log_mu[finite]
                    )
                return met

            def holds(count: Floats, rows: Indices) -> NDArray[np.bool_]:
                return self._each(count, start, noise, rows, meets) > 0

            return smallest_count(holds, low=least, high=most)

        # The search itself asks for one number of steps after the other.
        return in_blocks(block, low, self.query.start, high, sigma, epsilon, delta, width=self.query.width)

    def reached(self, *, count: float, start: float, sigma: float, delta: float) -> float:
        """epsilon after a count, for one row."""
        log_delta = np.log(np.array([delta]))

        def epsilon(mixture: Mixture, log_mu: Floats, rows: Indices) -> Floats:
            return mixture.curve.epsilon(log_delta[rows], mixture.log_weights, log_mu)

        row = np.zeros(1, dtype=np.intp)
        return float(self._each(np.array([count]), np.array([start]), np.array([sigma]), row, epsilon)[0])

    def _each(
        self, count: Floats, start: Floats, sigma: Floats, rows: Indices, ask: Callable[[Mixture, Floats, Indices], Floats]
    ) -> Floats:
        """``ask(mixture, log_mu, rows)`` where one mixture serves all the rows that it is asked about."""
        query = self.query
        asked = query.at(self.stride * count + self.beyond, start[rows])

        def answer(n: Floats, z: Floats, at: Floats) -> Floats:
            some = at.astype(np.intp)
            mixture = asked.mixture(n, z)
            return ask(mixture, mixture.log_mu(sigma[some]), some)

        return asked.solve(answer, rows.astype(np.float64))


def _where_readable(mixture: Mixture, sigma: Floats, read: Callable[[Floats, Indices], Floats]) -> Floats:
    """``read(log_mu, rows)`` for the rows that a curve can be read at, NaN for the others."""
    log_mu = mixture.log_mu(sigma)
    rows = np.flatnonzero(readable(log_mu))
    if rows.size == sigma.size:
        return read(log_mu, rows)
    result = np.full(sigma.size, np.nan)
    if rows.size:
        result[rows] = read(log_mu[rows], rows)
    return result
