"""``accountant plan``: what deletion requests cost as they come, and from when on retraining is cheaper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from accountant.commands import drawings, files, layout, paths, pictures, present
from accountant.commands.options import COUNT, NUMBER, DeltaOption, EpsilonOption, PrecisionOption, Shared
from accountant.numerics import InputError, digits, integer

if TYPE_CHECKING:
    from accountant.requests import Arrival, Plan, Reached


def _file(text: str, values: Mapping[str, Any]) -> Iterable[str]:
    """The file that the requests stand in, where they are not just counted."""
    return () if counted(text) is not None else (text,)


RequestsOption = Annotated[
    str,
    typer.Option(
        metavar="COUNT|FILE",
        help="How many requests; or a CSV file with a header, a column time (ISO dates or seconds) and, if wanted, points, "
        "and joined: records that join then (own draws).",
    ),
    paths.Read(_file),
]
NoiseOption = Annotated[
    float | None,
    typer.Option(**NUMBER, help="Noise sigma > 0; every step adds N(0, 2 eta sigma^2 I). --optimize can choose it."),
]
PointsOption = Annotated[int | None, typer.Option(**COUNT, help="Points per request, with a COUNT of them; default 1.")]
UnitOption = Annotated[str, typer.Option(metavar="steps|epochs", help="Unlearn single steps or whole epochs.")]
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
    typer.Option(metavar="TEXT", help="With a published bound: another one, paper or paper-geometric, for the first request."),
]
CsvOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write every processed request to a CSV file."), paths.Written()
]
PlotOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Draw the accumulated cost: a .png or .svg file."), paths.Written()
]
_MAX_REQUESTS: Final = 10_000_000
#: Longer tables show their first and last rows only.
_LONG, _FIRST, _LAST = 24, 12, 6


def plan(
    shared: Shared,
    epsilon: EpsilonOption,
    requests: RequestsOption,
    sigma: NoiseOption = None,
    delta: DeltaOption = None,
    points: PointsOption = None,
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
    pictures.check(plot)
    arrivals = _requests(requests, points)
    target: dict[str, Any] = {
        "epsilon": epsilon, "delta": delta, "unit": unit, "deadline": deadline, "first_bound": first_bound,
    }  # fmt: skip
    with files.replacing("csv", csv) as rows_file, files.replacing("plot", plot) as picture:
        with files.progress("planning") as progress:
            choice: dict[str, Any] = {"sigma": sigma, "window": window}
            if optimize:
                best = cheapest(shared.accountant, arrivals, **choice, **target, max_sigma=max_sigma, progress=progress)
                choice = best._asdict()
            made = make_plan(shared.accountant, arrivals, **choice, **target, retrain_epochs=retrain_epochs, progress=progress)
            precise = None
            if precision is not None:
                precise = reached_digits(shared.accountant, made, digits=precision, sigma=sigma is None, progress=progress)
        result = _record(shared, made, delta_is_default=delta is None)
        if precision is not None and precise is not None:
            _add_digits(shared, result, precise, precision)
        if rows_file is not None:
            files.write_rows(rows_file, result["requests"])
        if plot is not None and picture is not None:
            drawings.plan(picture, pictures.kind(plot), made)
    if shared.json:
        present.show(shared, result, [], "")
        return
    screen = layout.console()
    screen.print("What is processed when", style="italic")
    screen.print(_table(made))
    screen.print(
        "gradients: per-sample gradient evaluations; /each and /once: unlearning so far, against retraining at every request "
        "and against retraining once now"
    )
    # The rows that all commands have, but that for the mu of a single deletion.
    common = {"gradient_evaluations": made.total_gradient_evaluations, "mu_worst": None, "group_size": 1}
    present.show(shared, result | common, _totals(result, made), "In all")


def _requests(text: str, points: int | None) -> list[Arrival] | list[int]:
    count = counted(text)
    if count is None:
        if points is not None:
            raise InputError(f"points must be left out where requests is a file, got {points}")
        from accountant.requests import read_requests

        return read_requests(text)
    integer("requests", count, at_least=1, at_most=_MAX_REQUESTS)
    return [integer("points", 1 if points is None else points, at_least=1)] * count


def counted(text: str) -> int | None:
    """The number of requests, if that is what stands there."""
    try:
        return int(text)
    except ValueError:
        return None


def _record(shared: Shared, made: Plan, *, delta_is_default: bool) -> dict[str, Any]:
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
            "requests are processed one after the other, each on the model that the one before it left, and each is "
            f"compared with {_left(made)}",
        ],
        "problem": {"preset": shared.preset, **algorithm.problem.to_dict()},
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


def _totals(result: dict[str, Any], made: Plan) -> list[tuple[str, str]]:
    count, points = len(made.requests), sum(row.points for row in made.requests)
    spent, each = made.total_gradient_evaluations, made.retrain_gradient_evaluations
    length = result | {"steps": made.total_steps, "epochs": made.total_epochs}
    rows = [
        present.noise_row(result),
        present.guarantee_row(result),
        ("processed", f"{present.plural(count, 'request')}, {present.plural(points, 'point')}"),
        *([("joined", present.plural(made.joined, "record"))] if made.joined else []),
        present.length_row(length),
        *([("batches", "own draws: redraw the key at the start until none is too large")] if made.redraw else []),
    ]
    if each is None:
        rows.append(("break-even", "not known: give the epochs of one retraining as --retrain-epochs"))
    else:
        epochs, once = present.plural(made.retrain_epochs or 0, "epoch"), each // count
        more = f", {each / spent:.4g} times as much" if spent else ""
        rows.append(("retraining", f"{once} for {epochs} once; {each} at every request{more}"))
        if made.break_even is None:
            says = "retraining once now does not become cheaper within this plan"
        else:
            says = f"retraining once now becomes cheaper from request {made.break_even} on"
        rows.append(("break-even", says))
    if made.longest_wait is not None:
        within = "" if made.deadline is None else f" of at most {_span(made.deadline)}"
        window = "none, each arrival at once" if made.window is None else _span(made.window)
        rows.append(("window", f"{window}; longest wait {_span(made.longest_wait)}{within}, then the steps"))
    if made.first_bound is not None:
        rows.append(("first request", f"under the {made.first_bound} bound"))
    reached = [row.mu_worst for row in made.requests if row.mu_worst is not None]
    if reached:
        rows.append(("mu, worst batch", f"{digits(max(reached))} at most, over all requests"))
    if "precision" in result:
        block = result["precision"]
        meanings = {"epsilon": "at most, over all requests", "sigma": "would do for these steps"}
        rows += [(name, f"{block[name]} {words}, {present.how(block)}") for name, words in meanings.items() if block[name]]
        if block["reason"]:
            rows.append(("digits lack", block["reason"]))
    return rows


def _span(seconds: float) -> str:
    """A duration in the largest unit that it fills."""
    for name, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds / length:.6g} {name}{'' if seconds == length else 's'}"
    return f"{seconds:.6g} seconds"


def _table(made: Plan) -> layout.Grid:
    timed = made.longest_wait is not None
    titles = ["request", *(["processed"] if timed else []), "points", made.unit, "gradients", "in all", "/each", "/once"]
    table = layout.Grid(titles, names=0, padding=(0, 1))
    rows = made.requests
    daily = made.dated and all(row.time is not None and row.time % 86_400 == 0 for row in rows)
    for at in range(len(rows)) if len(rows) <= _LONG else [*range(_FIRST), None, *range(len(rows) - _LAST, len(rows))]:
        if at is None:
            table.add_row(*["..."] * len(titles))
            continue
        row = rows[at]
        cells = [str(row.request)]
        if timed:
            when = made.shown_time(row)
            cells.append(when[: 10 if daily else 16].replace("T", " ") if isinstance(when, str) else f"{when:.10g}")
        cells += [str(row.points), f"{row.epochs if made.unit == 'epochs' else row.steps}"]
        cells += [_compact(row.gradient_evaluations), _compact(row.total_gradient_evaluations)]
        for other in (row.retrain_each_gradient_evaluations, row.retrain_once_gradient_evaluations):
            cells.append("-" if other is None else f"{row.total_gradient_evaluations / other:.3g}")
        table.add_row(*cells)
    return table


def _compact(value: int) -> str:
    """Counts of up to five digits in full, larger ones with four digits: 1.126M."""
    for name, size in (("P", 10**15), ("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if value >= size:
            return f"{value / size:.4g}{name}"
    return str(value) if value < 10**5 else f"{value / 1000:.4g}k"
