"""Running an experiment: the trainer with the noise and the lengths that the accountant says."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from accountant.methods import METHODS
from accountant.numerics import Progress, integer
from accountant.reproduction.experiments import MNIST, Cell, Experiment, Shares
from accountant.reproduction.runner import Runner, Ticks, cut_steps, lengths, mixing_steps, price
from accountant.tables import builtin
from accountant.trainer import Array, Digits, Run, random_points

#: Two sigma that are the same noise.
_SAME: Final = 1e-3


class Row(NamedTuple):
    """One cell after so many requests. Gaps are None: no spread of one trial, nothing reported.

    steps, epochs: accounted for unlearning so far, over all requests. learn_epochs: of learning, as run. released_std:
    standard deviation per coordinate of all noise in the released model. accuracy, accuracy_std: mean and standard deviation
    over trials of the share of test points that are right; standard_error of that mean. reported_*: what was published for this
    place in the figure. difference: of the two means, where both have the same sigma, in standard errors from the published
    spread.
    """

    method: str
    batch_size: int | str
    epsilon: float | None
    sigma: float
    released_std: float | None
    points_each: int
    requests: int
    deleted: int
    steps: int
    epochs: float
    learn_epochs: int
    trials: int
    accuracy: float
    accuracy_std: float | None
    standard_error: float | None
    reported_sigma: float | None
    reported_epochs: int | None
    reported_accuracy: float | None
    reported_std: float | None
    reported_trials: int | None
    difference: float | None


def run(
    plan: Experiment, digits: Digits, *, trials: int = 20, seed: int | None = 0, progress: Progress | None = None
) -> list[Row]:
    """Train every cell and measure; rows in the order of the cells and their marks.

    trials: independent runs (>= 1; one where nothing is random). seed: >= 0, or None for the operating system's. progress: is
    called with the work done and the work there is, in units of their own.
    """
    trials = integer("trials", trials, at_least=1)
    sequence = np.random.SeedSequence(None if seed is None else integer("seed", seed, at_least=0))
    replacements, *own = sequence.spawn(1 + len(plan.cells))
    most = max(sum(cell.points for _ in cell.counts) for cell in plan.cells)
    dimension = digits.features.shape[1]
    new = random_points(min(most, digits.labels.size), dimension, np.random.default_rng(replacements))
    rows: list[Row] = []
    learned: dict[Shares, Run] = {}
    ticks = Ticks(progress, sum(sum(lengths(cell)) * price(cell) for cell in plan.cells))
    for cell, seeds in zip(plan.cells, own, strict=True):
        runner = Runner(cell, digits, new, trials, np.random.default_rng(seeds), ticks)
        start = learned.get(cell.shares)
        if start is None:
            # Cells that share it stand next to one another.
            learned = {cell.shares: (start := runner.learn())}
        else:
            ticks.add(mixing_steps(cell) * price(cell))
        rows += [row_of(cell, requests, found) for requests, found in runner.measured(start)]
    return rows


def seconds(plan: Experiment, digits: Digits, *, trials: int = 20) -> float:
    """About how long :func:`run` takes, from a second or so of trying each batch size."""
    total = 0.0
    measured: dict[tuple[bool, int | str], tuple[float, float, float]] = {}
    learned: set[Shares] = set()
    for cell in plan.cells:
        kind = cell.family == "pnsgd", cell.batch_size
        if kind not in measured:
            measured[kind] = Runner(cell, digits, None, trials, np.random.default_rng(0), Ticks(None, 0)).times()
        overhead, step, request = measured[kind]
        if cell.shares not in learned:
            learned.add(cell.shares)
            total += overhead + step * mixing_steps(cell)
        total += sum(request + step * cut_steps(cell, count) for count in cell.counts)
    return total


def row_of(cell: Cell, requests: int, found: Array) -> Row:
    """A cell after so many requests, from the accuracies (trials,) that were measured."""
    method, per_epoch = METHODS[cell.method], cell.setup.algorithm.steps_per_epoch
    steps, count = sum(cell.counts[:requests]), int(found.size)
    std = float(found.std(ddof=1)) if count > 1 else None
    error = None if std is None else std / math.sqrt(count)
    deleted = requests * cell.points
    reported = _reported(cell, deleted)
    difference = None
    mean = float(found.mean())
    if reported is not None and abs(reported.sigma - cell.sigma) <= _SAME * cell.sigma:
        # Of one law, if all is right: the spread of many published trials is known better than that of a few.
        total = reported.std * math.sqrt(1 / count + 1 / reported.trials)
        difference = (mean - reported.accuracy) / total if total > 0 else None
    return Row(
        method=cell.method,
        batch_size=cell.batch_size,
        epsilon=cell.epsilon if cell.family != "retrain" else None,
        sigma=cell.sigma,
        released_std=method.released_std(cell.setup, cell.sigma) if cell.sigma else 0.0,
        points_each=cell.points,
        requests=requests,
        deleted=deleted,
        steps=steps,
        epochs=steps / per_epoch,
        learn_epochs=mixing_steps(cell) // per_epoch,
        trials=count,
        accuracy=mean,
        accuracy_std=std,
        standard_error=error,
        reported_sigma=None if reported is None else reported.sigma,
        reported_epochs=sum(cell.reported_epochs[:requests]) if cell.reported_epochs else None,
        reported_accuracy=None if reported is None else reported.accuracy,
        reported_std=None if reported is None else reported.std,
        reported_trials=None if reported is None else reported.trials,
        difference=difference,
    )


class _Reported(NamedTuple):
    sigma: float
    accuracy: float
    std: float
    trials: int


def _reported(cell: Cell, deleted: int) -> _Reported | None:
    """The published accuracy at this place of the figure, which is of MNIST."""
    if cell.experiment is None or cell.setup.problem != MNIST:
        return None
    family = {"langevin": "lu", "d2d": "d2d"}.get(cell.method, "pnsgd")
    for row in builtin("accuracies").rows():
        place = row["method"], row["experiment"], row["variant"], row["batch_size"], int(row["deleted"])
        if place != (family, cell.experiment, cell.variant, str(cell.batch_size), deleted):
            continue
        # The figures of one noise and target have no other key; those of many have the one that varies.
        if cell.family == "retrain" or (
            float(row["epsilon"]) == cell.epsilon
            and (cell.experiment.startswith("baseline") or float(row["sigma"]) == cell.sigma)
        ):
            return _Reported(float(row["sigma"]), float(row["accuracy_mean"]), float(row["accuracy_std"]), int(row["trials"]))
    return None
