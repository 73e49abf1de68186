"""Classes of norm of an estimator's rows: thresholds that are fixed before training, by which short rows cost fewer steps.

With ``classes_of_norm`` = (1, 0.5, 0.25) the thresholds are 1, 0.5 and 0.25 times ``feature_bound``, and a row's class is the
smallest that holds its norm: a function of the row and of nothing else. Gradients of its class have norm at most r = M times
hypot(s B, 1)/hypot(B, 1) with an intercept, whose constant feature 1 a row has besides, and s M without one: by construction,
where the loss has a bounded slope, and clipped at r where it has none (:class:`~accountant.trainer.losses.Ridge`). The steps of
a request are those of the largest class among its rows; they disclose it (docs/theory.md, "Classes of norm").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError, number, shown

#: By how much rows may exceed a bound, or stay in a class at its threshold, because float64 rounds: within the accountant's
#: own margins.
ROW_ROUNDING: Final = 1e-14
#: Most classes.
_MOST: Final = 100


def places_of(
    norms: NDArray[np.floating], thresholds: tuple[float, ...], *, rounding: float = ROW_ROUNDING
) -> NDArray[np.int64]:
    """Of rows of these norms (n,) the places of their thresholds, (n,); these rise, and the last one holds every row.

    >>> places_of(np.array([0.0, 0.5, 0.6, 3.0]), (0.5, 1.0, 2.0)).tolist()
    [0, 0, 1, 2]
    """
    bounds = np.array(thresholds)
    return np.minimum(np.searchsorted(bounds * (1 + rounding), norms), bounds.size - 1)


@dataclass(frozen=True)
class NormClasses:
    """shares: of ``feature_bound``, rising to 1. thresholds: on the norms of prepared rows, an intercept's 1 included.

    >>> classes = NormClasses.of((1, 0.5), feature_bound=2.0, intercept=True)
    >>> classes.shares, [round(each, 6) for each in classes.thresholds]
    ((0.5, 1.0), [1.414214, 2.236068])
    >>> classes.largest(np.array([1.2, 1.4])), round(classes.gradient_share(0.5), 6)
    (0.5, 0.632456)
    """

    shares: tuple[float, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def of(cls, classes_of_norm: Any, *, feature_bound: float, intercept: bool) -> Self:
        """Of an estimator's parameter; InputError for what is no list of shares with 1 among them."""
        if isinstance(classes_of_norm, (str, bytes)) or not isinstance(classes_of_norm, (Sequence, np.ndarray)):
            raise InputError(
                f"classes_of_norm must be shares of feature_bound, such as (1, 0.5, 0.25), got {classes_of_norm!r}"
            )
        shares = sorted(number("classes_of_norm", each, above=0, at_most=1) for each in classes_of_norm)
        if len(shares) > _MOST:
            raise InputError(f"classes_of_norm must be at most {_MOST} shares, got {len(shares)}")
        if 1.0 not in shares:
            raise InputError(f"classes_of_norm must have 1 among them, the class of the longest rows, got {classes_of_norm!r}")
        if len(set(shares)) < len(shares):
            raise InputError(f"classes_of_norm must differ from one another, got {classes_of_norm!r}")
        bounds = [math.hypot(each * feature_bound, 1.0) if intercept else each * feature_bound for each in shares]
        return cls(tuple(shares), tuple(bounds))

    def largest(self, norms: NDArray[np.float64]) -> float:
        """The largest class, as a share of ``feature_bound``, among prepared rows of these norms, (n,); n >= 1."""
        # A sparse row and a dense one sum their squares in another order: what a row counts as is never below its clip.
        return self.shares[int(places_of(norms, self.thresholds, rounding=ROW_ROUNDING / 2).max())]

    def gradient_share(self, norm_class: float) -> float:
        """r/M of a class; InputError for a number that is none of the classes."""
        if norm_class not in self.shares:
            raise InputError(f"norm_class must be one of classes_of_norm = {self.told}, got {norm_class!r}")
        return self.thresholds[self.shares.index(norm_class)] / self.thresholds[-1]

    @property
    def told(self) -> str:
        """The shares, from the largest on."""
        return ", ".join(shown(each) for each in reversed(self.shares))

    @property
    def assumption(self) -> str:
        """What a guarantee says of them."""
        return (
            f"classes of norm are {self.told} of feature_bound, set without looking at the rows, each of which has the "
            "smallest that holds it; the steps of a request disclose the largest class among its rows, and what takes their "
            "places is no longer"
        )
