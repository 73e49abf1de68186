"""Requests of an estimator: which rows are meant, what takes their places, how many steps run, and what holds then."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import Guarantee
from accountant.numerics import InputError, UnreachableError, integer, shown
from accountant.trainer.fitting import FLOATS, Fitting, serial
from accountant.trainer.history import History
from accountant.trainer.identifiers import identifiers
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array
from accountant.trainer.norm_classes import ROW_ROUNDING
from accountant.trainer.points import row_norms
from accountant.trainer.runs import Run
from accountant.trainer.scikit import validate_data
from accountant.trainer.weights import plain, weighted_labels


class Answering(Fitting):
    """An estimator that answers requests."""

    _guarantee: Guarantee | None
    _history: History
    _row_labels: RowLabels
    #: Row numbers of those rows that ``refit`` learned from and that joined since, rising; None before.
    _kept: NDArray[np.int64] | None
    #: Of those that joined: requests before them, how many, and the steps that ran then.
    _joined: tuple[tuple[int, int, int], ...] = ()
    requests_: tuple[tuple[int, ...], ...]
    steps_run_: tuple[int, ...]
    classes_run_: tuple[float, ...]

    def _check_left(self, labels: Array) -> None:
        """InputError if the labels that are left after a request, (m,), are not enough."""

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
        sample_weight: ArrayLike | None = None,
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
            sample_weight: their weights, (S,), as at fit.
        max_steps: refuse a request that needs more; default what learning ran, beyond which :meth:`refit` costs less (or
            unlearn_epochs, if these are more).
        Threads that call this on one estimator are served one after the other. Returns self. Raises InputError, and changes
        nothing, for rows out of range or removed before, for labels of no row or of several, where less would be left than one
        row (of every class, of those that were there at fit, if these were read from y), and where rows were left longer than
        feature_bound; UnreachableError where no number of steps, or none up to max_steps, reaches (epsilon, delta).
        """
        self._check_fitted()
        own = self._run.draws is not None
        rows = self._checked_rows(indices, ids, by)
        if new_ids is not None and not (own and X is not None):
            raise InputError("new_ids must be left out where no rows with draws of their own take places")
        features, labels = self._replacements(rows.size, X, y, sample_weight)
        zeroed, inner = X is None, self._inner(rows)
        norm_class = self._class_of(inner)
        self._check_class(features, norm_class)
        if not self._left(inner, labels, zeroed).size:
            raise InputError(f"indices must leave at least one of the {self._row_labels.n} rows, got all that were left")
        # Retraining meets rows that joined after it has met the classes.
        self._check_left(self._left(inner, labels, zeroed, at_fit=True))
        steps, guarantee = self._planned(int(rows.size), max_steps, norm_class)
        taken = (None, None) if self.adjacency == "zero-out" or (own and zeroed) else (features, labels)
        run = self._trainer.unlearn(self._run, inner, steps=steps, features=taken[0], labels=taken[1], new_ids=new_ids)
        if zeroed and not own:
            # Not even the target of a removed row is kept.
            targets, gone = run.labels.copy(), run.zeroed.copy()
            targets[inner], gone[inner] = labels, True
            run = replace(run, labels=targets, zeroed=gone)
        # All at once: no interrupt leaves the record of a deletion that did not happen, or the other way round.
        stand_ins = int(rows.size) if own and not zeroed else 0
        self.__dict__.update(self._after(rows, steps, guarantee, run, stand_ins=stand_ins, norm_class=norm_class))
        return self

    @serial
    def learn_more(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        ids: ArrayLike | None = None,
        epochs: int = 1,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Rows X (k, d) with y (k,) join, and learning goes on for ``epochs`` >= 0; assignment "secret" only.

        ids: what they are called, (k,), of no row that is there, as at fit. They must not depend on rows removed before, nor on
            models released while these were in. What holds of earlier requests goes on to hold, against the same history
            without the removed rows: the rows that join now are in both.
        sample_weight: (k,) as at fit.
        Returns self. Raises InputError, and changes nothing, beyond ``largest_n``, for identifiers of rows that are there, and
        where nobody may join because the key was redrawn (``largest_n`` = n).
        """
        self._check_fitted()
        epochs = integer("epochs", epochs, at_least=0)
        named = RowLabels.of(X, np.shape(X)[0] if np.ndim(X) else 0)
        x, labels = validate_data(self, X, y, reset=False, dtype=FLOATS, accept_sparse="csr")
        if self._run.draws is None:
            raise InputError("assignment must be secret for rows to join: a partition has no place for them")
        names = self._names(ids, named, x.shape[0])
        steps = epochs * self._trainer.algorithm.steps_per_epoch
        stream = self._stream.ahead()
        stream.insert(x.shape[0], steps)
        run = self._trainer.insert(self._run, self._taken(x), self._later_labels(labels, sample_weight), ids=names, steps=steps)
        self.__dict__.update(
            {
                **self._released(run),
                "_stream": stream,
                "_history": self._history.moved(),
                "_row_labels": self._row_labels.with_rows(named),
                "_kept": self._kept_with(x.shape[0]),
                "_joined": (*self._joined, (len(self.requests_), x.shape[0], steps)),
            }
        )
        return self

    def _after(
        self,
        rows: NDArray[np.int64],
        steps: int,
        guarantee: Guarantee,
        run: Run,
        *,
        stand_ins: int,
        norm_class: float,
    ) -> dict[str, object]:
        """The attributes of this estimator after a request, none of which is changed in place.

        stand_ins: rows that took places with draws of their own. norm_class: the largest class among the rows.
        """
        stream = self._stream.ahead()
        stream.request(int(rows.size), self._share_of(norm_class))
        requests = (*self.requests_, tuple(rows.tolist()))
        assumptions = (*guarantee.assumptions, *self._assumptions(run, requests))
        return {
            **self._released(run),
            "_stream": stream,
            "requests_": requests,
            "steps_run_": (*self.steps_run_, steps),
            "classes_run_": (*self.classes_run_, norm_class),
            "_history": self._history.moved(),
            "_row_labels": self._row_labels.without(rows).with_rows(RowLabels(stand_ins)),
            "_kept": self._kept_with(stand_ins),
            "_guarantee": replace(guarantee, assumptions=assumptions),
        }

    def _inner(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers in the run of rows (S,) as users count them, or InputError."""
        if self._kept is None:
            return rows
        inner = np.minimum(np.searchsorted(self._kept, rows), self._kept.size - 1)
        gone = self._kept[inner] != rows
        if gone.any():
            raise InputError(f"indices must name rows that have not been removed before, got {rows[gone][0]}")
        return inner

    def _outer(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """As users count them, those of the run."""
        return numbers if self._kept is None else self._kept[numbers]

    def _kept_with(self, count: int) -> NDArray[np.int64] | None:
        """And so many rows that come now."""
        return None if self._kept is None else np.append(self._kept, self._row_labels.n + np.arange(count))

    def _left(self, inner: NDArray[np.int64], labels: Array, zeroed: bool, *, at_fit: bool = False) -> Array:
        """The labels that are left after a request, new ones included, unless rows are ``zeroed``.

        at_fit: without those of rows that came later, if any joined.
        """
        run = self._run
        if run.draws is not None:
            gone = run.draws.find_numbers("indices", inner)
            if at_fit and self._joined:
                gone = np.union1d(gone, np.flatnonzero(run.draws.numbers >= self._trainer.algorithm.problem.n))
            stay = plain(np.delete(run.labels, gone))
            return stay if zeroed else np.append(stay, plain(labels))
        left, there = run.labels.copy(), ~run.zeroed
        left[inner], there[inner] = labels, not zeroed
        return plain(left[there])

    def _checked_rows(
        self, indices: ArrayLike | None, ids: ArrayLike | None, by: str | None, *, learning: bool = False
    ) -> NDArray[np.int64]:
        """The rows of a request, (S,), or InputError."""
        if (indices is None) == (ids is None):
            raise InputError(f"exactly one of indices and ids must be given, got {'neither' if ids is None else 'both'}")
        if self._long and not learning:
            raise InputError(
                f"long_rows must be scale for unlearning, or feature_bound larger: {self._long} rows are longer than "
                f"feature_bound = {self.feature_bound:g}, so no guarantee holds"
            )
        if ids is not None:
            if by is not None or self._run.draws is None:
                raise InputError("ids need records that draw by themselves (assignment not partition), and no by")
            return self._outer(self._run.draws.numbers[self._run.draws.find("ids", identifiers("ids", ids))])
        assert indices is not None
        rows = self._row_labels.find(indices, by)
        again = np.isin(rows, [row for request in self.requests_ for row in request])
        if again.any():
            raise InputError(f"indices must name rows that have not been removed before, got {rows[again][0]}")
        return rows

    def _most_steps(self) -> int:
        """Those beyond which learning again costs less."""
        return max(self._run.learned, (self.unlearn_epochs or 0) * self._trainer.algorithm.steps_per_epoch)

    def _class_of(self, inner: NDArray[np.int64]) -> float:
        """The largest class of norm among rows with these numbers in the run, as a share of ``feature_bound``."""
        if self._norm_classes is None or not inner.size:
            return 1.0
        run = self._run
        places = inner if run.draws is None else run.draws.find_numbers("indices", inner)
        return self._norm_classes.largest(row_norms(run.rows.take(places)))

    def _check_class(self, features: Array, norm_class: float) -> None:
        """InputError for rows that take places of rows of a class, and are longer than it."""
        if self._norm_classes is None or not features.shape[0]:
            return
        own = self._norm_classes.largest(row_norms(features))
        if own > norm_class:
            raise InputError(
                f"X must have rows of the class of norm of those that leave, {shown(norm_class)} of feature_bound at most, got "
                f"one of class {shown(own)}: scale it down, or let longer rows leave with it"
            )

    def _share_of(self, norm_class: float) -> float | None:
        """r/M of a class of norm; None where there are none."""
        if self._norm_classes is not None:
            return self._norm_classes.gradient_share(norm_class)
        if norm_class != 1:
            raise InputError(f"norm_class must be 1 without classes_of_norm, got {norm_class!r}")
        return None

    def _planned(self, points: int, max_steps: int | None, norm_class: float = 1.0) -> tuple[int, Guarantee]:
        """The steps of a request of so many rows and what holds after them, or UnreachableError that says what to do."""
        share = self._share_of(norm_class)
        most = self._most_steps() if max_steps is None else integer("max_steps", max_steps, at_least=0)
        try:
            planned = self._stream.planned(points, share)
        except UnreachableError as error:
            raise UnreachableError(f"{error}: {self._advice(points)}") from None
        if planned.steps > most:
            raise UnreachableError(
                f"this request needs {planned.steps} steps, more than max_steps = {most}: {self._advice(points)}"
            )
        self._check_rounding(self._stream.total_steps + planned.steps)
        return planned

    def _advice(self, points: int) -> str:
        """What to do about a request of so many rows that is refused, with its numbers."""
        again = f"fit again without the rows, which refit(...) with the same arguments does in {self._run.learned} steps"
        more = "a larger sigma or epsilon, or requests=... at fit leaves more room"
        if points > 1:
            return f"ask for fewer at a time, or {again}; {more}"
        return f"{again}; rows in one list share their steps (planned_steps(10) says how many); {more}"

    def _replacements(
        self, count: int, X: ArrayLike | None, y: ArrayLike | None, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array]:
        """Rows and labels that take the removed ones' places."""
        if (X is None) != (y is None):
            raise InputError(f"X and y must be given together, got {'X' if y is None else 'y'} only")
        if X is None:
            if sample_weight is not None:
                raise InputError("sample_weight must be left out where no rows take the places of those that leave")
            return self._run.rows.nothing(count), self._later_filler(count)
        if self.adjacency != "replace":
            raise InputError(f"X and y must be left out under adjacency {self.adjacency}, which replaces nothing")
        x, labels = validate_data(self, X, y, reset=False, dtype=FLOATS, accept_sparse="csr")
        if x.shape[0] != count:
            raise InputError(f"X must have a row for each of the {count} removed ones, got {x.shape[0]}")
        return self._taken(x), self._later_labels(labels, sample_weight)

    def _later_filler(self, count: int) -> Array:
        labels = np.full(count, self._filler())
        return weighted_labels(labels, 1.0) if self._weighted else labels

    def _taken(self, x: Array) -> Array:
        """Rows that come in after fit, as they are kept; InputError for rows that are too long, where these are left."""
        features = self._ready.rows(x, np.dtype(self.dtype))
        norms, most = row_norms(features), self._loss.feature_bound * (1 + ROW_ROUNDING)
        if self.long_rows == "leave" and (norms > most).any():
            raise InputError(f"X must have rows of norm at most feature_bound, got row {norms.argmax()} beyond it; scale them")
        return features

    def _filler(self) -> float:
        """A label that tells nothing."""
        return 0.0

    def _assumptions(self, run: Run, requests: tuple[tuple[int, ...], ...]) -> list[str]:
        nominal = self._trainer.algorithm.problem.n
        lines = [
            "settings, and whatever was done to the rows before fit, do not depend on the deleted rows",
            f"the model that is compared with was retrained with the same settings, those of the {nominal} rows at fit, a "
            "public number, also where they are auto",
            "requests do not depend on models released before them",
        ]
        if self._norm_classes is not None:
            lines.append(self._norm_classes.assumption)
        prepared = self._ready.assumption()
        if prepared is not None:
            lines.append(prepared)
        if self._weighted:
            lines.append(
                "weights of rows are their own or public: none was computed from other rows, and weight_bound from none"
            )
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
