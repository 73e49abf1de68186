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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from accountant.methods import METHODS, Unit
from accountant.numerics import choice, integer
from accountant.problem import PNSGD, PRESETS, PUBLISHED_RADIUS, Problem
from accountant.questions import Setup
from accountant.tables import published_lists

MNIST: Final = PRESETS["mnist"]
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
#: Learning epochs by batch size of the published bound for learning that has not converged.
_NOT_CONVERGED_EPOCHS: Final = {128: 100, "full": 3000}
#: Epochs of the published retraining, full batch.
_RETRAINING: Final = 1000
#: Fewest points that the experiments make sense with.
_FEWEST: Final = 200
#: What cells share that go on from the same learned models: what runs, batch size, radius, noise.
Shares = tuple[str, int | str, float | None, float]
#: Below so many points batches are a quarter of the published sizes.
_SMALL: Final = 1024


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
    def shares(self) -> Shares:
        """Cells for which this is equal go on from the same learned models."""
        return self.family, self.batch_size, self.setup.algorithm.radius, self.sigma if self.family == "pnsgd" else 0.0


@dataclass(frozen=True)
class Experiment:
    """What a figure needs: cells of ``n`` points, in the order in which they run, and what to know about them."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


def experiment(name: str, n: int) -> Experiment:
    """The experiment of a figure on ``n`` points, with noise and lengths from the accountant; InputError for other names.

    n: 11264 for the published ones, at least 200. Other data have the same loss and regularisation, and so the same step size.
    """
    problem = replace(MNIST, n=integer("n", n, at_least=_FEWEST))
    title, cells, notes = _MAKERS[choice("what", name, EXPERIMENTS)](problem)
    return Experiment(name, title, tuple(cells), notes)


def _sizes(problem: Problem, *sizes: int) -> list[int | str]:
    """Batch sizes for so many points, largest last."""
    return [size if problem.n >= _SMALL else size // 4 for size in sizes] + ["full"]


def _figure3a(problem: Problem) -> tuple[str, list[Cell], tuple[str, ...]]:
    cells: list[Cell] = []
    small, full = _sizes(problem, 128)
    for size, published in ((small, 128), (full, "full")):
        setup = Setup(PNSGD(problem, size))
        limited = setup.with_(radius=PUBLISHED_RADIUS, learn_epochs=_NOT_CONVERGED_EPOCHS[published])
        cells += _one_deletion("not-converged", limited, 1, "baseline_nonconvergent")
        cells += _one_deletion("paper", setup, 1, "baseline")
        cells += _one_deletion("optimal", setup, 1)
    setup = Setup(PNSGD(problem))
    cells += _one_deletion("langevin", setup, 1, "baseline")
    for epochs in (1, 5):
        cells += _one_deletion("d2d", setup, epochs, "baseline")
        cells += _one_deletion("d2d-exact", setup, epochs)
    # From scratch with the point replaced, without noise.
    cells.append(Cell("retrain", setup, 0.0, 0.0, (_RETRAINING,), (1,), experiment="retrain_noiseless", variant="removed=1"))
    notes: tuple[str, ...] = (
        "one deletion; sigma for 1 epoch of unlearning (1 and 5 for d2d) at delta = 1/n; not-converged: the bound of the "
        f"published figure, projected on radius {PUBLISHED_RADIUS:g}",
        "retrain: descent without noise on what is left, to the optimum",
    )
    if problem == MNIST:
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
    setup = Setup(PNSGD(problem))
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
    if problem == MNIST:
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
    if problem == MNIST:
        notes += ("reported accuracies after deletions: of runs with other epochs than listed, those for epsilon = 1",)
    return "noise, accuracy and epochs", cells, notes


def _stream_cells(
    problem: Problem, size: int | str, sigma: float, epsilon: float, requests: int, marks: tuple[int, ...], experiment: str
) -> list[Cell]:
    """The authors' accounting and the tightest one, at one noise."""
    setup = Setup(PNSGD(problem, size))
    lists = published_lists(experiment, "mnist") if problem == MNIST else {}
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
    name: str, setup: Setup, sigma: float, epsilon: float, requests: int, unit: Unit, *, points: int = 1
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
