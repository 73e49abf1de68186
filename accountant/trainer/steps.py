"""The steps themselves: batches, gradients, noise and projection, on rows in the order of their visits."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Progress
from accountant.problem import PNSGD
from accountant.trainer.losses import Array
from accountant.trainer.points import row_norms

#: Epochs from which reordering all rows once is faster than picking out every batch when it comes.
_REORDERING: Final = 6
#: Numbers of noise drawn at a time.
NOISE: Final = 1 << 20
#: Rows of a batch that are multiplied at a time.
ROWS: Final = 2048


class Data(NamedTuple):
    """Rows with their labels and clipping limits, (m, ...) or a set (t, m, ...) for each trial.

    rows: (m,) or (t, m), where each lies in ``features``; None if they lie there as they are.
    """

    features: Array
    labels: Array
    limits: Array | None
    rows: NDArray[np.int64] | None = None

    def take(self, rows: NDArray[np.int64], *, ahead: bool) -> Data:
        """These rows, picked out ``ahead`` or batch by batch."""
        limits = None if self.limits is None else self.limits[rows]
        if ahead:
            return Data(self.features.take(rows, axis=0), self.labels[rows], limits)
        return Data(self.features, self.labels[rows], limits, rows)

    def batch(self, at: slice) -> Array:
        """Features of the rows ``at``, (b, d) or (t, b, d)."""
        if self.rows is None:
            return self.features[..., at, :]
        return self.features.take(self.rows[..., at], axis=0)


class Visits:
    """The batches that steps from batch ``first`` on visit, in that order: where each lies among the visited points.

    points: places in the permutation, (m,), visit after visit, each batch once. starts, sizes: (visited batches,) in points.
    ahead: whether the rows are worth picking out before the first step.
    """

    def __init__(self, layout: PNSGD, first: int, steps: int) -> None:
        visited = (first + np.arange(min(steps, layout.steps_per_epoch))) % layout.steps_per_epoch
        self.sizes = layout.batch_sizes(visited).astype(np.int64)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.ahead = steps >= _REORDERING * visited.size
        offsets = np.arange(self.sizes.sum()) - np.repeat(self.starts, self.sizes)
        self.points = np.repeat(visited * int(layout.batch_size), self.sizes) + offsets


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
