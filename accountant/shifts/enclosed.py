"""The taut string in numbers of unlimited range, enclosed from both sides.

The same minorant as in ``minorant.py``, which spends its lines on the range of doubles. Pieces are pooled only where that is
certain: a partition finer than the minorant's costs no less, so its cost is an upper bound. Any non-decreasing slopes v bound
the cost from below, by duality: sum_k (2 v_k rise_k - v_k^2 length_k).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from accountant.numerics import Numbers, Precise

#: Rise and length of a stretch of the string.
_Piece = tuple[Any, Any]


def string_mu(log_c: Numbers, h: Numbers, nu: Numbers, start_distance: Any, diameter: Any, ar: Precise) -> Numbers:
    """mu of the best string over steps (or runs) with contraction exp(log_c_k), sensitivity h_k and noise nu_k.

    ``start_distance`` is at most ``diameter``; +inf for none. Where the tracked distance has reached the diameter the string
    may also start. +inf if no shifts exist.
    """
    active = np.flatnonzero(np.asarray((h > 0) | (nu > 0), dtype=bool))
    size = max(int(active[-1]) + 1 if active.size else 0, 1)
    weights, after = [ar.asarray(1)[()]], 0.0
    for log in log_c[:size][::-1].tolist():
        after = after + log
        weights.append(ar.exp(after))
    weights.reverse()
    distances = [start_distance]
    for log, jump in zip(log_c[:size].tolist(), h[:size].tolist(), strict=True):
        distances.append(ar.minimum(diameter, ar.exp(log) * distances[-1] + jump))
    limit = float(ar.midpoint(ar.asarray(diameter)))
    pieces: list[_Piece] = []  # from the end to the start
    costs: list[Any] = [ar.asarray(0)[()]]  # squares, of the first so many pieces
    best: Any = math.inf
    for k in range(size - 1, -1, -1):
        piece = (weights[k + 1] * h[k], (weights[k + 1] * nu[k]) ** 2)
        left = _pool(piece, pieces, ar)
        pieces, costs = [*pieces[: left[1]], left[0]], costs[: left[1] + 1]
        costs.append(costs[-1] + _cost(left[0]))
        restarts = limit < math.inf and float(ar.midpoint(ar.asarray(distances[k]))) >= limit * (1 - 1e-12)
        if k == 0 or restarts:
            begin, rest = _pool((weights[k] * distances[k], 0), pieces, ar)
            string = [*pieces[:rest], begin]
            best = ar.minimum(best, ar.between(_dual(string, ar), costs[rest] + _cost(begin)))
    return ar.sqrt(best)


def _pool(piece: _Piece, later: list[_Piece], ar: Precise) -> tuple[_Piece, int]:
    """``piece`` joined with the later pieces (the last in the list first) that are surely less steep; how many are left."""
    left = len(later)
    while left and _steeper(piece, later[left - 1], ar):
        left -= 1
        piece = (piece[0] + later[left][0], piece[1] + later[left][1])
    return piece, left


def _steeper(piece: _Piece, later: _Piece, ar: Precise) -> bool:
    (rise, length), (its_rise, its_length) = piece, later
    if length == 0:
        return True  # nothing happens, or a jump that only later noise can close
    return ar.surely_greater(rise * its_length, its_rise * length)


def _cost(piece: _Piece) -> Numbers:
    rise, length = piece
    return 0 if rise == 0 else rise * rise / length if length != 0 else math.inf


def _dual(pieces: list[_Piece], ar: Precise) -> Numbers:
    """The lower bound, for slopes that never decrease towards the end."""
    total: Any = ar.asarray(0)[()]
    slope: Any = ar.asarray(0)[()]
    for rise, length in reversed(pieces):
        if length == 0:
            if rise == 0:
                continue
            return ar.asarray(math.inf)[()]
        own = ar.centre(ar.asarray(rise / length)[()])
        slope = own if ar.surely_greater(own, slope) else slope
        total = total + slope * (2 * rise - slope * length)
    return total
