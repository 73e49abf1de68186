"""Weights of records: a record of weight v has v times the gradient of one of weight 1, and a label that says so.

Weights are divided by a public bound, so that v is in [0, 1], and the constants of the loss hold as they stand. A record's loss
becomes v l(s; y) + lambda/2 ||w||^2: its data part is convex still, kappa B^2 smooth times v <= 1, and its gradient has norm at
most v M <= M, clipped or not (v times the clipped derivative is that of v times the clipped loss). So L, m and M stay, and with
them every bound: removing a record of weight v moves a step by at most v M/b. Weights must be the record's own or public: one
that is computed from other records, as "balanced" class weights are, remembers those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from accountant.numerics import InputError, number
from accountant.trainer.cautions import WeightsCutWarning, caution
from accountant.trainer.losses import Array, Labels, Loss, first_row

_FIELDS: Final = ("label", "weight")


@dataclass(frozen=True, kw_only=True)
class Weighted(Loss):
    """A loss of records that have weights in [0, 1]; labels are of :func:`weighted_labels`.

    >>> from accountant.trainer.losses import Logistic
    >>> loss = Weighted.of(Logistic(regularisation=0.1))
    >>> loss.derivatives(np.zeros((2, 1)), weighted_labels([1, -1], [1.0, 0.5])).tolist()
    [[-0.5], [0.25]]
    >>> loss.smoothness == loss.base.smoothness, loss.lipschitz == loss.base.lipschitz
    (True, True)
    """

    base: Loss = field(kw_only=True)

    @classmethod
    def of(cls, loss: Loss) -> Self:
        """The loss, of records with weights."""
        return cls(regularisation=loss.regularisation, feature_bound=loss.feature_bound, clip=loss.clip, base=loss)

    @property
    def name(self) -> str:  # type: ignore[override]
        """As the loss without weights."""
        return self.base.name

    @property
    def steepest(self) -> float:  # type: ignore[override]
        """rho, at weight 1."""
        return self.base.steepest

    @property
    def labels(self) -> str:  # type: ignore[override]
        """What labels are."""
        return f"{self.base.labels}, with weights from 0 to 1,"

    @property
    def curvature(self) -> float:
        return self.base.curvature

    @property
    def outputs(self) -> int:
        return self.base.outputs

    def values(self, scores: Array, labels: Array) -> Array:
        result: Array = _part(labels, "weight") * self.base.values(scores, _part(labels, "label"))
        return result

    def derivatives(self, scores: Array, labels: Array) -> Array:
        result: Array = _part(labels, "weight")[..., None] * self.base.derivatives(scores, _part(labels, "label"))
        return result

    def clipped(self, scores: Array, labels: Array, limits: Array | None) -> Array:
        r = self.base.clipped(scores, _part(labels, "label"), limits)
        r *= _part(labels, "weight")[..., None]
        return r

    def predictions(self, scores: Array) -> Labels:
        return self.base.predictions(scores)

    def check_labels(self, labels: ArrayLike) -> Array:
        array = np.asarray(labels)
        if array.dtype.names != _FIELDS:
            raise InputError("labels must be labels with weights, of weighted_labels")
        return weighted_labels(
            self.base.check_labels(_part(array, "label")), checked_weights("weight", _part(array, "weight"), array.size)
        )

    def kept(self, labels: Array, dtype: DTypeLike) -> Array:
        return labels.astype(_dtype(dtype))

    def limits(self, norms: Array) -> Array | None:
        return self.base.limits(norms)


def _part(labels: Any, name: str) -> Array:
    part: Array = labels[name]
    return part


def _dtype(kind: DTypeLike) -> np.dtype[Any]:
    return np.dtype([(name, kind) for name in _FIELDS])


def weighted_labels(labels: ArrayLike, weights: ArrayLike) -> Array:
    """Labels (n,) with weights (n,), or one weight of all, in one array (n,) of both."""
    values = np.asarray(labels, dtype=np.float64)
    result: Any = np.empty(values.shape, dtype=_dtype(np.float64))
    result["label"], result["weight"] = values, weights
    both: Array = result
    return both


def plain(labels: Array) -> Array:
    """The labels (n,) alone, of either kind."""
    bare: Array = _part(labels, "label") if labels.dtype.names else labels
    return bare


def checked_weights(name: str, weights: ArrayLike, n: int, bound: float = 1.0) -> NDArray[np.float64]:
    """Weights (n,) >= 0, or one of all, divided by ``bound``; larger ones are cut off at it, each by itself, with a warning.

    InputError that calls them ``name``.
    """
    try:
        # Text that says a number is none, and of a complex one a part would be lost.
        if np.asarray(weights).dtype.kind in "cSU":
            raise TypeError
        array = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be numbers of shape ({n},)") from None
    if array.ndim == 0:
        array = np.full(n, array)
    if array.shape != (n,):
        raise InputError(f"{name} must have shape ({n},), got {array.shape}")
    bad = ~((array >= 0) & (array < np.inf))
    if bad.any():
        raise InputError(f"{name} must be finite numbers >= 0, got {array[bad][0]:g} in row {first_row(bad)}")
    cut = int((array > bound).sum())
    if cut:
        caution(
            f"{cut} of {n} weights in {name} are larger than weight_bound = {bound:g} and are cut off at it: set a larger one, "
            "known without these rows",
            WeightsCutWarning,
        )
    return np.minimum(array / bound, 1.0)


def class_factors(class_weight: object, classes: NDArray[np.generic]) -> NDArray[np.float64] | None:
    """The weight of each class (k,), the largest of which counts 1; None without weights. InputError for what is none.

    >>> class_factors({"yes": 4.0}, np.array(["no", "yes"])).tolist()
    [0.25, 1.0]
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) or not isinstance(class_weight, Mapping):
        counted = ", which counts the labels, also the deleted ones, and the model would remember them"
        why = counted if class_weight == "balanced" else ""
        raise InputError(f"class_weight must be a dict of public weights, got {class_weight!r}{why}")
    names = classes.tolist()
    strange = [name for name in class_weight if name not in names]
    if strange:
        raise InputError(f"class_weight must have weights of classes of {names}, got one of {strange[0]!r}")
    factors = np.array([number(f"class_weight of {name!r}", class_weight.get(name, 1.0), above=0) for name in names])
    return factors / factors.max()
