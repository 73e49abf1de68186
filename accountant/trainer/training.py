"""Noisy projected SGD as the accountant counts it, for many independent trials at once.

The step is that of :mod:`accountant.trainer.steps`. Batch sizes, step sizes, noise levels and numbers of steps come from the
same :class:`~accountant.problem.PNSGD` and :class:`~accountant.problem.Schedule` that the accountant is given. A deletion
changes the rows and goes on from the learned parameters over the same batch order. Zero-out makes a row zero, and with it the
data part of its gradient, for every loss here.

What the noise is worth. Guarantees are about Gaussian noise and real numbers. Here noise is what NumPy's generator (PCG64,
seeded from ``seed`` or else with 256 bits of the operating system) makes of it in floating point: its values have gaps and a
largest size (some 8 standard deviations in float32, 12 in float64), and PCG64 is not a cryptographic generator. Nothing is
claimed against somebody who reads the last bits of released parameters (Mironov 2012), guesses the seed, or measures time.
A seed makes results reproducible, so whoever knows it can subtract the noise: give none where a guarantee matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Final, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, Progress, choice, integer, number, numbers
from accountant.problem import MATCHED, PNSGD, RESHUFFLE, Learn, Schedule, Unlearn
from accountant.questions import UnlearningAccountant
from accountant.shifts import Timeline
from accountant.trainer.losses import Array, Loss
from accountant.trainer.needs import check_memory, needed_bytes
from accountant.trainer.noise import Noise, Seeds
from accountant.trainer.parts import Part, again, epochs_of, learning, unlearning
from accountant.trainer.points import check_points, row_norms, row_numbers
from accountant.trainer.runs import Origin, Run
from accountant.trainer.steps import Cursor, Data, Update, follow, project

ORDERS: Final = ("own", "shared")
DTYPES: Final = ("float32", "float64")


class AccountantOptions(TypedDict, total=False):
    """Options of the accountant that a trainer does not settle."""

    bound: str
    batches: str | int | Sequence[int] | None
    reference: str | int
    group_size: int | None


class Trainer:
    """Learning and unlearning under one loss and one algorithm.

    loss: one of ``LOSSES``. algorithm: the PNSGD, whose problem's constants must cover the loss's; its adjacency says what a
        deletion does. sigma: noise >= 0. schedule: as for the accountant.
    trials: independent runs. orders: "own" batch order each, or one "shared". dtype: "float64" or "float32", of the rows that
        are kept; parameters, gradients, their sums and noise are float64.
    initial, initial_variance: the start law N(initial, initial_variance I), initial a number or one per parameter; projected.
    seed: >= 0, for reproducible results, of copies too; None: from the operating system, and copies, pickled trainers and those
        of forked processes draw noise of their own. Trial i's randomness does not depend on ``trials``.
    Raises InputError for bad arguments, for settings that the accountant refuses because they prove nothing and, where psutil
    is installed (extra ``trainer``), for runs that need more memory than there is; without psutil no memory is checked.

    >>> import numpy as np
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

    def __init__(
        self,
        loss: Loss,
        algorithm: PNSGD,
        *,
        sigma: float,
        schedule: Schedule | None = None,
        trials: int = 1,
        orders: str = "own",
        dtype: str = "float64",
        initial: ArrayLike = 0.0,
        initial_variance: float = 0.0,
        seed: int | None = None,
    ) -> None:
        if not isinstance(loss, Loss):
            raise InputError(f"loss must be a Loss, got {loss!r}")
        if not isinstance(algorithm, PNSGD):
            raise InputError(f"algorithm must be a PNSGD, got {algorithm!r}")
        self.loss, self.algorithm, self.schedule = loss, algorithm, schedule
        self.sigma = number("sigma", sigma, at_least=0)
        self.trials = integer("trials", trials, at_least=1)
        self.orders = choice("orders", orders, ORDERS)
        self.dtype = np.dtype(choice("dtype", dtype, DTYPES))
        self.initial = numbers("initial", initial)
        if self.initial.ndim > 1:
            raise InputError(f"initial must be a number or one per parameter, got shape {self.initial.shape}")
        self.initial_variance = number("initial_variance", initial_variance, at_least=0)
        loss.check_covered(algorithm.problem)
        UnlearningAccountant(algorithm, schedule=schedule).check()
        self._timeline = Timeline(schedule if schedule is not None else Schedule([Learn(), Unlearn()]), algorithm)
        self._seeds = Seeds(seed)

    def __getstate__(self) -> dict[str, object]:
        # A shallow copy would take turns at the seeds of the original.
        return {**self.__dict__, "_seeds": copy(self._seeds)}

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
        features: ArrayLike,
        labels: ArrayLike,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        orders: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Learn on features (n, d) and labels (n,), from the start law, with fresh randomness.

        epochs or steps: the length, which must be the algorithm's or the schedule's, and may then be left out. Where learning
            is accounted for as converged, any number of whole epochs, which that covers; InputError for part of one.
        orders: batch orders (trials, n) or (1, n) to use instead of random ones, as a :class:`Run` has them.
        """
        x, y = check_points(self.loss, self._stored(features), labels)
        n = self.algorithm.problem.n
        if x.shape[0] != n:
            raise InputError(f"features must have n = {n} rows, as many as the problem has points, got {x.shape[0]}")
        size = self.loss.outputs * x.shape[1]
        if self.initial.ndim and self.initial.size != size:
            raise InputError(f"initial must be a number or one for each of the {size} parameters, got {self.initial.size}")
        parts = learning(self._timeline, epochs=epochs, steps=steps)
        order = None if orders is None else self._checked_orders(orders)
        run = self._begin(x, y, parts, order)
        return replace(self._continue(run, parts, progress), learned=sum(part.steps for part in parts))

    def retrain(self, run: Run, *, progress: Progress | None = None) -> Run:
        """The matched retraining of a run: its steps on the rows that it has now, over its batch orders, from the start law.

        What the guarantee compares the run with, under fresh noise.

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
        start = self._begin(run.features, run.labels, parts, run.orders)
        start = replace(start, zeroed=run.zeroed, requests=run.requests, learned=run.learned)
        return self._continue(start, parts, progress)

    def unlearn(
        self,
        run: Run,
        removed: ArrayLike | Sequence[int],
        *,
        features: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        progress: Progress | None = None,
    ) -> Run:
        """Answer a request: the points ``removed`` (row numbers) change, and the run goes on over its batch order.

        features, labels: under adjacency replace the rows that take their places, one each; under zero-out none.
        epochs or steps: the length, 0 or more; neither for a schedule that says it. Requests follow one another by calling
        this again with the result.
        """
        self._check_run(run)
        rows = row_numbers("removed", removed, self.algorithm.problem.n)
        if run.zeroed[rows].any():
            raise InputError(f"removed must name points that are still there, got {rows[run.zeroed[rows]][0]}")
        parts = unlearning(self._timeline, first=not run.requests, epochs=epochs, steps=steps)
        new_x, new_y = self._replacements(run, rows, features, labels)
        self._check_memory(parts, run.features.shape[1], run.orders.shape[0] > 1)
        x, y, zeroed = run.features.copy(), run.labels.copy(), run.zeroed.copy()
        x[rows], y[rows] = new_x, new_y
        zeroed[rows] = self.algorithm.problem.adjacency == "zero-out"
        changed = replace(run, features=x, labels=y, zeroed=zeroed, requests=run.requests + 1)
        return self._continue(changed, parts, progress)

    def _stored(self, features: ArrayLike) -> ArrayLike:
        """In the type that rows are kept in, as what is checked must be what is run on."""
        if self.dtype == np.float64:
            return features
        try:
            with np.errstate(over="ignore"):
                return np.asarray(features).astype(self.dtype)
        except (ValueError, TypeError):
            return features

    def _begin(self, x: Array, y: Array, parts: Sequence[Part], order: NDArray[np.int64] | None) -> Run:
        """A run before its first step, on checked points, over these orders or random ones."""
        self._check_memory(parts, x.shape[1], self.orders == "own" if order is None else order.shape[0] > 1)
        # Children of a child: what a trial draws depends on the call and on its number, not on how many there are.
        common, *own = self._seeds.spawn().spawn(self.trials + 1)
        noise = Noise([np.random.default_rng(seed) for seed in own], replayable=self._seeds.given)
        if order is None:
            order = self._random_orders(common, noise.generators)
        return Run(
            parameters=self._starts(self.loss.outputs * x.shape[1], noise.generators).T,
            orders=order,
            # A copy: the caller may change theirs.
            features=np.array(x, dtype=self.dtype),
            labels=y.astype(self.dtype),
            steps=0,
            learned=0,
            batch_size=0,
            next_batch=0,
            requests=0,
            zeroed=np.zeros(self.algorithm.problem.n, dtype=bool),
            noise=noise,
            origin=self._origin,
        )

    @property
    def _origin(self) -> Origin:
        return Origin(self.loss, self.algorithm, self.schedule, self.sigma)

    def _checked_orders(self, orders: ArrayLike) -> NDArray[np.int64]:
        n = self.algorithm.problem.n
        array = np.asarray(orders)
        allowed = {(1, n), (self.trials, n)}
        if array.dtype.kind not in "iu" or array.shape not in allowed or (np.sort(array, axis=1) != np.arange(n)).any():
            raise InputError(f"orders must be permutations of 0 ... {n - 1}, of shape ({self.trials}, {n}) or (1, {n})")
        return array.astype(np.int64)

    def _random_orders(self, common: np.random.SeedSequence, generators: Sequence[np.random.Generator]) -> NDArray[np.int64]:
        """Batch orders (1, n) or (trials, n)."""
        n = self.algorithm.problem.n
        if self.orders == "shared":
            return np.random.default_rng(common).permutation(n)[None]
        return np.stack([generator.permutation(n) for generator in generators])

    def _starts(self, size: int, generators: Sequence[np.random.Generator]) -> Array:
        """Parameters (trials, size) from the start law."""
        w = np.empty((self.trials, size))
        w[:] = self.initial
        if self.initial_variance:
            scale = math.sqrt(self.initial_variance)
            for row, generator in zip(w, generators, strict=True):
                row += scale * generator.standard_normal(size)
        if self.algorithm.radius is not None:
            project(w, self.algorithm.radius)
        return w

    def _check_run(self, run: Run) -> None:
        """InputError for a run that is not of this trainer's shape."""
        n = self.algorithm.problem.n
        if not isinstance(run, Run) or run.trials != self.trials or run.features.shape[0] != n:
            raise InputError(f"run must be a Run of this trainer's {self.trials} trials on {n} points")
        if run.features.dtype != self.dtype or run.parameters.shape[0] != self.loss.outputs * run.features.shape[1]:
            raise InputError(
                f"run must have {self.dtype} rows, and {self.loss.outputs} parameters for each feature, got "
                f"{run.features.dtype} and parameters of shape {run.parameters.shape}"
            )
        for name, theirs, ours in zip(Origin._fields, run.origin, self._origin, strict=True):
            if theirs != ours:
                raise InputError(f"run must have been made with this trainer's {name}, {ours!r}, got one made with {theirs!r}")

    def _replacements(
        self, run: Run, rows: NDArray[np.int64], features: ArrayLike | None, labels: ArrayLike | None
    ) -> tuple[Array, Array]:
        """Features (S, d) and labels (S,) that take the places of the removed rows."""
        wanted = (rows.size, run.features.shape[1])
        if self.algorithm.problem.adjacency == "zero-out":
            if features is not None or labels is not None:
                raise InputError("features and labels must be left out under adjacency zero-out, which replaces nothing")
            return np.zeros(wanted), run.labels[rows]
        if features is None or labels is None:
            raise InputError("features and labels must be given under adjacency replace: a row for each removed point")
        x, y = check_points(self.loss, self._stored(features), labels)
        if x.shape != wanted:
            raise InputError(f"features must have shape {wanted} to replace the removed points, got {x.shape}")
        return x, y

    def _check_memory(self, parts: Sequence[Part], features: int, own_orders: bool) -> None:
        need = needed_bytes(
            parts,
            n=self.algorithm.problem.n,
            features=features,
            outputs=self.loss.outputs,
            trials=self.trials,
            own_orders=own_orders,
            dtype=self.dtype,
        )
        lower = f"lower trials ({self.trials}), run them a part at a time"
        if self.dtype == np.float64:
            lower += ', or use dtype="float32"'
        check_memory(need, lower=lower)

    def _continue(self, run: Run, parts: Sequence[Part], progress: Progress | None) -> Run:
        w = np.array(run.parameters.T, order="C")
        limits = self.loss.limits(row_norms(run.features))
        data = Data(run.features, run.labels, limits)
        update = Update(self.loss, self.sigma, self.algorithm.radius)
        start = Cursor(run.batch_size, run.next_batch)
        end = follow(w, parts, start, update, data, run.orders, run.generators, progress)
        if not np.isfinite(w).all():
            raise InputError(f"sigma must be small enough for float64 parameters, got {self.sigma}: they overflowed")
        parameters = w.T
        parameters.flags.writeable = False
        steps = run.steps + sum(part.steps for part in parts)
        return replace(run, parameters=parameters, steps=steps, batch_size=end.batch_size, next_batch=end.next_batch)
