"""The accountant's guarantees as privacy random variables, which prv_accountant composes numerically (the extra ``prv``).

from accountant.interop.prv_accountant import UnlearningPRV
prv = UnlearningPRV(UnlearningAccountant(algorithm).guarantee(sigma=0.01, epochs=1))
PRVAccountant([prv], eps_error=0.01, delta_error=1e-9, max_self_compositions=[10]).compute_epsilon(1e-5, [10])
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from accountant.curves import GAUSSIAN_MIXTURE, Guarantee
from accountant.numerics import Floats, InputError, MissingExtraError

try:
    from prv_accountant import PrivacyRandomVariable
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.prv_accountant", error.name or "prv-accountant", "prv") from None

#: Standard deviations beyond which a Gaussian has 1e-19 of its mass, which no sum of doubles notices.
_FAR: Final = 9.0


class UnlearningPRV(PrivacyRandomVariable):
    """The privacy loss of a guarantee: component j is N(mu_j^2/2, mu_j^2), and the attacker sees the component.

    Such pairs of distributions dominate, so their compositions do (Zhu, Dong & Wang 2022); runs must be drawn independently,
    batch orders included. The relation is the guarantee's own. Raises InputError for guarantees that are no mixture of
    Gaussian ones: Rényi curves and convex bounds have no such variable.
    """

    def __init__(self, guarantee: Guarantee) -> None:
        if not isinstance(guarantee, Guarantee):
            raise InputError(f"guarantee must be a Guarantee, got {guarantee!r}")
        if guarantee.kind == GAUSSIAN_MIXTURE:
            raise InputError(
                f"guarantee must be of kind gdp, got {GAUSSIAN_MIXTURE}: it has a privacy loss in one direction each, of which "
                "prv_accountant composes one; Guarantee.compose and dp_accounting take both"
            )
        if guarantee.added or guarantee.redrawn:
            raise InputError("guarantee must have added and redrawn 0: a privacy random variable here is never infinite")
        if guarantee.kind != "gdp":
            raise InputError(f"guarantee must be of kind gdp, which bound=optimal proves, got {guarantee.kind}")
        self.guarantee = guarantee

    def cdf(self, t: ArrayLike) -> float | Floats:
        """P(L <= t); broadcasts."""
        x = np.atleast_1d(np.asarray(t, dtype=np.float64))
        total = np.zeros(x.shape)
        # One component at a time: the domains have millions of points.
        for weight, mu in zip(self.guarantee.weights, self.guarantee.values, strict=True):
            if mu == 0:
                total += weight * (x >= 0)
                continue
            z = x / mu - mu / 2
            near = np.abs(z) < _FAR
            share = (z > 0).astype(np.float64)
            share[near] = ndtr(z[near])
            total += weight * share
        values = total.reshape(np.shape(t))
        return values if values.ndim else float(values)

    def mean(self) -> float:
        """E L = sum_j w_j mu_j^2/2."""
        return float((self.guarantee.weights * self.guarantee.values**2).sum() / 2)

    def rdp(self, alpha: float) -> float:
        """Bound on the Rényi divergence of order alpha > 1."""
        return float(self.guarantee.rdp(float(alpha)))
