"""Random problems for the property tests: the whole range of algorithms, at sizes that the oracle can unroll."""

from __future__ import annotations

from typing import Any

import numpy as np

from accountant import PNSGD, Problem


def random_algorithm(rng: np.random.Generator, **fixed: Any) -> PNSGD:
    """n up to 60, every step size in (0, 2/L], both adjacencies, batch sizes that divide n or not, finite or converged."""
    n = int(rng.integers(2, 61))
    smoothness = float(10 ** rng.uniform(-2, 2))
    ratio = float(rng.choice([1e-6, 0.01, 0.3, 1.0, rng.random()]))
    problem = Problem(
        n=n,
        smoothness=smoothness,
        strong_convexity=fixed.pop("strong_convexity", smoothness * ratio),
        lipschitz=float(10 ** rng.uniform(-1, 1)),
        adjacency=str(rng.choice(["replace", "zero-out"])),
    )
    settings: dict[str, Any] = {
        "batch_size": int(rng.integers(max(1, n // 12), n + 1)),
        "step_size": float(rng.choice([1.0, 0.3, 1.5, 1.999, rng.uniform(0.01, 2)])) / smoothness,
        "learn_epochs": int(rng.integers(1, 12)),
        "last_batch": str(rng.choice(["keep", "drop"])),
    }
    return PNSGD(problem, **(settings | fixed))


def schedule(algorithm: PNSGD, position: int, steps: int, learn_epochs: int | None = None) -> dict[str, Any]:
    """The oracle's arguments for this algorithm."""
    problem = algorithm.problem
    return {
        "n": problem.n,
        "batch_size": algorithm.batch_size,
        "position": position,
        "learn_epochs": algorithm.learn_epochs if learn_epochs is None else learn_epochs,
        "steps": steps,
        "step_size": algorithm.step_size,
        "smoothness": problem.smoothness,
        "strong_convexity": problem.strong_convexity,
        "lipschitz": problem.lipschitz,
        "adjacency": problem.adjacency,
        "last_batch": algorithm.last_batch,
    }
