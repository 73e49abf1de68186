"""Groups: given and worst placements are the minorant over explicit steps; random ones the mixture over every placement."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import oracle
import oracle_deletions
import pytest
from problems import random_algorithm

from accountant import PNSGD, Guarantee, InputError, Problem, UnlearningAccountant, optimal_shifts, preset
from accountant.averaging import EveryPlacement, RandomGroup, every_placement, sampled_sum, worst_counts
from accountant.averaging import groups as groups_module
from accountant.averaging.groups import EXACT, REPLACED
from accountant.curves import rounded_up
from accountant.numerics import Law, rounded_law


def settings(algorithm: PNSGD) -> dict[str, Any]:
    problem = algorithm.problem
    return {
        "n": problem.n,
        "batch_size": algorithm.batch_size,
        "step_size": algorithm.step_size,
        "lipschitz": problem.lipschitz,
        "smoothness": problem.smoothness,
        "strong_convexity": problem.strong_convexity,
        "adjacency": problem.adjacency,
    }


def string_mu(accountant: UnlearningAccountant, steps: int) -> float:
    """mu of the string alone at sigma = 1, also where blocks behind a radius prove more."""
    query = accountant.run(steps=steps).query
    return float(rounded_up(query.mixture(query.steps[None], query.start[None]).log_scale).max())


def random_counts(rng: np.random.Generator, algorithm: PNSGD) -> tuple[list[int], int]:
    sizes = algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch)).astype(int)
    size = int(rng.integers(1, algorithm.problem.n + 1))
    counts = rng.multivariate_hypergeometric(sizes, size)
    return counts.tolist(), size


def test_given_placements_are_the_minorant_over_the_explicit_steps() -> None:
    rng = np.random.default_rng(11)
    for case in range(250):
        algorithm = random_algorithm(rng, last_batch="keep", radius=None if case % 3 else float(10 ** rng.uniform(-2, 1)))
        counts, size = random_counts(rng, algorithm)
        steps = int(rng.integers(0, 3 * algorithm.steps_per_epoch))
        arrays = oracle_deletions.group_arrays(
            learn_epochs=algorithm.learn_epochs, counts=counts, steps=steps, **settings(algorithm)
        )
        c, h, variance = (np.array(a, dtype=float) for a in arrays)
        exact = optimal_shifts(contraction=c, sensitivity=h, noise_std=np.sqrt(variance), diameter=algorithm.diameter)
        accountant = UnlearningAccountant(algorithm, batches=counts)
        assert accountant.group_size == size
        mu = string_mu(accountant, steps)
        assert mu <= exact.mu * (1 + 1e-10), case
        if algorithm.radius is None:
            assert mu == pytest.approx(exact.mu, rel=1e-10, abs=1e-280), case
            tight = accountant.tightness(steps=steps)
            if tight is not None and exact.tightness is not None:
                assert tight == pytest.approx(exact.tightness, rel=1e-9)
        else:
            # One point after the other may use the ball better than all together, and is as valid.
            assert mu >= 0.2 * exact.mu
        if case % 25 == 0 and algorithm.radius is None:
            true = oracle.taut_string(contraction=arrays[0], sensitivity=arrays[1], variance=arrays[2], start_distance=0)
            assert mu >= float(true) * (1 - 1e-15)


def test_converged_placements_against_the_oracle() -> None:
    rng = np.random.default_rng(12)
    for _ in range(40):
        n = int(rng.integers(2, 30))
        algorithm = PNSGD(
            Problem(n=n, smoothness=1.0, strong_convexity=float(rng.uniform(0.1, 1))), int(rng.integers(1, n + 1))
        )
        counts, _ = random_counts(rng, algorithm)
        steps = int(rng.integers(0, 2 * algorithm.steps_per_epoch))
        true = float(oracle_deletions.group_mu_converged(counts=counts, steps=steps, **settings(algorithm)))
        mu = UnlearningAccountant(algorithm, batches=counts).guarantee(sigma=1.0, steps=steps).values[0]
        assert true <= mu <= true * (1 + 1e-10)


def test_no_placement_is_worse_than_the_worst() -> None:
    rng = np.random.default_rng(13)
    for case in range(40):
        algorithm = random_algorithm(rng, last_batch="keep", radius=None if case % 2 else float(10 ** rng.uniform(-2, 1)))
        counts, size = random_counts(rng, algorithm)
        steps = int(rng.integers(0, 3 * algorithm.steps_per_epoch))
        given = UnlearningAccountant(algorithm, batches=counts)
        worst = UnlearningAccountant(algorithm, batches="worst", group_size=size)
        assert string_mu(given, steps) <= string_mu(worst, steps) * (1 + 1e-11)
        # Blocks may be split a little worse for the one than for the other.
        one, other = (float(each.epsilon(sigma=1.0, delta=1e-3, steps=steps)) for each in (given, worst))
        assert one <= other * (1 + 1e-3) + 1e-12


@pytest.mark.parametrize(
    ("n", "b", "group", "steps"), [(6, 2, 2, 3), (9, 3, 4, 1), (10, 4, 3, 3), (8, 1, 3, 8), (12, 5, 12, 2)]
)
def test_random_placement_is_the_mixture_over_every_placement(n: int, b: int, group: int, steps: int) -> None:
    algorithm = PNSGD(Problem(n=n, smoothness=1.0, strong_convexity=0.3), b)
    sizes = algorithm.batch_sizes(np.arange(algorithm.steps_per_epoch)).astype(int).tolist()
    weights, mus = [], []
    for counts, chance in oracle_deletions.group_placements(sizes=sizes, group=group):
        weights.append(chance)
        mus.append(oracle_deletions.group_mu_converged(counts=list(counts), steps=steps, **settings(algorithm)))
    assert sum(weights) == 1
    accountant = UnlearningAccountant(algorithm, group_size=group)
    assert isinstance(accountant.components, EveryPlacement)
    delta = 1e-3
    sigma = accountant.sigma(epsilon=0.7, delta=delta, steps=steps)
    scaled = [mu / oracle.mp.mpf(sigma) for mu in mus]

    def true(epsilon: float) -> float:
        return float(oracle.mixture_delta(epsilon=epsilon, weights=weights, mus=scaled))

    epsilon = accountant.epsilon(sigma=sigma, delta=delta, steps=steps)
    assert epsilon == pytest.approx(0.7, rel=1e-8)
    assert true(epsilon) <= delta <= true(epsilon * (1 - 1e-9))
    # The recursion, which larger groups need, on the same question.
    grid = RandomGroup(np.array(sizes, dtype=float), group)
    query = accountant.run(steps=steps).query
    mixture = grid.mixture(accountant.placing.bound, query.setting, query.steps[None], np.zeros(1))
    found = float(mixture.curve.epsilon(np.log([delta]), mixture.log_weights, mixture.log_mu(np.array([sigma])))[0])
    assert true(found) <= delta
    if 2 * steps >= algorithm.steps_per_epoch - 2:
        assert found == pytest.approx(epsilon, rel=1e-6)


def brute(values: list[float], sizes: list[int], count: int) -> tuple[list[Fraction], list[float]]:
    weights, sums = [], []
    for counts, chance in oracle_deletions.group_placements(sizes=sizes, group=count):
        weights.append(chance)
        sums.append(math.fsum(k * v for k, v in zip(counts, values, strict=True)))
    return weights, sums


@pytest.mark.parametrize("scale", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("count", [1, 2, 5, 9, 14, 17])
def test_the_law_of_a_sum_is_above_the_exact_one_and_close(count: int, scale: float) -> None:
    values, sizes = [1.0, 0.61, 0.3, 0.07, 0.0], [4, 4, 4, 4, 1]
    weights, sums = brute(values, sizes, count)
    exact = Guarantee("gdp", np.array([float(w) for w in weights]), np.array(sums) * scale)
    for affordable, method in ((1e18, EXACT), (0.0, REPLACED)):
        found = sampled_sum(np.array(values), np.array(sizes, dtype=float), count, affordable=affordable)
        if count == 17:
            assert found.method == EXACT
            assert found.law.components[1].tolist() == pytest.approx([sums[0]] * 2)
            continue
        assert found.method == method
        w, x = found.law.components
        if found.convex_only:
            mine = Guarantee("gdp-tangent", w, x * scale)
        else:
            raised = x * scale
            raised[:-1] += found.law.raised_by(np.array(scale))
            mine = Guarantee("gdp", w, raised)
        for delta in (0.2, 1e-3, 1e-9):
            truth, mine_epsilon = exact.epsilon(delta), mine.epsilon(delta)
            assert mine_epsilon >= truth * (1 - 1e-9)
            if method == EXACT:
                assert mine_epsilon == pytest.approx(truth, rel=1e-6, abs=1e-9)
        alpha = np.array([1.5, 4.0, 20.0])
        assert np.all(mine.rdp(alpha) >= exact.rdp(alpha) * (1 - 1e-9))


def test_the_grid_makes_epsilon_larger_and_converges(monkeypatch: pytest.MonkeyPatch) -> None:
    values = 0.95 ** np.arange(40.0)[::-1]
    found = []
    for cells in (1 << 8, 1 << 10, 1 << 12, 1 << 14):
        monkeypatch.setattr(groups_module, "_CELLS", (cells,))
        law = sampled_sum(values, np.full(40, 25.0), 30, affordable=1e18).law
        w, x = law.components
        x = x * 0.02
        x[:-1] += law.raised_by(np.array(0.02))
        found.append(Guarantee("gdp", w, x).epsilon(1e-5))
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(found[-2], rel=1e-5)
    assert found[-2] - found[-1] < found[-3] - found[-2]


def test_laws_add_up() -> None:
    values, weights = np.array([0.0, 0.31, 1.0]), np.array([0.5, 0.3, 0.2])
    one = rounded_law(values, weights, 1 / 512)
    assert one.mass.sum() == pytest.approx(1, rel=1e-14)
    assert (one.mass * one.outcomes).sum() == pytest.approx(values @ weights, rel=1e-14)
    many = one.power(13)
    assert (many.mass * many.outcomes).sum() == pytest.approx(13 * (values @ weights), rel=1e-12)
    spread = weights @ (values - values @ weights) ** 2
    mean = (many.mass * many.outcomes).sum()
    assert (many.mass * (many.outcomes - mean) ** 2).sum() == pytest.approx(13 * spread, rel=1e-4)
    assert 13 <= many.worst <= 13 + 13 * many.step
    up = rounded_law(values, weights, 1 / 512, up=True)
    assert up.outcomes[np.flatnonzero(up.mass)].tolist() == [0.0, 159 / 512, 1.0]
    back = one.reflected(2.0)
    assert (back.mass * back.outcomes).sum() == pytest.approx(2 - values @ weights, rel=1e-14)
    coarse = one.coarser()
    assert (coarse.mass * coarse.outcomes).sum() == pytest.approx(values @ weights, rel=1e-14)


def test_a_raised_outcome_has_at_least_the_true_total_variation() -> None:
    """The second-order correction, against the mean of 2 Phi(x/2) - 1 over the worst rounding there is."""
    from scipy.special import ndtr

    for step in (0.001, 0.1, 0.8):
        for at in (0.2, 1.0, 5.0):
            law = Law(0.0, step, 0, np.ones(int(10 / step)), 0.0, 10.0, step**2 / 4, step)
            raised = float(law.raised_by(np.array(1.0)))
            outcomes = np.array([at - step / 2, at + step / 2]) + raised
            assert (2 * ndtr(outcomes / 2) - 1).mean() >= 2 * ndtr(at / 2) - 1
            assert raised <= step


def test_a_thousand_points_of_mnist() -> None:
    algorithm = PNSGD(preset("mnist"), 32)
    accountant = UnlearningAccountant(algorithm, group_size=1000)
    sigma = accountant.sigma(epsilon=1.0, epochs=1)
    assert accountant.epsilon(sigma=sigma, epochs=1) == pytest.approx(1.0, rel=1e-6)
    assert accountant.averaging(epochs=1) in (EXACT, REPLACED)
    worst = accountant.with_(batches="worst").sigma(epsilon=1.0, epochs=1)
    single = UnlearningAccountant(algorithm).sigma(epsilon=1.0, epochs=1)
    assert single < sigma < worst
    # The mean of what the points add is a lower bound on what is needed, up to the spread.
    mean = 1000 * accountant.with_(group_size=1).gdp(sigma=sigma, epochs=1).mean()
    assert mean == pytest.approx(0.27, abs=0.05)


def test_group_sizes_up_to_n() -> None:
    algorithm = PNSGD(Problem(n=400, smoothness=1.0, strong_convexity=0.05), 20)
    sigmas = [UnlearningAccountant(algorithm, group_size=s).sigma(epsilon=1.0, epochs=1) for s in (1, 2, 30, 200, 399, 400)]
    assert sigmas == sorted(sigmas)
    everything = UnlearningAccountant(algorithm, group_size=400)
    assert everything.sigma(epsilon=1.0, epochs=1) == pytest.approx(
        everything.with_(batches="worst").sigma(epsilon=1.0, epochs=1), rel=1e-9
    )
    dropped = PNSGD(Problem(n=400, smoothness=1.0, strong_convexity=0.05), 30, last_batch="drop")
    few = UnlearningAccountant(dropped, group_size=3).sigma(epsilon=1.0, epochs=1)
    assert few < UnlearningAccountant(dropped, group_size=3, batches="worst").sigma(epsilon=1.0, epochs=1)


def test_published_groups_add_distances() -> None:
    algorithm = PNSGD(preset("mnist"), 512)
    one = UnlearningAccountant(algorithm, bound="paper")
    ten = one.with_(group_size=10)
    # Ten points in the last batch: ten times the distance, and sigma is proportional to it.
    assert ten.sigma(epsilon=1.0, epochs=1) == pytest.approx(10 * one.sigma(epsilon=1.0, epochs=1), rel=1e-9)
    assert ten.with_(batches="random").sigma(epsilon=1.0, epochs=1) < ten.sigma(epsilon=1.0, epochs=1)
    counts = [0] * 22
    counts[-1] = 10
    assert one.with_(batches=counts).sigma(epsilon=1.0, epochs=1) == pytest.approx(ten.sigma(epsilon=1.0, epochs=1), rel=1e-12)


def test_worst_counts_fill_what_adds_most() -> None:
    assert worst_counts(np.array([0.1, 3.0, 2.0]), np.array([5.0, 2.0, 4.0]), 5).tolist() == [0, 2, 3]
    counts, chances = every_placement(np.array([2.0, 1.0, 2.0]), 2)
    assert sum(chances) == 1
    assert dict(zip(map(tuple, counts.tolist()), chances, strict=True))[(2, 0, 0)] == pytest.approx(1 / 10)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"group_size": 0}, "group_size must be a whole number from 1 to 40, got 0"),
        ({"group_size": 41}, "group_size must be a whole number from 1 to 40, got 41"),
        ({"group_size": 1.5}, "group_size must be a whole number"),
        ({"batches": [1, 2]}, "batches must have a number for each of the 4 batches, got 2"),
        ({"batches": [11, 0, 0, 0]}, "at most 10 points in batch 0, got 11"),
        ({"batches": [0, 0, 0, 0]}, "batches must place at least 1 points, got 0"),
        ({"batches": [1, 1, 1, 0], "group_size": 4}, "batches must place group_size = 4 points, got 3"),
        ({"batches": 2, "group_size": 11}, "group_size must be at most 10, the points in batch 2, got 11"),
    ],
)
def test_bad_groups_are_refused(words: dict[str, Any], says: str) -> None:
    algorithm = PNSGD(Problem(n=40, smoothness=1.0, strong_convexity=0.1), 10)
    with pytest.raises(InputError) as error:
        UnlearningAccountant(algorithm, **words)
    assert says in str(error.value)


def test_what_no_bound_covers_is_refused() -> None:
    algorithm = PNSGD(Problem(n=40, smoothness=1.0, strong_convexity=0.1), 10, radius=3.0, learn_epochs=4)
    accountant = UnlearningAccountant(algorithm, group_size=2, reference=9)
    with pytest.raises(InputError, match="group_size must be 1, got 2"):
        accountant.epsilon(sigma=1.0, epochs=1)
    with pytest.raises(InputError, match="gdp is about one point"):
        UnlearningAccountant(algorithm, group_size=2).gdp(sigma=1.0, epochs=1)


@pytest.mark.parametrize("batches", ["random", "reshuffle"])
@pytest.mark.parametrize(
    ("batch_size", "size", "steps"), [("full", 2, 5), ("full", 11_264, 0), (128, 11_264, 0), (1000, 11_263, 1)]
)
def test_an_average_is_never_above_the_worst_placement(batches: str, batch_size: Any, size: int, steps: int) -> None:
    accountant = UnlearningAccountant(PNSGD(preset("mnist"), batch_size), batches=batches, group_size=size)
    worst = accountant.with_(batches="worst")
    sigma = accountant.sigma(epsilon=1.0, steps=steps)
    assert sigma <= worst.sigma(epsilon=1.0, steps=steps)
    assert accountant.epsilon(sigma=sigma, steps=steps) <= worst.epsilon(sigma=sigma, steps=steps)
    assert accountant.guarantee(sigma=sigma, steps=steps).epsilon(1 / 11_264) <= 1 + 1e-9
    assert accountant.delta(sigma=sigma, epsilon=1.0, steps=steps) <= worst.delta(sigma=sigma, epsilon=1.0, steps=steps)
    assert accountant.steps(sigma=sigma, epsilon=1.0) <= worst.steps(sigma=sigma, epsilon=1.0)
