"""What the estimators do as any other of scikit-learn: settings become an algorithm and its noise, rows become a model."""

from __future__ import annotations

import functools
import math
import os
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import gdp_mu
from accountant.numerics import InputError, UnreachableError, choice, integer, number
from accountant.problem import PARTITION, PNSGD, REMEDIES, SECRET, oversize, rounding_of
from accountant.questions import UnlearningAccountant
from accountant.requests import UnlearningStream
from accountant.trainer.before import warn_of_pipeline
from accountant.trainer.identifiers import Identifier, identifiers
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array, Loss
from accountant.trainer.points import row_norms, scores
from accountant.trainer.preparation import Preparation
from accountant.trainer.runs import Run
from accountant.trainer.scikit import BaseEstimator, check_is_fitted, validate_data
from accountant.trainer.training import Trainer
from accountant.trainer.trials import DTYPES
from accountant.trainer.weights import Weighted, checked_weights, weighted_labels

FLOATS: Final = (np.float64, np.float32)
_P = ParamSpec("_P")
_T = TypeVar("_T")
_F = TypeVar("_F", bound="Fitting")
#: log of how much smaller than delta a chance is that nobody needs to avoid.
_UNRESOLVED: Final = 14.0
#: Rows that are left may exceed the bound by what rounding in float64 does, which is within the accountant's own margins.
LEFT_ROUNDING: Final = 1e-14


def serial(method: Callable[Concatenate[_F, _P], _T]) -> Callable[Concatenate[_F, _P], _T]:
    """A method of an estimator that threads run one after the other: each sees what the one before has left."""

    @functools.wraps(method)
    def alone(self: _F, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with self.alone():
            return method(self, *args, **kwargs)

    return alone


class Fitting(BaseEstimator):  # type: ignore[misc]
    """Settings, learning and scores of both estimators; parameters are those of the subclasses."""

    epsilon: float
    delta: float | None
    batch_size: int | None
    learn_epochs: int
    unlearn_epochs: int
    regularisation: float
    feature_bound: float
    feature_range: Any
    long_rows: str
    fit_intercept: bool
    weight_bound: float
    adjacency: str
    assignment: str
    largest_n: int | None
    bound: str
    batches: str
    radius: float | None
    sigma: float | None
    dtype: str
    random_state: int | None

    _loss: Loss
    _run: Run
    _stream: UnlearningStream
    _trainer: Trainer
    _ready: Preparation
    #: Whether records have weights.
    _weighted: bool
    #: How often refit learned again.
    _refits: int
    #: Seconds of one step, as learning took them; None in files of earlier versions.
    _seconds: float | None
    #: Rows that were left longer than the bound.
    _long: int
    #: The parameters at fit, as text.
    _params: dict[str, str]

    @abstractmethod
    def _loss_of(self, feature_bound: float) -> Loss:
        """The loss on rows of norm at most ``feature_bound``, intercept included."""

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
        self._weighted = weights is not None
        rows, lost = self._ready.prepared(X, dtype)
        self._set_up(row_norms(rows), rows.shape[1], self.sigma, n=rows.shape[0])
        names = self._names(ids, row_labels, rows.shape[0])
        self._check_rounding(self.unlearn_epochs * self._trainer.algorithm.steps_per_epoch)
        self._ready.warn(lost)
        warn_of_pipeline()
        self._learn_rows(rows, labels if weights is None else weighted_labels(labels, weights), names)

    def _learn_rows(self, rows: Array, labels: Array, names: tuple[Identifier, ...] | None) -> None:
        """Learn from prepared rows (n, d), labels (n,) with their weights and identifiers (n,)."""
        began = time.perf_counter()
        run = self._trainer.learn(rows, labels, epochs=self.learn_epochs, ids=names)
        self._seconds = (time.perf_counter() - began) / run.steps
        self.__dict__.update(self._released(run))

    def _learn_again(self, rows: Array, labels: Array, names: tuple[Identifier, ...] | None) -> None:
        """Learn from prepared rows (n, d) and labels (n,) that are left of earlier ones."""
        self._prepare(self.n_features_in_)
        self._set_up(row_norms(rows), rows.shape[1], self.sigma, n=rows.shape[0])
        self._check_rounding(self.unlearn_epochs * self._trainer.algorithm.steps_per_epoch)
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

    def _weights(self, labels: Array, sample_weight: object) -> NDArray[np.float64] | None:
        """Weights (n,) from 0 to 1 of records with these labels, None where all are 1 and nothing was said; or InputError."""
        bound = number("weight_bound", self.weight_bound, above=0)
        if sample_weight is None and bound == 1:
            return None
        weights = checked_weights("sample_weight", 1.0 if sample_weight is None else sample_weight, labels.size, bound)  # type: ignore[arg-type]
        if not weights.any():
            raise InputError("sample_weight must not be zero for all rows: nothing would be learned")
        return weights

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

    def _set_up(
        self,
        norms: NDArray[np.float64],
        columns: int,
        sigma: float | None,
        *,
        n: int,
        rounding: str | None = "float64",
        redraw: bool | None = None,
    ) -> None:
        """Loss, accountant, noise, trainer and stream for rows of these norms, and so many columns; n: rows at fit.

        sigma None: calibrated. rounding None: not counted, as in files of the first format. redraw None: what costs less.
        """
        choice("assignment", self.assignment, (SECRET, PARTITION))
        loss, epsilon = self._chosen_losses(norms), number("epsilon", self.epsilon, at_least=0)
        learned = integer("learn_epochs", self.learn_epochs, at_least=1)
        # Published streams are about converged learning, which covers every finite one.
        converged = self.bound == "paper" and loss.strong_convexity > 0
        algorithm = PNSGD(
            loss.problem(n, adjacency=self.adjacency),
            "full" if self.batch_size is None else self.batch_size,
            radius=self.radius,
            learn_epochs=None if converged else learned,
            # The published bounds know exact numbers only: what rounding costs is looked at before each run.
            rounding=rounding if self.bound == "optimal" else None,
            dimension=loss.outputs * columns,
            assignment=self.assignment,
            largest_n=self.largest_n,
        )
        self.delta_ = 1 / n if self.delta is None else number("delta", self.delta, above=0, below=1)
        if algorithm.own_draws:
            algorithm = replace(algorithm, redraw=_redraws(algorithm, epsilon, self.delta_) if redraw is None else redraw)
        accountant = UnlearningAccountant(algorithm, bound=self.bound, batches=self.batches)
        epochs = integer("unlearn_epochs", self.unlearn_epochs, at_least=accountant.minimum_steps)
        if sigma is None:
            self.sigma_ = float(accountant.sigma(epsilon=epsilon, delta=self.delta_, epochs=epochs))
            # The stream adds up what rounding costs in another order, with other last digits.
            self.sigma_ *= 1 + (2.0**-30 if algorithm.rounding is not None else 0.0)
        else:
            self.sigma_ = number("sigma", sigma, above=0)
        self._stream = UnlearningStream(accountant, sigma=self.sigma_, epsilon=epsilon, delta=self.delta_)
        self._trainer = Trainer(loss, algorithm, sigma=self.sigma_, dtype=self.dtype, seed=self.random_state)

    def _check_rounding(self, steps: int) -> None:
        """UnreachableError where rounding is not counted and costs more than its share after so many steps of unlearning."""
        algorithm = self._trainer.algorithm
        if algorithm.rounding is not None:
            return
        rounding = rounding_of(replace(algorithm, rounding="float64"))
        assert rounding is not None
        cost, most = rounding.mu(self.sigma_, steps), float(gdp_mu(epsilon=self._stream.epsilon, delta=self._stream.delta))
        if not cost <= algorithm.rounding_share * most:
            raise UnreachableError(
                f"bound={self.bound} does not count rounding, which in float64 would cost mu = {cost:.3g} of the {most:.3g} "
                f"that epsilon and delta allow, more than the share {algorithm.rounding_share:g} that may be: {REMEDIES}"
            )

    def _chosen_losses(self, norms: NDArray[np.float64]) -> Loss:
        """Sets the loss that was asked for, and returns the one to train with: for rows beyond the bound, if they are left."""
        bound = self._ready.bound
        self._loss = self._made(bound)
        # Longer rows are trained on with constants that hold of them; these were read off the data, so unlearning is refused.
        self._long = int((norms > bound * (1 + LEFT_ROUNDING)).sum()) if self.long_rows == "leave" else 0
        return self._made(float(norms.max())) if self._long else self._loss

    def _made(self, bound: float) -> Loss:
        loss = self._loss_of(bound)
        return Weighted.of(loss) if self._weighted else loss

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
        x = validate_data(self, X, reset=False, dtype=FLOATS)
        return scores(self._loss, self._run.parameters, self._ready.rows(x, x.dtype))[:, 0]


def _said(value: object) -> str:
    """A parameter in full; a long array's repr leaves numbers out."""
    if isinstance(value, np.ndarray):
        return f"array({value.tolist()!r})"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_said, value))}]"
    return repr(value)


def _redraws(algorithm: PNSGD, epsilon: float, delta: float) -> bool:
    """Whether a key is redrawn until no batch is too large: where nobody can join, and never redrawing costs more.

    Chances that delta does not resolve are no reason.
    """
    if algorithm.assignment != SECRET or algorithm.problem.adjacency != "remove" or algorithm.largest_n != algorithm.problem.n:
        return False
    cost = oversize(algorithm)
    if cost.log_redrawn is None or cost.log_added < math.log(delta) - _UNRESOLVED:
        return False
    return cost.log_redrawn + epsilon < cost.log_added
