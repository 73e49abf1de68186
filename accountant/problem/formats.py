"""Formats of numbers that computers hold, and what sums of products lose in them."""

from __future__ import annotations

from typing import Final

from accountant.numerics import InputError

#: Unit roundoff of the formats.
UNITS: Final = {"float64": 2.0**-53, "float32": 2.0**-24}
#: Sizes at which nothing under- or overflows that counts: the format's range, by its own precision twice on either side.
RANGES: Final = {"float64": (2.0**-916, 2.0**918), "float32": (2.0**-78, 2.0**80)}
#: What a step does besides the sums: derivative of the loss, division, decay, projection, each a few operations.
_BESIDES: Final = 32


def gamma(*, rounding: str, dimension: int, rows: int) -> float:
    """k u/(1 - k u) for the k operations of a step; InputError where that many lose every digit.

    >>> f"{gamma(rounding='float64', dimension=784, rows=128):.3g}"
    '1.05e-13'
    """
    product = (dimension + rows + _BESIDES) * UNITS[rounding]
    if not product < 0.5:
        raise InputError(
            f"rounding={rounding} leaves no digit of sums over {rows} rows and {dimension} parameters: a smaller batch_size or "
            "float64 is needed"
        )
    return product / (1 - product)
