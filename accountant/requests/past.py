"""The law of what all past requests left: bounds on tail probabilities, on a linear grid that rounds up.

P(X > cell (k - 1)) is at most tail[k], and beyond, up to ``worst``, at most the last entry. A sum, an ageing and a
rounding never make a tail smaller, and privacy curves grow with every outcome, so every law here is on the safe side. Tails are
kept to 24 bits, rounded up: what is monotone and has finitely many values comes to rest, and laws that come back are the same
to the last bit, so that a stream need not work them out again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from accountant.numerics import Floats, InputError, number

#: Cells of a law; what lies beyond counts as the worst outcome.
MOST_CELLS: Final = 1 << 18
#: What a few thousand roundings lose of a probability, or of an outcome.
_ROUNDED: Final = 1e-12
#: Bits of a tail probability that are dropped, after rounding up.
_DROPPED: Final = 28
#: log of the least floor.
_LEAST: Final = -660.0
#: Tails so near the floor are at the floor, which is doubled where a law is read.
_NEAR: Final = 1e-9


def _raised(tail: Floats) -> Floats:
    """To 24 bits, rounded up."""
    return np.asarray(((tail.view(np.int64) + (1 << _DROPPED) - 1) >> _DROPPED << _DROPPED).view(np.float64))


@dataclass(frozen=True, eq=False)
class PastLaw:
    """tail (K,), from one down to ``floor`` or what lies beyond the grid; worst: no outcome is larger, but by roundings."""

    cell: float
    tail: Floats
    worst: float
    floor: float
    #: What was worked out from this law, by whoever did.
    known: dict[Any, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def key(self) -> bytes:
        """The same for the same law only."""
        return hashlib.blake2b(self.tail.tobytes() + repr((self.cell, self.worst)).encode(), digest_size=24).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PastLaw) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return PastLaw, (self.cell, self.tail, self.worst, self.floor)

    @classmethod
    def nothing(cls, cell: float, log_floor: float) -> PastLaw:
        """Of no requests: zero. exp(log_floor): a probability that counts as none, up to a factor of two."""
        floor = float(_raised(np.array([math.exp(max(log_floor, _LEAST))]))[0])
        return cls(cell, np.array([1.0, floor]), 0.0, floor)

    def aged(self, factor: float, cell: float) -> PastLaw:
        """The law of factor * X, 0 <= factor, on another grid."""
        ratio = factor * self.cell / cell * (1 + _ROUNDED)
        worst = factor * self.worst * (1 + _ROUNDED)
        size = min(math.ceil((self.tail.size - 2) * ratio), MOST_CELLS)
        # ceil(k ratio) >= m where k > (m - 1)/ratio; a smaller index is on the safe side.
        index = np.floor(np.arange(size) / ratio * (1 - 1e-15)).astype(np.int64) + 1 if size else np.zeros(0, dtype=np.int64)
        tail = np.concatenate([[1.0], self.tail[index], self.tail[-1:]])
        return PastLaw(cell, tail, worst, self.floor)

    def plus(self, values: Floats, weights: Floats) -> PastLaw:
        """With an independent outcome of these values >= 0 added."""
        index = np.ceil(np.minimum(values / self.cell * (1 + _ROUNDED), MOST_CELLS + 1)).astype(np.int64)
        mass = np.bincount(index, weights)
        some = np.flatnonzero(mass)
        above = np.cumsum(mass[::-1])[::-1]
        size, last = self.tail.size - 1, self.tail[-1]
        total = np.full(min(size + mass.size, MOST_CELLS), 0.0)
        # Where the new outcome alone is enough, where it is so small that the old one is beyond its grid, and in between.
        near = min(mass.size, total.size)
        total[:near] += above[:near]
        far = np.arange(size + 1, total.size)
        total[size + 1 :] += last * (1 - np.append(above, 0.0)[np.minimum(far - size, mass.size)])
        first, most = int(some[0]), int(some[-1])
        if some.size * 4 < most - first or size < 64:
            for at in some.tolist():
                room = min(size, total.size - at - 1)
                if room > 0:
                    total[at + 1 : at + 1 + room] += mass[at] * self.tail[1 : 1 + room]
        elif size:
            both = np.convolve(mass[first : most + 1], self.tail[1:])[: max(total.size - 1 - first, 0)]
            total[1 + first : 1 + first + both.size] += both
        worst = float(_raised(np.array([(self.worst + float(values.max())) * (1 + _ROUNDED)]))[0])
        return self._settled(total, worst)

    def _settled(self, total: Floats, worst: float) -> PastLaw:
        floor = max(self.floor, float(self.tail[-1]))
        # Every cell may be a sum of all others.
        total = np.maximum.accumulate((total * (1 + max(_ROUNDED, total.size * 2.0**-52)))[::-1])[::-1]
        inside = np.flatnonzero(total > floor * (1 + _NEAR))
        kept = total[: inside[-1] + 1 if inside.size else 1]
        beyond = floor if kept.size < total.size or total.size < MOST_CELLS else float(total[-1])
        tail = np.minimum(_raised(np.append(kept, beyond)), 1.0)
        tail[0] = 1.0
        return PastLaw(self.cell, tail, worst, self.floor)

    def components(self, delta: float, most: int = 1024) -> tuple[Floats, Floats]:
        """Weights that sum to one, and outcomes in ascending order, (C,), some ``most`` of them, rounded up again.

        Finest where the probability of more is not small against delta.
        """
        last = self.tail.size - 2
        common = int(np.searchsorted(-self.tail[1:-1], -1e-3 * delta))
        stride = max(1, math.ceil(4 * common / (3 * most)))
        ends = np.arange(0, common, stride)
        if common <= last:
            left = max(most // 4, 1)
            fine = max(1.0, (last + 1 - common) / left)
            ends = np.append(ends, np.unique(np.ceil(np.arange(common, last + 1, fine)).astype(np.int64)))
        ends = np.unique(np.append(ends[ends <= last], last))
        above = np.append(self.tail[ends[:-1] + 1], min(2 * float(self.tail[-1]), 1.0))
        above = np.maximum(above, above[-1])
        mass = np.append(-np.diff(np.append(1.0, above)), above[-1])
        values = np.append(np.minimum(self.cell * ends, self.worst), self.worst)
        some = mass > 0
        return mass[some], values[some]

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        text = base64.b85encode(zlib.compress(self.tail.astype("<f8").tobytes(), 9)).decode("ascii")
        return {"cell": self.cell, "worst": self.worst, "floor": self.floor, "tail": text}

    @classmethod
    def from_dict(cls, data: Any) -> PastLaw:
        """What :meth:`to_dict` gave, or InputError."""
        if not isinstance(data, dict) or set(data) != {"cell", "worst", "floor", "tail"} or not isinstance(data["tail"], str):
            raise InputError("law of the stream state must hold cell, floor, tail and worst")
        sizes = {name: number(f"{name} of the law of the stream state", data[name], at_least=0) for name in ("worst", "floor")}
        cell = number("cell of the law of the stream state", data["cell"], above=0)
        try:
            unpacking = zlib.decompressobj()
            packed = unpacking.decompress(base64.b85decode(data["tail"]), 8 * (MOST_CELLS + 2))
            tail = np.frombuffer(packed, dtype="<f8").astype(np.float64)
        except (ValueError, zlib.error, binascii.Error):
            tail = np.zeros(0)
        sound = tail.size > 1 and bool(np.all(np.isfinite(tail))) and tail[0] == 1 and tail[-1] >= sizes["floor"]
        if not sound or np.any(np.diff(tail) > 0):
            raise InputError("law of the stream state must be one that a stream has saved")
        return cls(cell, tail, sizes["worst"], sizes["floor"])
