"""One block's contraction for a single problem, in Python's own floats: a chain of a thousand blocks in milliseconds.

The same formulas as in ``contraction.py`` and ``hockey_stick.py``, whose arrays cost a hundred microseconds however short.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from accountant.numerics import DOUBLE, mills_of

_UNIT: Final = DOUBLE.unit_roundoff
_STEEPEST: Final = 700.0
_LOG_SQRT_2PI: Final = 0.5 * math.log(2 * math.pi)
#: From here on Mills ratios are differences of asymptotic series.
_FAR: Final = 25.0
#: Where width (1 + |x|) is less, the difference is a Taylor series about the midpoint.
_NARROW: Final = 1.0

#: log delta and its slopes by epsilon and log mu.
Chain = tuple[float, float, float]


def _log_difference(x: float, width: float) -> tuple[float, float]:
    """log(R(x) - R(x + width)) and R(x + width), x > -1."""
    if x >= _FAR:
        p, q = 1.0 / x, 1.0 / (x + width)
        homogeneous, power, series, upper, factor = 1.0, 1.0, 1.0, 1.0, 1.0
        for k in range(1, 10):
            for _ in range(2):
                power *= q
                homogeneous = homogeneous * p + power
            factor *= -(2 * k - 1)
            series += factor * homogeneous
            upper += factor * power
        return math.log(p) + math.log(q) + math.log(width) + math.log(series), q * upper
    if width * (1 + abs(x)) <= _NARROW:
        half = 0.5 * width
        middle = x + half
        value = mills_of(middle)
        previous, current = value, middle * value - 1.0
        power, odd, even = 1.0, -current, value
        for n in range(1, 17):
            previous, current = current, middle * current + n * previous
            power *= half / (n + 1)
            if n % 2:
                even += current * power * half
            else:
                odd -= current * power
        return math.log(width) + math.log(odd), even - odd * half
    upper = mills_of(x + width)
    return math.log(mills_of(x) - upper), upper


def theta(epsilon: float, mu: float) -> tuple[float, float, float, float]:
    """log of the hockey-stick divergence of mu-GDP at ``epsilon`` >= 0, mu > 0, its slopes by epsilon and log mu, and its
    error."""
    ratio = epsilon / mu
    a, b = ratio - mu / 2, ratio + mu / 2
    if a > -1:
        if a > 1e150:
            return -math.inf, 0.0, 0.0, 0.0
        log_difference, upper = _log_difference(a, mu)
        size = 1 + abs(a)
        error = _UNIT * (64 + 4 * size * (size + mu) + 2 * min(size + mu, 27) ** 2)
        # Slopes, which only steer: of a mu that underflows they are as steep as doubles go.
        by_epsilon = -math.exp(min(math.log(upper) - log_difference, _STEEPEST)) if upper > 0 else 0.0
        by_log_mu = math.exp(min(math.log(mu) - log_difference, _STEEPEST))
        return -(a * a) / 2 - _LOG_SQRT_2PI + log_difference, by_epsilon, by_log_mu, error
    x, y = -a, b
    density = math.exp(-min(x * x, 4000.0) / 2 - _LOG_SQRT_2PI)
    upper = mills_of(y)
    result = math.log1p(-density * (mills_of(x) + upper))
    inverse = density * math.exp(-result)
    deviation = min(x, 45.0)
    error = _UNIT * (64 + 8 * deviation * (deviation + y)) * abs(result)
    return result, -upper * inverse, mu * inverse, error


def contracted_once(log_delta: float, by_epsilon: float, by_log_mu: float, epsilon: float, mu: float) -> Chain:
    """log delta after one block, and its derivatives; rounded up."""
    if mu <= 0 or log_delta == -math.inf:
        return -math.inf, 0.0, 0.0
    log_delta = min(log_delta, 0.0)
    if epsilon > 0:
        odds = (math.log(math.expm1(epsilon)) if epsilon < 30 else epsilon + math.log1p(-math.exp(-epsilon))) - log_delta
        inner = odds + math.log1p(math.exp(-odds)) if odds > 0 else math.log1p(math.exp(odds))
        share = math.exp(odds - inner)
        inner = max(inner - 4 * _UNIT * (abs(odds) + abs(log_delta)), 0.0)
        by_inner = share * (1 / -math.expm1(-epsilon) - by_epsilon)
    else:
        inner, share, by_inner = 0.0, 0.0, math.exp(-log_delta) if log_delta > -700 else 0.0
    log_theta, by_e, by_mu, error = theta(inner, mu)
    if log_theta == -math.inf:
        return -math.inf, 0.0, 0.0
    after = log_delta + min(log_theta + error, 0.0)
    after += 4 * _UNIT * abs(after)
    return after, by_epsilon + by_e * by_inner, by_log_mu + by_mu - by_e * share * by_log_mu


def contracted_through(state: Chain, epsilon: float, mus: Iterable[float]) -> Chain:
    """The same after blocks one after the other, up to the one after which delta is zero."""
    for mu in mus:
        state = contracted_once(*state, epsilon, mu)
        if state[0] == -math.inf:
            break
    return state
