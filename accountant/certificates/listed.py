"""What a listed law proves: of records that draw their batches by themselves (format 5), and of a partition (format 6)."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from accountant.certificates.certificate import CURVE
from accountant.certificates.drawn import APART, NEGLIGIBLE, PLACES, TIGHT, DrawnProof
from accountant.certificates.format import WrittenLaw
from accountant.certificates.proof import Proof
from accountant.certificates.ratio import DIGITS, MOST_STEPS, ball, bits, ends, phi, settled, text_ends
from accountant.curves import AddedCurve, Curve, GaussianMixtureCurve, RedrawnCurve, mixture_epsilon
from accountant.numerics import Enclosure, Floats, UnreachableError, rounded_text
from accountant.problem import PNSGD
from accountant.requests import CurveAfter

if TYPE_CHECKING:
    from flint import arb

    from accountant.certificates.ratio import Weighted

#: Digits of listed mu and chances, rounded up.
_DIGITS: Final = 24
#: How the newest points are followed: outcomes rounded up.
TAILS: Final = "tails"
#: Pairs of components at the points of a curve that a checker has the time for.
_CURVE_PAIRS: Final = 1 << 14
#: Outcomes at all points of a curve together, of Gaussians that are averaged outside.
_CURVE_ROWS: Final = 1 << 13
_NEGLIGIBLE: Final = Fraction(1, 10**1001)


def listed(weights: Floats, values: Floats, rounding: str, *, more: Fraction, room: Fraction) -> list[list[str]]:
    """[mu, the chance of more], mu rising; both rounded up, mu raised by ``room`` and the chances by a factor ``more``."""
    order = np.argsort(values, kind="stable")
    shares = [Fraction(weight) for weight in weights[order].tolist()]
    least, whole, left = Fraction(rounding), sum(shares), Fraction(0)
    rows: list[list[str]] = []
    for share, value in zip(reversed(shares), reversed(values[order].tolist()), strict=True):
        mu = rounded_text(max(Fraction(value), least) + room, _DIGITS, up=True)
        chance = rounded_text(left / whole * more, _DIGITS, up=True)
        if rows and rows[-1][1] == chance:
            # Nothing that counts is there.
            rows.pop()
        if share > 0 and not (rows and rows[-1][0] == mu) and Fraction(chance) < 1:
            rows.append([mu, chance])
        left += share
    return rows[::-1]


class LawProof(DrawnProof):
    """The curve of a listed law."""

    def __init__(self, written: WrittenLaw, after: CurveAfter, delta: Fraction, algorithm: PNSGD, points: int) -> None:
        self.redraw, self._algorithm, self._points = after.redrawn > 0, algorithm, points
        cost = max(after.added, after.redrawn)
        self._log_cost = math.log(cost) if cost > 0 else -math.inf
        self._lists = [pairs(written["inner"]), pairs(written["outer"])]
        self._target, self._tails = delta, {}

    def points(self, most: int) -> int:
        pairs = len(self._lists[0]) * max(len(self._lists[1]), 1)
        return max(min(most, _CURVE_PAIRS // pairs), 1)

    def _scales(self) -> tuple[list[Weighted], list[arb]]:
        inner, outer = ([(ball(share), ball(mu)) for share, mu in part] for part in self._lists)
        return inner, [mu for _, mu in outer] or [ball(Fraction(0))]

    def _shares(self) -> list[arb]:
        return [ball(share) for share, _ in self._lists[1]] or [ball(Fraction(1))]

    @cached_property
    def _all_sizes(self) -> tuple[Floats, Floats]:
        inner, outer = (np.array([float(mu) for _, mu in part]) for part in self._lists)
        return inner, outer if outer.size else np.zeros(1)

    @cached_property
    def _log_chances(self) -> Floats:
        return np.log([float(share) for share, _ in self._lists[0]])

    @cached_property
    def _classes(self) -> list[int]:
        return list(range(1, self._all_sizes[1].size + 1))

    def _steering(self, delta: Fraction) -> float:
        outer = [float(share) for share, _ in self._lists[1]]
        curve: Curve = GaussianMixtureCurve(len(outer))
        curve = RedrawnCurve(curve, self._log_cost) if self.redraw else AddedCurve(curve, self._log_cost)
        log_weights = np.append(self._log_chances, np.log(outer) if outer else [])
        with np.errstate(divide="ignore"):
            log_mu = np.log(np.append(self._sizes, self._all_sizes[1] if outer else []))[None]
        return float(curve.epsilon(np.array([math.log(delta)]), log_weights, log_mu)[0])


def pairs(listed: list[list[str]]) -> list[tuple[Fraction, Fraction]]:
    """(chance, mu) of a list of [mu, the chance of more]."""
    before = [Fraction(1), *(Fraction(chance) for _, chance in listed)]
    return [(before[k] - before[k + 1], Fraction(mu)) for k, (mu, _) in enumerate(listed)]


class PartsProof(Proof):
    """The curve of a listed law of a partition, whose average is outside; of a group, read through convex functions."""

    def __init__(self, written: WrittenLaw) -> None:
        self._pairs, self._convex = pairs(written["inner"]), written["group"] != TAILS
        self._balls: dict[int, list[Weighted]] = {}

    @property
    def points(self) -> int:
        """How many points of a curve there is the time for."""
        return max(min(len(CURVE), _CURVE_ROWS // len(self._pairs)), 1)

    def mu(self) -> Enclosure:
        most = max(mu for _, mu in self._pairs)
        return Enclosure(most * (1 - APART), most * (1 + APART), DIGITS, "interval")

    def delta(self, epsilon: Fraction) -> tuple[str, str]:
        for digits in PLACES:
            with bits(int(3.4 * digits) + 128):
                low, high = ends(self._read(ball(epsilon))[0])
                if high < _NEGLIGIBLE:
                    return NEGLIGIBLE[0], NEGLIGIBLE[1]
                if (high - low) * TIGHT <= high:
                    texts = text_ends(max(low, Fraction(0)), high)
                    return texts[0], texts[1]
        raise UnreachableError(f"delta at epsilon = {float(epsilon):g} cannot be enclosed")

    def epsilon(self, delta: Fraction) -> Enclosure:
        """By Newton's method, from the answer in doubles."""
        with bits(512):
            if ends(self._read(ball(Fraction(0)))[0])[1] <= delta:
                return Enclosure(Fraction(0), Fraction(0), DIGITS, "interval")
            weights, mus = (np.array([float(pair[k]) for pair in self._pairs]) for k in (0, 1))
            start = float(mixture_epsilon(delta=float(delta), weights=weights / weights.sum(), mu=mus, tangent=self._convex))
            epsilon, last = ball(Fraction(max(start, 1e-300))), ball(Fraction(10**9))
            for _ in range(MOST_STEPS):
                value, slope = self._read(epsilon)
                move = ((ball(delta) - value) / slope).mid()
                epsilon = (epsilon + move).mid()
                if settled(move, last, epsilon, 0.25):
                    break
                last = abs(move)
            middle = ends(epsilon)[0]
            low, high = middle * (1 - APART), middle * (1 + APART)
            if ends(self._read(ball(low))[0])[0] >= delta >= ends(self._read(ball(high))[0])[1]:
                return Enclosure(low, high, DIGITS, "interval")
        raise UnreachableError(f"epsilon at delta = {float(delta):g} cannot be enclosed")

    def _read(self, epsilon: arb) -> tuple[arb, arb]:
        """delta, and its derivative."""
        from flint import arb, ctx

        if ctx.prec not in self._balls:
            self._balls[ctx.prec] = [(ball(share), ball(mu)) for share, mu in self._pairs]
        value, slope, bend, steep = arb(0), arb(0), (2 * epsilon).sqrt(), 1 / (2 * arb.pi()).sqrt()
        factor = epsilon.exp()
        for share, mu in self._balls[ctx.prec]:
            # Beyond the bend the least convex function above is a tangent.
            x = mu.min(bend) if self._convex else mu
            lost = factor * phi(-epsilon / x - x / 2) if x > 0 else arb(0)
            value += share * ((phi(x / 2 - epsilon / x) - lost if x > 0 else 0) + (mu - x) * steep)
            slope -= share * lost
        return value, slope
