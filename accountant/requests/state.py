"""What a stream remembers of the requests that it has answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class StreamState:
    """All that the past requests leave behind. Distances are in units of 2 eta M (replace) or eta M (zero-out).

    distance, tracked and mu are numbers of the stream's arithmetic.

    distance: sum over requests of their worst distances, contracted by what ran since, without projection (published bounds:
        at most 2R). tracked: the same, never above 2R. mu: sum of the worst mu (finite learning only). since: steps after the
        last deletion. span: steps of the longest string so far, learning included (finite learning only).
    inserted: records that joined. classes: points of a smaller class of norm than the stream's own, by their shares r/M, which
        rise. waiting: the largest class among those that wait; 0: the stream's own.
    law: of what all requests left (a :class:`~accountant.requests.past.PastLaw`), where it is averaged.
    """

    requests: int = 0
    points: int = 0
    steps: int = 0
    since: int = 0
    distance: Any = 0.0
    tracked: Any = 0.0
    mu: Any = 0.0
    span: float = 0.0
    inserted: int = 0
    classes: tuple[tuple[float, int], ...] = ()
    waiting: float = 0.0
    law: Any = None
