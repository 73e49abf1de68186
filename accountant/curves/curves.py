"""Privacy curves as interchangeable objects: mixtures of GDP curves, and Rényi curves with their conversion.

Both take the components as log mu_j at the noise in question; a Rényi curve reads them as rho_j = mu_j^2/2, so that either kind
scales with 1/sigma. Unchecked arrays: (P,) problems, (J,) weights, (P, J) components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from accountant.curves import hockey_stick, renyi
from accountant.numerics import DOUBLE, Floats, UnreachableError

#: Bound on the error of a log mu assembled from a handful of logarithms; it is added before mu is used.
MARGIN: Final = 2e-13
#: log of the largest mu that a curve is read at.
_LARGEST: Final = float(np.log(hockey_stick.MAX_MU))
#: Name of GDP mixtures that are read through tangents.
TANGENT: Final = "gdp-tangent"
#: Name of the curve of a Gaussian mixture against a Gaussian.
GAUSSIAN_MIXTURE: Final = "gaussian-mixture"


class Readable(Protocol):
    """A privacy curve that is read: epsilon from delta, and delta from epsilon."""

    @property
    def kind(self) -> str: ...

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats: ...
    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats: ...


class Curve(Readable, Protocol):
    """What calibration needs to know of a privacy curve."""

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]: ...
    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        """Largest log s at which components s exp(log_shape_j) meet the target; rows of log_shape peak at zero."""
        ...

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats: ...


@runtime_checkable
class Measured(Protocol):
    """A curve that also says by how much a target is missed."""

    def excess(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """Above zero where :meth:`Curve.meets` is false, and nowhere else; about log delta(epsilon) less the target."""
        ...


def excess_of(curve: Curve, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
    """By how much a target is missed, (P,), at most zero where it is met; infinite of either sign of a curve that cannot tell.

    What follows says which number of steps to try next, and the sign alone whether they are enough.
    """
    if isinstance(curve, Measured):
        return curve.excess(epsilon, log_delta, log_weights, log_mu)
    return np.where(curve.meets(epsilon, log_delta, log_weights, log_mu), -np.inf, np.inf)


def rounded_up(log_mu: Floats, least: float = -700.0) -> Floats:
    """mu from log mu, rounded up by the error of the logarithm; zero stays zero, anything below e^least becomes that."""
    zero = np.isneginf(log_mu)
    finite = np.where(zero, 0.0, log_mu)
    raised = np.maximum(finite + MARGIN + 4 * DOUBLE.unit_roundoff * np.abs(finite), least)
    if not np.all(raised <= _LARGEST):
        raise too_far_apart()
    return np.where(zero, 0.0, np.exp(raised))


def readable(log_mu: Floats) -> NDArray[np.bool_]:
    """Rows (P,) of components (P, C) that a curve can be read at: nothing is guaranteed of the others."""
    most = np.maximum(log_mu.max(axis=1), -_LARGEST)
    return most + MARGIN + 4 * DOUBLE.unit_roundoff * np.abs(most) <= _LARGEST


def too_far_apart() -> UnreachableError:
    """What to say where no curve can be read."""
    return UnreachableError(
        f"sigma is so small that the two outcomes are more than {hockey_stick.MAX_MU:g} standard deviations apart: "
        "nothing is guaranteed"
    )


def _rho(log_mu: Floats) -> Floats:
    """mu^2/2, kept above the smallest double: mu is not let under e^-350."""
    return 0.5 * rounded_up(log_mu, least=-350.0) ** 2


@dataclass(frozen=True)
class GDPCurve:
    """delta(epsilon) = sum_j w_j delta(epsilon; mu_j): exact for Gaussians, by joint convexity for their mixtures.

    ``tangent``: each divergence is replaced by the smallest convex function of mu above it, for laws of mu of which only
    convex functions are known to be upper bounds.
    """

    tangent: bool = False

    @property
    def kind(self) -> str:
        return TANGENT if self.tangent else "gdp"

    def _mu(self, log_mu: Floats, least: float = -700.0) -> Floats:
        """The components, on the safe side of their logarithms."""
        return rounded_up(log_mu, least)

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return hockey_stick.mixture_tail_epsilon(log_delta, log_weights, self._mu(log_mu), tangent=self.tangent)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return np.minimum(self.tail(epsilon, log_weights, log_mu).log_delta, 0.0)

    def tail(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> hockey_stick.Tail:
        """log delta with its derivatives."""
        return hockey_stick.mixture_tail(epsilon, log_weights, self._mu(log_mu), tangent=self.tangent)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        return self.excess(epsilon, log_delta, log_weights, log_mu) <= 0

    def excess(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        """By how much log delta is above the target."""
        return self.log_delta(epsilon, log_weights, log_mu) - hockey_stick.rounded_down(log_delta)

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return hockey_stick.mixture_log_scale(epsilon, log_delta, log_weights, log_shape, tangent=self.tangent)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return renyi.rdp_of(alpha, log_weights, 0.5 * self._mu(log_mu, least=-350.0) ** 2, "linear")


@dataclass(frozen=True)
class RenyiCurve:
    """D_alpha of one of the Rényi families (``renyi.py``), read through a conversion."""

    kind: str = "linear"
    conversion: str = "basic"

    def epsilon(self, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return renyi.epsilon_of(log_delta, log_weights, _rho(log_mu), self.kind, self.conversion)

    def log_delta(self, epsilon: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return renyi.log_delta_of(epsilon, log_weights, _rho(log_mu), self.kind, self.conversion)

    def meets(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_mu: Floats) -> NDArray[np.bool_]:
        with np.errstate(over="ignore"):
            return self.epsilon(log_delta, log_weights, log_mu) <= epsilon

    def log_scale(self, epsilon: Floats, log_delta: Floats, log_weights: Floats, log_shape: Floats) -> Floats:
        return renyi.log_scale_of(epsilon, log_delta, log_weights, log_shape, self.kind, self.conversion)

    def rdp(self, alpha: Floats, log_weights: Floats, log_mu: Floats) -> Floats:
        return renyi.rdp_of(alpha, log_weights, _rho(log_mu), self.kind)
