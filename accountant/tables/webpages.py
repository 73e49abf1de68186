"""HTML: the first table of a page as a grid of cells. Parsed by lxml, of the extra tables.

pandas.read_html would make numbers of the texts (1.000 becomes 1.0) and 105 of 10 with a raised 5, so the cells are read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from accountant.numerics import InputError
from accountant.tables.grids import Grid, Line
from accountant.tables.latex import formula, formulas
from accountant.tables.opening import Opened, needs

_UNSEEN: Final = frozenset(("script", "style", "template", "head", "annotation-xml", "rp", "rt", "noscript"))
_HIDDEN: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
#: The most columns and rows that a cell may say it goes over.
_MOST: Final = 1000


def html(file: Opened, which: int) -> Grid:
    """A grid of the table of that number, from 1, among those with at least two rows and two columns."""
    try:
        from lxml import etree, html
    except ImportError:
        raise needs(file.title, "HTML") from None
    text = re.sub(r"\A\s*<\?xml[^>]*\?>", "", file.text())
    try:
        page = html.document_fromstring(text, parser=html.HTMLParser(huge_tree=False))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"{file.title} is no HTML: {error}") from None
    tables = [table for table in page.iter("table") if _size(table)]
    if not tables:
        raise InputError(f"{file.title} has no table: HTML must have a <table> with two rows and two columns")
    notes = file.chosen(which, len(tables), "page")
    table = tables[which - 1]
    lines = list(_lines(table))
    return Grid(lambda: iter(lines), headers=_headers(table), notes=notes, remarks=lambda: _around(table))


def _around(table: Any) -> list[str]:
    """Captions, and the paragraphs before and behind a table."""
    found = list(table.iter("caption"))
    for figure in table.iterancestors("figure"):
        found += figure.iter("figcaption")
    for near in (table.getprevious(), table.getnext()):
        if near is not None and isinstance(near.tag, str) and near.tag != "table" and near.find(".//table") is None:
            found.append(near)
    said = [_words(element) for element in found] + [table.tail or ""]
    return [text[:5000] for text in said if text.strip()]


def _rows(table: Any) -> list[Any]:
    """The rows of a table, not those of tables in its cells; the foot last, wherever it stands."""
    rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
    return sorted(rows, key=lambda row: next(row.iterancestors("tfoot"), None) is not None)


def _size(table: Any) -> bool:
    rows = _rows(table)
    return len(rows) > 1 and any(len(row) > 1 for row in rows)


def _headers(table: Any) -> int | None:
    """The rows of the head, or those at the top whose cells are all named as headings."""
    rows = _rows(table)
    head = sum(next(row.iterancestors("thead"), None) is not None for row in rows)
    if not head:
        while head < len(rows) and all(cell.tag == "th" for cell in rows[head]):
            head += 1
    return head or None


def _lines(table: Any) -> Iterator[Line]:
    """With cells that take several columns or rows in each of them."""
    below: dict[int, tuple[str, int]] = {}
    for row in _rows(table):
        if _is_hidden(row):
            continue
        cells = [cell for cell in row if cell.tag in ("td", "th") and not _is_hidden(cell)]
        texts: list[str] = []
        following: dict[int, tuple[str, int]] = {}

        for cell in cells:
            _from_above(texts, below, following)
            text = _words(cell)
            for _ in range(_count(cell, "colspan")):
                if (left := _count(cell, "rowspan")) > 1:
                    following[len(texts)] = text, left - 1
                texts.append(text)
        _from_above(texts, below, following)
        below = following
        if any(texts):
            yield Line(row.sourceline or 0, 1, texts, spanning=len(cells) == 1 and len(texts) > 1)


def _from_above(texts: list[str], below: dict[int, tuple[str, int]], following: dict[int, tuple[str, int]]) -> None:
    """Takes what goes over from the rows above into the next columns."""
    while len(texts) in below:
        said, left = below[len(texts)]
        if left > 1:
            following[len(texts)] = said, left - 1
        texts.append(said)


def _count(cell: Any, name: str) -> int:
    said = cell.get(name, "1").strip()
    return min(max(int(said), 1), _MOST) if said.isascii() and said.isdigit() and len(said) < 9 else 1


def _is_hidden(element: Any) -> bool:
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or _HIDDEN.search(element.get("style", "")) is not None
    )


def _words(cell: Any) -> str:
    return re.sub(r"[ \t\r\n]+", " ", formulas(_text(cell))).strip()


def _text(element: Any) -> str:
    """What is shown, with raised and lowered text in braces, and deleted text between waves."""
    tex = element.find(".//annotation[@encoding='application/x-tex']") if element.tag == "math" else None
    if tex is not None:
        return formula(tex.text or "")
    parts = [element.text or ""]
    for child in element:
        if isinstance(child.tag, str) and child.tag not in _UNSEEN and not _is_hidden(child):
            parts.append(_text(child))
        parts.append(child.tail or "")
    text = "".join(parts)
    tag = element.tag
    if tag in ("sup", "sub"):
        return f"{'^' if tag == 'sup' else '_'}{{{text.strip()}}}"
    if tag in ("del", "s", "strike"):
        return f"~~{text}~~"
    if tag in ("br", "p", "div", "li"):
        return f" {text} "
    if tag in ("msup", "msub", "mfrac") and len(element) == 2:
        one, two = (_text(child).strip() for child in element)
        return f"{one}/{two}" if tag == "mfrac" else f"{one}{'^' if tag == 'msup' else '_'}{{{two}}}"
    return text
