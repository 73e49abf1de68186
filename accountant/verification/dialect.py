"""How a table prints its decimals: with points or with commas, as its cells tell where it is in doubt."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from accountant.tables import Decimal, Exact, Table, decimal_of

#: Rows looked at; whoever changes from points to commas below would have made two tables.
_ROWS: Final = 100_000


class Dialect:
    """The decimals of a table whose columns ``columns`` hold numbers; None: of no table, with points."""

    def __init__(self, table: Table | None = None, columns: tuple[str, ...] = ()) -> None:
        self.table, self.columns = table, columns

    @cached_property
    def decimal(self) -> Decimal:
        """What stands before the decimals; looked for only where a cell leaves it open."""
        if self.table is None:
            return "."
        seen: set[Decimal] = set()
        others: set[Decimal] = set()
        for row in self.table.rows():
            if row.number > _ROWS:
                break
            for column, text in row.cells.items():
                if "," in text or "." in text:
                    found: Decimal = "" if isinstance(text, Exact) else decimal_of(text)
                    if found:
                        (seen if column in self.columns else others).add(found)
        # What other columns hold counts where those that are read leave it open.
        told = seen or others
        return "both" if len(told) > 1 else next(iter(told), "")

    @property
    def words(self) -> list[str]:
        """What to say about it, where it was asked."""
        decimal = self.__dict__.get("decimal")
        return ["decimals are behind commas"] if decimal == "," else []
