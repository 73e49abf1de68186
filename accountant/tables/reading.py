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
    """A row's number (from 1, the header not counted), its line in the file, and its cells by column."""

    number: int
    line: int
    cells: dict[str, str]


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
        """Every row; InputError names the line where the file is no such table."""
        reader = {"jsonl": self._json_rows, "markdown": self._markdown_rows}.get(self.format, self._separated_rows)
        number = 0
        for line, cells in reader():
            number += 1
            yield Row(number, line, cells)
        if not number:
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
            names = dict.fromkeys(name for _, cells in self._json_rows() for name in cells)
            return list(names)
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

    def _separated(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines(), delimiter=self._separator(), strict=True)
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
        except csv.Error as error:
            raise self.refusal(reader.line_num, f"this is not {self.format.upper()}: {error}") from None

    def _separated_header(self) -> list[str]:
        for _, cells in self._separated():
            return cells
        raise InputError(f"table {self.name} is empty: it must have a header and at least one row")

    def _separated_rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        rows = self._separated()
        next(rows)
        for line, cells in rows:
            yield line, self._matched(line, cells)

    def _matched(self, line: int, cells: list[str]) -> dict[str, str]:
        if len(cells) != len(self.columns):
            raise self.refusal(line, f"a row must have as many cells as the header, {len(self.columns)}, got {len(cells)}")
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

    def _markdown_rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        rows = self._markdown()
        next(rows)
        for line, cells in rows:
            # A last cell that is empty and the end of the line look alike.
            cells += [""] * (len(self.columns) - len(cells) if len(cells) == len(self.columns) - 1 else 0)
            yield line, self._matched(line, cells)

    # --- JSON lines

    def _json_rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            names = [name for name, _ in pairs]
            if len(set(names)) < len(names):
                raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice")
            return dict(pairs)

        for line, text in enumerate(self._lines(), start=1):
            if not text.strip():
                continue
            try:
                # Numbers as they are printed, because their digits count.
                entry = json.loads(text, object_pairs_hook=once, parse_float=str, parse_int=str, parse_constant=str)
            except (ValueError, RecursionError) as error:
                raise self.refusal(line, f"this is not a JSON object: {error}") from None
            if not isinstance(entry, dict):
                raise self.refusal(line, f"this must be a JSON object, got {text.strip()[:40]!r}")
            cells = {}
            for name, value in entry.items():
                # Lists, objects and truth values are no numbers, but a column that nobody asks for may hold them.
                cell = "" if value is None else value if isinstance(value, str) else json.dumps(value)
                if not _is_text(name) or not _is_text(cell):
                    raise self.refusal(line, "a table must be Unicode text, got half of a surrogate pair")
                cells[name] = cell.strip()
            yield line, cells


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(cell: str) -> str:
    """A Markdown cell without its emphasis, code marks and dollars."""
    return re.sub(r"[*`$]", "", cell.replace("\\|", "|")).strip()
