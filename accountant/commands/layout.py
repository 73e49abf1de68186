"""How text and tables are set on the screen, between 40 and 80 columns: where a table does not fit, one value per line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from accountant.commands.streams import encodable
from accountant.numerics import InputError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

WIDTH: Final = 80
#: A line below the header and nothing else, as a frame of rich.
_PLAIN: Final = "    \n    \n -- \n    \n    \n    \n    \n    \n"
#: No number is longer but those of many digits, and only what is longer is broken between two lines.
_LONGEST: Final = 24


class Grid:
    """Rows of cells, for a rich console: a table where all of it fits, else a list with a value per line.

    In a table no cell is cut, and only the cells of the column ``wraps`` go over several lines, at their blanks.
    """

    def __init__(
        self, titles: Sequence[str], *, names: int, padding: tuple[int, int], header: bool = True, wraps: int | None = None
    ) -> None:
        """names: columns of names, which come first and stand on the left; padding: left and right of every cell."""
        self.titles, self.names, self.padding = [encodable(title) for title in titles], names, padding
        self.header, self.wraps = header, wraps
        self.rows: list[list[Text]] = []

    def add_row(self, *cells: str | tuple[str, str]) -> None:
        """Cells as plain text, or text and its style."""
        from rich.text import Text

        styled = [(cell, "") if isinstance(cell, str) else cell for cell in cells]
        self.rows.append([Text(encodable(text), style) for text, style in styled])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        widths = [self._width(column) for column in range(len(self.titles))]
        # With the blanks of the frame and between the columns.
        if sum(widths) + len(widths) * (sum(self.padding) + 1) + 1 <= options.max_width:
            yield self._table(widths, plain=options.ascii_only)
        else:
            yield from self._list(console, options.max_width)

    def _width(self, column: int) -> int:
        """The least that a column needs."""
        from rich.cells import cell_len

        title = self.titles[column].split("\n") if self.header else []
        cells = [line for row in self.rows for line in row[column].plain.split("\n")]
        if column != self.wraps:
            return max(map(cell_len, [*title, *cells]), default=0)
        words = [min(cell_len(word), _LONGEST) for cell in cells for word in cell.split()]
        return max([*map(cell_len, title), *words], default=0)

    def _table(self, widths: list[int], *, plain: bool) -> Table:
        from rich import box
        from rich.table import Table

        left, right = self.padding
        # Otherwise rich would take a frame with bars, which touch the numbers.
        frame = box.Box(_PLAIN, ascii=True) if plain else box.SIMPLE_HEAD
        table = Table(box=frame, show_header=self.header, padding=(0, right, 0, left))
        for at, title in enumerate(self.titles):
            wraps = at == self.wraps
            table.add_column(
                title, justify="left" if at < self.names else "right", no_wrap=not wraps, min_width=widths[at],
                overflow="fold",
            )  # fmt: skip
        for row in self.rows:
            table.add_row(*row)
        return table

    def _list(self, console: Console, width: int) -> Iterator[Text]:
        """Every row begins with its first value, on the left; the others stand below it."""
        from rich.text import Text

        titles = [" ".join(title.split("\n")) for title in self.titles]
        yield Text()
        for row in self.rows:
            pairs = list(zip(titles, row, strict=True))
            if not self.header:
                pairs = [(row[0].plain, row[1])]
            elif all(cell.plain == "..." for cell in row):
                pairs = [("", row[0])]
            for at, (title, cell) in enumerate(pairs):
                before = "  " if at or not (title or self.header) else ""
                line = Text.assemble(f"{title}: " if title else "", (" ".join(cell.plain.split()), cell.style))
                for part, text in enumerate(line.wrap(console, width - len(before) - 2, overflow="fold")):
                    yield Text(before + ("  " if part else "")) + text
        yield Text()


def numbers(titles: Sequence[str], *, names: int = 0) -> Grid:
    """A table of numbers without room to lose, the first ``names`` columns on the left."""
    return Grid(titles, names=names, padding=(0, 0))


def facts(rows: Iterable[tuple[str, str]] = ()) -> Grid:
    """A table of names and what there is to say of them."""
    table = Grid(["", ""], names=2, padding=(1, 1), header=False, wraps=1)
    for row in rows:
        table.add_row(*row)
    return table


def console() -> Console:
    """Standard output, between 40 and 80 columns wide; text is shown in what its encoding has."""
    from rich.console import Console

    class Screen(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(encodable(each) if isinstance(each, str) else each for each in objects), **options)

    screen = Screen(highlight=False, emoji=False)
    # Of terminals that say no more than that they are dumb, rich takes all to be 80 columns wide, COLUMNS or not.
    width = shutil.get_terminal_size().columns if screen.is_dumb_terminal else screen.width
    screen.size = (min(max(width, WIDTH // 2), WIDTH), screen.height)
    waiting = _FIRST.get() or []
    for line in waiting:
        screen.print(text(line))
    waiting.clear()
    return screen


#: Lines that wait to be said before anything else.
_FIRST: Final[ContextVar[list[str] | None]] = ContextVar("accountant_first", default=None)


@contextmanager
def first(lines: Iterable[str]) -> Iterator[None]:
    """Say these lines before anything else that a :func:`console` shows; on standard error where none is made."""
    waiting = list(lines)
    token = _FIRST.set(waiting)
    try:
        yield
    except InputError:
        waiting.clear()
        raise
    finally:
        _FIRST.reset(token)
        for line in waiting:
            print(line, file=sys.stderr)


def text(said: str, *, style: str = "") -> Text:
    """Plain text without markup, for the screen; only words too long for a line are broken."""
    from rich.text import Text

    return Text(encodable(said), style, overflow="fold")


def bullet(text: str) -> Padding:
    """A line of a list, as text without markup."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_row("-", Text(encodable(text), overflow="fold"))
    return Padding(grid, (0, 0, 0, 1))
