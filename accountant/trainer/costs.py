"""What requests cost an estimator, in steps, seconds and fits, and when learning again costs less."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Final

from accountant.numerics import InputError, UnreachableError
from accountant.requests import UnlearningStream

#: Requests that are looked ahead at most.
AHEAD: Final = 300
#: Rows of one request that a price is given for.
TOGETHER: Final = (1, 10, 100)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the next requests cost; nothing here depends on the rows.

    steps: of the next request of one row; None where no number is enough. together: {rows: steps} of one request of so many
    rows, those that can be had. fit_steps: what learning ran. seconds_per_step: as learning took them, with this data on this
    machine; None for files of earlier versions. max_steps: what a request may take unless ``max_steps`` says otherwise.
    remaining: requests of one row, one after the other, from now on, that take at most max_steps each; looked_ahead: whether
    these are all (False), or as many as were looked for (True), and more may follow.

    >>> cost = Cost(steps=5, together={1: 5}, fit_steps=500, seconds_per_step=0.001, max_steps=500, remaining=40)
    >>> cost.share, cost.seconds, cost.fit_seconds
    (0.01, 0.005, 0.5)
    >>> str(cost)[:75]
    'the next request of one row takes 5 steps (0.005 s, 0.01 of a fit); 40 such'
    """

    steps: int | None
    together: dict[int, int]
    fit_steps: int
    seconds_per_step: float | None
    max_steps: int
    remaining: int
    looked_ahead: bool = False

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
        lists = "".join(f"; one of {rows} rows {steps}" for rows, steps in self.together.items() if rows > 1)
        said = f"the next request of one row takes {self.steps} steps ({spent}){lists}"
        if self.looked_ahead:
            return f"{said}; at least {self.remaining} such requests take at most {self.max_steps} steps each"
        return f"{said}; {self.remaining} such requests take at most {self.max_steps} steps each, then refit()"


def cost_of(stream: UnlearningStream, *, learned: int, most: int, seconds_per_step: float | None) -> Cost:
    """The costs of a model whose requests are answered by this stream, after so many steps of learning."""
    together = {rows: steps for rows in TOGETHER if (steps := _planned(stream, rows)) is not None}
    remaining, ahead = remaining_requests(stream, most)
    return Cost(
        steps=together.get(1),
        together=together,
        fit_steps=learned,
        seconds_per_step=seconds_per_step,
        max_steps=most,
        remaining=remaining,
        looked_ahead=ahead,
    )


def remaining_requests(stream: UnlearningStream, most: int) -> tuple[int, bool]:
    """Requests of one row each that this stream answers with at most so many steps each; and whether looking ended before."""
    ahead = copy(stream)
    ahead.state = copy(stream.state)
    for count in range(AHEAD):
        try:
            if ahead.request(1) > most:
                return count, False
        except (InputError, UnreachableError):
            return count, False
    return AHEAD, True


def _planned(stream: UnlearningStream, points: int) -> int | None:
    try:
        return stream.planned(points).steps
    except (InputError, UnreachableError):
        return None
