"""Newton steps as they run: against other minimisers, differences, exact distances, and audits that find what is wrong."""

from typing import Any

import numpy as np
import pytest
from mpmath import findroot, mp, mpf

from accountant import PNSGD, InputError, UnreachableError
from accountant.methods import METHODS, removals_left
from accountant.problem import Problem
from accountant.questions import Setup
from accountant.trainer import (
    Logistic,
    Loss,
    Multinomial,
    NewtonRun,
    Ridge,
    SmoothedHinge,
    audit_newton,
    gradient,
    newton_learn,
)

LOSSES: dict[str, Loss] = {
    "logistic": Logistic(regularisation=0.1),
    "clipped": Logistic(regularisation=0.1, clip=0.4),
    "multinomial": Multinomial(regularisation=0.2, classes=3),
    "ridge": Ridge(regularisation=0.1, clip=0.5),
    "smoothed-hinge": SmoothedHinge(regularisation=0.1, width=0.7),
}


def data(name: str, rng: np.random.Generator, n: int = 30, d: int = 4) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(n, d))
    x *= rng.uniform(0.3, 1.0, size=(n, 1)) / np.linalg.norm(x, axis=1, keepdims=True)
    if name == "multinomial":
        return x, rng.integers(0, 3, size=n)
    y = x @ np.arange(1, d + 1) + rng.normal(size=n)
    return x, y if name == "ridge" else np.where(y >= 0, 1, -1)


def learned(name: str, seed: int = 0, adjacency: str = "replace", n: int = 30) -> NewtonRun:
    loss = LOSSES[name]
    return newton_learn(loss, loss.problem(n, adjacency=adjacency), *data(name, np.random.default_rng(seed), n))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_second_derivatives_are_the_differences_of_the_first(name: str) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(1)
    s: Any = rng.normal(size=(200, loss.outputs)) * 2
    y: Any = rng.integers(0, 3, size=200) if name == "multinomial" else rng.choice([-1.0, 1.0], size=200)
    found, step = loss.hessians(s, y), 1e-6
    for at in range(loss.outputs):
        move = step * np.eye(loss.outputs)[at]
        change = (loss.derivatives(s + move, y) - loss.derivatives(s - move, y)) / (2 * step)
        assert np.abs(change - found[..., at]).max() < 1e-8


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_learning_is_where_the_gradient_is_nothing_and_steps_on_the_hessian_are_newtons(name: str) -> None:
    run = learned(name)
    loss = run.loss
    assert np.linalg.norm(gradient(loss, run.parameters, run.features, run.labels)) < 1e-14
    assert run.residual < 1e-11
    # Another point, its gradient by the trainer's own function, its Hessian by differences of that.
    new_x, new_y = data(name, np.random.default_rng(5), 2)
    moved = run.unlearn([3, 7], features=new_x, labels=new_y)
    w, step = run.parameters, 1e-6
    columns = [
        (
            gradient(loss, w + step * e, moved.features, moved.labels)
            - gradient(loss, w - step * e, moved.features, moved.labels)
        )
        / (2 * step)
        for e in np.eye(w.size)
    ]
    expected = w - np.linalg.solve(np.array(columns).T, gradient(loss, w, moved.features, moved.labels))
    assert np.abs(moved.parameters - expected).max() < 1e-8


def test_the_minimiser_is_another_optimisers() -> None:
    from scipy.optimize import minimize

    run = learned("multinomial")
    x, y = run.features, run.labels.astype(int)

    def value(w: np.ndarray) -> float:
        s = x @ w.reshape(3, -1).T
        return float(np.mean(np.log(np.exp(s).sum(axis=1)) - s[np.arange(y.size), y]) + 0.1 * w @ w)

    found = minimize(value, np.zeros(12), method="BFGS", options={"gtol": 1e-9})
    assert np.abs(found.x - run.parameters).max() < 1e-6


@pytest.mark.parametrize("adjacency", ["replace", "zero-out"])
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_measured_residual_bounds_the_distance_whatever_the_loss(name: str, adjacency: str) -> None:
    rng = np.random.default_rng(2)
    for seed in range(12):
        run = learned(name, seed, adjacency)
        for _ in range(3):
            row = rng.choice(np.flatnonzero(~run.zeroed), size=2, replace=False)
            x, y = data(name, rng, 2)
            new: dict[str, Any] = {"features": x, "labels": y} if adjacency == "replace" else {}
            # A few bad steps too: of the removed points alone.
            run = run.unlearn(row, **new, gradient=str(rng.choice(["all", "removed"])))  # type: ignore[arg-type]
            anew = run.retrained()
            distance = np.linalg.norm(run.parameters - anew.parameters)
            assert distance <= run.residual + anew.residual
    assert run.requests == 3


def test_what_rounding_hides_is_counted() -> None:
    """One parameter, whose minimiser is known to 40 digits: the residual of doubles is above the distance to it."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(-1, 1, size=(50, 1)), rng.choice([-1, 1], size=50)
        loss = Logistic(regularisation=float(10 ** rng.uniform(-4, 0)))
        run = newton_learn(loss, loss.problem(50), x, y)
        with mp.workdps(40):
            rows = [(mpf(float(a)), int(b)) for a, b in zip(x[:, 0], y, strict=True)]

            def slope(w: mpf, rows: Any = rows, loss: Any = loss) -> mpf:
                return mp.fsum(-b * a / (1 + mp.exp(b * a * w)) for a, b in rows) / 50 + mpf(loss.regularisation) * w

            exact = findroot(slope, mpf(float(run.parameters[0])))
            assert abs(mpf(float(run.parameters[0])) - exact) <= run.residual
        assert run.residual < 1e-10 / loss.regularisation


@pytest.mark.parametrize("adjacency", ["replace", "zero-out"])
def test_no_run_is_further_than_the_worst_case_of_the_row(adjacency: str) -> None:
    rng, loss = np.random.default_rng(3), Logistic(regularisation=0.3)
    problem = loss.problem(40, adjacency=adjacency)
    given = Problem.from_loss("logistic", n=40, l2=0.3, feature_bound=1.0, intercept=False, adjacency=adjacency)
    setup = Setup(PNSGD(given))
    for seed in range(20):
        run = newton_learn(loss, problem, *data("logistic", np.random.default_rng(seed), 40))
        bound = 0.0
        for _ in range(4):
            after = removals_left(setup, sigma=1.0, epsilon=1.0, delta=1e-5, residual=bound).after
            row = int(rng.choice(np.flatnonzero(~run.zeroed)))
            # What contradicts the model most takes its place.
            new: dict[str, Any] = {}
            if adjacency == "replace":
                w = run.parameters / np.linalg.norm(run.parameters)
                new = {"features": -w[None], "labels": [1]}
            run = run.unlearn([row], **new)
            assert np.linalg.norm(run.parameters - run.retrained().parameters) <= after + 1e-12
            bound = after


def test_a_budget_learns_anew_and_errors_of_partial_gradients_pile_up() -> None:
    run, each = learned("logistic", adjacency="zero-out"), []
    both = run
    for row in range(6):
        run, both = run.unlearn([row], gradient="removed"), both.unlearn([row])
        each.append((run.residual, both.residual))
    assert each[-1][0] > 2 * each[-1][1]
    again = run.unlearn([10], gradient="removed", budget=1e-9)
    assert (again.relearned, again.requests, again.residual <= 1e-9) == (1, 7, True)
    assert run.unlearn([10], budget=1.0).relearned == 0
    reached = run.unlearn([10]).residual
    assert run.unlearn([10], budget=reached).relearned == 0
    assert run.unlearn([10], budget=reached * (1 - 1e-9)).relearned == 1
    with pytest.raises(UnreachableError, match="what rounding leaves after learning"):
        run.unlearn([10], budget=1e-300)


def test_an_audit_keeps_within_the_claim_and_finds_what_is_wrong() -> None:
    setup = Setup(PNSGD(Problem.from_loss("logistic", n=30, l2=0.1, feature_bound=1.0, intercept=False)))
    run = learned("logistic")
    new: dict[str, Any] = {"features": run.features[:1], "labels": -run.labels[:1]}
    good = run.unlearn([0], **new)
    exact, one = METHODS["newton-exact"], {"delta": np.array([1e-5])}
    sigma = float(exact.sigma(setup, **one, epsilon=np.array([3.0]), steps=np.ones(1))[0])
    claim = removals_left(setup, sigma=sigma, epsilon=3.0, delta=1e-5).after / sigma
    found = audit_newton(good, sigma=sigma, trials=4000, seed=0)
    assert found.told.mu_lower < found.mu_exact < min(claim, found.mu_measured)
    assert not found.refutes(claim)
    # No step at all, at noise that is enough with one; and the right step with a hundredth of the noise.
    faulty = audit_newton(run.unlearn([0], **new, steps=0), sigma=found.mu_exact * sigma / 2, trials=4000, seed=0)
    assert faulty.refutes(2.0)
    assert audit_newton(good, sigma=found.mu_exact * sigma / 2, trials=4000, seed=0).told.mu_lower > 1.6
    # The law of the release is what is claimed of it: the estimate is the exact distance.
    near = audit_newton(good, sigma=found.mu_exact * sigma / 2, trials=4000, seed=1)
    assert near.told.distance == pytest.approx(2.0, abs=0.15)


def test_releases_have_the_noise_that_is_asked_for_and_never_twice_the_same() -> None:
    run = learned("logistic")
    released = run.release(sigma=0.5, trials=20_000, seed=1) - run.parameters[:, None]
    assert released.std(axis=1) == pytest.approx(0.5, rel=0.03)
    assert np.abs(np.corrcoef(released) - np.eye(4)).max() < 0.04
    assert (run.release(sigma=0.5) != run.release(sigma=0.5)).all()
    with pytest.raises(ValueError, match="read-only"):
        run.parameters[0] = 1.0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"rows": [30]}, "rows must be row numbers from 0 to 29"),
        ({"features": np.ones((1, 3)), "labels": [1]}, "features must have shape \\(1, 4\\)|rows of norm"),
        ({"features": None, "labels": None}, "features and labels must be given under adjacency replace"),
        ({"steps": -1}, "steps must be"),
        ({"budget": 0.0}, "budget must be"),
        ({"gradient": "some"}, "gradient must be"),
        ({"gradient": "removed", "steps": 2}, "steps must be 1 where gradient is removed"),
    ],
)
def test_bad_requests_are_refused(words: dict[str, Any], message: str) -> None:
    run = learned("logistic")
    good: dict[str, Any] = {"rows": [0], "features": run.features[:1], "labels": [1]}
    with pytest.raises(InputError, match=message):
        run.unlearn(**(good | words))


def test_bad_problems_are_refused() -> None:
    from scipy.sparse import csr_array

    loss = Logistic(regularisation=0.1)
    x, y = data("logistic", np.random.default_rng(0))
    with pytest.raises(InputError, match="n = 31 rows"):
        newton_learn(loss, loss.problem(31), x, y)
    with pytest.raises(InputError, match="dense"):
        newton_learn(loss, loss.problem(30), csr_array(x), y)
    with pytest.raises(InputError, match="strong_convexity must be > 0"):
        newton_learn(Logistic(regularisation=0.0), Logistic(regularisation=0.0).problem(30), x, y)
    with pytest.raises(InputError, match="adjacency must be replace or zero-out"):
        newton_learn(loss, loss.problem(30, adjacency="remove"), x, y)
    dropped = learned("logistic", adjacency="zero-out").unlearn([4])
    with pytest.raises(InputError, match="still there, got 4"):
        dropped.unlearn([4])
    with pytest.raises(InputError, match="must be left out under adjacency zero-out"):
        dropped.unlearn([5], features=x[:1], labels=[1])
    with pytest.raises(InputError, match="sigma must be"):
        dropped.release(sigma=-1.0)
