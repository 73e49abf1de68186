"""Broadcasting: many problems at once, flattened into rows and worked off in blocks that fit the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics.validation import InputError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
#: Called with the work done and the work there is, in no particular unit.
Progress = Callable[[int, int], None]
#: Numbers held per temporary array, problems times components; a dozen temporaries of this size stay in the cache.
_BLOCK: Final = 1 << 16


def plain(values: Floats) -> float | Floats:
    """A Python float for a zero-dimensional array, the array otherwise."""
    return float(values) if np.ndim(values) == 0 else values


def broadcast(*arrays: Floats) -> list[Floats]:
    """The arrays in one shape; InputError where there is none."""
    try:
        return list(np.broadcast_arrays(*arrays))
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"the arguments must broadcast together, got shapes {shapes}") from None


def in_blocks(function: Callable[..., Floats], *arrays: Floats, components: int = 0, width: int = 1) -> Floats:
    """Broadcast ``arrays``, call ``function`` on blocks of flattened rows, and shape the (P,) results back.

    The last ``components`` arrays carry an extra last axis of J components, which is passed through: they arrive as (P, J).
    ``width`` is how many numbers the function itself makes of a row.
    """
    plain_arrays = arrays[: len(arrays) - components]
    with_axis = arrays[len(arrays) - components :]
    shape = broadcast(*plain_arrays, *(a[..., 0] for a in with_axis))[0].shape
    size = int(np.prod(shape))
    flat = [np.broadcast_to(a, shape).reshape(size) for a in plain_arrays]
    wide = [np.broadcast_to(a, (*shape, a.shape[-1])).reshape(size, a.shape[-1]) for a in with_axis]
    rows = max(1, _BLOCK // max([width, *(a.shape[-1] for a in with_axis)]))
    result = np.empty(size)
    for start in range(0, size, rows):
        block = slice(start, start + rows)
        result[block] = function(*(a[block] for a in flat), *(a[block] for a in wide))
    return result.reshape(shape)
