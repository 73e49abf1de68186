"""What a stream of own draws states of its next request, and in terms of what: for certificates, which prove it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from accountant.averaging import OwnPlacements
from accountant.requests.rules import CurveAfter
from accountant.requests.secret import SecretRule
from accountant.requests.stream import UnlearningStream


@dataclass(frozen=True)
class StatedAfter:
    """The curve after a request, and what it was computed in.

    alone: the accountant's own answer for a first request, not a law on a grid. joint: every choice of batches of its records
    has shifts of its own. cell: of the grid of laws, None where there is none. rounding: mu of rounding in training, which is
    in every mu of the curve.
    """

    curve: CurveAfter
    alone: bool
    joint: bool
    cell: float | None
    rounding: float


def stated_after(stream: UnlearningStream, points: int, steps: int) -> StatedAfter:
    """What the stream states if its next request, of so many points, is answered with so many steps; UnreachableError."""
    rule, place = stream.next_place(points)
    own = cast(SecretRule, rule)
    placing = replace(stream.accountant.placing, group_size=points)
    alone = own.answers_alone(stream.state, place)
    return StatedAfter(
        curve=own.curve_after(stream.state, place, steps),
        alone=alone,
        joint=alone and points > 1 and isinstance(placing.components, OwnPlacements),
        cell=None if own.nothing is None else own.nothing.cell,
        rounding=own.rounded + own.piled(stream.state, steps),
    )


def epochs_counted(stream: UnlearningStream, points: int) -> float:
    """Epochs that the records of the next request count as having been in for; infinite where learning never ended."""
    return stream.next_place(points)[1].epochs
