"""The noise with which requests of a stream take no more than so many steps, and what they take then."""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np

from accountant.curves import gdp_mu
from accountant.numerics import LARGEST, SMALLEST, UnreachableError, geometric_sum
from accountant.problem import rounding_of
from accountant.questions import UnlearningAccountant
from accountant.requests.stream import UnlearningStream

#: sigma is found to this relative precision, from above.
PRECISION: Final = 1e-3
#: Requests that are answered to come to rest at most, and log of what is left of the first of them then.
_SETTLING: Final = 400
_SETTLED, _ROUGHLY = 7.0, 4.0
#: log of how far above sigma may be where it is read roughly.
_FAR: Final = 4.0
#: So many answers that are nearly equal are taken to stay.
_ALIKE: Final = 4
_ROUNDS: Final = 12
#: A cost of less than this share of what is allowed makes less noise worth looking for, to this relative precision.
_FULL: Final = 0.85
_LOOKS: Final = 10
_NEAR: Final = 0.02


class Target(Protocol):
    """What is asked of all requests."""

    @property
    def epsilon(self) -> float: ...
    @property
    def delta(self) -> float: ...
    @property
    def requests(self) -> int: ...


def steady_sigma(accountant: UnlearningAccountant, target: Target, steps: int, *, rough: bool = False) -> float:
    """The sigma with which ``steps`` are enough for each of so many requests, one after the other, in the long run.

    Each request was answered with ``steps``: the law of what all left is carried on as the stream does it, and scaled.
    rough: to some percent. Never less than what rounding asks for, with which fewer steps are enough. Raises UnreachableError
    where no sigma is enough.
    """
    # Where so many steps forget everything any noise is enough, but some there is.
    least = max(_least(accountant, target, steps), SMALLEST)
    sigma = max(_far_above(accountant, target, steps), least)
    before = _settling(accountant, target.requests, steps, _ROUGHLY if rough else _SETTLED)
    best = math.inf
    for _ in range(_ROUNDS):
        room = _room(accountant, target, sigma, steps, before)
        best = min(best, max(sigma * math.exp(-room), least)) if room >= 0 else best
        # Rounded up on a grid, of which what is left must not be a few cells.
        if rough and 0 <= room < _FAR:
            return best
        if room >= 0 and (room <= PRECISION / 2 or sigma == least):
            return sigma
        sigma = max(sigma * math.exp(-room) * (1 + PRECISION / 8), least)
        if not SMALLEST < sigma < LARGEST:
            break
    if not math.isfinite(best):
        raise UnreachableError(f"no noise was found with which {steps} steps are enough for a request")
    return best * (1 + PRECISION / 8)


def _least(accountant: UnlearningAccountant, target: Target, steps: int) -> float:
    """The least sigma at which rounding costs no more than its share of the target in all requests; 0 without rounding."""
    algorithm = accountant.algorithm
    rounding = rounding_of(algorithm)
    if rounding is None:
        return 0.0
    most = algorithm.rounding_share * float(gdp_mu(epsilon=target.epsilon, delta=target.delta)) * (1 - 2.0**-20)
    log_scale, constant = rounding.parts(np.asarray(float(steps * target.requests)))
    # Where nothing is left the stream says so.
    return math.exp(min(float(log_scale), 700.0)) / (most - float(constant)) if constant < most else 0.0


def _far_above(accountant: UnlearningAccountant, target: Target, steps: int) -> float:
    """A sigma that is rather too large: everybody at the worst position, and no averaging."""
    algorithm = accountant.algorithm
    log_c, period = algorithm.log_contraction, algorithm.steps_per_epoch
    most = float(gdp_mu(epsilon=target.epsilon, delta=target.delta))
    if not most > 0:
        raise UnreachableError("epsilon and delta allow nothing: no noise is enough")
    epochs = math.inf if algorithm.learn_epochs is None else float(algorithm.learn_epochs)
    visits = float(geometric_sum(log_c, epochs, stride=period))
    piled = float(geometric_sum(log_c, float(target.requests), stride=steps))
    unit = 2 * algorithm.eta * algorithm.problem.lipschitz * algorithm.norm_class / algorithm.largest_batch
    chord = float(geometric_sum(log_c, epochs * period, stride=2))
    distance = min(unit * visits * piled * math.exp(max(log_c * steps, -600.0)), algorithm.diameter)
    return 2 * distance / (most * math.sqrt(2 * algorithm.eta * chord)) if math.isfinite(chord) else LARGEST


def _settling(accountant: UnlearningAccountant, requests: int, steps: int, settled: float) -> int:
    """Requests before the one that is looked at: all of them, or until the first is forgotten."""
    per_request = -accountant.algorithm.log_contraction * steps
    needed = settled / per_request if per_request > settled / _SETTLING else _SETTLING
    return min(requests - 1, math.ceil(needed))


def _room(accountant: UnlearningAccountant, target: Target, sigma: float, steps: int, before: int) -> float:
    """log of how many times less noise does, after so many requests of so many steps; negative where this is not enough."""
    stream = UnlearningStream(accountant, sigma=sigma, epsilon=target.epsilon, delta=target.delta)
    for _ in range(before):
        stream.answer(1, steps)
    epsilon, log_delta = np.array([target.epsilon]), np.log(np.array([target.delta]))
    room = -math.inf
    for mixture in stream.mixtures(1, steps):
        # A curve is asked for the scale of a shape that peaks at one.
        peak = float(mixture.log_scale.max())
        found = mixture.curve.log_scale(epsilon, log_delta, mixture.log_weights, mixture.log_scale - peak)
        room = max(room, float(found[0]) - peak)
    if room == -math.inf:
        raise UnreachableError(f"no noise is enough for {steps} steps a request")
    return room


def answered(
    accountant: UnlearningAccountant, target: Target, sigma: float, *, exact: bool, points: int = 1, count: int | None = None
) -> tuple[int, ...]:
    """The steps of every request, as the stream answers it: ``count`` of so many ``points``, by default the target's.

    Not ``exact``: until the first is forgotten and the last few took the same, but for a step or two thousandths; the largest
    of these is then taken to stay.
    """
    stream = UnlearningStream(accountant, sigma=sigma, epsilon=target.epsilon, delta=target.delta)
    steps: list[int] = []
    count = target.requests if count is None else count
    while len(steps) < count:
        steps.append(stream.request(points))
        last = steps[-_ALIKE:]
        if exact or len(last) < _ALIKE or max(last) - min(last) > max(1, max(last) // 500):
            continue
        if last[-1] and len(steps) > _settling(accountant, count, last[-1], _ROUGHLY):
            steps += [max(last)] * (count - len(steps))
    return tuple(steps)


def smallest_sigma(
    accountant: UnlearningAccountant, target: Target, sigma: float, most: int, *, exact: bool
) -> tuple[float, tuple[int, ...]]:
    """The smallest sigma, and the steps, with which all requests cost at most ``most`` steps; near the one given.

    Where these cost nearly as much as allowed, the first sigma that does. UnreachableError where none is found.
    """
    best: tuple[float, tuple[int, ...]] | None = None
    low, reason = 0.0, f"no noise was found with which all requests cost at most {most} steps"
    for look in range(_LOOKS):
        steps: tuple[int, ...] | None = None
        try:
            steps = answered(accountant, target, sigma, exact=exact)
        except UnreachableError as error:
            reason = str(error)
        if steps is not None and sum(steps) <= most:
            best = sigma, steps
            if sum(steps) >= _FULL * most:
                return best
        else:
            low = sigma
        if best is None:
            sigma = low * (1 + PRECISION * 4**look)
        elif best[0] <= low * (1 + _NEAR):
            return best
        else:
            sigma = math.sqrt(best[0] * low) if low else best[0] / 2
        if not SMALLEST < sigma < LARGEST:
            break
    if best is None:
        raise UnreachableError(reason)
    return best
