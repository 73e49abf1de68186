"""Checked tables in Markdown, and a plain page for who has no Jinja2; with it, the page is that of ``page_verify``."""

from __future__ import annotations

import html
from typing import IO, Final

from accountant.commands import present
from accountant.commands.cells import (
    LIST_COLUMNS,
    MEANING,
    VERDICT,
    Summaries,
    cells,
    list_cells,
    lists,
    notes,
    sentence,
    titles,
)
from accountant.verification import Checked


class Markdown:
    """A Markdown table, on standard output if no file is given, and the summary below it."""

    def __init__(self, precision: present.Digits | None, file: IO[str] | None = None) -> None:
        self.started, self.precision, self.file = False, precision, file

    def row(self, table: str | None, row: Checked) -> None:
        columns = titles(table, self.precision)
        if not self.started:
            self._print(_markdown(columns))
            self._print("|" + " --- |" * len(columns))
            self.started = True
        self._print(_markdown([*([table] if table else []), *cells(row, wide=True), row.reason]))

    def end(self, summaries: Summaries) -> None:
        entries = lists(summaries)
        if entries:
            self._print("\n" + _markdown(list(LIST_COLUMNS)))
            self._print("|" + " --- |" * len(LIST_COLUMNS))
        for _, entry in entries:
            self._print(_markdown(list_cells(entry)))
        self._print(f"\n{sentence(summaries)}.\n")
        for line in notes(summaries):
            self._print(f"- {line}")

    def _print(self, line: str) -> None:
        print(line, file=self.file)


def _markdown(values: list[str]) -> str:
    return "| " + " | ".join(" ".join(value.replace("|", "\\|").split()) for value in values) + " |"


class Plain:
    """One page without anything from elsewhere, which neither sorts nor filters; readable without colour, too."""

    def __init__(self, file: IO[str], precision: present.Digits | None) -> None:
        self.file, self.precision = file, precision
        self.started = False

    def row(self, table: str | None, row: Checked) -> None:
        if not self.started:
            self.file.write(_HEAD + _tags("tr", "th", titles(table, self.precision)) + "</thead><tbody>\n")
            self.started = True
        shown = [*([table] if table else []), *cells(row, wide=True), row.reason]
        at = VERDICT + (1 if table else 0)
        parts = [f"<td>{html.escape(cell)}</td>" for cell in shown]
        parts[at] = f'<td><span class="{row.verdict}">{html.escape(shown[at])}</span></td>'
        self.file.write(f"<tr>{''.join(parts)}</tr>\n")

    def end(self, summaries: Summaries) -> None:
        write = self.file.write
        write("</tbody></table></div>\n")
        entries = lists(summaries)
        if entries:
            head = _tags("tr", "th", list(LIST_COLUMNS))
            write(f"<h2>Lists of requests</h2><div class='wide'><table><thead>{head}</thead><tbody>\n")
            for _, entry in entries:
                write(_tags("tr", "td", list_cells(entry)))
            write("</tbody></table></div>\n")
        write(f"<p class='sum'>{html.escape(sentence(summaries))}</p>\n<h2>What this rests on</h2><ul>\n")
        for line in notes(summaries):
            write(f"<li>{html.escape(line)}</li>\n")
        write(f"<li>{MEANING}</li></ul>")
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
