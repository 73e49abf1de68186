"""Answers to many digits: intervals that prove them, rounded to decimals on the safe side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

from accountant.numerics.arithmetic import Precise
from accountant.numerics.multiprecision import Multiprecision
from accountant.numerics.roots import PlateauError, smallest_whole
from accountant.numerics.validation import InputError, UnreachableError

#: By name; interval where it is installed.
ARITHMETICS: Final = ("interval", "mp")
#: Digits that an enclosure has where nobody asks for another number.
DEFAULT_DIGITS: Final = 40
#: Digits that settle a comparison, which is not asked for to the last one.
ENOUGH: Final = 20
#: Doublings of the working precision before giving up.
_ATTEMPTS: Final = 7


@dataclass(frozen=True)
class Enclosure:
    """The true value lies in [lower, upper] (interval), or agrees with both to ``digits`` digits (mp)."""

    lower: Fraction
    upper: Fraction
    digits: int
    arithmetic: str

    @property
    def proved(self) -> bool:
        return self.arithmetic == "interval"

    def __str__(self) -> str:
        """``digits`` significant digits, rounded up."""
        return rounded_text(self.upper, self.digits, up=True)

    @property
    def ends(self) -> tuple[str, str]:
        """Decimals a little outside of the enclosure."""
        return rounded_text(self.lower, self.digits, up=False), rounded_text(self.upper, self.digits, up=True)


def rounded_text(value: Fraction, digits: int, *, up: bool) -> str:
    """A decimal with so many significant digits, on the side asked for."""
    context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR, Emin=-(10**9), Emax=10**9)
    text = str(context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context))
    return text.replace("E+", "e+").replace("E-", "e-")


def exact_text(value: Fraction) -> str:
    """A fraction as a decimal where that is short, as p/q otherwise."""
    if value.denominator == 1 and abs(value.numerator) < 10**21:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    text = rounded_text(value, 400, up=True) if rest == 1 else ""
    return text if text and Fraction(text) == value and len(text) < 60 else f"{value.numerator}/{value.denominator}"


def arithmetic_kind() -> dict[str, Any]:
    """What answers are computed in, for the reader: ``arithmetic``, and whether they are ``proved``."""
    name = arithmetic_available()
    return {"arithmetic": name, "proved": name == "interval"}


def arithmetic_available() -> str:
    """The best arithmetic that is installed."""
    return "interval" if find_spec("flint") is not None else "mp"


def confirmed(count: int, meets: Callable[[int], bool]) -> int | None:
    """The smallest whole number that ``meets``, from what doubles say it is; None if even that is not certain."""

    def holds(number: int) -> bool:
        try:
            return meets(number)
        except InputError:
            if number == count:
                raise
            # Nothing is proved there, or the bound says nothing about it.
            return False

    smallest = smallest_whole(holds, 0, count, start=count)
    return smallest if smallest <= count else None


@lru_cache(maxsize=64)
def _arithmetic(name: str, bits: int) -> Precise:
    """One of the kind, so that what was computed in it can be used again."""
    if name == "mp":
        return Multiprecision(int(bits / 3.32) + 1)
    from accountant.numerics.interval import Interval

    return Interval(bits)


def settle(evaluate: Callable[[Precise, int], Any], digits: int, name: str) -> Enclosure:
    """``evaluate(arithmetic, bits)`` at more and more working precision, until ``digits`` digits are known."""
    wanted = int(digits * 3.322) + 5
    before: Fraction | None = None
    reason = "its enclosure stays too wide"
    for attempt, ar in enumerate(_arithmetic(name, (wanted + 64) * 2**k) for k in range(_ATTEMPTS)):
        with ar:
            try:
                # Roots inside get finer, too: what follows from them may be worse conditioned.
                value = evaluate(ar, wanted + 8 + 64 * attempt)
                if not math.isfinite(float(ar.midpoint(ar.asarray(value)))) or ar.accuracy(value) < wanted:
                    continue
                lower, upper = ar.ends(value)
            except ArithmeticError as error:
                reason = str(error)[:200] or type(error).__name__
                if isinstance(error, PlateauError) and attempt > 0:
                    break
                continue
        if ar.proves:
            return Enclosure(lower, upper, digits, name)
        if before is not None and abs(before - lower) * 2**wanted <= abs(lower):
            return Enclosure(lower, upper, digits, name)
        before = lower
    raise UnreachableError(f"precision={digits} is not reached: {reason}")
