"""Row labels: what a data frame calls its rows, so that a request names the rows that its author means.

A label is an id. Where the X given to ``fit`` had an index of its own, an integer could be a label or a row number, which are
different persons: a pandas Index or Series holds labels, and of plain integers the caller must say what they are. pandas is not
needed here, only known by its looks.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import InputError, choice
from accountant.trainer.identifiers import Identifier, first_twice
from accountant.trainer.points import row_numbers

BY: Final = ("rows", "labels")
#: Kinds of labels.
NONE, NUMBERS, OWN, LOST = "none", "numbers", "own", "lost"


@dataclass(frozen=True, eq=False)
class RowLabels:
    """The labels of n rows.

    kind: "none" (X was an array), "numbers" (0 ... n - 1 in this order), "own", or "lost" (own ones that no file could keep).
    values, rows: own labels, (m,), and the row of each; those of removed rows go.
    """

    n: int
    kind: str = NONE
    values: NDArray[Any] | None = None
    rows: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, X: object, n: int) -> Self:
        """Those of X (n, d)."""
        index = getattr(X, "index", None)
        if index is None or callable(index) or not hasattr(index, "tolist") or getattr(X, "ndim", 2) != 2:
            return cls(n)
        found = index.tolist()
        if all(type(label) is int for label in found):
            if found == list(range(n)):
                return cls(n, NUMBERS)
            if all(abs(label) < 2**63 for label in found):
                return cls(n, OWN, np.array(found, dtype=np.int64), np.arange(n))
        return cls(n, OWN, as_objects(found), np.arange(n))

    def find(self, indices: ArrayLike, by: str | None) -> NDArray[np.int64]:
        """The rows (S,) that a request names, or InputError."""
        framed = _framed(indices)
        if by is None:
            by = self._meant(indices, framed)
        elif choice("by", by, BY) == "labels" and self.kind in (NONE, LOST):
            raise InputError(f"by must be rows: {self._unknown()}")
        if by == "rows" or self.kind == NUMBERS:
            return row_numbers("indices", np.asarray(indices) if framed else indices, self.n)
        return self._labelled(_asked(indices))

    def identifiers(self) -> tuple[Identifier, ...] | None:
        """The labels as identifiers; None where row numbers serve: without labels, and with others than text and integers.

        InputError for a label of several rows: each is a person, or must be told from others by ids.
        """
        if self.values is None:
            return None
        labels = self.values.tolist()
        twice = first_twice(labels)
        if twice is not None:
            raise InputError(f"X must have an index of different labels, or ids be given, got {twice!r} more than once")
        return tuple(labels) if all(type(label) in (int, str) for label in labels) else None

    def with_rows(self, other: RowLabels) -> Self:
        """And those of rows that came later."""
        n = self.n + other.n
        if other.values is None or other.rows is None:
            kind = OWN if self.kind == OWN else self.kind
            return replace(self, n=n, kind=kind)
        if self.values is None or self.rows is None:
            return replace(self, n=n, kind=OWN, values=other.values, rows=other.rows + self.n)
        values = as_objects([*self.values.tolist(), *other.values.tolist()])
        if self.values.dtype == other.values.dtype == np.int64:
            values = np.append(self.values, other.values)
        return replace(self, n=n, values=values, rows=np.append(self.rows, other.rows + self.n))

    def without(self, rows: NDArray[np.int64]) -> Self:
        """Of what is left once these rows are gone."""
        if self.values is None or self.rows is None:
            return self
        left = ~np.isin(self.rows, rows)
        return replace(self, values=self.values[left], rows=self.rows[left])

    def _meant(self, indices: object, framed: bool) -> str:
        if self.kind == NUMBERS:
            return "rows"
        if framed:
            if self.kind != OWN:
                raise InputError(
                    f"indices in a pandas object are labels, but {self._unknown()}: give row numbers, as a list or NumPy array"
                )
            return "labels"
        if self.kind == NONE:
            return "rows"
        asked = _asked(indices)
        whole = all(isinstance(each, Integral) and not isinstance(each, bool) for each in asked)
        if not whole:
            return "labels" if self.kind == OWN else "rows"
        if self.kind == OWN and self.values is not None and self.values.dtype == object:
            # Numbers among other labels may be either.
            if not any(isinstance(label, Integral) for label in self.values.tolist()):
                return "rows"
        elif self.kind == OWN and self._agree(asked):
            return "rows"
        raise InputError(
            f"indices {_shown(asked)} may be labels or row numbers, because X at fit had an index of its own: give labels as a "
            "pandas Index (X.index[[...]]) or with by='labels', row numbers with by='rows'"
        )

    def _agree(self, asked: Sequence[Any]) -> bool:
        """Whether label and row number are the same for all of these."""
        assert self.values is not None
        assert self.rows is not None
        same = self.rows[self.values == self.rows]
        return bool(len(asked)) and all(each in same and (self.values == each).sum() == 1 for each in asked)

    def _labelled(self, asked: Sequence[Any]) -> NDArray[np.int64]:
        assert self.values is not None
        assert self.rows is not None
        try:
            found: dict[Hashable, list[int]] = {label: [] for label in asked}
        except TypeError:
            raise InputError(f"indices must be labels of X's index at fit, got {_shown(asked)}") from None
        if not asked or len(found) < len(asked):
            raise InputError(f"indices must name one or more rows, each once, got {_shown(asked)}")
        for label, row in zip(self.values.tolist(), self.rows.tolist(), strict=True):
            if label in found:
                found[label].append(row)
        for label, rows in found.items():
            if not rows:
                raise InputError(
                    f"indices must be labels of X's index at fit whose rows have not been removed before, got {label!r}"
                )
            if len(rows) > 1:
                raise InputError(
                    f"indices must be labels of one row each, but {label!r} is that of rows {_shown(rows)}: name these with "
                    "by='rows'"
                )
        return np.array([rows[0] for rows in found.values()], dtype=np.int64)

    def _unknown(self) -> str:
        if self.kind == LOST:
            return "the file that this model comes from could not keep X's labels, which are neither integers nor text"
        return "the X given to fit had none (it was no data frame)"


def as_objects(labels: Sequence[object]) -> NDArray[np.object_]:
    """(n,), also of labels that are tuples."""
    values = np.empty(len(labels), dtype=object)
    for place, label in enumerate(labels):
        values[place] = label
    return values


def _framed(indices: object) -> bool:
    """Whether this is a pandas Index or Series; InputError for a whole frame."""
    index = getattr(indices, "index", None)
    series = index is not None and not callable(index) and hasattr(index, "get_indexer")
    if series and getattr(indices, "ndim", 1) != 1:
        raise InputError("indices must be labels or row numbers, got a whole data frame: give its index")
    return series or hasattr(indices, "get_indexer")


def _asked(indices: Any) -> list[Any]:
    if hasattr(indices, "tolist"):
        values = indices.tolist()
        return values if isinstance(values, list) else [values]
    if isinstance(indices, (str, bytes)) or not hasattr(indices, "__iter__"):
        return [indices]
    return list(indices)


def _shown(values: Sequence[object]) -> str:
    return ", ".join(map(repr, values[:5])) + (", ..." if len(values) > 5 else "")
