"""Requests under the optimal bound: mu of all of them add up."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from accountant.bounds import Bound, Setting
from accountant.curves import BallCurve, GDPCurve, Mixture, mixture_log_scale, mixture_tail, rounded_down, rounded_up
from accountant.numerics import (
    MAX_COUNT,
    Floats,
    Indices,
    InputError,
    Numbers,
    UnreachableError,
    decreasing_root,
    log_add,
    log_power,
    smallest_whole,
)
from accountant.problem import MATCHED, MAX_EPSILON, PNSGD, REMEDIES, rounding_of
from accountant.questions import UnlearningAccountant
from accountant.requests.lately import Lately
from accountant.requests.rules import FORGOTTEN, LARGEST_LOG_MU, SAFE, Place, Rule, ages_of
from accountant.requests.state import StreamState
from accountant.shifts import log_mu_decay


class OptimalRule(Rule):
    """The sum of all requests' mu."""

    def __init__(self, accountant: UnlearningAccountant, bound: Bound, **target: Any) -> None:
        super().__init__(accountant, bound, **target)
        #: log of mu per unit of distance; over the infinite chord.
        self.log_mu = self.log_unit - self.constants.log_unit_noise - self.log_sigma
        self.log_chord = self.log_mu
        if self.log_c < 0:
            self.log_chord = self.log_mu - self.arithmetic.log(self.sum(math.inf, stride=2)) / 2
        one = mixture_log_scale(self.epsilon, self.log_delta, np.zeros(1), np.zeros((1, 1)))
        self.most = math.exp(float(one[0]))
        if accountant.algorithm.rounding is not None and not self.double:
            raise InputError("rounding is accounted for in doubles only: leave it out for answers to many digits")
        _check_chance(accountant.algorithm, epsilon=float(self.epsilon[0]))
        #: What rounding costs, once for all requests.
        self.rounding = rounding_of(accountant.algorithm)
        self.piles = self.rounding is not None and self.rounding.learned is not None
        self._sigma = float(target["sigma"])
        self.most_steps = _most_steps(accountant.algorithm, self._sigma, self.most)
        #: mu of rounding for ever; none where it piles up, step by step.
        self.rounded = 0.0 if self.piles else self._rounding(0)
        #: From so many steps after a deletion on, a single point's string is its chord.
        self.straight = max(self.period - 1, 0) // 2
        self._excess: dict[int, Any] = {}
        self._decay: dict[int, Any] = {}
        self._lone: dict[tuple[int, float], Any] = {}
        self._newest = Lately()
        self.bounded = math.isfinite(float(self.limit))
        self._accountant = accountant
        self._blocks_meet: dict[tuple[int, int], bool] = {}
        #: Whether old requests are carried as a distance, on the infinite chord of converged learning.
        self.endless = math.isinf(self.learned) and self.log_c < 0

    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        if self.endless and not self.piles:
            since = state.since if state.since < self.straight else self.straight
            limit = place.limits.get((since, steps))
            if limit is None:
                limit = place.limits[since, steps] = self.room(place, steps) / self._factor(since + steps, steps)
            if state.distance <= limit:
                return True
        elif self._old(state, steps) + self.piled(state, steps) <= self.room(place, steps):
            return True
        if not self.bounded:
            return False
        if self._restarted(state, place, steps) + self.rounded + self.piled(state, steps) <= self.most:
            return True
        return self._blocks(state, place, steps)

    def missed(self, state: StreamState, place: Place, steps: int) -> float | None:
        # Before the first request, what the newest points miss by themselves.
        return None if state.requests else place.missed.get(steps)

    def _blocks(self, state: StreamState, place: Place, steps: int) -> bool:
        """Whether blocks meet the target; of the first request they are those of its points alone."""
        key = (0 if state.requests else place.points, steps)
        found = self._blocks_meet.get(key)
        if found is None:
            found = self._blocks_meet[key] = any(
                one.curve.meets(self.epsilon, self.log_delta, one.log_weights, one.log_scale)[0]
                for one in self.contracted(state, place, steps)
            )
        return found

    def contracted(self, state: StreamState, place: Place, steps: int) -> list[Mixture]:
        """The steps since this request cover all points gone by then at once, from anywhere in the ball, whatever was before.

        The first request is the question of a single one, whose answer it has.
        """
        own = self._accountant
        if not self.double or not steps or own.placing.bound.ball(own.setting) is None:
            return []
        if not state.requests and place.points != own.group_size:
            own = own.with_(group_size=place.points)
        query = own.run(steps=steps).query
        alone = query.mixture(query.steps[None], query.start[None])
        alone = alone._replace(log_scale=alone.log_mu(np.exp(np.array([self.log_sigma]))), law=None, constant=None)
        if not isinstance(alone.curve, BallCurve):
            return []
        if not state.requests:
            return [alone]
        blocks = alone.curve.from_anywhere()
        return [Mixture(np.zeros(1), blocks.peak[:, None] - self.log_sigma, blocks)]

    def piled(self, state: StreamState, steps: int) -> float:
        """mu of the rounding that piles up in all steps, so many more included; inf where it is more than may be."""
        total = state.steps + steps
        if not self.piles:
            return 0.0
        return self._rounding(total) if total <= self.most_steps else math.inf

    def _rounding(self, steps: int) -> float:
        return 0.0 if self.rounding is None else self.rounding.mu(self._sigma, steps) * SAFE

    def room(self, place: Place, steps: int) -> float:
        """The largest mu of earlier requests with which ``steps`` are enough; -inf where they are not even alone."""
        room = place.room.get(steps)
        if room is None:
            room = place.room[steps] = self._find_room(place, steps) - self.rounded
        return room

    def _factor(self, age: int, steps: int) -> Any:
        """mu per unit of distance, ``steps`` from now, of points deleted at least ``age`` steps before that."""
        return self.within(self.log_chord + self.log_kept(steps)) * self.excess(age)

    def _old(self, state: StreamState, steps: int) -> Any:
        """mu of all earlier requests after ``steps`` more."""
        if not state.requests:
            return 0.0
        if self.endless:
            return state.distance * self._factor(state.since + steps, steps)
        if math.isinf(self.learned):
            return math.inf
        before, after = (self.sum(span, stride=2) for span in (state.span, state.span + steps))
        return state.mu * self.kept(steps) * self.arithmetic.sqrt(before / after) * self.safe

    def excess(self, age: int) -> Any:
        """The string of one converged point over its chord, ``age`` steps after its deletion in the batch visited last."""
        age = min(age, self.straight)
        if age not in self._excess:
            each = self.arithmetic.log(self.every / float(self.sizes[0]))
            chord = each + self.log_chord + self.log_kept(age)
            finite = math.isfinite(float(chord))
            self._excess[age] = self.exp(self._alone(age, math.inf) - chord) * self.safe if finite else 1.0
        return self._excess[age]

    def _alone(self, steps: int, epochs: float) -> Any:
        """log mu of one point in a full batch visited last, without projection."""
        known = self._lone.get((steps, epochs))
        if known is None:
            alone = self._points(self.positions[-1:], steps, epochs, project=False)[0]
            known = self._lone[steps, epochs] = alone + self._shorter - self.log_sigma
        return known

    @cached_property
    def _shorter(self) -> Any:
        """log of a full batch's sensitivity over that of the batch visited last."""
        return (self.constants.log_sensitivity(self.positions[:1]) - self.constants.log_sensitivity(self.positions[-1:]))[0]

    def _points(self, positions: Floats, steps: int, epochs: float, *, project: bool) -> Numbers:
        """log mu at sigma = 1 of a single point at each position, (J,)."""
        learned = None if math.isinf(epochs) else int(epochs)
        algorithm = replace(self.algorithm, learn_epochs=learned, radius=self.algorithm.radius if project else None)
        setting, count = Setting(algorithm, MATCHED, number=self.number), np.array([float(steps)])
        log_mu = self.bound.log_scale(setting, self.bound.log_addend(setting, positions, count, np.zeros(1)), count)[0]
        return self.raised(log_mu)

    def _restarted(self, state: StreamState, place: Place, steps: int) -> Any:
        """mu from the distance at the newest deletion, which the ball bounds, with shifts in its own steps only."""
        return self._decayed(self.least(state.tracked + self.worst(state, place), self.limit), steps)

    def _decayed(self, distance: Any, steps: int) -> Any:
        """mu of a distance > 0, ``steps`` later, with shifts in these steps only."""
        factor = self._decay.get(steps)
        if factor is None:
            decay = log_mu_decay(log_c=self.log_c, log_start=0.0, steps=float(steps), arithmetic=self.arithmetic)[()]
            factor = self._decay[steps] = self.within(decay + self.log_mu) * self.safe
        return (max(distance, 1e-300) if self.double else distance) * factor

    def newest(self, place: Place, steps: int) -> tuple[Numbers, Numbers, bool]:
        """Weights and log mu of the newest request alone, and whether only convex functions may read them."""
        return self._newest.answer((place.points, place.phase, place.epochs, steps), lambda: self._find_newest(place, steps))

    def _find_newest(self, place: Place, steps: int) -> tuple[Numbers, Numbers, bool]:
        ar = self.arithmetic
        if self.drifts:
            # Only the ball bounds the distance.
            log_mu = self._points(self.positions[-1:], steps, place.epochs, project=True) - self.log_sigma
            return ar.asarray([1]), log_mu + ar.log(ar.asarray(place.points)), False
        if place.points == 1 and self.random:
            ages, positions, sizes = ages_of(self.algorithm, place.phase), self.positions, self.sizes
            old = ar.midpoint(log_power(self.log_c, ages)) < -FORGOTTEN
            if self.double and np.count_nonzero(old) > 1:
                # All batches of long ago count as the youngest of them.
                youngest = np.flatnonzero(old)[ages[old].argmin()]
                share, kept = float(sizes[old].sum()), ~old
                kept[youngest] = True
                ages, positions, sizes = ages[kept], positions[kept], np.where(old, share, sizes)[kept]
            where = self.period - 1 - ages
            # A turned cycle has its short batch elsewhere than the algorithm; mu is proportional to h, without projection.
            log_mu = self._points(where, steps, place.epochs, project=not place.phase) - self.log_sigma
            if place.phase:
                log_mu = log_mu + self.constants.log_sensitivity(positions) - self.constants.log_sensitivity(where)
                # Where the short batch is one of them, its larger sensitivity may be what counts.
                log_mu = log_mu + np.where(sizes > self.sizes[0], -self._shorter, 0.0)
            if self.algorithm.dropped_points:
                log_mu, sizes = np.append(log_mu, -np.inf), np.append(sizes, float(self.algorithm.dropped_points))
            return ar.asarray(sizes) / sizes.sum(), log_mu, False
        # mu of a point visited r steps before the last is at most c^r times that of the last, as its distance is.
        weights, distances, convex_only = self.shares(place)
        with np.errstate(divide="ignore"):
            return weights, ar.log(distances) + self.log_per_distance(place, steps), convex_only

    def log_per_distance(self, place: Place, steps: int) -> Any:
        """log of what a newest point leaves after the steps, over its distance, in the batch visited last."""
        one = self.arithmetic.log(self.sum(place.epochs, stride=self.period) / float(self.sizes[0]))
        return self._alone(steps, place.epochs) - one

    def _find_room(self, place: Place, steps: int) -> float:
        weights, log_mu, tangent = self.newest(place, steps)
        log_weights, mu = np.log(weights), rounded_up(np.minimum(log_mu, LARGEST_LOG_MU))
        target = rounded_down(self.log_delta)[0]

        last = (0.0, 0.0)

        def excess(x: Floats, active: Indices) -> tuple[Floats, Floats]:
            nonlocal last
            value = mixture_tail(self.epsilon[active], log_weights, mu[None] - x[:, None], tangent=tangent).log_delta - target
            # Slopes only steer: those of secants will do.
            before, last = last, (float(x[0]), float(value[0]))
            moved = last[0] - before[0]
            return value, np.array([(last[1] - before[1]) / moved if moved else 0.0])

        none = np.zeros(1)
        missed = place.missed[steps] = float(excess(none, np.zeros(1, dtype=np.intp))[0][0])
        if missed > 0:
            return -math.inf
        if mu.size == 1:
            return max(float(self.most - mu[0]), 0.0) / SAFE
        low = np.array([-1.001 * self.most - 1e-300])
        room = -decreasing_root(excess, start=none, low=low, high=none, floor=1e3 * self.most)
        return float(room[0]) / SAFE

    def advance(self, state: StreamState, place: Place, steps: int) -> None:
        kept, worst = self.kept(steps), self.worst(state, place)
        if self.endless:
            state.distance = (state.distance + worst) * kept * self.safe
        elif math.isfinite(self.learned):
            own = worst * float(self.sizes[0]) / self.sum(place.epochs, stride=self.period)
            alone = self._alone(steps, place.epochs)
            if alone > 680:
                raise UnreachableError("sigma is so small that what this request leaves is beyond the largest double")
            newest = own * self.exp(alone) * self.safe
            state.mu = self._old(state, steps) + newest
            state.span = max(state.span, place.epochs * self.period) + steps
        if self.bounded:
            state.tracked = self.least(state.tracked + worst, self.limit) * kept * self.safe

    def before(self, state: StreamState, place: Place, steps: int) -> tuple[Any, Any]:
        """mu of all earlier requests after the steps, and mu of everything from the distance that the ball bounds."""
        apart = self._restarted(state, place, steps) if self.bounded else math.inf
        rounded = self.rounded + self.piled(state, steps)
        return self._old(state, steps) + rounded, apart + rounded

    def mixtures(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        weights, log_mu, tangent = self.newest(place, steps)
        ar = self.arithmetic
        with np.errstate(divide="ignore"):
            older, restarted = ar.log(before[:, :1] * self.safe), ar.log(before[:, 1:] * self.safe)
        # Without earlier requests this is the question that a single one asks.
        total = Mixture(ar.log(weights), log_add(older, log_mu[None], ar), GDPCurve(tangent))
        return [total, Mixture(ar.log(ar.asarray([1])), restarted, GDPCurve())] if self.bounded else [total]

    def mu_now(self, state: StreamState) -> float | None:
        mu = self._old(state, 0)
        if self.bounded and state.since and state.tracked > 0:
            mu = min(mu, self._decayed(min(state.tracked / self.kept(state.since), self.limit), state.since))
        mu = float(mu) + self.rounded + self.piled(state, 0)
        return mu if math.isfinite(mu) else None


def _check_chance(algorithm: PNSGD, *, epsilon: float) -> None:
    """Refuse an epsilon at which the chance counts that the parameters exceed the bound that rounding is counted with."""
    rounding = rounding_of(algorithm)
    if rounding is not None and rounding.constant > 0 and epsilon > MAX_EPSILON:
        raise InputError(f"epsilon must be at most {MAX_EPSILON:g} with rounding={algorithm.rounding} and without a radius")


def _most_steps(algorithm: PNSGD, sigma: float, most: float) -> int:
    """Steps of unlearning in all of a stream, up to which rounding costs no more than the algorithm's share of ``most``.

    most: the largest mu that the target allows. UnreachableError where rounding costs more than that from the beginning.
    """
    rounding = rounding_of(algorithm)
    if rounding is None:
        return MAX_COUNT

    def costs_more(steps: int) -> bool:
        return not rounding.mu(sigma, steps) * SAFE <= algorithm.rounding_share * most

    if costs_more(0):
        raise UnreachableError(
            f"rounding ({algorithm.rounding}) would cost mu = {rounding.mu(sigma) * SAFE:.3g} of the {most:.3g} that the "
            f"target allows, more than the share {algorithm.rounding_share:g} that may be: {REMEDIES}"
        )
    return MAX_COUNT if rounding.learned is None else smallest_whole(costs_more, 1, MAX_COUNT) - 1
