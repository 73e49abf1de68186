"""Runs: stretches of steps that the shift engine may take as one step each, because no vertex of the string lies inside.

Only the points just before a step that adds a difference can be vertices, so such a step and the quiet ones after it are one
run. In a constant cyclic stretch (contraction at most 1) the points just before the visits to one batch lie on a concave curve,
so only the first and the last of them can be vertices (docs/theory.md, "Three pieces"): all that lies between the first
epoch and the last is one run too, however long, infinite included.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from accountant.numerics import DOUBLE, SMALLEST, Arithmetic, Numbers, geometric_sum, log_power
from accountant.shifts.minorant import FORGOTTEN

#: Stands for the logarithm of a contraction of zero inside a run; e^-750 is on the safe side of it, and sums stay exact.
_NOTHING = -750.0


class Runs(NamedTuple):
    """Arguments of ``taut_string``: one entry per run."""

    log_c: Numbers
    sensitivity: Numbers
    noise: Numbers


def joined(parts: list[Runs]) -> Runs:
    """Runs one after the other."""
    return Runs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def stepwise(
    log_c: Numbers, sensitivity: Numbers, noise: Numbers, *, restarts: bool = False, arithmetic: Arithmetic = DOUBLE
) -> Runs:
    """Runs of any steps, arrays (N,); ``restarts``: a run ends also where the distance may have reached the diameter."""
    if not log_c.size:
        return Runs(log_c, sensitivity, noise)
    visits = np.flatnonzero(np.asarray(sensitivity > 0, dtype=bool))
    noisy = np.flatnonzero(np.asarray(noise > 0, dtype=bool))
    # A quiet end without noise is a run of its own: it must not contract what came before out of sight.
    silent = noisy[-1:] + 1 if noisy.size else np.zeros(0)
    starts = np.unique(np.concatenate([[0], visits, visits + 1 if restarts else [], silent]).astype(np.intp))
    starts = starts[starts < log_c.size]
    lengths = np.diff(starts, append=log_c.size)
    if arithmetic is not DOUBLE:
        return _stepwise(log_c, sensitivity, noise, starts.tolist(), lengths.tolist(), arithmetic)
    logs = np.maximum(log_c, _NOTHING)
    whole, rise, root = (np.empty(starts.size) for _ in range(3))
    # Runs of one length at a time: the sums start anew in each run, so that what is far behind costs no digits.
    for length in np.unique(lengths).tolist():
        same = lengths == length
        steps = starts[same, None] + np.arange(length)
        after = np.cumsum(logs[steps][:, ::-1], axis=1, dtype=np.longdouble)[:, ::-1]
        # A larger contraction and sensitivity and less noise are on the safe side of the rounding of these sums.
        slack = length * float(np.finfo(np.longdouble).eps) * np.minimum(np.abs(after[:, 0]), -_NOTHING).astype(np.float64)
        weights = np.exp(np.append(after[:, 1:], np.zeros((after.shape[0], 1)), axis=1).astype(np.float64))
        whole[same] = np.minimum(after[:, 0].astype(np.float64) + slack, 0.0)
        # A contraction to a point forgets exactly; anything else leaves something.
        forgets = np.isneginf(log_c[steps])
        whole[same] = np.where(forgets.any(axis=1), FORGOTTEN, whole[same])
        jump = np.where(forgets[:, 1:].any(axis=1), 0.0, sensitivity[starts[same]])
        rise[same] = np.where(jump > 0, np.maximum(weights[:, 0] * jump * (1 + slack), SMALLEST), 0.0)
        root[same] = np.sqrt(((weights * noise[steps]) ** 2).sum(axis=1)) * (1 - slack)
    return Runs(whole, rise, root)


def _stepwise(
    log_c: Numbers, sensitivity: Numbers, noise: Numbers, starts: list[int], lengths: list[int], ar: Arithmetic
) -> Runs:
    """The same in numbers that neither round nor underflow to speak of."""
    runs = []
    for start, length in zip(starts, lengths, strict=True):
        after: Any = 0.0
        square: Any = 0.0
        for k in range(start + length - 1, start - 1, -1):
            weight = ar.exp(after)
            square = square + (weight * noise[k]) ** 2
            whole = after + log_c[k]
            if k > start:
                after = whole
        runs.append((whole, weight * sensitivity[start], ar.sqrt(square)))
    return Runs(*(np.array(column, dtype=object) for column in zip(*runs, strict=True)))


def cyclic(
    *,
    log_c: Any,
    pattern: Numbers,
    first: int,
    steps: float,
    noise: Any,
    restarts: bool = False,
    arithmetic: Arithmetic = DOUBLE,
) -> Runs:
    """Runs of ``steps`` (infinity allowed for ``log_c`` < 0) constant steps over the batches, starting at batch ``first``.

    pattern: sensitivity of a step on each batch, (J,). ``restarts``: as in :func:`stepwise`; then every visit is seen.
    """
    period, ar = pattern.size, arithmetic

    def unrolled(offset: int, count: int) -> Runs:
        h = pattern[(first + offset + np.arange(count)) % period]
        return stepwise(np.full(count, log_c), h, np.full(count, noise), restarts=restarts, arithmetic=ar)

    if not np.any(np.asarray(pattern > 0, dtype=bool)) and steps > 0:
        return quiet(log_c=log_c, steps=steps, noise=noise, arithmetic=ar)
    if steps <= 2 * period or restarts:
        return unrolled(0, int(steps))
    if math.isinf(steps):
        # Started at batch 0 and run for ever: what came before the last epoch is one run that ends where it began.
        return joined([_middle(log_c, pattern, 0, steps, noise, ar), unrolled(0, period)])
    end = (first + int(steps)) % period
    middle = _middle(log_c, pattern, end, int(steps) - 2 * period, noise, ar)
    return joined([unrolled(0, period), middle, unrolled(int(steps) - period, period)])


def _middle(log_c: Any, pattern: Numbers, end: int, steps: float, noise: Any, ar: Arithmetic) -> Runs:
    """``steps`` constant steps, the last of them just before batch ``end``, as one run."""
    period = pattern.size
    epochs, rest = (math.inf, 0) if math.isinf(steps) else divmod(int(steps), period)
    # One epoch back from the end, the latest step first.
    back = pattern[(end - 1 - np.arange(period)) % period]
    terms = ar.exp(log_power(log_c, np.arange(period))) * back
    rise = terms.sum() * geometric_sum(log_c, epochs, stride=period, arithmetic=ar)
    if rest:
        rise = rise + ar.exp(log_power(log_c, period * epochs)) * terms[:rest].sum()
    length = geometric_sum(log_c, steps, stride=2, arithmetic=ar)
    whole = log_power(log_c, steps)
    if ar is DOUBLE:
        rise = max(rise, SMALLEST) if math.isfinite(log_c) or back[0] > 0 else 0.0
        whole = max(whole, FORGOTTEN)
    return Runs(np.array([whole]), np.array([rise]), np.array([noise * ar.sqrt(length)]))


def quiet(*, log_c: Any, steps: float, noise: Any, arithmetic: Arithmetic = DOUBLE) -> Runs:
    """Constant steps that add no difference, as one run."""
    if not steps:
        return Runs(*(np.zeros(0) for _ in range(3)))
    length = geometric_sum(log_c, steps, stride=2, arithmetic=arithmetic)
    whole = log_power(log_c, steps)
    if arithmetic is DOUBLE:
        whole = max(whole, FORGOTTEN)
    return Runs(np.array([whole]), np.zeros(1), np.array([noise * arithmetic.sqrt(length)]))
