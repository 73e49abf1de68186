"""One cell of an experiment on the trainer: learning, requests, accuracies, and how long it all takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from accountant.numerics import InputError, Progress
from accountant.reproduction.experiments import Cell
from accountant.trainer import Array, Digits, Logistic, Run, Trainer, accuracy, descent_to_delete, release

#: What may be left of the distance between two laws.
_LEFT: Final = 1e-6
#: Seconds that each batch size is tried for at least, to say how long all takes.
_TRIED: Final = 0.1
#: What one per-sample gradient costs where every trial has its own batches, in those of the full batch, about.
_OWN_ORDER: Final = 8
#: Features and labels.
Points = tuple[Array, NDArray[np.int64]]


class Runner:
    """A cell's trainer on the data; ``new`` are the points that replace deleted ones, in their order."""

    def __init__(
        self, cell: Cell, digits: Digits, new: Points | None, trials: int, rng: np.random.Generator, ticks: Ticks
    ) -> None:
        self.cell, self.digits, self.new, self.trials, self.rng, self.ticks = cell, digits, new, trials, rng, ticks
        problem = cell.setup.problem
        if digits.labels.size != problem.n:
            raise InputError(f"digits must be the {problem.n} points of the experiment, got {digits.labels.size}")
        self.loss = Logistic(regularisation=problem.strong_convexity)
        seed = int(rng.integers(2**53))
        if cell.family == "pnsgd":
            variance = 2 * cell.sigma**2 / problem.strong_convexity
            # Learning is cut where the start hardly counts any more, to whole epochs, which converged learning covers.
            algorithm = replace(cell.setup.algorithm, learn_epochs=None)
            self.trainer = Trainer(
                self.loss, algorithm, sigma=cell.sigma, trials=trials, dtype="float32", initial_variance=variance,
                seed=seed,
            )  # fmt: skip
        else:
            # Nothing is random but the points that come in and what is added to a release: one run does for all trials.
            self.trainer = descent_to_delete(self.loss, problem, dtype="float32", seed=seed)

    def learn(self, steps: int | None = None) -> Run:
        length = mixing_steps(self.cell) if steps is None else steps
        progress = self.ticks.of(length * price(self.cell))
        return self.trainer.learn(self.digits.features, self.digits.labels, steps=length, progress=progress)

    def measured(self, run: Run) -> Iterator[tuple[int, Array]]:
        """Accuracies (trials,) after every mark."""
        cell = self.cell
        if 0 in cell.marks:
            yield 0, self._accuracies(run)
        for request, count in enumerate(cell.counts, 1):
            run = self._unlearn(run, request, cut_steps(cell, count))
            if request in cell.marks:
                yield request, self._accuracies(run)

    def _unlearn(self, run: Run, request: int, steps: int) -> Run:
        assert self.new is not None
        features, labels = self.new
        points = np.arange((request - 1) * self.cell.points, request * self.cell.points)
        removed = self.digits.labels.size - 1 - points
        return self.trainer.unlearn(
            run,
            removed,
            features=features[points],
            labels=labels[points],
            steps=steps,
            progress=self.ticks.of(steps * price(self.cell)),
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


def mixing_steps(cell: Cell) -> int:
    """Steps, whole epochs, after which the start hardly counts."""
    problem, algorithm = cell.setup.problem, cell.setup.algorithm
    rate = algorithm.log_contraction
    if cell.family != "pnsgd":
        # Descent of step size 2/(L + m).
        rate = math.log1p(-2 * problem.strong_convexity / (problem.smoothness + problem.strong_convexity))
    per_epoch = algorithm.steps_per_epoch
    return math.ceil(math.log(_LEFT) / rate / per_epoch) * per_epoch


def cut_steps(cell: Cell, count: int) -> int:
    """Steps that are run of so many, to the same batch of the cycle."""
    enough = mixing_steps(cell)
    return count if count <= enough else enough + count % cell.setup.algorithm.steps_per_epoch


def lengths(cell: Cell) -> list[int]:
    """Steps that are run: learning, then every request."""
    return [mixing_steps(cell), *(cut_steps(cell, count) for count in cell.counts)]


def price(cell: Cell) -> int:
    """What a step costs, about."""
    size = int(cell.setup.algorithm.batch_size)
    return size * (1 if size == cell.setup.problem.n else _OWN_ORDER)


class Ticks:
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
