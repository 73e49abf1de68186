"""What a witness proves: the largest mu and the privacy curve, as enclosures."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import Final

import numpy as np

from accountant.certificates.witness import BITS, Witness
from accountant.curves import GDPCurve, Mixture, PrivacyCurve, mixture_epsilon, mixture_log_delta
from accountant.numerics import Enclosure, Floats, Numbers, Precise, settle

#: Digits of the enclosures.
DIGITS: Final = 40
#: The enclosure of every delta below 1e-1001, and its natural logarithm with some room.
_NEGLIGIBLE: Final = ("0", "1e-1001")
_NEGLIGIBLE_LOG: Final = -2310.0


class Proof:
    """The curve of a witness; what is found at one precision is kept for the next question."""

    def __init__(self, witness: Witness) -> None:
        self._weights = [component.weight for component in witness.newest]
        self._witness = witness
        self._known: dict[int, list[Numbers]] = {}

    def mu(self) -> Enclosure:
        """The largest mu of all components."""

        def largest(ar: Precise, bits: int) -> Numbers:
            value: Numbers = ar.asarray(0)[()]
            for mu in self._mus(ar, bits):
                value = ar.maximum(value, mu)
            return value

        return settle(largest, DIGITS, "interval")

    def delta(self, epsilon: Fraction) -> tuple[str, str]:
        """The ends of an enclosure of delta."""
        weights, mus = self._doubles
        if mixture_log_delta(epsilon=float(epsilon), weights=weights, mu=mus) < _NEGLIGIBLE_LOG:
            # Nobody needs the digits of such a number, which may have millions of zeros.
            return _NEGLIGIBLE

        def evaluate(ar: Precise, bits: int) -> Numbers:
            given = {"epsilon": ar.asarray(epsilon)[()], "sigma": ar.asarray(1)[()]}
            return ar.minimum(self._curve(ar, bits).answer("delta", given, 0.0), ar.asarray(1)[()])

        return settle(evaluate, DIGITS, "interval").ends

    def epsilon(self, delta: Fraction) -> Enclosure:
        """The smallest epsilon."""
        weights, mus = self._doubles
        # The search starts from the answer in doubles.
        start = float(mixture_epsilon(delta=float(delta), weights=weights, mu=mus))

        def evaluate(ar: Precise, bits: int) -> Numbers:
            given = {"delta": ar.asarray(delta)[()], "sigma": ar.asarray(1)[()]}
            return self._curve(ar, bits).answer("epsilon", given, start)

        return settle(evaluate, DIGITS, "interval")

    def _mus(self, ar: Precise, bits: int) -> list[Numbers]:
        if bits not in self._known:
            self._known[bits] = self._witness.mus(ar)
        return self._known[bits]

    def _curve(self, ar: Precise, bits: int) -> PrivacyCurve:
        log_mu = np.array([ar.log(mu) for mu in self._mus(ar, bits)], dtype=object)[None]
        return PrivacyCurve(Mixture(ar.log(ar.asarray(self._weights)), log_mu, GDPCurve()), ar, bits)

    @cached_property
    def _doubles(self) -> tuple[Floats, Floats]:
        """Weights and mu of the components."""
        from accountant.numerics import Interval

        weights = np.array([float(weight) for weight in self._weights])
        with Interval(BITS) as ar:
            mus = ar.midpoint(np.array(self._mus(ar, BITS), dtype=object))
        return weights / weights.sum(), np.minimum(mus, 1e150)
