"""The numbers of a question as somebody gives them, and which of their rows are outside their domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import MAX_COUNT, Floats, InputError, numbers

#: Largest epsilon asked about; its Gaussian mu is still in range.
MAX_EPSILON: Final = 1e290
#: Ranges of the numbers, and what stands in for one that is outside.
_RANGES: Final[dict[str, tuple[dict[str, Any], float]]] = {
    "sigma": ({"above": 0, "sized": True}, 1.0),
    "epsilon": ({"at_least": 0, "at_most": MAX_EPSILON, "sized": True}, 1.0),
    "delta": ({"above": 0, "below": 1, "sized": True}, 0.5),
    "start_distance": ({"at_least": 0, "sized": True}, 0.0),
    "epochs": ({"at_least": 0, "at_most": MAX_COUNT, "whole": True}, 0.0),
    "steps": ({"at_least": 0, "at_most": MAX_COUNT, "whole": True}, 0.0),
}


class Scalars(TypedDict, total=False):
    """The rest of a question about single numbers."""

    epochs: int | None
    steps: int | None
    start_distance: float | None


class Arrays(TypedDict, total=False):
    """The rest of a question whose numbers broadcast."""

    epochs: ArrayLike | None
    steps: ArrayLike | None
    start_distance: ArrayLike | None


class Refusals:
    """Rows of a question that have no answer, each with its reason; ``raising``: the first of them is raised instead."""

    def __init__(self, *, raising: bool) -> None:
        self.raising = raising
        self._reasons: list[tuple[NDArray[np.bool_], Callable[[int], InputError]]] = []

    def add(self, refused: NDArray[np.bool_], explain: Callable[[int], InputError]) -> None:
        """Refuse the rows of a mask that broadcasts with the question; ``explain`` takes the flat place of one in the mask."""
        if not np.any(refused):
            return
        if self.raising:
            raise explain(int(np.argmax(refused)))
        self._reasons.append((np.asarray(refused), explain))

    def mask(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """All refused rows of the broadcast question."""
        result = np.zeros(shape, dtype=np.bool_)
        for refused, _ in self._reasons:
            result |= refused
        return result

    def sentences(self, shape: tuple[int, ...]) -> dict[int, str]:
        """The first reason of every refused row, by its place in the flattened question."""
        found: dict[int, str] = {}
        for refused, explain in self._reasons:
            places = np.broadcast_to(np.arange(refused.size).reshape(refused.shape), shape).ravel()
            for row in np.flatnonzero(np.broadcast_to(refused, shape)).tolist():
                found.setdefault(row, str(explain(int(places[row]))))
        return found


@dataclass(frozen=True, kw_only=True)
class Question:
    """sigma > 0, epsilon >= 0, delta in (0, 1), epochs or steps >= 0 whole, start_distance >= 0; None: not given."""

    sigma: ArrayLike | None = None
    epsilon: ArrayLike | None = None
    delta: ArrayLike | None = None
    epochs: ArrayLike | None = None
    steps: ArrayLike | None = None
    start_distance: ArrayLike | None = None

    def number(self, name: str) -> Floats:
        """One of the numbers, checked; InputError outside its domain."""
        value = getattr(self, name)
        if value is None:
            raise InputError(f"{name} must be given")
        allowed, _ = _RANGES[name]
        return numbers(name, value, **allowed)

    def admitted(self, refused: Refusals, *, most_epochs: int) -> Question:
        """The same with every number in its domain: rows that are not are refused, and asked about something else."""
        changes: dict[str, Floats] = {}
        for name in (f.name for f in fields(self) if getattr(self, f.name) is not None):
            allowed, instead = _RANGES[name]
            if name == "epochs":
                allowed = allowed | {"at_most": most_epochs}
            changes[name] = _admitted(name, getattr(self, name), refused, instead, allowed)
        return replace(self, **changes)


def _admitted(name: str, value: ArrayLike, refused: Refusals, instead: float, allowed: dict[str, Any]) -> Floats:
    try:
        return numbers(name, value, **allowed)
    except InputError:
        raw = np.array(value)
        if raw.dtype.kind not in "iuf":
            raise
    reasons: dict[int, InputError] = {}
    for row, one in enumerate(raw.ravel().tolist()):
        try:
            numbers(name, one, **allowed)
        except InputError as error:
            reasons[row] = error
    outside = np.isin(np.arange(raw.size), list(reasons)).reshape(raw.shape)
    refused.add(outside, lambda row: reasons[row])
    return np.where(outside, instead, raw.astype(np.float64))
