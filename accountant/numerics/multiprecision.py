"""mpmath arithmetic on object arrays, to any number of digits: high-precision evaluation, not a proof.

Domain as for doubles. Cancellation in the Mills difference is met with extra digits, so the relative error of every function
is at most a few units of the last of the ``digits``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from accountant.numerics.arithmetic import Numbers
from accountant.numerics.validation import integer

Objects = np.ndarray[Any, np.dtype[np.object_]]


class Multiprecision:
    """``digits`` correct decimal digits, from 15 to 100000. Each instance has its own context."""

    name = "mp"
    proves = False

    def __init__(self, digits: int) -> None:
        integer("digits", digits, at_least=15, at_most=100_000)
        self._context = mpmath.mp.clone()
        self._context.dps = digits + 10
        self.unit_roundoff = float(mpmath.mpf(10) ** -digits) if digits < 300 else 0.0
        self.log_sqrt_2pi = self._context.log(2 * self._context.pi) / 2

    def __enter__(self) -> Multiprecision:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def asarray(self, values: Any) -> Objects:
        return np.asarray(self._map(self._number)(values), dtype=object)

    def exp(self, x: Any) -> Numbers:
        return self._map(self._context.exp)(x)

    def expm1(self, x: Any) -> Numbers:
        return self._map(self._context.expm1)(x)

    def log(self, x: Any) -> Numbers:
        return self._map(self._log)(x)

    def log1p(self, x: Any) -> Numbers:
        return self._map(self._context.log1p)(x)

    def sqrt(self, x: Any) -> Numbers:
        return self._map(self._context.sqrt)(x)

    def maximum(self, x: Any, y: Any) -> Numbers:
        return self._map(max, 2)(x, y)

    def minimum(self, x: Any, y: Any) -> Numbers:
        return self._map(min, 2)(x, y)

    def midpoint(self, x: Any) -> Numbers:
        return np.asarray(self._map(float)(x), dtype=np.float64)

    def surely_greater(self, x: Any, y: Any) -> bool:
        return bool(x > y)

    def centre(self, x: Any) -> Numbers:
        return x

    def between(self, low: Any, high: Any) -> Numbers:
        return (low + high) / 2

    def accuracy(self, x: Any) -> float:
        """What the context has; agreement of two precisions is what tells."""
        return math.inf

    def ends(self, x: Any) -> tuple[Fraction, Fraction]:
        """The number twice, exactly."""
        sign, mantissa, exponent, _ = x._mpf_
        value = Fraction(-int(mantissa) if sign else int(mantissa)) * Fraction(2) ** int(exponent)
        return value, value

    def mills(self, x: Any) -> Numbers:
        return self._map(self._mills)(x)

    def log_mills_difference(self, x: Any, width: Any) -> tuple[Numbers, Numbers]:
        return self._map(self._log_difference, 2)(x, width), self.mills(x + width)

    def _number(self, x: Any) -> Numbers:
        if isinstance(x, Fraction):
            return self._context.mpf(x.numerator) / x.denominator
        return self._context.mpf(x)

    def _log(self, x: Any) -> Numbers:
        return self._context.mpf("-inf") if x == 0 else self._context.log(x)

    def _mills(self, x: Any) -> Numbers:
        mp = self._context
        return mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2))

    def _log_difference(self, x: Any, width: Any) -> Numbers:
        """R(x) - R(x + width) is about width/(1 + x)^2 of the size of R: work with that many digits more."""
        mp = self._context
        lost = 2 * mp.log10(2 + abs(x)) + max(mp.mpf(0), -mp.log10(width)) + mp.log10(2 + abs(x) + width)
        with mp.workdps(mp.dps + int(lost) + 5):
            return mp.log(self._mills(x) - self._mills(x + width))

    def _map(self, function: Callable[..., Any], count: int = 1) -> Callable[..., Any]:
        return np.frompyfunc(function, count, 1)
