"""Requests of records that draw their batches by themselves: one law for all of them, and the average inside the laws.

All deleted records' draws are independent, so theorem H holds with the tuple of their batches as its index, and the law of the
sum of what each left is a plain convolution, rounded up. A stand-in draws by itself: the runs differ in its visits until its
leaver is gone, so what all stand-ins left has the same law, and is averaged outside (docs/theory.md, "Laws of streams").

What a record leaves is bounded as if it had been in for as long as the run has lasted: one that joined later left less. Strings
of several records add up without a ball only; with one, all of them may start again together at the last request.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np

from accountant.averaging import Visits, paying
from accountant.bounds import Bound, Setting
from accountant.curves import Curve, GaussianMixtureCurve, Mixture
from accountant.numerics import Floats, Numbers, log_add
from accountant.problem import MATCHED, PNSGD, oversize
from accountant.questions import UnlearningAccountant
from accountant.requests.averaged import Asked, AveragedRule
from accountant.requests.rules import LARGEST_LOG_MU, SAFE, Place
from accountant.requests.state import StreamState

#: Classes of outcomes inside and outside where stand-ins are averaged.
_PAIRED: Final = (512, 96)
#: Far more than rounding moves a logarithm.
_SURELY: Final = 1e-6
#: Numbers of points count up to a sixteenth more, in what a key that is redrawn costs.
_BITS: Final = 4


class SecretRule(AveragedRule):
    """One draw per record, kept in every epoch."""

    def __init__(self, accountant: UnlearningAccountant, bound: Bound, **target: Any) -> None:
        self.replaced = accountant.algorithm.problem.adjacency == "replace"
        self._first: dict[tuple[int, int, bool], float] = {}
        self._limits: dict[tuple[int, bool], float] = {}
        self._log_limits: dict[Curve, float] = {}
        algorithm = accountant.algorithm
        #: The same, of a key that is never redrawn.
        self._never = replace(algorithm, redraw=False) if algorithm.redraw is None else algorithm
        cost = oversize(algorithm)
        #: Whether redrawing may be what is paid for: never redrawing may cost less than a rounding.
        cheap = algorithm.redraw is None and cost.log_added < math.log(target["delta"]) - 40
        self._redraws = cost.log_redrawn is not None and not cheap
        super().__init__(accountant, bound, **target)

    @property
    def sides(self) -> int:
        """Whose pulls are in a curve: the leaver's, and that of whoever takes the place."""
        return 2 if self.replaced else 1

    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        if self.answers_alone(state, place):
            known = (place.points, steps, bool(state.inserted))
            if known not in self._first:
                self._first[known] = self.excess_of(self._one_request(state, place, steps))
            return self._first[known] <= 0 or self._meets_at_worst(state, place, steps)
        if self._meets_at_worst(state, place, steps):
            return True
        return self.averaged_meets(state, place, steps)

    def _meets_at_worst(self, state: StreamState, place: Place, steps: int) -> bool:
        older, apart, points, _, inserted = self.before(state, place, steps)
        most = self._most(int(points), bool(inserted))
        if self.drifts or not older < most:
            return bool(not self.replaced and apart <= most)
        newest = self.within(float(self._alone(steps, place.epochs))) * place.points
        return bool((older + newest) * SAFE <= most) or bool(not self.replaced and apart <= most)

    def _most(self, points: int, never: bool) -> float:
        """The largest mu, of either side, of a single Gaussian that meets the target, rounded down."""
        known = (points, never)
        if known not in self._limits:
            found = self._most_of(self._curve(points, never, int(self.replaced)))
            self._limits[known] = math.exp(found) / SAFE if found > -LARGEST_LOG_MU else 0.0
        return self._limits[known]

    def _most_of(self, curve: Curve) -> float:
        """Its logarithm, under this curve."""
        if curve not in self._log_limits:
            found = curve.log_scale(self.epsilon, self.log_delta, np.zeros(self.sides), np.zeros((1, self.sides)))[0]
            self._log_limits[curve] = float(found)
        return self._log_limits[curve]

    def _reaches(self, mixture: Mixture, epsilon: Floats) -> bool:
        log_mu = mixture.log_scale[0]
        # A single Gaussian that is surely beyond the largest mu: no curve needs to be read.
        if epsilon is self.epsilon and log_mu.size == self.sides and log_mu.min() > self._most_of(mixture.curve) + _SURELY:
            return False
        return super()._reaches(mixture, epsilon)

    def missed(self, state: StreamState, place: Place, steps: int) -> float | None:
        if self.answers_alone(state, place):
            return self._first.get((place.points, steps, bool(state.inserted)))
        return super().missed(state, place, steps)

    def answers_alone(self, state: StreamState, place: Place) -> bool:
        """Whether the request is what the accountant answers by itself: the first, after learning of the declared length."""
        return not state.requests and place.epochs == self.learned and not self.piles

    def _one_request(self, state: StreamState, place: Place, steps: int) -> Mixture:
        """The accountant's own answer for a first request."""
        placing = replace(self._accountant.placing, group_size=place.points)
        setting = replace(placing.setting, algorithm=self._paid(bool(state.inserted)), number=self.number)
        count = np.array([float(steps)])
        mixture = placing.components.mixture(self.bound, setting, count, np.full(1, -math.inf))
        log_scale = self.raised(mixture.log_scale) - self.log_sigma
        # Once for all positions, as the accountant adds it.
        return mixture._replace(log_scale=np.logaddexp(log_scale, math.log(self.rounded)) if self.rounded else log_scale)

    # What older requests and the newest left at their worst.

    def _worst(self, points: int, phase: int, epochs: float) -> Any:
        """All in the batch visited last: nobody lacks room."""
        if self.drifts:
            return math.inf
        return points * self.sum(epochs, stride=self.period) / float(self.sizes[0])

    def _points(self, positions: Floats, steps: int, epochs: float, *, project: bool) -> Numbers:
        return super()._points(positions, steps, epochs, project=False)

    def before(self, state: StreamState, place: Place, steps: int) -> tuple[Any, ...]:
        first, points = float(self.answers_alone(state, place)), self._counted(state.points + place.points)
        return *super().before(state, place, steps), float(points), first, float(state.inserted > 0)

    def mixtures(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        found = self._at_worst(place, steps, before)
        _, first, inserted = self.arithmetic.midpoint(before[:, 2:]).astype(np.float64).max(axis=0)
        if first:
            state = StreamState(inserted=int(inserted))
            found.append(self._one_request(state, place, steps))
        return found

    def _at_worst(self, place: Place, steps: int, before: Numbers) -> list[Mixture]:
        """Everybody in the batch visited last, stand-ins too: single Gaussians."""
        ar, sides = self.arithmetic, self.sides
        points, _, inserted = ar.midpoint(before[:, 2:]).astype(np.float64).max(axis=0)
        curve = self._curve(int(points), bool(inserted), sides - 1)
        log_weights = ar.log(ar.asarray([1] * sides))
        with np.errstate(divide="ignore"):
            older, restarted = (ar.log(before[:, k : k + 1] * self.safe) for k in (0, 1))
        found = []
        if not self.drifts:
            newest = self._alone(steps, place.epochs) + ar.log(ar.asarray([place.points]))
            total = log_add(older, newest[None], ar)
            found.append(Mixture(log_weights, np.tile(total, (1, sides)), curve))
        if self.bounded and not self.replaced:
            found.append(Mixture(log_weights, restarted, curve))
        return found

    def epsilon_after(self, place: Place, steps: int, before: Floats) -> Floats:
        epsilon = np.empty(before.shape[0])
        # Rows that pay alike.
        _, kind = np.unique(before[:, 2:], axis=0, return_inverse=True)
        for k in range(int(kind.max()) + 1):
            rows = kind.ravel() == k
            epsilon[rows] = super().epsilon_after(place, steps, before[rows])
        return epsilon

    def mu_now(self, state: StreamState) -> float | None:
        if not self.replaced:
            return super().mu_now(state)
        mu = 2 * float(self._old(state, 0))
        return mu if math.isfinite(mu) else None

    def passes(self, state: StreamState, steps: int) -> None:
        if state.requests:
            law = self._past(state).aged(self._ageing(state, steps), self._past(state).cell) if self.averages else None
            if not self.endless and math.isfinite(self.learned):
                state.mu = self._old(state, steps) * self.safe
                state.span += steps
            state.distance *= self.kept(steps) * self.safe
            state.tracked *= self.kept(steps) * self.safe
            state.law = law
        state.steps += steps
        state.since += steps

    # What they left by chance.

    def _asked(self, state: StreamState, place: Place, steps: int) -> Asked | None:
        if not self.averages or self.answers_alone(state, place):
            return None
        return self._question(state, place, steps)

    def named_before(self, state: StreamState, points: int) -> int | None:
        """Draws are independent; what counts is the price of a key that is redrawn (0: it is not)."""
        return 0 if state.inserted or not self._redraws else self._counted(state.points + points)

    def _named(self, weights: Floats, before: int) -> Floats:
        return weights

    def _counted(self, points: int) -> int:
        """The number of points, some of which count a little more often; one where they cost nothing."""
        if not self._redraws:
            return 1
        coarse = 1 << max(points.bit_length() - _BITS - 1, 0)
        return -(-points // coarse) * coarse

    def _mixture(self, asked: Asked, after: Any) -> Mixture:
        apart = asked.apart if not self.replaced else math.inf
        weights, mu = self._read(after, asked._replace(apart=apart))
        outside = 0
        if self.replaced:
            both = [Visits(0.0, weights, mu).pooled(classes) for classes in _PAIRED]
            weights, mu = (np.concatenate(parts) for parts in zip(*((law.weights, law.values) for law in both), strict=True))
            outside = both[1].values.size
        curve = self._curve(max(asked.before, asked.points), not asked.before, outside)
        return Mixture(np.log(weights), np.log(mu)[None], curve)

    # What too large batches cost.

    def _paid(self, never: bool) -> PNSGD:
        """The algorithm; ``never``: no key is redrawn."""
        return self._never if never else self._accountant.algorithm

    def _curve(self, points: int, never: bool, outside: int) -> Curve:
        return paying(GaussianMixtureCurve(outside), Setting(self._paid(never), MATCHED), steps=0.0, points=points)
