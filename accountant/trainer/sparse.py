"""Steps over sparse rows, whose noise is drawn when a coordinate is looked at: work and memory go with what is not zero.

Dense steps are, coordinate by coordinate, with s = 1 - eta lambda and std = sqrt(2 eta) sigma,

    w_j <- s w_j - eta/b g_j(w) + std z_j,        z_j ~ N(0, 1), independent over steps and coordinates,

and g_j is zero in every step whose batch has no row with a j-th feature. Let such a step t be followed by k - 1 more. Then

    w_j(t + k) = s^k w_j(t) + sum_(i < k) s^i std z_j(t + k - i),    which is  N(s^k w_j(t), v_k),
    v_k = std^2 (1 + s^2 + ... + s^(2(k - 1))) = std^2 (1 - s^(2k))/(1 - s^2)      (k std^2 where s^2 = 1),

given all that happened until t and all other coordinates at all times, because these z_j enter nothing else: g reads w_i only
where some row of its batch has an i-th feature, and j has none in those steps. So one normal number of variance v_k, drawn when
w_j is next looked at, gives (w_j at that time, all else) the law that k numbers drawn one by one give it. By induction over the
times at which coordinates are looked at, all that is looked at has jointly the dense law, and the parameters at the end, where
all are looked at, too: what is released has exactly the law of the dense run, whatever rows, batches and orders are, as they do
not depend on the noise. The noise of the step in which j is looked at is left for the next look, too: after
it w_j stands for its mean, which shrinks from then on, with noise of one step more than that.

In exact numbers. In floating point k steps round once here and k times there; that noise is of the stated law is, as
everywhere, assumed of NumPy's generator. The same seed gives other numbers than a dense run.

There is no lazy projection, which would need all coordinates in every step, so no radius; and step size and noise must be
constant within a phase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats, InputError, Progress
from accountant.trainer.drawn import drawn_visits, pieces_of
from accountant.trainer.draws import Draws
from accountant.trainer.losses import Array
from accountant.trainer.parts import Part
from accountant.trainer.sparse_rows import SparseRows
from accountant.trainer.steps import Cursor, Ticks, Update, Visits, partition_visits

#: Steps between two looks at progress.
_AT_ONCE = 64


def follow_sparse(
    w: Array,
    parts: Sequence[Part],
    start: Cursor,
    update: Update,
    rows: SparseRows,
    labels: Array,
    limits: Array | None,
    orders: NDArray[np.int64],
    generators: Sequence[np.random.Generator],
    progress: Progress | None = None,
) -> Cursor:
    """As :func:`accountant.trainer.steps.follow`: all parts, on parameters w (t, outputs*d), in place."""
    _check_constant(parts)
    ticks = Ticks(progress, w.shape[0] * sum(part.steps for part in parts))
    at = start
    for part in parts:
        if not part.steps:
            continue
        first = at.next_batch if part.batch_size == at.batch_size else 0
        visits = partition_visits(part.layout, first, part.steps)
        for trial, generator in enumerate(generators):
            points = orders[trial if orders.shape[0] > 1 else 0][visits.points]
            _advance(w[trial], part, visits, update, _taken(rows, labels, limits, points), generator, ticks)
        at = Cursor(part.batch_size, (first + part.steps) % part.layout.steps_per_epoch)
    return at


def follow_sparse_draws(
    w: Array,
    parts: Sequence[Part],
    start: int,
    update: Update,
    rows: SparseRows,
    labels: Array,
    limits: Array | None,
    draws: Draws,
    generators: Sequence[np.random.Generator],
    progress: Progress | None = None,
) -> None:
    """As :func:`accountant.trainer.drawn.follow_draws`: all parts, the first step being number ``start``."""
    _check_constant(parts)
    ticks = Ticks(progress, w.shape[0] * sum(part.steps for part in parts))
    at, period = start, draws.batches
    for piece in (piece for part in parts for piece in pieces_of(part, whole=draws.fixed, period=period, start=start)):
        for trial, generator in enumerate(generators):
            places = draws.places(at // period, slice(trial, trial + 1))
            visits = drawn_visits(places, 1, piece, at % period, period)
            _advance(w[trial], piece, visits, update, _taken(rows, labels, limits, visits.points), generator, ticks)
        at += piece.steps


def _check_constant(parts: Sequence[Part]) -> None:
    if any(np.ndim(part.step_size) or np.ndim(part.sigma) for part in parts):
        raise InputError("schedule must have a constant step size and noise in every phase for sparse features")


def _taken(rows: SparseRows, labels: Array, limits: Array | None, points: NDArray[np.int64]) -> tuple[Any, Array, Array | None]:
    return rows.take(points), labels[points], None if limits is None else limits[points]


def spread(shrink: float, std: float, steps: NDArray[np.int64]) -> Floats:
    """Standard deviations of the noise of so many steps, of ``std`` each, that shrinks by a factor after each, |shrink| <= 1.

    >>> [round(float(value), 6) for value in spread(0.5, 2.0, np.array([0, 1, 2]))]
    [0.0, 2.0, 2.236068]
    """
    left = (1 - shrink) * (1 + shrink)
    if left <= 0:
        return std * np.sqrt(steps)
    if left == 1:
        return std * np.sqrt(np.minimum(steps, 1))
    fade = math.log1p(-left)
    return std * np.sqrt(np.expm1(steps * fade) / math.expm1(fade))


def _advance(
    w: Array,
    part: Part,
    visits: Visits,
    update: Update,
    data: tuple[Any, Array, Array | None],
    generator: np.random.Generator,
    ticks: Ticks,
) -> None:
    """All steps of a part on parameters w (outputs*d,) of one trial, in place; data of the visits, in their order."""
    x, labels, limits = data
    lines = w.reshape(update.loss.outputs, -1)
    eta, d = float(part.step_size), lines.shape[1]
    std, shrink = math.sqrt(2 * eta) * update.sigma * float(part.sigma), 1 - eta * update.loss.regularisation
    # Steps that are in the mean of a coordinate, and in its noise.
    moved, noisy = np.zeros(d, dtype=np.int64), np.zeros(d, dtype=np.int64)

    def looked_at(at: NDArray[np.int64] | slice, now: int) -> Array:
        """Parameters (outputs, c) of these coordinates after ``now`` steps."""
        values = lines[:, at] * np.power(shrink, (now - moved[at]).astype(np.float64))
        if std:
            values += generator.standard_normal(values.shape) * spread(shrink, std, now - noisy[at])
        return values

    spans = list(zip(visits.starts.tolist(), (visits.starts + visits.sizes).tolist(), visits.divisors.tolist(), strict=True))
    for k in range(part.steps):
        low, high, divisor = spans[k % len(spans)]
        begin, end = int(x.indptr[low]), int(x.indptr[high])
        if begin < end:
            at, place = np.unique(x.indices[begin:end], return_inverse=True)
            values, numbers = looked_at(at, k), x.data[begin:end]
            row = np.repeat(np.arange(high - low), np.diff(x.indptr[low : high + 1]))
            scores: Array = np.stack([np.bincount(row, numbers * line[place], high - low) for line in values], axis=-1)
            r = update.loss.clipped(scores, labels[low:high], None if limits is None else limits[low:high])
            sums = np.stack([np.bincount(place, numbers * r[row, o], at.size) for o in range(r.shape[1])])
            lines[:, at] = shrink * values - eta / divisor * sums
            moved[at], noisy[at] = k + 1, k
        if (k + 1) % _AT_ONCE == 0 or k + 1 == part.steps:
            ticks.add((k % _AT_ONCE) + 1)
    lines[:] = looked_at(slice(None), part.steps)
