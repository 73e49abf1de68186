"""Runs: where trials stand after so many steps, and what made them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accountant.problem import PNSGD, Schedule
from accountant.trainer.draws import Draws
from accountant.trainer.losses import Array, Loss
from accountant.trainer.noise import Noise
from accountant.trainer.rows import Rows
from accountant.trainer.sparse_rows import SparseRows


class Origin(NamedTuple):
    """What made a run: what is accounted for is accounted for these."""

    loss: Loss
    algorithm: PNSGD
    schedule: Schedule | None
    sigma: float


@dataclass(frozen=True, eq=False)
class Run:
    """Where a number of trials stands. Treat it as fixed: unlearning gives another one.

    parameters: (outputs*d, trials), float64, one column a trial, its outputs one after the other; read-only.
    orders: batch orders, (trials, n), or (1, n) where all trials share one; (0, n) where records draw batches by themselves.
    rows (n, d) and labels (n,): the data now; rows that did not change are shared with the runs before and after.
    steps: steps so far, learned: those of learning. batch_size, next_batch: where in the cycle the next step is.
    requests: deletions answered. zeroed: (n,) whether a point was dropped by zero-out.
    draws: by which records draw batches, secret for ever; None for a partition. origin: what made it.
    noise: the trials' generators. Copies of a run, pickled ones and those in forked processes draw fresh noise, unless a seed
        was given: then the same as the original.
    """

    parameters: Array
    orders: NDArray[np.int64]
    rows: Rows | SparseRows
    labels: Array
    steps: int
    learned: int
    batch_size: int
    next_batch: int
    requests: int
    zeroed: NDArray[np.bool_]
    noise: Noise
    origin: Origin
    draws: Draws | None = None

    @property
    def features(self) -> Array:
        """The rows as one array (n, d), read-only; of large data a copy. Sparse ones as a CSR matrix."""
        return self.rows.whole()

    @property
    def trials(self) -> int:
        return int(self.parameters.shape[1])

    @property
    def generators(self) -> tuple[np.random.Generator, ...]:
        """The trials' noise, (trials,), of which nothing is used twice."""
        return self.noise.generators

    def __getstate__(self) -> dict[str, object]:
        # A shallow copy would go on with the very generators of the original.
        return {**self.__dict__, "noise": copy(self.noise)}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.parameters.flags.writeable = False
