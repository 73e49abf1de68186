"""Block contraction: the values of the theory, mpmath and enclosures, and exact laws of projected steps on grids."""

import math
import pickle
import time

import mpmath as mp
import numpy as np
import pytest
from oracle_steps import Walk, chain, hockey, random_clipped, random_convex, random_smooth
from scipy.optimize import brentq

from accountant import FineTuning, Guarantee, InputError, UnlearningAccountant
from accountant.curves import certain, chained, contracted, contracted_in
from accountant.curves.block_curve import BlockCurve
from accountant.curves.splits import lengths


def delta(epsilon: float, mus: list[float]) -> float:
    blocks = [(np.array([mu]), 1) for mu in mus]
    return float(chained(np.array([epsilon]), blocks).log_delta[0])


def test_the_values_of_the_theory() -> None:
    for mus, digits in (([1.0], "0.12693673750664"), ([1.0] * 2, "4.9817626475018e-4"), ([1.5] * 4, "5.6229086848713e-9")):
        assert abs(chain(1.0, mus) / mp.mpf(digits) - 1) < 1e-13
        assert math.exp(delta(1.0, mus)) == pytest.approx(float(digits), rel=1e-12)
    five = delta(1.0, [1.0] * 5) / math.log(10)
    assert math.floor(five) == -189751
    assert 10 ** (five % 1) == pytest.approx(3.0501, rel=2e-5)


@pytest.mark.parametrize(
    ("count", "largest"),
    [(1, 0.26805112321129), (2, 0.85663898910662), (4, 1.6352685925679), (6, 2.1035857062936), (10, 2.6710205237918),
     (20, 3.3801012184)],
)  # fmt: skip
def test_the_largest_mu_by_number_of_blocks(count: int, largest: float) -> None:
    found = brentq(lambda mu: delta(1.0, [mu] * count) - math.log(1e-5), 0.01, 10, xtol=1e-14)
    assert found == pytest.approx(largest, rel=2e-13 if count < 20 else 2e-11)


def check_against_mpmath(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        mus = (10 ** rng.uniform(-1.5, 1, size=int(rng.integers(1, 7)))).tolist()
        epsilon = float(10 ** rng.uniform(-6, 1.5))
        exact = chain(epsilon, mus)
        with mp.workdps(60):
            log_exact = mp.log(exact)
            for rows in (1, 200):
                blocks = [(np.full(rows, mu), 1) for mu in mus]
                found = chained(np.full(rows, epsilon), blocks)
                assert found.log_delta[0] >= log_exact
                assert found.log_delta[0] <= log_exact + 1e-10 * (1 + abs(log_exact))


def test_chains_agree_with_mpmath_and_are_above_it() -> None:
    check_against_mpmath(1, 25)


@pytest.mark.slow
def test_many_chains_agree_with_mpmath() -> None:
    check_against_mpmath(2, 600)


def test_enclosures_contain_the_chain() -> None:
    pytest.importorskip("flint")
    from accountant.numerics import settle

    for epsilon, mus in ((1.0, [1.0, 1.0]), (0.1, [0.5, 2.0, 0.25]), (3.0, [2.0] * 5)):

        def evaluate(ar, bits, epsilon=epsilon, mus=mus):  # type: ignore[no-untyped-def]
            log_delta = ar.asarray([0])
            for mu in mus:
                log_delta = contracted_in(log_delta, ar.asarray([epsilon]), ar.asarray([mu]), ar)
            return ar.exp(log_delta)[0]

        found = settle(evaluate, 40, "interval")
        with mp.workdps(80):
            low, high = (mp.mpf(end.numerator) / end.denominator for end in (found.lower, found.upper))
            assert low <= chain(epsilon, mus) <= high
            assert high - low < high * mp.mpf(10) ** -38


def test_slopes_are_those_of_differences() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        mus = 10 ** rng.uniform(-0.5, 0.6, size=4)
        epsilon, step = float(rng.uniform(0.1, 3)), 1e-6
        at = chained(np.array([epsilon]), [(np.array([mu]), 1) for mu in mus])
        by_epsilon = (delta(epsilon + step, mus.tolist()) - delta(epsilon - step, mus.tolist())) / (2 * step)
        scaled = [delta(epsilon, (mus * math.exp(sign * step)).tolist()) for sign in (1, -1)]
        assert at.by_epsilon[0] == pytest.approx(by_epsilon, rel=1e-5)
        assert at.by_log_mu[0] == pytest.approx((scaled[0] - scaled[1]) / (2 * step), rel=1e-5)


def test_at_epsilon_zero_blocks_contract_as_dobrushin_says() -> None:
    mus, total = [0.3, 1.0, 2.5], 1.0
    for mu in mus:
        total *= math.erf(mu / (2 * math.sqrt(2)))
    assert math.exp(delta(0.0, mus)) == pytest.approx(total, rel=1e-12)


def test_rows_one_by_one_and_all_at_once_agree() -> None:
    rng = np.random.default_rng(4)
    epsilon = np.append(0.0, 10 ** rng.uniform(-4, 1, size=299))
    mus = [10 ** rng.uniform(-1, 0.7, size=300) for _ in range(3)]
    together = certain((300,))
    for mu in mus:
        together = contracted(together, epsilon, mu)
    each = [chained(epsilon[[k]], [(mu[[k]], 1) for mu in mus]) for k in range(300)]
    for part in range(3):
        found = np.array([one[part][0] for one in each])
        assert np.allclose(found, together[part], rtol=1e-9, atol=1e-300)


def check_projected(seed: int, count: int) -> None:
    """Laws of projected steps, clipped after or before the noise, against chains over random splits: 0 below the truth."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        radius, sigma = float(rng.uniform(0.3, 1.5)), float(rng.uniform(0.2, 1.2))
        first, steps = bool(rng.random() < 0.4), int(rng.integers(2, 9))
        # Clipped before the noise, the law of the noisy model needs room.
        walk = Walk(radius + (8 * sigma if first else 0.0), cells=401)
        width, kind = walk.width, rng.integers(3)
        rho = float(rng.choice([1.0, rng.uniform(0.5, 1)]))
        gap = float(rng.uniform(0, 0.5))
        if kind == 0 or first:
            step, after = random_clipped(rng, rho, gap), (lambda z, rho=rho, gap=gap: rho * z + gap)
        elif kind == 1:
            step, after = random_convex(rng, rho, gap), (lambda z, rho=rho, gap=gap: math.hypot(rho * z, gap))
        else:
            step, after = random_smooth(rng, 1 + gap), (lambda z, gap=gap: (1 + gap) * z)
        # The law: each step is the map, the clip, the noise and the grid, in the order of the run.
        inside = np.clip(step(walk.grid), -radius, radius) if first else step(walk.grid)
        kernel = walk.noise(sigma, inside)
        ends = (float(rng.uniform(-radius, radius)), radius) if rng.random() < 0.5 else (-radius, radius)
        p, q = (walk.start(x) for x in ends)
        apart = abs(float(walk.grid @ p) - float(walk.grid @ q))
        for _ in range(steps):
            p, q = p @ kernel, q @ kernel
        # Blocks of random lengths; shifts within a block are any, here all at its end or half in every step.
        mus, left, begin = [], steps, apart
        while left:
            length = int(rng.integers(1, left + 1))
            z, total, spend = begin, 0.0, float(rng.choice([0.0, 0.5]))
            for k in range(length):
                # Where the noise comes after the clip, a later block starts with it.
                if not (first and k == 0 and mus):
                    z = after(z + (width if k else 0.0))
                if first:
                    z = min(z, 2 * radius)
                a = z if k == length - 1 else spend * z
                total, z = total + a * a, z - a
            mus.append(math.sqrt(total) / sigma)
            left, begin = left - length, 2 * radius
        for epsilon in (0.0, 0.1, 0.5, 1.0, 2.0, 4.0):
            assert hockey(p, q, epsilon) <= math.exp(delta(epsilon, mus)) + 1e-12


def test_exact_laws_with_projection_are_below_the_chain() -> None:
    check_projected(5, 100)


@pytest.mark.slow
def test_many_exact_laws_with_projection_are_below_the_chain() -> None:
    check_projected(6, 2000)


def test_lengths_fill_the_steps_and_grow_one_by_one() -> None:
    for count in (1, 2, 3, 7, 30):
        before = np.zeros(count)
        for steps in range(count, 120):
            found = lengths(np.array([float(steps)]), count)[0]
            assert found.sum() == steps
            assert found.min() >= 1
            assert np.all(np.diff(found) <= 0)
            assert steps == count or (found - before).sum() == 1
            before = found


def curve(steps: float) -> BlockCurve:
    """Convex, projected: mu = D/sqrt(steps)."""
    return BlockCurve(np.array([steps]), lambda n: -0.5 * np.log(n)[:, None], lambda n: -0.5 * np.log(n))


@pytest.mark.parametrize(("epsilon", "count", "gain"), [(1.0, 6, 3.20), (0.1, 13, 18.5)])
def test_blocks_against_the_string(epsilon: float, count: int, gain: float) -> None:
    target, one = math.log(1e-5), np.zeros(1)
    steps = 5040.0 * 13
    alone = brentq(lambda mu: delta(epsilon, [mu]) - target, 1e-4, 10, xtol=1e-14)
    blocks = brentq(lambda mu: delta(epsilon, [mu] * count) - target, 1e-3, 10, xtol=1e-14)
    assert blocks / math.sqrt(count) / alone == pytest.approx(gain, rel=2.5e-3)
    log_mu = curve(steps).log_scale(np.array([epsilon]), np.array([target]), one, np.zeros((1, 1)))[0]
    # The search is never behind equal blocks, and here a little before.
    assert gain * (1 - 2.5e-3) < math.exp(log_mu) / alone < gain * 1.05


def test_sigma_epsilon_and_delta_of_blocks_agree() -> None:
    rng = np.random.default_rng(7)
    one = np.zeros(1)
    epsilon, log_delta = 10 ** rng.uniform(-2, 1, size=60), np.log(10 ** rng.uniform(-9, -1, size=60))
    many = curve(200.0)
    log_mu = many.log_scale(epsilon, log_delta, one, np.zeros((60, 1)))[:, None]
    assert np.allclose(many.epsilon(log_delta, one, log_mu), epsilon, rtol=1e-9)
    assert np.all(many.log_delta(epsilon, one, log_mu) <= log_delta + 1e-9)
    assert np.all(many.meets(epsilon * (1 + 1e-9), log_delta, one, log_mu))
    each = [many.epsilon(log_delta[[k]], one, log_mu[[k]])[0] for k in range(60)]
    assert np.allclose(each, many.epsilon(log_delta, one, log_mu), rtol=1e-9)


def test_a_thousand_blocks_take_less_than_fifty_milliseconds() -> None:
    epsilon, blocks = np.array([1.0]), [(np.array([6.0]), 1000)]
    chained(epsilon, blocks)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        chained(epsilon, blocks)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05


def test_a_guarantee_of_blocks() -> None:
    accountant = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0, model_clip=1.0))
    outcome = accountant.ask("epsilon", sigma=0.27, delta=1e-5, steps=100)
    guarantee = outcome.guarantee
    assert guarantee.kind == "contraction"
    assert guarantee.blocks is not None
    assert guarantee.blocks.size == outcome.blocks - 1
    assert guarantee.epsilon(1e-5) == pytest.approx(float(outcome.epsilon), rel=1e-9)
    mus = [float(guarantee.values[0]), *guarantee.blocks.tolist()]
    for epsilon in (0.0, 0.5, 2.0):
        assert guarantee.delta(epsilon) == pytest.approx(float(chain(epsilon, mus)), rel=1e-10)
    assert guarantee.epsilon(guarantee.delta(0.5)) == pytest.approx(0.5, rel=1e-9)
    assert Guarantee.from_json(guarantee.to_json()) == guarantee
    assert pickle.loads(pickle.dumps(guarantee)) == guarantee
    assert guarantee.mu_worst is None
    assert "contracted by" in str(guarantee)
    # Lines below the trade-off function of an attacker who does nothing, and above none.
    assert 0 < guarantee.tradeoff(0.1) < 0.9
    loss = guarantee.pld(interval=1e-2)
    assert loss.delta(1.0) >= guarantee.delta(1.0) * (1 - 1e-9)
    for refused in (lambda: guarantee.compose(guarantee), lambda: guarantee.self_compose(2)):
        with pytest.raises(InputError, match="does not compose"):
            refused()
    with pytest.raises(InputError, match="no Rényi divergence"):
        guarantee.rdp(2.0)
    with pytest.raises(InputError, match="blocks must be given"):
        Guarantee("gdp", weights=[1.0], values=[1.0], blocks=[1.0])


def test_components_are_averaged_after_the_last_block() -> None:
    guarantee = Guarantee("contraction", weights=[0.25, 0.75], values=[0.5, 2.0], blocks=[1.0, 1.5])
    average = 0.25 * chain(0.7, [0.5, 1.0, 1.5]) + 0.75 * chain(0.7, [2.0, 1.0, 1.5])
    assert guarantee.delta(0.7) == pytest.approx(float(average), rel=1e-11)


def test_blocks_that_underflow_are_read() -> None:
    """Their slopes exceed doubles, and only steer."""
    for block in (5e-324, 1e-310, 1e-160):
        guarantee = Guarantee("contraction", [1.0], [1.0], blocks=[block])
        assert guarantee.epsilon(1e-5) == 0
        assert 0 <= guarantee.delta(0.0) < 1e-150
        assert 0 <= guarantee.delta(1e-160) < 1e-150
