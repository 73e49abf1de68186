"""Rows that runs share: blocks that nobody changes, so that a request copies the block of a removed row, and no other.

A run after a request has blocks of its own where rows changed, left or came, and shares the others with the run before. A
removed row lies in a block of the earlier run alone, and is gone from memory as soon as nobody holds that run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from accountant.numerics import Floats
from accountant.trainer.losses import Array
from accountant.trainer.points import is_sparse, row_norms

#: Numbers of a block: small enough to be copied in a fraction of a millisecond, and few blocks of data of usual size.
_BLOCK: Final = 1 << 18


@dataclass(frozen=True, eq=False)
class Block:
    """Rows (k, d), read-only, C-contiguous."""

    array: Array

    def __post_init__(self) -> None:
        self.array.flags.writeable = False

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.array.flags.writeable = False

    @cached_property
    def norms(self) -> Floats:
        """2-norms of the rows, (k,)."""
        return row_norms(self.array)

    @cached_property
    def digest(self) -> str:
        """A name of the content, 32 hexadecimal digits."""
        digest = hashlib.blake2b(f"{self.array.dtype.str} {self.array.shape}".encode(), digest_size=16)
        digest.update(self.array.data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows (n, d) in one or more blocks.

    >>> rows = Rows.of([[1.0, 2.0], [3.0, 4.0]])
    >>> rows.changed(np.array([0]), np.zeros((1, 2))).whole().tolist()
    [[0.0, 0.0], [3.0, 4.0]]
    >>> rows.whole().tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, features: ArrayLike, dtype: DTypeLike | None = None) -> Self:
        """A copy of features (n, d)."""
        array = np.asarray(features)
        size = max(1, _BLOCK // max(1, array.shape[1]))
        parts = [array[start : start + size] for start in range(0, max(1, array.shape[0]), size)]
        return cls(tuple(Block(np.array(part, dtype=dtype, order="C")) for part in parts))

    @property
    def shape(self) -> tuple[int, int]:
        return int(self._starts[-1]), int(self.blocks[0].array.shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return self.blocks[0].array.dtype

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where each block begins, and the end, (blocks + 1,)."""
        return np.cumsum([0, *(block.array.shape[0] for block in self.blocks)])

    @property
    def norms(self) -> Floats:
        """2-norms of all rows, (n,); a block's are computed once."""
        return np.concatenate([block.norms for block in self.blocks])

    def whole(self) -> Array:
        """All rows (n, d), read-only; where there are several blocks, a copy."""
        return self.blocks[0].array if len(self.blocks) == 1 else np.concatenate([block.array for block in self.blocks])

    def take(self, rows: NDArray[np.int64]) -> Array:
        """A copy of these rows, (..., d) for row numbers (...); negative ones count from the end."""
        flat = np.where(rows < 0, rows + self.shape[0], rows).ravel()
        if len(self.blocks) == 1:
            found = self.blocks[0].array.take(flat, axis=0)
        else:
            found = np.empty((flat.size, self.shape[1]), self.dtype)
            order = np.argsort(flat, kind="stable")
            ends = np.searchsorted(flat[order], self._starts)
            for block, start, low, high in zip(self.blocks, self._starts.tolist(), ends[:-1], ends[1:], strict=False):
                some = order[low:high]
                found[some] = block.array[flat[some] - start]
        return found.reshape(*rows.shape, self.shape[1])

    def addresses(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in memory these rows begin, (m,), for as long as this object lives; row numbers are not negative."""
        at = np.searchsorted(self._starts, rows, side="right") - 1
        begins = np.array([block.array.ctypes.data for block in self.blocks], dtype=np.int64)
        return begins[at] + (rows - self._starts[at]) * (self.shape[1] * self.itemsize)

    def nothing(self, count: int) -> Array:
        """So many rows of zeros."""
        return np.zeros((count, self.shape[1]), self.dtype)

    def like(self, features: Any) -> Array:
        """Rows as these are: an array."""
        return features.toarray() if is_sparse(features) else np.asarray(features)

    def changed(self, rows: NDArray[np.int64], new: Array) -> Self:
        """With these rows in the places of those with these numbers."""
        blocks = list(self.blocks)
        for number, inside, which in hit(self._starts, rows):
            array = blocks[number].array.copy()
            array[inside] = new[which]
            blocks[number] = Block(array)
        return type(self)(tuple(blocks))

    def without(self, rows: NDArray[np.int64]) -> Self:
        """Without the rows with these numbers."""
        blocks = list(self.blocks)
        for number, inside, _ in hit(self._starts, rows):
            blocks[number] = Block(np.delete(blocks[number].array, inside, axis=0))
        left = tuple(block for block in blocks if block.array.shape[0])
        return type(self)(left or tuple(blocks[:1]))

    def extended(self, new: Array) -> Self:
        """With these rows (k, d) at the end."""
        last, more = self.blocks[-1], np.array(new, dtype=self.dtype, order="C")
        if last.array.size + more.size <= _BLOCK:
            return type(self)((*self.blocks[:-1], Block(np.concatenate([last.array, more]))))
        return type(self)((*self.blocks, *type(self).of(more).blocks))


def hit(starts: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Every block that has some of these rows: its number, where in it they are, and which of them these are.

    starts: (blocks + 1,), where each block begins, and the end.
    """
    at = np.searchsorted(starts, rows, side="right") - 1
    for number in np.unique(at).tolist():
        which = np.flatnonzero(at == number)
        yield number, rows[which] - starts[number], which


def addresses(features: Array | Rows, rows: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
    """Where in memory rows begin, (m,): those with these numbers, or the first ``count``; arrays are C-contiguous."""
    numbers = np.arange(count) if rows is None else rows
    if isinstance(features, Rows):
        return features.addresses(numbers)
    return features.ctypes.data + numbers * (features.shape[1] * features.itemsize)
