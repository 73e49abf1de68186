"""What the published experiments set: their problems, epochs of learning and radius."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from accountant.numerics import choice
from accountant.problem.algorithm import PNSGD
from accountant.problem.problem import Problem

#: Radius of the published not-converged experiments.
PUBLISHED_RADIUS: Final = 100.0
#: Epochs of learning in the published experiments, by batch size: the burn-in T of the authors' code (Chien et al. 2024).
PUBLISHED_EPOCHS: Final[dict[int | str, int]] = {32: 50, 64: 75, 128: 100, 256: 150, 512: 200, "full": 1000}


def default_retrain_epochs(algorithm: PNSGD) -> int | None:
    """``learn_epochs``, or what the authors' code learns for on the published problems, or None."""
    # How long learning takes is the same whatever a deletion does.
    problem = replace(algorithm.problem, adjacency="replace")
    if algorithm.learn_epochs is not None or problem not in PRESETS.values():
        return algorithm.learn_epochs
    full = algorithm.batch_size == algorithm.problem.n
    return PUBLISHED_EPOCHS.get("full" if full else algorithm.batch_size)


def _published(n: int) -> Problem:
    """l2-regularised logistic regression on unit-norm features with lambda = 1e-6 n (Chien et al. 2024, section 5)."""
    return Problem.from_loss("logistic", n=n, l2=n / 1_000_000, feature_bound=1.0, intercept=False)


#: The published experiments: MNIST digits 3 and 8; CIFAR-10 classes 3 and 8 on 512-dimensional features.
PRESETS: Final[dict[str, Problem]] = {"mnist": _published(11_264), "cifar10": _published(9_728)}
#: Parameters of their models.
PRESET_DIMENSIONS: Final[dict[str, int]] = {"mnist": 784, "cifar10": 512}


def preset(name: str) -> Problem:
    """The published problem of that name; InputError lists the names.

    >>> preset("mnist")
    Problem(n=11264, smoothness=0.261264, strong_convexity=0.011264, lipschitz=1.0, adjacency='replace')
    """
    return PRESETS[choice("preset", name, PRESETS)]
