"""Streams of deletion requests: the fewest steps per request that keep every request so far at (epsilon, delta).

After request s the unlearned model is compared with retraining on the data that is left. Every earlier request still
contributes what it has not contracted since. Two recursions, both with a state of a few numbers:

- ``optimal``: the mu of all requests add up (the triangle inequality of Gaussian trade-off functions). An older request counts
  with its worst position, D c^N sqrt(1 - c^2)/nu times the factor by which the string of a single point exceeds its chord after
  as many steps as have run since the last deletion (one from (J - 2)/2 steps on); the newest request is averaged over its
  positions. After learning of finitely many epochs the sum of mu itself is carried, and shrinks with c^N and with the root of
  the noise variance that the run has gathered.
- the published bounds: Z^(s+1) = c^(N_s) Z^(s) + Z, at most 2R, in their own formulas.

Steps go on in the cycle of batches where the last request stopped, so positions count from there (docs/theory.md, "Streams").
"""

from __future__ import annotations

import json
import math
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant import groups, solve
from accountant.algorithm import PNSGD
from accountant.assumptions import RANDOM, WORST
from accountant.bounds import BOUNDS, Bound, Setting
from accountant.distance import NO_DISTANCE
from accountant.divergences import hockey_stick
from accountant.divergences.curves import rounded_up
from accountant.geometry import geometric_sum, log_power
from accountant.reference import MATCHED
from accountant.shifts.cyclic import log_mu_decay
from accountant.unlearning import UnlearningAccountant
from accountant.validation import MAX_COUNT, InputError, UnreachableError, choice, integer, number, numbers

Floats = NDArray[np.float64]

#: Version of the JSON form.
FORMAT: Final = 1
UNITS: Final = ("steps", "epochs")
#: Products spent on the law of one group of the stream.
_AFFORDABLE: Final = 3.0e7
#: Outcomes of a group's law that are kept.
_OUTCOMES: Final = 1500
#: Batches up to which every age of a short last batch is looked at by itself; of more, the youngest so many, the others by
#: powers of two.
_MOST_PHASES: Final = 512
_YOUNG: Final = 64
_SAFE: Final = 1 + 1e-12
#: log of a mu with which nothing is private.
_LARGEST: Final = 300.0


@dataclass(slots=True)
class StreamState:
    """All that the past requests leave behind. Distances are in units of 2 eta M (replace) or eta M (zero-out).

    distance: sum over requests of their worst distances, contracted by what ran since, without projection (published bounds:
        at most 2R). tracked: the same, never above 2R. mu: sum of the worst mu (finite learning only). since: steps after the
        last deletion. span: steps of the longest string so far, learning included (finite learning only).
    """

    requests: int = 0
    points: int = 0
    steps: int = 0
    since: int = 0
    distance: float = 0.0
    tracked: float = 0.0
    mu: float = 0.0
    span: float = 0.0


class UnlearningStream:
    """Requests one after the other, each a number of points to delete, in constant memory.

    accountant: an :class:`UnlearningAccountant` with batches "random" or "worst", a matched or converged reference, no
        schedule and group_size 1. Its bound decides the recursion; random averages over the newest request's position.
    sigma > 0, epsilon >= 0, delta in (0, 1) (default 1/n): noise of every step, and the target after every request.
    unit: "steps", or "epochs" for whole epochs. first_bound: another published bound for the first request only, as the
        authors' code has it (``bound="paper-geometric"`` with ``first_bound="paper"``).
    Raises InputError for bad arguments and for more deletions than points, UnreachableError when no number of steps is enough.
    """

    def __init__(
        self,
        accountant: UnlearningAccountant,
        *,
        sigma: float,
        epsilon: float,
        delta: float | None = None,
        unit: str = "steps",
        first_bound: str | None = None,
    ) -> None:
        if not isinstance(accountant, UnlearningAccountant):
            raise InputError(f"accountant must be an UnlearningAccountant, got {accountant!r}")
        self.accountant = accountant
        self.sigma = number("sigma", sigma, above=0)
        self.epsilon = number("epsilon", epsilon, at_least=0)
        self.delta = accountant.default_delta if delta is None else number("delta", delta, above=0, below=1)
        self.unit = choice("unit", unit, UNITS)
        self.first_bound = first_bound
        self._stride = accountant.algorithm.steps_per_epoch if unit == "epochs" else 1
        self._check(accountant, first_bound)
        rule = _Published if accountant.bound != "optimal" else _Optimal
        self._rule: _Rule = rule(self, BOUNDS[accountant.bound])
        self._first: _Rule = self._rule if first_bound is None else rule(self, BOUNDS[first_bound])
        self.state = StreamState()
        self.pending = 0
        self._n = accountant.algorithm.problem.n
        self._guess = 0

    @staticmethod
    def _check(accountant: UnlearningAccountant, first_bound: str | None) -> None:
        name = accountant.bound
        if accountant.batches not in (RANDOM, WORST):
            raise InputError(f"batches must be random or worst for a stream, got {accountant.batches}")
        if accountant.group_size != 1:
            raise InputError(f"group_size must be 1 for a stream, whose requests bring their own, got {accountant.group_size}")
        if accountant.schedule is not None:
            raise InputError("a stream needs a constant algorithm: schedule must be left out")
        if isinstance(accountant.reference, int):
            raise InputError(f"reference must be matched or converged for a stream, got {accountant.reference}")
        if accountant.starts_apart:
            raise InputError("reference must be matched for a stream after finite learning, got converged")
        if first_bound is not None:
            published = [bound for bound in BOUNDS if bound != "optimal"]
            choice("first_bound", first_bound, published)
            if name == "optimal":
                raise InputError(f"first_bound={first_bound} goes with a published bound, got bound=optimal")
        for bound in {name, first_bound or name}:
            learned = accountant.algorithm.learn_epochs
            if bound == "paper" and learned is not None and accountant.algorithm.log_contraction < 0:
                raise InputError(
                    "bound=paper is published for streams after converged learning only: learn_epochs must be left out, "
                    f"got {learned}"
                )
        accountant.check()

    @property
    def requests(self) -> int:
        """Requests processed so far."""
        return self.state.requests

    @property
    def points(self) -> int:
        """Points deleted so far."""
        return self.state.points

    @property
    def total_steps(self) -> int:
        """Unlearning steps so far."""
        return self.state.steps

    @property
    def mu_worst(self) -> float | None:
        """GDP bound after the last request, all points at their worst positions.

        None before it, for the published bounds, and where only the ball bounds the distance and no step has run since.
        """
        return self._rule.mu_now(self.state) if self.state.requests else None

    @property
    def averaging(self) -> str:
        """How the newest request's placement is averaged: "exact", or in words where that is an upper bound."""
        if self.accountant.batches != RANDOM or self.state.points == self.state.requests:
            return "exact"
        return "groups by the law of their placement, of which only convex functions are taken: an upper bound"

    def fresh(self) -> UnlearningStream:
        """The stream before its first request; what was computed for the placements is shared."""
        stream = copy(self)
        stream.state, stream.pending, stream._guess = StreamState(), 0, 0
        return stream

    def arrive(self, points: int = 1) -> None:
        """A request comes in; it is merged with those that wait already."""
        if type(points) is not int or points < 1:
            integer("points", points, at_least=1)
        left = self._n - self.state.points - self.pending
        if points > left:
            raise InputError(f"points must be at most {left}, what is left of the dataset, got {points}")
        self.pending += points

    def process(self) -> int:
        """Delete what waits, as one request; the number of steps to run now (0 if nothing waits)."""
        if not self.pending:
            return 0
        steps = self._process(self.pending)
        self.pending = 0
        return steps

    def request(self, points: int = 1) -> int:
        """Delete ``points`` >= 1 (and whatever waits) now; the number of steps to run before the next release."""
        self.arrive(points)
        try:
            return self.process()
        except UnreachableError:
            self.pending -= points
            raise

    def request_all(self, points: ArrayLike) -> NDArray[np.int64]:
        """:meth:`request` for each entry of a one-dimensional array."""
        counts = numbers("points", points, at_least=1, whole=True)
        if counts.ndim != 1:
            raise InputError(f"points must be one-dimensional, got shape {counts.shape}")
        return np.array([self.request(count) for count in counts.astype(np.int64).tolist()], dtype=np.int64)

    def _process(self, points: int) -> int:
        state, stride = self.state, self._stride
        rule = self._rule if state.requests else self._first
        place = rule.place(state, points)
        fewest = rule.fewest
        most = (MAX_COUNT - state.steps) // stride
        meets = rule.meets
        # Close to the last answer, which is right again in a steady stream: first down, then up.
        high = max(self._guess, fewest)
        if meets(state, place, high * stride):
            low, gap = high - 1, 1
            while low >= fewest and meets(state, place, low * stride):
                high, gap = low, 2 * gap
                low = high - gap
            low = max(low, fewest - 1)
        else:
            low, gap = high, 1
            while True:
                if low >= most:
                    raise UnreachableError(
                        f"no number of {self.unit} up to {most} reaches epsilon={self.epsilon:g} at delta={self.delta:g} with "
                        f"sigma={self.sigma:g} after {state.requests} earlier requests"
                    )
                high = min(low + gap, most)
                if meets(state, place, high * stride):
                    break
                low, gap = high, 2 * gap
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if meets(state, place, middle * stride) else (middle, high)
        steps = high * stride
        rule.advance(state, place, steps)
        state.requests += 1
        state.points += points
        state.steps += steps
        state.since = steps
        self._guess = high
        return steps

    def to_json(self) -> str:
        """The state, and what it belongs to, as one line that :meth:`from_json` restores exactly."""
        return json.dumps(
            {
                "format": FORMAT,
                "settings": self._settings(),
                "state": asdict(self.state),
                "pending": self.pending,
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str, accountant: UnlearningAccountant) -> UnlearningStream:
        """The stream that :meth:`to_json` saved; InputError for anything else, or a state of another problem or version."""
        try:
            data = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"stream state must be JSON text, got {str(text)[:40]!r} ({error})") from None
        keys = {"format", "settings", "state", "pending"}
        if not isinstance(data, dict) or set(data) != keys:
            found = sorted(data) if isinstance(data, dict) else type(data).__name__
            raise InputError(f"stream state must have exactly the keys {', '.join(sorted(keys))}, got {found}")
        if type(data["format"]) is not int or data["format"] != FORMAT:
            raise InputError(f"stream state must have format {FORMAT}, the only one this version reads, got {data['format']!r}")
        own = ("sigma", "epsilon", "delta", "unit", "first_bound")
        settings = data["settings"]
        if not isinstance(settings, dict) or not set(own) <= set(settings):
            raise InputError(f"stream state must have settings with {', '.join(own)}, got {settings!r}")
        stream = cls(accountant, **{name: settings[name] for name in own})
        mine = json.loads(json.dumps(stream._settings()))
        for name in mine.keys() | settings.keys():
            if mine.get(name) != settings.get(name):
                raise InputError(
                    f"stream state belongs to {name} = {settings.get(name)!r}, but the accountant has {mine.get(name)!r}"
                )
        stream._restore(data)
        return stream

    def _restore(self, data: dict[str, Any]) -> None:
        values = data["state"]
        whole = ("requests", "points", "steps", "since")
        names = {*whole, "distance", "tracked", "mu", "span"}
        if not isinstance(values, dict) or set(values) != names:
            raise InputError(f"stream state must hold {', '.join(sorted(names))}, got {values!r}")
        n = self.accountant.algorithm.problem.n
        for name in whole:
            integer(f"{name} of the stream state", values[name], at_least=0, at_most=n if name == "points" else MAX_COUNT)
        for name in names - set(whole):
            number(f"{name} of the stream state", values[name], at_least=0)
        odd = values["points"] < values["requests"] or values["since"] > values["steps"]
        odd |= values["requests"] == 0 and any(values[name] > 0 for name in names)
        finite = _learned(self.accountant.algorithm) < math.inf and self.accountant.bound == "optimal"
        odd |= finite and values["requests"] > 0 and values["span"] < values["steps"] + 1
        if odd:
            raise InputError(f"stream state must be one that a stream has saved, got {values!r}")
        self.pending = integer("pending of the stream state", data["pending"], at_least=0, at_most=n - values["points"])
        self.state = StreamState(**values)
        self._guess = self.state.since // self._stride

    def _settings(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("sigma", "epsilon", "delta", "unit", "first_bound")}
        return {**self.accountant.to_dict(), **own}


@dataclass(slots=True)
class _Place:
    """What a request of so many points does at one place of the cycle; remembered, because streams repeat themselves."""

    points: int
    phase: int
    epochs: float
    #: Distance of the points at their worst positions.
    worst: float
    #: Largest sum of the earlier requests with which a number of steps is enough.
    room: dict[int, float] = field(default_factory=dict)
    limits: dict[tuple[int, int], float] = field(default_factory=dict)


class _Rule:
    """How requests add up under a bound: whether a number of steps is enough, and the state after it."""

    def __init__(self, stream: UnlearningStream, bound: Bound) -> None:
        accountant = stream.accountant
        self.bound = bound
        self.fewest = -(-bound.minimum_steps // stream._stride)
        self.algorithm = accountant.algorithm
        self.reference = accountant.reference
        self.random = accountant.batches == RANDOM
        self.epsilon = np.array([stream.epsilon])
        self.log_delta = np.log(np.array([stream.delta]))
        self.log_sigma = math.log(stream.sigma)
        self.period = self.algorithm.steps_per_epoch
        self.log_c = self.algorithm.log_contraction
        self.log_unit = self.algorithm.log_unit_sensitivity
        limit = math.log(self.algorithm.diameter) - self.log_unit
        self.limit = math.exp(limit) if limit < 700 else math.inf
        self.positions = np.arange(self.period, dtype=np.float64) if self.period > 1 else np.zeros(1)
        self.sizes = self.algorithm.batch_sizes(self.positions)
        #: Only a short last batch makes the place in the cycle matter.
        self.turning = bool(self.sizes[0] != self.sizes[-1])
        self.learned = _learned(self.algorithm)
        self.every = float(geometric_sum(self.log_c, math.inf, stride=self.period))
        self._places: dict[tuple[int, int, float], _Place] = {}
        self._kept: dict[int, float] = {}

    def meets(self, state: StreamState, place: _Place, steps: int) -> bool:
        raise NotImplementedError

    def advance(self, state: StreamState, place: _Place, steps: int) -> None:
        raise NotImplementedError

    def mu_now(self, state: StreamState) -> float | None:
        return None

    def place(self, state: StreamState, points: int) -> _Place:
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
            place = self._places[key] = _Place(points, phase, epochs, self._worst(points, phase, epochs))
        return place

    def kept(self, steps: int) -> float:
        """c^steps."""
        kept = self._kept.get(steps)
        if kept is None:
            kept = self._kept[steps] = math.exp(float(log_power(self.log_c, float(steps))))
        return kept

    def _worst(self, points: int, phase: int, epochs: float) -> float:
        if math.isinf(epochs) and self.log_c == 0:
            return math.inf
        distances = _distances(self.algorithm, phase, epochs)
        # Dropped points are never the worst.
        used = min(points, int(self.sizes.sum()))
        return float(groups.worst_counts(distances, self.sizes, used) @ distances) * _SAFE

    def worst(self, state: StreamState, place: _Place) -> float:
        """The newest points' distance at their worst positions, just before they are deleted."""
        if place.phase >= 0 or place.points > 1:
            return place.worst
        short = self.kept(state.steps % self.period) / self.sizes[-1]
        every = float(geometric_sum(self.log_c, place.epochs, stride=self.period)) if self.learned < math.inf else self.every
        return float(max(1 / self.sizes[0], short)) * every * _SAFE

    def shares(self, place: _Place) -> tuple[Floats, Floats, bool]:
        """Weights and distances of the newest request's placements, and whether only convex functions may read them."""
        if not self.random or math.isinf(place.worst):
            return np.ones(1), np.array([place.worst]), False
        return _random_shares(self.algorithm, place.points, place.phase, place.epochs)


def _learned(algorithm: PNSGD) -> float:
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


def _distances(algorithm: PNSGD, phase: int, epochs: float) -> Floats:
    """How far apart the models are when a point of each batch is deleted, (J,), in units of 2 eta M."""
    log_c, period = algorithm.log_contraction, algorithm.steps_per_epoch
    each = geometric_sum(log_c, epochs, stride=period) / algorithm.batch_sizes(np.arange(period))
    return np.asarray(np.exp(log_power(log_c, _ages(algorithm, phase))) * each)


@lru_cache(maxsize=256)
def _random_shares(algorithm: PNSGD, points: int, phase: int, epochs: float) -> tuple[Floats, Floats, bool]:
    """What :meth:`_Rule.shares` says of points at random; remembered across streams, which noise does not change."""
    distances, sizes = _distances(algorithm, phase, epochs), algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch))
    if algorithm.dropped_points:
        distances, sizes = np.append(distances, 0.0), np.append(sizes, float(algorithm.dropped_points))
    if points == 1:
        return sizes / sizes.sum(), distances * _SAFE, False
    sampled = groups.sampled_sum(distances, sizes, points, affordable=_AFFORDABLE)
    law = sampled.law
    while law.mass.size > _OUTCOMES:
        law = law.coarser()
    weights, values = law.components
    # Convex functions need no correction for the grid, so these are what reads the law.
    return weights, values * _SAFE, law.error > 0


class _Optimal(_Rule):
    def __init__(self, stream: UnlearningStream, bound: Bound) -> None:
        super().__init__(stream, bound)
        #: log of mu per unit of distance; over the infinite chord.
        self.log_mu = self.log_unit - self.algorithm.log_unit_noise - self.log_sigma
        self.log_chord = self.log_mu
        if self.log_c < 0:
            self.log_chord -= 0.5 * math.log(float(geometric_sum(self.log_c, math.inf, stride=2)))
        one = hockey_stick.log_scale_of(self.epsilon, self.log_delta, np.zeros(1), np.zeros((1, 1)))
        self.most = math.exp(float(one[0]))
        #: From so many steps after a deletion on, a single point's string is its chord.
        self.straight = max(self.period - 1, 0) // 2
        self._excess: dict[int, float] = {}
        self._lone: dict[tuple[int, float], float] = {}
        self.bounded = math.isfinite(self.limit)
        #: Whether old requests are carried as a distance, on the infinite chord of converged learning.
        self.endless = math.isinf(self.learned) and self.log_c < 0

    def meets(self, state: StreamState, place: _Place, steps: int) -> bool:
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

    def room(self, place: _Place, steps: int) -> float:
        """The largest mu of earlier requests with which ``steps`` are enough; -inf where they are not even alone."""
        room = place.room.get(steps)
        if room is None:
            room = place.room[steps] = self._find_room(place, steps)
        return room

    def _factor(self, age: int, steps: int) -> float:
        """mu per unit of distance, ``steps`` from now, of points deleted at least ``age`` steps before that."""
        log_mu = self.log_chord + float(log_power(self.log_c, float(steps)))
        return max(math.exp(max(log_mu, -680.0)) * self.excess(age), 1e-300) if log_mu < 680 else math.inf

    def _old(self, state: StreamState, steps: int) -> float:
        """mu of all earlier requests after ``steps`` more."""
        if not state.requests:
            return 0.0
        if self.endless:
            return state.distance * self._factor(state.since + steps, steps)
        if math.isinf(self.learned):
            return math.inf
        before, after = (float(geometric_sum(self.log_c, span, stride=2)) for span in (state.span, state.span + steps))
        return state.mu * self.kept(steps) * math.sqrt(before / after) * _SAFE

    def excess(self, age: int) -> float:
        """The string of one converged point over its chord, ``age`` steps after its deletion in the batch visited last."""
        age = min(age, self.straight)
        if age not in self._excess:
            each = math.log(float(geometric_sum(self.log_c, math.inf, stride=self.period)) / float(self.sizes[0]))
            chord = each + self.log_chord + float(log_power(self.log_c, float(age)))
            self._excess[age] = math.exp(self._alone(age, math.inf) - chord) * _SAFE if math.isfinite(chord) else 1.0
        return self._excess[age]

    def _alone(self, steps: int, epochs: float) -> float:
        """log mu of one point in a full batch visited last, without projection."""
        known = self._lone.get((steps, epochs))
        if known is None:
            last = self.positions[-1:]
            larger = self.algorithm.log_sensitivity(self.positions[:1]) - self.algorithm.log_sensitivity(last)
            known = float(self._points(last, steps, epochs, project=False)[0] + larger[0]) - self.log_sigma
            self._lone[steps, epochs] = known
        return known

    def _points(self, positions: Floats, steps: int, epochs: float, *, project: bool) -> Floats:
        """log mu at sigma = 1 of a single point at each position, (J,)."""
        learned = None if math.isinf(epochs) else int(epochs)
        algorithm = replace(self.algorithm, learn_epochs=learned, radius=self.algorithm.radius if project else None)
        setting, count = Setting(algorithm, MATCHED), np.array([float(steps)])
        return self.bound.log_scale(setting, self.bound.log_addend(setting, positions, count, np.zeros(1)), count)[0]

    def _restarted(self, state: StreamState, place: _Place, steps: int) -> float:
        """mu from the distance at the newest deletion, which the ball bounds, with shifts in its own steps only."""
        return self._decayed(min(state.tracked + self.worst(state, place), self.limit), steps)

    def _decayed(self, distance: float, steps: int) -> float:
        """mu of a distance > 0, ``steps`` later, with shifts in these steps only."""
        decay = float(log_mu_decay(log_c=self.log_c, log_start=math.log(distance), steps=float(steps)))
        return math.exp(min(decay + self.log_mu, 700.0)) * _SAFE

    def newest(self, place: _Place, steps: int) -> tuple[Floats, Floats, bool]:
        """Weights and mu of the newest request alone, and whether only convex functions may read them."""
        if math.isinf(place.worst):
            # Only the ball bounds the distance.
            log_mu = self._points(self.positions[-1:], steps, place.epochs, project=True) - self.log_sigma
            return np.ones(1), rounded_up(np.minimum(log_mu + math.log(place.points), _LARGEST)), False
        if place.points == 1 and self.random:
            where = self.period - 1 - _ages(self.algorithm, place.phase)
            # A turned cycle has its short batch elsewhere than the algorithm; mu is proportional to h, without projection.
            log_mu = self._points(where, steps, place.epochs, project=not place.phase) - self.log_sigma
            if place.phase:
                log_mu += self.algorithm.log_sensitivity(self.positions) - self.algorithm.log_sensitivity(where)
            sizes = self.sizes
            if self.algorithm.dropped_points:
                log_mu, sizes = np.append(log_mu, -np.inf), np.append(sizes, float(self.algorithm.dropped_points))
            return sizes / sizes.sum(), rounded_up(np.minimum(log_mu, _LARGEST)), False
        # mu of a point visited r steps before the last is at most c^r times that of the last, as its distance is.
        weights, distances, convex_only = self.shares(place)
        one = float(geometric_sum(self.log_c, place.epochs, stride=self.period)) / self.sizes[0]
        with np.errstate(divide="ignore"):
            log_mu = np.log(distances) + (self._alone(steps, place.epochs) - math.log(one))
        return weights, rounded_up(np.minimum(log_mu, _LARGEST)), convex_only

    def _find_room(self, place: _Place, steps: int) -> float:
        weights, mu, tangent = self.newest(place, steps)
        if mu.size == 1:
            return float(self.most - mu[0]) / _SAFE if mu[0] <= self.most else -math.inf
        log_weights = np.log(weights)
        target = hockey_stick.rounded_down(self.log_delta)[0]

        def excess(x: Floats, active: NDArray[np.intp]) -> tuple[Floats, Floats]:
            tail = hockey_stick.mixture(self.epsilon[active], log_weights, mu[None] - x[:, None], tangent=tangent)
            return tail.log_delta - target, np.zeros_like(x)

        none = np.zeros(1)
        if excess(none, np.zeros(1, dtype=np.intp))[0][0] > 0:
            return -math.inf
        low = np.array([-1.001 * self.most - 1e-300])
        room = -solve.decreasing_root(excess, start=none, low=low, high=none, floor=1e3 * self.most)
        return float(room[0]) / _SAFE

    def advance(self, state: StreamState, place: _Place, steps: int) -> None:
        kept, worst = self.kept(steps), self.worst(state, place)
        if self.endless:
            state.distance = (state.distance + worst) * kept * _SAFE
        elif math.isfinite(self.learned):
            own = worst * self.sizes[0] / float(geometric_sum(self.log_c, place.epochs, stride=self.period))
            alone = self._alone(steps, place.epochs)
            if alone > 680:
                raise UnreachableError("sigma is so small that what this request leaves is beyond the largest double")
            newest = own * math.exp(alone) * _SAFE
            state.mu = self._old(state, steps) + newest
            state.span = max(state.span, place.epochs * self.period) + steps
        if self.bounded:
            state.tracked = min(state.tracked + worst, self.limit) * kept * _SAFE

    def mu_now(self, state: StreamState) -> float | None:
        mu = self._old(state, 0)
        if self.bounded and state.since and state.tracked > 0:
            mu = min(mu, self._decayed(min(state.tracked / self.kept(state.since), self.limit), state.since))
        return float(mu) if math.isfinite(mu) else None


class _Published(_Rule):
    """Distances add up as published; the newest request's is averaged where batches are random."""

    def meets(self, state: StreamState, place: _Place, steps: int) -> bool:
        room = place.room.get(steps)
        if room is None:
            room = place.room[steps] = self._find_room(place, steps)
        return state.distance <= room

    def _find_room(self, place: _Place, steps: int) -> float:
        weights, own, _ = self.shares(place)
        setting = Setting(self.algorithm, self.reference, given_distance=True)
        curve = self.bound.curve(setting)
        log_weights, count = np.log(weights), np.array([float(steps)])

        def excess(x: Floats, active: NDArray[np.intp]) -> tuple[Floats, Floats]:
            with np.errstate(divide="ignore"):
                log_sum = np.log(np.minimum(own - x[0], self.limit))[None] + self.log_unit
            log_mu = self.bound.log_scale(setting, log_sum, count) - self.log_sigma
            reached = float(curve.epsilon(self.log_delta, log_weights, log_mu)[0]) if log_mu.max() < 345 else math.inf
            return np.array([reached - self.epsilon[0]]), np.zeros(1)

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
        return float(-solve.decreasing_root(excess, start=none, low=np.array([-high]), high=none, floor=1e-9 * high)[0])

    def advance(self, state: StreamState, place: _Place, steps: int) -> None:
        worst = self.worst(state, place)
        if math.isinf(worst) and math.isinf(self.limit):
            raise InputError(NO_DISTANCE)
        state.distance = state.tracked = min(state.distance + worst, self.limit) * self.kept(steps)
