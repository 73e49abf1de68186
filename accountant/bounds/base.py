"""What a bound is: a name, the curve it proves, its conditions, and the scale of that curve at sigma = 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accountant.curves import Curve
from accountant.numerics import DOUBLE, Arithmetic, Floats, Numbers
from accountant.problem import CONVERGED, DOUBLES, PNSGD, Constants, Number, Reference, constants_of
from accountant.shifts import Timeline


@dataclass(frozen=True)
class Setting:
    """All that a bound depends on, besides the number of steps and the noise.

    given_distance: the distance at the start of unlearning comes from the caller instead of from learning.
    timeline: a schedule that is not the constant algorithm; positions are then its cells.
    number: what the bound computes with. Arrays of the methods below then hold such numbers; counts stay doubles.
    """

    algorithm: PNSGD
    reference: Reference
    given_distance: bool = False
    timeline: Timeline | None = None
    number: Number = DOUBLES

    @property
    def constants(self) -> Constants:
        """Of the algorithm, as numbers of the arithmetic."""
        return constants_of(self.algorithm, self.number)

    @property
    def arithmetic(self) -> Arithmetic:
        return self.number.arithmetic

    @property
    def starts_apart(self) -> bool:
        """Whether retraining starts elsewhere than learning did."""
        finite = self.algorithm.learn_epochs is not None if self.timeline is None else not self.timeline.converged
        return isinstance(self.reference, int) or (self.reference == CONVERGED and finite)

    def shared_epochs(self, steps: Floats) -> Floats:
        """Learning epochs, of any shape, in the stretch that both runs share when aligned at their ends.

        steps: of unlearning; the stretch has these epochs and ``steps`` more. The two runs are on the same batch at every
        shared step: retraining for T' epochs ends with the n mod J steps by which unlearning exceeds whole epochs. Below one
        if retraining is so short that the stretch has no learning step. Runs that start apart are the diameter apart there.
        """
        algorithm = self.algorithm
        learned = np.inf if algorithm.learn_epochs is None else float(algorithm.learn_epochs)
        if not isinstance(self.reference, int):
            return np.full(steps.shape, learned)
        return np.minimum(float(self.reference) - steps // algorithm.steps_per_epoch, learned)


class Blocks(Protocol):
    """Blocks of common steps from any two points of a set."""

    def log_block(self, steps: Floats) -> Numbers:
        """log mu at sigma = 1 of so many steps >= 1, (P,)."""
        ...

    def worth(self, log_mu: Floats) -> Floats:
        """Of how many steps, no whole number, a block has this log mu at sigma = 1, (P,); it steers only."""
        ...


class Bound(Protocol):
    """One file per bound; ``names.py`` has the table of names."""

    name: str
    #: Paper and theorem.
    source: str
    default_batches: str
    #: Fewest unlearning steps about which the bound says anything.
    minimum_steps: int

    def check(self, setting: Setting) -> None:
        """Raise InputError with the reason where the setting proves nothing."""
        ...

    def curve(self, setting: Setting) -> Curve: ...

    def log_addend(self, setting: Setting, positions: Floats, steps: Floats, log_start: Numbers) -> Numbers:
        """log of what a deleted point at each position adds, shape (P, J), for positions (J,), steps (P,), log_start (P,).

        Deleted points add up: the mu of a group is at most the sum of its points' mu (the triangle inequality of Gaussian
        trade-off functions), and so is its distance. ``log_start`` is read only where the setting has a given distance.
        """
        ...

    def log_scale(self, setting: Setting, log_sum: Numbers, steps: Floats) -> Numbers:
        """log mu (Rényi: log sqrt(2 rho)) at sigma = 1 of a sum of addends (P, C), after ``steps`` (P,)."""
        ...

    def ball(self, setting: Setting) -> Blocks | None:
        """What blocks of common steps prove between projections; None where they are not known to contract."""
        ...

    def log_placed(self, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        """The sum for a group with ``counts`` (J,) points in the batches, or what is proved below it, (P, 1)."""
        ...

    def log_placed_each(self, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        """The same of several groups, counts (C, J): (P, C)."""
        ...

    def log_tightness(self, setting: Setting, counts: Floats, steps: int, log_start: float) -> float | None:
        """log(mu/mu_exact) of points placed as ``counts`` (J,) says; None where no exact case is known."""
        ...


def log_total(log_addends: Numbers, counts: Floats, arithmetic: Arithmetic = DOUBLE) -> Numbers:
    """log sum_j counts_j exp(log_addends_j), (P, J), (J,) -> (P, 1); -inf for an empty group."""
    some = counts > 0
    if not some.any():
        return np.full((log_addends.shape[0], 1), -np.inf)
    if arithmetic is not DOUBLE:
        total = (arithmetic.exp(log_addends[:, some]) * counts[some]).sum(axis=1, keepdims=True)
        return np.where(arithmetic.midpoint(total) > 0, arithmetic.log(total), -np.inf)
    terms = log_addends[:, some] + np.log(counts[some])
    top = terms.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        total = np.exp(terms - top).sum(axis=1, keepdims=True)
    return np.where(np.isfinite(top), top + np.log(np.where(np.isfinite(top), total, 1.0)), top)
