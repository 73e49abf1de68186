"""Planning over time: what processing deletion requests costs, against retraining, and which window and noise cost least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from accountant.numerics import MAX_COUNT, InputError, Progress, integer, shown
from accountant.problem import PNSGD, RANDOM, SECRET, default_retrain_epochs, oversize
from accountant.questions import UnlearningAccountant
from accountant.requests.arrivals import EPOCH, Arrival, Queue
from accountant.requests.covered import LITTLE
from accountant.requests.stream import UnlearningStream
from accountant.requests.traffic import duration

if TYPE_CHECKING:
    from accountant.numerics import Enclosure


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
    #: Records that joined, at no cost of their own.
    joined: int = 0
    #: Whether the key is redrawn, of own draws: one run for all requests.
    redraw: bool | None = None

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

    requests: arrivals, or numbers of points without times. Records that join need draws of their own, of a key that is not
    redrawn; where that is open, it is settled for all requests at once. window, deadline: seconds, or text such as "7d"; they
    need times.
    retrain_epochs: what one retraining runs for; default :func:`default_retrain_epochs`.
    """
    queue = Queue.of(requests, accountant.algorithm.problem.n)
    accountant = settled_run(accountant, queue, epsilon=epsilon, delta=delta)
    stream = UnlearningStream(accountant, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit, first_bound=first_bound)
    algorithm = accountant.algorithm
    width, limit = window_and_deadline(queue, window, deadline)
    points, times, wait, joined = queue.batched(width)
    per_epoch = algorithm.steps_per_epoch
    epochs, retrain = retraining(algorithm, retrain_epochs)
    rows: list[PlannedRequest] = []
    spent = 0
    for index, (count, new) in enumerate(zip(points.tolist(), joined.tolist(), strict=True)):
        if new:
            stream.insert(new)
        if not count:
            continue
        steps = stream.request(points=count)
        # Every request goes on in the cycle where the one before it stopped.
        before, spent = spent, algorithm.gradient_evaluations(stream.total_steps)
        row = PlannedRequest(
            request=len(rows) + 1,
            time=None if times is None else float(times[index]),
            points=count,
            steps=steps,
            epochs=_in_epochs(steps, per_epoch),
            gradient_evaluations=spent - before,
            mu_worst=stream.mu_worst,
            total_gradient_evaluations=spent,
            retrain_each_gradient_evaluations=None if retrain is None else (len(rows) + 1) * retrain,
            retrain_once_gradient_evaluations=retrain,
        )
        rows.append(row)
        if progress is not None:
            progress(index + 1, points.size)
    if not rows:
        raise InputError("requests must delete at least one point, got records that join only")
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
        joined=int(queue.joined.sum()),
        redraw=algorithm.redraw,
    )


def retraining(algorithm: PNSGD, retrain_epochs: int | None) -> tuple[int | None, int | None]:
    """Epochs of one retraining, by default those of learning, and its gradient evaluations; None where nobody said."""
    epochs = default_retrain_epochs(algorithm) if retrain_epochs is None else retrain_epochs
    if epochs is None:
        return None, None
    epochs = integer("retrain_epochs", epochs, at_least=1, at_most=MAX_COUNT // algorithm.steps_per_epoch)
    return epochs, algorithm.gradient_evaluations(epochs * algorithm.steps_per_epoch)


def settled_run(accountant: UnlearningAccountant, queue: Queue, *, epsilon: float, delta: float | None) -> UnlearningAccountant:
    """The accountant of one run for the whole queue: keys are redrawn or not, where that is open.

    Never where records join, nor where batches that are too large cost next to nothing.
    """
    algorithm = accountant.algorithm
    if not algorithm.own_draws or algorithm.redraw is not None:
        return accountant
    cost = oversize(algorithm, points=max(int(queue.points.sum()), 1)) if algorithm.assignment == SECRET else None
    redraw = False
    if cost is not None and cost.log_redrawn is not None and not queue.joined.any():
        chance = accountant.setup.default_delta if delta is None else delta
        matters = cost.log_added > math.log(chance) + LITTLE
        redraw = matters and cost.log_redrawn + epsilon < cost.log_added
    return UnlearningAccountant.of(accountant.setup.with_(redraw=redraw), bound=accountant.bound)


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
    from accountant.requests.enclosed import EnclosedStream

    if made.joined:
        raise InputError("precision must be left out where records join, which is followed in doubles only")
    if made.redraw is not None:
        accountant = UnlearningAccountant.of(accountant.setup.with_(redraw=made.redraw), bound=accountant.bound)
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


def window_and_deadline(
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
