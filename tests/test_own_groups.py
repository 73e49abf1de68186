"""Several records with draws of their own, deleted at once: against exact Gaussians over every tuple of draws."""

import math
from typing import Any

import numpy as np
import oracle_secret as oracle
import pytest

from accountant import PNSGD, InputError, Problem, UnlearningAccountant
from accountant.averaging import OwnGroup
from accountant.averaging.own_groups import own_group


def linear(rng: np.random.Generator, adjacency: str, **words: Any) -> PNSGD:
    """An instance of which the bound is attained: all smoothness is the regulariser's, so no batch is too large."""
    batches = int(rng.integers(1, 5))
    m = float(rng.uniform(0.05, 0.9))
    problem = Problem(n=batches * 4, smoothness=m, strong_convexity=m, adjacency=adjacency)
    return PNSGD(problem, 4, step_size=float(rng.uniform(0.1, 1)), assignment="secret", **words)


def exact(algorithm: PNSGD, count: int, sigma: float, steps: int, epsilon: float) -> float:
    """The exact delta of that instance, brute force over all tuples of draws."""
    instance = oracle.Instance(algorithm.contraction, algorithm.noise_std(sigma), algorithm.steps_per_epoch)
    h = algorithm.eta * algorithm.problem.lipschitz / algorithm.largest_batch
    learned = algorithm.steps_per_epoch * (algorithm.learn_epochs or math.ceil(60 / -algorithm.log_contraction))
    end = learned + steps
    records = [oracle.Record(h, (0, learned), None)] * count
    if algorithm.problem.adjacency == "replace":
        # Stand-ins push the other way, in both runs after the request, in one of them before.
        records += [oracle.Record(-h, (learned, end), (0, end))] * count
    first, second = oracle.exact_pair(instance, records, end)
    return oracle.exact_delta(first, second, epsilon, grid=0.02)


@pytest.mark.parametrize("adjacency", ["remove", "replace"])
def test_never_below_the_exact_gaussians_and_attained_where_the_chord_is_feasible(adjacency: str) -> None:
    rng = np.random.default_rng(161)
    attained = 0
    for case in range(60):
        learned = None if case % 2 else int(rng.integers(1, 4))
        algorithm = linear(rng, adjacency, learn_epochs=learned)
        count, steps = int(rng.integers(2, 4 if adjacency == "remove" else 3)), int(rng.integers(0, 7))
        accountant = UnlearningAccountant(algorithm, group_size=count)
        epsilon = float(rng.uniform(0.1, 2))
        sigma = accountant.sigma(epsilon=epsilon, delta=10 ** float(rng.uniform(-5, -1)), steps=steps)
        claimed, truth = (
            accountant.delta(sigma=sigma, epsilon=epsilon, steps=steps),
            exact(algorithm, count, sigma, steps, epsilon),
        )
        assert claimed >= truth * (1 - 1e-9), case
        if adjacency == "remove" and learned is None and 2 * steps >= algorithm.steps_per_epoch - 2:
            assert claimed == pytest.approx(truth, rel=1e-6)
            attained += 1
    assert adjacency == "replace" or attained > 15


@pytest.mark.parametrize("stand_in", [False, True])
def test_the_law_on_a_grid_is_a_little_above_every_multiset(stand_in: bool) -> None:
    adjacency = "replace" if stand_in else "remove"
    for b, count, steps in ((16, 3, 5), (8, 2, 1), (32, 4, 40)):
        problem = Problem(n=64, smoothness=0.3, strong_convexity=0.3, adjacency=adjacency)
        setting = UnlearningAccountant(PNSGD(problem, b, assignment="secret"), group_size=count).placing.setting
        bound = UnlearningAccountant(setting.algorithm).placing.bound
        every, law = own_group(64 // b, count, stand_in=stand_in), OwnGroup(64 // b, count, stand_in)
        found = []
        for components in (every, law):
            mixture = components.mixture(bound, setting, np.array([float(steps)]), np.zeros(1))
            log_mu = mixture.log_scale - math.log(0.05)
            found.append(mixture.curve.epsilon(np.log([1e-3]), mixture.log_weights, log_mu)[0])
        assert not isinstance(every, OwnGroup)
        assert found[0] <= found[1]
        if 2 * steps >= 64 // b - 2:
            assert found[1] <= found[0] * (1.02 if stand_in else 1.001)


def test_two_records_of_mnist_against_all_their_pairs() -> None:
    from dataclasses import replace

    from accountant import preset

    algorithm = PNSGD(replace(preset("mnist"), adjacency="remove"), 128, assignment="secret", redraw=False)
    accountant = UnlearningAccountant(algorithm, group_size=2)
    instance, h = oracle.mnist(128, 0.0002)
    scales = oracle.converged_scales(instance, h, 88)
    sums = (scales[:, None] + scales).ravel()
    truth = oracle.removed(sums, 1.0)
    assert truth <= accountant.delta(sigma=0.0002, epsilon=1.0, steps=88) <= truth * 1.01


def test_more_records_never_cost_less_and_worst_is_worst() -> None:
    problem = Problem(n=120, smoothness=0.2, strong_convexity=0.2, adjacency="remove")
    for b in (10, 40):
        algorithm = PNSGD(problem, b, step_size=1.0, assignment="secret")
        sigmas = {}
        for batches in ("random", "worst"):
            sigmas[batches] = [
                UnlearningAccountant(algorithm, batches=batches, group_size=s).sigma(epsilon=1.0, delta=1e-3, steps=3)
                for s in (1, 2, 3, 5, 9, 40, 120)
            ]
        assert np.all(np.diff(sigmas["random"]) > 0)
        assert np.all(np.array(sigmas["random"]) <= np.array(sigmas["worst"]) * (1 + 1e-9))


def test_a_ball_restarts_the_whole_tuple() -> None:
    for m in (0.3, 0.0):
        problem = Problem(n=40, smoothness=0.3, strong_convexity=m, adjacency="remove")
        for count in (3, 12):
            sigmas = [
                UnlearningAccountant(
                    PNSGD(problem, 8, step_size=1.0, assignment="secret", radius=radius, redraw=False), group_size=count
                ).sigma(epsilon=1.0, delta=0.2, steps=6)
                for radius in (1e-2, 1e-1, 1e3)
            ]
            assert sigmas[0] < sigmas[1] <= sigmas[2]
            # No more than the diameter alone asks for, in the steps after the request.
            diameter = UnlearningAccountant(
                PNSGD(problem, 8, step_size=1.0, assignment="secret", redraw=False, radius=1e-2), group_size=count
            ).sigma(epsilon=1.0, delta=0.2, steps=6, start_distance=0.02)
            assert sigmas[0] <= diameter * (1 + 1e-9)


def test_what_is_not_covered_is_refused() -> None:
    problem = Problem(n=40, smoothness=0.3, strong_convexity=0.3, adjacency="remove")
    algorithm = PNSGD(problem, 8, assignment="secret")
    with pytest.raises(InputError, match="group_size must be a whole number from 1 to 40"):
        UnlearningAccountant(algorithm, group_size=41)
    apart = UnlearningAccountant(PNSGD(problem, 8, assignment="secret", radius=1.0), reference=3, group_size=2)
    with pytest.raises(InputError, match="group_size must be 1"):
        apart.sigma(epsilon=1.0, delta=1e-3, steps=3)
