"""Planning over time: what processing deletion requests costs, against retraining, and which window and noise cost least."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant import roots
from accountant.algorithm import PNSGD
from accountant.assumptions import RANDOM
from accountant.problem import PRESETS
from accountant.stream import UnlearningStream
from accountant.traffic import EPOCH, SHORTEST, Arrival, Queue, duration
from accountant.unlearning import UnlearningAccountant
from accountant.validation import LARGEST, MAX_COUNT, SMALLEST, InputError, integer, number, shown

if TYPE_CHECKING:
    from accountant.precision import Enclosure

Floats = NDArray[np.float64]
#: Called with the work done and the work there is, in no particular unit.
Progress = Callable[[int, int], None]

#: Epochs of learning in the published experiments, by batch size: the burn-in T of the authors' code (Chien et al. 2024).
PUBLISHED_EPOCHS: Final[dict[int | str, int]] = {32: 50, 64: 75, 128: 100, 256: 150, 512: 200, "full": 1000}
#: A free sigma is found to this relative precision.
_PRECISION: Final = 1e-3


class PlannedRequest(NamedTuple):
    """What is processed at one time, what that takes, and the costs up to here in per-sample gradient evaluations."""

    request: int
    time: float | None
    points: int
    steps: int
    epochs: float
    gradient_evaluations: int
    mu_worst: float | None
    total_gradient_evaluations: int
    retrain_each_gradient_evaluations: int | None
    retrain_once_gradient_evaluations: int | None


class Choice(NamedTuple):
    """What :func:`optimize` found, for :func:`make_plan`."""

    sigma: float
    window: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every processed request with its cost, and the totals. Times and durations are in seconds; None: not known or not asked.

    break_even: the first request at which unlearning has cost more than one retraining, so that retraining once would have
    been cheaper; None if that never happens within the plan, or if ``retrain_epochs`` is not known.
    longest_wait: from a request's arrival until its processing starts; running the steps comes on top.
    """

    requests: tuple[PlannedRequest, ...]
    sigma: float
    epsilon: float
    delta: float
    unit: str
    first_bound: str | None
    window: float | None
    deadline: float | None
    longest_wait: float | None
    retrain_epochs: int | None
    total_steps: int
    total_epochs: float
    total_gradient_evaluations: int
    retrain_gradient_evaluations: int | None
    break_even: int | None
    averages: bool
    averaging: str
    dated: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON types; times as ISO 8601 in UTC where the arrivals were dates."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("averages", "dated")}
        values["requests"] = [row._asdict() | {"time": self.shown_time(row)} for row in self.requests]
        return values

    def shown_time(self, row: PlannedRequest) -> float | str | None:
        """When a row is processed: a date as text where the arrivals were dates, otherwise seconds."""
        if row.time is None or not self.dated:
            return row.time
        return (EPOCH + timedelta(seconds=row.time)).isoformat().replace("+00:00", "Z")


def default_retrain_epochs(algorithm: PNSGD) -> int | None:
    """``learn_epochs``, or what the authors' code learns for on the published problems, or None."""
    if algorithm.learn_epochs is not None or algorithm.problem not in PRESETS.values():
        return algorithm.learn_epochs
    full = algorithm.batch_size == algorithm.problem.n
    return PUBLISHED_EPOCHS.get("full" if full else algorithm.batch_size)


def make_plan(
    accountant: UnlearningAccountant,
    requests: Sequence[Arrival] | Sequence[int],
    *,
    sigma: float,
    epsilon: float,
    delta: float | None = None,
    unit: str = "steps",
    window: float | str | None = None,
    deadline: float | str | None = None,
    retrain_epochs: int | None = None,
    first_bound: str | None = None,
    progress: Progress | None = None,
) -> Plan:
    """What it takes to keep every request, processed in order, at (``epsilon``, ``delta``), and what retraining would take.

    requests: arrivals, or numbers of points without times. window, deadline: seconds, or text such as "7d"; they need times.
    retrain_epochs: what one retraining runs for; default :func:`default_retrain_epochs`.
    """
    stream = UnlearningStream(accountant, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit, first_bound=first_bound)
    algorithm = accountant.algorithm
    queue = Queue.of(requests, algorithm.problem.n)
    width, limit = _window_and_deadline(queue, window, deadline)
    points, times, wait = queue.batched(width)
    per_epoch = algorithm.steps_per_epoch
    retrain: int | None = None
    epochs = default_retrain_epochs(algorithm) if retrain_epochs is None else retrain_epochs
    if epochs is not None:
        epochs = integer("retrain_epochs", epochs, at_least=1, at_most=MAX_COUNT // per_epoch)
        retrain = algorithm.gradient_evaluations(epochs * per_epoch)
    rows: list[PlannedRequest] = []
    spent = 0
    for index, count in enumerate(points.tolist()):
        steps = stream.request(points=count)
        # Every request goes on in the cycle where the one before it stopped.
        before, spent = spent, algorithm.gradient_evaluations(stream.total_steps)
        row = PlannedRequest(
            request=index + 1,
            time=None if times is None else float(times[index]),
            points=count,
            steps=steps,
            epochs=_in_epochs(steps, per_epoch),
            gradient_evaluations=spent - before,
            mu_worst=stream.mu_worst,
            total_gradient_evaluations=spent,
            retrain_each_gradient_evaluations=None if retrain is None else (index + 1) * retrain,
            retrain_once_gradient_evaluations=retrain,
        )
        rows.append(row)
        if progress is not None:
            progress(index + 1, points.size)
    return Plan(
        requests=tuple(rows),
        sigma=stream.sigma,
        epsilon=stream.epsilon,
        delta=stream.delta,
        unit=unit,
        first_bound=first_bound,
        window=width,
        deadline=limit,
        longest_wait=wait,
        retrain_epochs=epochs,
        total_steps=stream.total_steps,
        total_epochs=_in_epochs(stream.total_steps, per_epoch),
        total_gradient_evaluations=spent,
        retrain_gradient_evaluations=rows[-1].retrain_each_gradient_evaluations,
        break_even=next((r.request for r in rows if retrain is not None and r.total_gradient_evaluations > retrain), None),
        averages=accountant.batches == RANDOM,
        averaging=stream.averaging,
        dated=queue.dated,
    )


class Reached(NamedTuple):
    """A plan to many digits, as decimals rounded up.

    requests: epsilon after every processed request. epsilon: the largest of them. sigma: the smallest with which the plan's
    steps keep every request at its target, where asked for. None: not known, for the ``reason``.
    """

    requests: tuple[str | None, ...]
    epsilon: str | None
    sigma: str | None
    reason: str | None


def reached(
    accountant: UnlearningAccountant, made: Plan, *, digits: int, sigma: bool = False, progress: Progress | None = None
) -> Reached:
    """What a plan of the accountant reaches, to ``digits`` digits (1 to 1000); ``sigma``: whether its noise is asked for."""
    from accountant.precision import EnclosedStream

    stream = UnlearningStream(
        accountant, sigma=made.sigma, epsilon=made.epsilon, delta=made.delta, unit=made.unit, first_bound=made.first_bound
    )
    enclosed = EnclosedStream(stream, digits=digits)
    stride = accountant.algorithm.steps_per_epoch if made.unit == "epochs" else 1
    unknowns = ("epsilon", "sigma") if sigma else ("epsilon",)
    found: dict[str, list[Enclosure | None]] = {name: [] for name in unknowns}
    reason = None
    for row in made.requests:
        for name in unknowns:
            try:
                found[name].append(enclosed.enclose(name, row.points, row.steps // stride))
            except InputError as error:
                found[name].append(None)
                reason = reason or f"request {row.request}: {error}"
        enclosed.answer(row.points, row.steps // stride)
        if progress is not None:
            progress(row.request, len(made.requests))

    def largest(name: str) -> str | None:
        known = [answer for answer in found.get(name, []) if answer is not None]
        complete = known and len(known) == len(made.requests)
        return str(max(known, key=lambda answer: answer.upper)) if complete else None

    each = tuple(None if answer is None else str(answer) for answer in found["epsilon"])
    return Reached(each, largest("epsilon"), largest("sigma"), reason)


def _window_and_deadline(
    queue: Queue, window: float | str | None, deadline: float | str | None
) -> tuple[float | None, float | None]:
    for name, value in (("window", window), ("deadline", deadline)):
        if value is not None and queue.times is None:
            raise InputError(f"{name} must be left out where requests have no arrival times, got {value}")
    width = None if window is None else duration(window, name="window")
    limit = None if deadline is None else duration(deadline, name="deadline")
    if width is not None and limit is not None and not width <= limit:
        raise InputError(f"window must be at most the deadline, {shown(limit)} seconds, got {shown(width)} seconds")
    return width, limit


def _in_epochs(steps: int, per_epoch: int) -> float:
    """Whole numbers as integers."""
    return steps // per_epoch if steps % per_epoch == 0 else steps / per_epoch


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
    (to 1e-3 relative) that reaches it. Without ``max_sigma`` any noise goes; then the least cost is 0 wherever the
    bound allows zero steps, at the least noise that makes the learned model itself private enough.
    """
    queue = Queue.of(requests, accountant.algorithm.problem.n)
    width, limit = _window_and_deadline(queue, window, deadline)
    if max_sigma is not None and sigma is not None:
        raise InputError(f"max_sigma must be left out where sigma is given, got {max_sigma}")
    windows: list[float | None] = [width]
    if queue.times is not None and width is None:
        if limit is None:
            raise InputError("deadline must be given for optimize to choose a window: without one, waiting is free")
        windows = candidate_windows(limit)
    elif sigma is not None:
        raise InputError("optimize has nothing to choose: leave out sigma, or give arrival times and no window")
    # Windows that batch alike cost alike: the shortest stands for them.
    batches: dict[bytes, tuple[float | None, NDArray[np.int64]]] = {}
    for candidate in windows:
        points = queue.batched(candidate)[0]
        batches.setdefault(points.tobytes(), (candidate, points))
    done = 0
    refusals: list[InputError] = []
    streams: list[UnlearningStream] = []

    def cost(noise: float, points: NDArray[np.int64]) -> float:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, max(len(batches), done + 1))
        try:
            if not streams or streams[0].sigma != noise:
                streams[:] = [
                    UnlearningStream(
                        accountant, sigma=noise, epsilon=epsilon, delta=delta, unit=unit, first_bound=first_bound
                    )
                ]
            # All windows share what one noise needs to be computed for.
            stream = streams[0].fresh()
            stream.request_all(points)
            return accountant.algorithm.gradient_evaluations(stream.total_steps)
        except InputError as error:
            refusals.append(error)
            return math.inf

    top = LARGEST if max_sigma is None else number("max_sigma", max_sigma, above=0)
    chosen = top if sigma is None else sigma
    costs = [cost(chosen, points) for _, points in batches.values()]
    least = min(costs)
    if math.isinf(least):
        raise refusals[0]
    best = [batch for batch, spent in zip(batches.values(), costs, strict=True) if spent == least]
    width = best[0][0]
    if sigma is None:
        for candidate, points in best:
            # Less noise than so far, or the window is not worth the wait.
            deepest = math.ceil((math.log(chosen) - math.log(SMALLEST)) / _PRECISION)

            def noise_at(count: float, start: float = math.log(chosen)) -> float:
                return max(math.exp(start - _PRECISION * count), SMALLEST)

            def falls_short(
                count: Floats, _: NDArray[np.intp], noise_at: Callable[[float], float] = noise_at, points: Any = points
            ) -> NDArray[np.bool_]:
                return np.array([cost(noise_at(float(count[0])), points) > least])

            found = float(roots.smallest_count(falls_short, low=np.ones(1), high=float(deepest))[0]) - 1
            if found > 0:
                width, chosen = candidate, noise_at(min(found, float(deepest)))
    return Choice(sigma=chosen, window=width)
