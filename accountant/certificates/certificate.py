"""Certificates: a claim, what it rests on, and a witness that ``check.py`` verifies without this package.

A certificate is a dictionary of JSON types (``schema.json``) without floats: numbers that are not counts are exact decimals or
fractions in strings, so its canonical form (RFC 8785) and its digests are the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

import numpy as np

from accountant._version import __version__
from accountant.averaging import Placed
from accountant.bounds import Case, Run, Visits
from accountant.certificates import texts
from accountant.certificates.refused import check_certifiable, checked
from accountant.curves import GDPCurve, Mixture, PrivacyCurve, mixture_epsilon, mixture_log_delta
from accountant.numerics import Enclosure, InputError, Precise, exact_text, number, rounded_text, settle
from accountant.problem import decimal, exact_step_size
from accountant.questions import UnlearningAccountant

FORMAT: Final = "unlearning-certificate"
VERSION: Final = 1
#: Digits of the enclosures.
DIGITS: Final = 40
#: delta of the points of the curve.
_CURVE: Final = tuple(Fraction(1, 10**k) for k in range(12, 0, -1))
#: Working precision of the witness.
_BITS: Final = 640
GIVEN: Final = "given"
#: The enclosure of every delta below 1e-1001, and its natural logarithm with some room.
_NEGLIGIBLE: Final = ("0", "1e-1001")
_NEGLIGIBLE_LOG: Final = -2310.0
#: Beyond this epsilon says nothing that anybody would certify.
_MOST_EPSILON: Final = 10**6


class ClaimError(ValueError):
    """The claim is not proved: no certificate is made for it."""


def canonical(value: Any) -> bytes:
    """RFC 8785 of text and whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: Any) -> str:
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def certify(
    accountant: UnlearningAccountant,
    *,
    sigma: float,
    epsilon: float | None = None,
    delta: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    start_distance: float | None = None,
    requests: Sequence[tuple[int, int]] | None = None,
    origins: Mapping[str, str] | None = None,
    problem_file: bytes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """A certificate of (``epsilon``, ``delta``) for the model released after unlearning; needs the extra ``certify``.

    epsilon: the claim; None for the smallest that is proved. delta: default 1/n. epochs or steps: of the one request;
    or requests: (points, steps) of a stream, one after the other, the last released. origins: where each constant came from.
    problem_file: its bytes, for a digest. Raises ClaimError for a claim that is not proved, InputError for settings that have
    no certificates (schedules, reshuffled batches, published bounds, which ``optimal`` implies).
    """
    built = _Built(accountant, sigma, delta, epochs, steps, start_distance, requests, progress)
    return built.certificate(epsilon, dict(origins or {}), problem_file)


class _Built:
    def __init__(
        self,
        accountant: UnlearningAccountant,
        sigma: float,
        delta: float | None,
        epochs: int | None,
        steps: int | None,
        start_distance: float | None,
        requests: Sequence[tuple[int, int]] | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.accountant, self.progress = accountant, progress
        self.sigma = decimal(number("sigma", sigma, above=0))
        n = accountant.algorithm.problem.n
        accountant_delta = accountant.default_delta if delta is None else number("delta", delta, above=0, below=1)
        self.delta = Fraction(1, n) if delta is None else decimal(accountant_delta)
        check_certifiable(accountant, requests, start_distance)
        if requests is None:
            count = accountant.step_count(epochs=epochs, steps=steps)
            self.requests = [(accountant.group_size, count)]
            # Asks the same question in doubles: everything that it refuses is refused here.
            accountant.epsilon(sigma=sigma, delta=accountant_delta, epochs=epochs, steps=steps, start_distance=start_distance)
        else:
            self.requests = checked(requests, n)
        self.known: dict[int, list[Any]] = {}
        distance = None if start_distance is None else decimal(number("start_distance", start_distance, at_least=0))
        self.run = Run(accountant, sigma=self.sigma, start_distance=distance)
        from accountant.numerics import Interval

        with Interval(_BITS) as ar:
            self.older = [self._worst(s, ar) for s in range(len(self.requests) - 1)]
            self.newest = self._newest(ar)

    # --- the witness

    def _age(self, request: int) -> int:
        return sum(count for _, count in self.requests[request:])

    def _lag(self, request: int, batch: int) -> int:
        before = sum(count for _, count in self.requests[:request])
        return (before - 1 - batch) % self.run.period

    def _worst(self, request: int, ar: Precise) -> list[Case]:
        """Of one point wherever it lies, as cases of which the largest counts."""
        sizes, age = self.run.sizes, self._age(request)
        places = [Visits(0, 1, sizes[0])]
        if sizes[-1] != sizes[0]:
            lag = self._lag(request, len(sizes) - 1)
            short = Visits(lag, 1, sizes[-1])
            places = [short] if lag == 0 else [*places, short]
        return [self.run.best([place], age, ar, alone=False) for place in places]

    def _newest(self, ar: Precise) -> list[tuple[Fraction, list[Case], int]]:
        """(weight, cases, points that each case stands for) of every component."""
        accountant, sizes, n = self.accountant, self.run.sizes, self.accountant.algorithm.problem.n
        last, alone = len(self.requests) - 1, len(self.requests) == 1
        points, age = self.requests[last][0], self._age(last)
        dropped = accountant.algorithm.dropped_points

        def one(counts: Sequence[int]) -> list[Case]:
            placed = [Visits(self._lag(last, j), counts[j], sizes[j]) for j in range(len(sizes))[::-1] if counts[j]]
            return [self.run.best(placed, age, ar, alone=alone)]

        if accountant.batches == "worst" and not alone:
            return [(Fraction(1), self._worst(last, ar), points)]
        if accountant.batches != "random":
            components = accountant.components
            if isinstance(components, Placed):
                counts = [int(count) for count in components.counts.tolist()]
            else:
                where = len(sizes) - 1 if accountant.batches == "worst" else int(str(accountant.batches))
                counts = [1 if j == where else 0 for j in range(len(sizes))]
            return [(Fraction(1), one([*counts, *[0] * (len(sizes) - len(counts))]), 1)]
        found = []
        for j, size in enumerate(sizes):
            case = self.run.best([Visits(self._lag(last, j), 1, size)], age, ar, alone=alone)
            found.append((Fraction(size, n), [case], 1))
            if self.progress is not None:
                self.progress(j, len(sizes) * 3)
        if dropped:
            found.append((Fraction(dropped, n), [], 1))
        return found

    def _mu_ends(self, case: Case) -> tuple[str, str]:
        return settle(lambda ar, bits: self.run.mu(case.pieces, ar), DIGITS, "interval").ends

    def _older_mu(self, ar: Precise) -> Any:
        total: Any = ar.asarray(0)[()]
        for (points, _), cases in zip(self.requests, self.older, strict=False):
            total = total + points * self._largest(cases, ar)
        return total

    def _largest(self, cases: Sequence[Case], ar: Precise) -> Any:
        largest: Any = ar.asarray(0)[()]
        for case in cases:
            largest = ar.maximum(largest, self.run.mu(case.pieces, ar))
        return largest

    def _mus(self, ar: Precise, bits: int) -> list[Any]:
        """mu of every component, kept for each precision."""
        if bits not in self.known:
            older = self._older_mu(ar)
            self.known[bits] = [older + points * self._largest(cases, ar) for _, cases, points in self.newest]
        return self.known[bits]

    # --- what it proves

    def _mu(self) -> Enclosure:
        def largest(ar: Precise, bits: int) -> Any:
            value: Any = ar.asarray(0)[()]
            for mu in self._mus(ar, bits):
                value = ar.maximum(value, mu)
            return value

        return settle(largest, DIGITS, "interval")

    def _curve(self, ar: Precise, bits: int) -> PrivacyCurve:
        return PrivacyCurve(_mixture([weight for weight, _, _ in self.newest], self._mus(ar, bits), ar), ar, bits)

    def _delta(self, epsilon: Fraction) -> tuple[str, str]:
        weights, mus = self._doubles
        if mixture_log_delta(epsilon=float(epsilon), weights=weights, mu=mus) < _NEGLIGIBLE_LOG:
            # Nobody needs the digits of such a number, which may have millions of zeros.
            return _NEGLIGIBLE

        def evaluate(ar: Precise, bits: int) -> Any:
            given = {"epsilon": ar.asarray(epsilon)[()], "sigma": ar.asarray(1)[()]}
            return ar.minimum(self._curve(ar, bits).answer("delta", given, 0.0), ar.asarray(1)[()])

        return settle(evaluate, DIGITS, "interval").ends

    def _epsilon(self, delta: Fraction) -> Enclosure:
        start = self._guess(float(delta))

        def evaluate(ar: Precise, bits: int) -> Any:
            given = {"delta": ar.asarray(delta)[()], "sigma": ar.asarray(1)[()]}
            return self._curve(ar, bits).answer("epsilon", given, start)

        return settle(evaluate, DIGITS, "interval")

    def certificate(self, claimed: float | None, origins: dict[str, str], problem_file: bytes | None) -> dict[str, Any]:
        mu = self._mu()
        proved = self._epsilon(self.delta)
        if claimed is None:
            epsilon, origins["epsilon"] = Fraction(rounded_text(proved.upper, 12, up=True)), "smallest that is proved"
        else:
            epsilon = decimal(number("epsilon", claimed, at_least=0))
        if proved.lower > _MOST_EPSILON:
            raise InputError(f"what is proved is epsilon > {_MOST_EPSILON}, which no certificate is made for: use more noise")
        if proved.upper > epsilon:
            raise ClaimError(
                f"epsilon = {exact_text(epsilon)} at delta = {exact_text(self.delta)} is not proved: the witness proves "
                f"epsilon = {rounded_text(proved.upper, 12, up=True)}"
            )
        delta = self._delta(epsilon)
        curve = []
        for k, at in enumerate(_CURVE):
            found = self._epsilon(at)
            curve.append({"delta": exact_text(at), "epsilon": list(found.ends)})
            if self.progress is not None:
                self.progress(len(_CURVE) + k, 3 * len(_CURVE))
        result = {"mu": list(mu.ends), "delta": list(delta), "epsilon": list(proved.ends), "curve": curve}
        return self._assembled(epsilon, result, origins, problem_file)

    @cached_property
    def _doubles(self) -> tuple[Any, Any]:
        """Weights and mu of the components as doubles."""
        from accountant.numerics import Interval

        with Interval(_BITS) as ar:
            weights = np.array([float(weight) for weight, _, _ in self.newest])
            floats = weights, ar.midpoint(np.array(self._mus(ar, _BITS), dtype=object))
        return floats[0] / floats[0].sum(), np.minimum(floats[1], 1e150)

    def _guess(self, delta: float) -> float:
        """Where the search for epsilon starts: the answer in doubles."""
        weights, mus = self._doubles
        return float(mixture_epsilon(delta=delta, weights=weights, mu=mus))

    def _assembled(
        self, epsilon: Fraction, result: dict[str, Any], origins: dict[str, str], problem_file: bytes | None
    ) -> dict[str, Any]:
        accountant, algorithm, problem = self.accountant, self.accountant.algorithm, self.accountant.algorithm.problem
        inputs: dict[str, Any] = {
            "n": problem.n,
            **{name: exact_text(decimal(getattr(problem, name))) for name in ("smoothness", "strong_convexity", "lipschitz")},
            "adjacency": problem.adjacency,
            "batch_size": algorithm.batch_size,
            "last_batch": algorithm.last_batch,
            "step_size": exact_text(exact_step_size(algorithm)),
            "radius": None if algorithm.radius is None else exact_text(decimal(algorithm.radius)),
            "sigma": exact_text(self.sigma),
            "learn_epochs": algorithm.learn_epochs,
            "start_distance": None if self.run.start_distance is None else exact_text(self.run.start_distance),
            "reference": accountant.reference,
            "requests": [{"points": points, "steps": count} for points, count in self.requests],
            "placement": self._placement(),
            "epsilon": exact_text(epsilon),
            "delta": exact_text(self.delta),
        }
        older = [(Fraction(1), cases, points) for (points, _), cases in zip(self.requests, self.older, strict=False)]
        certificate: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "statement": texts.statement(inputs, self.run.period),
            "inputs": inputs,
            "origins": {name: origins.get(name, GIVEN) for name in inputs},
            "theorems": texts.THEOREMS,
            "assumptions": texts.ASSUMPTIONS,
            "limits": texts.LIMITS,
            "witness": [
                {"weight": exact_text(weight), "count": points, "cases": [self._written(case) for case in cases]}
                for weight, cases, points in older + self.newest
            ],
            "result": result,
            "digests": {
                "inputs": digest(inputs),
                "problem_file": None if problem_file is None else "sha256:" + hashlib.sha256(problem_file).hexdigest(),
                "content": "",
            },
            "software": f"unlearning-accountant {__version__}",
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "signature": None,
        }
        certificate["digests"]["content"] = digest(certificate)
        return certificate

    def _placement(self) -> str | list[list[int]]:
        """random, worst, or [batch, points] of the batches that contain some."""
        batches = self.accountant.batches
        if isinstance(batches, str):
            return batches
        counts = list(batches) if isinstance(batches, tuple) else [0] * int(batches) + [self.requests[-1][0]]
        return [[batch, count] for batch, count in enumerate(counts) if count]

    def _written(self, case: Case) -> dict[str, Any]:
        return {
            "placed": [[v.lag, v.count, v.size] for v in case.placed],
            "pieces": [[piece.first, piece.last, piece.a] for piece in case.pieces],
            "steps": case.window[0],
            "start": case.window[1],
            "mu": list(self._mu_ends(case)),
        }


def _mixture(weights: Sequence[Fraction], mus: Sequence[Any], ar: Precise) -> Mixture:
    log_mu = np.array([ar.log(mu) for mu in mus], dtype=object)[None]
    return Mixture(ar.log(ar.asarray(list(weights))), log_mu, GDPCurve())
