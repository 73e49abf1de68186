"""What noisy steps prove that both runs share, whatever their loss: the string from the start, and blocks between clips.

A string of n steps pays for the distance at the start and for all that the steps themselves can move two models apart
(:mod:`accountant.shifts.moduli`). Where every step clips the model, a block of steps may start anywhere in the ball, and blocks
contract what was proved before (:mod:`accountant.curves.contraction`). Strings stop where they are cheapest: the rest is
post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from accountant.curves import BlockCurve, Curve, GDPCurve
from accountant.numerics import Floats, InputError, smallest_whole
from accountant.problem import ConvexNonsmooth, FineTuning, SmoothNonconvex, Stepping
from accountant.shifts import Clipped, Least, Modulus, Nonsmooth, Smooth, best_clipped_mu, shot

#: Steps up to which strings of moduli that have no closed form are followed.
MOST_STEPS: Final = 1_000_000
_SAFE: Final = 1 + 1e-13


def _fine_tuning(algorithm: FineTuning) -> Modulus | None:
    if algorithm.gradient_clip is None:
        return None
    return Clipped(algorithm.rho, 2 * algorithm.step_size * algorithm.gradient_clip)


def _nonsmooth(algorithm: ConvexNonsmooth) -> Modulus:
    return Nonsmooth(algorithm.rho, 2 * algorithm.step_size * algorithm.lipschitz)


def _smooth(algorithm: SmoothNonconvex) -> Modulus:
    smooth = Smooth(algorithm.rho + algorithm.step_size * algorithm.smoothness)
    if algorithm.gradient_clip is None:
        return smooth
    return Least((smooth, Clipped(algorithm.rho, 2 * algorithm.step_size * algorithm.gradient_clip)))


#: The modulus of one noiseless step, by the kind of algorithm; None: no bound but the ball.
_MODULI: Final[dict[type[Stepping], Callable[..., Modulus | None]]] = {
    FineTuning: _fine_tuning,
    ConvexNonsmooth: _nonsmooth,
    SmoothNonconvex: _smooth,
}


@dataclass(frozen=True)
class CommonSteps:
    """The bound of one algorithm, from models ``start`` apart."""

    algorithm: Stepping
    start: float

    name = "optimal"
    source = "shifted interpolation with any modulus of continuity, and contraction between projections (docs/theory.md)"

    def check(self) -> None:
        """InputError where nothing bounds the distance at the start."""
        if not math.isfinite(self.start):
            raise InputError(
                "start_clip must be given (or model_clip, or a start_distance): nothing else bounds how far apart the two models "
                "are before the first step"
            )

    @cached_property
    def modulus(self) -> Modulus | None:
        return _MODULI[type(self.algorithm)](self.algorithm)

    @property
    def blocks(self) -> bool:
        """Whether the model is clipped in every step, so that blocks contract."""
        return math.isfinite(self.algorithm.diameter)

    def curve(self, steps: float) -> Curve:
        """The curve after so many steps; of single components at log mu = :meth:`log_first` - log sigma."""
        if not self.blocks or steps < 2:
            return GDPCurve()
        return BlockCurve(int(steps), lambda n: self.log_first(np.array([float(n)])), self.log_block)

    def log_first(self, steps: Floats) -> Floats:
        """log mu at sigma = 1 of the string from the start, of at most so many steps, (P,); +inf for no step from apart."""
        return self._log_string(self.start, steps, before_noise=False)

    def log_block(self, steps: int) -> float:
        """log mu at sigma = 1 of a block of so many steps from anywhere in the ball."""
        first = isinstance(self.algorithm, FineTuning) and self.algorithm.clip_first
        return float(self._log_string(self.algorithm.diameter, np.array([float(steps)]), before_noise=first)[0])

    def _log_string(self, start: float, steps: Floats, *, before_noise: bool) -> Floats:
        """``before_noise``: the start is a clipped model that gets its noise first."""
        with np.errstate(divide="ignore"):
            if start == 0:
                return np.full(steps.shape, -np.inf)
            nothing = np.where(steps < 1, np.inf, 0.0)
            modulus, n = self.modulus, np.maximum(steps, 1.0)
            clip_first = isinstance(self.algorithm, FineTuning) and self.algorithm.clip_first
            if clip_first:
                # The first clipped model of the string is at most the diameter apart, and so is what its first map makes of it.
                apart = (
                    start
                    if before_noise
                    else min(self.algorithm.diameter, math.inf if modulus is None else modulus.after(start))
                )
                return nothing + np.log(_after_noise(modulus, apart, n) * _SAFE)
            if isinstance(modulus, Clipped):
                return nothing + np.log(best_clipped_mu(modulus, start, n) * _SAFE)
            assert modulus is not None
            each, rows = np.unique(n, return_inverse=True)
            found = np.array([_best_shot(modulus, start, int(count)) for count in each.tolist()])
            return nothing + np.log(found * _SAFE)[rows]


def _after_noise(modulus: Modulus | None, apart: float, n: Floats) -> Floats:
    """mu of strings whose first step is the noise alone, from ``apart``; (P,)."""
    if modulus is None:
        return np.full(n.shape, apart)
    assert isinstance(modulus, Clipped)
    if modulus.rho == 0 or apart <= modulus.gap:
        # One step is cheapest, or nearly.
        return np.full(n.shape, apart)
    # As if a map had made it of a distance a little smaller.
    return np.minimum(best_clipped_mu(modulus, modulus.before(apart), n), apart)


def _best_shot(modulus: Modulus, start: float, steps: int) -> float:
    """The smallest mu over 1 ... steps, which falls up to some number and rises after."""
    if steps > MOST_STEPS:
        steps = MOST_STEPS
    known: dict[int, float] = {}

    def mu(count: int) -> float:
        if count not in known:
            known[count] = shot(modulus, start, count)[0]
        return known[count]

    best = smallest_whole(lambda count: mu(count + 1) >= mu(count), 1, steps - 1) if steps > 1 else 1
    return min(mu(min(best, steps)), *known.values())
