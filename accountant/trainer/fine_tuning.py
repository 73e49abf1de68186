"""Noisy steps that both runs share, for many trials at once, as :mod:`accountant.problem` has them.

    x <- Clip_R(x - gamma (clip_C(g(x)) + lambda x) + sigma N(0, I)),    at the start x <- Clip_C0(x)

g is the gradient of a whole batch, clipped in all parameters together; with ``clip_first`` the model is clipped before the
noise. Of ``ConvexNonsmooth`` nothing is clipped, and its Lipschitz constant is checked in every step; of Hoelder gradients
the loss's own constant, and the rows that it is about, are checked before the first.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accountant.numerics import Floats, InputError, Progress, choice, integer, number, shown
from accountant.problem import (
    ConvexHoelder,
    ConvexNonsmooth,
    FineTuning,
    HoelderNonconvex,
    Schedule,
    Stage,
    Stages,
    Stepping,
    Unlearn,
)
from accountant.trainer.noise import Seeds
from accountant.trainer.norm_classes import ROW_ROUNDING
from accountant.trainer.points import row_norms
from accountant.trainer.step_losses import StepLoss
from accountant.trainer.steps import project

#: Ways to break the steps on purpose, for audits of the audit.
STEP_FAULTS: Final[dict[str, str]] = {
    "silent-layer": "the last layer gets no noise",
    "layer-clip": "gradients are clipped layer by layer instead of in all",
    "short": "one noisy step too few",
}
#: What rounding may add to the norm of a sum of subgradients, within the accountant's own margins.
_ROUNDING: Final = 1e-13


def fine_tune(
    loss: StepLoss,
    algorithm: Stepping,
    start: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    *,
    sigma: float,
    steps: int | None = None,
    schedule: Schedule | None = None,
    batch_size: int | None = None,
    order: ArrayLike | None = None,
    trials: int = 1,
    seed: int | None = None,
    fault: str | None = None,
    progress: Progress | None = None,
) -> Floats:
    """Clip the start and take all noisy steps; parameters (p, trials), a column a trial.

    start: (p,), or (p, trials), the models that were learned. features (n, d), labels (n,): what is retained. sigma >= 0: one
        step's standard deviation. batch_size: rows of a batch, all by default.
    schedule: step sizes and noise that change on the way, as the accountant has them; steps are then those of its open last
        phase, left out where there is none.
    order: the rows' order (n,), which all trials go through again and again; None: drawn anew, one for all.
    seed: for reproducible results; None: from the operating system. fault: one of ``STEP_FAULTS``.
    Raises InputError, also for subgradients longer than the algorithm's ``lipschitz``, for a loss that its
    ``hoelder_constant`` does not cover or that is not convex where it must be, and for labels that are none of the loss's.

    >>> from accountant import FineTuning
    >>> from accountant.trainer import DoubleWell
    >>> algorithm = FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=0.5)
    >>> fine_tune(DoubleWell(), algorithm, [3.0], np.zeros((4, 1)), np.zeros(4), sigma=0.0, steps=1).round(4)
    array([[0.5375]])
    """
    if not isinstance(loss, StepLoss):
        raise InputError(f"loss must be a loss of noisy steps, got {type(loss).__name__}")
    if not isinstance(algorithm, Stepping):
        raise InputError(f"algorithm must be one of noisy steps, got {type(algorithm).__name__}")
    x, y = _checked_rows(features, labels)
    loss.check_labels(y)
    noise = number("sigma", sigma, at_least=0)
    stages = Stages(Schedule([Unlearn()]) if schedule is None else schedule, algorithm)
    count = integer("steps", steps, at_least=1) if schedule is None else stages.total(steps)
    size = integer("batch_size", y.size if batch_size is None else batch_size, at_least=1, at_most=y.size)
    if fault is not None:
        choice("fault", fault, tuple(STEP_FAULTS))
    if isinstance(algorithm, ConvexNonsmooth | ConvexHoelder) and not loss.convex:
        raise InputError(f"loss must be convex for {algorithm.name}, got {loss.name}")
    if isinstance(algorithm, ConvexHoelder | HoelderNonconvex):
        _check_hoelder(loss, algorithm, x)
    w = _checked_start(start, loss.size(x.shape[1]), integer("trials", trials, at_least=1))
    order_seed, noise_seed = Seeds(seed).spawn().spawn(2)
    rng = np.random.default_rng(noise_seed)
    rows = np.random.default_rng(order_seed).permutation(y.size) if order is None else _checked_order(order, y.size)
    batches = [rows[first : first + size] for first in range(0, y.size, size)]
    run = _Steps(loss, algorithm, noise, loss.layers(x.shape[1]), fault)
    run.begin(w)
    count -= fault == "short"
    for step, stage in zip(range(count), stages.each(), strict=False):
        batch = batches[step % len(batches)]
        run.step(w, x[batch], y[batch], rng, stage)
        if progress is not None:
            progress(step + 1, count)
    return w.T


class _Steps:
    """What one step does, in place on (t, p)."""

    def __init__(self, loss: StepLoss, algorithm: Stepping, sigma: float, layers: tuple[int, ...], fault: str | None) -> None:
        self.loss, self.algorithm, self.sigma, self.fault = loss, algorithm, sigma, fault
        ends = np.cumsum(layers).tolist()
        self.layers = [slice(end - size, end) for end, size in zip(ends, layers, strict=True)]
        self.gradient_clip: float | None = getattr(algorithm, "gradient_clip", None)
        self.clip_first = isinstance(algorithm, FineTuning) and algorithm.clip_first

    def begin(self, w: Floats) -> None:
        """The clipped start; the ball of every step holds both models from the start on."""
        limits = [limit for limit in (self.algorithm.start_clip, self.algorithm.model_clip) if limit is not None]
        if limits:
            project(w, min(limits))

    def step(self, w: Floats, features: Floats, labels: Floats, rng: np.random.Generator, stage: Stage) -> None:
        gradient = self.loss.gradients(w, features, labels)
        if isinstance(self.algorithm, ConvexNonsmooth):
            self._check_lipschitz(gradient)
        if self.gradient_clip is not None:
            for part in self.layers if self.fault == "layer-clip" else [slice(None)]:
                project(gradient[:, part], self.gradient_clip)
        w *= 1 - stage.step_size * self.algorithm.weight_decay
        w -= stage.step_size * gradient
        if self.clip_first:
            self._clip(w)
        drawn = rng.standard_normal(w.shape)
        if self.fault == "silent-layer":
            drawn[:, self.layers[-1]] = 0.0
        w += stage.noise * self.sigma * drawn
        if not self.clip_first:
            self._clip(w)

    def _clip(self, w: Floats) -> None:
        if self.algorithm.model_clip is not None:
            project(w, self.algorithm.model_clip)

    def _check_lipschitz(self, gradient: Floats) -> None:
        assert isinstance(self.algorithm, ConvexNonsmooth)
        longest = float(row_norms(gradient).max())
        if longest > self.algorithm.lipschitz * (1 + _ROUNDING):
            limit = shown(self.algorithm.lipschitz)
            raise InputError(
                f"lipschitz must bound every subgradient of {self.loss.name}, got {limit} where one is {longest:g}"
            )


def _check_hoelder(loss: StepLoss, algorithm: ConvexHoelder | HoelderNonconvex, features: Floats) -> None:
    least = loss.hoelder_constant(features.shape[1], algorithm.hoelder_exponent)
    if algorithm.hoelder_constant < least * (1 - ROW_ROUNDING):
        raise InputError(
            f"hoelder_constant must be at least {shown(least)} for {loss.name} with hoelder_exponent "
            f"{shown(algorithm.hoelder_exponent)}, got {shown(algorithm.hoelder_constant)}"
        )
    loss.check_rows(features)


def _checked_rows(features: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    x, y = (np.asarray(each, dtype=np.float64) for each in (features, labels))
    if x.ndim != 2 or not x.size or y.shape != x.shape[:1] or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"features must be finite (n, d) and labels finite (n,), got {x.shape} and {y.shape}")
    return x, y


def _checked_order(order: ArrayLike, n: int) -> NDArray[np.int64]:
    rows = np.asarray(order)
    if rows.shape != (n,) or rows.dtype.kind not in "ui" or (np.sort(rows) != np.arange(n)).any():
        raise InputError(f"order must be the rows 0 ... {n - 1} in some order, got shape {rows.shape}")
    return rows.astype(np.int64)


def _checked_start(start: ArrayLike, size: int, trials: int) -> NDArray[np.float64]:
    given = np.asarray(start, dtype=np.float64)
    if given.ndim not in (1, 2) or given.shape[0] != size or not np.isfinite(given).all():
        raise InputError(f"start must be {size} finite parameters (p,) or (p, trials), got shape {given.shape}")
    if given.ndim == 2:
        if trials not in (1, given.shape[1]):
            raise InputError(f"trials must be the columns of start, {given.shape[1]}, or left out, got {trials}")
        return np.array(given.T, order="C")
    return np.tile(given, (trials, 1))
