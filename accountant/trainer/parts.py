"""The parts of a run: how many steps of which size and noise learning or unlearning has, one batch size after the other.

Read off the timeline that the accountant reads too; nothing here knows data or parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from accountant.numerics import Floats, InputError, integer, shown
from accountant.problem import PNSGD
from accountant.shifts import Stretch, Timeline


class Part(NamedTuple):
    """Steps on one batch size, that of ``layout``.

    steps: how many, >= 0. step_size: eta, sigma: noise in units of the run's; each a float or an array (steps,).
    """

    layout: PNSGD
    steps: int
    step_size: float | Floats
    sigma: float | Floats

    @property
    def batch_size(self) -> int:
        return int(self.layout.batch_size)


def learning(timeline: Timeline, *, epochs: int | None, steps: int | None) -> list[Part]:
    """The parts of learning. epochs or steps: its length, which must be what is accounted for, or covered by it."""
    stretches = [stretch for stretch in timeline.stretches if stretch.learn]
    given = epochs is not None or steps is not None
    if given and (len(stretches) != 1 or np.ndim(stretches[0].step_size) or np.ndim(stretches[0].sigma)):
        raise InputError("epochs and steps of learning must be left out with a schedule, which says them")
    if not given and any(stretch.steps == math.inf for stretch in stretches):
        raise InputError("epochs or steps must be given: learning until the law no longer changes has no end")
    parts = []
    for stretch in stretches:
        layout = _layout(timeline, stretch)
        length = _accounted(stretch, epochs, steps, layout.steps_per_epoch) if given else int(stretch.steps or 0)
        parts.append(Part(layout, length, stretch.step_size, stretch.sigma))
    return parts


def _accounted(stretch: Stretch, epochs: int | None, steps: int | None, per_epoch: int) -> int:
    """The steps of learning that are asked for, or InputError where they are not what is accounted for.

    Converged learning covers all that is a number of whole epochs: cut off at its beginning it is the same steps. Part of an
    epoch moves every batch to another distance from the end.
    """
    length = _length(epochs, steps, per_epoch)
    name, asked = ("steps", steps) if epochs is None else ("epochs", epochs)
    if stretch.steps == math.inf:
        if length % per_epoch:
            raise InputError(
                f"steps must be whole epochs of {per_epoch} steps where learning is accounted for as converged, which covers "
                f"no others, got {steps}; a schedule with Learn(steps={steps}) accounts for these"
            )
    elif length != stretch.steps:
        whole = int(stretch.steps or 0)
        wanted = shown(whole / per_epoch) if name == "epochs" else str(whole)
        raise InputError(
            f"{name} must be {wanted}, the length of learning that is accounted for, got {asked}: for another one change the "
            "algorithm's learn_epochs, or the schedule"
        )
    return length


def again(timeline: Timeline, *, learned: int, unlearned: int, requested: bool) -> list[Part]:
    """The parts of a run that has ``learned`` and ``unlearned`` so many steps, whether or not a request asked for these."""
    if timeline.plain is not None:
        first = timeline.stretches[0]
        return [Part(_layout(timeline, first), learned + unlearned, first.step_size, first.sigma)]
    parts = learning(timeline, epochs=None, steps=learned if timeline.converged else None)
    if requested:
        parts += unlearning(timeline, first=True, epochs=None, steps=unlearned if timeline.open else None)
    return parts


def epochs_of(timeline: Timeline, steps: int) -> int:
    """So many steps of converged learning in epochs."""
    return steps // _layout(timeline, timeline.stretches[0]).steps_per_epoch


def unlearning(timeline: Timeline, *, first: bool, epochs: int | None, steps: int | None) -> list[Part]:
    """The parts of the answer to a request, which is the ``first`` or a later one; epochs or steps where the length is open."""
    stretches = [stretch for stretch in timeline.stretches if not stretch.learn]
    if not timeline.open:
        if epochs is not None or steps is not None:
            raise InputError("epochs and steps must be left out: the schedule says how long unlearning is")
        if not stretches:
            raise InputError("schedule must have an unlearn phase")
    if not first and timeline.plain is None:
        raise InputError("requests after the first need a constant algorithm: schedule must be left out")
    left = _left(timeline, epochs, steps) if timeline.open else 0
    return [_part(timeline, stretch, left) for stretch in stretches]


def _left(timeline: Timeline, epochs: int | None, steps: int | None) -> int:
    """Steps of the open last phase, where all of unlearning has so many."""
    if epochs is not None and not timeline.one_unlearn_layout:
        raise InputError("steps must be given instead of epochs where unlearning changes its batch size")
    left = _length(epochs, steps, timeline.unlearn_steps_per_epoch) - timeline.unlearn_steps
    if left < 0:
        raise InputError(f"steps must be at least {timeline.unlearn_steps}, those of the schedule, got {steps}")
    return left


def _part(timeline: Timeline, stretch: Stretch, left: int) -> Part:
    layout = _layout(timeline, stretch)
    if stretch.steps is not None:
        return Part(layout, int(stretch.steps), stretch.step_size, stretch.sigma)
    return Part(layout, left, _at(stretch.step_size, left), _at(stretch.sigma, left))


def _layout(timeline: Timeline, stretch: Stretch) -> PNSGD:
    return replace(timeline.algorithm, batch_size=stretch.batch_size)


def _at(rate: float | Floats | Callable[[float], float | Floats], steps: int) -> float | Floats:
    """The rate of an open phase once its length is known."""
    return rate(float(steps)) if callable(rate) else rate


def _length(epochs: int | None, steps: int | None, per_epoch: int) -> int:
    if (epochs is None) == (steps is None):
        raise InputError(f"exactly one of epochs and steps must be given, got {'both' if epochs is not None else 'neither'}")
    if epochs is not None:
        return integer("epochs", epochs, at_least=0) * per_epoch
    return integer("steps", steps, at_least=0)
