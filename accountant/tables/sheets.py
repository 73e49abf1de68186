"""Spreadsheets and columnar files as grids of cells, read by pandas and its readers, of the extra tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import date, time
from io import BytesIO
from typing import Any, Final

from accountant.numerics import InputError
from accountant.tables.grids import Exact, Grid, Line
from accountant.tables.opening import Opened, broken, needs

#: What readers raise at a file that is none of theirs.
_BROKEN: Final[tuple[type[Exception], ...]] = (
    ValueError,
    KeyError,
    OSError,
    TypeError,
    IndexError,
    AttributeError,
    SyntaxError,
    ArithmeticError,
    *broken(),
)


def parquet(file: Opened) -> Grid:
    """A grid of a Parquet file: its columns are the header, an index that has a name is a column."""
    try:
        import pandas
        import pyarrow  # noqa: F401 (what pandas reads it with)
    except ImportError:
        raise needs(file.title, "Parquet") from None
    try:
        frame = pandas.read_parquet(BytesIO(file.content()), engine="pyarrow")
    except _BROKEN as error:
        raise InputError(f"{file.title} is no Parquet file: {_first_line(error)}") from None
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if named:
        frame = frame.reset_index(level=named)
    return Grid(lambda: _of_frame(frame), headers=1)


def _of_frame(frame: Any) -> Iterator[Line]:
    names = [" ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns]
    yield Line(0, 1, [name.strip() for name in names])
    columns = [frame[name] if not isinstance(frame[name], type(frame)) else None for name in frame.columns]
    if any(column is None for column in columns):
        raise InputError("a table must not have two columns of one name")
    for cells in zip(*(column.astype(object) for column in columns if column is not None), strict=True):
        yield Line(0, 1, [_text(cell) for cell in cells])


def excel(file: Opened, sheet: str | None) -> Grid:
    """A grid of a sheet of a workbook: the one of that name or number, or the first that can be seen and has cells."""
    suffix = file.inner.suffix.lower()
    if file.head.startswith(b"\xd0\xcf\x11\xe0") or suffix in (".ods", ".xlsb", ".xls"):
        return _by_pandas(file, sheet)
    try:
        import openpyxl
    except ImportError:
        raise needs(file.title, "an Excel workbook") from None
    from warnings import catch_warnings, simplefilter

    try:
        with catch_warnings():
            # About what openpyxl does not keep of a workbook: styles, validation, pictures.
            simplefilter("ignore")
            # As pandas reads it, but with raised text, merged cells and deleted cells told apart.
            book = openpyxl.load_workbook(BytesIO(file.content()), data_only=True, rich_text=True)
    except _BROKEN as error:
        raise InputError(f"{file.title} is no Excel workbook: {_first_line(error)}") from None
    seen = [page for page in book.worksheets if page.sheet_state == "visible" and page.max_row > 0 and _filled(page)]
    names = [page.title for page in book.worksheets]
    page = seen[0] if seen and sheet is None else None
    if sheet is not None:
        page = book[sheet] if sheet in names else book.worksheets[int(sheet) - 1] if _is_place(sheet, names) else None
    if page is None or not hasattr(page, "iter_rows"):
        raise _no_sheet(file.title, names, sheet)
    lines = list(_of_sheet(page))
    notes = [f"sheet {page.title!r} of {', '.join(map(repr, names))} (--sheet NAME for another)"] if len(names) > 1 else []
    return Grid(lambda: iter(lines), notes=notes)


def _is_place(sheet: str, names: list[str]) -> bool:
    return sheet.isascii() and sheet.isdigit() and 1 <= int(sheet) <= len(names)


def _no_sheet(table: str, names: list[str], sheet: str | None) -> InputError:
    if sheet is None:
        return InputError(f"{table} is empty: it must have a header and at least one row in a sheet that is not hidden")
    return InputError(f"sheet must be one of {', '.join(names)} in {table}, or its number, got {sheet!r}")


def _filled(page: Any) -> bool:
    return any(cell is not None for row in page.iter_rows(values_only=True) for cell in row)


def _of_sheet(page: Any) -> Iterator[Line]:
    merged: dict[tuple[int, int], tuple[int, int]] = {}
    spanning = set()
    for area in page.merged_cells.ranges:
        for row in range(area.min_row, area.max_row + 1):
            for column in range(area.min_col, area.max_col + 1):
                merged[row, column] = area.min_row, area.min_col
        if area.max_col > area.min_col and area.min_row == area.max_row:
            spanning.add((area.min_row, area.max_col - area.min_col + 1))
    for at, row in enumerate(page.iter_rows(), start=1):
        cells = []
        for cell in row:
            first = merged.get((cell.row, cell.column))
            cells.append(_cell(cell if first is None else page.cell(*first)))
        width = max((place for place, cell in enumerate(cells, start=1) if cell), default=0)
        if width:
            # Cells behind the last one that says something are no columns, but where a row below has them.
            yield Line(at, 1, cells, spanning=any(place == at and size >= width > 1 for place, size in spanning))


def _cell(cell: Any) -> str:
    value = cell.value
    if isinstance(value, list):
        # Rich text: raised digits are a power or a footnote, and no more digits of the number.
        parts = []
        for part in value:
            raised = getattr(getattr(part, "font", None), "vertAlign", None)
            text = str(part)
            parts.append({"superscript": f"^{{{text}}}", "subscript": f"_{{{text}}}"}.get(raised or "", text))
        text = "".join(parts).strip()
    else:
        text = _text(value)
    return f"~~{text}~~" if text and cell.font is not None and cell.font.strike else text


def _text(value: Any) -> str:
    """The text of a stored value: all digits of a number, "" for none."""
    if value is None or isinstance(value, str):
        return " ".join((value or "").split())
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return str(bool(value))
    if isinstance(value, date | time):
        return value.isoformat()
    if type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return Exact(str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value))
    if isinstance(value, int):
        return Exact(str(value))
    return str(value).strip()


def _by_pandas(file: Opened, sheet: str | None) -> Grid:
    """Older workbooks, by the readers of pandas, where they are installed."""
    try:
        import pandas
    except ImportError:
        raise needs(file.title, "a workbook") from None
    try:
        book = pandas.ExcelFile(BytesIO(file.content()))
    except ImportError as error:
        raise InputError(f"{file.title} cannot be read: {_first_line(error)}; or save it as .xlsx or as CSV") from None
    except _BROKEN as error:
        raise InputError(f"{file.title} is no workbook: {_first_line(error)}; save it as .xlsx or as CSV") from None
    names = list(map(str, book.sheet_names))
    chosen = (
        names[0] if sheet is None else sheet if sheet in names else names[int(sheet) - 1] if _is_place(sheet, names) else None
    )
    if chosen is None:
        raise _no_sheet(file.title, names, sheet)
    frame = book.parse(chosen, header=None, dtype=object, keep_default_na=False, na_values=[])
    rows: Iterable[Any] = frame.itertuples(index=False, name=None)
    lines = [Line(at, 1, [_text(cell) for cell in row]) for at, row in enumerate(rows, start=1)]
    lines = [line for line in lines if any(line.cells)]
    notes = [f"sheet {chosen!r} of {', '.join(map(repr, names))} (--sheet NAME for another)"] if len(names) > 1 else []
    return Grid(lambda: iter(lines), notes=notes)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
