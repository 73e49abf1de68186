"""What a witness of secret draws proves: a Gaussian mixture against a Gaussian, with the signs that show it, in balls.

The ratio of the densities of P, the average of N(mu_j, 1), and R = N(-s, 1) increases. Between two places around the one where
it is e^epsilon, its signs are certain, and bound the divergence: docs/guides/certificates.md, "Secret draws". Where a stand-in
comes s is drawn, too, and classes of its batches count as the largest s in them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from accountant.certificates.format import Ends, Signs
from accountant.certificates.ratio import (
    DIGITS,
    MOST_STEPS,
    above,
    around,
    ball,
    best_classes,
    bits,
    ends,
    largest,
    phi,
    place,
    settled,
    starts,
    text_ends,
)
from accountant.certificates.witness import BITS, Witness
from accountant.curves import AddedCurve, Curve, GaussianMixtureCurve, RedrawnCurve
from accountant.numerics import Enclosure, Floats, InputError, UnreachableError
from accountant.problem import PNSGD, load_limit, oversize

if TYPE_CHECKING:
    from flint import arb

    from accountant.certificates.ratio import Weighted

#: How far the ends of an enclosure of epsilon are apart.
APART: Final = Fraction(1, 10**32)
#: Digits of the places, until an enclosure is tight.
PLACES: Final = (45, 150, 400, 900)
#: Narrower than what a checker calls tight.
TIGHT: Final = 10**26
#: Pairs of an inner and an outer component at one epsilon, and at all of them but the two of the claim.
_PAIRS: Final = 1 << 14
_CURVE_PAIRS: Final = 1 << 14
#: Beyond every ratio.
_NEVER: Final = "-50000"
NEGLIGIBLE: Final = ("0", "1e-1001")


@dataclass(frozen=True)
class Point:
    """An enclosure, and the signs that show its upper end."""

    ends: Ends
    signs: Signs


class DrawnProof:
    """The curve of a witness of secret draws, for a key that was redrawn or never."""

    def __init__(self, witness: Witness, algorithm: PNSGD, points: int, delta: Fraction, *, redraw: bool) -> None:
        self._witness, self._algorithm, self._points, self.redraw = witness, algorithm, points, redraw
        self._target = delta
        self._known: dict[int, tuple[list[Weighted], list[arb]]] = {}
        self._tails: dict[tuple[str, int, int], arb] = {}
        self._steered_to: dict[Fraction, float] = {}

    @classmethod
    def cheapest(cls, witness: Witness, algorithm: PNSGD, points: int, delta: Fraction) -> DrawnProof:
        """The way of paying for batches that are too large at which epsilon is smaller; InputError if neither can pay."""
        cost = oversize(algorithm, points=points)
        # Where any batch will do there is nothing to redraw for.
        may = cost.log_redrawn is not None and math.isfinite(load_limit(algorithm))
        ways = [True] if may and algorithm.redraw else [False, True] if may else [False]
        proofs = [cls(witness, algorithm, points, delta, redraw=way) for way in ways]
        best = min(proofs, key=lambda proof: proof._steering(delta))
        if not math.isfinite(best._steering(delta)):
            raise InputError(
                f"a batch has more than {load_limit(algorithm):.0f} records too often for delta = {float(delta):g}: "
                "no certificate, use a smaller step_size or a larger batch_size"
            )
        return best

    # --- What is enclosed
    def mu(self) -> Enclosure:
        """The largest mu of the leaver, and of the stand-in, together."""
        with bits(BITS):
            inner, outer = self._scales()
            total = largest([mu for _, mu in inner]) + largest(outer)
            return Enclosure(*ends(total), DIGITS, "interval")

    def paid(self) -> Ends:
        """The chance that is paid for."""
        with bits(BITS):
            return text_ends(*ends(self._paid()))

    def delta(self, epsilon: Fraction) -> Point:
        """delta at an epsilon."""
        for digits in PLACES:
            with bits(int(3.4 * digits) + 128):
                signs = self._signs(epsilon, digits)
                low, high = (ends(self._delta(epsilon, signs, up=up))[up] for up in (False, True))
                # More than 1 says nothing.
                low, high = min(low, Fraction(1)), min(high, Fraction(1))
                if high < Fraction(1, 10**1001):
                    return Point(list(NEGLIGIBLE), signs)
                if (high - low) * TIGHT <= high:
                    return Point(text_ends(max(low, Fraction(0)), high), signs)
        raise UnreachableError(f"delta at epsilon = {float(epsilon):g} cannot be enclosed")

    def epsilon(self, delta: Fraction) -> Point:
        """The smallest epsilon at a delta."""
        with bits(512):
            if not self.redraw and ends(self._delta(Fraction(0), self._signs(Fraction(0), 60), up=True))[1] <= delta:
                return Point(["0", "0"], self._signs(Fraction(0), 60))
        for digits in PLACES:
            with bits(int(3.4 * digits) + 128):
                try:
                    middle = self._root(delta)
                except ArithmeticError:
                    # More bits may help.
                    continue
                low, high = text_ends(middle * (1 - APART), middle * (1 + APART))
                signs = self._signs(Fraction(high), digits)
                above = ends(self._delta(Fraction(low), signs, up=False))[0] >= delta
                if above and ends(self._delta(Fraction(high), signs, up=True))[1] <= delta:
                    return Point([low, high], signs)
        raise UnreachableError(f"epsilon at delta = {float(delta):g} cannot be enclosed")

    def pays(self, delta: Fraction) -> bool:
        """Whether some epsilon is proved at a delta."""
        return math.isfinite(self._steering(delta))

    def points(self, most: int) -> int:
        """How many points of a curve a checker has the time for."""
        return min(most, _CURVE_PAIRS // (len(self._sizes) * len(self._classes)))

    # --- In balls, at the precision in force
    def _scales(self) -> tuple[list[Weighted], list[arb]]:
        """Chances and mu of the leaver's batches, and mu of the stand-in's classes."""
        from flint import arb, ctx

        from accountant.numerics import Interval

        if ctx.prec not in self._known:
            with Interval(ctx.prec) as ar:
                inner, outer = ([ball.value for ball in part] for part in self._witness.pairs(ar))
            self._known[ctx.prec] = [(arb(1) / len(inner), mu) for mu in inner], outer or [arb(0)]
        inner, outer = self._known[ctx.prec]
        return inner, [largest(outer[begin:end]) for begin, end in itertools.pairwise([0, *self._classes])]

    def _paid(self) -> arb:
        """By the incomplete beta function."""
        from flint import arb

        algorithm, limit = self._algorithm, load_limit(self._algorithm)
        assert algorithm.largest_n is not None
        replaced = algorithm.problem.adjacency == "replace"
        others = algorithm.problem.n - 1 if self.redraw else algorithm.largest_n - (not replaced)
        if others <= limit:
            return arb(0)
        k, batches = int(limit), algorithm.steps_per_epoch
        chance = arb(1) / batches
        beyond = batches * chance.beta_lower(arb(k + 1), arb(others - k), True)
        if not self.redraw:
            return beyond
        mass = chance.beta_lower(arb(k), arb(others - k + 1), True) - beyond / batches if k else (1 - chance) ** others
        return self._points * mass / (1 - beyond)

    def _shares(self) -> list[arb]:
        """Chances of the stand-in's classes."""
        from flint import arb

        return [arb(end - begin) / self._batches for begin, end in itertools.pairwise([0, *self._classes])]

    def _starts(self, level: float) -> Floats:
        return starts(level, self._log_chances, self._sizes, self._outer_sizes)

    def _inside(self, epsilon: arb) -> arb:
        return epsilon + (-self._paid()).log1p() if self.redraw else epsilon

    def _total(self, inside: arb, divergence: arb) -> arb:
        p = self._paid()
        return (divergence + inside.exp() * p) / (1 - p) if self.redraw else divergence + p

    def _delta(self, epsilon: Fraction, signs: Signs, *, up: bool) -> arb:
        from flint import arb

        inside = self._inside(ball(epsilon))
        if not inside >= 0:
            return arb(1)
        inner, outer = self._scales()
        forward = backward = arb(0)
        g = inside.exp()
        for s, share, (_, *texts) in zip(outer, self._shares(), signs, strict=True):
            x1, x2, y1, y2 = (None if text is None else str(text) for text in texts)
            far, near = (x2, y2) if up else (x1, y1)
            assert x1 is not None
            if s == 0 and all(mu == 0 for _, mu in inner):
                continue
            forward += share * (self._beyond(x1, 1) - (0 if far is None else g * phi(-ball(Fraction(far)) - s)))
            if near is not None:
                lost = 0 if y1 is None else g * self._beyond(y1, -1)
                backward += share * (phi(ball(Fraction(near)) + s) - lost)
        return self._total(inside, forward.max(backward))

    def _beyond(self, x: str, way: int) -> arb:
        """P(X > x), or P(X < x); asked for twice."""
        from flint import ctx

        key = x, way, ctx.prec
        if key not in self._tails:
            self._tails[key] = above(self._scales()[0], ball(Fraction(x)), way)
        return self._tails[key]

    def _signs(self, epsilon: Fraction, digits: int) -> Signs:
        """Places around those where the ratio is e^epsilon and e^-epsilon, for each class."""
        from flint import arb

        inside = self._inside(ball(epsilon)).max(arb(0)).mid()
        inner, outer = self._scales()
        about = {way: self._starts(way * float(inside)) for way in (1, -1)}
        rows: Signs = []
        most = largest([mu for _, mu in inner])
        for k, (end, s) in enumerate(zip(self._classes, outer, strict=True)):
            x, y = (place(inner, s, way * inside, float(about[way][k])) for way in (1, -1))
            rows.append([end, *around(x, digits, most + s, "1000000"), *around(y, digits, most + s, None)])
            if y is None:
                # So far out that R has nothing there, and the ratio is still above.
                rows[-1][3:] = [None, _NEVER]
        return rows

    def _root(self, delta: Fraction) -> Fraction:
        """epsilon at a delta, by Newton's method from the answer in doubles."""
        from flint import arb

        inner, outer = self._scales()
        shares = self._shares()
        epsilon = arb(max(self._steering(delta), 1e-300))
        target, last = ball(delta).mid(), arb("inf")
        p = self._paid()
        # A key that is redrawn proves nothing below this.
        least = -(-p).log1p().mid() if self.redraw else arb(0)
        for _ in range(MOST_STEPS):
            inside = self._inside(epsilon).mid().max(arb(0)).mid()
            sums = {}
            for way in (1, -1):
                about, g = self._starts(way * float(inside)), inside.exp()
                value = slope = arb(0)
                for share, s, start in zip(shares, outer, about.tolist(), strict=True):
                    x = place(inner, s, way * inside, start)
                    if x is not None:
                        lost = g * (phi(-x - s) if way == 1 else above(inner, x, -1))
                        value += share * ((above(inner, x) if way == 1 else phi(x + s)) - lost)
                        slope -= share * lost
                sums[way] = value, slope
            value, slope = max(sums.values(), key=lambda pair: float((pair[0] - target).mid()))
            if self.redraw:
                cost = inside.exp() * p
                value, slope = (value + cost) / (1 - p), (slope + cost) / (1 - p)
            else:
                value += p
            if not slope < 0:
                break
            move = ((target - value) / slope).mid()
            epsilon = (epsilon + move).mid()
            if not epsilon > least and not move > 0:
                return ends(least)[0]
            if settled(move, last, epsilon, 0.25):
                break
            last = abs(move)
        return ends(epsilon)[0]

    # --- In doubles, to steer
    @cached_property
    def _all_sizes(self) -> tuple[Floats, Floats]:
        from accountant.numerics import Interval

        with Interval(BITS) as ar:
            parts = [np.array([float(ball) for ball in part]) for part in self._witness.pairs(ar)]
        inner, outer = (np.minimum(part, 1e150) for part in parts)
        return inner, outer if outer.size else np.zeros(1)

    @property
    def _sizes(self) -> Floats:
        return self._all_sizes[0]

    @cached_property
    def _log_chances(self) -> Floats:
        return np.full(self._sizes.size, -math.log(self._sizes.size))

    @property
    def _batches(self) -> int:
        """Of the stand-in; one without."""
        return self._all_sizes[1].size

    @cached_property
    def _outer_sizes(self) -> Floats:
        outer = self._all_sizes[1]
        return np.array([outer[begin:end].max() for begin, end in itertools.pairwise([0, *self._classes])])

    @cached_property
    def _classes(self) -> list[int]:
        """The end of each class of the stand-in's batches: one batch each if there is the time, else so that little is lost."""
        outer, most = self._all_sizes[1], max(2, _PAIRS // self._sizes.size)
        if outer.size <= most:
            return list(range(1, outer.size + 1))
        return best_classes(self._divergences(), most)

    def _divergences(self) -> Floats:
        """log of the larger divergence for each of the stand-in's batches, at about the epsilon of the claim."""
        inner, outer = self._all_sizes
        inside = np.full(outer.size, self._steered(self._target, outer))
        log_weights = np.append(np.full(inner.size, -math.log(inner.size)), 0.0)
        with np.errstate(divide="ignore"):
            log_mu = np.log(np.column_stack([np.broadcast_to(inner, (outer.size, inner.size)), outer]))
        return GaussianMixtureCurve(1).log_delta(inside, log_weights, log_mu)

    def _steering(self, delta: Fraction) -> float:
        """Asked for twice and more."""
        if delta not in self._steered_to:
            self._steered_to[delta] = self._steered(delta, self._outer_sizes, np.array(self._classes, dtype=np.float64))
        return self._steered_to[delta]

    def _steered(self, delta: Fraction, outer: Floats, ends: Floats | None = None) -> float:
        """epsilon in doubles, with classes of the stand-in's batches."""
        inner = self._sizes
        replaced = self._batches > 1 or self._all_sizes[1][0] > 0
        ends = np.arange(1.0, outer.size + 1) if ends is None else ends
        shares = np.diff(ends, prepend=0.0) / ends[-1]
        cost = oversize(self._algorithm, points=self._points)
        curve: Curve = GaussianMixtureCurve(shares.size if replaced else 0)
        log_weights = np.append(np.full(inner.size, -math.log(inner.size)), np.log(shares) if replaced else [])
        with np.errstate(divide="ignore"):
            log_mu = np.log(np.append(inner, outer if replaced else []))[None]
        if self.redraw:
            assert cost.log_redrawn is not None
            curve = RedrawnCurve(curve, cost.log_redrawn)
        else:
            curve = AddedCurve(curve, cost.log_added)
        return float(curve.epsilon(np.array([math.log(delta)]), log_weights, log_mu)[0])
