"""Curves that pay for what may go wrong by chance: batches of own draws that come out too large.

Two ways (docs/theory.md, "Secret batches"): a chance p that is added to delta, or a key that is redrawn until nothing is wrong:
then, with the chance p2 that the deleted record itself makes it wrong,

    P <= (e^epsilon R + delta)/(1 - p2),    R <= e^epsilon P + delta + e^epsilon p2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from accountant.curves.curves import Curve, excess_of
from accountant.curves.hockey_stick import Tail, probability
from accountant.numerics import DOUBLE, SMALLEST, Floats, Indices, decreasing_root

#: What logarithms of sums are raised by, times their size.
_ROUNDED: Final = 8 * DOUBLE.unit_roundoff
_MOST_ROUNDS: Final = 200
_MOST_STEPS: Final = 60
_MOST_PUSHES: Final = 40
#: By how much another way must be cheaper for it to be worth while.
_WORTH: Final = 1e-9
#: What a search for the noise leaves for the rounding of epsilon.
_APART: Final = 1e-12
#: Shares of epsilon at which delta is looked at too: it never grows with epsilon, and what is paid does.
_SHARES: Final = 0.5 ** np.arange(8)


@runtime_checkable
class Sloped(Protocol):
    """A curve that knows its slope."""

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats: ...
    def tail(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Tail:
        """log delta with its derivatives."""
        ...


def _less(log_delta: Floats, log_paid: Floats | float) -> Floats:
    """log(delta - paid), rounded down; -inf where nothing is left."""
    with np.errstate(all="ignore"):
        share = np.exp(log_paid - log_delta)
        left = log_delta + np.log1p(-share)
        # What is left of two numbers that nearly cancel has their rounding errors.
        left = left - _ROUNDED * (1 + np.abs(log_delta) + np.abs(log_paid)) / (1 - share)
    if np.all(np.isneginf(log_paid)):
        return log_delta
    return np.where(share < 1, np.where(np.isfinite(left), left, -np.inf), -np.inf)


@dataclass(frozen=True)
class AddedCurve:
    """``inner`` with a chance of exp(log_added) added to every delta."""

    inner: Curve
    log_added: float

    @property
    def kind(self) -> str:
        return self.inner.kind

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return _where_left(
            _less(log_delta, self.log_added), np.inf, log_mu, lambda left, mu, _: self.inner.epsilon(left, log_weights, mu)
        )

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        log_delta = self.inner.log_delta(epsilon, log_weights, log_mu)
        if math.isinf(self.log_added) and self.log_added < 0:
            return log_delta
        total = np.logaddexp(log_delta, self.log_added)
        return np.minimum(total + _ROUNDED * (1 + np.abs(total)), 0.0)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.excess(epsilon, log_delta, log_weights, log_mu) <= 0

    def excess(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """That of the inner curve at what is left of delta."""
        left = _less(log_delta, self.log_added)
        some = np.isfinite(left)
        return np.where(some, excess_of(self.inner, epsilon, np.where(some, left, -1.0), log_weights, log_mu), np.inf)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return _where_left(
            _less(log_delta, self.log_added), -np.inf, log_shape,
            lambda left, shape, some: self.inner.log_scale(epsilon[some], left, log_weights, shape),
        )  # fmt: skip

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """Infinite: what may go wrong by chance has no Rényi divergence."""
        if math.isinf(self.log_added) and self.log_added < 0:
            return self.inner.rdp(alpha, log_weights, log_mu)
        return np.full(alpha.shape, np.inf)


@dataclass(frozen=True)
class RedrawnCurve:
    """``inner`` for a key that was redrawn, where the deleted record makes it wrong with a chance of exp(log_redrawn)."""

    inner: Curve
    log_redrawn: float

    @property
    def kind(self) -> str:
        return self.inner.kind

    @property
    def _chance(self) -> float:
        return _chance(self.log_redrawn)

    @property
    def _raise(self) -> float:
        """-log(1 - p2), what every epsilon is raised by."""
        return -math.log1p(-self._chance) * (1 + 1e-15) if self._chance < 1 else math.inf

    def _inside(self, epsilon: Floats) -> tuple[Floats, Floats]:
        """The inner epsilon, and log of what is paid there, in units of 1/(1 - p2)."""
        inside = (epsilon - self._raise) * (1 - _ROUNDED)
        # Below zero: delta at zero, and what it may have grown by since; at most p2/(1 - p2).
        log_paid = math.log(self._chance) + np.where(inside < 0, math.log(2), inside)
        return np.maximum(inside, 0.0), log_paid + _ROUNDED * (1 + np.abs(inside) + np.abs(log_paid))

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        if self._chance == 0:
            return self.inner.epsilon(log_delta, log_weights, log_mu)
        if self._raise == math.inf:
            return np.full(log_delta.shape, np.inf)
        # From below to the smallest epsilon that pays for itself: every round gives what is enough for the one before.
        goal = log_delta - self._raise
        inside = np.zeros_like(log_delta)
        active = np.arange(log_delta.size)
        if isinstance(self.inner, Sloped):
            inside, active = self._from_below(self.inner, goal, log_weights, log_mu)
        for _ in range(_MOST_ROUNDS if active.size else 0):
            asked = inside[active] * (1 + 1e-13) + 1e-300
            left = _less(goal[active], math.log(self._chance) + asked + _ROUNDED * (1 + asked))
            found = _where_left(left, np.inf, log_mu[active], lambda d, mu, _: self.inner.epsilon(d, log_weights, mu))
            done = found <= asked
            inside[active] = np.where(done, asked, found)
            active = active[~done & np.isfinite(found)]
            if not active.size:
                break
        inside[active] = np.inf
        return (inside + self._raise) * (1 + _ROUNDED)

    def _from_below(self, inner: Sloped, goal: Floats, log_weights: Floats, log_mu: Floats) -> tuple[Floats, Indices]:
        """The smallest inner epsilon that pays for itself, inf where none does; and the rows where it is only near.

        delta(g) + g p2 is convex in g = e^epsilon, so Newton's method from the left of its root stays there.
        """
        log_chance = math.log(self._chance)
        inside = _where_left(_less(goal, log_chance), np.inf, log_mu, lambda d, mu, _: inner.epsilon(d, log_weights, mu))

        def excess(x: Floats, rows: Indices) -> tuple[Floats, Floats]:
            tail = inner.tail(x, log_weights, log_mu[rows])
            with np.errstate(all="ignore"):
                paid, own = np.exp(log_chance + x - goal[rows]), np.exp(tail.log_delta - goal[rows])
                return own + paid - 1, own * tail.by_epsilon + paid

        # The last epsilon that does not pay for itself, and whether a step went past the root: slopes only steer.
        short, past = inside.copy(), np.zeros(inside.size, dtype=np.bool_)
        active = np.flatnonzero(np.isfinite(inside))
        for _ in range(_MOST_STEPS):
            if not active.size:
                break
            x = inside[active]
            value, slope = excess(x, active)
            with np.errstate(all="ignore"):
                # A step of g = e^x, on the scale of x.
                step = np.log1p(np.maximum(-value / slope, -0.5))
            unmet = value > 0
            past[active] = ~unmet & (x > short[active])
            short[active] = np.where(unmet, x, short[active])
            inside[active] = np.where(unmet, np.where(slope < 0, x + np.maximum(step, 0.0), np.inf), x)
            active = active[unmet & (slope < 0) & (step > 1e-14 * np.maximum(x, 1.0))]
        back = np.flatnonzero(past & np.isfinite(inside))
        if back.size:
            low, high = short[back], inside[back]
            inside[back] = decreasing_root(
                lambda x, rows: excess(x, back[rows]), start=0.5 * (low + high), low=low, high=high, floor=1e-12
            )
        active = np.flatnonzero(np.isfinite(inside))
        push = 1e-14
        for _ in range(_MOST_PUSHES):
            x = inside[active] * (1 + push) + 1e-300
            left = _less(goal[active], log_chance + x + _ROUNDED * (1 + x))
            paid = inner.tail(x, log_weights, log_mu[active]).log_delta <= left
            inside[active[paid]] = x[paid]
            active, push = active[~paid], 2 * push
            if not active.size:
                break
        return inside, active

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        if self._chance == 0:
            return self.inner.log_delta(epsilon, log_weights, log_mu)
        if self._raise == math.inf:
            return np.zeros_like(epsilon)
        best = np.zeros_like(epsilon)
        for share in _SHARES.tolist():
            inside, log_paid = self._inside(epsilon * share)
            total = np.logaddexp(self.inner.log_delta(inside, log_weights, log_mu), log_paid) + self._raise
            best = np.minimum(best, total + _ROUNDED * (1 + np.abs(total)))
        return best

    def _asked(self, epsilon: Floats, log_delta: Floats) -> tuple[Floats, Floats]:
        """The inner epsilon, at most what pays for itself, and log of the inner delta that is left; -inf where nothing is."""
        if self._raise == math.inf:
            return epsilon, np.full(log_delta.shape, -np.inf)
        goal = log_delta - self._raise
        # A smaller epsilon proves the larger one, and costs less.
        affordable = goal - self.log_redrawn - math.log(2) + self._raise
        inside, log_paid = self._inside(np.minimum(epsilon, np.maximum(affordable, 0.0)))
        return inside, _less(goal, log_paid)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.excess(epsilon, log_delta, log_weights, log_mu) <= 0

    def excess(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """That of the inner curve at what is left of delta, and of epsilon."""
        if self._chance == 0:
            return excess_of(self.inner, epsilon, log_delta, log_weights, log_mu)
        inside, left = self._asked(epsilon, log_delta)
        some = np.isfinite(left)
        return np.where(some, excess_of(self.inner, inside, np.where(some, left, -1.0), log_weights, log_mu), np.inf)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        if self._chance == 0:
            return self.inner.log_scale(epsilon, log_delta, log_weights, log_shape)
        inside, left = self._asked(epsilon, log_delta)
        return _where_left(
            left, -np.inf, log_shape, lambda d, shape, some: self.inner.log_scale(inside[some], d, log_weights, shape) - _APART
        )

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """Infinite: what may go wrong by chance has no Rényi divergence."""
        if self._chance == 0:
            return self.inner.rdp(alpha, log_weights, log_mu)
        return np.full(alpha.shape, np.inf)


@dataclass(frozen=True)
class CheapestCurve:
    """Several curves of the same components, each of which holds for a run of its own: the one that proves most, row by row.

    Of what differs by rounding only the first is taken.
    """

    curves: tuple[Curve, ...]

    @property
    def kind(self) -> str:
        return self.curves[0].kind

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return reduce(_cheaper, (curve.epsilon(log_delta, log_weights, log_mu) for curve in self.curves))

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return reduce(_cheaper, (curve.log_delta(epsilon, log_weights, log_mu) for curve in self.curves))

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return reduce(np.logical_or, (curve.meets(epsilon, log_delta, log_weights, log_mu) for curve in self.curves))

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        scales = (-curve.log_scale(epsilon, log_delta, log_weights, log_shape) for curve in self.curves)
        return -reduce(_cheaper, scales)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return reduce(np.minimum, (curve.rdp(alpha, log_weights, log_mu) for curve in self.curves))


def _cheaper(first: Floats, other: Floats) -> Floats:
    """The smaller one, row by row; the first where the other is hardly smaller."""
    with np.errstate(invalid="ignore"):
        worth = np.isinf(first) | (first - other > _WORTH * np.maximum(np.abs(first), _WORTH))
    return np.where((other < first) & worth, other, first)


class Paid(NamedTuple):
    """One curve, and what is paid beside it: a chance that is added to delta, and one with which a key was redrawn."""

    curve: Curve
    added: float = 0.0
    redrawn: float = 0.0

    @property
    def whole(self) -> Curve:
        """The curve with what is paid, of which one at most is not zero."""
        if self.added:
            return AddedCurve(self.curve, _log_up(self.added))
        return RedrawnCurve(self.curve, _log_up(self.redrawn)) if self.redrawn else self.curve


def cheapest(curve: Curve, log_added: float, log_redrawn: float | None) -> Curve:
    """The curve with the cheaper of two ways to pay, chances as logarithms; None: there is no second one.

    Never to redraw is simpler: first, which is what is taken of equals.
    """
    ways: list[Curve] = []
    if log_added < 0 or log_redrawn is None:
        ways.append(AddedCurve(curve, log_added))
    if log_redrawn is not None:
        ways.append(RedrawnCurve(curve, log_redrawn))
    return ways[0] if len(ways) == 1 else CheapestCurve(tuple(ways))


def unpaid(curve: Curve) -> Curve:
    """The curve without what is paid."""
    way = curve.curves[0] if isinstance(curve, CheapestCurve) else curve
    return way.inner if isinstance(way, (AddedCurve, RedrawnCurve)) else way


def settled(curve: Curve, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Paid:
    """The one way of several that proves the smallest epsilon, summed over the rows, and what it pays; rounded up."""
    if isinstance(curve, CheapestCurve):
        found: list[Floats] = [way.epsilon(log_delta, log_weights, log_mu).sum(keepdims=True) for way in curve.curves]
        best = reduce(_cheaper, found)
        curve = curve.curves[int(np.argmax(np.concatenate(found) == best))]
    if isinstance(curve, AddedCurve):
        return Paid(curve.inner, added=_chance(curve.log_added))
    if isinstance(curve, RedrawnCurve):
        return Paid(curve.inner, redrawn=_chance(curve.log_redrawn))
    return Paid(curve)


def _log_up(chance: float) -> float:
    log_chance = math.log(chance)
    return log_chance + 4 * DOUBLE.unit_roundoff * (1 + abs(log_chance))


def _chance(log_chance: float) -> float:
    if log_chance == -math.inf:
        return 0.0
    # At least the smallest number that is read back.
    return max(float(probability(np.minimum(np.array([log_chance + _ROUNDED * abs(log_chance)]), 0.0))[0]), SMALLEST)


def _where_left(
    left: Floats, nothing: float, log_mu: Floats, answer: Callable[[Floats, Floats, NDArray[np.bool_]], Floats]
) -> Floats:
    """``answer(left, log_mu, some)`` for ``some`` rows, those with anything left of delta, ``nothing`` for the others."""
    some = np.isfinite(left)
    result = np.full(left.shape, nothing)
    if some.any():
        result[some] = answer(left[some], log_mu[some], some)
    return result
