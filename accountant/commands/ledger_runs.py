"""``accountant ledger process`` and ``refit``: what changes the model."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accountant.commands import renamed
from accountant.commands.ledger import DB, DbOption, JsonOption, OperatorOption, PlaceOption, date, opened, show
from accountant.commands.options import COUNT
from accountant.commands.present import plural
from accountant.numerics import digits

if TYPE_CHECKING:
    from accountant.ledger import Processed, Run


def process(
    *,
    db: DbOption = DB,
    everything: Annotated[
        bool,
        typer.Option("--now", help="Do not wait for the deadline: answer all that waits now."),
        renamed.Formerly("--all"),
    ] = False,
    refit_when_cheaper: Annotated[
        bool,
        typer.Option("--refit-when-cheaper", help="Learn again instead, if that takes fewer steps or nothing else is enough."),
    ] = False,
    at_most: Annotated[
        int | None, typer.Option(**COUNT, help="Records in one run, as of too many there is no certificate; default all.")
    ] = None,
    operator: OperatorOption = None,
    place: PlaceOption = None,
    json: JsonOption = False,
) -> None:
    """Finish what a crash left, then answer all that waits in one run, if something is urgent or nearly due.

    Exit code 1: the run was refused or failed, or files are damaged, which standard error says; requests wait on. 75: another
    process works on the ledger, or the database is away; try again later.

    Example: accountant ledger process
    """
    with opened(db, operator=operator, place=place) as ledger:
        done = ledger.process(everything=everything, refit_when_cheaper=refit_when_cheaper, at_most=at_most)
        show_processed(json, "ledger process", done)


def refit(*, db: DbOption = DB, operator: OperatorOption = None, place: PlaceOption = None, json: JsonOption = False) -> None:
    """Learn again, from the start, without the records of all that waits; exit codes as for process.

    Example: accountant ledger refit
    """
    with opened(db, operator=operator, place=place) as ledger:
        show_processed(json, "ledger refit", ledger.refit())


def show_processed(json: bool, command: str, done: Processed) -> None:
    result = {"command": command, **asdict(done)}
    rows: list[tuple[str, str]] = []
    for run in done.finished:
        rows += [("finished", "a run that was interrupted"), *_rows(run)]
    rows += [row for run in done.runs for row in _rows(run)]
    if not done.runs:
        rows += _waits(done)
    show(json, result, rows)


def _waits(done: Processed) -> list[tuple[str, str]]:
    """Why nothing ran."""
    rows = []
    if done.waiting and done.plan is not None:
        rows.append(("nothing to do", f"{plural(done.waiting, 'request')} can wait until {date(done.start)}"))
        rows.append(("all of them now", f"would take {plural(done.plan.steps, 'step')}{_each(done)}"))
    elif done.waiting:
        rows.append(("nothing to do", f"{plural(done.waiting, 'request')} can wait until {date(done.start)}"))
        rows.append(("all of them now", "no number of steps is enough: the model will be learned again then"))
    elif not done.finished:
        rows.append(("nothing to do", "no request waits"))
    return rows


def _each(done: Processed) -> str:
    return f" for the first of {done.parts} runs" if done.parts > 1 else ""


def _rows(run: Run) -> list[tuple[str, Any]]:
    word = {"unlearn": "unlearned", "refit": "learned again", "join": "joined"}[run.what]
    rows = [
        (f"run {run.number}", f"{word}: {plural(len(run.requests), 'request')} in {plural(run.steps, 'step')}"),
        ("holds now", run.statement),
    ]
    if run.epsilon is not None and run.delta is not None:
        rows.append(("guarantee", f"epsilon = {digits(run.epsilon)} at delta = {digits(run.delta)}"))
    rows.append(("certificate", run.certificate or f"none: {run.without}"))
    return rows
