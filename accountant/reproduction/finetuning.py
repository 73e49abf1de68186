"""The published configurations of noisy fine-tuning: their noise and steps anew, and what their guarantees really take."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from accountant.methods import STEP_METHODS, GradientClipping, ModelClipping, StepMethod
from accountant.numerics import Progress, digits
from accountant.problem import FineTuning, Stepping
from accountant.reproduction.records import Record, Reproduction, compared, made
from accountant.tables import builtin
from accountant.verification import Claims, StepClaim

#: (epsilon, delta) at which the published formula is put beside the tightest bound, C0 = C1 = 1, gamma = 0.01, 100 steps.
_TARGETS: Final = ((1.0, 1e-5), (0.1, 1e-5))
_COLUMNS: Final = ("method", "what", "steps", "epsilon", "reported", "ours", "difference", "optimal", "ratio")


def noisy_finetuning(progress: Progress, digits: int | None) -> Reproduction:
    """Every configuration again, and the published formula beside the tightest bound."""
    claims = [claim for claim in Claims(builtin("noisy-finetuning").table()) if isinstance(claim, StepClaim)]
    rows: list[Record] = []
    known: dict[object, Record] = {}
    for done, claim in enumerate(claims):
        key = (claim.method.name, claim.algorithm, claim.sigma, claim.epsilon, claim.delta, claim.count, claim.renyi)
        if key not in known:
            known[key] = _configuration(claim)
        rows.append(dict(known[key]))
        progress(done + 1, len(claims))
    rows += [_formula(epsilon, delta) for epsilon, delta in _TARGETS]
    return made("noisy-finetuning", _COLUMNS, rows, _notes(rows))


def _configuration(claim: StepClaim) -> Record:
    """The number that the public code computes (the noise; of model clipping, the steps), computed anew."""
    assert claim.sigma is not None
    assert claim.epsilon is not None
    method, algorithm, delta = claim.method, claim.algorithm, claim.delta
    sigma, epsilon = float(claim.sigma.value), float(claim.epsilon.value)
    best, steps = STEP_METHODS[method.tightest], claim.steps
    row: Record = {
        "method": method.name, "what": "sigma", "step_size": algorithm.step_size, "weight_decay": algorithm.weight_decay,
        "start_clip": algorithm.start_clip, "gradient_clip": getattr(algorithm, "gradient_clip", None),
        "model_clip": algorithm.model_clip, "sigma": sigma, "steps": int(steps), "epsilon": epsilon, "delta": delta,
    }  # fmt: skip
    if isinstance(method, ModelClipping):
        noise = {"sigma": np.array([sigma]), "epsilon": np.array([epsilon]), "delta": np.array([delta])}
        ours, least = (int(each.fewest(algorithm, **noise, unit="steps")[0]) for each in (method, best))
        return compared(row | {"what": "steps"}, steps, ours, optimal=least, ratio=steps / least)
    if isinstance(method, GradientClipping) and claim.renyi is not None:
        # What the code's conversion makes of epsilon_R is logged; the noise is made for mu = sqrt(2 epsilon_R).
        mu = float(method.mu(algorithm, np.array([steps]))[0])
        ours_sigma = mu / math.sqrt(2 * claim.renyi.value)
    else:
        ours_sigma = _needed(method, algorithm, epsilon, delta, steps)
    least_sigma = _needed(best, algorithm, epsilon, delta, steps)
    return compared(row, sigma, ours_sigma, optimal=least_sigma, ratio=sigma / least_sigma)


def _needed(method: StepMethod, algorithm: Stepping, epsilon: float, delta: float, steps: float) -> float:
    one = {"epsilon": np.array([epsilon]), "delta": np.array([delta]), "steps": np.array([steps])}
    return float(method.sigma(algorithm, **one)[0])


def _formula(epsilon: float, delta: float) -> Record:
    """The published formula beside the tightest bound at the number of steps that it is published for."""
    algorithm = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
    formula, optimal = (
        _needed(STEP_METHODS[name], algorithm, epsilon, delta, 100.0) for name in ("finetune-clipping", "optimal")
    )
    row: Record = {
        "method": "finetune-clipping", "what": "sigma", "step_size": 0.01, "weight_decay": 0.0, "start_clip": 1.0,
        "gradient_clip": 1.0, "model_clip": None, "sigma": formula, "steps": 100, "epsilon": epsilon, "delta": delta,
    }  # fmt: skip
    return compared(row, None, formula, optimal=optimal, ratio=formula / optimal)


def _notes(rows: list[Record]) -> tuple[str, ...]:
    """The sums."""
    lines = [
        "what: the number that the public code computes, sigma or steps; ours: the same anew; optimal: what the epsilon "
        "logged takes under the tightest bound known for the same run; ratio: reported over optimal (of the formula, ours)"
    ]
    ratios: dict[str, list[float]] = {}
    for row in rows:
        ratios.setdefault(row["method"], []).append(row["ratio"])
    says = {
        "gradient-clipping": "the noise is made for mu = sqrt(2 epsilon_R), and the epsilon logged takes more: the "
        "conversion leaves the Renyi order out",
        "finetune-model-clipping": "enough steps, and none too many for one-step blocks; with gradients clipped as "
        "well blocks need fewer",
        "output-perturbation": "enough noise, and more than an exact Gaussian needs",
        "finetune-clipping": "the published formula (quoted from secondary sources) beside one string",
    }
    for name, found in ratios.items():
        low, high = (digits(value, 4) for value in (min(found), max(found)))
        span = low if low == high else f"{low} to {high}"
        lines.append(f"{name}, {len(found)} rows: {span} times optimal; {says[name]}")
    return tuple(lines)
