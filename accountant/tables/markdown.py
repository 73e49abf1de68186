"""The first table of a Markdown page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from accountant.tables.grids import Grid, Line
from accountant.tables.latex import formula
from accountant.tables.opening import Opened

_RULE: Final = re.compile(r"\|?(\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?")
#: Emphasis, code and deleted text are around a whole cell; a star or a tick inside is part of what it says.
_AROUND: Final = re.compile(r"(\*\*\*|\*\*|\*|___|__|_|``|`)(?=\S)(.+?)(?<=\S)\1")
_WITH_MARK: Final = re.compile(r"(\*\*|__|\*|_|`)(?=\S)([^*_`]+)(?<=\S)\1([\s*†‡§¶]*)")
_FORMULA: Final = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)")
#: Bars in a formula, as in $|B|$, are no ends of cells.
_DOLLARS: Final = re.compile(r"\$(?=\S)[^$]*?(?<=\S)\$")
_SIZE: Final = re.compile(r"(?<!\\)\|([^|\s]+)(?<!\\)\|")
_SUP: Final = re.compile(r"<sup>(.*?)</sup>", re.IGNORECASE)
_SUB: Final = re.compile(r"<sub>(.*?)</sub>", re.IGNORECASE)


def markdown(file: Opened) -> Grid:
    """A grid of the first table: lines that begin with a bar, or around a rule of dashes and bars."""
    wanted = "lines that start with |, the first of them the header"
    return Grid(lambda: _lines(file), headers=1, wanted=wanted)


def _lines(file: Opened) -> Iterator[Line]:
    """The lines of the first table, header first, its rule left out."""
    started, barred, before = False, True, (0, "")
    for line, raw in enumerate(file.lines(), start=1):
        text = raw.strip()
        if not started and _RULE.fullmatch(text) and "|" in text and "|" in before[1] and not before[1].startswith("|"):
            # Without bars at the ends of its lines.
            started, barred = True, False
            yield Line(before[0], 1, _cells(before[1]))
            continue
        before = line, text
        if not (text.startswith("|") if barred else "|" in text):
            if started:
                return
            continue
        cells = _cells(text)
        if started and all(re.fullmatch(r":?-+:?", cell) for cell in cells) and _RULE.fullmatch(text) and barred is not None:
            continue
        started = True
        yield Line(line, 1, cells)


def _cells(text: str) -> list[str]:
    text = _DOLLARS.sub(lambda found: _SIZE.sub(r"\\|\1\\|", found[0]), text.removeprefix("|"))
    cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", text)]
    if cells and not cells[-1]:
        cells.pop()
    return cells


def _plain(cell: str) -> str:
    """A cell without its emphasis and code marks, its formulas as text; deleted text keeps its marks, for it does not count."""
    text = cell.replace("\\|", "|").strip()
    text = _SUB.sub(r"_{\1}", _SUP.sub(r"^{\1}", text)).replace("<br>", " ")
    text = _FORMULA.sub(lambda found: formula(found[1] or found[2]), text)
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
