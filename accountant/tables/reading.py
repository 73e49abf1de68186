"""Reading tables line by line: CSV, TSV, JSON lines, or the first table of a Markdown page. Nothing is held but one line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from accountant.numerics import InputError, choice

#: By name, with the file names that stand for them.
FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson"),
    "markdown": (".md", ".markdown"),
}
#: The longest line that is read; a table has none that long.
_MAX_LINE: Final = 1 << 20
#: Characters looked at to tell the format of a file whose name does not.
_PEEK: Final = 4096


class Row(NamedTuple):
    """A row's number (from 1, the header not counted), its line in the file, and its cells by column.

    fault: why the line is no row of the table; it has no cells then.
    """

    number: int
    line: int
    cells: dict[str, str]
    fault: str | None = None


#: The cells of a row in order, or by column, or why there are none.
_Cells = list[str] | str
_Named = dict[str, str] | str


class Table:
    """A table in a file: its columns, and its rows as often as they are asked for.

    >>> from tempfile import NamedTemporaryFile
    >>> with NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("sigma,eps\\n0.03,1\\n")
    ...     file.flush()
    ...     [row.cells for row in Table(file.name).rows()]
    [{'sigma': '0.03', 'eps': '1'}]
    """

    def __init__(self, path: str | PathLike[str], *, format: str | None = None, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = str(path) if name is None else name
        if format is not None:
            choice("format", format, FORMATS)
        self.format = self._guess() if format is None else format
        self.columns = self._columns()

    def rows(self) -> Iterator[Row]:
        """Every row, those too that cannot be read (``fault``); InputError names the line where the file is no table at all."""
        reader = {"jsonl": self._json_rows, "markdown": self._markdown_rows}.get(self.format, self._separated_rows)
        number = 0
        for line, cells in reader():
            number += 1
            yield Row(number, line, {}, cells) if isinstance(cells, str) else Row(number, line, cells)
        if not number:
            raise InputError(f"table {self.name} is empty: it must have a header and at least one row")

    def lines(self) -> Iterator[int]:
        """The last line of every row, whether or not it can be read; InputError as in ``rows``, in less time."""
        if self.format in ("jsonl", "markdown"):
            yield from (row.line for row in self.rows())
            return
        rows = self._separated()
        next(rows)
        count = 0
        for line, _, _ in rows:
            count += 1
            yield line
        if not count:
            raise InputError(f"table {self.name} is empty: it must have a header and at least one row")

    def refusal(self, line: int, reason: str) -> InputError:
        return InputError(f"table {self.name}, line {line}: {reason}")

    def _open(self) -> IO[str]:
        try:
            return open(self.path, encoding="utf-8-sig", newline="")
        except OSError as error:
            raise InputError(f"table {self.name} cannot be read: {error.strerror}") from None

    def _lines(self) -> Iterator[str]:
        """Lines of a bounded length, with their ends."""
        with self._open() as file:
            count = 0
            while True:
                try:
                    line = file.readline(_MAX_LINE + 1)
                except UnicodeDecodeError as error:
                    raise InputError(f"table {self.name} must be text in UTF-8, but after line {count}: {error}") from None
                except OSError as error:
                    raise InputError(f"table {self.name} cannot be read: {error.strerror}") from None
                if not line:
                    return
                count += 1
                if len(line) > _MAX_LINE:
                    raise self.refusal(count, f"a line must have at most {_MAX_LINE} characters: this is no table")
                if "\0" in line:
                    raise self.refusal(count, "a table must be text in UTF-8, got a zero byte")
                yield line

    def _guess(self) -> str:
        suffix = self.path.suffix.lower()
        for name, suffixes in FORMATS.items():
            if suffix in suffixes:
                return name
        text = ""
        for line in self._lines():
            text += line
            if line.strip() or len(text) > _PEEK:
                break
        start = text.lstrip()
        if start.startswith("["):
            raise InputError(f"table {self.name} must be CSV, TSV, Markdown or JSON lines, one object a line, got a JSON array")
        if start.startswith("{"):
            return "jsonl"
        if start.startswith("|"):
            return "markdown"
        return "tsv" if "\t" in start and "," not in start else "csv"

    def _columns(self) -> list[str]:
        if self.format == "jsonl":
            return self._json_columns()
        header = self._markdown_header() if self.format == "markdown" else self._separated_header()
        for name in filter(None, header):
            if header.count(name) > 1:
                raise InputError(f"table {self.name} has the column {name!r} twice: keep one")
        return header

    # --- separated values

    def _separator(self) -> str:
        """Tabs where the format says so; otherwise commas, or semicolons where the header has no comma."""
        if self.format == "tsv":
            return "\t"
        for line in self._lines():
            if line.strip():
                return ";" if ";" in line and "," not in line else ","
        return ","

    def _separated(self) -> Iterator[tuple[int, int, _Cells]]:
        """Last line and number of lines of every row, and its cells. A quote may have spaces before and behind it."""
        delimiter, line = self._separator(), ""

        def lines() -> Iterator[str]:
            nonlocal line
            for line in self._lines():  # noqa: UP028 (the line is kept)
                yield line

        reader = csv.reader(lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
        before = 0
        while True:
            try:
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        yield reader.line_num, reader.line_num - before, [cell.strip() for cell in cells]
                    before = reader.line_num
                return
            except csv.Error as error:
                if reader.line_num > before + 1:
                    said = f"a quote that opens here does not close: {error} in line {reader.line_num}"
                    raise self.refusal(before + 1, said) from None
                # One line: what stands in the others is not in doubt.
                yield reader.line_num, 1, _spaced(line, delimiter) or f"this is not {self.format.upper()}: {error}"
                before = reader.line_num

    def _separated_header(self) -> list[str]:
        for line, _, cells in self._separated():
            if isinstance(cells, str):
                raise self.refusal(line, cells)
            return cells
        raise InputError(f"table {self.name} is empty: it must have a header and at least one row")

    def _separated_rows(self) -> Iterator[tuple[int, _Named]]:
        rows = self._separated()
        next(rows)
        for line, lines, cells in rows:
            named = self._matched(cells)
            if lines > 1 and isinstance(named, str):
                named += f"; it goes from line {line - lines + 1} to line {line}: a quote may lack its end"
            yield line, named

    def _matched(self, cells: _Cells) -> _Named:
        if isinstance(cells, str):
            return cells
        if len(cells) != len(self.columns):
            return f"a row must have as many cells as the header, {len(self.columns)}, got {len(cells)}"
        return dict(zip(self.columns, cells, strict=True))

    # --- Markdown

    def _markdown(self) -> Iterator[tuple[int, list[str]]]:
        """The lines of the first table, header first, its rule left out."""
        started = False
        for line, text in enumerate(self._lines(), start=1):
            text = text.strip()
            if not text.startswith("|"):
                if started:
                    return
                continue
            cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", text.removeprefix("|"))]
            if cells and not cells[-1]:
                cells.pop()
            if started and all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                continue
            started = True
            yield line, cells

    def _markdown_header(self) -> list[str]:
        for _, cells in self._markdown():
            return cells
        raise InputError(f"table {self.name} is empty: it must have lines that start with |, the first of them the header")

    def _markdown_rows(self) -> Iterator[tuple[int, _Named]]:
        rows = self._markdown()
        next(rows)
        for line, cells in rows:
            # A last cell that is empty and the end of the line look alike.
            cells += [""] * (len(self.columns) - len(cells) if len(cells) == len(self.columns) - 1 else 0)
            yield line, self._matched(cells)

    # --- JSON lines

    def _json_columns(self) -> list[str]:
        """The keys of all lines, in the order in which they come."""
        names: dict[str, None] = {}
        fault = None
        for line, cells in self._json_rows():
            if isinstance(cells, str):
                fault = fault or self.refusal(line, cells)
            else:
                names.update(dict.fromkeys(cells))
        if fault is not None and not names:
            raise fault
        return list(names)

    def _json_rows(self) -> Iterator[tuple[int, _Named]]:
        for line, text in enumerate(self._lines(), start=1):
            if text.strip():
                yield line, _json_cells(text)


def _json_cells(text: str) -> _Named:
    """The cells of a JSON object, or why it is none."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
        return dict(pairs)

    try:
        # Numbers as they are printed, because their digits count.
        entry = json.loads(text, object_pairs_hook=once, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        return f"this is not a JSON object: {error}"
    if not isinstance(entry, dict):
        return f"this must be a JSON object, got {text.strip()[:40]!r}"
    cells = {}
    for name, value in entry.items():
        # Lists, objects and truth values are no numbers, but a column that nobody asks for may hold them.
        cell = "" if value is None else value if isinstance(value, str) else json.dumps(value)
        if not _is_text(name) or not _is_text(cell):
            return "a table must be Unicode text, got half of a surrogate pair"
        cells[name] = cell.strip()
    return cells


def _spaced(line: str, delimiter: str) -> list[str] | None:
    """The cells of one line whose quotes have blanks behind them; None where that does not make it a row."""
    pattern = re.compile(rf'[ \xa0]*(?:"((?:[^"]|"")*)"[ \xa0]*|((?:[^"{delimiter}][^{delimiter}]*)?))({delimiter}|$)')
    cells, at, text = [], 0, line.rstrip("\r\n")
    while True:
        found = pattern.match(text, at)
        if found is None:
            return None
        cells.append((found[2] if found[1] is None else found[1].replace('""', '"')).strip())
        at = found.end()
        if not found[3]:
            return cells


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(cell: str) -> str:
    """A Markdown cell without its emphasis, code marks and dollars."""
    return re.sub(r"[*`$]", "", cell.replace("\\|", "|")).strip()
