"""Losses of linear models, with the derivatives that training needs, in addition to the constants that accounting needs.

L, m and M, what clipping does to them and where it is refused are those of :mod:`accountant.problem.losses`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from accountant.numerics import InputError, integer
from accountant.problem import LogisticConstants, LossConstants, MultinomialConstants, RidgeConstants, SmoothedHingeConstants
from accountant.trainer.norm_classes import places_of

#: Real arrays of the trainer, float32 or float64.
Array = NDArray[np.floating]
#: Labels as they are predicted.
Labels = NDArray[np.number]
#: Rows may be longer than the stated bound by what rounding to float32 does.
ROUNDING: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Loss(LossConstants):
    """One point's loss. Scores have the outputs on their last axis; labels broadcast to the axes before it.

    Parameters are those of :class:`~accountant.problem.LossConstants`. A loss of your own has ``name``, ``labels``,
    ``steepest``, ``curvature``, ``values`` and ``derivatives``; ``check_constants`` measures whether they agree.
    """

    #: What labels are.
    labels: ClassVar[str]

    @property
    def outputs(self) -> int:
        """Scores per point: 1, or the number of classes."""
        return 1

    @abstractmethod
    def values(self, scores: Array, labels: Array) -> Array:
        """l(s; y) without the clipping, of shape (...) for scores (..., outputs)."""

    @abstractmethod
    def derivatives(self, scores: Array, labels: Array) -> Array:
        """r = dl/ds without the clipping, in the shape of the scores."""

    def hessians(self, scores: Array, labels: Array) -> Array:
        """l'' in the scores without the clipping, (..., outputs, outputs) for scores (..., outputs). Only Newton steps ask."""
        raise InputError(f"loss must have hessians for Newton steps, got {self.name}")

    def predictions(self, scores: Array) -> Labels:
        """Labels for scores (..., outputs), shape (...)."""
        return np.where(scores[..., 0] >= 0, 1, -1)

    def check_labels(self, labels: ArrayLike) -> Array:
        """The labels (n,) as an array, or InputError."""
        array = _vector(labels)
        bad = (array != 1) & (array != -1)
        if bad.any():
            raise InputError(f"labels must be {self.labels} for {self.name}, got {array[bad][0]}")
        return array

    def kept(self, labels: Array, dtype: DTypeLike) -> Array:
        """Labels (n,) as runs keep them, beside rows of this type."""
        return labels.astype(dtype)

    def clipped(self, scores: Array, labels: Array, limits: Array | None) -> Array:
        """r with the clipping: ``limits`` (...) are C/||x||, None where no row reaches its own."""
        r = self.derivatives(scores, labels)
        if limits is not None:
            most = limits[..., None]
            # np.clip does the same at several times the cost of a call.
            np.minimum(r, most, out=r)
            np.maximum(r, -most, out=r)
        return r

    def limits(self, norms: Array) -> Array | None:
        """M/||x|| for rows of these norms, None if r never exceeds them; a row of zeros has none."""
        with np.errstate(divide="ignore"):
            limits = self.lipschitz / norms
        return None if (limits >= self.steepest).all() else limits


class _Margin(Loss):
    """A loss of the margin y s, for labels +1 and -1."""

    labels = "1 or -1"


@dataclass(frozen=True, kw_only=True)
class Logistic(LogisticConstants, _Margin):
    """log(1 + exp(-y s)): kappa = 1/4, rho = 1.

    >>> loss = Logistic(regularisation=0.01, feature_bound=2.0)
    >>> loss.smoothness, loss.strong_convexity, loss.lipschitz
    (1.01, 0.01, 2.0)
    """

    def values(self, scores: Array, labels: Array) -> Array:
        return np.logaddexp(0, -labels * scores[..., 0])

    def derivatives(self, scores: Array, labels: Array) -> Array:
        # -y/(1 + e^(y s)) = -y (1 - tanh(y s/2))/2, which cannot overflow; far out it loses relative, not absolute accuracy.
        y = labels[..., None]
        r = np.tanh(scores * 0.5 * y)
        r -= 1
        r *= 0.5 * y
        return r

    def hessians(self, scores: Array, labels: Array) -> Array:
        # p (1 - p) = (1 - tanh^2)/4.
        t = np.tanh(scores * 0.5)
        return ((1 - t) * (1 + t) / 4)[..., None]


@dataclass(frozen=True, kw_only=True)
class SmoothedHinge(SmoothedHingeConstants, _Margin):
    """0 from the margin 1 on, linear up to 1 - width, a parabola between: kappa = 1/width, rho = 1."""

    def values(self, scores: Array, labels: Array) -> Array:
        short = np.maximum(1 - labels * scores[..., 0], 0)
        return np.where(short < self.width, short**2 / (2 * self.width), short - self.width / 2)

    def derivatives(self, scores: Array, labels: Array) -> Array:
        y = labels[..., None]
        r: Array = np.clip((1 - y * scores) / self.width, 0, 1)
        r *= -y
        return r

    def hessians(self, scores: Array, labels: Array) -> Array:
        """Between the kinks, at which any of their two sides will do."""
        short = 1 - labels[..., None] * scores
        curved: Array = ((short > 0) & (short < self.width)) / self.width
        return curved[..., None]


@dataclass(frozen=True, kw_only=True)
class Ridge(RidgeConstants, Loss):
    """(s - y)^2/2 for any real labels: kappa = 1, and no bound on the gradient, so ``clip`` must be given.

    Clipped, a residual counts with at most C/||x||: a Huber loss, which is the squares' while residuals are smaller.
    """

    labels = "finite numbers"
    #: Thresholds of classes of norm, rising to ``feature_bound``: a row of a class t has a gradient of at most C t/B.
    thresholds: tuple[float, ...] = field(default=(), kw_only=True, repr=False)

    def limits(self, norms: Array) -> Array | None:
        limits = super().limits(norms)
        if limits is None or not self.thresholds:
            return limits
        bounds = np.array(self.thresholds)
        clipped: Array = limits * (bounds[places_of(norms, self.thresholds)] / bounds[-1])
        return clipped

    def values(self, scores: Array, labels: Array) -> Array:
        return np.square(scores[..., 0] - labels) / 2

    def derivatives(self, scores: Array, labels: Array) -> Array:
        return scores - labels[..., None]

    def hessians(self, scores: Array, labels: Array) -> Array:
        return np.ones((*scores.shape, 1))

    def predictions(self, scores: Array) -> Labels:
        return scores[..., 0]

    def check_labels(self, labels: ArrayLike) -> Array:
        return _vector(labels)


@dataclass(frozen=True, kw_only=True)
class Multinomial(MultinomialConstants, Loss):
    """log sum_j exp(s_j) - s_y for labels 0 ... classes - 1: kappa = 1/2, rho = sqrt(2)."""

    classes: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "classes", integer("classes", self.classes, at_least=2))

    @property
    def outputs(self) -> int:
        return self.classes

    @property
    def labels(self) -> str:  # type: ignore[override]
        """What labels are."""
        return f"integers from 0 to {self.classes - 1}"

    def values(self, scores: Array, labels: Array) -> Array:
        top = scores.max(axis=-1, keepdims=True)
        own = np.take_along_axis(scores - top, self._index(scores, labels), axis=-1)[..., 0]
        return np.log(np.exp(scores - top).sum(axis=-1)) - own

    def derivatives(self, scores: Array, labels: Array) -> Array:
        r = np.exp(scores - scores.max(axis=-1, keepdims=True))
        r /= r.sum(axis=-1, keepdims=True)
        at = self._index(scores, labels)
        np.put_along_axis(r, at, np.take_along_axis(r, at, axis=-1) - 1, axis=-1)
        return r

    def hessians(self, scores: Array, labels: Array) -> Array:
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        result: Array = p[..., None] * np.eye(self.classes) - p[..., None] * p[..., None, :]
        return result

    def _index(self, scores: Array, labels: Array) -> NDArray[np.int64]:
        return np.broadcast_to(labels, scores.shape[:-1]).astype(np.int64)[..., None]

    def predictions(self, scores: Array) -> Labels:
        return scores.argmax(axis=-1)

    def check_labels(self, labels: ArrayLike) -> Array:
        array = _vector(labels)
        bad = (array < 0) | (array >= self.classes) | (array != np.floor(array))
        if bad.any():
            raise InputError(f"labels must be {self.labels} for {self.name}, got {array[bad][0]}")
        return array

    def clipped(self, scores: Array, labels: Array, limits: Array | None) -> Array:
        # Rows longer than the bound by a rounding error are left alone: scaling r would not be exact either.
        return self.derivatives(scores, labels)

    def limits(self, norms: Array) -> None:
        return None


LOSSES: Final[dict[str, type[Loss]]] = {loss.name: loss for loss in (Logistic, Multinomial, Ridge, SmoothedHinge)}


def _vector(labels: ArrayLike) -> Array:
    try:
        array = np.asarray(labels)
        if array.dtype.kind not in "iuf":
            raise ValueError
        array = array.astype(np.float64)
    except (ValueError, TypeError):
        raise InputError("labels must be a numeric array of shape (n,)") from None
    if array.ndim != 1:
        raise InputError(f"labels must have shape (n,), got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"labels must be finite, got {array[~np.isfinite(array)][0]} at row {first_row(~np.isfinite(array))}")
    return array


def first_row(bad: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(bad)[0])
