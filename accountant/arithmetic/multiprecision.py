"""mpmath arithmetic on object arrays, to any number of digits: high-precision evaluation, not a proof.

Domain as for doubles. Cancellation in the Mills difference is met with extra digits, so the relative error of every function
is at most a few units of the last of the ``digits``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from accountant.validation import integer

Objects = np.ndarray[Any, np.dtype[np.object_]]


class Multiprecision:
    """``digits`` correct decimal digits, from 15 to 10000. Each instance has its own context."""

    def __init__(self, digits: int) -> None:
        integer("digits", digits, at_least=15, at_most=10_000)
        self._context = mpmath.mp.clone()
        self._context.dps = digits + 10
        self.unit_roundoff = float(mpmath.mpf(10) ** -digits) if digits < 300 else 0.0
        self.log_sqrt_2pi = self._context.log(2 * self._context.pi) / 2

    def asarray(self, values: Any) -> Objects:
        return self._map(self._context.mpf)(values)

    def exp(self, x: Any) -> Any:
        return self._map(self._context.exp)(x)

    def expm1(self, x: Any) -> Any:
        return self._map(self._context.expm1)(x)

    def log(self, x: Any) -> Any:
        return self._map(self._context.log)(x)

    def log1p(self, x: Any) -> Any:
        return self._map(self._context.log1p)(x)

    def sqrt(self, x: Any) -> Any:
        return self._map(self._context.sqrt)(x)

    def hypot(self, x: Any, y: Any) -> Any:
        return self._map(self._context.hypot)(x, y)

    def mills(self, x: Any) -> Any:
        return self._map(self._mills)(x)

    def log_mills_difference(self, x: Any, width: Any) -> tuple[Any, Any]:
        return self._map(self._log_difference)(x, width), self.mills(x + width)

    def _mills(self, x: Any) -> Any:
        mp = self._context
        return mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2))

    def _log_difference(self, x: Any, width: Any) -> Any:
        """R(x) - R(x + width) is about width/(1 + x)^2 of the size of R: work with that many digits more."""
        mp = self._context
        lost = 2 * mp.log10(2 + abs(x)) + max(mp.mpf(0), -mp.log10(width)) + mp.log10(2 + abs(x) + width)
        with mp.workdps(mp.dps + int(lost) + 5):
            return mp.log(self._mills(x) - self._mills(x + width))

    def _map(self, function: Callable[..., Any]) -> Callable[..., Any]:
        count = 2 if function in (self._log_difference, self._context.hypot) else 1
        return np.frompyfunc(function, count, 1)
