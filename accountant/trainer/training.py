"""Noisy projected SGD as the accountant counts it, for many independent trials at once.

The step is that of :mod:`accountant.trainer.steps`. Batch sizes, step sizes, noise levels and numbers of steps come from the
same :class:`~accountant.problem.PNSGD` and :class:`~accountant.problem.Schedule` that the accountant is given. A deletion
changes the rows and goes on from the learned parameters over the same batch order. Zero-out makes a row zero, and with it the
data part of its gradient, for every loss here. Where records draw their batches by themselves (assignment secret, fresh or
poisson) rows really leave and new ones really join, and every trial has a key of its own (:mod:`accountant.trainer.draws`).

What the noise is worth. Guarantees are about Gaussian noise and real numbers. Here noise is what NumPy's generator (PCG64,
seeded from ``seed`` or else with 256 bits of the operating system) makes of it in floating point: its values have gaps and a
largest size (some 8 standard deviations in float32, 12 in float64), and PCG64 is not a cryptographic generator. Nothing is
claimed against somebody who reads the last bits of released parameters (Mironov 2012), guesses the seed, or measures time.
A seed makes results reproducible, so whoever knows it can subtract the noise, and draw every record's batch: give none where a
guarantee matters. Runs hold the keys, in pickles too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, Progress
from accountant.problem import FRESH, MATCHED, RESHUFFLE
from accountant.questions import UnlearningAccountant
from accountant.trainer.identifiers import identifiers
from accountant.trainer.losses import Array
from accountant.trainer.members import check_room, drawn, waves, with_rows, without
from accountant.trainer.parts import Part, again, epochs_of, learning, unlearning
from accountant.trainer.points import check_points, row_numbers
from accountant.trainer.rows import Rows
from accountant.trainer.runs import Origin, Run
from accountant.trainer.sparse_rows import SparseRows
from accountant.trainer.trials import Trials


class AccountantOptions(TypedDict, total=False):
    """Options of the accountant that a trainer does not settle."""

    bound: str
    batches: str | int | Sequence[int] | None
    reference: str | int
    group_size: int | None


class Trainer(Trials):
    """Learning and unlearning under one loss and one algorithm.

    loss: one of ``LOSSES``. algorithm: the PNSGD, whose problem's constants must cover the loss's; its adjacency says what a
        deletion does. sigma: noise >= 0. schedule: as for the accountant.
        Where it leaves open whether keys are redrawn (redraw None) they are not.
    trials: independent runs. orders: "own" batch order each, or one "shared". generators: "own" of each trial, whose randomness
        then does not depend on ``trials``; or "one" of all, which is faster where trials are many and parameters few.
    dtype: "float64" or "float32", of the rows that are kept; parameters, gradients, their sums and noise are float64.
    initial, initial_variance: the start law N(initial, initial_variance I), initial a number or one per parameter; projected.
    seed: >= 0, for reproducible results, of copies too; None: from the operating system, and copies, pickled trainers and those
        of forked processes draw noise of their own.
    Raises InputError for bad arguments, for settings that the accountant refuses because they prove nothing and, where psutil
    is installed (extra ``trainer``), for runs that need more memory than there is; without psutil no memory is checked.

    >>> import numpy as np
    >>> from accountant import PNSGD
    >>> from accountant.trainer import Logistic
    >>> features, labels = np.eye(4), [1, 1, -1, -1]
    >>> loss = Logistic(regularisation=0.1)
    >>> trainer = Trainer(loss, PNSGD(loss.problem(4), batch_size=2, learn_epochs=10), sigma=0.1, trials=3, seed=0)
    >>> run = trainer.learn(features, labels)
    >>> run.parameters.shape, run.steps
    ((4, 3), 20)
    >>> trainer.unlearn(run, [2], features=features[:1], labels=[1], epochs=1).steps
    22
    """

    def accountant(self, run: Run | None = None, **options: Unpack[AccountantOptions]) -> UnlearningAccountant:
        """The accountant of these very runs; options as for UnlearningAccountant.

        run: where learning is accounted for as converged, one whose epochs of learning are counted instead, which gives less.
        Needed there for other references than the matched one: what converged learning covers of finite runs is matched.
        """
        if options.get("batches") == RESHUFFLE:
            raise InputError("batches must be random, worst or placed: a run keeps the one batch order that it begins with")
        algorithm = self.algorithm
        if run is not None:
            self._check_run(run)
        if self._timeline.converged:
            epochs = 0 if run is None else epochs_of(self._timeline, run.learned)
            if epochs:
                algorithm = replace(algorithm, learn_epochs=epochs)
            elif options.get("reference", MATCHED) != MATCHED:
                raise InputError(
                    "reference must be matched where learning is accounted for as converged, or a run be given that has "
                    f"learned, got {options['reference']}: what covers every finite learning is about matched retraining"
                )
        return UnlearningAccountant(algorithm, schedule=self.schedule, **options)

    def learn(
        self,
        features: ArrayLike | Rows | SparseRows,
        labels: ArrayLike,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        orders: ArrayLike | None = None,
        ids: object = None,
        progress: Progress | None = None,
    ) -> Run:
        """Learn on features (n, d) and labels (n,), from the start law, with fresh randomness.

        epochs or steps: the length, which must be the algorithm's or the schedule's, and may then be left out. Where learning
            is accounted for as converged, any number of whole epochs, which that covers; InputError for part of one.
        orders: batch orders (trials, n) or (1, n) to use instead of random ones, as a :class:`Run` has them.
        ids: identifiers (n,) by which records draw their batches, text or integers; by default their row numbers.
        """
        x, y = self._points(features, labels)
        n = self.algorithm.problem.n
        if x.shape[0] != n:
            raise InputError(f"features must have n = {n} rows, as many as the problem has points, got {x.shape[0]}")
        size = self.loss.outputs * x.shape[1]
        if self.initial.ndim and self.initial.size != size:
            raise InputError(f"initial must be a number or one for each of the {size} parameters, got {self.initial.size}")
        parts = learning(self._timeline, epochs=epochs, steps=steps)
        order = None if orders is None else self._checked_orders(orders)
        if ids is not None and not self.algorithm.own_draws:
            raise InputError("ids must be left out with assignment=partition, where no record draws by itself")
        names = (range(n) if ids is None else identifiers("ids", ids, n)) if self.algorithm.own_draws else None
        run = self._begin(x, y, parts, order, names)
        return replace(self._continue(run, parts, progress), learned=sum(part.steps for part in parts))

    def retrain(self, run: Run, *, progress: Progress | None = None) -> Run:
        """The matched retraining of a run: its steps on the rows that it has now, over its batch orders, from the start law.

        What the guarantee compares the run with, under fresh noise; of own draws the same history without the records that
        left, under fresh keys.

        >>> from accountant import PNSGD
        >>> from accountant.trainer import Logistic
        >>> loss = Logistic(regularisation=0.1)
        >>> algorithm = PNSGD(loss.problem(4, adjacency="zero-out"), batch_size=2, learn_epochs=10)
        >>> trainer = Trainer(loss, algorithm, sigma=0.1, seed=0)
        >>> run = trainer.unlearn(trainer.learn(np.eye(4), [1, 1, -1, -1]), [2], epochs=1)
        >>> trainer.retrain(run).steps == run.steps
        True
        """
        self._check_run(run)
        unlearned = run.steps - run.learned
        parts = again(self._timeline, learned=run.learned, unlearned=unlearned, requested=run.requests > 0)
        if run.draws is not None:
            return self._retrain_drawn(run, parts, progress)
        start = self._begin(run.rows, run.labels, parts, run.orders, None)
        start = replace(start, zeroed=run.zeroed, requests=run.requests, learned=run.learned)
        return self._continue(start, parts, progress)

    def _retrain_drawn(self, run: Run, parts: Sequence[Part], progress: Progress | None) -> Run:
        """The same history without the records that left."""
        names, total, new = drawn(run).identifiers, run.steps, None
        for rows, steps in waves(run, parts):
            called = [names[row] for row in rows]
            if new is None:
                new = self._begin(run.rows.take(rows), run.labels[rows], parts, None, called)
            else:
                new = with_rows(new, run.rows.take(rows), run.labels[rows], called)
            new = self._continue(new, steps, _part(progress, new.steps, sum(part.steps for part in steps), total))
        assert new is not None
        return replace(new, requests=run.requests, learned=run.learned)

    def unlearn(
        self,
        run: Run,
        removed: ArrayLike | Sequence[int] | None = None,
        *,
        ids: object = None,
        features: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        new_ids: object = None,
        epochs: int | None = None,
        steps: int | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Answer a request: the points ``removed`` (row numbers) change, and the run goes on over its batch order.

        ids: identifiers instead of row numbers, of own draws; row numbers count all records in the order in which they came.
        features, labels: under adjacency replace the rows that take their places, one each, of own draws
            if there are any; under zero-out and remove none.
        new_ids: identifiers of these rows, which draw batches of their own; by default the numbers that come next.
        epochs or steps: the length, 0 or more; neither for a schedule that says it. Requests follow one another by calling
        this again with the result.
        """
        self._check_run(run)
        if run.draws is not None:
            return self._unlearn_drawn(
                run, removed, ids, features, labels, new_ids, epochs=epochs, steps=steps, progress=progress
            )
        if ids is not None or new_ids is not None or removed is None:
            raise InputError("removed must be given, and ids and new_ids be left out, with assignment=partition")
        rows = row_numbers("removed", removed, self.algorithm.problem.n)
        if run.zeroed[rows].any():
            raise InputError(f"removed must name points that are still there, got {rows[run.zeroed[rows]][0]}")
        parts = unlearning(self._timeline, first=not run.requests, epochs=epochs, steps=steps)
        new_x, new_y = self._replacements(run, rows, features, labels)
        self._check_memory(parts, run.rows, run.labels.size, own_orders=run.orders.shape[0] > 1)
        y, zeroed = run.labels.copy(), run.zeroed.copy()
        y[rows] = new_y
        zeroed[rows] = self.algorithm.problem.adjacency == "zero-out"
        x = run.rows.changed(rows, new_x)
        changed = replace(run, rows=x, labels=y, zeroed=zeroed, requests=run.requests + 1)
        return self._continue(changed, parts, progress)

    def _unlearn_drawn(
        self,
        run: Run,
        removed: ArrayLike | Sequence[int] | None,
        ids: object,
        features: ArrayLike | None,
        labels: ArrayLike | None,
        new_ids: object,
        *,
        epochs: int | None,
        steps: int | None,
        progress: Progress | None,
    ) -> Run:
        """A request of own draws: rows leave, and stand-ins, if there are any, draw anew."""
        draws = drawn(run)
        per_epoch = self.algorithm.steps_per_epoch
        if self.algorithm.assignment == FRESH and run.steps % per_epoch:
            raise InputError(
                f"requests under assignment=fresh must come after whole epochs of {per_epoch} steps, got one after "
                f"{run.steps}: within an epoch a record may have two visits close together, which no bound here counts"
            )
        if (removed is None) == (ids is None):
            raise InputError(f"exactly one of removed and ids must be given, got {'neither' if ids is None else 'both'}")
        if removed is not None:
            rows = draws.find_numbers("removed", row_numbers("removed", removed, draws.came))
        else:
            rows = draws.find("ids", identifiers("ids", ids))
        parts = unlearning(self._timeline, first=not run.requests, epochs=epochs, steps=steps)
        # A stand-in of zeros would have no gradient, so none at all is as good.
        stood_in = features is not None or labels is not None
        if stood_in:
            new_x, new_y = self._replacements(run, rows, features, labels)
        self._check_memory(parts, run.rows, run.labels.size, own_orders=True)
        changed = without(run, rows)
        if stood_in:
            check_room(self.algorithm, draws.came, rows.size)
            # The reference has a stand-in for as long as the run had who left.
            changed = with_rows(changed, new_x, new_y, draws.names_of(new_ids, rows.size, "new_ids"), since=draws.joined[rows])
        elif new_ids is not None:
            raise InputError("new_ids must be left out where no rows take the places of those that leave")
        return self._continue(replace(changed, requests=run.requests + 1), parts, progress)

    def insert(
        self,
        run: Run,
        features: ArrayLike,
        labels: ArrayLike,
        *,
        ids: object = None,
        epochs: int | None = None,
        steps: int | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Records join, features (k, d) and labels (k,), and the run goes on for so many epochs or steps; own draws only.

        ids: identifiers (k,) of no record that is there; by default the numbers that come next.
        Raises InputError beyond the algorithm's ``largest_n``, and under redraw, which is proved without newcomers.
        """
        self._check_run(run)
        draws = drawn(run)
        if self.algorithm.redraw:
            raise InputError("redraw must be False for records to join: it is proved for those that were there at the start")
        x, y = check_points(self.loss, self._stored(features), labels)
        if not y.size or x.shape[1] != run.rows.shape[1]:
            raise InputError(f"features must have one or more rows of {run.rows.shape[1]} features, got shape {x.shape}")
        check_room(self.algorithm, draws.came, y.size)
        parts = unlearning(self._timeline, first=False, epochs=epochs, steps=steps)
        self._check_memory(parts, run.rows, run.labels.size + y.size, own_orders=True)
        return self._continue(with_rows(run, run.rows.like(x), y, draws.names_of(ids, y.size)), parts, progress)

    def _check_run(self, run: Run) -> None:
        """InputError for a run that is not of this trainer's shape."""
        n = self.algorithm.problem.n
        rows_fit = isinstance(run, Run) and (run.draws is not None or run.rows.shape[0] == n)
        if not rows_fit or run.trials != self.trials or (run.draws is not None) != self.algorithm.own_draws:
            raise InputError(f"run must be a Run of this trainer's {self.trials} trials on {n} points")
        if run.rows.dtype != self.dtype or run.parameters.shape[0] != self.loss.outputs * run.rows.shape[1]:
            raise InputError(
                f"run must have {self.dtype} rows, and {self.loss.outputs} parameters for each feature, got "
                f"{run.rows.dtype} and parameters of shape {run.parameters.shape}"
            )
        for name, theirs, ours in zip(Origin._fields, run.origin, self._origin, strict=True):
            if theirs != ours:
                raise InputError(f"run must have been made with this trainer's {name}, {ours!r}, got one made with {theirs!r}")

    def _replacements(
        self, run: Run, rows: NDArray[np.int64], features: ArrayLike | None, labels: ArrayLike | None
    ) -> tuple[Array, Array]:
        """Features (S, d) and labels (S,) that take the places of the removed rows."""
        wanted = (rows.size, run.rows.shape[1])
        adjacency = self.algorithm.problem.adjacency
        if adjacency != "replace":
            if features is not None or labels is not None:
                raise InputError(f"features and labels must be left out under adjacency {adjacency}, which replaces nothing")
            return run.rows.nothing(rows.size), run.labels[rows]
        if features is None or labels is None:
            raise InputError("features and labels must be given under adjacency replace: a row for each removed point")
        x, y = check_points(self.loss, self._stored(features), labels)
        if x.shape != wanted:
            raise InputError(f"features must have shape {wanted} to replace the removed points, got {x.shape}")
        return run.rows.like(x), y


def _part(progress: Progress | None, begin: int, steps: int, total: int) -> Progress | None:
    """Progress of ``steps`` steps from the ``begin``-th of ``total`` on."""
    if progress is None:
        return None
    return lambda done, whole: progress(1000 * begin // total + 1000 * steps * done // (total * whole), 1000)
