"""scikit-learn estimators that unlearn: ``fit``, ``predict``, and ``unlearn`` with the steps that the accountant plans.

    model = PNSGDClassifier(epsilon=1.0, delta=1e-4, batch_size=128).fit(X, y, ids=ids)
    model.unlearn(ids=["a17", "b3"])              # two records, as one request
    model.learn_more(X_new, y_new, ids=new_ids)   # others join
    model.guarantee_                              # what holds now, of every request so far

The noise is calibrated once, at ``fit``, so that ``unlearn_epochs`` are enough for one row. Each request then runs the fewest
steps of :class:`~accountant.requests.UnlearningStream`, which counts all earlier requests, over the batches of learning.
A model holds the key by which records draw their batches, and so do its pickles, copies and files: keep them secret for ever.

What the guarantee takes for granted is the list ``guarantee_.assumptions``. Above all: nothing but the rows themselves may have
been learned from the deleted rows. A ``StandardScaler`` before this estimator, settings picked by a grid search or a
``feature_bound`` measured on the data are such things; ``Normalizer``, fixed scales and fixed settings are not.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from os import PathLike
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import Guarantee
from accountant.numerics import InputError, UnreachableError, integer, number
from accountant.requests import UnlearningStream
from accountant.trainer.fitting import FLOATS, LEFT_ROUNDING, Fitting, serial
from accountant.trainer.history import History
from accountant.trainer.identifiers import identifiers
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array
from accountant.trainer.points import check_points, row_norms, row_numbers
from accountant.trainer.runs import Origin, Run
from accountant.trainer.saved import Saved, arrays_of, reading, write
from accountant.trainer.saved_draws import draws_header, read_draws
from accountant.trainer.scikit import validate_data


class Estimator(Fitting):
    """What both estimators can do beyond scikit-learn's: answer requests, say what holds, go on from a file."""

    _guarantee: Guarantee | None
    _history: History
    _row_labels: RowLabels
    requests_: tuple[tuple[int, ...], ...]
    steps_run_: tuple[int, ...]

    def _check_left(self, labels: Array) -> None:
        """InputError if the labels that are left after a request, (m,), are not enough."""

    def _forget(self) -> None:
        super()._forget()
        for name in ("requests_", "steps_run_", "_guarantee", "_history", "_row_labels"):
            self.__dict__.pop(name, None)

    def _learn(self, X: Array, labels: Array, row_labels: RowLabels, ids: object) -> None:
        self._guarantee, self.requests_, self.steps_run_ = None, (), ()
        self._history, self._row_labels = History.begun(), row_labels
        super()._learn(X, labels, row_labels, ids)

    @property
    def guarantee_(self) -> Guarantee:
        """What holds of the model as it is now, of every request so far; AttributeError before the first one."""
        guarantee = getattr(self, "_guarantee", None)
        if guarantee is None:
            raise AttributeError("guarantee_ is there after the first unlearn(...): nothing has been unlearned yet")
        return guarantee

    @serial
    def planned_steps(self, points: int = 1) -> int:
        """Steps that a request of so many rows would run now; UnreachableError where no number is enough."""
        self._check_fitted()
        return self._stream.planned(points).steps

    @serial
    def unlearn(
        self,
        indices: ArrayLike | None = None,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        ids: ArrayLike | None = None,
        by: str | None = None,
        new_ids: ArrayLike | None = None,
        max_steps: int | None = None,
    ) -> Self:
        """Answer one request: rows go, (S,), and the fewest steps that are enough run.

        ids: what the rows were called at fit or when they joined; or indices: rows of the X given to fit, counted on over those
            that joined since, or labels of its index.
        by: "rows", if indices are row numbers of X, or "labels", if they are of its index. To be left out where they can be one
            thing only: a pandas Index or Series holds labels, and X without an index, or with 0 ... n - 1, has row numbers.
            Plain integers for an X with another index are refused without it.
        X (S, d), y (S,): under adjacency replace rows that take their places; they must not depend on the removed rows. By
            default rows of zeros, of which a model learns nothing, or none, of own draws. new_ids: what these rows are called.
        max_steps: refuse a request that needs more; default what learning ran, beyond which retraining costs less (or
            unlearn_epochs, if these are more).
        Threads that call this on one estimator are served one after the other. Returns self. Raises InputError, and changes
        nothing, for rows out of range or removed before, for labels of no row or of several, where less would be left than one
        row (of every class, if these were read from y), and where rows were left longer than feature_bound;
        UnreachableError where no number of steps, or none up to max_steps, reaches (epsilon, delta).
        """
        self._check_fitted()
        own = self._run.draws is not None
        rows = self._checked_rows(indices, ids, by)
        if new_ids is not None and not (own and X is not None):
            raise InputError("new_ids must be left out where no rows with draws of their own take places")
        features, labels = self._replacements(rows.size, X, y)
        zeroed = X is None
        left = self._left(rows, labels, zeroed)
        if not left.size:
            raise InputError(f"indices must leave at least one of the {self._row_labels.n} rows, got all that were left")
        self._check_left(left)
        steps, guarantee = self._planned(int(rows.size), max_steps)
        taken = (None, None) if self.adjacency == "zero-out" or (own and zeroed) else (features, labels)
        run = self._trainer.unlearn(self._run, rows, steps=steps, features=taken[0], labels=taken[1], new_ids=new_ids)
        if zeroed and not own:
            # Not even the target of a removed row is kept.
            targets, gone = run.labels.copy(), run.zeroed.copy()
            targets[rows], gone[rows] = labels, True
            run = replace(run, labels=targets, zeroed=gone)
        # All at once: no interrupt leaves the record of a deletion that did not happen, or the other way round.
        self.__dict__.update(self._after(rows, steps, guarantee, run, stand_ins=int(rows.size) if own and not zeroed else 0))
        return self

    @serial
    def learn_more(self, X: ArrayLike, y: ArrayLike, *, ids: ArrayLike | None = None, epochs: int = 1) -> Self:
        """Rows X (k, d) with y (k,) join, and learning goes on for ``epochs`` >= 0; assignment "secret" only.

        ids: what they are called, (k,), of no row that is there, as at fit. They must not depend on rows removed before, nor on
            models released while these were in. What holds of earlier requests goes on to hold, against the same history
            without the removed rows: the rows that join now are in both.
        Returns self. Raises InputError, and changes nothing, beyond ``largest_n``, for identifiers of rows that are there, and
        where nobody may join because the key was redrawn (``largest_n`` = n).
        """
        self._check_fitted()
        epochs = integer("epochs", epochs, at_least=0)
        named = RowLabels.of(X, np.shape(X)[0] if np.ndim(X) else 0)
        x, labels = validate_data(self, X, y, reset=False, dtype=FLOATS)
        if self._run.draws is None:
            raise InputError("assignment must be secret for rows to join: a partition has no place for them")
        names = self._names(ids, named, x.shape[0])
        steps = epochs * self._trainer.algorithm.steps_per_epoch
        stream = self._later()
        stream.insert(x.shape[0], steps)
        run = self._trainer.insert(self._run, self._taken(x), self._labels(labels), ids=names, steps=steps)
        self.__dict__.update(
            {
                **self._released(run),
                "_stream": stream,
                "_history": self._history.moved(),
                "_row_labels": self._row_labels.with_rows(named),
            }
        )
        return self

    def _later(self) -> UnlearningStream:
        """The stream, to be moved on."""
        stream = copy(self._stream)
        stream.state = copy(stream.state)
        return stream

    def _after(
        self, rows: NDArray[np.int64], steps: int, guarantee: Guarantee, run: Run, *, stand_ins: int
    ) -> dict[str, object]:
        """The attributes of this estimator after a request, none of which is changed in place.

        stand_ins: rows that took places with draws of their own.
        """
        stream = self._later()
        stream.request(int(rows.size))
        requests = (*self.requests_, tuple(rows.tolist()))
        assumptions = (*guarantee.assumptions, *self._assumptions(run, requests))
        return {
            **self._released(run),
            "_stream": stream,
            "requests_": requests,
            "steps_run_": (*self.steps_run_, steps),
            "_history": self._history.moved(),
            "_row_labels": self._row_labels.without(rows).with_rows(RowLabels(stand_ins)),
            "_guarantee": replace(guarantee, assumptions=assumptions),
        }

    def _left(self, rows: NDArray[np.int64], labels: Array, zeroed: bool) -> Array:
        """The labels that are left after a request, new ones included, unless rows are ``zeroed``."""
        run = self._run
        if run.draws is not None:
            stay = np.delete(run.labels, run.draws.find_numbers("indices", rows))
            return stay if zeroed else np.append(stay, labels)
        left, there = run.labels.copy(), ~run.zeroed
        left[rows], there[rows] = labels, not zeroed
        return left[there]

    def _checked_rows(self, indices: ArrayLike | None, ids: ArrayLike | None, by: str | None) -> NDArray[np.int64]:
        """The rows of a request, (S,), or InputError."""
        if (indices is None) == (ids is None):
            raise InputError(f"exactly one of indices and ids must be given, got {'neither' if ids is None else 'both'}")
        if self._long:
            raise InputError(
                f"long_rows must be scale for unlearning, or feature_bound larger: {self._long} rows are longer than "
                f"feature_bound = {self.feature_bound:g}, so no guarantee holds"
            )
        if ids is not None:
            if by is not None or self._run.draws is None:
                raise InputError("ids need records that draw by themselves (assignment not partition), and no by")
            return self._run.draws.numbers[self._run.draws.find("ids", identifiers("ids", ids))]
        assert indices is not None
        rows = self._row_labels.find(indices, by)
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
        self._check_rounding(self._stream.total_steps + planned.steps)
        return planned

    def _replacements(self, count: int, X: ArrayLike | None, y: ArrayLike | None) -> tuple[Array, Array]:
        """Rows and labels that take the removed ones' places."""
        if (X is None) != (y is None):
            raise InputError(f"X and y must be given together, got {'X' if y is None else 'y'} only")
        if X is None:
            return np.zeros((count, self._run.features.shape[1])), np.full(count, self._filler())
        if self.adjacency != "replace":
            raise InputError(f"X and y must be left out under adjacency {self.adjacency}, which replaces nothing")
        x, labels = validate_data(self, X, y, reset=False, dtype=FLOATS)
        if x.shape[0] != count:
            raise InputError(f"X must have a row for each of the {count} removed ones, got {x.shape[0]}")
        return self._taken(x), self._labels(labels)

    def _taken(self, x: Array) -> Array:
        """Rows that come in after fit, as they are kept; InputError for rows that are too long, where these are left."""
        features = self._rows(x).astype(self.dtype, copy=False)
        norms, most = row_norms(features), self._loss.feature_bound * (1 + LEFT_ROUNDING)
        if self.long_rows == "leave" and (norms > most).any():
            raise InputError(f"X must have rows of norm at most feature_bound, got row {norms.argmax()} beyond it; scale them")
        return features

    def _filler(self) -> float:
        """A label that tells nothing."""
        return 0.0

    def _assumptions(self, run: Run, requests: tuple[tuple[int, ...], ...]) -> list[str]:
        lines = [
            "settings, and whatever was done to the rows before fit, do not depend on the deleted rows",
            "requests do not depend on models released before them",
        ]
        if self.long_rows == "scale":
            lines.append(f"every row is scaled down to norm {self.feature_bound:g} by itself, in learning and in prediction")
        own = run.draws is not None
        if self.adjacency == "replace" and (own or run.zeroed.sum() < sum(map(len, requests))):
            lines.append("replacement rows do not depend on the deleted ones")
        if own:
            lines.append("whoever has a saved model, a pickle or a copy has the key of the draws: all are kept secret for ever")
            lines.append("rows that joined after a deletion do not depend on the deleted rows, nor on models that had them in")
        if self.random_state is not None:
            noise = "random_state, which was given, is a secret: whoever knows it can subtract the noise"
            lines.append(f"{noise} and draw every row's batch: its key is none" if own else noise)
        return lines

    @serial
    def save(self, path: str | PathLike[str]) -> None:
        """Write the state to one .npz file without pickles, from which :meth:`load` goes on.

        The file is replaced whole, after whoever is saving to it now, and is on the disk when this returns: a request is done
        then. New files are readable by their owner only, others keep their permissions. OvertakenError, with nothing written,
        where somebody else has saved since to the file that this estimator was loaded from or saved to, or a state of this fit
        that it does not come from: load it again, and repeat the request. InputError for what cannot be written.
        It holds the training data, which unlearning needs, and the batch order: keep it secret. Noise after loading is fresh.
        Only if ``random_state`` was given the file holds the state of the noise, which can then be drawn again, and says so.
        """
        self._check_fitted()
        before, after = self._history, self._history.saved(path)
        # Known even if an interrupt comes between the file and the next line but one.
        self._history = replace(before, states=after.states)
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
            arrays=arrays_of(self._run),
            noise=self._run.noise,
            row_labels=self._row_labels,
            history=after,
            draws=draws_header(self._run.draws, self._trainer.algorithm.problem.n),
        )
        write(saved, path, before=self._history)
        self._history = after

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
        features, parameters = saved.arrays["features"], saved.arrays["parameters"]
        # Not calibrated again, which another version might do to other last digits.
        rounding = "float64" if '"rounding"' in saved.stream else None
        draws, n = saved.draws, saved.row_labels.n
        redraw = None if draws is None else bool(draws["redrawn"])
        sigma, nominal = number("sigma", saved.sigma, above=0), n if draws is None else integer("n", draws["n"], at_least=1)
        self._set_up(row_norms(features), features.shape[1], sigma, n=nominal, rounding=rounding, redraw=redraw)
        check_points(self._trainer.loss, features, saved.arrays["labels"])
        new = self._stream
        self._stream = UnlearningStream.from_json(saved.stream, new.accountant)
        self.requests_ = tuple(tuple(row_numbers("requests", request, n).tolist()) for request in saved.requests)
        self.steps_run_ = tuple(integer("steps", steps, at_least=0) for steps in saved.steps)
        self._guarantee = None if saved.guarantee is None else Guarantee.from_json(saved.guarantee)
        self._history, self._row_labels = saved.history, saved.row_labels
        if self._trainer.dtype == parameters.dtype == np.float32:
            # The first format had them in the type of the rows.
            parameters = parameters.astype(np.float64)
        algorithm, stream, trainer = self._trainer.algorithm, self._stream, self._trainer
        learned = self.learn_epochs * algorithm.steps_per_epoch
        steps = learned + stream.total_steps
        rows = features.shape[0]
        run = Run(
            parameters=parameters,
            orders=saved.arrays["order"][None] if draws is None else np.empty((0, rows), dtype=np.int64),
            features=features,
            labels=saved.arrays["labels"],
            steps=steps,
            learned=learned,
            # Where in the cycle the run stands follows from what has been run.
            batch_size=int(algorithm.batch_size),
            next_batch=steps % algorithm.steps_per_epoch,
            requests=stream.requests,
            zeroed=saved.arrays["zeroed"],
            noise=saved.noise,
            origin=Origin(trainer.loss, algorithm, trainer.schedule, trainer.sigma),
            draws=None if draws is None else read_draws(draws, saved.arrays, rows, algorithm),
        )
        if not (self._whole_stream(new) and self._whole_run(run)):
            raise InputError("its parts do not fit together")
        parameters.flags.writeable = False
        self.__dict__.update(self._released(run))

    def _whole_stream(self, new: UnlearningStream) -> bool:
        """Whether the stream is one of these requests, and began as the new one."""
        stream, removed = self._stream, [row for request in self.requests_ for row in request]
        whole = len(set(removed)) == len(removed) == stream.points
        # Learning that went on for rows that joined is in the stream, too.
        more = stream.total_steps - sum(self.steps_run_)
        whole &= more == 0 or (more > 0 and stream.state.inserted > 0)
        whole &= all(getattr(new, name) == getattr(stream, name) for name in ("sigma", "epsilon", "delta", "unit"))
        whole &= len(self.requests_) == len(self.steps_run_) == stream.requests and stream.pending == 0
        return whole and (self._guarantee is None) == (not removed)

    def _whole_run(self, run: Run) -> bool:
        """Whether the run is one of this loss and these requests."""
        removed = {row for request in self.requests_ for row in request}
        if run.draws is not None:
            there = set(run.draws.numbers.tolist())
            whole = not (there & removed) and len(there) + len(removed) == run.draws.came and not run.zeroed.any()
        else:
            whole = set(np.flatnonzero(run.zeroed).tolist()) <= removed and not run.features[run.zeroed].any()
        size = self._loss.outputs * run.features.shape[1]
        whole &= run.parameters.shape == (size, 1) and bool(np.isfinite(run.parameters).all())
        whole &= run.features.dtype == run.labels.dtype == self._trainer.dtype and run.parameters.dtype == np.float64
        return whole and self.n_features_in_ + bool(self.fit_intercept) == run.features.shape[1]
