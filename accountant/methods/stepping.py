"""The methods about common steps side by side at one guarantee: noise and steps, for one request; groups cost the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np

from accountant.methods.about import About
from accountant.methods.names import STEP_METHODS
from accountant.methods.steps import StepBound, StepMethod
from accountant.numerics import InputError, choice, integer, number
from accountant.problem import Stepping

#: Methods compared unless others are asked for.
STEPWISE: Final = ("optimal", "finetune-clipping", "finetune-model-clipping", "output-perturbation")


@dataclass(frozen=True, kw_only=True)
class ComparedSteps:
    """What one method takes for one request at (epsilon, delta). None: it says nothing, for the ``reason``.

    relative: sigma over that of the tightest bound for the algorithm as it was asked about. blocks: of the steps, where they
    contract between clips; 1 is a single string.
    """

    method: str
    title: str
    proves: str
    source: str
    noise: str
    sigma: float | None
    steps: int | None
    blocks: int | None
    relative: float | None
    reason: str | None
    assumptions: tuple[str, ...]
    about: About

    def to_dict(self) -> dict[str, object]:
        """JSON types; what is in ``about`` stands beside the rest."""
        made = asdict(self) | {"assumptions": list(self.assumptions)}
        del made["about"]
        return made | self.about.to_dict()


def compare_steps(
    algorithm: Stepping, *, epsilon: float, delta: float, steps: int, methods: Iterable[str] = STEPWISE
) -> list[ComparedSteps]:
    """Every method at (``epsilon``, ``delta``) with so many steps >= 1; output perturbation runs none.

    >>> from accountant import FineTuning
    >>> algorithm = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
    >>> rows = compare_steps(algorithm, epsilon=1.0, delta=1e-5, steps=100)
    >>> [(row.method, row.sigma and round(row.sigma, 4)) for row in rows]
    [('optimal', 1.4923), ('finetune-clipping', 2.0358), ('finetune-model-clipping', None), ('output-perturbation', 9.6896)]
    """
    target = {
        "epsilon": number("epsilon", epsilon, at_least=0), "delta": number("delta", delta, above=0, below=1)
    }  # fmt: skip
    count = integer("steps", steps, at_least=1)
    least = sigma_of(STEP_METHODS["optimal"], algorithm, **target, steps=count)[0]
    return [_one(step_method(name), algorithm, target, count, least) for name in methods]


def step_method(name: str) -> StepMethod:
    """The method of that name; InputError for a name that is none."""
    return STEP_METHODS[choice("method", name, STEP_METHODS)]


def sigma_of(
    method: StepMethod, algorithm: Stepping, *, epsilon: float, delta: float, steps: int
) -> tuple[float | None, str | None]:
    """The smallest sigma, or why there is none."""
    reason = method.refusal(algorithm)
    if reason is not None:
        return None, reason
    question = {"epsilon": np.array([epsilon]), "delta": np.array([delta]), "steps": np.array([float(steps)])}
    try:
        found = method.needed(algorithm, **question)
    except InputError as error:
        return None, str(error)
    return (None, found.refusals[0]) if found.refusals else (float(found.sigma[0]), None)


def _one(method: StepMethod, algorithm: Stepping, target: dict[str, float], steps: int, least: float | None) -> ComparedSteps:
    sigma, reason = sigma_of(method, algorithm, **target, steps=steps)
    run = steps if method.runs_steps else 0
    blocks = None
    if sigma is not None:
        blocks = 1
        if isinstance(method, StepBound):
            blocks = method.blocks(algorithm, sigma=sigma, epsilon=target["epsilon"], steps=steps)
    return ComparedSteps(
        method=method.name,
        title=method.title,
        proves=method.proves,
        source=method.source,
        noise=method.noise,
        sigma=sigma,
        steps=None if sigma is None else run,
        blocks=blocks,
        relative=sigma / least if sigma is not None and least else None,
        reason=reason,
        assumptions=() if sigma is None else method.assumptions(algorithm),
        about=method.about,
    )


def steps_curve(
    algorithm: Stepping, *, method: str, epsilon: float, delta: float, steps: Iterable[int]
) -> tuple[list[int], list[float]]:
    """Numbers of steps and the sigma that a method needs at each, for those that have an answer."""
    rival, counts = step_method(method), list(steps)
    if rival.refusal(algorithm) is not None:
        return [], []
    question = {"epsilon": np.array([epsilon]), "delta": np.array([delta]), "steps": np.array(counts, dtype=np.float64)}
    needed = rival.needed(algorithm, **question)
    places = [at for at in range(len(counts)) if at not in needed.refusals]
    return [counts[at] for at in places], needed.sigma[places].tolist()
