"""The elementary functions that the formulas need, one file per number type.

A formula takes an :class:`Arithmetic` and uses NumPy only for shapes and sums, so the same lines run on float arrays and on
object arrays: of multiprecision numbers (``multiprecision.py``: evaluation) and of enclosures (``interval.py``: proof).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Protocol

from accountant.numerics.double import DOUBLE

#: Most digits that are asked for.
MAX_DIGITS: Final = 1000
#: A number, or an array of numbers, of whatever type the arithmetic works on.
Numbers = Any


class Arithmetic(Protocol):
    """What a number type has to offer; every function works elementwise on arrays."""

    #: double, mp or interval
    name: str
    #: Whether results are enclosures.
    proves: bool

    #: Relative size of one rounding error; the safe-side nudges are multiples of it.
    unit_roundoff: float

    @property
    def log_sqrt_2pi(self) -> Numbers:
        """log sqrt(2 pi)"""
        ...

    def asarray(self, values: Any) -> Numbers: ...
    def exp(self, x: Numbers) -> Numbers: ...
    def expm1(self, x: Numbers) -> Numbers: ...
    def log(self, x: Numbers) -> Numbers: ...
    def log1p(self, x: Numbers) -> Numbers: ...
    def sqrt(self, x: Numbers) -> Numbers: ...
    def maximum(self, x: Numbers, y: Numbers) -> Numbers: ...
    def minimum(self, x: Numbers, y: Numbers) -> Numbers: ...
    def midpoint(self, x: Numbers) -> Numbers:
        """As doubles, for decisions that only steer: where either branch is right, or only a start is needed."""
        ...

    def mills(self, x: Numbers) -> Numbers:
        """R(x) = P(Z > x) / phi(x), the Mills ratio, for x >= 0."""
        ...

    def log_mills_difference(self, x: Numbers, width: Numbers) -> tuple[Numbers, Numbers]:
        """``(log(R(x) - R(x + width)), R(x + width))`` for x >= -1 and width > 0."""
        ...


class Precise(Arithmetic, Protocol):
    """Numbers of any precision and unlimited range; entered before use, because the precision may be a global state."""

    def __enter__(self) -> Any: ...
    def __exit__(self, *exception: Any) -> None: ...
    def surely_greater(self, x: Any, y: Any) -> bool:
        """Whether x > y is certain."""
        ...

    def centre(self, x: Any) -> Numbers:
        """An exact number inside."""
        ...

    def between(self, low: Any, high: Any) -> Numbers:
        """What encloses both (mp: the number between)."""
        ...

    def accuracy(self, x: Any) -> float:
        """Bits that are known to be right, relative to the size."""
        ...

    def ends(self, x: Any) -> tuple[Fraction, Fraction]:
        """The ends of the enclosure, exactly (mp: the number twice)."""
        ...


__all__ = ["DOUBLE", "MAX_DIGITS", "Arithmetic", "Numbers", "Precise"]
