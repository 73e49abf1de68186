"""What a row claims: the run, the method, and those of sigma, epsilon, delta, epochs or steps that it gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from accountant.methods import METHODS, Method, Unit
from accountant.numerics import LARGEST, MAX_COUNT, SMALLEST, InputError, Printed, choice, integer, parse_number, shown
from accountant.problem import PNSGD, PRESET_DIMENSIONS, PRESETS, RANDOM, RESHUFFLE, WORST, Problem, parse_reference
from accountant.questions import Setup
from accountant.tables import Row, Table
from accountant.verification.columns import assign, missing

#: What people call the methods and the bounds, in lower case without marks.
ALIASES: Final[dict[str, str]] = {
    "lu": "langevin",
    "langevinunlearning": "langevin",
    "descenttodelete": "d2d",
    "noisysgd": "pnsgd",
    "sgd": "pnsgd",
    "convergent": "paper",
    "convergentloose": "paper",
    "nonconvergent": "not-converged",
    "luepsilonexpression": "langevin",
    "d2dcalculatebaselinesigma": "d2d",
    "retraining": "retrain",
    "plaindp": "dp",
    "differentialprivacy": "dp",
    **{name.replace("-", ""): name for name in METHODS},
}
#: The method of a table that names none: what the authors of the published experiments account with.
DEFAULT_METHOD: Final = "pnsgd"
_CONSTANTS: Final = ("n", "smoothness", "strong_convexity", "lipschitz", "adjacency")
_WHOLE: Final = ("n", "batch_size", "learn_epochs", "dimension", "group_size", "epochs", "steps", "request")
_TEXTS: Final = ("preset", "adjacency", "last_batch", "method", "bound", "batches", "reference", "list", "rounding")
_TARGET: Final = ("sigma", "epsilon", "delta")
_Value = str | int | float
_RUN: Final = (*(f.name for f in fields(PNSGD) if f.name != "problem"), "group_size", "batches", "reference")


@dataclass(frozen=True, slots=True)
class Claim:
    """One row. None: not given. ``count`` is in whole epochs or steps, as ``unit`` says; ``request`` from 1 in a stream."""

    row: int
    line: int
    method: Method
    setup: Setup
    sigma: Printed | None
    epsilon: Printed | None
    delta: float
    count: float | None
    unit: Unit
    request: int | None
    points: int
    list: str

    @property
    def steps(self) -> float:
        """The count in steps; retraining that says nothing of its length runs to its end."""
        if self.count is None and self.method.family == "retrain":
            return math.inf
        count = float(self.count or 0)
        return count * self.method.steps_per_epoch(self.setup) if self.unit == "epochs" else count


class _Run(NamedTuple):
    """What rows have in common: the method, the setup of one point and of all points together, the data's name, the points."""

    method: Method
    setup: Setup
    together: Setup
    label: str
    points: int


class Claims:
    """The rows of a table as claims; what its columns do not say comes from ``defaults``, by role.

    >>> from accountant.tables import builtin
    >>> first = next(iter(Claims(builtin("d2d").table())))
    >>> first.method.name, first.setup.problem.n, first.epsilon.value, first.steps
    ('d2d', 11982, 0.05, 1.0)
    """

    def __init__(
        self, table: Table, *, columns: Mapping[str, str] | None = None, defaults: Mapping[str, object] | None = None
    ) -> None:
        self.table = table
        self.columns = assign(table.name, table.columns, columns or {})
        self.defaults = {role: value for role, value in (defaults or {}).items() if value is not None}
        used = set(self.columns.values())
        self.ignored = [column for column in table.columns if column not in used]
        roles = (*_CONSTANTS, *_RUN, "preset", "method", "bound")
        self._run_columns = [self.columns[role] for role in roles if role in self.columns]
        self._known: dict[tuple[str, ...], _Run] = {}
        self._check_columns()

    def _check_columns(self) -> None:
        have = {*self.columns, *self.defaults}
        if "preset" not in have and not {"n", "smoothness"} <= have:
            raise missing(
                self.table.name, self.table.columns,
                "the problem: a column preset (or dataset), or n and smoothness, or these as options",
            )  # fmt: skip
        if "epsilon" not in have:
            raise missing(self.table.name, self.table.columns, "a column epsilon (eps, ε), or --column epsilon=NAME")
        if not have & {"sigma", "epochs", "steps"}:
            raise missing(self.table.name, self.table.columns, "a column sigma (σ, noise), epochs (K) or steps")
        if {"epochs", "steps"} <= have:
            where = [repr(self.columns[role]) if role in self.columns else f"--{role}" for role in ("epochs", "steps")]
            raise InputError(f"table {self.table.name} must have one length of unlearning, got {' and '.join(where)}")
        if "preset" in self.columns and "preset" in self.defaults:
            raise InputError(
                f"preset must be left out where the table has a column {self.columns['preset']!r}, got "
                f"{self.defaults['preset']!r}"
            )

    @property
    def readings(self) -> list[str]:
        """How the columns were read, and what was taken for those that the table lacks."""
        renamed = [f"{column!r} as {role}" for role, column in self.columns.items() if column.strip().lower() != role]
        lines = [f"columns read: {', '.join(renamed)}"] if renamed else []
        have = {*self.columns, *self.defaults}
        if not have & {"method", "bound"}:
            lines.append(f"no method is named: taken as {DEFAULT_METHOD}, {METHODS[DEFAULT_METHOD].title}")
        if "delta" not in have:
            lines.append("no delta is given: taken as 1/n")
        return lines

    def __iter__(self) -> Iterator[Claim]:
        for row in self.table.rows():
            yield self._claim(row)

    def _claim(self, row: Row) -> Claim:
        known = self._known_run(row)
        sigma, epsilon, delta = self._target(row, known.method)
        unit: Unit = "steps" if "steps" in self.columns or "steps" in self.defaults else "epochs"
        count = self._number(row, unit)
        request = self._number(row, "request")
        # Points of a request are its own; points deleted at once make another setup.
        setup = known.setup if request is not None else known.together
        if request is not None and request.value < 1:
            raise self._refusal(row, "request", "a whole number from 1", shown(request.value))
        try:
            chance = setup.default_delta if delta is None else delta.value
        except InputError as error:
            raise self.table.refusal(row.line, f"row {row.number}: {error}") from None
        return Claim(
            row=row.number,
            line=row.line,
            method=known.method,
            setup=setup,
            sigma=sigma,
            epsilon=epsilon,
            delta=chance,
            count=None if count is None else count.value,
            unit=unit,
            request=None if request is None else int(request.value),
            points=known.points,
            list=f"{known.label} {row.cells.get(self.columns.get('list', ''), '')}".strip(),
        )

    def _target(self, row: Row, method: Method) -> tuple[Printed | None, Printed | None, Printed | None]:
        """sigma, epsilon and delta of a row, in their domains."""
        sigma, epsilon, delta = (self._number(row, role) for role in _TARGET)
        if sigma is not None and not sigma.value > 0 and method.name != "retrain":
            raise self._refusal(row, "sigma", "a number > 0", shown(sigma.value))
        if epsilon is not None and not epsilon.value >= 0:
            raise self._refusal(row, "epsilon", "a number >= 0", shown(epsilon.value))
        if delta is not None and not 0 < delta.value < 1:
            raise self._refusal(row, "delta", "a number > 0 and < 1", shown(delta.value))
        return sigma, epsilon, delta

    def _known_run(self, row: Row) -> _Run:
        """What does not change from row to row, read once."""
        key = tuple(row.cells.get(column, "") for column in self._run_columns)
        known = self._known.get(key)
        if known is None:
            if len(self._known) > 100_000:
                self._known.clear()
            known = self._known[key] = self._run(row)
        return known

    def _run(self, row: Row) -> _Run:
        values: dict[str, _Value] = {}
        for role in (*_CONSTANTS, *_RUN):
            value = self._text(row, role) if role in _TEXTS else self._number(row, role)
            if value is not None:
                whole = role in _WHOLE
                values[role] = value if isinstance(value, str) else int(value.value) if whole else value.value
        if values.get("batch_size") == 0:  # as the published lists write it
            values["batch_size"] = "full"
        label = self._text(row, "preset") or ""
        constants: dict[str, _Value] = {role: values.pop(role) for role in _CONSTANTS if role in values}
        points = int(values.pop("group_size", 1))
        try:
            problem = self._problem(label, constants)
            integer("group_size", points, at_least=1, at_most=problem.n)
            values["reference"] = parse_reference(values.get("reference", "matched"))
            batches = str(values.get("batches", ""))
            if batches.isascii() and batches.isdigit() and len(batches) <= len(str(MAX_COUNT)):
                values["batches"] = int(batches)
            elif batches:
                choice("batches", batches, (RANDOM, WORST, RESHUFFLE))
            if "dimension" not in values and _preset_name(label) is not None:
                values["dimension"] = PRESET_DIMENSIONS[_preset_name(label) or ""]
            setup = Setup.of({**problem.to_dict(), **values})
            return _Run(self._method(row), setup, setup.with_(group_size=points), label, points)
        except InputError as error:
            raise self.table.refusal(row.line, f"row {row.number}: {error}") from None

    def _problem(self, label: str, constants: Mapping[str, Any]) -> Problem:
        """From the constants where they are complete, otherwise from the preset that the label names."""
        name = _preset_name(label)
        complete = {"n", "smoothness"} <= constants.keys()
        strict = self.columns.get("preset", "preset").strip().lower() == "preset"
        if name is None and label and (strict or not complete):
            raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {label!r}" + (
                "" if complete else "; for other data give n, smoothness and strong_convexity"))  # fmt: skip
        if name is None:
            if not complete:
                raise InputError("n and smoothness must be given, or a preset")
            return Problem(**constants)
        if complete and not strict:
            return Problem(**constants)
        known = PRESETS[name].to_dict()
        for role, value in constants.items():
            if role != "adjacency" and abs(value - known[role]) > 1e-9 * abs(known[role]):
                raise InputError(f"{role} must be {shown(known[role])} for preset {name}, got {shown(value)}")
        return Problem(**(known | dict(constants)))

    def _method(self, row: Row) -> Method:
        names = [_method_name(text) for text in (self._text(row, "bound"), self._text(row, "method")) if text]
        if not names:
            return METHODS[DEFAULT_METHOD]
        for name in names:
            choice("method", name, METHODS)
        first, last = METHODS[names[0]], METHODS[names[-1]]
        if first.family != last.family:
            raise InputError(f"bound {first.name} is about another algorithm than method {last.name}")
        return first

    def _text(self, row: Row, role: str) -> str | None:
        column = self.columns.get(role)
        text = row.cells.get(column, "") if column is not None else ""
        if text:
            return text
        value = self.defaults.get(role)
        return None if value is None else str(value)

    def _number(self, row: Row, role: str) -> Printed | None:
        text = self._text(row, role)
        if text is None or text.lower() in ("-", "none", "null", "n/a", "na"):
            return None
        whole = role in _WHOLE
        if role == "batch_size" and text.lower() in ("full", "n"):
            return Printed(0.0)
        if role == "delta" and text.replace(" ", "") == "1/n":
            return None
        what = "a whole number" if whole else "a number"
        try:
            value = parse_number(text)
        except (ValueError, OverflowError):
            raise self._refusal(row, role, what, repr(text[:40])) from None
        if whole and not (value.value == int(value.value) and 0 <= value.value <= MAX_COUNT):
            raise self._refusal(row, role, f"a whole number from 0 to {MAX_COUNT}", repr(text[:40]))
        if value.value != 0 and not SMALLEST <= abs(value.value) <= LARGEST:
            raise self._refusal(row, role, f"0 or {SMALLEST:g} to {LARGEST:g} in size", repr(text[:40]))
        return value

    def _refusal(self, row: Row, role: str, allowed: str, got: str) -> InputError:
        column = self.columns.get(role)
        where = f"column {column!r}" if column is not None else f"option {role}"
        return self.table.refusal(row.line, f"row {row.number}, {where}: {role} must be {allowed}, got {got}")


def _plain(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _preset_name(label: str) -> str | None:
    plain = _plain(label)
    return plain if plain in PRESETS else None


def _method_name(text: str) -> str:
    """The method that a text names; the text itself where it names none."""
    return ALIASES.get(_plain(text), text)
