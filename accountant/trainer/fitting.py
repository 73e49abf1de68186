"""What the estimators do as any other of scikit-learn: settings become an algorithm and its noise, rows become a model."""

from __future__ import annotations

import functools
import math
import os
import threading
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
from accountant.trainer.identifiers import Identifier, identifiers
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array, Loss
from accountant.trainer.points import row_norms, scaled, scores
from accountant.trainer.runs import Run
from accountant.trainer.scikit import BaseEstimator, check_is_fitted, validate_data
from accountant.trainer.training import Trainer
from accountant.trainer.trials import DTYPES

LONG_ROWS: Final = ("scale", "leave")
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
    long_rows: str
    fit_intercept: bool
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
        changed = [name for name, shown in self._params.items() if repr(now[name]) != shown]
        if changed:
            raise InputError(f"{changed[0]} must stay what it was at fit, {self._params[changed[0]]}, got {now[changed[0]]!r}")

    def _learn(self, X: Array, labels: Array, row_labels: RowLabels, ids: object) -> None:
        """Fit rows (n, d) with labels (n,) as the loss wants them; row_labels and ids: what they are called."""
        rows = self._rows(X).astype(choice("dtype", self.dtype, DTYPES), copy=False)
        self._set_up(row_norms(rows), rows.shape[1], self.sigma, n=rows.shape[0])
        names = self._names(ids, row_labels, rows.shape[0])
        self._check_rounding(self.unlearn_epochs * self._trainer.algorithm.steps_per_epoch)
        self.__dict__.update(self._released(self._trainer.learn(rows, labels, epochs=self.learn_epochs, ids=names)))

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
        bound = number("feature_bound", self.feature_bound, above=0)
        if not isinstance(self.fit_intercept, (bool, np.bool_)):
            raise InputError(f"fit_intercept must be True or False, got {self.fit_intercept!r}")
        bound = float(np.hypot(bound, 1.0)) if self.fit_intercept else bound
        self._loss = self._loss_of(bound)
        # Longer rows are trained on with constants that hold of them; these were read off the data, so unlearning is refused.
        self._long = int((norms > bound * (1 + LEFT_ROUNDING)).sum()) if self.long_rows == "leave" else 0
        return self._loss_of(float(norms.max())) if self._long else self._loss

    def _rows(self, X: Array) -> Array:
        """X (n, d) scaled to the bound, if it is, and with the constant feature, if there is one."""
        if choice("long_rows", self.long_rows, LONG_ROWS) == "scale":
            # Rounding leaves rows on either side of the norm they are scaled to.
            slack = 2.0**-22 if self.dtype == "float32" or X.dtype == np.float32 else 2.0**-40
            X = scaled(X, number("feature_bound", self.feature_bound, above=0) * (1 - slack))
        return np.concatenate([X, np.ones((X.shape[0], 1), X.dtype)], axis=1) if self.fit_intercept else X

    def _released(self, run: Run) -> dict[str, object]:
        """The attributes of an estimator that has this run: for ``__dict__``, all at once, so that no interrupt leaves half."""
        weights = run.parameters[:, 0].reshape(self._loss.outputs, -1)
        coef, intercept = self._published(
            weights[:, :-1].copy() if self.fit_intercept else weights.copy(),
            weights[:, -1].copy() if self.fit_intercept else np.zeros(weights.shape[0], weights.dtype),
        )
        params = {name: repr(value) for name, value in self.get_params(deep=False).items()}
        return {"_run": run, "_params": params, "coef_": coef, "intercept_": intercept}

    @abstractmethod
    def _published(self, weights: Array, constants: Array) -> tuple[Array, Array | float]:
        """coef_ and intercept_ of weights (outputs, d) and constants (outputs,)."""

    def _scores(self, X: ArrayLike) -> Array:
        """Scores (n, outputs)."""
        self._check_fitted()
        rows = self._rows(validate_data(self, X, reset=False, dtype=FLOATS))
        return scores(self._loss, self._run.parameters, rows)[:, 0]


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
