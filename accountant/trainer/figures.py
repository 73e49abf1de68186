"""The experiments of the published figures: noise and lengths from the accountant, accuracies from the trainer.

Each experiment is a list of :class:`Cell`: one accounting (a method of ``accountant.methods``) at one noise, with the steps
that it wants for every request. Published accountings stand beside the tightest one for the same run. The rest is as it was
published: l2-regularised logistic regression with the regularisation of the MNIST experiments, start law N(0, 2 sigma^2/m I),
a batch order of its own for every trial, the last points deleted first and replaced by random ones, delta = 1/n.

No stretch is run for longer than it changes the law: two runs of the same noise come closer by the contraction c in every step,
so where learning (or a request) goes on after N steps with c^N <= 1e-6, at most a millionth of the distance to the law of
the longer stretch is left. Such stretches are cut there, to whole epochs. Source of the experiments: Chien, Wang, Chen & Li,
Certified Machine Unlearning via Noisy SGD, NeurIPS 2024 (arXiv 2403.17105), section 4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from accountant.methods import METHODS, Setup
from accountant.problem import PRESETS, Problem
from accountant.tables.builtin import builtin, published_lists
from accountant.trainer.baselines import descent_to_delete, release
from accountant.trainer.data import Digits, random_points
from accountant.trainer.losses import Array, Logistic, accuracy
from accountant.trainer.training import Progress, Run, Trainer
from accountant.validation import InputError, choice, integer

_MNIST: Final = PRESETS["mnist"]
#: epsilon of figure 3a; noise of figures 3c and 3d, at epsilon = 0.01; noise and epsilon of figure 3b.
_EPSILONS: Final = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0)
_SIGMAS: Final = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
_TRADEOFF_EPSILON: Final = 0.01
_STREAM: Final = (0.03, 1.0)
#: Requests in a stream, and those after which accuracy is measured in figure 3b.
_REQUESTS: Final = 100
_MARKS: Final = (0, 1, 2, 5, *range(10, _REQUESTS + 1, 10))
#: Points in a request of Langevin unlearning in figure 3b.
_GROUPS: Final = (5, 10, 20)
#: Radius and learning epochs by batch size of the published bound for learning that has not converged.
_RADIUS: Final = 100.0
_NOT_CONVERGED_EPOCHS: Final = {128: 100, "full": 3000}
#: Epochs of the published retraining, full batch.
_RETRAINING: Final = 1000
#: Fewest points that the experiments make sense with.
_FEWEST: Final = 200
#: Below so many points batches are a quarter of the published sizes.
_SMALL: Final = 1024
#: What may be left of the distance between two laws.
_LEFT: Final = 1e-6
#: Seconds that each batch size is tried for at least, to say how long all takes.
_TRIED: Final = 0.1
#: Two sigma that are the same noise.
_SAME: Final = 1e-3
#: What one per-sample gradient costs where every trial has its own batches, in those of the full batch, about.
_OWN_ORDER: Final = 8


@dataclass(frozen=True)
class Cell:
    """One accounting at one noise.

    method: a name in ``METHODS``. sigma: what the method means by it. counts: accounted steps of every request, of
    ``points`` deleted points each. marks: requests after which accuracy is measured, 0 for after learning.
    experiment, variant: of the shipped accuracies that belong here. reported_epochs: published epochs of every request.
    """

    method: str
    setup: Setup
    epsilon: float
    sigma: float
    counts: tuple[int, ...]
    marks: tuple[int, ...]
    points: int = 1
    experiment: str | None = None
    variant: str = ""
    reported_epochs: tuple[int, ...] = ()

    @property
    def batch_size(self) -> int | str:
        size = self.setup.algorithm.batch_size
        return "full" if size == self.setup.problem.n else size

    @property
    def family(self) -> str:
        """What runs: pnsgd, d2d or retrain."""
        return METHODS[self.method].family

    @property
    def shares(self) -> tuple[Any, ...]:
        """Cells for which this is equal go on from the same learned models."""
        return self.family, self.batch_size, self.setup.radius, self.sigma if self.family == "pnsgd" else 0.0


@dataclass(frozen=True)
class Experiment:
    """What a figure needs: cells of ``n`` points, in the order in which they run, and what to know about them."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


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


def experiment(name: str, n: int) -> Experiment:
    """The experiment of a figure on ``n`` points, with noise and lengths from the accountant; InputError for other names.

    n: 11264 for the published ones, at least 200. Other data have the same loss and regularisation, and so the same step size.
    """
    problem = replace(_MNIST, n=integer("n", n, at_least=_FEWEST))
    title, cells, notes = _MAKERS[choice("what", name, EXPERIMENTS)](problem)
    return Experiment(name, title, tuple(cells), notes)


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
    if cell.experiment is None or cell.setup.problem != _MNIST:
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


def _sizes(problem: Problem, *sizes: int) -> list[int | str]:
    """Batch sizes for so many points, largest last."""
    return [size if problem.n >= _SMALL else size // 4 for size in sizes] + ["full"]


def _figure3a(problem: Problem) -> tuple[str, list[Cell], tuple[str, ...]]:
    cells: list[Cell] = []
    small, full = _sizes(problem, 128)
    for size, published in ((small, 128), (full, "full")):
        setup = Setup(problem=problem, batch_size=size)
        limited = setup.with_(radius=_RADIUS, learn_epochs=_NOT_CONVERGED_EPOCHS[published])
        cells += _one_deletion("not-converged", limited, 1, "baseline_nonconvergent")
        cells += _one_deletion("paper", setup, 1, "baseline")
        cells += _one_deletion("optimal", setup, 1)
    setup = Setup(problem=problem)
    cells += _one_deletion("langevin", setup, 1, "baseline")
    for epochs in (1, 5):
        cells += _one_deletion("d2d", setup, epochs, "baseline")
        cells += _one_deletion("d2d-exact", setup, epochs)
    # From scratch with the point replaced, without noise.
    cells.append(Cell("retrain", setup, 0.0, 0.0, (_RETRAINING,), (1,), experiment="retrain_noiseless", variant="removed=1"))
    notes: tuple[str, ...] = (
        "one deletion; sigma for 1 epoch of unlearning (1 and 5 for d2d) at delta = 1/n; not-converged: the bound of the "
        f"published figure, projected on radius {_RADIUS:g}",
        "retrain: descent without noise on what is left, to the optimum",
    )
    if problem == _MNIST:
        notes += (
            "reported for langevin and d2d: runs on 11982 points, with noise for the smoothness of those data, one of "
            "langevin with a hundredth of the noise it names; reported for paper, b = 128: noise of an earlier formula",
        )
    return "noise and accuracy of one deletion", cells, notes


def _one_deletion(name: str, setup: Setup, epochs: int, experiment: str | None = None) -> list[Cell]:
    """A cell for every epsilon."""
    steps = epochs * setup.algorithm.steps_per_epoch
    targets = np.array(_EPSILONS)
    sigmas = METHODS[name].sigma(
        setup, epsilon=targets, delta=np.full(targets.size, setup.default_delta), steps=np.full(targets.size, float(steps))
    )
    return [
        Cell(name, setup, epsilon, sigma, (steps,), (0, 1), experiment=experiment, variant=f"K={epochs}")
        for epsilon, sigma in zip(_EPSILONS, sigmas.tolist(), strict=True)
    ]


def _figure3b(problem: Problem) -> tuple[str, list[Cell], tuple[str, ...]]:
    sigma, epsilon = _STREAM
    requests = _requests(problem)
    marks = tuple(sorted({mark for mark in _MARKS if mark < requests} | {requests}))
    cells: list[Cell] = []
    for size in _sizes(problem, 32, 128):
        cells += _stream_cells(problem, size, sigma, epsilon, requests, marks, "sequential")
    setup = Setup(problem=problem)
    for group in _GROUPS:
        counts = _counts("langevin", setup, sigma, epsilon, requests // group, "epochs", points=group)
        groups = tuple(sorted({mark // group for mark in marks if mark % group == 0}))
        cells.append(Cell("langevin", setup, epsilon, sigma, counts, groups, points=group))
        counts = _counts("optimal", setup, sigma, epsilon, requests // group, "steps", points=group)
        cells.append(Cell("optimal", setup, epsilon, sigma, counts, groups, points=group))
    notes = (
        f"{requests} deletions one after the other, epsilon = {epsilon:g}, sigma = {sigma:g}, delta = 1/n; langevin: in groups",
        *_stream_notes(problem),
    )
    return "sequential deletions", cells, notes


def _requests(problem: Problem) -> int:
    """Deletions in a stream: the published 100, or a tenth of few points."""
    return min(_REQUESTS, problem.n // 10)


def _stream_notes(problem: Problem) -> tuple[str, ...]:
    notes: tuple[str, ...] = (
        "pnsgd: the authors' accounting, whole epochs for each request; optimal: single steps, which may be none",
    )
    if problem == _MNIST:
        notes += ("reported epochs: the published lists; that of the full batch for epsilon = 1 starts with 2, not 4",)
    return notes


@lru_cache(maxsize=2)
def _tradeoff(problem: Problem) -> tuple[str, list[Cell], tuple[str, ...]]:
    requests = _requests(problem)
    cells: list[Cell] = []
    for size in _sizes(problem, 32, 128):
        for sigma in _SIGMAS:
            marks = (0, requests)
            cells += _stream_cells(problem, size, sigma, _TRADEOFF_EPSILON, requests, marks, "paint_unlearning_sigma")
    notes: tuple[str, ...] = (
        f"{requests} deletions one after the other, epsilon = {_TRADEOFF_EPSILON:g}, delta = 1/n",
        *_stream_notes(problem),
    )
    if problem == _MNIST:
        notes += ("reported accuracies after deletions: of runs with other epochs than listed, those for epsilon = 1",)
    return "noise, accuracy and epochs", cells, notes


def _stream_cells(
    problem: Problem, size: int | str, sigma: float, epsilon: float, requests: int, marks: tuple[int, ...], experiment: str
) -> list[Cell]:
    """The authors' accounting and the tightest one, at one noise."""
    setup = Setup(problem=problem, batch_size=size)
    lists = published_lists(experiment, "mnist") if problem == _MNIST else {}
    published = tuple(lists.get((str(size), sigma), ()))
    authors = _counts("pnsgd", setup, sigma, epsilon, requests, "epochs")
    best = _counts("optimal", setup, sigma, epsilon, requests, "steps")
    return [
        Cell(
            "pnsgd", setup, epsilon, sigma, authors, marks, experiment=experiment, reported_epochs=published
        ),
        Cell("optimal", setup, epsilon, sigma, best, marks),
    ]  # fmt: skip


def _counts(
    name: str, setup: Setup, sigma: float, epsilon: float, requests: int, unit: str, *, points: int = 1
) -> tuple[int, ...]:
    """Steps of every request of a stream, as few whole epochs or steps as keep the target."""
    stream = METHODS[name].stream(setup, sigma=sigma, epsilon=epsilon, delta=setup.default_delta, unit=unit)
    scale = setup.algorithm.steps_per_epoch if unit == "epochs" else 1
    return tuple(scale * stream.request(points) for _ in range(requests))


_MAKERS: Final[dict[str, Callable[[Problem], tuple[str, Sequence[Cell], tuple[str, ...]]]]] = {
    "figure3a": _figure3a,
    "figure3b": _figure3b,
    "figure3c": _tradeoff,
    "figure3d": _tradeoff,
}
#: Figures whose experiments can be run.
EXPERIMENTS: Final = tuple(_MAKERS)
