"""Separated values in the dialects that programs write: what separates them, and their rows line by line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from accountant.tables.grids import LOOKED_AT, Grid, Line
from accountant.tables.opening import Opened

_NAMES: Final = {";": "semicolons", "\t": "tabs", "|": "bars", "  ": "blanks", " ": "blanks"}
_SEP: Final = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
#: Blanks between columns that are aligned with them: two at least, so that cells may have one; or any.
_BLANKS: Final = {"  ": re.compile(r"[ \t]{2,}|\t"), " ": re.compile(r"[ \t]+")}
#: Rules of a table in plain text.
_DRAWN: Final = re.compile(r"[-=_\s]{3,}")


def separated(file: Opened, format: str) -> Grid:
    """A grid of separated values; ``format`` csv or tsv."""
    sample = [line for line in islice(file.lines(), LOOKED_AT) if line.strip()]
    said = _SEP.fullmatch(sample[0]) if sample else None
    grid = Grid(lambda: iter(()))
    if said:
        delimiter = said[1]
        grid.notes.append(f"separated by {delimiter!r}, as the first line says")
    else:
        delimiter = "\t" if format == "tsv" else _delimiter(sample)
        if delimiter in _NAMES and format != "tsv":
            grid.notes.append(f"separated by {_NAMES[delimiter]}")
    first = 1 if said else 0
    if delimiter in _BLANKS:
        grid.lines = lambda: _aligned(file, _BLANKS[delimiter])
    else:
        grid.lines = lambda: _rows(file, delimiter, format, first)
    return grid


def _delimiter(sample: Sequence[str]) -> str:
    """What most lines have as often as each other; where that leaves two, what makes more columns, then what the header has."""
    found: dict[str, tuple[int, int, bool]] = {}
    head = next((line for line in sample if not line.startswith("#")), "")
    for delimiter in (",", ";", "\t", "|"):
        try:
            widths = [len(cells) for cells in csv.reader(sample, delimiter=delimiter, skipinitialspace=True) if cells]
        except csv.Error:
            widths = [line.count(delimiter) + 1 for line in sample]
        counts = Counter(width for width in widths if width > 1)
        if counts:
            width = max(counts, key=lambda width: (counts[width], width))
            found[delimiter] = counts[width], width, delimiter == (";" if ";" in head and "," not in head else ",")
    if found:
        return max(found, key=lambda delimiter: found[delimiter])
    for blanks, pattern in _BLANKS.items():
        sizes = [len(_blank(line.strip(), pattern)) for line in sample if not _DRAWN.fullmatch(line.strip())]
        if len(sizes) > 1 and sizes[0] > 1 and len(set(sizes[1:])) == 1 and sizes[1] - sizes[0] in (0, 1):
            return blanks
    return ","


def _blank(line: str, pattern: re.Pattern[str]) -> list[str]:
    """The cells of a line between blanks; a quoted one may have blanks, as R writes them."""
    if line.startswith('"') and line.count('"') % 2 == 0:
        return [quoted or plain for quoted, plain in re.findall(r'"([^"]*)"|(\S+)', line)]
    return pattern.split(line)


def _aligned(file: Opened, pattern: re.Pattern[str]) -> Iterator[Line]:
    """Columns that blanks align; an index without a name is one column more than there are names."""
    head: list[str] | None = None
    for count, line in enumerate(file.lines(), start=1):
        if not line.strip():
            continue
        cells = _blank(line.strip(), pattern)
        if head is None:
            if _DRAWN.fullmatch(line.strip()):
                continue
            head, at = cells, count
            continue
        if head:
            yield Line(at, 1, ["", *head] if len(cells) == len(head) + 1 else head)
            head = []
        if not _DRAWN.fullmatch(line.strip()):
            yield Line(count, 1, cells)
    if head:
        yield Line(at, 1, head)


def _rows(file: Opened, delimiter: str, format: str, skipped: int) -> Iterator[Line]:
    """Every row. A quote may have blanks before and behind it; one that does not close costs its row, or stops the table."""
    line = ""

    def lines() -> Iterator[str]:
        nonlocal line
        for line in islice(file.lines(), skipped, None):  # noqa: UP028 (the line is kept)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
    before = 0
    while True:
        try:
            for cells in reader:
                if cells and line.strip():
                    yield Line(skipped + reader.line_num, reader.line_num - before, [cell.strip() for cell in cells])
                before = reader.line_num
            return
        except csv.Error as error:
            at = skipped + reader.line_num
            if reader.line_num > before + 1:
                said = f"a quote that opens here does not close: {error} in line {at}"
                raise file.refusal(skipped + before + 1, said) from None
            # One line: what stands in the others is not in doubt.
            yield Line(at, 1, _spaced(line, delimiter) or f"this is not {format.upper()}: {error}")
            before = reader.line_num


def _spaced(line: str, delimiter: str) -> list[str] | None:
    """The cells of one line whose quotes have blanks behind them; None where that does not make it a row."""
    mark = re.escape(delimiter)
    pattern = re.compile(rf'[ \xa0]*(?:"((?:[^"]|"")*)"[ \xa0]*|((?:[^"{mark}][^{mark}]*)?))({mark}|$)')
    cells, at, text = [], 0, line.rstrip("\r\n")
    while True:
        found = pattern.match(text, at)
        if found is None:
            return None
        cells.append((found[2] if found[1] is None else found[1].replace('""', '"')).strip())
        at = found.end()
        if not found[3]:
            return cells
