"""What a row may say where nothing reads it: it is asked about, and no row is judged by a default instead silently."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from shlex import quote
from typing import Final

from accountant.numerics import InputError, parse_number, shown
from accountant.problem import PRESETS, Problem
from accountant.tables import Row, Table, clean
from accountant.verification.columns import like_a_batch, like_draws, likely, scaled
from accountant.verification.draws import ask_for_draws
from accountant.verification.naming import base_role, role_of, words_of

#: Roles that have a default, and what it is in words: a column that speaks of one is not passed over.
_DEFAULTS: Final = {
    "delta": "1/n",
    "step_size": "1/smoothness",
    "group_size": "1",
    "learn_epochs": "until convergence",
    "radius": "none",
    "adjacency": "replace",
    "batches": "the default of its bound",
}
#: Of these a word of the name is enough.
_NEARLY: Final = ("delta", "step_size", "learn_epochs", "radius")
#: Words of numbers that have no role, and make another run of a row.
_DELETED: Final = frozenset(
    [
        *("forget", "forgotten", "deleted", "deletes", "delete", "deletion", "deletions", "removed", "removal", "removals"),
        *("unlearned", "erased", "edits"),
    ]
)
_REQUESTS: Final = ("requests", "num_requests", "n_requests", "number_of_requests", "nr_requests", "total_requests")
#: Names of the factor of a square in the loss, which strong convexity comes from.
_LAMBDA: Final = ("λ", "lambda", "l2", "weight_decay", "regularization", "regularisation", "reg", "l2_reg")
#: Words of what is measured of points that were deleted.
_MEASURED: Final = frozenset(
    [
        *("acc", "accuracy", "loss", "error", "err", "f1", "auc", "mia", "score", "quality", "time", "s", "sec", "seconds"),
        *("ms", "min", "h", "hours", "model", "utility", "kl", "method", "test"),
    ]
)


@dataclass(frozen=True)
class Suspects:
    """Columns without a role that may be the batch size, how records are drawn, something else with a default, or the data."""

    batches: Sequence[str] = ()
    draws: Sequence[str] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    data: Sequence[str] = ()
    #: Columns that may say another strong convexity.
    lambdas: Sequence[str] = ()
    #: Columns of a number that counts only where it is not the one that stands beside it, and what to do then.
    odd: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    #: What the options say of the data.
    preset: str | None = None

    @property
    def columns(self) -> list[str]:
        """All of them."""
        return list(dict.fromkeys([*self.batches, *self.draws, *self.others, *self.data, *self.lambdas, *self.odd]))

    def ask(self, row: Row, problem: Problem) -> None:
        """InputError where one of them says something about this row."""
        n, convexity = problem.n, problem.strong_convexity
        for column in self.lambdas:
            value = _value(clean(row.cells.get(column, "")))
            if value is not None and not any(isclose(value, usual, rel_tol=0.01) for usual in (convexity, convexity / n)):
                raise InputError(
                    f"column {column!r} is not used, and says {row.cells[column]!r}, where the row would count with "
                    f"strong_convexity {shown(convexity)}: write n, smoothness, strong_convexity and lipschitz in columns, or "
                    "leave it out"
                )
        for column in self.batches:
            if _speaks(row.cells.get(column, ""), n):
                remedy = "write it under batch_size" if scaled(column) else f"say --column batch_size={quote(column)}"
                raise InputError(
                    f"column {column!r} is not used, and the row would count as full batch: if that is the batch size "
                    f"{remedy}, if not --batch-size full"
                )
        ask_for_draws(self.draws, row.cells)
        for column, role in self.others.items():
            if clean(row.cells.get(column, "")) not in ("", "-"):
                option = f"--{role.replace('_', '-')}"
                remedy = f"write its numbers under {role}" if scaled(column) else f"say --column {role}={quote(column)}"
                raise InputError(
                    f"column {column!r} is not used, and the row would count with {role} {_DEFAULTS[role]}: if that is it "
                    f"{remedy}, if not give {option}"
                )
        for column, (usual, remedy) in self.odd.items():
            text = clean(row.cells.get(column, ""))
            if any(map(str.isdigit, text)) and (_value(text) != usual or "%" in column):
                raise InputError(f"column {column!r} is not used, and says {row.cells[column]!r}: {remedy}")
        for column in self.data:
            named = preset_name(row.cells.get(column, ""))
            if named is not None and named != self.preset:
                raise InputError(
                    f"column {column!r} is not used, and says {row.cells[column]!r}: if that is the data of the row say "
                    f"--column preset={quote(column)} instead of --preset"
                )


def find_suspects(table: Table, ignored: Iterable[str], have: set[str], preset: str | None) -> Suspects:
    """The columns that nothing reads and that may say what nothing else does: by their names, and by their cells."""
    ignored = [column for column in ignored if column]
    near = [] if "batch_size" in have else [column for column in ignored if like_a_batch(column)]
    data = [] if "preset" not in have or preset is None else ignored
    sizes: set[str] = set()
    named: set[str] = set()
    for row in table.rows() if near or data else ():
        sizes |= {column for column in near if may_be_a_size(row.cells.get(column, ""))}
        named |= {column for column in data if preset_name(row.cells.get(column, "")) is not None}
    # A column that may say how records come into batches, where nothing else does.
    draws = [] if "assignment" in have else [column for column in ignored if like_draws(column)]
    others: dict[str, str] = {}
    for role in _DEFAULTS:
        if role not in have:
            others |= {column: role for column in ignored if role_of(column) is None and base_role(column) == role}
            if role in _NEARLY:
                others |= dict.fromkeys(likely(role, ignored), role)
    for column in ignored:
        words = words_of(column.replace("δ", " delta ").replace("η", " eta "))
        if "delta" not in have and "delta" in words and scaled(column):
            others[column] = "delta"
        if "step_size" not in have and "lr" in words:
            others[column] = "step_size"
    regular = ["_".join(words_of(column)) if "λ" not in column else "λ" for column in ignored]
    lambdas = [
        column for column, name in zip(ignored, regular, strict=True) if name in _LAMBDA and "strong_convexity" not in have
    ]
    odd = {column: found for column in ignored if column not in others and (found := _odd(column, have)) is not None}
    return Suspects(
        [column for column in near if column in sizes],
        draws,
        others,
        [column for column in data if column in named],
        lambdas,
        odd,
        preset,
    )


def _odd(column: str, have: set[str]) -> tuple[float, str] | None:
    """What a column should say for its rows to be judged without it, and what to do where it says something else."""
    words = words_of(column)
    if set(words) & _MEASURED:
        return None
    if "group_size" not in have and (set(words) & _DELETED or "_".join(words) in ("d_f", "n_f", "df", "nf")):
        known = f"--column group_size={quote(column)}"
        return 1, f"if so many points were deleted at once say {known}, if not --group-size"
    if "request" not in have and "_".join(words) in _REQUESTS:
        return 1, "every row counts as the first request; write one row for each, numbered in a column request, or leave it out"
    if "momentum" in words:
        return 0, "no bound here is about momentum; leave the column out if the row has none"
    return None


def ask_for_heading(row: Row, columns: Mapping[str, str], options: Mapping[str, object]) -> None:
    """InputError where a line of one text above a row may say its data, or a number that no column has."""
    heading = clean(row.heading)
    name, equals, _ = heading.partition("=")
    role = role_of(name.strip()) if equals else None
    if role is not None and role not in columns:
        raise InputError(f"the line {row.heading[:60]!r} above it may say its {role}: write it in a column {role}")
    if "preset" not in columns and not _is_sum(heading) and preset_name(heading) != options.get("preset"):
        raise InputError(f"the line {row.heading[:60]!r} above it may say its data: write that in a column dataset")


def _is_sum(heading: str) -> bool:
    return re.fullmatch(r"total|sum|all|average|mean|summe", heading, re.IGNORECASE) is not None


def may_be_a_size(text: str) -> bool:
    """Whether a cell of a column that is called like a batch size is one, or may have one in it.

    >>> [text for text in ("128", "128.0", "128 x 4", "0.9", "cyclic") if may_be_a_size(text)]
    ['128', '128.0', '128 x 4']
    """
    value = _value(text)
    return any(map(str.isdigit, text)) and (value is None or (value == int(value) and value >= 1))


def _speaks(text: str, n: int) -> bool:
    """Whether a cell of a column that may be the batch size leaves open that its row has one: words and more than n do not."""
    value = _value(text)
    return not text or (any(map(str.isdigit, text)) and (value is None or value <= n))


def _value(text: str) -> float | None:
    try:
        return parse_number(text).value
    except (ValueError, OverflowError):
        return None


def plain(text: str) -> str:
    """Letters and digits alone, in lower case."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def preset_name(label: str) -> str | None:
    """The preset that a text names.

    >>> preset_name("CIFAR-10"), preset_name("adult")
    ('cifar10', None)
    """
    name = plain(label)
    return name if name in PRESETS else None
