"""What is known of losses of scores: how curved and how steep they are, in exact numbers and as formulas. One row each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from accountant.numerics import InputError, number

#: The largest feature bound.
_MOST: Final = 1e140


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A loss l(s; y) of the scores s.

    curvature: kappa, supremum of the largest eigenvalue of the Hessian in s, at width 1. squared_steepness: rho^2, of the
    supremum rho of ||dl/ds||; None: there is none. curve, steep: kappa times the square of a norm, and rho times a norm, as
    formulas for people. several: it has a score for every class. targets: its labels are real numbers. wide: it has a width h,
    by which its curvature is divided.
    """

    name: str
    curvature: Fraction
    squared_steepness: Fraction | None = Fraction(1)
    curve: str
    steep: str = "{}"
    several: bool = False
    targets: bool = False
    wide: bool = False

    @property
    def steepest(self) -> float:
        """rho."""
        return math.inf if self.squared_steepness is None else math.sqrt(self.squared_steepness)


#: log(1 + exp(-y s)). log sum_j exp(s_j) - s_y: diag(p) - p p^T has eigenvalues up to 1/2, attained at two classes of
#: probability 1/2 each, and p - e_y a norm up to sqrt(2). (s - y)^2/2. 0 from the margin 1 on, linear up to 1 - h, a parabola
#: between.
SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape(name="logistic", curvature=Fraction(1, 4), curve="{}/4"),
        Shape(
            name="multinomial", curvature=Fraction(1, 2), squared_steepness=Fraction(2), curve="{}/2",
            steep="\N{SQUARE ROOT}2\N{MIDDLE DOT}{}", several=True,
        ),
        Shape(name="ridge", curvature=Fraction(1), squared_steepness=None, curve="{}", targets=True),
        Shape(name="smoothed-hinge", curvature=Fraction(1), curve="{}/h", wide=True),
    )
}  # fmt: skip


def checked_bound(value: float) -> float:
    """A feature bound, or InputError."""
    bound = number("feature_bound", value, above=0)
    if not 1 / _MOST <= bound <= _MOST:
        raise InputError(f"feature_bound must be {1 / _MOST:g} to {_MOST:g} in size, as its square counts, got {bound:g}")
    return bound
