"""How the double that stands for a number is read as an exact one."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

#: How a double becomes an exact number.
Read = Callable[[float], Fraction]


def decimal(value: float) -> Fraction:
    """The decimal number that the double prints as."""
    return Fraction(repr(float(value)))


def binary(value: float) -> Fraction:
    """The double itself."""
    return Fraction(value)
