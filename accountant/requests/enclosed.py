"""What a stream of requests reaches, to any number of digits."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from accountant.curves import Mixture, PrivacyCurve
from accountant.numerics import (
    ARITHMETICS,
    DEFAULT_DIGITS,
    ENOUGH,
    MAX_DIGITS,
    Enclosure,
    Precise,
    UnreachableError,
    arithmetic_available,
    choice,
    confirmed,
    integer,
    settle,
)
from accountant.problem import Number, decimal
from accountant.questions import exact_delta
from accountant.requests.rules import READABLE
from accountant.requests.stream import UnlearningStream


class EnclosedStream:
    """A stream that somebody answers, followed to ``digits`` digits, 1 to 1000.

    It starts before the first request of ``stream``, which stays as it is. Numbers are read as decimals. The law of what
    averaged requests left is an upper bound on a grid of doubles, and taken as it is. Raises InputError where only doubles have
    an answer (groups at random), UnreachableError where nothing is proved.
    """

    def __init__(self, stream: UnlearningStream, *, digits: int = DEFAULT_DIGITS, arithmetic: str | None = None) -> None:
        self.digits = integer("precision", digits, at_least=1, at_most=MAX_DIGITS)
        self.name = choice("arithmetic", arithmetic_available() if arithmetic is None else arithmetic, ARITHMETICS)
        self.stream = stream
        self.exact = {"sigma": decimal(stream.sigma), "epsilon": decimal(stream.epsilon)}
        delta = exact_delta(stream.accountant, stream.delta)
        self.exact["delta"] = delta if isinstance(delta, Fraction) else decimal(delta)
        self._answered: list[tuple[int, int]] = []
        # Each working precision follows on its own; most are never asked for.
        self._copies: dict[Precise, tuple[UnlearningStream, list[int]]] = {}
        self._doubles, self._done = stream.fresh(), 0

    def answer(self, points: int, count: int) -> None:
        """Take the next request, of so many points, as answered with ``count`` steps (or epochs)."""
        self._answered.append((points, count))

    def enclose(self, unknown: str, points: int, count: int, *, digits: int | None = None) -> Enclosure:
        """What the next request reaches if it is answered with ``count`` steps (or epochs).

        "epsilon" at the stream's sigma and delta, or "sigma", the smallest that reaches the stream's epsilon at its delta.
        """
        choice("unknown", unknown, ("sigma", "epsilon"))

        def evaluate(ar: Precise, bits: int) -> Any:
            found = []
            given = {key: ar.asarray(value)[()] for key, value in self.exact.items() if key != unknown}
            for mixture in [*self._copy(ar).mixtures(points, count), *self._averaged(ar, points, count)]:
                start = self._start(mixture, ar, unknown)
                if start is not None:
                    found.append(PrivacyCurve(mixture, ar, bits).answer(unknown, given, start))
            if not found:
                raise UnreachableError(f"nothing is proved after {count} {self.stream.unit}")
            return reduce(ar.minimum, found)

        return settle(evaluate, self.digits if digits is None else digits, self.name)

    def fewest(self, points: int, count: int) -> int | None:
        """The fewest steps (or epochs) for the next request, from what doubles say; None if even that is not certain."""

        def meets(number: int) -> bool:
            return self.enclose("epsilon", points, number, digits=ENOUGH).upper <= self.exact["epsilon"]

        return confirmed(count, meets)

    def _averaged(self, ar: Precise, points: int, count: int) -> list[Mixture]:
        """What doubles have besides, at sigma = 1."""
        while self._done < len(self._answered):
            self._doubles.answer(*self._answered[self._done])
            self._done += 1
        log_sigma = ar.log(ar.asarray([self.exact["sigma"]]))
        return [
            found._replace(log_weights=ar.asarray(found.log_weights), log_scale=ar.asarray(found.log_scale) + log_sigma)
            for found in self._doubles.averaged(points, count)
        ]

    def _copy(self, ar: Precise) -> UnlearningStream:
        """The stream in that arithmetic, at sigma = 1, after all requests so far."""
        stream, done = self._copies.setdefault(ar, (self.stream.at_unit_noise(Number(ar)), [0]))
        for points, count in self._answered[done[0] :]:
            try:
                stream.answer(points, count)
            except ArithmeticError:
                # It stopped halfway.
                del self._copies[ar]
                raise
            done[0] += 1
        return stream

    def _start(self, mixture: Mixture, ar: Precise, unknown: str) -> float | None:
        """The answer in doubles, where the search starts; None where nothing is proved."""
        log_scale, log_weights = ar.midpoint(mixture.log_scale), ar.midpoint(mixture.log_weights)
        peak, log_delta = float(log_scale.max()), np.array([math.log(self.stream.delta)])
        if unknown == "epsilon":
            log_mu = log_scale - math.log(self.stream.sigma)
            return float(mixture.curve.epsilon(log_delta, log_weights, log_mu)[0]) if log_mu.max() < READABLE else None
        if peak == -math.inf:
            return 0.0
        scale = mixture.curve.log_scale(np.array([self.stream.epsilon]), log_delta, log_weights, log_scale - peak)
        return math.exp(min(peak - float(scale[0]), 690.0))
