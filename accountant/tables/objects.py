"""JSON: one object a line, an array of objects, or columns by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from accountant.numerics import InputError
from accountant.tables.grids import Exact
from accountant.tables.opening import Opened

#: The cells of a row by column, or why there are none.
Named = dict[str, str] | str
Numbered = tuple[int, Named]
_KNOWN: Final = ("rows", "data", "records", "results", "table")


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def lines(file: Opened) -> Callable[[], Iterator[Numbered]]:
    """The rows of JSON lines, one object each, read one by one."""

    def rows() -> Iterator[Numbered]:
        for line, text in enumerate(file.lines(), start=1):
            if text.strip():
                yield line, cells_of(text)

    return rows


def array(file: Opened) -> Callable[[], Iterator[Numbered]]:
    """The rows of an array of objects or of arrays, of columns by name, or of what pandas writes; InputError for other JSON."""
    text = file.text()
    try:
        whole = _parsed(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data" and text.lstrip().startswith("{"):
            return lines(file)
        raise InputError(f"{file.title} is no JSON: {error}") from None
    found = list(_rows(file.title, whole))
    starts = _starts(text, len(found)) if isinstance(whole, list) else [0] * len(found)
    rows = list(zip(starts, found, strict=True))
    return lambda: iter(rows)


def _rows(name: str, whole: Any) -> Iterator[Named]:
    if isinstance(whole, dict):
        yield from _of_object(name, whole)
        return
    if not isinstance(whole, list) or not whole:
        raise InputError(f"{name} must be JSON with an array of objects, or with columns by name")
    if isinstance(whole[0], list):
        head, *rest = whole
        names = [str(cell) for cell in head]
        if len(set(names)) < len(names) or not all(isinstance(cell, str) and not isinstance(cell, _Number) for cell in head):
            raise InputError(f"{name} must have the names of its columns in the first array, each once")
        for row in rest:
            fits = isinstance(row, list) and len(row) == len(names)
            yield _texts(dict(zip(names, row, strict=True))) if fits else f"a row must be an array of {len(names)} values"
        return
    for row in whole:
        yield _texts(row) if isinstance(row, dict) else f"this must be a JSON object, got {json.dumps(row)[:40]}"


def _of_object(name: str, whole: dict[str, Any]) -> Iterator[Named]:
    """An object: rows under a name, columns by name, or rows by their numbers."""
    if isinstance(whole.get("columns"), list) and isinstance(whole.get("data"), list):
        yield from _rows(name, [whole["columns"], *whole["data"]])
        return
    tables = [key for key, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    known = [key for key in _KNOWN if key in tables]
    if known or len(tables) == 1:
        yield from _rows(name, whole[(known or tables)[0]])
        return
    values = list(whole.values())
    if values and all(isinstance(value, list) for value in values):
        sizes = {len(value) for value in values}
        if len(sizes) > 1:
            said = ", ".join(f"{key} {len(value)}" for key, value in list(whole.items())[:8])
            raise InputError(f"{name} must have columns of one length, got {said}")
        for cells in zip(*values, strict=True):
            yield _texts(dict(zip(whole, cells, strict=True)))
        return
    if values and all(isinstance(value, dict) for value in values):
        numbered = all(key.isdigit() for key in whole)
        inner = list(dict.fromkeys(key for value in values for key in value))
        if numbered and not all(key.isdigit() for key in inner):
            for value in values:
                yield _texts(value)
            return
        if all(key.isdigit() for key in inner) and not numbered:
            for key in inner:
                yield _texts({column: value.get(key) for column, value in whole.items()})
            return
        raise InputError(f"{name} may have its columns or its rows by name: write an array of objects, one for each row")
    if values and not any(isinstance(value, list | dict) for value in values):
        yield _texts(whole)
        return
    raise InputError(f"{name} must be JSON with an array of objects, or with columns by name")


def _starts(text: str, count: int) -> list[int]:
    """The lines in which the elements of an array begin."""
    decoder = json.JSONDecoder()
    space = re.compile(r"[\s,\[]*" if text.lstrip()[1:].lstrip()[:1] != "[" else r"[\s,]*")
    found: list[int] = []
    at, line, seen = text.index("[") + 1, 1, 0
    while len(found) < count + 1:
        match = space.match(text, at)
        at = match.end() if match else at
        line += text.count("\n", seen, at)
        seen = at
        if at >= len(text) or text[at] == "]":
            break
        found.append(line)
        at = decoder.raw_decode(text, at)[1]
    # Of arrays the first is the header.
    return found[-count:] if len(found) >= count else [0] * count


def _parsed(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
        return dict(pairs)

    # Numbers as they are printed, because their digits count.
    return json.loads(text, object_pairs_hook=once, parse_float=_Number, parse_int=_Number, parse_constant=_constant)


def _constant(text: str) -> str:
    return "" if text == "NaN" else text


def cells_of(text: str) -> Named:
    """The cells of a JSON object, or why it is none."""
    try:
        entry = _parsed(text)
    except (ValueError, RecursionError) as error:
        return f"this is not a JSON object: {error}"
    if not isinstance(entry, dict):
        return f"this must be a JSON object, got {text.strip()[:40]!r}"
    return _texts(entry)


def _texts(entry: dict[str, Any]) -> Named:
    cells: dict[str, str] = {}
    for name, value in entry.items():
        # Lists, objects and truth values are no numbers, but a column that nobody asks for may hold them.
        cell = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        if not _is_text(name) or not _is_text(cell):
            return "a table must be Unicode text, got half of a surrogate pair"
        cells[name] = Exact(cell) if isinstance(value, _Number) else cell.strip()
    return cells


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
