"""Numbers as they are printed: their value, the interval of numbers that round to them, and how to print them safely."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Printed(NamedTuple):
    """A number and half a unit of its last printed digit; 0 where it is exact (a fraction, a whole number in a count)."""

    value: float
    half_unit: float = 0.0
    #: Significant digits.
    digits: int = 17

    @property
    def high(self) -> float:
        return self.value + self.half_unit

    @property
    def low(self) -> float:
        return max(self.value - self.half_unit, 0.0)


#: Signs of a product, and of powers of ten as people write them.
_TIMES: Final = str.maketrans({"\N{MULTIPLICATION SIGN}": "*", "\N{MIDDLE DOT}": "*", "\N{DOT OPERATOR}": "*", "x": "*"})
_RAISED: Final = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b\u207a", "0123456789-+")
_SUPERSCRIPT: Final = re.compile(r"(?<=[0-9n])[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b]+")
#: A power of ten, and what it is multiplied with.
_POWER: Final = re.compile(r"(?:(?P<factor>[^*^]+)\*)?\s*10\^(?P<braces>[{(]?)\s*(?P<power>[+-]?\d{1,4})\s*(?P<end>[})]?)")
#: No number that people type is longer.
_LONGEST: Final = 400
#: 1.000 is one with three decimals, or a thousand; 1.000e+00 is no thousand.
_ONE_OR_THOUSAND: Final = re.compile(r"[+-]?0*[1-9]\d{0,2}\.000")
_PER_N: Final = re.compile(r"(?P<over>[^/]+)/\s*n(?:\^(?P<braces>[{(]?)(?P<power>\d{1,2})(?P<end>[})]?))?")
_BRACES: Final = {"": "", "{": "}", "(": ")"}


@lru_cache(maxsize=1 << 16)
def parse_number(text: str) -> Printed:
    """A decimal number, a power of ten or a product with one, or a fraction; ValueError for all else, infinity and NaN too.

    >>> [parse_number(text).value for text in ("0.0029", "2.9e-3", "2.9*10^-3", "10^{-5}", "1/8")]
    [0.0029, 0.0029, 0.0029, 1e-05, 0.125]
    """
    text = _plain(text)
    if text.count("/") == 1:
        above, below = (Fraction(_decimal(part)[0]) for part in text.split("/"))
        if below == 0:
            raise ValueError("out of range")
        try:
            value = float(above / below)
        except OverflowError:
            raise ValueError("out of range") from None
        if value == 0 and above != 0:
            raise ValueError("out of range")
        return Printed(value)
    shape, value = _decimal(text)
    mantissa, _, exponent = shape.lower().partition("e")
    places = len(mantissa.partition(".")[2])
    digits = len(mantissa.lstrip("+-").replace(".", "").lstrip("0")) or 1
    unit = int(exponent or "0") - places
    return Printed(value, 0.5 * 10.0**unit if -320 < unit < 300 else 0.0, digits)


def _plain(text: str) -> str:
    """The same with a hyphen for minus, and powers as ^."""
    if len(text) > _LONGEST:
        raise ValueError("not a number")
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if text.isascii() and "**" not in text:
        return text
    return _SUPERSCRIPT.sub(lambda run: "^" + run[0].translate(_RAISED), text).replace("**", "^")


def _decimal(text: str) -> tuple[str, float]:
    """A number without a fraction bar, as 2.9e-3, and its value."""
    shape = text.strip()
    power = _POWER.fullmatch(shape.translate(_TIMES)) if "10^" in shape else None
    if power is not None and _BRACES[power["braces"]] == power["end"]:
        shape = f"{(power['factor'] or '1').strip()}e{power['power']}"
    if _DECIMAL.fullmatch(shape) is None:
        raise ValueError("not a number")
    value = float(shape)
    if not math.isfinite(value) or (value == 0 and any(digit in "123456789" for digit in shape.lower().partition("e")[0])):
        raise ValueError("out of range")
    return shape, value


@dataclass(frozen=True)
class PerN:
    """A number over a power of n, such as 1/n^2, until n is known."""

    text: str
    over: float
    power: int

    def at(self, n: int) -> float:
        """Its value, rounded to the nearest double.

        >>> typed_delta("1/n^2").at(1000)
        1e-06
        """
        return float(Fraction(self.over) / n**self.power)

    def __str__(self) -> str:
        return self.text


def typed_number(text: str) -> float:
    """A number as people type it; ValueError says what it must be.

    >>> typed_number("10^-5"), typed_number("1/80"), typed_number("3")
    (1e-05, 0.0125, 3.0)
    """
    try:
        return parse_number(text).value
    except ValueError as error:
        if str(error) == "out of range":
            raise ValueError("a number of a size that doubles have") from None
        if re.fullmatch(r"[+-]?\d*,\d+\s*", text.strip()):
            raise ValueError("a number with a point and no comma") from None
        raise ValueError("a number") from None


def typed_delta(text: str) -> float | PerN:
    """The same, or a number over n or a power of it: 1/n, 0.1/n, 1/n^2.

    >>> typed_delta("0.1/n"), typed_delta("1e-5")
    (PerN(text='0.1/n', over=0.1, power=1), 1e-05)
    """
    found = _PER_N.fullmatch(_plain(text)) if len(text) <= _LONGEST else None
    if found is None:
        return typed_number(text)
    power = int(found["power"] or 1)
    if _BRACES[found["braces"] or ""] != (found["end"] or "") or not 1 <= power <= 9:
        raise ValueError("a number, or one over n or a power of n, such as 1/n^2")
    return PerN(text.strip(), typed_number(found["over"]), power)


def typed_count(text: str) -> int:
    """A whole number as people type it, powers of ten included; ValueError says what it must be.

    1.000 is refused: it may be one or a thousand.

    >>> typed_count("1e3"), typed_count("10^6"), typed_count("128.0")
    (1000, 1000000, 128)
    """
    plain = text.strip()
    if _ONE_OR_THOUSAND.fullmatch(plain):
        raise ValueError(f"{plain[:-4]} or {plain[:-4]}000, whichever is meant")
    if re.fullmatch(r"[+-]?\d{1,3}([,' \u00a0\u2009\u202f]\d{3})+", plain):
        raise ValueError("a whole number without separators")
    try:
        exact = Fraction(_decimal(_plain(text))[0])
    except ValueError as error:
        raise ValueError("a whole number" if str(error) != "out of range" else "a smaller whole number") from None
    if exact.denominator != 1:
        raise ValueError("a whole number")
    return int(exact)


def digits(value: float, count: int = 6, *, down: bool = False) -> str:
    """Significant digits for the reader, rounded up: noise, epsilon and delta stay on the safe side when typed in again."""
    from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

    rounded = Context(prec=count, rounding=ROUND_FLOOR if down else ROUND_CEILING).create_decimal(Decimal(repr(value)))
    return f"{float(rounded):.{count}g}"
