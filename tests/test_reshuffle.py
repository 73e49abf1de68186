"""Reshuffled batches: above the mixture over every sequence of positions, never above the worst order."""

import numpy as np
import oracle
import oracle_deletions
import pytest
from problems import random_algorithm
from test_groups import settings

from accountant import PNSGD, InputError, Problem, UnlearningAccountant, preset


@pytest.mark.parametrize(
    ("n", "b", "learn_epochs", "steps"), [(12, 4, 3, 2), (10, 4, 4, 0), (9, 3, 5, 7), (8, 2, 4, 1), (7, 7, 5, 2)]
)
def test_every_sequence_of_positions(n: int, b: int, learn_epochs: int, steps: int) -> None:
    algorithm = PNSGD(Problem(n=n, smoothness=1.0, strong_convexity=0.15), b, learn_epochs=learn_epochs)
    weights, mus = oracle_deletions.reshuffled_mixture(learn_epochs=learn_epochs, steps=steps, **settings(algorithm))
    accountant = UnlearningAccountant(algorithm, batches="reshuffle")
    for epsilon, delta in ((0.3, 0.05), (2.0, 1e-4)):
        sigma = accountant.sigma(epsilon=epsilon, delta=delta, steps=steps)
        scaled = [mu / oracle.mp.mpf(sigma) for mu in mus]
        assert float(oracle.mixture_delta(epsilon=epsilon, weights=weights, mus=scaled)) <= delta
        # The triangle inequality over visits costs at most this much here.
        closer = [mu / oracle.mp.mpf(0.7 * sigma) for mu in mus]
        assert float(oracle.mixture_delta(epsilon=epsilon, weights=weights, mus=closer)) > delta


def test_never_above_the_worst_order() -> None:
    rng = np.random.default_rng(31)
    for case in range(60):
        algorithm = random_algorithm(rng, radius=None if case % 4 else float(10 ** rng.uniform(-2, 1)))
        steps = int(rng.integers(0, 3 * algorithm.steps_per_epoch))
        accountant = UnlearningAccountant(algorithm, batches="reshuffle")
        worst = accountant.with_(batches="worst")
        one = float(worst.gdp(sigma=1.0, steps=steps).max())
        sigma = one * float(10 ** rng.uniform(-0.5, 1)) if one > 0 else 1.0
        for delta in (0.1, 1e-5):
            found = accountant.epsilon(sigma=sigma, delta=delta, steps=steps)
            assert found <= worst.epsilon(sigma=sigma, delta=delta, steps=steps) * (1 + 1e-9) + 1e-300


def test_one_batch_an_epoch_has_nothing_to_shuffle() -> None:
    """Then the sum over visits is what the worst order caps."""
    algorithm = PNSGD(preset("mnist"))
    shuffled = UnlearningAccountant(algorithm, batches="reshuffle").sigma(epsilon=1.0, epochs=1)
    assert shuffled == pytest.approx(UnlearningAccountant(algorithm).sigma(epsilon=1.0, epochs=1), rel=1e-9)


def test_mnist_needs_less_noise_than_the_worst_order() -> None:
    for batch_size, most in ((32, 0.65), (128, 0.8), (512, 0.98)):
        accountant = UnlearningAccountant(PNSGD(preset("mnist"), batch_size), batches="reshuffle")
        shuffled = accountant.sigma(epsilon=1.0, epochs=1)
        assert shuffled < most * accountant.with_(batches="worst").sigma(epsilon=1.0, epochs=1)
        # In the last epoch a point is where the cyclic average has it; earlier epochs add little for small batches.
        assert shuffled >= accountant.with_(batches="random").sigma(epsilon=1.0, epochs=1) * 0.9


def test_many_epochs_without_contraction_count_the_old_ones_at_their_worst() -> None:
    algorithm = PNSGD(Problem(n=100, smoothness=1.0), 10, learn_epochs=500)
    accountant = UnlearningAccountant(algorithm, batches="reshuffle")
    worst = accountant.with_(batches="worst")
    assert accountant.sigma(epsilon=1.0, epochs=2) <= worst.sigma(epsilon=1.0, epochs=2) * (1 + 1e-9)


def test_groups_and_counts_of_steps() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    accountant = UnlearningAccountant(algorithm, batches="reshuffle", group_size=20)
    one = accountant.with_(group_size=1)
    assert accountant.sigma(epsilon=1.0, epochs=1) > one.sigma(epsilon=1.0, epochs=1)
    assert accountant.sigma(epsilon=1.0, epochs=1) < accountant.with_(batches="worst").sigma(epsilon=1.0, epochs=1)
    steps = one.steps(sigma=0.001, epsilon=1.0)
    assert one.epsilon(sigma=0.001, steps=steps) <= 1 < one.epsilon(sigma=0.001, steps=steps - 1)
    assert any("fresh random permutation" in line for line in one.assumptions())


def test_what_reshuffling_does_not_cover_is_refused() -> None:
    algorithm = PNSGD(preset("mnist"), 128)
    with pytest.raises(InputError, match="needs bound=optimal, got paper"):
        UnlearningAccountant(algorithm, batches="reshuffle", bound="paper").sigma(epsilon=1.0, epochs=1)
    with pytest.raises(InputError, match="matched reference"):
        UnlearningAccountant(PNSGD(preset("mnist"), 128, radius=1.0), batches="reshuffle", reference=9).sigma(
            epsilon=1.0, epochs=1
        )
    with pytest.raises(InputError, match="about one point in fixed batches"):
        UnlearningAccountant(algorithm, batches="reshuffle").gdp(sigma=1.0, epochs=1)
