"""Noisy steps that both runs share: the values of the theory, brute force over shifts, exact laws of one-dimensional runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from oracle_steps import Walk, chain, hockey, least_string, random_clipped, random_convex, random_smooth

from accountant import (
    ConvexHoelder,
    ConvexNonsmooth,
    FineTuning,
    HoelderNonconvex,
    InputError,
    SmoothNonconvex,
    UnlearningAccountant,
    UnlearningStream,
    UnreachableError,
)
from accountant.questions import enclose
from accountant.shifts import (
    Clipped,
    Hoelder,
    Least,
    Modulus,
    Nonsmooth,
    Smooth,
    best_clipped_mu,
    best_mu,
    best_shifts,
    best_stop,
    clipped_mu,
    shot,
    smooth_mu,
    tangents,
)


def mu_of(modulus: Modulus, start: float, steps: int) -> float:
    return float(best_mu(modulus, start, np.array([float(steps)]))[0])


def test_clipped_gradients() -> None:
    decayed = Clipped(0.995, 0.2, 0.005)
    assert f"{best_stop(decayed, 20.0):.4f}" == "138.2826"
    at = clipped_mu(decayed, 20.0, np.array([50.0, 138.0, 1000.0, best_stop(decayed, 20.0)]))
    assert [f"{x:.13f}" for x in at] == ["3.8866189450804", "3.4597703245022", "3.9817937277886", "3.4597687784012"]
    assert mu_of(decayed, 20.0, 1000) == pytest.approx(3.4597703245022, abs=2e-13)
    # sqrt(z0 (2A - z0) (1 - rho^2)), A = 40.
    assert at[3] == pytest.approx(math.sqrt(20 * 60 * (1 - 0.995**2)), rel=1e-14)
    assert mu_of(Clipped(1.0, 0.2), 20.0, 100) == pytest.approx(4.0, rel=1e-15)
    assert mu_of(decayed, 60.0, 10**9) == pytest.approx(3.9949968710876, abs=1e-13)


def test_convex_losses_without_smoothness() -> None:
    modulus = Nonsmooth(1.0, 0.02)
    values = {10: 0.6333810759, 100: 0.2051217955, 1000: 0.0836312642, 10000: 0.0656889824}
    for steps, value in values.items():
        assert shot(modulus, 2.0, steps)[0] == pytest.approx(value, abs=6e-11)
        assert mu_of(modulus, 2.0, steps) <= value + 6e-11
    together = best_mu(modulus, 2.0, np.arange(1.0, 1001.0))
    assert np.all(np.diff(together) <= 0)
    assert together[[9, 99, 999]] == pytest.approx([values[n] for n in (10, 100, 1000)], abs=6e-11)


def test_smooth_losses_without_convexity() -> None:
    found = smooth_mu(Smooth(1.01, 0.01), 2.0, np.array([10.0, 100.0, 1e12]))
    assert [f"{x:.8f}" for x in found] == ["0.66748718", "0.30517133", "0.28354894"]


def random_modulus(rng: np.random.Generator) -> Modulus:
    rho, gap, growth = float(rng.uniform(0.3, 1)), float(rng.uniform(0.01, 1)), float(rng.uniform(0.01, 0.5))
    return [
        Clipped(rho, gap),
        Nonsmooth(rho, gap),
        Smooth(1 + growth),
        Least((Smooth(rho + growth), Clipped(rho, gap))),
        Hoelder(gap, float(rng.uniform(0.2, 0.9))),
    ][int(rng.integers(5))]


def check_least(seed: int, count: int) -> None:
    """No shifts on a fine grid of distances do better than what is found, and what is found is a sequence that proves it."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        modulus, start, steps = random_modulus(rng), float(rng.uniform(0.05, 3)), int(rng.integers(1, 7))
        mu = mu_of(modulus, start, steps)
        shifts = best_shifts(modulus, start, steps)[1]
        z = start
        for a in shifts:
            z = modulus.after(z) - a
            assert z >= -1e-12 * start
        assert abs(z) <= 1e-12 * start
        assert math.sqrt(sum(a * a for a in shifts)) <= mu * (1 + 1e-6)
        if steps < 4:
            grid = least_string(modulus.after, start, steps)
            # A grid of distances is above the truth by its width.
            assert mu <= grid * (1 + 1e-6)
            assert grid <= mu * 1.02 + 0.01 or isinstance(modulus, Hoelder)


def test_the_least_over_all_shifts() -> None:
    check_least(1, 60)


def test_shooting_finds_the_closed_forms() -> None:
    for steps in (1, 2, 7, 100):
        assert shot(Clipped(0.98, 0.01), 3.0, steps)[0] == pytest.approx(
            float(clipped_mu(Clipped(0.98, 0.01), 3.0, np.array(float(steps)))), rel=1e-11
        )
        assert tangents(Smooth(1.05), 3.0, steps)[0] == pytest.approx(
            float(smooth_mu(Smooth(1.05), 3.0, np.array(steps))), rel=1e-12
        )


def test_the_smaller_of_two_moduli_is_no_worse_than_either_and_than_tangents() -> None:
    smooth, clipped = Smooth(1.01, 0.01), Clipped(1.0, 0.005)
    for steps in (1, 5, 20, 100, 400, 10**6):
        found = mu_of(Least((smooth, clipped)), 2.0, steps)
        assert found <= min(mu_of(smooth, 2.0, steps), mu_of(clipped, 2.0, steps))
        if steps <= 400:
            assert found <= tangents(Least((smooth, clipped)), 2.0, steps)[0] * (1 + 1e-9)


def test_edges_of_the_moduli() -> None:
    # Decay that leaves nothing: one step forgets the start, and every step moves the models apart anew.
    assert mu_of(Clipped(0.0, 0.3, 1.0), 5.0, 7) == 0.3
    assert mu_of(Nonsmooth(0.0, 0.3), 5.0, 7) == 0.3
    assert mu_of(Clipped(0.0, 0.0, 1.0), 5.0, 7) == 0
    # A start nearer than what a step moves: one step is best.
    assert mu_of(Clipped(1.0, 0.3), 0.1, 50) == pytest.approx(0.4, rel=1e-15)
    assert mu_of(Clipped(0.9, 0.0), 1.0, 10**9) < 1e-150
    # Decay too small for 1 - rho to show.
    tiny = Clipped(1 - 1e-18, 1e-3, 1e-18)
    assert mu_of(tiny, 2.0, 500) == pytest.approx(mu_of(Clipped(1.0, 1e-3), 2.0, 500), rel=1e-12)


def test_a_million_steps_without_a_closed_form() -> None:
    assert mu_of(Nonsmooth(1.0, 0.0002), 2.0, 10**6) == pytest.approx(0.002139, rel=1e-3)


def check_strings(seed: int, count: int) -> None:
    """Exact laws of unprojected steps on a grid are below the string, whatever the map of the modulus; best stops included."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        sigma, steps = float(rng.uniform(0.3, 1.0)), int(rng.integers(1, 9))
        rho, gap, kind = float(rng.choice([1.0, rng.uniform(0.4, 1)])), float(rng.uniform(0, 0.6)), int(rng.integers(3))
        start = float(rng.uniform(0, 2))
        walk = Walk(
            start / 2 + (gap * steps + 7 * sigma * math.sqrt(steps)) * (1 + gap) ** (steps if kind == 2 else 0), cells=401
        )
        if kind == 0:
            step, modulus = random_clipped(rng, rho, gap), Clipped(rho, gap + rho * walk.width)
        elif kind == 1:
            step, modulus = random_convex(rng, rho, gap), Nonsmooth(rho, gap)
        else:
            step, modulus = random_smooth(rng, 1 + gap), Clipped(1 + gap, (1 + gap) * walk.width)
        p, q = walk.start(start / 2), walk.start(-start / 2)
        apart = abs(float(walk.grid @ p) - float(walk.grid @ q))
        kernel = walk.noise(sigma, step(walk.grid))
        for _ in range(steps):
            p, q = p @ kernel, q @ kernel
        if kind == 1:
            # Widened by the grid inside.
            mu = math.inf
            for n in range(1, steps + 1):
                z, total = apart, 0.0
                wanted = shot(modulus, apart, n)[1] if apart else []
                for k in range(n):
                    z = modulus.after(z + (walk.width if k else 0.0))
                    a = z if k == n - 1 else min(wanted[k] if k < len(wanted) else z, z)
                    z, total = z - a, total + a * a
                mu = min(mu, math.sqrt(total) / sigma)
        elif kind == 2:
            mu = min(tangents(modulus, apart, n)[0] for n in range(1, steps + 1)) / sigma if apart else math.inf
        else:
            mu = mu_of(modulus, apart, steps) / sigma if apart else math.inf
        for epsilon in (0.0, 0.2, 1.0, 3.0):
            bound = float(chain(epsilon, [mu])) if 0 < mu < 60 else 1.0
            assert hockey(p, q, epsilon) <= bound + 1e-10, (kind, rho, gap, start, steps, sigma)


def test_exact_laws_are_below_the_string() -> None:
    check_strings(2, 60)


@pytest.mark.slow
def test_many_exact_laws_are_below_the_string() -> None:
    check_strings(3, 2000)
    check_least(4, 1000)


def test_smooth_steps_attain_the_string() -> None:
    """f(x) = -L x^2/2 makes Gaussians of them: no valid accountant reports less."""
    accountant = UnlearningAccountant(SmoothNonconvex(step_size=0.1, smoothness=1.0, start_clip=1.0))
    outcome = accountant.run(sigma=0.7, steps=5)
    mean, variance = 2 * 1.1**5, 0.49 * sum(1.21**k for k in range(5))
    assert outcome.mu == pytest.approx(mean / math.sqrt(variance), rel=1e-11)
    assert outcome.tightness == 1
    assert (
        UnlearningAccountant(FineTuning(step_size=0.1, gradient_clip=1.0, start_clip=1.0)).run(sigma=1.0, steps=9).tightness
        is None
    )


CLIPPED = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0)
PROJECTED = FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0, model_clip=1.0)


def test_sigma_of_fine_tuning() -> None:
    accountant = UnlearningAccountant(CLIPPED)
    assert f"{accountant.sigma(epsilon=1.0, delta=1e-5, steps=100):.9f}" == "1.492252654"
    assert f"{accountant.sigma(epsilon=0.1, delta=1e-5, steps=100):.8f}" == "12.29982645"
    projected = UnlearningAccountant(PROJECTED)
    assert projected.sigma(epsilon=1.0, delta=1e-5, steps=100) <= 0.260463
    assert projected.sigma(epsilon=1.0, delta=1e-5, steps=1000) <= 0.122794


def test_blocks_against_the_second_hand() -> None:
    """sigma is put back into the formula as it stands, over the very blocks."""
    outcome = UnlearningAccountant(PROJECTED).ask("sigma", epsilon=1.0, delta=1e-5, steps=100)
    mus = [min((2 + 0.02 * n) / math.sqrt(n) for n in range(1, m + 1)) / float(outcome.answer) for m in outcome.split]
    assert sum(outcome.split) == 100
    assert float(chain(1.0, mus)) == pytest.approx(1e-5, rel=1e-9)
    assert outcome.mu is None
    # By one-step coefficients, 2 R + 2 gamma C where the clip comes after the noise.
    for steps, sigma in ((100, 0.423987), (1000, 0.320089)):
        assert float(chain(1.0, [2.02 / sigma] * steps)) == pytest.approx(1e-5, rel=3e-3)


def test_model_clipping_as_published() -> None:
    """Clipped before the noise of each step, gradients not at all: a step is a block."""
    accountant = UnlearningAccountant(FineTuning(step_size=0.01, model_clip=1.0, clip_first=True))
    outcome = accountant.ask("sigma", epsilon=1.0, delta=1e-5, steps=100)
    assert outcome.sigma == pytest.approx(0.423987 / 1.01, abs=6e-7)
    assert set(outcome.split) == {1}
    assert len(outcome.split) == 100
    assert accountant.sigma(epsilon=1.0, delta=1e-5, steps=1000) == pytest.approx(0.320089 / 1.01, abs=6e-7)
    clipped = UnlearningAccountant(FineTuning(step_size=0.01, model_clip=1.0, clip_first=True, gradient_clip=1.0))
    assert clipped.sigma(epsilon=1.0, delta=1e-5, steps=100) < 0.27


@pytest.mark.parametrize("algorithm", [
    CLIPPED, PROJECTED, FineTuning(step_size=0.01, model_clip=1.0, clip_first=True),
    ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0, model_clip=1.5),
    SmoothNonconvex(step_size=0.01, smoothness=1.0, model_clip=1.0, gradient_clip=0.5),
    ConvexHoelder(step_size=0.5, hoelder_constant=1.0, hoelder_exponent=0.5, start_clip=1.0, weight_decay=0.1),
    HoelderNonconvex(step_size=0.01, hoelder_constant=1.0, hoelder_exponent=0.5, start_clip=1.0),
    HoelderNonconvex(step_size=0.01, hoelder_constant=1.0, hoelder_exponent=0.5, model_clip=1.0),
])  # fmt: skip
def test_answers_put_back(algorithm: FineTuning) -> None:
    accountant = UnlearningAccountant(algorithm)
    for epsilon in (0.05, 1.0, 8.0):
        sigma = accountant.sigma(epsilon=epsilon, delta=1e-6, steps=60)
        back = accountant.epsilon(sigma=sigma, delta=1e-6, steps=60)
        assert epsilon * (1 - 1e-6) <= back <= epsilon
        assert accountant.delta(sigma=sigma, epsilon=epsilon, steps=60) == pytest.approx(1e-6, rel=1e-5)
        steps = accountant.steps(sigma=sigma * 1.001, epsilon=epsilon, delta=1e-6)
        assert 1 <= steps <= 60
        assert accountant.epsilon(sigma=sigma * 1.001, delta=1e-6, steps=steps) <= epsilon
        assert steps == 1 or accountant.epsilon(sigma=sigma * 1.001, delta=1e-6, steps=steps - 1) > epsilon


def test_more_steps_never_prove_less() -> None:
    for algorithm in (CLIPPED, PROJECTED, ConvexNonsmooth(step_size=0.05, lipschitz=1.0, start_clip=1.0, model_clip=1.0)):
        found = np.asarray(UnlearningAccountant(algorithm).epsilon(sigma=0.4, delta=1e-5, steps=np.arange(1, 200)))
        assert np.all(found[1:] <= found[:-1] * (1 + 1e-4))


def test_arrays_are_their_rows() -> None:
    accountant = UnlearningAccountant(PROJECTED)
    sigma, steps = np.array([0.2, 0.3, 0.5]), np.array([[50], [120]])
    together = accountant.epsilon(sigma=sigma, delta=1e-5, steps=steps)
    for row in range(2):
        for column in range(3):
            alone = accountant.epsilon(sigma=float(sigma[column]), delta=1e-5, steps=int(steps[row, 0]))
            assert together[row, column] == pytest.approx(alone, rel=1e-9)


def test_refusals() -> None:
    with pytest.raises(InputError, match="start_clip must be given"):
        UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0)).sigma(epsilon=1.0, delta=1e-5, steps=10)
    with pytest.raises(UnreachableError, match="epsilon stays at"):
        UnlearningAccountant(CLIPPED).steps(sigma=0.5, epsilon=1.0, delta=1e-5)
    given = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0))
    assert given.sigma(epsilon=1.0, delta=1e-5, steps=100, start_distance=2.0) == pytest.approx(1.492252654, abs=1e-9)


def test_many_questions_are_each_answered_as_if_alone() -> None:
    accountant = UnlearningAccountant(CLIPPED)
    epsilon, steps = np.geomspace(0.1, 10, 100), np.arange(10, 10010, 10)
    found = np.asarray(accountant.sigma(epsilon=epsilon, delta=1e-5, steps=steps[:, None]))
    assert found.shape == (1000, 100)
    for i, k in ((0, 0), (0, 99), (999, 0), (999, 99), (437, 51)):
        alone = accountant.sigma(epsilon=float(epsilon[k]), delta=1e-5, steps=int(steps[i]))
        assert found[i, k] == pytest.approx(alone, rel=1e-12)
    projected, epsilon = UnlearningAccountant(PROJECTED), np.geomspace(0.1, 10, 10_000)
    found = np.asarray(projected.sigma(epsilon=epsilon, delta=1e-5, steps=100))
    for k in (0, 5000, 9999):
        assert found[k] == pytest.approx(projected.sigma(epsilon=float(epsilon[k]), delta=1e-5, steps=100), rel=1e-9)


def test_the_least_of_clipped_steps_is_that_of_all_numbers_of_them() -> None:
    for modulus, start in ((Clipped(0.97, 0.1), 2.0), (Clipped(1.0, 0.3), 2.0), (Clipped(0.9, 0.3), 5.0)):
        each = clipped_mu(modulus, start, np.arange(1.0, 200.0))
        assert best_clipped_mu(modulus, start, np.arange(1.0, 200.0)) == pytest.approx(np.minimum.accumulate(each), rel=1e-13)


@pytest.mark.parametrize("algorithm", [
    CLIPPED, PROJECTED, replace(CLIPPED, weight_decay=1.5), FineTuning(step_size=0.01, model_clip=1.0, clip_first=True),
    FineTuning(step_size=0.05, model_clip=1.0, clip_first=True, gradient_clip=0.5, weight_decay=0.1),
    SmoothNonconvex(step_size=0.01, smoothness=1.0, model_clip=1.0, gradient_clip=0.5),
    SmoothNonconvex(step_size=0.1, smoothness=2.0, start_clip=1.0),
])  # fmt: skip
@pytest.mark.parametrize("arithmetic", ["mp", "interval"])
def test_many_digits(algorithm: FineTuning, arithmetic: str) -> None:
    if arithmetic == "interval":
        pytest.importorskip("flint")
    accountant = UnlearningAccountant(algorithm)
    for unknown, given in (("sigma", {"epsilon": 1.0, "delta": 1e-5}), ("epsilon", {"sigma": 0.9, "delta": 1e-5}),
                           ("delta", {"sigma": 0.9, "epsilon": 1.5})):  # fmt: skip
        double = float(accountant.answer(unknown, **given, steps=12))
        if double < 1e-300:
            continue
        found = enclose(accountant, unknown, **given, steps=12, digits=30, arithmetic=arithmetic)
        assert double == pytest.approx(float(found.lower), rel=1e-9)
        # Doubles are on the safe side.
        assert double >= float(found.lower) * (1 - 1e-15)


def test_many_digits_of_the_reference() -> None:
    pytest.importorskip("flint")
    found = enclose(UnlearningAccountant(CLIPPED), "sigma", epsilon=1.0, delta=1e-5, steps=100, digits=20)
    # 4/sqrt(100) is 0.4 = sigma times the largest mu for one block.
    assert float(found.lower) == pytest.approx(0.4 / 0.26805112321129, rel=1e-13)
    nonsmooth = UnlearningAccountant(ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0))
    with pytest.raises(InputError, match="no closed form"):
        enclose(nonsmooth, "sigma", epsilon=1.0, delta=1e-5, steps=10)


@pytest.mark.parametrize(("unknown", "algorithm"), [
    ("gradient_clip", CLIPPED), ("start_clip", CLIPPED), ("model_clip", PROJECTED), ("step_size", PROJECTED),
    ("step_size", replace(CLIPPED, weight_decay=2.0)), ("weight_decay", CLIPPED),
])  # fmt: skip
def test_the_argument_that_is_not_known(unknown: str, algorithm: FineTuning) -> None:
    accountant = UnlearningAccountant(algorithm)
    epsilon = 1.2 * float(accountant.epsilon(sigma=0.8, delta=1e-5, steps=40)) if unknown != "weight_decay" else 1.5
    value = accountant.solve(unknown, sigma=0.8, epsilon=epsilon, delta=1e-5, steps=40)
    beyond = value * (1 - 1e-7 if unknown == "weight_decay" else 1 + 1e-7)
    at, past = (accountant.with_(**{unknown: x}).epsilon(sigma=0.8, delta=1e-5, steps=40) for x in (value, beyond))
    assert at <= epsilon < past


def test_an_argument_without_an_answer() -> None:
    accountant = UnlearningAccountant(PROJECTED)
    with pytest.raises(UnreachableError, match="every one meets"):
        accountant.solve("start_clip", sigma=5.0, epsilon=1.0, delta=1e-5, steps=100)
    with pytest.raises(UnreachableError, match="however small"):
        accountant.solve("gradient_clip", sigma=0.01, epsilon=0.1, delta=1e-9, steps=2)
    nonsmooth = UnlearningAccountant(ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0))
    with pytest.raises(InputError, match="is no argument of"):
        nonsmooth.solve("gradient_clip", sigma=1.0, epsilon=1.0, delta=1e-5, steps=10)


def test_a_stream_needs_no_accountant_of_its_own() -> None:
    with pytest.raises(InputError, match="requests do not pile up"):
        UnlearningStream(UnlearningAccountant(CLIPPED), sigma=1.0, epsilon=1.0)


def test_models_that_only_the_ball_bounds_are_clipped_to_it_before_the_first_step() -> None:
    """The start distance is at most the diameter of the ball, in which both models must be then."""
    said = "both models are clipped to norm 1 before the first step, too"
    for clips, wanted in (
        ({"model_clip": 1.0}, True),
        ({"model_clip": 1.0, "start_clip": 2.0}, True),
        ({"model_clip": 1.0, "start_clip": 0.5}, False),
    ):
        algorithm = FineTuning(step_size=0.01, gradient_clip=1.0, **clips)
        assert (said in UnlearningAccountant(algorithm).assumptions()) is wanted
    # A distance that is declared is cut at the diameter, too: without that clip one step from 100 apart would tell all.
    smooth = UnlearningAccountant(SmoothNonconvex(step_size=0.1, smoothness=1.0, model_clip=1.0))
    for distance, wanted in ((100.0, True), (2.0, False), (0.5, False)):
        outcome = smooth.run(sigma=1.0, steps=1, start_distance=distance)
        assert outcome.witness.shifts[0] == pytest.approx(1.1 * min(distance, 2.0))
        assert (said in outcome.assumptions) is wanted
    # Clipped before the noise of the first step, whatever they were.
    first = FineTuning(step_size=0.01, model_clip=1.0, start_clip=30.0, clip_first=True)
    assert said not in UnlearningAccountant(first).assumptions()


def test_smooth_steps_at_the_ends_of_their_range() -> None:
    """Decay that takes all of the model, and a smoothness beyond all use: an answer, or a clear refusal."""
    shrunk = SmoothNonconvex(step_size=1.0, weight_decay=1.0, smoothness=1e-20, start_clip=1.0)
    steep = SmoothNonconvex(step_size=1.0, smoothness=1e300, start_clip=1.0)
    assert UnlearningAccountant(shrunk).sigma(epsilon=1.0, delta=1e-5, steps=3) > 0
    with pytest.raises(UnreachableError):
        UnlearningAccountant(steep).sigma(epsilon=1.0, delta=1e-5, steps=3)


def test_no_noise_is_enough_where_a_step_moves_models_beyond_every_number() -> None:
    """2 gamma G is infinite in doubles: a question about a column of problems has a row without an answer, and goes on."""
    kinks = UnlearningAccountant(ConvexNonsmooth(step_size=1e200, lipschitz=1e200, start_clip=1.0, model_clip=1.0))
    with pytest.raises(UnreachableError, match=r"no sigma up to 1e\+300 is enough"):
        kinks.sigma(epsilon=1.0, delta=1e-5, steps=3)
    assert kinks.ask("sigma", epsilon=1.0, delta=1e-5, steps=[3, 5]).refusals.keys() == {0, 1}
