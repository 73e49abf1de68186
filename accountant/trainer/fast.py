"""Where the compiled step is used (extra ``fast``): losses of this package, one trial at a time, runs that are long enough.

It reads every row once per step and draws NumPy's noise, bit for bit, at a quarter of the time; all else agrees with the NumPy
path (:mod:`accountant.trainer.steps`) to rounding. What decides is the installation, ``ACCOUNTANT_FAST`` in the environment,
the loss and the length of the run, and nothing that a copy of the run, or the same run once more, would find otherwise.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from accountant.numerics import InputError, choice
from accountant.trainer.losses import Array, Logistic, Loss, Multinomial, Ridge, SmoothedHinge
from accountant.trainer.parts import Part
from accountant.trainer.rows import Rows, addresses

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The environment's say: never; auto, where numba is installed and the run long enough; always, however short it is.
VARIABLE: Final = "ACCOUNTANT_FAST"
_CHOICES: Final = ("auto", "never", "always")
#: Numbers that a run reads and draws from which numba and its kernels are imported, which takes a process some 0.4 seconds
#: once, if they were compiled before (4 seconds); and where compiled kernels cannot be kept.
_WORTH: Final = 1 << 24
_WORTH_COMPILING: Final = 1 << 30
#: What a number of noise costs in numbers that are read.
_NOISE: Final = 16
#: Numbers that are read between two looks at progress and interrupts, some ten milliseconds.
_AT_ONCE: Final = 1 << 26
_STEPS: Final = 32
_KINDS: Final = {Logistic: "LOGISTIC", SmoothedHinge: "SMOOTHED_HINGE", Ridge: "SQUARES", Multinomial: "MULTINOMIAL"}
_MASK: Final = (1 << 64) - 1


def worthwhile(loss: Loss, parts: Sequence[Part], *, size: int, trials: int) -> bool:
    """Whether so many trials, each by itself, are to take the steps of these parts compiled; size: of the parameters.

    InputError for a value of the environment variable that says nothing, and for "always" without numba.
    """
    wish = choice(VARIABLE, os.environ.get(VARIABLE, "auto"), _CHOICES)
    if wish == "never" or type(loss) not in _KINDS:
        return False
    if wish == "always":
        if find_spec("numba") is None:
            raise InputError(f"{VARIABLE} must be auto or never without numba (pip install 'unlearning-accountant[fast]')")
        return True
    work = trials * size * sum(part.steps * (part.batch_size + _NOISE) for part in parts)
    if work < _WORTH or find_spec("numba") is None:
        return False
    return work >= _WORTH_COMPILING or kernels().kept()


@lru_cache(maxsize=1)
def kernels() -> Any:
    """The kernels, imported when they are first needed."""
    from importlib import import_module

    return import_module("accountant.trainer.kernels")


@lru_cache(maxsize=1)
def _same_noise() -> bool:
    """Whether the compiled generator is this NumPy's: it is measured, tails included, not assumed."""
    ours, theirs = np.random.default_rng(1), np.random.default_rng(1)
    drawn = np.empty(1 << 16)
    _draw(ours, drawn)
    return np.array_equal(drawn, theirs.standard_normal(drawn.size)) and ours.random() == theirs.random()


def fill(generator: np.random.Generator, out: Array) -> None:
    """``generator.standard_normal(out=out)`` for float64, the same numbers in the same order, C-contiguous."""
    if type(generator.bit_generator) is np.random.PCG64 and _same_noise():
        _draw(generator, out)
    else:
        generator.standard_normal(out=out)


def _draw(generator: np.random.Generator, out: Array) -> None:
    bits = generator.bit_generator
    # Nobody else may draw from a state that is already used.
    with bits.lock:
        whole: Any = bits.state
        state, increment = whole["state"]["state"], whole["state"]["inc"]
        words = np.array([state >> 64, state & _MASK, increment >> 64, increment & _MASK], dtype=np.uint64)
        kernels().normals(words, out.reshape(-1))
        whole["state"]["state"] = int(words[0]) << 64 | int(words[1])
        bits.state = whole


class Fused:
    """Steps of one trial over data in the order of their visits, as :func:`accountant.trainer.steps.advance` takes them.

    features: (n, d). labels, limits: (m,) of the visits. rows: (m,) where these lie in features, None if they
    are the features. starts, ends: (visited batches,).
    """

    def __init__(
        self,
        loss: Loss,
        features: Array | Rows,
        labels: Array,
        limits: Array | None,
        rows: NDArray[np.int64] | None,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        radius: float | None,
    ) -> None:
        compiled = kernels()
        self._steps = compiled.steps
        self._model = getattr(compiled, _KINDS[type(loss)]), float(getattr(loss, "width", 1.0))
        # Nothing else may hold what is read by its address.
        self._kept = features if isinstance(features, Rows) else np.ascontiguousarray(features)
        self._data = (
            np.empty((0, features.shape[1]), features.dtype),
            np.ascontiguousarray(labels, dtype=np.float64),
            np.empty(0) if limits is None else np.ascontiguousarray(limits, dtype=np.float64),
            addresses(self._kept, rows, labels.size),
            starts,
            ends,
        )
        self._radius = math.inf if radius is None else float(radius)
        self._outputs, self._batches = loss.outputs, starts.size
        largest = int((ends - starts).max(initial=0))
        #: Steps that are taken at once.
        self.at_once = max(1, min(_STEPS, _AT_ONCE // ((largest + _NOISE) * loss.outputs * features.shape[1])))

    def take(self, w: Array, rates: Array, shrink: Array, noise: Array, std: Array, first: int) -> None:
        """Steps of these rates over divisors, on w (size,), in place, beginning with step ``first``; noise (steps, size)."""
        lines = w.reshape(self._outputs, -1)
        self._steps(
            *self._model,
            lines,
            *self._data,
            rates,
            shrink,
            noise.reshape(-1, *lines.shape),
            std,
            self._radius,
            first % self._batches,
        )
