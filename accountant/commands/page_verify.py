"""The page of ``accountant verify``: what it comes to, the rows that fail first, and where all of it comes from."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

from accountant.commands import origin, page, present
from accountant.commands.cells import (
    LIST_COLUMNS,
    MEANING,
    PRECISE,
    Summaries,
    list_cells,
    lists,
    notes,
    sentence,
    total,
)
from accountant.commands.page import Cell, Fact, Line, Page, Rows, Section, number
from accountant.problem import PRESETS
from accountant.verification import Checked

#: Verdicts in the order of the page, the gravest first: how rows are called that are chosen, the label, and its tone.
_VERDICTS: Final = {
    "fails": ("failing", "FAILS", "bad"),
    "unchecked": ("not checked", "unchecked", "warn"),
    "certified-tighter": ("tighter bound only", "tighter only", "warn"),
    "wasteful": ("more than needed", "certified", "good"),
    "certified": ("certified", "certified", "good"),
}
_FACTS: Final = {
    "fails": "Fail", "unchecked": "Not checked", "certified-tighter": "Hold by a tighter bound only",
    "wasteful": "Hold, with more than needed", "certified": "Hold",
}  # fmt: skip
_TITLES: Final = (
    "verdict", "method", "data", "b", "δ", "σ", "epochs", "ε claimed", "ε achieved", "ε tightest",
    "σ needed", "epochs needed",
)  # fmt: skip
#: Bytes of rows that are kept in memory before they go to a file.
_KEPT: Final = 1 << 22


class Spool:
    """Rows by group, in any number: to be read again group by group."""

    def __init__(self, groups: Sequence[str]) -> None:
        self._stack = ExitStack()
        self._files: dict[str, IO[str]] = {
            group: self._stack.enter_context(tempfile.SpooledTemporaryFile(_KEPT, "w+", encoding="utf-8"))  # noqa: SIM115
            for group in groups
        }

    def close(self) -> None:
        """Give up the files, whether the rows were read again or not."""
        self._stack.close()

    def add(self, group: str, cells: Sequence[Cell]) -> None:
        self._files[group].write(json.dumps(cells) + "\n")

    def lines(self, names: Mapping[str, str]) -> Iterator[Line]:
        """All rows, the groups in their order and by these names; the files are gone after that."""
        with self._stack:
            for group, file in self._files.items():
                file.seek(0)
                for text in file:
                    yield Line([Cell(*cell) for cell in json.loads(text)], names[group])


class Html:
    """One page that needs nothing from elsewhere. source: files and settings, as ``origin.lines`` takes them."""

    def __init__(self, file: IO[str], precision: present.Digits | None, source: Mapping[str, Any] | None = None) -> None:
        self.file, self.precision, self.source = file, precision, dict(source or {})
        self.spool, self.named = Spool(list(_VERDICTS)), False
        #: Published data sets that rows are about.
        self.presets: dict[str, None] = {}

    def row(self, table: str | None, row: Checked) -> None:
        self.named = table is not None
        if row.preset is not None:
            self.presets[row.preset] = None
        self.spool.add(row.verdict, _cells(table, row))

    def end(self, summaries: Summaries) -> None:
        page.write(self.file, self._page(summaries))

    def _page(self, summaries: Summaries) -> Page:
        counts = total(summaries)
        rows = sum(counts.values())
        name = (
            "all built-in tables"
            if self.named
            else ", ".join(Path(name).name for what, name, _ in self.source.get("files", ()) if what == "Table")
        )
        rounding = sum(summary.rounding for _, summary in summaries)
        sections = [Section("rows", "Rows", rows=self._rows())]
        entries = lists(summaries)
        if entries:
            sections.append(Section("lists", "Lists of requests", rows=_lists(entries)))
        sections.append(Section("assumptions", "What this rests on", lists=[("", [*notes(summaries), MEANING])]))
        return Page(
            title="Checked claims of unlearning",
            subtitle=", ".join(word for word in (name, present.plural(rows, "row"), f"checked on {origin.today()}") if word),
            answer=sentence(summaries) + ".",
            tone="bad" if counts["fails"] else "warn" if counts["unchecked"] or not rows else "good",
            notes=_says(counts, rounding),
            facts=[
                Fact(_FACTS[verdict], f"{counts[verdict]:,}", verdict == "fails" and counts[verdict] > 0) for verdict in _FACTS
            ],
            sections=sections,
            origin=[
                *origin.lines("verify", files=self.source.get("files", ()), settings=self.source.get("settings")),
                *(("Data of rows", f"{preset}: {_constants(preset)}") for preset in self.presets),
            ],
        )

    def _rows(self) -> Rows:
        more = [] if self.precision is None else [
            f"{title}, {present.plural(self.precision['digits'], 'digit')}" for title in PRECISE
        ]  # fmt: skip
        titles = ["table and row" if self.named else "row", *_TITLES, *more]
        caption = "Rows that fail come first, then those that cannot be checked. ε is rounded up, as is what is needed."
        return Rows("rows", titles, self.spool.lines({verdict: names[0] for verdict, names in _VERDICTS.items()}), caption)


def _constants(preset: str) -> str:
    """A published data set in numbers."""
    known = PRESETS[preset]
    told = {"n": f"{known.n:,}", "L": known.smoothness, "m": known.strong_convexity, "M": known.lipschitz}
    return ", ".join(f"{name} = {value if isinstance(value, str) else f'{value:.12g}'}" for name, value in told.items())


def _says(counts: Mapping[str, int], rounding: int) -> list[str]:
    """What the answer means, in a sentence or two."""
    told = []
    if counts["fails"]:
        told.append(
            "A row fails if neither its own bound nor the tightest one known proves its ε from its noise and epochs. That does "
            "not prove the claim false: what the table says does not prove it."
        )
    if rounding:
        told.append(f"{present.plural(rounding, 'row')} of these would hold with a number that rounds to the printed one.")
    if counts["unchecked"]:
        told.append("Rows that are not checked say why; they neither hold nor fail.")
    return told


def _cells(table: str | None, row: Checked) -> list[Cell]:
    _, word, tone = _VERDICTS[row.verdict]
    verdict = Cell(word, list(_VERDICTS).index(row.verdict), tone, row.reason)
    first = Cell(str(row.row), row.row) if table is None else Cell(f"{table} {row.row}")
    batch = Cell("full", row.n) if row.n is not None and row.batch_size == row.n else page.whole(row.batch_size)
    data = row.preset or (f"n = {row.n:,}" if row.n else "-")
    precise = (
        [] if row.precise is None else [Cell(row.precise[name] or "-", _value(row.precise[name])) for name in PRECISE.values()]
    )
    found = (row.epsilon_achieved, row.epsilon_tightest, row.sigma_needed, row.epochs_needed)
    return [
        first, verdict, Cell(row.method or "-"), Cell(data), batch, number(row.delta), _given(row.sigma), _given(row.epochs),
        _given(row.epsilon_claimed), *map(number, found), *precise,
    ]  # fmt: skip


def _given(value: float | None) -> Cell:
    """What the row says, which is not rounded up."""
    return Cell("-", math.nan) if value is None else Cell(f"{value:.6g}", float(value))


def _value(text: str | None) -> float:
    try:
        return math.nan if text is None else float(text)
    except ValueError:
        return math.nan


def _lists(entries: Iterable[tuple[str | None, Any]]) -> Rows:
    found = list(entries)
    titles = ["row", *LIST_COLUMNS, *(["table"] if any(name for name, _ in found) else [])]
    lines = [
        Line([Cell(str(entry.first_row), entry.first_row), *map(Cell, list_cells(entry)), *([Cell(name)] if name else [])])
        for name, entry in found
    ]
    caption = "Rows that the claimed bound and the tightest certify; needed: epochs in all, with the fewest for every request."
    return Rows("lists of requests", titles, lines, caption)
