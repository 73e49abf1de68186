"""The shift engine: the best shifts for any schedule, as a taut string (Bok, Su & Altschuler 2024, arXiv 2403.00278).

Two processes x_k = Proj(phi_k(x_{k-1}) + nu_k W_k) with c_k-Lipschitz maps that differ by at most h_k are, for every choice
of shifts a_k >= 0 with z_k = c_k z_{k-1} + h_k - a_k >= 0 and z_N = 0, mu-GDP with mu^2 = sum_k (a_k/nu_k)^2. With weights
W_k = c_{k+1} ... c_N, S_k = W_0 z_0 + sum_{i<=k} W_i h_i and t_k = sum_{i<=k} W_i^2 nu_i^2 the smallest mu is the length of the
greatest convex minorant of (0, 0), (t_1, S_1), ..., (t_N, S_N): mu^2 = sum over its pieces of (rise)^2/length.

Seen from the end (t' = t_N - t_k, S' = S_N - S_k) it is the least concave majorant, which one backward pass builds. A start at
the diameter is a point from which the string is drawn taut over the majorant so far, so every restart costs one binary search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.validation import InputError, UnreachableError, numbers

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Shifts:
    """The witness of a GDP bound. Arrays have one entry per step (``distances`` one more: before the first step).

    mu: the bound. start_step: steps before it use no shift, and the string starts there. distances: z_k >= 0 from
    ``start_step`` on, ending at 0; before it the tracked distance. mu_exact: S_N/sqrt(t_N), what two Gaussian processes of
    these constants attain, so no valid bound for this schedule is smaller; None when the diameter was used.
    """

    mu: float
    shifts: Floats
    distances: Floats
    start_step: int
    mu_exact: float | None

    @property
    def tightness(self) -> float | None:
        """mu / mu_exact >= 1; None when the diameter was used, 1 when both are zero."""
        if self.mu_exact is None:
            return None
        return self.mu / self.mu_exact if self.mu_exact > 0 else 1.0


def optimal_shifts(
    *,
    contraction: ArrayLike,
    sensitivity: ArrayLike,
    noise_std: ArrayLike,
    start_distance: float = 0.0,
    diameter: float = math.inf,
) -> Shifts:
    """Smallest mu over all shifts, in O(N) for N steps (O(N log N) where the distance reaches the diameter).

    contraction: c_k >= 0 (above 1 allowed); sensitivity: h_k >= 0; noise_std: nu_k >= 0; one-dimensional, of one length or
        scalars, at least one of them an array.
    start_distance: z_0 >= 0. diameter: 2R > 0 of the set projected on at every step, +inf for none.
    Raises InputError for bad arrays, UnreachableError when no shifts close the gap (no noise after the last difference).
    """
    c = numbers("contraction", contraction, at_least=0)
    h = numbers("sensitivity", sensitivity, at_least=0)
    nu = numbers("noise_std", noise_std, at_least=0)
    z0 = float(numbers("start_distance", start_distance, at_least=0))
    limit = float(numbers("diameter", diameter, above=0, finite=False))
    try:
        c, h, nu = (np.array(a) for a in np.broadcast_arrays(c, h, nu))
    except ValueError:
        raise InputError(f"contraction, sensitivity and noise_std must match, got {c.shape}, {h.shape}, {nu.shape}") from None
    if c.ndim != 1 or not c.size:
        raise InputError(f"contraction, sensitivity and noise_std must be one-dimensional, got shape {c.shape}")
    weights = _weights(c)
    tracked = _tracked(c, h, min(z0, limit), limit)
    # Largest jump and largest noise become one, so that squares stay inside the double range.
    unit_h, unit_nu = max(float(h.max()), z0) or 1.0, float(nu.max()) or 1.0
    length = _reversed_sums((weights[1:] * (nu / unit_nu)) ** 2)
    rise = _reversed_sums(weights[1:] * (h / unit_h))
    lifted = rise + weights * (tracked / unit_h)
    starts = tracked >= limit
    starts[0] = True
    start, squared, vertices = _taut_string(length, rise, lifted, starts)
    if not math.isfinite(squared):
        raise UnreachableError(
            "no shifts exist: a difference (sensitivity or start_distance) reaches the end without noise_std > 0 after it"
        )
    mu = math.sqrt(squared) * unit_h / unit_nu
    exact = float(lifted[0]) / math.sqrt(length[0]) * unit_h / unit_nu if lifted[0] > 0 else 0.0
    if not math.isfinite(mu):
        raise UnreachableError("mu exceeds the largest double: noise_std is too small for these sensitivities")
    shifts = np.zeros(c.size)
    for later, earlier in pairwise(vertices):
        top = lifted[earlier] if earlier == start else rise[earlier]
        span = slice(earlier, later)
        if length[earlier] > length[later]:
            slope = (top - rise[later]) / (length[earlier] - length[later])
            shifts[span] = slope * weights[1:][span] * (nu[span] / unit_nu) ** 2 * unit_h
    distances = tracked.copy()
    for k in range(start, c.size):
        reached = c[k] * distances[k] + h[k]
        shifts[k] = reached if k == c.size - 1 else min(shifts[k], reached)
        distances[k + 1] = reached - shifts[k]
    restarted = start > 0 or z0 > limit
    # The sums are compensated; what is left are the roundings of single terms and of the square root.
    return Shifts(mu * (1 + 1e-14), shifts, distances, start, None if restarted else exact)


def _weights(c: Floats) -> Floats:
    """W_0 ... W_N, the contraction still to come after each step, divided by the largest of them."""
    # A contraction of zero forgets everything before it: any logarithm whose exponential is zero says so, and stays finite.
    logs = _reversed_sums(np.log(c, where=c > 0, out=np.full_like(c, -1e18)))
    return np.exp(logs - logs.max())


def _reversed_sums(terms: Floats) -> Floats:
    """sum_{i > k} terms_i for k = 0 ... N, with compensated summation (Neumaier), so that long schedules lose nothing."""
    total, lost = 0.0, 0.0
    sums = [0.0]
    for term in terms[::-1].tolist():
        new = total + term
        if abs(total) >= abs(term):
            lost += (total - new) + term
        else:
            lost += (term - new) + total
        total = new
        sums.append(total + lost)
    return np.array(sums[::-1])


def _tracked(c: Floats, h: Floats, start: float, limit: float) -> Floats:
    """z_k = min(diameter, c_k z_{k-1} + h_k), from before the first step on."""
    distances = [start]
    for factor, jump in zip(c.tolist(), h.tolist(), strict=True):
        distances.append(min(limit, factor * distances[-1] + jump))
    return np.array(distances)


def _taut_string(
    length: Floats, rise: Floats, lifted: Floats, starts: NDArray[np.bool_]
) -> tuple[int, float, list[int]]:
    """Best start, mu^2, and the vertices of its string from the end (step N) back to the start.

    All arrays have an entry for each k = 0 ... N: ``length`` t_N - t_k, ``rise`` S_N - S_k, ``lifted`` rise + W_k z_k.
    """
    x, y, top = length.tolist(), rise.tolist(), lifted.tolist()
    end = len(x) - 1
    best, best_start = math.inf, 0
    hull, costs = [end], [0.0]
    for k in range(end - 1, -1, -1):
        if starts[k]:
            tangent = _tangent(hull, x, y, x[k], top[k])
            cost = costs[tangent] + _piece(x[k] - x[hull[tangent]], top[k] - y[hull[tangent]])
            if cost < best:
                best, best_start = cost, k
        tangent = _tangent(hull, x, y, x[k], y[k])
        del hull[tangent + 1 :], costs[tangent + 1 :]
        costs.append(costs[-1] + _piece(x[k] - x[hull[-1]], y[k] - y[hull[-1]]))
        hull.append(k)
    # The majorant at the best start again: later points may have popped its vertices.
    hull = [end]
    for k in range(end - 1, best_start, -1):
        del hull[_tangent(hull, x, y, x[k], y[k]) + 1 :]
        hull.append(k)
    del hull[_tangent(hull, x, y, x[best_start], top[best_start]) + 1 :]
    return best_start, best, [*hull, best_start]


def _tangent(hull: list[int], x: list[float], y: list[float], at: float, height: float) -> int:
    """Index in ``hull`` of the vertex that a string from (at, height) touches first: binary search on the slopes."""
    low, high = 0, len(hull) - 1
    while low < high:
        middle = (low + high + 1) // 2
        before, here = hull[middle - 1], hull[middle]
        run, climb = x[here] - x[before], y[here] - y[before]
        if climb * (at - x[here]) > (height - y[here]) * run:
            low = middle
        else:
            high = middle - 1
    return low


def _piece(run: float, climb: float) -> float:
    if climb <= 0:
        return 0.0
    return climb * climb / run if run > 0 else math.inf
