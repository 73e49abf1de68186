"""Points: what features, labels and row numbers must be, and what a model says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import Floats, InputError
from accountant.trainer.losses import ROUNDING, Array, Labels, Loss, first_row


def check_points(loss: Loss, features: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Features (n, d), finite and of row norm at most ``feature_bound``, and labels (n,), or InputError; float32 is kept.

    Rows longer by rounding only (1e-6) are scaled back. Sparse features become a CSR matrix of float64, a copy.
    """
    try:
        array: Any = as_csr(features) if is_sparse(features) else np.asarray(features)
        if array.dtype.kind not in "iuf":
            raise ValueError
        array = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    except (ValueError, TypeError):
        raise InputError("features must be a numeric array of shape (n, d)") from None
    if array.ndim != 2 or not array.shape[1]:
        raise InputError(f"features must have shape (n, d) with d >= 1, got {array.shape}")
    y = loss.check_labels(labels)
    if y.size != array.shape[0]:
        raise InputError(f"labels must be one for each of the {array.shape[0]} rows of features, got {y.size}")
    norms = row_norms(array)
    bad = ~np.isfinite(norms)
    if bad.any():
        raise InputError(f"features must be finite numbers, got {_odd(_row(array, first_row(bad)))} in row {first_row(bad)}")
    long = norms > loss.feature_bound * (1 + ROUNDING)
    if long.any():
        row = first_row(long)
        raise InputError(
            f"features must have rows of norm at most feature_bound = {loss.feature_bound:g}, got {norms[row]:.10g} in row "
            f"{row}"
        )
    over = norms > loss.feature_bound
    if over.any():
        # The constants hold for rows within the bound: what rounding put outside is put back.
        array = array.copy()
        shrink = loss.feature_bound / norms[over] * (1 - 4 * np.finfo(array.dtype).eps)
        if is_sparse(array):
            factors = np.ones(norms.size)
            factors[over] = shrink
            scale_rows(array, factors)
        else:
            array[over] *= shrink[:, None].astype(array.dtype)
    return array, y


def is_sparse(features: object) -> bool:
    """Whether it is a sparse matrix of SciPy's, in any format; without importing that."""
    return hasattr(features, "tocsr") and hasattr(features, "nnz")


def as_csr(features: Any) -> Any:
    """A copy in canonical form, float64; ValueError for what are no real numbers in two dimensions."""
    from scipy.sparse import csr_array

    if features.ndim != 2 or np.dtype(features.dtype).kind not in "iuf":
        raise ValueError
    matrix = csr_array(features, dtype=np.float64, copy=True)
    matrix.sum_duplicates()
    return matrix


def scale_rows(matrix: Any, factors: Floats) -> None:
    """Multiply each row of a CSR matrix (n, d) by its factor, (n,), in place."""
    matrix.data *= np.repeat(factors, np.diff(matrix.indptr))


def _row(features: Any, row: int) -> Array:
    """The numbers of a row; of sparse features those that are stored."""
    return features.data[features.indptr[row] : features.indptr[row + 1]] if is_sparse(features) else features[row]


def _odd(row: Array) -> str:
    finite = np.isfinite(row)
    return "numbers too large to square" if finite.all() else str(row[~finite][0])


def row_norms(features: Any) -> Floats:
    """2-norms of the rows, an array or a CSR matrix, summed in float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        if is_sparse(features):
            row = np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
            return np.sqrt(np.bincount(row, np.square(features.data), features.shape[0]))
        return np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))


def scaled(X: Array, bound: float) -> Array:
    """Rows (n, d) of norm at most ``bound``: longer ones are scaled down to it, each by itself; no overflow on the way."""
    long = ~(row_norms(X) <= bound)
    if not long.any():
        return X
    part = X[long].astype(np.float64)
    part /= np.abs(part).max(axis=1, keepdims=True)
    part *= (bound / row_norms(part))[:, None]
    result = X.copy()
    result[long] = part
    return result


def row_numbers(name: str, value: ArrayLike, n: int) -> NDArray[np.int64]:
    """One or more different row numbers from 0 to n - 1, (S,), or InputError that calls them ``name``."""
    try:
        array = np.atleast_1d(np.asarray(value))
    except ValueError:
        array = np.empty((0, 0))
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise InputError(f"{name} must be row numbers, integers from 0 to {n - 1}, got {value!r}")
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise InputError(f"{name} must be row numbers from 0 to {n - 1}, got {array[outside][0]}")
    values, counts = np.unique(array, return_counts=True)
    if values.size < array.size:
        raise InputError(f"{name} must name every point once, got {values[counts > 1][0]} {counts.max()} times")
    return array.astype(np.int64)


def scores(loss: Loss, parameters: ArrayLike, features: ArrayLike) -> Array:
    """Scores (n, trials, outputs) of parameters (outputs*d, trials), or (outputs*d,) for one trial, on features (n, d)."""
    x: Any = features if is_sparse(features) else np.asarray(features)
    w = np.asarray(parameters)
    wanted = loss.outputs * x.shape[-1]
    if x.ndim != 2 or w.ndim not in (1, 2) or w.shape[0] != wanted:
        raise InputError(f"parameters must have shape ({wanted}, trials) or ({wanted},) for these features, got {w.shape}")
    trials = 1 if w.ndim == 1 else w.shape[1]
    weights = w.reshape(wanted, trials).T.reshape(trials * loss.outputs, x.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        result = (x @ weights.T).reshape(x.shape[0], trials, loss.outputs)
    if not np.isfinite(result).all():
        raise InputError("parameters and features must be finite numbers whose products do not overflow")
    return result


def predict(loss: Loss, parameters: ArrayLike, features: ArrayLike) -> Labels:
    """Predicted labels (n, trials)."""
    return loss.predictions(scores(loss, parameters, features))


def accuracy(loss: Loss, parameters: ArrayLike, features: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Share of right predictions of every trial, (trials,).

    >>> from accountant.trainer import Logistic
    >>> loss, features, labels = Logistic(regularisation=0.1), [[1, 0], [-1, 0], [1, 0], [1, 0]], [1, -1, 1, -1]
    >>> accuracy(loss, [[1.0, -1.0], [0.0, 0.0]], features, labels).tolist()
    [0.75, 0.25]
    """
    return (predict(loss, parameters, features) == loss.check_labels(labels)[:, None]).mean(axis=0)


def objective(loss: Loss, parameters: ArrayLike, features: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Mean loss of every trial, regulariser included and gradients unclipped, (trials,)."""
    w = np.asarray(parameters, dtype=np.float64)
    data = loss.values(scores(loss, w, features), loss.check_labels(labels)[:, None]).mean(axis=0)
    return data + loss.regularisation / 2 * np.square(w.reshape(w.shape[0], -1)).sum(axis=0)


def gradient(loss: Loss, parameters: ArrayLike, features: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Mean clipped gradient of every trial, regulariser included, in the shape of the parameters."""
    x, y = check_points(loss, features, labels)
    w = np.asarray(parameters, dtype=np.float64)
    s = scores(loss, w, x)
    limits = loss.limits(row_norms(x))
    r = loss.clipped(s, y[:, None], None if limits is None else limits[:, None])
    # (trials*outputs, n) @ (n, d)
    data = (r.reshape(x.shape[0], -1).T @ x).reshape(s.shape[1], -1).T / x.shape[0]
    return data.reshape(w.shape) + loss.regularisation * w
