"""The optimal bound equals a 60-digit minorant over every step, reproduces the reference table, and cannot be improved."""

import math
from typing import Any

import mpmath as mp
import numpy as np
import oracle
import pytest
from problems import random_algorithm, schedule

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset

# docs/theory.md, "Reference values": 50-digit computations; MNIST preset, converged, delta = 1/n, one epoch.
TABLE = [
    ("full", 0.05, 0.66695533, 0.072046652),
    ("full", 1.0, 0.034172921, 0.005091505),
    ("full", 5.0, 0.0074576908, 0.0012685811),
    (512, 0.05, 0.4039126, 0.033436489),
    (512, 1.0, 0.020695349, 0.0025466157),
    (512, 5.0, 0.0045164274, 0.00066241424),
    (128, 0.05, 0.055863665, 0.0035962086),
    (128, 1.0, 0.0028622976, 0.00030518137),
    (128, 5.0, 0.00062465044, 8.3067633e-5),
    (32, 0.05, 1.9376081e-6, 8.935668e-8),
    (32, 1.0, 9.9277606e-8, 8.8747761e-9),
    (32, 5.0, 2.1665742e-8, 2.5659963e-9),
]


@pytest.mark.parametrize(("batch_size", "epsilon", "paper", "optimal"), TABLE)
def test_reference_table(batch_size: Any, epsilon: float, paper: float, optimal: float) -> None:
    algorithm = PNSGD(preset("mnist"), batch_size)
    for bound, expected in (("paper", paper), ("optimal", optimal)):
        sigma = UnlearningAccountant(algorithm, bound=bound).sigma(epsilon=epsilon, epochs=1)
        assert sigma == pytest.approx(expected, rel=3e-8)


def unrolled_mu(algorithm: PNSGD, position: int, steps: int, learn_epochs: int | None = None) -> mp.mpf:
    c, h, variance = oracle.unrolled(**schedule(algorithm, position, steps, learn_epochs))
    return oracle.taut_string(contraction=c, sensitivity=h, variance=variance, start_distance=0)


def test_finite_learning_agrees_with_the_minorant_over_every_step() -> None:
    rng = np.random.default_rng(21)
    for _ in range(200):
        algorithm = random_algorithm(rng)
        steps = int(rng.choice([0, 1, 2, rng.integers(0, 40)]))
        sigma = float(10 ** rng.uniform(-2, 1))
        mu = UnlearningAccountant(algorithm).gdp(sigma=sigma, steps=steps)
        assert mu.shape == (algorithm.steps_per_epoch,)
        for position in {0, int(rng.integers(0, mu.size)), mu.size - 1}:
            exact = unrolled_mu(algorithm, position, steps) / sigma
            assert mu[position] >= exact
            # Below 1e-304 a mu is reported as that, rather than as something that could round to nothing.
            assert mu[position] <= max(exact * (1 + mp.mpf(10) ** -12), 1e-304)
        assert mu.max() == mu[-1]


def test_converged_learning_is_the_limit_of_the_minorant() -> None:
    rng = np.random.default_rng(22)
    checked = 0
    while checked < 60:
        algorithm = random_algorithm(rng, learn_epochs=None)
        per_epoch, log_c = algorithm.steps_per_epoch, algorithm.log_contraction
        if log_c > -1e-3:
            continue
        # Everything older than this many epochs weighs less than 1e-13.
        enough = math.ceil(32 / (-max(log_c, -50) * per_epoch)) + 1
        if enough * per_epoch > 1500:
            continue
        checked += 1
        steps = int(rng.choice([0, 1, rng.integers(0, 30)]))
        mu = UnlearningAccountant(algorithm).gdp(sigma=1.0, steps=steps)
        for position in {0, per_epoch // 2, per_epoch - 1}:
            exact = unrolled_mu(algorithm, position, steps, learn_epochs=enough)
            assert mu[position] == pytest.approx(float(exact), rel=1e-10)


def test_epsilon_agrees_with_the_mixture_of_the_minorants() -> None:
    rng = np.random.default_rng(23)
    for _ in range(60):
        algorithm = random_algorithm(rng)
        steps = int(rng.integers(0, 20))
        sizes = oracle.batch_sizes(n=algorithm.problem.n, batch_size=int(algorithm.batch_size), last_batch=algorithm.last_batch)
        n = algorithm.problem.n
        weights = [mp.mpf(size) / n for size in sizes] + [mp.mpf(n - sum(sizes)) / n]
        mus = [unrolled_mu(algorithm, j, steps) for j in range(len(sizes))] + [mp.mpf(0)]
        sigma = float(max(mus)) / float(rng.uniform(0.05, 4))
        epsilon = float(rng.uniform(0.01, 3))
        delta = UnlearningAccountant(algorithm).delta(sigma=sigma, epsilon=epsilon, steps=steps)
        exact = oracle.mixture_delta(epsilon=epsilon, weights=weights, mus=[m / sigma for m in mus])
        assert delta == pytest.approx(float(exact), rel=1e-10)
        assert delta >= exact
        worst = UnlearningAccountant(algorithm, batches="worst").delta(sigma=sigma, epsilon=epsilon, steps=steps)
        assert worst == pytest.approx(float(oracle.gdp_delta(epsilon=epsilon, mu=max(mus) / sigma)), rel=1e-10)


def test_finite_matched_learning_never_needs_more_than_converged() -> None:
    rng = np.random.default_rng(24)
    for _ in range(300):
        finite = random_algorithm(rng)
        if finite.log_contraction > -1e-9:
            continue
        fixed = {"step_size": finite.step_size, "last_batch": finite.last_batch}
        converged = PNSGD(finite.problem, finite.batch_size, **fixed)
        steps = int(rng.integers(0, 20))
        mus = [UnlearningAccountant(a).gdp(sigma=1.0, steps=steps) for a in (finite, converged)]
        assert np.all(mus[0] <= mus[1] * (1 + 1e-12))


def test_the_gaussian_instance_attains_the_bound_where_the_chord_is_feasible() -> None:
    """f(x; d) = (m/2)|x|^2 + M<d, x>, means and variances propagated step by step."""
    rng = np.random.default_rng(25)
    attained = 0
    for _ in range(200):
        algorithm = random_algorithm(rng)
        problem = algorithm.problem
        # The instance has no curvature but m, so its contraction is |1 - eta m|: take m = L to make that c.
        algorithm = PNSGD(
            Problem(
                n=problem.n,
                smoothness=problem.strong_convexity,
                strong_convexity=problem.strong_convexity,
                lipschitz=problem.lipschitz,
                adjacency=problem.adjacency,
            ),
            algorithm.batch_size,
            step_size=float(rng.uniform(0.001, 0.9)) / problem.strong_convexity,
            learn_epochs=algorithm.learn_epochs,
            last_batch=algorithm.last_batch,
        )
        steps = int(rng.integers(0, 25))
        position = int(rng.integers(0, algorithm.steps_per_epoch))
        arguments = schedule(algorithm, position, steps)
        arguments.pop("smoothness")
        exact = oracle.gaussian_instance(**arguments)[2]
        mu = UnlearningAccountant(algorithm).gdp(sigma=1.0, steps=steps)[position]
        assert mu >= exact
        attained += mu <= exact * (1 + 1e-11)
        judged = UnlearningAccountant(algorithm, batches=position)
        assert judged.tightness(steps=steps) == pytest.approx(float(mu / exact), rel=1e-10)
    assert attained > 40


def test_converged_gaussian_instance_is_attained_from_half_an_epoch_on() -> None:
    algorithm = PNSGD(preset("mnist"), 32)
    accountant = UnlearningAccountant(algorithm, batches="worst")
    per_epoch = algorithm.steps_per_epoch
    assert accountant.tightness(steps=(per_epoch - 2) // 2) == pytest.approx(1, abs=1e-12)
    tightness = accountant.tightness(steps=0)
    assert tightness is not None
    # Below that the chord is infeasible: mu 2.882 where the chord would say 0.837 (sigma = 0.03).
    assert accountant.guarantee(sigma=0.03, steps=0).mu_worst == pytest.approx(2.882, abs=5e-4)
    assert tightness == pytest.approx(2.882 / 0.837, rel=1e-3)


def test_radius_agrees_with_brute_force_over_restarts() -> None:
    rng = np.random.default_rng(26)
    bound = 0
    for _ in range(120):
        free = random_algorithm(rng, strong_convexity=float(rng.choice([0.0, 1e-3])), learn_epochs=int(rng.integers(1, 6)))
        h = math.exp(float(free.log_sensitivity(np.array(free.steps_per_epoch - 1))))
        settings = {**free.to_dict(), "radius": 0.5 * h * float(10 ** rng.uniform(-1, 1))}
        algorithm = PNSGD(free.problem, settings.pop("batch_size"), **settings)
        if algorithm.steps_per_epoch * int(algorithm.learn_epochs or 0) > 40:
            continue
        steps, position = int(rng.integers(0, 12)), int(rng.integers(0, algorithm.steps_per_epoch))
        c, hs, variance = oracle.unrolled(**schedule(algorithm, position, steps))
        exact = oracle.taut_string_with_diameter(
            contraction=c, sensitivity=hs, variance=variance, start_distance=0, diameter=algorithm.diameter
        )
        mu = UnlearningAccountant(algorithm).gdp(sigma=1.0, steps=steps)[position]
        assert mu == pytest.approx(float(exact), rel=1e-11)
        bound += float(exact) < float(unrolled_mu(algorithm, position, steps)) * (1 - 1e-9)
    assert bound > 20


def test_convex_converged_learning_in_a_ball_is_the_limit_of_long_learning() -> None:
    for batch_size in ("full", 2, 3):
        problem = Problem(n=8, smoothness=1.0)
        forever = UnlearningAccountant(PNSGD(problem, batch_size, radius=1.0))
        long = UnlearningAccountant(PNSGD(problem, batch_size, radius=1.0, learn_epochs=1000))
        for steps in (0, 1, 5):
            assert forever.gdp(sigma=1.0, steps=steps) == pytest.approx(long.gdp(sigma=1.0, steps=steps), rel=1e-12)
        assert forever.tightness(steps=1) is None
        assert forever.with_(reference="converged").epsilon(sigma=1.0, steps=3) == forever.epsilon(sigma=1.0, steps=3)


def test_a_reference_of_other_length_starts_at_the_diameter_of_the_shared_window() -> None:
    rng = np.random.default_rng(27)
    for _ in range(120):
        base = random_algorithm(rng, learn_epochs=int(rng.integers(1, 6)))
        h = math.exp(float(base.log_sensitivity(np.array(base.steps_per_epoch - 1))))
        settings = {**base.to_dict(), "radius": h * float(10 ** rng.uniform(-0.5, 1.5))}
        algorithm = PNSGD(base.problem, settings.pop("batch_size"), **settings)
        per_epoch, learned = algorithm.steps_per_epoch, int(algorithm.learn_epochs or 0)
        steps, position = int(rng.integers(0, 3 * per_epoch)), int(rng.integers(0, per_epoch))
        reference = int(rng.integers(1, 10))
        if learned * per_epoch + steps > 40:
            continue
        c, hs, variance = oracle.unrolled(**schedule(algorithm, position, steps))
        # Retraining ends on the same batch as unlearning: whole epochs, then the same remainder.
        window = min(len(c), reference * per_epoch + steps % per_epoch)
        last = slice(len(c) - window, None)
        exact = oracle.taut_string_with_diameter(
            contraction=c[last], sensitivity=hs[last], variance=variance[last],
            start_distance=algorithm.diameter, diameter=algorithm.diameter,
        )  # fmt: skip
        if not mp.isfinite(exact):
            continue
        mu = UnlearningAccountant(algorithm, reference=reference).gdp(sigma=1.0, steps=steps)[position]
        assert mu == pytest.approx(float(exact), rel=1e-11)


def test_references_that_coincide_give_the_same_answer_and_a_common_start_helps() -> None:
    algorithm = PNSGD(preset("mnist"), 512, learn_epochs=20, radius=100.0)
    matched = UnlearningAccountant(algorithm)
    longer = UnlearningAccountant(algorithm, reference=100_000).epsilon(sigma=0.01, epochs=2)
    converged = UnlearningAccountant(algorithm, reference="converged").epsilon(sigma=0.01, epochs=2)
    assert longer == converged > matched.epsilon(sigma=0.01, epochs=2)
    forever = PNSGD(preset("mnist"), 512)
    assert UnlearningAccountant(forever, reference="converged").epsilon(sigma=0.01, epochs=2) == UnlearningAccountant(
        forever
    ).epsilon(sigma=0.01, epochs=2)


@pytest.mark.parametrize(
    ("algorithm", "reference", "words"),
    [
        (PNSGD(preset("mnist")), 30, "needs a radius"),
        (PNSGD(preset("mnist"), learn_epochs=5), "converged", "needs a radius"),
        (PNSGD(Problem(n=10, smoothness=1.0)), "matched", "learn_epochs, radius or strong_convexity above 0"),
    ],
)
def test_settings_that_prove_nothing_are_refused_with_the_reason(algorithm: PNSGD, reference: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        UnlearningAccountant(algorithm, reference=reference).epsilon(sigma=1.0, epochs=1)
