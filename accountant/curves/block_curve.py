"""What common steps in a set of finite diameter prove: a string from the start, and blocks that contract it.

Whatever the search for a split finds holds, since any split into blocks is one (:mod:`accountant.curves.splits`): of the curve
read with it, and with the string alone, the better is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from accountant.curves.contraction import CONTRACTION, Chained, averaged, certain, chained, contracted
from accountant.curves.curves import GDPCurve, rounded_up
from accountant.curves.hockey_stick import mixture_log_scale, mixture_tail, mixture_tail_epsilon, rounded_down
from accountant.curves.splits import best_counts, next_counts, sizes_of
from accountant.numerics import Floats, Indices, decreasing_root

#: Epsilon and log sigma are searched no finer than this.
_FLOOR: Final = 1e-12
#: How many orders e below what the string needs sigma is searched.
_WIDEST: Final = 60.0
#: How near the target x is while splits are compared; and what one unit of a floor of :func:`decreasing_root` is.
_NEAR, _TOLERANCE = 1e-3, 4 * 2.0**-52
#: Numbers per array: rows times blocks; and problems times components up to which they are worked off one by one.
_ROOM: Final = 1 << 21
_FEW: Final = 40
#: log of a mu with which delta is 1 to the last bit, whatever epsilon is.
APART: Final = 300.0


@dataclass(frozen=True, eq=False)
class BlockCurve:
    """The first block, then as many as pay, of lengths that are searched; at log mu (P, C) = log_first(N) - log sigma.

    steps: N common steps, (P,) or (1,) for all rows. log_first: log mu at sigma = 1 (U, C) of each component with a first
    block of so many steps (U,). log_block: log mu at sigma = 1 (U,) of a block of so many steps >= 1 (U,) from any two points
    of the set. Both fall with the number of steps. Components are averaged after the last block. It gives points of a curve;
    there is no single mu.
    """

    steps: Floats
    log_first: Callable[..., Floats]
    log_block: Callable[[Floats], Floats]

    @property
    def kind(self) -> str:
        return CONTRACTION

    def rows(self, some: Indices) -> BlockCurve:
        """Of some of the questions."""
        return self if self.steps.size == 1 else replace(self, steps=self.steps[some])

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        fine, alone = self._fineness(log_mu), self._alone(epsilon, log_weights, log_mu)
        counts = self._best(epsilon, log_weights, fine, alone)
        rows = np.flatnonzero(counts > 1)
        if rows.size:
            found = self._at(counts[rows], rows, epsilon[rows], log_weights, fine[rows])
            alone[rows] = np.minimum(alone[rows], found.log_delta)
        return alone

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        target, fine = rounded_down(log_delta), self._fineness(log_mu)
        alone = mixture_tail_epsilon(log_delta, log_weights, rounded_up(log_mu))
        room = self._room(alone, log_delta, fine)
        if not np.any(room > 1):
            return alone
        chain = _Excess(
            self, target, np.zeros(alone.size), alone,
            lambda counts, rows, x, scouts: self._at(counts, rows, x, log_weights, fine[rows], scouts),
            lambda found: found.by_epsilon, True, self._scout(alone, log_delta, log_mu.max(axis=1), log_weights),
        )  # fmt: skip
        return chain.solved(room)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        goal = rounded_down(log_delta)
        met = self._alone(epsilon, log_weights, log_mu) <= goal
        left = np.flatnonzero(~met)
        if left.size:
            met[left] = self.rows(left).log_delta(epsilon[left], log_weights, log_mu[left]) <= goal[left]
        return met

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        # At log sigma x the first components are exp(peak - x) times the shape.
        peak = np.broadcast_to(self._peak(), epsilon.shape)
        scale = mixture_log_scale(epsilon, log_delta, log_weights, log_shape)
        alone = peak - scale
        room = self._room(epsilon, log_delta, -alone)
        if not np.any(room > 1):
            return scale
        chain = _Excess(
            self, rounded_down(log_delta), alone - _WIDEST, alone,
            lambda counts, rows, x, scouts: self._at(counts, rows, epsilon[rows], log_weights, -x, scouts),
            lambda found: -found.by_log_mu, False, self._scout(epsilon, log_delta, peak - alone, log_weights),
        )  # fmt: skip
        return peak - chain.solved(room)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """That of the string alone: a contraction gives points of a curve only."""
        return GDPCurve().rdp(alpha, log_weights, log_mu)

    def split(self, epsilon: float, log_weights: Floats, log_mu: Floats) -> Floats:
        """Lengths of the blocks with which delta(epsilon) was found smallest, one for the string alone; log_mu (1, C)."""
        at, fine = np.array([epsilon]), self._fineness(log_mu)
        counts = self._best(at, log_weights, fine, self._alone(at, log_weights, log_mu))
        return self._sizes(counts, np.zeros(1, dtype=np.intp))[0][0]

    def bounds(self, split: Floats, log_mu: Floats) -> tuple[Floats, Floats]:
        """mu of the components (C,) of the first block, and of the blocks after it; log_mu (1, C)."""
        fine = self._fineness(log_mu)
        others = self.log_block(split[1:]) + fine if split.size > 1 else np.zeros(0)
        return rounded_up(self._first(split[None])[0] + fine), rounded_up(others)

    def _alone(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return np.minimum(mixture_tail(epsilon, log_weights, rounded_up(log_mu)).log_delta, 0.0)

    def _best(self, epsilon: Floats, log_weights: Floats, fine: Floats, alone: Floats) -> Indices:
        """The numbers of blocks with which delta is smallest."""
        room = self._room(epsilon, alone, fine)
        if not np.any(room > 1):
            return np.ones(alone.size, dtype=np.intp)
        scout = self._scout(epsilon, alone, self._peak() + fine, log_weights)

        def value(counts: Indices, rows: Indices) -> Floats:
            scouts = None if scout is None else scout[rows]
            return self._at(counts, rows, epsilon[rows], log_weights, fine[rows], scouts).log_delta

        counts = best_counts(room, value, alone)
        rows = np.flatnonzero(counts > 1)
        if scout is not None and rows.size:
            scout, found = None, np.full(alone.size, -np.inf)
            found[rows] = value(counts[rows], rows)
            counts = next_counts(room, value, counts, found)
        return counts

    def _fineness(self, log_mu: Floats) -> Floats:
        """-log sigma, (P,)."""
        with np.errstate(invalid="ignore"):
            return log_mu.max(axis=1) - self._peak()

    def _peak(self) -> Floats:
        """log mu at sigma = 1 of the largest component of the string alone, of all rows or (1,)."""
        return self.log_first(self.steps).max(axis=1)

    def _scout(self, epsilon: Floats, log_delta: Floats, log_peak: Floats, log_weights: Floats) -> Floats | None:
        """By how much a single component's log mu is below the largest's, (P,), that proves as much as all of them: with it
        numbers of blocks are compared, quicker and nearly as well. Only what all components prove counts."""
        if log_weights.size == 1:
            return None
        with np.errstate(all="ignore"):
            alone = mixture_log_scale(epsilon, np.maximum(log_delta, -1e300), np.zeros(1), np.zeros((epsilon.size, 1)))
            return np.nan_to_num(np.minimum(alone - log_peak, 0.0), nan=0.0, neginf=0.0)

    def _room(self, epsilon: Floats, log_delta: Floats, fine: Floats) -> Floats:
        """The most blocks that are looked for, (P,); where the string alone proves (epsilon, delta), at -log sigma."""
        return np.broadcast_to(self.steps, epsilon.shape)

    def _sizes(self, counts: Indices, rows: Indices) -> tuple[Floats, Indices]:
        """Lengths (U, K) of so many blocks for some rows, 0 beyond their number, and of which kind the rows are."""
        return sizes_of(np.full(rows.size, self.steps[0]) if self.steps.size == 1 else self.steps[rows], counts, self._heads)

    def _heads(self, totals: Floats) -> Floats:
        """Steps of a block that what is before the first step is worth, whole numbers, (U,)."""
        return np.zeros_like(totals)

    def _first(self, sizes: Floats) -> Floats:
        """log mu at sigma = 1, (U, C), of the first of blocks of so many steps (U, K)."""
        return self.log_first(sizes[:, 0])

    def _at(
        self, counts: Indices, rows: Indices, epsilon: Floats, log_weights: Floats, fine: Floats, scouts: Floats | None = None
    ) -> Chained:
        """log delta with numbers of blocks at -log sigma for some rows of the curve, rounded up; ``scouts``: of one component
        that much smaller than the largest."""
        if rows.size > (most := max(_ROOM // int(counts.max(initial=1)), 1)):
            parts = [slice(k, k + most) for k in range(0, rows.size, most)]
            found = [
                self._at(
                    counts[part], rows[part], epsilon[part], log_weights, fine[part], None if scouts is None else scouts[part]
                )
                for part in parts
            ]
            return Chained(*(np.concatenate(each) for each in zip(*found, strict=True)))
        if not rows.size:
            return Chained(*(np.zeros(0) for _ in range(3)))
        # The rows with most blocks first.
        order = np.argsort(-counts, kind="stable")
        counts, rows, epsilon, fine = counts[order], rows[order], epsilon[order], fine[order]
        sizes, where = self._sizes(counts, rows)
        # Of what is further apart than curves are read nothing is proved either way: delta is 1.
        log_first = self._first(sizes)
        if scouts is not None:
            log_first, fine_first, log_weights = log_first.max(axis=1, keepdims=True), fine + scouts[order], np.zeros(1)
        else:
            fine_first = fine
        first = rounded_up(np.minimum(log_first[where] + fine_first[:, None], APART))
        each, at = np.unique(sizes, return_inverse=True)
        logs = (
            np.append(np.full(1, np.nan), self.log_block(each[1:]))[at.reshape(sizes.shape)]
            if each[0] == 0
            else (self.log_block(each)[at.reshape(sizes.shape)])
        )
        reached = _chain(np.broadcast_to(epsilon[:, None], first.shape), first, logs, where, fine, counts)
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        return Chained(*(part[back] for part in averaged(reached, log_weights)))


@dataclass(frozen=True, eq=False)
class _Excess:
    """log delta beyond a target as a falling function of an unknown x, which is searched for the best number of blocks.

    low: the least x there is; alone: where the string alone meets the target. chain: log delta with numbers of blocks for
    some rows at x, of a single component where there are ``scouts``. slope: its part that is the slope. relative: whether x is
    measured by itself.
    """

    curve: BlockCurve
    target: Floats
    low: Floats
    alone: Floats
    chain: Callable[[Indices, Indices, Floats, Floats | None], Chained]
    slope: Callable[[Chained], Floats]
    relative: bool
    scouts: Floats | None = None

    def __call__(self, counts: Indices, rows: Indices, x: Floats) -> tuple[Floats, Floats]:
        """log(target/log delta) and its slope: chains fall super-exponentially, and this is nearly affine."""
        found = self.chain(counts, rows, x, None if self.scouts is None else self.scouts[rows])
        log_delta = np.clip(found.log_delta, -1e300, -1e-300)
        with np.errstate(all="ignore"):
            return np.log(self.target[rows] / log_delta), self.slope(found) / -log_delta

    def solved(self, steps: Floats) -> Floats:
        """The smallest x found, row by row."""
        x, done = self.alone.copy(), self.alone <= self.low
        counts = best_counts(steps, self._value(x), np.where(done, -np.inf, 0.0), self._settling(x))
        best = self.alone.copy()
        rows = np.flatnonzero(counts > 1)
        if rows.size:
            full = replace(self, scouts=None)
            if self.scouts is not None:
                x[rows] = full._settled(counts[rows], rows, x[rows], _NEAR)
                value, settle = full._value(x), full._settling(x)
                found = np.full(x.size, -np.inf)
                found[rows] = value(counts[rows], rows)
                counts = next_counts(steps, value, counts, found, settle)
            best[rows] = full._settled(counts[rows], rows, x[rows], 0.0)
        return best

    def _value(self, x: Floats) -> Callable[[Indices, Indices], Floats]:
        return lambda counts, rows: self(counts, rows, x[rows])[0]

    def _settling(self, x: Floats) -> Callable[[Indices, Indices], Floats]:
        def settle(counts: Indices, rows: Indices) -> Floats:
            """From where blocks that scored less are known to meet the target downwards, as far as the search needs it."""
            x[rows] = self._below(counts, rows, x[rows], _NEAR)
            # Nothing is less than the least.
            return np.where(x[rows] > self.low[rows], self(counts, rows, x[rows])[0], -np.inf)

        return settle

    def _settled(self, counts: Indices, rows: Indices, high: Floats, near: float) -> Floats:
        """Where the blocks that were found meet the target, to so much; at most where the string alone does."""
        # The search kept to where its blocks meet the target, but for what it counts as equal.
        best, most = self.alone[rows].copy(), self.alone[rows]
        unmet = np.flatnonzero(self(counts, rows, high)[0] > 0)
        gap = 1e-9 * self._scale(high)
        while unmet.size:
            high[unmet] = np.minimum(high[unmet] + gap[unmet], most[unmet])
            gap[unmet] *= 8
            unmet = unmet[high[unmet] < most[unmet]]
            unmet = unmet[self(counts[unmet], rows[unmet], high[unmet])[0] > 0]
        some = np.flatnonzero(high < most)
        best[some] = self._below(counts[some], rows[some], high[some], near)
        return best

    def _scale(self, x: Floats) -> Floats:
        """What a change of x is measured by."""
        return x if self.relative else np.ones_like(x)

    def _below(self, counts: Indices, rows: Indices, high: Floats, near: float) -> Floats:
        """The least x at which the target is met, to so much; it is met at ``high``."""
        scale, least = self._scale(high), self.low[rows]
        value, slope = self(counts, rows, high)
        with np.errstate(all="ignore"):
            # A little further than Newton's method, beyond the root if the function is nearly affine.
            gap = np.clip(np.nan_to_num(1.05 * value / slope, nan=1.0), 1e-6 * scale, 0.5 * scale)
        low, top = high.copy(), high.copy()
        open_ = np.arange(rows.size)
        while open_.size:
            low[open_] = np.maximum(top[open_] - gap[open_], least[open_])
            value[open_], slope[open_] = self(counts[open_], rows[open_], low[open_])
            met = value[open_] <= 0
            top[open_[met]] = low[open_[met]]
            gap[open_] *= 4
            open_ = open_[met & (low[open_] > least[open_])]
        with np.errstate(all="ignore"):
            start = np.nan_to_num(low - value / slope, nan=-np.inf)
        return decreasing_root(
            lambda at, active: self(counts[active], rows[active], at),
            start=np.where((start > low) & (start < top), start, 0.5 * (low + top)),
            low=low, high=top, floor=np.maximum(_FLOOR if self.relative else 1.0, near * scale / _TOLERANCE),
        )  # fmt: skip


def _chain(epsilon: Floats, first: Floats, logs: Floats, where: Indices, fine: Floats, counts: Indices) -> Chained:
    """Blocks one after the other: mu ``first`` (R, C), then exp(logs[where] + fine), rows with most blocks first."""
    if epsilon.size <= _FEW:
        parts = []
        for row in range(epsilon.shape[0]):
            mu = rounded_up(logs[where[row], 1 : counts[row]] + fine[row])
            blocks = [(first[row], 1)] + [(np.full(first.shape[1], each), 1) for each in mu.tolist()]
            parts.append(chained(epsilon[row], blocks))
        return Chained(*(np.stack(each) for each in zip(*parts, strict=True)))
    reached = contracted(certain(epsilon.shape), epsilon, first)
    for k in range(1, int(counts.max(initial=1))):
        active = int(np.searchsorted(-counts, -k, side="left"))
        before = Chained(*(part[:active] for part in reached))
        if not np.isfinite(before.log_delta).any():
            break
        mu = rounded_up(logs[where[:active], k] + fine[:active])
        after = contracted(before, epsilon[:active], np.broadcast_to(mu[:, None], before.log_delta.shape))
        for part, value in zip(reached, after, strict=True):
            part[:active] = value
    return reached
