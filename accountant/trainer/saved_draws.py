"""Draws in files: the key, what records are called, and how often their identifiers were used.

The key is what makes a saved model as secret as the one in memory. Of records that left there is a keyed hash each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import integer
from accountant.problem import PNSGD
from accountant.trainer.draws import KEY, Draws
from accountant.trainer.identifiers import identifiers

#: Arrays (n,) of every row.
DRAW_ARRAYS: Final = ("counters", "numbers", "joined")
#: Of a file whose key is that of no stranger.
SECRET_KEY: Final = (
    "this file holds the key of the draws: whoever reads it knows which batch every record is or was in; keep it secret"
)


def draws_header(draws: Draws | None, n: int) -> dict[str, object] | None:
    """What is no array, as JSON types; of one trial. n: the nominal number of records, of which J was made."""
    if draws is None:
        return None
    [key] = draws.keys
    return {
        "n": n,
        "key": key.hex(),
        "key_is_secret": draws.key_is_secret,
        "identifiers": list(draws.identifiers),
        "used": {tag.hex(): count for tag, count in draws.used.items()},
        "came": draws.came,
        "redrawn": draws.redrawn,
        "note": SECRET_KEY,
    }


def draws_arrays(draws: Draws | None) -> dict[str, NDArray[np.int64]]:
    return {} if draws is None else {name: getattr(draws, name) for name in DRAW_ARRAYS}


def read_draws(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], n: int, algorithm: PNSGD) -> Draws:
    """The draws of n rows; ValueError and its like where the parts do not fit together."""
    counters, numbers, joined = (arrays[name] for name in DRAW_ARRAYS)
    names = identifiers("identifiers", header["identifiers"], n)
    key, came = bytes.fromhex(header["key"]), integer("came", header["came"], at_least=n)
    used = {bytes.fromhex(tag): integer("used", count, at_least=1) for tag, count in header["used"].items()}
    for array in (counters, numbers, joined):
        if array.shape != (n,) or array.dtype != np.int64 or (array < 0).any():
            raise ValueError("draws")
    if len(key) != KEY or (np.diff(numbers) <= 0).any() or numbers[-1] >= came:
        raise ValueError("draws")
    draws = Draws(
        assignment=algorithm.assignment,
        batches=algorithm.steps_per_epoch,
        keys=(key,),
        key_is_secret=bool(header["key_is_secret"]),
        identifiers=names,
        counters=counters,
        numbers=numbers,
        joined=joined,
        used=used,
        came=came,
        redrawn=bool(header["redrawn"]),
    )
    return draws.drawn()
