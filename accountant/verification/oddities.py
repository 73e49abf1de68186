"""Cells that are not plainly their numbers, collected with as what they were read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

#: Ways of printing numbers that are told apart, and rows that are named of each.
_MOST_ODD: Final = 10_000
_NAMED: Final = 3


class Odd(NamedTuple):
    """A cell that is not plainly its number: as what it was read, and what was left out or taken."""

    column: str
    text: str
    read: str
    said: str


@dataclass
class OddCells:
    """All cells of a column that say the same in the same way; ``rows``: the first of them, of ``count``."""

    column: str
    text: str
    read: str
    said: str
    rows: list[int] = field(default_factory=list)
    count: int = 0

    @property
    def words(self) -> str:
        """As what it was read, and where.

        >>> OddCells("noise", "0.0029†", "0.0029", "mark left out", [1, 4], 2).words
        "'0.0029†' as 0.0029, mark left out (noise, rows 1, 4)"
        """
        more = f" and {self.count - len(self.rows)} more" if self.count > len(self.rows) else ""
        where = f"{self.column}, {'row' if self.count == 1 else 'rows'} {', '.join(map(str, self.rows))}{more}"
        return f"{self.text[:40]!r} as {self.read}{', ' * bool(self.said)}{self.said} ({where})"


class OddOnes:
    """Collects odd cells; the memory it takes does not grow with the rows."""

    def __init__(self) -> None:
        self._found: dict[Odd, OddCells] = {}
        #: Kinds beyond the most that are kept.
        self.more = 0

    def add(self, row: int, cells: Iterable[Odd]) -> None:
        """The odd cells of a row."""
        for cell in cells:
            seen = self._found.get(cell)
            if seen is None:
                if len(self._found) >= _MOST_ODD:
                    self.more += 1
                    continue
                seen = self._found[cell] = OddCells(*cell)
            seen.count += 1
            if len(seen.rows) < _NAMED:
                seen.rows.append(row)

    def all(self) -> list[OddCells]:
        """In the order in which they came."""
        return list(self._found.values())
