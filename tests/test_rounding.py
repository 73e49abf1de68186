"""Finite precision: rounding is a difference in every step, bounded by what arithmetic does and never counted too low."""

import math
from typing import Any

import numpy as np
import pytest

from accountant import (
    PNSGD,
    InputError,
    Problem,
    UnlearningAccountant,
    UnlearningStream,
    UnreachableError,
    optimal_shifts,
    preset,
)
from accountant.problem import load_limit, rounding_of
from accountant.problem.rounding import gamma_of, norm_scale

MNIST = PNSGD(preset("mnist"), 128, rounding="float64", dimension=784)


def per_step(algorithm: PNSGD, sigma: float) -> float:
    """The difference that rounding adds in one step, written out from docs/theory.md (no contraction of errors in the norm)."""
    problem, eta, loss = algorithm.problem, algorithm.eta, gamma_of(algorithm)
    assert algorithm.radius is not None
    norm = algorithm.radius * (1 + loss)
    return 2 * loss * ((2 + eta * (problem.smoothness - problem.strong_convexity)) * norm + eta * problem.lipschitz)


def test_mu_is_at_least_that_of_the_string_with_rounding_in_every_step() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        per_epoch, epochs, steps = int(rng.integers(1, 6)), int(rng.integers(1, 5)), int(rng.integers(0, 9))
        problem = Problem(n=2 * per_epoch, smoothness=1.0, strong_convexity=float(rng.choice([0.0, 0.02, 0.3])), lipschitz=1.0)
        step_size = float(rng.uniform(0.1, 1.9))
        radius, sigma = float(10 ** rng.uniform(-1, 1)), float(10 ** rng.uniform(-2, 0))
        common = {"step_size": step_size, "radius": radius, "learn_epochs": epochs, "dimension": int(rng.integers(1, 2000))}
        algorithm = PNSGD(problem, 2, rounding="float32", rounding_share=0.999, **common)
        position = int(rng.integers(per_epoch))
        accountant = UnlearningAccountant(algorithm, batches=position)
        mu = accountant.gdp(sigma=sigma, steps=steps)[position]
        total = epochs * per_epoch + steps
        h = np.exp(algorithm.log_sensitivity(position))
        visited = (np.arange(total) % per_epoch == position) & (np.arange(total) < epochs * per_epoch)
        exact = optimal_shifts(
            contraction=np.full(total, algorithm.contraction),
            sensitivity=np.where(visited, h, 0.0) + per_step(algorithm, sigma),
            noise_std=np.full(total, algorithm.noise_std(sigma)),
            diameter=algorithm.diameter,
        ).mu
        assert mu >= exact * (1 - 1e-12)
        without = UnlearningAccountant(PNSGD(problem, 2, **common), batches=position).gdp(sigma=sigma, steps=steps)[position]
        assert mu > without


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_computed_steps_stay_within_the_bounds_of_their_rounding(dtype: type) -> None:
    rng = np.random.default_rng(1)
    for trial in range(60):
        n, d, weight = int(rng.integers(1, 300)), int(rng.integers(1, 400)), float(10 ** rng.uniform(-3, -0.5))
        features = rng.standard_normal((n, d)).astype(dtype)
        features /= np.linalg.norm(features, axis=1, keepdims=True) * dtype(1 + 1e-6)
        signs = rng.choice([-1.0, 1.0], n).astype(dtype)
        problem = Problem(n=n, smoothness=0.25 + weight, strong_convexity=weight)
        algorithm = PNSGD(problem, rounding=np.dtype(dtype).name, dimension=d, radius=1 / weight)
        x = rng.standard_normal(d)
        x = (x * rng.uniform(0, 1) / weight / np.linalg.norm(x)).astype(dtype)
        step = dtype(algorithm.eta)

        def learned(x: np.ndarray, features: np.ndarray, signs: np.ndarray, step: float, weight: float) -> np.ndarray:
            with np.errstate(over="ignore"):
                slopes = -signs / (1 + np.exp(signs * (features @ x)))
            return x - step * ((slopes @ features) / len(signs) + weight * x)

        exact = learned(
            *(part.astype(np.longdouble) for part in (x, features, signs)), np.longdouble(step), np.longdouble(dtype(weight))
        )
        found = learned(x, features, signs, step, dtype(weight))
        assert found.dtype == dtype
        error = float(np.linalg.norm(found.astype(np.longdouble) - exact))
        loss, norm = gamma_of(algorithm), float(np.linalg.norm(x))
        bound = loss * ((1 + algorithm.eta * 0.25) * norm + algorithm.eta)
        assert error <= bound, trial


def test_parameters_stay_within_the_norm_bound_of_a_run_without_radius() -> None:
    rng = np.random.default_rng(2)
    problem = Problem(n=40, smoothness=1.25, strong_convexity=1.0)
    algorithm = PNSGD(problem, 10, step_size=0.3, rounding="float64", dimension=50)
    sigma, x, largest = 2.0, np.zeros((200, 50)), 0.0
    for _ in range(400):
        gradient = rng.standard_normal(x.shape)
        gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
        x = x - 0.3 * (gradient + x) + algorithm.noise_std(sigma) * rng.standard_normal(x.shape)
        largest = max(largest, float(np.linalg.norm(x, axis=1).max()))
    rounding = rounding_of(algorithm)
    assert rounding is not None
    # What the constants stand for: a norm bound at this noise, times what one unit of norm costs.
    each = 2 * gamma_of(algorithm) * math.sqrt((1 + algorithm.contraction) / (1 - algorithm.contraction))
    allowed = (rounding.mu(sigma) * algorithm.noise_std(sigma) / each - 0.3) / (2 + 0.3 * 0.25)
    assert norm_scale(algorithm) < largest <= allowed


def test_rounding_in_double_precision_costs_next_to_nothing_and_says_so() -> None:
    accountant, exact = UnlearningAccountant(MNIST), UnlearningAccountant(PNSGD(preset("mnist"), 128))
    outcome = accountant.ask("sigma", epsilon=1.0, epochs=1)
    assert not outcome.refusals
    assert 0 < outcome.rounding_share < 1e-5
    assert 1 < outcome.sigma / exact.sigma(epsilon=1.0, epochs=1) < 1 + 1e-5
    assert accountant.epsilon(sigma=outcome.sigma, epochs=1) <= 1.0
    assert accountant.steps(sigma=0.001, epsilon=1.0) == exact.steps(sigma=0.001, epsilon=1.0)


@pytest.mark.parametrize("unknown", ["sigma", "epsilon", "delta", "steps"])
def test_noise_below_the_resolution_of_the_parameters_is_refused(unknown: str) -> None:
    # 40,000 rows in batches of 16, two epochs: sigma of 1e-23 without rounding, where retrained models differ in fixed bits.
    problem = Problem(n=40_000, smoothness=0.26, strong_convexity=0.01)
    words = {"learn_epochs": 2, "dimension": 20}
    exact = UnlearningAccountant(PNSGD(problem, 16, **words))
    sigma = exact.sigma(epsilon=1.0, delta=1e-5, epochs=1)
    assert sigma < 1e-20
    rounded = UnlearningAccountant(PNSGD(problem, 16, rounding="float64", **words))
    numbers = {"sigma": sigma, "epsilon": 1.0, "delta": 1e-5, "steps": 2500}
    given = {name: value for name, value in numbers.items() if name != unknown}
    with pytest.raises(UnreachableError, match=r"more noise|costs more|nothing is guaranteed"):
        rounded.answer(unknown, **given)


def test_steps_without_contraction_and_radius_are_counted() -> None:
    # A floor of 2^20 roundings decided before: with 100,000 steps and 1,000 parameters rounding was left out that costs 1.9.
    convex = Problem(n=1000, smoothness=1.0)
    words = {"learn_epochs": 100, "dimension": 1000}
    floor = 2.0**20 * 2.0**-24 * 1000 / PNSGD(convex, 100).noise_std(1.0)
    with pytest.raises(UnreachableError, match=r"would cost .* of epsilon"):
        UnlearningAccountant(PNSGD(convex, 100, rounding="float32", **words)).epsilon(sigma=floor, delta=1e-3, steps=99_000)
    double, exact = (UnlearningAccountant(PNSGD(convex, 100, rounding=kind, **words)) for kind in ("float64", None))
    asked = {"sigma": 0.1, "delta": 1e-3, "epochs": 50}
    assert exact.epsilon(**asked) < double.epsilon(**asked) < exact.epsilon(**asked) * (1 + 1e-5)
    sigma = double.sigma(epsilon=1.0, delta=1e-3, epochs=50)
    assert double.epsilon(sigma=sigma, delta=1e-3, epochs=50) <= 1.0
    assert double.epochs(sigma=sigma, epsilon=1.0, delta=1e-3) == 50
    rows = double.ask("epsilon", sigma=[sigma, sigma, 1e-9], delta=1e-3, epochs=[50, 90, 50])
    assert rows.answer.tolist()[:2] == [double.epsilon(sigma=sigma, delta=1e-3, epochs=epochs) for epochs in (50, 90)]
    assert "epsilon must be at most 700" in rows.refusals[2]
    assert double.sigma(epsilon=[1.0, 2.0], delta=1e-3, epochs=[50, 90]).tolist() == [
        double.sigma(epsilon=epsilon, delta=1e-3, epochs=epochs) for epsilon, epochs in ((1.0, 50), (2.0, 90))
    ]


def test_a_stream_pays_for_rounding_that_piles_up_step_by_step() -> None:
    words = {"learn_epochs": 1, "dimension": 10}
    algorithm = PNSGD(Problem(n=100, smoothness=1.0), 10, rounding="float32", rounding_share=0.5, **words)
    accountant = UnlearningAccountant(algorithm, batches="worst")
    exact = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0), 10, **words), batches="worst")
    sigma, rounding = 2.0, rounding_of(algorithm)
    assert rounding is not None
    stream = UnlearningStream(accountant, sigma=sigma, epsilon=1.0, delta=1e-5)
    other = UnlearningStream(exact, sigma=sigma, epsilon=1.0, delta=1e-5)
    steps = [stream.request() for _ in range(5)]
    followed = other.follow(steps)
    assert np.all(followed.epsilon < 1.0)
    assert sum(steps) > sum(UnlearningStream(exact, sigma=sigma, epsilon=1.0, delta=1e-5).request_all([1] * 5))
    assert stream.mu_worst == pytest.approx(other.mu_worst + rounding.mu(sigma, sum(steps)), rel=1e-9)
    again = UnlearningStream(accountant, sigma=sigma, epsilon=1.0, delta=1e-5).follow(steps)
    assert np.all(again.epsilon <= 1.0)
    assert again.needed.tolist() == steps
    # What somebody else ran may be more than rounding leaves room for; then nothing is proved, then or later.
    long = UnlearningStream(accountant, sigma=sigma, epsilon=1.0, delta=1e-5)
    assert long.follow([10**6, 1]).epsilon.tolist() == [math.inf, math.inf]
    assert long.mu_worst is None
    with pytest.raises(UnreachableError, match="steps in all rounding would cost too much"):
        long.request()


def test_what_rounding_is_not_accounted_for_is_refused() -> None:
    with pytest.raises(InputError, match="dimension must be given"):
        PNSGD(preset("mnist"), 128, rounding="float64")
    with pytest.raises(InputError, match="leaves no digit"):
        PNSGD(preset("mnist"), rounding="float32", dimension=2**24)
    with pytest.raises(InputError, match="needs bound=optimal"):
        UnlearningAccountant(MNIST, bound="paper").epsilon(sigma=1.0, epochs=1)
    with pytest.raises(InputError, match="in doubles only"):
        UnlearningAccountant(MNIST).components_at(None, epochs=1)  # type: ignore[arg-type]


def test_a_stream_pays_for_rounding_once() -> None:
    exact, rounded = (
        UnlearningStream(UnlearningAccountant(algorithm, batches="worst"), sigma=0.001, epsilon=1.0)
        for algorithm in (PNSGD(preset("mnist"), 128), MNIST)
    )
    cost = rounding_of(MNIST).mu(0.001)
    for _ in range(20):
        assert rounded.request() == exact.request()
        assert rounded.mu_worst == pytest.approx(exact.mu_worst + cost, rel=1e-9)
    far = PNSGD(preset("mnist"), 128, rounding="float32", dimension=784, rounding_share=0.9)
    with pytest.raises(UnreachableError):
        UnlearningStream(UnlearningAccountant(far), sigma=0.001, epsilon=1.0).request()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_estimators_refuse_noise_that_rounding_outweighs(dtype: str) -> None:
    pytest.importorskip("sklearn")
    from accountant.trainer import PNSGDClassifier

    partition: dict[str, Any] = {
        "assignment": "partition", "adjacency": "zero-out", "dtype": dtype, "unlearn_epochs": 1, "regularisation": 0.01,
    }  # fmt: skip
    rng = np.random.default_rng(3)
    features = rng.standard_normal((40_000, 5)) / 6
    labels = features[:, 0] > 0
    small = PNSGDClassifier(epsilon=1.0, delta=1e-5, batch_size=16, learn_epochs=2, **partition)
    with pytest.raises(InputError, match="more noise, float64, a larger batch_size or fewer steps would help"):
        small.fit(features, labels)
    assert not hasattr(small, "coef_")
    plain = PNSGDClassifier(epsilon=1.0, delta=1e-5, batch_size=4000, learn_epochs=2, **partition).fit(features, labels)
    assert any("computed in float64" in line for line in plain.unlearn([0]).guarantee_.assumptions)
    # Without contraction rounding piles up, and is counted.
    convex = PNSGDClassifier(epsilon=1.0, delta=1e-5, batch_size=4000, learn_epochs=1, **(partition | {"regularisation": 0.0}))
    lines = convex.fit(features, labels).unlearn([0]).guarantee_.assumptions
    assert any("computed in float64" in line for line in lines)
    assert any("learning starts at zero" in line for line in lines)
    with pytest.raises(UnreachableError, match=r"rounding \(float64\) would cost"):
        convex.set_params(sigma=1e-12).fit(features, labels)
    assert not hasattr(convex, "coef_")
    # The published bounds do not count it: they are refused where it costs more than its share.
    paper = PNSGDClassifier(epsilon=1.0, delta=1e-5, batch_size=4000, learn_epochs=1, bound="paper", **partition)
    assert paper.fit(features, labels).unlearn([0]).sigma_ > 0
    with pytest.raises(UnreachableError, match="bound=paper does not count rounding"):
        paper.set_params(sigma=1e-12).fit(features, labels)
    assert not hasattr(paper, "coef_")


def test_batches_that_records_draw_are_as_large_as_they_may_be() -> None:
    # Of n/b expected records a batch may have twice as many: longer sums, and longer steps.
    problem = Problem(n=1000, smoothness=1.0, strong_convexity=0.1, adjacency="remove")
    words = {"step_size": 0.5, "rounding": "float64", "dimension": 10}
    drawn = PNSGD(problem, 100, assignment="secret", **words)
    fixed = PNSGD(Problem(n=1000, smoothness=1.0, strong_convexity=0.1), 100, **words)
    largest = load_limit(drawn) + 1
    assert largest > 300
    assert gamma_of(drawn) > gamma_of(fixed) * 2
    assert rounding_of(drawn).mu(0.01) > rounding_of(fixed).mu(0.01) * largest / 100 * 1.5
    free = PNSGD(Problem(n=1000, smoothness=1.0, adjacency="remove"), 100, assignment="secret", learn_epochs=3, **words)
    convex = PNSGD(Problem(n=1000, smoothness=1.0), 100, learn_epochs=3, **words)
    assert rounding_of(free).mu(0.01, 50) > rounding_of(convex).mu(0.01, 50) * (load_limit(free) + 1) / 100 * 1.5
