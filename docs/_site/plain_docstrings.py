"""Docstrings are plain prose: formulas with bars and stars, indented schemes, examples. This makes them what Sphinx reads.

A dataclass's fields say in their metadata what they mean, the same words as in ``--help``: they become its parameters.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import Any

#: What stays as it is: literals in one or two backquotes, and roles.
LITERAL = re.compile(r"(:[a-z:]+:`[^`]+`|``[^`]+``|`[^`]+`)")
ITEM = re.compile(r"\s*([-*]|\d+\.)\s")


def _inline(line: str) -> str:
    """A line of prose, with everything escaped that would be markup."""
    parts = LITERAL.split(line)
    for at, part in enumerate(parts):
        if at % 2 == 0:
            parts[at] = re.sub(r"([\\*|])", r"\\\1", re.sub(r"(\w)_(?=\W|$)", r"\1\\_", part))
        elif part[0] == "`" and part[1] != "`":
            parts[at] = f"`{part}`"
    return "".join(parts)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def marked_up(lines: list[str]) -> list[str]:
    """The lines of a plain docstring as reStructuredText.

    >>> marked_up(["At most |B_j| points:", "", "    h = 2 eta M/|B_j|", "", "- *all* of them"])
    ['At most \\\\|B_j\\\\| points:', '', '::', '', '    h = 2 eta M/|B_j|', '', '- \\\\*all\\\\* of them']
    """
    out: list[str] = []
    mode = "prose"
    for at, line in enumerate(lines):
        blank = not line.strip()
        if line.lstrip().startswith(">>>") and mode != "literal":
            if mode == "prose" and out and out[-1].strip():
                out.append("")
            mode = "example"
        elif blank and mode == "example":
            mode = "prose"
        if mode == "example" or blank:
            out.append(line)
            continue
        if ITEM.match(line):
            if mode == "prose" and out and out[-1].strip():
                out.append("")
            mode = "list"
            mark = ITEM.match(line)
            assert mark is not None
            out.append(line[: mark.end()] + _inline(line[mark.end() :]))
            continue
        if not _indent(line):
            mode = "prose"
        elif mode == "prose" and at and not lines[at - 1].strip():
            out += ["::", ""]
            mode = "literal"
        out.append(line if mode == "literal" else _inline(line if mode == "list" else line.strip()))
    return out


def _described(thing: Any, lines: list[str]) -> list[str]:
    """The fields of a dataclass that say what they mean."""
    named = [(each.name, each.metadata["help"]) for each in fields(thing) if each.init and "help" in each.metadata]
    return ["", *(f":param {name}: {_inline(text)}" for name, text in named)] if named else []


def process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Sphinx asks here for every docstring; the list is changed in place."""
    if lines and lines[0].startswith(f"{name.rpartition('.')[2]}(") and is_dataclass(thing):
        # What dataclasses write for want of a docstring repeats the signature.
        lines.clear()
    lines[:] = marked_up(lines)
    if what == "class" and is_dataclass(thing):
        lines.extend(_described(thing, lines))
    lines.append("")


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
