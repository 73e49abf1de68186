"""What a run will need of memory, against what the machine has, before anything is allocated.

What is available is read by psutil (extra ``trainer``); without it no memory is checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from accountant.numerics import InputError
from accountant.trainer.parts import Part
from accountant.trainer.steps import NOISE, ROWS, group_size


def available_bytes() -> float:
    """Memory that can still be had, the file cache included; +inf without psutil, or where the system does not say."""
    try:
        import psutil

        return float(psutil.virtual_memory().available)
    except (ImportError, OSError):
        return math.inf


def needed_bytes(
    parts: Sequence[Part],
    *,
    n: int,
    features: int,
    outputs: int,
    trials: int,
    own_orders: bool,
    dtype: np.dtype,
    visited: int | None = None,
) -> int:
    """Of n rows of so many features in ``dtype``, and of ``trials`` runs over them, with batch orders of their own or one.

    visited: rows that a trial picks out for all batches of an epoch, if not n.
    """
    item = dtype.itemsize
    # Parameters and all that is computed with them.
    wide = 8
    # Data, labels, norms and clipping limits; orders; parameters before and after, and a gradient.
    fixed = n * (features * item + 32) + (trials if own_orders else 1) * n * 8
    fixed += 4 * trials * outputs * features * wide
    most = 0
    for part in parts:
        batch = part.batch_size
        together = group_size(trials, batch, n=n, row=features * item) if own_orders and batch < n else trials
        reordered = 0 if batch == n else (visited or n) * features * item * (together if own_orders else 1)
        noise = max(together * outputs * features, NOISE) * wide
        widened = min(batch, ROWS) * features * wide * (together if own_orders else 1) if item < wide else 0
        most = max(most, reordered + noise + widened + 4 * min(batch, ROWS) * together * outputs * wide)
    return fixed + most


def check_memory(need: float, *, lower: str) -> None:
    """InputError if ``need`` bytes are more than what is available; ``lower`` says what would help."""
    have = available_bytes()
    if need > have:
        raise InputError(f"training needs about {_size(need)} of memory and {_size(have)} are available: {lower}")


def _size(count: float) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
