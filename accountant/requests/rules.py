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
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.averaging import Sampled, sampled_sum, worst_counts
from accountant.bounds import Bound
from accountant.curves import (
    CONTRACTION,
    GAUSSIAN_MIXTURE,
    TANGENT,
    BlockCurve,
    GDPCurve,
    Mixture,
    excess_of,
    rounded_up,
    settled,
)
from accountant.numerics import DOUBLE, MAX_COUNT, Floats, InputError, Numbers, UnreachableError, geometric_sum, log_power
from accountant.problem import DOUBLES, PNSGD, RANDOM, Number, constants_of, in_exact_numbers
from accountant.questions import UnlearningAccountant, raised
from accountant.requests.state import StreamState

#: Products spent on the law of one group of the stream.
_AFFORDABLE: Final = 3.0e7
#: Outcomes of a group's law that are kept.
_OUTCOMES: Final = 1500
#: Batches up to which every age of a short last batch is looked at by itself; of more, the youngest so many, the others by
#: powers of two.
_MOST_PHASES: Final = 512
_YOUNG: Final = 64
SAFE: Final = 1 + 1e-12
#: Batches contracted by more than e^-100 since their visit are not told apart.
FORGOTTEN: Final = 100.0
#: log of a mu with which nothing is private, and of the largest that curves are read at.
LARGEST_LOG_MU: Final = 300.0
READABLE: Final = 345.0
GRID: Final = "a group at random in a stream is averaged on a grid, of which doubles are all there is; use batches=worst"


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
    #: By how much log delta of the newest points alone is above the target.
    missed: dict[int, float] = field(default_factory=dict)


class CurveAfter(NamedTuple):
    """The privacy curve after a request, in the terms of a Guarantee: weights and values (J,)."""

    kind: str
    weights: Floats
    values: Floats
    conversion: str = "exact"
    stand_in: tuple[Floats, Floats] | None = None
    added: float = 0.0
    redrawn: float = 0.0
    blocks: Floats | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a Guarantee."""
        own = self._asdict()
        return (
            own
            if self.kind == GAUSSIAN_MIXTURE
            else {name: own[name] for name in ("kind", "weights", "values", "conversion", "blocks")}
        )


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
        self.safe = SAFE if self.double else 1
        self.bound = bound
        #: Fewest steps (or epochs) that the bound speaks about.
        self.fewest = fewest
        #: Whether what earlier requests left is averaged, so that it takes long to say whether steps are enough.
        self.averages = False
        #: Most steps of all requests together that the rule speaks about.
        self.most_steps = MAX_COUNT
        self.algorithm = in_exact_numbers(accountant.algorithm)
        self.share = self.algorithm.norm_class
        self.reference = accountant.reference
        self.random = accountant.batches == RANDOM
        self.epsilon = np.array([epsilon])
        self.log_delta = np.log(np.array([delta]))
        self.log_sigma = math.log(sigma)
        self.period = self.algorithm.steps_per_epoch
        self.constants = constants_of(self.algorithm, number)
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

    def missed(self, state: StreamState, place: Place, steps: int) -> float | None:
        """By how much ``steps`` that :meth:`meets` was asked about miss the target, about; negative where they are more than
        enough, None where nobody knows."""
        return None

    @abstractmethod
    def advance(self, state: StreamState, place: Place, steps: int) -> None:
        """Carry the distances (or mu) of all requests past this one and its steps."""

    @abstractmethod
    def before(self, state: StreamState, place: Place, steps: int) -> tuple[Any, Any]:
        """What :meth:`mixtures` needs to know of the earlier requests, before this one is answered with ``steps``."""

    @abstractmethod
    def mixtures(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        """Privacy curves after this request and ``steps``, each of which holds, at the rule's sigma; for pasts (P, 2)."""

    def averaged(self, state: StreamState, place: Place, steps: int) -> Mixture | None:
        """The curve after this request and ``steps`` that averages what older requests left, where the rule has one."""
        return None

    def averaged_meets(self, state: StreamState, place: Place, steps: int) -> bool:
        """Whether that curve meets the target."""
        return False

    def averaged_epsilon(self, state: StreamState, place: Place, steps: int) -> float:
        """epsilon of that curve; inf where there is none."""
        return math.inf

    def contracted(self, state: StreamState, place: Place, steps: int) -> list[Mixture]:
        """Curves of blocks that contract between projections, whatever the past was, where the rule has any."""
        return []

    def contracted_epsilon(self, state: StreamState, place: Place, steps: int) -> float:
        """The least epsilon of these curves; inf where there is none."""
        found = self.contracted(state, place, steps)
        each = [float(one.curve.epsilon(self.log_delta, one.log_weights, one.log_scale)[0]) for one in found]
        return min(each, default=math.inf)

    def passes(self, state: StreamState, steps: int) -> None:
        """Carry what all requests left past steps without a request."""
        raise InputError("records join only where they draw their batches by themselves, under bound=optimal")

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

    def curve_after(self, state: StreamState, place: Place, steps: int) -> CurveAfter:
        """The curve that proves the smallest epsilon after this request; UnreachableError where nothing is proved."""
        best = self._best(state, place, steps)
        if best is None:
            raise UnreachableError(f"nothing is proved after {steps} steps")
        weights, mu = np.exp(best.log_weights), rounded_up(best.log_scale[0])
        if best.curve.kind == GAUSSIAN_MIXTURE:
            way = settled(best.curve, self.log_delta, best.log_weights, best.log_scale)
            inside = mu.size - getattr(way.curve, "outside", 0)
            stand_in = (weights[inside:] / weights[inside:].sum(), mu[inside:]) if inside < mu.size else None
            weights, mu = weights[:inside] / weights[:inside].sum(), mu[:inside]
            return CurveAfter(GAUSSIAN_MIXTURE, weights, mu, "exact", stand_in, way.added, way.redrawn)
        curve = best.curve
        if isinstance(curve, BlockCurve):
            split = curve.split(self._epsilon_of(best), best.log_weights, best.log_scale)
            if split.size > 1:
                mu, blocks = curve.bounds(split, best.log_scale)
                return CurveAfter(CONTRACTION, weights / weights.sum(), mu, blocks=blocks)
            curve = GDPCurve()
        gaussian = curve.kind in ("gdp", TANGENT)
        values = mu if gaussian else 0.5 * mu**2
        return CurveAfter(curve.kind, weights / weights.sum(), values, getattr(curve, "conversion", "exact"))

    def _best(self, state: StreamState, place: Place, steps: int) -> Mixture | None:
        """Of the curves after this request the first of those that prove the smallest epsilon; None where nothing is proved.

        With the fewest steps, mostly one of them meets the target: then no epsilon is looked for.
        """
        averaged = self.averaged(state, place, steps)
        found = self.mixtures(place, steps, np.array([self.before(state, place, steps)]))
        found += [averaged] if averaged is not None else []
        found += self.contracted(state, place, steps)
        found = [one for one in found if one.log_scale.max() < READABLE]
        enough = [
            one for one in found
            if (self.averaged_meets(state, place, steps) if one is averaged else self._reaches(one, self.epsilon))
        ]  # fmt: skip
        if len(enough) == 1:
            return enough[0]
        best, least = None, math.inf
        for one in enough or found:
            # Of a curve that is above another one nobody asks where.
            if best is None or self._reaches(one, np.array([least])):
                epsilon = self._epsilon_of(one)
                if epsilon < least:
                    best, least = one, epsilon
        return best

    def _reaches(self, mixture: Mixture, epsilon: Floats) -> bool:
        return bool(mixture.curve.meets(epsilon, self.log_delta, mixture.log_weights, mixture.log_scale)[0])

    def excess_of(self, mixture: Mixture) -> float:
        """Above zero where the mixture misses the target, and by how much about."""
        if not mixture.log_scale.max() < LARGEST_LOG_MU:
            return math.inf
        return float(excess_of(mixture.curve, self.epsilon, self.log_delta, mixture.log_weights, mixture.log_scale)[0])

    def _epsilon_of(self, mixture: Mixture) -> float:
        return float(mixture.curve.epsilon(self.log_delta, mixture.log_weights, mixture.log_scale)[0])

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
        worst = worst_counts(self.arithmetic.midpoint(distances), self.sizes, used) @ distances
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


def ages_of(algorithm: PNSGD, phase: int) -> Floats:
    """Steps since each batch was visited, (J,), ``phase`` of them since the last; lower bounds for a negative phase."""
    period = algorithm.steps_per_epoch
    positions = np.arange(period, dtype=np.float64)
    if phase < 0:
        # The full batches have all ages but one; the short one is at least as old as the minus phase.
        return np.append(period - 2 - positions[:-1], float(-phase))
    return (phase - 1 - positions) % period


def _distances(algorithm: PNSGD, phase: int, epochs: float, number: Number = DOUBLES) -> Numbers:
    """How far apart the models are when a point of each batch is deleted, (J,), in units of 2 eta M."""
    log_c, period, ar = constants_of(algorithm, number).log_contraction, algorithm.steps_per_epoch, number.arithmetic
    each = geometric_sum(log_c, epochs, stride=period, arithmetic=ar) / algorithm.batch_sizes(np.arange(period))
    return np.asarray(ar.exp(log_power(log_c, ages_of(algorithm, phase))) * each)


def _one_share(algorithm: PNSGD, phase: int, epochs: float, number: Number = DOUBLES) -> tuple[Numbers, Numbers, bool]:
    """What :meth:`Rule.shares` says of one point at random."""
    distances, sizes = _distances(algorithm, phase, epochs, number), algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch))
    if algorithm.dropped_points:
        distances, sizes = np.append(distances, 0.0), np.append(sizes, float(algorithm.dropped_points))
    return number.arithmetic.asarray(sizes) / sizes.sum(), distances, False


def drawn_group(algorithm: PNSGD, points: int, phase: int, epochs: float) -> Sampled:
    """The law of the distances of points at random, on its first grid."""
    distances, sizes = _distances(algorithm, phase, epochs), algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch))
    if algorithm.dropped_points:
        distances, sizes = np.append(distances, 0.0), np.append(sizes, float(algorithm.dropped_points))
    return sampled_sum(distances, sizes, points, affordable=_AFFORDABLE)


@lru_cache(maxsize=256)
def _random_shares(algorithm: PNSGD, points: int, phase: int, epochs: float) -> tuple[Floats, Floats, bool]:
    """What :meth:`Rule.shares` says of points at random; remembered across streams, which noise does not change."""
    if points == 1:
        return _one_share(algorithm, phase, epochs)
    law = drawn_group(algorithm, points, phase, epochs).law
    while law.mass.size > _OUTCOMES:
        law = law.coarser()
    weights, values = law.components
    # Convex functions need no correction for the grid, so these are what reads the law.
    return weights, values * SAFE, law.error > 0
