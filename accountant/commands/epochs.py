"""``accountant epochs``: how long unlearning has to run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from accountant.commands import present, renamed
from accountant.commands.following import following
from accountant.commands.options import DeltaOption, EpsilonOption, PrecisionOption, Shared, SigmaOption
from accountant.numerics import digits
from accountant.questions import Unknown

InSteps = Annotated[
    bool, typer.Option("--steps", hidden=True, help="Answer in single steps."), renamed.Old("the command accountant steps")
]


def epochs(
    shared: Shared,
    sigma: SigmaOption,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    steps: InSteps = False,
    precision: PrecisionOption = None,
) -> None:
    """The fewest unlearning epochs that prove (epsilon, delta); 0 if the learned model is private enough.

    Example: accountant epochs --preset mnist --batch-size 128 --sigma 0.001 --epsilon 1
    """
    unit: Unknown = "steps" if steps else "epochs"
    present.check_precision(precision)
    question = {"sigma": sigma, "epsilon": epsilon, "delta": delta}
    outcome = present.asked(shared.accountant, unit, **question)
    count, length = int(outcome.answer), present.length(outcome)
    result = present.record(shared, "epochs", outcome, delta_is_default=delta is None)
    result["epsilon_achieved"] = outcome.epsilon_proved
    result["comparison"] = other = present.comparison(shared, unit, **question)
    more: list[tuple[str, str]] = []
    if precision is not None:
        run = {"sigma": sigma, "delta": delta}
        block, more = present.precise(shared, precision, "epsilon", **run, **length)
        fewer = None
        if count > shared.accountant.minimum_steps:
            # One fewer is not enough: that is what makes the count the smallest.
            found, _ = present.precise(shared, precision, "epsilon", **run, **{unit: count - 1})
            fewer = None if found is None else found["epsilon"]
        result["precision"] = {**(block or {}), "epsilon_with_one_fewer": fewer}
        if fewer is not None:
            more.append(("with one fewer", f"epsilon = {fewer}"))
    rows = [
        (unit, str(count)),
        present.length_row(result),
        present.guarantee_row(result),
        ("epsilon achieved", digits(result["epsilon_achieved"], 10)),
        present.noise_row(result),
        present.comparison_row(other, unit, count),
    ]
    next_ = following("plan", shared.context, without=("steps",), requests=100)
    present.show(shared, result, rows, "Unlearning needed", answer=needed(result, unit, count), more=more, next_=next_)


def needed(result: dict[str, Any], unit: str, count: int) -> str:
    """The answer in a sentence: how long unlearning is."""
    guarantee, noise = present.guarantee_row(result)[1], digits(result["sigma"], 10)
    if not result["steps"]:
        return f"No unlearning is needed: the learned model has {guarantee} already, with sigma = {noise}"
    told = present.plural(count, unit.removesuffix("s"))
    more = f" ({present.plural(result['steps'], 'step')})" if unit == "epochs" else ""
    reached = f"epsilon = {digits(result['epsilon_achieved'], 10)} is reached"
    enough = "is enough" if count == 1 else "are enough"
    return f"{told}{more} of unlearning {enough} for {guarantee}, with sigma = {noise}; {reached}"


def steps(
    shared: Shared,
    sigma: SigmaOption,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    precision: PrecisionOption = None,
) -> None:
    """The fewest unlearning steps that prove (epsilon, delta): epochs --steps, for algorithms too that have no epochs.

    Example: accountant steps --algorithm fine-tuning --step-size 0.01 --gradient-clip 1 --start-clip 1 --sigma 2 --epsilon 1
    --delta 1e-5
    """
    epochs(shared, sigma, epsilon, delta, steps=True, precision=precision)
