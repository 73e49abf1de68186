"""Choosing the window and the noise whose plan costs least."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from accountant.numerics import SMALLEST, InputError, Progress, number, smallest_whole
from accountant.questions import UnlearningAccountant
from accountant.requests.arrivals import SHORTEST, Arrival, Batched, Queue
from accountant.requests.planning import settled_run, window_and_deadline
from accountant.requests.stream import UnlearningStream

#: A free sigma is found to this relative precision.
_PRECISION: Final = 1e-3


class Choice(NamedTuple):
    """What :func:`optimize` found, for :func:`make_plan`."""

    sigma: float
    window: float | None


def candidate_windows(deadline: float) -> list[float | None]:
    """The windows that :func:`optimize` tries, from none on: thirtieths of the deadline and the usual lengths below it."""
    usual = (60, 600, 3600, 21_600, 43_200, *(86_400 * days for days in (1, 2, 3, 7, 14, 28, 30, 60, 90, 180, 365)))
    parts = (deadline * k / 30 for k in range(1, 31))
    return [None, *sorted({float(w) for w in (*usual, *parts) if SHORTEST <= w < deadline} | {deadline})]


def optimize(
    accountant: UnlearningAccountant,
    requests: Sequence[Arrival] | Sequence[int],
    *,
    sigma: float | None = None,
    epsilon: float,
    delta: float | None = None,
    unit: str = "steps",
    window: float | str | None = None,
    deadline: float | str | None = None,
    max_sigma: float | None = None,
    first_bound: str | None = None,
    progress: Progress | None = None,
) -> Choice:
    """The window and noise whose plan has the fewest gradient evaluations in all under the deadline; ties: the shorter window.

    A given ``window`` is kept; otherwise those of :func:`candidate_windows` are tried, or none for requests without times.
    sigma None: more noise never costs more, so the least cost is that at ``max_sigma``, and the answer is the smallest sigma
    (to 1e-3 relative) that reaches it. ``max_sigma`` must be given then: noise that leaves nothing of the model costs least,
    and only who knows the model can say how much it bears; :func:`trade_off` shows what there is to choose from.
    """
    queue = Queue.of(requests, accountant.algorithm.problem.n)
    accountant = settled_run(accountant, queue, epsilon=epsilon, delta=delta)
    width, limit = window_and_deadline(queue, window, deadline)
    if max_sigma is not None and sigma is not None:
        raise InputError(f"max_sigma must be left out where sigma is given, got {max_sigma}")
    if max_sigma is None and sigma is None:
        raise InputError(
            "max_sigma must be given where sigma is left to optimize: the most noise costs least, and ruins models"
        )
    windows: list[float | None] = [width]
    if queue.times is not None and width is None:
        if limit is None:
            raise InputError("deadline must be given for optimize to choose a window: without one, waiting is free")
        windows = candidate_windows(limit)
    elif sigma is not None:
        raise InputError("optimize has nothing to choose: leave out sigma, or give arrival times and no window")
    # Windows that batch alike cost alike: the shortest stands for them.
    batches: dict[bytes, tuple[float | None, Batched]] = {}
    for candidate in windows:
        batched = queue.batched(candidate)
        batches.setdefault(batched.points.tobytes() + batched.joined.tobytes(), (candidate, batched))
    done = 0
    refusals: list[InputError] = []
    streams: list[UnlearningStream] = []

    def cost(noise: float, batched: Batched) -> float:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, max(len(batches), done + 1))
        try:
            if not streams or streams[0].sigma != noise:
                streams[:] = [
                    UnlearningStream(accountant, sigma=noise, epsilon=epsilon, delta=delta, unit=unit, first_bound=first_bound)
                ]
            # All windows share what one noise needs to be computed for.
            stream = streams[0].fresh()
            answer_all(stream, batched)
            return accountant.algorithm.gradient_evaluations(stream.total_steps)
        except InputError as error:
            refusals.append(error)
            return math.inf

    chosen = number("max_sigma", max_sigma, above=0) if sigma is None else sigma
    costs = [cost(chosen, batched) for _, batched in batches.values()]
    least = min(costs)
    if math.isinf(least):
        raise refusals[0]
    best = [batch for batch, spent in zip(batches.values(), costs, strict=True) if spent == least]
    width = best[0][0]
    if sigma is None:
        for candidate, batched in best:
            # Less noise than so far, or the window is not worth the wait.
            deepest = math.ceil((math.log(chosen) - math.log(SMALLEST)) / _PRECISION)

            def noise_at(count: float, start: float = math.log(chosen)) -> float:
                return max(math.exp(start - _PRECISION * count), SMALLEST)

            def falls_short(count: int, noise_at: Callable[[float], float] = noise_at, batched: Batched = batched) -> bool:
                return cost(noise_at(count), batched) > least

            deep = smallest_whole(falls_short, 1, deepest, start=1) - 1
            if deep > 0:
                width, chosen = candidate, noise_at(deep)
    return Choice(sigma=chosen, window=width)


def answer_all(stream: UnlearningStream, batched: Batched) -> None:
    """All requests, with who joins before each."""
    if not batched.joined.any():
        stream.request_all(batched.points)
        return
    for points, joined in zip(batched.points.tolist(), batched.joined.tolist(), strict=True):
        if joined:
            stream.insert(joined)
        if points:
            stream.request(points)
