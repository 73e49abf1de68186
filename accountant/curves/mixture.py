"""Mixtures: weights and scales of the components that a privacy curve is made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accountant.curves.curves import Curve
from accountant.numerics import Floats, Indices, Law, Numbers


class Mixture(NamedTuple):
    """Weights (C,) and log mu at sigma = 1, (P, C), for P questions; ``law``: what its rounding to a grid asks for."""

    log_weights: Numbers
    log_scale: Numbers
    curve: Curve
    law: Law | None = None
    #: What is added to every mu whatever sigma is, (P,) or nothing: rounding of parameters that the noise itself makes large.
    constant: Floats | None = None

    def rows(self, some: Indices) -> Mixture:
        """Of some of the questions."""
        constant = None if self.constant is None else self.constant[some]
        # Only curves of so many steps each have rows of their own.
        of_rows = getattr(self.curve, "rows", None)
        curve = self.curve if of_rows is None else of_rows(some)
        return self._replace(log_scale=self.log_scale[some], constant=constant, curve=curve)

    def log_mu(self, sigma: Floats) -> Floats:
        """log mu of every component at the given noise, (P,) -> (P, C)."""
        log_mu = self.log_scale - np.log(sigma)[:, None]
        beyond = np.zeros(sigma.shape) if self.constant is None else self.constant
        if np.any(beyond > 0):
            # Where nothing differs, nothing is rounded apart.
            with np.errstate(divide="ignore"):
                log_mu = np.where(np.isneginf(log_mu), -np.inf, np.logaddexp(log_mu, np.log(beyond)[:, None]))
        if self.law is None or self.law.error == 0 or self.curve.kind != "gdp":
            return log_mu
        # The last component is the worst outcome, which is exact.
        with np.errstate(divide="ignore", over="ignore"):
            raised = np.log(self.law.raised_by(1 / sigma, beyond=beyond))[:, None]
        return np.append(np.logaddexp(log_mu[:, :-1], raised), log_mu[:, -1:], axis=1)
