"""``accountant solve``: whichever one number of a question is not known, from all the others."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Annotated, Any

import typer

from accountant.commands import choices, present, telling
from accountant.commands.following import following
from accountant.commands.options import COUNT, DELTA, NUMBER, Shared
from accountant.numerics import InputError, choice, digits
from accountant.questions import ALGORITHM, BATCHES, NotUniqueWarning, stepping_of

UnknownArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=choices.completing(dict.fromkeys([*choices.UNKNOWNS, *choices.STEP_UNKNOWNS])),
        help=f"What is not known: {', '.join(choices.UNKNOWNS)}; with algorithms of common steps "
        f"{', '.join(choices.STEP_UNKNOWNS)}.",
        show_default=False,
    ),
]
SigmaGiven = Annotated[float | None, typer.Option(**NUMBER, help="Noise sigma > 0.")]
EpsilonGiven = Annotated[float | None, typer.Option(**NUMBER, help="epsilon >= 0 of the guarantee.")]
DeltaGiven = Annotated[float | None, typer.Option(**DELTA, help="delta in (0, 1) of the guarantee; default 1/n.")]
EpochsGiven = Annotated[int | None, typer.Option(**COUNT, help="Unlearning epochs (or --steps).")]
StepsGiven = Annotated[int | None, typer.Option(**COUNT, help="Unlearning steps (or --epochs).")]
ExtremeOption = Annotated[
    str | None, typer.Option(**choices.closed("smallest", "largest"), help="Which batch-size is asked for.")
]


def solve(
    shared: Shared,
    unknown: UnknownArgument,
    sigma: SigmaGiven = None,
    epsilon: EpsilonGiven = None,
    delta: DeltaGiven = None,
    epochs: EpochsGiven = None,
    steps: StepsGiven = None,
    extreme: ExtremeOption = None,
) -> None:
    """The one number that is not known, from all the others: the smallest noise or length, the largest batch, group or clip.

    Example: accountant solve gradient-clip --algorithm fine-tuning --step-size 0.01 --start-clip 1 --sigma 1.5 --epsilon 1
    --delta 1e-5 --steps 100
    """
    stepwise = choice(ALGORITHM, shared.settings.get(ALGORITHM, BATCHES), _algorithms()) != BATCHES
    word = unknown.lower().replace("_", "-")
    unknown = choice("unknown", word, choices.STEP_UNKNOWNS if stepwise else choices.UNKNOWNS).replace("-", "_")
    numbers = {"sigma": sigma, "epsilon": epsilon, "delta": delta, "epochs": epochs, "steps": steps}
    given = {key: value for key, value in numbers.items() if value is not None}
    if unknown in given or shared.options.get(unknown) is not None:
        raise InputError(f"{unknown} must be left out: it is what is asked for")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", NotUniqueWarning)
        value = _of_steps(shared, unknown, given, extreme) if stepwise else _of_batches(shared, unknown, given, extreme)
    notes = []
    for entry in said:
        if issubclass(entry.category, NotUniqueWarning):
            notes.append(str(entry.message))
        else:
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
    from accountant._version import __version__

    result = {
        "command": "solve", "unknown": unknown, "value": value, **given, "notes": notes, "preset": shared.named,
        "constants": shared.stated.to_dict(),
        "settings": {key: value for key, value in shared.own.items() if key != "schedule"}, "version": __version__,
    }  # fmt: skip
    # What the answer rests on is that of the run that it is of.
    whole = shared if unknown in numbers else replace(shared, options={**shared.options, unknown: value})
    noise = value if unknown == "sigma" else sigma if sigma is not None else shared.target.get("sigma")
    result |= _run(whole, None if noise is None else float(noise))
    printed: Any = value if isinstance(value, int) else float(digits(value, 10, down=unknown not in _SMALLEST))
    then = {} if unknown == "epsilon" else {unknown: printed}
    next_ = following("epsilon", shared.context, without=("epsilon", "extreme", *(() if then else ("delta",))), **then)
    answer = f"{_spelled(unknown)} = {printed if isinstance(value, int) else digits(value, 10, down=unknown not in _SMALLEST)}"
    told: dict[str, Any] = {**shared.target, **given}
    known = [f"{name} = {number:.6g}" for name in ("epsilon", "delta", "sigma") if (number := told.get(name)) is not None]
    length = [present.plural(told[name], name.removesuffix("s")) for name in ("epochs", "steps") if told.get(name) is not None]
    answer += f" (with {', '.join([*known, *length])})" if known or length else ""
    more = [("what it is", present.STEP_NOISE)] if stepwise and unknown == "sigma" else []
    more += [("note", line) for line in notes]
    telling.listed(shared, result, [], "", answer=answer, more=more, next_=next_)


def _run(whole: Shared, noise: float | None) -> dict[str, Any]:
    """The assumptions of the run with the value put in, and its noise per step, as every command tells them."""
    if whole.stepping is not None:
        return {"assumptions": list(whole.step_accountant.assumptions()), "problem": None}
    accountant = whole.accountant
    std = {} if noise is None else {"noise_std": accountant.algorithm.noise_std(noise)}
    made = {"preset": whole.named, **accountant.algorithm.problem.to_dict()}
    return {"assumptions": list(accountant.assumptions()), "problem": made, "schedule": None, **std}


def _spelled(name: str) -> str:
    return name.replace("_", "-")


#: Of what the smallest value is the answer, rounded up; of the others the largest, rounded down.
_SMALLEST = ("sigma", "epsilon", "delta", "weight_decay")


def _algorithms() -> tuple[str, ...]:
    from accountant.problem import STEPPING

    return (BATCHES, *STEPPING)


def _of_batches(shared: Shared, unknown: str, given: dict[str, Any], extreme: str | None) -> float | int:
    from accountant.questions import solve as solved

    options = {key: value for key, value in shared.options.items() if value is not None}
    stepping_of(shared.settings)
    options.pop(ALGORITHM, None)
    more = {
        key: value for key, value in {"preset": shared.preset, "problem": shared.problem, "extreme": extreme}.items() if value
    }
    question: dict[str, Any] = {**options, **given, **more, unknown: None}
    return solved(**question)


def _of_steps(shared: Shared, unknown: str, given: dict[str, Any], extreme: str | None) -> float | int:
    from accountant.questions import solve_steps

    return solve_steps({**shared.settings, **shared.target, **given, "extreme": extreme}, unknown)
