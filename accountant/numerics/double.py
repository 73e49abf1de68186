"""Float64 arithmetic on NumPy arrays, with the Mills ratio that the Gaussian tails are made of.

The Mills ratio stands here rather than coming from ``scipy.special.erfcx`` because the *difference* of two close Mills
ratios is what the hockey-stick divergence needs to full relative accuracy, which no library offers, and because
importing ``scipy.special`` alone costs more than the whole start-up budget of the command line.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from accountant.numerics.shapes import Floats

# (x + 5) R(x) as a polynomial in t = (x - 5)/(x + 5) on [-1, 1]: the Chebyshev interpolant in 70 nodes, computed with 50
# digits from erfc, truncated at degree 25 and written in monomials, whose coefficients stay below 2, so Horner's rule is
# stable. Relative error at most 5e-16 for 0 <= x < infinity (tests/test_arithmetic.py compares with mpmath).
_MILLS: Final = (
    1.9280810471531578,
    -1.66786659518896,
    1.2415470615738664,
    -0.7859110755465589,
    0.4136447157326838,
    -0.17325473408672937,
    0.0521255024122788,
    -0.007503282826693918,
    -0.001999961974984366,
    0.0013658592090637124,
    -0.00014883305232339802,
    -0.00012473589616879583,
    4.181458586632463e-05,
    9.97554894912513e-06,
    -6.945033138491628e-06,
    -8.377371303684879e-07,
    1.0936633523593942e-06,
    9.913947820502682e-08,
    -1.7641239689771904e-07,
    -1.9810245320492523e-08,
    2.8172011975443032e-08,
    4.70305721363489e-09,
    -3.84418406496492e-09,
    -8.850270014353632e-10,
    3.1256054471604125e-10,
    8.821471242288742e-11,
)
_SQRT_2PI: Final = math.sqrt(2 * math.pi)
#: From here on the asymptotic series of the Mills ratio reaches full precision in ten terms.
_ASYMPTOTIC: Final = 25.0
#: Where width (1 + x) is at most this, R(x) - R(x + width) is summed as a Taylor series about the midpoint. Both sides
#: of the switch lose at most a factor of about (1 + x)^2 < 700 in relative accuracy, which is 1e-13.
_NARROW: Final = 1.0


def _mills(x: Floats) -> Floats:
    t = (x - 5.0) / (x + 5.0)
    result = np.full_like(t, _MILLS[-1])
    for coefficient in _MILLS[-2::-1]:
        result *= t
        result += coefficient
    result /= x + 5.0
    return result


def mills_of(x: float) -> float:
    """The Mills ratio of a single number x >= -38, as accurate as that of arrays."""
    size = abs(x)
    t = (size - 5.0) / (size + 5.0)
    result = _MILLS[-1]
    for coefficient in _MILLS[-2::-1]:
        result = result * t + coefficient
    result /= size + 5.0
    return result if x >= 0 else _SQRT_2PI * math.exp(0.5 * x * x) - result


def _mills_signed(x: Floats) -> Floats:
    """R(x) for x >= -1: reflection R(-x) = sqrt(2 pi) exp(x^2/2) - R(x) below zero."""
    upper = _mills(np.abs(x))
    negative = x < 0
    if negative.any():
        below = x[negative]
        upper[negative] = _SQRT_2PI * np.exp(0.5 * below * below) - upper[negative]
    return upper


def _difference_far(x: Floats, width: Floats) -> tuple[Floats, Floats]:
    """x >= 25: R(x) = sum_k (-1)^k (2k-1)!! x^-(2k+1), subtracted term by term without cancellation.

    p^n - q^n = (p - q) (p^(n-1) + p^(n-2) q + ... + q^(n-1)), and p - q = p q width for p = 1/x, q = 1/(x + width).
    """
    p, q = 1.0 / x, 1.0 / (x + width)
    homogeneous = np.ones_like(p)
    power_q = np.ones_like(p)
    series = np.ones_like(p)
    upper = np.ones_like(p)
    factor = 1.0
    for k in range(1, 10):
        for _ in range(2):
            power_q = power_q * q
            homogeneous = homogeneous * p + power_q
        factor *= -(2 * k - 1)
        series += factor * homogeneous
        upper += factor * power_q
    # Logarithms of the factors, because p q width underflows long before the divergence stops meaning something.
    return np.log(p) + np.log(q) + np.log(width) + np.log(series), q * upper


def _difference_narrow(x: Floats, width: Floats) -> tuple[Floats, Floats]:
    """width (1 + x) <= 1, x < 25: odd Taylor terms about the midpoint; R' = xR - 1, R^(n+1) = x R^(n) + n R^(n-1)."""
    half = 0.5 * width
    middle = x + half
    value = _mills_signed(middle)
    first = middle * value - 1.0
    previous, current = value, first
    power = np.ones_like(half)  # half^(n-1) / n!
    odd = -first
    even = value.copy()
    for n in range(1, 17):
        previous, current = current, middle * current + n * previous
        power = power * half / (n + 1)
        if n % 2:
            even += current * power * half
        else:
            odd = odd - current * power
    return np.log(width) + np.log(odd), even - odd * half


def _difference_wide(x: Floats, width: Floats) -> tuple[Floats, Floats]:
    """The remaining widths below x = 25, where a plain difference loses under three digits."""
    upper = _mills_signed(x + width)
    return np.log(_mills_signed(x) - upper), upper


class Double:
    """IEEE double precision, vectorised by NumPy."""

    name = "double"
    proves = False
    unit_roundoff: float = 2.0**-53

    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    sqrt = staticmethod(np.sqrt)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    log_sqrt_2pi: float = 0.5 * math.log(2 * math.pi)

    def __reduce__(self) -> str:
        """There is one: copies and what comes out of a pickle are this same object, which code asks for by identity."""
        return "DOUBLE"

    def asarray(self, values: Any) -> Floats:
        return np.asarray(values, dtype=np.float64)

    def midpoint(self, x: Floats) -> Floats:
        return x

    def mills(self, x: Floats) -> Floats:
        return _mills(x)

    def log_mills_difference(self, x: Floats, width: Floats) -> tuple[Floats, Floats]:
        far = x >= _ASYMPTOTIC
        narrow = ~far & (width * (1.0 + np.abs(x)) <= _NARROW)
        cases = (
            (far, _difference_far),
            (narrow, _difference_narrow),
            (~(far | narrow), _difference_wide),
        )
        difference = np.empty_like(x)
        upper = np.empty_like(x)
        for where, compute in cases:
            if where.all():
                return compute(x, width)
            if where.any():
                difference[where], upper[where] = compute(x[where], width[where])
        return difference, upper


DOUBLE: Final = Double()
