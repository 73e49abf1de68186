"""Old names of options: they work for one release, ``--help`` does not show them, and a note says what they are now."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_args


class Formerly:
    """In the annotation of an option: names that it had before, such as ``--points``."""

    def __init__(self, *names: str) -> None:
        self.names = names


class Old(NamedTuple):
    """In the annotation of a hidden option that is to go: what is to be written instead, such as ``-o FILE.csv``."""

    instead: str


def old_names(parameters: Iterable[inspect.Parameter]) -> dict[str, str]:
    """The parameter that each old name is now."""
    return {name: each.name for each in parameters for mark in _marks(each, Formerly) for name in mark.names}


def going(parameters: Iterable[inspect.Parameter]) -> dict[str, str]:
    """What is to be written instead of each parameter that is to go."""
    return {each.name: mark.instead for each in parameters for mark in _marks(each, Old)}


def _marks(parameter: inspect.Parameter, kind: type[Any]) -> list[Any]:
    return [mark for mark in get_args(parameter.annotation)[1:] if isinstance(mark, kind)]


def note(old: str, instead: str, *, as_json: bool) -> None:
    """Say on standard error that an option has a new name."""
    message = f"{old} is now {instead}; the old name goes with the next release"
    if as_json:
        print(json.dumps({"note": {"message": message, "option": old, "instead": instead}}), file=sys.stderr)
    else:
        print(f"Note: {message}", file=sys.stderr)


def notes(instead: Mapping[str, str], values: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Say what is to be written for each option that is to go and was given; names: of the options, by parameter."""
    for name, new in instead.items():
        if values.get(name) not in (None, False, (), []):
            note(names[name], new, as_json=bool(values.get("json")))


def renewed(args: Sequence[str], new: Mapping[str, str], values: Iterable[str]) -> tuple[list[str], list[str]]:
    """``args`` with new names for old ones, and the old ones that were there.

    new: the new name of each old one. values: names of options, old ones too, that are followed by a value.

    >>> renewed(["--points", "5", "--reason", "--points"], {"--points": "--grid"}, ["--points", "--reason"])
    (['--grid', '5', '--reason', '--points'], ['--points'])
    """
    found: list[str] = []
    made: list[str] = []
    takes, rest = set(values), iter(args)
    for word in rest:
        if word == "--":
            return [*made, word, *rest], found
        name, equals, value = word.partition("=")
        if name in new and (equals or name == word):
            found.append(name)
            word = new[name] + equals + value
        made.append(word)
        if name in takes and not equals:
            made += [after for after in [next(rest, None)] if after is not None]
    return made, found
