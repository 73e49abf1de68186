"""Blocks of steps that change on the way: windows of a schedule, each with its own mu, which contract one after the other.

Any split is valid (:mod:`accountant.curves.contraction`), so nothing rests on which ones are tried: a few for every number of
blocks, of windows with about equally much noise, each question by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from accountant.curves.block_curve import APART, BlockCurve
from accountant.curves.curves import rounded_up
from accountant.curves.equal_blocks import LARGEST, least_of_chain
from accountant.curves.hockey_stick import mixture_log_scale, mixture_tail_epsilon, rounded_down
from accountant.curves.one_block import Chain, contracted_through
from accountant.numerics import Floats, Indices

#: Numbers of blocks in a row that prove no more until none are tried; not among the first few.
_PATIENCE, _EARLY = 3, 4


class Windows(NamedTuple):
    """One split: lengths of its windows, and log mu of each at sigma = 1, (K,) both."""

    lengths: Floats
    log_mu: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class WindowBlocks(BlockCurve):
    """A :class:`BlockCurve` of one component. splits: those of so many steps in all, of one window first."""

    splits: Callable[[int], list[Windows]]

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        found = np.empty(epsilon.size)
        for row in range(epsilon.size):
            found[row] = self._least(float(epsilon[row]), float(log_mu[row, 0]), self._steps(row))[0]
        return found

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        goal, found = rounded_down(log_delta), mixture_tail_epsilon(log_delta, log_weights, rounded_up(log_mu))
        for row in np.flatnonzero(found > 0).tolist():
            splits = self.splits(self._steps(row))
            fine = float(log_mu[row, 0]) - float(splits[0].log_mu[0])

            def chain(split: Windows, x: float, fine: float = fine) -> Chain:
                return _chain(x, _mus(split, fine))

            found[row] = _improved(chain, splits, 1, float(goal[row]), 0.0, float(found[row]))
        return found

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        goal, found = rounded_down(log_delta), mixture_log_scale(epsilon, log_delta, log_weights, log_shape)
        for row in range(epsilon.size):
            splits, at = self.splits(self._steps(row)), float(epsilon[row])

            # x is -log mu of the single string.
            def chain(split: Windows, x: float, splits: list[Windows] = splits, at: float = at) -> Chain:
                return _chain(at, _mus(split, -float(splits[0].log_mu[0]) - x))

            found[row] = -_improved(chain, splits, 2, float(goal[row]), -LARGEST, -float(found[row]))
        return found

    def split(self, epsilon: float, log_weights: Floats, log_mu: Floats) -> Floats:
        return self._least(epsilon, float(log_mu[0, 0]), self._steps(0))[1].lengths

    def bounds(self, split: Floats, log_mu: Floats) -> tuple[Floats, Floats]:
        splits = self.splits(self._steps(0))
        chosen = next(each for each in splits if np.array_equal(each.lengths, split))
        mus = _mus(chosen, float(log_mu[0, 0]) - float(splits[0].log_mu[0]))
        return mus[:1], mus[1:]

    def rows(self, some: Indices) -> WindowBlocks:
        if self.steps.size == 1:
            return self
        return WindowBlocks(self.steps[some], self.log_first, self.log_block, splits=self.splits)

    def _steps(self, row: int) -> int:
        return int(self.steps[0] if self.steps.size == 1 else self.steps[row])

    def _least(self, epsilon: float, log_mu: float, steps: int) -> tuple[float, Windows]:
        """The least log delta over the splits, and the split."""
        splits = self.splits(steps)
        best, chosen, worse = math.inf, splits[0], 0
        for place, split in enumerate(splits):
            found = _chain(epsilon, _mus(split, log_mu - float(splits[0].log_mu[0])))[0]
            if found < best:
                best, chosen, worse = found, split, 0
            else:
                worse += 1
            if (worse >= _PATIENCE and place >= _EARLY) or best == -math.inf:
                break
        return best, chosen


def _mus(split: Windows, fine: float) -> Floats:
    """mu of each window at -log sigma; of one without noise so large that it changes nothing."""
    return rounded_up(np.minimum(split.log_mu + fine, APART))


def _chain(epsilon: float, mus: Floats) -> Chain:
    return contracted_through((0.0, 0.0, 0.0), epsilon, mus.tolist())


def _improved(
    chain: Callable[[Windows, float], Chain], splits: list[Windows], which: int, goal: float, low: float, best: float
) -> float:
    """The least x found at which some split meets the goal; ``best``: where a single string does."""
    worse = 0
    for place, split in enumerate(splits[1:]):
        if chain(split, best)[0] < goal:
            best = least_of_chain(lambda x, _, split=split: chain(split, x), which, goal, low, best, 1)  # type: ignore[misc]
            worse = 0
        else:
            worse += 1
        if best <= low or (worse >= _PATIENCE and place >= _EARLY):
            break
    return best
