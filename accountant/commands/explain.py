"""``accountant explain``: what a term means that the program prints."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any, NamedTuple

import typer

from accountant.commands import glossary, layout
from accountant.numerics import InputError


def _completed(incomplete: str) -> list[str]:
    return sorted(entry.term for entry in glossary.entries() if entry.term.casefold().startswith(incomplete.casefold()))


TermArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TERM]",
        help="A term, a symbol, an option or a key of --json; without it all terms.",
        autocompletion=_completed,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Option(NamedTuple):
    """What the help says of an option, and the commands that have it."""

    name: str
    help: str
    commands: tuple[str, ...]


def _options(name: str) -> list[Option]:
    """Every meaning that an option has in the program."""
    from accountant.commands.program import app

    found: dict[str, list[str]] = {}

    def look(command: Any, path: str) -> None:
        for inner, each in getattr(command, "commands", {}).items():
            look(each, f"{path} {inner}".strip())
        for parameter in command.params:
            text = getattr(parameter, "help", None)
            if name in (*parameter.opts, *parameter.secondary_opts) and text and not getattr(parameter, "hidden", False):
                found.setdefault(text, []).append(path)

    look(typer.main.get_command(app), "")
    return [Option(name, text, tuple(dict.fromkeys(commands))) for text, commands in found.items()]


def _print(entry: glossary.Entry | None, options: list[Option]) -> None:
    screen = layout.console()
    if entry is not None:
        screen.print(entry.term, style="bold")
        screen.print(entry.meaning, markup=False)
        if entry.also:
            screen.print(f"Also: {', '.join(entry.also)}", style="dim", markup=False)
    for option in options:
        screen.print(option.name, style="bold", markup=False)
        screen.print(option.help, markup=False)
        screen.print(f"In: {', '.join(option.commands)}", style="dim", markup=False)


def explain(term: TermArgument = None, json: JsonOption = False) -> None:
    """What a term means: the glossary's entry, also of symbols, options and keys of --json.

    Example: accountant explain mu
    """
    if not term:
        entries = sorted(glossary.entries(), key=lambda entry: entry.term.casefold())
        if json:
            print(json_module.dumps({"command": "explain", "terms": [entry._asdict() for entry in entries]}))
            return
        layout.console().print(
            layout.facts((entry.term, entry.meaning.partition(": ")[0].partition(". ")[0]) for entry in entries)
        )
        return
    word = " ".join(term)
    entry = glossary.find(word)
    options = (
        _options(word) if word.startswith("--") else [] if entry else _options("--" + "-".join(word.replace("_", "-").split()))
    )
    if entry is None and not options:
        near = glossary.near(word)
        raise InputError(
            f"term must be one of the glossary (accountant explain lists them), got {word!r}"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
        )
    if json:
        made = {"command": "explain", "term": word, "entry": None if entry is None else entry._asdict()}
        print(json_module.dumps(made | {"options": [option._asdict() for option in options]}))
        return
    _print(entry, options)
