"""A schedule resolved against an algorithm: stretches of steps of one kind, each with its constants."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from accountant.numerics import MAX_COUNT, Floats, InputError, limit_of, numbers
from accountant.problem import PNSGD, Learn, Phase, Schedule

#: Steps with constants of their own beyond which a phase is refused.
MAX_STEPS: Final = 10_000_000


@dataclass(frozen=True)
class Stretch:
    """Steps of one kind on one batch size. ``steps``: +inf for converged learning, None where the question says it.

    first: the batch that it starts on. step_size, sigma: floats, or arrays (steps,), or where the length is open callables of
    step numbers.
    """

    learn: bool
    batch_size: int
    first: int
    steps: float | None
    step_size: Any
    sigma: Any


def resolved(schedule: Schedule, algorithm: PNSGD) -> list[Stretch]:
    """The stretches of a schedule in order, none of no length; InputError names the phase that does not fit the algorithm."""
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule must be a Schedule, got {schedule!r}")
    if not isinstance(schedule.phases[0], Learn):
        raise InputError("a schedule must begin with a learn phase, got an unlearn phase first")
    stretches: list[Stretch] = []
    for place, phase in enumerate(schedule.phases, start=1):
        try:
            _append(stretches, phase, algorithm)
        except InputError as error:
            raise InputError(f"phase {place} of the schedule: {error}") from None
    return stretches


def layout_of(algorithm: PNSGD, batch_size: int | str | None) -> PNSGD:
    """The algorithm with another batch size; None: its own."""
    return algorithm if batch_size is None else replace(algorithm, batch_size=batch_size)


def _append(stretches: list[Stretch], phase: Phase, algorithm: PNSGD) -> None:
    layout = layout_of(algorithm, phase.batch_size)
    length = _length(phase, layout)
    size = algorithm.eta if phase.step_size is None else phase.step_size
    stretch = Stretch(
        learn=isinstance(phase, Learn),
        batch_size=int(layout.batch_size),
        first=0,
        steps=length,
        step_size=_rate("step_size", size, length, algorithm),
        sigma=_rate("sigma", phase.sigma, length, algorithm),
    )
    before = stretches[-1] if stretches else None
    if before is not None and before.batch_size == stretch.batch_size:
        done = 0 if before.steps is None or math.isinf(before.steps) else int(before.steps)
        stretch = replace(stretch, first=(before.first + done) % layout.steps_per_epoch)
        # Converged learning ends at a whole epoch: part of one after it is no part of it.
        apart = before.steps == math.inf and (length or 0) % layout.steps_per_epoch
        joined = None if apart else _merged(before, stretch)
        if joined is not None:
            stretches[-1] = joined
            return
    if length != 0:
        stretches.append(stretch)


def _length(phase: Phase, layout: PNSGD) -> float | None:
    """Steps of the phase, +inf for converged learning, None where the question says it."""
    if phase.epochs is None and phase.steps is None:
        if not isinstance(phase, Learn):
            return None
        return math.inf if layout.learn_epochs is None else float(layout.learn_epochs * layout.steps_per_epoch)
    length = float(phase.steps if phase.steps is not None else (phase.epochs or 0) * layout.steps_per_epoch)
    if length > MAX_COUNT:
        raise InputError(f"its length must be at most {limit_of(MAX_COUNT)} steps, got {length:.0f}")
    return length


def _rate(name: str, value: Any, length: float | None, algorithm: PNSGD) -> Any:
    """A checked float, array or (open length) callable."""

    def checked(rates: Any) -> Floats:
        if name == "sigma":
            return numbers(name, rates, at_least=0, sized=True)
        if np.ndim(rates):
            # A schedule may end at zero: such a step does nothing.
            return numbers(name, rates, at_least=0, at_most=2 / algorithm.problem.smoothness, sized=True)
        return numbers(name, rates, above=0, at_most=2 / algorithm.problem.smoothness, sized=True)

    if isinstance(value, float):
        return float(checked(value))
    if length is None:
        if callable(value):
            return lambda count: _rate(name, value, float(count), algorithm)
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
