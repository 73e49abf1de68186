"""Grids of cells as files have them, and which of their lines are captions, comments, header and rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

#: Between the parts of a name that stands in several header lines.
JOINT: Final = " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} "
#: Lines looked at to find the header.
LOOKED_AT: Final = 64
#: Header lines at most.
_HEADERS: Final = 4
#: Lines that are quoted in what is said about them.
_QUOTED: Final = 3
#: A cell that begins like a number, behind signs of comparison, emphasis or formulas.
_NUMBER: Final = re.compile(r"[\s$(*_`~<>=≤≥≈∼⩽⩾±+\-−]*[.,]?\d|[$\s]*∞|[$\s]*\\infty|nan$|\|?1/n", re.IGNORECASE)
#: What no column is called.
_NOTHING: Final = frozenset(("n/a", "na", "none", "null", "n.a.", "nan", "full", "total"))
_BRACKETED: Final = re.compile(r"[(\[].*[)\]]")
#: What a whole column is multiplied by: ×10⁻³, 10^{-3}, 1e-3.
_SCALE: Final = re.compile(
    r"[(\[$]*\s*(?:[×x*·]\s*)?(?:10\s*(?:\^|\*\*)\s*[({]?[+\-−]?\d+[)}]?|10[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|1[eE][+\-−]?\d+)\s*[)\]$]*"
    r"|[×x*·]\s*10+"
)
_UNITS: Final = frozenset(
    [
        "samples",
        "points",
        "examples",
        "records",
        "epochs",
        "steps",
        "iterations",
        "updates",
        "s",
        "sec",
        "seconds",
        "min",
        "minutes",
        "h",
        "hours",
        "ms",
        "%",
        "nats",
        "bits",
        "std",
        "unit",
        "units",
    ]
)
_MARKED: Final = re.compile(r"[#*†‡§¶]|(note|notes|source|legend)\b", re.IGNORECASE)


class Exact(str):
    """A number that was stored as one: no way of printing numbers plays a part."""

    __slots__ = ()


class Line(NamedTuple):
    """A line of a grid: where it ends in the file (0: no lines there), how many lines it takes, and its cells, or why none.

    spanning: one cell goes over the whole width.
    """

    line: int
    span: int
    cells: list[str] | str
    spanning: bool = False


@dataclass
class Grid:
    """lines: as often as they are asked for. headers: how many lines the format says are the header; None: it does not."""

    lines: Callable[[], Iterator[Line]]
    headers: int | None = None
    notes: list[str] = field(default_factory=list)
    #: What a line is called that has no header.
    wanted: str = "a header and at least one row"
    #: Captions and the text around it, where the format has them outside of its lines; as often as they are asked for.
    remarks: Callable[[], list[str]] = list


class Header(NamedTuple):
    """The names of the columns, how many lines of the grid come before the first row, and what to say about them."""

    names: list[str]
    lines: int
    notes: list[str]
    #: Captions and comments above it.
    skipped: Sequence[str] = ()


def like_a_number(cell: str) -> bool:
    """Whether a cell begins like a number: what no name of a column does below the first line of a header."""
    return _NUMBER.match(cell) is not None


def find_header(lines: Sequence[Line], headers: int | None) -> Header | None:
    """The header among the first lines; None where there is none."""
    width = _width(lines)
    at, skipped, marked = 0, [], None
    while at < len(lines) and _is_caption(lines, at, width):
        cells = lines[at].cells
        if isinstance(cells, list):
            text = " ".join(dict.fromkeys(filter(None, cells)))
            skipped += [text] if text else []
            if text.startswith(("#", "%")) and len(cells) == width:
                marked = cells
        at += 1
        headers = headers - 1 if headers is not None else None
    if at == len(lines):
        if marked is None:
            return None
        at -= 1
    notes, first = [], lines[at].cells
    if marked is not None and isinstance(first, list) and sum(map(like_a_number, first)) > 0:
        # The names stand behind the mark of a comment, as numpy.savetxt writes them.
        skipped.pop()
        at, rows = at - 1, [[marked[0].lstrip("#% "), *marked[1:]]]
    else:
        rows = [list(first) if isinstance(first, list) else []]
    while at + len(rows) < len(lines) and len(rows) < _HEADERS:
        cells = lines[at + len(rows)].cells
        if isinstance(cells, str) or not _goes_on(rows, cells, headers):
            break
        rows.append(list(cells))
    if skipped:
        notes.append(quoted("lines before the table, left out", skipped))
    names = _names(rows)
    if len(rows) > 1:
        notes.append(f"names of columns are put together from {len(rows)} header lines: {', '.join(filter(None, names))}")
    return Header(names, at + len(rows), notes, skipped)


def quoted(what: str, texts: Sequence[str]) -> str:
    """What was found, with the first of the lines that are it."""
    shown = ", ".join(repr(text[:60]) for text in texts[:_QUOTED])
    return f"{what}: {shown}" + (f" and {len(texts) - _QUOTED} more" if len(texts) > _QUOTED else "")


def _width(lines: Sequence[Line]) -> int:
    """How many cells most lines have; the larger number where two are as common."""
    counts = Counter(len(line.cells) for line in lines if isinstance(line.cells, list) and not line.spanning)
    return max(counts, key=lambda width: (counts[width], width)) if counts else 0


def _is_caption(lines: Sequence[Line], at: int, width: int) -> bool:
    """Whether a line before the header is a comment or a caption."""
    line = lines[at]
    if isinstance(line.cells, str) or width < 2:
        return isinstance(line.cells, list) and bool(line.cells) and line.cells[0].startswith("#") and at + 1 < len(lines)
    filled = [place for place, cell in enumerate(line.cells) if cell]
    if line.spanning or not filled or _are_letters(line.cells):
        return True
    if line.cells[0].startswith(("#", "%")):
        # "#batch" may be the name of the first column.
        following = lines[at + 1].cells if at + 1 < len(lines) else []
        return len(line.cells) != width or line.cells[0][1:2] in (" ", "", "#") or not any(map(like_a_number, following))
    return filled == [0]


def _goes_on(rows: Sequence[Sequence[str]], cells: Sequence[str], headers: int | None) -> bool:
    """Whether the next line belongs to the header: it has no number, and units or what the line above leaves out."""
    if headers is not None and len(rows) < headers:
        return True
    said = [cell for cell in cells if cell]
    if len(rows) == 1 and _are_scales(said, len(cells)):
        return True
    if not said or any(map(like_a_number, said)):
        return False
    if _are_units(said):
        return True
    if headers is not None or any(not any(map(str.isalpha, cell)) or cell.lower() in _NOTHING for cell in said):
        return False
    top = rows[-1]
    return any(
        cell and at > 0 and (at >= len(top) or not top[at] or top[at] == top[at - 1]) for at, cell in enumerate(cells)
    ) and any(cell and not (at < len(top) and top[at] == cell) for at, cell in enumerate(cells))


def _are_letters(cells: Sequence[str]) -> bool:
    """Whether a line has the letters that a spreadsheet shows above its columns."""
    said = "".join(filter(None, cells))
    return len(said) > 2 and "ABCDEFGHIJKLMNOPQRSTUVWXYZ".startswith(said) and all(len(cell) < 2 for cell in cells)


def _are_scales(cells: Sequence[str], width: int) -> bool:
    """Whether a line has powers of ten and units alone, and nothing for most columns: what its columns are multiplied by."""
    scales = [cell for cell in cells if _SCALE.fullmatch(cell)]
    return bool(scales) and 2 * len(cells) <= width + 1 and (len(scales) == len(cells) or _are_units(cells))


def _are_units(cells: Sequence[str]) -> bool:
    units = [cell for cell in cells if _BRACKETED.fullmatch(cell) or cell.lower() in _UNITS or _SCALE.fullmatch(cell)]
    return bool(units) and all(cell in units or not any(map(str.isalnum, cell)) for cell in cells)


def _names(rows: Sequence[Sequence[str]]) -> list[str]:
    """One name for each column; a name above goes on to the right until the next one, where there are names below."""
    width = max(map(len, rows))
    padded = [[*row, *[""] * (width - len(row))] for row in rows]
    units = len(padded) > 1 and _are_units([cell for cell in padded[-1] if cell])
    levels, last = (padded[:-1], padded[-1]) if units else (padded, [""] * width)
    for level, below in pairwise(levels):
        group = ""
        for at in range(width):
            if level[at]:
                group = level[at] if below[at] else ""
            elif below[at] and group:
                level[at] = group
            else:
                group = ""
    names = []
    for at in range(width):
        parts = list(dict.fromkeys(level[at] for level in levels if level[at]))
        name, unit = JOINT.join(parts), last[at]
        if unit and any(map(str.isalnum, unit)) | ("%" in unit):
            name += f" {unit}" if _BRACKETED.fullmatch(unit) else f" ({unit})"
        names.append(name.strip())
    return names


def is_remark(cells: Sequence[str]) -> bool:
    """Whether a line below the rows is a remark: one cell that begins with the mark of one."""
    return bool(cells) and not any(cells[1:]) and _MARKED.match(cells[0]) is not None
