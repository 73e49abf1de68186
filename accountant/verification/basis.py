"""What the rows of a table rest on, in lines: how each was read, and what was taken because no cell says it."""

from __future__ import annotations

from collections.abc import Iterable

from accountant.methods import METHODS
from accountant.verification.claims import Claim, Unread
from accountant.verification.stepping import StepClaim, step_words

#: Rows that are named where a cell is empty.
_NAMED = 3


class Basis:
    """Collects the lines of many rows; the memory it takes does not grow with them."""

    def __init__(self) -> None:
        self._read_as: dict[str, None] = {}
        #: What was taken for columns that are not there, and for empty cells with the first rows and how many there are.
        self._columns: dict[str, None] = {}
        self._cells: dict[str, tuple[list[int], int]] = {}

    def add(self, claims: Iterable[Claim | StepClaim | Unread]) -> None:
        """The next rows."""
        # Rows of one run have the same object.
        alike: dict[int, tuple[Claim | StepClaim, list[int]]] = {}
        for claim in claims:
            if not isinstance(claim, Unread):
                seen = alike.get(id(claim.taken))
                if seen is None:
                    seen = alike[id(claim.taken)] = claim, []
                seen[1].append(claim.row)
        for claim, rows in alike.values():
            self._read_as[read_as(claim)] = None
            for empty, words in claim.taken.words():
                if not empty:
                    self._columns[words] = None
                else:
                    named, count = self._cells.get(words, ([], 0))
                    self._cells[words] = sorted([*named, *rows[:_NAMED]])[:_NAMED], count + len(rows)

    def lines(self) -> list[str]:
        """All that was collected."""
        lines = []
        # The method and delta have sentences of their own.
        columns = [words for words in self._columns if not words.startswith(("method ", "delta "))]
        if columns:
            lines.append(f"neither in the table nor among the options, so taken as: {', '.join(columns)}")
        if self._cells:
            cells = [f"{words} ({_rows(*self._cells[words])})" for words in self._cells]
            lines.append(f"empty cells, taken as: {', '.join(cells)}")
        return [*lines, *self._read_as]


def _rows(named: list[int], count: int) -> str:
    said = ", ".join(map(str, named)) + (f" and {count - len(named)} more" if count > len(named) else "")
    return f"row {said}" if count == 1 else f"rows {said}"


def read_as(claim: Claim | StepClaim) -> str:
    """How a row was read: the batches of the bounds that judge it, and what retraining means."""
    if isinstance(claim, StepClaim):
        return step_words(claim)
    setup = claim.setup
    names = [claim.method.name, *([claim.method.tightest] if claim.method.tightest != claim.method.name else [])]
    orders = [
        f"{name} with batches {METHODS[name].default_batches if setup.batches is None else setup.batches}" for name in names
    ]
    own = f"; assignment {setup.algorithm.assignment}, adjacency {setup.problem.adjacency}" if setup.algorithm.own_draws else ""
    return f"{', tightest known '.join(orders)}{own}; reference {setup.reference}"
