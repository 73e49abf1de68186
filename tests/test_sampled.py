"""Fresh draws and Poisson sampling: never below the truth of every set of visits, near the limits of fine grids."""

import itertools
import math
import time
from dataclasses import replace

import numpy as np
import oracle_secret
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

import accountant.averaging.sampled as sampled
from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset
from accountant.averaging import SampledVisits
from accountant.bounds import BOUNDS, Setting
from accountant.curves import GaussianMixtureCurve
from accountant.questions import enclose

Floats = NDArray[np.float64]
MNIST = replace(preset("mnist"), adjacency="remove")


def linear(rng: np.random.Generator, assignment: str, adjacency: str, *, convex: bool) -> PNSGD:
    """f(x; d) = m x^2/2 + M d x: no batch is too large, and the last iterate is Gaussian given the draws."""
    batches = int(rng.integers(1, 4))
    epochs = int(rng.integers(1, {1: 5, 2: 4, 3: 3}[batches]))
    m = 1e-9 if convex else float(10 ** rng.uniform(-2, 0))
    problem = Problem(n=2 * batches, smoothness=m, strong_convexity=0.0 if convex else m, adjacency=adjacency)
    step_size = 1.0 if convex else float(rng.uniform(0.05, 0.9)) / m
    return PNSGD(problem, 2, step_size=step_size, learn_epochs=epochs, assignment=assignment)


def every_draw(algorithm: PNSGD) -> tuple[Floats, list[tuple[int, ...]]]:
    """Chances, and numbers of steps of learning after each visit, of everything that a record may draw."""
    batches, epochs = algorithm.steps_per_epoch, algorithm.learn_epochs
    assert epochs is not None
    if algorithm.assignment == "fresh":
        drawn = itertools.product(range(batches), repeat=epochs)
        found = [tuple(batches * e + r for e, r in enumerate(draw)) for draw in drawn]
        return np.full(len(found), 1 / len(found)), found
    steps = range(batches * epochs)
    found = [tuple(r for r in steps if bits >> r & 1) for bits in range(1 << len(steps))]
    chances = [batches ** -len(draw) * (1 - 1 / batches) ** (len(steps) - len(draw)) for draw in found]
    some = [k for k, chance in enumerate(chances) if chance > 0]
    return np.array([chances[k] for k in some]), [found[k] for k in some]


def means(algorithm: PNSGD, draws: list[tuple[int, ...]], steps: int) -> Floats:
    """Of the last iterate, in its standard deviations at sigma = 1."""
    c, epochs = algorithm.contraction, algorithm.learn_epochs
    assert epochs is not None
    h = float(np.exp(algorithm.log_sensitivity(0.0)))
    length = algorithm.steps_per_epoch * epochs + steps
    spread = algorithm.noise_std(1.0) * math.sqrt(math.fsum(c ** (2 * k) for k in range(length)))
    return np.array([h * math.fsum(c ** (r + steps) for r in draw) / spread for draw in draws])


def strings(algorithm: PNSGD, draws: list[tuple[int, ...]], steps: int) -> Floats:
    """mu of the cheapest shifts of each set of visits, at sigma = 1."""
    h = float(np.exp(algorithm.log_sensitivity(0.0)))
    length = algorithm.steps_per_epoch * int(algorithm.learn_epochs or 0)
    return np.array(
        [
            oracle_secret.string(
                [h * (length - 1 - k in draw) for k in range(length)] + [0.0] * steps,
                algorithm.contraction,
                algorithm.noise_std(1.0),
            )
            for draw in draws
        ]
    )


def divergence(one: tuple[Floats, Floats], two: tuple[Floats, Floats], epsilon: float) -> float:
    """sup_E P(E) - e^epsilon Q(E) of mixtures of N(mu, 1) whose likelihood ratio is monotone."""
    (w, mu), (v, nu) = one, two
    sign = 1.0 if (w @ mu) >= (v @ nu) else -1.0
    mu, nu = sign * mu, sign * nu

    def loss(x: float) -> float:
        a, b = np.log(w) + mu * x - mu * mu / 2, np.log(v) + nu * x - nu * nu / 2
        return float(np.logaddexp.reduce(a) - np.logaddexp.reduce(b)) - epsilon

    if loss(1e6) <= 0:
        return 0.0
    at = -1e6 if loss(-1e6) >= 0 else brentq(loss, -1e6, 1e6, xtol=1e-13)
    return float(max(w @ ndtr(mu - at) - math.exp(epsilon) * (v @ ndtr(nu - at)), 0.0))


def delta(algorithm: PNSGD, *, sigma: float, epsilon: float, steps: int, group_size: int = 1) -> float:
    accountant = UnlearningAccountant(algorithm, group_size=group_size)
    return float(accountant.delta(sigma=sigma, epsilon=epsilon, steps=steps))


@pytest.mark.parametrize("assignment", ["fresh", "poisson"])
@pytest.mark.parametrize("adjacency", ["remove", "replace"])
def test_never_below_the_truth_of_every_draw(assignment: str, adjacency: str) -> None:
    rng = np.random.default_rng([17, len(assignment), len(adjacency)])
    nearest = math.inf
    for case in range(150 if adjacency == "remove" else 50):
        algorithm = linear(rng, assignment, adjacency, convex=case % 4 == 3)
        steps, group_size = int(rng.integers(0, 6)), 1 + (case % 5 == 4)
        chances, draws = every_draw(algorithm)
        mu = means(algorithm, draws, steps)
        assert np.all(strings(algorithm, draws, steps) >= mu * (1 - 1e-12))
        if group_size == 2:
            chances, mu = np.outer(chances, chances).ravel(), np.add.outer(mu, mu).ravel()
        sigma, epsilon = float(mu.max() / 10 ** rng.uniform(-1, 1)), float(rng.uniform(0.0, 3.0))
        one = chances, mu / sigma
        two = (np.ones(1), np.zeros(1)) if adjacency == "remove" else (chances, -mu / sigma)
        truth = max(divergence(one, two, epsilon), divergence(two, one, epsilon))
        claimed = delta(algorithm, sigma=sigma, epsilon=epsilon, steps=steps, group_size=group_size)
        assert claimed >= truth * (1 - 1e-9) - 1e-14, (algorithm, steps, group_size, sigma, epsilon)
        if truth > 1e-6:
            nearest = min(nearest, claimed / truth)
    assert nearest < 1.05


def law(algorithm: PNSGD, steps: int) -> tuple[Floats, Floats]:
    """Weights and scales at sigma = 1 that the product bounds a record's visits by."""
    sampled._one_law.cache_clear()
    mixture = SampledVisits().mixture(
        BOUNDS["optimal"], Setting(algorithm, "matched"), np.array([float(steps)]), np.array([-np.inf])
    )
    return np.exp(mixture.log_weights), np.exp(mixture.log_scale[0])


@pytest.mark.parametrize("together", ["chosen", "all", "old"])
@pytest.mark.parametrize("assignment", ["fresh", "poisson"])
def test_every_scale_is_at_least_as_likely_exceeded(monkeypatch: pytest.MonkeyPatch, assignment: str, together: str) -> None:
    """Stochastic order against the strings of all draws, whichever visits are taken together."""
    if together != "chosen":
        monkeypatch.setattr(
            sampled, "_dense", lambda starts, *_: (0 if together == "all" else min(2, starts.size), starts.size)
        )
    rng = np.random.default_rng([23, len(together)])
    for case in range(60):
        algorithm = linear(rng, assignment, "remove", convex=case % 4 == 3)
        steps = int(rng.integers(0, 5))
        chances, draws = every_draw(algorithm)
        exact = strings(algorithm, draws, steps)
        weights, bound = law(algorithm, steps)
        for level in exact * (1 - 1e-9):
            assert weights[bound >= level].sum() >= chances[exact >= level].sum() - 1e-9


def test_many_visits_take_less_than_the_sum_of_their_own_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(n=11264, smoothness=0.2501, strong_convexity=1e-4, adjacency="remove")
    algorithm = PNSGD(problem, 128, step_size=1.0, learn_epochs=200, assignment="poisson")
    together = [law(algorithm, steps) for steps in (0, 88)]
    monkeypatch.setattr(sampled, "_dense", lambda starts, *_: (starts.size, starts.size))
    for (weights, bound), steps in zip(together, (0, 88), strict=True):
        plain_weights, plain = law(algorithm, steps)
        assert weights @ bound < 0.87 * (plain_weights @ plain)


@pytest.mark.parametrize(("assignment", "least", "limit"), [("fresh", 7.7684e-5, 7.7713e-5), ("poisson", 9.8325e-5, 9.8351e-5)])
def test_mnist_is_near_the_limit_of_fine_grids(assignment: str, least: float, limit: float) -> None:
    """The limits are of grids of 2^20 cells, rounded down and up."""
    algorithm = PNSGD(MNIST, 128, assignment=assignment, learn_epochs=1000)
    mixture = SampledVisits().mixture(BOUNDS["optimal"], Setting(algorithm, "matched"), np.array([88.0]), np.array([-np.inf]))
    largest = mixture.log_scale.max()
    scale = GaussianMixtureCurve().log_scale(
        np.array([1.0]), np.log([1 / 11264]), mixture.log_weights, mixture.log_scale - largest
    )
    assert least < math.exp(largest - scale[0]) < limit * 1.002


def test_no_visits_are_worse_than_the_worst() -> None:
    rng = np.random.default_rng(3)
    for case in range(24):
        algorithm = linear(rng, ("fresh", "poisson")[case % 2], "remove", convex=case % 3 == 2)
        if case % 4 > 1:
            algorithm = replace(algorithm, radius=float(10 ** rng.uniform(-1, 1)))
        steps = int(rng.integers(0, 5))
        accountant = UnlearningAccountant(algorithm, group_size=1 + case % 2)
        worst = accountant.with_(batches="worst")
        sigma = float(worst.sigma(epsilon=1.0, delta=1e-5, steps=steps))
        assert accountant.epsilon(sigma=sigma, delta=1e-5, steps=steps) <= 1 + 1e-9
        # One batch an epoch leaves no choice.
        if algorithm.steps_per_epoch == 1 and algorithm.assignment == "fresh":
            assert accountant.sigma(epsilon=1.0, delta=1e-5, steps=steps) == pytest.approx(sigma, rel=1e-9)


def test_the_worst_visits_are_the_longest_string() -> None:
    rng = np.random.default_rng(5)
    for case in range(16):
        algorithm = linear(rng, ("fresh", "poisson")[case % 2], "remove", convex=case % 3 == 2)
        steps = int(rng.integers(0, 5))
        _, draws = every_draw(algorithm)
        found = SampledVisits(worst=True).mixture(
            BOUNDS["optimal"], Setting(algorithm, "matched"), np.array([float(steps)]), np.array([-np.inf])
        )
        assert float(np.exp(found.log_scale.max())) == pytest.approx(strings(algorithm, draws, steps).max(), rel=1e-9)


@pytest.mark.parametrize("assignment", ["fresh", "poisson"])
def test_long_runs_of_small_batches_are_quick(assignment: str) -> None:
    for strong_convexity in (0.0, 1e-6, 1e-3):
        problem = Problem(n=11264, smoothness=0.25 + strong_convexity, strong_convexity=strong_convexity, adjacency="remove")
        algorithm = PNSGD(problem, 32, step_size=1.0, learn_epochs=1000, assignment=assignment)
        start = time.perf_counter()
        accountant = UnlearningAccountant(algorithm)
        assert accountant.delta(sigma=0.5, epsilon=1.0, steps=0) < 1
        assert time.perf_counter() - start < 20


def test_steps_are_found_and_put_back() -> None:
    for assignment in ("fresh", "poisson"):
        accountant = UnlearningAccountant(PNSGD(MNIST, 128, assignment=assignment, learn_epochs=50))
        steps = accountant.steps(sigma=0.001, epsilon=1.0)
        assert accountant.epsilon(sigma=0.001, steps=steps) <= 1 < accountant.epsilon(sigma=0.001, steps=steps - 1)


def test_what_is_not_proved_is_refused() -> None:
    for assignment in ("fresh", "poisson"):
        algorithm = PNSGD(MNIST, 128, assignment=assignment, learn_epochs=10)
        with pytest.raises(InputError, match="batches must be random or worst with assignment"):
            UnlearningAccountant(algorithm, batches=3).sigma(epsilon=1.0, epochs=1)
        with pytest.raises(InputError, match="needs learn_epochs"):
            UnlearningAccountant(replace(algorithm, learn_epochs=None)).sigma(epsilon=1.0, epochs=1)
        with pytest.raises(InputError, match="doubles are all there is"):
            enclose(UnlearningAccountant(algorithm), "sigma", epsilon=1.0, epochs=1)
        convex = Problem(n=100, smoothness=1.0, adjacency="remove")
        with pytest.raises(InputError, match="learn_epochs"):
            UnlearningAccountant(PNSGD(convex, 10, assignment=assignment)).sigma(epsilon=1.0, epochs=1)
