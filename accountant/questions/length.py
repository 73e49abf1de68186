"""How long unlearning runs: steps and epochs of a setup, those of its schedule included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from accountant.bounds import Bound
from accountant.numerics import MAX_COUNT, Floats, InputError, numbers
from accountant.questions.setup import Setup


@dataclass(frozen=True)
class Length:
    """Lengths of unlearning in a setup, as a bound allows them."""

    setup: Setup
    bound: Bound

    @property
    def scheduled_steps(self) -> int:
        """Unlearning steps that the schedule itself says."""
        return 0 if self.setup.timeline is None else self.setup.timeline.unlearn_steps

    @property
    def counts_epochs(self) -> bool:
        """Whether all unlearning has one batch size, so that its steps make epochs."""
        return self.setup.timeline is None or self.setup.timeline.one_unlearn_layout

    @property
    def steps_per_epoch(self) -> int:
        """J of the unlearning epochs that are counted."""
        timeline = self.setup.timeline
        return self.setup.setting.algorithm.steps_per_epoch if timeline is None else timeline.unlearn_steps_per_epoch

    @property
    def constant(self) -> bool:
        """Whether there is no schedule, or one that changes nothing and says nothing of unlearning."""
        timeline = self.setup.timeline
        return timeline is None or (timeline.plain is not None and timeline.open and not timeline.unlearn_steps)

    @property
    def closed(self) -> bool:
        """Whether the schedule says all of the length."""
        return self.setup.timeline is not None and not self.setup.timeline.open

    def total(self, *, epochs: ArrayLike | None, steps: ArrayLike | None) -> Floats:
        """All unlearning steps that one of them leads to (neither, where the schedule says all); else InputError."""
        if self.closed:
            if epochs is not None or steps is not None:
                raise InputError("epochs and steps must not be given: the schedule says how long unlearning is")
            if self.scheduled_steps < self.bound.minimum_steps:
                raise InputError(
                    f"the schedule must have at least 1 unlearning step for bound={self.bound.name}, which says nothing "
                    "without unlearning, got 0"
                )
            return np.asarray(float(self.scheduled_steps))
        if steps is not None and epochs is None:
            return self.scheduled_steps + numbers("steps", steps, at_least=0, at_most=MAX_COUNT, whole=True)
        if epochs is not None and steps is None:
            per_epoch = self.steps_per_epoch
            count = per_epoch * numbers("epochs", epochs, at_least=0, at_most=MAX_COUNT // per_epoch, whole=True)
            return self.scheduled_steps + count
        both = "both" if epochs is not None else "neither"
        raise InputError(f"give either epochs or steps (0 is allowed), got {both}")

    def too_short(self, *, steps: ArrayLike | None) -> InputError:
        """What to say of fewer steps than the bound's fewest."""
        name = "steps" if steps is not None else "epochs"
        return InputError(
            f"{name} must be at least 1 for bound={self.bound.name}, which says nothing without unlearning, got 0; "
            "bound=optimal answers"
        )

    def gradient_evaluations(self, steps: int) -> int:
        """Per-sample gradients that so many steps compute: the sum of their batch sizes."""
        return (self.setup.timeline or self.setup.setting.algorithm).gradient_evaluations(steps)
