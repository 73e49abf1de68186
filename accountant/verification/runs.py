"""What rows of a table have in common: the problem, the run and the method, and what was taken because no cell says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple

from accountant.methods import METHODS, Method
from accountant.numerics import MAX_COUNT, InputError, choice, integer, shown, truth
from accountant.problem import (
    ASSIGNMENTS,
    PARTITION,
    PNSGD,
    PRESET_DIMENSIONS,
    PRESETS,
    RANDOM,
    RESHUFFLE,
    WORST,
    Problem,
    default_retrain_epochs,
    parse_reference,
)
from accountant.questions import Setup
from accountant.tables import Row, clean
from accountant.verification.asking import Suspects, plain, preset_name
from accountant.verification.cells import WHOLE, Cells
from accountant.verification.draws import assignment_of

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
_TEXTS: Final = ("adjacency", "last_batch", "batches", "reference", "rounding", "assignment", "redraw")
_RUN: Final = (*(f.name for f in fields(PNSGD) if f.name != "problem"), "group_size", "batches", "reference")
#: Columns that a run depends on.
RUN_ROLES: Final = (*_CONSTANTS, *_RUN, "preset", "method", "bound")
#: Where an empty cell says that there is none: no ball, no end of learning but convergence, nothing that depends on it.
_NONE: Final = ("radius", "learn_epochs", "dimension", "largest_n", "redraw")
_Value = str | int | float


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What was taken because a row does not say it, by role; ``empty``: the roles that have a column, whose cell is empty."""

    values: Mapping[str, _Value]
    empty: frozenset[str] = frozenset()

    def words(self) -> Iterator[tuple[bool, str]]:
        """Whether there is a cell, and the role with what was taken, such as "batch_size full"."""
        for role, value in self.values.items():
            known = {"step_size": "1/smoothness", "delta": "1/n", "batches": "as below"} if role not in self.empty else {}
            yield role in self.empty, f"{role} {known.get(role, value if isinstance(value, str) else shown(value))}"

    def and_(self, cells: Mapping[str, _Value]) -> Taken:
        """The same, with more cells of one row."""
        return Taken({**self.values, **cells}, self.empty | cells.keys())


class Run(NamedTuple):
    """The method, the setup of one point and of all points together, the data's name, the points, what was taken."""

    method: Method
    setup: Setup
    together: Setup
    label: str
    points: int
    taken: Taken


class Runs:
    """The runs of a table's rows; ``suspects``: columns without a role that may say something about them."""

    def __init__(self, cells: Cells, suspects: Suspects) -> None:
        self.cells = cells
        self.suspects = suspects
        self._columns = [
            *(cells.columns[role] for role in RUN_ROLES if role in cells.columns),
            *suspects.columns,
        ]
        self._known: dict[tuple[str, ...], Run | str] = {}

    @property
    def constant(self) -> bool:
        """Whether no column says anything about the run."""
        return not self._columns

    def of(self, row: Row) -> Run:
        """The run of a row, which is read once for all rows that have its cells; InputError where it is none."""
        key = tuple([row.cells.get(column, "") for column in self._columns]) if self._columns else ()
        known = self._known.get(key)
        if known is None:
            if len(self._known) > 100_000:
                self._known.clear()
            try:
                known = self._run(row)
            except InputError as error:
                if self.constant:
                    raise
                known = str(error)
            self._known[key] = known
        if isinstance(known, str):
            raise InputError(known)
        return known

    def _run(self, row: Row) -> Run:
        cells = self.cells
        values = self._values(row)
        label = clean(cells.text(row, "preset") or "")
        constants: dict[str, Any] = {role: values.pop(role) for role in _CONSTANTS if role in values}
        points = int(values.pop("group_size", 1))
        method = self.method(row)
        empty = [role for role in (*_CONSTANTS, *_RUN) if cells.empty(row, role) and role not in cells.options]
        problem, whole = self._problem(label, constants)
        for role in empty:
            # A preset has all the constants.
            unsaid = whole and role != "adjacency" if role in _CONSTANTS else role in _NONE
            if not unsaid or (role == "learn_epochs" and method.family == "retrain"):
                raise cells.not_given(role)
        integer("group_size", points, at_least=1, at_most=problem.n)
        self.suspects.ask(row, problem)
        values["reference"] = parse_reference(values.get("reference", "matched"))
        batches = str(values.get("batches", ""))
        if batches.isascii() and batches.isdigit() and len(batches) <= len(str(MAX_COUNT)):
            values["batches"] = int(batches)
        elif batches:
            choice("batches", batches, (RANDOM, WORST, RESHUFFLE))
        if "dimension" not in values and preset_name(label) is not None:
            values["dimension"] = PRESET_DIMENSIONS[preset_name(label) or ""]
        if ASSIGNMENTS[str(values.get("assignment", PARTITION))].own:
            # A key of which it is not said was not redrawn.
            values.setdefault("redraw", False)
        setup = Setup.of({**problem.to_dict(), "loss": problem.loss, **values})
        taken = self._taken(row, method, setup, [] if whole else [role for role in _CONSTANTS if role not in constants])
        return Run(method, setup, setup.with_(group_size=points), label, points, taken)

    def _values(self, row: Row) -> dict[str, _Value]:
        """What the cells and options say, by role."""
        values: dict[str, _Value] = {}
        for role in (*_CONSTANTS, *_RUN):
            if role in _TEXTS:
                text = self.cells.text(row, role)
                if text is not None:
                    values[role] = clean(text)
            elif (number := self.cells.number(row, role)) is not None:
                values[role] = int(number.value) if role in WHOLE else number.value
        if "assignment" in values:
            values["assignment"] = assignment_of(str(values["assignment"]))
        if "redraw" in values:
            values["redraw"] = truth("redraw", str(values["redraw"]))
        if values.get("batch_size") == 0:  # as the published lists write it
            values["batch_size"] = "full"
        return values

    def _problem(self, label: str, constants: Mapping[str, Any]) -> tuple[Problem, bool]:
        """From the constants where they are complete, otherwise (true) from the preset that the label names."""
        name = preset_name(label)
        complete = {"n", "smoothness"} <= constants.keys()
        strict = self.cells.columns.get("preset", "preset").strip().lower() == "preset"
        if name is None and label and (strict or not complete):
            raise InputError(f"preset must be one of {', '.join(PRESETS)}, got {label!r}" + (
                "" if complete else "; for other data give n, smoothness and strong_convexity"))  # fmt: skip
        if name is None and not complete:
            raise InputError("n and smoothness must be given, or a preset")
        if name is None or (complete and not strict):
            return Problem(**constants), False
        known = PRESETS[name].to_dict()
        for role, value in constants.items():
            if role != "adjacency" and abs(value - known[role]) > 1e-9 * abs(known[role]):
                raise InputError(f"{role} must be {shown(known[role])} for preset {name}, got {shown(value)}")
        # The preset's loss, too: some methods ask how fast its Hessian changes.
        return replace(PRESETS[name], **dict(constants)), True

    def method(self, row: Row) -> Method:
        """The method of a row, or of the options; InputError where it names none."""
        cells = self.cells
        names = [_method_name(text) for role in ("bound", "method") if (text := cells.text(row, role)) is not None]
        if not names:
            for role in ("method", "bound"):
                if role in cells.columns:
                    raise cells.not_given(role)
            said = cells.text(row, "assignment")
            # The published bounds are about a partition.
            return METHODS["optimal" if said is not None and ASSIGNMENTS[assignment_of(said)].own else DEFAULT_METHOD]
        for name in names:
            _known(name, cells.columns)
        first, last = METHODS[names[0]], METHODS[names[-1]]
        if first.family != last.family:
            raise InputError(f"bound {first.name} is about another algorithm than method {last.name}")
        return first

    def _taken(self, row: Row, method: Method, setup: Setup, constants: Sequence[str]) -> Taken:
        """The defaults of a run; ``constants``: those of the problem that nothing says."""
        cells, algorithm = self.cells, setup.algorithm
        values: dict[str, _Value] = {}
        if not {"method", "bound"} & {*cells.columns, *cells.options}:
            values["method"] = method.name
        values |= {role: getattr(setup.problem, role) for role in constants}
        own = algorithm.own_draws
        if own and cells.text(row, "adjacency") is None:
            values["adjacency"] = setup.problem.adjacency
        defaults: dict[str, _Value | None] = {
            "batch_size": "full",
            "step_size": algorithm.step_size,
            "last_batch": algorithm.last_batch if setup.problem.n % int(algorithm.batch_size) and not own else None,
            "assignment": algorithm.assignment,
            "largest_n": algorithm.largest_n,
            "redraw": "no" if own else None,
            "radius": "none",
            "learn_epochs": "until convergence",
            "group_size": 1,
            "batches": method.default_batches,
            "reference": setup.reference,
        }
        if method.family == "retrain":
            defaults["learn_epochs"] = default_retrain_epochs(algorithm)
            if not {"epochs", "steps"} & {*cells.columns, *cells.options}:
                values["epochs"] = "all of a retraining"
        for role, value in defaults.items():
            if value is not None and cells.text(row, role) is None:
                values[role] = value
        if "delta" not in {*cells.columns, *cells.options} and setup.problem.n > 1:
            values["delta"] = setup.default_delta
        empty = {role for role in values if role in cells.columns}
        filled = {role: cells.filling(role) for role in RUN_ROLES if cells.empty(row, role) and role in cells.options}
        return Taken(values, frozenset(empty)).and_(filled)


def _known(name: str, columns: Mapping[str, str]) -> None:
    """Refuse a name that is none of a method; papers call their own "Ours", and what that is nobody can guess."""
    try:
        choice("method", name, METHODS)
    except InputError as error:
        role = next((role for role in ("method", "bound") if role in columns), None)
        if role is None:
            raise
        raise InputError(f"{error}: write its name, or leave the column out with --column {role}=- and give --method") from None


def _method_name(text: str) -> str:
    """The method that a text names; the text itself where it names none."""
    return ALIASES.get(plain(clean(text)), text)
