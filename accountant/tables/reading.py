"""Tables as they come: in any of the formats, packed or not, row by row where the format allows, with what was found said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Final, NamedTuple

from accountant.numerics import InputError, choice
from accountant.tables.grids import LOOKED_AT, Grid, Header, Line, find_header, is_remark, quoted
from accountant.tables.opening import Opened

#: By name, with the file names that stand for them.
FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "markdown": (".md", ".markdown"),
    "json": (".json",),
    "html": (".html", ".htm", ".xhtml"),
    "latex": (".tex", ".latex", ".ltx"),
    "excel": (".xlsx", ".xlsm", ".xls", ".ods", ".xlsb"),
    "parquet": (".parquet", ".pq"),
}
#: Characters looked at to tell the format of a file whose name does not.
_PEEK: Final = 4096
_LATEX: Final = re.compile(r"\\begin\{(table|tabular|longtable|array|document|tblr|tabu)|\\documentclass")
_HTML: Final = re.compile(r"<(!doctype html|html|table|body|head|div|thead)\b", re.IGNORECASE)
_RULE: Final = re.compile(r"^\s*:?-+:?\s*(\|\s*:?-+:?\s*)+$|^\s*\+[-=]+(\+[-=]+)+\+\s*$", re.MULTILINE)


class Row(NamedTuple):
    """A row's number (from 1, the header not counted), its line in the file (0: it has none), and its cells by column.

    fault: why the line is no row of the table; it has no cells then. heading: the last line above it that is one text over the
    whole width, "" where there is none.
    """

    number: int
    line: int
    cells: dict[str, str]
    fault: str | None = None
    heading: str = ""


class Table:
    """A table in a file: its columns, and its rows as often as they are asked for.

    sheet: of a workbook by name or number, or the number of a table in a page. what: how refusals call the file. plain: the
    first line is the header and all others are rows; no captions, comments or units are looked for, and no line is left out.
    notes: how the file was read, where that is not plain; complete once the rows were read. Raises InputError where it cannot
    be read at all.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("sigma,eps\\n0.03,1\\n")
    ...     file.flush()
    ...     [row.cells for row in Table(file.name).rows()]
    [{'sigma': '0.03', 'eps': '1'}]
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        format: str | None = None,
        name: str | None = None,
        sheet: str | None = None,
        what: str = "table",
        plain: bool = False,
    ) -> None:
        self.path, self.plain = Path(path), plain
        self.name = str(path) if name is None else name
        if format is not None:
            choice("format", format, FORMATS)
        self._file = Opened(self.path, self.name, what)
        self.format = self._guess() if format is None else format
        if sheet is not None and self.format not in ("excel", "html", "latex", "markdown"):
            raise InputError(f"sheet must be left out for {self.format}, which holds one table, got {sheet!r}")
        self._sheet = sheet
        self._grid: Grid | None = None
        self._header: Header | None = None
        self._objects: Callable[[], Iterator[tuple[int, dict[str, str] | str]]] | None = None
        self.columns = self._columns()
        self._skipped: list[str] = []
        self._beside: list[str] | None = None

    @property
    def notes(self) -> list[str]:
        """How the file was read, in lines."""
        grid, header = self._grid, self._header
        notes = [*self._file.notes, *(grid.notes if grid else []), *(header.notes if header else [])]
        if self._skipped:
            notes.append(quoted("lines among the rows that are none, left out", self._skipped))
        return notes

    @property
    def remarks(self) -> list[str]:
        """Captions, comments, notes below and the text around the table: what may hold for all rows, and no row says."""
        if self._grid is None or self._header is None or self.plain:
            return []
        if self._beside is None:
            # What stands below the rows is known when they were read.
            for _ in self._grid_rows():
                pass
        return [*self._header.skipped, *(self._beside or []), *self._grid.remarks()]

    def rows(self) -> Iterator[Row]:
        """Every row, those too that cannot be read (``fault``); InputError names the line where the file is no table at all."""
        number = 0
        for row in self._grid_rows() if self._objects is None else self._object_rows(self._objects):
            number += 1
            yield row._replace(number=number)
        if not number:
            raise self._empty()

    def lines(self) -> Iterator[int]:
        """The line of every row, whether or not it can be read; InputError as in ``rows``."""
        yield from (row.line for row in self.rows())

    def refusal(self, line: int, reason: str) -> InputError:
        """What is wrong in a line."""
        return self._file.refusal(line, reason)

    def _empty(self) -> InputError:
        wanted = self._grid.wanted if self._grid is not None else "a header and at least one row"
        return InputError(f"{self._file.title} is empty: it must have {wanted}")

    # --- formats

    def _guess(self) -> str:
        file = self._file
        if file.binary is not None:
            if not file.binary:
                raise InputError(f"{file.title} must be text in UTF-8, a workbook or Parquet, got a picture or a PDF")
            return file.binary
        suffix = file.inner.suffix.lower()
        for name, suffixes in FORMATS.items():
            if suffix in suffixes and name not in ("excel", "parquet"):
                return name
        text = ""
        for line in file.lines():
            text += line
            if len(text) > _PEEK:
                break
        return _format_of(text.strip())

    def _read(self) -> Grid:
        if self.format in ("csv", "tsv"):
            from accountant.tables.separated import separated

            return separated(self._file, self.format)
        if self.format == "markdown":
            from accountant.tables.markdown import markdown

            return markdown(self._file, self._place())
        if self.format == "excel":
            from accountant.tables.sheets import excel

            return excel(self._file, self._sheet)
        if self.format == "parquet":
            from accountant.tables.sheets import parquet

            return parquet(self._file)
        which = self._place()
        if self.format == "html":
            from accountant.tables.webpages import html

            return html(self._file, which)
        from accountant.tables.latex import latex

        return latex(self._file, which)

    def _place(self) -> int:
        """The number of a table in a page."""
        said = self._sheet or "1"
        if not (said.isascii() and said.isdigit() and 0 < int(said) < 10_000):
            raise InputError(f"sheet must be the number of a table in the page, from 1, got {said!r}")
        return int(said)

    def _columns(self) -> list[str]:
        if self.format in ("json", "jsonl"):
            from accountant.tables import objects

            self._objects = objects.array(self._file) if self.format == "json" else objects.lines(self._file)
            return self._object_columns(self._objects)
        self._grid = grid = self._read()
        first = list(islice(grid.lines(), LOOKED_AT))
        self._header = header = _first_line(first) if self.plain else find_header(first, grid.headers)
        if header is None:
            raise self._empty()
        faulty = first[header.lines - 1].cells if header.lines else ""
        if isinstance(faulty, str):
            raise self.refusal(first[header.lines - 1].line, faulty)
        for name in filter(None, header.names):
            if header.names.count(name) > 1:
                raise InputError(
                    f"{self._file.title} has the column {name!r} twice: keep one; if its columns are methods, turn it over"
                )
        return header.names

    # --- grids

    def _grid_rows(self) -> Iterator[Row]:
        assert self._grid is not None
        assert self._header is not None
        skipped: list[str] = []
        header, heading = self._header, ""
        width = len(header.names)
        self._skipped = skipped
        for line, span, cells, spanning in islice(self._grid.lines(), header.lines, None):
            if isinstance(cells, str):
                yield Row(0, line, {}, cells, heading)
                continue
            if not any(cells) and not self.plain:
                continue
            if _is_heading(cells, spanning and width > 1):
                heading = cells[0]
            elif len(cells) != width and len(list(filter(None, cells))) == 2 < width - 1:
                # A caption among the rows with one cell too many, or too few.
                heading = max(cells, key=len)
            if width > 1 and not self.plain and (is_remark(cells) or cells == header.names or _is_comment(cells, width)):
                if len(skipped) < 1000:
                    skipped.append(" ".join(filter(None, cells)))
                continue
            if len(cells) > width and not any(cells[width:]):
                cells = cells[:width]
            if len(cells) == width - 1 and self.format == "markdown":
                # A last cell that is empty and the end of the line look alike.
                cells = [*cells, ""]
            if len(cells) == width:
                yield Row(0, line, dict(zip(header.names, cells, strict=True)), None, heading)
                continue
            fault = f"a row must have as many cells as the header, {width}, got {len(cells)}"
            if span > 1:
                fault += f"; it goes from line {line - span + 1} to line {line}: a quote may lack its end"
            yield Row(0, line, {}, fault, heading)
        self._beside = skipped

    # --- objects

    def _object_columns(self, rows: Callable[[], Iterator[tuple[int, dict[str, str] | str]]]) -> list[str]:
        """The keys of all rows, in the order in which they come."""
        names: dict[str, None] = {}
        fault = None
        for line, cells in rows():
            if isinstance(cells, str):
                fault = fault or self.refusal(line, cells)
            else:
                names.update(dict.fromkeys(cells))
        if fault is not None and not names:
            raise fault
        return list(names)

    def _object_rows(self, rows: Callable[[], Iterator[tuple[int, dict[str, str] | str]]]) -> Iterator[Row]:
        for line, cells in rows():
            yield Row(0, line, {}, cells) if isinstance(cells, str) else Row(0, line, cells)


def _first_line(lines: Sequence[Line]) -> Header | None:
    """The first line as the header."""
    return Header(cells if isinstance(cells := lines[0].cells, list) else [], 1, []) if lines else None


def _is_heading(cells: list[str], spanning: bool) -> bool:
    """Whether a line has one text, which is no number."""
    said = set(filter(None, cells))
    if not (cells and cells[0]) or not (spanning or len(said) == 1):
        return False
    return not any(text.replace(".", "").isdigit() for text in said)


def _is_comment(cells: list[str], width: int) -> bool:
    return len(cells) != width and cells[0].startswith("#")


def _format_of(start: str) -> str:
    """The format of a text by its beginning."""
    if start.startswith("["):
        return "json"
    if start.startswith("{"):
        first, _, rest = start.partition("\n")
        return "jsonl" if first.rstrip().endswith("}") and (not rest.strip() or rest.lstrip().startswith("{")) else "json"
    if _LATEX.search(start):
        return "latex"
    if start.startswith("<") or _HTML.search(start[:1000]):
        return "html"
    if start.startswith("|") or _RULE.search(start):
        return "markdown"
    head = start.partition("\n")[0]
    return "tsv" if "\t" in head and "," not in head and ";" not in head else "csv"
