"""Estimators that go to files and come back: what ``save`` writes, and what ``load`` makes sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import numpy as np

from accountant.curves import Guarantee
from accountant.numerics import InputError, integer, number
from accountant.requests import Classes, UnlearningStream, counted_classes
from accountant.trainer.answering import Answering
from accountant.trainer.choosing import Chosen
from accountant.trainer.fitting import serial
from accountant.trainer.points import check_points, is_sparse, row_norms, row_numbers
from accountant.trainer.rows import Rows
from accountant.trainer.runs import Origin, Run
from accountant.trainer.saved import Saved, arrays_of, reading, write
from accountant.trainer.saved_draws import draws_header, read_draws
from accountant.trainer.sparse_rows import SparseRows


class Filing(Answering):
    """An estimator with the state that goes on from a file."""

    @serial
    def save(self, path: str | PathLike[str], *, rows_apart: bool = False) -> None:
        """Write the state to one .npz file without pickles, from which :meth:`load` goes on.

        The file is replaced whole, after whoever is saving to it now, and is on the disk when this returns: a request is done
        then. New files are readable by their owner only, others keep their permissions. OvertakenError, with nothing written,
        where somebody else has saved since to the file that this estimator was loaded from or saved to, or a state of this fit
        that it does not come from: load it again, and repeat the request. InputError for what cannot be written.
        It holds the training data, which unlearning needs, and the batch order: keep it secret. Noise after loading is fresh.
        rows_apart: keep the rows in the folder ``NAME.rows`` beside the file, in blocks. Those that are there already are not
        written again, and those that had removed rows are removed. The two belong together.
        Only if ``random_state`` was given the file holds the state of the noise, which can then be drawn again, and says so.
        """
        self._check_fitted()
        before, after = self._history, self._history.saved(path)
        # Known even if an interrupt comes between the file and the next line but one.
        self._history = replace(before, states=after.states)
        arrays = arrays_of(self._run, apart=rows_apart)
        saved = Saved(
            kind=type(self).__name__,
            params=_written(self.get_params(deep=False)),
            n_features=self.n_features_in_,
            names=getattr(self, "feature_names_in_", None),
            classes=getattr(self, "classes_", None),
            sigma=self.sigma_,
            stream=self._stream.to_json(),
            requests=self.requests_,
            steps=self.steps_run_,
            guarantee=None if self._guarantee is None else self._guarantee.to_json(),
            arrays=arrays if self._kept is None else {**arrays, "kept": self._kept},
            rows=self._run.rows if rows_apart else None,
            noise=self._run.noise,
            row_labels=self._row_labels,
            history=after,
            draws=draws_header(self._run.draws, self._trainer.algorithm.problem.n),
            fitted=self._fitted(),
        )
        write(saved, path, before=self._history)
        self._history = after

    def _fitted(self) -> dict[str, object]:
        """What else fit found out, as JSON types."""
        names = ("batch_size", "regularisation", "learn_epochs", "step_size")
        chosen = {name: getattr(self, f"{name}_") for name in names}
        joined = {"joined": self._joined} if self._joined else {}
        classes = {} if self.classes_of_norm is None else {"classes_run": self.classes_run_}
        return {
            **joined,
            **classes,
            "seconds": self._seconds,
            "count": self._row_labels.n,
            "refits": self._refits,
            "chosen": chosen,
            "columns": self._run.rows.shape[1],
        }

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The estimator that :meth:`save` wrote; InputError for a file that cannot be read, is damaged or is another's."""
        with reading(path, cls.__name__) as saved:
            model: Self = cls(**_read(saved.params))
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
        self._prepare(self.n_features_in_)
        self._weighted, self._kept = saved.arrays["labels"].dtype.names is not None, saved.arrays.get("kept")
        self._seconds = None if saved.fitted.get("seconds") is None else number("seconds", saved.fitted["seconds"], at_least=0)
        self._joined = tuple(
            (integer("joined", before, at_least=0), integer("joined", count, at_least=1), integer("joined", steps, at_least=0))
            for before, count, steps in saved.fitted.get("joined", ())
        )
        self._refits = integer("refits", saved.fitted.get("refits", 0), at_least=0)
        nominal = features.shape[0] if draws is None else integer("n", draws["n"], at_least=1)
        chosen = Chosen.read(saved.fitted.get("chosen"), saved.params, number("sigma", saved.sigma, above=0))
        about: dict[str, Any] = {"n": nominal, "chosen": chosen, "rounding": rounding, "redraw": redraw}
        self._set_up(row_norms(features), features.shape[1], **about)
        check_points(self._trainer.loss, features, saved.arrays["labels"])
        new = self._stream
        self._stream = UnlearningStream.from_json(saved.stream, new.accountant)
        self.requests_ = tuple(tuple(row_numbers("requests", request, n).tolist()) for request in saved.requests)
        self.steps_run_ = tuple(integer("steps", steps, at_least=0) for steps in saved.steps)
        self.classes_run_ = self._classes_run(saved.fitted)
        self._guarantee = None if saved.guarantee is None else Guarantee.from_json(saved.guarantee)
        self._history, self._row_labels = saved.history, saved.row_labels
        if self._trainer.dtype == parameters.dtype == np.float32:
            # The first format had them in the type of the rows.
            parameters = parameters.astype(np.float64)
        algorithm, stream, trainer = self._trainer.algorithm, self._stream, self._trainer
        learned = self.learn_epochs_ * algorithm.steps_per_epoch
        steps = learned + stream.total_steps
        rows = features.shape[0]
        run = Run(
            parameters=parameters,
            orders=saved.arrays["order"][None] if draws is None else np.empty((0, rows), dtype=np.int64),
            rows=saved.rows or (SparseRows.of(features) if is_sparse(features) else Rows.of(features)),
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

    def _classes_run(self, fitted: Mapping[str, Any]) -> tuple[float, ...]:
        """The class of norm of each request of a file; InputError where the stream has other ones."""
        told: Classes = ()
        if self._norm_classes is None:
            classes = (1.0,) * len(self.requests_)
        else:
            classes = tuple(number("classes_run", each, above=0, at_most=1) for each in fitted["classes_run"])
            for share, request in zip(map(self._norm_classes.gradient_share, classes), self.requests_, strict=True):
                told = counted_classes(told, share, len(request)) if share < 1 else told
        if told != self._stream.state.classes:
            raise InputError("its classes of norm are not those of its requests")
        return classes

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
        if self._kept is not None:
            removed = set(self._inner(np.array(sorted(removed), dtype=np.int64)).tolist())
        if run.draws is not None:
            there = set(run.draws.numbers.tolist())
            whole = not (there & removed) and len(there) + len(removed) == run.draws.came and not run.zeroed.any()
            whole &= run.draws.came == (self._row_labels.n if self._kept is None else self._kept.size)
        else:
            whole = set(np.flatnonzero(run.zeroed).tolist()) <= removed and not run.rows.norms[run.zeroed].any()
        size = self._loss.outputs * run.rows.shape[1]
        whole &= run.parameters.shape == (size, 1) and bool(np.isfinite(run.parameters).all())
        kept = self._loss.kept(run.labels[:0], self._trainer.dtype).dtype
        whole &= run.rows.dtype == self._trainer.dtype and run.labels.dtype == kept and run.parameters.dtype == np.float64
        return whole and self.n_features_in_ + bool(self.fit_intercept) == run.rows.shape[1]


def _written(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON has them: weights of classes whose names are no text are pairs."""
    weights = params.get("class_weight")
    if not isinstance(weights, Mapping):
        return dict(params)
    pairs = [[key.item() if isinstance(key, np.generic) else key, weight] for key, weight in weights.items()]
    return {**params, "class_weight": pairs}


def _read(params: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`_written` wrote."""
    weights, ranges = params.get("class_weight"), params.get("feature_range")
    changed: dict[str, Any] = {} if weights is None else {"class_weight": dict(weights)}
    if ranges is not None:
        changed["feature_range"] = tuple(ranges)
    if params.get("classes_of_norm") is not None:
        changed["classes_of_norm"] = tuple(params["classes_of_norm"])
    return {**params, **changed}
