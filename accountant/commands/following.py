"""The command to run next, made of what was typed, and how a command is set so that it can be copied from the screen."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

#: Options of a call that say how it answers, not what is asked.
_HOW = frozenset({"json", "verbose", "output", "precision"})


def following(command: str, context: typer.Context | None, *, without: Collection[str] = (), **given: Any) -> str | None:
    """``accountant command`` with the options that were typed, and with those ``given``; None where nobody typed anything.

    without: parameters of this call that the next command has not. Truths that are given are flags: --name or --no-name.
    """
    if context is None:
        return None
    words = ["accountant", command]
    first = ("preset", "problem")
    for parameter in sorted(context.command.params, key=lambda parameter: parameter.name not in first):
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if given.get(name) is not None or name in _HOW or name in without or source is None or source.name != "COMMANDLINE":
            continue
        if parameter.param_type_name == "option":
            words += _typed(parameter, context.params[name])
    for name, value in given.items():
        spelled = "-o" if name == "output" else "--" + name.strip("_").replace("_", "-")
        if isinstance(value, bool):
            words.append(spelled if value else spelled.replace("--", "--no-", 1))
        elif value is not None:
            words += [spelled, _text(value)]
    return shlex.join(words)


def _typed(parameter: Any, value: Any) -> list[str]:
    opts = [*parameter.opts, *parameter.secondary_opts]
    spelled = next((opt for opt in opts if opt.startswith("--")), opts[0])
    if getattr(parameter, "is_flag", False):
        no = next((opt for opt in parameter.secondary_opts if opt.startswith("--")), spelled)
        return [spelled if value else no]
    return [word for each in (value if isinstance(value, list | tuple) else [value]) for word in (spelled, _text(each))]


def _text(value: Any) -> str:
    """A value as it can be typed again."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def set_command(command: str, width: int) -> Iterator[str]:
    """The lines of a command: none but of an option and its value is longer than ``width``, and a shell reads them as one.

    >>> print("\\n".join(set_command("accountant sigma --preset mnist --epsilon 1 --epochs 1", 40)))
    accountant sigma --preset mnist \\
      --epsilon 1 --epochs 1
    """
    parts: list[str] = []
    for word in map(shlex.quote, shlex.split(command)):
        # An option and its value stay together.
        alone = not parts or word.startswith("-") or not parts[-1].startswith("-") or " " in parts[-1]
        parts[len(parts) if alone else -1 :] = [word] if alone else [f"{parts[-1]} {word}"]
    line = parts[0] if len(parts) < 2 or parts[1].startswith("-") else " ".join(parts[:2])
    for part in parts[1 if line == parts[0] else 2 :]:
        if len(f"{line} {part}") > width - 2:
            yield f"{line} \\"
            line = f"  {part}"
        else:
            line = f"{line} {part}"
    yield line


def typed(context: typer.Context | None) -> frozenset[str]:
    """The parameters that were typed, by name."""
    names = () if context is None else context.params
    sources = {name: context.get_parameter_source(name) for name in names} if context is not None else {}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")
