"""The accountant's guarantees as privacy random variables, which prv_accountant composes numerically (the extra ``prv``).

    from accountant.interop.prv_accountant import UnlearningPRV
    prv = UnlearningPRV(UnlearningAccountant(algorithm).guarantee(sigma=0.01, epochs=1))
    PRVAccountant([prv], eps_error=0.01, delta_error=1e-9, max_self_compositions=[10]).compute_epsilon(1e-5, [10])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from accountant.guarantee import Guarantee
from accountant.validation import InputError, MissingExtraError

try:
    from prv_accountant import PrivacyRandomVariable
except ModuleNotFoundError as error:
    raise MissingExtraError("accountant.interop.prv_accountant", error.name or "prv-accountant", "prv") from None


class UnlearningPRV(PrivacyRandomVariable):
    """The privacy loss of a guarantee: component j is N(mu_j^2/2, mu_j^2), and the attacker sees the component.

    Such pairs of distributions dominate, so their compositions do (Zhu, Dong & Wang 2022); runs must be drawn independently,
    batch orders included. The relation is the guarantee's own. Raises InputError for guarantees that are no mixture of
    Gaussian ones: Rényi curves and convex bounds have no such variable.
    """

    def __init__(self, guarantee: Guarantee) -> None:
        if not isinstance(guarantee, Guarantee):
            raise InputError(f"guarantee must be a Guarantee, got {guarantee!r}")
        if guarantee.kind != "gdp":
            raise InputError(f"guarantee must be of kind gdp, which bound=optimal proves, got {guarantee.kind}")
        self.guarantee = guarantee

    def cdf(self, t: ArrayLike) -> Any:
        """P(L <= t); broadcasts."""
        x = np.asarray(t, dtype=np.float64)
        total = np.zeros(x.shape)
        # One component at a time: the domains have millions of points.
        for weight, mu in zip(self.guarantee.weights, self.guarantee.values, strict=True):
            total += weight * (ndtr(x / mu - mu / 2) if mu > 0 else x >= 0)
        return total

    def mean(self) -> float:
        """E L = sum_j w_j mu_j^2/2."""
        return float((self.guarantee.weights * self.guarantee.values**2).sum() / 2)

    def rdp(self, alpha: float) -> float:
        """Bound on the Rényi divergence of order alpha > 1."""
        return float(self.guarantee.rdp(float(alpha)))
