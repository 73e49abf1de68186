"""``accountant removals``: how many more requests a model of Newton steps can answer before it has to be learned anew."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import typer

from accountant.commands import choices, present, telling
from accountant.commands.following import following
from accountant.commands.options import COUNT, NUMBER, DeltaOption, EpsilonOption, Shared
from accountant.numerics import digits, number

_GRADIENTS: Final = ("all", "removed")
NoiseOption = Annotated[
    float, typer.Option(**NUMBER, help="Standard deviation sigma > 0 of the one Gaussian on every weight that is released.")
]
StepsOption = Annotated[int, typer.Option(**COUNT, help="Newton steps per request, at least 1.")]
ResidualOption = Annotated[
    float,
    typer.Option(
        **NUMBER,
        help="Norm of the inner model's gradient, divided by m, as measured now, >= 0; default 0: learned exactly, no "
        "request yet.",
    ),
]
GradientOption = Annotated[
    str,
    typer.Option(
        **choices.closed(*_GRADIENTS),
        help="What a step's gradient is of: all that is left, which corrects earlier errors, or the removed points alone, one "
        "step, where errors add up.",
    ),
]


def removals(
    shared: Shared,
    sigma: NoiseOption,
    epsilon: EpsilonOption,
    delta: DeltaOption = None,
    steps: StepsOption = 1,
    residual: ResidualOption = 0.0,
    gradient: GradientOption = "all",
) -> None:
    """How many more requests a model of Newton steps can answer before it has to be learned anew.

    Of --group-size points each, one after the other, at the noise it is released with; from the worst case, or from a residual
    that was measured.

    Example: accountant removals --preset mnist --sigma 0.01 --epsilon 1 --gradient removed
    """
    from accountant._version import __version__
    from accountant.methods import removals_left

    setup = shared.setup
    chance = setup.default_delta if delta is None else number("delta", delta, above=0, below=1)
    target = {"sigma": sigma, "epsilon": epsilon, "delta": chance}
    budget = removals_left(setup, **target, residual=residual, steps=steps, gradient=gradient)  # type: ignore[arg-type]
    result: dict[str, Any] = {
        "command": "removals",
        **{name: float(value) for name, value in target.items()},
        "delta_is_default": delta is None,
        "left": budget.left,
        "allowed": budget.allowed,
        "reached": budget.reached,
        "after": budget.after if math.isfinite(budget.after) else None,
        "steps": steps,
        "gradient": gradient,
        "group_size": setup.group_size,
        "assumptions": list(budget.assumptions),
        "problem": {"preset": shared.named, **setup.problem.to_dict()},
        "constants": shared.stated.to_dict(),
        "version": __version__,
    }
    rows = [
        ("allowed", f"{digits(budget.allowed, 6)}, the distance from the minimiser that the noise covers"),
        ("reached", f"{digits(budget.reached, 6)} now, at most"),
        ("after", "no bound" if result["after"] is None else f"{digits(budget.after, 6)}, at most"),
    ]
    next_ = following(
        "compare", shared.context, without=("sigma", "residual", "steps", "gradient"), method="newton-exact", requests=0
    )
    telling.listed(shared, result, rows, "Distances", answer=_said(result), next_=next_)


def _said(result: dict[str, Any]) -> str:
    """The answer in a sentence."""
    each = "" if result["group_size"] == 1 else f" of {result['group_size']} points each"
    target = f"epsilon = {digits(result['epsilon'], 10)} at delta = {digits(result['delta'], 10)}"
    noise = f"with sigma = {digits(result['sigma'], 10)}"
    if result["left"] is None:
        return f"All further requests{each} keep {target}, {noise}: the model need not be learned anew"
    if not result["left"]:
        return f"No further request{each} surely keeps {target}, {noise}: learn anew, or add more noise"
    return f"{present.plural(result['left'], 'further request')}{each} surely keep {target}, {noise}; then learn anew"
