"""A table of a Markdown page, or one that is drawn with bars and dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from accountant.tables.grids import Grid, Line
from accountant.tables.latex import formulas
from accountant.tables.opening import Opened

_RULE: Final = re.compile(r"\|?(\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
#: Lines between the rows of a drawn table.
_BORDER: Final = re.compile(r"[+|][-=]+(?:\+[-=]+)*[+|]|\+[-=]+\+")
#: Emphasis, code and deleted text are around a whole cell; a star or a tick inside is part of what it says.
_AROUND: Final = re.compile(r"(\*\*\*|\*\*|\*|___|__|_|``|`)(?=\S)(.+?)(?<=\S)\1")
_WITH_MARK: Final = re.compile(r"(\*\*|__|\*|_|`)(?=\S)([^*_`]+)(?<=\S)\1([\s*†‡§¶]*)")
#: Bars in a formula, as in $|B|$, are no ends of cells.
_DOLLARS: Final = re.compile(r"\$(?=\S)[^$]*?(?<=\S)\$")
_SIZE: Final = re.compile(r"(?<!\\)\|([^|\s]+)(?<!\\)\|")
_SUP: Final = re.compile(r"<sup>(.*?)</sup>", re.IGNORECASE)
_SUB: Final = re.compile(r"<sub>(.*?)</sub>", re.IGNORECASE)


def markdown(file: Opened, which: int) -> Grid:
    """A grid of the table of that number, from 1: lines that begin with a bar, or around a rule of dashes and bars."""
    grid = Grid(lambda: (line for line in _lines(file, which) if isinstance(line, Line)), headers=1)
    grid.wanted = "lines that start with |, the first of them the header"
    grid.remarks = lambda: [text for text in _lines(file, which) if isinstance(text, str)]
    # Of none at all it is said what there must be, once its rows are asked for.
    grid.notes += file.chosen(which, max((number for number, _ in _parts(file)), default=0) or 1, "page")
    return grid


def _lines(file: Opened, which: int) -> Iterator[Line | str]:
    """The lines of a table, header first, its rules left out, and the lines of text before and behind it."""
    for number, part in _parts(file):
        if number == which or (number == which - 1 and isinstance(part, str)):
            yield part
        elif number > which:
            return


def _parts(file: Opened) -> Iterator[tuple[int, Line | str]]:
    """The lines of all tables, and of the text between them, with the number of the table that they are of or come behind."""
    number, within, barred, before = 0, False, True, (0, "")
    for line, raw in enumerate(file.lines(), start=1):
        text = raw.strip()
        if not within and _RULE.fullmatch(text) and "|" in text and "|" in before[1] and not before[1].startswith("|"):
            # Without bars at the ends of its lines.
            number, within, barred = number + 1, True, False
            yield number, Line(before[0], 1, _cells(before[1]))
            continue
        before = line, text
        drawn = _BORDER.fullmatch(text) is not None
        if not (text.startswith("|") or drawn if barred or not within else "|" in text):
            within = False
            if text:
                yield number, text[:1000]
            continue
        number += not within
        barred = barred or not within
        if drawn:
            within = True
            continue
        cells = _cells(text)
        if within and all(re.fullmatch(r":?-+:?", cell) for cell in cells) and _RULE.fullmatch(text):
            continue
        within = True
        yield number, Line(line, 1, cells)


def _cells(text: str) -> list[str]:
    text = _DOLLARS.sub(lambda found: _SIZE.sub(r"\\|\1\\|", found[0]), text.removeprefix("|"))
    cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", text)]
    if cells and not cells[-1]:
        cells.pop()
    return cells


def _plain(cell: str) -> str:
    """A cell without its emphasis and code marks, its formulas as text; deleted text keeps its marks, for it does not count."""
    text = _LINK.sub(lambda found: found[1], cell.replace("\\|", "|").strip())
    text = _SUB.sub(r"_{\1}", _SUP.sub(r"^{\1}", text)).replace("<br>", " ")
    text = formulas(text)
    for _ in range(3):
        found = _AROUND.fullmatch(text)
        if found is None:
            # **0.0029** with a mark behind it.
            found = _WITH_MARK.fullmatch(text)
            if found is None:
                break
            text = (found[2] + found[3]).strip()
            continue
        text = found[2].strip()
    return text.replace("\\*", "*").replace("\\_", "_")
