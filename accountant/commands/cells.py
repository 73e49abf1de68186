"""What every form of a report says of checked rows: columns, counts and notes."""

from __future__ import annotations

from collections import Counter
from typing import Final

from accountant.commands import present
from accountant.numerics import digits
from accountant.tables import TABLES
from accountant.verification import VERDICTS, Checked, ListSummary, Summary

Summaries = list[tuple[str | None, Summary]]
#: What the verdicts say, for people.
WORDS: Final = {
    "certified": "certified",
    "certified-tighter": "certified by a tighter bound only",
    "fails": "failing",
    "wasteful": "certified with more noise or epochs than needed",
    "unchecked": "cannot be checked",
}
COLUMNS: Final = (
    "row", "method", "verdict", "epsilon claimed", "epsilon achieved", "epsilon tightest", "sigma needed",
    "epochs needed",
)  # fmt: skip
VERDICT: Final = 2
#: With what the row claims, where there is room.
_WIDE: Final = (*COLUMNS[: VERDICT + 1], "sigma", "epochs", *COLUMNS[VERDICT + 1 :])
#: What is shown to many digits, with the JSON's names.
PRECISE: Final = {"epsilon achieved": "epsilon_achieved", "sigma needed": "sigma_needed", "epochs needed": "epochs_needed"}
LIST_COLUMNS: Final = ("list", "batch", "sigma", "eps", "claimed", "tightest", "epochs", "needed")
#: Odd cells that are told without --verbose.
SHOWN_ODD: Final = 4
MEANING: Final = "achieved: epsilon under the claimed bound; tightest: under the tightest bound known for the same run"


def cells(row: Checked, *, wide: bool = False) -> list[str]:
    """The columns of a row, for people; epsilon rounded up, as what is needed is."""
    given = [_shown(row.sigma), _shown(row.epochs)] if wide else []
    precise = [] if row.precise is None or not wide else [row.precise[name] or "-" for name in PRECISE.values()]
    return [
        str(row.row), row.method or "-", in_words(row), *given, _shown(row.epsilon_claimed),
        *map(_up, (row.epsilon_achieved, row.epsilon_tightest, row.sigma_needed, row.epochs_needed)), *precise,
    ]  # fmt: skip


def in_words(row: Checked) -> str:
    """The verdict for people: what is called wasteful elsewhere holds, with more than it takes."""
    if row.verdict != "wasteful":
        return row.verdict
    what = "noise" if row.request is None else "epochs"
    return f"certified, {times(row)} times more {what} than needed" if row.factor else f"certified, any {what} would do"


def times(row: Checked) -> str:
    """How much more noise, or how many more epochs, a row has than it needs."""
    return "" if row.factor is None else digits(row.factor, 3, down=True)


def titles(table: str | None, precision: present.Digits | None) -> list[str]:
    """Of the wide columns, with those of many digits."""
    more = [] if precision is None else [f"{title}, {present.plural(precision['digits'], 'digit')}" for title in PRECISE]
    return [*(["table"] if table else []), *_WIDE, *more, "reason"]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _up(value: float | None) -> str:
    return "-" if value is None else digits(value, 4)


def total(summaries: Summaries) -> dict[str, int]:
    """Rows per verdict over all tables."""
    counts: Counter[str] = Counter()
    for _, summary in summaries:
        counts.update(summary.verdicts)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def sentence(summaries: Summaries) -> str:
    """The summary line."""
    counts = total(summaries)
    # Rows with more noise than needed hold as the others do: they are counted among them.
    more_than_needed = counts.pop("wasteful")
    counts["certified"] += more_than_needed
    words = dict(WORDS)
    if more_than_needed:
        some = "" if more_than_needed == counts["certified"] else f"{more_than_needed} of them "
        words["certified"] += f" ({some}with more noise or epochs than needed)"
    said = ", ".join(f"{count} {words[verdict]}" for verdict, count in counts.items() if count)
    counts = total(summaries)
    rounding = sum(summary.rounding for _, summary in summaries)
    more = f"; {rounding} fall short by rounding alone" if rounding else ""
    return f"{present.plural(sum(counts.values()), 'row')}: {said}{more}"


def _odd(summaries: Summaries, most: int) -> list[str]:
    """As what cells were read that are not plainly their numbers: so many of them."""
    found = [cells.words for _, summary in summaries for cells in summary.cells]
    if not found:
        return []
    more = f"; and {len(found) - most} more (--verbose)" if len(found) > most else ""
    return [f"cells read: {'; '.join(found[:most])}{more}"]


def notes(summaries: Summaries, *, odd: int | None = None) -> list[str]:
    """What was taken for granted, and where built-in tables come from; ``odd``: how many odd cells are told, default a few."""
    lines = []
    for name, _ in summaries:
        if name is not None:
            lines.append(f"{name}: {TABLES[name].title}; {TABLES[name].provenance}")
    lines += list(dict.fromkeys(line for _, summary in summaries for line in summary.assumed))
    lines += _odd(summaries, SHOWN_ODD if odd is None else odd)
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
