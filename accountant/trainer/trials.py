"""Independent trials of noisy projected SGD: how they begin, and how they go on.

What is asked of them is in :mod:`accountant.trainer.training`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, Progress, choice, integer, number, numbers
from accountant.problem import PNSGD, Learn, Schedule, Unlearn
from accountant.questions import UnlearningAccountant
from accountant.shifts import Timeline
from accountant.trainer.drawn import drawn_rows, follow_draws
from accountant.trainer.draws import Draws, new_key, seeded_key
from accountant.trainer.identifiers import Identifier
from accountant.trainer.losses import Array, Loss
from accountant.trainer.needs import check_memory, needed_bytes
from accountant.trainer.noise import Noise, Seeds
from accountant.trainer.parts import Part
from accountant.trainer.points import check_points, is_sparse
from accountant.trainer.rows import Rows
from accountant.trainer.runs import Origin, Run
from accountant.trainer.sparse import follow_sparse, follow_sparse_draws
from accountant.trainer.sparse_rows import SparseRows, sparse_bytes
from accountant.trainer.steps import Cursor, Data, Update, follow, project

ORDERS: Final = ("own", "shared")
DTYPES: Final = ("float32", "float64")
#: Sparse rows of at most so many bytes become an array where there is a radius.
DENSE_BYTES: Final = 1 << 30
GENERATORS: Final = ("own", "one")


class Trials:
    """Trials under one loss and one algorithm; arguments as for :class:`~accountant.trainer.training.Trainer`."""

    def __init__(
        self,
        loss: Loss,
        algorithm: PNSGD,
        *,
        sigma: float,
        schedule: Schedule | None = None,
        trials: int = 1,
        orders: str = "own",
        generators: str = "own",
        dtype: str = "float64",
        initial: ArrayLike = 0.0,
        initial_variance: float = 0.0,
        seed: int | None = None,
    ) -> None:
        if not isinstance(loss, Loss):
            raise InputError(f"loss must be a Loss, got {loss!r}")
        if not isinstance(algorithm, PNSGD):
            raise InputError(f"algorithm must be a PNSGD, got {algorithm!r}")
        if algorithm.public_share:
            raise InputError(
                f"public_share must be left out here, where every record may lie in any place, got {algorithm.public_share}"
            )
        if algorithm.norm_class < 1:
            raise InputError(
                "norm_class must be left out here, where every record may be deleted: estimators have classes_of_norm, got "
                f"{algorithm.norm_class}"
            )
        if algorithm.own_draws and algorithm.redraw is None:
            # Redrawn or not are two algorithms, each with a guarantee of its own.
            algorithm = replace(algorithm, redraw=False)
        self.loss, self.algorithm, self.schedule = loss, algorithm, schedule
        self.sigma = number("sigma", sigma, at_least=0)
        self.trials = integer("trials", trials, at_least=1)
        self.orders = choice("orders", orders, ORDERS)
        self.generators = choice("generators", generators, GENERATORS)
        if algorithm.own_draws and orders != "own":
            raise InputError(f"orders must be own with assignment={algorithm.assignment}, a key for every trial, got {orders}")
        self.dtype = np.dtype(choice("dtype", dtype, DTYPES))
        self.initial = numbers("initial", initial)
        if self.initial.ndim > 1:
            raise InputError(f"initial must be a number or one per parameter, got shape {self.initial.shape}")
        self.initial_variance = number("initial_variance", initial_variance, at_least=0)
        loss.check_covered(algorithm.problem)
        UnlearningAccountant(algorithm, schedule=schedule).check()
        self._timeline = Timeline(schedule if schedule is not None else Schedule([Learn(), Unlearn()]), algorithm)
        self._seeds = Seeds(seed)
        sizes = {stretch.batch_size for stretch in self._timeline.stretches}
        if algorithm.own_draws and sizes != {algorithm.batch_size}:
            raise InputError(f"schedule must keep the batch size with assignment={algorithm.assignment}, which has one divisor")

    def pass_over(self, runs: int) -> None:
        """Leave out the seeds of so many runs, which were used before."""
        for _ in range(runs):
            self._seeds.spawn()

    def __getstate__(self) -> dict[str, object]:
        # A shallow copy would take turns at the seeds of the original.
        return {**self.__dict__, "_seeds": copy(self._seeds)}

    def _points(self, features: Any, labels: ArrayLike) -> tuple[Any, Array]:
        """What learning begins with, checked: rows in blocks, which are nobody else's and are not copied, or an array."""
        if not isinstance(features, (Rows, SparseRows)):
            return check_points(self.loss, self._stored(features), labels)
        y = self.loss.check_labels(labels)
        # A projection looks at all parameters in every step, and at arrays only.
        fit = y.size == features.shape[0] and features.dtype == self.dtype
        fit &= self.algorithm.radius is None or isinstance(features, Rows)
        if fit and (features.norms <= self.loss.feature_bound).all():
            return features, y
        return check_points(self.loss, self._stored(features.whole()), labels)

    def _stored(self, features: ArrayLike) -> ArrayLike:
        """In the type that rows are kept in, as what is checked must be what is run on."""
        if is_sparse(features):
            return self._sparse(features)
        if self.dtype == np.float64:
            return features
        try:
            with np.errstate(over="ignore"):
                return np.asarray(features).astype(self.dtype, copy=False)
        except (ValueError, TypeError):
            return features

    def _sparse(self, features: Any) -> Any:
        """As they are, or, with a radius, dense: a projection looks at all parameters in every step."""
        if self.dtype != np.float64:
            raise InputError(f"dtype must be float64 for sparse features, got {self.dtype}")
        if self.algorithm.radius is None:
            return features
        if 8 * math.prod(features.shape) > DENSE_BYTES:
            raise InputError(
                f"radius must be left out for sparse features that take more than {DENSE_BYTES / 1e9:.3g} GB as an array, got "
                f"radius {self.algorithm.radius:g} and shape {features.shape}: a projection needs all of them in every step"
            )
        return features.toarray()

    def _begin(
        self,
        x: Any,
        y: Array,
        parts: Sequence[Part],
        order: NDArray[np.int64] | None,
        names: Sequence[Identifier] | None,
    ) -> Run:
        """A run before its first step, on checked points, over these orders or random ones, or by draws under these names."""
        own_orders = self.orders == "own" if order is None else order.shape[0] > 1
        self._check_memory(parts, x, y.size, own_orders=own_orders)
        # Children of a child: what a trial draws depends on the call and on its number, not on how many there are.
        common, *own = self._seeds.spawn().spawn(2 if self.generators == "one" else self.trials + 1)
        made = [np.random.default_rng(seed) for seed in own]
        noise = Noise(made * self.trials if self.generators == "one" else made, replayable=self._seeds.given)
        draws = None
        if names is not None:
            order = np.empty((0, y.size), dtype=np.int64)

            def key(trial: int) -> bytes:
                return seeded_key(own[trial % len(own)].spawn(1)[0]) if self._seeds.given else new_key()

            draws = self.first_draws(names, key)
        elif order is None:
            order = self._random_orders(common, noise.generators)
        return Run(
            parameters=self._starts(self.loss.outputs * x.shape[1], noise.generators).T,
            orders=order,
            # A copy: the caller may change theirs.
            rows=x if isinstance(x, (Rows, SparseRows)) else SparseRows.of(x) if is_sparse(x) else Rows.of(x, self.dtype),
            labels=self.loss.kept(y, self.dtype),
            steps=0,
            learned=0,
            batch_size=0,
            next_batch=0,
            requests=0,
            zeroed=np.zeros(y.size, dtype=bool),
            noise=noise,
            origin=self._origin,
            draws=draws,
        )

    def first_draws(self, names: Sequence[Identifier], key: Callable[[int], bytes]) -> Draws:
        """The draws of records that are there from the start; ``key`` makes a trial's next key."""
        return Draws.begun(self.algorithm, key, self.trials, names, key_is_secret=not self._seeds.given)

    @property
    def _origin(self) -> Origin:
        return Origin(self.loss, self.algorithm, self.schedule, self.sigma)

    def _checked_orders(self, orders: ArrayLike) -> NDArray[np.int64]:
        n = self.algorithm.problem.n
        if self.algorithm.own_draws:
            raise InputError(f"orders must be left out with assignment={self.algorithm.assignment}, which draws batches by ids")
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

    def _check_memory(self, parts: Sequence[Part], features: Any, rows: int, *, own_orders: bool) -> None:
        algorithm, stored = self.algorithm, sparse_bytes(features)
        if stored is not None:
            # Rows, those that are visited in their order, and what a step makes of them; parameters and when they were seen.
            need = 4 * stored + 8 * (self.trials * (rows + 4 * self.loss.outputs * features.shape[1]) + 4 * features.shape[1])
            check_memory(need, lower=f"lower trials ({self.trials}), run them a part at a time")
            return
        visited = drawn_rows(rows, algorithm.steps_per_epoch, self.trials) if algorithm.own_draws else None
        need = needed_bytes(
            parts,
            n=rows,
            visited=visited,
            features=features.shape[1],
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
        steps = run.steps + sum(part.steps for part in parts)
        end = self._run_steps(w, run, parts, progress)
        if run.draws is not None:
            end = Cursor(int(self.algorithm.batch_size), steps % self.algorithm.steps_per_epoch)
        if not np.isfinite(w).all():
            raise InputError(f"sigma must be small enough for float64 parameters, got {self.sigma}: they overflowed")
        parameters = w.T
        parameters.flags.writeable = False
        return replace(run, parameters=parameters, steps=steps, batch_size=end.batch_size, next_batch=end.next_batch)

    def _run_steps(self, w: Array, run: Run, parts: Sequence[Part], progress: Progress | None) -> Cursor:
        """All steps of the parts on w (trials, outputs*d), in place, and where in its cycle a partition then is."""
        start, limits = Cursor(run.batch_size, run.next_batch), self.loss.limits(run.rows.norms)
        update, rows = Update(self.loss, self.sigma, self.algorithm.radius), run.rows
        if isinstance(rows, SparseRows):
            if run.draws is None:
                return follow_sparse(w, parts, start, update, rows, run.labels, limits, run.orders, run.generators, progress)
            follow_sparse_draws(w, parts, run.steps, update, rows, run.labels, limits, run.draws, run.generators, progress)
            return start
        data = Data.of(rows, run.labels, limits)
        if run.draws is None:
            return follow(w, parts, start, update, data, run.orders, run.generators, progress)
        follow_draws(w, parts, run.steps, update, data, run.draws, run.generators, progress)
        return start
