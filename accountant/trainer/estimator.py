"""scikit-learn estimators that unlearn: ``fit``, ``predict``, and ``unlearn`` with the steps that the accountant plans.

    model = PNSGDClassifier(epsilon=1.0, delta=1e-4, batch_size=128, random_state=None).fit(X, y)
    model.unlearn([17, 42])      # two rows of X, as one request
    model.guarantee_             # what holds now, of every request so far

The noise is calibrated once, at ``fit``, so that ``unlearn_epochs`` are enough for one row. Each request then runs the fewest
steps of :class:`~accountant.requests.UnlearningStream`, which counts all earlier requests, over the batch order of learning.

What the guarantee takes for granted is the list ``guarantee_.assumptions``. Above all: nothing but the rows themselves may have
been learned from the deleted rows. A ``StandardScaler`` before this estimator, settings picked by a grid search or a
``feature_bound`` measured on the data are such things; ``Normalizer``, fixed scales and fixed settings are not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import Guarantee
from accountant.numerics import InputError, UnreachableError, choice, integer, number
from accountant.problem import PNSGD
from accountant.questions import UnlearningAccountant
from accountant.requests import UnlearningStream
from accountant.trainer.losses import Array, Loss
from accountant.trainer.points import check_points, row_norms, row_numbers, scores
from accountant.trainer.scikit import BaseEstimator, check_is_fitted, validate_data
from accountant.trainer.training import DTYPES, Run, Trainer

LONG_ROWS: Final = ("scale", "leave")
FLOATS: Final = (np.float64, np.float32)
#: Rows that are left may exceed the bound by what rounding in float64 does, which is within the accountant's own margins.
_ROUNDING: Final = 1e-14


class Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; parameters are those of the subclasses."""

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
    _guarantee: Guarantee | None
    #: The parameters at fit, as text.
    _params: dict[str, str]
    requests_: tuple[tuple[int, ...], ...]
    steps_run_: tuple[int, ...]

    @abstractmethod
    def _loss_of(self, feature_bound: float) -> Loss:
        """The loss on rows of norm at most ``feature_bound``, intercept included."""

    @abstractmethod
    def _labels(self, y: Any) -> Array:
        """Targets, checked, as the loss wants them."""

    def _check_left(self, rows: NDArray[np.int64], labels: Array, zeroed: bool) -> None:
        """InputError if what is left after a request is not enough."""

    def _forget(self) -> None:
        """Unfitted, lest a fit that fails leaves parts of two."""
        for name in ("coef_", "requests_", "steps_run_", "_guarantee"):
            self.__dict__.pop(name, None)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def _check_fitted(self) -> None:
        """NotFittedError before fit, InputError where parameters were changed after it."""
        check_is_fitted(self)
        now = self.get_params(deep=False)
        changed = [name for name, shown in self._params.items() if repr(now[name]) != shown]
        if changed:
            raise InputError(f"{changed[0]} must stay what it was at fit, {self._params[changed[0]]}, got {now[changed[0]]!r}")

    def _learn(self, X: Array, labels: Array) -> None:
        rows = self._rows(X).astype(choice("dtype", self.dtype, DTYPES), copy=False)
        self._set_up(row_norms(rows), self.sigma)
        self._guarantee, self.requests_, self.steps_run_ = None, (), ()
        self._release(self._trainer.learn(rows, labels, epochs=self.learn_epochs))

    def _set_up(self, norms: NDArray[np.float64], sigma: float | None) -> None:
        """Loss, accountant, noise, trainer and stream for rows of these norms, (n,); sigma None: calibrated."""
        bound = number("feature_bound", self.feature_bound, above=0)
        epsilon = number("epsilon", self.epsilon, at_least=0)
        if not isinstance(self.fit_intercept, (bool, np.bool_)):
            raise InputError(f"fit_intercept must be True or False, got {self.fit_intercept!r}")
        bound = float(np.hypot(bound, 1.0)) if self.fit_intercept else bound
        self._loss = self._loss_of(bound)
        # Longer rows are trained on with constants that hold of them; these were read off the data, so unlearning is refused.
        self._long = int((norms > bound * (1 + _ROUNDING)).sum()) if self.long_rows == "leave" else 0
        loss = self._loss_of(float(norms.max())) if self._long else self._loss
        learned = integer("learn_epochs", self.learn_epochs, at_least=1)
        # Published streams are about converged learning, which covers every finite one.
        converged = self.bound == "paper" and loss.strong_convexity > 0
        algorithm = PNSGD(
            loss.problem(norms.size, adjacency=self.adjacency),
            "full" if self.batch_size is None else self.batch_size,
            radius=self.radius,
            learn_epochs=None if converged else learned,
        )
        accountant = UnlearningAccountant(algorithm, bound=self.bound, batches=self.batches)
        self.delta_ = accountant.default_delta if self.delta is None else number("delta", self.delta, above=0, below=1)
        epochs = integer("unlearn_epochs", self.unlearn_epochs, at_least=accountant.minimum_steps)
        if sigma is None:
            self.sigma_ = float(accountant.sigma(epsilon=epsilon, delta=self.delta_, epochs=epochs))
        else:
            self.sigma_ = number("sigma", sigma, above=0)
        self._stream = UnlearningStream(accountant, sigma=self.sigma_, epsilon=epsilon, delta=self.delta_)
        self._trainer = Trainer(loss, algorithm, sigma=self.sigma_, dtype=self.dtype, seed=self.random_state)

    def _rows(self, X: Array) -> Array:
        """X (n, d) scaled to the bound, if it is, and with the constant feature, if there is one."""
        if choice("long_rows", self.long_rows, LONG_ROWS) == "scale":
            # Rounding leaves rows on either side of the norm they are scaled to.
            slack = 2.0**-22 if self.dtype == "float32" or X.dtype == np.float32 else 2.0**-40
            X = scaled(X, number("feature_bound", self.feature_bound, above=0) * (1 - slack))
        return np.concatenate([X, np.ones((X.shape[0], 1), X.dtype)], axis=1) if self.fit_intercept else X

    def _release(self, run: Run) -> None:
        self._run = run
        self._params = {name: repr(value) for name, value in self.get_params(deep=False).items()}
        weights = run.parameters[:, 0].reshape(self._loss.outputs, -1)
        self._publish(
            weights[:, :-1].copy() if self.fit_intercept else weights.copy(),
            weights[:, -1].copy() if self.fit_intercept else np.zeros(weights.shape[0], weights.dtype),
        )

    @abstractmethod
    def _publish(self, weights: Array, constants: Array) -> None:
        """Set coef_ and intercept_."""

    def _scores(self, X: ArrayLike) -> Array:
        """Scores (n, outputs)."""
        self._check_fitted()
        rows = self._rows(validate_data(self, X, reset=False, dtype=FLOATS))
        return scores(self._loss, self._run.parameters, rows)[:, 0]

    @property
    def guarantee_(self) -> Guarantee:
        """What holds of the model as it is now, of every request so far; AttributeError before the first one."""
        guarantee = getattr(self, "_guarantee", None)
        if guarantee is None:
            raise AttributeError("guarantee_ is there after the first unlearn(...): nothing has been unlearned yet")
        return guarantee

    def planned_steps(self, points: int = 1) -> int:
        """Steps that a request of so many rows would run now; UnreachableError where no number is enough."""
        self._check_fitted()
        return self._stream.planned(points).steps

    def unlearn(
        self, indices: ArrayLike, X: ArrayLike | None = None, y: ArrayLike | None = None, *, max_steps: int | None = None
    ) -> Self:
        """Answer one request: the rows ``indices`` of the X given to fit, (S,), go, and the fewest steps that are enough run.

        X (S, d), y (S,): under adjacency replace rows that take their places; they must not depend on the removed rows. By
            default rows of zeros, of which a model learns nothing.
        max_steps: refuse a request that needs more; default what learning ran, beyond which retraining costs less (or
            unlearn_epochs, if these are more).
        Returns self. Raises InputError, and changes nothing, for rows out of range or removed before, where less would be left
        than one row (of every class, if these were read from y), and where rows were left longer than feature_bound;
        UnreachableError where no number of steps, or none up to max_steps, reaches (epsilon, delta).
        """
        self._check_fitted()
        if self._long:
            raise InputError(
                f"long_rows must be scale for unlearning, or feature_bound larger: {self._long} rows are longer than "
                f"feature_bound = {self.feature_bound:g}, so no guarantee holds"
            )
        n = self._run.zeroed.size
        rows = row_numbers("indices", indices, n)
        again = np.isin(rows, [row for request in self.requests_ for row in request])
        if again.any():
            raise InputError(f"indices must name rows that have not been removed before, got {rows[again][0]}")
        features, labels = self._replacements(rows.size, X, y)
        zeroed = X is None
        if zeroed and self._run.zeroed.sum() + rows.size >= n:
            raise InputError(f"indices must leave at least one of the {n} rows, got all that were left")
        self._check_left(rows, labels, zeroed)
        per_epoch = self._trainer.algorithm.steps_per_epoch
        most = max(self.learn_epochs, self.unlearn_epochs) * per_epoch
        most = most if max_steps is None else integer("max_steps", max_steps, at_least=0)
        advice = "fit again without the rows, or ask for fewer at a time; a larger sigma or epsilon at fit leaves more room"
        try:
            planned = self._stream.planned(int(rows.size))
        except UnreachableError as error:
            raise UnreachableError(f"{error}: {advice}") from None
        if planned.steps > most:
            raise UnreachableError(f"this request needs {planned.steps} steps, more than max_steps = {most}: {advice}")
        given: dict[str, Any] = {} if self.adjacency == "zero-out" else {"features": features, "labels": labels}
        run = self._trainer.unlearn(self._run, rows, steps=planned.steps, **given)
        if zeroed:
            # Not even the target of a removed row is kept.
            targets, gone = run.labels.copy(), run.zeroed.copy()
            targets[rows], gone[rows] = labels, True
            run = replace(run, labels=targets, zeroed=gone)
        self._stream.request(int(rows.size))
        self.requests_ = (*self.requests_, tuple(rows.tolist()))
        self.steps_run_ = (*self.steps_run_, planned.steps)
        self._release(run)
        self._guarantee = replace(planned.guarantee, assumptions=(*planned.guarantee.assumptions, *self._assumptions()))
        return self

    def _replacements(self, count: int, X: ArrayLike | None, y: ArrayLike | None) -> tuple[Array, Array]:
        """Rows and labels that take the removed ones' places."""
        if (X is None) != (y is None):
            raise InputError(f"X and y must be given together, got {'X' if y is None else 'y'} only")
        if X is None:
            return np.zeros((count, self._run.features.shape[1])), np.full(count, self._filler())
        if self.adjacency == "zero-out":
            raise InputError("X and y must be left out under adjacency zero-out, which replaces nothing")
        x, labels = validate_data(self, X, y, reset=False, dtype=FLOATS)
        if x.shape[0] != count:
            raise InputError(f"X must have a row for each of the {count} removed ones, got {x.shape[0]}")
        features = self._rows(x).astype(self.dtype, copy=False)
        norms, most = row_norms(features), self._loss.feature_bound * (1 + _ROUNDING)
        if self.long_rows == "leave" and (norms > most).any():
            raise InputError(f"X must have rows of norm at most feature_bound, got row {norms.argmax()} beyond it; scale them")
        return features, self._labels(labels)

    def _filler(self) -> float:
        """A label that tells nothing."""
        return 0.0

    def _assumptions(self) -> list[str]:
        lines = [
            "settings, and whatever was done to the rows before fit, do not depend on the deleted rows",
            "requests do not depend on models released before them",
        ]
        if self.long_rows == "scale":
            lines.append(f"every row is scaled down to norm {self.feature_bound:g} by itself, in learning and in prediction")
        if self._run.zeroed.sum() < sum(map(len, self.requests_)):
            lines.append("replacement rows do not depend on the deleted ones")
        if self.random_state is not None:
            lines.append("random_state, which was given, is a secret: whoever knows it can subtract the noise")
        return lines

    def save(self, path: str | PathLike[str]) -> None:
        """Write the state to one .npz file without pickles, readable by its owner only; :meth:`load` goes on from it exactly.

        It holds the training data, which unlearning needs, the batch order and the state of the noise: keep it secret. Go on
        from one copy only, as models released from two would share their noise.
        """
        from accountant.trainer.saved import write

        self._check_fitted()
        write(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The estimator that :meth:`save` wrote; InputError for a file that cannot be read, is damaged or is another's."""
        from accountant.trainer.saved import read

        return read(cls, path)

    def _restore(self, run: Run, more: Mapping[str, Any]) -> None:
        """Back to the state that was saved; InputError where its parts do not fit together."""
        n = run.zeroed.size
        # Not calibrated again, which another version might do to other last digits.
        self._set_up(row_norms(run.features), number("sigma", more["sigma"], above=0))
        check_points(self._trainer.loss, run.features, run.labels)
        asked, self._stream = self._stream, UnlearningStream.from_json(more["stream"], self._stream.accountant)
        self.requests_ = tuple(tuple(row_numbers("requests", request, n).tolist()) for request in more["requests"])
        self.steps_run_ = tuple(integer("steps", steps, at_least=0) for steps in more["steps"])
        removed = [row for request in self.requests_ for row in request]
        self._guarantee = None if more["guarantee"] is None else Guarantee.from_json(more["guarantee"])
        algorithm, stream = self._trainer.algorithm, self._stream
        steps = self.learn_epochs * algorithm.steps_per_epoch + stream.total_steps
        whole = len(set(removed)) == len(removed) == stream.points and sum(self.steps_run_) == stream.total_steps
        whole &= all(getattr(asked, name) == getattr(stream, name) for name in ("sigma", "epsilon", "delta", "unit"))
        whole &= len(self.requests_) == len(self.steps_run_) == stream.requests and stream.pending == 0
        whole &= (self._guarantee is None) == (not removed)
        whole &= set(np.flatnonzero(run.zeroed).tolist()) <= set(removed) and not run.features[run.zeroed].any()
        size = self._loss.outputs * run.features.shape[1]
        whole &= run.parameters.shape == (size, 1) and bool(np.isfinite(run.parameters).all())
        whole &= run.parameters.dtype == run.features.dtype == run.labels.dtype == self._trainer.dtype
        whole &= self.n_features_in_ + bool(self.fit_intercept) == run.features.shape[1]
        if not whole:
            raise InputError("its parts do not fit together")
        self._release(
            replace(
                run,
                steps=steps,
                batch_size=int(algorithm.batch_size),
                next_batch=steps % algorithm.steps_per_epoch,
                requests=stream.requests,
            )
        )


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
