"""The curve of a Gaussian mixture against a Gaussian, and curves read at the components themselves, not at their logarithms.

Logarithms of components are raised by their own error before a curve is read; components that are known are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountant.curves import gaussian_mixture, hockey_stick
from accountant.curves.curves import GAUSSIAN_MIXTURE, TANGENT, Curve, rounded_up
from accountant.curves.paid import AddedCurve, RedrawnCurve
from accountant.curves.pair_moments import pair_rdp
from accountant.curves.renyi import rdp_of
from accountant.numerics import DOUBLE, Floats


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

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return gaussian_mixture.pair_epsilon(log_delta, log_weights, rounded_up(log_mu), self.outside)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return gaussian_mixture.pair_tail(epsilon, log_weights, rounded_up(log_mu), self.outside).log_delta

    def tail(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> hockey_stick.Tail:
        """log delta with its derivatives."""
        return gaussian_mixture.pair_tail(epsilon, log_weights, rounded_up(log_mu), self.outside)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.log_delta(epsilon, log_weights, log_mu) <= hockey_stick.rounded_down(log_delta)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return gaussian_mixture.pair_log_scale(epsilon, log_delta, log_weights, log_shape, self.outside)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return pair_rdp(alpha, log_weights, rounded_up(log_mu), self.outside)


@dataclass(frozen=True)
class ExactPair:
    """A Gaussian mixture against a Gaussian: what is called log_mu is mu."""

    outside: int = 0

    @property
    def kind(self) -> str:
        return GAUSSIAN_MIXTURE

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return gaussian_mixture.pair_epsilon(log_delta, log_weights, log_mu, self.outside)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return gaussian_mixture.pair_tail(epsilon, log_weights, log_mu, self.outside).log_delta

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.log_delta(epsilon, log_weights, log_mu) <= hockey_stick.rounded_down(log_delta)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return gaussian_mixture.pair_log_scale(epsilon, log_delta, log_weights, log_shape, self.outside)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return pair_rdp(alpha, log_weights, log_mu, self.outside)


@dataclass(frozen=True)
class ExactGDP:
    """An average of GDP curves: what is called log_mu is mu."""

    tangent: bool = False

    @property
    def kind(self) -> str:
        return TANGENT if self.tangent else "gdp"

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return hockey_stick.mixture_tail_epsilon(log_delta, log_weights, log_mu, tangent=self.tangent)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return np.minimum(hockey_stick.mixture_tail(epsilon, log_weights, log_mu, tangent=self.tangent).log_delta, 0.0)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.log_delta(epsilon, log_weights, log_mu) <= hockey_stick.rounded_down(log_delta)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return hockey_stick.mixture_log_scale(epsilon, log_delta, log_weights, log_shape, tangent=self.tangent)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return rdp_of(alpha, log_weights, 0.5 * log_mu**2 * (1 + 2 * DOUBLE.unit_roundoff), "linear")


def paying(curve: Curve, added: float, redrawn: float) -> Curve:
    """The curve with a chance added to delta, or with that of a redrawn key, of which one is zero."""
    if added:
        return AddedCurve(curve, _log_up(added))
    return RedrawnCurve(curve, _log_up(redrawn)) if redrawn else curve


def _log_up(chance: float) -> float:
    log_chance = math.log(chance)
    return log_chance + 4 * DOUBLE.unit_roundoff * (1 + abs(log_chance))
