"""The timeline of a schedule: which steps run on which cells of the permutation, as runs of the shift engine."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import DOUBLE, Arithmetic, Floats, Numbers, log_power
from accountant.problem import DOUBLES, PNSGD, Learn, Number, Schedule, Unlearn, constants_of, exact_step_size
from accountant.shifts import runs
from accountant.shifts.many import each_cyclic
from accountant.shifts.runs import Runs
from accountant.shifts.stretches import Stretch, layout_of, resolved

#: Epochs of converged learning that are looked at one by one where the radius binds; more would cost time only.
_MOST_EPOCHS: Final = 2000


class Timeline:
    """A schedule resolved against an algorithm: the stretches, and the cells of the permutation that see the same batches."""

    def __init__(self, schedule: Schedule, algorithm: PNSGD) -> None:
        self.stretches = resolved(schedule, algorithm)
        self.schedule = schedule
        self.algorithm = algorithm

    @cached_property
    def plain(self) -> PNSGD | None:
        """The constant algorithm that the schedule amounts to, None if it is none."""
        if not self.stretches:
            return None
        first, algorithm = self.stretches[0], self.algorithm
        constant = all(
            stretch.batch_size == algorithm.batch_size and _is(stretch.step_size, algorithm.eta) and _is(stretch.sigma, 1.0)
            for stretch in self.stretches
        )
        if not constant or not first.learn or first.steps is None:
            return None
        if math.isinf(first.steps):
            whole = sum(stretch.learn for stretch in self.stretches) == 1
            return replace(algorithm, learn_epochs=None) if whole else None
        epochs, left = divmod(int(first.steps), algorithm.steps_per_epoch)
        return None if left else replace(algorithm, learn_epochs=epochs)

    def largest_step_size(self, steps: float) -> float:
        """The largest step size, with ``steps`` of unlearning in all."""
        sizes = [0.0]
        for stretch in self.stretches:
            size = stretch.step_size
            sizes.append(float(np.max(size(steps - self.unlearn_steps) if callable(size) else size, initial=0.0)))
        return max(sizes)

    @property
    def open(self) -> bool:
        """Whether the question says how long the last phase is."""
        last = self.schedule.phases[-1]
        return isinstance(last, Unlearn) and last.epochs is None and last.steps is None

    @property
    def unlearn_steps(self) -> int:
        """Steps of unlearning that the schedule itself has."""
        return sum(int(stretch.steps or 0) for stretch in self.stretches if not stretch.learn)

    @property
    def unlearn_steps_per_epoch(self) -> int:
        """J of the last phase."""
        last = self.schedule.phases[-1]
        return layout_of(self.algorithm, last.batch_size).steps_per_epoch

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Borders 0 ... n of the cells: stretches of the permutation that lie in one batch of every learning phase."""
        n = self.algorithm.problem.n
        sizes = {stretch.batch_size for stretch in self.stretches if stretch.learn}
        return np.unique(np.concatenate([[0, n], *(np.arange(0, n, size) for size in sizes)]))

    @property
    def one_unlearn_layout(self) -> bool:
        """Whether all unlearning uses one batch size."""
        return (
            len({layout_of(self.algorithm, p.batch_size).batch_size for p in self.schedule.phases if isinstance(p, Unlearn)})
            == 1
        )

    @property
    def one_layout(self) -> bool:
        """Whether all learning uses one batch size, so that cells are batches."""
        return len({stretch.batch_size for stretch in self.stretches if stretch.learn}) == 1

    @property
    def converged(self) -> bool:
        """Whether learning begins with an infinite stretch."""
        return any(stretch.steps == math.inf for stretch in self.stretches)

    @property
    def drifts(self) -> bool:
        """Whether converged learning does not contract, so that nothing but a radius bounds its distance."""
        if not self.converged:
            return False
        return replace(self.algorithm, step_size=self.stretches[0].step_size).log_contraction == 0

    def gradient_evaluations(self, steps: int) -> int:
        """Per-sample gradients of the unlearning phases, ``steps`` in all."""
        total = 0
        for stretch in self.stretches:
            if not stretch.learn:
                count = steps - self.unlearn_steps if stretch.steps is None else int(stretch.steps)
                total += layout_of(self.algorithm, stretch.batch_size).gradient_evaluations(count, first=stretch.first)
        return total

    def learning(self, counts: Floats, *, restarts_from: int | None = None, number: Number = DOUBLES) -> Runs:
        """Runs of all learning for ``counts`` deleted points in the cells.

        Noise is in units of the algorithm's sqrt(2 eta), sensitivities in units of its eta M (replace: twice that).
        ``restarts_from``: every visit is seen, and converged learning is cut to that many epochs.
        """
        return runs.joined(
            [self._run(s, counts, s.steps, restarts_from, number) for s in self.stretches if s.learn] or [_NO_RUNS]
        )

    def learning_each(self, counts: Floats) -> Runs | None:
        """The same for several groups, counts (C, cells): sensitivities (C, runs). None but for a stretch of constant steps."""
        learning = [stretch for stretch in self.stretches if stretch.learn]
        if len(learning) != 1 or isinstance(learning[0].step_size, np.ndarray) or isinstance(learning[0].sigma, np.ndarray):
            return None
        (stretch,) = learning
        eta = stretch.step_size
        log_c = 0.0 if callable(eta) else float(self._log_contraction(eta, DOUBLES))
        if not math.isfinite(log_c) or not stretch.steps or stretch.first or callable(eta) or callable(stretch.sigma):
            return None
        ratio = eta / self.algorithm.eta
        noise = math.sqrt(ratio) * stretch.sigma
        return each_cyclic(log_c=log_c, patterns=self._pattern(stretch, counts) * ratio, steps=stretch.steps, noise=noise)

    def unlearning(self, steps: float, *, number: Number = DOUBLES) -> Runs:
        """Runs of all unlearning, ``steps`` in all."""
        scheduled = float(self.unlearn_steps)
        parts = [
            self._run(s, None, steps - scheduled if s.steps is None else s.steps, None, number)
            for s in self.stretches
            if not s.learn
        ]
        return runs.joined(parts or [_NO_RUNS])

    def largest_sensitivity(self, counts: Floats) -> float:
        """Largest difference that one learning step adds, in the units of :meth:`learning`."""
        learning = (s for s in self.stretches if s.learn)
        return max(
            (float(np.max(s.step_size) / self.algorithm.eta * self._pattern(s, counts).max()) for s in learning), default=0.0
        )

    def refill(self, counts: Floats, limit: float) -> int:
        """Epochs of converged learning from which the distance, started at ``limit``, is back there; doubled, and bounded."""
        first = self.stretches[0]
        if not self.converged:
            return 0
        layout = replace(self.algorithm, batch_size=first.batch_size, step_size=first.step_size)
        pattern = self._pattern(first, counts)
        left = np.arange(pattern.size)[::-1]
        added = float((np.exp(log_power(layout.log_contraction, left)) * pattern).sum()) * layout.eta / self.algorithm.eta
        if added == 0:
            return 4
        log_q = float(log_power(layout.log_contraction, float(pattern.size)))
        short = limit / added if log_q == 0 else -limit * math.expm1(log_q) / added
        epochs = short if log_q == 0 else math.log1p(-short) / log_q if short < 1 else math.inf
        return int(min(2 * epochs, _MOST_EPOCHS)) + 4

    def _pattern(self, stretch: Stretch, counts: Floats, arithmetic: Arithmetic = DOUBLE) -> Numbers:
        """Deleted points over batch size, for every batch of the stretch, (..., J) of counts (..., cells)."""
        layout = layout_of(self.algorithm, stretch.batch_size)
        batches = layout.steps_per_epoch
        pattern = np.zeros((*counts.shape[:-1], batches))
        batch = self.edges[:-1] // stretch.batch_size
        used = batch < batches
        np.add.at(pattern.T, batch[used], counts[..., used].T)
        sizes = layout.batch_sizes(np.arange(batches))
        return pattern / sizes if arithmetic is DOUBLE else arithmetic.asarray(pattern) / sizes

    def _run(
        self, stretch: Stretch, counts: Floats | None, steps: float | None, restarts_from: int | None, number: Number
    ) -> Runs:
        assert steps is not None
        ar = number.arithmetic
        layout = layout_of(self.algorithm, stretch.batch_size)
        eta, sigma = stretch.step_size, stretch.sigma
        if stretch.steps is None:
            eta, sigma = (rate(steps) if callable(rate) else rate for rate in (eta, sigma))
        pattern = np.zeros(layout.steps_per_epoch) if counts is None else self._pattern(stretch, counts, ar)
        if ar is DOUBLE:
            eta_ratio = eta / self.algorithm.eta
            noise = np.sqrt(eta_ratio) * sigma
        else:
            eta_ratio = ar.asarray(_exactly(eta, self.algorithm, number))
            eta_ratio = eta_ratio / ar.asarray(exact_step_size(self.algorithm, number.read))
            noise = ar.sqrt(eta_ratio) * ar.asarray(_exactly(sigma, None, number))
        if isinstance(noise, np.ndarray):
            batches = (stretch.first + np.arange(noise.size)) % pattern.size
            return runs.stepwise(
                self._log_contractions(np.broadcast_to(eta, noise.shape), number),
                pattern[batches] * eta_ratio,
                noise,
                restarts=restarts_from is not None,
                arithmetic=ar,
            )
        log_c = constants_of(replace(layout, step_size=float(eta)), number).log_contraction
        if restarts_from is not None and math.isinf(steps):
            steps = float(restarts_from * pattern.size)
        return runs.cyclic(
            log_c=log_c,
            pattern=pattern * eta_ratio,
            first=stretch.first,
            steps=steps,
            noise=noise,
            restarts=restarts_from is not None,
            arithmetic=ar,
        )

    def _log_contraction(self, eta: float, number: Number) -> Numbers:
        """log c of a step of size ``eta``; a step of size zero does nothing."""
        return 0.0 if eta == 0 else constants_of(replace(self.algorithm, step_size=eta), number).log_contraction

    def _log_contractions(self, eta: Floats, number: Number = DOUBLES) -> Numbers:
        problem = self.algorithm.problem
        if number.arithmetic is not DOUBLE:
            each = {size: self._log_contraction(size, number) for size in np.unique(eta).tolist()}
            return np.array([each[size] for size in eta.tolist()], dtype=object)
        with np.errstate(divide="ignore"):
            # Rounded down: the subtraction of nearly equal numbers loses what the rounding of eta L costs.
            gap = np.minimum(eta * problem.strong_convexity, 2 - eta * problem.smoothness - 5e-16)
            return np.log1p(-np.minimum(np.maximum(gap * (1 - 4e-16), 0.0), 1.0))


def _is(rate: Any, value: float) -> bool:
    return isinstance(rate, float) and rate == value


def _exactly(values: Any, algorithm: PNSGD | None, number: Number) -> Numbers:
    """Rates as exact fractions; the algorithm's own step size as its default is."""

    def one(value: float) -> Fraction:
        if algorithm is not None and value == algorithm.eta:
            return exact_step_size(algorithm, number.read)
        return number.read(value)

    return np.frompyfunc(one, 1, 1)(values)


@lru_cache(maxsize=64)
def plain_timeline(algorithm: PNSGD) -> Timeline:
    """The algorithm's own learning and an open unlearning phase."""
    return Timeline(Schedule([Learn(), Unlearn()]), algorithm)


_NO_RUNS: Final = Runs(np.zeros(0), np.zeros(0), np.zeros(0))
