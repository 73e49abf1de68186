"""The product's own bound: optimal shifts along the whole trajectory, and exact Gaussian trade-off (theory section 2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from accountant.algorithm import PNSGD
from accountant.bounds.base import Setting
from accountant.distance import NO_DISTANCE
from accountant.divergences.curves import Curve, GDPCurve
from accountant.geometry import geometric_sum, log_power
from accountant.reference import CONVERGED, MATCHED
from accountant.shifts.cyclic import log_mu_cyclic, log_mu_decay, log_mu_restarted
from accountant.validation import InputError

Floats = NDArray[np.float64]


class Optimal:
    """Greatest convex minorant over every step; attained, hence not improvable, where its chord is feasible (no projection)."""

    name = "optimal"
    source = "shifted interpolation, Bok, Su & Altschuler 2024 (arXiv 2403.00278), with optimal shifts"
    default_batches = "random"
    minimum_steps = 0

    def check(self, setting: Setting) -> None:
        algorithm, reference = setting.algorithm, setting.reference
        if setting.given_distance or algorithm.radius is not None:
            return
        if _starts_apart(setting):
            raise InputError(
                f"reference={reference} compares runs that start apart: it needs a radius, and none is given; "
                "reference=matched does not"
            )
        if algorithm.log_contraction == 0 and algorithm.learn_epochs is None:
            raise InputError(NO_DISTANCE)

    def curve(self, setting: Setting) -> Curve:
        return GDPCurve()

    def log_scale(self, setting: Setting, positions: Floats, steps: Floats, log_start: Floats) -> Floats:
        return self._log_mu(setting, positions, steps, log_start) - setting.algorithm.log_unit_noise

    def log_tightness(self, setting: Setting, position: int, steps: int, log_start: float) -> float | None:
        """log(mu / mu_exact) of one position, mu_exact being what two Gaussian runs attain; None where the radius binds."""
        where, count = np.array([float(position)]), np.array([float(steps)])
        if not setting.given_distance and _radius_binds(setting.algorithm, where):
            return None
        log_mu = float(self._log_mu(setting, where, count, np.array([log_start]))[0, 0])
        visits, log_z = _window(setting, count[:, None])
        if setting.given_distance or log_mu == -math.inf or visits[0, 0] < 1:
            return 0.0  # nothing differs but the start: the closed form is the exact case
        return max(log_mu - float(_log_chord(setting.algorithm, where, visits, log_z, count[:, None])[0, 0]), 0.0)

    def _log_mu(self, setting: Setting, positions: Floats, steps: Floats, log_start: Floats) -> Floats:
        """log mu at unit noise, (P, J)."""
        algorithm = setting.algorithm
        log_c, per_epoch = algorithm.log_contraction, algorithm.steps_per_epoch
        n = steps[:, None]
        if setting.given_distance:
            decay = log_mu_decay(log_c=log_c, log_start=log_start[:, None], steps=n)
            return np.broadcast_to(decay, (steps.size, positions.size))
        log_h = algorithm.log_sensitivity(positions)
        tail = per_epoch - 1 - positions + n
        log_diameter = math.log(algorithm.diameter)
        visits, log_z = _window(setting, n)
        seen = np.maximum(visits, 1.0)
        log_mu = log_mu_cyclic(
            log_c=log_c,
            steps_per_epoch=per_epoch,
            log_sensitivity=log_h,
            log_start=log_z,
            visits=seen,
            lead=positions,
            tail=tail,
        )
        if math.isfinite(log_diameter):
            restarted = log_mu_restarted(
                log_c=log_c,
                steps_per_epoch=per_epoch,
                log_sensitivity=log_h,
                log_diameter=log_diameter,
                visits=seen,
                tail=tail,
            )
            log_mu = np.minimum(log_mu, restarted)
        if isinstance(setting.reference, int):
            # Retraining so short that the window has no learning step: nothing differs in it but the start.
            length = setting.reference * per_epoch + n % per_epoch
            alone = log_mu_decay(log_c=log_c, log_start=log_diameter, steps=length)
            log_mu = np.where(visits < 1, alone, log_mu)
        return log_mu


def _radius_binds(algorithm: PNSGD, position: Floats) -> bool:
    """Whether the distance, tracked without projection, would pass the diameter just after a visit."""
    epochs = math.inf if algorithm.learn_epochs is None else algorithm.learn_epochs
    total = geometric_sum(algorithm.log_contraction, epochs, stride=algorithm.steps_per_epoch)
    return bool(np.any(algorithm.log_sensitivity(position) + np.log(total) > math.log(algorithm.diameter)))


def _starts_apart(setting: Setting) -> bool:
    finite = setting.algorithm.learn_epochs is not None
    return isinstance(setting.reference, int) or (setting.reference == CONVERGED and finite)


def _window(setting: Setting, n: Floats) -> tuple[Floats, Floats]:
    """Learning epochs in the stretch that both runs share when aligned at their ends, and log distance at its start.

    The two runs are on the same batch at every shared step: retraining for T' epochs ends with the n mod J steps by which
    unlearning exceeds whole epochs.
    """
    algorithm = setting.algorithm
    learned = math.inf if algorithm.learn_epochs is None else float(algorithm.learn_epochs)
    apart = np.full_like(n, math.log(algorithm.diameter))
    if setting.reference == MATCHED or (setting.reference == CONVERGED and math.isinf(learned)):
        return np.full_like(n, learned), np.full_like(n, -math.inf)
    if setting.reference == CONVERGED:
        return np.full_like(n, learned), apart
    left = float(setting.reference) - n // algorithm.steps_per_epoch
    return np.minimum(left, learned), apart


def _log_chord(algorithm: PNSGD, positions: Floats, visits: Floats, log_z: Floats, n: Floats) -> Floats:
    """log of S_N/sqrt(t_N) over the whole window, at unit noise."""
    log_c, per_epoch = algorithm.log_contraction, algorithm.steps_per_epoch
    steps = per_epoch * visits + n
    with np.errstate(divide="ignore", invalid="ignore"):
        learned = (
            algorithm.log_sensitivity(positions)
            + log_power(log_c, per_epoch - 1 - positions + n)
            + np.log(geometric_sum(log_c, visits, stride=per_epoch))
        )
        start = np.where(np.isinf(visits), -np.inf, log_z + log_power(log_c, steps))
        return np.logaddexp(learned, start) - 0.5 * np.log(geometric_sum(log_c, steps, stride=2))
