"""Noisy SGD in a ball without smoothness: the row against brute force over shifts, exact laws, and the way back."""

import math
from functools import partial
from typing import Any

import numpy as np
import oracle
import pytest
from mpmath import mpf
from oracle_steps import Walk, hockey, least_string, random_convex
from typer.testing import CliRunner

from accountant import PNSGD, InputError, Problem
from accountant.commands.program import app
from accountant.methods import METHODS, compare, compare_streams
from accountant.numerics import digits
from accountant.questions import Setup

BALL = METHODS["convex-ball"]


def setup_of(
    step: float = 0.5, radius: float = 1.0, lipschitz: float = 1.0, convexity: float = 0.0, n: int = 100, **more: Any
) -> Setup:
    problem = Problem(n=n, smoothness=max(1.0, convexity), strong_convexity=convexity, lipschitz=lipschitz)
    return Setup(PNSGD(problem, more.pop("batch", "full"), step_size=step, radius=radius, **more))


def ask(what: str, setup: Setup, **question: float) -> float:
    return float(getattr(BALL, what)(setup, **{name: np.array([float(value)]) for name, value in question.items()})[0])


def moved(setup: Setup, z: float) -> float:
    """How far apart one step moves models, as the theorem has it."""
    eta, problem = setup.algorithm.eta, setup.problem
    return math.sqrt(((1 - eta * problem.strong_convexity) * z) ** 2 + (2 * eta * problem.lipschitz) ** 2)


def test_one_step_is_one_gaussian() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        convexity = float(rng.choice([0.0, rng.uniform(0, 1)]))
        setup = setup_of(
            float(rng.uniform(0.01, 1)), float(10 ** rng.uniform(-3, 3)), float(10 ** rng.uniform(-2, 2)), convexity
        )
        scale = moved(setup, 2 * float(setup.algorithm.radius or 0)) / math.sqrt(2 * setup.algorithm.eta)
        sigma, epsilon = scale * float(10 ** rng.uniform(-0.3, 2)), float(rng.uniform(0, 4))
        exact = oracle.gdp_delta(epsilon=epsilon, mu=scale / sigma)
        found = ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=1)
        assert exact <= mpf(found) <= exact * (1 + mpf(1e-8)) + mpf(5e-324)


def test_many_steps_prove_at_least_what_one_string_does() -> None:
    rng = np.random.default_rng(3)
    for _ in range(12):
        setup = setup_of(float(rng.uniform(0.02, 0.8)), float(rng.uniform(0.5, 3)), float(rng.uniform(0.1, 1)))
        steps, epsilon = int(rng.integers(2, 7)), float(rng.uniform(0.1, 2))
        string = least_string(partial(moved, setup), 2 * float(setup.algorithm.radius or 0), steps)
        # With so much noise that no split into blocks pays.
        scale = string / math.sqrt(2 * setup.algorithm.eta)
        sigma = scale * float(rng.uniform(1, 4))
        exact = float(oracle.gdp_delta(epsilon=epsilon, mu=scale / sigma))
        assert ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=steps) <= exact * (1 + 1e-6)


def check_laws(seed: int, count: int) -> None:
    """Two points of the ball, one step of subgradients of a convex, piecewise linear loss: exact laws of the runs on a grid."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        steps, eta, radius = int(rng.choice([1, 1, 2, 4])), float(rng.uniform(0.1, 1)), float(rng.uniform(0.3, 3))
        setup = setup_of(eta, radius, float(10 ** rng.uniform(-1, 0.7)), float(rng.choice([0.0, rng.uniform(0, 0.9)])))
        problem, noise = setup.problem, math.sqrt(2 * eta)
        sigma = moved(setup, 2 * radius) / noise * float(rng.uniform(0.2, 1.5))
        noise *= sigma
        walk = Walk(radius, cells=301)
        step = random_convex(rng, 1 - eta * problem.strong_convexity, 2 * eta * problem.lipschitz)
        starts = rng.choice([-radius, radius, *rng.uniform(-radius, radius, 2)], size=2, replace=False)
        p, q = walk.laws(step, noise, starts, steps)
        # All models but the last are rounded to the grid, after which two of them are up to a cell further apart: a shift of so
        # much in each of these steps is two Gaussians' variation.
        lost = (steps - 1) * walk.width / (noise * math.sqrt(2 * math.pi))
        for epsilon in (0.0, 0.3, 1.0, 3.0):
            found = ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=steps)
            assert hockey(p, q, epsilon) <= found + (1 + math.exp(epsilon)) * lost + 1e-12, (seed, steps, epsilon)


def test_exact_laws_are_never_above() -> None:
    check_laws(1, 60)


@pytest.mark.slow
def test_two_thousand_exact_laws_are_never_above() -> None:
    check_laws(2, 2000)


def test_a_smaller_bound_would_be_caught() -> None:
    """Models at (+-R, 0) and M |x_2|, one on each side of its kink: an exact Gaussian, the walls aside."""
    setup = setup_of(step=0.5, radius=1.0, lipschitz=0.7)
    ends = np.array([[1.0, -0.35], [-1.0, 0.35]])
    mu = float(np.linalg.norm(ends[0] - ends[1])) / math.sqrt(2 * 0.5)
    found = ask("delta", setup, sigma=1.0, epsilon=0.5, steps=1)
    exact = float(oracle.gdp_delta(epsilon=0.5, mu=mu))
    assert 0.999 * found < exact <= found


def test_smoothness_learning_and_how_many_go_do_not_count_but_convexity_and_gradients_do() -> None:
    setup = setup_of(step=0.1, n=1000, batch=100)
    question = {"epsilon": 1.0, "delta": 1e-4, "steps": 20.0}
    sigma = ask("sigma", setup, **question)
    changed = (
        setup.with_(group_size=50), setup.with_(smoothness=15.0), setup.with_(learn_epochs=3),
        setup.with_(adjacency="zero-out"), setup.with_(batches="worst"),
    )  # fmt: skip
    assert {ask("sigma", each, **question) for each in changed} == {sigma}
    assert (
        ask("sigma", setup.with_(lipschitz=2.0), **question)
        > sigma
        > ask("sigma", setup.with_(strong_convexity=0.5), **question)
    )
    # Far from the kinks: 2 R/(nu sqrt N).
    flat = ask("delta", setup.with_(lipschitz=1e-9), sigma=2.0, epsilon=1.0, steps=4)
    assert flat <= float(oracle.gdp_delta(epsilon=1.0, mu=2 / (math.sqrt(0.2) * 2.0 * 2))) * (1 + 1e-6)


def test_noise_epsilon_and_steps_lead_back_to_each_other() -> None:
    setup = setup_of(step=0.1, n=1000, batch=100, convexity=0.1)
    for epsilon, steps in ((0.1, 3), (1.0, 40), (5.0, 17)):
        sigma = ask("sigma", setup, epsilon=epsilon, delta=1e-5, steps=steps)
        assert epsilon * (1 - 1e-6) <= ask("epsilon", setup, sigma=sigma, delta=1e-5, steps=steps) <= epsilon
        assert ask("delta", setup, sigma=sigma, epsilon=epsilon, steps=steps) == pytest.approx(1e-5, rel=1e-4)
        known = {name: np.array([value]) for name, value in (("sigma", sigma), ("epsilon", epsilon), ("delta", 1e-5))}
        count = BALL.fewest(setup, **known, unit="steps")[0]
        assert count <= steps
        assert BALL.fewest(setup, **known)[0] == math.ceil(count / 10)


def test_requests_do_not_pile_up() -> None:
    setup = setup_of(step=0.1, n=1000, batch=100)
    sigma = ask("sigma", setup, epsilon=1.0, delta=1e-4, steps=20) * (1 + 1e-9)
    (row,) = compare_streams(setup, epsilon=1.0, delta=1e-4, sigma=sigma, requests=30, methods=["convex-ball"])
    assert row.epochs == tuple(2.0 * k for k in range(1, 31))


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_extremes_are_right_or_refused(scale: float) -> None:
    """sigma is in proportion to the radius and the gradients."""
    one = ask("sigma", setup_of(), epsilon=1.0, delta=1e-5, steps=2)
    found = ask("sigma", setup_of(radius=scale, lipschitz=scale), epsilon=1.0, delta=1e-5, steps=2)
    assert found == math.inf or found == pytest.approx(max(one * scale, 1e-300), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"radius": None}, "radius must be given for convex-ball"),
        (
            {"strong_convexity": 1.0, "step_size": 1.5},
            "step_size must be at most 1/strong_convexity = 1 for convex-ball, got 1.5",
        ),
        ({"rounding": "float64", "dimension": 5}, "rounding must be left out for convex-ball"),
        ({"reference": 7}, "reference must be matched or converged for convex-ball"),
    ],
)
def test_what_it_proves_nothing_about_is_refused(changes: dict[str, Any], says: str) -> None:
    setup = setup_of().with_(**changes)
    assert says in (BALL.refusal(setup) or "")
    with pytest.raises(InputError, match=says):
        BALL.stream(setup, sigma=1.0, epsilon=1.0, delta=1e-5)
    (row,) = compare(setup, epsilon=1.0, methods=["convex-ball"])
    assert says in (row.reason or "")


def test_convergent_privacy_without_smoothness_is_a_gap_with_its_reason() -> None:
    (row,) = compare(setup_of(), epsilon=1.0, methods=["dp-convergent"])
    assert (row.sigma, row.steps) == (None, None)
    assert "in no closed form" in (row.reason or "")
    assert METHODS["dp-convergent"].tightest == "dp"


def test_an_answer_whose_noise_has_no_limit_is_an_answer() -> None:
    words = "compare --n 1000 --smoothness 1 --step-size 0.1 --radius 1 --epsilon 1 --requests 0 --method"
    said = " ".join(CliRunner().invoke(app, [*words.split(), "convex-ball"]).stdout.split())
    sigma = ask("sigma", setup_of(step=0.1, radius=1.0, n=1000, batch="full"), epsilon=1.0, delta=1e-3, steps=1.0)
    assert f"convex-ball (noisy SGD in a ball, convex losses, smooth or not) needs sigma = {digits(sigma, 4)} for" in said
    assert "every point's loss is a convex function" in said
    assert "No method with unlearning has an answer" in CliRunner().invoke(app, [*words.split(), "d2d-exact"]).stdout
