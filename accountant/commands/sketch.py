"""A curve drawn with letters, for terminals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_HEIGHT: Final = 12


def lines(points: Sequence[tuple[float, float]], *, width: int, names: tuple[str, str]) -> list[str]:
    """The points as stars over a logarithmic axis, between the largest and the smallest value.

    points: (x > 0, y >= 0), two at least. width: of the lines, at most. names: of x and y.

    >>> for line in lines([(0.001, 3.0), (0.01, 2.0), (0.1, 0.0)], width=30, names=("delta", "epsilon"))[:3]: print(line)
    epsilon
          3 |*
            |
    """
    values = [value for _, value in points if math.isfinite(value)]
    if not values:
        return ["nothing to draw: no value is finite"]
    top, bottom = max(values), min(0.0, *values)
    labels = {0: f"{top:.4g}", _HEIGHT - 1: f"{bottom:.4g}"}
    before = max(len(names[1]), *map(len, labels.values()))
    columns = max(width - before - 2, 2)
    across = [math.log(x) for x, _ in points]
    left, span = min(across), (max(across) - min(across)) or 1.0
    rows = [[" "] * columns for _ in range(_HEIGHT)]
    for at, (_, value) in zip(across, points, strict=True):
        if math.isfinite(value):
            down = round((top - value) / ((top - bottom) or 1.0) * (_HEIGHT - 1))
            rows[down][round((at - left) / span * (columns - 1))] = "*"
    drawn = [f"{labels.get(number, ''):>{before}} |{''.join(row)}".rstrip() for number, row in enumerate(rows)]
    first, last = f"{points[0][0]:.3g}", f"{points[-1][0]:.3g}"
    if points[0][0] > points[-1][0]:
        first, last = last, first
    gap = max(columns - len(first) - len(last), 1)
    middle = f" {names[0]} ".center(gap) if gap > len(names[0]) + 2 else " " * gap
    return [names[1], *drawn, " " * (before + 1) + "+" + "-" * columns, " " * (before + 2) + first + middle + last]
