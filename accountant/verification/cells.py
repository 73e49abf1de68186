"""The cells of a table's rows by role: from their column, or from the option that stands for a column that is not there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from accountant.numerics import LARGEST, MAX_COUNT, SMALLEST, InputError, Printed, parse_number, shown
from accountant.tables import Row

#: Roles that hold whole numbers.
WHOLE: Final = ("n", "largest_n", "batch_size", "learn_epochs", "dimension", "group_size", "epochs", "steps", "request")
_WHOLE: Final = frozenset(WHOLE)
#: Roles that hold numbers.
NUMBERS: Final = {
    *WHOLE, "smoothness", "strong_convexity", "lipschitz", "step_size", "radius", "sigma", "epsilon", "delta", "rounding_share",
    "start_clip", "gradient_clip", "model_clip", "weight_decay", "epsilon_renyi",
}  # fmt: skip
#: How tables write that a cell has nothing to say.
_NOTHING: Final = {"", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "none", "null", "n/a", "na", "n.a."}
#: 1.000 is one with three decimals, or a thousand; 1.000e+00 is no thousand.
_ONE_OR_THOUSAND: Final = re.compile(r"[+-]?0*[1-9]\d{0,2}\.000")
#: The same in the n of 1/n, which is whole: 1/11.264 is no number of anything.
_FRACTION: Final = re.compile(r".*/\s*[1-9]\d{0,2}(\.\d{3})+\s*")


class OptionRefusedError(InputError):
    """What an option says is out of its domain: no row of any table could be read with it."""


class Cells:
    """The cells of a table with the columns ``columns``, by role, and ``options`` by role.

    An option stands for a column that the table lacks, and fills the cells of one that say nothing.
    """

    def __init__(self, columns: Mapping[str, str], options: Mapping[str, object]) -> None:
        self.columns = columns
        self.options = {role: str(value) for role, value in options.items()}
        self._filling = {
            role: f"{shown(value) if isinstance(value, float) else value} as the option says" for role, value in options.items()
        }

    def own(self, row: Row, role: str) -> str | None:
        """The text of a cell, None where there is no such column or the cell says nothing."""
        column = self.columns.get(role)
        if column is None:
            return None
        text = row.cells.get(column, "")
        return None if text.lower() in _NOTHING else text

    def text(self, row: Row, role: str) -> str | None:
        """The text of a role: of its cell, or of its option."""
        column = self.columns.get(role)
        if column is not None:
            text = row.cells.get(column, "")
            if text.lower() not in _NOTHING:
                return text
        return self.options.get(role)

    def empty(self, row: Row, role: str) -> bool:
        """Whether there is a column whose cell says nothing."""
        return role in self.columns and self.own(row, role) is None

    def filling(self, role: str) -> str:
        """What an option puts in an empty cell, in words."""
        return self._filling[role]

    def number(self, row: Row, role: str) -> Printed | None:
        """The number of a role; a batch of all points is 0, and a delta of 1/n is None. InputError for what is none."""
        text = self.text(row, role)
        if text is None:
            return None
        whole = role in _WHOLE
        if role == "batch_size" and text.lower() in ("full", "n"):
            return Printed(0.0)
        if role == "delta" and is_default_delta(text):
            return None
        try:
            value = parse_number(text)
        except (ValueError, OverflowError):
            raise self.refusal(row, role, "a whole number" if whole else "a number", repr(text[:40])) from None
        if whole:
            if not (value.value == int(value.value) and 0 <= value.value <= MAX_COUNT):
                raise self.refusal(row, role, f"a whole number from 0 to {MAX_COUNT}", repr(text[:40]))
            if "." in text and _ONE_OR_THOUSAND.fullmatch(text):
                raise self.refusal(row, role, f"{text[:-4]} or {text[:-4]}000, whichever is meant", repr(text[:40]))
        elif role == "delta" and "/" in text and _FRACTION.fullmatch(text):
            raise self.refusal(row, role, "a fraction such as 1/11264, without points in it", repr(text[:40]))
        if value.value != 0 and not SMALLEST <= abs(value.value) <= LARGEST:
            raise self.refusal(row, role, f"0 or {SMALLEST:g} to {LARGEST:g} in size", repr(text[:40]))
        return value

    def refusal(self, row: Row, role: str, allowed: str, got: str) -> InputError:
        """What a cell or an option must be, and is not."""
        if self.own(row, role) is None and role in self.options:
            return OptionRefusedError(f"option {role}: {role} must be {allowed}, got {got}")
        column = self.columns.get(role, role)
        return InputError(f"column {column!r}: {role} must be {allowed}, got {got}")

    def not_given(self, role: str) -> InputError:
        """The refusal of a cell that says nothing where something must be said."""
        return InputError(f"column {self.columns[role]!r}: {role} is not given")


def is_default_delta(text: str) -> bool:
    """Whether a cell says that delta is 1/n."""
    return text.replace(" ", "").lower() == "1/n"
