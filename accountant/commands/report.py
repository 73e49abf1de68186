"""How checked tables look: a rich table of what needs a look, JSON, Markdown, or one self-contained HTML page."""

from __future__ import annotations

import html
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final, Protocol

from accountant.commands import present
from accountant.tables.builtin import TABLES
from accountant.tables.verdicts import VERDICTS, Checked, ListSummary, Summary

Summaries = list[tuple[str | None, Summary]]

#: What the verdicts say, for people.
WORDS: Final = {
    "certified": "certified",
    "certified-tighter": "certified by a tighter bound only",
    "fails": "failing",
    "wasteful": "wasteful",
    "unchecked": "cannot be checked",
}
_COLUMNS: Final = (
    "row", "method", "verdict", "epsilon claimed", "epsilon achieved", "epsilon tightest", "sigma needed",
    "epochs needed",
)  # fmt: skip
_VERDICT: Final = 2
#: With what the row claims, where there is room.
_WIDE: Final = (*_COLUMNS[: _VERDICT + 1], "sigma", "epochs", *_COLUMNS[_VERDICT + 1 :])
#: What is shown to many digits, with the JSON's names.
_PRECISE: Final = {"epsilon achieved": "epsilon_achieved", "sigma needed": "sigma_needed", "epochs needed": "epochs_needed"}
_LIST_COLUMNS: Final = ("list", "batch", "sigma", "eps", "claimed", "tightest", "epochs", "needed")
_MEANING: Final = "achieved: epsilon under the claimed bound; tightest: under the tightest bound known for the same run"
#: Verdicts on the screen, with their colours, those that need a look first.
_SCREEN: Final = {
    "fails": ("FAILS", "bold red"),
    "unchecked": ("unchecked", "dim"),
    "certified-tighter": ("tighter only", "yellow"),
    "wasteful": ("wasteful", "cyan"),
    "certified": ("certified", "green"),
}
#: Lists of requests that are shown on the screen.
_LISTS: Final = 40
#: Characters of a list's name on the screen.
_LABEL: Final = 14
#: Rows shown of a long table that is certified throughout.
_GLANCE: Final = 10


class Output(Protocol):
    """Takes rows one by one, so that no table is too long."""

    def row(self, table: str | None, row: Checked) -> None: ...
    def end(self, summaries: Summaries) -> None: ...


@contextmanager
def outputs(
    as_json: bool, markdown: bool, page: Path | None, precision: dict[str, Any] | None = None
) -> Iterator[list[Output]]:
    """What is written row by row: to standard output, and to an HTML file; ``precision``: the block of that option."""
    made: list[Output] = []
    with ExitStack() as stack:
        if as_json:
            made.append(_Json(precision))
        if markdown:
            made.append(_Markdown(precision))
        if page is not None:
            made.append(_Html(stack.enter_context(open(page, "w", encoding="utf-8")), precision))
        yield made


def cells(row: Checked, *, wide: bool = False) -> list[str]:
    """The columns of a row, for people; epsilon rounded up, as what is needed is."""
    given = [_shown(row.sigma), _shown(row.epochs)] if wide else []
    precise = [] if row.precise is None or not wide else [row.precise[name] or "-" for name in _PRECISE.values()]
    return [
        str(row.row), row.method, row.verdict, *given, _shown(row.epsilon_claimed),
        *map(_up, (row.epsilon_achieved, row.epsilon_tightest, row.sigma_needed, row.epochs_needed)), *precise,
    ]  # fmt: skip


def _titles(table: str | None, precision: dict[str, Any] | None) -> list[str]:
    """Of the wide columns, with those of many digits."""
    more = [] if precision is None else [f"{title}, {present.plural(precision['digits'], 'digit')}" for title in _PRECISE]
    return [*(["table"] if table else []), *_WIDE, *more, "reason"]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _up(value: float | None) -> str:
    return "-" if value is None else present.digits(value, 4)


def total(summaries: Summaries) -> dict[str, int]:
    """Rows per verdict over all tables."""
    counts: Counter[str] = Counter()
    for _, summary in summaries:
        counts.update(summary.verdicts)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def sentence(summaries: Summaries) -> str:
    """The summary line."""
    counts = total(summaries)
    said = ", ".join(f"{counts[verdict]} {WORDS[verdict]}" for verdict in VERDICTS if counts[verdict])
    rounding = sum(summary.rounding for _, summary in summaries)
    more = f"; {rounding} fall short by rounding alone" if rounding else ""
    return f"{present.plural(sum(counts.values()), 'row')}: {said}{more}"


def notes(summaries: Summaries) -> list[str]:
    """What was taken for granted, and where built-in tables come from."""
    lines = []
    for name, _ in summaries:
        if name is not None:
            lines.append(f"{name}: {TABLES[name].title}; {TABLES[name].provenance}")
    lines += list(dict.fromkeys(line for _, summary in summaries for line in summary.assumed))
    if any("batches random" in line for line in lines):
        lines.append("batches random: averaged over the draw of the batch order; --batches worst: whatever the order")
    ignored = list(dict.fromkeys(column for _, summary in summaries for column in summary.ignored))
    if ignored:
        lines.append(f"columns not used: {', '.join(ignored)}")
    return lines


def lists(summaries: Summaries) -> list[tuple[str | None, ListSummary]]:
    return [(name, entry) for name, summary in summaries for entry in summary.lists]


def list_cells(entry: ListSummary) -> list[str]:
    """The columns of a list, for people."""
    counts = ((entry.method, entry.certified), (entry.tightest, entry.certified_tightest))
    says = [f"{name}: {'all' if count == entry.rows else f'{count}/{entry.rows}'}" for name, count in counts]
    least = "-" if entry.epochs_tightest is None else f"{entry.epochs_tightest:.6g}"
    noise = f"{entry.sigma:.4g}", f"{entry.epsilon:.4g}"
    return [entry.list or "-", str(entry.batch_size), *noise, *says, f"{entry.epochs:.6g}", least]


class View:
    """The table on the screen: all rows of a short one, of a longer one those that need a look first."""

    def __init__(self, *, limit: int | None, precision: dict[str, Any] | None = None) -> None:
        self.limit, self.precision = limit, precision
        self.kept: dict[str, list[tuple[int, str | None, Checked]]] = {verdict: [] for verdict in _SCREEN}
        self.count = 0

    def row(self, name: str | None, row: Checked) -> None:
        self.count += 1
        kept = self.kept[row.verdict]
        if self.limit is None or len(kept) < self.limit:
            kept.append((self.count, name, row))

    def show(self, summaries: Summaries) -> None:
        screen = present.console()
        # Of a long table the gravest; then in the order of the table.
        rows = [entry for kept in self.kept.values() for entry in kept]
        if self.limit is not None and self.count > self.limit:
            rows = [entry for entry in rows if entry[2].verdict != "certified"][: self.limit] or rows[:_GLANCE]
        rows.sort(key=lambda entry: entry[0])
        for source in dict.fromkeys(name for _, name, _ in rows):
            screen.print("Claims and what holds" if source is None else f"{source}: {TABLES[source].title}", style="italic")
            screen.print(self._table(row for _, name, row in rows if name == source))
        if self.count > len(rows):
            hidden = present.plural(self.count - len(rows), "more row")
            screen.print(f"shown are the rows that most need a look; {hidden}: --all, --json, --markdown or --html")
        for _, name, row in rows:
            # The others say no more than their numbers.
            if row.reason and (row.verdict in ("fails", "unchecked") or row.rounding or row.request):
                where = (f"{name}, " if name else "") + f"row {row.row}"
                screen.print(present.bullet(f"{where}: {row.reason}"))
        if self.precision is not None:
            screen.print(f"The same {present.how(self.precision)}", style="italic")
            for name, row in ((name, row) for _, name, row in rows if row.precise is not None):
                screen.print(present.bullet((f"{name}, " if name else "") + f"row {row.row}: {_precise(row)}"))
        self._lists(screen, summaries)
        screen.print()
        screen.print(f"[bold]{sentence(summaries)}[/bold]")
        screen.print(_MEANING)
        for line in notes(summaries):
            screen.print(present.bullet(line))

    @staticmethod
    def _table(rows: Iterable[Checked]) -> Any:
        table = present.plain_table([title.replace(" ", "\n") for title in _COLUMNS])
        table.padding = 0
        for at, column in enumerate(table.columns):
            column.no_wrap = True
            column.justify = "left" if at <= _VERDICT else "right"
        for row in rows:
            shown = cells(row)
            word, style = _SCREEN[row.verdict]
            shown[_VERDICT] = f"[{style}]{word}[/]"
            table.add_row(*shown)
        return table

    @staticmethod
    def _lists(screen: Any, summaries: Summaries) -> None:
        entries = lists(summaries)
        if not entries:
            return
        from rich.markup import escape

        table = present.plain_table(["row", *_LIST_COLUMNS])
        table.padding = 0
        table.columns[1].max_width = _LABEL
        for column in table.columns:
            column.no_wrap, column.overflow = True, "ellipsis"
        for _, entry in entries[:_LISTS]:
            table.add_row(str(entry.first_row), *map(escape, list_cells(entry)))
        screen.print("Lists of requests: rows that the claimed bound and the tightest certify", style="italic")
        screen.print(table)
        screen.print("needed: epochs in all, had every request been answered with the fewest under the tightest bound")
        if len(entries) > _LISTS:
            screen.print(f"{len(entries) - _LISTS} more lists not shown (--json shows them)")


def _precise(row: Checked) -> str:
    """What a row says to many digits, in words."""
    assert row.precise is not None
    says = [f"{title} {row.precise[name]}" for title, name in _PRECISE.items() if row.precise[name] is not None]
    return ", ".join(says) or row.precise["reason"] or "nothing to compute"


class _Json:
    """One object, written as it comes: command, rows, lists, summary, assumptions, version."""

    def __init__(self, precision: dict[str, Any] | None) -> None:
        self.separator, self.precision = '{"command": "verify", "rows": [', precision

    def row(self, table: str | None, row: Checked) -> None:
        values = row._asdict() | ({} if table is None else {"table": table})
        if row.precise is None:
            del values["precise"]
        sys.stdout.write(self.separator + json.dumps(values, allow_nan=False, ensure_ascii=False))
        self.separator = ",\n"

    def end(self, summaries: Summaries) -> None:
        from accountant import __version__

        rest = {
            "lists": [asdict(entry) | ({} if name is None else {"table": name}) for name, entry in lists(summaries)],
            "summary": total(summaries),
            "rounding": sum(summary.rounding for _, summary in summaries),
            **({} if self.precision is None else {"precision": self.precision}),
            "assumptions": notes(summaries),
            "version": __version__,
        }
        sys.stdout.write("], " + json.dumps(rest, allow_nan=False, ensure_ascii=False)[1:] + "\n")


class _Markdown:
    """A Markdown table on standard output, and the summary below it."""

    def __init__(self, precision: dict[str, Any] | None) -> None:
        self.started, self.precision = False, precision

    def row(self, table: str | None, row: Checked) -> None:
        titles = _titles(table, self.precision)
        if not self.started:
            print(_markdown(titles))
            print("|" + " --- |" * len(titles))
            self.started = True
        print(_markdown([*([table] if table else []), *cells(row, wide=True), row.reason]))

    def end(self, summaries: Summaries) -> None:
        entries = lists(summaries)
        if entries:
            print("\n" + _markdown(list(_LIST_COLUMNS)))
            print("|" + " --- |" * len(_LIST_COLUMNS))
        for _, entry in entries:
            print(_markdown(list_cells(entry)))
        print(f"\n{sentence(summaries)}.\n")
        for line in notes(summaries):
            print(f"- {line}")


def _markdown(values: list[str]) -> str:
    return "| " + " | ".join(" ".join(value.replace("|", "\\|").split()) for value in values) + " |"


class _Html:
    """One page without anything from elsewhere; readable without colour, too."""

    def __init__(self, file: IO[str], precision: dict[str, Any] | None) -> None:
        self.file, self.precision = file, precision
        self.started = False

    def row(self, table: str | None, row: Checked) -> None:
        if not self.started:
            self.file.write(_HEAD + _tags("tr", "th", _titles(table, self.precision)) + "</thead><tbody>\n")
            self.started = True
        shown = [*([table] if table else []), *cells(row, wide=True), row.reason]
        at = _VERDICT + (1 if table else 0)
        parts = [f"<td>{html.escape(cell)}</td>" for cell in shown]
        parts[at] = f'<td><span class="{row.verdict}">{html.escape(shown[at])}</span></td>'
        self.file.write(f"<tr>{''.join(parts)}</tr>\n")

    def end(self, summaries: Summaries) -> None:
        write = self.file.write
        write("</tbody></table></div>\n")
        entries = lists(summaries)
        if entries:
            head = _tags("tr", "th", list(_LIST_COLUMNS))
            write(f"<h2>Lists of requests</h2><div class='wide'><table><thead>{head}</thead><tbody>\n")
            for _, entry in entries:
                write(_tags("tr", "td", list_cells(entry)))
            write("</tbody></table></div>\n")
        write(f"<p class='sum'>{html.escape(sentence(summaries))}</p>\n<h2>What this rests on</h2><ul>\n")
        for line in notes(summaries):
            write(f"<li>{html.escape(line)}</li>\n")
        write(f"<li>{_MEANING}</li></ul>")
        write("</main></body></html>\n")


def _tags(outer: str, inner: str, values: list[str]) -> str:
    return f"<{outer}>" + "".join(f"<{inner}>{html.escape(value)}</{inner}>" for value in values) + f"</{outer}>"


_HEAD: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Checked claims of unlearning</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff }
main { margin: 2rem auto; max-width: 78rem; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top }
th { border-bottom: 2px solid #555; position: sticky; top: 0; background: #fff }
td span { padding: .05rem .4rem; border-radius: .3rem; border: 1px solid #999; white-space: nowrap }
.certified { background: #e3f4ec } .certified-tighter { background: #fdf3d3 } .wasteful { background: #e4f1fa }
.fails { background: #b3261e; color: #fff; font-weight: bold } .unchecked { background: #eee }
.sum { font-size: 1.15rem; font-weight: bold }
</style></head><body><main><h1>Checked claims of unlearning</h1>
<div class="wide"><table><thead>"""
