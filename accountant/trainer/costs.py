"""What requests cost an estimator, in steps, seconds and fits, and when learning again costs less."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from accountant.numerics import InputError, UnreachableError
from accountant.requests import UnlearningStream

#: Requests that are looked ahead at most.
AHEAD: Final = 300
#: So many answers that differ by no more than this, or a step, are taken to stay.
STEADY: Final = 16
_ALIKE: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the next requests cost; nothing here depends on the rows. With classes of norm: requests of the longest rows.

    steps: of the next request of one row; None where no number is enough. What a list of rows takes as one request, far less
    than the rows one after the other, ``planned_steps(rows)`` says. fit_steps: what learning ran. seconds_per_step: as learning
    took them, with this data on this machine; None for files of earlier versions. max_steps: what a request may take unless
    ``max_steps`` says otherwise.
    remaining: requests of one row, one after the other, from now on, that take at most max_steps each. ends: what ends them:
    "steps" (the next one would take more, or no number is enough), "rows" (no row, or no room for a stand-in, is left),
    "steady" (all rows: requests have come to take the same number of steps, last_steps, and nothing is seen to change that), or
    "unknown" (so many were looked for; more may follow). last_steps: of the last one that was looked at.

    >>> cost = Cost(steps=5, fit_steps=500, seconds_per_step=0.001, max_steps=500, remaining=40)
    >>> cost.share, cost.seconds, cost.fit_seconds
    (0.01, 0.005, 0.5)
    >>> str(cost)[:75]
    'the next request of one row takes 5 steps (0.005 s, 0.01 of a fit); 40 such'
    """

    steps: int | None
    fit_steps: int
    seconds_per_step: float | None
    max_steps: int
    remaining: int
    ends: str = "steps"
    last_steps: int | None = None

    @property
    def share(self) -> float | None:
        """Of a fit, for the next request of one row."""
        return None if self.steps is None else self.steps / self.fit_steps

    @property
    def seconds(self) -> float | None:
        """Of the next request of one row."""
        return None if self.steps is None or self.seconds_per_step is None else self.steps * self.seconds_per_step

    @property
    def fit_seconds(self) -> float | None:
        """Of learning again."""
        return None if self.seconds_per_step is None else self.fit_steps * self.seconds_per_step

    @property
    def refit(self) -> bool:
        """Whether learning again costs less than the next request of one row."""
        return self.steps is None or self.steps > self.fit_steps

    def __str__(self) -> str:
        if self.steps is None:
            return f"no number of steps answers another request: refit() takes {self.fit_steps} steps"
        spent = f"{self.share:.2g} of a fit" if self.seconds is None else f"{self.seconds:.2g} s, {self.share:.2g} of a fit"
        said = f"the next request of one row takes {self.steps} steps ({spent})"
        if self.ends == "steady":
            return f"{said}; requests go on to take about {self.last_steps} steps each"
        least, then = ("at least " if self.ends == "unknown" else ""), ", then refit()" if self.ends == "steps" else ""
        return f"{said}; {least}{self.remaining} such requests take at most {self.max_steps} steps each{then}"


def cost_of(stream: UnlearningStream, *, learned: int, most: int, seconds_per_step: float | None) -> Cost:
    """The costs of a model whose requests are answered by this stream, after so many steps of learning."""
    remaining, ends, last = remaining_requests(stream, most)
    return Cost(
        steps=next(iter(requested(stream, [1])), None),
        fit_steps=learned,
        seconds_per_step=seconds_per_step,
        max_steps=most,
        remaining=remaining,
        ends=ends,
        last_steps=last,
    )


def remaining_requests(stream: UnlearningStream, most: int) -> tuple[int, str, int | None]:
    """Requests of one row each that this stream answers with at most so many steps each, what ends them, and the last one's."""
    ahead = stream.ahead()
    answers: list[int] = []
    while len(answers) < AHEAD:
        try:
            answers.append(ahead.request(1))
        except UnreachableError:
            return len(answers), "steps", answers[-1] if answers else None
        except InputError:
            return len(answers), "rows", answers[-1] if answers else None
        if answers[-1] > most:
            return len(answers) - 1, "steps", answers[-1]
        last = answers[-STEADY:]
        if len(last) == STEADY and max(last) - min(last) <= max(1, _ALIKE * max(last)):
            return _rows_left(stream), "steady", answers[-1]
    return AHEAD, "unknown", answers[-1]


def requested(stream: UnlearningStream, points: Sequence[int]) -> list[int]:
    """Steps of requests of so many records, one after the other, up to the first that no number of steps is enough for.

    The stream stays as it is.
    """
    ahead = stream.ahead()
    answers: list[int] = []
    for each in points:
        try:
            answers.append(ahead.request(each))
        except (InputError, UnreachableError):
            break
    return answers


def _rows_left(stream: UnlearningStream) -> int:
    """That may be deleted: all, or as many as others may take the places of."""
    algorithm, state = stream.accountant.algorithm, stream.state
    here = algorithm.problem.n + state.inserted
    if algorithm.own_draws and algorithm.problem.adjacency == "replace":
        assert algorithm.largest_n is not None
        return algorithm.largest_n - here - state.points
    return here - state.points


class Foreseeing(Protocol):
    """What is asked of an estimator, whose file asks for costs itself."""

    _stream: UnlearningStream

    def alone(self) -> AbstractContextManager[object]: ...
    def _check_fitted(self) -> None: ...
    def _most_steps(self) -> int: ...


def foreseen_steps(model: Foreseeing, points: Sequence[int]) -> list[int]:
    """Steps of requests of so many rows each, one after the other, from now on; the model stays as it is.

    The list is shorter where no number of steps is enough for the next one, or it takes more than the model allows.
    """
    with model.alone():
        model._check_fitted()
        answers, most = requested(model._stream, points), model._most_steps()
    over = next((at for at, steps in enumerate(answers) if steps > most), len(answers))
    return answers[:over]
