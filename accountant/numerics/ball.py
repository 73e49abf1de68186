"""A number that encloses the true value: an ``arb`` of python-flint (the extra ``certify``), or an infinity.

Arithmetic follows the rules of the extended reals (-inf + x = -inf), which balls of infinite radius would lose. Comparisons
answer only what is certain and raise :class:`UndecidedError` otherwise; more precision then decides, unless two different
formulas give the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import numpy as np

from accountant.numerics.arithmetic import Numbers
from accountant.numerics.validation import MissingExtraError

try:
    # Handed on: here alone is said what is missing without them.
    from flint import arb as arb
    from flint import ctx as ctx
    from flint import fmpq
except ImportError:  # pragma: no cover - the test environment has it
    raise MissingExtraError("interval arithmetic", "python-flint", "certify") from None

_INFINITE: Final = (math.inf, -math.inf)


class UndecidedError(ArithmeticError):
    """Two enclosures overlap, so that neither is certainly the larger; more precision may decide."""


class Ball:
    """An enclosure (``arb``) or an infinity (float); immutable."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def of(cls, x: Any) -> Ball:
        """Exactly ``x``: a Ball, a float, an integer or a fraction (enclosed)."""
        if isinstance(x, Ball):
            return x
        if isinstance(x, (float, np.floating)):
            x = float(x)
            return cls(x if x in _INFINITE else arb(x))
        if isinstance(x, Fraction):
            return cls(arb(fmpq(x.numerator, x.denominator)))
        return cls(arb(int(x)))

    def __add__(self, other: Any) -> Numbers:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if type(x) is float or type(y) is float:
            # Whatever is finite makes no difference, and its sign need not be known.
            return infinite(sum(part for part in (x, y) if type(part) is float))
        return Ball(x + y)

    def __mul__(self, other: Any) -> Numbers:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if type(x) is float or type(y) is float:
            return infinite(_size(x) * _size(y))
        return Ball(x * y)

    def __truediv__(self, other: Any) -> Numbers:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if type(y) is float:
            return infinite(math.nan) if type(x) is float else Ball(arb(0))
        if type(x) is float:
            return infinite(x * _size(y))
        if y == 0:
            size = _size(x)
            return infinite(size * math.inf)
        return Ball(x / y)

    def __neg__(self) -> Ball:
        return Ball(-self.value)

    def __sub__(self, other: Any) -> Numbers:
        return NotImplemented if isinstance(other, np.ndarray) else self + -Ball.of(other)

    def __rsub__(self, other: Any) -> Ball:
        return Ball.of(other) - self

    def __rtruediv__(self, other: Any) -> Ball:
        return Ball.of(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __abs__(self) -> Ball:
        return Ball(abs(self.value))

    def __pow__(self, power: int) -> Numbers:
        if power != 2:
            return NotImplemented
        # The library's own power is not a number where zero is inside.
        return self * self

    def _certain(self, other: Any, compare: Callable[[Any, Any], bool], opposite: Callable[[Any, Any], bool]) -> Numbers:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if compare(x, y):
            return True
        if opposite(x, y):
            return False
        raise UndecidedError(f"{x} and {y} cannot be told apart")

    def __lt__(self, other: Any) -> Numbers:
        return self._certain(other, lambda x, y: bool(x < y), lambda x, y: bool(x >= y))

    def __le__(self, other: Any) -> Numbers:
        return self._certain(other, lambda x, y: bool(x <= y), lambda x, y: bool(x > y))

    def __gt__(self, other: Any) -> Numbers:
        return self._certain(other, lambda x, y: bool(x > y), lambda x, y: bool(x <= y))

    def __ge__(self, other: Any) -> Numbers:
        return self._certain(other, lambda x, y: bool(x >= y), lambda x, y: bool(x < y))

    def __eq__(self, other: object) -> Numbers:
        return self._certain(other, lambda x, y: bool(x == y), lambda x, y: bool(x != y))

    def __ne__(self, other: object) -> Numbers:
        return self._certain(other, lambda x, y: bool(x != y), lambda x, y: bool(x == y))

    __hash__ = None  # type: ignore[assignment]

    def __float__(self) -> float:
        return float(self.value) if type(self.value) is float else float(self.value.mid())

    def __repr__(self) -> str:
        return f"Ball({self.value})"


def _size(x: Any) -> float:
    """What decides a sum or product with an infinity: the infinity itself, or the sign of an enclosure."""
    if type(x) is float:
        return x
    if x > 0:
        return 1.0
    if x < 0:
        return -1.0
    if x == 0:
        return 0.0
    raise UndecidedError(f"the sign of {x} is not certain")


def infinite(value: float) -> Ball:
    """An infinity, or no number."""
    # NaN stays a ball that no comparison accepts.
    return Ball(value) if value in _INFINITE else Ball(arb("nan"))
