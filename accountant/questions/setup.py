"""The question: a problem, what runs on it, where the deleted points lie, what retraining means, and the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from accountant.bounds import Setting
from accountant.numerics import InputError, integer
from accountant.problem import (
    MATCHED,
    PARTITION,
    PNSGD,
    Batches,
    Problem,
    Reference,
    Schedule,
    parse_reference,
    preset,
    with_constants,
)
from accountant.shifts import Timeline


@dataclass(frozen=True)
class Setup:
    """What is asked about, whatever the bound or the method that answers; fields as in :class:`UnlearningAccountant`.

    batches: None leaves it to the bound or method; numbers of points per batch bring their own group_size. Raises InputError
    for arguments outside their domain.

    >>> from accountant import PNSGD, preset
    >>> setup = Setup(PNSGD(preset("mnist"), 128), batches="worst")
    >>> setup.with_(batch_size=32, group_size=5).algorithm.steps_per_epoch
    352
    """

    algorithm: PNSGD
    _: KW_ONLY
    batches: Batches | None = None
    reference: Reference = MATCHED
    group_size: int = 1
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.algorithm, PNSGD):
            raise InputError(f"algorithm must be a PNSGD, got {self.algorithm!r}")
        object.__setattr__(self, "reference", parse_reference(self.reference))
        placed = self.batches
        if placed is not None and not isinstance(placed, (str, int)) and np.ndim(placed) == 1:
            object.__setattr__(self, "batches", tuple(np.asarray(placed).tolist()))
        integer("group_size", self.group_size, at_least=1, at_most=self.algorithm.private_records)
        if isinstance(self.batches, tuple) and self.group_size == 1 and all(isinstance(count, int) for count in self.batches):
            object.__setattr__(self, "group_size", sum(self.batches))

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Setup:
        """The setup that settings by name say, a loss in the user's words included; names of something else are left alone.

        >>> Setup.of({"n": 100, "smoothness": 1.0, "batch_size": 10}).algorithm.steps_per_epoch
        10
        """
        settings = with_constants(settings)
        if settings.get("loss") is None and settings.get("preset") is not None:
            # What the preset's constants come from; a problem with others forgets it.
            settings["loss"] = preset(settings["preset"]).loss
        phases = settings.get("schedule")
        schedule = phases if phases is None or isinstance(phases, Schedule) else Schedule.from_list(phases)
        algorithm = PNSGD(Problem(**_among(settings, Problem)), **_among(settings, PNSGD, without="problem"))
        own = _among(settings, cls, without="algorithm")
        return cls(algorithm, **(own | {"schedule": schedule}))

    def with_(self, **changes: Any) -> Setup:
        """The same with other fields, those of the problem and of the algorithm included."""
        problem, algorithm = _among(changes, Problem), _among(changes, PNSGD, without="problem")
        own = {name: value for name, value in changes.items() if name not in problem and name not in algorithm}
        if problem:
            # What the old problem's default was becomes the new one's.
            if self.algorithm.step_size == 1 / self.problem.smoothness:
                algorithm.setdefault("step_size", None)
            if self.algorithm.batch_size == self.problem.n:
                algorithm.setdefault("batch_size", "full")
            if self.algorithm.largest_n == -(-11 * self.problem.n // 10):
                algorithm.setdefault("largest_n", None)
            algorithm["problem"] = replace(self.problem, **problem)
        if algorithm.get("assignment") == PARTITION:
            # What only own draws have.
            algorithm = {"largest_n": None, "redraw": None} | algorithm
        if algorithm:
            own["algorithm"] = replace(self.algorithm, **algorithm)
        if isinstance(self.batches, tuple) and "batches" in own:
            # Numbers per batch bring their own total.
            own.setdefault("group_size", 1)
        return replace(self, **own)

    @property
    def undrawn(self) -> Setup:
        """The same on one partition of all records, where a record that leaves is dropped from its batch.

        >>> from accountant import PNSGD, Problem
        >>> removal = Problem(n=100, smoothness=1.0, adjacency="remove")
        >>> Setup(PNSGD(removal, 10, assignment="secret")).undrawn.problem.adjacency
        'zero-out'
        """
        if not self.algorithm.own_draws:
            return self
        adjacency = "zero-out" if self.problem.adjacency == "remove" else self.problem.adjacency
        return self.with_(assignment=PARTITION, adjacency=adjacency)

    @property
    def problem(self) -> Problem:
        """The algorithm's problem."""
        return self.algorithm.problem

    @property
    def dimension(self) -> int | None:
        """Number of parameters of the model, where it is known."""
        return self.algorithm.dimension

    @property
    def default_delta(self) -> float:
        """1/n; InputError for n = 1, where that is no probability below one."""
        if self.problem.n == 1:
            raise InputError("delta must be given for n = 1: the default 1/n would be 1")
        return 1 / self.problem.n

    @cached_property
    def timeline(self) -> Timeline | None:
        """The schedule on this algorithm, None without one."""
        return None if self.schedule is None else Timeline(self.schedule, self.algorithm)

    @cached_property
    def setting(self) -> Setting:
        """What a bound depends on; a schedule that changes nothing is the algorithm."""
        if self.timeline is None or self.timeline.plain is None:
            return Setting(self.algorithm, self.reference, timeline=self.timeline)
        return Setting(self.timeline.plain, self.reference)


def _among(settings: Mapping[str, Any], kind: type, *, without: str = "") -> dict[str, Any]:
    """The settings that are fields of a dataclass."""
    return {f.name: settings[f.name] for f in fields(kind) if f.name in settings and f.name != without}
