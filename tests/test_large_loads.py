"""Where neither way pays for batches of own draws that come out too large, the settings that are named do, and none beyond."""

import math
import random
import re
from dataclasses import replace

import pytest

from accountant import PNSGD, Problem, UnlearningAccountant
from accountant.numerics import UnreachableError
from accountant.problem import oversize, too_large


def _settings(seed: int) -> tuple[PNSGD, float]:
    rng = random.Random(seed)
    while True:
        n, smoothness = rng.choice([300, 2000, 11264, 50000]), rng.choice([0.26, 1.0, 4.0])
        convexity = smoothness * rng.choice([0, 0.001, 0.04, 0.2])
        adjacency = rng.choice(["remove", "replace"])
        redraw = rng.choice([None, False, True]) if adjacency == "remove" else rng.choice([None, False])
        problem = Problem(n=n, smoothness=smoothness, strong_convexity=convexity, adjacency=adjacency)
        algorithm = PNSGD(
            problem, rng.choice([4, 8, 16, 32, 48]), assignment="secret", step_size=rng.choice([0.5, 1, 1.5, 1.9]) / smoothness,
            redraw=redraw, learn_epochs=None if convexity else 5,
        )  # fmt: skip
        delta = rng.choice([1 / n, 1e-6, 1e-10])
        if oversize(algorithm).least > math.log(delta):
            return algorithm, delta


def _refusal(algorithm: PNSGD, delta: float) -> str | None:
    if algorithm.steps_per_epoch > 400:
        # Noise for that many positions takes a while; the others are asked for it.
        return too_large(algorithm, delta, steps=algorithm.steps_per_epoch)
    try:
        UnlearningAccountant(algorithm).sigma(epsilon=1.0, delta=delta, epochs=1)
    except UnreachableError as error:
        return str(error)
    return None


@pytest.mark.parametrize("seed", range(20))
def test_what_is_named_works_and_slightly_beyond_does_not(seed: int) -> None:
    algorithm, delta = _settings(seed)
    said = _refusal(algorithm, delta)
    assert said is not None
    found = re.search(r"a step_size of at most ([\d.e+-]+) or a batch_size of (\d+) \(the smallest\)", said)
    assert found is not None, said
    eta, size = float(found[1]), int(found[2])
    assert _refusal(replace(algorithm, step_size=eta), delta) is None
    assert _refusal(replace(algorithm, step_size=eta * (1 + 1e-6)), delta) is not None
    assert _refusal(replace(algorithm, batch_size=size), delta) is None
    assert _refusal(replace(algorithm, batch_size=size - 1), delta) is not None
    assert int(algorithm.batch_size) < size <= algorithm.problem.n


@pytest.mark.parametrize("seed", range(3))
def test_no_smaller_batch_is_overlooked(seed: int) -> None:
    algorithm, delta = _settings(seed)
    algorithm = replace(algorithm, problem=replace(algorithm.problem, n=300), largest_n=None)
    said = _refusal(algorithm, delta)
    if said is None:
        return
    found = re.search(r"a batch_size of (\d+)", said)
    works = [b for b in range(int(algorithm.batch_size) + 1, 301) if too_large(replace(algorithm, batch_size=b), delta) is None]
    assert (int(found[1]) if found else None) == (works[0] if works else None)


def test_the_other_choice_of_redrawing_is_named_where_it_pays() -> None:
    problem = Problem(n=11264, smoothness=0.261264, strong_convexity=0.011264, adjacency="remove")
    kept = PNSGD(problem, 24, assignment="secret", redraw=False)
    assert "redraw=yes would do" in (_refusal(kept, 1 / 11264) or "")
    assert _refusal(replace(kept, redraw=True), 1 / 11264) is None
