"""Noisy SGD in a ball without convexity: the row against the theorem written down again, exact laws, and the way back."""

import math
from typing import Any

import numpy as np
import oracle
import pytest
from mpmath import mp, mpf
from oracle_steps import Walk, hockey, random_smooth, theta

from accountant import PNSGD, InputError, Learn, Problem, Schedule, Unlearn
from accountant.methods import METHODS, compare, compare_streams
from accountant.questions import Setup

BALL = METHODS["smooth-ball"]


def setup_of(
    smoothness: float = 1.0, step: float = 0.5, radius: float = 1.0, n: int = 100, batch: Any = "full", **more: Any
) -> Setup:
    problem = Problem(n=n, smoothness=smoothness, strong_convexity=0.0)
    return Setup(PNSGD(problem, batch, step_size=step, radius=radius, **more))


def ask(what: str, setup: Setup, **question: float) -> float:
    unit = {"unit": "steps"} if what == "fewest" else {}
    return float(getattr(BALL, what)(setup, **{name: np.array([float(value)]) for name, value in question.items()}, **unit)[0])


def block(setup: Setup, sigma: float, steps: int) -> float:
    """mu of so many steps from anywhere in the ball, as the theorem has it."""
    algorithm = setup.algorithm
    c = 1 + algorithm.eta * setup.problem.smoothness
    spread = sum(c ** (-2 * k) for k in range(1, steps + 1))
    return 2 * float(algorithm.radius or 0) / (math.sqrt(2 * algorithm.eta * spread) * sigma)


def chained(epsilon: float, mus: list[float]) -> float:
    """delta after blocks of these mu, from one that proves nothing; what is below 1e-250 as 0."""
    delta = mpf(1)
    for mu in mus:
        if delta < mpf("1e-250"):
            return 0.0
        delta *= theta(mp.log1p(mp.expm1(mpf(epsilon)) / delta), mpf(mu))
    return float(delta)


def test_one_step_is_one_gaussian_at_the_diameter() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        smoothness = float(10 ** rng.uniform(-3, 3))
        setup = setup_of(smoothness, float(rng.uniform(0.01, 2)) / smoothness, float(10 ** rng.uniform(-3, 3)))
        scale = block(setup, 1.0, 1)
        sigma, epsilon = scale * float(10 ** rng.uniform(-0.3, 2)), float(rng.uniform(0, 4))
        exact = oracle.gdp_delta(epsilon=epsilon, mu=scale / sigma)
        found = ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=1)
        assert exact <= mpf(found) <= exact * (1 + mpf(1e-8)) + mpf(5e-324)


@pytest.mark.parametrize("steps", [2, 6, 24])
def test_many_steps_prove_at_least_what_equal_blocks_do_and_what_its_own_noise_says(steps: int) -> None:
    rng = np.random.default_rng(steps)
    for _ in range(10):
        setup = setup_of(float(10 ** rng.uniform(-1, 0.5)), float(rng.uniform(0.05, 1)), float(rng.uniform(0.5, 3)))
        sigma, epsilon = block(setup, 1.0, 2) * float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.1, 2))
        found = ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=steps)
        splits = [[block(setup, sigma, steps // parts)] * parts for parts in range(1, steps + 1) if steps % parts == 0]
        best = min(chained(epsilon, mus) for mus in splits)
        # Whatever split it takes, no block is more than one of its length, and no contraction is for nothing.
        assert found <= best * (1 + 1e-6) + 1e-250
        assert found >= chained(epsilon, [block(setup, sigma, steps)] * steps) * (1 - 1e-9)


def check_laws(seed: int, count: int) -> None:
    """Two points of the ball, one map that moves points at most c times as far apart: exact laws of the runs on a grid."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        steps, eta, radius = int(rng.choice([1, 1, 2, 4])), float(rng.uniform(0.1, 1)), float(rng.uniform(0.3, 3))
        setup = setup_of(float(rng.uniform(0.05, 1.5)), eta, radius)
        c = 1 + eta * setup.problem.smoothness
        sigma = block(setup, 1.0, 1) * float(rng.uniform(0.2, 1.5))
        noise, walk, step = math.sqrt(2 * eta) * sigma, Walk(radius, cells=301), random_smooth(rng, c)
        starts = rng.choice([-radius, radius, *rng.uniform(-radius, radius, 2)], size=2, replace=False)
        p, q = walk.laws(step, noise, starts, steps)
        # All models but the last are rounded to the grid by half a cell, each in both runs: so far two Gaussians' variation.
        lost = (steps - 1) * c * walk.width / 2 / (noise * math.sqrt(2 * math.pi))
        for epsilon in (0.0, 0.3, 1.0, 3.0):
            found = ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=steps)
            assert hockey(p, q, epsilon) <= found + (1 + math.exp(epsilon)) * lost + 1e-12, (seed, steps, epsilon)


def test_exact_laws_are_never_above() -> None:
    check_laws(1, 60)


@pytest.mark.slow
def test_two_thousand_exact_laws_are_never_above() -> None:
    check_laws(2, 2000)


def test_a_smaller_ball_of_claims_would_be_caught() -> None:
    """The walls aside, f(x) = -L x^2/2 attains one step: with a little less than what is reported nothing would hold."""
    setup = setup_of(radius=1.0)
    noise, sigma = math.sqrt(2 * setup.algorithm.eta), 1.0
    walk = Walk(40.0, cells=8001)
    p, q = walk.noise(noise, (1 + setup.algorithm.eta) * np.array([-1.0, 1.0]))
    found = ask("delta", setup, sigma=sigma, epsilon=0.5, steps=1)
    assert 0.999 * found < hockey(p, q, 0.5) <= found


def test_what_is_learned_how_many_go_and_bounds_of_gradients_do_not_count() -> None:
    setup = setup_of(n=1000, batch=100)
    question = {"epsilon": 1.0, "delta": 1e-4, "steps": 20.0}
    sigma = ask("sigma", setup, **question)
    changed = (
        setup.with_(group_size=50), setup.with_(lipschitz=1e6), setup.with_(learn_epochs=3), setup.with_(adjacency="zero-out"),
        setup.with_(strong_convexity=0.5), setup.with_(batches="worst"),
    )  # fmt: skip
    assert {ask("sigma", each, **question) for each in changed} == {sigma}
    assert ask("sigma", setup.with_(radius=2.0), **question) == pytest.approx(2 * sigma, rel=1e-9)


def test_noise_epsilon_and_steps_lead_back_to_each_other() -> None:
    setup = setup_of(n=1000, batch=100)
    for epsilon, steps in ((0.1, 3), (1.0, 40), (5.0, 17)):
        sigma = ask("sigma", setup, epsilon=epsilon, delta=1e-5, steps=steps)
        assert epsilon * (1 - 1e-6) <= ask("epsilon", setup, sigma=sigma, delta=1e-5, steps=steps) <= epsilon
        assert ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=steps) == pytest.approx(1e-5, rel=1e-4)
        known = {name: np.array([value]) for name, value in (("sigma", sigma), ("epsilon", epsilon), ("delta", 1e-5))}
        count = BALL.fewest(setup, **known, unit="steps")[0]
        assert count <= steps
        assert BALL.fewest(setup, **known)[0] == math.ceil(count / 10)


def test_requests_do_not_pile_up() -> None:
    setup = setup_of(n=1000, batch=100)
    sigma = ask("sigma", setup, epsilon=1.0, delta=1e-4, steps=20) * (1 + 1e-9)
    (row,) = compare_streams(setup, epsilon=1.0, delta=1e-4, sigma=sigma, requests=30, methods=["smooth-ball"])
    assert row.epochs == tuple(2.0 * k for k in range(1, 31))
    followed = BALL.stream(setup, sigma=sigma, epsilon=1.0, delta=1e-4).follow(np.array([2.0, 1.0, 2.0]), np.ones(3))
    assert followed.needed.tolist() == [2, 2, 2]
    assert followed.epsilon[0] == followed.epsilon[2] <= 1 < followed.epsilon[1]


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_extremes_are_right_or_refused(scale: float) -> None:
    """sigma is in proportion to the radius."""
    one = ask("sigma", setup_of(), epsilon=1.0, delta=1e-5, steps=2)
    found = ask("sigma", setup_of(radius=scale), epsilon=1.0, delta=1e-5, steps=2)
    assert found == math.inf or found == pytest.approx(max(one * scale, 1e-300), rel=1e-6)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no ball": ({"radius": None}, "radius must be given for smooth-ball"),
    "own draws": (
        {"assignment": "secret", "adjacency": "remove", "batch_size": 10}, "assignment must be partition for smooth-ball",
    ),
    "rounding": ({"rounding": "float64", "dimension": 5}, "rounding must be left out for smooth-ball"),
    "another retraining": ({"reference": 7}, "reference must be matched or converged for smooth-ball"),
    "schedule": (
        {"schedule": Schedule((Learn(epochs=1), Unlearn())), "step_size": None}, "schedule must be left out for smooth-ball",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_what_it_proves_nothing_about_is_refused(why: str) -> None:
    changes, says = REFUSED[why]
    setup = setup_of().with_(**changes)
    assert says in (BALL.refusal(setup) or "")
    with pytest.raises(InputError, match=says):
        BALL.stream(setup, sigma=1.0, epsilon=1.0, delta=1e-5)
    (row,) = compare(setup, epsilon=1.0, methods=["smooth-ball"])
    assert says in (row.reason or "")


def test_langevin_unlearning_without_convexity_is_a_gap_with_its_reason() -> None:
    (row,) = compare(setup_of(), epsilon=1.0, methods=["langevin-smooth"])
    assert (row.sigma, row.steps) == (None, None)
    assert "log-Sobolev" in (row.reason or "")
    assert METHODS["langevin-smooth"].tightest == "smooth-ball"


@pytest.mark.slow
def test_steps_beyond_a_million_are_answered_like_a_million_and_need_hardly_less_than_a_hundredth_of_them() -> None:
    setup = setup_of()
    few, most, many = (ask("sigma", setup, epsilon=1, delta=1e-5, steps=steps) for steps in (1e4, 1e6, 1e15))
    assert many == most
    assert 0.7 * few < most < few
    assert ask("epsilon", setup, sigma=many, delta=1e-5, steps=1e15) <= 1
    assert ask("fewest", setup, sigma=many, epsilon=1, delta=1e-5) <= 1e6
