"""What the estimators do as any other of scikit-learn: settings become an algorithm and its noise, rows become a model."""

from __future__ import annotations

import functools
import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, choice, number
from accountant.trainer.before import warn_of_pipeline
from accountant.trainer.choosing import Choosing
from accountant.trainer.identifiers import Identifier, identifiers
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array
from accountant.trainer.norm_classes import NormClasses
from accountant.trainer.preparation import Preparation
from accountant.trainer.rows import Rows
from accountant.trainer.runs import Run
from accountant.trainer.scikit import check_is_fitted, validate_data
from accountant.trainer.sparse_rows import SparseRows
from accountant.trainer.trials import DTYPES
from accountant.trainer.weights import checked_weights, weighted_labels

if TYPE_CHECKING:
    from sklearn.utils import Tags

FLOATS: Final = (np.float64, np.float32)
_P = ParamSpec("_P")
_T = TypeVar("_T")
_F = TypeVar("_F", bound="Fitting")


def serial(method: Callable[Concatenate[_F, _P], _T]) -> Callable[Concatenate[_F, _P], _T]:
    """A method of an estimator that threads run one after the other: each sees what the one before has left."""

    @functools.wraps(method)
    def alone(self: _F, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.alone():
            return method(self, *args, **kwargs)

    return alone


class Fitting(Choosing):
    """Learning and scores of both estimators."""

    @abstractmethod
    def _labels(self, y: ArrayLike) -> Array:
        """Targets, checked, as the loss wants them."""

    def alone(self) -> threading.RLock:
        """The lock of all methods that change this object or read more than one thing of it.

        Made when it is wanted, as scikit-learn wants nothing but parameters in a new estimator. A forked process has its own:
        the thread that held the parent's is not in it.
        """
        locks: dict[int, threading.RLock] = self.__dict__.setdefault("_locks", {})
        return locks.setdefault(os.getpid(), threading.RLock())

    def __getstate__(self) -> dict[str, Any]:
        with self.alone():
            state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_locks"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Of a shallow copy, too, the noise is its own. Nothing else that both have ever changes: it is replaced.
        for name in {"_run", "_trainer"} & state.keys():
            self.__dict__[name] = copy(state[name])

    def _forget(self) -> None:
        """Unfitted, lest a fit that fails leaves parts of two."""
        self.__dict__.pop("coef_", None)

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        # What centres, or keeps float32, has no rows that are sparse.
        tags.input_tags.sparse = self.dtype == "float64" and self.feature_range is None
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def _check_fitted(self) -> None:
        """NotFittedError before fit, InputError where parameters were changed after it."""
        check_is_fitted(self)
        now = self.get_params(deep=False)
        changed = [name for name, shown in self._params.items() if _said(now[name]) != shown]
        if changed:
            was, now_is = self._params[changed[0]][:80], _said(now[changed[0]])[:80]
            raise InputError(f"{changed[0]} must stay what it was at fit, {was}, got {now_is}")

    def _learn(self, X: Array, labels: Array, row_labels: RowLabels, ids: object, sample_weight: object) -> None:
        """Fit rows (n, d) with labels (n,) as the loss wants them; row_labels and ids: what they are called."""
        dtype, self._refits = np.dtype(choice("dtype", self.dtype, DTYPES)), 0
        self._prepare(X.shape[1])
        weights = self._weights(labels, sample_weight)
        if weights is not None and not weights.any():
            raise InputError("sample_weight must not be zero for all rows: nothing would be learned")
        self._weighted = weights is not None
        rows, lost = self._ready.prepared(X, dtype)
        self._set_up(rows.norms, rows.shape[1], n=rows.shape[0])
        names = self._names(ids, row_labels, rows.shape[0])
        self._check_rounding(self._first_epochs * self._trainer.algorithm.steps_per_epoch)
        self._ready.warn(lost)
        del lost
        warn_of_pipeline()
        self._learn_rows(rows, labels if weights is None else weighted_labels(labels, weights), names)

    def _learn_rows(self, rows: Rows | SparseRows, labels: Array, names: tuple[Identifier, ...] | None) -> None:
        """Learn from prepared rows (n, d), labels (n,) with their weights and identifiers (n,)."""
        began = time.perf_counter()
        run = self._trainer.learn(rows, labels, epochs=self.learn_epochs_, ids=names)
        self._seconds = (time.perf_counter() - began) / run.steps
        self.__dict__.update(self._released(run))

    def _learn_again(self, rows: Rows | SparseRows, labels: Array, names: tuple[Identifier, ...] | None) -> None:
        """Learn from prepared rows (n, d) and labels (n,) that are left of earlier ones."""
        self._prepare(self.n_features_in_)
        self._set_up(rows.norms, rows.shape[1], n=rows.shape[0])
        self._check_rounding(self._first_epochs * self._trainer.algorithm.steps_per_epoch)
        # No noise of before, and no key, where a seed was given.
        self._trainer.pass_over(self._refits)
        self._learn_rows(rows, labels, names)

    def _prepare(self, columns: int) -> None:
        self._ready = Preparation.of(
            feature_range=self.feature_range,
            feature_bound=self.feature_bound,
            long_rows=self.long_rows,
            intercept=self.fit_intercept,
            columns=columns,
        )
        self._norm_classes = None
        if self.classes_of_norm is not None:
            if self.bound != "optimal":
                raise InputError(
                    f"classes_of_norm need bound=optimal: the published bounds know one M for all rows, got {self.bound}"
                )
            about = {"feature_bound": self._ready.feature_bound, "intercept": self._ready.intercept}
            self._norm_classes = NormClasses.of(self.classes_of_norm, **about)  # type: ignore[arg-type]

    def _weights(self, labels: Array, sample_weight: object) -> NDArray[np.float64] | None:
        """Weights (n,) from 0 to 1 of records with these labels, None where all are 1 and nothing was said; or InputError."""
        bound = number("weight_bound", self.weight_bound, above=0)
        if sample_weight is None and bound == 1:
            return None
        return checked_weights("sample_weight", 1.0 if sample_weight is None else sample_weight, labels.size, bound)  # type: ignore[arg-type]

    def _later_labels(self, y: ArrayLike, sample_weight: object) -> Array:
        """Labels of rows that come after fit, with their weights, if records have any."""
        labels = self._labels(y)
        if self._weighted:
            weights = self._weights(labels, 1.0 if sample_weight is None else sample_weight)
            return weighted_labels(labels, 1.0 if weights is None else weights)
        if sample_weight is not None:
            raise InputError("sample_weight must be given at fit, too, where other rows may come with weights: ones will do")
        return labels

    def _names(self, ids: object, row_labels: RowLabels, count: int) -> tuple[Identifier, ...] | None:
        """Identifiers of so many rows: those that were given, or else labels of their frame; None where numbers serve."""
        if not self._trainer.algorithm.own_draws:
            if ids is not None:
                raise InputError(f"ids must be left out with assignment={self.assignment}, where no record draws by itself")
            return None
        return row_labels.identifiers() if ids is None else identifiers("ids", ids, count)

    def _released(self, run: Run) -> dict[str, object]:
        """The attributes of an estimator that has this run: for ``__dict__``, all at once, so that no interrupt leaves half."""
        weights = run.parameters[:, 0].reshape(self._loss.outputs, -1)
        coef, intercept = self._published(
            *self._ready.published(
                weights[:, :-1].copy() if self.fit_intercept else weights.copy(),
                weights[:, -1].copy() if self.fit_intercept else np.zeros(weights.shape[0], weights.dtype),
            )
        )
        params = {name: _said(value) for name, value in self.get_params(deep=False).items()}
        return {"_run": run, "_params": params, "coef_": coef, "intercept_": intercept}

    @abstractmethod
    def _published(self, weights: Array, constants: Array) -> tuple[Array, Array | float]:
        """coef_ and intercept_ of weights (outputs, d) and constants (outputs,)."""

    def _scores(self, X: ArrayLike) -> Array:
        """Scores (n, outputs)."""
        self._check_fitted()
        x = validate_data(self, X, reset=False, dtype=FLOATS, accept_sparse="csr")
        return self._ready.scores(self._loss, self._run.parameters, x)


def _said(value: object) -> str:
    """A parameter in full; a long array's repr leaves numbers out."""
    if isinstance(value, np.ndarray):
        return f"array({value.tolist()!r})"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_said, value))}]"
    return repr(value)
