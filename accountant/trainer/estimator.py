"""scikit-learn estimators that unlearn: ``fit``, ``predict``, and ``unlearn`` with the steps that the accountant plans.

    model = PNSGDClassifier(epsilon=1.0, delta=1e-4, requests=100).fit(X, y, ids=ids)
    model.unlearn(ids=["a17", "b3"])              # two records, as one request
    model.learn_more(X_new, y_new, ids=new_ids)   # others join
    model.guarantee_                              # what holds now, of every request so far
    model.certify("certificate.json")             # a proof of that, which others can check
    model.cost_                                   # what the next request takes, and how many cost less than a fit
    model.refit()                                 # learn again on the rows that are left

The noise is calibrated once, at ``fit``, for ``requests`` deletions. Each request then runs the fewest steps of
:class:`~accountant.requests.UnlearningStream`, which counts all earlier requests, over the batches of learning.
A model holds the key by which records draw their batches, and so do its pickles, copies and files: keep them secret for ever.

What the guarantee takes for granted is the list ``guarantee_.assumptions``. Above all: nothing but the rows themselves may have
been learned from the deleted rows. A ``StandardScaler`` before this estimator, settings picked by a grid search or a
``feature_bound`` measured on the data are such things; ``feature_range``, ``Normalizer`` and fixed settings are not.
"""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.curves import Guarantee
from accountant.numerics import InputError, integer
from accountant.trainer.costs import Cost, cost_of
from accountant.trainer.filing import Filing
from accountant.trainer.fitting import serial
from accountant.trainer.history import History
from accountant.trainer.identifiers import Identifier
from accountant.trainer.labels import RowLabels
from accountant.trainer.losses import Array
from accountant.trainer.points import is_sparse
from accountant.trainer.rows import Rows
from accountant.trainer.sparse_rows import SparseRows
from accountant.trainer.weights import plain


class PlannedRequest(NamedTuple):
    """What a request, or learning again without its rows, would take now: numbers that depend on no row.

    points: rows of it. steps of noise sigma, per-sample gradient_evaluations, seconds (as learning took them on its machine;
    None for files of earlier versions), and what holds after it, (epsilon, delta).
    """

    points: int
    steps: int
    sigma: float
    epsilon: float
    delta: float
    gradient_evaluations: int
    seconds: float | None


class Estimator(Filing):
    """What both estimators can do beyond scikit-learn's: answer requests, say what holds and what it costs, learn again."""

    def _forget(self) -> None:
        super()._forget()
        for name in ("requests_", "steps_run_", "classes_run_", "_guarantee", "_history", "_row_labels", "_kept", "_joined"):
            self.__dict__.pop(name, None)

    def _learn(self, X: Array, labels: Array, row_labels: RowLabels, ids: object, sample_weight: object) -> None:
        self._begin(History.begun(), row_labels)
        super()._learn(X, labels, row_labels, ids, sample_weight)

    def _begin(self, history: History, row_labels: RowLabels) -> None:
        """Before the first request."""
        self._guarantee, self.requests_, self.steps_run_, self._kept, self._joined = None, (), (), None, ()
        self.classes_run_ = ()
        self._history, self._row_labels = history, row_labels

    @property
    def guarantee_(self) -> Guarantee:
        """What holds of the model as it is now, of every request so far; AttributeError before the first one."""
        guarantee = getattr(self, "_guarantee", None)
        if guarantee is None:
            raise AttributeError("guarantee_ is there after the first unlearn(...): nothing has been unlearned yet")
        return guarantee

    @serial
    def certify(self, path: str | PathLike[str], key: str | PathLike[str] | None = None) -> None:
        """Write a certificate of ``guarantee_`` to a file, which ``accountant check`` or the one-file checker verifies.

        It proves ``guarantee_.epsilon(delta_)``, to twelve digits, of all requests so far, and holds no data and no key of the
        draws; under bound "optimal". Needs the extra ``certify``. key: the private Ed25519 key that
        signs it, in PEM (extra ``sign``). Raises InputError, and writes nothing, where there is none, with the reason:
        before the first request, right after :meth:`refit`, of published bounds, of groups of a partition that are too large.

        >>> import numpy as np
        >>> from accountant.trainer import PNSGDClassifier
        >>> X = np.array([[0.6, 0.8], [1.0, 0.0], [-1.0, 0.0], [-0.6, -0.8]] * 25)
        >>> model = PNSGDClassifier(epsilon=1.0, delta=1e-3).fit(X, X[:, 0] > 0)
        >>> model.certify("certificate.json")
        Traceback (most recent call last):
        accountant.numerics.validation.InputError: nothing has been unlearned yet: there is no guarantee to certify
        """
        self._check_fitted()
        if self._guarantee is None:
            raise InputError("nothing has been unlearned yet: there is no guarantee to certify")
        # Slow to import, and needed here only.
        from accountant.trainer.certifying import certified, happened, write_certificate

        events = happened(self.requests_, self.steps_run_, self._joined)
        write_certificate(certified(self._stream, self._guarantee, events), path, key)

    @property
    def cost_(self) -> Cost:
        """What the next requests cost, how many more cost less than learning again; AttributeError before fit.

        Asked for, it is computed from public numbers: see :class:`~accountant.trainer.costs.Cost`.
        """
        if not hasattr(self, "coef_"):
            raise AttributeError("cost_ is there after fit")
        with self.alone():
            self._check_fitted()
            return cost_of(self._stream, learned=self._run.learned, most=self._most_steps(), seconds_per_step=self._seconds)

    @serial
    def planned_steps(self, points: int = 1, *, norm_class: float = 1.0) -> int:
        """Steps that a request of so many rows of a class of norm would run now; UnreachableError where no number is enough."""
        self._check_fitted()
        return self._stream.planned(points, self._share_of(norm_class)).steps

    @serial
    def planned_request(self, points: int = 1, *, norm_class: float = 1.0) -> PlannedRequest:
        """What ``unlearn`` of so many rows would run now; UnreachableError, as there, where it would refuse.

        norm_class: the largest of ``classes_of_norm`` among the rows (:meth:`norm_class`).
        """
        self._check_fitted()
        points = integer("points", points, at_least=1)
        return self._priced(points, self._planned(points, None, norm_class)[0])

    @serial
    def norm_class(self, indices: ArrayLike | None = None, *, ids: ArrayLike | None = None, by: str | None = None) -> float:
        """The largest class of norm among rows, named as for :meth:`unlearn`; 1 without ``classes_of_norm``.

        >>> import numpy as np
        >>> from accountant.trainer import PNSGDClassifier
        >>> X = np.array([[0.6, 0.8], [0.1, 0.0], [-1.0, 0.0], [-0.06, -0.08]] * 25)
        >>> model = PNSGDClassifier(classes_of_norm=(1, 0.25), fit_intercept=False).fit(X, X[:, 0] > 0)
        >>> model.norm_class([1]), model.norm_class([0, 1])
        (0.25, 1.0)
        """
        self._check_fitted()
        return self._class_of(self._inner(self._checked_rows(indices, ids, by)))

    @serial
    def planned_refit(self, points: int = 0) -> PlannedRequest:
        """What ``refit`` without so many rows would run now, as long as learning took: the fewer rows, the fewer steps."""
        self._check_fitted()
        return self._priced(integer("points", points, at_least=0), self._run.learned)

    def _priced(self, points: int, steps: int) -> PlannedRequest:
        seconds = None if self._seconds is None else steps * self._seconds
        evaluations = self._trainer.algorithm.gradient_evaluations(steps)
        stream = self._stream
        return PlannedRequest(points, steps, self.sigma_, stream.epsilon, stream.delta, evaluations, seconds)

    @property
    def ids_(self) -> tuple[Identifier, ...]:
        """What the records that are there now are called, as ``unlearn(ids=...)`` takes them.

        Of a partition, whose records have no names of their own: the numbers of rows that ``unlearn`` may still remove.
        """
        self._check_fitted()
        with self.alone():
            _, numbers, names = self._staying(np.empty(0, dtype=np.int64))
            return tuple(numbers[numbers < self._row_labels.n].tolist()) if names is None else names

    @serial
    def refit(self, indices: ArrayLike | None = None, *, ids: ArrayLike | None = None, by: str | None = None) -> Self:
        """Learn again on the rows that are left, without these if any are named (as for :meth:`unlearn`). Returns self.

        Of the removed rows nothing is in the new model: it is learned from the rows that are left, from the start, with fresh
        noise and a fresh key, and a stream of requests begins anew (``requests_`` is empty, and there is no ``guarantee_``
        until the next request). n is what is left now: delta = 1/n and all that says "auto" follow. What models told that were
        released before is told. Rows keep their numbers, labels and identifiers; those that are removed are in none of them.
        Raises InputError, and changes nothing, as :meth:`unlearn` and :meth:`fit` do.
        """
        self._check_fitted()
        rows = np.empty(0, dtype=np.int64)
        if indices is not None or ids is not None:
            rows = self._checked_rows(indices, ids, by, learning=True)
        stay, numbers, names = self._staying(self._inner(rows))
        if not stay.size:
            raise InputError(f"indices must leave at least one of the {self._row_labels.n} rows, got all that were left")
        labels = self._run.labels[stay]
        self._check_left(plain(labels))
        new = self._unfitted()
        row_labels = self._row_labels.without(rows)
        new._begin(self._history.moved(), row_labels.with_rows(RowLabels(int((numbers >= row_labels.n).sum()))))
        new._kept = None if numbers.size == new._row_labels.n else numbers
        new._learn_again(self._rows_at(stay), labels, names)
        # All at once, as a request.
        self.__dict__.update(new.__dict__)
        return self

    def _rows_at(self, places: NDArray[np.int64]) -> Rows | SparseRows:
        """The rows that lie there, in this order; blocks of which all stay are shared."""
        rows = self._run.rows
        gone = np.setdiff1d(np.arange(rows.shape[0]), places)
        if (np.diff(places) > 0).all():
            return rows.without(gone) if gone.size else rows
        taken = rows.take(places)
        return SparseRows.of(taken) if is_sparse(taken) else Rows.of(taken)

    def _unfitted(self) -> Self:
        """An estimator of the same parameters that knows of X and y what follows from no row that may go."""
        new = type(self)(**self.get_params(deep=False))
        for name in ("n_features_in_", "feature_names_in_", "classes_", "_weighted"):
            if name in self.__dict__:
                new.__dict__[name] = self.__dict__[name]
        new._refits = self._refits + 1
        return new

    def _staying(self, inner: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[Identifier, ...] | None]:
        """Of the rows left without these: where they lie in the run, their numbers, rising, and what they are called."""
        run = self._run
        if run.draws is not None:
            stay = np.delete(np.arange(run.labels.size), run.draws.find_numbers("indices", inner))
            names = tuple(run.draws.identifiers[place] for place in stay.tolist())
            return stay, self._outer(run.draws.numbers[stay]), names
        there = ~run.zeroed
        there[inner] = False
        # What took a removed row's place is another row, with a number of its own.
        taken = self._inner(np.array([row for request in self.requests_ for row in request], dtype=np.int64))
        stood_in = np.zeros(there.size, dtype=bool)
        stood_in[taken] = True
        own, others = np.flatnonzero(there & ~stood_in), np.flatnonzero(there & stood_in)
        numbers = np.append(self._outer(own), self._row_labels.n + np.arange(others.size))
        return np.append(own, others), numbers, None
