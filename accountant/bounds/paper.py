"""The published bounds, exactly as published: Chien, Wang, Chen & Li, NeurIPS 2024 (arXiv 2403.17105).

Rényi bounds D_alpha with the basic conversion. Their denominators 2 eta sigma^2 are twice what the noise needs; they are
reproduced as they are (theory section 4), because this is what authors and reviewers compare with. n/b is the number of
batches J and 2 eta M/b the sensitivity h_j of the deleted point's batch, so that they also hold where b does not divide n
and for zero-out.
"""

from __future__ import annotations

import numpy as np

from accountant.bounds.base import Blocks, Setting, log_total
from accountant.curves import Curve, RenyiCurve
from accountant.numerics import Floats, InputError, Numbers, log_add, log_power
from accountant.problem import MATCHED
from accountant.shifts import log_learned_distance, log_mu_decay, no_distance


class _Published:
    """What the published bounds share: distances add up, and no mu is proved."""

    def log_addend(self, setting: Setting, positions: Floats, steps: Floats, log_start: Numbers) -> Numbers:
        return _distance(setting, positions, log_start)

    def log_placed(self, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        return _placed_distance(setting, counts, steps)

    def log_placed_each(self, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        return np.concatenate([_placed_distance(setting, each, steps) for each in counts], axis=1)

    def ball(self, setting: Setting) -> Blocks | None:
        return None

    def log_tightness(self, setting: Setting, counts: Floats, steps: int, log_start: float) -> float | None:
        return None


class Paper(_Published):
    """Converged, convex (c = 1), or with finite learn_epochs the not-converged form (p = q = 2).

    - converged: D_alpha = alpha Z^2 c^(2N)/(2 eta sigma^2);
    - convex: D_alpha = alpha Z^2/(2 eta sigma^2 N);
    - not converged: D_alpha = (alpha-1/2)/(alpha-1) (e1(2 alpha) + e2(2 alpha)) with Z' = 2R c^(TJ) + Z_T and
      e1(alpha) = alpha (2R)^2 c^(2TJ)/(2 eta sigma^2), e2(alpha) = alpha Z'^2 c^(2N)/(2 eta sigma^2).
    """

    name = "paper"
    source = "Chien, Wang, Chen & Li, NeurIPS 2024 (arXiv 2403.17105), Theorems 3.1-3.3 and their corollaries"
    default_batches = "worst"
    minimum_steps = 1

    def check(self, setting: Setting) -> None:
        _check_published(self.name, setting)
        algorithm, reference = setting.algorithm, setting.reference
        if setting.given_distance or not _not_converged(setting):
            return
        if algorithm.radius is None:
            raise InputError(
                f"bound=paper with learn_epochs={algorithm.learn_epochs} needs a radius, and none is given; "
                "leave learn_epochs out for its converged form, or use bound=optimal"
            )
        if isinstance(reference, int) and reference < int(algorithm.learn_epochs or 0):
            raise InputError(
                f"bound=paper proves nothing about retraining for fewer epochs than learning: reference must be at least "
                f"{algorithm.learn_epochs}, got {reference}"
            )

    def curve(self, setting: Setting) -> Curve:
        return RenyiCurve("not-converged" if _not_converged(setting) else "linear")

    def log_scale(self, setting: Setting, log_sum: Numbers, steps: Floats) -> Numbers:
        algorithm, constants, ar = setting.algorithm, setting.constants, setting.arithmetic
        log_c = constants.log_contraction
        n = steps[:, None]
        distance = log_sum
        half_log_eta = constants.log_eta / 2
        if log_c == 0:
            return distance - ar.log(n) / 2 - half_log_eta
        if not _not_converged(setting):
            return distance + log_power(log_c, n) - half_log_eta
        learned = float(algorithm.learn_epochs or 0) * algorithm.steps_per_epoch
        burn_in = constants.log_diameter + log_power(log_c, learned)
        unlearned = log_add(burn_in, distance, ar) + log_power(log_c, n)
        return log_add(2 * burn_in, 2 * unlearned, ar) / 2 - half_log_eta


class PaperGeometric(_Published):
    """D_alpha = alpha Z^2 (1-c^2) c^(2N)/((1-c^(2N)) 2 eta sigma^2); alpha Z^2/(2 eta sigma^2 N) for c = 1."""

    name = "paper-geometric"
    source = "the public code of Chien, Wang, Chen & Li, NeurIPS 2024, from the second request on"
    default_batches = "worst"
    minimum_steps = 1

    def check(self, setting: Setting) -> None:
        _check_published(self.name, setting)
        if setting.reference != MATCHED and setting.algorithm.learn_epochs is not None and not setting.given_distance:
            raise InputError(
                f"bound=paper-geometric with learn_epochs needs reference=matched, got reference={setting.reference}"
            )

    def curve(self, setting: Setting) -> Curve:
        return RenyiCurve("linear")

    def log_scale(self, setting: Setting, log_sum: Numbers, steps: Floats) -> Numbers:
        constants, n = setting.constants, steps[:, None]
        decay = log_mu_decay(log_c=constants.log_contraction, log_start=log_sum, steps=n, arithmetic=setting.arithmetic)
        return decay - constants.log_eta / 2


def _not_converged(setting: Setting) -> bool:
    algorithm = setting.algorithm
    return algorithm.learn_epochs is not None and algorithm.log_contraction < 0 and not setting.given_distance


def _distance(setting: Setting, positions: Floats, log_start: Numbers) -> Numbers:
    """log Z, (P, J): given, or tracked through learning; without a common start only the diameter bounds it for c = 1."""
    shape = (log_start.size, positions.size)
    if setting.given_distance:
        return np.broadcast_to(log_start[:, None], shape)
    if setting.algorithm.log_contraction == 0 and setting.reference != MATCHED:
        return np.full(shape, setting.constants.log_diameter)
    return np.broadcast_to(log_learned_distance(setting.algorithm, positions, setting.number), shape)


def _placed_distance(setting: Setting, counts: Floats, steps: Floats) -> Numbers:
    """log of the distances of all deleted points together, at most the diameter, (P, 1)."""
    positions = np.arange(counts.size, dtype=np.float64)
    together = log_total(_distance(setting, positions, np.zeros(steps.size)), counts, setting.arithmetic)
    return setting.arithmetic.minimum(together, setting.constants.log_diameter)


def _check_published(name: str, setting: Setting) -> None:
    algorithm, reference = setting.algorithm, setting.reference
    if setting.timeline is not None:
        raise InputError(f"bound={name} holds for constant step size, noise and batch size; a schedule needs bound=optimal")
    if setting.given_distance:
        return
    if isinstance(reference, int) and not _not_converged(setting):
        raise InputError(
            f"bound={name} proves nothing about retraining for a finite number of epochs here: reference must be matched "
            f"or converged, got {reference}"
        )
    if algorithm.log_contraction == 0 and algorithm.radius is None:
        if algorithm.learn_epochs is None:
            raise InputError(no_distance(algorithm))
        if reference != MATCHED:
            raise InputError(f"bound={name} for a convex problem with reference={reference} needs a radius, and none is given")
