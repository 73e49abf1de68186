"""Rows about fine-tuning and the like, whose noisy steps both runs share: what they claim, without n, batches or a preset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from accountant.methods import STEP_METHODS, ModelClipping, Release, StepMethod
from accountant.numerics import InputError, Printed, shown, truth
from accountant.problem import FineTuning, Stepping
from accountant.tables import Row
from accountant.verification.cells import Cells
from accountant.verification.runs import Taken

#: What tables call the methods, in lower case without marks; a name that a bound about batches has, too, is that one.
STEP_ALIASES: Final[dict[str, str]] = {
    "modelclipping": "finetune-model-clipping",
    "finetuning": "optimal",
    "noisyfinetuning": "optimal",
    **{name.replace("-", ""): name for name in STEP_METHODS if name != "optimal"},
}


@dataclass(frozen=True, slots=True)
class StepClaim:
    """One row. None: not given. renyi: what the noise was made for, where the row says it."""

    row: int
    line: int
    method: StepMethod
    algorithm: Stepping
    sigma: Printed | None
    epsilon: Printed | None
    delta: float
    count: float | None
    renyi: Printed | None
    list: str
    taken: Taken

    @property
    def steps(self) -> float:
        return self.count or 0.0


class StepRuns:
    """Reads the cells of such rows."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._known: dict[tuple[str | None, ...], tuple[Stepping, Taken]] = {}

    def method(self, row: Row) -> StepMethod | None:
        """The method of a row about common steps; None for any other row.

        A row without a method that says how models are clipped is one, too.
        """
        cells = self.cells
        named = [text for role in ("bound", "method") if (text := cells.text(row, role)) is not None]
        for text in named:
            name = STEP_ALIASES.get("".join(letter for letter in text.lower() if letter.isalnum()))
            if name is not None:
                return STEP_METHODS[name]
        if named or {"bound", "method"} & cells.columns.keys():
            return None
        if cells.text(row, "model_clip") is not None:
            return STEP_METHODS["finetune-model-clipping"]
        if cells.text(row, "start_clip") is not None:
            return STEP_METHODS["gradient-clipping" if cells.text(row, "gradient_clip") is not None else "output-perturbation"]
        return None

    def claim(self, row: Row, method: StepMethod, target: tuple[Printed | None, Printed | None, Printed | None]) -> StepClaim:
        """The claim of a row; InputError where it is none."""
        sigma, epsilon, delta = target
        cells = self.cells
        if delta is None:
            raise InputError("delta must be given: rows of fine-tuning have no n, and so no 1/n")
        if "epochs" in {*cells.columns, *cells.options}:
            raise InputError("steps must be given: rows of fine-tuning are counted in steps, and have no epochs")
        key = tuple(cells.text(row, role) for role in ("method", "bound", "step_size", *_ROLES))
        if key not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[key] = self._run(row, method)
        algorithm, taken = self._known[key]
        count = cells.number(row, "steps")
        empty = {role: cells.filling(role) for role in ("sigma", "epsilon", "delta", "steps") if _filled(cells, row, role)}
        return StepClaim(
            row=row.number,
            line=row.line,
            method=method,
            algorithm=algorithm,
            sigma=sigma,
            epsilon=epsilon,
            delta=delta.value,
            count=None if count is None else count.value,
            renyi=cells.number(row, "epsilon_renyi"),
            list=(cells.own(row, "list") or ""),
            taken=taken.and_(empty) if empty else taken,
        )

    def _run(self, row: Row, method: StepMethod) -> tuple[Stepping, Taken]:
        values = self._values(row)
        taken: dict[str, str | int | float] = {}
        if not {"method", "bound"} & {*self.cells.columns, *self.cells.options}:
            taken["method"] = method.name
        if not method.runs_steps:
            self._need(row, "start_clip", values)
            return Release(start_clip=values["start_clip"], start=values.get("start", "clipped")), self._taken(row, taken)
        clips = "gradient_clip" in values
        if isinstance(method, ModelClipping):
            self._need(row, "model_clip", values)
            values["clip_first"] = True
            if not clips:
                # Neither plays a part in what is proved of clipped models alone.
                values["step_size"] = values.get("step_size", 1.0)
                values.pop("weight_decay", None)
        elif method.name != "optimal":
            self._need(row, "gradient_clip", values)
            self._need(row, "start_clip", values)
        self._need(row, "step_size", values)
        if clips and "weight_decay" not in values:
            taken["weight_decay"] = 0.0
        algorithm = FineTuning(**values)
        method.check(algorithm)
        return algorithm, self._taken(row, taken)

    def _values(self, row: Row) -> dict[str, Any]:
        """What the cells and options say, by field of the algorithm."""
        values: dict[str, Any] = {}
        for role in ("step_size", *_ROLES):
            text = self.cells.text(row, role)
            if text is None:
                continue
            if role == "clip_first":
                values[role] = truth(role, text)
            elif role == "start":
                values[role] = text
            else:
                number = self.cells.number(row, role)
                assert number is not None
                values[role] = number.value
        return values

    def _need(self, row: Row, role: str, values: dict[str, Any]) -> None:
        if role in values:
            return
        if role in self.cells.columns:
            raise self.cells.not_given(role)
        raise InputError(f"{role} must be given: a column {role}, or the option")

    def _taken(self, row: Row, values: dict[str, str | int | float]) -> Taken:
        """With the cells that options fill."""
        cells = self.cells
        filled = {role: cells.filling(role) for role in ("method", "bound", "step_size", *_ROLES) if _filled(cells, row, role)}
        return Taken(values, frozenset(role for role in values if role in cells.columns)).and_(filled)


_ROLES: Final = ("start_clip", "gradient_clip", "model_clip", "weight_decay", "clip_first", "start")


def _filled(cells: Cells, row: Row, role: str) -> bool:
    """Whether an option fills the empty cell of a column."""
    return cells.empty(row, role) and role in cells.options


def step_words(claim: StepClaim) -> str:
    """How such a row was read."""
    method = claim.method
    best = "" if method.tightest == method.name else f", tightest known {method.tightest}"
    run = "counted in steps" if method.runs_steps else "one Gaussian on the clipped model"
    decay = f"; weight decay {shown(claim.algorithm.weight_decay)}" if "weight_decay" in claim.taken.values else ""
    return (
        f"{method.name}{best}: {run}{decay}; sigma is the standard deviation of one noise; reference: retrained, clipped "
        "alike, then the same noisy steps; requests do not pile up, so each row stands for itself"
    )
