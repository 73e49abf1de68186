"""Ball arithmetic with outward rounding (python-flint, the extra ``certify``): what comes out encloses the true value.

A :class:`Ball` is an enclosure or an infinity, with the rules of the extended reals (exp(-inf) = 0, log(0) = -inf,
-inf + x = -inf), which balls of infinite radius would lose. Comparisons answer only what is certain and raise
:class:`UndecidedError` otherwise; more precision then decides, unless two different formulas give the same number. Formulas ask
``midpoint`` where either branch is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from types import TracebackType
from typing import Any

import numpy as np

from accountant.numerics.validation import MissingExtraError, integer

try:
    from flint import arb, ctx, fmpq
except ImportError:  # pragma: no cover - the test environment has it
    raise MissingExtraError("interval arithmetic", "python-flint", "certify") from None

#: Of two, in numbers that are turned into fractions.
_LARGEST_EXPONENT = 1 << 20
Objects = np.ndarray[Any, np.dtype[np.object_]]
_INFINITE = (math.inf, -math.inf)


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

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if type(x) is float or type(y) is float:
            # Whatever is finite makes no difference, and its sign need not be known.
            return _infinite(sum(part for part in (x, y) if type(part) is float))
        return Ball(x + y)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if type(x) is float or type(y) is float:
            return _infinite(_size(x) * _size(y))
        return Ball(x * y)

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if type(y) is float:
            return _infinite(math.nan) if type(x) is float else Ball(arb(0))
        if type(x) is float:
            return _infinite(x * _size(y))
        if y == 0:
            size = _size(x)
            return _infinite(size * math.inf)
        return Ball(x / y)

    def __neg__(self) -> Ball:
        return Ball(-self.value)

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if isinstance(other, np.ndarray) else self + -Ball.of(other)

    def __rsub__(self, other: Any) -> Ball:
        return Ball.of(other) - self

    def __rtruediv__(self, other: Any) -> Ball:
        return Ball.of(other) / self

    __radd__, __rmul__ = __add__, __mul__

    def __abs__(self) -> Ball:
        return Ball(abs(self.value))

    def __pow__(self, power: int) -> Any:
        if power != 2:
            return NotImplemented
        # The library's own power is not a number where zero is inside.
        return self * self

    def _certain(self, other: Any, compare: Callable[[Any, Any], bool], opposite: Callable[[Any, Any], bool]) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        x, y = self.value, Ball.of(other).value
        if compare(x, y):
            return True
        if opposite(x, y):
            return False
        raise UndecidedError(f"{x} and {y} cannot be told apart")

    def __lt__(self, other: Any) -> Any:
        return self._certain(other, lambda x, y: bool(x < y), lambda x, y: bool(x >= y))

    def __le__(self, other: Any) -> Any:
        return self._certain(other, lambda x, y: bool(x <= y), lambda x, y: bool(x > y))

    def __gt__(self, other: Any) -> Any:
        return self._certain(other, lambda x, y: bool(x > y), lambda x, y: bool(x <= y))

    def __ge__(self, other: Any) -> Any:
        return self._certain(other, lambda x, y: bool(x >= y), lambda x, y: bool(x < y))

    def __eq__(self, other: object) -> Any:
        return self._certain(other, lambda x, y: bool(x == y), lambda x, y: bool(x != y))

    def __ne__(self, other: object) -> Any:
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


def _infinite(value: float) -> Ball:
    # NaN stays a ball that no comparison accepts.
    return Ball(value) if value in _INFINITE else Ball(arb("nan"))


class Interval:
    """Enclosures at ``bits`` of working precision; a context manager, because the library's precision is global."""

    name = "interval"
    proves = True
    unit_roundoff = 0.0

    def __init__(self, bits: int) -> None:
        self.bits = integer("bits", bits, at_least=53, at_most=1 << 20)
        self._before: list[int] = []

    def __enter__(self) -> Interval:
        self._before.append(ctx.prec)
        ctx.prec = self.bits
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        ctx.prec = self._before.pop()

    @property
    def log_sqrt_2pi(self) -> Ball:
        return Ball((2 * arb.pi()).log() / 2)

    def asarray(self, values: Any) -> Any:
        return np.asarray(_map(Ball.of)(values), dtype=object)

    def exp(self, x: Any) -> Any:
        return _map(_exp)(x)

    def expm1(self, x: Any) -> Any:
        return _map(_expm1)(x)

    def log(self, x: Any) -> Any:
        return _map(_log)(x)

    def log1p(self, x: Any) -> Any:
        return _map(_log1p)(x)

    def sqrt(self, x: Any) -> Any:
        return _map(_sqrt)(x)

    def maximum(self, x: Any, y: Any) -> Any:
        return _map(_maximum, 2)(x, y)

    def minimum(self, x: Any, y: Any) -> Any:
        return -self.maximum(-self.asarray(x), -self.asarray(y))

    def midpoint(self, x: Any) -> Any:
        """As doubles, for decisions that only steer."""
        return np.asarray(_map(float)(self.asarray(x)), dtype=np.float64)

    def surely_greater(self, x: Any, y: Any) -> bool:
        """Whether x > y is certain."""
        return bool(Ball.of(x).value > Ball.of(y).value)

    def centre(self, x: Ball) -> Ball:
        """The exact number in the middle."""
        return x if type(x.value) is float else Ball(x.value.mid())

    def between(self, low: Ball, high: Ball) -> Ball:
        """What encloses both."""
        return low if type(low.value) is float else Ball(low.value.union(high.value))

    def mills(self, x: Any) -> Any:
        return _map(_mills)(x)

    def log_mills_difference(self, x: Any, width: Any) -> tuple[Any, Any]:
        return _map(_log_mills_difference, 2)(x, width), self.mills(x + width)

    def accuracy(self, x: Ball) -> float:
        """Correct bits, relative to the size of the number; infinite for exact ones."""
        return math.inf if type(x.value) is float or x.value.is_exact() else float(x.value.rel_accuracy_bits())

    def ends(self, x: Ball) -> tuple[Fraction, Fraction]:
        """The two ends of a finite enclosure, exactly."""
        return _fraction(x.value.lower()), _fraction(x.value.upper())


def _fraction(x: Any) -> Fraction:
    mantissa, exponent = (int(part) for part in x.man_exp())
    if abs(exponent) > _LARGEST_EXPONENT:
        raise ArithmeticError(f"{x.str(5, radius=False)} is too far from one to be written as a fraction")
    return Fraction(mantissa) * Fraction(2) ** exponent


def _map(function: Callable[..., Any], count: int = 1) -> Callable[..., Any]:
    def each(*values: Any) -> Any:
        return np.frompyfunc(lambda *x: function(*(Ball.of(v) for v in x)), count, 1)(*values)

    return each


def _exp(x: Ball) -> Ball:
    if type(x.value) is float:
        return Ball(arb(0)) if x.value < 0 else x
    return Ball(x.value.exp())


def _expm1(x: Ball) -> Ball:
    if type(x.value) is float:
        return Ball(arb(-1)) if x.value < 0 else x
    return Ball(x.value.expm1())


def _log(x: Ball) -> Ball:
    if type(x.value) is float:
        return x if x.value > 0 else _infinite(math.nan)
    return Ball(-math.inf) if x.value == 0 else Ball(x.value.log())


def _log1p(x: Ball) -> Ball:
    if type(x.value) is float:
        return x if x.value > 0 else _infinite(math.nan)
    return Ball(-math.inf) if x.value == -1 else Ball(x.value.log1p())


def _sqrt(x: Ball) -> Ball:
    return x if type(x.value) is float else Ball(x.value.sqrt())


def _maximum(x: Ball, y: Ball) -> Ball:
    if type(x.value) is float or type(y.value) is float:
        return x if bool(x.value >= y.value) else y
    return Ball(x.value.max(y.value))


def _tail(x: Any) -> Any:
    """R(x) = P(Z > x)/phi(x) of an arb."""
    if x > 8:
        # U(1/2, 1/2, x^2/2)/sqrt(2): no huge factor against a tiny one.
        return (x * x / 2).hypgeom_u(arb(1) / 2, arb(1) / 2) / arb(2).sqrt()
    return (arb.pi() / 2).sqrt() * (x * x / 2).exp() * (x / arb(2).sqrt()).erfc()


def _mills(x: Ball) -> Ball:
    if type(x.value) is float:
        return Ball(arb(0)) if x.value > 0 else _infinite(math.inf)
    return Ball(_tail(x.value))


def _log_mills_difference(x: Ball, width: Ball) -> Ball:
    """log(R(x) - R(x + width)); the difference is a narrow part of R, and is taken with so many bits more."""
    lost = 3 * math.log2(2 + abs(float(x))) + 2 * math.log2(2 + abs(float(x)) + float(width))
    # A width below the smallest double still has its exponent.
    lost += max(0.0, -float(width.value.mid().log().mid()) / math.log(2))
    with ctx.workprec(ctx.prec + int(lost) + 10):
        return Ball((_tail(x.value) - _tail(x.value + width.value)).log())
