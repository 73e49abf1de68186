"""Whether a loss keeps the constants that the accountant was told, measured point by point."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import InputError
from accountant.trainer.losses import ROUNDING, Array, Loss
from accountant.trainer.points import check_points, row_norms, scores

#: Numbers in the Hessians that are measured at a time.
_AT_ONCE: Final = 1 << 21


class Measured(NamedTuple):
    """Extremes over points and parameters: what L, m and M have to hold for."""

    smoothness: float
    strong_convexity: float
    lipschitz: float
    #: Largest asymmetry of a Hessian: zero up to rounding if r is a gradient at all.
    asymmetry: float


def measure(
    loss: Loss, features: ArrayLike, labels: ArrayLike, *, parameters: ArrayLike | None = None, seed: int = 0
) -> Measured:
    """Largest and smallest eigenvalue of every point's Hessian and the largest norm of its data gradient.

    Hessians by central differences of the clipped derivatives, which cost two digits less than half of a double's: about 1e-9.
    parameters: (outputs*d, trials); by default zeros and 63 random points of norms from 0.01 to 1000.
    """
    x, y = check_points(loss, features, labels)
    x = x.astype(np.float64)
    if parameters is None:
        size = loss.outputs * x.shape[1]
        directions = np.random.default_rng(seed).standard_normal((size, 64))
        directions /= np.linalg.norm(directions, axis=0)
        parameters = directions * np.concatenate([[0.0], np.geomspace(0.01, 1000, 63)])
    weights = np.asarray(parameters, dtype=np.float64)
    trials, k = (1 if weights.ndim == 1 else weights.shape[1]), loss.outputs
    rows = max(1, _AT_ONCE // (trials * k * k))
    parts = [_measure(loss, x[i : i + rows], y[i : i + rows], weights) for i in range(0, y.size, rows)]
    smoothness, strong_convexity, lipschitz, asymmetry = zip(*parts, strict=True)
    return Measured(max(smoothness), min(strong_convexity), max(lipschitz), max(asymmetry))


def _measure(loss: Loss, x: Array, y: Array, parameters: Array) -> Measured:
    s, norms = scores(loss, parameters, x), row_norms(x)
    limits = loss.limits(norms)
    given = (y[:, None], None if limits is None else limits[:, None])
    k, step = loss.outputs, 1e-5
    hessian = np.empty((*s.shape, k))
    for j in range(k):
        move = step * np.eye(k)[j]
        hessian[..., j] = (loss.clipped(s + move, *given) - loss.clipped(s - move, *given)) / (2 * step)
    turned = np.swapaxes(hessian, -1, -2)
    values = np.linalg.eigvalsh((hessian + turned) / 2) * norms[:, None, None] ** 2
    # A Hessian r' x x^T has zeros beside those of r', unless there is one feature only.
    flat = 0.0 if x.shape[1] > 1 else math.inf
    r = np.linalg.norm(loss.clipped(s, *given), axis=-1)
    return Measured(
        smoothness=float(max(values.max(), 0.0)) + loss.regularisation,
        strong_convexity=float(min(values.min(), flat)) + loss.regularisation,
        lipschitz=float((r * norms[:, None]).max()),
        asymmetry=float(np.abs(hessian - turned).max()),
    )


def check_constants(
    loss: Loss, features: ArrayLike, labels: ArrayLike, *, parameters: ArrayLike | None = None, seed: int = 0
) -> Measured:
    """:func:`measure`, and InputError if a point breaks L, m or M by more than a millionth or r is not a gradient.

    >>> from accountant.trainer import Logistic
    >>> found = check_constants(Logistic(regularisation=0.1), [[1.0, 0.0], [0.6, 0.8]], [1, -1])
    >>> round(found.smoothness, 6), round(found.strong_convexity, 6), found.lipschitz <= 1
    (0.35, 0.1, True)
    """
    found = measure(loss, features, labels, parameters=parameters, seed=seed)
    for name, bound, sign, scale in (
        ("smoothness", loss.smoothness, 1, loss.smoothness),
        ("strong_convexity", loss.strong_convexity, -1, loss.smoothness),
        ("lipschitz", loss.lipschitz, 1, loss.lipschitz),
        ("asymmetry", 0.0, 1, loss.curvature),
    ):
        value = getattr(found, name)
        if not sign * (value - bound) <= ROUNDING * scale:
            most = "at most" if sign > 0 else "at least"
            raise InputError(f"{name} of {loss.name} must be {most} {bound:.10g}, but a point has {value:.10g}")
    return found
