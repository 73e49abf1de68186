"""Errors of a test between two laws: bounds on them from counts, and the epsilon and mu of which they are."""

from __future__ import annotations

import numpy as np

from accountant.numerics import Floats


def error_bound(share: Floats, count: int, risk: float) -> Floats:
    """Clopper-Pearson's upper bound on a probability after ``share`` of ``count`` trials, wrong with probability ``risk``."""
    from scipy.special import betaincinv

    k = np.asarray(share) * count
    return np.where(k >= count, 1.0, betaincinv(k + 1, np.maximum(count - k, 1e-9), 1 - risk))


def mu_of_errors(alpha: Floats, beta: Floats) -> Floats:
    """The mu of which these two errors are on the trade-off curve."""
    from scipy.special import ndtri

    with np.errstate(invalid="ignore"):
        return np.nan_to_num(-ndtri(alpha) - ndtri(beta), nan=-np.inf)


def epsilon_of_errors(alpha: Floats, beta: Floats, delta: float) -> Floats:
    """The smallest epsilon at delta that allows these two errors, -inf where every one does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(1 - delta - beta > 0, np.log(np.maximum(1 - delta - beta, 0.0)) - np.log(alpha), -np.inf)


def normal_cdf(x: Floats) -> Floats:
    """Phi, elementwise."""
    from scipy.special import ndtr

    return ndtr(x)
