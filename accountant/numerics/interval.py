"""Ball arithmetic with outward rounding (python-flint, the extra ``certify``): what comes out encloses the true value.

Functions of a :class:`~accountant.numerics.ball.Ball` know the infinities, too (exp(-inf) = 0, log(0) = -inf). Formulas ask
``midpoint`` where either branch is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from types import TracebackType
from typing import Any, Final

import numpy as np

from accountant.numerics.arithmetic import Numbers
from accountant.numerics.ball import Ball, arb, ctx, infinite
from accountant.numerics.validation import integer

#: Of two, in numbers that are turned into fractions.
_LARGEST_EXPONENT: Final = 1 << 20


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

    def asarray(self, values: Any) -> Numbers:
        return np.asarray(_map(Ball.of)(values), dtype=object)

    def exp(self, x: Any) -> Numbers:
        return _map(_exp)(x)

    def expm1(self, x: Any) -> Numbers:
        return _map(_expm1)(x)

    def log(self, x: Any) -> Numbers:
        return _map(_log)(x)

    def log1p(self, x: Any) -> Numbers:
        return _map(_log1p)(x)

    def sqrt(self, x: Any) -> Numbers:
        return _map(_sqrt)(x)

    def maximum(self, x: Any, y: Any) -> Numbers:
        return _map(_maximum, 2)(x, y)

    def minimum(self, x: Any, y: Any) -> Numbers:
        return -self.maximum(-self.asarray(x), -self.asarray(y))

    def midpoint(self, x: Any) -> Numbers:
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

    def mills(self, x: Any) -> Numbers:
        return _map(_mills)(x)

    def log_mills_difference(self, x: Any, width: Any) -> tuple[Numbers, Numbers]:
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
    def each(*values: Any) -> Numbers:
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
        return x if x.value > 0 else infinite(math.nan)
    return Ball(-math.inf) if x.value == 0 else Ball(x.value.log())


def _log1p(x: Ball) -> Ball:
    if type(x.value) is float:
        return x if x.value > 0 else infinite(math.nan)
    return Ball(-math.inf) if x.value == -1 else Ball(x.value.log1p())


def _sqrt(x: Ball) -> Ball:
    return x if type(x.value) is float else Ball(x.value.sqrt())


def _maximum(x: Ball, y: Ball) -> Ball:
    if type(x.value) is float or type(y.value) is float:
        return x if bool(x.value >= y.value) else y
    return Ball(x.value.max(y.value))


def _tail(x: Any) -> Numbers:
    """R(x) = P(Z > x)/phi(x) of an arb."""
    if x > 8:
        # U(1/2, 1/2, x^2/2)/sqrt(2): no huge factor against a tiny one.
        return (x * x / 2).hypgeom_u(arb(1) / 2, arb(1) / 2) / arb(2).sqrt()
    return (arb.pi() / 2).sqrt() * (x * x / 2).exp() * (x / arb(2).sqrt()).erfc()


def _mills(x: Ball) -> Ball:
    if type(x.value) is float:
        return Ball(arb(0)) if x.value > 0 else infinite(math.inf)
    return Ball(_tail(x.value))


def _log_mills_difference(x: Ball, width: Ball) -> Ball:
    """log(R(x) - R(x + width)); the difference is a narrow part of R, and is taken with so many bits more."""
    lost = 3 * math.log2(2 + abs(float(x))) + 2 * math.log2(2 + abs(float(x)) + float(width))
    # A width below the smallest double still has its exponent.
    lost += max(0.0, -float(width.value.mid().log().mid()) / math.log(2))
    with ctx.workprec(ctx.prec + int(lost) + 10):
        return Ball((_tail(x.value) - _tail(x.value + width.value)).log())
