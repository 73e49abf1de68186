"""``accountant compare`` for algorithms whose steps both runs share: noise and steps of every method, and a picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from accountant.bounds import to_check
from accountant.commands import drawings, field, layout, origin, page_compare, present, telling, writing
from accountant.commands.compare import KINDS
from accountant.commands.compare_words import refusals, show_assumptions
from accountant.commands.following import following
from accountant.commands.options import Shared, check_told
from accountant.numerics import InputError, integer, number
from accountant.questions import SCHEDULE

if TYPE_CHECKING:
    from accountant.methods import ComparedSteps


def compare(
    shared: Shared, *, epsilon: float, delta: float | None, epochs: int | None, steps: int | None, method: list[str] | None,
    plot: str | None, precision: int | None, unit: str, output: list[str] | None, all: bool, **streams: Any,
) -> None:  # fmt: skip
    """Every method at one guarantee and one number of steps; requests do not pile up, so there is no stream to compare."""
    from accountant._version import __version__
    from accountant.methods import STEP_METHODS, STEPWISE, compare_steps

    algorithm = shared.stepping
    assert algorithm is not None
    for name, value in {"epochs": epochs, "precision": precision, **streams}.items():
        if value is not None:
            why = "it is counted in steps" if name == "epochs" else "its requests do not pile up, each costs the same"
            raise InputError(f"{name} must be left out for {algorithm.name}: {'doubles only' if name == 'precision' else why}")
    if SCHEDULE in shared.settings:
        raise InputError("schedule must be left out to compare: the other methods are about one step size and one noise")
    check_told(algorithm.name, steps=steps, delta=delta)
    writing.check(output, KINDS)
    target = {"epsilon": number("epsilon", epsilon, at_least=0), "delta": number("delta", delta, above=0, below=1)}
    count = integer("steps", steps, at_least=1)
    rows = compare_steps(algorithm, **target, steps=count, methods=method or (tuple(STEP_METHODS) if all else STEPWISE))
    result = {
        "command": "compare", **target, "delta_is_default": False, "group_size": None, "steps": count,
        "retrain_gradient_evaluations": None, "problem": None,
        "algorithm": {"name": algorithm.name, **algorithm.to_dict()}, "methods": [row.to_dict() for row in rows],
        "group": None, "stream": None, "version": __version__,
        "to_check": list(to_check(rows[0].assumptions)) if rows else [],
        "next": following("sigma", shared.context, without=("method", "plot", "all")),
    }  # fmt: skip
    with writing.writing(output, KINDS, plot=plot) as targets:
        names = [row.method for row in rows if row.reason is None]
        writing.write(
            targets, lambda: result, rows=lambda: [_flat(row) for row in rows],
            picture=lambda part, kind: drawings.comparison_of_steps(part, kind, algorithm, target, count, names),
            more={"html": lambda part: page_compare.save_steps(
                part, result, algorithm=algorithm, files=origin.read(problem=shared.problem)
            )},
        )  # fmt: skip
    if shared.json:
        print(json.dumps(result, allow_nan=False))
        return
    _show(shared, result, rows, target, count, field_too=all)


def _flat(row: ComparedSteps) -> dict[str, object]:
    return {name: value for name, value in row.to_dict().items() if not isinstance(value, list | tuple)}


def _show(
    shared: Shared, result: dict[str, Any], rows: list[ComparedSteps], target: dict[str, float], steps: int, *, field_too: bool
) -> None:
    screen = layout.console()
    guarantee = present.guarantee_row({**target, "delta_is_default": False})[1]
    able = [row for row in rows if row.sigma is not None]
    if able:
        least = min(row.sigma or 0.0 for row in able) * (1 + 1e-9)
        best = next(row for row in able if (row.sigma or 0.0) <= least)
        said = (
            f"{best.method} ({best.title}) needs the least noise per step, sigma = {present.rough(best.sigma, 6)}: {guarantee}."
        )
        screen.print(layout.text(said, style="bold"))
    screen.print(
        f"One request, of any number of records, {present.plural(steps, 'step')}: what gives {guarantee}", style="italic"
    )
    table = layout.numbers(["method", "sigma", "of\noptimal", "steps", "blocks"], names=1)
    for row in rows:
        relative = "-" if row.relative is None else f"{row.relative:.4g} x"
        table.add_row(row.method, present.rough(row.sigma, 6), relative, *(_count(value) for value in (row.steps, row.blocks)))
    screen.print(table)
    screen.print(
        "sigma: standard deviation of one step's noise, per parameter, without sqrt(2 eta); of output perturbation, of its "
        "only noise. blocks: parts of the run that contract between clips. Requests do not pile up: each starts again from a "
        "clipped model, and groups of any size cost the same."
    )
    if field_too:
        field.show(screen, result["methods"])
    for row in rows:
        said = field.told(row.to_dict()) if field_too else f"{row.method}: {row.title}"
        proved = f"; proves {row.proves}" if shared.verbose and not field_too else ""
        screen.print(layout.bullet(f"{said}{proved}{f'; {row.noise}; {row.source}' if shared.verbose else ''}"))
    refusals(screen, {row.method: row.reason for row in rows if row.reason is not None})
    if shared.verbose:
        show_assumptions(screen, [(row.method, row.assumptions) for row in rows])
    else:
        screen.print(f"[bold]For you to check, of {rows[0].method}[/bold]")
        for line in to_check(rows[0].assumptions):
            screen.print(layout.bullet(line))
        screen.print("(--verbose: what every method rests on, and what its sigma is)")
    telling.next_command(screen, result["next"])


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)
