"""The constants of an algorithm as numbers of any arithmetic: contraction, sensitivity, noise and diameter, as logarithms.

In doubles they are the algorithm's own. In the other arithmetics they are made of exact fractions: what was given is read as
the *decimal* that it prints as (0.03 is 3/100), and the default step size is 1/smoothness exactly; ``read=binary`` takes every
number for the double that it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import DOUBLE, Arithmetic, Numbers
from accountant.problem.algorithm import PNSGD
from accountant.problem.reading import Read, decimal


def exact_step_size(algorithm: PNSGD, read: Read = decimal) -> Fraction:
    """eta; where it is 1/smoothness to the last bit, that."""
    smoothness = algorithm.problem.smoothness
    if read is decimal and algorithm.eta == 1 / smoothness:
        return 1 / read(smoothness)
    return read(algorithm.eta)


def exact_gap(algorithm: PNSGD, read: Read = decimal) -> Fraction:
    """1 - c = min(eta m, 2 - eta L); of own draws eta m."""
    eta, problem = exact_step_size(algorithm, read), algorithm.problem
    gap = eta * read(problem.strong_convexity)
    return gap if algorithm.own_draws else min(gap, 2 - eta * read(problem.smoothness))


@dataclass(frozen=True)
class Number:
    """An arithmetic, and how doubles are read into it."""

    arithmetic: Arithmetic = DOUBLE
    read: Read = decimal


DOUBLES = Number()


class Constants(Protocol):
    """Logarithms of c, eta, sqrt(2 eta), h_j and 2R as numbers of one arithmetic; -inf for c = 0, +inf for no diameter."""

    @property
    def log_contraction(self) -> Numbers: ...
    @property
    def log_eta(self) -> Numbers: ...
    @property
    def log_unit_noise(self) -> Numbers: ...
    @property
    def log_unit_sensitivity(self) -> Numbers: ...
    @property
    def log_diameter(self) -> Numbers: ...
    def log_sensitivity(self, positions: ArrayLike) -> Numbers:
        """log h_j of the given batches."""
        ...


def constants_of(algorithm: PNSGD, number: Number = DOUBLES) -> Constants:
    """The constants in that arithmetic; in doubles the algorithm itself has them."""
    return algorithm if number.arithmetic is DOUBLE else ExactConstants(algorithm, number)


class ExactConstants:
    """Constants made of exact fractions, in an arithmetic that neither rounds nor underflows to speak of."""

    def __init__(self, algorithm: PNSGD, number: Number) -> None:
        self.algorithm, self.arithmetic, self.read = algorithm, number.arithmetic, number.read

    def _log(self, value: Fraction | float) -> Numbers:
        return self.arithmetic.log(self.arithmetic.asarray(value))

    @property
    def log_contraction(self) -> Numbers:
        gap = exact_gap(self.algorithm, self.read)
        return 0.0 if gap <= 0 else -math.inf if gap >= 1 else self.arithmetic.log1p(-self.arithmetic.asarray(gap))

    @property
    def log_eta(self) -> Numbers:
        return self._log(exact_step_size(self.algorithm, self.read))

    @property
    def log_unit_noise(self) -> Numbers:
        return (self._log(Fraction(2)) + self.log_eta) / 2

    @property
    def log_unit_sensitivity(self) -> Numbers:
        factor = Fraction(self.algorithm.sensitivity_factor)
        longest = self.read(self.algorithm.problem.lipschitz) * self.read(self.algorithm.norm_class)
        return self._log(factor * longest) + self.log_eta

    @property
    def log_diameter(self) -> Numbers:
        radius = self.algorithm.radius
        return math.inf if radius is None else self._log(2 * self.read(radius))

    def log_sensitivity(self, positions: ArrayLike) -> Numbers:
        sizes = self.algorithm.batch_sizes(positions)
        # Batches of one size share their logarithm.
        logs = {size: self._log(size) for size in np.unique(sizes).tolist()}
        return self.log_unit_sensitivity - np.frompyfunc(logs.__getitem__, 1, 1)(sizes)
