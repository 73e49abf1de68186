"""Noisy projected SGD as the accountant counts it, for many independent trials at once.

    x <- Proj_R(x - eta/|B_j| sum_(i in B_j) (clip(grad l_i(x)) + lambda x) + sqrt(2 eta) sigma N(0, I))

Batch sizes, step sizes, noise levels and numbers of steps come from the same :class:`~accountant.problem.PNSGD` and
:class:`~accountant.problem.Schedule` that the accountant is given. A deletion changes the rows and goes on from the learned
parameters over the same batch order. Zero-out makes a row zero, and with it the data part of its gradient, for every loss here.

What the noise is worth. Guarantees are about Gaussian noise and real numbers. Here noise is what NumPy's generator (PCG64,
seeded from ``seed`` or else with 256 bits of the operating system) makes of it in floating point: its values have gaps and a
largest size (some 8 standard deviations in float32, 12 in float64), and PCG64 is not a cryptographic generator. Nothing is
claimed against somebody who reads the last bits of released parameters (Mironov 2012), guesses the seed, or measures time.
A seed makes results reproducible, so whoever knows it can subtract the noise: give none where a guarantee matters.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, Progress, choice, integer, number, numbers
from accountant.problem import PNSGD, Learn, Schedule, Unlearn
from accountant.questions import UnlearningAccountant
from accountant.shifts import Stretch, Timeline
from accountant.trainer.losses import Array, Loss
from accountant.trainer.memory import check_memory
from accountant.trainer.points import check_points, row_norms
from accountant.trainer.steps import NOISE, ROWS, Data, Ticks, Visits, project

ORDERS: Final = ("own", "shared")
DTYPES: Final = ("float32", "float64")
#: Bytes of one batch of a group of trials with orders of their own: more trials share the cost of a call, but both products
#: with a batch should find it in a cache that other things are in too.
_CACHED: Final = 1 << 19
#: Most bytes of reordered rows of such a group.
_REORDERED: Final = 1 << 28


class _Part(NamedTuple):
    """Steps on one batch size; step_size and sigma are floats or arrays (steps,)."""

    layout: PNSGD
    steps: int
    step_size: Any
    sigma: Any


@dataclass(frozen=True, eq=False)
class Run:
    """Where a number of trials stands. Treat it as fixed: unlearning gives another one.

    parameters: (outputs*d, trials), one column a trial, its outputs one after the other; read-only.
    orders: batch orders, (trials, n), or (1, n) where all trials share one. features (n, d) and labels (n,): the data now.
    steps: steps so far. batch_size, next_batch: where in the cycle the next step is. requests: deletions answered.
    zeroed: (n,) whether a point was dropped by zero-out. generators: the trials' noise, which is never used twice.
    """

    parameters: Array
    orders: NDArray[np.int64]
    features: Array
    labels: Array
    steps: int
    batch_size: int
    next_batch: int
    requests: int
    zeroed: NDArray[np.bool_]
    generators: tuple[np.random.Generator, ...]

    @property
    def trials(self) -> int:
        return int(self.parameters.shape[1])


class Trainer:
    """Learning and unlearning under one loss and one algorithm.

    loss: one of ``LOSSES``. algorithm: the PNSGD, whose problem's constants must cover the loss's; its adjacency says what a
        deletion does. sigma: noise >= 0. schedule: as for the accountant.
    trials: independent runs. orders: "own" batch order each, or one "shared". dtype: "float64" or "float32".
    initial, initial_variance: the start law N(initial, initial_variance I), initial a number or one per parameter; projected.
    seed: >= 0, for reproducible results; None: from the operating system. Trial i's randomness does not depend on ``trials``.
    Raises InputError for bad arguments, and for settings that the accountant refuses because they prove nothing.
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
        _check_covered(loss, algorithm)
        self.accountant().check()
        self._timeline = Timeline(schedule if schedule is not None else Schedule([Learn(), Unlearn()]), algorithm)
        entropy = secrets.randbits(256) if seed is None else integer("seed", seed, at_least=0)
        self._seeds = np.random.SeedSequence(entropy)

    def accountant(self, **options: Any) -> UnlearningAccountant:
        """The accountant of these very runs; options as for UnlearningAccountant."""
        return UnlearningAccountant(self.algorithm, schedule=self.schedule, **options)

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

        epochs or steps: the length, where it is not the algorithm's or the schedule's; needed for converged learning.
        orders: batch orders (trials, n) or (1, n) to use instead of random ones, as a :class:`Run` has them.
        """
        x, y = check_points(self.loss, features, labels)
        n = self.algorithm.problem.n
        if x.shape[0] != n:
            raise InputError(f"features must have n = {n} rows, as many as the problem has points, got {x.shape[0]}")
        size = self.loss.outputs * x.shape[1]
        if self.initial.ndim and self.initial.size != size:
            raise InputError(f"initial must be a number or one for each of the {size} parameters, got {self.initial.size}")
        parts = self._learning(epochs, steps)
        given = None if orders is None else self._given_orders(orders)
        self._check_memory(parts, x.shape[1], self.orders == "own" if given is None else given.shape[0] > 1)
        # Children of a child: what a trial draws depends on the call and on its number, not on how many there are.
        common, *own = self._seeds.spawn(1)[0].spawn(self.trials + 1)
        generators = tuple(np.random.default_rng(seed) for seed in own)
        if given is not None:
            order = given
        elif self.orders == "shared":
            order = np.random.default_rng(common).permutation(n)[None]
        else:
            order = np.stack([generator.permutation(n) for generator in generators])
        w = np.empty((self.trials, size), self.dtype)
        w[:] = self.initial
        if self.initial_variance:
            scale = math.sqrt(self.initial_variance)
            for row, generator in zip(w, generators, strict=True):
                row += scale * generator.standard_normal(size, dtype=self.dtype)
        if self.algorithm.radius is not None:
            project(w, self.algorithm.radius)
        start = Run(
            parameters=w.T,
            orders=order,
            # A copy: the caller may change theirs.
            features=np.array(x, dtype=self.dtype),
            labels=y.astype(self.dtype),
            steps=0,
            batch_size=0,
            next_batch=0,
            requests=0,
            zeroed=np.zeros(n, dtype=bool),
            generators=generators,
        )
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
        n = self.algorithm.problem.n
        if not isinstance(run, Run) or run.trials != self.trials or run.features.shape[0] != n:
            raise InputError(f"run must be a Run of this trainer's {self.trials} trials on {n} points")
        if run.parameters.dtype != self.dtype or run.parameters.shape[0] != self.loss.outputs * run.features.shape[1]:
            raise InputError(
                f"run must have {self.dtype} parameters, {self.loss.outputs} for each feature, got {run.parameters.dtype} of "
                f"shape {run.parameters.shape}"
            )
        rows = row_numbers("removed", removed, n)
        if run.zeroed[rows].any():
            raise InputError(f"removed must name points that are still there, got {rows[run.zeroed[rows]][0]}")
        parts = self._unlearning(run, epochs, steps)
        zeroed = run.zeroed
        if self.algorithm.problem.adjacency == "zero-out":
            if features is not None or labels is not None:
                raise InputError("features and labels must be left out under adjacency zero-out, which replaces nothing")
            new_x, new_y = np.zeros((rows.size, run.features.shape[1])), run.labels[rows]
            zeroed = zeroed.copy()
            zeroed[rows] = True
        else:
            if features is None or labels is None:
                raise InputError("features and labels must be given under adjacency replace: a row for each removed point")
            new_x, new_y = check_points(self.loss, features, labels)
            if new_x.shape != (rows.size, run.features.shape[1]):
                wanted = (rows.size, run.features.shape[1])
                raise InputError(f"features must have shape {wanted} to replace the removed points, got {new_x.shape}")
        self._check_memory(parts, run.features.shape[1], run.orders.shape[0] > 1)
        x, y = run.features.copy(), run.labels.copy()
        x[rows], y[rows] = new_x, new_y
        changed = replace(run, features=x, labels=y, zeroed=zeroed, requests=run.requests + 1)
        return self._continue(changed, parts, progress)

    def _given_orders(self, orders: ArrayLike) -> NDArray[np.int64]:
        n = self.algorithm.problem.n
        array = np.asarray(orders)
        allowed = {(1, n), (self.trials, n)}
        if array.dtype.kind not in "iu" or array.shape not in allowed or (np.sort(array, axis=1) != np.arange(n)).any():
            raise InputError(f"orders must be permutations of 0 ... {n - 1}, of shape ({self.trials}, {n}) or (1, {n})")
        return array.astype(np.int64)

    def _learning(self, epochs: int | None, steps: int | None) -> list[_Part]:
        stretches = [stretch for stretch in self._timeline.stretches if stretch.learn]
        given = epochs is not None or steps is not None
        if given and (len(stretches) != 1 or np.ndim(stretches[0].step_size) or np.ndim(stretches[0].sigma)):
            raise InputError("epochs and steps of learning must be left out with a schedule, which says them")
        if not given and any(stretch.steps == math.inf for stretch in stretches):
            raise InputError("epochs or steps must be given: learning until the law no longer changes has no end")
        parts = []
        for stretch in stretches:
            layout = self._layout(stretch)
            length = int(stretch.steps or 0) if not given else _length(epochs, steps, layout.steps_per_epoch)
            parts.append(_Part(layout, length, stretch.step_size, stretch.sigma))
        return parts

    def _unlearning(self, run: Run, epochs: int | None, steps: int | None) -> list[_Part]:
        timeline = self._timeline
        stretches = [stretch for stretch in timeline.stretches if not stretch.learn]
        if not timeline.open:
            if epochs is not None or steps is not None:
                raise InputError("epochs and steps must be left out: the schedule says how long unlearning is")
            if not stretches:
                raise InputError("schedule must have an unlearn phase")
        if run.requests and timeline.plain is None:
            raise InputError("requests after the first need a constant algorithm: schedule must be left out")
        left = None
        if timeline.open:
            if epochs is not None and not timeline.one_unlearn_layout:
                raise InputError("steps must be given instead of epochs where unlearning changes its batch size")
            left = _length(epochs, steps, timeline.unlearn_steps_per_epoch) - timeline.unlearn_steps
            if left < 0:
                raise InputError(f"steps must be at least {timeline.unlearn_steps}, those of the schedule, got {steps}")
        parts = []
        for stretch in stretches:
            rates: tuple[Any, Any] = (stretch.step_size, stretch.sigma)
            if stretch.steps is None:
                assert left is not None
                length = left
                rates = (_at(rates[0], left), _at(rates[1], left))
            else:
                length = int(stretch.steps)
            parts.append(_Part(self._layout(stretch), length, *rates))
        return parts

    def _layout(self, stretch: Stretch) -> PNSGD:
        return replace(self.algorithm, batch_size=stretch.batch_size)

    def _group(self, batch_size: int, features: int) -> int:
        """Trials with orders of their own that advance together."""
        row = features * self.dtype.itemsize
        return max(1, min(self.trials, _CACHED // (batch_size * row), _REORDERED // (self.algorithm.problem.n * row)))

    def _check_memory(self, parts: list[_Part], features: int, own: bool) -> None:
        """``own``: whether trials have batch orders of their own."""
        n, item, outputs = self.algorithm.problem.n, self.dtype.itemsize, self.loss.outputs
        # Data, labels, norms and clipping limits; orders; parameters before and after, and a gradient.
        fixed = n * (features * item + 32) + (self.trials if own else 1) * n * 8
        fixed += 4 * self.trials * outputs * features * item
        most = 0
        for part in parts:
            batch = int(part.layout.batch_size)
            together = self._group(batch, features) if own and batch < n else self.trials
            reordered = 0 if batch == n else n * features * item * (together if own else 1)
            noise = max(together * outputs * features, NOISE) * item
            most = max(most, reordered + noise + 4 * min(batch, ROWS) * together * outputs * item)
        lower = f"lower trials ({self.trials}), run them a part at a time"
        if self.dtype == np.float64:
            lower += ', or use dtype="float32"'
        check_memory(fixed + most, lower=lower)

    def _continue(self, run: Run, parts: list[_Part], progress: Progress | None) -> Run:
        w = np.array(run.parameters.T, order="C")
        norms = row_norms(run.features)
        limits = self.loss.limits(norms)
        data = Data(run.features, run.labels, None if limits is None else limits.astype(self.dtype))
        n, batch, at = data.labels.size, run.batch_size, run.next_batch
        plans = []
        for part in parts:
            if not part.steps:
                continue
            size, per_epoch = int(part.layout.batch_size), part.layout.steps_per_epoch
            at = at if size == batch else 0
            visits = Visits(part.layout, at, part.steps)
            together = run.orders.shape[0] == 1 or size == n
            group = self.trials if together else self._group(size, data.features.shape[1])
            plans.append((part, visits, together, group))
            batch, at = size, (at + part.steps) % per_epoch
        total = sum(part.steps * -(-self.trials // group) for part, _, _, group in plans)
        ticks = Ticks(progress, total)
        with np.errstate(over="ignore", invalid="ignore"):
            for part, visits, together, group in plans:
                if together:
                    # The one batch of a full pass is the same whatever the order.
                    whole = visits.points.size == n and visits.starts.size == 1
                    rows = data if whole else data.take(run.orders[0][visits.points], ahead=visits.ahead)
                    self._advance(w, rows, part, visits, run.generators, ticks)
                    continue
                for first in range(0, self.trials, group):
                    some = slice(first, first + group)
                    rows = data.take(run.orders[some][:, visits.points], ahead=visits.ahead)
                    self._advance(w[some], rows, part, visits, run.generators[some], ticks)
                    del rows
        if not np.isfinite(w).all():
            raise InputError(f"sigma must be small enough for {self.dtype} parameters, got {self.sigma}: they overflowed")
        parameters = w.T
        parameters.flags.writeable = False
        steps = run.steps + sum(part.steps for part in parts)
        return replace(run, parameters=parameters, steps=steps, batch_size=batch, next_batch=at)

    def _advance(
        self,
        w: Array,
        data: Data,
        part: _Part,
        visits: Visits,
        generators: Sequence[np.random.Generator],
        ticks: Ticks,
    ) -> None:
        """All steps of a part on parameters (t, outputs*d), in place; data (m, ...) of all trials or (t, m, ...) of each."""
        trials, size = w.shape
        eta = np.broadcast_to(np.asarray(part.step_size, dtype=np.float64), (part.steps,))
        std = math.sqrt(2) * np.sqrt(eta) * np.broadcast_to(self.sigma * np.asarray(part.sigma), (part.steps,))
        # Lists: taking single numbers out of arrays is slow.
        shrink, rates = (1 - eta * self.loss.regularisation).tolist(), eta.tolist()
        spans = list(zip(visits.starts.tolist(), (visits.starts + visits.sizes).tolist(), strict=True))
        lines = w.reshape(trials, self.loss.outputs, -1)
        at_once = min(part.steps, max(1, NOISE // w.size), 64)
        noise = np.empty((trials, at_once, size), w.dtype) if std.any() else None
        radius = self.algorithm.radius
        for begin in range(0, part.steps, at_once):
            end = min(begin + at_once, part.steps)
            if noise is not None:
                for row, generator in zip(noise, generators, strict=True):
                    generator.standard_normal(dtype=w.dtype, out=row[: end - begin])
                noise[:, : end - begin] *= std[begin:end, None].astype(w.dtype)
            for k in range(begin, end):
                low, high = spans[k % len(spans)]
                sum_ = self._gradients(lines, data, low, high).reshape(trials, size)
                sum_ *= rates[k] / (high - low)
                w *= shrink[k]
                w -= sum_
                if noise is not None:
                    w += noise[:, k - begin]
                if radius is not None:
                    project(w, radius)
            ticks.add(end - begin)

    def _gradients(self, w: Array, data: Data, low: int, high: int) -> Array:
        """Sum of the clipped data gradients of rows low ... high - 1, in the shape (t, outputs, d) of w."""
        trials, outputs, features = w.shape
        total: Array | None = None
        for start in range(low, high, ROWS):
            rows = slice(start, min(start + ROWS, high))
            x = data.batch(rows)
            if data.labels.ndim == 1:
                scores = (x @ w.reshape(trials * outputs, features).T).reshape(-1, trials, outputs)
                limits = None if data.limits is None else data.limits[rows, None]
                r = self.loss.clipped(scores, data.labels[rows, None], limits)
                part = (r.reshape(x.shape[0], -1).T @ x).reshape(w.shape)
            else:
                scores = np.matmul(x, w.transpose(0, 2, 1))
                limits = None if data.limits is None else data.limits[:, rows]
                r = self.loss.clipped(scores, data.labels[:, rows], limits)
                part = np.matmul(r.transpose(0, 2, 1), x)
            if total is None:
                total = part
            else:
                total += part
        assert total is not None
        return total


def _at(rate: Any, steps: int) -> Any:
    return rate(float(steps)) if callable(rate) else rate


def _length(epochs: int | None, steps: int | None, per_epoch: int) -> int:
    if (epochs is None) == (steps is None):
        raise InputError(f"exactly one of epochs and steps must be given, got {'both' if epochs is not None else 'neither'}")
    if epochs is not None:
        return integer("epochs", epochs, at_least=0) * per_epoch
    return integer("steps", steps, at_least=0)


def row_numbers(name: str, value: Any, n: int) -> NDArray[np.int64]:
    """One or more different row numbers from 0 to n - 1, (S,), or InputError that calls them ``name``."""
    try:
        array = np.atleast_1d(np.asarray(value))
    except ValueError:
        array = np.empty((0, 0))
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise InputError(f"{name} must be row numbers, integers from 0 to {n - 1}, got {value!r}")
    outside = (array < 0) | (array >= n)
    if outside.any():
        raise InputError(f"{name} must be row numbers from 0 to {n - 1}, got {array[outside][0]}")
    values, counts = np.unique(array, return_counts=True)
    if values.size < array.size:
        raise InputError(f"{name} must name every point once, got {values[counts > 1][0]} {counts.max()} times")
    return array.astype(np.int64)


def _check_covered(loss: Loss, algorithm: PNSGD) -> None:
    """InputError where the problem claims more than the loss keeps."""
    problem, slack = algorithm.problem, 1e-12
    for name, least in (("smoothness", loss.smoothness), ("lipschitz", loss.lipschitz)):
        if getattr(problem, name) < least * (1 - slack):
            raise InputError(f"{name} of the problem must be at least {least:.10g}, the loss's, got {getattr(problem, name)}")
    if problem.strong_convexity > loss.strong_convexity * (1 + slack):
        raise InputError(
            f"strong_convexity of the problem must be at most {loss.strong_convexity:.10g}, the loss's, got "
            f"{problem.strong_convexity}"
        )
