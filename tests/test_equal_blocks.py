"""Chains of very many equal blocks: against the formula in mpmath, their own slopes, and the search that knows none of them."""

import math

import mpmath as mp
import numpy as np
import pytest

from accountant import FineTuning, UnlearningAccountant
from accountant.curves import BlockCurve, EqualBlocks
from accountant.curves.equal_blocks import LEAST, MOST, equal_chain

CLIPPED = UnlearningAccountant(FineTuning(step_size=0.01, model_clip=1.0, clip_first=True))  # type: ignore[arg-type]


def exact_chain(epsilon: float, mu: float, count: int) -> mp.mpf:
    """log delta, by the formula as it stands but for what is subtracted from one; to forty digits."""
    with mp.workdps(40):
        delta, m, excess = mp.mpf(1), mp.mpf(mu), mp.expm1(mp.mpf(epsilon))
        for _ in range(count):
            e = mp.log1p(excess / delta)
            delta *= 1 - (mp.erfc(-(e / m - m / 2) / mp.sqrt(2)) + mp.exp(e) * mp.erfc((e / m + m / 2) / mp.sqrt(2))) / 2
        return mp.log(delta)


@pytest.mark.parametrize(
    ("epsilon", "mu", "count"),
    [(0.0756, 8.0, 3000), (1.0, 8.46, 3000), (3.0, 12.0, 1500), (0.02, 5.0, 400), (0.02, 5.0, 440), (0.5, 3.0, 20),
     (200.0, 30.0, 1500), (0.0, 4.0, 200), pytest.param(0.0756, 8.0, 64_000, marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_chain_is_the_formula_rounded_up(epsilon: float, mu: float, count: int) -> None:
    exact = exact_chain(epsilon, mu, count)
    found = equal_chain(epsilon, mu, count)[0]
    assert exact <= found <= exact + 1e-10 * abs(exact) * max(count / 1000, 1) + 1e-11


@pytest.mark.parametrize(
    ("epsilon", "mu", "count"), [(0.0756, 8.0, 20_000), (1.0, 8.46, 5000), (0.3, 5.0, 200), (0.5, 3.0, 20)]
)
def test_slopes_are_those_of_the_chain(epsilon: float, mu: float, count: int) -> None:
    _, by_epsilon, by_log_mu = equal_chain(epsilon, mu, count)
    h = 1e-5
    up, down = (equal_chain(epsilon + sign * h, mu, count)[0] for sign in (1, -1))
    assert by_epsilon == pytest.approx((up - down) / (2 * h), rel=1e-4)
    up, down = (equal_chain(epsilon, mu * math.exp(sign * h), count)[0] for sign in (1, -1))
    assert by_log_mu == pytest.approx((up - down) / (2 * h), rel=1e-4)


@pytest.mark.parametrize("sigma", [0.22, 0.3])
def test_answers_are_those_of_the_search(sigma: float) -> None:
    """The same question to the curve that searches the number of blocks; more of these blocks never prove less."""
    steps = np.array([1500.0])
    curves = [kind(steps, lambda n: np.zeros((n.size, 1)), np.zeros_like) for kind in (EqualBlocks, BlockCurve)]
    one, log_mu, log_delta = np.zeros(1), np.full((1, 1), math.log(2 / sigma)), np.log(np.array([1e-5]))
    mine, theirs = (curve.epsilon(log_delta, one, log_mu)[0] for curve in curves)
    assert mine == pytest.approx(theirs, rel=1e-10, abs=2e-12)
    at = np.array([1.0])
    mine, theirs = (curve.log_scale(at, log_delta, one, np.zeros((1, 1)))[0] for curve in curves)
    assert mine == pytest.approx(theirs, abs=1e-10)
    mine, theirs = (curve.log_delta(at, one, log_mu)[0] for curve in curves)
    assert mine == theirs or mine == pytest.approx(theirs, rel=1e-9)
    assert curves[0].split(1.0, one, log_mu).tolist() == [1.0] * 1500


@pytest.mark.parametrize("delta", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("steps", [LEAST, 5000, 3 * MOST])
def test_answers_meet_their_targets_and_hardly_more(steps: int, delta: float) -> None:
    count = min(steps, MOST)
    sigma = CLIPPED.sigma(epsilon=0.5, delta=delta, steps=steps)
    assert equal_chain(0.5, 2 / sigma, count)[0] <= math.log(delta) < equal_chain(0.5, 2 / (sigma * (1 - 1e-9)), count)[0]
    epsilon = CLIPPED.epsilon(sigma=sigma, delta=delta, steps=steps)
    assert epsilon <= 0.5
    assert epsilon == pytest.approx(0.5, rel=1e-8)
    assert equal_chain(epsilon * (1 - 1e-9), 2 / sigma, count)[0] > math.log(delta)
    split = CLIPPED.ask("epsilon", sigma=sigma, delta=delta, steps=steps).split
    assert len(split) == count
    assert sum(split) == steps


def test_arrays_and_single_questions_agree_on_both_sides_of_where_blocks_are_counted() -> None:
    steps = np.array([1, 10, LEAST - 1, LEAST, LEAST + 1, 2000])
    epsilons = CLIPPED.epsilon(sigma=0.25, delta=1e-5, steps=steps)
    assert np.all(np.diff(epsilons) < 0)
    for count, epsilon in zip(steps.tolist(), epsilons.tolist(), strict=True):
        assert CLIPPED.epsilon(sigma=0.25, delta=1e-5, steps=count) == pytest.approx(epsilon, rel=1e-11)
    fewest = CLIPPED.steps(sigma=0.28, epsilon=1.0, delta=1e-5)
    assert (
        CLIPPED.epsilon(sigma=0.28, delta=1e-5, steps=fewest) <= 1.0 < CLIPPED.epsilon(sigma=0.28, delta=1e-5, steps=fewest - 1)
    )
    # So little noise that no block changes delta by a double's last place, and so much that one is enough.
    assert CLIPPED.epsilon(sigma=0.01, delta=1e-5, steps=5000) > 19_000
    assert CLIPPED.epsilon(sigma=3.0, delta=0.5, steps=5000) == 0.0
