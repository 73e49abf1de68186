"""What a stream states of its next request, and in terms of what: for certificates, which prove it again."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, cast

import numpy as np

from accountant.averaging import EXACT, OwnPlacements
from accountant.curves import TANGENT, rounded_up
from accountant.requests.averaged import AveragedRule
from accountant.requests.rules import CurveAfter, Place, drawn_group
from accountant.requests.secret import SecretRule
from accountant.requests.state import StreamState
from accountant.requests.stream import UnlearningStream

#: What a cell of a group's grid is raised by, so that no outcome on the grid is taken for one a little above.
_ABOVE: Final = 1 + 1e-13


class GroupGrid(NamedTuple):
    """How the points of a partition's newest group were followed: "drawn" without replacement, or "replaced"; cell: in mu.

    method None: of more than half of all points, the others were.
    """

    method: str | None
    cell: float


@dataclass(frozen=True)
class StatedAfter:
    """The curve after a request, and what it was computed in.

    alone: the accountant's own answer for a first request, not a law on a grid. joint: every choice of batches of its records
    has shifts of its own. cell: of the grid of laws, None where there is none. rounding: mu of rounding in training, which is
    in every mu of the curve. at_worst: earlier requests count at their worst positions. group: of the newest points, where
    only convex functions may read what they left.
    """

    curve: CurveAfter
    alone: bool
    joint: bool
    cell: float | None
    rounding: float
    at_worst: bool = False
    group: GroupGrid | None = None


def stated_after(stream: UnlearningStream, points: int, steps: int) -> StatedAfter:
    """What the stream states if its next request, of so many points, is answered with so many steps; UnreachableError."""
    rule, place = stream.next_place(points)
    own = cast(AveragedRule, rule)
    curve, cell = own.curve_after(stream.state, place, steps), None if own.nothing is None else own.nothing.cell
    rounding = own.rounded + own.piled(stream.state, steps)
    if not isinstance(own, SecretRule):
        group = _group_grid(own, place, steps) if curve.kind == TANGENT else None
        worst = not _is_averaged(own, curve, stream.state, place, steps)
        return StatedAfter(curve, False, False, cell, rounding, at_worst=worst, group=group)
    placing = replace(stream.accountant.placing, group_size=points)
    alone = own.answers_alone(stream.state, place)
    joint = alone and points > 1 and isinstance(placing.components, OwnPlacements)
    return StatedAfter(curve, alone, joint, cell, rounding)


def epochs_counted(stream: UnlearningStream, points: int) -> float:
    """Epochs that the records of the next request count as having been in for; infinite where learning never ended."""
    return stream.next_place(points)[1].epochs


def counts_at_worst(stream: UnlearningStream, points: int) -> bool:
    """Whether so many points are nearly all that is left of a partition: the law of what requests left has them at worst."""
    rule, _ = stream.next_place(points)
    own = cast(AveragedRule, rule)
    return not isinstance(own, SecretRule) and own.named_before(stream.state, points) is None


def _is_averaged(rule: AveragedRule, curve: CurveAfter, state: StreamState, place: Place, steps: int) -> bool:
    """Whether the curve is the one that averages what older requests left."""
    found = rule.averaged(state, place, steps)
    return found is not None and curve.kind == found.curve.kind and np.array_equal(curve.values, rounded_up(found.log_scale[0]))


def _group_grid(rule: AveragedRule, place: Place, steps: int) -> GroupGrid:
    found = drawn_group(rule.algorithm, place.points, place.phase, place.epochs)
    method = "drawn" if found.method == EXACT else "replaced"
    few = 2 * place.points <= rule.algorithm.problem.n
    return GroupGrid(method if few else None, found.step * math.exp(float(rule.log_per_distance(place, steps))) * _ABOVE)
