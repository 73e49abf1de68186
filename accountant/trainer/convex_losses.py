"""Convex losses of a linear score for noisy steps that both runs share, which need not be smooth, nor differentiable.

Their constants are those of a batch's mean, for rows of norm at most r = ``feature_bound``; an intercept is a constant feature,
and counts in the norm. What each is at a kink is stated: it is the same for both runs, which the accountant relies on.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from accountant.numerics import Floats, InputError, number, shown
from accountant.trainer.norm_classes import ROW_ROUNDING
from accountant.trainer.points import row_norms
from accountant.trainer.step_losses import StepLoss


@dataclass(frozen=True, kw_only=True)
class _Linear(StepLoss):
    """Of one linear score. feature_bound: r, the most that a row's norm is."""

    feature_bound: float = 1.0

    convex: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number("feature_bound", self.feature_bound, above=0)

    def layers(self, features: int) -> tuple[int, ...]:
        return (features,)

    def gradients(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        return np.asarray(self.slopes(w @ features.T, labels) @ features / labels.size)

    def values(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        return np.asarray(self.each(w @ features.T, labels).mean(axis=1))

    @abstractmethod
    def slopes(self, scores: Floats, labels: Floats) -> Floats:
        """Derivatives in the scores, (t, b)."""

    @abstractmethod
    def each(self, scores: Floats, labels: Floats) -> Floats:
        """Losses of the rows, (t, b)."""

    def check_rows(self, features: Floats) -> None:
        longest = float(row_norms(features).max())
        if longest > self.feature_bound * (1 + ROW_ROUNDING):
            raise InputError(
                f"feature_bound must bound every row's norm, got {shown(self.feature_bound)} where one is {longest:g}"
            )


@dataclass(frozen=True, kw_only=True)
class _Kinked(_Linear):
    """Convex and Lipschitz, and no more, with a penalty l1 |w|_1; at a kink of the penalty its subgradient is zero."""

    l1: float = 0.0

    #: By how much the derivative in a score jumps at most.
    jump: ClassVar[float]

    def __post_init__(self) -> None:
        super().__post_init__()
        number("l1", self.l1, at_least=0)

    def lipschitz(self, features: int) -> float:
        """G = r + l1 sqrt(d), a bound on every subgradient's norm."""
        return self.feature_bound + self.l1 * math.sqrt(features)

    def hoelder_constant(self, features: int, exponent: float) -> float:
        """By how much two subgradients differ at most, which is exponent 0: jump r + 2 l1 sqrt(d), at most 2 G."""
        if exponent != 0:
            return super().hoelder_constant(features, exponent)
        return self.jump * self.feature_bound + 2 * self.l1 * math.sqrt(features)

    def gradients(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        return super().gradients(w, features, labels) + self.l1 * np.sign(w)

    def values(self, w: Floats, features: Floats, labels: Floats) -> Floats:
        return super().values(w, features, labels) + self.l1 * np.abs(w).sum(axis=1)


def _check_signs(labels: Floats, name: str) -> None:
    """A label of another size would make every gradient so many times longer than the constants say."""
    wrong = labels[np.abs(labels) != 1]
    if wrong.size:
        raise InputError(f"labels must be +1 and -1 for {name}, got {shown(float(wrong[0]))}")


@dataclass(frozen=True, kw_only=True)
class Hinge(_Kinked):
    """max(0, 1 - y <w, x>) for labels +1 and -1, plus l1 |w|_1: a support vector machine. At the margin 1 its slope is 0.

    >>> Hinge(feature_bound=2.0, l1=0.5).lipschitz(4), Hinge(feature_bound=2.0, l1=0.5).hoelder_constant(4, 0.0)
    (3.0, 4.0)
    """

    name: ClassVar[str] = "hinge"
    jump: ClassVar[float] = 1.0

    def check_labels(self, labels: Floats) -> None:
        _check_signs(labels, self.name)

    def slopes(self, scores: Floats, labels: Floats) -> Floats:
        return np.where(labels * scores < 1, -labels, 0.0)

    def each(self, scores: Floats, labels: Floats) -> Floats:
        return np.maximum(1 - labels * scores, 0.0)


@dataclass(frozen=True, kw_only=True)
class AbsoluteError(_Kinked):
    """|<w, x> - y| for real labels, plus l1 |w|_1. Where the error is 0 its slope is 0."""

    name: ClassVar[str] = "absolute error"
    jump: ClassVar[float] = 2.0

    def slopes(self, scores: Floats, labels: Floats) -> Floats:
        return np.sign(scores - labels)

    def each(self, scores: Floats, labels: Floats) -> Floats:
        return np.abs(scores - labels)


@dataclass(frozen=True, kw_only=True)
class _Power(_Linear):
    """The derivative in the score is a power kappa = power - 1 of how far it is from a point; 1 < power <= 2."""

    power: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        number("power", self.power, above=1, at_most=2)

    @property
    def exponent(self) -> float:
        """kappa."""
        return self.power - 1

    def covers(self, exponent: float) -> bool:
        """Whether it is kappa, but for roundings."""
        return math.isclose(1 + exponent, self.power, rel_tol=2**-50)


@dataclass(frozen=True, kw_only=True)
class PowerHinge(_Power):
    """A hinge that is smoothed by a power: s^p/p of s = 1 - y <w, x> in [0, 1], 0 below, s - (p - 1)/p above.

    With power 2 it is the smoothed hinge of width 1, and near 1 the hinge. Lipschitz with r, too.

    >>> PowerHinge(power=1.5, feature_bound=4.0).hoelder_constant(1, 0.5)
    8.0
    """

    name: ClassVar[str] = "power hinge"

    def lipschitz(self, features: int) -> float:
        """G = r."""
        return self.feature_bound

    def hoelder_constant(self, features: int, exponent: float) -> float:
        """r^(1 + exponent), for every exponent from 0 to power - 1: slopes differ by min(1, d^(p-1)), of scores d apart."""
        number("exponent", exponent, at_least=0)
        return (
            self.feature_bound ** (1 + exponent)
            if exponent <= self.exponent or self.covers(exponent)
            else super().hoelder_constant(features, exponent)
        )

    def check_labels(self, labels: Floats) -> None:
        _check_signs(labels, self.name)

    def slopes(self, scores: Floats, labels: Floats) -> Floats:
        return -labels * np.clip(1 - labels * scores, 0.0, 1.0) ** self.exponent

    def each(self, scores: Floats, labels: Floats) -> Floats:
        short = np.maximum(1 - labels * scores, 0.0)
        return np.where(short < 1, short**self.power / self.power, short - self.exponent / self.power)


@dataclass(frozen=True, kw_only=True)
class PowerError(_Power):
    """|<w, x> - y|^p/p for real labels. Its gradients have no bound of their own, and common steps with Hoelder ones need none.

    >>> PowerError(power=1.5, feature_bound=4.0).hoelder_constant(1, 0.5) == 8 * 2**0.5
    True
    """

    name: ClassVar[str] = "power of errors"

    def hoelder_constant(self, features: int, exponent: float) -> float:
        """2^(2 - p) r^p, for exponent power - 1 alone: errors on both sides of 0 are the worst."""
        if not self.covers(exponent):
            return super().hoelder_constant(features, exponent)
        return float(2 ** (1 - exponent) * self.feature_bound**self.power)

    def slopes(self, scores: Floats, labels: Floats) -> Floats:
        error = scores - labels
        return np.asarray(np.sign(error) * np.abs(error) ** self.exponent)

    def each(self, scores: Floats, labels: Floats) -> Floats:
        return np.asarray(np.abs(scores - labels) ** self.power / self.power)
