"""The field in one table: what every method runs, for which losses, data and requests, whose code, and what it takes here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from accountant.commands import layout, present
from accountant.commands.page import Cell, Line, Rows, number

if TYPE_CHECKING:
    from rich.console import Console

_Row = Mapping[str, Any]
#: Letters of what may become of a record and of what may be asked; the screen has no room for words.
LETTERS: Final = {
    "replace": "r", "zero-out": "z", "remove": "x",
    "one": "1", "group": "g", "stream": "s", "adaptive": "a",
}  # fmt: skip
_WORDS: Final = {
    "data": {"replace": "replaced by another", "zero-out": "its gradient dropped", "remove": "it leaves for good"},
    "requests": {
        "one": "one record", "group": "several at once", "stream": "one request after another",
        "adaptive": "requests that depend on earlier releases",
    },
}  # fmt: skip


def of_field(rows: Iterable[_Row]) -> layout.Grid:
    """A table of the rows of ``--json``, as narrow as words allow."""
    rows = list(rows)
    priced = _are_priced(rows)
    # Where nobody says how long a retraining is, what is spent stands for its share.
    shares = any(row["relative"] is not None for row in rows)
    spent = "of\nretraining" if shares else "gradients"
    cost = ["noise in\nmodel", spent] if priced else ["sigma", "of\noptimal"]
    table = layout.numbers(["method", "year", "losses", "data", "requests", "code", *cost], names=6)
    for row in rows:
        table.add_row(
            row["method"], present_year(row), row["losses"], _letters(row["data"]), _letters(row["requests"]), _code(row),
            *(_priced(row, shares=shares) if priced else _stepped(row)),
        )  # fmt: skip
    return table


def show(screen: Console, rows: Sequence[_Row]) -> None:
    """The table, and what its words and letters stand for."""
    from accountant.methods import LOSSES

    screen.print("The field: what each method covers, and what it takes for this problem", style="italic")
    screen.print(of_field(rows))
    used = {row["losses"] for row in rows}
    said = "; ".join(f"{word}: {meaning}" for word, meaning in LOSSES.items() if word in used)
    screen.print(layout.text(f"losses, the widest class that is covered. {said}."))
    for key, words in _WORDS.items():
        what = "what becomes of the record" if key == "data" else "what may be asked"
        screen.print(layout.text(f"{key}, {what}. {'; '.join(f'{LETTERS[word]}: {said}' for word, said in words.items())}."))
    screen.print(layout.text("code: ours, of this package; public, as named below. year: of the publication or its preprint."))


def told(row: _Row) -> str:
    """A method in a sentence: what it is, what it runs and proves, and where its code is."""
    since = f" ({row['year']})" if row["year"] else ""
    code = f"; code: {row['code']}" if row["code"] and _code(row) == "public" else ""
    return f"{row['method']}: {row['title']}{since}; runs {row['runs']}; proves {row['proves']}{code}"


def page_rows(rows: Iterable[_Row]) -> Rows:
    """The same for the page, in words."""
    rows = list(rows)
    priced = _are_priced(rows)
    lines = [
        Line(
            [
                Cell(row["method"]), Cell(row["runs"], free=True), Cell(row["losses"]), Cell(", ".join(row["data"])),
                Cell(", ".join(row["requests"])), Cell(row["proves"], free=True), Cell(row["code"] or "none known", free=True),
                Cell(present_year(row)),
                # What common steps take stands in the table above, and a printed page has no room for it twice.
                *([number(row["released_std"]), _share(row)] if priced else []),
            ],
            row["losses"],
        )
        for row in rows
    ]  # fmt: skip
    titles = [
        "method", "what runs", "losses", "data", "requests", "what is proved", "code", "year",
        *(("noise in model", "of retraining") if priced else ()),
    ]  # fmt: skip
    return Rows("the field", titles, lines, "What each method covers at most, and what it takes for this problem.")


def present_year(row: _Row) -> str:
    """Of the publication or its preprint; a dash for what is this package's own."""
    return str(row["year"] or "-")


def _letters(words: Iterable[str]) -> str:
    return "".join(LETTERS[word] for word in words)


def _code(row: _Row) -> str:
    from accountant.methods import OURS

    return "-" if row["code"] is None else "ours" if row["code"] == OURS else "public"


def noise(row: _Row) -> str:
    """What is in the released model; "no limit" where there is an answer whose noise adds up to more than any number."""
    if is_gap(row):
        return "gap"
    return "no limit" if row["sigma"] is not None and row["released_std"] is None else present.rough(row["released_std"])


def _priced(row: _Row, *, shares: bool) -> tuple[str, str]:
    if not shares:
        return noise(row), "-" if row["gradient_evaluations"] is None else str(row["gradient_evaluations"])
    return noise(row), "-" if row["relative"] is None else f"{100 * row['relative']:.3g} %"


def _stepped(row: _Row) -> tuple[str, str]:
    return present.rough(row["sigma"], 6), "-" if row["relative"] is None else f"{row['relative']:.4g} x"


def is_gap(row: _Row) -> bool:
    """Whether nothing is stated of a method, whatever the problem."""
    from accountant.methods import METHODS

    return row["method"] in METHODS and METHODS[row["method"]].family == "gap"


def _share(row: _Row) -> Cell:
    share = row["relative"]
    return number(None) if share is None else Cell(f"{100 * share:.3g} %", share)


def _are_priced(rows: Iterable[_Row]) -> bool:
    """Whether the rows are about batches, with what is in the model and a retraining's cost; else about common steps."""
    return any("released_std" in row for row in rows)
