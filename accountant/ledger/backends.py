"""What runs: three calls that every backend has, and a few that some have besides.

    plan(rows)          what removing these rows takes, or InputError with the reason why it cannot be had
    run(plan, rows)     the new model, in memory or wherever the backend keeps it, with what was run and what holds
    save(model, path)   that model in a new file at path, on the disk when it returns

The ledger calls them in this order, of one object, within one process that is alone with the model; after a crash or a failure
it begins again with ``plan``, of a new object. ``run`` must draw fresh noise every time. The model before is the file
``settings.model``, which a backend reads and never writes: the ledger puts the saved file in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from accountant.ledger.settings import Settings
from accountant.numerics import choice

#: What a record is called, or its row number.
Row = str | int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will take, known before it.

    points: records that are removed. steps: noisy steps, of noise sigma (None: the backend has no such number). epsilon, delta:
    what holds after it, of every request so far. gradient_evaluations: per sample. seconds: estimated, of the run.
    """

    points: int
    steps: int
    sigma: float | None
    epsilon: float
    delta: float
    gradient_evaluations: int | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON types, as entries hold them."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Past:
    """A run that the ledger closed. what: "unlearn", "refit" or "join". points: records that it removed."""

    what: str
    points: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run gave. model: anything that ``save`` of the same backend takes. steps: that really ran.

    statement: the guarantee in one sentence; assumptions: what it rests on. epsilon, delta: what holds now; None where nothing
    of the removed rows is left (after a refit).
    """

    model: object
    steps: int
    statement: str
    assumptions: tuple[str, ...] = ()
    epsilon: float | None = None
    delta: float | None = None


class Backend(Protocol):
    """The three calls. name: as in BACKENDS. declared: the program cannot see what ran, and entries say so."""

    name: str
    declared: bool

    def plan(self, rows: Sequence[Row]) -> Plan: ...

    def run(self, plan: Plan, rows: Sequence[Row]) -> Result: ...

    def save(self, model: Any, path: Path) -> None: ...


@runtime_checkable
class Refitting(Protocol):
    """Can learn again without rows (there may be none to remove); the steps of its plan may be estimated."""

    def plan_refit(self, rows: Sequence[Row]) -> Plan: ...

    def refit(self, plan: Plan, rows: Sequence[Row]) -> Result: ...


@runtime_checkable
class Certifying(Protocol):
    """Can write the certificate of a saved model to a file, signed by the key in a file, if there is one.

    InputError with the reason where none can be made.
    """

    def certify(self, model: Path, path: Path, key: Path | None) -> None: ...


@runtime_checkable
class Naming(Protocol):
    """Knows what records are in the model: subject (text) to its rows. Called once, by ``init`` without --subjects."""

    def subjects(self) -> Mapping[str, Sequence[Row]]: ...


@runtime_checkable
class Checking(Protocol):
    """Has a reason to refuse the model before a ledger is made of it: InputError."""

    def check(self) -> None: ...


@runtime_checkable
class Following(Protocol):
    """Keeps no account of earlier runs itself: gets them all, in order, before ``plan``, ``foreseen`` and ``certify``.

    Before ``certify`` the run of the certificate is the last of them.
    """

    def follow(self, past: Sequence[Past]) -> None: ...


@runtime_checkable
class Foreseeing(Protocol):
    """Knows what requests of so many records each would take, one after the other, from now on: the steps of each.

    The list is shorter where no number of steps is enough for the next one.
    """

    def foreseen(self, points: Sequence[int]) -> list[int]: ...


@runtime_checkable
class Numbering(Protocol):
    """Takes some rows only: InputError at ``init`` for others."""

    def check_rows(self, rows: Iterable[Row]) -> None: ...


@runtime_checkable
class Joining(Protocol):
    """Can let records join: features (k, d), labels (k,) as numbers or as the text of them, what each is called.

    Returns the model with them, for ``save``; columns: what the features are called, where that is known.
    """

    def join(
        self, features: Any, labels: Sequence[Any], *, ids: Sequence[Row], columns: Sequence[str] | None, epochs: int
    ) -> object: ...


@runtime_checkable
class Admitting(Protocol):
    """Has a reason to let nobody join: InputError."""

    def check_join(self) -> None: ...


@runtime_checkable
class Stopping(Protocol):
    """Can end what ``run`` began, and remove what it wrote: called where a run is given up, from another thread."""

    def stop(self) -> None: ...


#: Backends by name: module and what makes one of the Settings.
BACKENDS: Final[dict[str, str]] = {
    "estimator": "accountant.ledger.estimator:EstimatorBackend",
    "command": "accountant.ledger.command:command_backend",
    "python": "accountant.ledger.entry:EntryBackend",
    "torch": "accountant.ledger.pytorch:TorchBackend",
}


def backend_of(settings: Settings) -> Backend:
    """The backend that the settings name, made anew."""
    choice("backend", settings.backend, tuple(BACKENDS))
    module, _, name = BACKENDS[settings.backend].partition(":")
    made: Callable[[Settings], Backend] = getattr(import_module(module), name)
    return made(settings)


class RunFailedError(RuntimeError):
    """A run came to nothing, for this reason, which holds no identifier: entries repeat it."""


def checked_result(plan: Plan | None, result: object) -> Result:
    """The result of a run; RunFailedError where it is none, or not what was planned (None: nothing exact was)."""
    if not isinstance(result, Result):
        raise RunFailedError(f"the backend must return a Result, got {type(result).__name__}")
    if plan is not None and result.steps != plan.steps:
        raise RunFailedError(f"the backend planned {plan.steps} steps and ran {result.steps}")
    return result
