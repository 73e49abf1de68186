"""Whichever one number of a question about common steps is not known, by the names that settings have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from accountant.numerics import InputError, choice
from accountant.questions.problem_file import ALGORITHM, TARGET
from accountant.questions.settings import merged, step_schedule, stepping_of
from accountant.questions.step_accountant import StepAccountant
from accountant.questions.step_solving import ARGUMENTS

#: What can be asked for.
STEP_UNKNOWNS: Final = (*TARGET, "steps", *ARGUMENTS)
#: What stands for an argument of the algorithm until it is found; within the domain of every other argument.
_STANDS: Final = {"weight_decay": 0.0, "step_size": 1e-300, "gradient_clip": 1.0, "start_clip": 1.0, "model_clip": 1.0}


def solve_marked(question: Mapping[str, Any], names: tuple[str, ...]) -> float | int:
    """The one argument of ``question`` that is None, as :func:`~accountant.questions.solve` has it; names: all there are."""
    for name in question:
        if name not in names:
            raise InputError(f"argument {name!r} is unknown: it must be one of {', '.join(names)}")
    marked = [name for name in STEP_UNKNOWNS if name in question and question[name] is None]
    if len(marked) != 1:
        raise InputError(
            f"exactly one of {', '.join(STEP_UNKNOWNS)} must be None for {ALGORITHM} {question.get(ALGORITHM, 'of the file')}, "
            f"the unknown, got {' and '.join(marked) or 'none'}; what is left out has its default"
        )
    options = {name: value for name, value in question.items() if name not in ("preset", "problem")}
    settings = merged(options, preset_name=question.get("preset"), problem_file=question.get("problem"))
    return solve_steps(settings, marked[0])


def solve_steps(settings: Mapping[str, Any], unknown: str) -> float | int:
    """``unknown`` from settings by name, those of the question (sigma, epsilon, delta, steps) included; what they say of the
    unknown itself does not count. InputError where something is missing, or there that does not belong."""
    choice("unknown", unknown, STEP_UNKNOWNS)
    if settings.get("extreme") is not None:
        raise InputError("extreme must be left out: it is about a batch_size")
    if settings.get("epochs") is not None:
        raise InputError("epochs must be left out: common steps are counted one by one; give steps")
    algorithm = stepping_of({**settings, **({unknown: _STANDS[unknown]} if unknown in _STANDS else {})}, scheduled=True)
    assert algorithm is not None
    accountant = StepAccountant(algorithm, schedule=step_schedule(settings))
    asked = {name: settings[name] for name in (*TARGET, "steps") if name in settings and name != unknown}
    closed = accountant.stages is not None and not accountant.stages.open
    wanted = [name for name in (*TARGET, "steps") if name != unknown and not (closed and name == "steps")]
    missing = [name for name in wanted if name not in asked]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be given for {algorithm.name}")
    accountant.check()
    if unknown in ("epsilon", "delta"):
        return float(accountant.epsilon(**asked) if unknown == "epsilon" else accountant.delta(**asked))
    found = accountant.solve(unknown, **asked)
    return int(found) if unknown == "steps" else float(found)
