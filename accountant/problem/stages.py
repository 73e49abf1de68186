"""A schedule of noisy steps that both runs share: stages of so many steps, each with its step size and its share of the noise.

The phases are those of :class:`~accountant.problem.Schedule`, all of them ``Unlearn``: learning is not accounted for. What a
phase leaves out is the algorithm's; noise is in units of the sigma that the question asks about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import chain, groupby, repeat
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.numerics import MAX_COUNT, Floats, InputError, integer, number, numbers, shown
from accountant.problem.schedule import Phase, Schedule, Unlearn
from accountant.problem.stepping import FineTuning, SmoothNonconvex, Stepping

#: Steps with constants of their own beyond which a phase is refused.
_MOST: Final = 1_000_000


class Stage(NamedTuple):
    """Steps of one kind: how many (None: as many as are asked for), step size, and noise in units of sigma."""

    steps: int | None
    step_size: float
    noise: float


class Stages:
    """A schedule resolved against an algorithm; neighbours of one kind are one stage: splitting a phase changes nothing.

    Raises InputError, which names the phase, for what does not fit, and for algorithms whose steps cannot change on the way.

    >>> from accountant import FineTuning, Schedule, Unlearn
    >>> algorithm = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
    >>> stages = Stages(Schedule([Unlearn(steps=50), Unlearn(step_size=0.005, sigma=0.5)]), algorithm)
    >>> stages.stages
    (Stage(steps=50, step_size=0.01, noise=1.0), Stage(steps=None, step_size=0.005, noise=0.5))
    """

    def __init__(self, schedule: Schedule, algorithm: Stepping) -> None:
        if not isinstance(schedule, Schedule):
            raise InputError(f"schedule must be a Schedule, got {schedule!r}")
        self.schedule, self.algorithm = schedule, algorithm
        found: list[Stage] = []
        for place, phase in enumerate(schedule.phases, start=1):
            try:
                found += _resolved(phase, algorithm)
            except InputError as error:
                raise InputError(f"phase {place} of the schedule: {error}") from None
        self.stages = _joined(found)
        if not self.plain:
            _check_changing(algorithm)

    def with_(self, algorithm: Stepping) -> Stages:
        """The same schedule of another algorithm."""
        return Stages(self.schedule, algorithm)

    @property
    def open(self) -> bool:
        """Whether the question says how long the last phase is."""
        return self.stages[-1].steps is None

    @property
    def fixed(self) -> int:
        """Steps that the schedule itself says."""
        return sum(stage.steps or 0 for stage in self.stages)

    @property
    def plain(self) -> bool:
        """Whether every step is as the algorithm says, with all of sigma."""
        return all((stage.step_size, stage.noise) == (self.algorithm.step_size, 1.0) for stage in self.stages)

    @cached_property
    def algorithms(self) -> tuple[Stepping, ...]:
        """The algorithm of each stage."""
        return tuple(replace(self.algorithm, step_size=stage.step_size) for stage in self.stages)

    def total(self, steps: int | None) -> int:
        """Steps in all, where ``steps`` are those of an open last phase (None, where there is none); else InputError."""
        if not self.open:
            if steps is not None:
                raise closed()
            return self.fixed
        total = self.fixed + integer("steps", steps, at_least=0, at_most=MAX_COUNT)
        if total < 1:
            raise InputError("steps must be at least 1: without a noisy step nothing is hidden")
        return total

    def of(self, total: int) -> tuple[Stage, ...]:
        """The stages with their numbers of steps, of so many in all; none of no step."""
        opened = total - self.fixed
        found = (stage if stage.steps is not None else stage._replace(steps=opened) for stage in self.stages)
        return tuple(stage for stage in found if stage.steps)

    def each(self) -> Iterator[Stage]:
        """One step after the other, without end where the last phase is open: stages of one step."""
        return chain.from_iterable(
            repeat(stage._replace(steps=1)) if stage.steps is None else repeat(stage._replace(steps=1), stage.steps)
            for stage in self.stages
        )

    def told(self) -> list[str]:
        """The stages in words."""
        lines, first, most = [], 1, 8
        for stage in self.stages[:most]:
            until = "on" if stage.steps is None else f"to {first + stage.steps - 1}"
            size, noise = shown(stage.step_size), shown(stage.noise)
            lines.append(f"steps from {first} {until} have step size {size} and noise {noise} times sigma")
            first += stage.steps or 0
        if len(self.stages) > most:
            lines.append(
                f"steps from {first} on have the schedule's step sizes and noise, {len(self.stages) - most} stages more"
            )
        return lines


def closed() -> InputError:
    """What to say of a number of steps beside a schedule without an open phase."""
    return InputError("steps must not be given: the schedule says how long unlearning is")


def _check_changing(algorithm: Stepping) -> None:
    """Refuse the steps whose strings are known for constants that stay."""
    if isinstance(algorithm, FineTuning) and not algorithm.clip_first:
        return
    if isinstance(algorithm, SmoothNonconvex) and algorithm.gradient_clip is None:
        return
    which = algorithm.name
    if isinstance(algorithm, FineTuning):
        which += " with clip_first"
    elif isinstance(algorithm, SmoothNonconvex):
        which += " with gradient_clip"
    raise InputError(f"schedule must be left out for {which}: the bound for steps that change is about affine steps only")


def _resolved(phase: Phase, algorithm: Stepping) -> list[Stage]:
    if not isinstance(phase, Unlearn):
        raise InputError(f"it must be an unlearn phase for {algorithm.name}: learning is not accounted for")
    for name, why in (
        ("epochs", "common steps are counted one by one, give steps"),
        ("batch_size", "batches may be of any size"),
    ):
        if getattr(phase, name) is not None:
            raise InputError(f"{name} must be left out for {algorithm.name}: {why}")
    size = algorithm.step_size if phase.step_size is None else phase.step_size
    varies = any(not isinstance(value, float) for value in (size, phase.sigma))
    if varies and phase.steps is None:
        raise InputError("step_size and sigma must be single numbers in an open phase")
    if phase.steps is not None and phase.steps > (_MOST if varies else MAX_COUNT):
        raise InputError(f"steps must be at most {_MOST if varies else MAX_COUNT}, got {phase.steps}")
    if not varies:
        # Refuses what is outside of its domain, and a decay that is too large for the step.
        kept = replace(algorithm, step_size=float(size))  # type: ignore[arg-type]
        return [] if phase.steps == 0 else [Stage(phase.steps, kept.step_size, number("sigma", phase.sigma, at_least=0))]
    assert phase.steps is not None
    sizes, noises = (_rates(name, value, phase.steps) for name, value in (("step_size", size), ("sigma", phase.sigma)))
    for value in dict.fromkeys(sizes.tolist()):
        replace(algorithm, step_size=value)
    return [Stage(1, *pair) for pair in zip(sizes.tolist(), noises.tolist(), strict=True)]


def _rates(name: str, value: Any, count: int) -> Floats:
    """One number per step (count,)."""
    found = value(np.arange(count, dtype=np.float64)) if callable(value) else value
    array = np.full(count, found) if isinstance(found, float) else numbers(name, found, at_least=0, sized=True)
    if array.shape != (count,):
        raise InputError(f"{name} must have one number for each of the {count} steps, got shape {array.shape}")
    return array


def _joined(stages: list[Stage]) -> tuple[Stage, ...]:
    found = []
    for (size, noise), run in groupby(stages, key=lambda stage: (stage.step_size, stage.noise)):
        lengths = [stage.steps for stage in run]
        # Only the last phase of all is open; what comes before it in its run is of a length that the schedule says.
        known = sum(length for length in lengths if length is not None)
        if known:
            found.append(Stage(known, size, noise))
        if lengths[-1] is None:
            found.append(Stage(None, size, noise))
    if not found:
        raise InputError("schedule must have at least one step: without a noisy step nothing is hidden")
    return tuple(found)
