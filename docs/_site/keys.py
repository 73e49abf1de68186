"""Tables of the keys of ``--json``, from answers that the program gives while the site is built.

A block ``{answer} WORDS`` of a page becomes the table of what ``accountant WORDS --json`` prints.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from typer.testing import CliRunner

from accountant.commands import glossary
from accountant.commands.program import app as program

BLOCK = re.compile(r"^```\{answer\} (.*)\n```$", re.MULTILINE)
TYPES = {
    bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null", list: "list", dict: "object",
}  # fmt: skip
#: What an example may take of a line.
LONGEST = 36


def answer(words: str) -> Any:
    """What the program prints; 1 is the exit code of a verdict."""
    result = CliRunner().invoke(program, [*shlex.split(words), "--json"])
    if result.exit_code not in (0, 1):
        raise ValueError(f"accountant {words}: {result.output}")
    return json.loads(result.stdout)


def paths(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its value; of a list, those of all its entries."""
    for key, inner in value.items():
        here = f"{at}{key}"
        yield here, inner
        if isinstance(inner, dict):
            yield from paths(inner, f"{here}.")
        elif isinstance(inner, list):
            for each in inner:
                if isinstance(each, dict):
                    yield from paths(each, f"{here}[].")


def _shown(values: list[Any]) -> str:
    """The first value that says something, if it is short."""
    for value in values:
        text = json.dumps(value, ensure_ascii=False)
        if value is not None and not isinstance(value, dict | list) and len(text) <= LONGEST:
            return f"`{text.replace('|', chr(92) + '|')}`"
    return "…" if any(isinstance(value, dict | list | str) for value in values) else "`null`"


def _kinds(values: list[Any]) -> str:
    kinds = list(dict.fromkeys(type(value) for value in values))
    if float in kinds and int in kinds:
        kinds.remove(int)
    return ", ".join(TYPES[kind] for kind in sorted(kinds, key=lambda kind: kind is type(None)))


def table(found: re.Match[str]) -> str:
    """The Markdown table of an answer."""
    said: dict[str, list[Any]] = {}
    for path, value in paths(answer(found[1])):
        said.setdefault(path, []).append(value)
    lines = [f"    accountant {found[1]} --json", "", "| key | type | for example | see |", "| --- | --- | --- | --- |"]
    for path, values in said.items():
        entry = glossary.find(path.rpartition(".")[2])
        term = "–" if entry is None else f"{{term}}`{entry.term}`"
        lines.append(f"| `{path}` | {_kinds(values)} | {_shown(values)} | {term} |")
    return "\n".join(lines)


def add(app: Any, docname: str, source: list[str]) -> None:
    source[0] = BLOCK.sub(table, source[0])


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
