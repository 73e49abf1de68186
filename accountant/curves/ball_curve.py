"""Blocks behind what a run of its own proves: a string of learning and unlearning, whose first block may need no unlearning.

As :class:`BlockCurve`, but for three things. The first block starts near: what learning alone proves is worth so many steps of
a block from anywhere in the ball, its head, and the first block gets so many fewer. What the string of a first block is may
depend on all steps, where retraining is aligned with unlearning at its end. And blocks are looked for only where they may pay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from accountant.curves.block_curve import BlockCurve
from accountant.numerics import Floats, Indices

#: Heads of so many times all steps or more leave no step to the first block.
_LONG: Final = 4.0
#: Blocks are looked for where they may lower delta by a thousandth: log of the share of delta below which components count for
#: nothing, and how many standard deviations from the middle a block contracts by less (5e-4) of what is before it.
_SMALL, _FAR = 7.6, 3.5
#: Components whose mu is this much smaller in logarithms than the largest are taken to count for nothing, too.
_LESS: Final = 1.0
#: Numbers that are remembered.
_KEPT: Final = 1 << 22


@dataclass(frozen=True, eq=False)
class BallCurve(BlockCurve):
    """steps: common steps >= 0, (P,).

    log_first: log mu at sigma = 1 (U, C) of what is before the common steps and so many of them (U,), of so many in all (U,);
    +inf where no step is too few. head: how many steps (U,) of a block have that log mu (U,). peak: log mu at sigma = 1 of the
    largest component of the string alone, (P,). log_contraction: log c of a step, from which strings of k steps more are c^k
    times as large or less.
    """

    head: Callable[[Floats], Floats]
    peak: Floats
    log_contraction: float
    _known: dict[tuple[float, float], Floats] = field(default_factory=dict, repr=False)

    def rows(self, some: Indices) -> BallCurve:
        return replace(self, steps=self.steps[some], peak=self.peak[some])

    def from_anywhere(self) -> BallCurve:
        """Of the same steps from any two points of the ball, whatever was before them; some step."""

        def first(steps: Floats, totals: Floats) -> Floats:
            return np.where(steps >= 1, self.log_block(np.maximum(steps, 1.0)), np.inf)[:, None]

        return replace(self, log_first=first, head=np.zeros_like, peak=self._whole(), _known={})

    def _peak(self) -> Floats:
        return self.peak

    def _room(self, epsilon: Floats, log_delta: Floats, fine: Floats) -> Floats:
        """One where no blocks can pay, because the first or those after it contract by next to nothing.

        A block of mu > B does, where B/2 - e/B is large, e what the last one meets. Blocks one after the other do that, too, if
        one of all their steps does: sum_i mu_i^-2 <= mu^-2, and the contraction falls faster. With k steps in later blocks the
        first has c^-k times the mu of all N steps or more, and they have c^(k - N) times that of one block of all steps.
        """
        with np.errstate(all="ignore"):
            odds = np.where(epsilon < 30, np.log(np.expm1(epsilon)), epsilon) - log_delta + _SMALL
            inner = np.where(epsilon > 0, np.logaddexp(0.0, odds), 0.0)
            log_most = np.log(_FAR + np.sqrt(_FAR**2 + 2 * inner))
            block, first = self._whole() + fine, self.peak + fine - _LESS
            both = block + first - self.steps * self.log_contraction
            pays = (self.steps > 0) & np.isfinite(self.peak) & (block < log_most) & (both < 2 * log_most)
        room = np.ones(epsilon.shape)
        pays = np.broadcast_to(pays, room.shape)
        if pays.any():
            steps = np.broadcast_to(self.steps, room.shape)[pays]
            each, where = np.unique(steps, return_inverse=True)
            # The first block may need no step, even where what is before it is worth less than one.
            room[pays] = steps + np.isfinite(self._strings(np.zeros(each.size), each).max(axis=1))[where]
        return room

    def _whole(self) -> Floats:
        """log mu at sigma = 1 of one block of all steps, (P,); +inf for none."""
        if self.steps.size == 1:
            return self.log_block(self.steps) if self.steps[0] >= 1 else np.full(1, np.inf)
        each, where = np.unique(self.steps, return_inverse=True)
        return np.where(each >= 1, self.log_block(np.maximum(each, 1.0)), np.inf)[where]

    def _strings(self, steps: Floats, totals: Floats) -> Floats:
        """log_first, remembered: searches ask for the same blocks again and again."""
        keys = list(zip(steps.tolist(), totals.tolist(), strict=True))
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        if missing:
            asked = np.array(missing)
            found = self.log_first(asked[:, 0], asked[:, 1])
            if (len(self._known) + len(missing)) * found.shape[1] > _KEPT:
                self._known.clear()
                missing, found = keys, self.log_first(steps, totals)
            self._known.update(zip(missing, found, strict=True))
        return np.stack([self._known[key] for key in keys])

    def _heads(self, totals: Floats) -> Floats:
        """Steps of a block that what is before the first step is worth, whole numbers, (U,)."""
        with np.errstate(all="ignore"):
            worth = self.head(self._strings(np.zeros(totals.size), totals).max(axis=1))
        return np.floor(np.minimum(np.nan_to_num(worth, nan=0.0, posinf=np.inf), _LONG * (totals + 1)))

    def _first(self, sizes: Floats) -> Floats:
        return self._strings(sizes[:, 0], sizes.sum(axis=1))
