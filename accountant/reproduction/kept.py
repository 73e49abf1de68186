"""Finished cells of experiments in a file, from which a run that was ended goes on.

One JSON file holds those of several experiments, each under a key of all that its rows follow from: the cells themselves, the
data, trials, seed, and the versions of this package and of NumPy, whose generator is used. Rows under another key are not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from accountant._version import __version__
from accountant.numerics import InputError, atomic_file
from accountant.reproduction.experiments import Experiment
from accountant.trainer import Digits

_FORMAT: Final = "cells of accountant reproduce, 1"
#: What a trial's generator is at.
State = dict[str, Any]
#: Rows of a cell as they are written, and the generators after it.
_Entry = tuple[list[dict[str, Any]], list[State]]


def key_of(plan: Experiment, digits: Digits, *, trials: int, seed: int) -> str:
    """What tells one set of rows from another."""
    digest = hashlib.sha256()
    for array in (digits.features, digits.labels, digits.test_features, digits.test_labels):
        digest.update(repr((array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    digest.update(repr((plan.cells, trials, seed, __version__, np.__version__)).encode())
    return digest.hexdigest()


class Kept:
    """Of one experiment; path None: in memory only. InputError for a file that is there and is none of these."""

    def __init__(self, path: str | Path | None, key: str) -> None:
        self.path, self.key = None if path is None else Path(path), key
        self._cells: dict[str, Any] = self._read().get(key, {})

    def copy(self) -> Kept:
        """The same cells, without a file."""
        other = Kept(None, self.key)
        other._cells = dict(self._cells)
        return other

    def __contains__(self, cell: int) -> bool:
        return str(cell) in self._cells

    def __len__(self) -> int:
        return len(self._cells)

    def entry(self, cell: int) -> _Entry:
        """Rows and generators of a finished cell."""
        rows, states = self._cells[str(cell)]
        return rows, states

    def add(self, cell: int, rows: Sequence[dict[str, Any]], states: Sequence[State]) -> None:
        """Keep a finished cell: the file has it, or all that it had before."""
        self._cells[str(cell)] = [list(rows), list(states)]
        if self.path is None:
            return
        # Read again: another experiment may have been kept since.
        whole = {"format": _FORMAT, "experiments": {**self._read(), self.key: self._cells}}
        try:
            with atomic_file(self.path) as part:
                part.write_text(json.dumps(whole), encoding="utf-8")
        except OSError as error:
            raise InputError(f"keep file {self.path} cannot be written: {error.strerror}") from None

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            whole = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise InputError(f"keep file {self.path} cannot be read: {error.strerror}") from None
        except ValueError:
            whole = None
        if not isinstance(whole, dict) or whole.get("format") != _FORMAT or not isinstance(whole.get("experiments"), dict):
            raise InputError(f"keep must be a file of finished cells, or one that is not there yet, got {self.path}")
        return dict(whole["experiments"])
