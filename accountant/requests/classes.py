"""Requests of records of several classes of norm in one stream (docs/theory.md, "Classes of norm").

A request of a class is answered by the rule of that class, whose sensitivity is r/M of that for all. What the past left is a
distance in units of the sensitivity, so it is read in that rule's units and put back into the stream's own; mu and the laws of
mu have no unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from accountant.bounds import PUBLIC_CLASSES
from accountant.numerics import InputError, integer, number, shown
from accountant.requests.rules import SAFE
from accountant.requests.state import StreamState

#: Shares r/M with how many points of them were deleted, rising.
Classes = tuple[tuple[float, int], ...]
#: Most classes of which a state can tell.
_MOST: Final = 1000


def checked_class(norm_class: float | None, own: float, bound: str) -> float:
    """The class r/M of a request in a stream whose records have at most ``own``, which None stands for; or InputError."""
    if norm_class is None:
        return own
    share = number("norm_class", norm_class, above=0, at_most=own)
    if share < own and bound != "optimal":
        raise InputError(f"norm_class needs bound=optimal: the published bounds know one M for all records, got {bound}")
    return share


def merged(waiting: float, pending: int, share: float, own: float) -> float:
    """The class of those that wait with one more, 0 for the stream's own; waiting: of so many, ``pending``, before.

    >>> merged(0.0, 0, 0.25, 1.0), merged(0.25, 1, 0.5, 1.0), merged(0.0, 1, 0.5, 1.0)
    (0.25, 0.5, 0.0)
    """
    if pending and not waiting:
        return 0.0
    return 0.0 if share == own else max(waiting, share)


def in_units(state: StreamState, factor: float) -> StreamState:
    """A copy whose distances are in units that are so many times smaller, rounded up; the same for 1."""
    if factor == 1:
        return replace(state)
    up = factor * SAFE
    return replace(state, distance=state.distance * up, tracked=state.tracked * up)


def counted_classes(classes: Classes, share: float, points: int) -> Classes:
    """With so many more points of a class.

    >>> counted_classes(((0.5, 2),), 0.25, 1)
    ((0.25, 1), (0.5, 2))
    """
    of_each = dict(classes)
    of_each[share] = of_each.get(share, 0) + points
    return tuple(sorted(of_each.items()))


def said(classes: Classes, points: int, own: float) -> list[str]:
    """What a guarantee of so many points says of their classes; nothing where all are of the stream's own."""
    if not classes:
        return []
    each = [f"{count} of {shown(share)}" for share, count in classes]
    rest = points - sum(count for _, count in classes)
    each += [f"{rest} of {shown(own)}"] if rest else []
    lines = [
        f"classes of norm of the deleted points: {', '.join(each)}; gradients of a point of class r/M, and of what takes its "
        "place, have norm at most r"
    ]
    return lines if own < 1 else [*lines, PUBLIC_CLASSES]


def restored_classes(found: Any, points: int, own: float) -> Classes:
    """Those of a saved state; InputError for what no stream has saved."""
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) > _MOST:
        raise InputError(f"classes of the stream state must be a list of [share, points], got {found!r}")
    classes: list[tuple[float, int]] = []
    for each in found:
        if not isinstance(each, list) or len(each) != 2:
            raise InputError(f"classes of the stream state must be a list of [share, points], got {each!r}")
        share = number("share of a class of the stream state", each[0], above=0, below=own)
        classes.append((share, integer("points of a class of the stream state", each[1], at_least=1, at_most=points)))
    if sorted({share for share, _ in classes}) != [share for share, _ in classes] or sum(n for _, n in classes) > points:
        raise InputError(f"classes of the stream state must rise and count no more than {points} points, got {found!r}")
    return tuple(classes)
