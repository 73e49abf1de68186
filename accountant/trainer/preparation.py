"""What the estimators do to every row before they learn from it or predict: each by itself, by public numbers only.

With ``feature_range`` = (low, high), of all features or one of each, a value becomes v = (x - middle)/half, its range [-1, 1],
is cut off at -1 and 1, and v is multiplied by B min(1, sqrt(3/d)), B = ``feature_bound``: a row that is uniform in its ranges
then has norm about B. Rows that are still longer than B are scaled down to it (``long_rows="scale"``), at most by sqrt(3). What
one row becomes depends on no other one, so whatever is proved of the rows that the loss sees holds of the rows that came.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats, InputError, choice, number
from accountant.trainer.cautions import RescaledRowsWarning, caution
from accountant.trainer.losses import Array, Loss
from accountant.trainer.points import as_csr, is_sparse, row_norms, scale_rows, scaled, scores
from accountant.trainer.rows import Block, Rows
from accountant.trainer.sparse_rows import SparseRows

LONG_ROWS: Final = ("scale", "leave")
#: Share of rows that may lose their lengths without a word.
_FEW: Final = 0.05
#: Rows of norm B but for rounding, as Normalizer leaves them, are none that lose something.
_SLIGHTLY: Final = 1e-3
#: Least width of a range.
_NARROWEST: Final = 1e-200
#: Numbers that are prepared at a time.
_AT_ONCE: Final = 1 << 18


class Ranges(NamedTuple):
    """Public ranges of the features: middles and half widths, (d,) each, and what v is multiplied by."""

    middle: Floats
    half: Floats
    unit: float

    @classmethod
    def of(cls, feature_range: Any, columns: int, feature_bound: float) -> Ranges:
        """Those of ``columns`` features, or InputError."""
        try:
            low, high = (np.asarray(end, dtype=np.float64) for end in feature_range)
        except (TypeError, ValueError):
            raise InputError(
                f"feature_range must be (low, high), two numbers or arrays of one for each feature, got {feature_range!r}"
            ) from None
        for end in (low, high):
            if end.shape not in ((), (columns,)):
                raise InputError(f"feature_range must have numbers, or arrays of shape ({columns},), got shape {end.shape}")
        low, high = np.broadcast_to(low, columns), np.broadcast_to(high, columns)
        with np.errstate(over="ignore", invalid="ignore"):
            wide = high - low
        # What is divided by, and what coefficients are divided by, must be no zero.
        bad = ~(np.isfinite(low) & np.isfinite(high) & (low < high) & (wide >= _NARROWEST) & np.isfinite(wide))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"feature_range must have finite low < high, at least {_NARROWEST:g} apart and not infinitely far, got "
                f"{low[at]:g} and {high[at]:g} of feature {at}"
            )
        return cls(low + wide / 2, wide / 2, feature_bound * min(1.0, math.sqrt(3 / columns)))

    def apply(self, part: Array) -> None:
        """In place."""
        part -= self.middle
        part /= self.half
        np.clip(part, -1, 1, out=part)
        part *= self.unit


@dataclass(frozen=True)
class Lost:
    """What preparing (n,) rows took from them. outside: rows with a value beyond its range. norms: (n,), before scaling."""

    norms: NDArray[np.float64]
    outside: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Preparation:
    """How X (n, d) becomes rows of norm at most ``feature_bound``, the constant feature of an intercept not counted.

    >>> ready = Preparation.of(feature_range=(0.0, 10.0), feature_bound=1.0, long_rows="scale", intercept=True, columns=2)
    >>> ready.rows(np.array([[5.0, 7.5], [-3.0, 5.0]]), np.dtype(np.float64)).round(6).tolist()
    [[0.0, 0.5, 1.0], [-1.0, 0.0, 1.0]]
    """

    feature_bound: float
    long_rows: str
    intercept: bool
    ranges: Ranges | None

    @classmethod
    def of(cls, *, feature_range: Any, feature_bound: float, long_rows: str, intercept: bool, columns: int) -> Preparation:
        """Of an estimator's parameters and the number of columns of X; InputError for what they may not be."""
        bound = number("feature_bound", feature_bound, above=0)
        if not isinstance(intercept, (bool, np.bool_)):
            raise InputError(f"fit_intercept must be True or False, got {intercept!r}")
        ranges = None if feature_range is None else Ranges.of(feature_range, columns, bound)
        return cls(
            feature_bound=bound, long_rows=choice("long_rows", long_rows, LONG_ROWS), intercept=bool(intercept), ranges=ranges
        )

    @property
    def bound(self) -> float:
        """On the norm of what :meth:`rows` gives."""
        return float(np.hypot(self.feature_bound, 1.0)) if self.intercept else self.feature_bound

    def rows(self, X: Any, dtype: np.dtype[Any]) -> Any:
        """The rows (n, d), or (n, d + 1) with the constant feature, for X (n, d): an array, or a CSR matrix of a sparse X."""
        if is_sparse(X):
            return self._sparse(X)[0]
        return np.concatenate([rows for rows, _, _ in self._prepared(X, dtype)])

    def prepared(self, X: Any, dtype: np.dtype[Any]) -> tuple[Rows | SparseRows, Lost]:
        """The rows, in blocks that runs share, and what they lost."""
        if is_sparse(X):
            rows, lengths = self._sparse(X)
            return SparseRows.of(rows), Lost(lengths, 0)
        blocks: list[Block] = []
        norms: list[Floats] = []
        outside = 0
        for part, own, beyond in self._prepared(X, dtype):
            blocks.append(Block(part))
            norms.append(own)
            outside += beyond
        return Rows(tuple(blocks)), Lost(np.concatenate(norms), outside)

    def scores(self, loss: Loss, parameters: Array, X: Any) -> Array:
        """Scores (n, outputs) of parameters (outputs*d, 1) for X (n, d), some rows at a time."""
        if is_sparse(X):
            return scores(loss, parameters, self._sparse(X)[0])[:, 0]
        parts = [scores(loss, parameters, rows)[:, 0] for rows, _, _ in self._prepared(X, X.dtype)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _prepared(self, X: Array, dtype: np.dtype[Any]) -> Iterator[tuple[Array, Floats, int]]:
        """Some rows at a time, with their norms before scaling and how many of them had values beyond their ranges."""
        n, d = X.shape
        # Rounding leaves rows on either side of the norm they are scaled to.
        most = self.feature_bound * (1 - (2.0**-22 if np.float32 in (dtype, X.dtype) else 2.0**-40))
        step = max(1, _AT_ONCE // (d + 1))
        for first in range(0, n, step):
            part, outside = X[first : first + step], 0
            if self.ranges is not None:
                part = part.astype(np.float64)
                outside = int((np.abs(part - self.ranges.middle) > self.ranges.half * (1 + 1e-9)).any(axis=1).sum())
                self.ranges.apply(part)
            rows = np.empty((part.shape[0], d + self.intercept), dtype)
            rows[:, :d] = scaled(part, most) if self.long_rows == "scale" else part
            rows[:, d:] = 1
            yield rows, row_norms(part), outside

    def _sparse(self, X: Any) -> tuple[Any, Floats]:
        """The rows of a sparse X, a CSR matrix of float64, and their norms before scaling."""
        from scipy.sparse import csr_array, hstack

        if self.ranges is not None:
            raise InputError("feature_range must be left out for sparse X, of which centring would leave nothing sparse")
        rows = as_csr(X)
        norms = row_norms(rows)
        if self.long_rows == "scale":
            most = self.feature_bound * (1 - 2.0**-40)
            long = ~(norms <= most)
            shrink = np.ones(norms.size)
            # In two steps: squares of large numbers overflow.
            largest = np.maximum(abs(rows).max(axis=1).toarray().ravel(), np.finfo(np.float64).tiny)
            shrink[long] /= largest[long]
            scale_rows(rows, shrink)
            shrink[:] = 1
            shrink[long] = most / row_norms(rows)[long]
            scale_rows(rows, shrink)
        if self.intercept:
            rows = csr_array(hstack([rows, np.ones((rows.shape[0], 1))], format="csr"))
        return rows, norms

    def warn(self, lost: Lost) -> None:
        """RescaledRowsWarning where more than 5 % of the rows lost their lengths, or values beyond their ranges."""
        n = lost.norms.size
        if self.ranges is not None:
            if lost.outside > _FEW * n:
                caution(
                    f"{lost.outside} of {n} rows ({lost.outside / n:.0%}) have values beyond feature_range, which are cut off: "
                    "give the ranges that values can have, not those of these rows",
                    RescaledRowsWarning,
                )
            return
        long = lost.norms > self.feature_bound * (1 + _SLIGHTLY)
        count = int(long.sum())
        if self.long_rows == "scale" and count > _FEW * n:
            shrink = float(np.median(lost.norms[long])) / self.feature_bound
            caution(
                f"{count} of {n} rows ({count / n:.0%}) are longer than feature_bound = {self.feature_bound:g} and are scaled "
                f"down to it, by a factor of {shrink:.3g} at the median, so that their lengths and scales tell nothing: give "
                "feature_range=(low, high), the ranges that features can have, known without these rows; or a larger "
                "feature_bound, which costs noise; or put Normalizer() before, if directions are what counts",
                RescaledRowsWarning,
            )

    def published(self, weights: Array, constants: Array) -> tuple[Array, Array]:
        """coef_ (k, d) and intercept_ (k,) on X, of those on prepared rows; of rows that are neither cut off nor scaled."""
        if self.ranges is None:
            return weights, constants
        weights = weights * (self.ranges.unit / self.ranges.half)
        return weights, constants - weights @ self.ranges.middle

    def assumption(self) -> str | None:
        """What a guarantee says of it."""
        done = []
        if self.ranges is not None:
            done.append("centred, scaled and cut off by feature_range, which was set without looking at the rows")
        if self.long_rows == "scale":
            done.append(f"scaled down to norm {self.feature_bound:g}")
        return f"every row is {', then '.join(done)} by itself, in learning and in prediction" if done else None
