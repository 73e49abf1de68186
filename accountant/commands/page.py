"""What a report in HTML holds, whichever command makes it: an answer, facts, tables, curves, and where it comes from."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final, Literal, NamedTuple

from accountant.commands import files, templating
from accountant.numerics import MissingExtraError, digits

Tone = Literal["good", "bad", "warn", ""]
#: Rows of numbers below a picture, at most.
_NUMBERS: Final = 60
#: A table with more columns is shown as cards on a screen narrower than 78 rem, not 60.
_MANY: Final = 9
#: Lines of a picture whose numbers stand side by side.
_WIDEST: Final = 12
#: A cell that is longer is broken anywhere.
_LONG: Final = 16


class Cell(NamedTuple):
    """What a cell says. value: what it is sorted by, where that is not its text; NaN: last. mark: its tone, as a label."""

    text: str
    value: float | None = None
    mark: str = ""
    more: str = ""
    free: bool = False


class Line(NamedTuple):
    """A row of a table; group: what rows can be chosen by."""

    cells: Sequence[Cell]
    group: str = ""


@dataclass(frozen=True)
class Rows:
    """A table that sorts and filters; its lines are read once, as they are written. The first cell names the row."""

    name: str
    titles: Sequence[str]
    lines: Iterable[Line]
    caption: str = ""


class Series(NamedTuple):
    """A line of a picture. style: its colour, the same for the same method everywhere. stairs: constant up to the next."""

    name: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    style: int = 0
    stairs: bool = False


Axis = Literal["linear", "log", "date"]


@dataclass(frozen=True)
class Curve:
    """Lines over one axis, with upright marks (place, words)."""

    ident: str
    says: str
    across: str
    up: str
    series: Sequence[Series]
    caption: str = ""
    x: Axis = "linear"
    y: Axis = "log"
    whole: bool = True
    marks: Sequence[tuple[float | str, str]] = ()

    def to_dict(self) -> dict[str, object]:
        """What the script of the page draws."""
        told = [each._asdict() | {"x": list(each.x), "y": [_known(value) for value in each.y]} for each in self.series]
        marks = [{"x": place, "text": words} for place, words in self.marks]
        return {
            "across": self.across, "up": self.up, "x": self.x, "y": self.y, "whole": self.whole, "series": told, "marks": marks,
        }  # fmt: skip

    def numbers(self) -> Rows:
        """The same as a table: of many places some, the first and the last among them."""
        places = list(dict.fromkeys(place for each in self.series for place in each.x))
        if all(isinstance(place, (int, float)) for place in places):
            places.sort(key=float)
        step = max(-(-len(places) // _NUMBERS), 1)
        chosen = [*places[:-1:step], *places[-1:]]
        found = [dict(zip(each.x, each.y, strict=True)) for each in self.series]
        if len(self.series) > _WIDEST:
            return self._long(chosen, found)
        lines = [Line([_place(place), *(number(values.get(place)) for values in found)]) for place in chosen]
        caption = "" if step == 1 else f"{len(chosen)} of {len(places):,} places; the picture has all of them."
        return Rows(f"numbers of {self.ident}", [self.across, *(each.name for each in self.series)], lines, caption)

    def _long(self, chosen: Sequence[float | str], found: Sequence[Mapping[float | str, float | None]]) -> Rows:
        """A row for each point: so many lines have no room side by side."""
        named = [(each.name, values) for each, values in zip(self.series, found, strict=True)]
        lines = [
            Line([Cell(name), _place(place), number(values[place])])
            for name, values in named
            for place in chosen
            if place in values
        ]
        return Rows(f"numbers of {self.ident}", ["line", self.across, self.up], lines, "A row for each point.")


class Fact(NamedTuple):
    """A large number under the answer."""

    name: str
    value: str
    bad: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page: text, a picture, a table, lists with a title each or none."""

    ident: str
    title: str
    paragraphs: Sequence[str] = ()
    curve: Curve | None = None
    rows: Rows | None = None
    lists: Sequence[tuple[str, Sequence[str]]] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report. answer: one sentence, with its tone; origin: command, version, date, digests, settings, by name."""

    title: str
    subtitle: str
    answer: str
    tone: Tone = ""
    notes: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    sections: Sequence[Section] = ()
    origin: Sequence[tuple[str, str]] = field(default_factory=tuple)


class Script(NamedTuple):
    """A script of a page, as markup, and the SHA-256 by which the browser knows it."""

    text: str
    digest: str


def number(value: float | None, count: int = 4, *, down: bool = False) -> Cell:
    """A number for people, rounded up; a hyphen for none, which is sorted last."""
    if value is None or math.isnan(value):
        return Cell("-", math.nan)
    return Cell(digits(value, count, down=down), float(value))


def whole(value: float | None) -> Cell:
    """A count, with commas."""
    return Cell("-", math.nan) if value is None else Cell(f"{value:,.0f}" if value == int(value) else f"{value:,.4g}", value)


def check(*, curves: bool = False) -> None:
    """InputError where no such page can be made because a library is missing: to be asked before any work."""
    for module, package in (("jinja2", "Jinja2"), *([("plotly", "Plotly")] if curves else [])):
        if find_spec(module) is None:
            raise MissingExtraError("a report in HTML", package, "report")


def write(file: IO[str], page: Page) -> None:
    """Write a page, which needs nothing from elsewhere."""
    curves = any(section.curve is not None for section in page.sections)
    tables = [section.rows for section in page.sections]
    tables += [None if each.curve is None else each.curve.numbers() for each in page.sections]
    many = any(table is not None and len(table.titles) > _MANY for table in tables)
    values = {"page": page, "scripts": scripts(curves=curves), "cards": 78 if many else 60}
    templating.write_page(file, "page.html", values, filters=FILTERS, tests={"code_like": lambda name: name in _CODE})


def save(part: Path, page: Page) -> None:
    """The same into a file."""
    with files.writing(part) as file:
        write(file, page)


def scripts(*, curves: bool = False) -> list[Script]:
    """What sorts and filters, and what draws."""
    folder = Path(__file__).with_name("templates")
    texts = [(folder / "tables.js").read_text(encoding="utf-8")]
    if curves:
        texts += [_plotly(), (folder / "curves.js").read_text(encoding="utf-8")]
    return [_script(text) for text in texts]


def _script(text: str) -> Script:
    from markupsafe import Markup

    if "</script" in text.lower():
        raise RuntimeError("a script of a page must not end before its end")
    return Script(Markup(text), base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


@lru_cache(maxsize=1)
def _plotly() -> str:
    import plotly  # type: ignore[import-untyped]

    path = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    return path.read_text(encoding="utf-8")


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _place(place: float | str) -> Cell:
    if isinstance(place, str):
        return Cell(place)
    return Cell(f"{place:,}" if float(place).is_integer() and abs(place) < 1e9 else f"{place:.6g}", float(place))


def _sorted_as(cell: Cell) -> str:
    from markupsafe import Markup

    if cell.value is None:
        return ""
    return Markup(' data-v=""') if math.isnan(cell.value) else Markup(' data-v="{}"').format(repr(float(cell.value)))


def _classes(cell: Cell) -> str:
    from markupsafe import Markup

    long = len(cell.text) > _LONG
    kinds = {
        "number": cell.value is not None and not cell.mark and not long, "free": cell.free or bool(cell.mark) or long,
        "long": long and cell.value is not None, "mark-cell": bool(cell.mark and cell.more), "none": cell.text in ("-", ""),
    }  # fmt: skip
    names = [name for name, holds in kinds.items() if holds]
    return Markup(' class="{}"').format(" ".join(names)) if names else ""


def _json_inside(curve: Curve) -> str:
    from markupsafe import Markup

    text = json.dumps(curve.to_dict(), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


#: What stands in the origin as code.
_CODE: Final = ("Command", "SHA-256")
FILTERS: Final = {"sorted_as": _sorted_as, "classes": _classes, "json_inside": _json_inside}
