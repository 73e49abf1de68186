"""The best shifts as a user asks for them: checked arrays in, the bound and its witness out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import Floats, InputError, UnreachableError, numbers
from accountant.shifts.minorant import FORGOTTEN, String, taut_string, tracked_distances


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

    One step of learning on the deleted point, with sensitivity 1, and three of unlearning:

    >>> best = optimal_shifts(contraction=0.9, sensitivity=np.array([1.0, 0, 0, 0]), noise_std=0.5)
    >>> print(f"{best.mu:.4f}, which is {best.tightness:.4f} times what two Gaussian processes attain")
    0.8421, which is 1.0000 times what two Gaussian processes attain
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
    string = taut_string(_logs(c), h, nu, min(z0, limit), limit)
    mu, pieces = string.mu, string.pieces
    if not math.isfinite(mu):
        if all(piece.root_length > 0 for piece in pieces):
            raise UnreachableError("mu exceeds the largest double: noise_std is too small for these sensitivities")
        raise UnreachableError(
            "no shifts exist: a difference (sensitivity or start_distance) reaches the end without noise_std > 0 after it"
        )
    shifts, distances = _witness(string, c, h, nu, tracked_distances(c, h, min(z0, limit), limit))
    restarted = string.start > 0 or z0 > limit
    return Shifts(mu, shifts, distances, string.start, None if restarted else string.chord(h, nu))


def _witness(string: String, c: Floats, h: Floats, nu: Floats, tracked: Floats) -> tuple[Floats, Floats]:
    """Shifts a_k = slope W_k nu_k^2 and the distances they leave; the last noisy step of a piece closes the distance."""
    shifts = np.zeros(c.size)
    closing = set()
    for piece in string.pieces:
        span = slice(piece.first, piece.last)
        noisy = np.flatnonzero(nu[span] > 0)
        if piece.rise > 0 and noisy.size:
            weights = np.exp(np.minimum(string.log_weights[1:][span] - piece.log_scale, 700.0)) * (nu[span] > 0)
            shifts[span] = piece.cost * (nu[span] / piece.root_length) * nu[span] * weights
            closing.add(piece.first + int(noisy[-1]))
    distances = tracked
    for k in range(string.start, c.size):
        reached = c[k] * distances[k] + h[k]
        shifts[k] = reached if k in closing else min(shifts[k], reached)
        distances[k + 1] = reached - shifts[k]
    return shifts, distances


def _logs(c: Floats) -> Floats:
    return np.log(c, where=c > 0, out=np.full_like(c, FORGOTTEN))
