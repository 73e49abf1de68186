"""Steps along gradients that are Hoelder continuous: how far apart they move two models, and the best shifts.

||g(x) - g(y)|| <= L ||x - y||^kappa, 0 <= kappa < 1; kappa = 0 says that gradients differ by at most L. See "Any modulus" in
docs/theory.md for the proofs.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from accountant.numerics import LARGEST, SMALLEST, Floats
from accountant.shifts.moduli import Clipped, Hoelder, Least, Modulus, Nonsmooth

#: Steps up to which strings are followed.
MOST_HOELDER: Final = 100_000
#: Fewer steps are tried one by one up to so many, then in ratios of 1.4, and of 2 from so many on.
_ALL: Final = 24
_HALVED: Final = 4096
#: Rounds of tangents.
_ROUNDS: Final = 60
#: Distances whose squares are far from where doubles end, and how much further apart is too far to be worth a second step.
_FINE: Final = 1e-100
_LEAST: Final = 1e-140
_FAR: Final = 1e12


def hoelder_modulus(*, step_size: float, rho: float, lost: float, constant: float, exponent: float, convex: bool) -> Modulus:
    """The modulus of x -> rho x - step_size g(x) for such gradients g.

    lost: 1 - rho, to more digits than rho has near 1.
    convex: g belongs to a convex function on the whole space: then what is larger than rho z in the modulus does not grow with
    the distance, and falls as step_size^(1/(1 - kappa)).

    >>> hoelder_modulus(step_size=0.01, rho=1.0, lost=0.0, constant=2.0, exponent=0.0, convex=True)
    Nonsmooth(rho=1.0, gap=0.02)
    """
    gap = max(step_size * constant, SMALLEST)
    if exponent == 0:
        return Nonsmooth(rho, gap) if convex else Clipped(rho, gap, lost)
    plain = Hoelder(gap, exponent, rho)
    bound = convex_gap(step_size=step_size, rho=rho, constant=constant, exponent=exponent) if convex and rho > 0 else math.inf
    return Least((Nonsmooth(rho, bound), plain)) if bound < LARGEST else plain


def convex_gap(*, step_size: float, rho: float, constant: float, exponent: float) -> float:
    """E with omega(z)^2 = rho^2 z^2 + E^2 for convex functions, rounded up; rho > 0, 0 <= exponent < 1; inf beyond 1e300.

    E = step_size u sqrt((1 - kappa)/(1 + kappa)), u = (step_size/(2 rho))^(kappa/(1 - kappa)) L^(1/(1 - kappa)).

    >>> round(convex_gap(step_size=0.5, rho=1.0, constant=1.0, exponent=0.5), 6)
    0.072169
    """
    left = 1 - exponent
    parts = (
        exponent / left * (math.log(step_size) - math.log(2) - math.log(rho)), math.log(constant) / left,
        math.log(step_size), 0.5 * math.log(left / (1 + exponent)),
    )  # fmt: skip
    log_gap = sum(parts) + 1e-15 * (4 + sum(map(abs, parts)) / left)
    return math.inf if log_gap > math.log(LARGEST) else max(math.exp(log_gap), SMALLEST)


def at_scale(modulus: Modulus, start: float) -> tuple[Modulus, float, float] | None:
    """Where squares of distances would leave the doubles: the same in units of the start, its distance there, and the unit."""
    if apart_at_once(modulus, start):
        return None
    fine = _FINE <= start <= 1 / _FINE
    unit = 1.0 if fine else 2.0 ** math.frexp(start)[1]
    if isinstance(modulus, Nonsmooth):
        # A gap whose square is nothing is taken for one whose square is next to nothing.
        gap = max(modulus.gap / unit, _LEAST * start / unit)
        return None if fine and gap == modulus.gap else (Nonsmooth(modulus.rho, gap), start / unit, unit)
    if fine:
        return None
    if isinstance(modulus, Hoelder):
        log_gap = math.log(modulus.gap) + (modulus.kappa - 1) * math.log(unit)
        gap = math.exp(max(log_gap, math.log(SMALLEST))) * (1 + 1e-12)
        return Hoelder(gap, modulus.kappa, modulus.rho), start / unit, unit
    return None


def apart_at_once(modulus: Modulus, start: float) -> bool:
    """Whether one step moves models so far apart that how far they were is lost in the last digits: they meet at once."""
    return isinstance(modulus, Nonsmooth | Hoelder) and not modulus.after(start) < _FAR * start


def most_useful(modulus: Hoelder, start: float) -> int:
    """About how many steps are worth their while, at most :data:`MOST_HOELDER`: with more of them models drift apart again.

    Of small steps z' = f(z) - a, f(z) = gap z^kappa - (1 - rho) z, the cheapest have a = 2 f: from start to 0 they take the
    integral of dz/f(z), without end where f has a root before the start.
    """
    left, lost = 1 - modulus.kappa, 1 - modulus.rho
    log_ratio = left * math.log(start) - math.log(modulus.gap)
    if log_ratio > math.log(MOST_HOELDER):
        return MOST_HOELDER
    whole = math.exp(log_ratio)
    if lost * whole >= 1:
        return MOST_HOELDER
    count = (whole if lost == 0 else -math.log1p(-lost * whole) / lost) / left
    return max(1, min(MOST_HOELDER, round(count)))


def chord_along(modulus: Hoelder, path: Floats, start: float) -> tuple[float, Floats, Floats]:
    """mu and shifts (N,) of the best string under the tangents at ``path`` (N,) > 0, and the path (N,) that they lead along.

    Tangents slope z + lift lie above the modulus, and of affine steps the best shifts are proportional to their weights.
    """
    power = modulus.gap * path ** (modulus.kappa - 1)
    slopes, lifts = modulus.rho + modulus.kappa * power, (1 - modulus.kappa) * power * path
    weights = np.append(np.exp(np.cumsum(np.log(slopes[:0:-1]))[::-1]), 1.0)
    whole, squares = weights[0] * slopes[0] * start + weights @ lifts, weights @ weights
    shifts = whole / squares * weights
    # Distances before each step, from the last one backwards, at which the runs meet.
    left = np.cumsum(((shifts - lifts) * weights)[::-1])[::-1] / (weights * slopes)
    return float(whole / math.sqrt(squares)), shifts, left


def tangent_shifts(modulus: Hoelder, start: float, count: int) -> Floats:
    """Shifts (count,) to try: tangents along a path move it, until nothing is gained; empty where none were found."""
    path, best, least = _fallen(modulus, start, count), math.inf, np.zeros(0)
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            mu, shifts, moved = chord_along(modulus, path, start)
            if not (math.isfinite(mu) and mu < best * (1 - 1e-15)):
                break
            best, least = mu, shifts
            # Not all the way to a distance that is negative: the next tangent would be laid there.
            path = np.maximum(moved, 0.25 * path)
    return least


def tried_counts(steps: int) -> list[int]:
    """Numbers of steps whose strings are tried for ``steps``, fewer among them, so that more steps hardly ever prove less."""
    found = [steps, *(count for count in range(2, min(_ALL, steps)))]
    count = _ALL
    while count < steps:
        found.append(count)
        count = count * 2 if count >= _HALVED else math.ceil(count * 1.4)
    return found


def _fallen(modulus: Hoelder, start: float, count: int) -> Floats:
    """A path (count,) that falls evenly, and with the distances themselves where steps alone bring models together."""
    path = np.full(count, start)
    if modulus.after(start) < start:
        for k in range(1, count):
            path[k] = modulus.after(float(path[k - 1]))
    return path * (1 - np.arange(count) / count)
