"""What noisy SGD competes with, on the same loss and data: each is the trainer with other steps and noise.

- Descent-to-Delete: full-batch descent without noise, of step size 2/(L + m); one N(0, sigma^2 I) on what is released. The
  inner model of :func:`descent_to_delete` is the secret that unlearning goes on from (``d2d``, ``d2d-exact``); without a
  secret it goes on from the release itself: :func:`release` with ``keep_secret=False`` (``d2d-open``).
- Langevin unlearning: full-batch noisy descent, of step size at most 1/L.
- Retraining: full-batch descent without noise on what is left.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from accountant.numerics import InputError, Progress, integer, number
from accountant.problem import PNSGD, Problem, Schedule
from accountant.trainer.losses import Array, Loss
from accountant.trainer.runs import Run
from accountant.trainer.training import Trainer


class TrainerOptions(TypedDict, total=False):
    """Arguments of :class:`~accountant.trainer.Trainer` that a baseline does not settle."""

    schedule: Schedule | None
    trials: int
    orders: str
    dtype: str
    initial: ArrayLike
    initial_variance: float
    seed: int | None


def descent_to_delete(loss: Loss, problem: Problem, **options: Unpack[TrainerOptions]) -> Trainer:
    """The trainer of Descent-to-Delete; its runs are the inner, secret models. options as for Trainer, without sigma.

    One trial is enough where all start at one point: their inner models are the same.
    """
    return Trainer(loss, PNSGD(problem, step_size=_descent_step(problem)), sigma=0.0, **options)


def release(run: Run, *, sigma: float, trials: int = 1, seed: int | None = None, keep_secret: bool = True) -> tuple[Array, Run]:
    """Parameters with N(0, sigma^2 I) on them, and the run that unlearning goes on from.

    trials: releases of every trial of the run. sigma: a standard deviation >= 0, D2D's own meaning. With ``keep_secret`` the
    run stays what it is. Without, it goes on from the release, which is then one per trial.

    >>> import numpy as np
    >>> from accountant.trainer import Logistic
    >>> loss = Logistic(regularisation=0.1)
    >>> secret = descent_to_delete(loss, loss.problem(4)).learn(np.eye(4), [1, 1, -1, -1], epochs=5)
    >>> released, run = release(secret, sigma=0.1, trials=3, seed=0)
    >>> released.shape, run is secret
    ((4, 3), True)
    """
    std, count = number("sigma", sigma, at_least=0), integer("trials", trials, at_least=1)
    if count > 1 and not keep_secret:
        raise InputError(f"trials must be 1 where unlearning goes on from the release, got {count}")
    entropy = secrets.randbits(256) if seed is None else integer("seed", seed, at_least=0)
    noise = np.random.default_rng(entropy).standard_normal(
        (run.trials * count, run.parameters.shape[0]), dtype=run.parameters.dtype.type
    )
    released = np.repeat(run.parameters, count, axis=1) + std * noise.T
    return released, run if keep_secret else replace(run, parameters=released)


def langevin(
    loss: Loss, problem: Problem, *, sigma: float, step_size: float | None = None, **options: Unpack[TrainerOptions]
) -> Trainer:
    """The trainer of Langevin unlearning; step_size at most 1/L (default), options as for Trainer."""
    algorithm = PNSGD(problem, step_size=step_size)
    most = 1 / problem.smoothness
    if algorithm.eta > most * (1 + 1e-12):
        raise InputError(f"step_size must be at most 1/smoothness = {most:.10g} for langevin, got {algorithm.eta}")
    return Trainer(loss, algorithm, sigma=sigma, **options)


def retrain(
    loss: Loss,
    problem: Problem,
    features: ArrayLike,
    labels: ArrayLike,
    *,
    steps: int,
    step_size: float | None = None,
    progress: Progress | None = None,
    **options: Unpack[TrainerOptions],
) -> Run:
    """Learn without noise on features (n, d) and labels (n,), full batch; step_size by default 1/L."""
    algorithm = PNSGD(problem, step_size=step_size)
    return Trainer(loss, algorithm, sigma=0.0, **options).learn(features, labels, steps=steps, progress=progress)


def _descent_step(problem: Problem) -> float:
    return 2 / (problem.smoothness + problem.strong_convexity)
