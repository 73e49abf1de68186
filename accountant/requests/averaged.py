"""Requests whose older ones are averaged, too: the law of what all of them left, instead of their worst positions.

Given every position, the bound is one number: the sum of what each deleted point left. Its law is carried from request to
request: aged by c^N (delayed shifts: docs/theory.md, "Laws of streams"), and convolved with the newest points' own. The average
is outside: delta is that of the mixture's components, averaged.

Positions in a partition are drawn without replacement. Named one after the other, the k-th point lies in batch j with a
probability of at most |B_j|/(n - k + 1), wherever the k - 1 before it lie: it adds no more, in law, than where the law gives
as much as that to the batches that add most, until nothing is left. Sums of independent such outcomes are an upper bound
for every function that increases, and need no order of positions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.averaging import Visits, power
from accountant.bounds import Bound
from accountant.curves import GDPCurve, Mixture
from accountant.numerics import SMALLEST, Floats
from accountant.questions import UnlearningAccountant
from accountant.requests.lately import Lately
from accountant.requests.optimal import OptimalRule
from accountant.requests.past import PastLaw
from accountant.requests.rules import LARGEST_LOG_MU, SAFE, Place
from accountant.requests.state import StreamState

#: Cells up to the largest mu that the target allows; laws that are remembered.
_CELLS: Final = 1 << 12
_LAWS: Final = 512
#: Cells and outcomes of a group's law.
_GROUP_CELLS: Final = 1 << 12
_CLASSES: Final = 1024
#: log of the share of delta that the worst outcome may have for nothing.
_SHARE: Final = -28.0
#: Logarithms of what positions add are rounded up to multiples of this.
_SHAPE: Final = 1e-10
#: Numbers of points deleted before are rounded up to so many bits, so that laws repeat.
_BITS: Final = 4


class _Laws:
    """Laws that a stream has met, so that what was worked out from one is found when it comes back."""

    def __init__(self) -> None:
        self._laws: OrderedDict[Any, PastLaw] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Laws, ()

    def same(self, law: PastLaw) -> PastLaw:
        found = self._laws.setdefault(law.key, law)
        self._laws.move_to_end(law.key)
        if len(self._laws) > _LAWS:
            self._laws.popitem(last=False)
        return found


class Asked(NamedTuple):
    """All that a law after a request depends on, besides the law before it."""

    points: int
    phase: int
    epochs: float
    steps: int
    #: What is left of the past after the steps.
    factor: float
    #: Points deleted before, as far as they matter.
    before: int
    #: mu that the ball allows, and mu of rounding.
    apart: float
    beyond: float
    #: The class of norm of the newest points: laws go from one class's rule to another's.
    share: float = 1.0


class AveragedRule(OptimalRule):
    """The smaller of both: older requests at their worst positions, or averaged."""

    def __init__(self, accountant: UnlearningAccountant, bound: Bound, **target: Any) -> None:
        super().__init__(accountant, bound, **target)
        self.averages = self.double and self.random and not self.drifts and self.period > 1 and 0 < self.most < math.inf
        self.laws, self._lately = _Laws(), Lately()
        self.nothing = PastLaw.nothing(self.most / _CELLS, float(self.log_delta[0]) + _SHARE) if self.averages else None

    def meets(self, state: StreamState, place: Place, steps: int) -> bool:
        if super().meets(state, place, steps):
            return True
        # Where the newest request alone asks for more, no law of the others helps.
        return self.averages and self.room(place, steps) > -math.inf and self.averaged_meets(state, place, steps)

    def averaged_meets(self, state: StreamState, place: Place, steps: int) -> bool:
        asked = self._asked(state, place, steps)
        if asked is None:
            return False
        law = self._past(state)
        found = law.known.get(asked)
        if found is None:
            found = law.known[asked] = self.excess_of(self._mixture(asked, self._after(law, asked)))
        return bool(found <= 0)

    def missed(self, state: StreamState, place: Place, steps: int) -> float | None:
        asked = self._asked(state, place, steps)
        return super().missed(state, place, steps) if asked is None else self._past(state).known.get(asked)

    def advance(self, state: StreamState, place: Place, steps: int) -> None:
        law = self._advanced(state, place, steps) if self.averages else None
        super().advance(state, place, steps)
        state.law = law

    def averaged(self, state: StreamState, place: Place, steps: int) -> Mixture | None:
        asked = self._asked(state, place, steps)
        return None if asked is None else self._mixture(asked, self._after(self._past(state), asked))

    def averaged_epsilon(self, state: StreamState, place: Place, steps: int) -> float:
        asked = self._asked(state, place, steps)
        if asked is None:
            return math.inf
        law, key = self._past(state), ("epsilon", asked)
        if key not in law.known:
            found = self._mixture(asked, self._after(law, asked))
            readable = found.log_scale.max() < LARGEST_LOG_MU
            one = found.curve.epsilon(self.log_delta, found.log_weights, found.log_scale)[0] if readable else math.inf
            law.known[key] = float(one)
        return float(law.known[key])

    def _asked(self, state: StreamState, place: Place, steps: int) -> Asked | None:
        """None where nothing is averaged that was not before."""
        if not self.averages or not state.requests:
            return None
        return self._question(state, place, steps)

    def _question(self, state: StreamState, place: Place, steps: int) -> Asked | None:
        before = self.named_before(state, place.points)
        if before is None:
            return None
        apart = float(self._restarted(state, place, steps)) if self.bounded else math.inf
        beyond = self.rounded + self.piled(state, steps)
        factor = self._ageing(state, steps)
        return Asked(place.points, place.phase, place.epochs, steps, factor, before, apart, beyond, self.share)

    def named_before(self, state: StreamState, points: int) -> int | None:
        """Of how many points a newest one knows that it lies elsewhere, rounded up; None where it is one of too many."""
        named = state.points + points - 1
        unit = 1 << max(named.bit_length() - _BITS, 0)
        before = -(-named // unit) * unit
        return before if before < self.algorithm.problem.n else None

    def _ageing(self, state: StreamState, steps: int) -> float:
        """A bound on what all that the past left is multiplied by in so many steps."""
        kept = float(self.kept(steps))
        if not self.endless and state.requests:
            before, after = (float(self.sum(span, stride=2)) for span in (state.span, state.span + steps))
            kept *= math.sqrt(before / after)
        return min(kept * SAFE, 1.0)

    def _past(self, state: StreamState) -> PastLaw:
        """The law of what past requests left; of a stream that was saved without one, at their worst."""
        assert self.nothing is not None
        if state.law is not None:
            law: PastLaw = state.law
            return law
        worst = min(float(self._old(state, 0)), 1e300)
        return self.laws.same(self.nothing.plus(np.array([worst]), np.ones(1)) if state.requests else self.nothing)

    def _advanced(self, state: StreamState, place: Place, steps: int) -> PastLaw:
        asked = self._question(state, place, steps)
        law = self._past(state)
        if asked is None:
            # Nearly all points are gone: the newest are at their worst.
            worst = self._alone(steps, place.epochs) + math.log(place.worst) - math.log(self._one(place))
            aged = law.aged(self._ageing(state, steps), law.cell)
            return self.laws.same(aged.plus(np.exp(np.minimum([float(worst)], LARGEST_LOG_MU)), np.ones(1)))
        key = ("after", asked._replace(apart=math.inf, beyond=0.0))
        if key not in law.known:
            law.known[key] = self.laws.same(self._after(law, asked))
        found: PastLaw = law.known[key]
        return self.laws.same(found)

    def _one(self, place: Place) -> float:
        """The distance of one point in the batch visited last."""
        return float(self.sum(place.epochs, stride=self.period)) / float(self.sizes[0])

    def _after(self, law: PastLaw, asked: Asked) -> PastLaw:
        """The law with the newest points, after the steps."""
        assert self.nothing is not None
        cell = self.nothing.cell
        return self._lately.answer(
            (law, asked._replace(apart=math.inf, beyond=0.0)),
            lambda: law.aged(asked.factor, cell).plus(*self._terms(asked)),
        )

    def _terms(self, asked: Asked) -> tuple[Floats, Floats]:
        """Outcomes and weights of what the newest points add."""
        one = Place(1, asked.phase, asked.epochs, None)
        weights, log_mu, _ = self.newest(one, asked.steps)
        mu = np.exp(np.minimum(np.asarray(log_mu, dtype=np.float64), LARGEST_LOG_MU)) * SAFE
        order = np.argsort(mu, kind="stable")
        mu, weights = mu[order], self._named(np.asarray(weights)[order], asked.before)
        if asked.points == 1:
            return mu, weights
        # What is below every number counts as the smallest: zeros have no shape.
        weights, mu = weights[weights > 0], np.maximum(mu[weights > 0], SMALLEST)
        # Rounded up, so that one law serves all numbers of steps that contract what every batch left alike.
        unit = float(mu[-1])
        shape = np.ceil(np.log(np.maximum(mu / unit, 1e-300)) / _SHAPE + 1) * _SHAPE
        weights, sums = _group(shape.tobytes(), weights.tobytes(), asked.points)
        return sums * (unit * SAFE), weights

    def _named(self, weights: Floats, before: int) -> Floats:
        """Chances of ascending outcomes, when so many points are known to lie elsewhere."""
        if not before:
            return weights
        n = self.algorithm.problem.n
        filled = np.minimum(np.cumsum(weights[::-1]) * (n / (n - before)), 1.0)
        filled[-1] = 1.0
        return np.diff(filled, prepend=0.0)[::-1]

    def _mixture(self, asked: Asked, after: PastLaw) -> Mixture:
        weights, mu = self._read(after, asked)
        return Mixture(np.log(weights), np.log(mu)[None], GDPCurve())

    def _read(self, after: PastLaw, asked: Asked) -> tuple[Floats, Floats]:
        """Weights and mu of all requests together."""
        weights, mu = after.components(float(np.exp(self.log_delta[0])))
        return weights, np.minimum(np.maximum(mu, 1e-300), asked.apart) * SAFE + asked.beyond


@lru_cache(maxsize=512)
def _group(log_values: bytes, weights: bytes, points: int) -> tuple[Floats, Floats]:
    """Weights and values of the sum of so many independent points; remembered across streams, which noise does not change."""
    weights_, values = power(np.exp(np.frombuffer(log_values)), np.frombuffer(weights), points, cells=_GROUP_CELLS)
    law = Visits(0.0, weights_, values).pooled(_CLASSES)
    return law.weights, law.values
