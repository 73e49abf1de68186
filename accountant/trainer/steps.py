"""The steps themselves: batches, gradients, noise and projection, on rows in the order of their visits.

    x <- Proj_R(x - eta/|B_j| sum_(i in B_j) (clip(grad l_i(x)) + lambda x) + sqrt(2 eta) sigma N(0, I))

Where records draw their batches by themselves the divisor of the data's gradients is b whatever |B_j| is, also 0, and the
regulariser stands outside of the sum (:mod:`accountant.trainer.drawn`).

Everything here works in place on parameters (t, outputs*d) of t trials, each with a generator of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Progress
from accountant.problem import PNSGD
from accountant.trainer.fast import Fused, fill, worthwhile
from accountant.trainer.losses import Array, Loss
from accountant.trainer.noise import one_for_all
from accountant.trainer.parts import Part
from accountant.trainer.points import row_norms
from accountant.trainer.rows import Rows

#: Epochs from which reordering all rows once is faster than picking out every batch when it comes; and than reading the rows
#: where they lie, as compiled steps do.
_REORDERING: Final = 6
_REORDERING_FAST: Final = 32
#: Numbers of noise drawn at a time.
NOISE: Final = 1 << 20
#: Rows of a batch that are multiplied at a time.
ROWS: Final = 2048
#: Bytes of one batch of a group of trials with orders of their own: more trials share the cost of a call, but both products
#: with a batch should find it in a cache that other things are in too.
_CACHED: Final = 1 << 19
#: Most bytes of reordered rows of such a group.
_REORDERED: Final = 1 << 28


class Data(NamedTuple):
    """Rows with their labels and clipping limits, (m, ...) or a set (t, m, ...) for each trial.

    features: an array, or rows in several blocks. rows: (m,) or (t, m), where each lies in ``features``; None if they lie there
    as they are.
    """

    features: Array | Rows
    labels: Array
    limits: Array | None
    rows: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, rows: Rows, labels: Array, limits: Array | None) -> Data:
        """All rows of a run as they lie."""
        return cls(rows.whole() if len(rows.blocks) == 1 else rows, labels, limits)

    def take(self, rows: NDArray[np.int64], *, ahead: bool, fast: bool) -> Data:
        """These rows, picked out ``ahead`` or batch by batch; fast: or left where they are."""
        limits = None if self.limits is None else self.limits[rows]
        if isinstance(self.features, Rows):
            if ahead or not fast:
                # Batches from many blocks take longer than their steps.
                return Data(self.features.take(rows), self.labels[rows], limits)
        elif ahead:
            return Data(self.features.take(rows, axis=0), self.labels[rows], limits)
        return Data(self.features, self.labels[rows], limits, rows)

    def together(self) -> Data:
        """The same with all rows in one array."""
        return self._replace(features=self.features.whole()) if isinstance(self.features, Rows) else self

    def batch(self, at: slice) -> Array:
        """Features of the rows ``at``, (b, d) or (t, b, d), which lie in one array."""
        assert not isinstance(self.features, Rows)
        if self.rows is None:
            return self.features[..., at, :]
        return self.features.take(self.rows[..., at], axis=0)


class Visits(NamedTuple):
    """The batches that steps visit one after the other, then again from the first.

    points: (m,) places of the visited points in their order, each batch once; or (t, m) rows of t trials. starts, sizes:
    (visited batches,), where each lies in points. divisors: (visited batches,), of the gradients' sums.
    ahead: whether the rows are worth picking out before the first step.
    """

    points: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    divisors: NDArray[np.int64]
    ahead: bool


def partition_visits(layout: PNSGD, first: int, steps: int, *, fast: bool = False) -> Visits:
    """The batches of a partition that steps from batch ``first`` on visit; points are places in the permutation."""
    visited = (first + np.arange(min(steps, layout.steps_per_epoch))) % layout.steps_per_epoch
    sizes = layout.batch_sizes(visited).astype(np.int64)
    starts = np.cumsum(sizes) - sizes
    offsets = np.arange(sizes.sum()) - np.repeat(starts, sizes)
    points = np.repeat(visited * int(layout.batch_size), sizes) + offsets
    return Visits(points, starts, sizes, sizes, worth_reordering(steps, visited.size, fast=fast))


def worth_reordering(steps: int, visited: int, *, fast: bool) -> bool:
    """Whether so many steps, compiled or not, on so many batches come back to them often enough."""
    return steps >= (_REORDERING_FAST if fast else _REORDERING) * visited


class Ticks:
    """Adds up what is done for the caller's progress."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)


def project(w: Array, radius: float) -> None:
    """Rows (t, p) onto the ball, in place."""
    norms = row_norms(w)
    outside = norms > radius
    if outside.any():
        w[outside] *= (radius / norms[outside])[:, None].astype(w.dtype)


class Cursor(NamedTuple):
    """Where in a cycle the next step is: at batch ``next_batch`` of those of size ``batch_size``."""

    batch_size: int
    next_batch: int


@dataclass(frozen=True)
class Update:
    """What every step does: descend on ``loss``, add noise ``sigma`` >= 0, project on the ball of ``radius``, None for none."""

    loss: Loss
    sigma: float
    radius: float | None


class _Pass(NamedTuple):
    """A part with the batches that it visits. group: trials that advance at once; together: all, over the same rows.

    fast: each trial by itself, compiled.
    """

    part: Part
    visits: Visits
    together: bool
    group: int
    fast: bool


def by_itself(
    loss: Loss, parts: Sequence[Part], w: Array, generators: Sequence[np.random.Generator], *, together: bool
) -> bool:
    """Whether each trial of w (t, outputs*d) advances by itself, compiled: not where one product serves all of them."""
    trials, size = w.shape
    alone = trials == 1 or not (together or one_for_all(generators))
    return alone and worthwhile(loss, parts, size=size, trials=trials)


def group_size(trials: int, batch_size: int, *, n: int, row: int) -> int:
    """Trials with orders of their own that advance together, on n rows of so many bytes."""
    return max(1, min(trials, _CACHED // (batch_size * row), _REORDERED // (n * row)))


def follow(
    w: Array,
    parts: Sequence[Part],
    start: Cursor,
    update: Update,
    data: Data,
    orders: NDArray[np.int64],
    generators: Sequence[np.random.Generator],
    progress: Progress | None = None,
) -> Cursor:
    """All parts one after the other, on parameters w (t, outputs*d), in place; returns where in the cycle they end.

    data: of n rows, as they lie. orders: (t, n), or (1, n) of all trials. progress: as everywhere, in steps of groups.
    """
    fast = by_itself(update.loss, parts, w, generators, together=orders.shape[0] == 1)
    passes, end = _passes(parts, start, data, orders.shape[0], w.shape[0], fast=fast)
    ticks = Ticks(progress, sum(each.part.steps * -(-w.shape[0] // each.group) for each in passes))
    with np.errstate(over="ignore", invalid="ignore"):
        for part, visits, together, group, alone in passes:
            if together:
                # The one batch of a full pass is the same whatever the order.
                whole = visits.points.size == data.labels.size and visits.starts.size == 1
                rows = data if whole else data.take(orders[0][visits.points], ahead=visits.ahead, fast=alone)
                advance(w, part, visits, update, rows, generators, ticks, fast=alone)
                continue
            for first in range(0, w.shape[0], group):
                some = slice(first, first + group)
                points = orders[first][visits.points] if alone else orders[some][:, visits.points]
                rows = data.take(points, ahead=visits.ahead, fast=alone)
                advance(w[some], part, visits, update, rows, generators[some], ticks, fast=alone)
                # Before the next group's rows are picked out.
                del rows
    return end


def _passes(
    parts: Sequence[Part], start: Cursor, data: Data, orders: int, trials: int, *, fast: bool
) -> tuple[list[_Pass], Cursor]:
    """The parts that have steps, and where in the cycle the last one ends; ``orders`` is how many batch orders there are."""
    (n, features), item, at = data.features.shape, data.features.itemsize, start
    passes = []
    for part in parts:
        if not part.steps:
            continue
        size = part.batch_size
        first = at.next_batch if size == at.batch_size else 0
        together = orders == 1 or size == n
        alone = fast and (trials == 1 or not together)
        group = trials if together else 1 if alone else group_size(trials, size, n=n, row=features * item)
        passes.append(_Pass(part, partition_visits(part.layout, first, part.steps, fast=alone), together, group, alone))
        at = Cursor(size, (first + part.steps) % part.layout.steps_per_epoch)
    return passes, at


def advance(
    w: Array,
    part: Part,
    visits: Visits,
    update: Update,
    data: Data,
    generators: Sequence[np.random.Generator],
    ticks: Ticks,
    *,
    fast: bool = False,
) -> None:
    """All steps of a part, in place; data (m, ...) of all trials or (t, m, ...) of each, in the order of the visits.

    fast: compiled, of one trial and data (m, ...).
    """
    trials, size = w.shape
    eta = np.broadcast_to(np.asarray(part.step_size, dtype=np.float64), (part.steps,))
    std = math.sqrt(2) * np.sqrt(eta) * np.broadcast_to(update.sigma * np.asarray(part.sigma), (part.steps,))
    shrinks = 1 - eta * update.loss.regularisation
    if fast:
        _advance_fast(w[0], visits, update, data, generators[0], ticks, eta=eta, shrink=shrinks, std=std)
        return
    data = data.together()
    # Lists: taking single numbers out of arrays is slow.
    shrink, rates = shrinks.tolist(), eta.tolist()
    ends = visits.starts + visits.sizes
    spans = list(zip(visits.starts.tolist(), ends.tolist(), visits.divisors.tolist(), strict=True))
    lines = w.reshape(trials, update.loss.outputs, -1)
    at_once = min(part.steps, max(1, NOISE // w.size), 64)
    room = np.empty(trials * at_once * size, w.dtype) if std.any() else None
    for begin in range(0, part.steps, at_once):
        end = min(begin + at_once, part.steps)
        noise = None if room is None else _drawn(room, (trials, end - begin, size), generators, std[begin:end])
        for k in range(begin, end):
            low, high, divisor = spans[k % len(spans)]
            if low < high:
                sum_ = gradients(update.loss, lines, data, low, high).reshape(trials, size)
                sum_ *= rates[k] / divisor
                w *= shrink[k]
                w -= sum_
            else:
                w *= shrink[k]
            if noise is not None:
                w += noise[:, k - begin]
            if update.radius is not None:
                project(w, update.radius)
        ticks.add(end - begin)


def _advance_fast(
    w: Array,
    visits: Visits,
    update: Update,
    data: Data,
    generator: np.random.Generator,
    ticks: Ticks,
    *,
    eta: Array,
    shrink: Array,
    std: Array,
) -> None:
    """The same steps of one trial, w (p,), compiled; eta, shrink, std: (steps,)."""
    ends = visits.starts + visits.sizes
    fused = Fused(update.loss, data.features, data.labels, data.limits, data.rows, visits.starts, ends, update.radius)
    rates = eta / np.resize(visits.divisors, eta.size)
    room = np.empty((fused.at_once if std.any() else 0, w.size))
    for begin in range(0, eta.size, fused.at_once):
        some = slice(begin, min(begin + fused.at_once, eta.size))
        noise = room[: some.stop - begin]
        if noise.size:
            fill(generator, noise)
        fused.take(w, rates[some], shrink[some], noise, std[some], begin)
        ticks.add(some.stop - begin)


def _drawn(room: Array, shape: tuple[int, int, int], generators: Sequence[np.random.Generator], std: Array) -> Array:
    """Noise (t, s, p), in ``room``, of steps of standard deviations std (s,): each trial's from its own generator."""
    trials, steps, size = shape
    flat = room[: trials * steps * size]
    if one_for_all(generators):
        # In one call, and so that what a step adds to all trials lies together.
        noise = generators[0].standard_normal(dtype=room.dtype, out=flat).reshape(steps, trials, size).transpose(1, 0, 2)
    else:
        noise = flat.reshape(shape)
        for row, generator in zip(noise, generators, strict=True):
            generator.standard_normal(dtype=room.dtype, out=row)
    noise *= std[:, None].astype(room.dtype)
    return noise


def gradients(loss: Loss, w: Array, data: Data, low: int, high: int) -> Array:
    """Sum of the clipped data gradients of rows low ... high - 1, in the shape of w (t, outputs, d)."""
    trials, outputs, features = w.shape
    total: Array | None = None
    for start in range(low, high, ROWS):
        rows = slice(start, min(start + ROWS, high))
        x = data.batch(rows)
        if data.labels.ndim == 1:
            scores = (x @ w.reshape(trials * outputs, features).T).reshape(-1, trials, outputs)
            limits = None if data.limits is None else data.limits[rows, None]
            r = loss.clipped(scores, data.labels[rows, None], limits)
            part = (r.reshape(x.shape[0], -1).T @ x).reshape(w.shape)
        else:
            scores = np.matmul(x, w.transpose(0, 2, 1))
            limits = None if data.limits is None else data.limits[:, rows]
            r = loss.clipped(scores, data.labels[:, rows], limits)
            part = np.matmul(r.transpose(0, 2, 1), x)
        if total is None:
            total = part
        else:
            total += part
    assert total is not None
    return total
