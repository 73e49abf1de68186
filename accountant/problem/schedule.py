"""Schedules: phases of learning and unlearning, each with its own length, step size, noise and batch size.

A schedule is resolved against a :class:`~accountant.problem.PNSGD`, which has the values that a phase leaves out, into
*stretches*: steps of one kind on one batch size, with constants that hold throughout or one per step. Stretches of one batch
size go on in the cycle of batches where the one before stopped; another size starts at its batch 0, on the same permutation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Final

from accountant.numerics import InputError, choice, integer, numbers
from accountant.problem.rates import Rate, describe_rate, parse_rate


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Consecutive steps; use :class:`Learn` and :class:`Unlearn`.

    epochs or steps: the length. A first Learn with neither takes the algorithm's learn_epochs (None: converged); a last Unlearn
        with neither is open: the question says how long it is.
    step_size: eta, 0 < eta <= 2/smoothness. sigma: noise in units of the sigma that the question asks about, >= 0; with
        sigma = 1 in the question it is the noise itself. Both: a number, one per step, or a callable of the step numbers.
    batch_size: 1 to n, or "full". Step size and batch size default to the algorithm's.
    """

    epochs: int | None = None
    steps: int | None = None
    step_size: Rate | None = None
    sigma: Rate = 1.0
    batch_size: int | str | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise InputError(f"a {self.word} phase must have epochs or steps, got both")
        for name in ("epochs", "steps"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(name, getattr(self, name), at_least=0))
        if self.batch_size is not None and self.batch_size != "full":
            object.__setattr__(self, "batch_size", integer("batch_size", self.batch_size, at_least=1))
        for name in ("step_size", "sigma"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                array = numbers(name, value, at_least=0, sized=True)
                if array.ndim > 1 or not array.size:
                    raise InputError(f"{name} must be a number, one number per step or a callable, got shape {array.shape}")
                object.__setattr__(self, name, tuple(array.tolist()) if array.ndim else float(array))

    @property
    def word(self) -> str:
        """learn or unlearn."""
        return type(self).__name__.lower()


class Learn(Phase):
    """Steps on the data that still has the deleted points."""


class Unlearn(Phase):
    """Steps on the data without them."""


_PHASES: Final[dict[str, type[Phase]]] = {"learn": Learn, "unlearn": Unlearn}


@dataclass(frozen=True)
class Schedule:
    """Phases in order: learning first, then unlearning; of common steps, as of fine-tuning, unlearning alone.

    Raises InputError for an order that has no meaning.

    >>> schedule = Schedule([Learn(epochs=20, step_size=0.5), Unlearn(batch_size=64)])
    >>> schedule.to_list()
    [{'phase': 'learn', 'epochs': 20, 'step_size': 0.5, 'sigma': 1.0}, {'phase': 'unlearn', 'sigma': 1.0, 'batch_size': 64}]
    """

    phases: tuple[Phase, ...]

    def __init__(self, phases: Iterable[Phase]) -> None:
        try:
            kept = tuple(phases)
        except TypeError:
            raise InputError(f"phases must be a list of Learn and Unlearn, got {phases!r}") from None
        object.__setattr__(self, "phases", kept)
        if not kept or not all(isinstance(phase, (Learn, Unlearn)) for phase in kept):
            raise InputError(f"phases must be a non-empty list of Learn and Unlearn, got {list(kept)!r}")
        for number_, (before, phase) in enumerate(pairwise(kept), start=2):
            if isinstance(phase, Learn) and isinstance(before, Unlearn):
                raise InputError(
                    f"phase {number_} learns after an unlearn phase, on data that the deletion has already changed: "
                    "further training on what is left is an unlearn phase"
                )
        for number_, phase in enumerate(kept, start=1):
            last = number_ == len(kept)
            length = phase.epochs if phase.steps is None else phase.steps
            if length is None and not ((number_ == 1 and isinstance(phase, Learn)) or (last and isinstance(phase, Unlearn))):
                raise InputError(
                    f"phase {number_} must have epochs or steps: only a first learn and a last unlearn may be open"
                )

    @classmethod
    def from_list(cls, phases: Any) -> Schedule:
        """From tables as TOML and JSON have them: ``phase`` = "learn" or "unlearn", and the fields of the phase."""
        if not isinstance(phases, list) or not all(isinstance(entry, Mapping) for entry in phases):
            raise InputError("schedule must be a list of tables, one per phase")
        built = []
        for place, entry in enumerate(phases, start=1):
            values = dict(entry)
            kind = _PHASES[choice(f"phase of schedule entry {place}", values.pop("phase", None), _PHASES)]
            names = [f.name for f in fields(kind)]
            for name in values:
                if name not in names:
                    allowed = ", ".join(names)
                    raise InputError(f"key {name!r} in schedule entry {place} is unknown: it must be phase, {allowed}")
            try:
                rates = {name: parse_rate(name, values[name]) for name in ("step_size", "sigma") if name in values}
                built.append(kind(**(values | rates)))
            except InputError as error:
                raise InputError(f"schedule entry {place}: {error}") from None
        return cls(built)

    def to_list(self) -> list[dict[str, Any]]:
        """What :meth:`from_list` reads, as JSON types; a callable of one's own becomes its values, or kind = "own"."""
        entries = []
        for phase in self.phases:
            entry: dict[str, Any] = {"phase": phase.word}
            for f in fields(phase):
                value = getattr(phase, f.name)
                if f.name in ("step_size", "sigma"):
                    value = describe_rate(value, phase.steps)
                if value is not None:
                    entry[f.name] = value
            entries.append(entry)
        return entries
