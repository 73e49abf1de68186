"""The accountant's methods: inverses of each other, on the safe side, for arrays and for any size."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from problems import random_algorithm

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, UnreachableError, preset

MNIST_128 = UnlearningAccountant(PNSGD(preset("mnist"), 128))


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), log_epsilon=st.floats(-3, 1.5), log_delta=st.floats(-12, -1), steps=st.integers(0, 60))
@example(seed=510509, log_epsilon=-3.0, log_delta=-2.0, steps=0)
def test_sigma_is_on_the_safe_side_and_barely(seed: int, log_epsilon: float, log_delta: float, steps: int) -> None:
    rng = np.random.default_rng(seed)
    bound = str(rng.choice(["optimal", "optimal", "paper", "paper-geometric"]))
    algorithm = random_algorithm(rng, learn_epochs=None)
    assume(algorithm.log_contraction < -1e-12)
    accountant = UnlearningAccountant(algorithm, bound=bound, batches=str(rng.choice(["random", "worst"])))
    target = {"delta": 10.0**log_delta, "steps": steps if bound == "optimal" else steps + 1}
    epsilon = 10.0**log_epsilon
    sigma = accountant.sigma(epsilon=epsilon, **target)
    assume(sigma > 1e-290)
    reached = accountant.epsilon(sigma=sigma, **target)
    assert reached <= epsilon
    assert reached >= epsilon * (1 - 1e-9)
    delta = accountant.delta(sigma=sigma, epsilon=epsilon, steps=target["steps"])
    assert delta <= target["delta"] * (1 + 1e-9)
    assert delta >= target["delta"] * (1 - 1e-8)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), log_sigma=st.floats(-4, 1), log_epsilon=st.floats(-3, 1))
def test_epochs_and_steps_are_the_fewest(seed: int, log_sigma: float, log_epsilon: float) -> None:
    rng = np.random.default_rng(seed)
    bound = str(rng.choice(["optimal", "paper"]))
    algorithm = random_algorithm(rng, learn_epochs=None)
    assume(algorithm.log_contraction < -1e-6)
    accountant = UnlearningAccountant(algorithm, bound=bound)
    question = {"sigma": 10.0**log_sigma, "delta": 1e-4}
    epsilon = 10.0**log_epsilon
    fewest = 0 if bound == "optimal" else 1
    for unit, solve in (("epochs", accountant.epochs), ("steps", accountant.steps)):
        count = solve(epsilon=epsilon, **question)
        assert isinstance(count, int)
        assert accountant.epsilon(**{unit: count}, **question) <= epsilon
        if count > fewest:
            assert accountant.epsilon(**{unit: count - 1}, **question) > epsilon


def test_steps_against_a_fixed_reference_are_the_fewest_of_all() -> None:
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(150):
        base = random_algorithm(rng, learn_epochs=int(rng.integers(1, 5)))
        settings_ = {**base.to_dict(), "radius": 3.0}
        algorithm = PNSGD(base.problem, settings_.pop("batch_size"), **settings_)
        if algorithm.steps_per_epoch > 8:
            continue
        accountant = UnlearningAccountant(algorithm, reference=int(rng.integers(1, 6)))
        sigma = float(10 ** rng.uniform(-1, 2))
        steps = np.arange(1, 12 * algorithm.steps_per_epoch)
        reached = accountant.epsilon(sigma=sigma, delta=1e-3, steps=steps) <= 1.0
        if not reached.any():
            continue
        found += 1
        first = int(steps[np.argmax(reached)])
        answer = accountant.steps(sigma=sigma, epsilon=1.0, delta=1e-3)
        assert answer == first or (answer == 0 and accountant.epsilon(sigma=sigma, delta=1e-3, steps=0) <= 1.0)
    assert found > 30


def test_steps_are_found_where_only_the_last_of_an_epoch_suffice() -> None:
    rng = np.random.default_rng(6)
    for _ in range(60):
        per_epoch, learned = int(rng.integers(2, 30)), int(rng.integers(1, 4))
        algorithm = PNSGD(Problem(n=per_epoch, smoothness=1.0, strong_convexity=0.005), 1, radius=0.5, learn_epochs=learned)
        accountant = UnlearningAccountant(algorithm, reference=int(rng.integers(1, 5)), batches="worst")
        steps = np.arange(0, 6 * per_epoch)
        question = {"sigma": 1.0, "delta": 1e-3}
        reached = accountant.epsilon(steps=np.maximum(steps, 1), **question)
        epsilon = float(rng.choice(reached[1:])) * (1 + 1e-9)
        first = int(steps[1:][np.argmax(reached[1:] <= epsilon)])
        assert accountant.steps(epsilon=epsilon, **question) == first


def test_an_accountant_cannot_be_changed_only_copied() -> None:
    with pytest.raises(AttributeError, match="with_"):
        MNIST_128.batches = "worst"
    assert MNIST_128.with_(batches="worst").epsilon(sigma=1e-3, epochs=1) > MNIST_128.epsilon(sigma=1e-3, epochs=1)


@pytest.mark.parametrize(
    ("algorithm", "settings_", "line"),
    [
        ({}, {}, "reference matched: retraining starts from the same initial law"),
        ({}, {"reference": "converged"}, "reference converged: retraining has run until its law no longer changes"),
        ({"radius": 2.5}, {"reference": 7}, "reference 7 epochs of retraining from any start in the ball"),
        ({"learn_epochs": 12}, {}, "learning runs 12 epochs"),
        ({"radius": 2.5}, {}, "every step projects on a ball of radius 2.5"),
        ({}, {"batches": "worst"}, "holds for every batch order"),
        ({}, {"batches": 1}, "the deleted point is in batch 1 (counted from 0)"),
    ],
)
def test_assumptions_say_what_was_assumed(algorithm: dict[str, Any], settings_: dict[str, Any], line: str) -> None:
    problem = Problem(n=100, smoothness=0.123456789, strong_convexity=0.0123456789, adjacency="zero-out")
    accountant = UnlearningAccountant(PNSGD(problem, 10, **algorithm), **settings_)
    lines = accountant.assumptions()
    assert sum(text.startswith(line) for text in lines) == 1
    assert lines[0] == "every point's loss is 0.123456789-smooth and 0.0123456789-strongly convex"
    assert any("gradient is dropped" in text for text in lines)
    given = accountant.assumptions(given_distance=True)
    assert "start_distance bounds the distance between the two models when unlearning starts" in given


def test_the_issue_of_the_day_in_python() -> None:
    assert MNIST_128.sigma(epsilon=1.0, delta=1 / 11_264, epochs=1) == pytest.approx(0.00030518137, rel=1e-7)
    assert MNIST_128.epochs(sigma=0.03, epsilon=1.0, delta=1 / 11_264) == 1
    assert MNIST_128.steps(sigma=0.03, epsilon=1.0, delta=1 / 11_264) == 2
    assert MNIST_128.gdp(sigma=0.03, epochs=1).shape == (88,)
    assert MNIST_128.rdp(alpha=[2, 4, 8], sigma=0.03, epochs=1).shape == (3,)
    assert MNIST_128.default_delta == 1 / 11_264
    assert MNIST_128.epsilon(sigma=0.001, epochs=1) == MNIST_128.epsilon(sigma=0.001, delta=1 / 11_264, steps=88)


def test_arguments_broadcast_and_scalars_give_scalars() -> None:
    sigma, delta, epochs = np.array([0.001, 0.01])[:, None], np.array([1e-3, 1e-5, 1e-9]), 1
    grid = MNIST_128.epsilon(sigma=sigma, delta=delta, epochs=epochs)
    assert grid.shape == (2, 3)
    assert grid[1, 2] == MNIST_128.epsilon(sigma=0.01, delta=1e-9, epochs=1)
    assert isinstance(MNIST_128.epsilon(sigma=0.01, epochs=1), float)
    assert MNIST_128.sigma(epsilon=[[0.1], [1.0]], epochs=[0, 1, 2]).shape == (2, 3)
    assert MNIST_128.epochs(sigma=[1e-4, 1e-3], epsilon=1.0).dtype == np.int64
    assert MNIST_128.gdp(sigma=[0.1, 0.2], epochs=1).shape == (2, 88)
    assert MNIST_128.delta(sigma=[0.001, 0.002], epsilon=[0.5, 1.0], steps=[20, 88]).shape == (2,)
    assert MNIST_128.epsilon(sigma=[], epochs=1).shape == (0,)


def test_a_thousand_million_epochs_are_as_quick_as_one() -> None:
    assert MNIST_128.epsilon(sigma=0.03, epochs=10**9) == 0.0
    assert MNIST_128.sigma(epsilon=1.0, epochs=10**9) == 1e-300
    slow = Problem(n=1000, smoothness=1.0, strong_convexity=1e-12)
    accountant = UnlearningAccountant(PNSGD(slow, 10))
    epochs = accountant.epochs(sigma=1e-3, epsilon=1.0, delta=1e-5)
    assert epochs > 10**9
    assert accountant.epsilon(sigma=1e-3, delta=1e-5, epochs=epochs) <= 1.0
    assert accountant.epsilon(sigma=1e-3, delta=1e-5, epochs=epochs - epochs // 10**6) > 1.0


@pytest.mark.parametrize("scale", [1e-298, 1e-100, 1e100, 1e299])
def test_units_do_not_matter(scale: float) -> None:
    """Gradients in other units: M and sigma scale together, so epsilon stays."""
    usual = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 10))
    scaled = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1, lipschitz=scale), 10))
    expected = usual.epsilon(sigma=0.1, delta=1e-4, epochs=1)
    assert scaled.epsilon(sigma=0.1 * scale, delta=1e-4, epochs=1) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("smoothness", [1e-298, 1e-100, 1e100, 1e299])
def test_extreme_curvature_gives_an_answer_or_says_why_not(smoothness: float) -> None:
    problem = Problem(n=100, smoothness=smoothness, strong_convexity=0.1 * smoothness)
    accountant = UnlearningAccountant(PNSGD(problem, 10))
    # In units of 1/L: x -> L x turns this into the problem with L = 1, sigma -> sigma/sqrt(L).
    usual = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0, strong_convexity=0.1), 10))
    sigma = usual.sigma(epsilon=1.0, delta=1e-4, epochs=1) / math.sqrt(smoothness)
    assert accountant.sigma(epsilon=1.0, delta=1e-4, epochs=1) == pytest.approx(sigma, rel=1e-10)


@pytest.mark.parametrize("strong_convexity", [1e-300, 1e-290, 1e-20, 0.0])
def test_the_smallest_curvature_is_as_good_as_none_in_a_ball(strong_convexity: float) -> None:
    def sigma(m: float) -> float:
        algorithm = PNSGD(Problem(n=1000, smoothness=1.0, strong_convexity=m), 10, radius=1e3)
        value: float = UnlearningAccountant(algorithm).sigma(epsilon=1.0, epochs=1)
        return value

    assert sigma(strong_convexity) == pytest.approx(sigma(1e-12), rel=1e-6)


def test_nearly_convex_problems_keep_their_contraction() -> None:
    problem = Problem(n=100, smoothness=1.0, strong_convexity=1e-300)
    accountant = UnlearningAccountant(PNSGD(problem, "full", learn_epochs=10))
    convex = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0), "full", learn_epochs=10))
    assert accountant.epsilon(sigma=0.1, delta=1e-4, epochs=5) == pytest.approx(
        convex.epsilon(sigma=0.1, delta=1e-4, epochs=5), rel=1e-12
    )
    converged = UnlearningAccountant(PNSGD(problem, "full"))
    assert converged.sigma(epsilon=1.0, delta=1e-4, epochs=0) > 1e140


def test_more_noise_more_steps_and_larger_delta_never_hurt() -> None:
    steps = np.arange(0, 200)
    epsilon = MNIST_128.epsilon(sigma=1e-3, steps=steps)
    assert np.all(np.diff(epsilon) <= 0)
    assert np.all(np.diff(MNIST_128.epsilon(sigma=np.geomspace(1e-5, 1, 50), epochs=1)) <= 0)
    assert np.all(np.diff(MNIST_128.epsilon(sigma=1e-3, delta=np.geomspace(1e-12, 0.5, 50), epochs=0)) <= 0)
    assert np.all(np.diff(MNIST_128.sigma(epsilon=np.geomspace(1e-3, 10, 30), epochs=1)) <= 0)


def test_averaging_over_the_batch_order_never_costs() -> None:
    rng = np.random.default_rng(8)
    for _ in range(100):
        algorithm = random_algorithm(rng)
        question: dict[str, Any] = {"sigma": 0.5, "delta": 1e-3, "steps": int(rng.integers(0, 10))}
        average = UnlearningAccountant(algorithm).epsilon(**question)
        worst = UnlearningAccountant(algorithm, batches="worst").epsilon(**question)
        each = [UnlearningAccountant(algorithm, batches=j).epsilon(**question) for j in range(algorithm.steps_per_epoch)]
        assert average <= worst * (1 + 1e-12)
        assert worst == max(each)


def test_a_given_distance_replaces_learning() -> None:
    free = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0), 10))
    with pytest.raises(InputError, match="learn_epochs, radius or strong_convexity above 0"):
        free.epsilon(sigma=1.0, epochs=1)
    # c = 1: mu = D/(sqrt(N) sqrt(2 eta) sigma).
    mu = free.gdp(sigma=0.5, epochs=2, start_distance=0.3)
    assert mu == pytest.approx([0.3 / math.sqrt(20) / math.sqrt(2) / 0.5], rel=1e-12)
    assert free.epsilon(sigma=0.5, epochs=2, start_distance=0.0) == 0.0
    with pytest.raises(UnreachableError):
        free.epsilon(sigma=0.5, steps=0, start_distance=0.3)


def test_a_given_distance_needs_a_reference_that_runs_alongside_and_stays_in_the_ball() -> None:
    algorithm = PNSGD(preset("mnist"), 512, radius=1.0)
    with pytest.raises(InputError, match="start_distance needs a reference"):
        UnlearningAccountant(algorithm, reference=3).epsilon(sigma=1.0, epochs=1, start_distance=1.0)
    accountant = UnlearningAccountant(algorithm)
    far, diameter = (accountant.epsilon(sigma=1.0, epochs=1, start_distance=z) for z in (1e9, 2.0))
    assert far == diameter


def test_noise_beyond_all_measure_still_leaves_something() -> None:
    paper = UnlearningAccountant(PNSGD(preset("mnist"), 128), bound="paper")
    assert paper.epsilon(sigma=1e300, epochs=1) > 0
    with pytest.raises(UnreachableError, match="no number of epochs"):
        paper.epochs(sigma=1.0, epsilon=0.0)


def test_sigma_stays_close_where_epsilon_is_small_against_delta() -> None:
    algorithm = PNSGD(Problem(n=24, smoothness=0.328, strong_convexity=0.0235, lipschitz=5.43), 3)
    accountant = UnlearningAccountant(algorithm)
    for epsilon in (1e-3, 1e-5, 1e-6):
        sigma = accountant.sigma(epsilon=epsilon, delta=0.167, steps=89)
        reached = accountant.epsilon(sigma=sigma, delta=0.167, steps=89)
        assert epsilon * (1 - 1e-9) <= reached <= epsilon


def test_dropped_points_are_never_used_and_the_mixture_says_so() -> None:
    algorithm = PNSGD(Problem(n=25, smoothness=1.0, strong_convexity=0.1), 10, last_batch="drop")
    guarantee = UnlearningAccountant(algorithm).guarantee(sigma=1.0, epochs=1)
    assert guarantee.weights == pytest.approx([0.4, 0.4, 0.2])
    assert guarantee.values[-1] == 0
    assert any("5 points are dropped" in line for line in guarantee.assumptions)
    kept = UnlearningAccountant(PNSGD(algorithm.problem, 10)).guarantee(sigma=1.0, epochs=1)
    assert kept.weights == pytest.approx([0.4, 0.4, 0.2])
    # The short batch divides by 5 instead of 10: its point moves the model more.
    assert kept.values[-1] > 2 * kept.values[-2]


def test_tightness_is_reported_where_an_exact_case_is_known() -> None:
    assert MNIST_128.tightness(epochs=1) == pytest.approx(1.0)
    assert UnlearningAccountant(PNSGD(preset("mnist"), 128), bound="paper").tightness(epochs=1) is None
    assert UnlearningAccountant(PNSGD(preset("mnist"), 128, radius=10.0), reference=2).tightness(epochs=5) == 1.0
    capped = UnlearningAccountant(PNSGD(preset("mnist"), 128, radius=1e-3))
    assert capped.tightness(epochs=0) is None


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("epsilon", {"sigma": 0, "epochs": 1}, "sigma must be a number above 0, got 0"),
        ("epsilon", {"sigma": -1.0, "epochs": 1}, "sigma must be"),
        ("epsilon", {"sigma": math.nan, "epochs": 1}, "sigma must be"),
        ("epsilon", {"sigma": math.inf, "epochs": 1}, "sigma must be"),
        ("epsilon", {"sigma": "much", "epochs": 1}, "sigma must be a number above 0, got .much"),
        ("epsilon", {"sigma": 1.0, "epochs": 1, "delta": 0}, "delta must be"),
        ("epsilon", {"sigma": 1.0, "epochs": 1, "delta": 1}, "delta must be"),
        ("epsilon", {"sigma": 1.0, "epochs": 1, "steps": 1}, "either epochs or steps .*got both"),
        ("epsilon", {"sigma": 1.0}, "either epochs or steps .*got neither"),
        ("epsilon", {"sigma": 1.0, "epochs": 0.5}, "epochs must be a whole number"),
        ("epsilon", {"sigma": 1.0, "steps": -1}, "steps must be a whole number"),
        ("epsilon", {"sigma": 1.0, "epochs": 1e300}, "epochs must be a whole number"),
        ("sigma", {"epsilon": -1, "epochs": 1}, "epsilon must be"),
        ("sigma", {"epsilon": [1.0, math.nan], "epochs": 1}, "epsilon must be"),
        ("rdp", {"alpha": 1.0, "sigma": 1.0, "epochs": 1}, "alpha must be"),
        ("guarantee", {"sigma": [1.0], "epochs": 1}, "sigma must be a number"),
        ("epsilon", {"sigma": [1.0, 2.0], "epochs": [1, 2, 3]}, "must broadcast together"),
        ("gdp", {"sigma": [1.0, 2.0], "epochs": [1, 2, 3]}, "must broadcast together"),
        ("sigma", {"epsilon": 1e300, "epochs": 1}, "epsilon must be"),
        ("rdp", {"alpha": 1e300, "sigma": 1.0, "epochs": 1}, "alpha must be"),
        ("epsilon", {"sigma": 1.0, "epochs": 1, "start_distance": -1}, "start_distance must be"),
    ],
)
def test_bad_arguments_are_named_with_their_range(method: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        getattr(MNIST_128, method)(**arguments)


def test_unreachable_targets_say_which_limit_stops_them() -> None:
    convex = UnlearningAccountant(PNSGD(Problem(n=100, smoothness=1.0), learn_epochs=10))
    with pytest.raises(UnreachableError, match=r"falls only as 1/sqrt\(steps\)"):
        convex.epochs(sigma=1e-9, epsilon=1e-9, delta=1e-30)
    short = UnlearningAccountant(PNSGD(preset("mnist"), 128, radius=10.0), reference=1)
    with pytest.raises(UnreachableError, match="still remembers where it started"):
        short.epochs(sigma=0.01, epsilon=1.0)
    with pytest.raises(UnreachableError, match="never reaches epsilon = 0"):
        UnlearningAccountant(PNSGD(preset("mnist")), bound="paper").sigma(epsilon=0.0, epochs=1)
    with pytest.raises(UnreachableError, match="sigma is so small"):
        MNIST_128.epsilon(sigma=1e-300, epochs=1)


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        ({"bound": "best"}, "bound must be one of optimal, paper, paper-geometric"),
        ({"batches": 88}, "position from 0 to 87"),
        ({"batches": -1}, "position from 0 to 87"),
        ({"batches": "shuffled"}, "batches must be"),
        ({"batches": True}, "batches must be"),
        ({"reference": 0}, "reference must be"),
        ({"reference": "never"}, "reference must be"),
        ({"reference": 1.5}, "reference must be"),
    ],
)
def test_bad_settings_are_refused_at_construction(settings_: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        UnlearningAccountant(PNSGD(preset("mnist"), 128), **settings_)


def test_too_many_positions_are_refused_and_worst_still_answers() -> None:
    algorithm = PNSGD(Problem(n=10**12, smoothness=1.0, strong_convexity=0.01), 1)
    with pytest.raises(InputError, match="batches must be 'worst' or a position"):
        UnlearningAccountant(algorithm).epsilon(sigma=1.0, epochs=0)
    assert UnlearningAccountant(algorithm, batches="worst").epsilon(sigma=10.0, steps=10) > 0


def test_dropped_points_pay_for_a_start_that_is_apart() -> None:
    problem = Problem(n=1000, smoothness=1.0, strong_convexity=0.001, lipschitz=0.001)
    run = PNSGD(problem, 501, step_size=1.0, radius=100.0, learn_epochs=10, last_batch="drop")
    for reference in (4, "converged"):
        # The two runs may start 200 apart, and 20 steps contract by 2 %: nothing is hidden from anybody.
        question = {"sigma": 0.001, "epsilon": 1.0, "steps": 2}
        assert UnlearningAccountant(run, reference=reference).delta(**question) > 0.99
