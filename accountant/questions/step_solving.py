"""Arguments of an algorithm whose steps both runs share, from the guarantee: how large a clip, how little decay, how large a
step.

The lemma of :mod:`accountant.questions.solving` makes the searches right: with the shifts of the run whose distances are
larger, cut where the models have met, the other run ends together at no larger mu. So larger clips never prove more, and more
decay never less. A step size goes one way only without decay, which larger steps make stronger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Final

from accountant.numerics import InputError, UnreachableError, choice, shown
from accountant.problem import Stepping

#: What can be asked for beside the accountant's own answers.
ARGUMENTS: Final = ("step_size", "gradient_clip", "start_clip", "model_clip", "weight_decay")
#: Values are searched between 2^-200 and 2^200, to this; with decay, step sizes from the largest downwards in such ratios.
_OCTAVES: Final = 200
_CLOSE: Final = 1e-9
_RATIO, _RATIOS = 2 ** (-1 / 16), 640


def solve_argument(algorithm: Stepping, unknown: str, meets: Callable[[float], bool]) -> float:
    """The largest step_size or clip, or the smallest weight_decay, for which ``meets`` holds; it was tried and met.

    UnreachableError where no value meets the target, or where every one does.
    """
    choice("unknown", unknown, ARGUMENTS)
    if unknown not in {f.name for f in fields(algorithm)}:
        raise InputError(f"{unknown} is no argument of {algorithm.name}")
    if unknown == "weight_decay":
        return _decay(1 / algorithm.step_size, meets)
    if unknown == "step_size" and algorithm.weight_decay > 0:
        return _step_size(1 / algorithm.weight_decay, meets)
    if meets(2.0**_OCTAVES):
        raise UnreachableError(f"there is no largest {unknown}: every one meets the target")
    low = 1.0
    while not meets(low):
        low *= 0.5 if low > 2.0**-20 else 2.0**-20
        if low < 2.0**-_OCTAVES:
            raise UnreachableError(f"no {unknown} meets the target, however small")
    high = low * 2
    while meets(high):
        low, high = high, high * 2
    return _narrowed(low, high, meets)


def _narrowed(met: float, unmet: float, meets: Callable[[float], bool]) -> float:
    while abs(unmet - met) > _CLOSE * max(met, unmet):
        middle = math.sqrt(met) * math.sqrt(unmet) if min(met, unmet) > 0 else 0.5 * (met + unmet)
        met, unmet = (middle, unmet) if meets(middle) else (met, middle)
    return met


def _decay(top: float, meets: Callable[[float], bool]) -> float:
    if meets(0.0):
        return 0.0
    if not meets(top):
        raise UnreachableError(f"no weight_decay up to 1/step_size = {shown(top)} meets the target")
    return _narrowed(top, 0.0, meets)


def _step_size(top: float, meets: Callable[[float], bool]) -> float:
    if meets(top):
        return top
    high = top
    for _ in range(_RATIOS):
        low = high * _RATIO
        if meets(low):
            return _narrowed(low, high, meets)
        high = low
    raise UnreachableError(f"no step_size from {shown(high)} to {shown(top)} meets the target")
