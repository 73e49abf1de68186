"""The cells of a table's rows by role: from their column, or from the option that stands for a column that is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

from accountant.numerics import LARGEST, MAX_COUNT, SMALLEST, InputError, Printed, limit_of, parse_number, shown
from accountant.tables import Exact, Reading, Row, clean, is_plain, read_number
from accountant.verification.dialect import Dialect
from accountant.verification.naming import role_of
from accountant.verification.oddities import Odd

#: Roles that hold whole numbers.
WHOLE: Final = ("n", "largest_n", "batch_size", "learn_epochs", "dimension", "group_size", "epochs", "steps", "request")
_WHOLE: Final = frozenset(WHOLE)
#: Roles that hold numbers.
NUMBERS: Final = {
    *WHOLE, "smoothness", "strong_convexity", "lipschitz", "step_size", "radius", "sigma", "epsilon", "delta", "rounding_share",
    "start_clip", "gradient_clip", "model_clip", "weight_decay", "epsilon_renyi",
}  # fmt: skip
#: How tables write that a cell has nothing to say.
_NOTHING: Final = frozenset((
    "", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}", "none", "null", "n/a", "na", "n.a.", "nan", "<na>", "nat",
    "#n/a", "k.a.",
))  # fmt: skip
#: No ball, and learning until convergence.
_ENDLESS: Final = frozenset(("\N{INFINITY}", "inf", "infinity", "+inf", "infinite"))
_UNBOUNDED: Final = ("radius", "learn_epochs")
_FULL: Final = frozenset(
    ("full", "n", "fullbatch", "full batch", "full-batch", "all", "|d|", "full dataset", "full data", "gd")
)
#: 1.000 is one with three decimals, or a thousand; 1.000e+00 is no thousand.
_ONE_OR_THOUSAND: Final = re.compile(r"[+-]?0*[1-9]\d{0,2}\.000")
#: The same in the n of 1/n, which is whole: 1/11.264 is no number of anything.
_FRACTION: Final = re.compile(r".*/\s*[1-9]\d{0,2}(\.\d{3})+\s*")
#: A number over a power of n: 1/n, 0.1/n^2, 1/(10 n), n^{-1.1}.
_OVER_N: Final = re.compile(
    r"(?:(?P<over>[0-9.]+)/(?:n|\((?P<factor>[0-9.]+)[*·×]?n\))|n(?=\^[{(]?-))(?:\^[{(]?(?P<sign>-?)(?P<power>[0-9.]+)[)}]?)?"
)
#: Where "at most" and "at least" say what the bound needs: less epsilon is a stronger claim, more noise and epochs help.
_AT_MOST: Final = ("epsilon", "delta", "epsilon_renyi")
_AT_LEAST: Final = ("sigma", "epochs", "steps")
#: Where a spread is two claims, the stronger of which is the smaller number.
SPREAD: Final = ("sigma", "epsilon")


class OptionRefusedError(InputError):
    """What an option says is out of its domain: no row of any table could be read with it."""


class OverN(NamedTuple):
    """A number over a power of n."""

    over: Fraction
    power: Fraction

    def at(self, n: int) -> float:
        """Its value, rounded to the nearest double where the power is whole.

        >>> over_n("1/n^2").at(1000), over_n("1/(10 n)").at(100)
        (1e-06, 0.001)
        """
        if self.power.denominator == 1:
            return float(self.over / Fraction(n) ** self.power.numerator)
        return float(self.over) * float(n) ** -float(self.power)


class Cells:
    """The cells of a table with the columns ``columns``, by role, and ``options`` by role; ``dialect``: how it prints numbers.

    An option stands for a column that the table lacks, and fills the cells of one that say nothing.
    """

    def __init__(self, columns: Mapping[str, str], options: Mapping[str, object], dialect: Dialect | None = None) -> None:
        self.columns = columns
        self.options = {role: str(value) for role, value in options.items()}
        self.dialect = dialect or Dialect()
        self._filling = {
            role: f"{shown(value) if isinstance(value, float) else value} as the option says" for role, value in options.items()
        }

    def own(self, row: Row, role: str) -> str | None:
        """The text of a cell, None where there is no such column or the cell says nothing."""
        column = self.columns.get(role)
        return None if column is None else _said(role, row.cells.get(column, ""))

    def text(self, row: Row, role: str) -> str | None:
        """The text of a role: of its cell, or of its option."""
        column = self.columns.get(role)
        if column is not None:
            text = _said(role, row.cells.get(column, ""))
            if text is not None:
                return text
        return self.options.get(role)

    def empty(self, row: Row, role: str) -> bool:
        """Whether there is a column whose cell says nothing."""
        return role in self.columns and self.own(row, role) is None

    def filling(self, role: str) -> str:
        """What an option puts in an empty cell, in words."""
        return self._filling[role]

    def number(self, row: Row, role: str) -> Printed | None:
        """The number of a role; a batch of all points is 0, and what n decides (a delta of 1/n, a step of 1/L) is None.

        Of a spread such as 1.0±0.1 the smaller end. InputError for what is none, or may be several.
        """
        text = self.text(row, role)
        if text is None:
            return None
        if role == "batch_size" and clean(text).lower() in _FULL:
            return Printed(0.0)
        if role == "delta" and over_n(text) is not None:
            return None
        if role == "step_size" and clean(text).replace(" ", "") in ("1/L", "1/smoothness"):
            return None
        value = self._checked(row, role, text, self._reading(row, role, text))
        ends = self._ends(row, role)
        return value if ends is None else Printed(ends[0])

    def _ends(self, row: Row, role: str) -> tuple[float, float] | None:
        text = self.text(row, role)
        if role not in SPREAD or text is None or is_plain(text):
            return None
        reading = self._reading(row, role, text)
        if not reading.spread:
            return None
        # As they would be printed: 1.2 - 0.1 is 1.1.
        middle, spread = Decimal(repr(reading.value.value)), Decimal(repr(reading.spread))
        return float(middle - spread), float(middle + spread)

    def high(self, row: Row, role: str) -> Printed | None:
        """The larger end of a spread, and of all else the number."""
        ends = self._ends(row, role)
        return self.number(row, role) if ends is None else Printed(ends[1])

    def spreads(self, row: Row) -> list[str]:
        """The roles whose cells are a spread."""
        return [role for role in SPREAD if role in self.columns and self._ends(row, role) is not None]

    def delta_of_n(self, row: Row, n: int) -> float | None:
        """The delta of a row that says it by n; None where it does not."""
        text = self.text(row, "delta")
        found = over_n(text) if text is not None else None
        if found is None:
            return None
        value = found.at(n)
        if not 0 < value < 1:
            raise self.refusal(row, "delta", f"a number > 0 and < 1, which it is not for n = {n}", repr(text))
        return value

    def _reading(self, row: Row, role: str, text: str) -> Reading:
        """A text as a number, its own name in front of it left out."""
        whole = role in _WHOLE
        try:
            if isinstance(text, Exact) or is_plain(text):
                return Reading(parse_number(text))
            decimal = self.dialect.decimal if self.own(row, role) is not None else "."
            name, equals, rest = text.partition("=")
            if equals and name.strip() and rest.strip() and role_of(name) == role:
                text = rest
            return read_number(text, decimal=decimal, whole=whole)
        except (ValueError, OverflowError) as error:
            why = str(error)
            known = "" if why in ("not a number", "out of range", "") else f": {why}"
            wanted = "a whole number" if whole else "a number"
            raise self.refusal(row, role, wanted, f"{text[:40]!r}{known}") from None

    def _checked(self, row: Row, role: str, text: str, reading: Reading) -> Printed:
        value, whole, got = reading.value, role in _WHOLE, repr(text[:40])
        wrong = {"<=": role not in _AT_MOST, ">=": role not in _AT_LEAST}.get(reading.relation, False)
        if wrong:
            least = (
                "the most that it may be"
                if role in _AT_MOST
                else "the least that it may be"
                if role in _AT_LEAST
                else "a number"
            )
            raise self.refusal(row, role, f"{least}, or the number itself", got)
        if reading.spread and role not in SPREAD:
            raise self.refusal(row, role, "one number without a spread", got)
        if reading.percent and role != "delta":
            raise self.refusal(row, role, f"a number that is not in per cent, such as {shown(value.value)}", got)
        if whole:
            if not (value.value == int(value.value) and 0 <= value.value <= MAX_COUNT):
                raise self.refusal(row, role, f"a whole number from 0 to {limit_of(MAX_COUNT)}", got)
            if "taken as that number" in reading.said:
                raise self.refusal(row, role, "an exact number", got)
            if "." in text and not isinstance(text, Exact) and _ONE_OR_THOUSAND.fullmatch(clean(text)):
                raise self.refusal(row, role, f"{clean(text)[:-4]} or {clean(text)[:-4]}000, whichever is meant", got)
        elif role == "delta" and "/" in text and _FRACTION.fullmatch(text):
            raise self.refusal(row, role, "a fraction such as 1/11264, without points in it", got)
        if value.value != 0 and not SMALLEST <= abs(value.value) <= LARGEST:
            raise self.refusal(row, role, f"0 or {SMALLEST:g} to {LARGEST:g} in size", got)
        return value

    def odd(self, row: Row) -> list[Odd]:
        """The cells of a row that were read as numbers and are not plainly those."""
        found = []
        for role, column in self.columns.items():
            if role not in NUMBERS:
                continue
            text = row.cells.get(column, "")
            if isinstance(text, Exact) or is_plain(text) or _said(role, text) is None:
                continue
            try:
                number = self.number(row, role)
            except InputError:
                continue
            if number is None:
                if (known := over_n(text)) is not None and text.replace(" ", "").lower() != "1/n":
                    found.append(Odd(column, text, f"{shown(float(known.over))}/n^{shown(float(known.power))}", ""))
                continue
            if role == "batch_size" and number.value == 0 and clean(text).lower() in _FULL:
                if text.lower() not in ("full", "n"):
                    found.append(Odd(column, text, "the full batch", ""))
                continue
            if (reading := self._reading(row, role, text)).said or reading.relation or reading.spread:
                found.append(_odd(column, text, number, reading))
        return found

    def refusal(self, row: Row, role: str, allowed: str, got: str) -> InputError:
        """What a cell or an option must be, and is not."""
        if self.own(row, role) is None and role in self.options:
            return OptionRefusedError(f"option {role}: {role} must be {allowed}, got {got}")
        column = self.columns.get(role, role)
        return InputError(f"column {column!r}: {role} must be {allowed}, got {got}")

    def not_given(self, role: str) -> InputError:
        """The refusal of a cell that says nothing where something must be said."""
        option = "--" + role.replace("_", "-")
        return InputError(f"column {self.columns[role]!r}: {role} is not given: fill in the cell, or give {option}")


def _odd(column: str, text: str, number: Printed, reading: Reading) -> Odd:
    said = [words for words in reading.said if words]
    if reading.spread:
        said.append("certified only if it holds at the smaller end")
    if reading.relation == "<=":
        said.append("the most")
    elif reading.relation == ">=":
        said.append("the least")
    return Odd(column, text, shown(number.value), ", ".join(said))


# Typed, for a stored number and the same text are equal, and one must not come back as the other.
@lru_cache(maxsize=1 << 14, typed=True)
def _said(role: str, text: str) -> str | None:
    """A text, or None where it says nothing: of an endless radius or learning, too."""
    lower = text.lower() if text.isascii() and "$" not in text and "\\" not in text else clean(text).lower()
    return None if lower in _NOTHING or text.lower() in _NOTHING or (role in _UNBOUNDED and lower in _ENDLESS) else text


@lru_cache(maxsize=1 << 12)
def over_n(text: str) -> OverN | None:
    """A delta that is said by n; None where a text does not.

    >>> over_n("1/n"), over_n("1/11264")
    (OverN(over=Fraction(1, 1), power=Fraction(1, 1)), None)
    """
    plain = re.sub(r"[\s\u2009\\]", "", clean(text)).replace("|D|", "n").replace("N", "n")
    found = _OVER_N.fullmatch(plain)
    if found is None:
        return None
    try:
        over, factor, power = (Fraction(found[name] or "1") for name in ("over", "factor", "power"))
    except (ValueError, ZeroDivisionError):
        return None
    if factor <= 0 or not 0 < power <= 9 or (found["sign"] and found["over"]) or (found["factor"] and found["power"]):
        return None
    return OverN(over / factor, power)


def is_default_delta(text: str) -> bool:
    """Whether a cell says that delta is 1/n."""
    return over_n(text) == OverN(Fraction(1), Fraction(1))
