"""``accountant curve``: the whole privacy curve of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from accountant.commands import choices, drawings, layout, origin, page_plan, present, renamed, sketch, telling, writing
from accountant.commands.following import following
from accountant.commands.options import (
    COUNT,
    NUMBER,
    DeltaOption,
    EpochsOption,
    PrecisionOption,
    Shared,
    SigmaOption,
    StepsOption,
)
from accountant.curves import MAX_ALPHA
from accountant.numerics import Floats, InputError, choice, digits, integer, number

if TYPE_CHECKING:
    from accountant.questions import Enclosed

OverOption = Annotated[
    str, typer.Option(**choices.closed("delta", "alpha"), help="delta (prints epsilon) or alpha (prints the Renyi divergence).")
]
FromOption = Annotated[float | None, typer.Option("--from", **NUMBER, help="First delta or alpha; default 1e-12 or 1.5.")]
ToOption = Annotated[float | None, typer.Option("--to", **NUMBER, help="Last delta or alpha; default 0.1 or 64.")]
PointsOption = Annotated[
    int,
    typer.Option("--grid", **COUNT, help="How many deltas or alphas, on a logarithmic scale, 2 to 10000."),
    renamed.Formerly("--points"),
]
OutputOption = Annotated[list[str] | None, writing.option(*writing.ALL), writing.FILES]
PlotOption = Annotated[bool, typer.Option("--plot", help="Draw the curve on the screen; -o curve.svg draws it to a file.")]


def places(over: str, first: float | None, last: float | None, points: int) -> Floats:
    """The deltas, or orders, of a curve, (points,)."""
    import numpy as np

    choice("over", over, ("delta", "alpha"))
    integer("points", points, at_least=2, at_most=10_000)
    defaults = (1e-12, 0.1) if over == "delta" else (1.5, 64.0)
    limits = {"above": 0.0, "below": 1.0} if over == "delta" else {"above": 1.0, "at_most": MAX_ALPHA}
    low = number("from", defaults[0] if first is None else first, **limits)
    high = number("to", defaults[1] if last is None else last, **limits)
    return np.clip(np.geomspace(low, high, points), min(low, high), max(low, high))


def curve(
    shared: Shared,
    sigma: SigmaOption,
    delta: DeltaOption = None,
    epochs: EpochsOption = None,
    steps: StepsOption = None,
    over: OverOption = "delta",
    first: FromOption = None,
    last: ToOption = None,
    points: PointsOption = 12,
    precision: PrecisionOption = None,
    output: OutputOption = None,
    plot: PlotOption = False,
) -> None:
    """epsilon against delta, or Renyi epsilon against alpha, for one run.

    Example: accountant curve --preset mnist --batch-size full --sigma 0.03 --epochs 1 --over alpha
    """
    present.check_precision(precision)
    writing.check(output, writing.ALL)
    grid = places(over, first, last, points)
    outcome = present.asked(shared.accountant, "epsilon", sigma=sigma, delta=delta, epochs=epochs, steps=steps)
    way = outcome.way
    if over == "alpha" and way is not None and max(way.added, way.redrawn) > 0:
        drawn = shared.accountant.algorithm.assignment
        raise InputError(
            f"over must be delta with assignment={drawn}: batches that come out too large have a chance "
            f"({max(way.added, way.redrawn):.3g}), which delta pays and no Renyi divergence has"
        )
    guarantee, length = outcome.guarantee, present.length(outcome)
    values = guarantee.epsilon(grid) if over == "delta" else guarantee.rdp(grid)
    result: dict[str, Any] = present.record(shared, "curve", outcome, delta_is_default=delta is None)
    result["over"] = over
    names = present.names_of(result)
    result["points"] = [dict(zip(names, pair, strict=True)) for pair in zip(grid.tolist(), values.tolist(), strict=True)]
    if precision is not None:
        unknown: Enclosed = "epsilon" if over == "delta" else "rdp"
        found = [
            present.precise(shared, precision, unknown, sigma=sigma, **{names[0]: at}, **length)[0] or {}
            for at in grid.tolist()
        ]
        for point, block in zip(result["points"], found, strict=True):
            point["precise"] = block[unknown]
        result["precision"] = {key: found[0][key] for key in ("digits", "arithmetic", "proved", "inputs")}
    rows = [present.noise_row(result), present.guarantee_row(result), present.length_row(result)]
    show(shared, result, [*rows, *present.common_rows(shared, result)], output=output, plot=plot)


def show(shared: Shared, result: dict[str, Any], rows: list[tuple[str, str]], *, output: list[str] | None, plot: bool) -> None:
    """Print the curve, draw it where asked for, and write it to the files of ``-o``."""
    next_ = present.certifying(shared) if output else following("curve", shared.context, output="curve.svg")
    of = shared.accountant.epsilon if shared.stepping is None else shared.step_accountant.epsilon
    with writing.writing(output, writing.ALL) as targets:
        writing.write(
            targets, lambda: telling.whole(result, next_=next_), rows=lambda: result["points"],
            picture=lambda part, kind: drawings.curve(part, kind, result),
            more={"html": lambda part: page_plan.save_curve(
                part, result, epsilon=of, files=origin.read(problem=shared.problem)
            )},
        )  # fmt: skip
    if not shared.json:
        screen = layout.console()
        over = "delta" if result["over"] == "delta" else "the order alpha of a Renyi divergence"
        noise = digits(result["sigma"], 10)
        said = f"epsilon against {over}, with sigma = {noise}, {present.after_length(result)}"
        told = f"{said}: every line is proved, and all of them for the same run, as is {present.guarantee_row(result)[1]}."
        screen.print(layout.text(told, style="bold"))
        screen.print(_table(result))
        if plot:
            across, up = names = present.names_of(result)
            points = [(point[across], point[up]) for point in result["points"]]
            for line in sketch.lines(points, width=screen.width - 2, names=names):
                screen.print(layout.text(line))
    telling.listed(shared, result, rows, "The run", next_=next_)


def _table(result: dict[str, Any]) -> layout.Grid:
    over, precision = result["over"], result.get("precision")
    titles = ["delta", "epsilon"] if over == "delta" else ["alpha", "Renyi epsilon"]
    if precision is not None:
        titles.append(f"to {present.plural(precision['digits'], 'digit')}")
    long = None if precision is None else len(titles) - 1
    table = layout.Grid(titles, names=len(titles), padding=(1, 1), wraps=long)
    for point in result["points"]:
        at, value = (point[name] for name in present.names_of(result))
        # Rounded to where the printed value holds: a smaller alpha, a larger delta.
        exact = [point["precise"]] if precision is not None else []
        table.add_row(digits(at, 10, down=over == "alpha"), digits(value, 10), *exact)
    return table
