"""What more noise saves and what it does to the model: the choice that nobody can make but who knows the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from accountant.numerics import LARGEST, SMALLEST, InputError, Progress, digits
from accountant.problem import PNSGD
from accountant.questions import UnlearningAccountant
from accountant.requests.arrivals import Arrival, Queue
from accountant.requests.planning import retraining, settled_run, window_and_deadline
from accountant.requests.settings import LOUD
from accountant.requests.stream import UnlearningStream
from accountant.requests.windows import answer_all

#: Noises that are tried, each half of the one before.
_ROWS: Final = 8
#: Without contraction no noise in the model is known; then the first is so many times what one epoch for one request needs.
_MORE: Final = 8.0


class TradeOff(NamedTuple):
    """One noise, and what all requests then cost.

    noise: standard deviation, in every coordinate of the released model, of all noise in it, at most; None where it is not
    bounded. moves: lipschitz times that, what it is in the loss of a record of a linear model. relative: gradient evaluations
    of a request, on average, over those of one retraining; None where nobody said how long that is.
    """

    sigma: float
    noise: float | None
    moves: float | None
    steps: int
    gradient_evaluations: int
    gradient_evaluations_per_request: float
    relative: float | None


def model_noise(algorithm: PNSGD, sigma: float) -> float | None:
    """sqrt(2 eta/(1 - c^2)) sigma: the standard deviation of all steps' noise together in a coordinate of the model, at most.

    None without contraction, where it has no limit.

    >>> from accountant import preset
    >>> model_noise(PNSGD(preset("mnist")), 0.03)
    0.2857637331343337
    """
    if algorithm.log_contraction == 0:
        return None
    return algorithm.noise_std(sigma) / math.sqrt(-math.expm1(2 * algorithm.log_contraction))


def trade_off(
    accountant: UnlearningAccountant,
    requests: Sequence[Arrival] | Sequence[int],
    *,
    epsilon: float,
    delta: float | None = None,
    unit: str = "steps",
    window: float | str | None = None,
    deadline: float | str | None = None,
    retrain_epochs: int | None = None,
    first_bound: str | None = None,
    progress: Progress | None = None,
) -> list[TradeOff]:
    """Noise against cost, from the most noise that leaves something of the model down to where a request costs a retraining.

    The first sigma moves the loss of a record by 1 (``lipschitz`` times the noise in the model): more than that ruins it;
    without contraction it is what one request needs after one epoch, times 8. Every other is half of the one before, all to
    two digits. window: default the deadline where there is one, or each arrival at once. InputError where no noise has a plan.
    """
    queue = Queue.of(requests, accountant.algorithm.problem.n)
    accountant = settled_run(accountant, queue, epsilon=epsilon, delta=delta)
    width, limit = window_and_deadline(queue, window, deadline)
    batched = queue.batched(limit if width is None else width)
    algorithm, count = accountant.algorithm, max(int((batched.points > 0).sum()), 1)
    _, retrain = retraining(algorithm, retrain_epochs)
    top, rows, refusal = _top(accountant, epsilon, delta), list[TradeOff](), None
    for at in range(_ROWS):
        sigma = float(digits(max(top / 2**at, SMALLEST), 2, down=True))
        stream = UnlearningStream(accountant, sigma=sigma, epsilon=epsilon, delta=delta, unit=unit, first_bound=first_bound)
        try:
            answer_all(stream, batched)
        except InputError as error:
            refusal = error
            break
        if progress is not None:
            progress(at + 1, _ROWS)
        noise, spent = model_noise(algorithm, sigma), algorithm.gradient_evaluations(stream.total_steps)
        each = spent / count
        rows.append(
            TradeOff(
                sigma=sigma, noise=noise, moves=None if noise is None else noise * algorithm.problem.lipschitz,
                steps=stream.total_steps, gradient_evaluations=spent, gradient_evaluations_per_request=each,
                relative=None if retrain is None else each / retrain,
            )
        )  # fmt: skip
        if retrain is not None and each >= retrain:
            break
    if not rows:
        assert refusal is not None
        raise refusal
    # More noise than what asks for no step at all buys nothing.
    free = [at for at, row in enumerate(rows) if not row.steps]
    return rows[free[-1] if free else 0 :]


def _top(accountant: UnlearningAccountant, epsilon: float, delta: float | None) -> float:
    one = model_noise(accountant.algorithm, 1.0)
    if one is None:
        return min(_MORE * accountant.sigma(epsilon=epsilon, delta=delta, epochs=1), LARGEST)
    return LOUD / (one * accountant.algorithm.problem.lipschitz)
