"""A Gaussian mixture against a Gaussian in numbers of any arithmetic, enclosures included.

At an x that is enclosed between two certain signs of l(x) - epsilon, the formulas of ``gaussian_mixture.py``, which are exact
at every x, enclose the divergence.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from accountant.curves import pair_core
from accountant.curves.hockey_stick import between
from accountant.numerics import InputError, Numbers, Precise, refined_root

#: Pairs of inner and outer components that are taken one by one.
_PAIRS: Final = 1 << 14


class PrecisePair(NamedTuple):
    """Log weights (C,), of which so many trailing ones are averaged outside; bits that the crossings are found to."""

    ar: Precise
    bits: int
    log_weights: Numbers
    outside: int

    def tail(self, epsilon: Any, mu: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """log of the larger direction, and its derivatives by epsilon and by the log of a factor of all mu."""
        ar = self.ar
        if not self.outside:
            return self._larger(*(_logs(ar, part) for part in self._directions(epsilon, mu, self.log_weights)))
        inner, outer = self.log_weights[: -self.outside], self.log_weights[-self.outside :]
        if inner.size * outer.size > _PAIRS:
            raise InputError(f"precision needs at most {_PAIRS} pairs of batches of a record and its stand-in")
        sums = []
        for weight, shift in zip(ar.exp(outer), mu[-self.outside :], strict=True):
            parts = self._directions(epsilon, mu[: -self.outside] + shift, inner)
            sums.append([tuple(weight * value for value in part) for part in parts])
        totals = [tuple(sum(column[1:], column[0]) for column in zip(*parts, strict=True)) for parts in zip(*sums, strict=True)]
        return self._larger(*(_logs(ar, total) for total in totals))

    def _larger(self, one: tuple[Numbers, ...], other: tuple[Numbers, ...]) -> tuple[Numbers, Numbers, Numbers]:
        first = float(self.ar.midpoint(one[0])) >= float(self.ar.midpoint(other[0]))
        return self.ar.maximum(one[0], other[0]), *(one if first else other)[1:]

    def _directions(self, epsilon: Any, mu: Numbers, log_weights: Numbers) -> list[tuple[Numbers, ...]]:
        """delta of P from R and of R from P, with derivatives."""
        ar = self.ar
        zero = ar.asarray(0)[()]
        moving = ar.midpoint(mu) > 0
        if not moving.any():
            return [(zero, zero, zero)] * 2
        x = self._crossing(epsilon, mu, log_weights, pair_core.FORWARD)
        some, chances = mu[moving], log_weights[moving]
        forward = _sum(ar, x - some, x + 0 * some, some, chances)
        still = ar.exp(log_weights[~moving]).sum() if not moving.all() else zero
        least = ar.exp(-epsilon)
        if ar.surely_greater(still, least):
            return [forward, (zero, zero, zero)]
        if not moving.all() and not ar.surely_greater(least, still):
            raise ArithmeticError("whether the loss ever reaches -epsilon is not certain")
        y = self._crossing(epsilon, mu, log_weights, pair_core.BACKWARD)
        if float(ar.midpoint(y)) > 1:
            # It is at most P(Z > y): mostly that is less than the other one.
            most = ar.exp(-(y * y) / 2 - ar.log_sqrt_2pi) * ar.mills(y)
            if ar.surely_greater(forward[0], most):
                return [forward, (zero, zero, zero)]
        posterior = chances - some * (y + some / 2) + epsilon
        return [forward, _sum(ar, y + 0 * some, y + some, some, posterior)]

    def _crossing(self, epsilon: Any, mu: Numbers, log_weights: Numbers, direction: int) -> Numbers:
        """x of l(x) = epsilon, or y of -l(-y) = epsilon."""
        ar = self.ar
        rows = pair_core.Rows(ar.midpoint(log_weights), ar.midpoint(mu)[None])
        with np.errstate(all="ignore"):
            near = float(pair_core.level(np.array([float(ar.midpoint(ar.asarray(epsilon)))]), rows, direction)[0])
        if not np.isfinite(near):
            near = 0.0
        # Counted from a number so far below that what is looked for is positive and of its size.
        size = max(1.0, abs(near))
        below = ar.asarray(near - size)[()]

        def excess(z: Any) -> tuple[Numbers, Numbers]:
            at = (below + z) * direction
            terms = ar.exp(log_weights + mu * (at - mu / 2))
            total = terms.sum()
            return epsilon - direction * ar.log(total), -(terms * mu).sum() / total

        return below + refined_root(excess, start=size, arithmetic=ar, bits=self.bits)


def _sum(ar: Precise, a: Numbers, b: Numbers, mu: Numbers, log_chances: Numbers) -> tuple[Numbers, ...]:
    """delta, and its derivatives by epsilon and by the log of a factor."""
    with np.errstate(all="ignore"):
        tail = between(a, b, mu, ar)
    terms = ar.exp(tail.log_delta + log_chances)
    return terms.sum(), (terms * tail.by_epsilon).sum(), (terms * tail.by_log_mu).sum()


def _logs(ar: Precise, part: tuple[Numbers, ...]) -> tuple[Numbers, ...]:
    """The logarithm of a sum and its derivatives."""
    total, *slopes = part
    if float(ar.midpoint(ar.asarray(total))) == 0 and not ar.surely_greater(total, 0):
        return ar.log(ar.asarray(0)[()]), total, total
    return ar.log(total), *(slope / total for slope in slopes)
