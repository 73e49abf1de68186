"""What a row claims: the run, the method, and those of sigma, epsilon, delta, epochs or steps that it gives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, NamedTuple

from accountant.methods import METHODS, Method, Unit
from accountant.numerics import InputError, Printed, choice, shown
from accountant.problem import PRESETS
from accountant.questions import Setup
from accountant.tables import Row, Table
from accountant.verification.asking import ask_for_heading, find_suspects
from accountant.verification.cells import NUMBERS, Cells, OptionRefusedError
from accountant.verification.columns import asked, assign, missing, turned, unnamed
from accountant.verification.dialect import Dialect
from accountant.verification.naming import STEP_ROLES
from accountant.verification.oddities import OddOnes
from accountant.verification.remarks import said_beside
from accountant.verification.runs import DEFAULT_METHOD, Run, Runs, Taken
from accountant.verification.stepping import StepClaim, StepRuns

_TARGET: Final = ("sigma", "epsilon", "delta")


@dataclass(frozen=True, slots=True)
class Claim:
    """One row. None: not given. ``count`` is in whole epochs or steps, as ``unit`` says; ``request`` from 1 in a stream.

    taken: what was taken because the row does not say it.
    """

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
    taken: Taken
    #: The same row at the larger ends of what it says as a spread, such as 1.0±0.1.
    larger: Claim | None = None
    #: Why numbers are not there that no column has, by role.
    lacking: Mapping[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> float:
        """The count in steps; retraining that says nothing of its length runs to its end."""
        if self.count is None and self.method.family == "retrain":
            return math.inf
        count = float(self.count or 0)
        return count * self.method.steps_per_epoch(self.setup) if self.unit == "epochs" else count


class Unread(NamedTuple):
    """A row that is no claim, with the reason, and what can be read of it; ``label``: the list that it may belong to."""

    row: int
    line: int
    reason: str
    method: str
    sigma: float | None
    epsilon: float | None
    delta: float | None
    request: int | None
    label: str


class Claims:
    """The rows of a table as claims; what its columns do not say comes from ``defaults``, by role.

    To iterate raises InputError at the first row that is no claim; ``read`` goes on after it.

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
        dialect = Dialect(table, tuple(column for role, column in self.columns.items() if role in NUMBERS))
        self._step_runs = StepRuns(Cells(self.columns, self.defaults, dialect))
        self._some_steps = self._any_steps()
        if not self._some_steps:
            # Only rows of fine-tuning read them.
            self.columns = {role: column for role, column in self.columns.items() if role not in STEP_ROLES}
        used = set(self.columns.values())
        self.ignored = [column for column in table.columns if column and column not in used]
        self._have = {*self.columns, *self.defaults}
        self.unit: Unit = "steps" if "steps" in self._have else "epochs"
        self._cells = Cells(self.columns, self.defaults, dialect)
        self._check_columns()
        preset = self.defaults.get("preset")
        suspects = find_suspects(table, self.ignored, self._have, None if preset is None else str(preset))
        self._runs = Runs(self._cells, suspects)
        self._lacking = {role: unnamed(role, self.ignored) for role in ("sigma", self.unit) if role not in self._have}
        #: Cells that were not plainly their numbers, of the rows read so far.
        self.oddities = OddOnes()
        #: Roles whose empty cells an option fills.
        self._filled = [role for role in (*_TARGET, self.unit, "request") if role in self.columns and role in self.defaults]
        self._check_options()

    def _any_steps(self) -> bool:
        """Whether some row is about common steps, such as fine-tuning: looked for where something hints at it."""
        have = {*self.columns, *self.defaults}
        if not have & {*STEP_ROLES, "preset", "n"} or have & set(STEP_ROLES):
            return any(self._step_runs.method(row) is not None for row in self.table.rows() if row.fault is None)
        return False

    def _check_columns(self) -> None:
        have, name = self._have, self.table.name
        if "preset" not in have and not {"n", "smoothness"} <= have and not self._some_steps:
            wanted = "the problem: a column preset (or dataset), or n and smoothness, or these as options"
            raise self._missing(wanted, "preset")
        if "epsilon" not in have:
            raise self._missing("a column epsilon (eps, ε), or --column epsilon=NAME", "epsilon")
        if not have & {"sigma", "epochs", "steps"}:
            raise self._missing("a column sigma (σ, noise), epochs (K) or steps", "sigma", "epochs", "steps")
        if {"epochs", "steps"} <= have:
            where = [repr(self.columns[role]) if role in self.columns else f"--{role}" for role in ("epochs", "steps")]
            raise InputError(f"table {name} must have one length of unlearning, got {' and '.join(where)}")
        if "preset" in self.columns and "preset" in self.defaults:
            raise InputError(
                f"preset must be left out where the table has a column {self.columns['preset']!r}, got "
                f"{self.defaults['preset']!r}"
            )

    def _missing(self, wanted: str, *roles: str) -> InputError:
        """What the table lacks, and what may be the matter: it is on its side, or another table of the file is meant."""
        table = self.table
        first = [row.cells.get(table.columns[0], "") for row in islice(table.rows(), 64)]
        more = "".join(f"; {note}" for note in table.notes if "--sheet" in note)
        return InputError(f"{missing(table.name, table.columns, wanted, *roles)}{turned(table.columns[:1] + first)}{more}")

    def _check_options(self) -> None:
        """Refuse what no row could be read with, before any is."""
        nothing = Row(0, 0, {})
        if "preset" in self.defaults:
            choice("preset", self.defaults["preset"], PRESETS)
        named = {"method", "bound"} & self.columns.keys()
        stepwise = self._step_runs.method(nothing) is not None
        method = METHODS["retrain"] if named else METHODS["optimal"] if stepwise else self._runs.method(nothing)
        for role in self.defaults:
            if role in NUMBERS:
                self._number(nothing, role, method)
        if self._runs.constant and not self._some_steps:
            self._runs.of(nothing)

    @property
    def readings(self) -> list[str]:
        """How the columns were read, and what was taken for those that the table lacks."""
        renamed = [f"{column!r} as {role}" for role, column in self.columns.items() if column.strip().lower() != role]
        lines = [*self.table.notes, *self._cells.dialect.words]
        lines += [f"columns read: {', '.join(renamed)}"] if renamed else []
        if not self._have & {"method", "bound"} and not self._some_steps:
            own = "; as optimal where records draw their batches by themselves" if "assignment" in self._have else ""
            lines.append(f"no method is named: taken as {DEFAULT_METHOD}, {METHODS[DEFAULT_METHOD].title}{own}")
        if "delta" not in self._have and not self._some_steps:
            lines.append("no delta is given: taken as 1/n")
        return lines

    @property
    def lacking(self) -> list[str]:
        """For a table of which no row can be checked: the columns that are not there, and those that may be meant."""
        lines = []
        for roles in (("sigma",), ("epochs", "steps")):
            if not self._have & set(roles):
                questions = [question for role in roles if (question := asked(role, self.ignored))]
                what = " or ".join(roles)
                told = questions[0] if questions else f"say which with --column {roles[0]}=NAME"
                lines.append(f"no row can be checked without {what}, and no column is called so: {told}")
        return lines

    def __iter__(self) -> Iterator[Claim | StepClaim]:
        for claim in self.read():
            if isinstance(claim, Unread):
                raise self.table.refusal(claim.line, f"row {claim.row}, {claim.reason}")
            yield claim

    def read(self) -> Iterator[Claim | StepClaim | Unread]:
        """Every row, those too that are no claims."""
        self.oddities = OddOnes()
        preset = self.defaults.get("preset")
        beside = said_beside(
            self.table.remarks, have=self._have, columns=self.columns, preset=None if preset is None else str(preset)
        )
        for row in self.table.rows():
            self.oddities.add(row.number, self._cells.odd(row))
            try:
                if beside is not None:
                    raise InputError(beside)
                if row.fault is not None:
                    raise InputError(row.fault)
                if row.heading:
                    ask_for_heading(row, self.columns, self.defaults)
                stepwise = self._step_runs.method(row)
                if stepwise is None:
                    yield self._claim(row)
                else:
                    if spread := self._cells.spreads(row):
                        raise self._cells.refusal(
                            row, spread[0], "one number without a spread", repr(self._cells.text(row, spread[0]))
                        )
                    yield self._step_runs.claim(row, stepwise, self._target(row, METHODS["optimal"]))
            except OptionRefusedError:
                raise
            except InputError as error:
                yield self._unread(row, str(error))

    def _claim(self, row: Row) -> Claim:
        run = self._runs.of(row)
        target = self._target(row, run.method)
        claim = self._claimed(row, run, target)
        spread = self._cells.spreads(row)
        if not spread:
            return claim
        if claim.request is not None:
            said = repr(self._cells.text(row, spread[0]))
            raise self._cells.refusal(row, spread[0], "one number without a spread in a list of requests", said)
        return replace(
            claim, larger=replace(claim, sigma=self._cells.high(row, "sigma"), epsilon=self._cells.high(row, "epsilon"))
        )

    def _claimed(self, row: Row, run: Run, target: tuple[Printed | None, Printed | None, Printed | None]) -> Claim:
        sigma, epsilon, delta = target
        count = self._cells.number(row, self.unit)
        if count is None and self.unit in self.columns and run.method.family == "retrain":
            # It says its length, or is no retraining.
            raise self._cells.not_given(self.unit)
        request = self._request(row)
        # Points of a request are its own; points deleted at once make another setup.
        setup = run.setup if request is not None else run.together
        return Claim(
            row=row.number,
            line=row.line,
            method=run.method,
            setup=setup,
            sigma=sigma,
            epsilon=epsilon,
            delta=self._delta(row, setup) if delta is None else delta.value,
            count=None if count is None else count.value,
            unit=self.unit,
            request=request,
            points=run.points,
            list=f"{run.label} {row.cells.get(self.columns.get('list', ''), '')}".strip(),
            taken=self._taken(row, run.taken) if self._filled else run.taken,
            lacking=self._lacking,
        )

    def _delta(self, row: Row, setup: Setup) -> float:
        """What n makes of delta; the default is 1/n."""
        said = self._cells.delta_of_n(row, setup.problem.n) if "delta" in self._have else None
        return setup.default_delta if said is None else said

    def _taken(self, row: Row, taken: Taken) -> Taken:
        """With the cells of this row that an option fills."""
        filled = [role for role in self._filled if self._cells.empty(row, role)]
        return taken.and_({role: self._cells.filling(role) for role in filled}) if filled else taken

    def _request(self, row: Row) -> int | None:
        """The number of a request; None where the table has none."""
        request = self._cells.number(row, "request")
        if request is None:
            if "request" in self.columns:
                raise self._cells.not_given("request")
            return None
        if request.value < 1:
            raise self._cells.refusal(row, "request", "a whole number from 1", shown(request.value))
        return int(request.value)

    def _target(self, row: Row, method: Method) -> tuple[Printed | None, Printed | None, Printed | None]:
        """sigma, epsilon and delta of a row, in their domains; a delta of None is 1/n."""
        sigma, epsilon, delta = [self._number(row, role, method) for role in _TARGET]
        if delta is None and "delta" in self.columns and self._cells.text(row, "delta") is None:
            raise self._cells.not_given("delta")
        return sigma, epsilon, delta

    def _number(self, row: Row, role: str, method: Method) -> Printed | None:
        number = self._cells.number(row, role)
        if number is None:
            return None
        value, wanted = number.value, ""
        if role == "sigma" and not value > 0 and method.name != "retrain":
            wanted = "a number above 0"
        elif role == "epsilon" and not value >= 0:
            wanted = "a number from 0"
        elif role == "delta" and not 0 < value < 1:
            wanted = "a number above 0 and below 1"
        if wanted:
            raise self._cells.refusal(row, role, wanted, shown(value))
        return number

    def _unread(self, row: Row, reason: str) -> Unread:
        def value(role: str) -> float | None:
            try:
                printed = self._cells.number(row, role)
            except InputError:
                return None
            return None if printed is None else printed.value

        try:
            stepwise = self._step_runs.method(row)
            method = self._runs.method(row).name if stepwise is None else stepwise.name
        except InputError:
            method = ""
        sigma, epsilon, delta, request = (value(role) for role in (*_TARGET, "request"))
        label = f"{self._cells.text(row, 'preset') or ''} {row.cells.get(self.columns.get('list', ''), '')}".strip()
        number = None if request is None else int(request)
        return Unread(row.number, row.line, reason, method, sigma, epsilon, delta, number, label)
