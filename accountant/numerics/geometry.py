"""Powers and geometric sums of a contraction given by its logarithm, exact as c approaches 0 or 1."""

from __future__ import annotations

import math

import numpy as np

from accountant.numerics.arithmetic import Arithmetic, Numbers
from accountant.numerics.double import DOUBLE


def log_power(log_c: Numbers, exponent: Numbers) -> Numbers:
    """log(c^exponent) for exponents >= 0, infinity included: 0^0 = 1^infinity = 1."""
    x = np.asarray(exponent)
    with np.errstate(invalid="ignore"):
        return np.where((x == 0) | (log_c == 0), 0.0, x * log_c)


def geometric_sum(log_c: Numbers, terms: Numbers, *, stride: Numbers = 1.0, arithmetic: Arithmetic = DOUBLE) -> Numbers:
    """1 + q + ... + q^(terms-1) with q = c^stride; infinitely many terms allowed; +inf for q = 1 and infinite terms."""
    x = arithmetic.asarray(terms)
    log_q = log_power(log_c, stride)[()]
    if log_q == 0:
        return x
    return arithmetic.expm1(log_power(log_q, x)) / arithmetic.expm1(log_q) + 0  # no negative zero


def log_add(x: Numbers, y: Numbers, arithmetic: Arithmetic = DOUBLE) -> Numbers:
    """log(e^x + e^y), -inf allowed."""
    if arithmetic is DOUBLE:
        return np.logaddexp(x, y)
    ar = arithmetic
    a, b = np.broadcast_arrays(ar.asarray(x), ar.asarray(y))
    swap = ar.midpoint(a) < ar.midpoint(b)
    top, low = np.where(swap, b, a), np.where(swap, a, b)
    nothing = ar.midpoint(top) == -math.inf
    return np.where(nothing, -math.inf, top + ar.log1p(ar.exp(np.where(nothing, 0.0, low - np.where(nothing, 0.0, top)))))
