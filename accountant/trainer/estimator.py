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

from dataclasses import replace
from os import PathLike
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import Guarantee
from accountant.numerics import InputError, UnreachableError, integer, number
from accountant.requests import UnlearningStream
from accountant.trainer.fitting import FLOATS, LEFT_ROUNDING, Fitting
from accountant.trainer.losses import Array
from accountant.trainer.points import check_points, row_norms, row_numbers
from accountant.trainer.saved import Saved, reading, write
from accountant.trainer.scikit import validate_data
from accountant.trainer.training import Run


class Estimator(Fitting):
    """What both estimators can do beyond scikit-learn's: answer requests, say what holds, go on from a file."""

    _guarantee: Guarantee | None
    requests_: tuple[tuple[int, ...], ...]
    steps_run_: tuple[int, ...]

    def _check_left(self, rows: NDArray[np.int64], labels: Array, zeroed: bool) -> None:
        """InputError if what is left after a request is not enough."""

    def _forget(self) -> None:
        super()._forget()
        for name in ("requests_", "steps_run_", "_guarantee"):
            self.__dict__.pop(name, None)

    def _learn(self, X: Array, labels: Array) -> None:
        super()._learn(X, labels)
        self._guarantee, self.requests_, self.steps_run_ = None, (), ()

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
        rows = self._checked_rows(indices)
        features, labels = self._replacements(rows.size, X, y)
        zeroed, n = X is None, self._run.zeroed.size
        if zeroed and self._run.zeroed.sum() + rows.size >= n:
            raise InputError(f"indices must leave at least one of the {n} rows, got all that were left")
        self._check_left(rows, labels, zeroed)
        steps, guarantee = self._planned(int(rows.size), max_steps)
        taken = (None, None) if self.adjacency == "zero-out" else (features, labels)
        run = self._trainer.unlearn(self._run, rows, steps=steps, features=taken[0], labels=taken[1])
        if zeroed:
            # Not even the target of a removed row is kept.
            targets, gone = run.labels.copy(), run.zeroed.copy()
            targets[rows], gone[rows] = labels, True
            run = replace(run, labels=targets, zeroed=gone)
        self._stream.request(int(rows.size))
        self.requests_ = (*self.requests_, tuple(rows.tolist()))
        self.steps_run_ = (*self.steps_run_, steps)
        self._release(run)
        self._guarantee = replace(guarantee, assumptions=(*guarantee.assumptions, *self._assumptions()))
        return self

    def _checked_rows(self, indices: ArrayLike) -> NDArray[np.int64]:
        """The rows of a request, (S,), or InputError."""
        if self._long:
            raise InputError(
                f"long_rows must be scale for unlearning, or feature_bound larger: {self._long} rows are longer than "
                f"feature_bound = {self.feature_bound:g}, so no guarantee holds"
            )
        rows = row_numbers("indices", indices, self._run.zeroed.size)
        again = np.isin(rows, [row for request in self.requests_ for row in request])
        if again.any():
            raise InputError(f"indices must name rows that have not been removed before, got {rows[again][0]}")
        return rows

    def _planned(self, points: int, max_steps: int | None) -> tuple[int, Guarantee]:
        """The steps of a request of so many rows and what holds after them, or UnreachableError that says what to do."""
        per_epoch = self._trainer.algorithm.steps_per_epoch
        most = max(self.learn_epochs, self.unlearn_epochs) * per_epoch
        most = most if max_steps is None else integer("max_steps", max_steps, at_least=0)
        advice = "fit again without the rows, or ask for fewer at a time; a larger sigma or epsilon at fit leaves more room"
        try:
            planned = self._stream.planned(points)
        except UnreachableError as error:
            raise UnreachableError(f"{error}: {advice}") from None
        if planned.steps > most:
            raise UnreachableError(f"this request needs {planned.steps} steps, more than max_steps = {most}: {advice}")
        return planned

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
        norms, most = row_norms(features), self._loss.feature_bound * (1 + LEFT_ROUNDING)
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
        self._check_fitted()
        saved = Saved(
            kind=type(self).__name__,
            params=self.get_params(deep=False),
            n_features=self.n_features_in_,
            names=getattr(self, "feature_names_in_", None),
            classes=getattr(self, "classes_", None),
            sigma=self.sigma_,
            stream=self._stream.to_json(),
            requests=self.requests_,
            steps=self.steps_run_,
            guarantee=None if self._guarantee is None else self._guarantee.to_json(),
            run=self._run,
        )
        write(saved, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The estimator that :meth:`save` wrote; InputError for a file that cannot be read, is damaged or is another's."""
        with reading(path, cls.__name__) as saved:
            model: Self = cls(**saved.params)
            model._restore(saved)
        return model

    def _restore(self, saved: Saved) -> None:
        """Back to the state that was saved; InputError where its parts do not fit together."""
        self.n_features_in_ = saved.n_features
        if saved.classes is not None:
            self.classes_ = saved.classes
        if saved.names is not None:
            self.feature_names_in_ = saved.names
        # Not calibrated again, which another version might do to other last digits.
        self._set_up(row_norms(saved.run.features), number("sigma", saved.sigma, above=0))
        check_points(self._trainer.loss, saved.run.features, saved.run.labels)
        new, n = self._stream, saved.run.zeroed.size
        self._stream = UnlearningStream.from_json(saved.stream, new.accountant)
        self.requests_ = tuple(tuple(row_numbers("requests", request, n).tolist()) for request in saved.requests)
        self.steps_run_ = tuple(integer("steps", steps, at_least=0) for steps in saved.steps)
        self._guarantee = None if saved.guarantee is None else Guarantee.from_json(saved.guarantee)
        if not (self._whole_stream(new) and self._whole_run(saved.run)):
            raise InputError("its parts do not fit together")
        algorithm, stream = self._trainer.algorithm, self._stream
        steps = self.learn_epochs * algorithm.steps_per_epoch + stream.total_steps
        size, at = int(algorithm.batch_size), steps % algorithm.steps_per_epoch
        self._release(replace(saved.run, steps=steps, batch_size=size, next_batch=at, requests=stream.requests))

    def _whole_stream(self, new: UnlearningStream) -> bool:
        """Whether the stream is one of these requests, and began as the new one."""
        stream, removed = self._stream, [row for request in self.requests_ for row in request]
        whole = len(set(removed)) == len(removed) == stream.points and sum(self.steps_run_) == stream.total_steps
        whole &= all(getattr(new, name) == getattr(stream, name) for name in ("sigma", "epsilon", "delta", "unit"))
        whole &= len(self.requests_) == len(self.steps_run_) == stream.requests and stream.pending == 0
        return whole and (self._guarantee is None) == (not removed)

    def _whole_run(self, run: Run) -> bool:
        """Whether the run is one of this loss and these requests."""
        removed = {row for request in self.requests_ for row in request}
        whole = set(np.flatnonzero(run.zeroed).tolist()) <= removed and not run.features[run.zeroed].any()
        size = self._loss.outputs * run.features.shape[1]
        whole &= run.parameters.shape == (size, 1) and bool(np.isfinite(run.parameters).all())
        whole &= run.parameters.dtype == run.features.dtype == run.labels.dtype == self._trainer.dtype
        return whole and self.n_features_in_ + bool(self.fit_intercept) == run.features.shape[1]
