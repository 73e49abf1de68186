"""The timeline of a schedule: which steps run on which cells of the permutation, as runs of the shift engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import DOUBLE, MAX_COUNT, Arithmetic, Floats, InputError, Numbers, log_power, numbers
from accountant.problem import DOUBLES, PNSGD, Constants, Learn, Number, Phase, Schedule, Unlearn, exact_step_size
from accountant.shifts import runs
from accountant.shifts.runs import Runs

#: Steps with constants of their own beyond which a phase is refused.
MAX_STEPS: Final = 10_000_000
#: Epochs of converged learning that are looked at one by one where the radius binds; more would cost time only.
_MOST_EPOCHS: Final = 2000


@dataclass(frozen=True)
class Stretch:
    """Steps of one kind on one batch size. ``steps``: +inf for converged learning, None where the question says it.

    log_c, step_size, sigma: floats, or arrays (steps,), or where the length is open callables of step numbers.
    """

    learn: bool
    batch_size: int
    first: int
    steps: float | None
    step_size: Any
    sigma: Any


class Timeline:
    """A schedule resolved against an algorithm: the stretches, and the cells of the permutation that see the same batches."""

    def __init__(self, schedule: Schedule, algorithm: PNSGD) -> None:
        if not isinstance(schedule, Schedule):
            raise InputError(f"schedule must be a Schedule, got {schedule!r}")
        self.schedule = schedule
        self.algorithm = algorithm
        self.stretches: list[Stretch] = []
        for place, phase in enumerate(schedule.phases, start=1):
            try:
                self._append(phase)
            except InputError as error:
                raise InputError(f"phase {place} of the schedule: {error}") from None

    def _append(self, phase: Phase) -> None:
        own = self._layout(phase.batch_size)
        learn = isinstance(phase, Learn)
        length: float | None
        if phase.epochs is None and phase.steps is None:
            learned = self.algorithm.learn_epochs
            length = None if not learn else math.inf if learned is None else float(learned * own.steps_per_epoch)
        else:
            length = float(phase.steps if phase.steps is not None else (phase.epochs or 0) * own.steps_per_epoch)
            if length > MAX_COUNT:
                raise InputError(f"its length must be at most {MAX_COUNT} steps, got {length:.0f}")
        size = self.algorithm.eta if phase.step_size is None else phase.step_size
        stretch = Stretch(
            learn=learn,
            batch_size=int(own.batch_size),
            first=0,
            steps=length,
            step_size=self._rate("step_size", size, length),
            sigma=self._rate("sigma", phase.sigma, length),
        )
        before = self.stretches[-1] if self.stretches else None
        if before is not None and before.batch_size == stretch.batch_size:
            done = 0 if before.steps is None or math.isinf(before.steps) else int(before.steps)
            stretch = replace(stretch, first=(before.first + done) % own.steps_per_epoch)
            joined = _merged(before, stretch)
            if joined is not None:
                self.stretches[-1] = joined
                return
        if length != 0:
            self.stretches.append(stretch)

    def _layout(self, batch_size: int | str | None) -> PNSGD:
        return self.algorithm if batch_size is None else replace(self.algorithm, batch_size=batch_size)

    def _rate(self, name: str, value: Any, length: float | None) -> Any:
        """A checked float, array or (open length) callable."""

        def checked(given: Any) -> Floats:
            if name == "sigma":
                return numbers(name, given, at_least=0, sized=True)
            if np.ndim(given):
                # A schedule may end at zero: such a step does nothing.
                return numbers(name, given, at_least=0, at_most=2 / self.algorithm.problem.smoothness, sized=True)
            return numbers(name, given, above=0, at_most=2 / self.algorithm.problem.smoothness, sized=True)

        if isinstance(value, float):
            return float(checked(value))
        if length is None:
            if callable(value):
                return lambda count: self._rate(name, value, float(count))
            raise InputError(f"{name} must be a number or a callable in an open phase, got {len(value)} numbers")
        if math.isinf(length):
            raise InputError(f"{name} must be a number in converged learning: a phase with a rate needs epochs or steps")
        if length > MAX_STEPS:
            raise InputError(f"{name} must be a number in a phase of more than {MAX_STEPS} steps")
        values = value(np.arange(int(length), dtype=np.float64)) if callable(value) else value
        array = checked(values)
        if array.shape != (int(length),):
            raise InputError(f"{name} must have one number for each of the {int(length)} steps, got shape {array.shape}")
        return array

    @cached_property
    def plain(self) -> PNSGD | None:
        """The constant algorithm that the schedule amounts to, None if it is none."""
        if not self.stretches:
            return None
        first, own = self.stretches[0], self.algorithm
        constant = all(
            stretch.batch_size == own.batch_size and _is(stretch.step_size, own.eta) and _is(stretch.sigma, 1.0)
            for stretch in self.stretches
        )
        if not constant or not first.learn or first.steps is None:
            return None
        if math.isinf(first.steps):
            return replace(own, learn_epochs=None)
        epochs, left = divmod(int(first.steps), own.steps_per_epoch)
        return None if left else replace(own, learn_epochs=epochs)

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
        return self._layout(last.batch_size).steps_per_epoch

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Borders 0 ... n of the cells: stretches of the permutation that lie in one batch of every learning phase."""
        n = self.algorithm.problem.n
        sizes = {stretch.batch_size for stretch in self.stretches if stretch.learn}
        return np.unique(np.concatenate([[0, n], *(np.arange(0, n, size) for size in sizes)]))

    @property
    def one_unlearn_layout(self) -> bool:
        """Whether all unlearning uses one batch size."""
        return len({self._layout(p.batch_size).batch_size for p in self.schedule.phases if isinstance(p, Unlearn)}) == 1

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
                total += self._layout(stretch.batch_size).gradient_evaluations(count, first=stretch.first)
        return total

    def learning(self, counts: Floats, *, restarts_from: int | None = None, number: Number = DOUBLES) -> Runs:
        """Runs of all learning for ``counts`` deleted points in the cells.

        Noise is in units of the algorithm's sqrt(2 eta), sensitivities in units of its eta M (replace: twice that).
        ``restarts_from``: every visit is seen, and converged learning is cut to that many epochs.
        """
        return runs.joined(
            [self._run(s, counts, s.steps, restarts_from, number) for s in self.stretches if s.learn] or [_NO_RUNS]
        )

    def unlearning(self, steps: float, *, number: Number = DOUBLES) -> Runs:
        """Runs of all unlearning, ``steps`` in all."""
        own = float(self.unlearn_steps)
        parts = [
            self._run(s, None, steps - own if s.steps is None else s.steps, None, number) for s in self.stretches if not s.learn
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
        """Deleted points over batch size, for every batch of the stretch, (J,)."""
        layout = self._layout(stretch.batch_size)
        pattern = np.zeros(layout.steps_per_epoch)
        batch = self.edges[:-1] // stretch.batch_size
        used = batch < pattern.size
        np.add.at(pattern, batch[used], counts[used])
        sizes = layout.batch_sizes(np.arange(pattern.size))
        return pattern / sizes if arithmetic is DOUBLE else arithmetic.asarray(pattern) / sizes

    def _run(
        self, stretch: Stretch, counts: Floats | None, steps: float | None, restarts_from: int | None, number: Number
    ) -> Runs:
        assert steps is not None
        ar = number.arithmetic
        layout = self._layout(stretch.batch_size)
        eta, sigma = stretch.step_size, stretch.sigma
        if stretch.steps is None:
            eta, sigma = (rate(steps) if callable(rate) else rate for rate in (eta, sigma))
        pattern = np.zeros(layout.steps_per_epoch) if counts is None else self._pattern(stretch, counts, ar)
        if ar is DOUBLE:
            eta_ratio = eta / self.algorithm.eta
            noise = np.sqrt(eta_ratio) * sigma
        else:
            own = ar.asarray(exact_step_size(self.algorithm, number.read))
            eta_ratio = ar.asarray(_exactly(eta, self.algorithm, number)) / own
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
        log_c = Constants(replace(layout, step_size=float(eta)), number).log_contraction
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

    def _log_contraction(self, eta: float, number: Number) -> Any:
        """log c of a step of size ``eta``; a step of size zero does nothing."""
        return 0.0 if eta == 0 else Constants(replace(self.algorithm, step_size=eta), number).log_contraction

    def _log_contractions(self, eta: Floats, number: Number = DOUBLES) -> Numbers:
        problem = self.algorithm.problem
        if number.arithmetic is not DOUBLE:
            each = {size: self._log_contraction(size, number) for size in np.unique(eta).tolist()}
            return np.array([each[size] for size in eta.tolist()], dtype=object)
        with np.errstate(divide="ignore"):
            # Rounded down: the subtraction of nearly equal numbers loses what the rounding of eta L costs.
            gap = np.minimum(eta * problem.strong_convexity, 2 - eta * problem.smoothness - 5e-16)
            return np.log1p(-np.minimum(np.maximum(gap * (1 - 4e-16), 0.0), 1.0))


def _exactly(values: Any, algorithm: PNSGD | None, number: Number) -> Any:
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


def _is(rate: Any, value: float) -> bool:
    return isinstance(rate, float) and rate == value


def _merged(before: Stretch, after: Stretch) -> Stretch | None:
    """Two stretches as one, where that is one stretch: so that splitting a phase changes nothing."""
    if before.learn != after.learn or before.steps is None or after.steps is None:
        same = before.learn == after.learn and before.steps == 0
        return replace(after, first=before.first) if same else None
    fixed = all(isinstance(rate, float) for stretch in (before, after) for rate in (stretch.step_size, stretch.sigma))
    if fixed and (before.step_size, before.sigma) == (after.step_size, after.sigma):
        return replace(before, steps=before.steps + after.steps)
    if not any(isinstance(rate, np.ndarray) for rate in (before.step_size, before.sigma)) or not any(
        isinstance(rate, np.ndarray) for rate in (after.step_size, after.sigma)
    ):
        return None  # constant steps stay one run, however many
    lengths = int(before.steps), int(after.steps)

    def both(name: str) -> Floats:
        values = (np.broadcast_to(getattr(x, name), count) for x, count in zip((before, after), lengths, strict=True))
        return np.concatenate(list(values))

    return replace(before, steps=float(sum(lengths)), step_size=both("step_size"), sigma=both("sigma"))
