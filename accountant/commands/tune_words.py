"""What ``accountant tune`` says: what to take, what else could be taken, and what was refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accountant.commands import layout, present, telling
from accountant.numerics import digits

if TYPE_CHECKING:
    from accountant.requests import Tried, Tuned, TunedSetting


def _answer(made: Tuned, result: dict[str, Any]) -> str:
    """What to take, and what it then costs."""
    best, guarantee = made.chosen, present.guarantee_row(result)[1]
    settings = f"batch size {best.batch_size}, regularisation {digits(best.regularisation)}"
    learning = f"{present.plural(best.learn_epochs, 'epoch')} of learning and sigma = {digits(best.sigma, 10)}"
    cost = f"{present.plural(best.requests, 'request')} cost {result['chosen']['fits']:.4g} fits in all"
    return f"Take {settings}, {learning}: noise {digits(best.noise, 3)} stays in the model, and {cost}, with {guarantee}"


def show(made: Tuned, result: dict[str, Any], *, verbose: bool) -> None:
    """Print the answer, the settings of which none is better in everything, what was refused, and what to do next."""
    screen = layout.console()
    screen.print(layout.text(f"{_answer(made, result)}.", style="bold"))
    if made.chosen.warning:
        screen.print(layout.text(f"Warning: {made.chosen.warning}", style="yellow"))
    screen.print("No setting is better in everything", style="italic")
    screen.print(_table(made))
    told = (
        "noise: standard deviation that stays in a coordinate of the model; /request and in all: gradient evaluations in epochs"
    )
    told += " of the data, in all with learning"
    screen.print(f"{told}; merged: in all where those of a window go together" if made.window else told)
    if verbose:
        screen.print("Chosen", style="italic")
        screen.print(layout.facts(_facts(made, result)))
    if made.refused:
        screen.print("[bold]Refused[/bold]")
        for line in _refusals(made):
            screen.print(layout.bullet(line))
    telling.closing(screen, result["assumptions" if verbose else "to_check"], result["next"], verbose=verbose)


def _table(made: Tuned) -> layout.Grid:
    scored = any(row.score is not None for row in made.front)
    titles = ["lambda", "batch", "epochs", "sigma", "noise", "/request", "in all"]
    titles += [*(["merged"] if made.window is not None else []), *(["score"] if scored else [])]
    table = layout.numbers(titles)
    for row in made.front:
        setting, n = row.setting, made.question.n
        cells = [digits(setting.regularisation, 3), str(setting.batch_size), str(setting.learn_epochs)]
        cells += [digits(setting.sigma, 4), digits(setting.noise, 3)]
        cells += [digits(cost / n, 3) for cost in (setting.gradient_evaluations_per_request, row.evaluations_in_all)]
        if made.window is not None:
            merged = None if row.merged is None else (row.merged + setting.learning_gradient_evaluations) / n
            cells.append(present.rough(merged, 3))
        if scored:
            cells.append("-" if row.score is None else f"{row.score:.4g}")
        table.add_row(*cells)
    return table


def _facts(made: Tuned, result: dict[str, Any]) -> list[tuple[str, str]]:
    best: TunedSetting = made.chosen
    chosen, count = result["chosen"], present.plural(best.requests, "request")
    rows = [
        present.guarantee_row(result),
        ("batch size", f"{best.batch_size} of {made.question.n} records, step size {digits(best.step_size)}"),
        ("regularisation", digits(best.regularisation)),
        ("learning", f"{present.plural(best.learn_epochs, 'epoch')} of {best.algorithm.steps_per_epoch} steps"),
        ("noise sigma", f"{digits(best.sigma, 10)}; {digits(best.noise, 3)} stays in the model"),
        ("a request", f"{best.steps_per_request:.6g} steps on average, {best.last_steps:g} the last of {count}"),
        ("requests", f"{chosen['fits']:.4g} fits in all"),
    ]
    if chosen["redraw"]:
        rows.append(("batches", "own draws: redraw the key at the start until none is too large"))
    if best.warning:
        rows.append(("warning", best.warning))
    return rows


def _refusals(made: Tuned) -> list[str]:
    """Each reason once, with the settings that it is of."""
    reasons: dict[str, list[Tried]] = {}
    for row in made.refused:
        reasons.setdefault(str(row.setting.refused), []).append(row)
    lines = []
    for reason, rows in reasons.items():
        named = sorted({(row.setting.batch_size, row.setting.regularisation, row.setting.learn_epochs) for row in rows})
        told = "; ".join(f"batch {size}, lambda {penalty:g}, {epochs} epochs" for size, penalty, epochs in named[:4])
        more = f"; and {len(named) - 4} more" if len(named) > 4 else ""
        lines.append(f"{told}{more}: {reason}")
    return lines
