"""Running an experiment: the trainer with the noise and the lengths that the accountant says."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.methods import METHODS
from accountant.numerics import InputError, Progress, integer
from accountant.reproduction.experiments import MNIST, Cell, Experiment
from accountant.tables import builtin
from accountant.trainer import (
    Array,
    Digits,
    Logistic,
    Run,
    Trainer,
    accuracy,
    descent_to_delete,
    random_points,
    release,
)

#: What may be left of the distance between two laws.
_LEFT: Final = 1e-6
#: Seconds that each batch size is tried for at least, to say how long all takes.
_TRIED: Final = 0.1
#: Two sigma that are the same noise.
_SAME: Final = 1e-3
#: What one per-sample gradient costs where every trial has its own batches, in those of the full batch, about.
_OWN_ORDER: Final = 8


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
    learned: dict[tuple[Any, ...], Run] = {}
    ticks = _Ticks(progress, sum(sum(_lengths(cell)) * _price(cell) for cell in plan.cells))
    for cell, seeds in zip(plan.cells, own, strict=True):
        runner = _Runner(cell, digits, new, trials, np.random.default_rng(seeds), ticks)
        start = learned.get(cell.shares)
        if start is None:
            # Cells that share it stand next to one another.
            learned = {cell.shares: (start := runner.learn())}
        else:
            ticks.add(_mixing(cell) * _price(cell))
        rows += [_row(cell, requests, found) for requests, found in runner.measured(start)]
    return rows


def seconds(plan: Experiment, digits: Digits, *, trials: int = 20) -> float:
    """About how long :func:`run` takes, from a second or so of trying each batch size."""
    total = 0.0
    measured: dict[tuple[Any, ...], tuple[float, float, float]] = {}
    learned: set[tuple[Any, ...]] = set()
    for cell in plan.cells:
        kind = cell.family == "pnsgd", cell.batch_size
        if kind not in measured:
            measured[kind] = _Runner(cell, digits, None, trials, np.random.default_rng(0), _Ticks(None, 0)).times()
        overhead, step, request = measured[kind]
        if cell.shares not in learned:
            learned.add(cell.shares)
            total += overhead + step * _mixing(cell)
        total += sum(request + step * _cut(cell, count) for count in cell.counts)
    return total


class _Runner:
    """A cell's trainer on the data; ``new`` are the points that replace deleted ones, in their order."""

    def __init__(self, cell: Cell, digits: Digits, new: Any, trials: int, rng: np.random.Generator, ticks: _Ticks) -> None:
        self.cell, self.digits, self.new, self.trials, self.rng, self.ticks = cell, digits, new, trials, rng, ticks
        problem = cell.setup.problem
        if digits.labels.size != problem.n:
            raise InputError(f"digits must be the {problem.n} points of the experiment, got {digits.labels.size}")
        self.loss = Logistic(regularisation=problem.strong_convexity)
        seed = int(rng.integers(2**53))
        if cell.family == "pnsgd":
            variance = 2 * cell.sigma**2 / problem.strong_convexity
            self.trainer = Trainer(
                self.loss, cell.setup.algorithm, sigma=cell.sigma, trials=trials, dtype="float32", initial_variance=variance,
                seed=seed,
            )  # fmt: skip
        else:
            # Nothing is random but the points that come in and what is added to a release: one run does for all trials.
            self.trainer = descent_to_delete(self.loss, problem, dtype="float32", seed=seed)

    def learn(self, steps: int | None = None) -> Run:
        length = _mixing(self.cell) if steps is None else steps
        progress = self.ticks.of(length * _price(self.cell))
        return self.trainer.learn(self.digits.features, self.digits.labels, steps=length, progress=progress)

    def measured(self, run: Run) -> Iterator[tuple[int, Array]]:
        """Accuracies (trials,) after every mark."""
        cell = self.cell
        if 0 in cell.marks:
            yield 0, self._accuracies(run)
        for request, count in enumerate(cell.counts, 1):
            run = self._unlearn(run, request, _cut(cell, count))
            if request in cell.marks:
                yield request, self._accuracies(run)

    def _unlearn(self, run: Run, request: int, steps: int) -> Run:
        features, labels = self.new
        points = np.arange((request - 1) * self.cell.points, request * self.cell.points)
        removed = self.digits.labels.size - 1 - points
        return self.trainer.unlearn(
            run,
            removed,
            features=features[points],
            labels=labels[points],
            steps=steps,
            progress=self.ticks.of(steps * _price(self.cell)),
        )

    def _accuracies(self, run: Run) -> Array:
        parameters = run.parameters
        if self.cell.family == "d2d":
            parameters, _ = release(run, sigma=self.cell.sigma, trials=self.trials, seed=int(self.rng.integers(2**53)))
        return accuracy(self.loss, parameters, self.digits.test_features, self.digits.test_labels)

    def times(self) -> tuple[float, float, float]:
        """Seconds of learning without a step, of a step, and of a request without a step."""
        steps = self.cell.setup.algorithm.steps_per_epoch
        self.learn(0)
        nothing, run = self._timed(lambda: self.learn(0))
        something = 0.0
        while something < nothing + _TRIED:
            steps *= 2
            something, _ = self._timed(lambda steps=steps: self.learn(steps))  # type: ignore[misc]
        features, labels = self.digits.features[:1], self.digits.labels[:1]
        request, _ = self._timed(lambda: self.trainer.unlearn(run, [0], features=features, labels=labels, steps=0))
        return nothing, (something - nothing) / steps, request

    @staticmethod
    def _timed(work: Callable[[], Run]) -> tuple[float, Run]:
        start = time.perf_counter()
        made = work()
        return time.perf_counter() - start, made


def _mixing(cell: Cell) -> int:
    """Steps, whole epochs, after which the start hardly counts."""
    problem, algorithm = cell.setup.problem, cell.setup.algorithm
    rate = algorithm.log_contraction
    if cell.family != "pnsgd":
        # Descent of step size 2/(L + m).
        rate = math.log1p(-2 * problem.strong_convexity / (problem.smoothness + problem.strong_convexity))
    per_epoch = algorithm.steps_per_epoch
    return math.ceil(math.log(_LEFT) / rate / per_epoch) * per_epoch


def _cut(cell: Cell, count: int) -> int:
    """Steps that are run of so many, to the same batch of the cycle."""
    enough = _mixing(cell)
    return count if count <= enough else enough + count % cell.setup.algorithm.steps_per_epoch


def _lengths(cell: Cell) -> list[int]:
    """Steps that are run: learning, then every request."""
    return [_mixing(cell), *(_cut(cell, count) for count in cell.counts)]


def _price(cell: Cell) -> int:
    """What a step costs, about."""
    size = int(cell.setup.algorithm.batch_size)
    return size * (1 if size == cell.setup.problem.n else _OWN_ORDER)


class _Ticks:
    """Adds up the work of one training after the other."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def add(self, work: int) -> None:
        self.done += work
        if self.progress is not None:
            self.progress(self.done, self.total)

    def of(self, work: int) -> Progress:
        """For a training of so much work."""
        base = self.done
        self.done += work

        def show(done: int, total: int) -> None:
            if self.progress is not None:
                self.progress(base + work * done // max(total, 1), self.total)

        return show


def _row(cell: Cell, requests: int, found: Array) -> Row:
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
        learn_epochs=_mixing(cell) // per_epoch,
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
