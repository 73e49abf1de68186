"""Numbers as they are printed: their value, the interval of numbers that round to them, and how to print them safely."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


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


@lru_cache(maxsize=1 << 16)
def parse_number(text: str) -> Printed:
    """A decimal number, or a fraction such as 1/11264; ValueError for anything else, infinity and NaN included."""
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if text.count("/") == 1:
        above, below = (parse_number(part).value for part in text.split("/"))
        if below == 0 or not math.isfinite(above / below):
            raise ValueError("out of range")
        return Printed(above / below)
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError("not a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("out of range")
    mantissa, exponent = match[1], int((match[2] or "e0")[1:])
    places = len(mantissa.partition(".")[2])
    digits = len(mantissa.replace(".", "").lstrip("0")) or 1
    unit = exponent - places
    return Printed(value, 0.5 * 10.0**unit if -320 < unit < 300 else 0.0, digits)


def digits(value: float, count: int = 6, *, down: bool = False) -> str:
    """Significant digits for the reader, rounded up: noise, epsilon and delta stay on the safe side when typed in again."""
    from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

    rounded = Context(prec=count, rounding=ROUND_FLOOR if down else ROUND_CEILING).create_decimal(Decimal(repr(value)))
    return f"{float(rounded):.{count}g}"
