"""Certificates of fine-tuning: noisy steps that both runs share, after which nobody can tell them apart (format 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from os import PathLike
from typing import Final

from accountant.certificates.blocks import BlockProof, Lengths
from accountant.certificates.certificate import CURVE, canonical, check_small, claimed_epsilon, sealed, some_of_curve
from accountant.certificates.format import (
    STEP_VERSION,
    Certificate,
    LawCertificate,
    StepCertificate,
    StepInputs,
    StepResult,
)
from accountant.certificates.ratio import text_ends
from accountant.certificates.steps_texts import STEP_ASSUMPTIONS, STEP_LIMITS, STEP_THEOREMS, step_statement
from accountant.numerics import InputError, MissingExtraError, Progress, atomic_file, exact_text, integer, number
from accountant.problem import FineTuning, decimal
from accountant.questions import StepAccountant, StepOutcome

#: Blocks times points that a checker has the time for, and blocks times points of the curve.
_MOST: Final = 1 << 18
_CURVE_WORK: Final = 1 << 14


def certify_steps(
    accountant: StepAccountant,
    *,
    sigma: float,
    steps: int,
    delta: float,
    epsilon: float | None = None,
    start_distance: float | None = None,
    origins: Mapping[str, str] | None = None,
    problem_file: bytes | None = None,
    progress: Progress | None = None,
) -> StepCertificate:
    """A certificate of (``epsilon``, ``delta``) for the model after noisy steps; needs the extra ``certify``.

    epsilon: the claim; None for the smallest that is proved. sigma: one step's standard deviation. start_distance: declared,
    instead of what start_clip gives. origins: where each constant came from. problem_file: its bytes, for a digest. Raises
    ClaimError for a claim that is not proved, InputError for what has no certificate (all algorithms but FineTuning, and
    schedules).
    """
    algorithm = accountant.algorithm
    if not isinstance(algorithm, FineTuning):
        raise InputError(f"algorithm must be fine-tuning for a certificate, got {algorithm.name}")
    if accountant.schedule is not None:
        raise InputError("schedule must be left out for a certificate: the checker verifies steps of one size and one noise")
    noise, count = number("sigma", sigma, above=0), integer("steps", steps, at_least=1)
    target = number("delta", delta, above=0, below=1)
    if start_distance is not None and number("start_distance", start_distance, at_least=0) == 0:
        raise InputError("start_distance must be above 0 for a certificate: models that start alike need none")
    # Asks the same question in doubles: everything that it refuses is refused here, and it finds the blocks.
    found = accountant.epsilon(sigma=noise, delta=target, steps=count, start_distance=start_distance)
    check_small(float(found))
    outcome = replace(accountant.run(sigma=noise, steps=count, start_distance=start_distance), epsilon=found)
    return _certified(outcome, noise, target, epsilon, dict(origins or {}), problem_file, progress)


def _certified(
    outcome: StepOutcome, sigma: float, delta: float, epsilon: float | None, words: dict[str, str],
    problem_file: bytes | None, progress: Progress | None,
) -> StepCertificate:  # fmt: skip
    algorithm = outcome.algorithm
    assert isinstance(algorithm, FineTuning)
    try:
        import flint  # noqa: F401
    except ImportError:
        raise MissingExtraError("certify", "python-flint", "certify") from None
    distance = None if outcome.start_distance is None else decimal(float(outcome.start_distance))
    proof = BlockProof(Lengths(algorithm, distance), outcome.split, decimal(sigma))
    if 2 * proof.count > _MOST:
        raise InputError(f"what is proved needs {proof.count} blocks, more than a checker has the time for: use more noise")
    exact_delta = decimal(delta)
    low, high = proof.epsilon(exact_delta, float(outcome.epsilon or 0.0))
    claim = claimed_epsilon(epsilon, low, high, exact_delta)
    if epsilon is None:
        words["epsilon"] = "smallest that is proved"
    inputs = _inputs(algorithm, distance, outcome.step_count, decimal(sigma), claim, exact_delta)
    result: StepResult = {"mu": proof.mu(), "delta": proof.delta(claim), "epsilon": text_ends(low, high), "curve": []}
    most = min(len(CURVE), _CURVE_WORK // proof.count)
    for k, at in enumerate(some_of_curve(most)):
        start = float(outcome.guarantee.epsilon(float(at)))
        result["curve"].append({"delta": exact_text(at), "epsilon": text_ends(*proof.epsilon(at, start))})
        if progress is not None:
            progress(k + 1, most)
    return sealed(
        version=STEP_VERSION,
        statement=step_statement(inputs),
        inputs=inputs,
        origins=words,
        theorems=STEP_THEOREMS,
        assumptions=STEP_ASSUMPTIONS,
        limits=STEP_LIMITS,
        witness=[block.written for block in proof.blocks],
        result=result,
        problem_file=problem_file,
    )


def _inputs(
    algorithm: FineTuning, distance: Fraction | None, steps: int, sigma: Fraction, epsilon: Fraction, delta: Fraction
) -> StepInputs:
    def text(value: float | None) -> str | None:
        return None if value is None else exact_text(decimal(value))

    return {
        "algorithm": algorithm.name,
        "step_size": exact_text(decimal(algorithm.step_size)),
        "gradient_clip": text(algorithm.gradient_clip),
        "start_clip": text(algorithm.start_clip),
        "model_clip": text(algorithm.model_clip),
        "weight_decay": exact_text(decimal(algorithm.weight_decay)),
        "start": algorithm.start,
        "clip_first": algorithm.clip_first,
        "start_distance": None if distance is None else exact_text(distance),
        "sigma": exact_text(sigma),
        "steps": steps,
        "epsilon": exact_text(epsilon),
        "delta": exact_text(delta),
    }


def save(certificate: Certificate | StepCertificate | LawCertificate, path: str | PathLike[str]) -> None:
    """Write a certificate to a file, which then is whole or as it was; InputError if its own check refuses it."""
    text = canonical(certificate)
    check_again(text)
    with atomic_file(path) as part:
        part.write_bytes(text)


def check_again(text: bytes) -> None:
    """No certificate leaves that the independent checker refuses: InputError."""
    from accountant.certificates import check as checker

    try:
        for _ in checker.check(text):
            pass
    except checker.TooMuchWork:
        raise InputError(
            "what so many records, or so many requests, left has a law that the checker has not the time for: no certificate, "
            "use smaller requests"
        ) from None
    except checker.Refused as error:
        raise InputError(f"the certificate is refused by its own check, please report this: {error}") from None
