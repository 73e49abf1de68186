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
    formulas for people. bend: tau, by how much at most the Hessian in s changes (in operator norm) for a change of s by one;
    inf: it jumps. several: it has a score for every class. targets: its labels are real numbers. wide: it has a width h, by
    which its curvature is divided.
    """

    name: str
    curvature: Fraction
    squared_steepness: Fraction | None = Fraction(1)
    curve: str
    steep: str = "{}"
    bend: float = math.inf
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
#: tau: of the logistic loss p (1 - p) (1 - 2p) at most, where p = (3 - sqrt 3)/6; of the multinomial one the third central
#: moment of a variable whose outcomes span at most sqrt(2), at most the same times sqrt(2)^3; squares have none.
_BEND: Final = 1 / (6 * math.sqrt(3)) * (1 + 2**-51)
SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape(name="logistic", curvature=Fraction(1, 4), curve="{}/4", bend=_BEND),
        Shape(
            name="multinomial", curvature=Fraction(1, 2), squared_steepness=Fraction(2), curve="{}/2",
            steep="\N{SQUARE ROOT}2\N{MIDDLE DOT}{}", bend=2**1.5 * _BEND, several=True,
        ),
        Shape(name="ridge", curvature=Fraction(1), squared_steepness=None, curve="{}", bend=0.0, targets=True),
        Shape(name="smoothed-hinge", curvature=Fraction(1), curve="{}/h", wide=True),
    )
}  # fmt: skip


def checked_bound(value: float) -> float:
    """A feature bound, or InputError."""
    bound = number("feature_bound", value, above=0)
    if not 1 / _MOST <= bound <= _MOST:
        raise InputError(f"feature_bound must be {1 / _MOST:g} to {_MOST:g} in size, as its square counts, got {bound:g}")
    return bound
