"""The constants of an algorithm as numbers of any arithmetic: contraction, sensitivity, noise and diameter, as logarithms.

In doubles they are the algorithm's own. In the other arithmetics they are made of exact fractions: what was given is read as
the *decimal* that it prints as (0.03 is 3/100), and the default step size is 1/smoothness exactly; ``read=binary`` takes every
number for the double that it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import DOUBLE, Arithmetic, Numbers
from accountant.problem.algorithm import PNSGD
from accountant.problem.problem import ADJACENCIES

#: How a double becomes an exact number.
Read = Callable[[float], Fraction]


def decimal(value: float) -> Fraction:
    """The decimal number that the double prints as."""
    return Fraction(repr(float(value)))


def binary(value: float) -> Fraction:
    """The double itself."""
    return Fraction(value)


def exact_step_size(algorithm: PNSGD, read: Read = decimal) -> Fraction:
    """eta; where it is 1/smoothness to the last bit, that."""
    smoothness = algorithm.problem.smoothness
    if read is decimal and algorithm.eta == 1 / smoothness:
        return 1 / read(smoothness)
    return read(algorithm.eta)


def exact_gap(algorithm: PNSGD, read: Read = decimal) -> Fraction:
    """1 - c = min(eta m, 2 - eta L)."""
    eta, problem = exact_step_size(algorithm, read), algorithm.problem
    return min(eta * read(problem.strong_convexity), 2 - eta * read(problem.smoothness))


@dataclass(frozen=True)
class Number:
    """An arithmetic, and how doubles are read into it."""

    arithmetic: Arithmetic = DOUBLE
    read: Read = decimal


DOUBLES = Number()


class Constants:
    """Logarithms of c, h_j, sqrt(2 eta) and 2R; -inf for c = 0, +inf for no diameter."""

    def __init__(self, algorithm: PNSGD, number: Number = DOUBLES) -> None:
        self.algorithm, self.number = algorithm, number
        self.double = number.arithmetic is DOUBLE

    def _log(self, value: Fraction) -> Any:
        ar = self.number.arithmetic
        return ar.log(ar.asarray(value))

    @property
    def log_contraction(self) -> Any:
        if self.double:
            return self.algorithm.log_contraction
        gap = exact_gap(self.algorithm, self.number.read)
        ar = self.number.arithmetic
        return 0.0 if gap <= 0 else -math.inf if gap >= 1 else ar.log1p(-ar.asarray(gap))

    @property
    def log_eta(self) -> Any:
        return math.log(self.algorithm.eta) if self.double else self._log(exact_step_size(self.algorithm, self.number.read))

    @property
    def log_unit_noise(self) -> Any:
        return self.algorithm.log_unit_noise if self.double else (self._log(Fraction(2)) + self.log_eta) / 2

    @property
    def log_unit_sensitivity(self) -> Any:
        if self.double:
            return self.algorithm.log_unit_sensitivity
        problem, read = self.algorithm.problem, self.number.read
        return self._log(Fraction(ADJACENCIES[problem.adjacency].factor) * read(problem.lipschitz)) + self.log_eta

    @property
    def log_diameter(self) -> Any:
        radius = self.algorithm.radius
        if self.double or radius is None:
            return math.log(self.algorithm.diameter)
        return self._log(2 * self.number.read(radius))

    def log_sensitivity(self, positions: ArrayLike) -> Numbers:
        """log h_j of the given batches."""
        if self.double:
            return self.algorithm.log_sensitivity(positions)
        ar, sizes = self.number.arithmetic, self.algorithm.batch_sizes(positions)
        # Batches of one size share their logarithm.
        logs = {size: ar.log(ar.asarray(size)) for size in np.unique(sizes).tolist()}
        return self.log_unit_sensitivity - np.frompyfunc(logs.__getitem__, 1, 1)(sizes)
