"""Common steps along Hoelder gradients: the modulus of a step, its strings against brute force, exact laws, losses, audits."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from oracle_hoelder import TooWideError, random_power
from oracle_steps import Walk, hockey, least_string
from scipy.optimize import minimize_scalar

from accountant import ConvexHoelder, ConvexNonsmooth, FineTuning, HoelderNonconvex, InputError, UnlearningAccountant
from accountant.numerics import UnreachableError
from accountant.problem import SmoothNonconvex, derive
from accountant.questions import StepAccountant, enclose
from accountant.shifts import Hoelder, Least, Modulus, best_mu, best_shifts, convex_gap, hoelder_modulus
from accountant.trainer import (
    AbsoluteError,
    Hinge,
    Perceptron,
    PowerError,
    PowerHinge,
    Repulsive,
    StepLoss,
    audit_steps,
    fine_tune,
    hoelder_instance,
)

STEPS: dict[str, Any] = {"step_size": 0.5, "start_clip": 1.0}


def mu_of(modulus: Modulus, start: float, steps: int) -> float:
    return float(best_mu(modulus, start, np.array([float(steps)]))[0])


# --- one step


@pytest.mark.parametrize("rho", [1.0, 0.4])
@pytest.mark.parametrize("kappa", [0.0, 0.1, 0.5, 0.9])
def test_the_gap_of_convex_steps_is_the_most_that_cocoercivity_leaves(rho: float, kappa: float) -> None:
    # ||rho d - gamma u||^2 <= rho^2 d^2 + gamma^2 u^2 - 2 rho gamma c u^(1 + 1/kappa) L^(-1/kappa), c = 2 kappa/(1 + kappa).
    gamma, constant = 0.7, 1.3

    def left(log_u: float) -> float:
        u = math.exp(log_u)
        pulled = 0.0 if kappa == 0 else 4 * kappa / (1 + kappa) * rho * gamma * u ** (1 + 1 / kappa) * constant ** (-1 / kappa)
        return -(gamma**2 * u**2 - pulled)

    top = math.log(constant) if kappa == 0 else 5.0
    found = minimize_scalar(left, bounds=(-40.0, top), method="bounded", options={"xatol": 1e-12})
    gap = convex_gap(step_size=gamma, rho=rho, constant=constant, exponent=kappa)
    assert gap == pytest.approx(math.sqrt(-found.fun), rel=1e-5)


def test_exponent_zero_is_a_bound_on_how_much_subgradients_differ_and_near_one_convex_steps_contract() -> None:
    lipschitz = UnlearningAccountant(ConvexNonsmooth(step_size=0.01, lipschitz=1.0, start_clip=1.0))
    differing = UnlearningAccountant(ConvexHoelder(step_size=0.01, hoelder_constant=2.0, hoelder_exponent=0.0, start_clip=1.0))
    target = {"epsilon": 1.0, "delta": 1e-5, "steps": 1000}
    assert differing.sigma(**target) == pytest.approx(lipschitz.sigma(**target), rel=1e-12)
    clipped = UnlearningAccountant(FineTuning(step_size=0.01, gradient_clip=1.0, start_clip=1.0))
    any_loss = HoelderNonconvex(step_size=0.01, hoelder_constant=2.0, hoelder_exponent=0.0, start_clip=1.0)
    assert UnlearningAccountant(any_loss).sigma(**target) == pytest.approx(clipped.sigma(**target), rel=1e-12)
    # gamma L < 2: smooth convex steps do not stretch, and the chord is 2/sqrt(N).
    smooth = ConvexHoelder(step_size=0.5, hoelder_constant=1.0, hoelder_exponent=0.99, start_clip=1.0)
    mu = StepAccountant(smooth).guarantee(sigma=1.0, steps=400).values[0]
    assert mu == pytest.approx(2 / math.sqrt(400), rel=1e-6)
    steep = HoelderNonconvex(step_size=0.01, hoelder_constant=1.0, hoelder_exponent=1 - 1e-9, start_clip=1.0)
    any_smooth = UnlearningAccountant(SmoothNonconvex(step_size=0.01, smoothness=1.0, start_clip=1.0))
    short = target | {"steps": 50}
    assert UnlearningAccountant(steep).sigma(**short) == pytest.approx(any_smooth.sigma(**short), rel=1e-6)


def convex_steps(rng: np.random.Generator, *, dimension: int, kappa: float) -> tuple[Any, float]:
    """The gradient of sum_i c_i |<a_i, x> - b_i|^(1 + kappa)/(1 + kappa) in several dimensions, and its Hoelder constant."""
    a, b = rng.normal(size=(3, dimension)), rng.normal(size=3) * 0.3
    c = rng.uniform(0.1, 1, size=3)

    def gradient(x: np.ndarray) -> np.ndarray:
        s = a @ x - b
        return (c * np.sign(s) * np.abs(s) ** kappa) @ a

    return gradient, float((c * np.linalg.norm(a, axis=1) ** (1 + kappa)).sum()) * 2 ** (1 - kappa)


def test_no_step_of_a_convex_loss_moves_models_further_apart() -> None:
    rng = np.random.default_rng(5)
    for _ in range(2000):
        dimension, kappa = int(rng.integers(1, 5)), 0.0 if rng.random() < 0.2 else float(rng.uniform(0.02, 0.98))
        gradient, constant = convex_steps(rng, dimension=dimension, kappa=kappa)
        gamma = float(10 ** rng.uniform(-1.5, 1))
        decay = float(rng.choice([0.0, rng.uniform(0, 1)])) / gamma
        modulus = hoelder_modulus(
            step_size=gamma, rho=1 - gamma * decay, lost=gamma * decay, constant=constant, exponent=kappa, convex=True
        )
        x = rng.normal(size=dimension)
        y = x + rng.normal(size=dimension) * 10 ** rng.uniform(-4, 1)
        moved = np.linalg.norm((1 - gamma * decay) * (x - y) - gamma * (gradient(x) - gradient(y)))
        assert moved <= modulus.after(float(np.linalg.norm(x - y))) * (1 + 1e-12)


@pytest.mark.parametrize(("kappa", "least"), [(0.05, 0.78), (0.5, 0.444), (0.95, 0.372)])
def test_how_much_of_the_gap_a_radial_loss_attains(kappa: float, least: float) -> None:
    # x -> x |x|^(kappa - 1) has the constant 2^(1 - kappa), between opposite points, which one step carries past each other.
    gap = convex_gap(step_size=1.0, rho=1.0, constant=2 ** (1 - kappa), exponent=kappa)
    ends = gap * 10 ** np.linspace(-3, 0.5, 20_001)
    attained = np.square(2 * ends - 2 * ends**kappa) - np.square(2 * ends)
    assert least * gap**2 <= attained.max() <= gap**2


# --- strings


def test_strings_against_brute_force_over_all_shifts() -> None:
    rng = np.random.default_rng(2)
    for _ in range(24):
        kappa, gap = float(rng.uniform(0.05, 0.95)), float(rng.uniform(0.02, 0.6))
        rho, start, steps = float(rng.choice([1.0, rng.uniform(0.4, 1)])), float(rng.uniform(0.3, 3)), int(rng.integers(1, 7))
        modulus = Hoelder(gap, kappa, rho)
        expected = least_string(modulus.after, start, steps)
        assert expected * (1 - 1e-3) <= mu_of(modulus, start, steps) <= expected * (1 + 1e-9)


@pytest.mark.parametrize("kappa", [0.1, 0.5, 0.9])
def test_many_small_steps_prove_what_the_limit_says(kappa: float) -> None:
    # Of small steps the cheapest have a = 2 gap z^kappa: mu^2 -> 4 gap z^(1 + kappa)/(1 + kappa).
    start, gap = 2.0, 1e-3
    limit = math.sqrt(4 * gap * start ** (1 + kappa) / (1 + kappa))
    assert mu_of(Hoelder(gap, kappa), start, 10**6) == pytest.approx(limit, rel=3e-3)


@pytest.mark.parametrize(
    "modulus",
    [
        Hoelder(0.01, 0.3),
        Hoelder(0.2, 0.8, 0.9),
        Hoelder(0.3, 0.5, 0.0),
        hoelder_modulus(step_size=0.9, rho=1.0, lost=0.0, constant=2.0, exponent=0.6, convex=True),
        hoelder_modulus(step_size=2.0, rho=0.8, lost=0.2, constant=2.0, exponent=0.2, convex=True),
    ],
    ids=str,
)
def test_more_steps_never_prove_less_and_the_witness_proves_what_is_said(modulus: Modulus) -> None:
    found = best_mu(modulus, 2.0, np.arange(1.0, 400.0))
    assert np.all(np.diff(found) <= 1e-4 * found[:-1])
    assert np.all(found <= np.minimum.accumulate(found) * (1 + 1e-4))
    for steps in (1, 2, 7, 60, 399):
        mu, shifts = best_shifts(modulus, 2.0, steps)
        assert mu == pytest.approx(found[steps - 1], rel=1e-9)
        assert math.sqrt(sum(a * a for a in shifts)) <= mu
        parts = modulus.moduli if isinstance(modulus, Least) else (modulus,)
        left = [2.0] * len(parts)
        for a in shifts:
            left = [each.after(z) - a for each, z in zip(parts, left, strict=True)]
        assert len(shifts) <= steps
        # By one of the moduli the runs have met.
        assert min(map(abs, left)) <= 1e-9


# --- exact laws


def attack(seed: int, count: int) -> dict[bool, float]:
    """Exact laws of one-dimensional runs stay below the claim; the most of it that they reach, by whether losses are convex."""
    rng, most = np.random.default_rng(seed), {True: 0.0, False: 0.0}
    for _ in range(count):
        convex = bool(rng.random() < 0.5)
        steps, start = int(rng.integers(1, 7)), float(10 ** rng.uniform(-1.5, 0.5))
        power, epsilon = random_power(rng, convex=convex), float(rng.uniform(0, 2))
        kind = ConvexHoelder if convex else HoelderNonconvex
        accountant = UnlearningAccountant(
            kind(
                step_size=power.step, weight_decay=power.decay, hoelder_constant=power.constant, hoelder_exponent=power.kappa,
                start_clip=start,
            )
        )  # fmt: skip
        sigma = float(accountant.sigma(epsilon=epsilon, delta=float(10 ** rng.uniform(-3, -0.5)), steps=steps))
        claim = float(accountant.delta(sigma=sigma, epsilon=epsilon, steps=steps))
        try:
            truth = power.divergence(start, -start, sigma, steps, epsilon)
        except TooWideError:
            continue
        # What the quadrature is off by.
        assert truth <= claim * (1 + 1e-5) + 1e-9, (power, start, steps, sigma, epsilon)
        most[convex] = max(most[convex], truth / claim)
    return most


def test_exact_laws_are_below_the_claim() -> None:
    attack(0, 50)


@pytest.mark.slow
def test_exact_laws_of_two_thousand_problems_are_below_the_claim() -> None:
    most = attack(7, 2000)
    assert most[True] > 0.5
    assert most[False] > 0.999


def projected(seed: int, count: int) -> None:
    """The same in a ball, where blocks contract: laws on a grid that ends at the ball's walls."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        convex, steps, radius = bool(rng.random() < 0.5), int(rng.choice([2, 4, 6])), float(rng.uniform(0.3, 3))
        power, epsilon = random_power(rng, convex=convex), float(rng.uniform(0, 2))
        given = {"step_size": power.step, "weight_decay": power.decay, "hoelder_constant": power.constant}
        kind = ConvexHoelder if convex else HoelderNonconvex
        algorithm = kind(**given, hoelder_exponent=power.kappa, model_clip=radius)
        accountant = UnlearningAccountant(algorithm)
        sigma = float(accountant.sigma(epsilon=epsilon, delta=float(10 ** rng.uniform(-2, -0.5)), steps=steps))
        claim = float(accountant.delta(sigma=sigma, epsilon=epsilon, steps=steps))
        walk = Walk(radius, cells=401)
        p, q = walk.start(radius), walk.start(-radius)
        kernel = walk.noise(sigma, power.after(walk.grid))
        for _ in range(steps):
            p, q = p @ kernel, q @ kernel
        # All models but the first and the last are rounded to the grid: two of them are up to a cell further apart, which a
        # step makes more by no more than its modulus does of a cell.
        wider = power.step * power.constant * walk.width**power.kappa if power.kappa else 0.0
        lost = (steps - 1) * (walk.width + wider) / (sigma * math.sqrt(2 * math.pi))
        assert hockey(p, q, epsilon) <= claim + (1 + math.exp(epsilon)) * lost + 1e-12, (power, radius, steps, sigma, epsilon)


def test_exact_laws_in_a_ball_are_below_the_claim() -> None:
    projected(0, 60)


@pytest.mark.slow
def test_exact_laws_of_two_thousand_balls_are_below_the_claim() -> None:
    projected(3, 2000)


@pytest.mark.parametrize("kappa", [0.0, 0.3, 0.8])
def test_one_step_without_convexity_is_attained(kappa: float) -> None:
    # Up to -|x|^(1 + kappa): opposite points are pushed apart as far as the constant allows.
    start, gamma = 0.7, 0.4
    algorithm = HoelderNonconvex(step_size=gamma, hoelder_constant=2 ** (1 - kappa), hoelder_exponent=kappa, start_clip=start)
    apart = 2 * (start + gamma * start**kappa)
    guarantee = StepAccountant(algorithm).guarantee(sigma=1.0, steps=1)
    assert guarantee.values[0] == pytest.approx(apart, rel=1e-11)
    assert guarantee.values[0] >= apart


# --- the accountant


@pytest.mark.parametrize("kind", [ConvexHoelder, HoelderNonconvex])
def test_extremes_are_right_or_refused(kind: type[ConvexHoelder | HoelderNonconvex]) -> None:
    sizes, exponents = (1e-300, 1e-12, 1.0, 1e300), (0.0, 0.5, 1 - 1e-12)
    for gamma, constant, kappa, start in itertools.product(sizes, sizes, exponents, sizes):
        for decay in (0.0, 1 / gamma):
            given = {"hoelder_constant": constant, "hoelder_exponent": kappa, "weight_decay": decay}
            accountant = UnlearningAccountant(kind(step_size=gamma, start_clip=start, **given))
            for steps in (1, 50):
                try:
                    sigma = accountant.sigma(epsilon=1.0, delta=1e-5, steps=steps)
                    assert accountant.epsilon(sigma=sigma, delta=1e-5, steps=steps) <= 1
                except (InputError, UnreachableError):
                    continue
                if steps == 1 and kind is HoelderNonconvex and decay == 0:
                    log_gap = math.log(gamma) + math.log(constant) + kappa * math.log(2 * start)
                    at_least = max(2 * start, math.exp(min(log_gap, 700))) / 0.26804
                    assert sigma >= at_least * (1 - 1e-3)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (ConvexHoelder, {"hoelder_constant": 0.0}, "hoelder_constant must be"),
        (ConvexHoelder, {"hoelder_exponent": -0.1}, "hoelder_exponent must be"),
        (ConvexHoelder, {"hoelder_exponent": 1.0}, "hoelder_exponent must be from 0 to less than 1, got 1"),
        (HoelderNonconvex, {"hoelder_exponent": 1.5}, "hoelder_exponent must be from 0 to less than 1, got 1.5"),
        (HoelderNonconvex, {"hoelder_constant": math.nan}, "hoelder_constant must be"),
        (HoelderNonconvex, {"weight_decay": 3.0}, "weight_decay must be at most 1/step_size"),
    ],
)
def test_what_is_no_algorithm_is_refused(kind: Any, changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kind(**STEPS | {"hoelder_constant": 1.0, "hoelder_exponent": 0.5} | changes)


def test_digits_and_certificates_are_for_strings_in_closed_form() -> None:
    accountant = UnlearningAccountant(ConvexHoelder(hoelder_constant=1.0, hoelder_exponent=0.5, **STEPS))
    with pytest.raises(InputError, match="convex-hoelder steps have no closed form"):
        enclose(accountant, "sigma", epsilon=1.0, delta=1e-5, steps=10)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("hinge", "the hinge has kinks; take algorithm convex-hoelder with hoelder_exponent 0 and hoelder_constant B"),
        ("absolute", "the absolute error has kinks"),
        ("lasso", "2 l1 sqrt"),
    ],
)
def test_a_loss_with_kinks_is_no_loss_of_noisy_sgd_on_batches(loss: str, said: str) -> None:
    with pytest.raises(InputError, match="loss must be smooth for noisy SGD on batches, got " + loss) as raised:
        derive(loss, l2=0.1, feature_bound=1.0)
    assert said in str(raised.value)


def test_the_noise_of_kinks_as_printed() -> None:
    target = {"epsilon": 1.0, "delta": 1e-5, "steps": 1000}
    common: dict[str, Any] = {"step_size": 0.01, "start_clip": 1.0}
    found = [
        UnlearningAccountant(ConvexHoelder(hoelder_constant=1.0, hoelder_exponent=0.5, **common)).sigma(**target),
        UnlearningAccountant(ConvexHoelder(hoelder_constant=1.0, hoelder_exponent=0.0, **common)).sigma(**target),
        UnlearningAccountant(ConvexNonsmooth(lipschitz=1.0, **common)).sigma(**target),
    ]
    assert [math.ceil(1e4 * sigma) for sigma in found] == [2360, 2571, 3120]


# --- the losses

LOSSES: dict[str, StepLoss] = {
    "hinge": Hinge(feature_bound=2.0),
    "hinge, l1": Hinge(feature_bound=2.0, l1=0.3),
    "absolute error, l1": AbsoluteError(feature_bound=2.0, l1=0.3),
    "power hinge 1.3": PowerHinge(feature_bound=2.0, power=1.3),
    "power hinge 2": PowerHinge(feature_bound=2.0, power=2.0),
    "power of errors 1.5": PowerError(feature_bound=2.0, power=1.5),
}


def random_batch(rng: np.random.Generator, *, rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(rows, features))
    x *= 2.0 * rng.uniform(0, 1, size=(rows, 1)) ** 0.25 / np.linalg.norm(x, axis=1, keepdims=True)
    return x, rng.choice([-1.0, 1.0], size=rows)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_lie_below_the_graph_and_are_its_slopes(name: str) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(11)
    for _ in range(300):
        x, y = random_batch(rng, rows=3, features=2)
        w, v = rng.normal(size=(2, 1, 2)) * 2
        if rng.random() < 0.3:
            # At a kink: the margin, the error or a weight is exactly there.
            w[0, 0] = 0.0
            w[0, 1] = y[0] / x[0, 1]
        g = loss.gradients(w, x, y)
        below = loss.values(w, x, y)[0] + float(g[0] @ (v - w)[0])
        assert loss.values(v, x, y)[0] >= below - 1e-9 * (1 + abs(below))
    h = 1e-6
    for _ in range(50):
        x, y = random_batch(rng, rows=3, features=2)
        w = rng.normal(size=(1, 2)) * 2
        ahead, behind = (np.array([loss.values(w + s * h * e[None], x, y)[0] for e in np.eye(2)]) for s in (1.0, -1.0))
        assert loss.gradients(w, x, y)[0] == pytest.approx((ahead - behind) / (2 * h), abs=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_constants_of_losses_hold_and_are_attained(name: str) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(12)
    exponents = {"hinge": (0.0,), "absolute error": (0.0,)}.get(
        loss.name, (loss.exponent,) if isinstance(loss, PowerError) else (0.0, 0.2, min(getattr(loss, "exponent", 0.0), 0.99))
    )
    for exponent in exponents:
        constant, most = loss.hoelder_constant(2, exponent), 0.0
        for _ in range(600):
            x, y = random_batch(rng, rows=int(rng.integers(1, 4)), features=2)
            w = rng.normal(size=(1, 2))
            v = w + rng.normal(size=(1, 2)) * 10 ** rng.uniform(-2, 1)
            if rng.random() < 0.5:
                # One row as long as may be, along which the two models lie on both sides of the kink.
                x, y = 2.0 * x[:1] / np.linalg.norm(x[0]), y[:1]
                across = x * float(10 ** rng.uniform(-3, 0.5))
                at = x * y / 4.0
                w, v = (at + across, at - across) if isinstance(loss, PowerError | AbsoluteError) else (at, at - across * y)
            g, other = loss.gradients(w, x, y), loss.gradients(v, x, y)
            apart = float(np.linalg.norm(w - v))
            ratio = float(np.linalg.norm(g - other)) / (apart**exponent * constant)
            assert ratio <= 1 + 1e-9
            most = max(most, ratio)
            if hasattr(loss, "lipschitz"):
                assert np.linalg.norm(g) <= loss.lipschitz(2) * (1 + 1e-12)
        assert most > (0.5 if getattr(loss, "l1", 0) else 0.99)


def test_what_a_loss_does_not_cover_is_refused() -> None:
    x, y = np.eye(3), np.array([1.0, -1.0, 1.0])
    half = ConvexHoelder(hoelder_constant=1.0, hoelder_exponent=0.5, **STEPS)
    jump = ConvexHoelder(hoelder_constant=1.0, hoelder_exponent=0.0, **STEPS)
    run: dict[str, Any] = {"sigma": 1.0, "steps": 1}
    for loss, algorithm, rows, message in (
        (Hinge(), half, x, "loss must be one with a Hoelder constant for exponent 0.5, got hinge$"),
        (AbsoluteError(), jump, x, "hoelder_constant must be at least 2 for absolute error with hoelder_exponent 0, got 1$"),
        (PowerError(power=1.5), half, x, "hoelder_constant must be at least 1.41421"),
        (PowerHinge(power=1.5), half, 2 * x, "feature_bound must bound every row's norm, got 1 where one is 2"),
        (Repulsive(0.1, 0.5), half, x, "loss must be convex for convex-hoelder, got repulsive"),
    ):
        with pytest.raises(InputError, match=message):
            fine_tune(loss, algorithm, np.zeros(3), rows, y, **run)
    any_loss = HoelderNonconvex(hoelder_constant=1.0, hoelder_exponent=0.5, **STEPS)
    with pytest.raises(InputError, match="got perceptron"):
        fine_tune(Perceptron(hidden=1), any_loss, np.zeros(8), np.eye(3)[:, :3], np.zeros(3), **run)
    # With a label of -50 a hinge's subgradients would differ by 50, of rows of norm 1; and no kink of it is convex upside down.
    kinks = ConvexNonsmooth(step_size=0.1, lipschitz=1.0, start_clip=1.0)
    for loss in (Hinge(), PowerHinge()):
        with pytest.raises(InputError, match=rf"labels must be \+1 and -1 for {loss.name}, got -50$"):
            fine_tune(loss, jump, np.zeros(1), [[1.0]], [-50.0], **run)
    with pytest.raises(InputError, match="loss must be convex for convex-nonsmooth, got repulsive"):
        fine_tune(Repulsive(1.0), kinks, np.zeros(1), [[1.0]], [1.0], **run)
    for power in (1.0, 2.1):
        with pytest.raises(InputError, match="power must be"):
            PowerHinge(power=power)


# --- the audit

HONEST: dict[str, dict[str, Any]] = {
    "power-hinge": {},
    "power-error": {"exponent": 0.3, "step_size": 1.5},
    "power-error, decay": {"exponent": 0.7, "weight_decay": 0.5},
    "hinge": {"step_size": 1.0, "steps": 5},
    "repulsive": {"steps": 2},
    "repulsive, clipped": {"steps": 6, "model_clip": 1.0},
}


@pytest.mark.parametrize("name", HONEST)
def test_the_audit_stays_below_the_claim(name: str) -> None:
    instance = hoelder_instance(name.split(",")[0], epsilon=2.0, **HONEST[name])
    for seed in range(2):
        assert not audit_steps(instance, trials=3000, confidence=0.9999, seed=seed).refutes(instance.guarantee)


def test_the_audit_nearly_meets_a_claim_and_finds_a_missing_step() -> None:
    instance = hoelder_instance("repulsive", exponent=0.5, epsilon=4.0, steps=1, step_size=1.0, delta=1e-3)
    found = audit_steps(instance, trials=20_000, seed=0)
    assert 0.8 * instance.guarantee.values[0] < found.mu_lower < instance.guarantee.values[0]
    more = hoelder_instance("repulsive", exponent=0.5, epsilon=4.0, steps=2, step_size=0.1, delta=1e-3)
    assert audit_steps(more, trials=20_000, seed=0, fault="short").refutes(more.guarantee)
