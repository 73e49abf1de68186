"""What ``accountant ledger init`` says of what runs: the backend and its arguments."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from accountant.commands import choices, paths
from accountant.commands.options import COUNT
from accountant.numerics import InputError, choice

_PANEL: Final = "Another trainer"
BackendOption = Annotated[
    str | None,
    typer.Option(
        **choices.closed("estimator", "command", "python", "torch"),
        help="What runs: estimator, command (as --run says), python or torch (as --call says); default what fits.",
        rich_help_panel=_PANEL,
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="A command that removes the rows in {file} with {steps} noisy steps; {sigma}, {model}, {output} besides. "
        "No shell reads it.",
        rich_help_panel=_PANEL,
    ),
]
AgainOption = Annotated[
    str | None,
    typer.Option(
        "--refit-run", metavar="COMMAND", help="A command that learns again without the rows in {file}.", rich_help_panel=_PANEL
    ),
]
CallOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION", help="A Python function that does it, or gives torch its parts.", rich_help_panel=_PANEL
    ),
]
ProblemOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        autocompletion=choices.problem_files,
        help="TOML file with the algorithm's constants, sigma, epsilon and delta.",
        rich_help_panel=_PANEL,
    ),
    paths.Read(),
]
StepsOption = Annotated[
    int | None,
    typer.Option(**COUNT, help="Noisy steps of every run, where sigma or epsilon is left out.", rich_help_panel=_PANEL),
]
PastOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RECORDS:STEPS",
        help="Of noisy SGD: a request that the model answered before this ledger began; given in order, each.",
        rich_help_panel=_PANEL,
    ),
]
RefitStepsOption = Annotated[
    int | None, typer.Option(**COUNT, help="Steps of learning again, to be compared with.", rich_help_panel=_PANEL)
]
PublicOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Of torch: a parameter or buffer that stays; may be given again.", rich_help_panel=_PANEL
    ),
]
BuffersOption = Annotated[
    str | None,
    typer.Option(
        **choices.closed("refuse", "reset"), help="Of torch: running statistics; default refuse.", rich_help_panel=_PANEL
    ),
]
DiscloseOption = Annotated[
    bool,
    typer.Option(
        "--disclose-class",
        help="Entries and exports may tell the class of norm of removed records, by the steps of their requests.",
        rich_help_panel=_PANEL,
    ),
]
#: By option, the backends that have it, as arguments call it.
_HAVE: Final = {
    "run": ("command",),
    "refit_run": ("command",),
    "call": ("python", "torch"),
    "problem": ("command", "python", "torch"),
    "steps": ("command", "python", "torch"),
    "past": ("command", "python"),
    "refit_steps": ("command", "python"),
    "public": ("torch",),
    "buffers": ("torch",),
    "disclose_class": ("estimator", "command", "python"),
}
_CALLED: Final = {"refit_run": "refit"}


def chosen(backend: str | None, **options: Any) -> tuple[str, dict[str, Any]]:
    """The backend and its arguments; InputError for options that it has not, and for those that it needs."""
    from accountant.ledger import BACKENDS, read_problem

    given = {name: value for name, value in options.items() if value is not None and value != []}
    if backend is None:
        backend = "command" if "run" in given else "python" if "call" in given else "estimator"
    choice("backend", backend, tuple(BACKENDS))
    for name in given:
        if backend not in _HAVE[name]:
            raise InputError(f"{name} must be left out for backend {backend}: it goes with {' or '.join(_HAVE[name])}")
    needed = {"command": ("run", "problem"), "python": ("call", "problem"), "torch": ("call", "problem")}.get(backend, ())
    for name in needed:
        if name not in given:
            raise InputError(f"{name} must be given for backend {backend}")
    if "problem" in given:
        given["problem"] = read_problem(given["problem"])
    if "past" in given:
        given["past"] = [_pair(each) for each in given["past"]]
    return backend, {_CALLED.get(name, name): value for name, value in given.items()}


def _pair(text: str) -> list[int]:
    """RECORDS:STEPS."""
    records, _, steps = text.partition(":")
    try:
        return [int(records), int(steps)]
    except ValueError:
        raise InputError(f"past must be RECORDS:STEPS, as 1:77, got {text!r}") from None
