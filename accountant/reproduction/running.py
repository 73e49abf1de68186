"""Running an experiment: the trainer with the noise and the lengths that the accountant says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.methods import METHODS
from accountant.numerics import InputError, Progress, check_jobs, integer, processes, spread
from accountant.reproduction.experiments import MNIST, Cell, Experiment, Shares
from accountant.reproduction.kept import Kept, State
from accountant.reproduction.runner import Points, Runner, Ticks, cut_steps, lengths, mixing_steps, price
from accountant.tables import builtin
from accountant.trainer import Array, Digits, Run, random_points

#: Two sigma that are the same noise.
_SAME: Final = 1e-3


#: Number of a cell, its rows, and the generators after it.
_Found = tuple[int, list[dict[str, Any]], list[State]]


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
    plan: Experiment,
    digits: Digits,
    *,
    trials: int = 20,
    seed: int | None = 0,
    jobs: int | None = None,
    kept: Kept | None = None,
    finished: Callable[[int], None] | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Train every cell and measure; rows in the order of the cells and their marks.

    trials: independent runs (>= 1; one where nothing is random). seed: >= 0, or None for the operating system's. jobs:
        processes that share the cells, as for :func:`accountant.trainer.audit`; rows do not depend on it. kept: cells that are
        not run again, and where finished ones are added; needs a seed. finished: is told the number of every cell that is done.
    progress: is called with the work done and the work there is, in units of their own.
    """
    trials = integer("trials", trials, at_least=1)
    workers, kept = check_jobs(jobs), Kept(None, "") if kept is None else kept
    if seed is None and kept.path is not None:
        raise InputError("seed must be given to keep cells: others are not of the same trials")
    sequence = np.random.SeedSequence(None if seed is None else integer("seed", seed, at_least=0))
    replacements, *own = sequence.spawn(1 + len(plan.cells))
    most = max(sum(cell.points for _ in cell.counts) for cell in plan.cells)
    dimension = digits.features.shape[1]
    new = random_points(min(most, digits.labels.size), dimension, np.random.default_rng(replacements))
    groups = [
        _Group(plan.cells, numbers, tuple(own[at] for at in numbers), digits, new, trials, kept) for numbers in _shared(plan)
    ]
    left = [group for group in groups if not all(number in kept for number in group.numbers)]
    done = kept.add if finished is None else _both(kept.add, finished)
    if len(left) < 2 or processes(workers) == 1:
        # Here every cell is kept when it is done.
        ticks = Ticks(progress, sum(group.work for group in left))
        for group in left:
            for found in group.cells_left(ticks):
                done(*found)
    else:
        tasks = [group._replace(kept=kept.copy()) for group in left]
        weights = [group.work for group in left]
        for all_found in spread(_run_group, tasks, jobs=workers, progress=progress, weights=weights):
            for found in all_found:
                done(*found)
    return [Row(**row) for number in range(len(plan.cells)) for row in kept.entry(number)[0]]


class _Group(NamedTuple):
    """Cells that go on from the same learned models; ``numbers``: which they are, ``seeds``: of each."""

    cells: tuple[Cell, ...]
    numbers: tuple[int, ...]
    seeds: tuple[np.random.SeedSequence, ...]
    digits: Digits
    new: Points
    trials: int
    kept: Kept

    @property
    def work(self) -> int:
        """In the units of progress."""
        return sum(sum(lengths(self.cells[number])) * price(self.cells[number]) for number in self.numbers)

    def cells_left(self, ticks: Ticks) -> Iterator[_Found]:
        """Number and rows of every cell that is not kept, and where the generators of the learned models are after it."""
        learned: Run | None = None
        for number, seeds in zip(self.numbers, self.seeds, strict=True):
            cell = self.cells[number]
            runner = Runner(cell, self.digits, self.new, self.trials, np.random.default_rng(seeds), ticks)
            if learned is None:
                # Again, where some of its cells are kept: the same models from the same seed.
                learned = runner.learn()
            else:
                ticks.add(mixing_steps(cell) * price(cell))
            if number in self.kept:
                # Requests of all cells draw from the same generators, one cell after the other.
                for generator, state in zip(learned.generators, self.kept.entry(number)[1], strict=True):
                    generator.bit_generator.state = state
                ticks.add(sum(lengths(cell)[1:]) * price(cell))
                continue
            rows = [row_of(cell, requests, found)._asdict() for requests, found in runner.measured(learned)]
            yield number, rows, [dict(generator.bit_generator.state) for generator in learned.generators]


def _run_group(group: _Group, progress: Progress | None) -> list[_Found]:
    return list(group.cells_left(Ticks(progress, group.work)))


def _both(add: Callable[..., None], finished: Callable[[int], None]) -> Callable[..., None]:
    def done(*found: Any) -> None:
        add(*found)
        finished(found[0])

    return done


def _shared(plan: Experiment) -> list[tuple[int, ...]]:
    """Numbers of cells that share their learned models; those stand next to one another."""
    numbers = range(len(plan.cells))
    return [tuple(group) for _, group in groupby(numbers, key=lambda number: plan.cells[number].shares)]


def seconds(plan: Experiment, digits: Digits, *, trials: int = 20) -> list[float]:
    """About how long :func:`run` takes for each cell, in one process, from a second or so of trying each batch size.

    Learned models that cells share are in the first of them.
    """
    found: list[float] = []
    measured: dict[tuple[bool, int | str], tuple[float, float, float]] = {}
    learned: set[Shares] = set()
    for cell in plan.cells:
        kind = cell.family == "pnsgd", cell.batch_size
        if kind not in measured:
            measured[kind] = Runner(cell, digits, None, trials, np.random.default_rng(0), Ticks(None, 0)).times()
        overhead, step, request = measured[kind]
        total = sum(request + step * cut_steps(cell, count) for count in cell.counts)
        if cell.shares not in learned:
            learned.add(cell.shares)
            total += overhead + step * mixing_steps(cell)
        found.append(total)
    return found


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
