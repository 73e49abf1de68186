"""How a step size or a noise level changes within a phase: constant, step decay, cosine, 1/t, or anything callable.

A rate is a number, a sequence with a number per step, or a callable of the array of step numbers 0, 1, ... of its phase.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from accountant.numerics import Floats, InputError, choice, integer, number

Rate = float | Sequence[float] | Callable[[Floats], Any]


def constant(value: float) -> float:
    """The same at every step; a plain number does as well."""
    return number("value", value, at_least=0)


@dataclass(frozen=True)
class _StepDecay:
    start: float
    factor: float
    every: int

    def __call__(self, step: Floats) -> Floats:
        return self.start * self.factor ** np.floor(step / self.every)


@dataclass(frozen=True)
class _Cosine:
    start: float
    end: float
    steps: int

    def __call__(self, step: Floats) -> Floats:
        done = np.minimum(step / self.steps, 1.0)
        return self.end + (self.start - self.end) * (1 + np.cos(np.pi * done)) / 2


@dataclass(frozen=True)
class _InverseTime:
    start: float
    decay: float

    def __call__(self, step: Floats) -> Floats:
        return self.start / (1 + self.decay * step)


def step_decay(*, start: float, factor: float, every: int) -> Callable[[Floats], Floats]:
    """start * factor^floor(k/every) at step k; 0 < factor <= 1, ``every`` in steps.

    >>> step_decay(start=1.0, factor=0.5, every=10)(np.array([0, 9, 10, 25])).tolist()
    [1.0, 1.0, 0.5, 0.25]
    """
    return _StepDecay(
        number("start", start, at_least=0),
        number("factor", factor, above=0, at_most=1),
        integer("every", every, at_least=1),
    )


def cosine(*, start: float, end: float = 0.0, steps: int) -> Callable[[Floats], Floats]:
    """From ``start`` at step 0 along half a cosine to ``end`` at ``steps``, constant from there on.

    >>> cosine(start=1.0, steps=10)(np.array([0, 5, 10, 20])).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    return _Cosine(number("start", start, at_least=0), number("end", end, at_least=0), integer("steps", steps, at_least=1))


def inverse_time(*, start: float, decay: float) -> Callable[[Floats], Floats]:
    """start/(1 + decay k) at step k.

    >>> inverse_time(start=1.0, decay=0.1)(np.array([0, 10, 90])).tolist()
    [1.0, 0.5, 0.1]
    """
    return _InverseTime(number("start", start, at_least=0), number("decay", decay, at_least=0))


_KINDS: Final[dict[str, Callable[..., Any]]] = {
    "constant": constant,
    "step-decay": step_decay,
    "cosine": cosine,
    "inverse-time": inverse_time,
}
_NAMES: Final = {_StepDecay: "step-decay", _Cosine: "cosine", _InverseTime: "inverse-time"}


def parse_rate(name: str, value: Any) -> Rate:
    """A rate as TOML and JSON say it: a number, a list, or a table with ``kind`` and the arguments of the helper."""
    if isinstance(value, str):
        raise InputError(f"{name} must be a number, a list of numbers or a table with kind, got {value!r}")
    if not isinstance(value, Mapping):
        return value
    arguments = dict(value)
    kind = choice(f"kind of {name}", arguments.pop("kind", None), _KINDS)
    try:
        return _KINDS[kind](**arguments)
    except TypeError as error:
        reason = str(error).split("() ", 1)[-1]
        raise InputError(f"{name} with kind={kind} has wrong arguments: {reason}") from None


def describe_rate(rate: Any, steps: int | None) -> object:
    """The rate as JSON types; a callable of one's own becomes its values, or kind = "own" where their number is open."""
    if type(rate) in _NAMES:
        return {"kind": _NAMES[type(rate)], **asdict(rate)}
    if callable(rate):
        if steps is None:
            return {"kind": "own"}
        return np.asarray(rate(np.arange(steps, dtype=np.float64)), dtype=np.float64).tolist()
    return list(rate) if isinstance(rate, tuple) else rate
