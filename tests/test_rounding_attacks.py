"""Attacks on the accounting of rounding and of adaptive requests: what once broke, and searches that must find nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from accountant import (
    PNSGD,
    InputError,
    Problem,
    UnlearningAccountant,
    UnlearningStream,
    UnreachableError,
    gdp_delta,
    optimal_shifts,
)
from accountant.problem import UNITS, rounding_of
from accountant.problem.rounding import gamma_of
from accountant.requests import about_every_point

F32 = np.float32
#: Nothing is refused for what rounding costs.
ANY = 1 - 1e-15


def norms(algorithm: PNSGD, sigma: float, steps: int, past: int) -> np.ndarray:
    """Bounds on the parameters before each of the last ``steps`` steps, followed from step to step without a closed form."""
    problem, eta, loss = algorithm.problem, algorithm.eta, gamma_of(algorithm)
    steep, shrink = eta * (problem.smoothness - problem.strong_convexity), abs(1 - eta * problem.strong_convexity)
    ages = np.arange(steps + past)[::-1]
    spread = algorithm.noise_std(sigma) / math.sqrt(1 - shrink**2)
    noise = spread * (math.sqrt(algorithm.dimension or 1) + np.sqrt(2 * (1500 + np.log((1.0 + ages) * (2.0 + ages)))))
    drift, found = 0.0, []
    for own in noise.tolist():
        found.append(own + drift)
        drift = shrink * drift + eta * problem.lipschitz * (1 + loss) + loss * (2 + steep) * found[-1]
    return np.array(found[-steps:])


@pytest.mark.parametrize("seed", range(2))
def test_no_mu_is_below_the_string_whose_norm_is_followed_step_by_step(seed: int) -> None:
    # Before errors fed back into the norm from longer ago were counted, mu was up to 1.5e-4 too small where rounding rules.
    rng, checked = np.random.default_rng(seed), 0
    while checked < 60:
        convexity = float(rng.choice([0.02, 0.3, 0.99]))
        problem = Problem(n=4, smoothness=1.0, strong_convexity=convexity, lipschitz=float(10 ** rng.uniform(-1, 1)))
        dimension, sigma = int(10 ** rng.uniform(0, 5.5)), float(10 ** rng.uniform(-4, 1))
        algorithm = PNSGD(
            problem, 2, step_size=float(rng.uniform(0.05, 1.99)), rounding="float32", dimension=dimension, rounding_share=ANY
        )
        try:
            rounding_of(algorithm)
        except UnreachableError:
            continue
        checked += 1
        mu = UnlearningAccountant(algorithm, batches=1).gdp(sigma=sigma, steps=3)[1]
        steps = 2 * int(20 / (1 - algorithm.contraction)) + 3
        loss, eta = gamma_of(algorithm), algorithm.eta
        norm = norms(algorithm, sigma, steps, int(30 / (1 - abs(1 - eta * convexity))))
        each = 2 * loss * ((2 + eta * (1 - convexity)) * norm + eta * problem.lipschitz)
        visited = (np.arange(steps) % 2 == 1) & (np.arange(steps) < steps - 3)
        exact = optimal_shifts(
            contraction=np.full(steps, algorithm.contraction),
            sensitivity=each + np.where(visited, math.exp(algorithm.log_sensitivity(1)), 0.0),
            noise_std=np.full(steps, algorithm.noise_std(sigma)),
        ).mu
        assert mu >= exact * (1 - 1e-12)


def test_steps_at_the_largest_step_size_are_answered_without_contraction() -> None:
    # eta = 2/L: c = 1, but the regulariser still bounds the parameters.
    problem = Problem(n=10, smoothness=1.0, strong_convexity=0.1)
    words = {"step_size": 2.0, "learn_epochs": 3}
    rounded = UnlearningAccountant(PNSGD(problem, 5, rounding="float64", dimension=5, **words))
    exact = UnlearningAccountant(PNSGD(problem, 5, **words))
    asked = {"sigma": 1.0, "delta": 1e-5, "epochs": 1}
    assert exact.epsilon(**asked) < rounded.epsilon(**asked) < exact.epsilon(**asked) * (1 + 1e-9)


def test_the_chance_that_the_norm_bound_fails_is_never_what_counts() -> None:
    problem = Problem(n=10, smoothness=1.0, strong_convexity=0.1)
    free = UnlearningAccountant(PNSGD(problem, 5, rounding="float64", dimension=5))
    ball = UnlearningAccountant(PNSGD(problem, 5, rounding="float64", dimension=5, radius=10.0))
    questions = [
        ("epsilon", {"sigma": 0.003, "delta": 1e-5, "steps": 1}),
        ("sigma", {"epsilon": 1e4, "delta": 1e-5, "steps": 1}),
        ("delta", {"epsilon": 2000.0, "sigma": 0.01, "steps": 1}),
        ("steps", {"epsilon": 2000.0, "sigma": 0.0003, "delta": 1e-5}),
    ]
    for unknown, given in questions:
        with pytest.raises(UnreachableError, match="epsilon must be at most 700"):
            free.answer(unknown, **given)
        assert ball.answer(unknown, **given) >= 0
    with pytest.raises(InputError, match="epsilon must be at most 700"):
        UnlearningStream(free, sigma=1.0, epsilon=1e4).request()
    with pytest.raises(InputError, match="need a radius"):
        free.rdp(sigma=1.0, alpha=2.0, steps=1)
    assert ball.rdp(sigma=1.0, alpha=2.0, steps=1) > 0


def test_rounding_that_piles_up_in_endless_learning_is_not_left_out() -> None:
    # epsilon 1.2 was answered where the 10,000 steps of unlearning alone add 0.68 to mu.
    algorithm = PNSGD(Problem(n=1000, smoothness=1.0), 10, radius=1.0, rounding="float32", dimension=1000)
    accountant = UnlearningAccountant(algorithm, batches="worst")
    for ask in (accountant.epsilon, accountant.gdp, accountant.guarantee):
        words = {"delta": 1e-5} if ask == accountant.epsilon else {}
        with pytest.raises(UnreachableError, match="needs learn_epochs"):
            ask(sigma=0.0446, steps=10_000, **words)


@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e30, 1e40])
def test_sizes_that_a_format_hardly_holds_are_refused(size: float) -> None:
    # Below the smallest numbers rounding is no longer relative: at 1e-42 float32 has ten bits, at 1e40 none.
    problem = Problem(n=2, smoothness=1.0, strong_convexity=0.5, lipschitz=size)
    with pytest.raises(InputError, match="lipschitz must be from"):
        PNSGD(problem, rounding="float32", dimension=1)
    assert UnlearningAccountant(PNSGD(problem, rounding="float64", dimension=1)).epsilon(sigma=size, epochs=9) >= 0
    with pytest.raises(InputError, match="radius must be from"):
        PNSGD(Problem(n=2, smoothness=1.0), rounding="float32", dimension=1, radius=size)


@pytest.mark.parametrize("name", ["guarantee", "gdp", "rdp"])
def test_no_answer_leaves_rounding_out_below_the_floor(name: str) -> None:
    # gamma is not small against eta m, so that nothing bounds the parameters, and 20,000 steps would do with sigma = 1e-20.
    problem = Problem(n=100, smoothness=1.0, strong_convexity=0.003)
    algorithm = PNSGD(problem, 10, rounding="float32", dimension=100_000)
    accountant = UnlearningAccountant(algorithm)
    words = {"alpha": 2.0} if name == "rdp" else {}
    for sigma in (1e-20, 1.0, 1e20):
        with pytest.raises(UnreachableError, match=r"nothing bounds the parameters.*nothing is promised"):
            getattr(accountant, name)(sigma=sigma, steps=20_000, **words)
    with pytest.raises(UnreachableError, match="nothing bounds the parameters"):
        accountant.epsilon(sigma=1.0, steps=20_000)
    with pytest.raises(UnreachableError, match="nothing bounds the parameters"):
        UnlearningStream(accountant, sigma=1.0, epsilon=1.0)
    # Of finite learning it is counted, and so much that it is refused.
    finite = UnlearningAccountant(PNSGD(problem, 10, rounding="float32", dimension=100_000, learn_epochs=100))
    with pytest.raises(InputError, match=r"more than the share|need a radius"):
        getattr(finite, name)(sigma=1.0, steps=20_000, **words)


def test_questions_without_an_epsilon_refuse_what_rounding_outweighs() -> None:
    problem = Problem(n=40_000, smoothness=0.26, strong_convexity=0.01)
    accountant = UnlearningAccountant(PNSGD(problem, 16, learn_epochs=2, rounding="float64", dimension=20, radius=1.0))
    for name, words in (("guarantee", {}), ("gdp", {}), ("rdp", {"alpha": 2.0})):
        with pytest.raises(UnreachableError, match=r"would cost .* of mu, more than the share"):
            getattr(accountant, name)(sigma=1e-23, steps=2500, **words)
        # Exact numbers promise mu = 1e-7 there.
        with pytest.raises(UnreachableError, match=r"would cost .* of mu, more than the share"):
            getattr(accountant, name)(sigma=1e-5, steps=40_000, **words)
        assert np.all(
            np.isfinite(
                getattr(accountant, name)(sigma=1e-2, steps=40, **words).values
                if name == "guarantee"
                else getattr(accountant, name)(sigma=1e-2, steps=40, **words)
            )
        )


@pytest.mark.parametrize("seed", range(2))
def test_no_mu_of_a_run_that_nothing_holds_back_is_below_the_string_that_follows_its_norm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        # Without a regulariser, with one that rounding errors outweigh, and at a step size that contracts nothing.
        dimension = int(10 ** rng.uniform(0, 5.5))
        kind = rng.integers(3)
        convexity = (0.0, 1e-7 * dimension / 100, 0.3)[kind]
        problem = Problem(n=10, smoothness=1.0, strong_convexity=convexity, lipschitz=float(10 ** rng.uniform(-2, 2)))
        algorithm = PNSGD(
            problem, 5, step_size=2.0 if kind == 2 else float(rng.uniform(0.05, 1.99)), learn_epochs=int(rng.integers(1, 300)),
            rounding="float32", dimension=dimension, rounding_share=ANY,
        )  # fmt: skip
        sigma, unlearn = float(10 ** rng.uniform(-5, 3)), int(rng.integers(0, 1000))
        position = int(rng.integers(2))
        mu = UnlearningAccountant(algorithm, batches=position).gdp(sigma=sigma, steps=unlearn)[position]
        assert algorithm.learn_epochs is not None
        learned, c, loss, eta = 2 * algorithm.learn_epochs, algorithm.contraction, gamma_of(algorithm), algorithm.eta
        total, steep, shrink = learned + unlearn, eta * (1 - convexity), abs(1 - eta * convexity)
        drift, variance, each = 0.0, 0.0, np.zeros(total)
        for step in range(total):
            before = drift + math.sqrt(variance) * (math.sqrt(dimension) + math.sqrt(2 * (1500 + math.log(total))))
            variance = shrink**2 * variance + algorithm.noise_std(sigma) ** 2
            noise = math.sqrt(variance) * (math.sqrt(dimension) + math.sqrt(2 * (1500 + math.log(total))))
            # The result's rounding is at most gamma times the result.
            drift = (shrink * drift + eta * problem.lipschitz * (1 + loss) + loss * (1 + steep) * before + loss * noise) / (
                1 - loss
            )
            each[step] = 2 * loss * ((1 + steep) * before + eta * problem.lipschitz + c * (drift + noise))
        visited = (np.arange(total) % 2 == position) & (np.arange(total) < learned)
        exact = optimal_shifts(
            contraction=np.full(total, c),
            sensitivity=each + np.where(visited, math.exp(algorithm.log_sensitivity(position)), 0.0),
            noise_std=np.full(total, algorithm.noise_std(sigma)),
        ).mu
        assert mu >= exact * (1 - 1e-12), (kind, exact / mu)


def test_parameters_that_nothing_holds_back_stay_within_their_bound_and_so_do_their_errors() -> None:
    # Every gradient points away from zero, and everything is computed in float32; 20,000 steps.
    rng, steps, d = np.random.default_rng(4), 20_000, 3
    algorithm = PNSGD(Problem(n=2, smoothness=1.0), rounding="float32", dimension=d, learn_epochs=steps, rounding_share=ANY)
    for sigma in (1e-4, 0.1, 10.0):
        rounding = rounding_of(algorithm)
        assert rounding is not None
        x, worst = np.zeros((20, d), F32), 0.0
        std = F32(algorithm.noise_std(sigma))
        for _ in range(steps):
            norm = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), F32(1e-20))
            mean = x + F32(1) * (x / norm)
            noise = std * rng.standard_normal(x.shape).astype(F32)
            new = mean + noise
            true = x.astype(float) + x / np.maximum(np.linalg.norm(x.astype(float), axis=1, keepdims=True), 1e-20)
            error = np.linalg.norm(mean - true, axis=1) + np.linalg.norm(new - (mean.astype(float) + noise), axis=1)
            x, worst = new, max(worst, float(error.max()))
        # 2 (rho_e + rho_r) sqrt(N)/nu is what all steps cost at most.
        counted = rounding.mu(sigma) * algorithm.noise_std(sigma) / math.sqrt(steps) / 2
        assert worst <= counted
        norm_bound = (counted / gamma_of(algorithm) - 1) / 3
        assert 0.01 * norm_bound < float(np.linalg.norm(x, axis=1).max()) <= norm_bound


def test_a_group_on_a_grid_is_raised_for_what_rounding_adds() -> None:
    # Mean-preserving splits of a grid lose under a concave curve, the more the further rounding moves it.
    size, batch, per_epoch, sigma = 5, 4, 10, 0.3
    problem = Problem(n=batch * per_epoch, smoothness=1.0, strong_convexity=0.01)
    algorithm = PNSGD(problem, batch, step_size=1.0, rounding="float32", dimension=1000, rounding_share=0.9999)
    base = UnlearningAccountant(PNSGD(problem, batch, step_size=1.0), batches="worst").gdp(sigma=1.0, steps=per_epoch)
    rounding = rounding_of(algorithm)
    assert rounding is not None
    sigma = float(base.max()) * size / 0.5
    law = {(0, 0.0): 1.0}
    for mu in (base / sigma).tolist():
        new: dict[tuple[int, float], float] = {}
        for (drawn, total), share in law.items():
            for more in range(min(batch, size - drawn) + 1):
                key = (drawn + more, total + more * mu)
                new[key] = new.get(key, 0.0) + share * math.comb(batch, more)
        law = new
    whole = [(total, share) for (drawn, total), share in law.items() if drawn == size]
    shares = np.array([share for _, share in whole]) / math.comb(batch * per_epoch, size)
    exact = float(shares @ gdp_delta(epsilon=0.0, mu=np.array([total for total, _ in whole]) + rounding.mu(sigma)))
    found = UnlearningAccountant(algorithm, group_size=size).delta(sigma=sigma, epsilon=0.0, steps=per_epoch)
    assert exact * (1 - 1e-13) <= found <= exact * (1 + 1e-6)


def test_points_that_stay_are_visited_while_others_are_unlearned() -> None:
    # One epoch of learning, then 50 epochs that unlearn others: the model released then has seen the point 51 times.
    algorithm = PNSGD(Problem(n=20, smoothness=1.0, strong_convexity=0.05), 10, step_size=0.5, learn_epochs=1)
    sigma, c = 0.3, algorithm.contraction
    mean = variance = 0.0
    for step in range(102):
        mean = c * mean + (math.exp(algorithm.log_sensitivity(1)) if step % 2 else 0.0)
        variance = c * c * variance + algorithm.noise_std(sigma) ** 2
    one = about_every_point(UnlearningAccountant(algorithm), sigma=sigma, releases=1)
    assert mean / math.sqrt(variance) <= one.values[0]
    with pytest.raises(InputError, match="every visit adds"):
        about_every_point(UnlearningAccountant(PNSGD(Problem(n=9, smoothness=1.0), learn_epochs=2)), sigma=1.0, releases=1)
    # Last in one epoch and first in the next: 2.61 where 2.24 would be claimed.
    quick = PNSGD(Problem(n=20, smoothness=1.0, strong_convexity=0.9), 2, step_size=0.9)
    with pytest.raises(InputError, match="reshuffle"):
        about_every_point(UnlearningAccountant(quick, batches="reshuffle"), sigma=0.3, releases=1)


def test_no_interval_between_releases_tells_more_than_one_release_is_counted_for() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        per_epoch, batch = int(rng.integers(1, 6)), int(rng.integers(1, 6))
        n = batch * per_epoch - int(rng.integers(0, batch))
        problem = Problem(n=n, smoothness=1.0, strong_convexity=float(rng.choice([0.02, 0.1, 0.5, 1.0])))
        learned = None if rng.random() < 0.5 else int(rng.integers(1, 4))
        algorithm = PNSGD(problem, min(batch, n), step_size=float(rng.uniform(0.05, 1.99)), learn_epochs=learned)
        most = about_every_point(UnlearningAccountant(algorithm), sigma=1.0, releases=1).values[0]
        length = algorithm.steps_per_epoch
        for position in range(length):
            h = math.exp(float(algorithm.log_sensitivity(position)))
            for phase in range(length):
                moved = np.where((phase + np.arange(4 * length + 1)) % length == position, h, 0.0)
                for steps in {1, length, length + 1, moved.size}:
                    same = (np.full(steps, value) for value in (algorithm.contraction, algorithm.noise_std(1.0)))
                    contraction, noise_std = same
                    told = optimal_shifts(contraction=contraction, sensitivity=moved[:steps], noise_std=noise_std).mu
                    assert told <= most * (1 + 1e-12)


# The exact law of a run with one parameter that is computed in float32: every number that it can reach, with its chance.


def between(low: float, high: float) -> np.ndarray:
    """All float32 numbers from low to high; both must be of one sign."""
    bits = sorted(int(np.array(F32(end)).view(np.uint32)) for end in (low, high))
    assert bits[1] - bits[0] < 20_000
    return np.sort(np.arange(bits[0], bits[1] + 1, dtype=np.uint32).view(F32))


def law_of(algorithm: PNSGD, signs: list[tuple[np.ndarray, int]], noise: float) -> dict[float, float]:
    """Chances of the parameter after so many steps on each of the labels, started near where the first of them lead."""
    rate, weight = F32(algorithm.eta), F32(algorithm.problem.strong_convexity)
    points, chances = np.array([3.0], F32), np.ones(1)
    for labels, steps in signs:
        for _ in range(steps):
            slopes = -labels / (F32(1) + np.exp(labels * points[:, None]))
            gradient = slopes.sum(axis=1, dtype=F32) / F32(labels.size)
            means = (points * (F32(1) - rate * weight) - rate * gradient).astype(np.float64)
            grid = between(means.min() - 8.3 * noise, means.max() + 8.3 * noise)
            edges = (grid[1:].astype(np.float64) + grid[:-1]) / 2
            new = np.zeros(grid.size)
            for mean, chance in zip(*(part[chances > 1e-18] for part in (means, chances)), strict=True):
                new += chance * np.diff(ndtr((edges - mean) / noise), prepend=0.0, append=1.0)
            kept = new > 1e-20
            points, chances = grid[kept], new[kept]
    return dict(zip(points.tolist(), chances.tolist(), strict=True))


def divergence(one: dict[float, float], other: dict[float, float], epsilon: float) -> float:
    keys = one.keys() | other.keys()
    p, q = (np.array([law.get(key, 0.0) for key in keys]) for law in (one, other))
    factor = math.exp(epsilon)
    return max(float(np.maximum(p - factor * q, 0).sum()), float(np.maximum(q - factor * p, 0).sum()))


FEW = Problem(n=3, smoothness=0.55, strong_convexity=0.3)
WORDS = {"step_size": 1.2, "learn_epochs": 12}
BEFORE, AFTER = np.array([-1.0, 1.0, 1.0], F32), np.array([1.0, 1.0, 1.0], F32)


def apart(sigma: float, unlearn: int, epsilon: float) -> float:
    """The exact delta between unlearned and retrained models, computed in float32."""
    noise = PNSGD(FEW, **WORDS).noise_std(sigma)
    unlearned = law_of(PNSGD(FEW, **WORDS), [(BEFORE, 12), (AFTER, unlearn)], noise)
    return divergence(unlearned, law_of(PNSGD(FEW, **WORDS), [(AFTER, 12 + unlearn)], noise), epsilon)


@pytest.mark.parametrize(("unlearn", "mu"), [(6, 15.0), (6, 40.0), (12, 40.0)])
def test_runs_in_half_precision_that_nothing_holds_back_are_as_alike_as_claimed(
    monkeypatch: pytest.MonkeyPatch, unlearn: int, mu: float
) -> None:
    # Formats with few numbers have exact laws of runs without radius and regulariser; rounding is most of mu. The norm bound
    # fails with chance e^-40 here, and nothing is counted twice over.
    monkeypatch.setitem(UNITS, "float32", 2.0**-11)
    monkeypatch.setattr("accountant.problem.rounding._CERTAIN", 40.0)
    monkeypatch.setattr("accountant.problem.formats._BESIDES", 4)
    half, words = np.float16, {"step_size": 1.2, "learn_epochs": 6}
    algorithm = PNSGD(Problem(n=3, smoothness=0.25), rounding="float32", dimension=1, rounding_share=ANY, **words)
    rounding_of.cache_clear()
    rounded, exact = (UnlearningAccountant(one, batches="worst") for one in (algorithm, replace(algorithm, rounding=None)))
    low, high = 1e-3, 1e3
    for _ in range(60):
        sigma = math.sqrt(low * high)
        low, high = (sigma, high) if rounded.gdp(sigma=sigma, steps=unlearn).max() > mu else (low, sigma)
    sigma, noise = high, algorithm.noise_std(high)
    claimed = float(rounded.gdp(sigma=sigma, steps=unlearn).max())
    assert exact.gdp(sigma=sigma, steps=unlearn).max() < 0.9 * claimed
    rounding_of.cache_clear()
    numbers = np.arange(1, 0x7C00, dtype=np.uint16).view(half)

    def law(labels: list[np.ndarray]) -> np.ndarray:
        # Five steps of length 1.2 may lead to 6, where all runs start.
        chances = (numbers == 6).astype(float)
        for one in labels:
            some = chances > 1e-13
            points = numbers[some][:, None]
            slopes = -one / (half(1) + np.exp(np.minimum(one * points, half(10))))
            means = (points[:, 0] - half(1.2) * (slopes.sum(axis=1, dtype=half) / half(3))).astype(float)
            edges = (numbers[1:].astype(float) + numbers[:-1]) / 2
            below = np.searchsorted(edges, [means.min() - 8 * noise, means.max() + 8 * noise])
            part = slice(below[0], below[1] + 2)
            shares = np.diff(ndtr((edges[part][:-1] - means[:, None]) / noise), prepend=0.0, append=1.0, axis=1)
            new = np.zeros(numbers.size)
            new[part.start : part.start + shares.shape[1]] = chances[some] @ shares
            chances = new
        return chances

    before, after = BEFORE.astype(half), AFTER.astype(half)
    one, other = law([before] + [after] * unlearn), law([after] * (1 + unlearn))
    assert min(one.sum(), other.sum()) > 1 - 1e-6
    for epsilon in (0.0, 1.0, 5.0, 20.0, 100.0, 200.0):
        found = max(float(np.maximum(p - math.exp(epsilon) * q, 0).sum()) for p, q in ((one, other), (other, one)))
        assert found <= gdp_delta(epsilon=epsilon, mu=claimed) + 1e-6
