"""The product's own bound: optimal shifts along the whole trajectory, and exact Gaussian trade-off (theory section 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from accountant.bounds.ball import Ball
from accountant.bounds.base import Setting, log_total
from accountant.curves import Curve, GaussianMixtureCurve, GDPCurve
from accountant.numerics import DOUBLE, SMALLEST, Floats, InputError, Numbers, Precise, geometric_sum, log_power
from accountant.problem import PNSGD
from accountant.shifts import (
    Timeline,
    each_joined,
    joined,
    log_mu_cyclic,
    log_mu_decay,
    log_mu_restarted,
    no_distance,
    plain_timeline,
    string_mu,
    taut_string,
    taut_strings,
)

if TYPE_CHECKING:
    from accountant.bounds.witness import Case, Visits


class Optimal:
    """Greatest convex minorant over every step; attained where its chord is feasible, without projection, eta <= 2/(L + m)."""

    name = "optimal"
    source = "shifted interpolation, Bok, Su & Altschuler 2024 (arXiv 2403.00278), with optimal shifts"
    default_batches = "random"
    minimum_steps = 0

    def check(self, setting: Setting) -> None:
        algorithm, reference = setting.algorithm, setting.reference
        if setting.given_distance or algorithm.radius is not None:
            return
        if setting.starts_apart:
            raise InputError(
                f"reference={reference} compares runs that start apart: it needs a radius, and none is given; "
                "reference=matched does not"
            )
        if (setting.timeline or plain_timeline(algorithm)).drifts:
            raise InputError(no_distance(algorithm))

    def curve(self, setting: Setting) -> Curve:
        return GaussianMixtureCurve() if setting.algorithm.own_draws else GDPCurve()

    def log_scale(self, setting: Setting, log_sum: Numbers, steps: Floats) -> Numbers:
        return log_sum - setting.constants.log_unit_noise

    def ball(self, setting: Setting) -> Ball | None:
        known = setting.algorithm.radius is not None and setting.timeline is None and not setting.algorithm.own_draws
        return Ball(setting) if known else None

    def log_placed(self, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        """The string of all points' differences together, which the sum of their own mu never beats."""
        positions = np.flatnonzero(counts > 0).astype(np.float64)
        placed = counts[counts > 0]
        if not placed.size:
            return np.full((steps.size, 1), -np.inf)
        together = np.array([[_string(setting, counts, n).log_mu] for n in steps])
        if setting.timeline is None and math.isfinite(setting.algorithm.diameter):
            # Restarts at the diameter are found one point at a time, too.
            apart = log_total(self.log_addend(setting, positions, steps, np.zeros(steps.size)), placed, setting.arithmetic)
            together = setting.arithmetic.minimum(together, apart)
        return together

    def log_placed_each(self, setting: Setting, counts: Floats, steps: Floats) -> Numbers:
        """Strings of one constant stretch without a ball all at once, which a loop takes a hundred times as long for."""
        strings = _strings(setting, counts, steps) if len(counts) > 1 else None
        if strings is None:
            strings = np.concatenate([self.log_placed(setting, each, steps) for each in counts], axis=1)
        return strings

    def log_tightness(self, setting: Setting, counts: Floats, steps: int, log_start: float) -> float | None:
        """mu_exact is what two Gaussian runs attain; none is known where the radius binds, or 1 - eta L is what contracts."""
        if _oscillates(setting, float(steps)):
            return None
        if setting.timeline is not None or counts.sum() > 1:
            found = _string(setting, counts, float(steps))
            if found.log_exact is None or found.log_mu == -math.inf:
                return None if found.log_exact is None else 0.0
            return max(found.log_mu - found.log_exact, 0.0)
        where, count = np.flatnonzero(counts).astype(np.float64), np.array([float(steps)])
        if not setting.given_distance and _radius_binds(setting.algorithm, where):
            return None
        log_mu = float(self.log_addend(setting, where, count, np.array([log_start]))[0, 0])
        visits, log_z = _window(setting, count[:, None])
        if setting.given_distance or log_mu == -math.inf or visits[0, 0] < 1:
            return 0.0  # nothing differs but the start: the closed form is the exact case
        return max(log_mu - float(_log_chord(setting.algorithm, where, visits, log_z, count[:, None])[0, 0]), 0.0)

    def witness(
        self,
        setting: Setting,
        placed: Sequence[Visits],
        age: int,
        *,
        sigma: Fraction,
        start_distance: Fraction | None = None,
        alone: bool = True,
    ) -> Case:
        """The shifts that prove most of points in fixed batches, ``age`` steps after their request, for noise ``sigma``.

        setting: of a constant algorithm, with numbers of unlimited range. start_distance: of the models at the request, where
        the caller gives it. alone: there is no other request. Raises InputError where no shifts prove anything.
        """
        # Slow to import, and needed for certificates only.
        from accountant.bounds.witness import Run

        return Run(setting, sigma, start_distance).best(placed, age, alone=alone)

    def log_addend(self, setting: Setting, positions: Floats, steps: Floats, log_start: Numbers) -> Numbers:
        algorithm, constants, ar = setting.algorithm, setting.constants, setting.arithmetic
        if setting.timeline is not None and not setting.given_distance:
            return _cells(setting, positions, steps)
        log_c, per_epoch = constants.log_contraction, algorithm.steps_per_epoch
        n = steps[:, None]
        if setting.given_distance:
            decay = log_mu_decay(log_c=log_c, log_start=log_start[:, None], steps=n, arithmetic=ar)
            return np.broadcast_to(decay, (steps.size, positions.size))
        log_diameter = constants.log_diameter
        visits, log_z = _window(setting, n)
        cycle: dict[str, Numbers] = {
            "log_c": log_c,
            "steps_per_epoch": per_epoch,
            "log_sensitivity": constants.log_sensitivity(positions),
            "visits": np.maximum(visits, 1.0),
            "tail": per_epoch - 1 - positions + n,
        }
        log_mu = log_mu_cyclic(**cycle, log_start=log_z, lead=positions, arithmetic=ar)
        if algorithm.radius is not None:
            log_mu = ar.minimum(log_mu, log_mu_restarted(**cycle, log_diameter=log_diameter, arithmetic=ar))
        if isinstance(setting.reference, int):
            # Retraining so short that the window has no learning step: nothing differs in it but the start.
            length = setting.reference * per_epoch + n % per_epoch
            alone = log_mu_decay(log_c=log_c, log_start=log_diameter, steps=length, arithmetic=ar)
            log_mu = np.where(visits < 1, alone, log_mu)
        return log_mu


def _oscillates(setting: Setting, steps: float) -> bool:
    """Whether a step size is above 2/(L + m): the loss that contracts least then turns differences round at every step."""
    problem = setting.algorithm.problem
    size = setting.algorithm.eta if setting.timeline is None else setting.timeline.largest_step_size(steps)
    return size * (problem.smoothness + problem.strong_convexity) > 2 * (1 + 1e-12)


def _radius_binds(algorithm: PNSGD, position: Floats) -> bool:
    """Whether the distance, tracked without projection, would pass the diameter just after a visit."""
    epochs = math.inf if algorithm.learn_epochs is None else algorithm.learn_epochs
    total = geometric_sum(algorithm.log_contraction, epochs, stride=algorithm.steps_per_epoch)
    return bool(np.any(algorithm.log_sensitivity(position) + np.log(total) > math.log(algorithm.diameter)))


def _window(setting: Setting, n: Floats) -> tuple[Floats, Numbers]:
    """Learning epochs in the stretch that both runs share, and log distance at its start."""
    start = setting.constants.log_diameter if setting.starts_apart else -math.inf
    return setting.shared_epochs(n), np.full(n.shape, start)


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


class _Found(NamedTuple):
    log_mu: Numbers
    #: log of S_N/sqrt(t_N); None where the diameter was used.
    log_exact: float | None


def _cells(setting: Setting, positions: Floats, steps: Floats) -> Floats:
    """log mu of one point in each of the cells, (P, J), by the engine."""
    assert setting.timeline is not None
    size = setting.timeline.edges.size - 1
    result = np.empty((steps.size, positions.size), dtype=float if setting.arithmetic is DOUBLE else object)
    for column, cell in enumerate(positions.astype(int).tolist()):
        counts = np.zeros(size)
        counts[cell] = 1.0
        for row, n in enumerate(steps.tolist()):
            result[row, column] = _string(setting, counts, n).log_mu
    return result


def _string(setting: Setting, counts: Floats, steps: float) -> _Found:
    """The taut string of ``counts`` deleted points in the cells, over all learning and ``steps`` of unlearning."""
    algorithm = setting.algorithm
    timeline = setting.timeline or plain_timeline(algorithm)
    counts = np.pad(counts, (0, timeline.edges.size - 1 - counts.size))
    if setting.arithmetic is not DOUBLE:
        return _Found(_enclosed(setting, timeline, counts, steps), None)
    log_unit = algorithm.log_unit_sensitivity
    with np.errstate(over="ignore"):
        limit = max(float(np.exp(math.log(algorithm.diameter) - log_unit)), SMALLEST)
    start = limit if setting.starts_apart else 0.0
    tail = timeline.unlearning(steps)
    string, exact, peak = None, None, math.inf
    if not timeline.drifts:
        whole = joined([timeline.learning(counts), tail])
        if not whole.log_c.size:
            return _Found(-math.inf, -math.inf)
        string = taut_string(*whole, start, math.inf)
        exact = string.log_chord(whole.sensitivity, whole.noise)
        peak = float(string.tracked.max()) + timeline.largest_sensitivity(counts)
    if peak <= limit:
        assert string is not None
        return _Found(_log(string.mu) + log_unit, None if exact is None else exact + log_unit)
    epochs = timeline.refill(counts, limit)
    parts = joined([timeline.learning(counts, restarts_from=epochs), tail])
    capped = taut_string(*parts, limit if timeline.converged else start, limit)
    mu = capped.mu if string is None else min(capped.mu, string.mu)
    return _Found(_log(mu) + log_unit, None)


def _strings(setting: Setting, counts: Floats, steps: Floats) -> Numbers | None:
    """log mu (P, C) of groups with counts (C, J) each, after so many steps (P,); None where they are not of one kind."""
    algorithm, plain = setting.algorithm, setting.timeline is None and setting.arithmetic is DOUBLE
    if not plain or algorithm.radius is not None or setting.starts_apart or (counts.sum(axis=1) <= 0).any():
        return None
    timeline = plain_timeline(algorithm)
    cells = timeline.edges.size - 1
    learning = None if timeline.drifts else timeline.learning_each(np.pad(counts, ((0, 0), (0, cells - counts.shape[1]))))
    if learning is None:
        return None
    found = []
    for n in steps.tolist():
        tail = timeline.unlearning(n)
        quiet = tail._replace(sensitivity=np.zeros((counts.shape[0], tail.sensitivity.size)))
        found.append(taut_strings(*each_joined([learning, quiet])))
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(np.array(found)) + algorithm.log_unit_sensitivity
    return logs


def _enclosed(setting: Setting, timeline: Timeline, counts: Floats, steps: float) -> Numbers:
    """log mu of the same string in numbers of unlimited range."""
    ar, number, constants = cast(Precise, setting.arithmetic), setting.number, setting.constants
    log_unit = constants.log_unit_sensitivity
    bounded = setting.algorithm.radius is not None
    limit = ar.exp(constants.log_diameter - log_unit) if bounded else math.inf
    start = limit if setting.starts_apart else ar.asarray(0)[()]
    tail = timeline.unlearning(steps, number=number)
    mu: Numbers = math.inf
    if not timeline.drifts:
        whole = joined([timeline.learning(counts, number=number), tail])
        if not whole.log_c.size:
            return -math.inf
        mu = string_mu(*whole, start, math.inf, ar)
    if bounded:
        epochs = timeline.refill(counts, float(ar.midpoint(ar.asarray(limit))))
        parts = joined([timeline.learning(counts, restarts_from=epochs, number=number), tail])
        mu = ar.minimum(mu, string_mu(*parts, limit if timeline.converged else start, limit, ar))
    return ar.log(mu) + log_unit


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
