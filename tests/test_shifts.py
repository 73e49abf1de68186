"""The shift engine finds the taut string, its witness proves it, and the closed form agrees with it."""

import math
from typing import Any

import mpmath as mp
import numpy as np
import oracle
import pytest

from accountant import InputError, UnreachableError, optimal_shifts
from accountant.shifts import log_mu_cyclic, log_mu_decay, log_mu_restarted, restarts


def check_witness(c: Any, h: Any, nu: Any, result: Any, start_distance: float, diameter: float = math.inf) -> None:
    """Replay the shifts: distances stay non-negative, end at zero, and the shifts cost mu^2."""
    c, h, nu = np.broadcast_arrays(c, h, nu)
    assert np.all(result.distances >= 0)
    assert np.all(result.shifts >= 0)
    assert result.distances[-1] == 0
    z = min(start_distance, diameter)
    for k in range(c.size):
        if k == result.start_step:
            assert z <= result.distances[k] * (1 + 1e-12) + 1e-300
            z = result.distances[k]
        z = min(c[k] * z + h[k], diameter) if k < result.start_step else c[k] * z + h[k] - result.shifts[k]
        assert z >= -1e-12 * (1 + np.max(h) + start_distance)
    assert abs(z) <= 1e-12 * (1 + np.max(h) + start_distance)
    moved = result.shifts > 0
    assert math.sqrt(np.sum((result.shifts[moved] / nu[moved]) ** 2)) == pytest.approx(result.mu, rel=1e-10)


def test_agrees_with_a_60_digit_convex_hull_on_random_schedules() -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        steps = int(rng.integers(1, 40))
        c = rng.choice([0.0, 1.0, 0.5, 1.3, *rng.uniform(0.2, 1.1, 3)], steps)
        h = rng.uniform(0, 3, steps) * (rng.random(steps) < 0.4)
        nu = rng.uniform(0.1, 2, steps) * (rng.random(steps) < 0.8)
        nu[-1] = 1.0
        z0 = float(rng.choice([0.0, 2.5]))
        result = optimal_shifts(contraction=c, sensitivity=h, noise_std=nu, start_distance=z0)
        with mp.workdps(60):
            variance = [mp.mpf(float(x)) ** 2 for x in nu]
        exact = oracle.taut_string(contraction=c, sensitivity=h, variance=variance, start_distance=z0)
        assert result.mu == pytest.approx(float(exact), rel=1e-12)
        assert result.mu >= exact
        if exact > 0:
            least = oracle.mu_exact(contraction=c, sensitivity=h, variance=variance, start_distance=z0)
            assert result.mu_exact == pytest.approx(float(least), rel=1e-12)
            assert result.tightness is not None
            assert result.tightness >= 1 - 1e-13
            check_witness(c, h, nu, result, z0)


def test_restarts_at_the_diameter_agree_with_brute_force() -> None:
    rng = np.random.default_rng(12)
    restarted = 0
    for _ in range(150):
        steps = int(rng.integers(2, 25))
        c = float(rng.choice([1.0, 0.97, 0.8]))
        h = rng.uniform(0, 1, steps) * (rng.random(steps) < 0.6)
        diameter = float(rng.uniform(0.3, 2))
        z0 = float(rng.choice([0.0, diameter]))
        result = optimal_shifts(contraction=c, sensitivity=h, noise_std=1.0, start_distance=z0, diameter=diameter)
        exact = oracle.taut_string_with_diameter(
            contraction=[c] * steps, sensitivity=h, variance=[1] * steps, start_distance=z0, diameter=diameter
        )
        assert result.mu == pytest.approx(float(exact), rel=1e-12)
        restarted += result.start_step > 0
        if result.start_step > 0:
            assert result.mu_exact is None
        if result.mu > 0:
            check_witness(c, h, 1.0, result, z0, diameter)
    assert restarted > 20


def test_closed_form_is_the_minorant_of_cyclic_visits() -> None:
    rng = np.random.default_rng(13)
    for _ in range(1500):
        per_epoch, visits = int(rng.integers(1, 12)), int(rng.integers(1, 15))
        position, extra = int(rng.integers(0, per_epoch)), int(rng.integers(0, 30))
        c = float(rng.choice([1.0, 0.0, 0.5, 1 - 10 ** rng.uniform(-6, -0.01)]))
        h = 10 ** rng.uniform(-2, 2)
        diameter = float(rng.choice([math.inf, h * 10 ** rng.uniform(-1, 1.5)]))
        z0 = min(float(rng.choice([0.0, 10 ** rng.uniform(-2, 2)])), diameter)
        sensitivity = np.zeros(visits * per_epoch + extra)
        sensitivity[position : visits * per_epoch : per_epoch] = h
        engine = optimal_shifts(contraction=c, sensitivity=sensitivity, noise_std=1.0, start_distance=z0, diameter=diameter)
        common = {
            "log_c": math.log(c) if c else -math.inf,
            "steps_per_epoch": per_epoch,
            "log_sensitivity": math.log(h),
            "visits": visits,
            "tail": per_epoch - 1 - position + extra,
        }
        closed = log_mu_cyclic(**common, log_start=math.log(z0) if z0 else -math.inf, lead=position)
        if diameter < math.inf:
            closed = np.minimum(closed, log_mu_restarted(**common, log_diameter=math.log(diameter)))
        assert float(np.exp(closed)) == pytest.approx(engine.mu, rel=1e-12)


def test_no_restart_is_cheaper_than_those_that_are_tried() -> None:
    rng = np.random.default_rng(14)
    for _ in range(300):
        per_epoch, visits, tail = int(rng.integers(1, 9)), int(rng.integers(1, 60)), float(rng.integers(0, 40))
        c, ratio = float(rng.choice([1.0, 0.5, 1 - 10 ** rng.uniform(-5, -0.5)])), 10 ** rng.uniform(-1, 2)
        every = np.arange(1.0, visits)
        common = {"log_c": math.log(c), "log_start": math.log(ratio)}
        cyclic = {"steps_per_epoch": per_epoch, "log_sensitivity": 0.0, "lead": per_epoch - 1, "tail": tail}
        log_mu = [float(log_mu_decay(**common, steps=tail)), *log_mu_cyclic(**common, **cyclic, visits=every).tolist()]
        words = {"ratio": np.array(ratio), "log_q": per_epoch * math.log(c), "steps_per_epoch": per_epoch}
        tried = {int(number) for number in restarts(**words, visits=np.array(float(visits)), tail=np.array(tail))}
        assert tried <= set(range(visits))
        assert min(log_mu[number] for number in tried) <= min(log_mu) + 1e-13


@pytest.mark.parametrize(("c", "per_epoch", "epochs", "published"), [(0.9999, 40, 50, 1.488737), (0.99, 10, 100, 1.678157)])
def test_noisy_cyclic_gd_matches_its_published_closed_form(c: float, per_epoch: int, epochs: int, published: float) -> None:
    sensitivity = np.zeros(per_epoch * epochs)
    sensitivity[per_epoch - 1 :: per_epoch] = 1.0
    mu = optimal_shifts(contraction=c, sensitivity=sensitivity, noise_std=1.0).mu
    power = c**per_epoch
    closed = math.sqrt(
        1
        + c ** (2 * per_epoch - 2) * (1 - c * c) / (1 - power) ** 2 * (1 - power ** (epochs - 1)) / (1 + power ** (epochs - 1))
    )
    assert mu == pytest.approx(closed, rel=1e-12)
    assert mu == pytest.approx(published, abs=5e-7)


def test_projected_noisy_gd_restarts_to_the_published_bound() -> None:
    # mu^2 = 4 D h/nu^2 for c = 1, D/h an integer; from a common start once N >= 4 D/h, from distance D for N >= D/h.
    h, diameter, nu = 0.5, 3.0, 0.7
    common = {"contraction": 1.0, "noise_std": nu, "diameter": diameter}
    exact = math.sqrt(4 * diameter * h) / nu
    result = optimal_shifts(sensitivity=np.full(40, h), **common)
    assert result.mu == pytest.approx(exact, rel=1e-13)
    assert result.start_step == 40 - 6
    started = optimal_shifts(sensitivity=np.full(6, h), start_distance=diameter, **common)
    assert started.mu == pytest.approx(exact, rel=1e-13)


def test_noise_in_the_last_step_only_is_the_gaussian_mechanism() -> None:
    # Descent-to-Delete: distance D contracts by gamma^I, then one Gaussian.
    gamma, steps, distance, nu = 0.9, 12, 3.0, 0.4
    noise = np.zeros(steps)
    noise[-1] = nu
    result = optimal_shifts(contraction=gamma, sensitivity=0.0, noise_std=noise, start_distance=distance)
    assert result.mu == pytest.approx(distance * gamma**steps / nu, rel=1e-13)


def test_expanding_maps_need_and_use_the_diameter() -> None:
    free = optimal_shifts(contraction=1.5, sensitivity=np.full(30, 1.0), noise_std=1.0)
    capped = optimal_shifts(contraction=1.5, sensitivity=np.full(30, 1.0), noise_std=1.0, diameter=2.0)
    assert capped.mu < free.mu
    assert capped.mu == pytest.approx(
        float(
            oracle.taut_string_with_diameter(
                contraction=[1.5] * 30, sensitivity=[1] * 30, variance=[1] * 30, start_distance=0, diameter=2
            )
        ),
        rel=1e-12,
    )


def test_long_schedules_lose_nothing() -> None:
    steps = 200_000
    result = optimal_shifts(contraction=1 - 1e-6, sensitivity=np.full(steps, 1e-3), noise_std=2.0)
    with mp.workdps(40):
        c = mp.mpf(1 - 1e-6)
        rise = mp.mpf(1e-3) * (1 - c**steps) / (1 - c)
        exact = rise / (2 * mp.sqrt((1 - c ** (2 * steps)) / (1 - c * c)))
    assert result.mu == pytest.approx(float(exact), rel=1e-12)
    assert result.tightness == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "exact"),
    [
        ({"contraction": [10.0] * 110, "sensitivity": [0.0] * 109 + [1.0]}, 1.0),
        ({"contraction": [2.0] * 400, "sensitivity": [0.0] * 399 + [1.0]}, 1.0),
        ({"contraction": [2.0] * 4000, "sensitivity": [1.0] * 4000, "diameter": 3.0}, math.sqrt(45)),
        ({"contraction": [1.0, 1.0], "sensitivity": 0.0, "start_distance": 1e300, "diameter": 1.0}, math.sqrt(0.5)),
        ({"contraction": [1.0, 0.0], "sensitivity": [1e300, 1e-10]}, 1e-10),
        ({"contraction": [0.01] * 100, "sensitivity": [1.0] + [0.0] * 99}, 1e-198 * math.sqrt(0.9999)),
    ],
)
def test_weights_that_leave_the_double_range(schedule: dict[str, Any], exact: float) -> None:
    result = optimal_shifts(noise_std=1.0, **schedule)
    assert result.mu == pytest.approx(exact, rel=1e-11)
    assert result.mu >= exact * (1 - 1e-15)


def test_a_long_expanding_schedule_is_as_good_as_a_short_one() -> None:
    """Only the end matters: the distance is back at the diameter all the time."""
    common = {"contraction": 1.1, "noise_std": 1.0, "diameter": 1.0}
    short, long = (optimal_shifts(sensitivity=np.full(n, 0.01), **common).mu for n in (4000, 8000))
    assert long == pytest.approx(short, rel=1e-12)
    exact = oracle.taut_string_with_diameter(
        contraction=[1.1] * 60, sensitivity=[0.01] * 60, variance=[1] * 60, start_distance=1, diameter=1
    )
    assert long == pytest.approx(float(exact), rel=1e-4)
    started = optimal_shifts(sensitivity=np.full(60, 0.01), start_distance=1.0, **common).mu
    assert started == pytest.approx(float(exact), rel=1e-12)


def test_many_restarts_over_many_pieces_stay_quick_and_right() -> None:
    """Every step is a piece of its own and every step may start: the whole search bisects."""
    for steps in (60, 30_000):
        h = np.linspace(0.01, 0.02, steps)
        result = optimal_shifts(contraction=1.0, sensitivity=h, noise_std=1.0, start_distance=1.0, diameter=1.0)
        check_witness(1.0, h, 1.0, result, 1.0, 1.0)
        if steps == 60:
            exact = oracle.taut_string_with_diameter(
                contraction=[1] * 60, sensitivity=h.tolist(), variance=[1] * 60, start_distance=1, diameter=1
            )
            assert result.mu == pytest.approx(float(exact), rel=1e-12)


def test_a_last_step_without_noise_gets_no_shift() -> None:
    noise = np.array([1.6, 1.9, 0.9, 0.0])
    result = optimal_shifts(contraction=[0.7, 0.1, 1.01, 0.4], sensitivity=[0.2, 0.0, 2.9, 0.0], noise_std=noise)
    assert result.shifts[-1] == 0
    check_witness([0.7, 0.1, 1.01, 0.4], [0.2, 0.0, 2.9, 0.0], noise, result, 0.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_extreme_scales(scale: float) -> None:
    result = optimal_shifts(contraction=0.9, sensitivity=np.full(5, scale), noise_std=scale)
    plain = optimal_shifts(contraction=0.9, sensitivity=np.full(5, 1.0), noise_std=1.0)
    assert result.mu == pytest.approx(plain.mu, rel=1e-12)
    assert np.all(np.isfinite(result.shifts))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"noise_std": [1.0, 0.0]}, UnreachableError, "no shifts exist"),
        ({"noise_std": 0.0}, UnreachableError, "no shifts exist"),
        ({"contraction": -0.1}, InputError, "contraction must be"),
        ({"sensitivity": [math.nan, 1.0]}, InputError, "sensitivity must be"),
        ({"sensitivity": [1.0, 1.0, 1.0], "noise_std": [1.0, 1.0]}, InputError, "must match"),
        ({"sensitivity": 1.0}, InputError, "one-dimensional"),
        ({"diameter": 0.0}, InputError, "diameter must be"),
        ({"start_distance": math.inf}, InputError, "start_distance must be"),
    ],
)
def test_bad_schedules_are_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    arguments: dict[str, Any] = {"contraction": 0.9, "sensitivity": [1.0, 1.0], "noise_std": 1.0} | change
    with pytest.raises(error, match=words):
        optimal_shifts(**arguments)


def test_steps_without_noise_difference_or_contraction() -> None:
    """Zeros anywhere: nothing is proved where a difference has no noise after it, unless it is contracted to a point."""
    rng = np.random.default_rng(41)
    unreachable = 0
    for _ in range(400):
        n = int(rng.integers(1, 14))
        mixed = rng.random() < 0.5
        c = rng.choice([0.0, 0.3, 0.9, 1.0, 1e-200, 0.999], n) if mixed else np.full(n, rng.choice([0.0, 0.5, 1.0]))
        h = rng.random(n) * (rng.random(n) < rng.choice([0.2, 0.6, 1.0]))
        nu = rng.random(n) * (rng.random(n) < rng.choice([0.3, 0.7, 1.0]))
        diameter = float(rng.choice([np.inf, np.inf, 0.5, 2.0]))
        start = min(float(rng.choice([0.0, 0.0, 1.0])), diameter)
        schedule = {"contraction": c.tolist(), "sensitivity": h.tolist(), "variance": [oracle.mp.mpf(x) ** 2 for x in nu]}
        if math.isinf(diameter):
            true = float(oracle.taut_string(**schedule, start_distance=start))
        else:
            true = float(oracle.taut_string_with_diameter(**schedule, start_distance=start, diameter=diameter))
        try:
            found = optimal_shifts(contraction=c, sensitivity=h, noise_std=nu, start_distance=start, diameter=diameter)
        except UnreachableError:
            unreachable += 1
            assert true == math.inf
            continue
        assert true <= found.mu <= true * (1 + 1e-10) + 1e-280
        assert found.distances.min() >= 0
        assert found.distances[-1] == 0
        assert found.shifts.min() >= 0
    assert unreachable > 50
