"""What the accountant has to know of a loss: L, m and M, from the bound on the features and the regularisation.

The loss of a point is l(s; y) + regularisation/2 ||w||^2, with scores s = W x of one output or one per class, so the data part
of its gradient is r x^T with r = dl/ds. With rows of norm at most B = ``feature_bound`` and curvature of l at most kappa,

    L = kappa B^2 + lambda,    m = lambda,    M = rho B with rho the supremum of ||r||.

Clipping the data part of a gradient to norm C leaves r alone up to C/||x|| and scales it beyond. With one output r is
a nondecreasing function of s with slopes in [0, kappa]; cut off at +-C/||x|| it still is, so it is the derivative of
another convex, kappa-smooth loss (the Huber loss for squares): L and m stay, and M = min(rho B, C). What is minimised is then
that other loss, wherever the cut is reached. With several outputs the scaled r need not be a gradient at all, so clipping
there is refused.

The Hessian of a point's loss, l''(s) x x^T + lambda, changes by at most gamma = tau B^3 times the change of w, with tau the
supremum of the change of l'' by s. Where clipping cuts, l'' jumps, and there is no such gamma.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

from accountant.numerics import InputError, number
from accountant.problem.derivation import Derivation, lines_of
from accountant.problem.problem import Problem
from accountant.problem.shapes import SHAPES, checked_bound


@dataclass(frozen=True, kw_only=True)
class LossConstants(ABC):
    """L, m and M of one point's loss; the trainer's losses are these constants and the functions that have them.

    regularisation: lambda >= 0 of lambda/2 ||w||^2 over all parameters. An intercept is a constant feature, and counts in the
        norm. feature_bound: B > 0, at least the 2-norm of every row; rows beyond it are refused.
    clip: C > 0, bound on the norm of the data part of a gradient, imposed by clipping; None: none is needed.
    Raises InputError for values outside their domain.
    """

    regularisation: float
    feature_bound: float = 1.0
    clip: float | None = None

    name: ClassVar[str]
    #: rho, supremum of ||dl/ds||.
    steepest: ClassVar[float]
    #: tau, by how much the Hessian of l in the scores changes at most when they do by one; inf: it jumps, or is not known.
    bend: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "regularisation", number("regularisation", self.regularisation, at_least=0))
        set_(self, "feature_bound", checked_bound(self.feature_bound))
        if self.clip is not None:
            set_(self, "clip", number("clip", self.clip, above=0))

    @property
    @abstractmethod
    def curvature(self) -> float:
        """kappa, supremum of the largest eigenvalue of the Hessian of l in the scores."""

    @property
    def smoothness(self) -> float:
        """L = kappa B^2 + lambda."""
        return self.curvature * self.feature_bound**2 + self.regularisation

    @property
    def strong_convexity(self) -> float:
        """m = lambda: the data part is only known to be convex."""
        return self.regularisation

    @property
    def lipschitz(self) -> float:
        """M, bound on the norm of the data part of a per-sample gradient."""
        bound = self.steepest * self.feature_bound
        return bound if self.clip is None else min(bound, self.clip)

    @property
    def hessian_lipschitz(self) -> float:
        """gamma = tau B^3, Lipschitz constant of a point's Hessian in operator norm; inf where there is none.

        >>> round(LogisticConstants(regularisation=0.01, feature_bound=2.0).hessian_lipschitz, 6)
        0.7698
        >>> SmoothedHingeConstants(regularisation=0.01).hessian_lipschitz
        inf
        """
        bound, cut = self.feature_bound, self.clip is not None and self.clip < self.steepest * self.feature_bound
        if self.bend == 0 and not cut:
            return 0.0
        # Rounded up; below all doubles it is still more than nothing.
        return math.inf if cut else max(self.bend * bound * bound * bound * (1 + 2**-50), 1e-300)

    @property
    def derivation(self) -> Derivation:
        """Where L, m and M come from, in words."""
        shape, steep = SHAPES.get(self.name), []
        if math.isfinite(self.steepest):
            steep = ["\N{GREEK SMALL LETTER RHO}\N{MIDDLE DOT}B" if shape is None else shape.steep.format("B")]
        curve = "\N{GREEK SMALL LETTER KAPPA}\N{MIDDLE DOT}{}" if shape is None else shape.curve
        return Derivation(
            loss=self.name, l2=self.regularisation, feature_bound=self.feature_bound, intercept=False, clip=self.clip,
            smoothness=self.smoothness, strong_convexity=self.strong_convexity, lipschitz=self.lipschitz,
            lines=lines_of(
                self.smoothness, curve.format("B\N{SUPERSCRIPT TWO}"), self.strong_convexity, self.lipschitz,
                [*steep, *(["C"] if self.clip is not None else [])],
            ),
        )  # fmt: skip

    def problem(self, n: int, *, adjacency: str = "replace") -> Problem:
        """The accountant's problem of ``n`` points under this loss.

        >>> LogisticConstants(regularisation=0.01).problem(500)
        Problem(n=500, smoothness=0.26, strong_convexity=0.01, lipschitz=1.0, adjacency='replace')
        """
        return Problem(
            n=n,
            smoothness=self.smoothness,
            strong_convexity=self.strong_convexity,
            lipschitz=self.lipschitz,
            adjacency=adjacency,
            loss=self.derivation,
        )

    def check_covered(self, problem: Problem) -> None:
        """InputError where the problem claims more than the loss keeps."""
        slack = 1e-12
        for name, least in (("smoothness", self.smoothness), ("lipschitz", self.lipschitz)):
            if getattr(problem, name) < least * (1 - slack):
                raise InputError(
                    f"{name} of the problem must be at least {least:.10g}, the loss's, got {getattr(problem, name)}"
                )
        if problem.strong_convexity > self.strong_convexity * (1 + slack):
            raise InputError(
                f"strong_convexity of the problem must be at most {self.strong_convexity:.10g}, the loss's, got "
                f"{problem.strong_convexity}"
            )


@dataclass(frozen=True, kw_only=True)
class LogisticConstants(LossConstants):
    """Of log(1 + exp(-y s)): kappa = 1/4, rho = 1."""

    name = "logistic"
    steepest = SHAPES[name].steepest
    bend = SHAPES[name].bend

    @property
    def curvature(self) -> float:
        return float(SHAPES[self.name].curvature)


@dataclass(frozen=True, kw_only=True)
class SmoothedHingeConstants(LossConstants):
    """Of 0 from the margin 1 on, linear up to 1 - width, a parabola between: kappa = 1/width, rho = 1."""

    width: float = 1.0

    name = "smoothed-hinge"
    steepest = SHAPES[name].steepest
    bend = SHAPES[name].bend

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "width", number("width", self.width, above=0))

    @property
    def curvature(self) -> float:
        return float(SHAPES[self.name].curvature) / self.width


@dataclass(frozen=True, kw_only=True)
class RidgeConstants(LossConstants):
    """Of (s - y)^2/2: kappa = 1, and no bound on the gradient, so ``clip`` must be given.

    >>> RidgeConstants(regularisation=0.1, feature_bound=2.0, clip=0.5).lipschitz
    0.5
    """

    name = "ridge"
    steepest = SHAPES[name].steepest
    bend = SHAPES[name].bend

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip is None:
            raise InputError("clip must be given for ridge, > 0: gradients of squares have no bound of their own")

    @property
    def curvature(self) -> float:
        return float(SHAPES[self.name].curvature)


@dataclass(frozen=True, kw_only=True)
class MultinomialConstants(LossConstants):
    """Of log sum_j exp(s_j) - s_y, for any number of classes.

    kappa = 1/2: the Hessian diag(p) - p p^T has eigenvalues up to 1/2, attained at two classes of probability 1/2 each.
    rho = sqrt(2): r = p - e_y, whose norm tends to sqrt(2) where all probability is on one wrong class.
    """

    name = "multinomial"
    steepest = SHAPES[name].steepest
    bend = SHAPES[name].bend

    def __post_init__(self) -> None:
        super().__post_init__()
        least = self.steepest * self.feature_bound
        if self.clip is not None and self.clip < least:
            raise InputError(
                f"clip must be left out or at least sqrt(2) feature_bound = {least:.10g} for multinomial, got {self.clip}: "
                "clipping several outputs below it need not leave a convex loss"
            )

    @property
    def curvature(self) -> float:
        return float(SHAPES[self.name].curvature)


def hessian_lipschitz(problem: Problem) -> float | None:
    """gamma of the loss that a problem's constants come from; None of constants that were given by hand.

    >>> from accountant.problem import Problem
    >>> round(hessian_lipschitz(Problem.from_loss("logistic", n=100, l2=0.01, feature_bound=1.0, intercept=False)), 6)
    0.096225
    """
    return None if problem.loss is None else loss_constants_of(problem.loss).hessian_lipschitz


def loss_constants_of(derivation: Derivation) -> LossConstants:
    """The constants of a loss in the user's words, on rows with the constant feature of an intercept, if there is one.

    >>> from accountant.problem import derive
    >>> loss_constants_of(derive("logistic", l2=0.01, feature_bound=1.0, intercept=False))
    LogisticConstants(regularisation=0.01, feature_bound=1.0, clip=None)
    """
    width = {} if derivation.width is None else {"width": derivation.width}
    bound = math.hypot(derivation.feature_bound, 1.0) if derivation.intercept else derivation.feature_bound
    kind = LOSS_CONSTANTS[derivation.loss]
    return kind(regularisation=derivation.l2, feature_bound=bound, clip=derivation.clip, **width)


LOSS_CONSTANTS: Final[dict[str, type[LossConstants]]] = {
    loss.name: loss for loss in (LogisticConstants, MultinomialConstants, RidgeConstants, SmoothedHingeConstants)
}
