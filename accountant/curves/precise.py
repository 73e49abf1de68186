"""The privacy curve of a mixture in numbers of any arithmetic, enclosures included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accountant.curves import renyi
from accountant.curves.curves import TANGENT
from accountant.curves.hockey_stick import hockey_stick
from accountant.curves.mixture import Mixture
from accountant.numerics import Numbers, Precise, refined_root


class PrivacyCurve:
    """One privacy curve at sigma = 1 in some arithmetic."""

    def __init__(self, mixture: Mixture, ar: Precise, bits: int) -> None:
        self.ar, self.bits = ar, bits
        self.tangent = mixture.curve.kind == TANGENT
        self.family = None if self.tangent or mixture.curve.kind == "gdp" else mixture.curve.kind
        log_mu, self.log_weights = mixture.log_scale[0], mixture.log_weights
        #: All components: to a moment those that never move add their weight.
        self.every = ar.exp(log_mu), mixture.log_weights
        if self.family is None and log_mu.size > 1:
            # What never moves adds nothing to a Gaussian delta.
            moving = ~np.isneginf(ar.midpoint(log_mu))
            if moving.any():
                log_mu, self.log_weights = log_mu[moving], self.log_weights[moving]
        self.mu = ar.exp(log_mu)

    def answer(self, unknown: str, question: dict[str, Any], start: float) -> Numbers:
        """``unknown`` ("sigma", "epsilon", "delta" or "rdp") of a question in numbers of the arithmetic; start: the answer in
        doubles."""
        ar = self.ar
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
        target = question["epsilon"]
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

    def _rho(self, sigma: Any) -> Numbers:
        return ((self.mu / sigma) ** 2 / 2)[None]

    def _hockey_stick(self, epsilon: Any, sigma: Any) -> tuple[Numbers, Numbers, Numbers]:
        """log delta and its derivatives by epsilon and by log mu."""
        mu = self.mu / sigma
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
