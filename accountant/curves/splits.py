"""Into how many blocks steps are split, and how long each is.

Where delta is still large a block contracts most, which the last ones meet no more: the best lengths fall towards the end, and
how they fall hardly depends on the question. What is searched is their number, at a point where the best so far just meets what
is asked for, so that what scores less there needs less noise (or a smaller epsilon).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats, Indices

#: Most blocks that are tried, as each is gone through, and fewer are a bound, too (of 10,000 single steps sigma is 0.3 % larger
#: so); and up to which number of them one that proves less does not end the climb.
_MOST_BLOCKS: Final = 1 << 12
_EARLY: Final = 4
#: By how much the last block is shorter than the first, as a share; how fast that fades before it, by sqrt(number of blocks).
_TAPER, _FADING = 0.3, 0.9
#: Of so many blocks or more their number is found to one part in so many.
_FINE: Final = 64
#: What counts as less.
_SLACK: Final = 1e-11


def lengths(steps: Floats, count: int) -> Floats:
    """Lengths (U, K) >= 1 of ``count`` blocks of whole ``steps`` (U,) >= count, in their order, never increasing.

    Seats by weights, as divisor methods give them: one more step makes one block one step longer, and none shorter.
    """
    steps = steps[:, None]
    if count == 1:
        return steps
    weights = 1 - _TAPER * (1 - _FADING / count**0.5) ** np.arange(count - 1, -1, -1, dtype=np.float64)
    found = np.maximum(np.floor(steps * (weights / weights.sum()) + 0.5), 1.0)
    while True:
        missing = (steps - found.sum(axis=1, keepdims=True)).astype(np.intp)
        if not missing.any():
            return -np.sort(-found, axis=1)
        # Who is next to get one, who is next to lose one.
        gain = np.argsort((found + 0.5) / weights, axis=1, kind="stable").argsort(axis=1)
        lose = np.argsort(np.where(found > 1, -(found - 0.5) / weights, np.inf), axis=1, kind="stable").argsort(axis=1)
        found += (gain < missing) * 1.0 - ((lose < -missing) & (found > 1)) * 1.0


def headed_lengths(steps: Floats, count: int, heads: Floats) -> Floats:
    """:func:`lengths` (U, K) where what is before the first block is worth ``heads`` steps (U,), whole numbers >= 0, of it."""
    if count == 1:
        return steps[:, None]
    # More blocks than steps: the first has none.
    many = steps + heads < count
    result = lengths(np.where(many, count, steps + heads), count)
    result[:, 0] -= heads
    empty = many | (result[:, 0] <= 0)
    if empty.any():
        result[empty, 0] = 0.0
        result[empty, 1:] = lengths(steps[empty], count - 1)
    return result


def sizes_of(steps: Floats, counts: Indices, heads_of: Callable[[Floats], Floats]) -> tuple[Floats, Indices]:
    """Lengths (U, K) of the blocks, 0 beyond their number, of each kind of rows; and of which kind the rows (R,) are.

    heads_of: what is before so many steps (U,) is worth, in steps of the first block.
    """
    kinds, where = np.unique(np.stack([counts, steps.astype(np.intp)]), axis=1, return_inverse=True)
    sizes, totals = np.zeros((kinds.shape[1], int(kinds[0].max(initial=1)))), kinds[1].astype(np.float64)
    heads = heads_of(totals)
    for count in np.unique(kinds[0]).tolist():
        some = np.flatnonzero(kinds[0] == count)
        sizes[some, :count] = headed_lengths(totals[some], count, heads[some])
    return sizes, where.ravel()


Value = Callable[[Indices, Indices], Floats]


class _Search:
    """The best number of blocks so far, row by row, and how much less than the target it proves at the point of its row."""

    def __init__(self, steps: Floats, value: Value, alone: Floats) -> None:
        self.steps, self.value, self.best = steps, value, alone
        self.count = np.ones(steps.size, dtype=np.intp)

    def look(self, count: Indices, rows: Indices) -> NDArray[np.bool_]:
        """Which rows prove more with so many blocks, which they then take."""
        less = np.zeros(rows.size, dtype=np.bool_)
        possible = (count >= 1) & (count <= np.minimum(self.steps[rows], _MOST_BLOCKS)) & (self.best[rows] > -np.inf)
        if possible.any():
            some, counts = rows[possible], count[possible]
            found = self.value(counts, some)
            gained = found < self.best[some] - _SLACK * (1 + np.abs(self.best[some]))
            less[possible] = gained
            taken = some[gained]
            self.best[taken], self.count[taken] = found[gained], counts[gained]
        return less

    def settle(self, rows: Indices, settle: Value | None) -> None:
        if settle is not None and rows.size:
            self.best[rows] = settle(self.count[rows], rows)

    def climb(self, settle: Value | None) -> None:
        """Up in octaves, all rows that still gain."""
        active, count = np.arange(self.steps.size), 2
        while active.size and count <= _MOST_BLOCKS:
            less = self.look(np.full(active.size, count), active)
            self.settle(active[less], settle)
            active = active[(less | (count <= _EARLY)) & (self.steps[active] > count)]
            count *= 2

    def narrow(self, settle: Value | None) -> None:
        """Between the octaves, to where no neighbour proves more; of many blocks, nearly."""
        rows = np.flatnonzero(self.count > 1)
        # Blocks of one step each are what is best where a longer block proves no more.
        short = rows[4 * self.count[rows] >= self.steps[rows]]
        single = np.minimum(self.steps[short], _MOST_BLOCKS).astype(np.intp)
        self.settle(short[self.look(single, short)], settle)
        self.stride(rows, np.maximum(self.count[rows] // 4, 1), settle)

    def stride(self, rows: Indices, stride: Indices, settle: Value | None) -> None:
        """To neighbours so far away that prove more, and nearer and nearer ones."""
        while rows.size:
            more = self.look(self.count[rows] + stride, rows)
            less = np.zeros(rows.size, dtype=np.bool_)
            less[~more] = self.look((self.count[rows] - stride)[~more], rows[~more])
            gained, least = more | less, np.maximum(self.count[rows] // _FINE, 1)
            self.settle(rows[gained], settle)
            left = gained | (stride > least)
            stride = np.where(gained & (stride <= least), stride, np.maximum(stride // 3, least))
            rows, stride = rows[left], stride[left]


def best_counts(steps: Floats, value: Value, alone: Floats, settle: Value | None = None) -> Indices:
    """The best number of blocks found, row by row, for ``steps`` (R,).

    value: log delta with numbers of blocks for some rows where they are, beyond what is asked for; ``alone``: of the string
    alone (one block). settle: moves rows to where their blocks just meet what is asked for, and gives the value there.
    """
    search = _Search(steps, value, alone.copy())
    search.climb(settle)
    search.narrow(settle)
    return search.count


def next_counts(steps: Floats, value: Value, counts: Indices, best: Floats, settle: Value | None = None) -> Indices:
    """Better numbers of blocks next to ``counts`` (R,), whose value is ``best`` (R,), if there are any; else these."""
    search = _Search(steps, value, best)
    search.count = counts
    search.stride(np.arange(steps.size), np.ones(steps.size, dtype=np.intp), settle)
    return search.count
