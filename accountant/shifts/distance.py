"""Distance tracking: how far apart learning on the two datasets can drift (Z_B of Chien et al. 2024, Theorem 3.3)."""

from __future__ import annotations

import math
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import Floats, Numbers, UnreachableError, geometric_sum, log_power, numbers, plain
from accountant.problem import DOUBLES, PNSGD, Number, constants_of


def no_distance(algorithm: PNSGD) -> str:
    """What is said where steps do not contract, learning has no end, and no ball bounds the models."""
    convex = algorithm.problem.strong_convexity == 0
    other = "strong_convexity above 0" if convex else "step_size below 2/smoothness"
    return f"the distance after learning is unbounded: give learn_epochs, radius or {other}"


def log_learned_distance(algorithm: PNSGD, positions: ArrayLike, number: Number = DOUBLES) -> Numbers:
    """log Z_T^(j), capped at log 2R; +inf where nothing bounds it (c = 1, converged, no radius); unchecked positions."""
    constants, ar, per_epoch = constants_of(algorithm, number), number.arithmetic, algorithm.steps_per_epoch
    log_c = constants.log_contraction
    epochs = math.inf if algorithm.learn_epochs is None else algorithm.learn_epochs
    last = per_epoch - 1 - np.asarray(positions, dtype=np.float64)
    total = ar.log(geometric_sum(log_c, epochs, stride=per_epoch, arithmetic=ar))
    distance = constants.log_sensitivity(positions) + log_power(log_c, last) + total
    return ar.minimum(distance, constants.log_diameter)


@overload
def learned_distance(algorithm: PNSGD, position: float | None = None) -> float: ...
@overload
def learned_distance(algorithm: PNSGD, position: ArrayLike | None = None) -> Floats: ...
def learned_distance(algorithm: PNSGD, position: ArrayLike | None = None) -> float | Floats:
    """Z_T^(j) = h_j c^(J-1-j) (1 - c^(TJ))/(1 - c^J), at most 2R: the W-infinity distance after learning from a common start.

    ``position`` is the batch j of the deleted point, 0 <= j < J; default J - 1, the worst, which for converged learning
    (``learn_epochs=None``) is the published Z_B. Raises InputError for a position out of range, UnreachableError if no
    bound exists (a convex problem without learn_epochs and without radius).

    >>> from accountant import PNSGD, preset
    >>> f"{learned_distance(PNSGD(preset('mnist'), 128)):.4f}"
    '0.0611'
    """
    per_epoch = algorithm.steps_per_epoch
    where = per_epoch - 1 if position is None else position
    positions = numbers("position", where, at_least=0, at_most=per_epoch - 1, whole=True)
    distance = log_learned_distance(algorithm, positions)
    if not np.all(distance < 709):
        raise UnreachableError(no_distance(algorithm))
    return plain(np.exp(distance))
