"""How requests of a stream add up: whether a number of steps keeps all of them at (epsilon, delta), and what they leave.

After request s the unlearned model is compared with retraining on the data that is left. Every earlier request still
contributes what it has not contracted since. Two recursions, both with a state of a few numbers:

- ``optimal``: the mu of all requests add up (the triangle inequality of Gaussian trade-off functions). An older request counts
  with its worst position, D c^N sqrt(1 - c^2)/nu times the factor by which the string of a single point exceeds its chord after
  as many steps as have run since the last deletion (one from (J - 2)/2 steps on); the newest request is averaged over its
  positions. After learning of finitely many epochs the sum of mu itself is carried, and shrinks with c^N and with the root of
  the noise variance that the run has gathered.
- the published bounds: Z^(s+1) = c^(N_s) Z^(s) + Z, at most 2R, in their own formulas.

Steps go on in the cycle of batches where the last request stopped, so positions count from there (docs/theory.md, "Streams").

Every formula runs in any arithmetic, so that a stream that doubles have answered can be followed with many digits. What only
decides which formula is read (how places are pooled, when learning counts as endless) is decided by doubles in all of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant import groups, roots
from accountant.algorithm import PNSGD
from accountant.arithmetic import DOUBLE, Numbers
from accountant.assumptions import RANDOM
from accountant.bounds import Bound, Setting
from accountant.components import Mixture
from accountant.constants import DOUBLES, Constants, Number
from accountant.divergences import hockey_stick
from accountant.divergences.curves import TANGENT, GDPCurve, rounded_up
from accountant.geometry import geometric_sum, log_add, log_power
from accountant.query import raised
from accountant.reference import MATCHED
from accountant.shifts.cyclic import log_mu_decay
from accountant.unlearning import UnlearningAccountant
from accountant.validation import InputError, UnreachableError

Floats = NDArray[np.float64]

#: Products spent on the law of one group of the stream.
_AFFORDABLE: Final = 3.0e7
#: Outcomes of a group's law that are kept.
_OUTCOMES: Final = 1500
#: Batches up to which every age of a short last batch is looked at by itself; of more, the youngest so many, the others by
#: powers of two.
_MOST_PHASES: Final = 512
_YOUNG: Final = 64
_SAFE: Final = 1 + 1e-12
#: Batches contracted by more than e^-100 since their visit are not told apart.
_FORGOTTEN: Final = 100.0
#: log of a mu with which nothing is private, and of the largest that curves are read at.
_LARGEST: Final = 300.0
READABLE: Final = 345.0
GRID: Final = "a group at random in a stream is averaged on a grid, of which doubles are all there is; use batches=worst"


@dataclass(slots=True)
class StreamState:
    """All that the past requests leave behind. Distances are in units of 2 eta M (replace) or eta M (zero-out).

    distance, tracked and mu are numbers of the stream's arithmetic.

    distance: sum over requests of their worst distances, contracted by what ran since, without projection (published bounds:
        at most 2R). tracked: the same, never above 2R. mu: sum of the worst mu (finite learning only). since: steps after the
        last deletion. span: steps of the longest string so far, learning included (finite learning only).
    """

    requests: int = 0
    points: int = 0
    steps: int = 0
    since: int = 0
    distance: Any = 0.0
    tracked: Any = 0.0
    mu: Any = 0.0
    span: float = 0.0


@dataclass(slots=True)
class Place:
    """What a request of so many points does at one place of the cycle; remembered, because streams repeat themselves."""

    points: int
    phase: int
    epochs: float
    #: Distance of the points at their worst positions.
    worst: Any
    #: Largest sum of the earlier requests with which a number of steps is enough.
    room: dict[int, float] = field(default_factory=dict)
    limits: dict[tuple[int, int], float] = field(default_factory=dict)


class CurveAfter(NamedTuple):
    """The privacy curve after a request, in the terms of a Guarantee: weights and values (J,)."""

    kind: str
    weights: Floats
    values: Floats
    conversion: str = "exact"


class Rule(ABC):
    """How requests add up under a bound: whether a number of steps is enough, and the state after it.

    number: what it computes with. Whether steps are enough is asked in doubles only.
    """

    def __init__(
        self,
        accountant: UnlearningAccountant,
        bound: Bound,
        *,
        sigma: float,
        epsilon: float,
        delta: float,
        fewest: int,
        number: Number = DOUBLES,
    ) -> None:
        self.number, self.arithmetic, self.double = number, number.arithmetic, number.arithmetic is DOUBLE
        # What one request after the other asks of single numbers.
        self.exp: Callable[[Any], Any] = math.exp if self.double else self.arithmetic.exp
        self.least: Callable[[Any, Any], Any] = min if self.double else self.arithmetic.minimum
        #: What computed doubles are raised by.
        self.safe = _SAFE if self.double else 1
        self.bound = bound
        #: Fewest steps (or epochs) that the bound speaks about.
        self.fewest = fewest
        self.algorithm = accountant.algorithm
        self.reference = accountant.reference
        self.random = accountant.batches == RANDOM
        self.epsilon = np.array([epsilon])
        self.log_delta = np.log(np.array([delta]))
        self.log_sigma = math.log(sigma)
        self.period = self.algorithm.steps_per_epoch
        self.constants = Constants(self.algorithm, number)
        self.log_c, self.log_unit = self.constants.log_contraction, self.constants.log_unit_sensitivity
        limit = self.constants.log_diameter - self.log_unit
        self.limit = self.exp(limit) if float(limit) < 700 else math.inf
        self.positions = np.arange(self.period, dtype=np.float64) if self.period > 1 else np.zeros(1)
        self.sizes = self.algorithm.batch_sizes(self.positions)
        #: Only a short last batch makes the place in the cycle matter.
        self.turning = bool(self.sizes[0] != self.sizes[-1])
        self.learned = learned_epochs(self.algorithm)
        self.every = self.sum(math.inf, stride=self.period)
        #: Whether only the ball bounds what learning leads to.
        self.drifts = math.isinf(self.learned) and self.log_c == 0
        self._places: dict[tuple[int, int, float], Place] = {}
        self._kept: dict[int, Any] = {}

    def sum(self, terms: float, *, stride: float) -> Any:
        """1 + q + ... + q^(terms-1), q = c^stride, as a single number."""
        total = geometric_sum(self.log_c, terms, stride=stride, arithmetic=self.arithmetic)
        return float(total) if self.double else np.asarray(total)[()]

    def within(self, log: Any) -> Any:
        """exp, on the safe side where the range of doubles ends."""
        if not self.double:
            return self.exp(log)
        return math.exp(max(log, -680.0)) if log < 680 else math.inf

    def raised(self, log_mu: Numbers) -> Numbers:
        """log mu at sigma = 1, on the safe side of the rounding of doubles."""
        return raised(self.algorithm, log_mu) if self.double else log_mu

    @abstractmethod
    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        """Whether ``steps`` after this request keep all requests so far at the target."""

    @abstractmethod
    def advance(self, state: StreamState, place: Place, steps: int) -> None:
        """Carry the distances (or mu) of all requests past this one and its steps."""

    @abstractmethod
    def before(self, state: StreamState, place: Place, steps: int) -> tuple[Any, Any]:
        """What :meth:`mixtures` needs to know of the earlier requests, before this one is answered with ``steps``."""

    @abstractmethod
    def mixtures(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        """Privacy curves after this request and ``steps``, each of which holds, at the rule's sigma; for pasts (P, 2)."""

    def epsilon_after(self, place: Place, steps: int, before: Floats) -> Floats:
        """epsilon after this request and ``steps``, for several pasts (P, 2); inf where nothing is proved."""
        epsilon = np.full(before.shape[0], np.inf)
        for mixture in self.mixtures(place, steps, before):
            some = mixture.log_scale.max(axis=1) < READABLE
            if some.any():
                log_delta = np.broadcast_to(self.log_delta, int(some.sum()))
                found = mixture.curve.epsilon(log_delta, mixture.log_weights, mixture.log_scale[some])
                epsilon[some] = np.minimum(epsilon[some], found)
        return epsilon

    def curve_after(self, place: Place, steps: int, before: tuple[float, float]) -> CurveAfter:
        """The curve of which :meth:`epsilon_after` is one value; UnreachableError where nothing is proved."""
        best, least = None, math.inf
        for mixture in self.mixtures(place, steps, np.array([before])):
            if mixture.log_scale.max() < READABLE:
                epsilon = mixture.curve.epsilon(np.broadcast_to(self.log_delta, 1), mixture.log_weights, mixture.log_scale)[0]
                if epsilon < least:
                    best, least = mixture, float(epsilon)
        if best is None:
            raise UnreachableError(f"nothing is proved after {steps} steps")
        weights, mu, curve = np.exp(best.log_weights), rounded_up(best.log_scale[0]), best.curve
        gaussian = curve.kind in ("gdp", TANGENT)
        values = mu if gaussian else 0.5 * mu**2
        return CurveAfter(curve.kind, weights / weights.sum(), values, getattr(curve, "conversion", "exact"))

    @abstractmethod
    def mu_now(self, state: StreamState) -> float | None:
        """GDP bound after the last request, where the rule has one."""

    def place(self, state: StreamState, points: int) -> Place:
        phase = 0
        if self.turning:
            phase = state.steps % self.period
            if self.period > _MOST_PHASES and phase >= _YOUNG:
                phase = -(1 << (phase.bit_length() - 1))
        epochs = self.learned
        if epochs != math.inf:
            # The newest points have been in the data while others were unlearned; rounded up, so that places repeat.
            seen = epochs + -(-state.steps // self.period)
            coarse = max(seen // 64, 1.0) if state.steps else 1.0
            epochs = -(-seen // coarse) * coarse
        key = (points, phase, epochs)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(points, phase, epochs, self._worst(points, phase, epochs))
        return place

    def kept(self, steps: int) -> Any:
        """c^steps."""
        kept = self._kept.get(steps)
        if kept is None:
            kept = self._kept[steps] = self.exp(self.log_kept(steps))
        return kept

    def log_kept(self, steps: int) -> Any:
        """log c^steps, as a single number."""
        return log_power(self.log_c, float(steps))[()]

    def _worst(self, points: int, phase: int, epochs: float) -> Any:
        if self.drifts:
            return math.inf
        distances = _distances(self.algorithm, phase, epochs, self.number)
        # Dropped points are never the worst.
        used = min(points, int(self.sizes.sum()))
        worst = groups.worst_counts(self.arithmetic.midpoint(distances), self.sizes, used) @ distances
        return float(worst) if self.double else worst

    def worst(self, state: StreamState, place: Place) -> Any:
        """The newest points' distance at their worst positions, just before they are deleted."""
        if place.phase >= 0 or place.points > 1:
            return place.worst
        last, first = (self.arithmetic.asarray(1)[()] / float(size) for size in (self.sizes[-1], self.sizes[0]))
        short = self.kept(state.steps % self.period) * last
        every = self.sum(place.epochs, stride=self.period) if self.learned < math.inf else self.every
        return self.arithmetic.maximum(first, short) * every

    def shares(self, place: Place) -> tuple[Numbers, Numbers, bool]:
        """Weights and distances of the newest request's placements, and whether only convex functions may read them."""
        if not self.random or self.drifts:
            return self.arithmetic.asarray([1]), np.array([place.worst]), False
        if self.double:
            return _random_shares(self.algorithm, place.points, place.phase, place.epochs)
        if place.points > 1:
            raise InputError(GRID)
        return _one_share(self.algorithm, place.phase, place.epochs, self.number)


def learned_epochs(algorithm: PNSGD) -> float:
    """Epochs of learning; infinite, which is on the safe side, where its beginning is forgotten to the last digit."""
    epochs = algorithm.learn_epochs
    forgotten = epochs is not None and algorithm.log_contraction * algorithm.steps_per_epoch * epochs < -40
    return math.inf if epochs is None or forgotten else float(epochs)


def _ages(algorithm: PNSGD, phase: int) -> Floats:
    """Steps since each batch was visited, (J,), ``phase`` of them since the last; lower bounds for a negative phase."""
    period = algorithm.steps_per_epoch
    positions = np.arange(period, dtype=np.float64)
    if phase < 0:
        # The full batches have all ages but one; the short one is at least as old as the minus phase.
        return np.append(period - 2 - positions[:-1], float(-phase))
    return (phase - 1 - positions) % period


def _distances(algorithm: PNSGD, phase: int, epochs: float, number: Number = DOUBLES) -> Numbers:
    """How far apart the models are when a point of each batch is deleted, (J,), in units of 2 eta M."""
    log_c, period, ar = Constants(algorithm, number).log_contraction, algorithm.steps_per_epoch, number.arithmetic
    each = geometric_sum(log_c, epochs, stride=period, arithmetic=ar) / algorithm.batch_sizes(np.arange(period))
    return np.asarray(ar.exp(log_power(log_c, _ages(algorithm, phase))) * each)


def _one_share(algorithm: PNSGD, phase: int, epochs: float, number: Number = DOUBLES) -> tuple[Numbers, Numbers, bool]:
    """What :meth:`Rule.shares` says of one point at random."""
    distances, sizes = _distances(algorithm, phase, epochs, number), algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch))
    if algorithm.dropped_points:
        distances, sizes = np.append(distances, 0.0), np.append(sizes, float(algorithm.dropped_points))
    return number.arithmetic.asarray(sizes) / sizes.sum(), distances, False


@lru_cache(maxsize=256)
def _random_shares(algorithm: PNSGD, points: int, phase: int, epochs: float) -> tuple[Floats, Floats, bool]:
    """What :meth:`Rule.shares` says of points at random; remembered across streams, which noise does not change."""
    if points == 1:
        return _one_share(algorithm, phase, epochs)
    distances, sizes = _distances(algorithm, phase, epochs), algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch))
    if algorithm.dropped_points:
        distances, sizes = np.append(distances, 0.0), np.append(sizes, float(algorithm.dropped_points))
    sampled = groups.sampled_sum(distances, sizes, points, affordable=_AFFORDABLE)
    law = sampled.law
    while law.mass.size > _OUTCOMES:
        law = law.coarser()
    weights, values = law.components
    # Convex functions need no correction for the grid, so these are what reads the law.
    return weights, values * _SAFE, law.error > 0


class OptimalRule(Rule):
    """The sum of all requests' mu."""

    def __init__(self, accountant: UnlearningAccountant, bound: Bound, **target: Any) -> None:
        super().__init__(accountant, bound, **target)
        #: log of mu per unit of distance; over the infinite chord.
        self.log_mu = self.log_unit - self.constants.log_unit_noise - self.log_sigma
        self.log_chord = self.log_mu
        if self.log_c < 0:
            self.log_chord = self.log_mu - self.arithmetic.log(self.sum(math.inf, stride=2)) / 2
        one = hockey_stick.log_scale_of(self.epsilon, self.log_delta, np.zeros(1), np.zeros((1, 1)))
        self.most = math.exp(float(one[0]))
        #: From so many steps after a deletion on, a single point's string is its chord.
        self.straight = max(self.period - 1, 0) // 2
        self._excess: dict[int, Any] = {}
        self._decay: dict[int, Any] = {}
        self._lone: dict[tuple[int, float], Any] = {}
        self.bounded = math.isfinite(float(self.limit))
        #: Whether old requests are carried as a distance, on the infinite chord of converged learning.
        self.endless = math.isinf(self.learned) and self.log_c < 0

    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        if self.endless:
            since = state.since if state.since < self.straight else self.straight
            limit = place.limits.get((since, steps))
            if limit is None:
                limit = place.limits[since, steps] = self.room(place, steps) / self._factor(since + steps, steps)
            if state.distance <= limit:
                return True
        elif self._old(state, steps) <= self.room(place, steps):
            return True
        return self.bounded and self._restarted(state, place, steps) <= self.most

    def room(self, place: Place, steps: int) -> float:
        """The largest mu of earlier requests with which ``steps`` are enough; -inf where they are not even alone."""
        room = place.room.get(steps)
        if room is None:
            room = place.room[steps] = self._find_room(place, steps)
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
        ar = self.arithmetic
        if self.drifts:
            # Only the ball bounds the distance.
            log_mu = self._points(self.positions[-1:], steps, place.epochs, project=True) - self.log_sigma
            return ar.asarray([1]), log_mu + ar.log(ar.asarray(place.points)), False
        if place.points == 1 and self.random:
            ages, positions, sizes = _ages(self.algorithm, place.phase), self.positions, self.sizes
            old = ar.midpoint(log_power(self.log_c, ages)) < -_FORGOTTEN
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
        one = ar.log(self.sum(place.epochs, stride=self.period) / float(self.sizes[0]))
        with np.errstate(divide="ignore"):
            return weights, ar.log(distances) + (self._alone(steps, place.epochs) - one), convex_only

    def _find_room(self, place: Place, steps: int) -> float:
        weights, log_mu, tangent = self.newest(place, steps)
        log_weights, mu = np.log(weights), rounded_up(np.minimum(log_mu, _LARGEST))
        target = hockey_stick.rounded_down(self.log_delta)[0]

        def excess(x: Floats, active: NDArray[np.intp]) -> tuple[Floats, Floats]:
            tail = hockey_stick.mixture(self.epsilon[active], log_weights, mu[None] - x[:, None], tangent=tangent)
            return tail.log_delta - target, np.zeros_like(x)

        none = np.zeros(1)
        if excess(none, np.zeros(1, dtype=np.intp))[0][0] > 0:
            return -math.inf
        if mu.size == 1:
            return max(float(self.most - mu[0]), 0.0) / _SAFE
        low = np.array([-1.001 * self.most - 1e-300])
        room = -roots.decreasing_root(excess, start=none, low=low, high=none, floor=1e3 * self.most)
        return float(room[0]) / _SAFE

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
        return self._old(state, steps), self._restarted(state, place, steps) if self.bounded else math.inf

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
        return float(mu) if math.isfinite(mu) else None


class PublishedRule(Rule):
    """Distances add up as published; the newest request's is averaged where batches are random."""

    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        room = place.room.get(steps)
        if room is None:
            room = place.room[steps] = self._find_room(place, steps)
        return state.distance <= room

    def before(self, state: StreamState, place: Place, steps: int) -> tuple[Any, Any]:
        return state.distance, 0.0

    def mixtures(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        weights, own, _ = self.shares(place)
        setting, ar = Setting(self.algorithm, self.reference, given_distance=True, number=self.number), self.arithmetic
        with np.errstate(divide="ignore"):
            log_sum = ar.log(ar.minimum(before[:, :1] + own, self.limit)) + self.log_unit
        log_mu = self.raised(self.bound.log_scale(setting, log_sum, np.full(before.shape[0], float(steps))))
        return [Mixture(ar.log(weights), log_mu - self.log_sigma, self.bound.curve(setting))]

    def _find_room(self, place: Place, steps: int) -> float:
        own = self.shares(place)[1]

        def excess(x: Floats, active: NDArray[np.intp]) -> tuple[Floats, Floats]:
            return self.epsilon_after(place, steps, np.array([[-x[0], 0.0]])) - self.epsilon, np.zeros(1)

        def fits(distance: float) -> bool:
            return bool(excess(np.array([-distance]), np.zeros(1, dtype=np.intp))[0][0] <= 0)

        if not fits(0.0):
            return -math.inf
        if math.isfinite(self.limit) and fits(self.limit):
            return math.inf
        high = float(own.max())
        while fits(high):
            high *= 2
        none = np.zeros(1)
        return float(-roots.decreasing_root(excess, start=none, low=np.array([-high]), high=none, floor=1e-9 * high)[0])

    def advance(self, state: StreamState, place: Place, steps: int) -> None:
        state.distance = self.least(state.distance + self.worst(state, place), self.limit) * self.kept(steps)

    def mu_now(self, state: StreamState) -> float | None:
        return None
