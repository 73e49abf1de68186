"""The shift engine: the best shifts for any schedule, as a taut string (Bok, Su & Altschuler 2024, arXiv 2403.00278).

Two processes x_k = Proj(phi_k(x_{k-1}) + nu_k W_k) with c_k-Lipschitz maps that differ by at most h_k are, for every choice
of shifts a_k >= 0 with z_k = c_k z_{k-1} + h_k - a_k >= 0 and z_N = 0, mu-GDP with mu^2 = sum_k (a_k/nu_k)^2. With weights
W_k = c_{k+1} ... c_N, S_k = W_0 z_0 + sum_{i<=k} W_i h_i and t_k = sum_{i<=k} W_i^2 nu_i^2 the smallest mu is the length of the
greatest convex minorant of (0, 0), (t_1, S_1), ..., (t_N, S_N): mu^2 = sum over its pieces of (rise)^2/length.

Pool adjacent violators, from the end: every step is a piece with its rise W_k h_k and length W_k^2 nu_k^2; a piece that is
steeper than the one after it joins it. A start at distance z is a piece of no length and rise W z, so a restart at the diameter
costs one bisection for the pieces that it joins. Pieces carry their own power of the weights: nothing over- or underflows
however long the schedule contracts or expands: the cost rise^2/length does not depend on it.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from accountant.numerics import SMALLEST, Floats, smallest_whole

#: Stands for the logarithm of zero: its exponential is zero, and it stays finite in sums.
FORGOTTEN: Final = -1e18


class _Piece(NamedTuple):
    """Steps first ... last-1 between two vertices: rise = r e^s and length = (q e^s)^2, with s = ``log_scale``."""

    first: int
    last: int
    log_scale: float
    rise: float
    root_length: float
    log_slope: float

    @property
    def cost(self) -> float:
        """rise/sqrt(length), whose squares add up to mu^2."""
        if self.rise <= 0:
            return 0.0
        return self.rise / self.root_length if self.root_length > 0 else math.inf


class String(NamedTuple):
    """The taut string: mu (rounded up, +inf if no shifts exist), the step it starts at, and its pieces from end to start."""

    mu: float
    start: int
    pieces: list[_Piece]
    log_weights: Floats
    tracked: Floats

    def chord(self, h: Floats, nu: Floats) -> float:
        """S_N/sqrt(t_N) over all steps: the mu that two Gaussian processes attain."""
        return _summed(0, self.log_weights.size - 1, self.log_weights, h, nu, float(self.tracked[0])).cost

    def log_chord(self, h: Floats, nu: Floats) -> float:
        """The logarithm of :meth:`chord`, -inf for zero."""
        chord = self.chord(h, nu)
        return math.log(chord) if chord > 0 else -math.inf


def taut_string(log_c: Floats, h: Floats, nu: Floats, start_distance: float, diameter: float) -> String:
    """The string of steps with contraction exp(log_c_k), sensitivity h_k and noise nu_k; unchecked arrays of one length.

    A step may stand for a run of steps among which no vertex can be: its h is the distance that the run adds by its end,
    its nu the standard deviation of the noise that arrives there. ``start_distance`` is at most ``diameter``.
    """
    # What a contraction to a point came upon is forgotten.
    forgotten = np.flatnonzero(log_c <= FORGOTTEN)
    if forgotten.size:
        before = np.arange(h.size) < forgotten[-1]
        h, nu, start_distance = np.where(before, 0.0, h), np.where(before, 0.0, nu), 0.0
    # What comes after the last difference and the last noise is post-processing, however much it contracts.
    active = np.flatnonzero((h > 0) | (nu > 0))
    size = max(int(active[-1]) + 1 if active.size else 0, 1)
    log_c, h, nu = log_c[:size], h[:size], nu[:size]
    log_weights = weights_left(log_c)
    tracked = tracked_distances(np.exp(log_c), h, start_distance, diameter)
    start, rough = _pieces(log_weights, h, nu, tracked, diameter)
    pieces = [
        _summed(piece.first, piece.last, log_weights, h, nu, tracked[start] if piece.first == start else 0.0) for piece in rough
    ]
    mu = math.hypot(*(piece.cost for piece in pieces))
    # Roundings of sums of positive terms, and of logarithms of weights, which grow with how far a difference has contracted.
    spread = max((abs(math.log(piece.rise)) for piece in pieces if piece.rise > 0), default=0.0)
    return String(mu * (1 + 1e-14 + 8e-16 * spread), start, pieces, log_weights, tracked)


def _piece(first: int, last: int, log_scale: float, rise: float, root_length: float) -> _Piece:
    if rise <= 0:
        slope = -math.inf
    elif root_length <= 0:
        slope = math.inf
    else:
        slope = math.log(rise) - 2 * math.log(root_length) - log_scale
    return _Piece(first, last, log_scale, rise, root_length, slope)


def _pooled(piece: _Piece, later: list[_Piece]) -> tuple[_Piece, int]:
    """``piece`` joined with as many of the pieces after it (last in the list) as are less steep; how many are left."""
    left = len(later)
    while left and piece.log_slope >= later[left - 1].log_slope:
        left -= 1
        other = later[left]
        scale = max(piece.log_scale, other.log_scale)
        mine, its = math.exp(piece.log_scale - scale), math.exp(other.log_scale - scale)
        rise = mine * piece.rise + its * other.rise
        piece = _piece(
            piece.first,
            other.last,
            scale,
            # A difference never vanishes, however far it has contracted: without noise after it nothing is proved.
            max(rise, SMALLEST) if piece.rise > 0 or other.rise > 0 else rise,
            math.hypot(mine * piece.root_length, its * other.root_length),
        )
    return piece, left


def _pieces(log_weights: Floats, h: Floats, nu: Floats, tracked: Floats, limit: float) -> tuple[int, list[_Piece]]:
    """Best start, and its pieces from the end back to the start."""
    logs, jumps, noise, distances = log_weights.tolist(), h.tolist(), nu.tolist(), tracked.tolist()
    pieces: list[_Piece] = []
    costs = [0.0]  # of the string made of the first so many pieces
    sums = [(logs[-1], 0.0, 0.0)]  # scale, rise and length of the first so many pieces

    def add(k: int) -> None:
        # Step k + 1 of the theory, at index k: its weight is what contracts after it.
        piece, left = _pooled(_piece(k, k + 1, logs[k + 1], jumps[k], noise[k]), pieces)
        del pieces[left:], costs[left + 1 :], sums[left + 1 :]
        pieces.append(piece)
        costs.append(math.hypot(costs[left], piece.cost))
        scale, rise, length = sums[left]
        larger = max(scale, piece.log_scale)
        mine, its = math.exp(piece.log_scale - larger), math.exp(scale - larger)
        length = its * its * length + (mine * piece.root_length / unit) ** 2
        sums.append((larger, its * rise + mine * piece.rise, length))

    unit = float(nu.max()) or 1.0
    best, best_start = math.inf, 0
    for k in range(h.size - 1, -1, -1):
        add(k)
        if math.isinf(limit):
            continue
        if k == 0 or distances[k] >= limit:
            cost = _started(logs[k], distances[k], unit, pieces, costs, sums)
            if cost < best:
                best, best_start = cost, k
    if best_start:
        # The string of the best start again: earlier steps have joined its pieces since.
        pieces.clear()
        del costs[1:], sums[1:]
        for k in range(h.size - 1, best_start - 1, -1):
            add(k)
    piece, left = _pooled(_piece(best_start, best_start, logs[best_start], distances[best_start], 0.0), pieces)
    return best_start, [*pieces[:left], piece]


def _started(
    log_weight: float,
    distance: float,
    unit: float,
    pieces: list[_Piece],
    costs: list[float],
    sums: list[tuple[float, float, float]],
) -> float:
    """mu of the string from a start at ``distance``, by bisection for the first piece that it joins.

    What it joins is a difference of sums, whose cancellation is below a rounding of the whole: an error of the joined rise
    counts with a slope no steeper than the rest of the string has.
    """
    near, rise_of_all, length_of_all = sums[-1]
    scale = max(near, log_weight)
    near = math.exp(near - scale)
    start = math.exp(log_weight - scale) * distance
    whole = start + near * rise_of_all
    whole_length = near * near * length_of_all
    log_square = 2 * math.log(unit)

    def joined(left: int) -> tuple[float, float]:
        """Rise and length of the start and the pieces that it joins, all but so many."""
        far, below, shorter = sums[left]
        far = math.exp(far - scale)
        return whole - far * below, whole_length - far * far * shorter

    def settled(count: int) -> bool:
        """Whether the start, joined with the first ``count`` pieces, is less steep than the next one."""
        left = size - count
        rise, length = joined(left)
        if length <= 0:
            return False
        return rise <= 0 or math.log(rise) - math.log(length) - log_square - scale < pieces[left - 1].log_slope

    size = len(pieces)
    left = size - smallest_whole(settled, 0, size - 1)
    rise, length = joined(left)
    if rise <= 0:
        return costs[left]
    return math.hypot(costs[left], rise / (math.sqrt(length) * unit)) if length > 0 else math.inf


def _summed(first: int, last: int, log_weights: Floats, h: Floats, nu: Floats, start_distance: float) -> _Piece:
    """A piece from its steps, each sum rounded once; ``start_distance`` is spent at its beginning."""
    own = log_weights[first + 1 : last + 1]
    counts = own[(h[first:last] > 0) | (nu[first:last] > 0)]
    scale = max(counts.max(initial=-np.inf), log_weights[first] if start_distance > 0 else -math.inf)
    if scale == -math.inf:
        return _piece(first, last, 0.0, 0.0, 0.0)
    weights = np.exp(np.minimum(own - scale, 700.0)) * ((h[first:last] > 0) | (nu[first:last] > 0))
    begin = math.exp(float(log_weights[first]) - scale) * start_distance if start_distance > 0 else 0.0
    rise = math.fsum([begin, *(weights * h[first:last]).tolist()])
    if start_distance > 0 or bool((h[first:last] > 0).any()):
        rise = max(rise, SMALLEST)
    unit = float((weights * nu[first:last]).max()) if own.size else 0.0
    root = unit * math.sqrt(math.fsum(((weights * nu[first:last] / unit) ** 2).tolist())) if unit > 0 else 0.0
    return _piece(first, last, scale, rise, root)


def weights_left(log_c: Floats) -> Floats:
    """log W_0 ... log W_N, the contraction still to come after each step; compensated summation (Neumaier)."""
    total, lost = 0.0, 0.0
    logs = [0.0]
    for term in log_c[::-1].tolist():
        new = total + term
        lost += (total - new) + term if abs(total) >= abs(term) else (term - new) + total
        total = new
        logs.append(total + lost)
    return np.array(logs[::-1])


def tracked_distances(c: Floats, h: Floats, start: float, limit: float) -> Floats:
    """z_k = min(diameter, c_k z_{k-1} + h_k), from before the first step on."""
    distances = [start]
    for factor, jump in zip(c.tolist(), h.tolist(), strict=True):
        distances.append(min(limit, factor * distances[-1] + jump))
    return np.array(distances)
