"""``accountant plan``: what deletion requests cost as they come, and from when on retraining is cheaper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import (
    choices,
    drawings,
    files,
    layout,
    origin,
    page_plan,
    paths,
    plan_rows,
    plan_words,
    present,
    renamed,
    telling,
    writing,
)
from accountant.commands.expecting import ForOption, RequestsOption, arrivals_of, spread_line
from accountant.commands.following import following, typed
from accountant.commands.options import COUNT, NUMBER, DeltaOption, EpsilonOption, PrecisionOption, Shared
from accountant.commands.plan_optimize import show_trade_off
from accountant.numerics import InputError
from accountant.problem import WORST

if TYPE_CHECKING:
    from accountant.requests import Plan, Reached


NoiseOption = Annotated[
    float | None,
    typer.Option(**NUMBER, help="Noise sigma > 0; every step adds N(0, 2 eta sigma^2 I). --optimize can choose it."),
]
PointsOption = Annotated[int | None, typer.Option(**COUNT, help="Points per request, with a COUNT or RATE; default 1.")]
UnitOption = Annotated[
    str, typer.Option(**choices.closed("steps", "epochs"), help="Unlearn single steps or whole epochs; default steps.")
]
WindowOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Process what arrives in such a time together, as 7d, 12h, 30m or 90s.")
]
DeadlineOption = Annotated[str | None, typer.Option(metavar="TIME", help="Longest time that a request may wait.")]
RetrainOption = Annotated[
    int | None,
    typer.Option(**COUNT, help="Epochs of one retraining; default learn-epochs, or those of the published experiments."),
]
OptimizeOption = Annotated[
    bool,
    typer.Option("--optimize", help="Choose the window, and sigma if it is not given, with the least cost in all."),
]
MaxSigmaOption = Annotated[float | None, typer.Option(**NUMBER, help="Largest sigma that --optimize may choose.")]
FirstBoundOption = Annotated[
    str | None,
    typer.Option(
        **choices.closed("paper", "paper-geometric"),
        help="With a published bound: another one for the first request.",
        rich_help_panel=choices.EXPERTS,
    ),
]
#: What is written of a plan.
_KINDS: Final = (*writing.ROWS_AND_PICTURES, "html")
OutputOption = Annotated[list[str] | None, writing.option(*_KINDS), writing.FILES]
CsvOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.csv."), paths.Written(), renamed.Old("-o FILE.csv")
]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", hidden=True, help="As -o FILE.svg."), paths.Written(), renamed.Old("-o FILE.svg")
]


def plan(
    shared: Shared,
    epsilon: EpsilonOption,
    requests: RequestsOption,
    sigma: NoiseOption = None,
    delta: DeltaOption = None,
    points: PointsOption = None,
    for_: ForOption = None,
    unit: UnitOption = "steps",
    window: WindowOption = None,
    deadline: DeadlineOption = None,
    retrain_epochs: RetrainOption = None,
    optimize: OptimizeOption = False,
    max_sigma: MaxSigmaOption = None,
    first_bound: FirstBoundOption = None,
    csv: CsvOption = None,
    plot: PlotOption = None,
    precision: PrecisionOption = None,
    output: OutputOption = None,
) -> None:
    """What every deletion request costs, and from which one on retraining once is cheaper.

    Example: accountant plan --preset mnist --batch-size full --sigma 0.03 --epsilon 1 --requests 100 --unit epochs
    """
    from accountant.requests import make_plan
    from accountant.requests import optimize as cheapest
    from accountant.requests import reached as reached_digits

    present.check_precision(precision)
    if sigma is None and not optimize:
        raise InputError("sigma must be given, or left to optimize")
    if max_sigma is not None and not optimize:
        raise InputError(f"max_sigma must be left out without optimize, got {max_sigma}")
    writing.check(output, _KINDS)
    arrivals = arrivals_of(requests, points, for_, window=window, deadline=deadline)
    target: dict[str, Any] = {
        "epsilon": epsilon, "delta": delta, "unit": unit, "deadline": deadline, "first_bound": first_bound,
    }  # fmt: skip
    if optimize and sigma is None and max_sigma is None:
        return show_trade_off(shared, arrivals, target | {"window": window, "retrain_epochs": retrain_epochs}, output)
    with writing.writing(output, _KINDS, csv=csv, plot=plot) as targets:
        with files.progress("planning", counted=not optimize) as progress:
            choice: dict[str, Any] = {"sigma": sigma, "window": window}
            if optimize:
                best = cheapest(shared.accountant, arrivals, **choice, **target, max_sigma=max_sigma, progress=progress)
                choice = best._asdict()
            made = make_plan(shared.accountant, arrivals, **choice, **target, retrain_epochs=retrain_epochs, progress=progress)
            precise = None
            if precision is not None:
                precise = reached_digits(shared.accountant, made, digits=precision, sigma=sigma is None, progress=progress)
        result = _record(shared, made, spread_line(requests, for_), delta_is_default=delta is None)
        more = []
        if precision is not None and precise is not None:
            _add_digits(shared, result, precise, precision)
            more = plan_rows.to_digits(result)
        next_ = _next(shared, made, output)
        writing.write(
            targets, lambda: telling.whole(result, next_=next_), rows=lambda: result["requests"],
            picture=lambda part, kind: drawings.plan(part, kind, made),
            more={"html": lambda part: _save(part, shared, result, made, requests)},
        )  # fmt: skip
    # The rows that all commands have, but that for the mu of a single deletion.
    common = {"gradient_evaluations": made.total_gradient_evaluations, "mu_worst": None, "group_size": 1}
    if shared.json:
        telling.listed(shared, result, [], "", next_=next_)
        return
    screen = layout.console()
    screen.print(layout.text(f"{plan_words.answer(result, made)}.", style="bold"))
    for line in plan_words.break_even(made):
        screen.print(layout.text(line))
    if (warning := plan_words.ruins(shared.accountant, made.sigma)) is not None:
        screen.print(layout.text(warning, style="yellow"))
    screen.print(plan_rows.table(made))
    screen.print(
        "gradients: per-sample gradient evaluations; /each and /once: unlearning so far, against retraining at every request "
        "and against one retraining for all of them"
    )
    present.show(shared, result | common, plan_rows.totals(result, made), "In all", more=more, next_=next_)


#: Options that only plans have.
OF_PLANS: Final = (
    "points", "for_", "unit", "window", "deadline", "retrain_epochs", "optimize", "max_sigma", "first_bound", "csv", "plot",
    "lists",
)  # fmt: skip


def _save(part: Path, shared: Shared, result: dict[str, Any], made: Plan, requests: str) -> None:
    """Write the page of a plan, in the words of the screen."""
    from accountant.requests import told as is_told

    warning = plan_words.ruins(shared.accountant, made.sigma)
    told = [f"{plan_words.answer(result, made)}.", *plan_words.break_even(made), *([] if warning is None else [warning])]
    read = origin.read(problem=shared.problem, requests=None if is_told(requests) else requests)
    page_plan.save(part, result, told=told, warned=warning is not None, accountant=shared.accountant, files=read)


def _next(shared: Shared, made: Plan, output: list[str] | None) -> str | None:
    """The plan as a file; of one that is, a certificate of its last release, where there are certificates."""
    given: dict[str, Any] = {} if "sigma" in typed(shared.context) else {"sigma": made.sigma}
    table = next((path for path in output or () if path.lower().endswith(".csv")), None)
    if table is None:
        if made.window is not None and "window" not in typed(shared.context):
            given["window"] = f"{made.window:g}s"
        return following("plan", shared.context, without=("optimize", "max_sigma"), **given, output="plan.csv")
    # Certificates count earlier requests at their worst: of plans that average them they prove less.
    plain = shared.accountant.batches == WORST or (shared.accountant.steps_per_epoch == 1 and made.requests[-1].points == 1)
    if made.joined or not plain or not present.certifiable(shared):
        return None
    without = ("epsilon", *OF_PLANS)
    return following("certify", shared.context, without=without, **given, requests=table, output="certificate.json")


def _record(shared: Shared, made: Plan, spread: list[str], *, delta_is_default: bool) -> dict[str, Any]:
    from accountant._version import __version__
    from accountant.questions import UnlearningAccountant

    accountant = shared.accountant
    if made.redraw is not None:
        # The run that was planned for.
        accountant = UnlearningAccountant.of(accountant.setup.with_(redraw=made.redraw), bound=accountant.bound)
    algorithm = accountant.algorithm
    return {
        "command": "plan",
        **made.to_dict(),
        "delta_is_default": delta_is_default,
        "bound": accountant.bound,
        "batches": accountant.batches,
        "averaging": made.averaging,
        "reference": accountant.reference,
        "contraction": algorithm.contraction,
        "noise_std": algorithm.noise_std(made.sigma),
        "noise_multiplier": algorithm.noise_multiplier(made.sigma),
        "assumptions": [
            *accountant.assumptions(),
            *_earlier(shared, made),
            *spread,
            "requests are processed one after the other, each on the model that the one before it left, and each is "
            f"compared with {_left(made)}",
        ],
        "problem": {"preset": shared.named, **algorithm.problem.to_dict()},
        "constants": shared.stated.to_dict(),
        "algorithm": {**algorithm.to_dict(), "steps_per_epoch": algorithm.steps_per_epoch},
        "version": __version__,
    }


def _left(made: Plan) -> str:
    """What every release is compared with."""
    if made.joined:
        return "the same history without what is deleted by then"
    return "retraining on the data that are left by then"


def _earlier(shared: Shared, made: Plan) -> list[str]:
    """How requests before the newest count, and who joined."""
    accountant, lines = shared.accountant, []
    if made.averages and accountant.bound == "optimal" and accountant.steps_per_epoch > 1:
        lines.append("earlier requests are averaged over positions, too, or count at their worst, whichever proves more")
    elif made.averages:
        lines.append("earlier requests count at their worst positions, only the newest is averaged")
    if made.joined:
        lines.append(f"{made.joined} records join after the start; retraining from scratch on the final data is no reference")
    return lines


def _add_digits(shared: Shared, result: dict[str, Any], precise: Reached, precision: int) -> None:
    """The block of ``--precision``, and epsilon after every request."""
    from accountant.questions import exact_inputs

    for row, epsilon in zip(result["requests"], precise.requests, strict=True):
        row["precise"] = epsilon
    known = {name: result[name] for name in ("sigma", "epsilon", "delta")}
    result["precision"] = {
        **present.kind(precision), "epsilon": precise.epsilon, "sigma": precise.sigma, "reason": precise.reason,
        "inputs": exact_inputs(shared.accountant, **known),
    }  # fmt: skip
