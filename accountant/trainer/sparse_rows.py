"""Sparse rows that runs share, in blocks that nobody changes, as :mod:`accountant.trainer.rows` has dense ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import Floats
from accountant.trainer.losses import Array
from accountant.trainer.points import is_sparse, row_norms
from accountant.trainer.rows import hit

#: Rows of a block.
_BLOCK: Final = 2048


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows (n, d) of numbers that are mostly zero, float64: CSR matrices (k, d) one below the other."""

    blocks: tuple[Any, ...]

    @classmethod
    def of(cls, features: Any) -> Self:
        """A copy of a sparse matrix (n, d) that :func:`accountant.trainer.points.check_points` has checked."""
        parts = range(0, max(1, features.shape[0]), _BLOCK)
        return cls(tuple(features[start : start + _BLOCK].copy() for start in parts))

    @property
    def shape(self) -> tuple[int, int]:
        return int(self._starts[-1]), int(self.blocks[0].shape[1])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        return np.dtype(np.float64)

    @property
    def nbytes(self) -> int:
        return sum(block.data.nbytes + block.indices.nbytes + block.indptr.nbytes for block in self.blocks)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *(block.shape[0] for block in self.blocks)])

    @cached_property
    def norms(self) -> Floats:
        """2-norms of all rows, (n,)."""
        return np.concatenate([row_norms(block) for block in self.blocks])

    def whole(self) -> Any:
        """A copy of all rows, a CSR matrix (n, d)."""
        return _stacked(self.blocks)

    def take(self, rows: NDArray[np.int64]) -> Any:
        """A copy of the rows with these numbers (m,), a CSR matrix (m, d)."""
        order = np.argsort(rows, kind="stable")
        ends = np.searchsorted(rows[order], self._starts)
        some = [
            block[rows[order[low:high]] - start]
            for block, start, low, high in zip(self.blocks, self._starts.tolist(), ends[:-1], ends[1:], strict=False)
            if low < high
        ]
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        return _stacked(some or [self.blocks[0][:0]])[back]

    def nothing(self, count: int) -> Any:
        """So many rows of zeros."""
        from scipy.sparse import csr_array

        return csr_array((count, self.shape[1]))

    def like(self, features: Any) -> Any:
        """Rows as these are: sparse."""
        from scipy.sparse import csr_array

        return features if is_sparse(features) else csr_array(features)

    def changed(self, rows: NDArray[np.int64], new: Any) -> Self:
        """With these rows in the places of those with these numbers; the numbers of the earlier ones are nowhere in it."""
        new, blocks = self.like(new), list(self.blocks)
        for number, inside, which in hit(self._starts, rows):
            block = blocks[number]
            source = np.arange(block.shape[0])
            source[inside] = block.shape[0] + np.arange(inside.size)
            blocks[number] = _stacked([block, new[which]])[source]
        return type(self)(tuple(blocks))

    def without(self, rows: NDArray[np.int64]) -> Self:
        """Without the rows with these numbers."""
        blocks = list(self.blocks)
        for number, inside, _ in hit(self._starts, rows):
            blocks[number] = blocks[number][np.delete(np.arange(blocks[number].shape[0]), inside)]
        return type(self)(tuple(block for block in blocks if block.shape[0]) or tuple(blocks[:1]))

    def extended(self, new: Any) -> Self:
        """With these rows at the end."""
        last, more = self.blocks[-1], self.like(new)
        if last.shape[0] + more.shape[0] <= _BLOCK:
            return type(self)((*self.blocks[:-1], _stacked([last, more])))
        return type(self)((*self.blocks, *type(self).of(more).blocks))


def sparse_bytes(features: Any) -> int | None:
    """Bytes of sparse rows, None for dense ones."""
    if isinstance(features, SparseRows):
        return features.nbytes
    return features.data.nbytes + features.indices.nbytes + features.indptr.nbytes if is_sparse(features) else None


def _stacked(blocks: Any) -> Array:
    from scipy.sparse import csr_array, vstack

    return csr_array(vstack(blocks, format="csr"))
