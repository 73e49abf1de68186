"""Certificates: a claim, what it rests on, and a witness that ``check.py`` verifies without this package.

A certificate is a dictionary of JSON types (``format.py``) without floats: numbers that are not counts are exact decimals or
fractions in strings, so its canonical form (RFC 8785) and its digests are the same everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final

from accountant._version import __version__
from accountant.bounds import Case
from accountant.certificates import drawn_texts, texts
from accountant.certificates.drawn import DrawnProof, Point
from accountant.certificates.format import (
    DRAWN_VERSION,
    FORMAT,
    VERSION,
    AnyInputs,
    AnyPart,
    AnyResult,
    Certificate,
    Envelope,
    Inputs,
    Result,
    WrittenCase,
    WrittenComponent,
)
from accountant.certificates.proof import DIGITS, Proof
from accountant.certificates.refused import check_certifiable, checked
from accountant.certificates.witness import Component, witness_of
from accountant.numerics import Enclosure, InputError, Progress, UnreachableError, exact_text, number, rounded_text, settle
from accountant.problem import decimal, exact_step_size
from accountant.questions import UnlearningAccountant

#: delta of the points of a curve.
CURVE: Final = tuple(Fraction(1, 10**k) for k in range(12, 0, -1))
_GIVEN: Final = "given"
#: Beyond this epsilon says nothing that anybody would certify.
_MOST_EPSILON: Final = 10**6


class ClaimError(ValueError):
    """The claim is not proved: no certificate is made for it."""


def canonical(value: object) -> bytes:
    """RFC 8785 of text and whole numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(value: object) -> str:
    """SHA-256 of the canonical form."""
    return _digest_of(canonical(value))


#: What is said where a claim of a run with a radius is refused.
_BLOCKS: Final = (
    "; blocks behind the radius, with which epsilon and sigma are computed, may prove the claim, but certificates of noisy SGD "
    "show strings alone"
)


def _digest_of(data: bytes) -> str:
    """SHA-256 of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


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
    progress: Progress | None = None,
) -> Certificate:
    """A certificate of (``epsilon``, ``delta``) for the model released after unlearning; needs the extra ``certify``.

    epsilon: the claim; None for the smallest that is proved. delta: default 1/n. epochs or steps: of the one request;
    or requests: (points, steps) of a stream, one after the other, the last released. origins: where each constant came from.
    problem_file: its bytes, for a digest. Raises ClaimError for a claim that is not proved, InputError for settings that have
    no certificates (schedules, reshuffled batches, published bounds, which ``optimal`` implies).
    """
    noise = decimal(number("sigma", sigma, above=0))
    n = accountant.algorithm.problem.n
    target = accountant.default_delta if delta is None else number("delta", delta, above=0, below=1)
    check_certifiable(accountant, requests, start_distance)
    if requests is None:
        stream = [(accountant.group_size, accountant.step_count(epochs=epochs, steps=steps))]
        # Asks the same question in doubles: everything that it refuses is refused here.
        accountant.epsilon(sigma=sigma, delta=target, epochs=epochs, steps=steps, start_distance=start_distance)
    else:
        stream = checked(requests, n)
    distance = None if start_distance is None else decimal(number("start_distance", start_distance, at_least=0))
    witness = witness_of(accountant, stream, sigma=noise, start_distance=distance, progress=progress)
    exact_delta = Fraction(1, n) if delta is None else decimal(target)
    words = dict(origins or {}) | ({"epsilon": "smallest that is proved"} if epsilon is None else {})
    if accountant.algorithm.own_draws:
        drawn = DrawnProof.cheapest(witness, accountant.algorithm, sum(points for points, _ in stream), exact_delta)
        at = drawn.epsilon(exact_delta)
        exact_epsilon = claimed_epsilon(epsilon, Fraction(at.ends[0]), Fraction(at.ends[1]), exact_delta)
        inputs = inputs_of(accountant, noise, distance, stream, exact_epsilon, exact_delta, redraw=drawn.redraw)
        result = drawn_result(drawn, at, exact_epsilon, progress)
    else:
        proof = Proof(witness)
        mu, proved = proof.mu(), proof.epsilon(exact_delta)
        more = _BLOCKS if accountant.algorithm.radius is not None else ""
        exact_epsilon = claimed_epsilon(epsilon, proved.lower, proved.upper, exact_delta, more=more)
        inputs = inputs_of(accountant, noise, distance, stream, exact_epsilon, exact_delta)
        result = plain_result(proof, mu, proved, exact_epsilon, progress)
    drawn_ones = accountant.algorithm.own_draws
    return sealed(
        version=DRAWN_VERSION if drawn_ones else VERSION,
        statement=texts.statement(inputs, accountant.algorithm.steps_per_epoch),
        inputs=inputs,
        origins=words,
        theorems=drawn_texts.DRAWN_THEOREMS if drawn_ones else texts.THEOREMS,
        assumptions=drawn_texts.DRAWN_ASSUMPTIONS if drawn_ones else texts.ASSUMPTIONS,
        limits=drawn_texts.DRAWN_LIMITS if drawn_ones else texts.LIMITS,
        witness=[_written(component) for component in witness.written],
        result=result,
        problem_file=problem_file,
    )


def claimed_epsilon(claimed: float | None, lower: Fraction, upper: Fraction, delta: Fraction, *, more: str = "") -> Fraction:
    """The claimed epsilon, or the smallest that is proved to twelve digits; ``more`` is said where the claim is refused."""
    smallest = Fraction(rounded_text(upper, 12, up=True))
    epsilon = smallest if claimed is None else decimal(number("epsilon", claimed, at_least=0))
    check_small(lower)
    if upper > epsilon:
        raise ClaimError(
            f"epsilon = {exact_text(epsilon)} at delta = {exact_text(delta)} is not proved: the witness proves "
            f"epsilon = {rounded_text(upper, 12, up=True)}{more}"
        )
    return epsilon


def some_of_curve(count: int) -> tuple[Fraction, ...]:
    """At most so many delta, evenly over the curve: where there is no time for all of it."""
    return CURVE[len(CURVE) % max(count, 1) :: len(CURVE) // max(count, 1)][:count]


def check_small(epsilon: Fraction | float) -> None:
    """Refuse what says nothing."""
    if epsilon > _MOST_EPSILON:
        raise InputError(f"what is proved is epsilon > {_MOST_EPSILON}, which no certificate is made for: use more noise")


def plain_result(
    proof: Proof, mu: Enclosure, proved: Enclosure, epsilon: Fraction, progress: Progress | None, *, count: int = len(CURVE)
) -> Result:
    """What is proved of Gaussians that are averaged outside; count: of the points of the curve."""
    result: Result = {
        "mu": list(mu.ends),
        "delta": list(proof.delta(epsilon)),
        "epsilon": list(proved.ends),
        "curve": [],
    }
    for k, at in enumerate(some_of_curve(count)):
        result["curve"].append({"delta": exact_text(at), "epsilon": list(proof.epsilon(at).ends)})
        if progress is not None:
            progress(len(CURVE) + k, 3 * len(CURVE))
    return result


def drawn_result(proof: DrawnProof, proved: Point, epsilon: Fraction, progress: Progress | None) -> Result:
    claimed = proof.delta(epsilon)
    result: Result = {
        "mu": list(proof.mu().ends),
        "paid": proof.paid(),
        "delta": claimed.ends,
        "delta_signs": claimed.signs,
        "epsilon": proved.ends,
        "epsilon_signs": proved.signs,
        "curve": [],
    }
    count = proof.points(len(CURVE))
    # What is paid for batches is below every delta.
    for k, at in enumerate(delta for delta in some_of_curve(count) if proof.pays(delta)):
        try:
            point = proof.epsilon(at)
        except UnreachableError:
            # The claim does not need it.
            continue
        result["curve"].append({"delta": exact_text(at), "epsilon": point.ends, "signs": point.signs})
        if progress is not None:
            progress(len(CURVE) + k, 3 * len(CURVE))
    return result


def inputs_of(
    accountant: UnlearningAccountant,
    sigma: Fraction,
    start_distance: Fraction | None,
    requests: Sequence[tuple[int, int]],
    epsilon: Fraction,
    delta: Fraction,
    *,
    redraw: bool = False,
) -> Inputs:
    algorithm, problem = accountant.algorithm, accountant.algorithm.problem
    inputs: Inputs = {
        "n": problem.n,
        "smoothness": exact_text(decimal(problem.smoothness)),
        "strong_convexity": exact_text(decimal(problem.strong_convexity)),
        "lipschitz": exact_text(decimal(problem.lipschitz)),
        "adjacency": problem.adjacency,
        "batch_size": int(algorithm.batch_size),
        "step_size": exact_text(exact_step_size(algorithm)),
        "radius": None if algorithm.radius is None else exact_text(decimal(algorithm.radius)),
        "sigma": exact_text(sigma),
        "learn_epochs": algorithm.learn_epochs,
        "start_distance": None if start_distance is None else exact_text(start_distance),
        "reference": accountant.reference,
        "requests": [{"points": points, "steps": steps} for points, steps in requests],
        "placement": _placement(accountant, requests[-1][0]),
        "epsilon": exact_text(epsilon),
        "delta": exact_text(delta),
    }
    if not algorithm.own_draws:
        return inputs | {"last_batch": algorithm.last_batch}
    assert algorithm.largest_n is not None
    # With a key that is redrawn nobody joins.
    most = problem.n if redraw else algorithm.largest_n
    return inputs | {"assignment": algorithm.assignment, "largest_n": most, "redraw": redraw}


def _placement(accountant: UnlearningAccountant, points: int) -> str | list[list[int]]:
    """random, worst, or [batch, points] of the batches that contain some."""
    batches = accountant.batches
    if isinstance(batches, str):
        return batches
    if isinstance(batches, int):
        return [[batches, points]]
    return [[batch, count] for batch, count in enumerate(batches) if count]


def sealed(
    *,
    version: int,
    statement: str,
    inputs: AnyInputs,
    origins: Mapping[str, str],
    theorems: list[dict[str, str]],
    assumptions: list[dict[str, str]],
    limits: list[str],
    witness: list[AnyPart],
    result: AnyResult,
    problem_file: bytes | None,
) -> Envelope[AnyInputs, AnyPart, AnyResult]:
    """The whole of any version, with the digests. origins: of the inputs that were not just given."""
    certificate: Envelope[AnyInputs, AnyPart, AnyResult] = {
        "format": FORMAT,
        "version": version,
        "statement": statement,
        "inputs": inputs,
        "origins": {name: origins.get(name, _GIVEN) for name in inputs},
        "theorems": theorems,
        "assumptions": assumptions,
        "limits": limits,
        "witness": witness,
        "result": result,
        "digests": {
            "inputs": digest(inputs),
            "problem_file": None if problem_file is None else _digest_of(problem_file),
            "content": "",
        },
        "software": f"unlearning-accountant {__version__}",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "signature": None,
    }
    certificate["digests"]["content"] = digest(certificate)
    return certificate


def _written(component: Component) -> WrittenComponent:
    return {
        "weight": exact_text(component.weight),
        "count": component.count,
        "cases": [_written_case(case) for case in component.cases],
    }


def _written_case(case: Case) -> WrittenCase:
    return {
        "placed": [[visits.lag, visits.count, visits.size] for visits in case.placed],
        "pieces": [[piece.first, piece.last, piece.a] for piece in case.pieces],
        "steps": case.window[0],
        "start": case.window[1],
        "mu": list(settle(lambda ar, bits: case.mu(ar), DIGITS, "interval").ends),
    }
