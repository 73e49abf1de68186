"""A page of reference/api for each room: what its face hands on, from the docstrings and the comments of constants."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

from plain_docstrings import marked_up
from sphinx.pycode import ModuleAnalyzer

PAGES = "reference/api/"


def _comments(room: ModuleType) -> dict[str, list[str]]:
    """What the comments (``#:``) of the room's files say of constants, by their name."""
    found: dict[str, list[str]] = {}
    for file in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        analyzer = ModuleAnalyzer.for_module(file.name)
        found |= {name: lines for (owner, name), lines in analyzer.find_attr_docs().items() if not owner}
    return found


def _entry(name: str, value: object, comment: list[str]) -> tuple[str, list[str]]:
    """One name of a face: its line in the table, and its entry."""
    ours = getattr(value, "__module__", "accountant").startswith("accountant")
    if ours and (inspect.isclass(value) or inspect.isfunction(value)):
        kind = "function"
        if inspect.isclass(value):
            kind = "exception" if issubclass(value, BaseException) else "class"
        text = inspect.getdoc(value) or ""
        if text.startswith(f"{name}("):
            # What a tuple with names writes for want of a docstring.
            text = ""
        return text.split("\n\n")[0], [f".. auto{kind}:: {name}", *(["   :members:"] if kind != "function" else []), ""]
    lines = marked_up([line for line in comment if line.strip()])
    return " ".join(comment), [f".. py:data:: {name}", "", *(f"   {line}" for line in lines), ""]


def page_of(name: str) -> str:
    """What is shown below the words that the page itself has."""
    room = import_module(name)
    comments = _comments(room)
    table, entries = [".. list-table::", "   :widths: auto", "   :class: names", ""], []
    for each in sorted(room.__all__, key=str.lower):
        said, entry = _entry(each, getattr(room, each), comments.get(each, []))
        table += [f"   * - :py:obj:`{each}`", f"     - {marked_up([' '.join(said.split())])[0]}"]
        entries += entry
    return "\n".join(["```{eval-rst}", f".. py:currentmodule:: {name}", "", *table, "", *entries, "```", ""])


def add(app: Any, docname: str, source: list[str]) -> None:
    """The page's name is its room's."""
    if docname.startswith(PAGES):
        source[0] += "\n" + page_of(f"accountant.{docname.removeprefix(PAGES)}")


def skip(app: Any, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Methods that a class has from another library are described there."""
    return None if getattr(thing, "__module__", "accountant").startswith("accountant") else True


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", add)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
