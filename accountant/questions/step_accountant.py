"""The accountant of noisy steps that both runs share: fine-tuning of networks, and convex losses without smoothness."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accountant.bounds import CommonSteps
from accountant.curves import Guarantee
from accountant.numerics import MAX_COUNT, InputError, UnreachableError, choice, number, plain
from accountant.problem import STEPPING, Schedule, Stages, Stepping
from accountant.questions.answering import Answering
from accountant.questions.outcome import UNKNOWNS, Unknown
from accountant.questions.question import Question, Refusals
from accountant.questions.step_solving import solve_argument
from accountant.questions.stepping import StepAsking, StepOutcome, assumed, settings_of


class StepAccountant(Answering[StepOutcome]):
    """What :class:`UnlearningAccountant` makes of a :class:`~accountant.problem.FineTuning` and its like.

    The questions are the same, with these differences: sigma is the standard deviation of one step's noise, without
    sqrt(2 eta); delta has no default, as there is no n; lengths are steps >= 1; the records that go do not count, neither how
    many nor where they were. start_distance: declared, instead of what the clips give. More steps never prove less: N of them
    prove what the best number up to N proves.

    schedule: phases ``Unlearn(steps=..., step_size=..., sigma=...)``, noise in units of sigma; steps are then those of an open
    last phase (left out, if there is none). Of clipped gradients, and of smooth losses without them.

    >>> from accountant import FineTuning, UnlearningAccountant
    >>> accountant = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0))
    >>> f"{accountant.sigma(epsilon=1.0, delta=1e-5, steps=100):.9f}"
    '1.492252654'
    """

    _asking: StepAsking

    def __init__(self, algorithm: Stepping, *, bound: str = CommonSteps.name, schedule: Schedule | None = None) -> None:
        if not isinstance(algorithm, Stepping):
            raise InputError(f"algorithm must be one of {', '.join(STEPPING)}, got {algorithm!r}")
        self.schedule = schedule
        self.stages = None if schedule is None else Stages(schedule, algorithm)
        self.bound = choice("bound", bound, (CommonSteps.name,))
        self.algorithm = algorithm
        self.refusal: InputError | None = None
        try:
            CommonSteps(algorithm, algorithm.start_distance).check()
        except InputError as error:
            self.refusal = error
        self._asking = StepAsking(algorithm, self.refusal, self.stages)

    def check(self) -> None:
        """Raise InputError, with the reason, if the setting proves nothing."""
        if self.refusal is not None:
            raise self.refusal

    def with_(self, **changes: Any) -> StepAccountant:
        """The same with other arguments of the algorithm, or another ``algorithm`` or ``schedule``."""
        algorithm, schedule = changes.pop("algorithm", self.algorithm), changes.pop("schedule", self.schedule)
        return StepAccountant(replace(algorithm, **changes), schedule=schedule)

    def __repr__(self) -> str:
        return f"StepAccountant({self.algorithm!r}{'' if self.schedule is None else f', schedule={self.schedule!r}'})"

    def ask(
        self, unknown: Unknown, *, sigma: ArrayLike | None = None, epsilon: ArrayLike | None = None,
        delta: ArrayLike | None = None, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None,
    ) -> StepOutcome:  # fmt: skip
        """The unknown from the others: rows that have no answer are refused in the outcome, and nothing is raised."""
        choice("unknown", unknown, UNKNOWNS)
        asked = Question(sigma=sigma, epsilon=epsilon, delta=delta, steps=steps, start_distance=start_distance)
        refused = Refusals(raising=False)
        return self._asking.ask(unknown, asked.admitted(refused, most_epochs=MAX_COUNT), refused)

    def run(self, *, sigma: ArrayLike, steps: ArrayLike | None = None, start_distance: ArrayLike | None = None) -> StepOutcome:
        """A run of given noise and length: what follows from it."""
        asked = Question(sigma=sigma, steps=steps, start_distance=start_distance)
        query = self._asking.query(asked)
        if np.any(query.steps < 1):
            raise InputError("steps must be at least 1: without a noisy step nothing is hidden")
        return self._asking.outcome(query, asked, Refusals(raising=True), sigma=plain(asked.number("sigma")))

    def guarantee(self, *, sigma: float, steps: int | None = None, start_distance: float | None = None) -> Guarantee:
        """The whole privacy curve after so many steps, none for a closed schedule, with what it rests on (scalars only)."""
        return self.run(sigma=number("sigma", sigma, above=0), steps=steps, start_distance=start_distance).guarantee

    def solve(
        self, unknown: str, *, epsilon: float, delta: float, steps: int | None = None, sigma: float | None = None,
        start_distance: float | None = None,
    ) -> float:  # fmt: skip
        """Whichever number is not known: sigma or steps (the smallest), or an argument of the algorithm from all the others.

        step_size, gradient_clip, start_clip, model_clip: the largest that proves (``epsilon``, ``delta``); weight_decay: the
        smallest. Found to 1e-9, and put back; what the algorithm says for it does not count. With decay, step sizes are tried
        from 1/weight_decay down in ratios of 2**(1/16).

        >>> from accountant import FineTuning
        >>> accountant = StepAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0))
        >>> f"{accountant.solve('gradient_clip', sigma=1.5, epsilon=1.0, delta=1e-5, steps=100):.6f}"
        '1.010410'
        """
        if unknown == "sigma":
            return self.sigma(epsilon=epsilon, delta=delta, steps=steps, start_distance=start_distance)
        noise = number("sigma", sigma, above=0)
        if unknown == "steps":
            return self.steps(sigma=noise, epsilon=epsilon, delta=delta, start_distance=start_distance)
        target = number("epsilon", epsilon, at_least=0)
        if unknown == "step_size" and self.schedule is not None:
            raise InputError("schedule must be left out where step_size is the unknown: its phases may say that themselves")

        def meets(value: float) -> bool:
            accountant = self.with_(**{unknown: value})
            try:
                found = accountant.epsilon(sigma=noise, delta=delta, steps=steps, start_distance=start_distance)
            except UnreachableError:
                return False
            return found <= target

        longest = None if self.stages is None else max(self.stages.algorithms, key=lambda each: each.step_size)
        return solve_argument(longest or self.algorithm, unknown, meets)

    def assumptions(self, *, given_distance: bool = False) -> tuple[str, ...]:
        """What the guarantee rests on, a sentence each."""
        return assumed(self.algorithm, given=math.inf if given_distance else None, stages=self.stages)

    def to_dict(self) -> dict[str, Any]:
        """What was asked about, as JSON types."""
        return settings_of(self.algorithm, self.stages)
