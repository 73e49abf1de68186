"""Steps of runs whose records draw their batches by themselves: who is in which batch, trial by trial.

    x <- Proj_R((1 - eta lambda) x - eta/b sum_(i in B_j) clip(grad l_i(x)) + sqrt(2 eta) sigma N(0, I))

Batches differ in size from trial to trial, so those of several trials are filled up with a row of zeros, whose gradient is zero
for every loss. An empty batch makes a step like any other: with the regulariser, and with noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from accountant.numerics import Floats, Progress
from accountant.trainer.draws import Draws, Places
from accountant.trainer.losses import Array
from accountant.trainer.parts import Part
from accountant.trainer.rows import Rows
from accountant.trainer.steps import Data, Ticks, Update, Visits, advance, by_itself, group_size, worth_reordering

#: Standard deviations of a batch's size that memory is counted for.
_SPREAD: Final = 6.0


def follow_draws(
    w: Array,
    parts: Sequence[Part],
    start: int,
    update: Update,
    data: Data,
    draws: Draws,
    generators: Sequence[np.random.Generator],
    progress: Progress | None = None,
) -> None:
    """All parts one after the other, on parameters w (t, outputs*d), in place; the first step is number ``start``."""
    pieces = [piece for part in parts for piece in pieces_of(part, whole=draws.fixed, period=draws.batches, start=start)]
    (n, features), trials = data.features.shape, w.shape[0]
    # The one batch of all records is the same in all trials.
    together = draws.batches == 1 or n == 0
    size = pieces[0].batch_size if pieces else 1
    fast = by_itself(update.loss, pieces, w, generators, together=together)
    group = trials if together else 1 if fast else group_size(trials, size, n=max(n, 1), row=features * data.features.itemsize)
    ticks = Ticks(progress, sum(piece.steps * -(-trials // group) for piece in pieces))
    filled = data if together or group == 1 else _filled(data)
    with np.errstate(over="ignore", invalid="ignore"):
        at = start
        for piece in pieces:
            for first in range(0, trials, group):
                some = slice(first, first + group)
                if together:
                    batch = np.array([n], dtype=np.int64)
                    visits = Visits(np.arange(n), batch * 0, batch, np.array([size]), ahead=False)
                    advance(w[some], piece, visits, update, data, generators[some], ticks, fast=fast)
                    continue
                places, count = draws.places(at // draws.batches, some), w[some].shape[0]
                visits = drawn_visits(places, count, piece, at % draws.batches, draws.batches, fast=fast)
                rows = filled.take(visits.points, ahead=visits.ahead, fast=fast)
                advance(w[some], piece, visits, update, rows, generators[some], ticks, fast=fast)
                # Before the next group's rows are picked out.
                del rows
            at += piece.steps


def drawn_visits(places: Places, trials: int, part: Part, first: int, period: int, *, fast: bool = False) -> Visits:
    """The batches that steps from batch ``first`` on visit, of one trial (m,), or of several, filled up with -1, (t, m)."""
    count = min(part.steps, period)
    at = (places.positions - first) % period
    inside = at < count
    trial, at, rows = places.trials[inside], at[inside], places.rows[inside]
    # Within a trial by visit, which need not be by position.
    order = np.lexsort((at, trial))
    cell, rows = (trial * count + at)[order], rows[order]
    sizes = np.bincount(cell, minlength=trials * count)
    largest = sizes.reshape(trials, count).max(axis=0)
    starts = np.cumsum(largest) - largest
    rank = np.arange(rows.size) - (np.cumsum(sizes) - sizes)[cell]
    points = np.full((trials, int(largest.sum())), -1, dtype=np.int64)
    points[cell // count, starts[cell % count] + rank] = rows
    divisors = np.full(count, part.batch_size, dtype=np.int64)
    return Visits(
        points[0] if trials == 1 else points, starts, largest, divisors, worth_reordering(part.steps, count, fast=fast)
    )


def drawn_rows(n: int, batches: int, trials: int) -> int:
    """Rows of all batches of one of several trials, filled up, which are hardly ever more."""
    if trials == 1 or batches == 1:
        return n
    mean = n / batches
    return int(min(batches * (mean + _SPREAD * (mean**0.5 + 1)), batches * n))


def pieces_of(part: Part, *, whole: bool, period: int, start: int) -> Iterator[Part]:
    """The part, epoch by epoch where every epoch has other batches."""
    if whole or not part.steps:
        yield from [part] if part.steps else []
        return
    begin = 0
    while begin < part.steps:
        # To the end of the epoch.
        end = min(begin + period - (start + begin) % period, part.steps)
        yield Part(part.layout, end - begin, _cut(part.step_size, begin, end), _cut(part.sigma, begin, end))
        begin = end


def _cut(rate: float | Floats, begin: int, end: int) -> float | Floats:
    return rate[begin:end] if isinstance(rate, np.ndarray) and rate.ndim else rate


def _filled(data: Data) -> Data:
    """With a row of zeros at the end, which -1 picks out."""
    labels = data.labels[:1] if data.labels.size else np.ones(1, data.labels.dtype)
    limits = None if data.limits is None else np.append(data.limits, np.inf)
    zeros = np.zeros((1, data.features.shape[1]), data.features.dtype)
    x = data.features.extended(zeros) if isinstance(data.features, Rows) else np.concatenate([data.features, zeros])
    return Data(x, np.append(data.labels, labels), limits)
