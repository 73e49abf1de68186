"""The privacy curve of a mixture in numbers of any arithmetic, enclosures included."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

from accountant.curves import renyi
from accountant.curves.curves import GAUSSIAN_MIXTURE, TANGENT, Curve
from accountant.curves.hockey_stick import hockey_stick
from accountant.curves.mixture import Mixture
from accountant.curves.paid import AddedCurve, CheapestCurve, RedrawnCurve
from accountant.curves.precise_pair import PrecisePair
from accountant.numerics import InputError, Numbers, Precise, UnreachableError, refined_root


class PrivacyCurve:
    """One privacy curve at sigma = 1 in some arithmetic.

    What large batches cost is known as a bound in doubles: it counts as exactly that number. Of several ways the best is taken.
    """

    def __init__(self, mixture: Mixture, ar: Precise, bits: int) -> None:
        self.ar, self.bits = ar, bits
        self.mixture, curve = mixture, mixture.curve
        #: log of a chance that is added to delta, and of one with which a key was redrawn.
        self.log_added = self.log_redrawn = -math.inf
        if isinstance(curve, AddedCurve):
            self.log_added, curve = curve.log_added, curve.inner
        elif isinstance(curve, RedrawnCurve):
            self.log_redrawn, curve = curve.log_redrawn, curve.inner
        self.ways = curve.curves if isinstance(curve, CheapestCurve) else ()
        kind = curve.kind
        self.tangent = kind == TANGENT
        self.family = None if kind in ("gdp", TANGENT, GAUSSIAN_MIXTURE) else kind
        self.pair = (
            PrecisePair(ar, bits + 40, mixture.log_weights, getattr(curve, "outside", 0)) if kind == GAUSSIAN_MIXTURE else None
        )
        log_mu, self.log_weights = mixture.log_scale[0], mixture.log_weights
        #: All components: to a moment those that never move add their weight.
        self.every = ar.exp(log_mu), mixture.log_weights
        if self.family is None and self.pair is None and log_mu.size > 1:
            # What never moves adds nothing to a Gaussian delta.
            moving = ~np.isneginf(ar.midpoint(log_mu))
            if moving.any():
                log_mu, self.log_weights = log_mu[moving], self.log_weights[moving]
        self.mu = ar.exp(log_mu)

    def answer(self, unknown: str, question: dict[str, Any], start: float) -> Numbers:
        """``unknown`` ("sigma", "epsilon", "delta" or "rdp") of a question in numbers of the arithmetic; start: the answer in
        doubles."""
        ar = self.ar
        if self.ways:
            return self._best(unknown, question, start)
        if self.log_added > -math.inf or self.log_redrawn > -math.inf:
            return self._paid(unknown, question, start)
        if unknown == "rdp" and self.pair is not None:
            raise InputError("precision is not available for Rényi divergences of a mixture, which are bounded on a grid")
        if unknown == "rdp":
            beta = question["alpha"] - 1
            family, (mu, log_weights) = self.family or "linear", self.every
            rho = ((mu / question["sigma"]) ** 2 / 2)[None]
            return renyi.moment(np.array([beta]), log_weights, rho, family, ar).value[0] / beta
        if unknown == "delta":
            return ar.exp(self._log_delta(question["epsilon"], question["sigma"], start))
        log_delta = ar.log(question["delta"])
        if unknown == "epsilon":
            return self._epsilon(log_delta, question["sigma"], start)[0]
        return self._sigma(question["epsilon"], log_delta, start)

    def _sigma(self, target: Any, log_delta: Any, start: float) -> Numbers:
        ar = self.ar
        if not np.any(ar.midpoint(self.mu) > 0):
            return ar.asarray(0)[()]

        def excess(sigma: Any) -> tuple[Numbers, Numbers]:
            if self.family is None:
                value, _, by_log_mu = self._hockey_stick(target, sigma)
                return value - log_delta, -by_log_mu / sigma
            # The inner root is finer, so that its own width does not hide the sign.
            reached, slope = self._epsilon(log_delta, sigma, float(ar.midpoint(target)), self.bits + 40)
            return reached - target, slope

        return refined_root(excess, start=start, arithmetic=ar, bits=self.bits)

    def _best(self, unknown: str, question: dict[str, Any], start: float) -> Numbers:
        """The smallest answer of several ways: of the one that is it in doubles, and of those as good to nine digits."""
        doubles = [self._in_doubles(way, unknown, question) for way in self.ways]
        best = min(doubles)
        if not best < math.inf:
            raise UnreachableError("delta must be above what large batches cost")
        near = [way for way, found in zip(self.ways, doubles, strict=True) if found <= best + 1e-9 * abs(best)]
        curves = (PrivacyCurve(self.mixture._replace(curve=way), self.ar, self.bits) for way in near)
        return reduce(self.ar.minimum, (curve.answer(unknown, question, start) for curve in curves))

    def _in_doubles(self, way: Curve, unknown: str, question: dict[str, Any]) -> float:
        if unknown == "rdp":
            return 0.0
        given = {name: np.array([float(self.ar.midpoint(self.ar.asarray(value)))]) for name, value in question.items()}
        log_weights, log_mu = self.ar.midpoint(self.mixture.log_weights), self.ar.midpoint(self.mixture.log_scale[:1])
        with np.errstate(all="ignore"):
            if unknown == "sigma":
                most = log_mu.max()
                found = way.log_scale(given["epsilon"], np.log(given["delta"]), log_weights, log_mu - most)
                return float(np.exp(most - found[0]))
            log_mu = log_mu - np.log(given["sigma"])
            if unknown == "delta":
                return float(np.exp(way.log_delta(given["epsilon"], log_weights, log_mu))[0])
            return float(way.epsilon(np.log(given["delta"]), log_weights, log_mu)[0])

    def _paid(self, unknown: str, question: dict[str, Any], start: float) -> Numbers:
        """With what is paid for large batches: delta + p, or (delta + e^x p)/(1 - p) at x = epsilon + log(1 - p)."""
        ar = self.ar
        if unknown == "rdp":
            raise InputError("rdp needs batches that are never too large: what may go wrong by chance has no Rényi divergence")
        added = ar.exp(ar.asarray(self.log_added)[()]) if self.log_added > -math.inf else ar.asarray(0)[()]
        redrawn = ar.exp(ar.asarray(self.log_redrawn)[()]) if self.log_redrawn > -math.inf else ar.asarray(0)[()]
        log_kept = ar.log1p(-redrawn)
        if unknown == "delta":
            inside = question["epsilon"] + log_kept
            below = ar.surely_greater(0, inside)
            paid = redrawn * (ar.asarray(2)[()] if below else ar.exp(inside))
            inside = ar.asarray(0)[()] if below else inside
            log_delta = self._log_delta(inside, question["sigma"], start)
            return ar.minimum((ar.exp(log_delta) + paid) / ar.exp(log_kept) + added, ar.asarray(1)[()])
        goal = (question["delta"] - added) * ar.exp(log_kept)
        if not ar.surely_greater(goal, 0):
            raise UnreachableError("delta must be above what large batches cost")
        if unknown == "sigma":
            inside = question["epsilon"] + log_kept
            if self.log_redrawn > -math.inf:
                # A smaller epsilon proves the larger one, and costs less.
                inside = ar.minimum(inside, ar.log(goal / redrawn / 2))
            if not ar.surely_greater(inside, 0) and self.log_redrawn > -math.inf:
                raise UnreachableError("epsilon must be above what a redrawn key costs")
            goal = goal - redrawn * ar.exp(inside)
            return self._sigma(inside, ar.log(goal), start)
        if self.log_redrawn == -math.inf:
            return self._epsilon(ar.log(goal), question["sigma"], start)[0]
        return self._epsilon_redrawn(goal, redrawn, question["sigma"], start) - log_kept

    def _epsilon_redrawn(self, goal: Any, redrawn: Any, sigma: Any, start: float) -> Numbers:
        """The smallest x with delta(x) + e^x p at most the goal."""
        ar = self.ar
        zero = ar.asarray(0)[()]
        log_goal = ar.log(goal)

        def excess(x: Any) -> tuple[Numbers, Numbers]:
            value, slope, _ = self._hockey_stick(x, sigma)
            delta, paid = ar.exp(value), redrawn * ar.exp(x)
            return ar.log(delta + paid) - log_goal, (delta * slope + paid) / (delta + paid)

        if not np.any(ar.midpoint(self.mu) > 0) or ar.surely_greater(0, excess(zero)[0]):
            return zero
        return refined_root(excess, start=start, arithmetic=ar, bits=self.bits)

    def _rho(self, sigma: Any) -> Numbers:
        return ((self.mu / sigma) ** 2 / 2)[None]

    def _hockey_stick(self, epsilon: Any, sigma: Any) -> tuple[Numbers, Numbers, Numbers]:
        """log delta and its derivatives by epsilon and by log mu."""
        mu = self.mu / sigma
        if self.pair is not None:
            return self.pair.tail(epsilon, mu)
        each = np.full(mu.shape, epsilon)
        ar = self.ar
        if not self.tangent:
            tail = hockey_stick(each, mu, ar)
            terms = ar.exp(tail.log_delta + self.log_weights)
            total = terms.sum()
            return ar.log(total), (terms * tail.by_epsilon).sum() / total, (terms * tail.by_log_mu).sum() / total
        # The smallest convex function above: beyond sqrt(2 epsilon) the tangent there, of slope phi(0).
        flex = ar.sqrt(2 * epsilon)
        low = ar.minimum(mu, flex)
        tail = hockey_stick(each, low, ar)
        deltas, weights = ar.exp(tail.log_delta), ar.exp(self.log_weights)
        slope = ar.exp(-ar.log_sqrt_2pi)
        total = (weights * (deltas + slope * (mu - low))).sum()
        by_mu = np.where(ar.midpoint(mu) > float(ar.midpoint(flex)), slope * mu, deltas * tail.by_log_mu)
        return ar.log(total), (weights * deltas * tail.by_epsilon).sum() / total, (weights * by_mu).sum() / total

    def _log_delta(self, epsilon: Any, sigma: Any, start: float) -> Numbers:
        ar = self.ar
        if self.family is None:
            return self._hockey_stick(epsilon, sigma)[0]
        if start >= 1:
            return ar.asarray(0)[()]
        rho = self._rho(sigma)

        def excess(beta: Any) -> tuple[Numbers, Numbers]:
            moments = renyi.moment(np.array([beta]), self.log_weights, rho, self.family or "", ar)
            return epsilon - moments.slope[0], -moments.bend[0]

        # One component: K' = (2 a beta + b) rho.
        a, b, _ = renyi.FAMILIES[self.family]
        guess = (float(ar.midpoint(epsilon / self._largest(rho))) - b) / (2 * a)
        beta = refined_root(excess, start=max(guess, 1e-3), arithmetic=ar, bits=self.bits)
        value = renyi.moment(np.array([beta]), self.log_weights, rho, self.family, ar).value[0] - beta * epsilon
        return ar.minimum(value, ar.asarray(0)[()])

    def _largest(self, rho: Any) -> Numbers:
        return rho[0, int(self.ar.midpoint(rho[0]).argmax())]

    def _epsilon(self, log_delta: Any, sigma: Any, start: float, bits: int | None = None) -> tuple[Numbers, Numbers]:
        """epsilon, and (Renyi only) its derivative by sigma."""
        ar = self.ar
        zero = ar.asarray(0)[()]
        if not np.any(ar.midpoint(self.mu) > 0):
            return zero, zero
        if self.family is None:
            if not ar.surely_greater(self._hockey_stick(zero, sigma)[0], log_delta):
                if ar.surely_greater(log_delta, self._hockey_stick(zero, sigma)[0]):
                    return zero, zero
                raise ArithmeticError("delta(0) equals the target to all digits")

            def excess(epsilon: Any) -> tuple[Numbers, Numbers]:
                value, slope, _ = self._hockey_stick(epsilon, sigma)
                return value - log_delta, slope

            return refined_root(excess, start=start, arithmetic=ar, bits=self.bits), zero
        family, rho = self.family, self._rho(sigma)
        largest = ar.midpoint(self._largest(rho))
        a, _, c = renyi.FAMILIES[family]

        def balance(beta: Any) -> tuple[Numbers, Numbers]:
            moments = renyi.moment(np.array([beta]), self.log_weights, rho, family, ar)
            value, slope = moments.value[0], moments.slope[0]
            return -log_delta - (beta * slope - value), -beta * moments.bend[0]

        guess = math.sqrt((-float(ar.midpoint(log_delta)) / float(largest) + c) / a)
        beta = refined_root(balance, start=guess, arithmetic=ar, bits=bits or self.bits)
        moments = renyi.moment(np.array([beta]), self.log_weights, rho, family, ar)
        a, b, c = renyi.FAMILIES[family]
        slope = -2 * (beta * (a * beta + b) + c) * moments.tilted[0] / beta / sigma
        return (moments.value[0] - log_delta) / beta, slope
