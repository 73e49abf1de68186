"""The elementary functions that the formulas need, one file per number type.

A formula takes an :class:`Arithmetic` and uses NumPy only for shapes (``where``, ``maximum``, sums), so the same lines
run on float arrays and on object arrays of multiprecision numbers.
"""

from __future__ import annotations

from typing import Any, Protocol

from accountant.arithmetic.double import DOUBLE

#: An array of whatever number type the arithmetic works on.
Numbers = Any


class Arithmetic(Protocol):
    """What a number type has to offer; every function works elementwise on arrays."""

    #: Relative size of one rounding error; the safe-side nudges are multiples of it.
    unit_roundoff: float

    #: log sqrt(2 pi)
    log_sqrt_2pi: Any

    def asarray(self, values: Any) -> Numbers: ...
    def exp(self, x: Numbers) -> Numbers: ...
    def expm1(self, x: Numbers) -> Numbers: ...
    def log(self, x: Numbers) -> Numbers: ...
    def log1p(self, x: Numbers) -> Numbers: ...
    def sqrt(self, x: Numbers) -> Numbers: ...
    def hypot(self, x: Numbers, y: Numbers) -> Numbers: ...
    def mills(self, x: Numbers) -> Numbers:
        """R(x) = P(Z > x) / phi(x), the Mills ratio, for x >= 0."""
        ...

    def log_mills_difference(self, x: Numbers, width: Numbers) -> tuple[Numbers, Numbers]:
        """``(log(R(x) - R(x + width)), R(x + width))`` for x >= -1 and width > 0."""
        ...


__all__ = ["DOUBLE", "Arithmetic", "Numbers"]
