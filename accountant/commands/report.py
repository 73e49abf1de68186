"""How checked tables look: a rich table of what needs a look, JSON, Markdown, or one self-contained HTML page."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

from accountant.commands import files, layout, present
from accountant.commands.cells import (
    COLUMNS,
    LIST_COLUMNS,
    MEANING,
    PRECISE,
    VERDICT,
    Summaries,
    cells,
    list_cells,
    lists,
    notes,
    sentence,
    times,
    total,
)
from accountant.commands.page_verify import Html
from accountant.commands.pages import Markdown, Plain
from accountant.commands.writing import Target
from accountant.tables import TABLES
from accountant.verification import Checked

if TYPE_CHECKING:
    from rich.console import Console

#: Verdicts on the screen, with their colours, those that need a look first.
_SCREEN: Final = {
    "fails": ("FAILS", "bold red"),
    "unchecked": ("unchecked", "dim"),
    "certified-tighter": ("tighter only", "yellow"),
    "wasteful": ("certified", "cyan"),
    "certified": ("certified", "green"),
}
#: Lists of requests that are shown on the screen.
_LISTS: Final = 40
#: Rows shown of a long table that is certified throughout.
_GLANCE: Final = 10
#: Rows named of many that cannot be checked for the same reason, and where a reason says its line.
_NAMED: Final = 12
_LINE: Final = re.compile(r"(.*?)(?: \(line (\d+)\))?", re.DOTALL)


class Output(Protocol):
    """Takes rows one by one, so that no table is too long."""

    def row(self, table: str | None, row: Checked) -> None: ...
    def end(self, summaries: Summaries) -> None: ...


#: What is written of checked tables.
KINDS: Final = ("html", "csv", "json", "md")


@contextmanager
def outputs(
    as_json: bool, markdown: bool, targets: Iterable[Target], precision: present.Digits | None = None,
    *, source: Mapping[str, Any] | None = None, constants: Mapping[str, Any] | None = None,
) -> Iterator[list[Output]]:  # fmt: skip
    """What is written row by row: to standard output, and to files; ``precision``: the block of that option.

    source: files and settings, for a page; without Jinja2 the page is a plain one. constants: what those of the only problem
    rest on, for JSON.
    """
    made: list[Output] = []
    with ExitStack() as stack:
        if as_json:
            made.append(_Json(precision, sys.stdout, constants))
        if markdown:
            made.append(Markdown(precision))
        for kind, part in targets:
            file = stack.enter_context(files.writing(part, newline="" if kind == "csv" else None))
            if kind == "html" and find_spec("jinja2"):
                page = Html(file, precision, source)
                stack.callback(page.spool.close)
                made.append(page)
            elif kind == "html":
                made.append(Plain(file, precision))
            elif kind == "md":
                made.append(Markdown(precision, file))
            else:
                made.append(_Json(precision, file, constants) if kind == "json" else _Csv(file))
        yield made


def reasons(rows: Iterable[tuple[str | None, Checked]]) -> list[str]:
    """What rows say beside their numbers, by table and row; rows that cannot be checked for one reason share a line.

    >>> from types import SimpleNamespace
    >>> open_ = {"verdict": "unchecked", "rounding": None, "request": None}
    >>> rows = [SimpleNamespace(row=row, reason=f"the row has no sigma (line {row + 1})", **open_) for row in (1, 2, 5)]
    >>> reasons((None, row) for row in rows)
    ['rows 1, 2 and 5: the row has no sigma (lines 2, 3 and 6)']
    """
    found: dict[tuple[str | None, str, int | None], tuple[list[int], list[int]]] = {}
    for name, row in rows:
        # The others say no more than their numbers.
        if row.reason and (row.verdict in ("fails", "unchecked") or row.rounding or row.request):
            reason, line = _LINE.fullmatch(row.reason).groups()  # type: ignore[union-attr]
            alone = None if row.verdict == "unchecked" else row.row
            numbers, lines = found.setdefault((name, reason, alone), ([], []))
            numbers.append(row.row)
            lines += [] if line is None else [int(line)]
    told = []
    for (name, reason, _), (numbers, lines) in found.items():
        where = (f"{name}, " if name else "") + _several("row", numbers)
        told.append(f"{where}: {reason}" + (f" ({_several('line', lines)})" if lines else ""))
    return told


def _several(word: str, numbers: list[int]) -> str:
    named = [str(number) for number in numbers[:_NAMED]]
    rest = len(numbers) - len(named)
    named += [f"{rest} more"] if rest else []
    return f"{word} {named[0]}" if len(named) == 1 else f"{word}s {', '.join(named[:-1])} and {named[-1]}"


class View:
    """The table on the screen: all rows of a short one, of a longer one those that need a look first."""

    def __init__(self, *, limit: int | None, precision: present.Digits | None = None, verbose: bool = False) -> None:
        self.limit, self.precision, self.verbose = limit, precision, verbose
        self.kept: dict[str, list[tuple[int, str | None, Checked]]] = {verdict: [] for verdict in _SCREEN}
        self.count = 0

    def row(self, name: str | None, row: Checked) -> None:
        self.count += 1
        kept = self.kept[row.verdict]
        if self.limit is None or len(kept) < self.limit:
            kept.append((self.count, name, row))

    def show(self, summaries: Summaries) -> None:
        screen = layout.console()
        # Of a long table the gravest; then in the order of the table.
        rows = [entry for kept in self.kept.values() for entry in kept]
        if self.limit is not None and self.count > self.limit:
            rows = [entry for entry in rows if entry[2].verdict not in ("certified", "wasteful")][: self.limit] or rows[
                :_GLANCE
            ]
        rows.sort(key=lambda entry: entry[0])
        for source in dict.fromkeys(name for _, name, _ in rows):
            screen.print("Claims and what holds" if source is None else f"{source}: {TABLES[source].title}", style="italic")
            screen.print(self._table(row for _, name, row in rows if name == source))
        if self.count > len(rows):
            hidden = present.plural(self.count - len(rows), "more row")
            screen.print(f"shown are the rows that most need a look; {hidden}: --all, or -o report.html")
        for line in reasons((name, row) for _, name, row in rows):
            screen.print(layout.bullet(line))
        if self.precision is not None:
            screen.print(f"The same {present.how(self.precision)}", style="italic")
            for name, row in ((name, row) for _, name, row in rows if row.precise is not None):
                screen.print(layout.bullet((f"{name}, " if name else "") + f"row {row.row}: {_precise(row)}"))
        self._lists(screen, summaries)
        screen.print()
        screen.print(f"[bold]{sentence(summaries)}[/bold]")
        screen.print(MEANING)
        if any(row.verdict == "wasteful" for _, _, row in rows):
            screen.print("certified, n x: with n times more noise (in a list of requests: epochs) than needed")
        for line in notes(summaries, odd=sys.maxsize if self.verbose else None):
            screen.print(layout.bullet(line))

    @staticmethod
    def _table(rows: Iterable[Checked]) -> layout.Grid:
        table = layout.numbers([title.replace(" ", "\n") for title in COLUMNS], names=VERDICT + 1)
        for row in rows:
            shown = cells(row)
            word, style = _SCREEN[row.verdict]
            if row.verdict == "wasteful" and row.factor is not None:
                word += f"\n{times(row)} x"
            table.add_row(*shown[:VERDICT], (word, style), *shown[VERDICT + 1 :])
        return table

    @staticmethod
    def _lists(screen: Console, summaries: Summaries) -> None:
        entries = lists(summaries)
        if not entries:
            return
        titles = ["row", *LIST_COLUMNS]
        table = layout.Grid(titles, names=len(titles), padding=(0, 0), wraps=1)
        for _, entry in entries[:_LISTS]:
            table.add_row(str(entry.first_row), *list_cells(entry))
        screen.print("Lists of requests: rows that the claimed bound and the tightest certify", style="italic")
        screen.print(table)
        screen.print("needed: epochs in all, had every request been answered with the fewest under the tightest bound")
        if len(entries) > _LISTS:
            screen.print(f"{len(entries) - _LISTS} more lists not shown (--json shows them)")


def _precise(row: Checked) -> str:
    """What a row says to many digits, in words."""
    assert row.precise is not None
    says = [f"{title} {row.precise[name]}" for title, name in PRECISE.items() if row.precise[name] is not None]
    return ", ".join(says) or row.precise["reason"] or "nothing to compute"


class _Csv:
    """A line per row, with its numbers in full; what was taken and many digits are columns of their own."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.writer: csv.DictWriter[str] | None = None

    def row(self, table: str | None, row: Checked) -> None:
        values: dict[str, Any] = ({} if table is None else {"table": table}) | row._asdict()
        taken, precise = values.pop("assumed"), values.pop("precise")
        values["assumed"] = "; ".join(f"{role} {value}" for role, value in taken.items())
        values |= {f"precise_{name}": value for name, value in (precise or {}).items()}
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, list(values), lineterminator="\n", extrasaction="ignore")
            self.writer.writeheader()
        self.writer.writerow(values)

    def end(self, summaries: Summaries) -> None:
        """Nothing stands below the rows."""


class _Json:
    """One object, written as it comes: command, rows, lists, summary, assumptions, constants of the only problem, version."""

    def __init__(
        self, precision: present.Digits | None, file: IO[str], constants: Mapping[str, Any] | None = None
    ) -> None:  # fmt: skip
        self.file, self.constants = file, constants
        self.separator, self.precision = '{"command": "verify", "rows": [', precision
        self.encode = json.JSONEncoder(allow_nan=False).encode
        #: What was taken, and its text: most rows share it with the one before.
        self.assumed: tuple[object, str] = None, "{}"

    def row(self, table: str | None, row: Checked) -> None:
        values = row._asdict() | ({} if table is None else {"table": table})
        if row.precise is None:
            del values["precise"]
        assumed = values.pop("assumed")
        if assumed is not self.assumed[0]:
            self.assumed = assumed, self.encode(dict(assumed))
        text = self.encode(values)
        self.file.write(f'{self.separator}{text[:-1]}, "assumed": {self.assumed[1]}}}')
        self.separator = ",\n"

    def end(self, summaries: Summaries) -> None:
        from accountant._version import __version__

        rest = {
            "lists": [asdict(entry) | ({} if name is None else {"table": name}) for name, entry in lists(summaries)],
            "summary": total(summaries),
            "rounding": sum(summary.rounding for _, summary in summaries),
            **({} if self.precision is None else {"precision": self.precision}),
            "cells": [asdict(cell) for _, summary in summaries for cell in summary.cells],
            "assumptions": notes(summaries),
            **({} if self.constants is None else {"constants": self.constants}),
            "version": __version__,
        }
        self.file.write("], " + json.dumps(rest, allow_nan=False)[1:] + "\n")
