"""How a function becomes a command: with the shared options beside its own, and all that is missing said at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import typer

from accountant.commands import calls, layout, paths, renamed
from accountant.commands.options import Shared, shared_parameters
from accountant.commands.words import filled, settled
from accountant.numerics import InputError
from accountant.questions import BATCHES, DEFAULT, SCHEDULE, TARGET

#: What is said where something of the problem is missing, and where only what is asked for is.
_PROBLEM: Final = "--preset NAME or --problem FILE give the constants of a problem"
#: Options of the length of unlearning, of which commands that need one have both.
_LENGTH: Final = ("epochs", "steps")


def register(
    app: typer.Typer,
    function: Callable[..., None],
    *,
    needs: str | None = "accountant",
    length: bool = False,
    common: Callable[..., None] | None = None,
) -> None:
    """Add ``function(shared, *, own options)`` to the app, with the shared options beside its own.

    needs: what the shared options must make, an "accountant" or a "setup", before anything else is looked at; None: they need
    not be complete, and the function's own options are all its affair. length: whether one of epochs and steps must be given
    unless a schedule says it. common: what is called in its place, with the same options, for an algorithm whose steps both
    runs share.
    """
    # Where every method has its own bound, there is none to choose.
    shared = shared_parameters(without=() if needs == "accountant" else ("bound",))
    own = _own(list(inspect.signature(function, eval_str=True).parameters.values())[1:])
    # A problem file may say the target, and what is missing is said at once: nothing is required until all has been read.
    required = {p.name for p in own if needs and p.default is inspect.Parameter.empty}
    own = [parameter.replace(default=None) if parameter.name in required else parameter for parameter in own]

    def computed(**values: Any) -> None:
        mine = {parameter.name: values.pop(parameter.name) for parameter in own}
        words = {name: values.pop(name) for name in ("preset", "problem", "json", "verbose", "context") if name in values}
        asked, runs = Shared(values, **words), function
        if needs is not None:
            mine |= filled(asked.settings, mine)
        mine = {name: None if name in TARGET and value == DEFAULT else value for name, value in mine.items()}
        if needs is not None:
            missing = _missing(asked, mine, required, length=length)
            if asked.settings.get("algorithm", BATCHES) != BATCHES and common is None and asked.stepping is not None:
                raise InputError(f"algorithm must be {BATCHES} for {function.__name__}, got {asked.stepping.name}")
            if _made(asked, needs, missing):
                assert common is not None
                runs = common
        mine = settled(mine, asked.settings.get("n"))
        with layout.first([] if asked.json else asked.stated.lines):
            runs(asked, **mine)

    _add(app, functools.update_wrapper(computed, function), [*own, *shared])


def _missing(shared: Shared, mine: Mapping[str, Any], required: Collection[str], *, length: bool) -> list[str]:
    """The command's own options that must be given and are not."""
    missing = [name for name in mine if name in required and mine[name] is None]
    batches = shared.settings.get("algorithm", BATCHES) == BATCHES
    if not batches and "delta" in mine and mine["delta"] is None and "over" not in mine:
        # There is no n, and so no default 1/n.
        missing.append("delta")
    given = [name for name in (*_LENGTH, "requests") if mine.get(name) is not None]
    if length and not given and SCHEDULE not in shared.settings:
        missing.append("|".join(_LENGTH) if batches else "steps")
    return missing


def _made(shared: Shared, needs: str, missing: list[str]) -> bool:
    """Make what the shared options are of, or refuse with all that is missing; whether it is an algorithm of common steps."""
    problem: tuple[str, ...] = ()
    common = False
    try:
        common = shared.stepping is not None
        _ = shared.step_accountant if common else getattr(shared, needs)
    except InputError as error:
        if not error.missing:
            raise
        problem = error.missing
    if problem or missing:
        names = [*problem, *missing]
        hint = None
        if (
            problem
            and shared.preset is None
            and shared.problem is None
            and shared.settings.get("algorithm", BATCHES) == BATCHES
        ):
            hint = f"{_PROBLEM}, --loss NAME derives them" if "loss" in shared.options else _PROBLEM
        elif "delta" in names:
            hint = "without n there is no default 1/n of delta"
        elif not problem and any(name in TARGET for name in names):
            hint = "a problem file may say the target, too"
        raise InputError(f"{' and '.join(names)} must be given", hint=hint, missing=names)
    return common


def register_alone(app: typer.Typer, function: Callable[..., None]) -> None:
    """Add ``function`` to the app with its own options only."""
    _add(app, function, _own(inspect.signature(function, eval_str=True).parameters.values()))


def _own(parameters: Collection[inspect.Parameter]) -> list[inspect.Parameter]:
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]


def _add(app: typer.Typer, function: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """A command that looks at files that are read and written at once before anything else."""
    marked = paths.marks(parameters)

    @functools.wraps(function)
    def command(**values: Any) -> None:
        paths.check(marked, values)
        function(**values)

    # Required options first, as a signature demands; typer reads names, types and defaults from here.
    parameters = sorted(parameters, key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del command.__wrapped__
    calls.marked(command, renamed.old_names(parameters), renamed.going(parameters))
    app.command(cls=calls.Command)(command)
