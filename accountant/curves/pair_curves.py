"""The curve of a Gaussian mixture against a Gaussian, and curves read at the components themselves, not at their logarithms.

Logarithms of components are raised by their own error before a curve is read; components that are known are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountant.curves import gaussian_mixture, hockey_stick
from accountant.curves.curves import GAUSSIAN_MIXTURE, GDPCurve, rounded_up
from accountant.curves.pair_core import BACKWARD, FORWARD
from accountant.curves.pair_moments import pair_rdp
from accountant.numerics import Floats


@dataclass(frozen=True)
class GaussianMixtureCurve:
    """delta(epsilon) of a Gaussian mixture against a Gaussian, both directions (docs/theory.md, "Secret batches").

    ``outside``: so many trailing components are the draw of a stand-in: those before it are mixed, each of these moves all of
    them, and the divergences are averaged. The weights of each of the two kinds sum to one.
    """

    outside: int = 0

    @property
    def kind(self) -> str:
        return GAUSSIAN_MIXTURE

    def _mu(self, log_mu: Floats) -> Floats:
        """The components, on the safe side of their logarithms."""
        return rounded_up(log_mu)

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return gaussian_mixture.pair_epsilon(log_delta, log_weights, self._mu(log_mu), self.outside)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return self.tail(epsilon, log_weights, log_mu).log_delta

    def tail(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> hockey_stick.Tail:
        """log delta with its derivatives."""
        return gaussian_mixture.pair_tail(epsilon, log_weights, self._mu(log_mu), self.outside)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.excess(epsilon, log_delta, log_weights, log_mu) <= 0

    def excess(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """By how much log delta is above the target; of the first direction alone where that is above it."""
        target, mu = hockey_stick.rounded_down(log_delta), self._mu(log_mu)
        found = gaussian_mixture.pair_tail(epsilon, log_weights, mu, self.outside, FORWARD).log_delta - target
        left = np.flatnonzero(found <= 0)
        if left.size:
            other = gaussian_mixture.pair_tail(epsilon[left], log_weights, mu[left], self.outside, BACKWARD).log_delta
            found[left] = np.maximum(found[left], other - target[left])
        return found

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return gaussian_mixture.pair_log_scale(epsilon, log_delta, log_weights, log_shape, self.outside)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return pair_rdp(alpha, log_weights, self._mu(log_mu), self.outside)


class ExactPair(GaussianMixtureCurve):
    """The same where what is called log_mu is mu."""

    def _mu(self, log_mu: Floats) -> Floats:
        return log_mu


class ExactGDP(GDPCurve):
    """An average of GDP curves where what is called log_mu is mu."""

    def _mu(self, log_mu: Floats, least: float = 0.0) -> Floats:
        return log_mu
